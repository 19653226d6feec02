/* SPDX-License-Identifier: Apache-2.0 */
/* Compiles path patterns. */
#include "model/pattern.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/key.h"
#include "util/cleanup.h"

/* What user.cogfs shows of every object. Sorted, for people. */
static const char *const reserved_names[] = {
	"cache_key", "class",	    "created_at", "etag",  "expires_at", "format",     "hits",
	"key",	     "last_access", "last_error", "mtime", "pinned",	 "size_bytes", "state",
	"tier",	     "tiers",	    "ttl",	  "x",	   "xxh3",	 "y",
};

bool pattern_name_reserved(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof(reserved_names) / sizeof(reserved_names[0]); i++)
		if (strlen(reserved_names[i]) == len && memcmp(reserved_names[i], name, len) == 0)
			return true;
	return false;
}

/* A pattern and the memory of all that it points to, in one piece. */
struct builder {
	const char *pos; /* of the text, what comes next */
	struct pattern *pattern;
	struct pattern_part *parts;
	struct pattern_elem *elems;
	struct pattern_word *words;
	size_t n_elems, n_words;
	char *text; /* literals, words and names, each with a NUL behind it */
	struct err *err;
};

static int wrong(const struct builder *b, const char *what)
{
	return err_set(b->err, -EINVAL, "pattern \"%.200s\": %s", b->pattern->text, what);
}

static struct pattern_part *current_part(const struct builder *b)
{
	return &b->parts[b->pattern->n_parts];
}

static int add_elem(struct builder *b, enum pattern_kind kind, struct pattern_elem **ret)
{
	struct pattern_part *part = current_part(b);
	struct pattern_elem *elem = &b->elems[b->n_elems];

	if (part->n == PATTERN_ELEMS_MAX)
		return wrong(b, "a part of it has too many pieces");
	b->n_elems++;
	elem->kind = kind;
	elem->name = -1;
	elem->words = &b->words[b->n_words];
	if (kind == PATTERN_ANY) {
		elem->many = true;
		memset(&elem->set, 0xff, sizeof(elem->set));
	}
	if (!part->n++)
		part->elems = elem;
	part->n_wild += kind != PATTERN_LITERAL;
	*ret = elem;
	return 0;
}

static const char *add_text(struct builder *b, const char *text, size_t len)
{
	char *copy = b->text;

	memcpy(copy, text, len);
	copy[len] = '\0';
	b->text += len + 1;
	return copy;
}

static void add_word(struct builder *b, struct pattern_elem *elem, const char *text, size_t len)
{
	b->words[b->n_words++] = (struct pattern_word){add_text(b, text, len), len};
	elem->n_words++;
}

/* Up to what ends a literal; \ takes the byte behind it as it is. */
static int read_literal(struct builder *b)
{
	char text[PATTERN_LEN_MAX];
	struct pattern_elem *elem;
	size_t len = 0;
	int r;

	for (; *b->pos && !strchr("/{*", *b->pos); b->pos++) {
		if (*b->pos == '}')
			return wrong(b, "a \"}\" without a \"{\"; \\} is the character itself");
		if (*b->pos == '\\' && (!*++b->pos || !strchr("{}*\\", *b->pos)))
			return wrong(b, "\\ stands before {, }, * or another \\");
		text[len++] = *b->pos;
	}
	r = add_elem(b, PATTERN_LITERAL, &elem);
	if (r == 0)
		add_word(b, elem, text, len);
	return r;
}

static int read_name(struct builder *b, size_t len, struct pattern_elem *elem)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789_";
	struct pattern *pattern = b->pattern;
	const char *name = b->pos;

	if (!len || len > 64 || strspn(name, allowed) < len)
		return wrong(b, "a placeholder's name is made of a-z, 0-9 and _: {video_id}");
	if (pattern_name_reserved(name, len))
		return err_set(
			b->err, -EINVAL,
			"pattern \"%.200s\": {%.*s} would hide user.cogfs.%.*s; take another "
			"name",
			pattern->text, (int)len, name, (int)len, name);
	for (unsigned int i = 0; i < pattern->n_names; i++)
		if (strlen(pattern->names[i]) == len && memcmp(pattern->names[i], name, len) == 0)
			return wrong(b, "a placeholder stands in it twice");
	if (pattern->n_names == PATTERN_NAMES_MAX)
		return wrong(b, "it has more than 16 placeholders");
	elem->name = (int8_t)pattern->n_names;
	pattern->names[pattern->n_names++] = add_text(b, name, len);
	return 0;
}

static void set_add(struct pattern_set *set, unsigned char from, unsigned char to)
{
	for (unsigned int c = from; c <= to; c++)
		set->bits[c >> 6] |= 1ULL << (c & 63);
}

/* "[a-f0-9]" at p; *ret_end is behind its "]". */
static int read_set(const struct builder *b, const char *p, struct pattern_elem *elem,
		    const char **ret_end)
{
	bool negate = p[1] == '^';
	const char *first = p + 1 + negate;

	for (p = first; *p && (*p != ']' || p == first); p++) {
		unsigned char from = (unsigned char)*p, to = from;

		if (p[1] == '-' && p[2] && p[2] != ']') {
			p += 2;
			to = (unsigned char)*p;
		}
		if (from > to || *p == '/')
			return wrong(b, "a set of characters such as [0-9a-f] goes wrong");
		set_add(&elem->set, from, to);
	}
	if (!*p)
		return wrong(b, "a \"[\" without a \"]\"");
	for (size_t i = 0; negate && i < 4; i++)
		elem->set.bits[i] = ~elem->set.bits[i];
	elem->set.bits[0] &= ~(1ULL | 1ULL << '/'); /* no key has a NUL, no part a slash */
	*ret_end = p + 1;
	return 0;
}

static int read_words(struct builder *b, const char *end, struct pattern_elem *elem)
{
	elem->kind = PATTERN_WORDS;
	elem->many = false;
	for (const char *p = b->pos; p <= end;) {
		size_t len = strcspn(p, "|}");

		if (!len)
			return wrong(b, "one of the words between | is empty");
		if (memchr(p, '/', len) || memchr(p, '{', len) || memchr(p, '*', len))
			return wrong(b, "the words between | are plain text within one part");
		add_word(b, elem, p, len);
		p += len + 1;
	}
	b->pos = end + 1;
	return 0;
}

/* What stands behind "{name:". */
static int read_constraint(struct builder *b, struct pattern_elem *elem)
{
	const char *end = strchr(b->pos, '}');
	int r;

	if (*b->pos != '[')
		return end ? read_words(b, end, elem) : wrong(b, "a \"{\" without a \"}\"");
	elem->kind = PATTERN_SET;
	memset(&elem->set, 0, sizeof(elem->set));
	r = read_set(b, b->pos, elem, &end);
	if (r < 0)
		return r;
	elem->many = *end == '+';
	end += elem->many;
	if (*end != '}')
		return wrong(b, "behind a set of characters comes a + or the }");
	b->pos = end + 1;
	return 0;
}

static int read_placeholder(struct builder *b)
{
	size_t len = strcspn(++b->pos, ":}/{");
	struct pattern_elem *elem;
	int r = add_elem(b, PATTERN_ANY, &elem);

	if (r == 0)
		r = read_name(b, len, elem);
	if (r < 0)
		return r;
	elem->min = 1;
	b->pos += len;
	if (*b->pos == ':') {
		b->pos++;
		return read_constraint(b, elem);
	}
	if (*b->pos != '}')
		return wrong(b, "a \"{\" without a \"}\"");
	b->pos++;
	return 0;
}

static int read_star(struct builder *b)
{
	struct pattern_elem *elem;

	if (b->pos[1] != '*') {
		b->pos++;
		return add_elem(b, PATTERN_ANY, &elem);
	}
	if (current_part(b)->n || (b->pos[2] && b->pos[2] != '/'))
		return wrong(b, "** is a part of its own");
	b->pos += 2;
	current_part(b)->rest = true;
	return 0;
}

static size_t elem_min_len(const struct pattern_elem *elem)
{
	size_t min = SIZE_MAX;

	if (elem->kind == PATTERN_ANY || elem->kind == PATTERN_SET)
		return elem->min;
	for (unsigned int i = 0; i < elem->n_words; i++)
		if (elem->words[i].len < min)
			min = elem->words[i].len;
	return min;
}

static int read_part(struct builder *b)
{
	struct pattern_part *part = current_part(b);
	int r = 0;

	while (r == 0 && *b->pos && *b->pos != '/')
		r = part->rest	     ? wrong(b, "** is a part of its own")
		    : *b->pos == '{' ? read_placeholder(b)
		    : *b->pos == '*' ? read_star(b)
				     : read_literal(b);
	if (r < 0)
		return r;
	if (!part->n && !part->rest)
		return wrong(b, "a path below the mount, without empty parts");
	part->globs = true;
	for (unsigned int i = 0; i < part->n; i++) {
		part->min_len += (uint16_t)elem_min_len(&part->elems[i]);
		part->globs &= part->elems[i].kind <= PATTERN_ANY;
	}
	b->pattern->n_parts++;
	return 0;
}

static int read_parts(struct builder *b)
{
	for (;;) {
		int r = read_part(b);

		if (r < 0 || !*b->pos)
			return r;
		b->pos++;
		if (b->pattern->n_parts == PATTERN_PARTS_MAX)
			return wrong(b, "it has too many parts");
	}
}

/* Room for everything that len bytes of text can become. */
static int builder_init(struct builder *b, const char *text, size_t len)
{
	size_t parts = 1, wild = 0, words = 0, elems;
	char *copy;

	for (size_t i = 0; i < len; i++) {
		parts += text[i] == '/';
		wild += text[i] == '{' || text[i] == '*';
		words += text[i] == '|';
	}
	elems = 2 * wild + parts;
	words += elems;
	b->pattern = calloc(1, sizeof(*b->pattern) + parts * sizeof(*b->parts) +
				       elems * sizeof(*b->elems) + words * sizeof(*b->words) + len +
				       1 + len + words + 1);
	if (!b->pattern)
		return err_set(b->err, -ENOMEM, "no memory");
	b->parts = (struct pattern_part *)(b->pattern + 1);
	b->elems = (struct pattern_elem *)(b->parts + parts);
	b->words = (struct pattern_word *)(b->elems + elems);
	copy = (char *)(b->words + words);
	memcpy(copy, text, len + 1);
	b->text = copy + len + 1;
	b->pattern->text = b->pos = copy;
	b->pattern->parts = b->parts;
	return 0;
}

int pattern_compile(const char *text, struct pattern **ret_pattern, struct err *err)
{
	struct builder b = {.err = err};
	size_t len = strlen(text);
	int r;

	if (len >= PATTERN_LEN_MAX)
		return err_set(err, -EINVAL, "pattern \"%.60s...\": it is too long", text);
	r = builder_init(&b, text, len);
	if (r == 0)
		r = read_parts(&b);
	if (r < 0) {
		pattern_free(b.pattern);
		return r;
	}
	*ret_pattern = b.pattern;
	return 0;
}

void pattern_free(struct pattern *pattern)
{
	free(pattern);
}
