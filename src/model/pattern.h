/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Path patterns, compiled. A pattern is a path whose parts are made of
 *
 *   literal text        \ stands before a *, {, } or \ that is meant itself
 *   {name}              one or more bytes, shortest first
 *   {name:[0-9a-f]+}    the same, of these bytes only; without the + exactly one; [^...] others
 *   {name:a|b|c}        one of these words, tried in this order
 *   *                   any bytes of the part, or none
 *   **                  as a whole part: any number of parts, or none
 *
 * A part is matched as a whole. A name stands once in a pattern, and is none that cogfs shows as
 * an xattr of its own (pattern_name_reserved).
 */
#ifndef MODEL_PATTERN_H
#define MODEL_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/err.h"

#define PATTERN_LEN_MAX 2048  /* bytes of a pattern's text */
#define PATTERN_NAMES_MAX 16  /* placeholders of a pattern */
#define PATTERN_ELEMS_MAX 32  /* literals and wildcards of one part */
#define PATTERN_PARTS_MAX 128 /* parts of a pattern */

enum pattern_kind {
	PATTERN_LITERAL,
	PATTERN_ANY,   /* any bytes, or none; a {name} wants at least one (min) */
	PATTERN_SET,   /* bytes of a set */
	PATTERN_WORDS, /* one of some words */
};

struct pattern_set {
	uint64_t bits[4];
};

struct pattern_word {
	const char *text;
	size_t len;
};

struct pattern_elem {
	enum pattern_kind kind;
	bool many;	  /* ANY, SET: more than one byte */
	uint8_t min;	  /* ANY, SET: 0 or 1 */
	int8_t name;	  /* of the pattern's names, -1: none */
	uint16_t n_words; /* LITERAL: 1 */
	const struct pattern_word *words;
	struct pattern_set set; /* SET; ANY: every byte */
};

struct pattern_part {
	bool rest;  /* ** */
	bool globs; /* its wildcards take any byte */
	uint16_t n;
	uint16_t n_wild;  /* elements that are no literals */
	uint16_t min_len; /* shortest text that can match */
	const struct pattern_elem *elems;
};

/* Where a placeholder's text stands in the key. */
struct pattern_span {
	uint16_t off, len;
};

struct pattern {
	const char *text;
	unsigned int n_parts, n_names;
	const struct pattern_part *parts;
	const char *names[PATTERN_NAMES_MAX]; /* in the order of the text */
};

/* -EINVAL with what is wrong with the pattern, -ENOMEM. Free with pattern_free. */
int pattern_compile(const char *text, struct pattern **ret_pattern, struct err *err);
void pattern_free(struct pattern *pattern); /* accepts NULL */

/*
 * Whether the whole key matches, and where the placeholders are: spans has room for
 * PATTERN_NAMES_MAX, or is NULL, and holds nothing of use after false. The input is hostile: it
 * takes O(length of the pattern * length of the key) steps at most, and no allocation.
 */
bool pattern_match(const struct pattern *pattern, const char *key, size_t len,
		   struct pattern_span *spans);

/* For what walks parts by itself (class_set): one part; and the pattern from its part first on
 * against the rest of a key, which is key + at, at > len where no part is left. */
bool pattern_part_match(const struct pattern_part *part, const char *text, size_t len);
bool pattern_match_from(const struct pattern *pattern, unsigned int first, const char *key,
			size_t len, size_t at);

/* Whether user.cogfs.NAME is cogfs's own, so that no placeholder may be called so. */
bool pattern_name_reserved(const char *name, size_t len);

static inline bool pattern_set_has(const struct pattern_set *set, unsigned char c)
{
	return set->bits[c >> 6] >> (c & 63) & 1;
}

#endif
