/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an object begins with: its life and whether it is pinned, from the nearest directory above
 * that says so (user.cogfs.ttl, expires_at, pinned of a directory), else from its class.
 *
 * A directory has no life of its own. In its record ttl is what objects below it begin with, or
 * expires_at is when they end; LIFE_NEVER there says that they do not, where both 0 say nothing.
 * pinned is kept as an attribute of the user's, by a name that users neither set nor see.
 */
#include <string.h>

#include "cache/internal.h"

struct life {
	uint32_t ttl;
	int64_t expires_at; /* where ttl is 0 */
};

bool dir_says_life(const struct obj *dir)
{
	return dir->known & REC_EXPIRES && (dir->ttl || dir->expires_at);
}

/* Lock held */
static struct life life_said(struct cache *c, struct obj *o)
{
	for (const struct obj *dir = o->parent; dir; dir = dir->parent)
		if (dir_says_life(dir))
			return (struct life){dir->ttl, dir->ttl ? 0 : dir->expires_at};
	return (struct life){ttl_fits(obj_class(c, o)->ttl_s), 0};
}

/* As life_said(), and no longer than the tiers of the class allow. Lock held */
static struct life life_of(struct cache *c, struct obj *o)
{
	struct life life = life_said(c, o);
	int64_t max = obj_life_max(c, o), end = clock_wall(c->clock) / NSEC_PER_SEC + max;

	if (life.expires_at == LIFE_NEVER)
		life.expires_at = 0;
	if (max != CONF_NEVER &&
	    (life.ttl ? life.ttl > max : !life.expires_at || life.expires_at > end))
		life = (struct life){ttl_fits(max), 0};
	return life;
}

static void life_begin(struct cache *c, struct obj *o, const struct life *life)
{
	o->ttl = life->ttl;
	o->expires_at = life->ttl ? clock_wall(c->clock) / NSEC_PER_SEC + life->ttl
				  : life->expires_at;
	o->known |= REC_EXPIRES;
}

const char *obj_pin_said(const struct obj *o)
{
	for (const struct record_xattr *x = o->extra ? o->extra->user : NULL; x; x = x->next)
		if (!strcmp(x->name, PIN_XATTR))
			return x->value_len == 1 && x->value[0] == '1' ? "1" : "0";
	return NULL;
}

static bool pinned_above(const struct obj *o)
{
	for (const struct obj *dir = o->parent; dir; dir = dir->parent) {
		const char *said = obj_pin_said(dir);

		if (said)
			return *said == '1';
	}
	return false;
}

void obj_begin(struct cache *c, struct obj *o)
{
	struct life life = life_of(c, o);

	life_begin(c, o, &life);
	o->flags &= ~OBJ_PINNED;
	if (pinned_above(o))
		(void)obj_set_pinned(o, "1");
}

bool obj_life_is_given(struct cache *c, struct obj *o)
{
	struct life life = life_of(c, o);

	return life.ttl ? o->ttl == life.ttl : !o->ttl && o->expires_at == life.expires_at;
}

bool obj_life_follow(struct cache *c, struct obj *o)
{
	struct life life;

	if (obj_life_is_given(c, o))
		return false;
	life = life_of(c, o);
	life_begin(c, o, &life);
	return true;
}
