/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What enters the RAM tier (its `admit`), and how a body on the disk gets a copy there.
 *
 *	admit		beside a disk tier			without one
 *	auto		nothing: a page-cached body on disk	what is read
 *			opens at least as fast
 *	second_hit	what is opened again within the window	the same; a first read streams
 *	always		what is filled, or opened		what is read
 *
 * A class says so for itself, and has a disk tier or not (keep.c).
 *
 * A promotion is a job: room is admitted first, others make way; the bytes are copied to
 * partial/<id> of the RAM tier and checked; then, under ns and if nothing happened to the object
 * meanwhile, they get their name. The body on disk stays. Whoever has that open goes on with it,
 * and so does who opens the object beside them (body_next): the kernel knows one backing file an
 * inode. The copy is used from the next first open on.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cache/check_live.h"
#include "cache/internal.h"
#include "util/fsutil.h"

#define HIT_WINDOW_S 600  /* how near the second open must be; said in admit's help */
#define MAX_PROMOTIONS 64 /* queued or running; what comes on top waits for its next open */

struct promotion {
	struct obj *obj;
	int from; /* the body on disk */
	struct ram_copy copy;
	uint64_t size;
	struct xxh3 xxh3; /* or unknown */
	uint32_t gen;
};

static bool opened_lately(struct cache *c, const struct obj *o)
{
	return o->opened_s && clock_mono(c->clock) / NSEC_PER_SEC - o->opened_s <= HIT_WINDOW_S;
}

bool ram_admits(struct cache *c, struct obj *o)
{
	switch (obj_policy(c, o, c->ram_tier)->admission) {
	case ADMIT_ALWAYS:
		return true;
	case ADMIT_SECOND_HIT:
		return opened_lately(c, o);
	default:
		return obj_home(c, o) != c->disk || !c->disk;
	}
}

/* --- without a disk tier --- */

void fill_decline(struct cache *c, struct fill *f, bool decline)
{
	if (decline && !f->files && !f->flights && !f->n_present) {
		f->declined = true;
		f->error = -ENOSPC;
		f->failed_ns = clock_mono(c->clock);
	} else if (!decline && f->declined) {
		f->declined = false;
		f->error = 0;
	}
}

/* --- a copy --- */

static int copy_bytes(int from, int to, uint64_t size, const struct xxh3 *want)
{
	struct xxh3 got;
	int r = fs_copy_fd(from, to, size, NULL);

	if (!r)
		r = xxh3_of_fd(to, size, &got);
	if (r)
		return r;
	return xxh3_known(want) && !xxh3_equal(want, &got) ? -EBADMSG : 0;
}

/* What it takes, which may be more where pages are larger than we count in. */
static int copy_weigh(struct cache *c, int fd, struct ram_copy *copy)
{
	uint64_t cost = local_cost(fd);
	int r = 0;

	if (cost > copy->reserved)
		r = make_room(c, c->ram, copy->share, cost - copy->reserved, false);
	else
		local_adjust(c->ram, (int64_t)cost - (int64_t)copy->reserved);
	if (cost < copy->reserved)
		share_add(copy->share, (int64_t)cost - (int64_t)copy->reserved, 0);
	if (!r)
		copy->reserved = cost;
	return r;
}

int ram_copy_make(struct cache *c, int from, uint64_t size, const struct xxh3 *want,
		  struct ram_copy *copy)
{
	int r = make_room(c, c->ram, copy->share, size, true);
	CLEANUP_CLOSE int to = -1;

	if (r) {
		copy->id = 0;
		return r;
	}
	copy->reserved = local_round(size);
	to = local_create(c->ram->partial_fd, copy->id);
	r = to < 0 ? to : copy_bytes(from, to, size, want);
	if (!r)
		r = copy_weigh(c, to, copy);
	if (r)
		ram_copy_drop(c, copy);
	return r;
}

void ram_copy_drop(struct cache *c, struct ram_copy *copy)
{
	if (!copy->id)
		return;
	local_unlink_id(c->ram->partial_fd, copy->id);
	local_unreserve(c->ram, copy->reserved, true);
	share_add(copy->share, -(int64_t)copy->reserved, -1);
	*copy = (struct ram_copy){0, 0, NULL};
}

void ram_copy_taken(struct cache *c, struct obj *o, struct ram_copy *copy)
{
	body_added(c, o, c->ram, copy->reserved);
	share_add(copy->share, -(int64_t)copy->reserved, -1);
	copy->id = 0;
}

/* --- a promotion --- */

/* A clean body on the disk, as it should be, and none in RAM. Lock held */
static bool may_promote(struct cache *c, struct obj *o)
{
	const uint32_t not = OBJ_RES_RAM | OBJ_ORPHAN | OBJ_BUSY | OBJ_SUSPECT | OBJ_ARCHIVED;

	return o->exist == EX_PRESENT && o->flags & OBJ_RES_DISK && !(o->flags & not ) && !o->wr &&
	       S_ISREG(o->mode) && o->size && o->size <= atomic_load(&c->ram->max_size) &&
	       policy_fits(obj_policy(c, o, c->ram_tier), o->size);
}

/* What is to be copied; *p says what it was. Lock held, dropped in between */
static int promotion_begin(struct cache *c, struct promotion *p)
{
	struct obj *o = p->obj;
	struct local *l;

	if (c->stopping || !may_promote(c, o))
		return -ECANCELED;
	p->from = body_open_in(c, o, c->disk, &l);
	if (p->from < 0)
		return p->from;
	if (l != c->disk || !may_promote(c, o))
		return -ECANCELED;
	p->gen = o->body_gen;
	p->size = o->size;
	p->xxh3 = o->known & REC_XXH3 ? o->xxh3 : (struct xxh3){{0}};
	p->copy.share = share_of(c, o, c->ram);
	p->copy.id = id_next(c);
	return 0;
}

/* Nothing came between: still the body that was copied. Lock held */
static bool promotion_holds(struct cache *c, const struct promotion *p)
{
	return p->gen == p->obj->body_gen && may_promote(c, p->obj);
}

static int promotion_publish(struct cache *c, struct promotion *p)
{
	CLEANUP_FREE char *key = NULL;
	struct obj *o = p->obj;
	struct record rec;
	int r = -ESTALE;

	record_init(&rec);
	SCOPE_LOCK(&c->ns);
	{
		SCOPE_LOCK(&c->lock);
		if (promotion_holds(c, p)) {
			key = obj_key_locked(o);
			r = key ? obj_to_record(o, &rec) : -ENOMEM;
		}
	}
	if (!r)
		r = local_body_publish(c->ram, c->ram->partial_fd, p->copy.id, key, &rec, false);
	record_release(&rec);
	if (r)
		return r;
	SCOPE_LOCK(&c->lock);
	ram_copy_taken(c, o, &p->copy);
	return 0;
}

/* The body on disk is not what it should be, and nobody changed it. */
static void promotion_corrupt(struct cache *c, struct promotion *p)
{
	SCOPE_LOCK(&c->ns);
	{
		SCOPE_LOCK(&c->lock);
		if (!promotion_holds(c, p))
			return;
	}
	check_distrust(c, p->obj, c->disk);
}

static int promotion_run(struct cache *c, struct promotion *p)
{
	int r;

	{
		SCOPE_LOCK(&c->lock);
		r = promotion_begin(c, p);
	}
	if (!r)
		r = ram_copy_make(c, p->from, p->size, &p->xxh3, &p->copy);
	if (!r)
		r = promotion_publish(c, p);
	if (r == -EBADMSG)
		promotion_corrupt(c, p);
	ram_copy_drop(c, &p->copy);
	if (!r)
		count_one(c->counters, COUNTER_promotions);
	return r;
}

static void promotion_job(struct cache *c, void *arg)
{
	struct promotion p = {.obj = arg, .from = -1};

	(void)promotion_run(c, &p); /* where it fails, the disk serves as before */
	if (p.from >= 0)
		close(p.from);
	SCOPE_LOCK(&c->lock);
	p.obj->flags &= ~OBJ_PROMOTING;
	c->n_promotions--;
	obj_put_locked(c, p.obj);
}

/* --- when --- */

static void promote(struct cache *c, struct obj *o)
{
	if (o->flags & OBJ_PROMOTING || c->n_promotions >= MAX_PROMOTIONS || !may_promote(c, o))
		return;
	o->flags |= OBJ_PROMOTING;
	c->n_promotions++;
	obj_get(o);
	job_run(c, POOL_BACKGROUND, promotion_job, o);
}

void promote_opened(struct cache *c, struct obj *o)
{
	if (c->disk && c->ram && ram_admits(c, o))
		promote(c, o);
}

void promote_filled(struct cache *c, struct obj *o)
{
	/* what came with a question was not read yet */
	if (c->disk && c->ram && !(o->flags & OBJ_BROUGHT) &&
	    obj_policy(c, o, c->ram_tier)->admission == ADMIT_ALWAYS)
		promote(c, o);
}
