/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which class a key belongs to. A pattern is walked once, with the set of all places in the key
 * that the part walked so far can end at: no pattern is slow, however many wildcards it has.
 */
#include <string.h>

#include "model/config.h"
#include "model/key.h"

/* reach[i]: the pattern up to here can end before key[i]. */
struct places {
	bool reach[KEY_MAX + 1];
	size_t len; /* of the key */
};

static void step_literal(struct places *p, const char *key, char c)
{
	for (size_t i = p->len + 1; i > 0; i--)
		p->reach[i - 1] = i > 1 && p->reach[i - 2] && key[i - 2] == c;
}

/* "*": what stands in one part, perhaps nothing; "{name}": the same, and at least one character. */
static void step_piece(struct places *p, const char *key, bool may_be_empty)
{
	bool inside = false;

	for (size_t i = 0; i <= p->len; i++) {
		bool here = p->reach[i];

		inside = inside && i > 0 && key[i - 1] != '/';
		p->reach[i] = inside || (here && may_be_empty);
		inside = inside || here;
	}
}

/* "**": everything that follows, at least one character. */
static void step_rest(struct places *p)
{
	bool inside = false;

	for (size_t i = 0; i <= p->len; i++) {
		bool here = p->reach[i];

		p->reach[i] = inside;
		inside = inside || here;
	}
}

/* A double star before a slash: any number of whole parts, perhaps none. */
static void step_parts(struct places *p, const char *key)
{
	bool inside = false;

	for (size_t i = 0; i <= p->len; i++) {
		inside = inside || p->reach[i];
		p->reach[i] = p->reach[i] || (inside && i > 0 && key[i - 1] == '/');
	}
}

/* Takes the next element off the pattern. */
static const char *step(struct places *p, const char *key, const char *pattern)
{
	const char *end;

	if (strncmp(pattern, "**/", 3) == 0) {
		step_parts(p, key);
		return pattern + 3;
	}
	if (strncmp(pattern, "**", 2) == 0) {
		step_rest(p);
		return pattern + 2;
	}
	if (*pattern == '*') {
		step_piece(p, key, true);
		return pattern + 1;
	}
	end = *pattern == '{' ? strchr(pattern, '}') : NULL;
	if (end) {
		step_piece(p, key, false);
		return end + 1;
	}
	step_literal(p, key, *pattern);
	return pattern + 1;
}

bool conf_pattern_matches(const char *pattern, const char *key)
{
	size_t literal = strcspn(pattern, "*{");
	struct places p = {.len = strlen(key)};

	/* Most patterns fail here. */
	if (p.len > KEY_MAX || strncmp(pattern, key, literal) != 0)
		return false;
	p.reach[literal] = true;
	for (pattern += literal; *pattern;)
		pattern = step(&p, key, pattern);
	return p.reach[p.len];
}

const struct conf_class *config_class(const struct config *config, const char *key)
{
	for (const struct conf_class *c = config->classes; c; c = c->next)
		for (char *const *m = c->match; m && *m; m++)
			if (conf_pattern_matches(*m, key))
				return c;
	return NULL;
}
