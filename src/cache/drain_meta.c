/* SPDX-License-Identifier: Apache-2.0 */
/* What carries no bytes: new metadata, and what goes. */
#include <errno.h>
#include <string.h>

#include "cache/drain_priv.h"
#include "model/record.h"

static const char *base_etag(const struct jent *e)
{
	return e->base.cond == TIER_IF_MATCH ? e->base.etag : NULL;
}

/* Gone, or of other bytes: another host's word on the object counts. */
static void give_up(struct drain_try *t)
{
	t->given_up = t->conflict = true;
}

/*
 * The version that our metadata was meant for is not there any more. It is put onto the new one
 * only where its bytes are the same: a checksum, a format and a time of change belong to their
 * bytes.
 */
static int meta_conflict(struct drain_try *t)
{
	int r = -ESTALE;

	for (int i = 0; i < DRAIN_CHASE_MAX && drain_is_conflict(r); i++) {
		struct record theirs;
		bool same;

		r = drain_head(t, t->e->key, &theirs);
		if (r == -ENOENT) {
			give_up(t);
			return 0;
		}
		if (r)
			return r;
		same = drain_same_bytes(&theirs, &t->e->rec);
		if (same)
			r = tier_set_meta(t->d->conf.store, drain_call(t, 0), t->e->key,
					  theirs.etag, &t->e->rec, t->etag);
		else
			give_up(t);
		record_release(&theirs);
		if (!same)
			return 0;
	}
	return r;
}

int drain_meta(struct drain_try *t)
{
	int r = tier_set_meta(t->d->conf.store, drain_call(t, 0), t->e->key, base_etag(t->e),
			      &t->e->rec, t->etag);

	return drain_is_conflict(r) ? meta_conflict(t) : r;
}

/* Another host changed what we delete. By last_writer it goes all the same. */
static int delete_conflict(struct drain_try *t)
{
	int r = -ESTALE;

	t->conflict = true;
	if (t->d->conf.conflict != CONFLICT_LAST_WRITER) {
		give_up(t);
		return 0;
	}
	t->conflict = false; /* it ends as we want it */
	count_one(t->d->conf.counters, COUNTER_conflicts);
	for (int i = 0; i < DRAIN_CHASE_MAX && drain_is_conflict(r); i++) {
		struct record theirs;

		r = drain_head(t, t->e->key, &theirs);
		if (r == -ENOENT)
			return 0;
		if (r)
			return r;
		r = tier_del(t->d->conf.store, drain_call(t, 0), t->e->key, false, theirs.etag);
		record_release(&theirs);
	}
	return r;
}

int drain_delete(struct drain_try *t)
{
	int r = tier_del(t->d->conf.store, drain_call(t, 0), t->e->key, false, base_etag(t->e));

	return r == -ESTALE ? delete_conflict(t) : r;
}

int drain_rmdir(struct drain_try *t)
{
	return tier_del(t->d->conf.store, drain_call(t, 0), t->e->key, true, NULL);
}
