/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Room: bytes are admitted before they are used, and what has gone longest unused makes way.
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

#define EVICT_LOOK 4096 /* bodies to look at for one that may go */

/* The body in RAM is all that there is of it. */
static bool is_volatile(struct cache *c, const struct obj *o, const struct local *l)
{
	return l == c->ram && o->flags & OBJ_ALONE && !(o->flags & OBJ_RES_DISK);
}

static bool evictable(struct cache *c, struct obj *o, const struct local *l)
{
	if (l == c->ram && o->flags & OBJ_RES_DISK) /* only a copy of what is on the disk */
		return !body_is_open(o, l) && !(o->flags & OBJ_BUSY);
	if (is_volatile(c, o, l))
		return list_empty(&o->files) && !o->wr && !(o->flags & OBJ_BUSY) &&
		       !obj_pinned(c, o);
	return has_store(c) && o->exist == EX_PRESENT && list_empty(&o->files) && !o->wr &&
	       !(o->flags & OBJ_BUSY) && !obj_pinned(c, o);
}

/*
 * The longest unused body that may go, referenced; those that may not are moved out of the way.
 * Lock held.
 */
static struct obj *pick(struct cache *c, struct local *l)
{
	struct list *lru = l == c->disk ? &c->lru_disk : &c->lru_ram;

	for (int i = 0; i < EVICT_LOOK && !list_empty(lru); i++) {
		struct list *first = lru->next;
		struct obj *o = l == c->disk ? list_entry(first, struct obj, disk.lru)
					     : list_entry(first, struct obj, ram.lru);

		if (evictable(c, o, l)) {
			obj_get(o);
			return o;
		}
		list_del(first);
		list_add_tail(lru, first);
	}
	return NULL;
}

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

/* Takes the reference. ns held */
static void evict(struct cache *c, struct obj *o, struct local *l)
{
	CLEANUP_FREE char *key = NULL;
	bool may, all;

	{
		SCOPE_LOCK(&c->lock);
		may = has_body(c, o, l) && evictable(c, o, l);
		key = may ? obj_key_locked(o) : NULL;
		all = is_volatile(c, o, l);
		if (may)
			class_count(c, o, CLASS_EVICTIONS);
		if (key && !all)
			body_gone(c, o, l);
	}
	if (key && all)
		evict_name(c, o, key);
	else if (key)
		local_body_unlink(l, key);
	count_add(c->counters, COUNTER_evictions, may);
	obj_unref(c, o);
}

static bool evict_one(struct cache *c, struct local *l)
{
	struct obj *o, *sidecar;

	SCOPE_LOCK(&c->ns);
	{
		SCOPE_LOCK(&c->lock);
		o = pick(c, l);
		if (!o)
			return false;
		sidecar = sidecar_peek(c, o);
		if (sidecar)
			obj_get(sidecar);
	}
	evict(c, o, l);
	if (sidecar)
		evict(c, sidecar, l);
	return true;
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

/* Frees one fill that nobody reads: 1, or 0 */
static int evict_fill(struct cache *c)
{
	SCOPE_LOCK(&c->lock);

	if (list_empty(&c->idle_fills))
		return 0;
	fill_detach(c, list_entry(c->idle_fills.next, struct fill, idle)->obj);
	return 1;
}

int make_room(struct cache *c, struct local *l, uint64_t bytes, bool object)
{
	uint64_t max = atomic_load(&l->max_size);
	int r;

	if (max && bytes > max)
		return -ENOSPC; /* nothing that could go would help */
	while ((r = local_reserve(l, bytes, object)) == -ENOSPC) {
		if (!evict_one(c, l) && (l != body_tier(c) || !evict_fill(c)))
			return -ENOSPC;
	}
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
