/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Write sessions: from the first writable open of an object to the last close.
 *
 * Whatever is written lives in staging/<id>, and in nothing else that anyone relies on:
 *
 *	begins with	what happens
 *	nothing, or a truncation while nobody has it open	a new staging file; an old body stays until the publish
 *	a clean body that has no other name			it is renamed to staging/<id>: readers go on seeing the same inode
 *	a body whose put is not drained				the journal gets a copy; the inode goes on as staging/<id>
 *	a body that a local store shares or may come to share,
 *	or one in RAM						a copy; whoever reads the old one keeps it
 *
 * A crash before the first flush leaves a staging file that no journal entry names: it is dropped, and the store has the
 * object as it was. Where there is no store, the journal names it before it is moved.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cache/internal.h"
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

struct wsession *session_new(struct obj *o, uint64_t id, int fd, bool fresh)
{
	struct wsession *wr = calloc(1, sizeof(*wr));

	if (!wr)
		return NULL;
	pthread_mutex_init(&wr->hash_lock, NULL);
	wr->id = id;
	wr->fd = fd;
	wr->hash = fresh ? xxh3_stream_new() : NULL;
	session_look(wr);
	o->wr = wr;
	return wr;
}

void session_free(struct cache *c, struct obj *o)
{
	struct wsession *wr = o->wr;

	(void)c;
	o->wr = NULL;
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

uint64_t journal_body(struct cache *c, const char *key, uint64_t *ret_seq)
{
	struct jent e, before;
	uint64_t id = 0;

	if (journal_find(c->journal, key, &e))
		return 0;
	/* Renamed while it was on its way: its bytes go under the name that they had. */
	if (e.op == J_RENAME && !journal_find(c->journal, e.key, &before)) {
		bool older = before.op == J_PUT &&
			     before.seq < e.seq; /* else somebody else's, who took the name since */

		jent_release(older ? &e : &before);
		e = older ? before : e;
	}
	if (e.op == J_PUT) {
		id = e.staging_id;
		if (ret_seq)
			*ret_seq = e.seq;
	}
	jent_release(&e);
	return id;
}

/* How the written file relates to the body that there was. */
enum begun_how { BEGUN_FRESH, BEGUN_SAME_INODE, BEGUN_COPIED };

struct begun {
	enum begun_how how;
	uint64_t id;   /* staging/<id> */
	uint64_t seq;  /* journal entry that names it already, 0 = none */
	uint64_t room; /* admitted for a copy */
	bool counted;  /* and for one object more */
};

/* --- the ways to begin; OBJ_BUSY is set, no lock is held (copies take long). They return a descriptor for writing --- */

static int begin_empty(struct cache *c, uint64_t *ret_id)
{
	{
		SCOPE_LOCK(&c->lock);
		*ret_id = id_next(c);
	}
	return local_create(c->staging_fd, *ret_id);
}

static void copy_drop(struct cache *c, uint64_t id, uint64_t room)
{
	local_unlink_id(c->staging_fd, id);
	local_adjust_if(c->disk, -(int64_t)room);
}

/* *ret_room: what is admitted for it. */
static int begin_copy(struct cache *c, int from, uint64_t size, uint64_t *ret_id,
		      uint64_t *ret_room)
{
	uint64_t room = c->disk ? (size + 4095) & ~4095ull : 0;
	int r = room ? make_room(c, c->disk, room, false) : 0, fd;

	if (r)
		return r;
	fd = begin_empty(c, ret_id);
	r = fd < 0 ? fd : fs_copy_fd(from, fd, size, NULL);
	if (!r) {
		*ret_room = room;
		return fd;
	}
	if (fd >= 0)
		close(fd);
	copy_drop(c, *ret_id, room);
	return r;
}

/* The journal's put gets a copy; its inode becomes the one that is written. -ENOENT: it was drained meanwhile. */
static int begin_rebody(struct cache *c, uint64_t seq, uint64_t staged, uint64_t size,
			uint64_t *ret_id)
{
	CLEANUP_CLOSE int from = local_open_id(c->staging_fd, staged, O_RDWR);
	uint64_t copy_id, room;
	int copy, r;

	if (from < 0)
		return from;
	copy = begin_copy(c, from, size, &copy_id, &room);
	if (copy < 0)
		return copy;
	close(copy);
	r = journal_rebody(c->journal, seq, copy_id);
	if (r) {
		copy_drop(c, copy_id, room);
		return r;
	}
	{
		SCOPE_LOCK(&c->lock);
		room_until_gone(c, copy_id, room);
	}
	*ret_id = staged;
	return steal_fd(&from);
}

/* Without a store the body is all there is: the journal must name it before it moves. */
static int note_before_move(struct cache *c, struct obj *o, uint64_t id, uint64_t *ret_seq)
{
	struct jent change = {.op = J_PUT, .staging_id = id};
	int r;

	if (has_store(c))
		return 0;
	record_init(&change.rec);
	{
		SCOPE_LOCK(&c->lock);
		change.key = obj_key_locked(o);
		change.size = o->size;
		r = change.key ? obj_to_record(o, &change.rec) : -ENOMEM;
	}
	if (!r)
		r = append_change(c, &change, true, ret_seq);
	jent_release(&change);
	return r;
}

/* ns held */
static int begin_move(struct cache *c, struct obj *o, const char *key, struct begun *b)
{
	int r;

	{
		SCOPE_LOCK(&c->lock);
		b->id = id_next(c);
	}
	r = note_before_move(c, o, b->id, &b->seq);
	if (!r)
		r = local_body_displace(c->disk, key, c->staging_fd, b->id);
	return r ? r : local_open_id(c->staging_fd, b->id, O_RDWR);
}

static nlink_t fd_links(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? 2 : st.st_nlink;
}

/* An existing object's bytes become writable: a descriptor, or -EINPROGRESS: the body itself is to be moved. */
static int begin_body(struct cache *c, struct obj *o, struct begun *b)
{
	uint64_t seq = 0, size, staged;
	CLEANUP_CLOSE int body = -1;
	struct local *l;
	int fd;

	{
		SCOPE_LOCK(&c->ns); /* a name means the same here and in the journal */
		CLEANUP_FREE char *key = obj_key(c, o);

		staged = key ? journal_body(c, key, &seq) : 0;
		SCOPE_LOCK(&c->lock);
		size = o->size;
	}
	b->how = BEGUN_SAME_INODE;
	if (staged && !tier_can(c->store, TIER_CAP_SHARE)) {
		fd = begin_rebody(c, seq, staged, size, &b->id);
		if (fd != -ENOENT)
			return fd;
	}
	body = body_open(c, o, &l);
	if (body == -ENOENT && staged) { /* no disk for bodies, or no room on it */
		body = local_open_id(c->staging_fd, staged, O_RDONLY);
		l = NULL;
	}
	if (body < 0)
		return body == -ENOENT ? -EAGAIN : body;
	if (l && l == c->disk && fd_links(body) == 1)
		return -EINPROGRESS;
	b->how = BEGUN_COPIED;
	return begin_copy(c, body, size, &b->id, &b->room);
}

/* --- putting it together --- */

/* The inode is the writer's now: who reads it finds it under its new name after a restart. Lock held */
static void readers_follow(struct cache *c, struct obj *o, uint64_t id)
{
	list_for_each(it, &o->files) {
		struct cfile *f = list_entry(it, struct cfile, on_obj);

		if (f->slot->kind != CFILE_BODY || f->slot->tier != LOCAL_DISK)
			continue;
		f->slot->id = id;
		f->slot->kind = CFILE_WRITE;
	}
	(void)c;
}

/* The old body leaves the tree and, but for its bytes that go on, the budget. Lock held; returns body_remove()'s work */
static unsigned int old_body_out(struct cache *c, struct obj *o, struct wsession *wr,
				 enum begun_how how)
{
	uint64_t cost = o->flags & OBJ_RES_DISK ? o->disk.cost : 0;

	if (how == BEGUN_COPIED || !(o->flags & OBJ_RES_DISK)) {
		session_settle(
			c, wr); /* from what was admitted, if anything, to what the file takes */
		return body_retire(c, o);
	}
	local_adjust_if(c->disk,
			(int64_t)cost); /* stays charged: as the old body, or as the written file */
	body_gone(c, o, c->disk);
	if (how == BEGUN_FRESH) {
		wr->replaced = true;
		wr->old_cost = cost;
	} else {
		wr->reserved = cost;
		readers_follow(c, o, wr->id);
	}
	return body_retire(c, o); /* a copy in RAM */
}

/* The session is there: the old body's name goes. ns held */
static int begin_commit(struct cache *c, struct obj *o, const char *key, const struct begun *b,
			int fd)
{
	unsigned int todo;
	bool unlink_name;

	{
		SCOPE_LOCK(&c->lock);
		struct wsession *wr = session_new(o, b->id, fd, b->how == BEGUN_FRESH);

		if (!wr)
			return -ENOMEM;
		wr->created = !obj_live(o);
		wr->base = obj_base(o);
		wr->changed = wr->dirtied = b->how == BEGUN_FRESH;
		wr->put_seq = wr->put_own = b->seq;
		wr->size = wr->claimed = b->how == BEGUN_FRESH ? 0 : o->size;
		wr->reserved = b->room;
		wr->holes = b->how != BEGUN_FRESH && local_cost(fd) < o->size;
		unlink_name = b->how == BEGUN_SAME_INODE && o->flags & OBJ_RES_DISK;
		todo = old_body_out(c, o, wr, b->how);
		wr->counted = c->disk;
		if (c->disk && !b->counted)
			atomic_fetch_add(&c->disk->objects, 1); /* the old body's place */
		if (o->fill)
			fill_detach(c, o);
		if (!(o->flags & OBJ_ORPHAN))
			obj_set_exist(o, EX_LOCAL);
		o->flags |= OBJ_PROBED;
	}
	if (unlink_name)
		local_body_unlink(c->disk, key);
	body_remove(c, o, key, todo);
	return 0;
}

/* What a restart needs to know of a file that no flush has journalled yet. */
static void note_record(struct cache *c, struct obj *o, int fd)
{
	struct record rec;
	int r;

	record_init(&rec);
	{
		SCOPE_LOCK(&c->lock);
		r = obj_to_record(o, &rec);
	}
	if (!r)
		(void)record_to_fd(&rec, fd);
	record_release(&rec);
}

/* An object more on the disk, unless the old body's place is taken over. */
static int begin_count(struct cache *c, struct obj *o, struct begun *b)
{
	int r;

	{
		SCOPE_LOCK(&c->lock);
		if (!c->disk || o->flags & OBJ_RES_DISK)
			return 0;
	}
	r = make_room(c, c->disk, 0, true);
	b->counted = !r;
	return r;
}

static void begin_undo(struct cache *c, const struct begun *b, int fd)
{
	if (b->counted)
		local_unreserve(c->disk, 0, true);
	if (fd >= 0 && !b->seq) /* else the journal names it */
		copy_drop(c, b->id, b->room);
	else if (fd < 0 && b->seq)
		(void)journal_drop(c->journal, b->seq, false);
}

/* o's key, or NULL: it has lost its name, or a directory above it has. */
static char *key_if_named(struct cache *c, struct obj *o)
{
	SCOPE_LOCK(&c->lock);
	const struct obj *top = o;

	while (top->parent)
		top = top->parent;
	return top == c->root ? obj_key_locked(o) : NULL;
}

/* ns held */
static int begin_named(struct cache *c, struct obj *o, struct begun *b, int *fd)
{
	CLEANUP_FREE char *key = key_if_named(c, o);

	if (!key)
		return -ESTALE; /* of the name that it was opened by */
	if (*fd == -EINPROGRESS)
		*fd = begin_move(c, o, key, b);
	return *fd < 0 ? *fd : begin_commit(c, o, key, b, *fd);
}

static int begin(struct cache *c, struct obj *o, bool fresh)
{
	struct begun b = {.how = BEGUN_FRESH};
	int r = begin_count(c, o, &b), fd;

	if (r)
		return r;
	fd = fresh ? begin_empty(c, &b.id) : begin_body(c, o, &b);
	if (fd >= 0 || fd == -EINPROGRESS) {
		if (fresh)
			note_record(c, o, fd);
		SCOPE_LOCK(&c->ns);
		r = begin_named(c, o, &b, &fd);
	} else {
		r = fd;
	}
	if (!r)
		return 0;
	begin_undo(c, &b, fd);
	if (fd >= 0)
		close(fd);
	if (r == -ENOSPC && has_store(c))
		journal_hurry(c->journal, ""); /* whoever asked waits for that */
	return r;
}

static void begin_job(struct cache *c, void *arg)
{
	struct obj *o = arg;
	struct list out;
	bool unused;
	int r = begin(c, o, false);

	list_init(&out);
	{
		SCOPE_LOCK(&c->lock);
		o->flags &= ~OBJ_BUSY;
		if (o->wr)
			o->wr->writers++; /* until whoever waits has joined */
		obj_flight_end(c, o, &out);
	}
	wake_all(&out, r == -EAGAIN ? 0 : r);
	{
		SCOPE_LOCK(&c->lock);
		unused = o->wr;
	}
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
	r = fill_want(c, f, 0, o->size, 0);
	if (r < 0)
		return r;
	return wait_on(c, &f->waits, w, c->config->deadlines.open_ms);
}

static bool needs_copy(struct cache *c, struct obj *o)
{
	return o->size > COPY_INLINE && (!has_store(c) || tier_can(c->store, TIER_CAP_SHARE) ||
					 o->exist == EX_LOCAL || o->flags & OBJ_RES_RAM);
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
	}
	wr->writers++;
	return 0;
}

/* Whether o's bytes are here, so that they can be changed. Lock held */
static bool bytes_here(struct cache *c, struct obj *o)
{
	CLEANUP_FREE char *key = NULL;

	if (o->flags & (OBJ_RES_DISK | OBJ_RES_RAM))
		return true;
	key = o->exist == EX_LOCAL ? obj_key_locked(o) : NULL;
	return key && journal_body(c, key, NULL);
}

/* Lock held, dropped in between */
static int begin_here(struct cache *c, struct obj *o, int flags, bool fresh)
{
	struct list out;
	int r;

	list_init(&out);
	o->flags |= OBJ_BUSY;
	pthread_mutex_unlock(&c->lock);
	r = begin(c, o, fresh);
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
	o->flags |= OBJ_BUSY;
	obj_get(o);
	job_run(c, POOL_FOREGROUND, begin_job, o);
	return r;
}

static int begin_once(struct cache *c, struct obj *o, int flags, struct cache_wait *w)
{
	bool fresh;

	moves_await(c);
	fresh = !obj_live(o) || (flags & O_TRUNC && list_empty(&o->files));
	if (o->flags & OBJ_ORPHAN && !o->wr)
		return -ESTALE;
	if (o->flags & OBJ_BUSY)
		return obj_flight_wait(c, o, w, c->config->deadlines.open_ms);
	if (o->wr)
		return join(c, o, flags);
	if (!fresh && !bytes_here(c, o))
		return begin_cold(c, o, w);
	if (!fresh && needs_copy(c, o))
		return begin_in_job(c, o, w);
	return begin_here(c, o, flags, fresh);
}

int session_begin(struct cache *c, struct obj *o, int flags, struct cache_wait *w)
{
	int r = -EAGAIN;

	for (int tries = 0; r == -EAGAIN && tries < 8; tries++)
		r = begin_once(c, o, flags, w); /* EAGAIN: something came between, look again */
	if (r == -ENOSPC)
		r = room_wait(c, w);
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
		if (r)
			return r;
	}
	if (ftruncate(o->wr->fd, size))
		r = -errno;
	if (!r)
		session_resized(c, o, size);
	if (own) {
		int n = r ? r : session_note(c, o, true);

		session_end(c, o);
		r = n;
	}
	return r;
}
