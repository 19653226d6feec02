/* SPDX-License-Identifier: Apache-2.0 */
/*
 * on_evict: demote. What RAM has alone, of a class that has a disk tier too, is copied there
 * before it leaves RAM: its body on the disk had gone before, by its ttl or for room.
 *
 * Like a promotion: room is admitted first, the bytes are copied to partial/<id> and checked, and
 * if nothing happened to the object meanwhile they get their name. Where that fails, RAM's copy
 * is dropped all the same.
 */
#include <errno.h>
#include <unistd.h>

#include "cache/internal.h"
#include "util/fsutil.h"

struct demotion {
	struct obj *obj;
	struct share *share;
	int from;
	uint64_t id, size, reserved;
	struct xxh3 xxh3; /* or unknown */
	uint32_t gen;
};

/* A clean body that only RAM has, of a class with a place on the disk. Lock held */
static bool may_demote(struct cache *c, struct obj *o)
{
	return c->disk && o->exist == EX_PRESENT && o->flags & OBJ_RES_RAM &&
	       !(o->flags & (OBJ_RES_DISK | OBJ_ORPHAN | OBJ_BUSY | OBJ_SUSPECT | OBJ_CORRUPT)) &&
	       !o->wr && !o->fill && S_ISREG(o->mode) && obj_home(c, o) == c->disk;
}

static int demotion_begin(struct cache *c, struct demotion *d)
{
	struct obj *o = d->obj;
	struct local *l;

	SCOPE_LOCK(&c->lock);
	if (!may_demote(c, o))
		return -ECANCELED;
	d->from = body_open_in(c, o, c->ram, &l);
	if (d->from < 0)
		return d->from;
	if (l != c->ram || !may_demote(c, o))
		return -ECANCELED;
	d->gen = o->body_gen;
	d->size = o->size;
	d->xxh3 = o->known & REC_XXH3 ? o->xxh3 : (struct xxh3){{0}};
	d->share = share_of(c, o, c->disk);
	d->id = id_next(c);
	return 0;
}

static int demotion_copy(struct cache *c, struct demotion *d)
{
	CLEANUP_CLOSE int to = local_create(c->disk->partial_fd, d->id);
	struct xxh3 got;
	int r = to < 0 ? to : fs_copy_fd(d->from, to, d->size, NULL);

	if (!r)
		r = xxh3_of_fd(to, d->size, &got);
	if (!r && xxh3_known(&d->xxh3) && !xxh3_equal(&d->xxh3, &got))
		r = -EBADMSG;
	return r;
}

/* ns held */
static int demotion_publish(struct cache *c, struct demotion *d)
{
	CLEANUP_FREE char *key = NULL;
	struct obj *o = d->obj;
	uint32_t filled_s = 0;
	struct record rec;
	int r = -ESTALE;

	record_init(&rec);
	{
		SCOPE_LOCK(&c->lock);
		if (d->gen == o->body_gen && may_demote(c, o)) {
			filled_s = o->filled_s;
			key = obj_key_locked(o);
			r = key ? obj_to_record(o, &rec) : -ENOMEM;
		}
	}
	if (!r)
		r = local_body_publish(c->disk, c->disk->partial_fd, d->id, key, &rec, false);
	record_release(&rec);
	if (r)
		return r;
	SCOPE_LOCK(&c->lock);
	body_added(c, o, c->disk, d->reserved);
	o->filled_s = filled_s; /* it does not live longer for that */
	share_add(d->share, -(int64_t)d->reserved, -1);
	d->id = 0;
	return 0;
}

static void demotion_drop(struct cache *c, struct demotion *d)
{
	local_unlink_id(c->disk->partial_fd, d->id);
	local_unreserve(c->disk, d->reserved, true);
	share_add(d->share, -(int64_t)d->reserved, -1);
}

void demote(struct cache *c, struct obj *o)
{
	struct demotion d = {.obj = o, .from = -1};
	int r = demotion_begin(c, &d);

	if (!r)
		r = make_room(c, c->disk, d.share, d.size, true);
	if (!r) {
		d.reserved = local_round(d.size);
		r = demotion_copy(c, &d);
		if (!r) {
			SCOPE_LOCK(&c->ns);
			r = demotion_publish(c, &d);
		}
		if (d.id)
			demotion_drop(c, &d);
	}
	if (d.from >= 0)
		close(d.from);
	if (!r)
		count_one(c->counters, COUNTER_demotions);
}
