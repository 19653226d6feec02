/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XML answers as a sequence of elements, on expat. Input is hostile: a document type declaration
 * ends the parsing (so there are no entities to expand), and depth and text are limited. Names come
 * without their namespace prefix; servers differ in order and in what else they say, so readers
 * take elements by name and leave out what they do not know.
 */
#ifndef TIERS_HTTP_XML_H
#define TIERS_HTTP_XML_H

#include <stdbool.h>
#include <stddef.h>

#include "util/err.h"

#define XML_DEPTH_MAX 16
#define XML_TEXT_MAX (64 * 1024) /* bytes of one element's text */

struct xml_reader {
	/* Both return 0, or a negative errno that ends the walk. The root has depth 0. May be NULL.
	 */
	int (*open)(void *arg, unsigned int depth, const char *name);
	/* parent is "" for the root. text is NUL-terminated, without what child elements hold. */
	int (*close)(void *arg, const char *parent, const char *name, const char *text, size_t len);
	void *arg;
};

/* -EBADMSG where data is no whole document within the limits, -ENOMEM, or a reader's own. */
int xml_walk(const char *data, size_t len, const struct xml_reader *reader, struct err *err);

struct buf;
/* Adds text with markup and control characters escaped, CR, LF and tab as references. */
void xml_escape(struct buf *out, const char *s, size_t len);

/* Whether an XML 1.0 document can hold the text at all: UTF-8 without control characters. */
bool xml_can_hold(const char *s, size_t len);

#endif
