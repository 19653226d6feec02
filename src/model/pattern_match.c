/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matches compiled patterns. Within a part it goes back to earlier wildcards, shortest first, and
 * remembers which places an element has failed at, so that each is tried once. Across parts only
 * the last ** can be worth another try, since a ** takes whatever an earlier one left.
 */
#include <string.h>

#include "model/key.h"
#include "model/pattern.h"

/* One part being matched. A bit of tried: this element may not end (words: begin) here. */
struct run {
	const struct pattern_part *part;
	const char *key, *text; /* text lies in key */
	size_t len;
	struct pattern_span *spans;
	uint64_t (*tried)[4];
};

static bool try_from(const struct run *run, unsigned int e, size_t pos);

static bool first_try(const struct run *run, unsigned int e, size_t pos)
{
	uint64_t *word = &run->tried[e][pos >> 6], bit = 1ULL << (pos & 63);

	if (*word & bit)
		return false;
	*word |= bit;
	return true;
}

static void note_span(const struct pattern_elem *elem, const char *key, const char *text,
		      size_t len, struct pattern_span *spans)
{
	if (spans && elem->name >= 0)
		spans[elem->name] = (struct pattern_span){(uint16_t)(text - key), (uint16_t)len};
}

static bool word_at(const struct pattern_word *word, const char *text, size_t len)
{
	return word->len <= len && memcmp(word->text, text, word->len) == 0;
}

static bool try_words(const struct run *run, unsigned int e, size_t pos)
{
	const struct pattern_elem *elem = &run->part->elems[e];

	if (!first_try(run, e, pos))
		return false;
	for (unsigned int i = 0; i < elem->n_words; i++) {
		const struct pattern_word *word = &elem->words[i];

		if (!word_at(word, run->text + pos, run->len - pos) ||
		    !try_from(run, e + 1, pos + word->len))
			continue;
		note_span(elem, run->key, run->text + pos, word->len, run->spans);
		return true;
	}
	return false;
}

static bool try_bytes(const struct run *run, unsigned int e, size_t pos)
{
	const struct pattern_elem *elem = &run->part->elems[e];
	size_t end = pos;

	for (;; end++) {
		if (end - pos >= elem->min) {
			/* Tried from here on: an earlier start has seen all that follows too. */
			if (!first_try(run, e, end))
				return false;
			if (try_from(run, e + 1, end))
				break;
		}
		if (end == run->len || (end > pos && !elem->many) ||
		    !pattern_set_has(&elem->set, (unsigned char)run->text[end]))
			return false;
	}
	note_span(elem, run->key, run->text + pos, end - pos, run->spans);
	return true;
}

static bool try_from(const struct run *run, unsigned int e, size_t pos)
{
	for (; e < run->part->n; e++) {
		const struct pattern_elem *elem = &run->part->elems[e];

		if (elem->kind == PATTERN_WORDS)
			return try_words(run, e, pos);
		if (elem->kind != PATTERN_LITERAL)
			return try_bytes(run, e, pos);
		if (!word_at(elem->words, run->text + pos, run->len - pos))
			return false;
		pos += elem->words->len;
	}
	return pos == run->len;
}

/* Whether text as a whole is what a wildcard takes. */
static bool elem_takes(const struct pattern_elem *elem, const char *text, size_t len)
{
	if (elem->kind == PATTERN_WORDS) {
		for (unsigned int i = 0; i < elem->n_words; i++)
			if (elem->words[i].len == len && word_at(&elem->words[i], text, len))
				return true;
		return false;
	}
	if (len < elem->min || (len > 1 && !elem->many))
		return false;
	for (size_t i = 0; elem->kind == PATTERN_SET && i < len; i++)
		if (!pattern_set_has(&elem->set, (unsigned char)text[i]))
			return false;
	return true;
}

/* With one wildcard at most nothing has to be tried: what the literals leave is its text. */
static bool simple_match(const struct pattern_part *part, const char *key, const char *text,
			 size_t len, struct pattern_span *spans)
{
	const struct pattern_elem *elem = part->elems, *last = elem + part->n - 1;

	if (elem->kind == PATTERN_LITERAL) {
		if (!word_at(elem->words, text, len))
			return false;
		text += elem->words->len;
		len -= elem->words->len;
		if (elem++ == last)
			return len == 0;
	}
	if (last != elem) {
		size_t tail = last->words->len;

		if (tail > len || memcmp(text + len - tail, last->words->text, tail) != 0)
			return false;
		len -= tail;
	}
	if (!elem_takes(elem, text, len))
		return false;
	note_span(elem, key, text, len, spans);
	return true;
}

static const char *find(const char *text, const char *end, const struct pattern_word *word)
{
	while ((size_t)(end - text) >= word->len) {
		text = memchr(text, word->text[0], (size_t)(end - text) - word->len + 1);
		if (!text || memcmp(text, word->text, word->len) == 0)
			return text;
		text++;
	}
	return NULL;
}

/*
 * Where wildcards take any byte, the first place of each literal is as good as any later one, since
 * what follows it takes the difference: nothing has to be tried twice.
 */
static bool glob_match(const struct pattern_part *part, const char *key, const char *text,
		       size_t len, struct pattern_span *spans)
{
	const struct pattern_elem *elem = part->elems, *last = elem + part->n;
	const char *end = text + len;

	if (elem->kind == PATTERN_LITERAL) {
		if (!word_at(elem->words, text, len))
			return false;
		text += elem++->words->len;
	}
	if (last[-1].kind == PATTERN_LITERAL) {
		end -= (--last)->words->len;
		if (end < text || memcmp(end, last->words->text, last->words->len) != 0)
			return false;
	}
	for (; elem < last; elem++) {
		const char *from = text, *to = text + elem->min;
		bool literal = elem + 1 < last && elem[1].kind == PATTERN_LITERAL;

		if (elem + 1 == last && to <= end)
			to = end;
		else if (literal && to <= end)
			to = find(to, end, elem[1].words);
		if (!to || to > end)
			return false;
		note_span(elem, key, from, (size_t)(to - from), spans);
		text = to;
		if (literal)
			text += (++elem)->words->len;
	}
	return text == end;
}

static bool part_match(const struct pattern_part *part, const char *key, const char *text,
		       size_t len, struct pattern_span *spans)
{
	uint64_t tried[PATTERN_ELEMS_MAX][4];
	struct run run = {part, key, text, len, spans, tried};

	if (len < part->min_len || len > KEY_PART_MAX)
		return false;
	if (part->n_wild <= 1)
		return simple_match(part, key, text, len, spans);
	if (part->globs)
		return glob_match(part, key, text, len, spans);
	memset(tried, 0, part->n * sizeof(tried[0]));
	return try_from(&run, 0, 0);
}

bool pattern_part_match(const struct pattern_part *part, const char *text, size_t len)
{
	return part_match(part, text, text, len, NULL);
}

static size_t part_len(const char *key, size_t len, size_t at)
{
	const char *slash = memchr(key + at, '/', len - at);

	return slash ? (size_t)(slash - key) - at : len - at;
}

/* at > len: behind the last part. */
static bool match_from(const struct pattern *pattern, unsigned int p, const char *key, size_t len,
		       size_t at, struct pattern_span *spans)
{
	unsigned int back_p = 0;
	size_t back_at = 0;

	while (p < pattern->n_parts || at <= len) {
		const struct pattern_part *part = &pattern->parts[p];
		size_t n = at <= len ? part_len(key, len, at) : 0;

		if (p < pattern->n_parts && part->rest) {
			back_p = ++p;
			back_at = at;
			if (p == pattern->n_parts)
				return true;
		} else if (p < pattern->n_parts && at <= len &&
			   part_match(part, key, key + at, n, spans)) {
			p++;
			at += n + 1;
		} else if (back_p && back_at <= len) {
			p = back_p;
			at = back_at += part_len(key, len, back_at) + 1;
		} else {
			return false;
		}
	}
	return true;
}

bool pattern_match_from(const struct pattern *pattern, unsigned int first, const char *key,
			size_t len, size_t at)
{
	return match_from(pattern, first, key, len, at, NULL);
}

bool pattern_match(const struct pattern *pattern, const char *key, size_t len,
		   struct pattern_span *spans)
{
	return len > 0 && len <= KEY_MAX && match_from(pattern, 0, key, len, 0, spans);
}
