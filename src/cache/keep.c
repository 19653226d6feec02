/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the bytes of a class are kept.
 *
 *	its tiers	a body is	what is written goes
 *	disk		on disk		to the store, if that is among them; else the disk has it
 *	no disk, RAM	in RAM		to the store, out of staging/; without one it is volatile
 *	store only	not kept	to the store; reads stream
 *
 * A tier that takes no object of that size is as one that the class has not. What only this host
 * has (OBJ_ALONE) is in no store and in no journal, and no store is asked for it.
 */
#include <errno.h>

#include "cache/internal.h"

bool policy_fits(const struct tier_policy *p, uint64_t size)
{
	return p->in && size <= p->max_object;
}

uint64_t obj_bytes(const struct obj *o)
{
	return o->wr ? o->wr->size : o->size;
}

static bool fits(struct cache *c, struct obj *o, unsigned int tier)
{
	return policy_fits(obj_policy(c, o, tier), obj_bytes(o));
}

struct local *obj_home(struct cache *c, struct obj *o)
{
	if (c->disk && fits(c, o, c->disk_tier))
		return c->disk;
	return c->ram && fits(c, o, c->ram_tier) ? c->ram : NULL;
}

bool obj_keeps(struct cache *c, struct obj *o)
{
	const struct local *home = obj_home(c, o);

	return home && (home == c->disk || ram_admits(c, o));
}

bool obj_stored(struct cache *c, struct obj *o)
{
	return c->store && fits(c, o, c->store_tier);
}

bool obj_volatile(struct cache *c, struct obj *o)
{
	return !(c->disk && fits(c, o, c->disk_tier)) && !obj_stored(c, o);
}

uint64_t obj_size_max(struct cache *c, struct obj *o)
{
	const unsigned int tiers[] = {c->disk_tier, c->store_tier, c->ram_tier};
	uint64_t max = 0;

	for (int i = 0; i < (c->ram ? 3 : 2); i++) {
		const struct tier_policy *p = obj_policy(c, o, tiers[i]);

		uint64_t most = p->in ? p->max_object : 0;

		if (tiers[i] == c->ram_tier && most > atomic_load(&c->ram->max_size))
			most = atomic_load(&c->ram->max_size);
		max = most > max ? most : max;
	}
	return max;
}

bool obj_is_unstored(struct cache *c, struct obj *o)
{
	const struct class_policy *class = obj_class(c, o);

	return c->store && class->conf && !obj_policy(c, o, c->store_tier)->in;
}

bool obj_is_misplaced(struct cache *c, struct obj *o)
{
	if (!c->store || !S_ISREG(o->mode) || o->wr || o->exist != EX_LOCAL ||
	    o->flags & (OBJ_BUSY | OBJ_ORPHAN))
		return false;
	return o->flags & OBJ_ALONE ? obj_stored(c, o) : !o->etag && !obj_stored(c, o);
}

bool obj_pinned(struct cache *c, struct obj *o)
{
	return o->flags & OBJ_PINNED || obj_class(c, o)->pinned;
}

int64_t obj_life_max(struct cache *c, struct obj *o)
{
	const struct local *home;

	if (obj_stored(c, o))
		return obj_policy(c, o, c->store_tier)->ttl_s;
	home = has_store(c) ? obj_home(c, o) : NULL;
	return home ? obj_policy(c, o, home == c->disk ? c->disk_tier : c->ram_tier)->ttl_s
		    : CONF_NEVER;
}
