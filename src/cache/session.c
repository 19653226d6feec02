/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Write sessions: from the first writable open of an object to the last close.
 *
 * Whatever is written lives in staging/<id>, and in nothing else that anyone relies on:
 *
 *	begins with	what happens
 *	nothing, or a truncation while nobody has it open       a new staging file; an old body
 *	stays until the publish
 *	a clean body that has no other name                     it is renamed to staging/<id>:
 *	readers go on seeing the same inode
 *	a body whose put is not drained                         the journal gets a copy; the inode
 *	goes on as staging/<id>
 *	a body that a local store shares or may come to share   a copy; but where somebody reads
 *	it, the store (or the journal) gets the copy, and the inode goes on as staging/<id>
 *	one in RAM                                              a copy; whoever reads the old one
 *	keeps it
 *
 * A crash before the first flush leaves a staging file that no journal entry names: it is
 * dropped, and the store has the object as it was. Where there is no store, the journal names it
 * before it is moved.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cache/internal.h"
#include "cache/session.h"
#include "util/fsutil.h"

#define COPY_INLINE (1u << 20) /* a longer copy is made by a worker */

static int64_t ts_ns(const struct timespec *ts)
{
	return ts->tv_sec * NSEC_PER_SEC + ts->tv_nsec;
}

void session_look(struct wsession *wr)
{
	struct stat st;

	if (fstat(wr->fd, &st))
		return;
	wr->look_size = st.st_size;
	wr->look_mtime_ns = ts_ns(&st.st_mtim);
	wr->look_ctime_ns = ts_ns(&st.st_ctim);
}

struct wsession *session_new(struct cache *c, struct obj *o, uint64_t id, int fd, bool fresh)
{
	struct wsession *wr = calloc(1, sizeof(*wr));

	if (!wr)
		return NULL;
	pthread_mutex_init(&wr->hash_lock, NULL);
	wr->id = id;
	wr->fd = fd;
	wr->hash = fresh ? xxh3_stream_new() : NULL;
	if (fresh)
		o->flags &= ~OBJ_CORRUPT; /* nothing of it is left */
	session_look(wr);
	o->wr = wr;
	wr->size_max = obj_size_max(c, o);
	wr->share = c->disk ? share_of(c, o, c->disk) : NULL;
	return wr;
}

void session_free(struct cache *c, struct obj *o)
{
	struct wsession *wr = o->wr;

	(void)c;
	o->wr = NULL;
	tenant_settle(o);
	close(wr->fd);
	xxh3_stream_free(wr->hash);
	pthread_mutex_destroy(&wr->hash_lock);
	free(wr);
}

void session_settle(struct cache *c, struct wsession *wr)
{
	uint64_t now = local_cost(wr->fd) + wr->pending;

	local_adjust_if(c->disk, (int64_t)now - (int64_t)wr->reserved);
	wr->reserved = now;
	session_share(wr);
}

void session_share(struct wsession *wr)
{
	uint64_t now = wr->reserved + wr->old_cost;

	share_add(wr->share, (int64_t)now - (int64_t)wr->shared, wr->counted - wr->share_counted);
	wr->shared = now;
	wr->share_counted = wr->counted;
}

void session_unhash(struct wsession *wr)
{
	SCOPE_LOCK(&wr->hash_lock);
	xxh3_stream_free(wr->hash);
	wr->hash = NULL;
}

void session_dirty(struct cache *c, struct obj *o)
{
	(void)c;
	o->wr->changed = o->wr->dirtied = true;
}

struct jbase obj_base(const struct obj *o)
{
	struct jbase base = {.cond = TIER_ANY};

	if (!obj_live(o) || (o->exist == EX_LOCAL && !o->etag))
		base.cond = TIER_IF_ABSENT;
	else if (o->etag)
		base.cond = TIER_IF_MATCH;
	if (o->etag && base.cond == TIER_IF_MATCH)
		snprintf(base.etag, sizeof(base.etag), "%s", o->etag);
	return base;
}

/*
 * The session is theirs for whom it was made, before they look again: else it would be over by
 * then. Returns how many they are. Lock held
 */
static unsigned int hand_over(struct obj *o)
{
	unsigned int n = 0;

	if (!o->flight)
		return 0;
	list_for_each(it, &o->flight->waits) {
		struct cache_wait *w = list_entry(it, struct cache_wait, on_flight);

		if (w->begins != o)
			continue;
		w->begun = true;
		obj_get(o);
		o->wr->writers++;
		n++;
	}
	return n;
}

static void begin_job(struct cache *c, void *arg)
{
	struct obj *o = arg;
	struct list out;
	bool unused = false;
	int r = session_make(c, o, false);

	list_init(&out);
	{
		SCOPE_LOCK(&c->lock);
		o->flags &= ~OBJ_BUSY;
		if (o->wr && !hand_over(o)) { /* who asked for it has given up */
			unused = true;
			o->wr->writers++;
		}
		obj_flight_end(c, o, &out);
	}
	wake_all(&out, r == -EAGAIN ? 0 : r);
	if (unused)
		session_end(c, o);
	obj_unref(c, o);
}

/* All of a cold object must be here before its bytes can change. Lock held */
static int begin_cold(struct cache *c, struct obj *o, struct cache_wait *w)
{
	int r = -ENOMEM;
	struct fill *f;

	if (!has_store(c))
		return -EIO;
	w->cold = true;
	f = fill_get(c, o, &r);
	if (!f)
		return r;
	fill_decline(c, f, false);
	r = fill_want(c, f, 0, o->size, 0);
	if (r < 0)
		return r;
	return wait_on(c, &f->waits, w, c->config->deadlines.open_ms);
}

bool body_is_read(const struct obj *o)
{
	list_for_each(it, &o->files) {
		const struct cfile *f = list_entry(it, struct cfile, on_obj);

		if (f->slot->kind == CFILE_BODY && f->slot->tier == LOCAL_DISK)
			return true;
	}
	return false;
}

/* Whether it may take longer than a request may. Lock held */
static bool needs_copy(struct cache *c, struct obj *o)
{
	if (has_store(c) && tier_can(c->store, TIER_CAP_SHARE) && body_is_read(o))
		return true; /* the store may get a file of its own, on the platter */
	return o->size > COPY_INLINE && (!has_store(c) || tier_can(c->store, TIER_CAP_SHARE) ||
					 o->exist == EX_LOCAL || !(o->flags & OBJ_RES_DISK));
}

static int join(struct cache *c, struct obj *o, int flags)
{
	struct wsession *wr = o->wr;

	if (flags & O_TRUNC && wr->size) {
		if (ftruncate(wr->fd, 0))
			return -errno;
		session_unhash(wr);
		wr->size = wr->claimed = 0;
		session_settle(c, wr);
		session_dirty(c, o);
		tenant_settle(o);
	}
	wr->writers++;
	return 0;
}

/* As join(), of who is counted already. Lock held */
static int join_begun(struct cache *c, struct obj *o, int flags, struct cache_wait *w)
{
	int r = join(c, o, flags);

	if (r)
		return r;
	o->wr->writers--;
	w->begun = false;
	w->begins = NULL;
	obj_put_locked(c, o);
	return 0;
}

void session_unclaim(struct cache *c, struct cache_wait *w)
{
	struct obj *o = w->begins;

	if (!w->begun)
		return;
	w->begun = false;
	w->begins = NULL;
	pthread_mutex_unlock(&c->lock);
	session_end(c, o);
	pthread_mutex_lock(&c->lock);
	obj_put_locked(c, o);
}

/* Whether o's bytes are here, so that they can be changed. Lock held */
static bool bytes_here(struct cache *c, struct obj *o)
{
	CLEANUP_FREE char *key = NULL;

	if (o->flags & (OBJ_RES_DISK | OBJ_RES_RAM))
		return true;
	key = o->exist == EX_LOCAL ? obj_key_locked(o) : NULL;
	return key && journal_bytes(c->journal, key, NULL);
}

/* Lock held, dropped in between */
static int begin_here(struct cache *c, struct obj *o, int flags, bool fresh)
{
	struct list out;
	int r;

	list_init(&out);
	o->flags |= OBJ_BUSY;
	pthread_mutex_unlock(&c->lock);
	r = session_make(c, o, fresh);
	pthread_mutex_lock(&c->lock);
	o->flags &= ~OBJ_BUSY;
	if (!r)
		r = join(c, o, flags);
	obj_flight_end(c, o, &out);
	if (!list_empty(&out)) {
		pthread_mutex_unlock(&c->lock);
		wake_all(&out, 0);
		pthread_mutex_lock(&c->lock);
	}
	return r;
}

static int begin_in_job(struct cache *c, struct obj *o, struct cache_wait *w)
{
	int r = obj_flight_wait(c, o, w, c->config->deadlines.open_ms);

	if (r != CACHE_PENDING)
		return r;
	w->begins = o;
	o->flags |= OBJ_BUSY;
	obj_get(o);
	job_run(c, POOL_FOREGROUND, begin_job, o);
	return r;
}

static int begin_once(struct cache *c, struct obj *o, int flags, struct cache_wait *w)
{
	bool fresh;

	moves_await(c);
	if (w->begun && w->begins == o)
		return join_begun(c, o, flags, w);
	fresh = !obj_live(o) || (flags & O_TRUNC && list_empty(&o->files));
	if (o->flags & OBJ_ORPHAN && !o->wr)
		return -ESTALE;
	if (o->flags & OBJ_BUSY)
		return obj_flight_wait(c, o, w, c->config->deadlines.open_ms);
	if (o->wr)
		return join(c, o, flags);
	if (!obj_live(o) && !(flags & O_CREAT))
		return -ENOENT; /* gone while the lock was dropped */
	if (!fresh && !bytes_here(c, o))
		return begin_cold(c, o, w);
	if (!fresh && needs_copy(c, o))
		return begin_in_job(c, o, w);
	return begin_here(c, o, flags, fresh);
}

int session_begin(struct cache *c, struct obj *o, int flags, struct cache_wait *w)
{
	int r = -EAGAIN;

	if (w->begins != o) /* the name means another object by now */
		session_unclaim(c, w);
	for (int tries = 0; r == -EAGAIN && tries < 8; tries++) {
		bool coming = room_coming(c);

		r = begin_once(c, o, flags, w); /* EAGAIN: something came between, look again */
		if (r == -ENOSPC)
			r = room_wait(c, w, coming);
	}
	return r == -EAGAIN ? -EIO : r;
}

void session_end(struct cache *c, struct obj *o)
{
	{
		SCOPE_LOCK(&c->lock);
		if (--o->wr->writers)
			return;
		o->flags |= OBJ_BUSY; /* nobody joins what is being published */
		obj_get(o);
	}
	session_publish(c, o);
	obj_unref(c, o);
}

static void session_resized(struct cache *c, struct obj *o, uint64_t size)
{
	struct wsession *wr = o->wr;
	bool in_order;

	{
		SCOPE_LOCK(&wr->hash_lock);
		in_order = size == wr->hash_off;
	}
	if (!in_order)
		session_unhash(wr);
	SCOPE_LOCK(&c->lock);
	wr->holes = wr->holes || size > wr->size;
	wr->size = wr->claimed = size;
	session_settle(c, wr);
	session_dirty(c, o);
}

static int resize(struct cache *c, struct obj *o, uint64_t size)
{
	int r = tenant_admit(c, o, size);

	if (r)
		return r;
	if (ftruncate(o->wr->fd, size))
		r = -errno;
	if (!r)
		session_resized(c, o, size);
	SCOPE_LOCK(&c->lock);
	tenant_admitted(o);
	return r;
}

int session_truncate(struct cache *c, struct obj *o, struct cfile *f, uint64_t size,
		     struct cache_wait *w)
{
	bool own = !f || !f->writer;
	int r = 0;

	if (has_store(c) && size > c->store->caps.max_size)
		return -EFBIG;
	if (own) {
		SCOPE_LOCK(&c->lock);
		if (obj_is_dir(o))
			return -EISDIR;
		r = o->wr ? 0 : obj_refresh(c, o, false, w);
		if (!r && !o->wr && (!obj_live(o) || o->flags & OBJ_ORPHAN))
			r = -ENOENT;
		if (!r)
			r = session_begin(c, o, size ? O_RDWR : O_RDWR | O_TRUNC, w);
		session_unclaim(c, w);
		if (r)
			return r;
	}
	r = resize(c, o, size);
	if (own) {
		int n = r ? r : session_note(c, o, true);

		session_end(c, o);
		r = n;
	}
	return r;
}
