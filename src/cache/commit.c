/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commit: what was written becomes a journal entry at each flush, and an object at the last close.
 *
 * The last close, step by step, and what kill -9 leaves after each:
 *	1 the entry says what the file is now (HELD)	recovery publishes it, as from here
 *	2 the record is in the file's xattrs		the same
 *	3 objects/<key> is a link to staging/<id>	the same: the link is made again
 *	4 the entry is released                         the object is there, dirty; the drainer goes
 *	on
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cache/internal.h"
#include "cache/session.h"
#include "util/fsutil.h"

int append_change(struct cache *c, struct jent *change, bool hold, uint64_t *ret_seq)
{
	uint64_t seq;
	int r = journal_append(c->journal, change, hold, &seq);

	if (r)
		cache_note_error(c, change->key, r, "journal");
	else if (ret_seq)
		*ret_seq = seq;
	return r;
}

/* --- flush --- */

/* A life counts from the last write, unless somebody said what it is to be. */
static void session_renew(struct cache *c, struct obj *o)
{
	if (!o->wr->dirtied)
		return;
	if (o->ttl && !o->wr->life_set)
		o->expires_at = clock_wall(c->clock) / NSEC_PER_SEC + o->ttl;
	obj_limit_life(c, o);
}

/* The record of the file as it is. Lock held */
static int session_record(struct cache *c, struct obj *o, struct record *ret)
{
	struct wsession *wr = o->wr;
	struct stat st;
	int r;

	session_renew(c, o);
	r = obj_to_record(o, ret);
	if (r || fstat(wr->fd, &st))
		return r ? r : -errno;
	ret->size = st.st_size;
	if (wr->dirtied)
		ret->mtime_ns = st.st_mtim.tv_sec * NSEC_PER_SEC + st.st_mtim.tv_nsec;
	ret->etag[0] = '\0';
	ret->xxh3 = (struct xxh3){{0}};
	ret->known = (ret->known | REC_SIZE | REC_MTIME | REC_MODE | REC_OWNER | REC_USER) &
		     ~(REC_ETAG | REC_XXH3);
	/* A checksum says that this is all: recovery keeps an empty file only then. */
	if (wr->closed && !ret->size) {
		ret->xxh3 = xxh3_of("", 0);
		ret->known |= REC_XXH3;
	}
	return 0;
}

/*
 * A second name for the bytes, which goes when they are uploaded, while the writer keeps the
 * first.
 */
static int second_name(struct cache *c, uint64_t id, uint64_t *ret_id)
{
	char from[LOCAL_ID_LEN + 1], to[LOCAL_ID_LEN + 1];

	{
		SCOPE_LOCK(&c->lock);
		*ret_id = id_next(c);
	}
	local_id_name(id, from);
	local_id_name(*ret_id, to);
	return linkat(c->staging_fd, from, c->staging_fd, to, 0) ? -errno : 0;
}

/* What sessions hold beyond the journal; the journal counts it from here on. Lock held */
static void session_counted(struct cache *c, struct wsession *wr)
{
	c->written -= wr->uncounted;
	wr->uncounted = 0;
}

static int note_change(struct cache *c, struct obj *o, struct jent *change)
{
	SCOPE_LOCK(&c->lock);
	int r = session_record(c, o, &change->rec);

	if (r)
		return r;
	if (o->flags & OBJ_ORPHAN)
		return -ENOENT; /* nobody can ever see it again */
	change->key = obj_key_locked(o);
	change->size = change->rec.size;
	change->base = o->wr->base;
	change->staging_id = o->wr->id;
	change->after_siblings = obj_class(c, o)->after_siblings;
	o->wr->changed = false;
	session_look(o->wr);
	session_counted(c, o->wr);
	return change->key ? 0 : -ENOMEM;
}

/* ns held: the key that is journalled is the one that the object has. */
static int note(struct cache *c, struct obj *o, bool hold)
{
	struct jent change = {.op = J_PUT};
	uint64_t seq = 0;
	uint64_t own = o->wr->put_own;
	int r;

	record_init(&change.rec);
	r = note_change(c, o, &change);
	if (!r && !hold)
		r = second_name(c, o->wr->id, &change.staging_id);
	if (!r)
		r = append_change(c, &change, hold, &seq);
	if (!r && !hold && own)
		(void)journal_drop(c->journal, own,
				   false); /* of an fsync before: what it says is in the new one */
	{
		SCOPE_LOCK(&c->lock);
		if (r && r != -ENOENT)
			o->wr->changed = true;
		else if (!r)
			o->wr->put_seq = seq;
		if (!r)
			o->wr->put_own = hold ? seq : 0;
	}
	jent_release(&change);
	return r == -ENOENT ? 0 : r;
}

int session_note(struct cache *c, struct obj *o, bool hold)
{
	SCOPE_LOCK(&c->ns);
	return note(c, o, hold);
}

/* --- the last close --- */

static struct xxh3 session_hash(struct wsession *wr, uint64_t size)
{
	struct xxh3 h = {{0}};

	if (wr->hash && wr->hash_off == size)
		return xxh3_stream_digest(wr->hash);
	if (xxh3_of_fd(wr->fd, size, &h))
		h = (struct xxh3){{0}};
	return h;
}

/*
 * Nothing but seq waits for key; the journal forgets seq itself only after it was told of. (What
 * waits behind a rename may have a smaller number.)
 */
static bool nothing_newer(struct cache *c, const char *key, uint64_t seq)
{
	struct jent newer;
	bool none;

	if (journal_find(c->journal, key, &newer))
		return true;
	none = newer.seq == seq;
	jent_release(&newer);
	return none;
}

/* The session leaves the object, and gives back what no body has taken over. Lock held */
static void session_close(struct cache *c, struct obj *o)
{
	struct wsession *wr = o->wr;

	local_adjust_if(c->disk, -(int64_t)(wr->reserved + wr->old_cost));
	if (wr->counted)
		local_unreserve(c->disk, 0, true);
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

/* objects/<key> becomes the file; with link, staging/<id> stays until it is drained. ns held */
static int place_body(struct cache *c, struct obj *o, const struct record *rec, bool link)
{
	CLEANUP_FREE char *key = obj_key(c, o);
	uint64_t cost;
	int r;

	if (!key)
		return -ENOMEM;
	if (!c->disk) { /* read from staging until drained, then filled anew */
		if (!link)
			local_unlink_id(c->staging_fd, o->wr->id);
		return 0;
	}
	r = local_body_publish(c->disk, c->staging_fd, o->wr->id, key, rec, link);
	if (r)
		return r;
	SCOPE_LOCK(&c->lock);
	cost = local_cost(o->wr->fd);
	local_adjust(c->disk, (int64_t)cost - (int64_t)o->wr->reserved - (int64_t)o->wr->old_cost);
	o->wr->reserved = o->wr->old_cost = 0;
	o->wr->counted = o->wr->replaced = false;
	body_added(c, o, c->disk, cost);
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
	}
	if (key && replaced)
		(void)local_body_unlink(c->disk, key);
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
	if (r && has_store(c))
		local_unlink_id(c->staging_fd,
				o->wr->id); /* the store has it, or the journal a copy */
	if (o->exist == EX_LOCAL && key && nothing_newer(c, key, o->wr->drained_seq))
		obj_set_exist(o, EX_PRESENT);
	session_close(c, o);
}

/* What o is without what was written. ns and lock held */
static enum exist exist_before(struct cache *c, struct obj *o)
{
	CLEANUP_FREE char *key = obj_key_locked(o);

	if (o->wr->created)
		return EX_ABSENT;
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

static int publish_commit(struct cache *c, struct obj *o, struct record *rec)
{
	int r = 0, body;

	if (o->wr->changed || !o->wr->put_seq)
		r = note(c, o, true);
	if (r)
		return r;
	body = place_body(c, o, rec, has_store(c) && o->wr->put_own);
	if (body)
		stay_in_staging(c, o);
	if (has_store(c))
		r = journal_release(c->journal, o->wr->put_seq, rec);
	else if (!body)
		r = journal_drop(c->journal, o->wr->put_seq, false);
	else
		return body;	     /* the next start finds the entry and tries again */
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

/* h: of the file's bytes. ns held */
static void publish_change(struct cache *c, struct obj *o, const struct xxh3 *h)
{
	struct record rec;
	int r;

	record_init(&rec);
	r = publish_record(c, o, h, &rec);
	if (!r)
		r = publish_commit(c, o, &rec);
	count_one(c->counters, COUNTER_sets);
	record_release(&rec);
	SCOPE_LOCK(&c->lock);
	if (!has_store(c) && !r)
		obj_set_exist(o, EX_PRESENT);
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

	if (o->flags & OBJ_ORPHAN || (wr->killed && (has_store(c) || wr->created || wr->replaced)))
		return END_DISCARD;
	return wr->dirtied || wr->created || wr->meta ? END_PUBLISH : END_PUT_BACK;
}

void session_publish(struct cache *c, struct obj *o)
{
	struct xxh3 h = {{0}};
	enum ending ending;
	struct stat st;
	bool changed;

	{
		SCOPE_LOCK(&c->lock);
		changed = o->wr->dirtied || o->wr->created;
	}
	if (changed && !fstat(o->wr->fd, &st))
		h = session_hash(o->wr, st.st_size); /* may read all of it: before any lock */
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
	if (ending != END_DISCARD || obj_is_orphan(c, o))
		return;
	/* The kernel knows what was given up. */
	obj_emit(c, CACHE_EV_CONTENT, o);
	obj_emit(c, CACHE_EV_NAME, o);
}

/* --- what the drainer tells --- */

/* Whoever writes o begins from what the store has now. Lock held */
static void writer_learns(struct obj *o, const struct jent *e, const char *etag)
{
	o->wr->drained_seq = e->seq;
	if (!*etag)
		return;
	o->wr->base.cond = TIER_IF_MATCH;
	snprintf(o->wr->base.etag, sizeof(o->wr->base.etag), "%s", etag);
}

/*
 * ns held, so that o's body and its record are of one version. Where no etag is told, what the
 * store has may be another's: it is to be asked.
 */
static void drained_put(struct cache *c, struct obj *o, const struct jent *e, const char *etag)
{
	bool clean = nothing_newer(c, e->op == J_RENAME ? e->to : e->key, e->seq);

	{
		SCOPE_LOCK(&c->lock);
		if (*etag)
			(void)obj_set_etag(o, etag);
		if (o->wr)
			writer_learns(o, e, etag);
		if (!clean || o->wr || o->exist != EX_LOCAL)
			return;
		if (*etag)
			o->known |= REC_ETAG;
		else if (!obj_is_dir(o) && e->op != J_RENAME)
			(void)obj_set_etag(o, NULL);
		obj_set_exist(o, EX_PRESENT);
		o->checked_ns = *etag || obj_is_dir(o) ? clock_mono(c->clock) : 0;
		if (o->dir && o->flags & OBJ_NEW_DIR) {
			o->flags &=
				/* others see it from now on, and may put something into it */
				~OBJ_NEW_DIR;
			o->dir->listed_ns = o->checked_ns;
		}
	}
	(void)body_store_record(c, o);
}

static void drained_delete(struct cache *c, struct obj *o)
{
	SCOPE_LOCK(&c->lock);
	if (o->exist == EX_DELETED) {
		obj_set_exist(o, EX_ABSENT);
		o->checked_ns = clock_mono(c->clock);
	}
}

/* A name that the drainer asks the journal for means the same in the tree. */
void drain_names_hold(void *arg, bool hold)
{
	struct cache *c = arg;

	if (hold)
		pthread_mutex_lock(&c->ns);
	else
		pthread_mutex_unlock(&c->ns);
}

/* ns held */
void drained(void *arg, const struct jent *e, const char *etag, bool conflict)
{
	struct cache *c = arg;
	const char *key = e->op == J_RENAME ? e->to : e->key;
	struct obj *o, *from = NULL;

	if (conflict)
		count_one(c->counters, COUNTER_conflicts);
	{
		SCOPE_LOCK(&c->lock);
		o = tree_peek(c, key);
		if (o)
			obj_get(o);
		if (e->op == J_RENAME)
			from = tree_peek(c, e->key);
		if (from)
			obj_get(from);
	}
	if (o && (e->op == J_DELETE || e->op == J_RMDIR)) {
		drained_delete(c, o);
	} else if (o) {
		drained_put(c, o, e, etag ? etag : "");
	}
	if (from)
		drained_delete(c, from);
	if (o)
		obj_unref(c, o);
	if (from)
		obj_unref(c, from);
}

/* A directory's rename brought one object of it to its new name in the store. ns held */
void drained_moved(void *arg, const char *from, const char *to, const char *old_etag,
		   const char *etag)
{
	struct cache *c = arg;
	struct obj *o;

	(void)from;
	{
		SCOPE_LOCK(&c->lock);
		o = tree_peek(c, to);
		if (!o || !o->etag || strcmp(o->etag, old_etag) != 0)
			return;
		obj_get(o);
		(void)obj_set_etag(o, etag);
		if (o->exist == EX_PRESENT)
			o->checked_ns = clock_mono(c->clock);
		if (o->wr && o->wr->base.cond == TIER_IF_MATCH &&
		    !strcmp(o->wr->base.etag, old_etag))
			snprintf(o->wr->base.etag, sizeof(o->wr->base.etag), "%s", etag);
	}
	(void)body_store_record(c, o);
	obj_unref(c, o);
}

void drain_failed(void *arg, const struct jent *e, int error, const char *text)
{
	cache_note_error(arg, e->key, error, text);
}
