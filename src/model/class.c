/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Class patterns, matched greedily from the left with one step back a wildcard, so that no pattern
 * is exponential.
 */
#include <string.h>

#include "model/class.h"

/*
 * A wildcard within a part at p: its length in the pattern, and whether it must eat at least one
 * byte. 0: a literal.
 */
static size_t wildcard_len(const char *p, const char *end, bool *ret_some)
{
	const char *close;

	if (p < end && *p == '*') {
		*ret_some = false;
		return 1;
	}
	if (p >= end || *p != '{')
		return 0;
	close = memchr(p, '}', end - p);
	*ret_some = true;
	return close ? (size_t)(close - p) + 1 : 0;
}

/* One part of the pattern against one part of the key. */
static bool part_match(const char *p, const char *p_end, const char *s, const char *s_end)
{
	const char *back_p = NULL, *back_s = NULL;

	while (s < s_end || p < p_end) {
		bool some;
		size_t n = wildcard_len(p, p_end, &some);

		if (n && (!some || s < s_end)) {
			p += n;
			s += some;
			back_p = p;
			back_s = s;
		} else if (!n && p < p_end && s < s_end && *p == *s) {
			p++;
			s++;
		} else if (back_p && back_s < s_end) {
			p = back_p;
			s = ++back_s;
		} else {
			return false;
		}
	}
	return true;
}

static const char *part_end(const char *s)
{
	const char *slash = strchr(s, '/');

	return slash ? slash : s + strlen(s);
}

static const char *next_part(const char *end)
{
	return *end ? end + 1 : end;
}

bool class_pattern_match(const char *p, const char *s)
{
	const char *back_p = NULL, *back_s = NULL;

	while (*s || *p) {
		const char *p_end = part_end(p), *s_end = part_end(s);

		if (p_end - p == 2 && p[0] == '*' && p[1] == '*') {
			p = back_p = next_part(p_end);
			back_s = s;
		} else if (*p && *s && part_match(p, p_end, s, s_end)) {
			p = next_part(p_end);
			s = next_part(s_end);
		} else if (back_p && *back_s) {
			p = back_p;
			s = back_s = next_part(part_end(back_s));
		} else {
			return false;
		}
	}
	return true;
}

const struct conf_class *class_of(const struct config *config, const char *key)
{
	for (const struct conf_class *c = config->classes; c; c = c->next)
		for (char **m = c->match; m && *m; m++)
			if (class_pattern_match(*m, key))
				return c;
	return NULL;
}
