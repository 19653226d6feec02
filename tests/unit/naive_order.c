/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of order, read naively: every pair is looked at. */
#include "naive_order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "journal_fixture.h"
#include "model/key.h"

struct seen {
	struct jent e[256];
	size_t n;
};

static int see(void *arg, const struct jent *e)
{
	struct seen *s = arg;

	assert_true(s->n < 256);
	s->e[s->n++] = *e; /* shares its strings: valid while nothing changes */
	return 0;
}

static bool touches(const char *a, const char *b)
{
	return key_below(a, b) || key_below(b, a);
}

static bool marker_conflict(const struct jent *mkdir, const struct jent *other)
{
	if (strcmp(mkdir->key, other->key) == 0 ||
	    (other->to && strcmp(mkdir->key, other->to) == 0))
		return true;
	if (other->op == J_MKDIR)
		return false;
	return key_below(mkdir->key, other->key) || (other->to && key_below(mkdir->key, other->to));
}

static bool conflict(const struct jent *a, const struct jent *b)
{
	if (a->op == J_MKDIR)
		return marker_conflict(a, b);
	if (b->op == J_MKDIR)
		return marker_conflict(b, a);
	return touches(a->key, b->key) || (a->to && touches(a->to, b->key)) ||
	       (b->to && touches(a->key, b->to)) || (a->to && b->to && touches(a->to, b->to));
}

static bool is_sibling(const struct jent *mark, const struct jent *other)
{
	const char *name = mark->op == J_RENAME ? mark->to : mark->key;
	char dir[128];
	char *slash;

	if (!mark->after_siblings)
		return false;
	jf_text(dir, sizeof(dir), "%s", name);
	slash = strrchr(dir, '/');
	*(slash ? slash : dir) = '\0';
	return (key_below(other->key, dir) && strcmp(other->key, dir) != 0) ||
	       (other->to && key_below(other->to, dir) && strcmp(other->to, dir) != 0);
}

static bool may_go(const struct seen *s, size_t i)
{
	for (size_t k = 0; k < i; k++) {
		if (conflict(&s->e[k], &s->e[i]) || is_sibling(&s->e[i], &s->e[k]))
			return false;
	}
	return s->e[i].state != J_HELD;
}

void naive_order_check(struct journal *j, const struct jent *taken)
{
	struct seen s = {.n = 0};

	journal_foreach(j, see, &s);
	for (size_t i = 0; i < s.n; i++) {
		if (taken && s.e[i].seq == taken->seq)
			assert_true(may_go(&s, i));
		if (s.e[i].state != J_QUEUED || (taken && s.e[i].seq == taken->seq))
			continue;
		/* The oldest that may go is the one that was taken. */
		if (may_go(&s, i)) {
			bool older = false;

			for (size_t k = 0; taken && k < i; k++)
				older |= s.e[k].seq == taken->seq;
			if (!older)
				fail_msg("seq %llu may go and was not taken:\n%s",
					 (unsigned long long)s.e[i].seq, jf_dump(j, false));
			return;
		}
	}
}
