/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns that can never be the first to match. */
#include "model/class_check.h"

#include <errno.h>
#include <string.h>

#include "model/key.h"
#include "model/pattern_nfa.h"

static void nfa_freep(struct nfa **nfa)
{
	nfa_free(*nfa);
}

#define CLEANUP_NFA __attribute__((cleanup(nfa_freep)))

/* A byte of a set, of the odd ones if possible: few other patterns take it. */
static char sample_byte(const struct pattern_set *set)
{
	static const char odd[] = "~!";

	for (size_t i = 0; i < sizeof(odd) - 1; i++)
		if (pattern_set_has(set, (unsigned char)odd[i]))
			return odd[i];
	for (unsigned int c = 1; c < 256; c++)
		if (pattern_set_has(set, (unsigned char)c) && c != '/')
			return (char)c;
	return '\0';
}

/* A key that the pattern matches; 0: there is none within the limits. */
static size_t sample_key(const struct pattern *pattern, char out[KEY_MAX + 1])
{
	size_t len = 0;

	for (unsigned int p = 0; p < pattern->n_parts; p++) {
		const struct pattern_part *part = &pattern->parts[p];

		if (part->min_len > KEY_PART_MAX || len + part->min_len + part->n + 4 > KEY_MAX)
			return 0;
		if (len)
			out[len++] = '/';
		if (part->rest)
			out[len++] = '~';
		for (unsigned int e = 0; e < part->n; e++) {
			const struct pattern_elem *elem = &part->elems[e];

			if (elem->n_words) {
				memcpy(out + len, elem->words->text, elem->words->len);
				len += elem->words->len;
			} else {
				out[len++] = sample_byte(&elem->set);
			}
		}
	}
	out[len] = '\0';
	return len;
}

/* Longer than keys may be, whatever the placeholders are. */
static bool too_long(const struct pattern *pattern)
{
	size_t len = 0, parts = 0;

	for (unsigned int p = 0; p < pattern->n_parts; p++) {
		if (pattern->parts[p].min_len > KEY_PART_MAX)
			return true;
		len += pattern->parts[p].min_len;
		parts += !pattern->parts[p].rest;
	}
	return len + (parts ? parts - 1 : 0) > KEY_MAX;
}

/* Whether rules from to to, without to, match all that inner does. */
static int covered(const struct class_set *set, const struct nfa *inner, unsigned int from,
		   unsigned int to)
{
	CLEANUP_NFA struct nfa *outer = nfa_new();

	if (!outer)
		return -ENOMEM;
	for (unsigned int i = from; i < to; i++)
		if (nfa_add(outer, class_set_rule(set, i, NULL)) < 0)
			return 0; /* too much to look at */
	return nfa_within(inner, outer);
}

static int find_shadow(const struct class_set *set, const struct nfa *inner, unsigned int rule,
		       unsigned int likely, enum class_reach *ret_reach, unsigned int *ret_by)
{
	int r = covered(set, inner, likely, likely + 1);

	*ret_by = likely;
	for (unsigned int i = 0; r == 0 && i < rule; i++) {
		*ret_by = i;
		r = i == likely ? 0 : covered(set, inner, i, i + 1);
	}
	if (r == 0) {
		*ret_by = class_set_rules(set);
		r = covered(set, inner, 0, rule);
	}
	if (r > 0)
		*ret_reach = CLASS_SHADOWED;
	return r < 0 ? r : 0;
}

int class_set_reach(const struct class_set *set, unsigned int rule, enum class_reach *ret_reach,
		    unsigned int *ret_by)
{
	const struct pattern *pattern = class_set_rule(set, rule, NULL);
	CLEANUP_NFA struct nfa *inner = NULL, *none = NULL;
	struct class_hit hit = {.rule = rule};
	char key[KEY_MAX + 1];
	size_t len = sample_key(pattern, key);
	int r;

	*ret_reach = CLASS_REACHED;
	/* Nearly always one key shows it. */
	if (len && key_check(key, len) == 0 && class_match(set, key, len, &hit) && hit.rule == rule)
		return 0;
	inner = nfa_new();
	none = nfa_new();
	if (!inner || !none)
		return -ENOMEM;
	if (nfa_add(inner, pattern) < 0)
		return 0;
	r = nfa_within(inner, none);
	if (r > 0 || too_long(pattern))
		*ret_reach = CLASS_NO_KEY;
	if (r != 0 || *ret_reach == CLASS_NO_KEY || !rule)
		return r < 0 ? r : 0;
	return find_shadow(set, inner, rule, hit.rule < rule ? hit.rule : 0, ret_reach, ret_by);
}
