/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commit: what was written becomes a journal entry at each flush (publish.c: an object at the last
 * close); and what the drainer tells of it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cache/internal.h"
#include "cache/session.h"

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

int session_record(struct cache *c, struct obj *o, struct record *ret)
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

void session_counted(struct cache *c, struct wsession *wr)
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

/* What is volatile is not journalled; true where it is. */
static bool noted_volatile(struct cache *c, struct obj *o)
{
	SCOPE_LOCK(&c->lock);
	if (!obj_volatile(c, o))
		return false;
	o->wr->changed = false;
	session_look(o->wr);
	return true;
}

int session_note_locked(struct cache *c, struct obj *o, bool hold)
{
	struct jent change = {.op = J_PUT};
	uint64_t seq = 0;
	uint64_t own = o->wr->put_own;
	int r;

	if (noted_volatile(c, o))
		return 0;
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
	return session_note_locked(c, o, hold);
}

/* --- what the drainer tells --- */

bool nothing_newer(struct cache *c, const char *key, uint64_t seq)
{
	struct jent newer;
	bool none;

	if (journal_find(c->journal, key, &newer))
		return true;
	none = newer.seq == seq;
	jent_release(&newer);
	return none;
}

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
		if (o->flags & OBJ_ALONE && !o->wr)
			return; /* of a change before the one that only this host has */
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
		bodies_follow(c, o);
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
