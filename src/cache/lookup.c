/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does a name exist, and what is it now? Answered from memory while that is fresh, then from the
 * local mirror, then by the store: one request for a single name (ask.c), a listing once several
 * names of one directory are asked for.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cache/internal.h"
#include "cache/where.h"

#define RETRY_AFTER_NS (5 * NSEC_PER_SEC)
#define LIST_AFTER_MISSES 2 /* names of one directory before its listing is fetched instead */

bool has_store(const struct cache *c)
{
	return c->store;
}

/*
 * What waits in the journal stands behind EX_DELETED; once it is through, the store is asked again.
 * Lock held
 */
static bool still_deleted(struct cache *c, struct obj *o)
{
	CLEANUP_FREE char *key = obj_key_locked(o);

	if (!key || name_pending(c, key))
		return true;
	obj_set_exist(o, EX_ABSENT);
	o->checked_ns = 0;
	return false;
}

bool obj_servable(const struct obj *o)
{
	return o->exist == EX_PRESENT &&
	       (o->flags & (OBJ_RES_DISK | OBJ_RES_RAM) || S_ISDIR(o->mode));
}

int obj_flight_wait(struct cache *c, struct obj *o, struct cache_wait *w, int64_t ms)
{
	if (!o->flight) {
		o->flight = calloc(1, sizeof(*o->flight));
		if (!o->flight)
			return -ENOMEM;
		flight_init(o->flight);
	}
	return wait_on(c, &o->flight->waits, w, ms);
}

void obj_flight_end(struct cache *c, struct obj *o, struct list *out)
{
	if (!o->flight)
		return;
	wake_collect(c, &o->flight->waits, out);
	free(o->flight);
	o->flight = NULL;
}

void obj_emit(struct cache *c, enum cache_event ev, struct obj *o)
{
	struct obj *dir;
	CLEANUP_FREE char *name = NULL;

	if (!c->events.changed)
		return;
	{
		SCOPE_LOCK(&c->lock);
		dir = o->parent;
		if (dir)
			obj_get(dir);
		name = strdup(o->name);
	}
	if (name)
		c->events.changed(c->events.arg, ev, o, dir, name);
	if (dir)
		obj_unref(c, dir);
}

/* --- what a store says --- */

/* How long a directory that was emptied here stays, if nothing in the store implies it. */
#define EMPTIED_NS (5 * NSEC_PER_SEC)

void dir_lost_name(struct cache *c, struct obj *dir)
{
	if (!dir->dir->n_live)
		dir->dir->emptied_ns = clock_mono(c->clock);
}

/* Something of ours lies below, or did a moment ago. Lock held */
static bool dir_in_use(struct cache *c, const struct obj *o)
{
	return o->dir &&
	       (o->dir->n_live ||
		(o->dir->emptied_ns && clock_mono(c->clock) - o->dir->emptied_ns < EMPTIED_NS));
}

static int store_says_absent(struct cache *c, struct obj *o, unsigned int *ret_todo)
{
	bool was = obj_live(o);

	if (dir_in_use(c, o))
		return 0;
	obj_set_exist(o, EX_ABSENT);
	o->flags &= ~OBJ_OWN_DIR;
	if (o->fill)
		fill_detach(c, o);
	if (!was)
		return 0;
	*ret_todo = body_retire(c, o);
	o->epoch++;
	return CACHE_EV_NAME + 1;
}

static int store_says_dir(struct cache *c, struct obj *o, const struct record *rec,
			  unsigned int *ret_todo)
{
	bool was_file = obj_live(o) && !obj_is_dir(o);

	if (o->fill)
		fill_detach(c, o);
	if (was_file) {
		*ret_todo = body_retire(c, o);
		o->epoch++;
	}
	if (obj_become_dir(c, o))
		return 0;
	if (rec->known & REC_MODE)
		o->flags |= OBJ_OWN_DIR;
	obj_set_record(o, rec);
	obj_set_exist(o, EX_PRESENT);
	return was_file ? CACHE_EV_NAME + 1 : 0;
}

/* What stat(2) shows of a file. */
struct shown {
	uint64_t size;
	int64_t mtime_ns;
	mode_t mode;
	uid_t uid;
	gid_t gid;
};

static struct shown shown_of(const struct obj *o)
{
	return (struct shown){o->size, o->mtime_ns, o->mode, o->uid, o->gid};
}

static bool shows(const struct obj *o, const struct shown *s)
{
	return o->size == s->size && o->mtime_ns == s->mtime_ns && o->mode == s->mode &&
	       o->uid == s->uid && o->gid == s->gid;
}

int obj_store_says(struct cache *c, struct obj *o, const struct record *rec, int64_t asked_ns,
		   unsigned int *ret_todo)
{
	struct shown before;
	bool same, was;

	*ret_todo = 0;
	if (o->exist == EX_LOCAL || o->exist == EX_DELETED || o->wr ||
	    o->flags & (OBJ_ORPHAN | OBJ_BUSY))
		return 0;
	/* What was asked before a drain ended may be answered after it: the drain knows better. */
	if (o->checked_ns > asked_ns)
		return 0;
	o->checked_ns = clock_mono(c->clock);
	if (!rec)
		return store_says_absent(c, o, ret_todo);
	if (S_ISDIR(rec->mode))
		return store_says_dir(c, o, rec, ret_todo);
	if (o->dir && o->dir->n_live)
		return 0; /* a name that is both: the directory is shown */
	was = obj_live(o);
	/*
	 * A symlink's size is its target's length here, and a store says what it likes; of what may
	 * be packed a listing does not tell the size.
	 */
	same = was && (o->size == rec->size || S_ISLNK(o->mode) || !(rec->known & REC_SIZE)) &&
	       (!(rec->known & REC_ETAG) || (o->etag && !strcmp(o->etag, rec->etag)));
	if (was && !same) {
		*ret_todo = body_retire(c, o);
		if (o->fill)
			fill_detach(c, o);
		o->epoch++;
		o->known = 0;
	}
	before = shown_of(o);
	if (!(o->known & REC_MODE))
		obj_default_attr(c, o, S_IFREG);
	obj_set_record(o, rec);
	obj_set_exist(o, EX_PRESENT);
	if (!was || (same && shows(o, &before)))
		return 0;
	return same ? CACHE_EV_ATTR + 1 : CACHE_EV_CONTENT + 1;
}

/* The store has no such directory, and so nothing below it either. Lock not held */
static bool gone_with_all(struct cache *c, struct obj *o, const struct record *rec,
			  int64_t asked_ns)
{
	SCOPE_LOCK(&c->lock);
	return !rec && obj_is_dir(o) && o->dir && o->exist == EX_PRESENT &&
	       o->checked_ns <= asked_ns;
}

/* Applies a store's word with both locks, removes what it retires, tells the kernel. */
void obj_word(struct cache *c, struct obj *o, const struct record *rec, int64_t asked_ns)
{
	bool dir = gone_with_all(c, o, rec, asked_ns);
	CLEANUP_FREE char *key = NULL;
	unsigned int todo;
	int ev;

	if (dir)
		children_gone(c, o, false, asked_ns);
	{
		SCOPE_LOCK(&c->ns);
		{
			SCOPE_LOCK(&c->lock);
			key = obj_key_locked(o);
			ev = obj_store_says(c, o, rec, asked_ns, &todo);
		}
		if (todo && key)
			body_remove(c, o, key, todo);
		if (dir && ev && key)
			mirror_rmdir(c, key);
	}
	if (ev)
		obj_emit(c, ev - 1, o);
}

/* --- freshness --- */

/* Whoever waited for an answer may use it, even with a ttl of 0. */
#define TTL_MIN_NS (100 * NSEC_PER_MSEC)

static bool fresh(struct cache *c, int64_t at, int64_t ttl)
{
	ttl = ttl > TTL_MIN_NS ? ttl : TTL_MIN_NS;
	return at && clock_mono(c->clock) - at < ttl;
}

/* True where what is in memory answers. Lock held */
static bool known_now(struct cache *c, struct obj *o, bool full)
{
	struct dirinfo *pdir = o->parent ? o->parent->dir : NULL;

	if (!o->parent || o->wr || o->exist == EX_LOCAL ||
	    (o->exist == EX_DELETED && still_deleted(c, o)))
		return true;
	if (!has_store(c)) {
		if (o->exist == EX_UNKNOWN && o->flags & OBJ_PROBED)
			obj_set_exist(o, EX_ABSENT);
		return o->exist != EX_UNKNOWN;
	}
	if ((o->exist == EX_UNKNOWN || o->exist == EX_ABSENT) && obj_is_unstored(c, o)) {
		obj_set_exist(o, EX_ABSENT);
		return true;
	}
	if (o->exist == EX_UNKNOWN && pdir &&
	    (fresh(c, pdir->listed_ns, ttl_ns(c)) || o->parent->flags & OBJ_NEW_DIR)) {
		obj_set_exist(o, EX_ABSENT);
		o->checked_ns = clock_mono(c->clock);
	}
	if (o->exist == EX_PRESENT && fresh(c, o->checked_ns, ttl_ns(c)))
		return !full || S_ISDIR(o->mode) || obj_told_whole(o);
	/* Its own listing speaks for a directory, unless that found nothing at all. */
	if (o->exist == EX_PRESENT && S_ISDIR(o->mode) && o->dir &&
	    fresh(c, o->dir->listed_ns, ttl_ns(c)) && (o->flags & OBJ_OWN_DIR || dir_in_use(c, o)))
		return true;
	if (o->exist == EX_ABSENT &&
	    fresh(c, o->checked_ns, c->config->mount.negative_ttl_ms * NSEC_PER_MSEC))
		return true;
	if (absent_as_listed(c, o))
		return true;
	return obj_servable(o) && (fresh(c, o->tried_ns, RETRY_AFTER_NS) || c->stopping ||
				   breaker_state_get(c->breaker) == BREAKER_OPEN);
}

/*
 * Several unknown names of one directory: its listing answers them all. Lock held; true: wait for
 * that
 */
static bool ask_listing(struct cache *c, struct obj *o)
{
	struct dirinfo *d = o->parent->dir;

	if (o->exist != EX_UNKNOWN || d->big || tier_can(c->store, TIER_CAP_LOCAL) ||
	    c->unanswered_ns) /* a small question tells sooner whether it is back */
		return false;
	if (d->flight.running)
		return true;
	if (fresh(c, d->listed_ns, ttl_ns(c)) || ++d->misses < LIST_AFTER_MISSES)
		return false;
	return list_start(c, o->parent) == 0;
}

int obj_refresh(struct cache *c, struct obj *o, bool full, struct cache_wait *w)
{
	if (o->flags & OBJ_ORPHAN)
		return 0;
	if (o->flags & OBJ_BUSY)
		return obj_flight_wait(c, o, w, c->config->deadlines.open_ms);
	if (o->exist == EX_UNKNOWN && o->parent && !(o->flags & OBJ_PROBED)) {
		pthread_mutex_unlock(&c->lock);
		(void)body_probe(c, o);
		pthread_mutex_lock(&c->lock);
	}
	if (known_now(c, o, full))
		return 0;
	if (ask_listing(c, o))
		return wait_on(c, &o->parent->dir->flight.waits, w, c->config->deadlines.lookup_ms);
	return ask_wait(c, o, w);
}

/* --- the driver's calls --- */

static bool own_name(struct cache *c, struct obj *dir, const char *name)
{
	return dir == c->root && !strcmp(name, CONTROL_DIR);
}

int child_get(struct cache *c, struct obj *dir, const char *name, struct cache_wait *w,
	      struct obj **ret)
{
	struct obj *o;
	int r;

	if (own_name(c, dir, name))
		return -ENOENT;
	if (strlen(name) > KEY_PART_MAX)
		return -ENAMETOOLONG;
	if (!obj_is_dir(dir))
		return -ENOTDIR;
	if (dir->flags & OBJ_ORPHAN)
		return -ENOENT;
	o = tree_get(c, dir, name);
	if (!o)
		return -ENOMEM;
	r = obj_refresh(c, o, false, w);
	if (!r && obj_live(o) && obj_expired(c, o))
		r = -ENOENT;
	if (!r && !obj_live(o))
		r = -ENOENT;
	if (r) {
		obj_put_locked(c, o);
		return r;
	}
	*ret = o;
	return 0;
}

bool obj_is_vague(const struct obj *o)
{
	bool no_size = !(o->known & REC_SIZE); /* the listing knows that it may be packed */

	return !obj_is_dir(o) && !obj_told_whole(o) && !o->wr &&
	       (no_size || o->size == TIER_SYMLINK_SIZE);
}

int cache_lookup(struct cache *c, struct obj *dir, const char *name, struct cache_wait *w,
		 struct obj **ret_obj, struct cache_attr *ret_attr, int64_t *ret_neg_ns)
{
	SCOPE_LOCK(&c->lock);
	int r = child_get(c, dir, name, w, ret_obj);

	*ret_neg_ns = has_store(c) ? c->config->mount.negative_ttl_ms * NSEC_PER_MSEC : ttl_ns(c);
	if (r == -ENOENT && store_is_away(c))
		*ret_neg_ns = 0;
	if (r == -ENOENT) {
		class_count_name(c, dir, name, CLASS_MISSES);
		count_one(c->counters, COUNTER_misses);
		tenant_count(dir, TENANT_MISSES);
	}
	if (!r && obj_is_vague(*ret_obj)) {
		r = obj_refresh(c, *ret_obj, true, w);
		if (r)
			obj_put_locked(c, *ret_obj);
	}
	if (r)
		return r;
	attr_fill(c, *ret_obj, ret_attr);
	return 0;
}

int cache_resolve(struct cache *c, const char *key, struct cache_wait *w, struct obj **ret_obj)
{
	SCOPE_LOCK(&c->lock);
	struct obj *o = c->root;
	char name[KEY_PART_MAX + 1];

	obj_get(o);
	while (*key) {
		size_t n = strcspn(key, "/");
		struct obj *next;
		int r;

		snprintf(name, sizeof(name), "%.*s", (int)n, key);
		key += n + (key[n] == '/');
		r = child_get(c, o, name, w, &next);
		obj_put_locked(c, o);
		if (r)
			return r;
		o = next;
	}
	*ret_obj = o;
	return 0;
}
