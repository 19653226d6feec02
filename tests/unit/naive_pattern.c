/* SPDX-License-Identifier: Apache-2.0 */
/* Path patterns matched in the plainest way: whatever can be tried is tried, in the order said. */
#include "naive_pattern.h"

#include <stdio.h>
#include <string.h>

#define PARTS_MAX 64

struct naive {
	const char *pattern, *key;
	struct pattern_span *spans;
};

static bool in_set(const char *set, const char *end, char c)
{
	bool negate = *set == '^';

	for (set += negate; set < end; set++) {
		bool range = set + 2 < end && set[1] == '-';

		if (c >= set[0] && c <= set[range ? 2 : 0])
			return !negate;
		set += range ? 2 : 0;
	}
	return negate;
}

/* How many placeholders begin before p. */
static unsigned int name_index(const struct naive *n, const char *p)
{
	unsigned int count = 0;

	for (const char *q = n->pattern; q < p; q++)
		count += *q == '{';
	return count;
}

static bool part(const struct naive *n, const char *p, const char *s, const char *end);

static bool note(const struct naive *n, const char *p, const char *s, size_t len)
{
	n->spans[name_index(n, p)] = (struct pattern_span){(uint16_t)(s - n->key), (uint16_t)len};
	return true;
}

static bool words(const struct naive *n, const char *p, const char *colon, const char *close,
		  const char *s, const char *end)
{
	for (const char *w = colon + 1; w < close; w += strcspn(w, "|}") + 1) {
		size_t len = strcspn(w, "|}");

		if (len <= (size_t)(end - s) && memcmp(w, s, len) == 0 &&
		    part(n, close + 1, s + len, end))
			return note(n, p, s, len);
	}
	return false;
}

static bool placeholder(const struct naive *n, const char *p, const char *s, const char *end)
{
	const char *close = strchr(p, '}'), *colon = memchr(p, ':', (size_t)(close - p));
	const char *set_end = colon && colon[1] == '[' ? strrchr(colon, ']') : NULL;

	if (set_end) {
		set_end = strchr(colon + 3, ']');
		close = strchr(set_end, '}');
	}
	if (colon && !set_end)
		return words(n, p, colon, close, s, end);
	for (size_t len = 1; len <= (size_t)(end - s); len++) {
		if (set_end && !in_set(colon + 2, set_end, s[len - 1]))
			return false;
		if (part(n, close + 1, s + len, end))
			return note(n, p, s, len);
		if (set_end && set_end[1] != '+')
			return false;
	}
	return false;
}

/* The pattern's part at p, up to a slash or the end, against s up to end. */
static bool part(const struct naive *n, const char *p, const char *s, const char *end)
{
	if (!*p || *p == '/')
		return s == end;
	if (*p == '{')
		return placeholder(n, p, s, end);
	if (*p != '*')
		return s < end && *s == *p && part(n, p + 1, s + 1, end);
	for (;; s++) {
		if (part(n, p + 1, s, end))
			return true;
		if (s == end)
			return false;
	}
}

static unsigned int split(const char *text, const char *parts[PARTS_MAX])
{
	unsigned int n = 0;

	parts[n++] = text;
	for (bool set = false; *text && n < PARTS_MAX - 1; text++) {
		set = *text == '[' || (set && *text != ']');
		if (*text == '/' && !set)
			parts[n++] = text + 1;
	}
	parts[n] = text + 1;
	return n;
}

static bool parts_match(const struct naive *n, const char **p, unsigned int np, const char **s,
			unsigned int ns)
{
	if (!np)
		return ns == 0;
	if (strncmp(*p, "**", 2) == 0 && (!(*p)[2] || (*p)[2] == '/')) {
		for (unsigned int i = 0; i <= ns; i++)
			if (parts_match(n, p + 1, np - 1, s + i, ns - i))
				return true;
		return false;
	}
	/* The rest first, so that what stays in spans is of the try that succeeded. */
	return ns && part(n, *p, *s, s[1] - 1) && parts_match(n, p + 1, np - 1, s + 1, ns - 1);
}

bool naive_pattern_match(const char *pattern, const char *key,
			 struct pattern_span spans[PATTERN_NAMES_MAX])
{
	const struct naive n = {pattern, key, spans};
	const char *p[PARTS_MAX], *s[PARTS_MAX];
	unsigned int np = split(pattern, p), ns = split(key, s);

	return parts_match(&n, p, np, s, ns);
}

unsigned int naive_below(struct naive_random *rnd, unsigned int n)
{
	rnd->state = rnd->state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned int)((rnd->state >> 33) % n);
}

void naive_random_pattern(struct naive_random *rnd, char out[256])
{
	static const char *const pieces[] = {"a",	 "b",		"ab",	       "a",
					     "*",	 "{%c}",	"{%c:[a-b]+}", "{%c:[^a]+}",
					     "{%c:[b]}", "{%c:a|ab|b}", "_",	       "{%c}"};
	unsigned int parts = 1 + naive_below(rnd, 4), name = 0;
	char *to = out;

	for (unsigned int i = 0; i < parts; i++) {
		unsigned int n = 1 + naive_below(rnd, 4);

		to += snprintf(to, 2, "%s", i ? "/" : "");
		if (naive_below(rnd, 5) == 0) {
			to += snprintf(to, 3, "**");
			continue;
		}
		for (bool star = false; n > 0; n--) {
			const char *piece = pieces[naive_below(rnd, 12)];

			if (star && *piece == '*')
				continue;
			star = *piece == '*';
			to += strchr(piece, '%')
				      ? snprintf(to, 32, "{%c%s", 'c' + (char)name++, piece + 3)
				      : snprintf(to, 8, "%s", piece);
		}
	}
	*to = '\0';
}

void naive_random_key(struct naive_random *rnd, char out[256])
{
	unsigned int parts = 1 + naive_below(rnd, 5);
	char *to = out;

	for (unsigned int i = 0; i < parts; i++) {
		unsigned int n = 1 + naive_below(rnd, 6);

		if (i)
			*to++ = '/';
		while (n-- > 0)
			*to++ = "aab_b"[naive_below(rnd, 5)];
	}
	*to = '\0';
}
