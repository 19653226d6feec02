/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A running cache against itself, beside its load: each body is read without any lock, and what
 * looks wrong is believed only if, under the locks, it is still the object's body and nobody
 * writes it.
 *
 * staging/, partial/ and open/ hold files that are on their way; what a crash leaves there goes at
 * each start, so that here only bodies are looked at that the journal names.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "cache/check_live.h"
#include "cache/check_priv.h"
#include "cache/internal.h"
#include "util/fsutil.h"

/* --- one body --- */

/* The file at key is still fd, and says of its bytes what it said before they were read. */
static bool still_there(struct local *l, const char *key, int fd, const struct record *rec)
{
	CLEANUP_CLOSE int now = local_body_open(l, key, O_RDONLY);
	struct stat a, b;
	struct record again;
	bool same;
	int r;

	if (now < 0 || fstat(now, &a) || fstat(fd, &b) || a.st_ino != b.st_ino)
		return false;
	record_init(&again);
	r = record_from_fd(&again, now);
	same = r ? !rec->known
		 : again.size == rec->size && xxh3_equal(&again.xxh3, &rec->xxh3) &&
			       !strcmp(again.etag, rec->etag);
	record_release(&again);
	return same;
}

static uint32_t flag_of(struct cache *c, const struct local *l)
{
	return l == c->disk ? OBJ_RES_DISK : OBJ_RES_RAM;
}

/* The store has these very bytes, or the other tier has. Lock held */
static bool can_be_had_again(struct cache *c, const struct obj *o, const struct local *l)
{
	if (l == c->ram && o->flags & OBJ_RES_DISK)
		return true;
	return has_store(c) && o->exist == EX_PRESENT && !(o->flags & OBJ_ALONE) && o->etag;
}

/*
 * Forgets the copy in l; what is open keeps its bytes, and the kernel's inode with them, as pages
 * may have been read into it. Lock held
 */
static unsigned int retire(struct cache *c, struct obj *o, struct local *l)
{
	const struct body *b = l == c->disk ? &o->disk : &o->ram;
	unsigned int todo = l == c->disk ? RETIRED_DISK : RETIRED_RAM;

	if (body_is_open(o, l)) {
		todo |= l == c->disk ? RETIRED_DISK_OPEN : RETIRED_RAM_OPEN;
		local_adjust(l, (int64_t)b->cost); /* stays charged until the last close */
	}
	body_gone(c, o, l);
	o->epoch++;
	return todo;
}

/* What becomes of a body that is bad. Lock held; *ret_todo is for body_remove() */
static enum live_result judge(struct cache *c, struct obj *o, struct local *l, bool drop,
			      struct live_look *look, unsigned int *ret_todo)
{
	if (o->wr || o->flags & (OBJ_BUSY | OBJ_ORPHAN) || !(o->flags & flag_of(c, l)))
		return LIVE_GONE;
	if (!can_be_had_again(c, o, l)) {
		look->news = !(o->flags & OBJ_CORRUPT);
		o->flags |= OBJ_CORRUPT;
		o->epoch++;
		return LIVE_KEPT;
	}
	look->news = !(o->flags & OBJ_SUSPECT);
	if (!drop) {
		o->flags |= OBJ_SUSPECT;
		o->epoch++;
		return LIVE_DOUBTED;
	}
	look->news = true;
	*ret_todo = retire(c, o, l);
	return LIVE_DROPPED;
}

/* A file that nothing says anything about, where nothing of ours is. ns held */
static bool nobody_has(struct cache *c, const struct obj *o)
{
	SCOPE_LOCK(&c->lock);
	return !obj_live(o) && !o->wr && !(o->flags & (OBJ_BUSY | OBJ_ORPHAN));
}

static void settle_bad(struct cache *c, struct local *l, const char *key, int fd, struct obj *o,
		       const struct record *rec, bool drop, struct live_look *ret)
{
	unsigned int todo = 0;

	SCOPE_LOCK(&c->ns);
	if (!still_there(l, key, fd, rec))
		return;
	if (nobody_has(c, o)) {
		ret->news = true;
		ret->result = LIVE_DOUBTED; /* it is no object, and is never opened */
		if (drop && !has_store(c) && l == c->disk)
			(void)aside_put(l->root_fd, l->objects_fd, key, key, true);
		if (drop && !local_body_unlink(l, key))
			ret->result = LIVE_DROPPED;
		return;
	}
	{
		SCOPE_LOCK(&c->lock);
		ret->result = judge(c, o, l, drop, ret, &todo);
	}
	if (todo)
		body_remove(c, o, key, todo);
	if (ret->result == LIVE_KEPT && l == c->disk)
		(void)aside_put(l->root_fd, l->objects_fd, key, key, true);
}

/* Told to those who look for it: counted, and in .cogfs/errors. */
static void note(struct cache *c, const char *key, const struct live_look *look)
{
	CLEANUP_FREE char *text = NULL;

	if (!look->news || look->result == LIVE_GONE)
		return;
	if (look->result != LIVE_DOUBTED) /* who drops it counts it */
		count_one(c->counters, COUNTER_corruptions);
	if (asprintf(&text, "%s: %s", body_fault_text(look->fault),
		     look->result == LIVE_KEPT ? "kept in aside/, as no store has it; write it "
						 "again or delete it"
					       : "the next read has it from the store") < 0)
		text = NULL;
	if (text)
		cache_note_error(c, key, -EIO, text);
}

void check_distrust(struct cache *c, struct obj *o, struct local *l)
{
	CLEANUP_FREE char *key = obj_key(c, o);
	struct live_look look = {.fault = BODY_BAD_BYTES, .news = true};
	unsigned int todo = 0;

	{
		SCOPE_LOCK(&c->lock);
		if (can_be_had_again(c, o, l)) {
			look.result = LIVE_DROPPED;
			todo = o->flags & flag_of(c, l) ? retire(c, o, l) : 0;
		} else {
			look.result = LIVE_KEPT;
			look.news = !(o->flags & OBJ_CORRUPT);
			o->flags |= OBJ_CORRUPT;
			o->epoch++;
		}
	}
	obj_emit(c, CACHE_EV_CONTENT, o);
	if (!key)
		return;
	if (todo)
		body_remove(c, o, key, todo);
	if (look.result == LIVE_KEPT && l == c->disk)
		(void)aside_put(l->root_fd, l->objects_fd, key, key, true);
	note(c, key, &look);
}

/* A reference, known to the tree as far as the disk says what it is. */
static struct obj *body_obj(struct cache *c, const char *key)
{
	struct obj *o;

	{
		SCOPE_LOCK(&c->lock);
		o = tree_make(c, key);
	}
	if (o)
		(void)body_probe(c, o);
	return o;
}

int live_body(struct cache *c, struct local *l, const char *key, struct check_pace *pace, bool drop,
	      struct live_look *ret)
{
	CLEANUP_CLOSE int fd = local_body_open(l, key, O_RDONLY);
	struct live_look look = {.result = LIVE_GONE};
	struct record rec;
	struct obj *o;
	int r = 0;

	*ret = look;
	if (fd < 0)
		return 0;
	record_init(&rec);
	r = body_look(fd, pace, &rec, &look.fault);
	look.bytes = rec.size;
	if (!r && (look.fault == BODY_GOOD || look.fault == BODY_UNKNOWN)) {
		look.result = look.fault == BODY_GOOD ? LIVE_GOOD : LIVE_UNKNOWN;
	} else if (!r) {
		o = body_obj(c, key);
		r = o ? 0 : -ENOMEM;
		if (o)
			settle_bad(c, l, key, fd, o, &rec, drop, &look);
		if (o && look.news)
			obj_emit(c, CACHE_EV_CONTENT, o);
		note(c, key, &look);
		if (o)
			obj_unref(c, o);
	}
	record_release(&rec);
	*ret = look;
	return r;
}

/* --- what the drainer finds --- */

void check_drain_failed(void *arg, const struct jent *e, int error, const char *text)
{
	struct cache *c = arg;
	uint64_t seq = 0;

	if (error == -EBADMSG && journal_bytes(c->journal, e->key, &seq) && seq == e->seq) {
		SCOPE_LOCK(&c->lock);
		struct obj *o = tree_peek(c, e->key);

		if (!o || o->wr || o->flags & OBJ_CORRUPT)
			return; /* it is known, and tried once a minute */
		o->flags |= OBJ_CORRUPT;
		count_one(c->counters, COUNTER_corruptions);
	}
	drain_failed(arg, e, error, text);
}

/* --- fsck --- */

struct live_check {
	struct cache *c;
	struct check *ck;
	struct local *l;
};

static void tell_body(struct live_check *lc, const char *key, const struct live_look *look)
{
	const char *what = body_fault_text(look->fault);

	switch (look->result) {
	case LIVE_DROPPED:
		check_tell(lc->ck, key, lc->l->name, CHECK_REPAIRED, what,
			   "dropped: the next read has it from the store");
		break;
	case LIVE_DOUBTED:
		check_tell(lc->ck, key, lc->l->name, CHECK_LEFT, what,
			   "--repair drops the copy; the next read has it from the store");
		break;
	case LIVE_KEPT:
		check_tell(lc->ck, key, lc->l->name, CHECK_LEFT, what,
			   "kept in aside/, as no store has it: reads fail until it is written "
			   "again or deleted");
		break;
	case LIVE_UNKNOWN:
		lc->ck->totals.unverified++;
		break;
	case LIVE_GOOD:
	case LIVE_GONE:
		break;
	}
}

static int check_file(void *arg, const struct walk_found *found)
{
	struct live_check *lc = arg;
	struct live_look look;
	int r;

	if (check_is_cancelled(lc->ck))
		return -ECANCELED;
	if (S_ISDIR(found->st->st_mode))
		return 0;
	if (!S_ISREG(found->st->st_mode) || key_check(found->path, strlen(found->path))) {
		check_tell(lc->ck, found->path, lc->l->name, CHECK_LEFT,
			   S_ISREG(found->st->st_mode) ? "its name is no safe key"
						       : "it is neither file nor directory",
			   "it is not shown; fsck --repair of the unmounted cache takes it away");
		return 0;
	}
	r = live_body(lc->c, lc->l, found->path, NULL, check_repairs(lc->ck), &look);
	if (r)
		return r;
	lc->ck->totals.files += look.result != LIVE_GONE;
	lc->ck->totals.bytes += look.result != LIVE_GONE ? look.bytes : 0;
	tell_body(lc, found->path, &look);
	check_progress(lc->ck);
	return 0;
}

/* A name that is a file in one tier and a directory in the other. */
static int check_clash(void *arg, const struct walk_found *found)
{
	struct live_check *lc = arg;
	struct stat st;

	if (fs_stat_beneath(lc->c->disk->objects_fd, found->path, &st) ||
	    S_ISDIR(st.st_mode) == S_ISDIR(found->st->st_mode))
		return 0;
	check_tell(lc->ck, found->path, lc->l->name, CHECK_LEFT,
		   "it is a file in one tier and a directory in another",
		   "the disk's counts; the next mount forgets the other");
	return 0;
}

static int check_bodies(struct cache *c, struct check *ck, struct local *l)
{
	struct live_check lc = {.c = c, .ck = ck, .l = l};
	CLEANUP_CLOSE int fd = -1;
	int r;

	if (!l)
		return 0;
	fd = fs_open_beneath(l->objects_fd, "", O_RDONLY | O_DIRECTORY, 0);
	r = fd < 0 ? fd : check_walk(fd, NULL, check_file, &lc);
	if (!r && l == c->ram && c->disk)
		r = check_walk(fd, NULL, check_clash, &lc);
	return r;
}

/* --- the journal --- */

struct puts {
	struct jent *v;
	size_t n, cap;
};

static int puts_add(void *arg, const struct jent *e)
{
	struct puts *puts = arg;

	if (e->op != J_PUT || !e->staging_id || e->state == J_HELD)
		return 0;
	if (puts->n == puts->cap) {
		size_t cap = puts->cap ? puts->cap * 2 : 64;
		struct jent *v = reallocarray(puts->v, cap, sizeof(*v));

		if (!v)
			return -ENOMEM;
		puts->v = v;
		puts->cap = cap;
	}
	return jent_copy(&puts->v[puts->n], e) ? -ENOMEM : (puts->n++, 0);
}

static void puts_release(struct puts *puts)
{
	for (size_t i = 0; i < puts->n; i++)
		jent_release(&puts->v[i]);
	free(puts->v);
}

/* Still what the journal says: not drained, not replaced, its bytes not given another file. */
static bool still_waits(struct cache *c, const struct jent *e)
{
	uint64_t seq = 0;

	return journal_bytes(c->journal, e->key, &seq) == e->staging_id && seq == e->seq;
}

static void check_put(struct cache *c, struct check *ck, const struct jent *e)
{
	CLEANUP_CLOSE int fd = local_open_id(c->staging_fd, e->staging_id, O_RDONLY);
	const char *what = NULL;
	struct xxh3 got;
	struct stat st;

	ck->totals.entries++;
	if (fd < 0 || fstat(fd, &st))
		what = "the bytes of a change are gone";
	else if ((uint64_t)st.st_size < e->size)
		what = "its bytes, which no store has yet, are cut off";
	else if (!(e->rec.known & REC_XXH3) || !xxh3_known(&e->rec.xxh3))
		return;
	else if (check_hash(fd, e->size, NULL, &got) || !xxh3_equal(&got, &e->rec.xxh3))
		what = "its bytes, which no store has yet, do not have its checksum";
	if (!what || !still_waits(c, e))
		return;
	check_drain_failed(c, e, -EBADMSG, what);
	check_tell(ck, e->key, "journal", CHECK_LEFT, what,
		   "it is not uploaded, and reads fail until it is written again or deleted; "
		   "fsck --repair of the unmounted cache goes back to the store's version");
}

static int check_puts(struct cache *c, struct check *ck)
{
	struct puts puts = {.n = 0};
	int r = journal_foreach(c->journal, puts_add, &puts);

	for (size_t i = 0; !r && i < puts.n; i++) {
		check_put(c, ck, &puts.v[i]);
		check_progress(ck);
		r = check_is_cancelled(ck) ? -ECANCELED : 0;
	}
	puts_release(&puts);
	return r;
}

/* Memory has all changes, so that a log that is damaged is written anew from it. */
static int check_log(struct cache *c, struct check *ck)
{
	struct journal_peek peek;
	bool renewed;
	int r = journal_peek(c->dir.journal_fd, c->staging_fd, &peek, NULL);
	bool bad = r || peek.damaged;

	if (!r)
		journal_peek_release(&peek);
	if (r == -ENOMEM || !bad)
		return r == -ENOMEM ? r : 0;
	renewed = check_repairs(ck) && journal_compact(c->journal) == 0;
	check_tell(ck, "journal", "journal", renewed ? CHECK_REPAIRED : CHECK_LEFT,
		   "its log is damaged: a crash now would lose changes",
		   renewed ? "written anew" : "--repair writes it anew");
	return 0;
}

static void check_state(struct cache *c, struct check *ck)
{
	bool good = true, renewed;
	int fd;

	if (cachedir_inspect(c->config->cache_dir, &fd, &good, NULL) == 0)
		close(fd);
	if (good)
		return;
	renewed = check_repairs(ck) && cache_checkpoint(c, false) == 0;
	check_tell(ck, "state", "disk", renewed ? CHECK_REPAIRED : CHECK_LEFT,
		   "the checkpoint is damaged",
		   renewed ? "written anew" : "--repair writes another");
}

/* --- all of it --- */

static uint64_t objects_of(const struct local *l)
{
	int64_t n = l ? atomic_load(&l->objects) : 0;

	return n > 0 ? (uint64_t)n : 0;
}

static int check_all(struct cache *c, struct check *ck, struct err *err)
{
	int r = check_log(c, ck);

	ck->totals.expected = objects_of(c->disk) + objects_of(c->ram);
	check_state(c, ck);
	if (!r)
		r = check_puts(c, ck);
	if (!r)
		r = check_bodies(c, ck, c->disk);
	if (!r)
		r = check_bodies(c, ck, c->ram);
	if (!r && ck->flags & (CHECK_COLD | CHECK_COLD_BYTES) && c->store)
		r = check_cold(c, ck, err);
	return r;
}

int cache_check(struct cache *c, struct check *ck, struct err *err)
{
	int r;

	{
		SCOPE_LOCK(&c->lock);
		if (c->checking)
			return err_set(err, -EBUSY, "another check is under way");
		c->checking = true;
	}
	r = check_all(c, ck, err);
	SCOPE_LOCK(&c->lock);
	c->checking = false;
	if (r && err && !err->text[0])
		return err_set(err, r, "%s", strerror(-r));
	return r;
}
