/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing: every byte passes here, so that limits hold before bytes are used. A writer that the
 * limits hold back waits without a thread until something was drained or evicted; where nothing
 * can be, it gets ENOSPC.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <unistd.h>

#include "cache/internal.h"
#include "cache/session.h"
#include "cache/sidecar.h"
#include "util/fsutil.h"

/*
 * Two looks closer than this may show the same times although something was written between
 * (DESIGN rule 3).
 */
#define LOOK_MARGIN_NS (20 * NSEC_PER_MSEC)

void room_freed(struct cache *c)
{
	struct list out;

	list_init(&out);
	{
		SCOPE_LOCK(&c->lock);
		room_settle(c);
		wake_collect(c, &c->room_waits, &out);
	}
	wake_all(&out, 0);
}

bool room_coming(struct cache *c)
{
	struct journal_stats js;

	if (!has_store(c))
		return false;
	journal_stats(c->journal, &js);
	return js.entries > js.held;
}

int room_wait(struct cache *c, struct cache_wait *w, bool coming)
{
	if (!room_coming(c))
		return coming ? -EAGAIN : -ENOSPC;
	return wait_on(c, &c->room_waits, w, c->config->write.drain_deadline_ms);
}

/* max_dirty: journalled bytes and what sessions hold beyond that. */
static int check_dirty(struct cache *c, struct cache_wait *w)
{
	struct journal_stats js;

	if (!has_store(c) || !c->config->write.max_dirty)
		return 0;
	journal_stats(c->journal, &js);
	if (js.bytes < c->config->write.max_dirty && js.entries == js.held)
		return 0;
	{
		SCOPE_LOCK(&c->lock);
		if (js.bytes + c->written < c->config->write.max_dirty)
			return 0;
	}
	journal_hurry(c->journal, ""); /* tells of itself: not below our lock */
	SCOPE_LOCK(&c->lock);
	journal_stats(c->journal, &js); /* below the lock, so that no end is missed */
	if (js.bytes + c->written < c->config->write.max_dirty || js.entries == js.held)
		return 0;
	return wait_on(c, &c->room_waits, w, c->config->write.drain_deadline_ms);
}

/*
 * What writing [off, off + len) may add to the file: all of it where there may be holes, else
 * what lies behind the part that is claimed. Lock held
 */
static uint64_t claim(struct wsession *wr, uint64_t off, uint64_t len, bool holes)
{
	uint64_t from = off & ~4095ull, end = local_round(off + len),
		 have = local_round(wr->claimed);

	wr->holes = wr->holes || holes || off > wr->claimed;
	if (wr->holes)
		have = from;
	wr->claimed = off + len > wr->claimed ? off + len : wr->claimed;
	return end > have ? end - (from > have ? from : have) : 0;
}

static int admit_room(struct cache *c, struct share *s, uint64_t need, struct cache_wait *w)
{
	int r;

	do {
		bool coming = room_coming(c);

		r = make_room(c, c->disk, s, need, false);
		if (r != -ENOSPC)
			return r;
		if (has_store(c))
			journal_hurry(c->journal, "");
		SCOPE_LOCK(&c->lock);
		r = room_wait(c, w, coming);
	} while (r == -EAGAIN);
	return r;
}

static int admit_bytes(struct cache *c, struct wsession *wr, uint64_t off, uint64_t len, bool holes,
		       struct cache_wait *w, uint64_t *ret_need)
{
	uint64_t need;
	int r;

	*ret_need = 0;
	if (!c->disk)
		return 0;
	{
		SCOPE_LOCK(&c->lock);
		need = claim(wr, off, len, holes);
	}
	r = need ? admit_room(c, wr->share, need, w) : 0;
	SCOPE_LOCK(&c->lock);
	if (r) {
		wr->holes =
			/* what was claimed is not there: from now on each write counts in full */
			true;
		return r;
	}
	wr->reserved += need;
	wr->shared += need;
	wr->pending += need;
	wr->uncounted += need;
	c->written += need;
	*ret_need = need;
	return 0;
}

/*
 * Admits what a change may take, which makes the file reach to end; *ret_need is for admitted(),
 * which is called where it returns 0.
 */
static int admit(struct cache *c, struct obj *o, uint64_t off, uint64_t len, uint64_t end,
		 bool holes, struct cache_wait *w, uint64_t *ret_need)
{
	int r = tenant_admit(c, o, end);

	if (r)
		return r;
	r = admit_bytes(c, o->wr, off, len, holes, w, ret_need);
	if (!r)
		return 0;
	SCOPE_LOCK(&c->lock);
	tenant_admitted(o);
	return r;
}

/* The change is done, or given up: what is reserved becomes what is taken. Lock held */
static void admitted(struct cache *c, struct obj *o, uint64_t need)
{
	struct wsession *wr = o->wr;

	tenant_admitted(o);
	wr->pending -= need;
	if (wr->holes)
		session_settle(c, wr);
}

static void hash_write(struct wsession *wr, const void *buf, size_t len, uint64_t off)
{
	SCOPE_LOCK(&wr->hash_lock);
	if (!wr->hash)
		return;
	if (off == wr->hash_off) {
		xxh3_stream_update(wr->hash, buf, len);
		wr->hash_off += len;
		return;
	}
	xxh3_stream_free(wr->hash);
	wr->hash = NULL;
}

int cache_write(struct cache *c, struct cfile *f, const void *buf, size_t len, off_t off,
		bool kill_priv, struct cache_wait *w)
{
	struct wsession *wr = f->obj->wr;
	uint64_t need;
	int r;

	if (!f->writer)
		return -EBADF;
	if ((has_store(c) && off + len > c->store->caps.max_size) || off + len > wr->size_max)
		return -EFBIG;
	r = check_dirty(c, w);
	if (!r)
		r = admit(c, f->obj, off, len, off + len, false, w, &need);
	if (r)
		return r;
	r = fs_pwrite_full(f->fd, buf, len, off);
	if (!r)
		hash_write(wr, buf, len, off);
	else
		session_unhash(wr); /* a part of it may be there */
	SCOPE_LOCK(&c->lock);
	wr->holes = wr->holes || r;
	if (!r && off + len > wr->size)
		wr->size = off + len;
	admitted(c, f->obj, need);
	session_dirty(c, f->obj);
	if (r)
		return r;
	if (kill_priv)
		f->obj->mode &= ~(S_ISUID | (f->obj->mode & S_IXGRP ? S_ISGID : 0));
	return 0;
}

int cache_fallocate(struct cache *c, struct cfile *f, int mode, off_t off, off_t len,
		    struct cache_wait *w)
{
	struct wsession *wr = f->obj->wr;
	struct stat st;
	uint64_t need;
	int r;

	if (!f->writer)
		return -EBADF;
	if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		return -EOPNOTSUPP;
	if ((has_store(c) && (uint64_t)(off + len) > c->store->caps.max_size) ||
	    (uint64_t)(off + len) > wr->size_max)
		return -EFBIG;
	r = admit(c, f->obj, off, mode & FALLOC_FL_PUNCH_HOLE ? 0 : len,
		  mode & FALLOC_FL_KEEP_SIZE ? 0 : off + len, true, w, &need);
	if (r)
		return r;
	r = fallocate(f->fd, mode, off, len) ? -errno : 0;
	session_unhash(wr);
	SCOPE_LOCK(&c->lock);
	if (!fstat(f->fd, &st))
		wr->size = st.st_size;
	admitted(c, f->obj, need);
	session_dirty(c, f->obj);
	return r;
}

/* --- flush and fsync --- */

/* Stores through a mapping of the body do not come here as writes: the file's times tell. */
static bool looks_changed(struct cache *c, struct wsession *wr)
{
	SCOPE_LOCK(&c->lock);
	struct wsession now = {.fd = wr->fd};

	if (wr->changed)
		return true;
	session_look(&now);
	if (now.look_size != wr->look_size || now.look_mtime_ns != wr->look_mtime_ns ||
	    now.look_ctime_ns != wr->look_ctime_ns)
		return true;
	return wr->mapped && clock_wall(c->clock) - wr->look_mtime_ns < LOOK_MARGIN_NS;
}

/* write: through: close returns when the store has it. */
static int wait_through(struct cache *c, struct obj *o, struct cache_wait *w)
{
	CLEANUP_FREE char *key = obj_key(c, o);

	if (!key || !*key)
		return 0;
	journal_hurry(c->journal, key);
	SCOPE_LOCK(&c->lock);
	if (!journal_pending(c->journal, key, o->wr->put_seq))
		return 0;
	return wait_on(c, &c->room_waits, w, c->config->write.drain_deadline_ms);
}

static bool flush_is_through(struct cache *c, struct obj *o, unsigned int flags)
{
	SCOPE_LOCK(&c->lock);
	return !(flags & CACHE_FLUSH_OTHER) && o->wr->size && obj_stored(c, o) &&
	       obj_class(c, o)->write == WRITE_THROUGH;
}

bool cfile_is_blank(const struct cfile *f)
{
	struct obj *o = f->obj;

	SCOPE_LOCK(&f->cache->lock);
	return f->writer && o->wr && !o->wr->size && !o->wr->closed;
}

/* True where it is news, which the journal has to know, that an empty file stays as it is. */
static bool flush_closes(struct cache *c, struct wsession *wr, unsigned int flags)
{
	SCOPE_LOCK(&c->lock);
	bool was = wr->closed;

	wr->closed = flags & CACHE_FLUSH_LAST;
	return wr->closed && !was;
}

static int flush_note(struct cache *c, struct obj *o, bool hold)
{
	struct sidecar said;
	int r;

	sidecar_flush(c, o, &said);
	r = session_note(c, o, hold);
	if (r)
		sidecar_release(&said);
	else
		sidecar_noted(c, o, &said);
	return r;
}

bool session_is_flushed(struct cache *c, struct wsession *wr)
{
	{
		SCOPE_LOCK(&c->lock);
		if (!wr->put_seq || wr->killed || !(wr->size || wr->closed))
			return false;
	}
	return !looks_changed(c, wr);
}

int cache_flush(struct cache *c, struct cfile *f, unsigned int flags, struct cache_wait *w)
{
	struct obj *o = f->obj;
	bool through;
	int r = 0;

	if (!f->writer)
		return 0;
	if (flags & CACHE_FLUSH_KILLED && c->config->write.on_kill == ON_KILL_DISCARD) {
		SCOPE_LOCK(&c->lock);
		o->wr->killed = true;
		return 0;
	}
	through = flush_is_through(c, o, flags);
	if (!w->deadline && (flush_closes(c, o->wr, flags) | looks_changed(c, o->wr)))
		r = flush_note(c, o, !through);
	{
		SCOPE_LOCK(&c->lock);
		f->slot->put_seq = o->wr->put_seq;
	}
	return !r && through ? wait_through(c, o, w) : r;
}

/* --- calls that wait for a disk run on a worker, and answer through the wait --- */

struct sync_job {
	struct obj *obj;   /* NULL: names only */
	struct list waits; /* the caller, unless it was taken back */
};

static int sync_obj(struct cache *c, struct obj *o)
{
	int fd, r = 0;

	{
		SCOPE_LOCK(&c->lock);
		if (!o->wr || !o->wr->writers)
			/* whoever asked has left, and what was written is being published */
			return 0;
		o->wr->writers++; /* it stays while we sync */
		fd = o->wr->fd;
	}
	if (looks_changed(c, o->wr))
		r = session_note(c, o, true);
	if (!r && fdatasync(fd))
		r = -errno;
	session_end(c, o);
	return r;
}

static void sync_job(struct cache *c, void *arg)
{
	struct sync_job *s = arg;
	struct list out;
	int r = s->obj ? sync_obj(c, s->obj) : 0;

	if (!r)
		r = journal_sync(c->journal);
	list_init(&out);
	{
		SCOPE_LOCK(&c->lock);
		if (!list_empty(&s->waits))
			list_entry(s->waits.next, struct cache_wait, on_flight)->synced = true;
		wake_collect(c, &s->waits, &out);
		if (s->obj)
			obj_put_locked(c, s->obj);
	}
	wake_all(&out, r);
	SCOPE_LOCK(&c->lock); /* a caller that gave up is off the list before it dies */
	free(s);
}

static int sync_start(struct cache *c, struct obj *o, struct cache_wait *w)
{
	struct sync_job *s;
	int r;

	if (w->synced)
		return 0;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	list_init(&s->waits);
	s->obj = o;
	SCOPE_LOCK(&c->lock);
	r = wait_on(c, &s->waits, w, c->config->write.drain_deadline_ms);
	if (r != CACHE_PENDING) {
		free(s);
		return r;
	}
	if (o)
		obj_get(o);
	job_run(c, POOL_FOREGROUND, sync_job, s);
	return r;
}

int cache_fsync(struct cache *c, struct cfile *f, struct cache_wait *w)
{
	return f->writer ? sync_start(c, f->obj, w) : 0;
}

int cache_fsyncdir(struct cache *c, struct obj *dir, struct cache_wait *w)
{
	(void)dir; /* the journal is one: what it has, all directories have */
	return sync_start(c, NULL, w);
}
