/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The background round, once a second: objects at the end of their life go, mappings that
 * outlived their handles are looked after, the state of the cache directory is checkpointed.
 *
 * The wall clock decides expiry. When it steps by more than a minute against the monotonic clock,
 * expiry pauses until it has stayed in step for ten minutes.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cache/internal.h"
#include "cache/session.h"
#include "cache/sidecar.h"

#define TICK_NS NSEC_PER_SEC
#define SLICES 8 /* ticks for one look at every object */
#define SLICE_MIN 4096
#define CHECKPOINT_NS (60 * NSEC_PER_SEC)
#define STEP_NS (60 * NSEC_PER_SEC)
#define SETTLE_NS (600 * NSEC_PER_SEC)
#define UNSURE_DELETE_S 600 /* without conditional deletes: only what has been over for long */
#define BATCH 256

struct round {
	struct cache *c;
	size_t at;	/* slot of the table */
	int64_t offset; /* wall - monotonic, as last seen in step */
	int64_t paused_until, checkpoint_at;
	struct obj *found[BATCH];
	size_t n;
};

static void count_expired(struct cache *c, struct obj *o)
{
	SCOPE_LOCK(&c->lock);
	class_count(c, o, CLASS_EXPIRATIONS);
	count_one(c->counters, COUNTER_expirations);
}

void obj_expire(struct cache *c, struct obj *o)
{
	CLEANUP_FREE char *key = NULL;
	bool sure;

	SCOPE_LOCK(&c->ns);
	{
		SCOPE_LOCK(&c->lock);
		if (o->flags & (OBJ_ORPHAN | OBJ_BUSY) || o->wr || !obj_live(o) ||
		    !obj_expired(c, o))
			return;
		key = obj_key_locked(o);
		(void)obj_slot(c, o); /* while it has a name */
		sure = !has_store(c) || tier_can(c->store, TIER_CAP_COND_DELETE) ||
		       o->exist == EX_LOCAL ||
		       clock_wall(c->clock) / NSEC_PER_SEC > o->expires_at + UNSURE_DELETE_S;
	}
	if (!key)
		return;
	if (!sure) {
		body_drop(c, o); /* hidden already: the store's copy goes later */
		SCOPE_LOCK(&c->lock);
		tenant_settle(o);
	} else if (!name_drop(c, o, key, true)) {
		count_expired(c, o);
	}
}

static bool is_over(int64_t ttl_s, uint32_t since_s, int64_t now_s)
{
	return ttl_s != CONF_NEVER && now_s - since_s >= ttl_s;
}

/* Its time in a tier is over, or its class has no place for it there (any more). */
static bool copy_over(const struct tier_policy *p, const struct obj *o, uint32_t since_s,
		      int64_t now_s)
{
	return !policy_fits(p, o->size) || is_over(p->ttl_s, since_s, now_s);
}

/* Lock held */
static unsigned int copies_due(struct cache *c, struct obj *o)
{
	const struct tier_policy *disk = obj_policy(c, o, c->disk_tier),
				 *ram = obj_policy(c, o, c->ram_tier);
	int64_t now = clock_wall(c->clock) / NSEC_PER_SEC;
	bool on_disk = o->flags & OBJ_RES_DISK && copy_over(disk, o, o->filled_s, now);
	bool in_ram = o->flags & OBJ_RES_RAM &&
		      (copy_over(ram, o, o->ram_s, now) ||
		       (disk->in && is_over(disk->ttl_s, o->filled_s, now)));

	return (on_disk ? RETIRED_DISK : 0) | (in_ram ? RETIRED_RAM : 0);
}

unsigned int copies_over(struct cache *c, struct obj *o)
{
	unsigned int due;

	if (!c->copies_end || !(o->flags & (OBJ_RES_RAM | OBJ_RES_DISK)) || !S_ISREG(o->mode) ||
	    o->wr || !list_empty(&o->files) || o->flags & (OBJ_BUSY | OBJ_ORPHAN))
		return 0;
	due = copies_due(c, o);
	if (!due || obj_pinned(c, o))
		return 0;
	if ((due & RETIRED_DISK || !(o->flags & OBJ_RES_DISK)) &&
	    (o->exist != EX_PRESENT || !has_store(c) ||
	     breaker_state_get(c->breaker) == BREAKER_OPEN))
		return 0;
	return due;
}

static unsigned int drop_copies(struct cache *c, struct obj *o)
{
	CLEANUP_FREE char *key = NULL;
	unsigned int over;

	SCOPE_LOCK(&c->ns);
	{
		SCOPE_LOCK(&c->lock);
		over = copies_over(c, o);
		key = over ? obj_key_locked(o) : NULL;
		if (!key)
			return 0;
		if (over & RETIRED_DISK)
			body_gone(c, o, c->disk);
		if (over & RETIRED_RAM)
			body_gone(c, o, c->ram);
	}
	body_remove(c, o, key, over);
	return over;
}

void copies_expire(struct cache *c, struct obj *o)
{
	unsigned int over = drop_copies(c, o);

	if (!over)
		return;
	count_add(c->counters, COUNTER_copy_expirations, __builtin_popcount(over));
	room_freed(c);
}

/* Collects what is due in a slice of the table. Lock held */
static void look_at_slice(struct round *r)
{
	struct cache *c = r->c;
	size_t n = c->table_size / SLICES > SLICE_MIN ? c->table_size / SLICES : SLICE_MIN;

	for (; n && r->n < BATCH && c->table_size; n--) {
		if (r->at >= c->table_size)
			r->at = 0;
		for (struct obj *o = c->table[r->at]; o && r->n < BATCH; o = o->hash_next) {
			bool due = obj_live(o) && !obj_is_dir(o) && obj_expired(c, o) && !o->wr;

			if (o->flags & (OBJ_RES_DISK | OBJ_RES_RAM))
				bodies_follow(c, o); /* after a reload they are another class's */
			if (!due && !(o->wr && o->wr->mapped) && !copies_over(c, o) &&
			    !(o->flags & OBJ_ALONE && obj_is_misplaced(c, o)))
				continue;
			obj_get(o);
			r->found[r->n++] = o;
		}
		r->at++;
	}
}

/*
 * A mapping of the body is gone when a lease can be had on it, which nobody may have open for
 * writing: the session's own descriptor steps aside meanwhile. Lock held
 */
static bool still_mapped(struct cache *c, struct wsession *wr)
{
	CLEANUP_CLOSE int fd = -1;
	bool mapped = true;

	if (wr->writers > 1)
		return true; /* they tell when they are done */
	fd = local_open_id(c->staging_fd, wr->id, O_RDONLY);
	if (fd < 0 || dup3(fd, wr->fd, O_CLOEXEC) < 0)
		return true;
	if (!fcntl(fd, F_SETLEASE, F_RDLCK)) {
		(void)fcntl(fd, F_SETLEASE, F_UNLCK);
		mapped = false;
	}
	close(fd);
	fd = local_open_id(c->staging_fd, wr->id, O_RDWR);
	if (fd >= 0)
		(void)dup3(fd, wr->fd, O_CLOEXEC);
	return mapped;
}

void watch_mapping(struct cache *c, struct obj *o)
{
	{
		SCOPE_LOCK(&c->lock);
		if (!o->wr || !o->wr->mapped ||
		    (!(o->flags & OBJ_ORPHAN) && still_mapped(c, o->wr)))
			return;
		o->wr->mapped = false;
		o->wr->changed = o->wr->dirtied = true;
	}
	session_unhash(o->wr);
	session_end(c, o);
	obj_unref(c, o); /* the mapping's */
}

static bool clock_in_step(struct round *r)
{
	int64_t mono = clock_mono(r->c->clock), offset = clock_wall(r->c->clock) - mono;
	int64_t step = offset - r->offset;

	if (step > STEP_NS || step < -STEP_NS) {
		r->paused_until = mono + SETTLE_NS;
		cache_note_error(r->c, "", -ETIME,
				 "the clock was set by more than a minute: expiry pauses");
	}
	r->offset = offset;
	return mono >= r->paused_until;
}

int cache_checkpoint(struct cache *c, bool clean)
{
	struct cachedir_state st = {
		.clean = clean, .same_boot = true, .synced_ns = c->last.synced_ns};

	if (clean) {
		int64_t now = clock_wall(c->clock);

		if (!syncfs(c->dir.fd) && (!c->disk || !syncfs(c->disk->root_fd)))
			st.synced_ns = now;
	}
	SCOPE_LOCK(&c->lock);
	st.next_id = c->dir.next_id;
	if (c->disk) {
		st.disk_bytes = atomic_load(&c->disk->used) > 0 ? atomic_load(&c->disk->used) : 0;
		st.disk_objects = atomic_load(&c->disk->objects) > 0
					  ? atomic_load(&c->disk->objects)
					  : 0;
	}
	if (c->scanning) {
		st.disk_bytes = c->last.disk_bytes;
		st.disk_objects = c->last.disk_objects;
	}
	return cachedir_checkpoint(&c->dir, &st, clean);
}

static void tick(struct round *r)
{
	struct cache *c = r->c;
	int64_t now = clock_mono(c->clock);
	bool in_step = clock_in_step(r);

	r->n = 0;
	{
		SCOPE_LOCK(&c->lock);
		look_at_slice(r);
	}
	for (size_t i = 0; i < r->n; i++) {
		watch_mapping(c, r->found[i]);
		obj_rehome(c, r->found[i]);
		if (in_step) {
			sidecar_follow(c, r->found[i]);
			obj_expire(c, r->found[i]);
			copies_expire(c, r->found[i]);
		}
		obj_unref(c, r->found[i]);
	}
	evict_ahead(c);
	if (now >= r->checkpoint_at) {
		(void)cache_checkpoint(c, false);
		r->checkpoint_at = now + CHECKPOINT_NS;
	}
}

static void *round_main(void *arg)
{
	struct cache *c = arg;
	struct round r = {.c = c};

	r.offset = clock_wall(c->clock) - clock_mono(c->clock);
	r.checkpoint_at = clock_mono(c->clock) + CHECKPOINT_NS;
	pthread_mutex_lock(&c->lock);
	while (c->round_running) {
		struct timespec ts;
		int64_t at = clock_mono(&clock_system) + TICK_NS; /* as conditions wait */

		ts.tv_sec = at / NSEC_PER_SEC;
		ts.tv_nsec = at % NSEC_PER_SEC;
		if (pthread_cond_timedwait(&c->round_cond, &c->lock, &ts) != ETIMEDOUT)
			continue;
		pthread_mutex_unlock(&c->lock);
		tick(&r);
		pthread_mutex_lock(&c->lock);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

int round_start(struct cache *c)
{
	int r;

	c->round_running = true;
	r = -pthread_create(&c->round_thread, NULL, round_main, c);
	if (r)
		c->round_running = false;
	return r;
}

void round_stop(struct cache *c)
{
	{
		SCOPE_LOCK(&c->lock);
		if (!c->round_running)
			return;
		c->round_running = false;
		pthread_cond_signal(&c->round_cond);
	}
	pthread_join(c->round_thread, NULL);
}
