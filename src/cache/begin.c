/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Beginning a write session: which file becomes the one that is written. The table is at the head
 * of session.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cache/internal.h"
#include "cache/session.h"
#include "cache/where.h"
#include "util/fsutil.h"

#define BUSY_PAUSE_US 5000
#define BUSY_MS 1000

/* How the written file relates to the body that there was. */
enum begun_how { BEGUN_FRESH, BEGUN_SAME_INODE, BEGUN_COPIED };

struct begun {
	enum begun_how how;
	uint64_t id;   /* staging/<id> */
	uint64_t seq;  /* journal entry that names it already, 0 = none */
	uint64_t room; /* admitted for a copy */
	uint64_t left; /* staging/<left> is the journal's alone once the copy is made, 0 = none */
	bool counted;  /* and for one object more, */
	struct share *share; /* of this share too */
};

/*
 * --- the ways to begin; OBJ_BUSY is set, no lock is held (copies take long). They return a
 * descriptor for writing ---
 */

static nlink_t fd_links(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? UINT_MAX : st.st_nlink;
}

static nlink_t staged_links(struct cache *c, uint64_t id)
{
	CLEANUP_CLOSE int fd = local_open_id(c->staging_fd, id, O_RDONLY);

	return fd < 0 ? 0 : fd_links(fd);
}

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
	uint64_t room = c->disk ? local_round(size) : 0;
	int r = room ? make_room(c, c->disk, NULL, room, false) : 0, fd;

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

/*
 * The journal's put gets a copy; its inode becomes the one that is written. -ENOENT: it was
 * drained meanwhile. names: how many the inode has where no store shares it, 0: no store can.
 * -EBUSY: one does, or is about to.
 */
static int begin_rebody(struct cache *c, uint64_t seq, uint64_t staged, uint64_t size,
			nlink_t names, uint64_t *ret_id)
{
	CLEANUP_CLOSE int from = local_open_id(c->staging_fd, staged, O_RDWR);
	uint64_t copy_id, room;
	int copy, r;

	if (from < 0)
		return from;
	if (names && fd_links(from) > names)
		return -EBUSY;
	copy = begin_copy(c, from, size, &copy_id, &room);
	if (copy < 0)
		return copy;
	close(copy);
	r = names ? journal_rebody_idle(c->journal, seq, copy_id)
		  : journal_rebody(c->journal, seq, copy_id);
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

/* Without a store, or alone, the body is all there is: the journal must name it before it moves. */
static int note_before_move(struct cache *c, struct obj *o, uint64_t id, uint64_t *ret_seq)
{
	struct jent change = {.op = J_PUT, .staging_id = id};
	int r;

	record_init(&change.rec);
	{
		SCOPE_LOCK(&c->lock);
		if (has_store(c) && !(o->flags & OBJ_ALONE))
			return 0;
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

/* o's key, or NULL: it has lost its name, or a directory above it has. */
static char *key_if_named(struct cache *c, struct obj *o)
{
	SCOPE_LOCK(&c->lock);
	const struct obj *top = o;

	while (top->parent)
		top = top->parent;
	return top == c->root ? obj_key_locked(o) : NULL;
}

/*
 * The store's file is the body itself. It gets one of its own with the same bytes, so that those
 * who read the body see what is written to it.
 */
static int begin_unshared(struct cache *c, struct obj *o, const char *key, int body, uint64_t size)
{
	struct tier_call call = {.deadline = deadline_in(c, c->config->deadlines.open_ms)};
	struct tier_source src = {.size = size, .immutable = true};
	char etag[ETAG_MAX];
	struct record rec;
	uint64_t id, room;
	int r;

	record_init(&rec);
	{
		SCOPE_LOCK(&c->lock);
		r = o->etag ? obj_to_record(o, &rec) : -ESTALE;
	}
	if (!r && name_pending(c, key))
		r = -EBUSY; /* the store has it under another name */
	src.fd = r ? r : begin_copy(c, body, size, &id, &room);
	if (src.fd >= 0) {
		const struct tier_pre pre = {.cond = TIER_IF_MATCH, .etag = rec.etag};

		src.xxh3 = rec.xxh3;
		r = tier_put(c->store, &call, key, &src, &rec, &pre, etag);
		close(src.fd);
		copy_drop(c, id, room);
	} else {
		r = src.fd;
	}
	record_release(&rec);
	SCOPE_LOCK(&c->lock);
	return r ? r : obj_set_etag(o, etag);
}

/*
 * An existing object's bytes become writable: a descriptor, or -EINPROGRESS: the body itself is to
 * be moved. follow: somebody reads the body, and is to see what is written. -EBUSY: then it must be
 * tried again.
 */
static int begin_body(struct cache *c, struct obj *o, bool follow, struct begun *b)
{
	bool shares = has_store(c) && tier_can(c->store, TIER_CAP_SHARE);
	CLEANUP_FREE char *key = NULL;
	uint64_t seq = 0, size, staged;
	CLEANUP_CLOSE int body = -1;
	nlink_t names = 0, own;
	struct local *l;
	int fd;

	{
		SCOPE_LOCK(&c->ns); /* a name means the same here and in the journal */
		key = key_if_named(c, o);
		if (!key)
			return -ESTALE;
		staged = journal_bytes(c->journal, key, &seq);
		SCOPE_LOCK(&c->lock);
		size = o->size;
		own = o->flags & OBJ_RES_DISK ? 2 : 1;
		if (shares)
			names = own;
	}
	b->how = BEGUN_SAME_INODE;
	/* One that has more names is somebody else's, too: it was imported. */
	if (staged && has_store(c) && (shares ? follow : staged_links(c, staged) <= own)) {
		fd = begin_rebody(c, seq, staged, size, names, &b->id);
		if (fd != -ENOENT)
			return fd;
	}
	{
		SCOPE_LOCK(&c->lock);
		body = body_open_in(c, o, c->disk, &l); /* that one can be moved */
	}
	if (body == -ENOENT && staged) { /* no disk for bodies, or no room on it */
		body = local_open_id(c->staging_fd, staged, O_RDONLY);
		l = NULL;
	}
	if (body < 0)
		return body == -ENOENT ? -EAGAIN : body;
	if (l && l == c->disk && shares && follow && fd_links(body) > 2)
		return -EBUSY; /* the journal's name goes in a moment */
	if (l && l == c->disk && shares && follow && fd_links(body) == 2)
		(void)begin_unshared(c, o, key, body, size);
	if (l && l == c->disk && fd_links(body) == 1)
		return -EINPROGRESS;
	b->how = BEGUN_COPIED;
	b->left = staged;
	return begin_copy(c, body, size, &b->id, &b->room);
}

/* --- putting it together --- */

/*
 * The inode is the writer's now: who reads it finds it under its new name after a restart. Lock
 * held
 */
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

/*
 * The old body leaves the tree and, but for its bytes that go on, the budget. Lock held; returns
 * body_remove()'s work
 */
static unsigned int old_body_out(struct cache *c, struct obj *o, struct wsession *wr,
				 const struct begun *b)
{
	uint64_t cost = o->flags & OBJ_RES_DISK ? o->disk.cost : 0;

	if (b->how == BEGUN_COPIED || !(o->flags & OBJ_RES_DISK)) {
		/* from what was admitted, if anything, to what the file takes */
		session_settle(c, wr);
		if (b->left && cost) {
			local_adjust(c->disk, (int64_t)cost);
			room_until_gone(c, b->left, cost);
		}
		return body_retire(c, o);
	}
	local_adjust_if(c->disk,
			(int64_t)cost); /* stays charged: as the old body, or as the written file */
	body_gone(c, o, c->disk);
	if (b->how == BEGUN_FRESH) {
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
		struct wsession *wr;

		if (tenant_admit_object(c, o))
			return -EDQUOT;
		wr = session_new(c, o, b->id, fd, b->how == BEGUN_FRESH);
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
		todo = old_body_out(c, o, wr, b);
		wr->counted = c->disk;
		if (c->disk && !b->counted)
			atomic_fetch_add(&c->disk->objects, 1); /* the old body's place */
		session_share(wr);
		if (b->counted)
			share_add(b->share, 0, -1); /* the session has it by now */
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
		b->share = share_of(c, o, c->disk);
	}
	r = make_room(c, c->disk, b->share, 0, true);
	b->counted = !r;
	return r;
}

static void begin_undo(struct cache *c, const struct begun *b, int fd)
{
	if (b->counted) {
		local_unreserve(c->disk, 0, true);
		share_add(b->share, 0, -1);
	}
	if (fd >= 0 && !b->seq) /* else the journal names it */
		copy_drop(c, b->id, b->room);
	else if (fd < 0 && b->seq)
		(void)journal_drop(c->journal, b->seq, false);
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

/* Somebody has the body on the disk open. */
static bool is_read(struct cache *c, struct obj *o)
{
	SCOPE_LOCK(&c->lock);
	return body_is_read(o);
}

/*
 * A store that shares bodies may be linking to this one just now. That ends soon; and if it does
 * not (somebody gave the store's file another name, or the store fails), readers keep what they
 * have.
 */
static int begin_patiently(struct cache *c, struct obj *o, struct begun *b)
{
	dl_t deadline = deadline_in(c, BUSY_MS);
	int fd;

	while ((fd = begin_body(c, o, is_read(c, o), b)) == -EBUSY) {
		if (clock_left(c->clock, deadline) <= 0)
			return begin_body(c, o, false, b);
		usleep(BUSY_PAUSE_US);
	}
	return fd;
}

int session_make(struct cache *c, struct obj *o, bool fresh)
{
	struct begun b = {.how = BEGUN_FRESH};
	int r = begin_count(c, o, &b), fd;

	if (r)
		return r;
	fd = fresh ? begin_empty(c, &b.id) : begin_patiently(c, o, &b);
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
