/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publishing: what was written becomes an object at the last close. Step by step, and what kill -9
 * leaves after each:
 *	1 the entry says what the file is now (HELD)	recovery publishes it, as from here
 *	2 the record is in the file's xattrs		the same
 *	3 objects/<key> is a link to staging/<id>	the same: the link is made again
 *	4 the entry is released                         the object is there, dirty; the drainer goes
 *	on
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cache/internal.h"
#include "cache/session.h"
#include "cache/sidecar.h"

static struct xxh3 session_hash(struct wsession *wr, uint64_t size)
{
	struct xxh3 h = {{0}};

	if (wr->hash && wr->hash_off == size)
		return xxh3_stream_digest(wr->hash);
	if (xxh3_of_fd(wr->fd, size, &h))
		h = (struct xxh3){{0}};
	return h;
}

/* The session leaves the object, and gives back what no body has taken over. Lock held */
static void session_close(struct cache *c, struct obj *o)
{
	struct wsession *wr = o->wr;

	local_adjust_if(c->disk, -(int64_t)(wr->reserved + wr->old_cost));
	if (wr->counted)
		local_unreserve(c->disk, 0, true);
	wr->reserved = wr->old_cost = 0;
	wr->counted = false;
	session_share(wr);
	ram_copy_drop(c, &wr->copy);
	session_counted(c, wr);
	session_free(c, o);
}

static void finish(struct cache *c, struct obj *o)
{
	struct list out;

	list_init(&out);
	{
		SCOPE_LOCK(&c->lock);
		o->flags &= ~OBJ_BUSY;
		obj_flight_end(c, o, &out);
	}
	wake_all(&out, 0);
	room_freed(c);
}

/* Readers of the written file read the object's body from now on. Lock held */
static void readers_to_body(struct obj *o)
{
	list_for_each(it, &o->files) {
		struct cfile *f = list_entry(it, struct cfile, on_obj);

		if (f->slot->kind != CFILE_WRITE || f->writer)
			continue;
		f->slot->tier = LOCAL_DISK;
		f->slot->kind = CFILE_BODY;
	}
}

/* Lock held */
static void adopt_record(struct obj *o, const struct record *rec)
{
	(void)obj_set_record(o, rec);
	o->size = rec->size;
	o->mtime_ns = rec->mtime_ns;
	o->xxh3 = rec->xxh3;
	o->known |= REC_SIZE | REC_MTIME;
	if (xxh3_known(&rec->xxh3))
		o->known |= REC_XXH3;
	else
		o->known &= ~REC_XXH3;
}

/* ns held */
static int place_on_disk(struct cache *c, struct obj *o, const struct record *rec, bool link)
{
	CLEANUP_FREE char *key = obj_key(c, o);
	uint64_t cost;
	int r;

	if (!key)
		return -ENOMEM;
	r = local_body_publish(c->disk, c->staging_fd, o->wr->id, key, rec, link);
	if (r)
		return r;
	SCOPE_LOCK(&c->lock);
	cost = local_cost(o->wr->fd);
	local_adjust(c->disk, (int64_t)cost - (int64_t)o->wr->reserved - (int64_t)o->wr->old_cost);
	o->wr->reserved = o->wr->old_cost = 0;
	o->wr->counted = o->wr->replaced = false;
	body_added(c, o, c->disk, cost);
	session_share(o->wr);
	readers_to_body(o);
	return 0;
}

/*
 * The journal's file is all there is of o: no body could be made of it. What was there before is
 * another version. ns held
 */
static void stay_in_staging(struct cache *c, struct obj *o)
{
	CLEANUP_FREE char *key = obj_key(c, o);
	bool replaced;

	{
		SCOPE_LOCK(&c->lock);
		replaced = o->wr->replaced;
		room_until_gone(c, o->wr->id, o->wr->reserved);
		o->wr->reserved = 0;
		session_share(o->wr);
	}
	if (key && replaced)
		(void)local_body_unlink(c->disk, key);
}

/* The file that was written is not needed any more, nor the body that was there before. ns held */
static void leave_staging(struct cache *c, struct obj *o)
{
	CLEANUP_FREE char *key = obj_key(c, o);

	local_unlink_id(c->staging_fd, o->wr->id);
	if (key && o->wr->replaced)
		(void)local_body_unlink(c->disk, key);
}

/* The copy that was made for it becomes o's body. ns held */
static int place_in_ram(struct cache *c, struct obj *o, const struct record *rec)
{
	CLEANUP_FREE char *key = obj_key(c, o);
	struct wsession *wr = o->wr;
	int r;

	if (!key || !wr->copy.id)
		return key ? -ENOSPC : -ENOMEM;
	r = local_body_publish(c->ram, c->ram->partial_fd, wr->copy.id, key, rec, false);
	if (r)
		return r;
	SCOPE_LOCK(&c->lock);
	ram_copy_taken(c, o, &wr->copy);
	if (!list_empty(&o->files))
		o->epoch++; /* they read the file that was written */
	return 0;
}

/*
 * objects/<key> becomes the file; with link, staging/<id> stays until it is drained. Where the disk
 * is not o's home it is read from RAM, if that took it, or else from staging until it is drained,
 * and is filled anew then. ns held
 */
static int place_body(struct cache *c, struct obj *o, const struct record *rec, bool link)
{
	bool on_disk, alone;
	int r;

	{
		SCOPE_LOCK(&c->lock);
		on_disk = c->disk && obj_home(c, o) == c->disk;
		alone = obj_volatile(c, o);
	}
	if (on_disk)
		return place_on_disk(c, o, rec, link);
	r = place_in_ram(c, o, rec);
	if (link)
		stay_in_staging(c, o);
	else
		leave_staging(c, o);
	return alone ? r : 0;
}

/* Nothing was changed: the body goes back to where it was. ns held */
static void put_back(struct cache *c, struct obj *o)
{
	CLEANUP_FREE char *key = obj_key(c, o);
	uint64_t seq = o->wr->put_seq;
	struct record rec;
	int r;

	record_init(&rec);
	{
		SCOPE_LOCK(&c->lock);
		r = obj_to_record(o, &rec);
	}
	if (!r)
		r = place_body(c, o, &rec, false);
	if (!r && seq)
		(void)journal_drop(c->journal, seq, false);
	record_release(&rec);
	SCOPE_LOCK(&c->lock);
	if (r && has_store(c) && !(o->flags & OBJ_ALONE))
		local_unlink_id(c->staging_fd,
				o->wr->id); /* the store has it, or the journal a copy */
	if (o->exist == EX_LOCAL && !(o->flags & OBJ_ALONE) && key &&
	    nothing_newer(c, key, o->wr->drained_seq))
		obj_set_exist(o, EX_PRESENT);
	session_close(c, o);
}

/* What o is without what was written. ns and lock held */
static enum exist exist_before(struct cache *c, struct obj *o)
{
	CLEANUP_FREE char *key = obj_key_locked(o);

	if (o->wr->created)
		return EX_ABSENT;
	if (o->flags & OBJ_ALONE)
		return !(o->flags & (OBJ_RES_DISK | OBJ_RES_RAM)) ? EX_ABSENT
		       : has_store(c)				  ? EX_LOCAL
								  : EX_PRESENT;
	if (has_store(c) && key && !nothing_newer(c, key, o->wr->drained_seq))
		return EX_LOCAL; /* an older change waits in the journal, with bytes of its own */
	return o->flags & (OBJ_RES_DISK | OBJ_RES_RAM) || has_store(c) ? EX_PRESENT : EX_ABSENT;
}

/* The writing never happened: killed, or its name is gone. ns held */
static void discard(struct cache *c, struct obj *o)
{
	uint64_t seq = o->wr->put_seq;

	if (seq)
		(void)journal_drop(c->journal, seq, true);
	SCOPE_LOCK(&c->lock);
	local_unlink_id(c->staging_fd, o->wr->id);
	if (!(o->flags & OBJ_ORPHAN)) {
		if (o->wr->replaced) { /* the old body was charged all along */
			uint32_t filled_s = o->filled_s;

			body_added(c, o, c->disk, o->wr->old_cost);
			o->filled_s = filled_s;
			o->wr->counted = false;
			o->wr->old_cost = 0;
		}
		obj_set_exist(o, exist_before(c, o));
	}
	o->checked_ns = 0;
	session_close(c, o);
}

/* No store is to have it: what waits to be uploaded is not. ns held */
static void forget_puts(struct cache *c, struct obj *o)
{
	CLEANUP_FREE char *key = obj_key(c, o);
	struct jent older;

	if (o->wr->put_seq)
		(void)journal_drop(c->journal, o->wr->put_seq, false);
	if (!has_store(c) || !key || journal_find(c->journal, key, &older))
		return;
	if (older.op == J_PUT)
		(void)journal_drop(c->journal, older.seq, true);
	jent_release(&older);
}

/* Lock held */
static void mark_alone(struct cache *c, struct obj *o, bool stored)
{
	o->flags &= ~OBJ_ALONE;
	if (stored || (!has_store(c) && !obj_volatile(c, o)))
		return;
	o->flags |= OBJ_ALONE;
	(void)obj_set_etag(o, NULL);
	o->known &= ~REC_ETAG;
}

static int publish_commit(struct cache *c, struct obj *o, struct record *rec)
{
	bool stored;
	int r = 0, body;

	{
		SCOPE_LOCK(&c->lock);
		stored = obj_stored(c, o);
	}
	if (o->wr->changed || !o->wr->put_seq)
		r = session_note_locked(c, o, true);
	if (r)
		return r;
	body = place_body(c, o, rec, stored && o->wr->put_own);
	if (stored) {
		if (body)
			stay_in_staging(c, o);
		r = journal_release(c->journal, o->wr->put_seq, rec);
	} else if (!body) {
		forget_puts(c, o);
	} else {
		return body; /* the next start finds the entry, if there is one, and tries again */
	}
	SCOPE_LOCK(&c->lock);
	mark_alone(c, o, stored);
	return r == -ENOENT ? 0 : r; /* write: through: it is there already */
}

/* The record of what is published, which is o's from here on. */
static int publish_record(struct cache *c, struct obj *o, const struct xxh3 *h, struct record *rec)
{
	SCOPE_LOCK(&c->lock);
	int r = session_record(c, o, rec);

	if (r)
		return r;
	if (o->wr->dirtied || o->wr->created)
		rec->xxh3 = *h;
	else if (o->known & REC_XXH3)
		rec->xxh3 = o->xxh3; /* only what is said about the bytes has changed */
	rec->known |= xxh3_known(&rec->xxh3) ? REC_XXH3 : 0;
	adopt_record(o, rec);
	return 0;
}

/* RAM had no room for what it alone was to have, and its writer was told that it is written. */
static void volatile_lost(struct cache *c, struct obj *o, int r)
{
	obj_note_error(c, o, r, "it is volatile, and the RAM tier has no room for it");
	SCOPE_LOCK(&c->lock);
	o->flags &= ~OBJ_ALONE;
	obj_set_exist(o, EX_ABSENT);
}

/* h: of the file's bytes. ns held */
static void publish_change(struct cache *c, struct obj *o, const struct xxh3 *h)
{
	bool set = o->wr->dirtied || o->wr->created, alone;
	struct record rec;
	int r;

	record_init(&rec);
	r = publish_record(c, o, h, &rec);
	if (!r)
		r = publish_commit(c, o, &rec);
	if (set) {
		count_one(c->counters, COUNTER_sets);
		tenant_count(o, TENANT_SETS);
	}
	record_release(&rec);
	{
		SCOPE_LOCK(&c->lock);
		if (!has_store(c) && !r)
			obj_set_exist(o, EX_PRESENT);
		alone = obj_volatile(c, o);
		if (set)
			class_count(c, o, CLASS_SETS);
	}
	if (r && alone)
		volatile_lost(c, o, r);
	SCOPE_LOCK(&c->lock);
	session_close(
		c,
		o); /* where it failed: the journal has the last flush, the error list says why */
}

enum ending { END_DISCARD, END_PUBLISH, END_PUT_BACK };

/*
 * ns held: nobody can take the name away any more. A killed change in place has nothing to fall
 * back to without a store.
 */
static enum ending ending_of(struct cache *c, struct obj *o)
{
	SCOPE_LOCK(&c->lock);
	const struct wsession *wr = o->wr;

	bool elsewhere = has_store(c) && !(o->flags & OBJ_ALONE);

	if (o->flags & OBJ_ORPHAN || (wr->killed && (elsewhere || wr->created || wr->replaced)))
		return END_DISCARD;
	return wr->dirtied || wr->created || wr->meta ? END_PUBLISH : END_PUT_BACK;
}

/* Where o's home is RAM, its bytes are copied there before any lock is taken. */
static void copy_home(struct cache *c, struct obj *o, uint64_t size)
{
	const struct xxh3 unknown = {{0}};

	{
		SCOPE_LOCK(&c->lock);
		if (!c->ram || o->flags & OBJ_ORPHAN || obj_home(c, o) != c->ram ||
		    !(obj_volatile(c, o) || ram_admits(c, o)))
			return;
		o->wr->copy.share = share_of(c, o, c->ram);
		o->wr->copy.id = id_next(c);
	}
	(void)ram_copy_make(c, o->wr->fd, size, &unknown, &o->wr->copy);
}

void session_publish(struct cache *c, struct obj *o)
{
	struct xxh3 h = {{0}};
	struct sidecar said;
	enum ending ending;
	struct stat st;
	bool changed;

	sidecar_publish(c, o, &said);
	{
		SCOPE_LOCK(&c->lock);
		changed = o->wr->dirtied || o->wr->created;
	}
	if (!fstat(o->wr->fd, &st)) { /* may read all of it: before any lock */
		if (changed)
			h = session_hash(o->wr, st.st_size);
		copy_home(c, o, st.st_size);
	}
	{
		SCOPE_LOCK(&c->ns);
		ending = ending_of(c, o);
		switch (ending) {
		case END_DISCARD:
			discard(c, o);
			break;
		case END_PUBLISH:
			publish_change(c, o, &h);
			break;
		case END_PUT_BACK:
			put_back(c, o);
			break;
		}
	}
	finish(c, o);
	if (ending == END_DISCARD)
		sidecar_release(&said);
	else
		sidecar_noted(c, o, &said);
	if (ending != END_DISCARD || obj_is_orphan(c, o))
		return;
	/* The kernel knows what was given up. */
	obj_emit(c, CACHE_EV_CONTENT, o);
	obj_emit(c, CACHE_EV_NAME, o);
}

void obj_rehome(struct cache *c, struct obj *o)
{
	struct list out;
	bool begun;

	list_init(&out);
	{
		SCOPE_LOCK(&c->lock);
		if (!obj_is_misplaced(c, o))
			return;
		o->flags |= OBJ_BUSY;
	}
	(void)session_make(c, o, false);
	{
		SCOPE_LOCK(&c->lock);
		o->flags &= ~OBJ_BUSY;
		begun = o->wr;
		if (begun) {
			o->wr->writers++;
			o->wr->meta = true;
		}
		obj_flight_end(c, o, &out);
	}
	wake_all(&out, 0);
	if (begun)
		session_end(c, o);
}
