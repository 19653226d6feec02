/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tenants' shares of the body tiers. Queues are of classes, not of tenants, so a tenant that has
 * more than its share is looked through as a whole, and then gives so much at once, the longest
 * unused first, that this is seldom. It runs behind: a share is a limit of what stays, and no write
 * or read waits for it.
 */
#include <stdlib.h>
#include <string.h>

#include "cache/internal.h"

#define LOW 16 /* until 1/LOW of the share is free */

void tenant_holds(struct tenant *t, enum local_kind kind, int64_t bytes)
{
	if (t)
		t->held[kind] += (uint64_t)bytes;
}

/* POLICY_NONE: none */
static uint64_t share_in(const struct cache *c, const struct tenant *t, const struct local *l)
{
	unsigned int tier = l->kind == LOCAL_DISK ? c->disk_tier : c->ram_tier;

	return !t->policy || tier == NO_TIER ? POLICY_NONE : t->policy->share[tier];
}

static struct tenant *first_over(const struct cache *c, const struct local *l, unsigned int *at)
{
	for (; *at < c->tenants.n; ++*at) {
		struct tenant *t = c->tenants.v[*at];

		if (t->held[l->kind] > share_in(c, t, l))
			return t;
	}
	return NULL;
}

bool tenants_are_over(struct cache *c, const struct local *l)
{
	unsigned int at = 0;

	SCOPE_LOCK(&c->lock);
	return first_over(c, l, &at);
}

/* --- who goes --- */

struct leaver {
	struct obj *obj;
	uint32_t used_s;
};

struct leavers {
	struct leaver *v;
	size_t n, room;
};

static const struct body *body_in(const struct obj *o, const struct local *l)
{
	return l->kind == LOCAL_DISK ? &o->disk : &o->ram;
}

static bool has_body(const struct obj *o, const struct local *l)
{
	return o->flags & (l->kind == LOCAL_DISK ? OBJ_RES_DISK : OBJ_RES_RAM);
}

/* Without memory, those that were found go. */
static void add_leaver(struct leavers *all, struct obj *o)
{
	if (all->n == all->room) {
		size_t room = all->room ? 2 * all->room : 256;
		struct leaver *v = realloc(all->v, room * sizeof(*v));

		if (!v)
			return;
		all->v = v;
		all->room = room;
	}
	all->v[all->n++] = (struct leaver){o, o->opened_s};
}

static void look_below(struct cache *c, struct local *l, struct obj *dir, struct leavers *all)
{
	if (!dir->dir)
		return;
	list_for_each(it, &dir->dir->children) {
		struct obj *o = list_entry(it, struct obj, sibling);

		if (has_body(o, l) && body_may_leave(c, o, l))
			add_leaver(all, o);
		look_below(c, l, o, all);
	}
}

static int compare_leavers(const void *a, const void *b)
{
	const struct leaver *x = a, *y = b;

	return x->used_s < y->used_s ? -1 : x->used_s > y->used_s;
}

/* Those of t that go, with references, the first ones of all->v: their number. Lock held */
static size_t leavers_of(struct cache *c, struct local *l, const struct tenant *t,
			 struct leavers *all)
{
	uint64_t share = share_in(c, t, l), have = t->held[l->kind], left = share - share / LOW;
	struct obj *top = tenant_top(c, t);
	size_t n = 0;

	if (top)
		look_below(c, l, top, all);
	if (all->n)
		qsort(all->v, all->n, sizeof(*all->v), compare_leavers);
	for (; n < all->n && have > left; n++) {
		uint64_t cost = body_in(all->v[n].obj, l)->cost;

		have -= cost < have ? cost : have;
		obj_get(all->v[n].obj);
	}
	return n;
}

bool tenants_relieve(struct cache *c, struct local *l,
		     void (*evict)(struct cache *c, struct obj *o, struct local *l))
{
	bool any = false;

	for (unsigned int at = 0;; at++) {
		struct leavers all = {0};
		struct tenant *t;
		size_t n;

		{
			SCOPE_LOCK(&c->lock);
			t = c->stopping ? NULL : first_over(c, l, &at);
			n = t ? leavers_of(c, l, t, &all) : 0;
		}
		for (size_t i = 0; i < n; i++) {
			SCOPE_LOCK(&c->ns);
			evict(c, all.v[i].obj, l);
		}
		free(all.v);
		any |= n;
		if (!t)
			return any;
	}
}
