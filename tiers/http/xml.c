/* SPDX-License-Identifier: Apache-2.0 */
/* The XML walk on expat, and the little that writing XML needs. */
#include "tiers/http/xml.h"

#include <errno.h>
#include <expat.h>
#include <limits.h>
#include <string.h>

#include "tiers/http/buf.h"

#define NAME_SIZE 48 /* longer names are none that a reader asks for */

struct walk {
	XML_Parser parser;
	const struct xml_reader *reader;
	unsigned int depth; /* elements that are open */
	char names[XML_DEPTH_MAX][NAME_SIZE];
	struct buf text; /* of the innermost element since its last tag */
	int rc;
	const char *why;
};

static void walk_stop(struct walk *w, int rc, const char *why)
{
	w->rc = rc;
	w->why = why;
	XML_StopParser(w->parser, XML_FALSE);
}

static void copy_name(char out[NAME_SIZE], const char *name)
{
	const char *colon = strrchr(name, ':');
	size_t len;

	if (colon)
		name = colon + 1;
	len = strlen(name);
	if (len >= NAME_SIZE)
		len = 0;
	memcpy(out, name, len);
	out[len] = '\0';
}

static void XMLCALL on_start(void *data, const XML_Char *name, const XML_Char **attributes)
{
	struct walk *w = data;
	int rc = 0;

	if (w->depth == XML_DEPTH_MAX) {
		walk_stop(w, -EBADMSG, "nested too deeply");
		return;
	}
	copy_name(w->names[w->depth], name);
	buf_reset(&w->text);
	if (w->reader->open)
		rc = w->reader->open(w->reader->arg, w->depth, w->names[w->depth]);
	w->depth++;
	if (rc < 0)
		walk_stop(w, rc, NULL);
}

static void XMLCALL on_end(void *data, const XML_Char *name)
{
	struct walk *w = data;
	const char *text = buf_str(&w->text);
	int rc = 0;

	/* Calls may still come after XML_StopParser. */
	if (w->rc < 0)
		return;
	w->depth--;
	if (!text)
		walk_stop(w, -ENOMEM, NULL);
	else if (w->reader->close)
		rc = w->reader->close(w->reader->arg, w->depth ? w->names[w->depth - 1] : "",
				      w->names[w->depth], text, w->text.len);
	if (rc < 0)
		walk_stop(w, rc, NULL);
	buf_reset(&w->text);
}

static void XMLCALL on_text(void *data, const XML_Char *s, int len)
{
	struct walk *w = data;

	if (w->rc < 0)
		return;
	if ((size_t)len > XML_TEXT_MAX - w->text.len)
		walk_stop(w, -EBADMSG, "text too long");
	else
		buf_add(&w->text, s, (size_t)len);
}

static void XMLCALL on_doctype(void *data, const XML_Char *name, const XML_Char *sysid,
			       const XML_Char *pubid, int has_internal_subset)
{
	walk_stop(data, -EBADMSG, "has a document type declaration");
}

int xml_walk(const char *data, size_t len, const struct xml_reader *reader, struct err *err)
{
	struct walk w = {.reader = reader};

	if (len > INT_MAX)
		return err_set(err, -EBADMSG, "XML: too long");
	w.parser = XML_ParserCreate(NULL);
	if (!w.parser)
		return -ENOMEM;
	XML_SetUserData(w.parser, &w);
	XML_SetElementHandler(w.parser, on_start, on_end);
	XML_SetCharacterDataHandler(w.parser, on_text);
	XML_SetStartDoctypeDeclHandler(w.parser, on_doctype);
	if (XML_Parse(w.parser, data, (int)len, XML_TRUE) != XML_STATUS_OK && w.rc == 0) {
		enum XML_Error code = XML_GetErrorCode(w.parser);

		w.rc = code == XML_ERROR_NO_MEMORY ? -ENOMEM : -EBADMSG;
		w.why = XML_ErrorString(code);
	}
	XML_ParserFree(w.parser);
	buf_release(&w.text);
	if (w.why)
		err_set(err, w.rc, "XML: %s", w.why);
	return w.rc;
}

void xml_escape(struct buf *out, const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		switch (s[i]) {
		case '&':
			buf_adds(out, "&amp;");
			break;
		case '<':
			buf_adds(out, "&lt;");
			break;
		case '>':
			buf_adds(out, "&gt;");
			break;
		case '"':
			buf_adds(out, "&quot;");
			break;
		case '\t':
		case '\n':
		case '\r':
			/* As they stand a parser may turn them into something else. */
			buf_addf(out, "&#%d;", s[i]);
			break;
		default:
			buf_addc(out, s[i]);
		}
	}
}

/* The length of the UTF-8 sequence at s, or 0 where XML 1.0 has no such character. */
static size_t xml_char_len(const unsigned char *s, size_t len)
{
	static const struct {
		unsigned char mask, lead;
		unsigned int min;
	} forms[] = {
		{0x80, 0x00, 0x20}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
	unsigned int c;

	if (*s == '\t' || *s == '\n' || *s == '\r')
		return 1;
	for (size_t n = 1; n <= 4 && n <= len; n++) {
		if ((*s & forms[n - 1].mask) != forms[n - 1].lead)
			continue;
		c = *s & (unsigned char)~forms[n - 1].mask;
		for (size_t i = 1; i < n; i++) {
			if ((s[i] & 0xc0) != 0x80)
				return 0;
			c = c << 6 | (s[i] & 0x3f);
		}
		if (c < forms[n - 1].min || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ||
		    c == 0xfffe || c == 0xffff)
			return 0;
		return n;
	}
	return 0;
}

bool xml_can_hold(const char *s, size_t len)
{
	while (len) {
		size_t n = xml_char_len((const unsigned char *)s, len);

		if (!n)
			return false;
		s += n;
		len -= n;
	}
	return true;
}
