/* SPDX-License-Identifier: Apache-2.0 */
/* Open files: open, create, read, release. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cache/check_live.h"
#include "cache/internal.h"
#include "cache/session.h"
#include "util/fsutil.h"

#define STALE_MAX 8 /* versions that were replaced under one open */

uint64_t id_next(struct cache *c)
{
	return c->dir.next_id++;
}

struct cfile *cfile_new(struct cache *c, struct obj *o, int flags, struct cfile_state *slot)
{
	struct cfile *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->cache = c;
	f->flags = flags;
	f->fd = -1;
	f->slot = slot ? slot : &f->own;
	f->slot->flags = flags;
	f->slot->size = o->size;
	snprintf(f->slot->etag, sizeof(f->slot->etag), "%s", o->etag ? o->etag : "");
	flight_init(&f->stream_flight);
	obj_get(o);
	f->obj = o;
	list_add_tail(&o->files, &f->on_obj);
	f->refs = 1;
	c->open_files++;
	o->hits++;
	o->opened_s = clock_mono(c->clock) / NSEC_PER_SEC;
	obj_touch(c, o);
	return f;
}

void cfile_put(struct cache *c, struct cfile *f)
{
	if (--f->refs)
		return;
	assert(list_empty(&f->stream_flight.waits));
	list_del(&f->on_obj);
	if (f->fill)
		fill_unuse(c, f->fill);
	if (f->fd >= 0)
		close(f->fd);
	bodies_follow(c, f->obj);
	obj_put_locked(c, f->obj);
	c->open_files--;
	free(f->stream_buf);
	free(f);
}

struct obj *cfile_obj(const struct cfile *f)
{
	return f->obj;
}

int cfile_flags(const struct cfile *f)
{
	return f->flags;
}

int cfile_body_fd(const struct cfile *f, uint64_t *ret_ino)
{
	SCOPE_LOCK(&f->cache->lock);
	if (f->fd < 0 || f->writer ||
	    (f->slot->kind != CFILE_BODY && f->slot->kind != CFILE_OPEN_ID))
		return -1;
	*ret_ino = f->ino;
	return f->fd;
}

static uint64_t fd_ino(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? 0 : st.st_ino;
}

uint64_t cfile_ino(const struct cfile *f)
{
	return f->fd < 0 ? 0 : fd_ino(f->fd);
}

/* --- open for reading --- */

struct verify_arg {
	struct obj *obj;
	struct local *tier;
	int fd;
};

/* A body that a crash of the machine may have torn is read once before it is believed. */
static void verify_job(struct cache *c, void *arg)
{
	struct verify_arg *v = arg;
	struct obj *o = v->obj;
	bool good = body_verify(c, o, v->fd);
	struct list out;

	list_init(&out);
	{
		SCOPE_LOCK(&c->ns);
		if (!good)
			check_distrust(c, o, v->tier);
		SCOPE_LOCK(&c->lock);
		o->flags &= ~(OBJ_SUSPECT | OBJ_BUSY);
		obj_flight_end(c, o, &out);
	}
	wake_all(&out, 0);
	close(v->fd);
	obj_unref(c, o);
	free(v);
}

static int start_verify(struct cache *c, struct obj *o, struct local *l, int fd,
			struct cache_wait *w)
{
	struct verify_arg *v = malloc(sizeof(*v));
	int r;

	if (!v) {
		close(fd);
		return -ENOMEM;
	}
	r = obj_flight_wait(c, o, w, c->config->deadlines.open_ms);
	if (r != CACHE_PENDING) {
		close(fd);
		free(v);
		return r;
	}
	o->flags |= OBJ_BUSY;
	obj_get(o);
	v->obj = o;
	v->tier = l;
	v->fd = fd;
	job_run(c, POOL_FOREGROUND, verify_job, v);
	return r;
}

/* Lock held */
static void count_hit(struct cache *c, struct obj *o, const struct cache_wait *w,
		      const struct local *l)
{
	bool cold = w->cold || o->flags & OBJ_BROUGHT;

	o->flags &= ~OBJ_BROUGHT;
	class_count(c, o, CLASS_HITS);
	count_one(c->counters, cold		  ? COUNTER_hits_store
			       : l && l == c->ram ? COUNTER_hits_ram
						  : COUNTER_hits_disk);
	tenant_count(o, TENANT_HITS);
}

static struct cfile *file_on_body(struct cache *c, struct obj *o, int flags,
				  struct cfile_state *slot, int fd, const struct local *l)
{
	struct cfile *f = cfile_new(c, o, flags, slot);

	if (!f) {
		close(fd);
		return NULL;
	}
	f->fd = fd;
	f->ino = fd_ino(fd);
	f->slot->tier = l ? l->kind : LOCAL_DISK;
	f->slot->kind = CFILE_BODY;
	return f;
}

/* The object is resident. Lock held, dropped in between; -EAGAIN: not any more */
static int open_body(struct cache *c, struct obj *o, int flags, struct cache_wait *w,
		     struct cfile_state *slot, struct cfile **ret)
{
	struct local *l;
	int fd;

	fd = body_open_locked(c, o, &l);
	if (fd == -ENOENT || fd == -EISDIR)
		return -EAGAIN;
	if (fd < 0)
		return fd;
	if (o->wr || o->flags & OBJ_BUSY) {
		close(fd);
		return -EAGAIN;
	}
	if (o->flags & OBJ_SUSPECT)
		return start_verify(c, o, l, fd, w);
	count_hit(c, o, w, l);
	if (l == c->disk)
		promote_opened(c, o);
	*ret = file_on_body(c, o, flags, slot, fd, l);
	return *ret ? 0 : -ENOMEM;
}

/* Somebody writes the object: the reader reads the same file. Lock held */
static int open_writers(struct cache *c, struct obj *o, int flags, struct cfile_state *slot,
			struct cfile **ret)
{
	struct cfile *f;
	int fd = local_open_id(c->staging_fd, o->wr->id, O_RDONLY);

	if (fd < 0)
		return fd;
	f = cfile_new(c, o, flags, slot);
	if (!f) {
		close(fd);
		return -ENOMEM;
	}
	f->fd = fd;
	f->slot->id = o->wr->id;
	f->slot->kind = CFILE_WRITE;
	*ret = f;
	return 0;
}

/*
 * Written, not drained, and this host keeps no bodies on disk: the journal's file is read. Lock
 * held
 */
static int open_journalled(struct cache *c, struct obj *o, int flags, struct cfile_state *slot,
			   uint64_t id, struct cfile **ret)
{
	int fd = local_open_id(c->staging_fd, id, O_RDONLY);

	if (fd < 0)
		return fd == -ENOENT ? -EAGAIN : fd; /* drained a moment ago */
	*ret = file_on_body(c, o, flags, slot, fd, NULL);
	return *ret ? 0 : -ENOMEM;
}

static uint64_t journalled(struct cache *c, const struct obj *o)
{
	CLEANUP_FREE char *key = o->exist == EX_LOCAL || !has_store(c) ? obj_key_locked(o) : NULL;

	return key ? journal_bytes(c->journal, key, NULL) : 0;
}

static int open_cold(struct cache *c, struct obj *o, int flags, struct cache_wait *w,
		     struct cfile_state *slot, struct cfile **ret)
{
	int r = -ENOMEM;
	struct fill *f;

	if (!has_store(c))
		return -EIO;
	if (w->stale > STALE_MAX)
		return -ESTALE;
	w->cold = true;
	f = fill_get(c, o, &r);
	if (!f)
		return r;
	fill_decline(c, f, !obj_keeps(c, o));
	if (o->size <= SMALL_OBJECT && f->error != -ENOSPC) {
		r = fill_want(c, f, 0, o->size, 0);
		if (r < 0 && r != -ENOSPC)
			return r;
		return wait_on(c, &f->waits, w, c->config->deadlines.open_ms);
	}
	*ret = cfile_new(c, o, flags, slot);
	if (!*ret)
		return -ENOMEM;
	(*ret)->fill = f;
	f->files++;
	f->had_files = true;
	list_del(&f->idle);
	(*ret)->slot->kind = CFILE_FILL;
	count_hit(c, o, w, NULL);
	return 0;
}

/* Lock held */
static int open_read_once(struct cache *c, struct obj *o, int flags, struct cache_wait *w,
			  struct cfile_state *slot, struct cfile **ret)
{
	uint64_t id;

	moves_await(c);
	if (!o->wr && !obj_live(o))
		return o->flags & OBJ_ORPHAN ? -ESTALE
					     : -ENOENT; /* gone while the lock was dropped */
	if (o->flags & OBJ_BUSY)
		return obj_flight_wait(c, o, w, c->config->deadlines.open_ms);
	if (o->wr)
		return open_writers(c, o, flags, slot, ret);
	if (copies_over(c, o)) {
		pthread_mutex_unlock(&c->lock);
		copies_expire(c, o);
		pthread_mutex_lock(&c->lock);
		return -EAGAIN;
	}
	if (o->flags & (OBJ_RES_DISK | OBJ_RES_RAM))
		return open_body(c, o, flags, w, slot, ret);
	id = journalled(c, o);
	if (id)
		return open_journalled(c, o, flags, slot, id, ret);
	return open_cold(c, o, flags, w, slot, ret);
}

static int open_read(struct cache *c, struct obj *o, int flags, struct cache_wait *w,
		     struct cfile_state *slot, struct cfile **ret)
{
	int r = -EAGAIN;

	for (int tries = 0; r == -EAGAIN && tries < 8; tries++)
		r = open_read_once(c, o, flags, w, slot,
				   ret); /* EAGAIN: something came between, look again */
	return r == -EAGAIN ? -EIO : r;
}

/* --- open for writing --- */

static int open_write(struct cache *c, struct obj *o, int flags, struct cache_wait *w,
		      struct cfile_state *slot, struct cfile **ret)
{
	struct cfile *f;
	int r;

	if (c->config->mount.read_only)
		return -EROFS;
	r = session_begin(c, o, flags, w);
	if (r)
		return r;
	f = cfile_new(c, o, flags, slot);
	if (f)
		f->fd = local_open_id(c->staging_fd, o->wr->id, O_RDWR);
	if (!f || f->fd < 0) {
		r = f ? f->fd : -ENOMEM;
		if (f)
			cfile_put(c, f);
		pthread_mutex_unlock(&c->lock);
		session_end(c, o);
		pthread_mutex_lock(&c->lock);
		return r;
	}
	f->writer = true;
	f->slot->id = o->wr->id;
	f->slot->created = o->wr->created;
	f->slot->put_seq = o->wr->put_seq;
	f->slot->kind = CFILE_WRITE;
	*ret = f;
	return 0;
}

/* Lock held, dropped in between */
static int open_any(struct cache *c, struct obj *o, int flags, struct cache_wait *w,
		    struct cfile_state *slot, struct cfile **ret_file)
{
	int r;

	if (obj_is_dir(o))
		return -EISDIR;
	if (S_ISLNK(o->mode) && o->known & REC_MODE)
		return -ELOOP;
	if (o->flags & OBJ_ORPHAN && !o->wr)
		return -ESTALE;
	if (!w->deadline) /* covers the look at the store, too */
		w->deadline = deadline_in(c, c->config->deadlines.open_ms);
	r = o->wr ? 0 : obj_refresh(c, o, false, w);
	if (r)
		return r;
	if (obj_is_dir(o))
		return -EISDIR;
	if (!(o->flags & OBJ_ORPHAN) && (!obj_live(o) || obj_expired(c, o)))
		return -ENOENT;
	if (o->flags & OBJ_ARCHIVED)
		return -EREMOTE;
	if (o->flags & OBJ_CORRUPT && !o->wr && !(flags & O_TRUNC))
		return -EIO;
	if ((flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC)
		return open_write(c, o, flags & ~O_CREAT, w, slot, ret_file);
	return open_read(c, o, flags, w, slot, ret_file);
}

int cache_open(struct cache *c, struct obj *o, int flags, struct cache_wait *w,
	       struct cfile_state *slot, struct cfile **ret_file)
{
	SCOPE_LOCK(&c->lock);
	int r = open_any(c, o, flags, w, slot, ret_file);

	session_unclaim(c, w);
	return r;
}

/* The name becomes a new, empty object of ours. Lock held */
static void create_init(struct cache *c, struct obj *o, mode_t mode, uid_t uid, gid_t gid)
{
	int64_t now = clock_wall(c->clock);

	obj_extra_free(o->extra);
	o->extra = NULL;
	if (!obj_live(o)) { /* else its life is over, and it is truncated as it is opened */
		(void)obj_set_etag(o, NULL);
		o->size = 0;
	}
	if (obj_class(c, o)->mode != POLICY_MODE_NONE)
		mode = obj_class(c, o)->mode;
	o->mode = S_IFREG | (mode & 07777);
	o->uid = uid;
	o->gid = gid;
	o->mtime_ns = o->created_ns = now;
	o->xxh3 = (struct xxh3){{0}};
	o->known = REC_MODE | REC_OWNER | REC_MTIME | REC_CREATED | REC_EXPIRES | REC_USER;
	obj_begin(c, o);
	o->flags |= OBJ_PROBED;
	o->epoch++;
}

/* A name that is free becomes a new file. Lock held, dropped in between */
static int create_new(struct cache *c, struct obj *dir, const char *name, mode_t mode, uid_t uid,
		      gid_t gid, int flags, struct cache_wait *w, struct cfile_state *slot,
		      struct obj **ret_obj, struct cfile **ret_file)
{
	struct obj *o = dir->flags & OBJ_ORPHAN ? NULL : tree_get(c, dir, name);
	int r;

	if (!o)
		return dir->flags & OBJ_ORPHAN ? -ENOENT : -ENOMEM;
	*ret_obj = o;
	if (key_too_long(c, o))
		return -ENAMETOOLONG;
	create_init(c, o, mode, uid, gid);
	r = open_write(c, o, flags | O_CREAT | O_TRUNC, w, slot, ret_file);
	dir->mtime_ns = clock_wall(c->clock);
	return r;
}

int cache_create(struct cache *c, struct obj *dir, const char *name, mode_t mode, uid_t uid,
		 gid_t gid, int flags, struct cache_wait *w, struct cfile_state *slot,
		 struct obj **ret_obj, struct cache_attr *ret_attr, struct cfile **ret_file)
{
	SCOPE_LOCK(&c->lock);
	struct obj *o = NULL, *found = NULL;
	int r;

	if (c->config->mount.read_only)
		return -EROFS;
	r = key_part_check(name, strlen(name), dir == c->root);
	if (!r)
		r = child_get(c, dir, name, w, &found);
	if (!r)
		r = flags & O_EXCL	? -EEXIST
		    : obj_is_dir(found) ? -EISDIR
					: open_write(c, found, flags & ~O_CREAT, w, slot, ret_file);
	if (r == -ENOENT) /* or gone by now */
		r = create_new(c, dir, name, mode, uid, gid, flags, w, slot, &o, ret_file);
	else
		o = STEAL_PTR(found);
	session_unclaim(c, w);
	if (found)
		obj_put_locked(c, found);
	if (!r) {
		attr_fill(c, o, ret_attr);
		*ret_obj = o;
	} else if (o) {
		obj_put_locked(c, o);
	}
	return r;
}

/* --- release --- */

static void release(struct cache *c, struct cfile *f)
{
	struct obj *o = f->obj;
	struct cfile_state *slot = f->slot;
	bool own = slot == &f->own;

	obj_ref(o);
	if (f->writer)
		session_end(c, o);
	body_release_open_id(c, f);
	{
		SCOPE_LOCK(&c->lock);
		if (!own) {
			slot->kind = CFILE_NONE;
			f->own = *slot;
			f->slot = &f->own;
		}
		cfile_put(c, f);
		obj_put_locked(c, o);
	}
}

void cache_release(struct cache *c, struct cfile *f)
{
	release(c, f);
}

void cache_release_mapped(struct cache *c, struct cfile *f)
{
	{
		SCOPE_LOCK(&c->lock);
		if (f->writer && !f->obj->wr->mapped && !(f->obj->flags & OBJ_ORPHAN)) {
			f->obj->wr->mapped = true;
			f->obj->wr
				/*
				 * the mapping's, with a reference; the background round takes
				 * both back
				 */
				->writers++;
			obj_get(f->obj);
		}
	}
	release(c, f);
}

void cache_abandon(struct cache *c, struct cfile *f)
{
	if (f->writer && session_is_flushed(c, f->obj->wr)) {
		release(c, f);
		return;
	}
	SCOPE_LOCK(&c->lock);
	struct obj *o = f->obj;

	obj_get(o);
	if (f->writer && o->wr && !--o->wr->writers)
		session_free(c,
			     o); /* its staging file stays: the next start decides by the journal */
	cfile_put(c, f);
	obj_put_locked(c, o);
}
