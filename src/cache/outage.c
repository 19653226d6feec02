/* SPDX-License-Identifier: Apache-2.0 */
/*
 * While a store does not answer. What is resident is served; what is not known stays unknown, with
 * one exception: who makes a new file looks its name up first, and a write must not wait for a
 * store that is away. So a directory that was listed completely in this life, or made here, answers
 * for names that it did not have. Another host may have made such a name since: then the upload
 * meets it, and `write.conflict` decides. The kernel is not to remember such an answer.
 */
#include <errno.h>

#include "cache/internal.h"

/* So long after a call without an answer the next one is not tried. */
#define AWAY_NS (5 * NSEC_PER_SEC)

void store_answered(struct cache *c, int r)
{
	if (r == -EIO || r == -ETIMEDOUT)
		c->unanswered_ns = clock_mono(c->clock);
	else if (r == 0 || r == -ENOENT)
		c->unanswered_ns = 0;
}

bool store_is_away(struct cache *c)
{
	if (!has_store(c))
		return false;
	return (c->unanswered_ns && clock_mono(c->clock) - c->unanswered_ns < AWAY_NS) ||
	       breaker_state_get(c->breaker) == BREAKER_OPEN;
}

bool absent_as_listed(struct cache *c, const struct obj *o)
{
	return (o->exist == EX_UNKNOWN || o->exist == EX_ABSENT) && o->parent && o->parent->dir &&
	       o->parent->dir->listed_ns && store_is_away(c);
}
