/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Room: bytes are admitted before they are used, to the tier and to their class's share of it,
 * and bodies make way: first those of a class that has more than its share, then those of the
 * class that is worth least, in the order that its policy says (queue.h).
 *
 * Never evicted: what is open, what is not drained, what is pinned, and, where there is no store
 * to have it from again, everything; but a copy in RAM of what is on the disk may always go, and
 * what is volatile goes for good.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cache/internal.h"
#include "cache/sidecar.h"

#define EVICT_LOOK 4096 /* of those that stepped aside, to look at for one that may go by now */

/*
 * Room is made ahead of need: from where less than 1/HIGH of a limit is left, until 1/LOW of it
 * is. A limit of fewer objects than that is used up to the last.
 */
#define HIGH 32
#define LOW 16
#define FUTILE_NS (200 * NSEC_PER_MSEC)

/* Who is to go, and out of where. */
struct victim {
	struct obj *obj; /* a reference */
	struct share *share;
};

/* The body in RAM is all that there is of it. */
static bool is_volatile(struct cache *c, const struct obj *o, const struct local *l)
{
	return l == c->ram && o->flags & OBJ_ALONE && !(o->flags & OBJ_RES_DISK);
}

bool body_may_leave(struct cache *c, struct obj *o, const struct local *l)
{
	if (l == c->ram && o->flags & OBJ_RES_DISK) /* only a copy of what is on the disk */
		return !body_is_open(o, l) && !(o->flags & OBJ_BUSY);
	if (is_volatile(c, o, l))
		return list_empty(&o->files) && !o->wr && !(o->flags & OBJ_BUSY) &&
		       !obj_pinned(c, o);
	return has_store(c) && o->exist == EX_PRESENT && list_empty(&o->files) && !o->wr &&
	       !(o->flags & OBJ_BUSY) && !obj_pinned(c, o);
}

/* --- who goes: all with the lock held --- */

/* The next of s; who may not go steps aside, and who came to another class goes there. */
static struct body *next_of(struct cache *c, struct local *l, struct share *s)
{
	struct body *b;

	while ((b = queue_first(&s->queue))) {
		struct obj *o = body_obj_of(c, b, l);

		if (share_of(c, o, l) != s)
			bodies_follow(c, o);
		else if (body_may_leave(c, o, l) || queue_park(&s->queue, b))
			break;
	}
	return b && body_may_leave(c, body_obj_of(c, b, l), l) ? b : NULL;
}

/* Of those that stepped aside: nobody else is left. */
static struct body *next_aside(struct cache *c, struct local *l, struct share *s)
{
	for (unsigned int i = 0; i < EVICT_LOOK && i < s->queue.parked.n; i++) {
		struct body *b = queue_next_parked(&s->queue);

		if (b && body_may_leave(c, body_obj_of(c, b, l), l))
			return queue_unpark(&s->queue, b) ? NULL : b;
	}
	return NULL;
}

/* For how long it was not used, where policies that differ are compared. */
static int64_t used_s(const struct obj *o)
{
	return o->opened_s;
}

/* Whether a goes before b, of two classes that are worth the same: in the tier's own order. */
static bool is_sooner(struct cache *c, const struct local *l, const struct share *sa,
		      struct body *a, const struct share *sb, struct body *b)
{
	if (sa->queue.policy == sb->queue.policy)
		return a->key < b->key;
	return used_s(body_obj_of(c, a, l)) < used_s(body_obj_of(c, b, l));
}

static bool goes_before(struct cache *c, const struct local *l, const struct share *sa,
			struct body *a, const struct share *sb, struct body *b)
{
	bool over_a = share_is_over(sa), over_b = share_is_over(sb);

	if (over_a != over_b)
		return over_a;
	if (sa->priority != sb->priority)
		return sa->priority < sb->priority;
	return is_sooner(c, l, sa, a, sb, b);
}

typedef struct body *next_fn(struct cache *c, struct local *l, struct share *s);

static struct body *best_of(struct cache *c, struct local *l, next_fn *next, struct share **ret)
{
	struct body *best = NULL;

	for (unsigned int i = 0; i < c->n_shares; i++) {
		struct share *s = &c->shares[i]->share[l->kind];
		struct body *b = next(c, l, s);

		if (!b || (best && !goes_before(c, l, s, b, *ret, best)))
			continue;
		best = b;
		*ret = s;
	}
	return best;
}

/* The one to go out of s, or, where that is NULL, of all shares. */
static bool pick(struct cache *c, struct local *l, struct share *s, struct victim *ret)
{
	struct body *b;

	ret->share = s;
	b = s ? next_of(c, l, s) : best_of(c, l, next_of, &ret->share);
	if (!b)
		b = s ? next_aside(c, l, s) : best_of(c, l, next_aside, &ret->share);
	if (!b)
		return false;
	ret->obj = body_obj_of(c, b, l);
	obj_get(ret->obj);
	return true;
}

/* --- it goes --- */

/* Nothing is left of o: its name goes too, and the kernel hears of it. ns held */
static void evict_name(struct cache *c, struct obj *o, const char *key)
{
	CLEANUP_FREE char *name = NULL;
	struct obj *dir;

	{
		SCOPE_LOCK(&c->lock);
		name = strdup(o->name);
		dir = o->parent;
		obj_get(dir);
	}
	(void)name_drop(c, o, key, false);
	if (name && c->events.changed)
		c->events.changed(c->events.arg, CACHE_EV_NAME, o, dir, name);
	obj_unref(c, dir);
}

static bool has_body(const struct cache *c, const struct obj *o, const struct local *l)
{
	return o->flags & (l == c->disk ? OBJ_RES_DISK : OBJ_RES_RAM);
}

/* A body that is leaving: what it had of the budget until its file is gone. */
struct leaving {
	struct share *share;
	uint64_t cost;
	bool held;
	bool all; /* with its name: then nothing is held */
	char *key;
};

/* Room that is given before the file is gone would be used twice. Lock held */
static void hold_room(struct local *l, struct leaving *v, uint64_t cost)
{
	v->cost = cost;
	v->held = true;
	local_adjust(l, (int64_t)cost);
	atomic_fetch_add(&l->objects, 1);
	share_add(v->share, (int64_t)cost, 1);
}

static void give_room(struct local *l, const struct leaving *v)
{
	if (!v->held)
		return;
	local_adjust(l, -(int64_t)v->cost);
	atomic_fetch_sub(&l->objects, 1);
	share_add(v->share, -(int64_t)v->cost, -1);
}

/* Whether o may go still. Lock held */
static bool leave(struct cache *c, struct obj *o, struct local *l, uint32_t why,
		  struct leaving *ret)
{
	struct body *b = l == c->disk ? &o->disk : &o->ram;

	if (!has_body(c, o, l) || !body_may_leave(c, o, l))
		return false;
	ret->key = obj_key_locked(o);
	if (!ret->key)
		return false;
	ret->all = is_volatile(c, o, l);
	ret->share = &c->shares[b->class]->share[l->kind];
	class_count(c, o, CLASS_EVICTIONS);
	queue_left(&ret->share->queue, b);
	atomic_fetch_add(&ret->share->evictions, 1);
	o->flags = (o->flags & ~(OBJ_LEFT_SHARE | OBJ_LEFT_TIER)) | why;
	if (ret->all)
		return true;
	hold_room(l, ret, b->cost);
	body_gone(c, o, l);
	return true;
}

/* Takes the reference; why: OBJ_LEFT_*. ns held */
static void evict(struct cache *c, struct obj *o, struct local *l, uint32_t why)
{
	struct leaving v = {.cost = 0};
	bool may;

	{
		SCOPE_LOCK(&c->lock);
		may = leave(c, o, l, why, &v);
	}
	if (may && v.all)
		evict_name(c, o, v.key);
	else if (may)
		local_body_unlink(l, v.key);
	if (may)
		give_room(l, &v);
	free(v.key);
	count_add(c->counters, COUNTER_evictions, may);
	obj_unref(c, o);
}

/* s: out of that share; NULL: out of the one that has to give. why: OBJ_LEFT_* */
static bool evict_one(struct cache *c, struct local *l, struct share *s, uint32_t why)
{
	struct obj *sidecar;
	struct victim v;

	SCOPE_LOCK(&c->ns);
	{
		SCOPE_LOCK(&c->lock);
		if (!pick(c, l, s, &v))
			return false;
		sidecar = sidecar_peek(c, v.obj);
		if (sidecar)
			obj_get(sidecar);
	}
	evict(c, v.obj, l, why);
	if (sidecar)
		evict(c, sidecar, l, why);
	return true;
}

/* --- ahead of need --- */

/* The same where there is time: the disk may have it first. */
static bool evict_calmly(struct cache *c, struct local *l, struct share *s)
{
	struct victim v;
	bool hand_down;

	{
		SCOPE_LOCK(&c->lock);
		if (c->stopping || !pick(c, l, s, &v))
			return false;
		hand_down = l == c->ram && v.share->on_evict == ON_EVICT_DEMOTE;
	}
	if (hand_down)
		demote(c, v.obj);
	obj_unref(c, v.obj);
	return evict_one(c, l, v.share, s ? OBJ_LEFT_SHARE : OBJ_LEFT_TIER);
}

static void evict_of_tenant(struct cache *c, struct obj *o, struct local *l)
{
	evict(c, o, l, OBJ_LEFT_SHARE);
}

/* Whether anybody went. */
static bool relieve(struct cache *c, struct local *l)
{
	bool any = false;

	for (unsigned int i = 0;; i++) {
		struct share *s;

		{
			SCOPE_LOCK(&c->lock);
			if (i >= c->n_shares)
				break;
			s = &c->shares[i]->share[l->kind];
		}
		if (share_is_tight(s, HIGH))
			while (share_is_tight(s, LOW) && evict_calmly(c, l, s))
				any = true;
	}
	any |= tenants_relieve(c, l, evict_of_tenant);
	if (local_is_tight(l, HIGH, true))
		while (local_is_tight(l, LOW, true) && evict_calmly(c, l, NULL))
			any = true;
	return any;
}

static void evict_job(struct cache *c, void *arg)
{
	bool any = c->ram && relieve(c, c->ram);

	(void)arg;
	any |= c->disk && relieve(c, c->disk);
	{
		SCOPE_LOCK(&c->lock);
		c->evicting = false;
		c->evict_after_ns = any ? 0 : clock_mono(c->clock) + FUTILE_NS;
	}
	if (any)
		room_freed(c);
}

static void start_job(struct cache *c)
{
	{
		SCOPE_LOCK(&c->lock);
		if (c->evicting || c->stopping || clock_mono(c->clock) < c->evict_after_ns)
			return;
		c->evicting = true;
	}
	job_run(c, POOL_BACKGROUND, evict_job, NULL);
}

static bool shares_are_tight(struct cache *c, const struct local *l)
{
	SCOPE_LOCK(&c->lock);
	for (unsigned int i = 0; i < c->n_shares; i++)
		if (share_is_tight(&c->shares[i]->share[l->kind], HIGH))
			return true;
	return false;
}

void evict_ahead(struct cache *c)
{
	struct local *tiers[2] = {c->disk, c->ram};

	for (int i = 0; i < 2; i++)
		if (tiers[i] && (local_is_tight(tiers[i], HIGH, true) ||
				 shares_are_tight(c, tiers[i]) || tenants_are_over(c, tiers[i])))
			start_job(c);
}

struct loose {
	struct loose *next;
	uint64_t id, cost;
};

void room_until_gone(struct cache *c, uint64_t id, uint64_t cost)
{
	struct loose *l = c->disk && cost ? malloc(sizeof(*l)) : NULL;

	if (!l) {
		local_adjust_if(c->disk, -(int64_t)cost);
		return;
	}
	*l = (struct loose){.next = c->loose, .id = id, .cost = cost};
	c->loose = l;
}

void room_settle(struct cache *c)
{
	struct loose **at = &c->loose, *l;
	char name[LOCAL_ID_LEN + 1];

	while ((l = *at)) {
		local_id_name(l->id, name);
		if (!faccessat(c->staging_fd, name, F_OK, AT_SYMLINK_NOFOLLOW)) {
			at = &l->next;
			continue;
		}
		*at = l->next;
		local_adjust(c->disk, -(int64_t)l->cost);
		free(l);
	}
}

void room_forget(struct cache *c)
{
	struct loose *next;

	for (struct loose *l = c->loose; l; l = next) {
		next = l->next;
		free(l);
	}
}

/* Frees one fill that nobody reads, of the share s or of any: 1, or 0 */
static int evict_fill(struct cache *c, const struct share *s)
{
	SCOPE_LOCK(&c->lock);

	list_for_each(it, &c->idle_fills) {
		struct fill *f = list_entry(it, struct fill, idle);

		if (s && f->share != s)
			continue;
		fill_detach(c, f->obj);
		return 1;
	}
	return 0;
}

/* Room in a class's share. */
static int make_room_in(struct cache *c, struct local *l, struct share *s, uint64_t bytes,
			bool object)
{
	uint64_t max = atomic_load(&s->max_size);

	if (max && bytes > max)
		return -ENOSPC;
	while (!share_admit(s, bytes, object))
		if (!evict_one(c, l, s, OBJ_LEFT_SHARE) && !evict_fill(c, s))
			return -ENOSPC;
	return 0;
}

int make_room(struct cache *c, struct local *l, struct share *s, uint64_t bytes, bool object)
{
	uint64_t max = atomic_load(&l->max_size), cost = local_round(bytes);
	int r;

	if (max && bytes > max)
		return -ENOSPC; /* nothing that could go would help */
	r = s ? make_room_in(c, l, s, cost, object) : 0;
	if (r)
		return r;
	while ((r = local_reserve(l, bytes, object)) == -ENOSPC)
		if (!evict_one(c, l, NULL, OBJ_LEFT_TIER) &&
		    (l != body_tier(c) || !evict_fill(c, NULL)))
			break;
	if (r)
		share_add(s, -(int64_t)cost, -object);
	else if (local_is_tight(l, HIGH, false) || (s && share_is_tight(s, HIGH)))
		start_job(c);
	return r;
}

/*
 * --- the scan behind the mount: finds what the tree does not know yet, so that eviction and
 * totals see it ---
 */

/* A file that is no body of ours, at a name where nothing of ours is. */
static void drop_torn(struct cache *c, struct obj *o)
{
	CLEANUP_FREE char *key = NULL;

	SCOPE_LOCK(&c->ns);
	{
		SCOPE_LOCK(&c->lock);
		if (!obj_live(o) && !o->wr && !(o->flags & (OBJ_BUSY | OBJ_ORPHAN)))
			key = obj_key_locked(o);
	}
	if (key)
		local_body_unlink(c->disk, key);
}

static int scan_found(void *arg, const struct local_found *found)
{
	struct cache *c = arg;
	struct obj *o;
	int r;

	if (key_check(found->key, strlen(found->key)))
		return 0;
	{
		SCOPE_LOCK(&c->lock);
		if (c->stopping)
			return -ECANCELED;
		if (found->dir)
			return 0;
		o = tree_make(c, found->key);
		if (!o)
			return -ENOMEM;
	}
	r = body_probe(c, o);
	if (r == -EBADMSG)
		drop_torn(c, o);
	SCOPE_LOCK(&c->lock);
	for (struct obj *dir = o->parent; dir && obj_live(o) && dir->exist == EX_UNKNOWN;
	     dir = dir->parent)
		obj_set_exist(dir, EX_PRESENT);
	obj_put_locked(c, o);
	return 0;
}

/*
 * What the tmpfs of the last worker holds is found again like the disk's, or, where it is no body
 * of the object at that name, swept.
 */
static int scan_found_ram(void *arg, const struct local_found *found)
{
	struct cache *c = arg;
	struct obj *o;
	int r = scan_found(arg, found);

	if (r || found->dir)
		return r;
	SCOPE_LOCK(&c->ns);
	{
		SCOPE_LOCK(&c->lock);
		o = tree_peek(c, found->key);
		if (o && o->flags & OBJ_RES_RAM)
			return 0;
	}
	(void)local_body_unlink(c->ram, found->key);
	return 0;
}

static void scan_ram(struct cache *c)
{
	if (!c->ram_left)
		return;
	(void)local_scan(c->ram, scan_found_ram, c);
	SCOPE_LOCK(&c->lock);
	c->ram_left = false;
	local_adjust(c->ram, -(int64_t)c->ram_left_bytes);
}

static void scan_job(struct cache *c, void *arg)
{
	int r;

	(void)arg;
	scan_ram(c);
	r = c->disk ? local_scan(c->disk, scan_found, c) : 0;
	SCOPE_LOCK(&c->lock);
	c->scanning = false;
	if (r)
		return;
	c->scanned = true;
	if (!c->disk)
		return;
	local_adjust(c->disk, (int64_t)c->scan_found_bytes - (int64_t)c->last.disk_bytes);
	atomic_fetch_add(&c->disk->objects,
			 (int64_t)c->scan_found_objects - (int64_t)c->last.disk_objects);
}

int scan_start(struct cache *c)
{
	if (!c->disk && !c->ram_left)
		return 0;
	{
		SCOPE_LOCK(&c->lock);
		c->scanning = true;
	}
	job_run(c, POOL_BACKGROUND, scan_job, NULL);
	return 0;
}
