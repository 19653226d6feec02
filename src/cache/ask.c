/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a store says of one object, in one request. Where the object is, or may be, small and is
 * not here, that is a GET of its first bytes: the answer's head tells all that a HEAD tells, and
 * who asked for the name goes on as soon as it is there; the bytes behind it become the body,
 * which an open that follows finds on its way. Else it is a HEAD.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cache/internal.h"
#include "cache/where.h"

#define STALE_WAIT_MS                                                                              \
	1000 /* what is resident waits that long for its revalidation, then is served */
/* What a GET in a HEAD's place may cost: who only wants a large object's attributes pays that. */
#define BRING_MAX (64u << 10)

struct ask {
	struct tier_sink sink; /* first: the sink is the ask */
	struct cache *c;
	struct obj *o;
	struct tier_call call;
	int64_t asked_ns;
	struct record rec;
	uint32_t moved; /* o's, when the present request was sent */
	bool soft;	/* what is here is served if no answer comes */
	bool dir_first, bring;
	bool told;  /* the answer's head has been applied */
	bool woken; /* who waited knows */
	struct fetch *fetch;
};

/* --- a directory --- */

struct dir_seen {
	bool any, marker;
};

static int dir_seen_entry(void *arg, const struct tier_entry *entry)
{
	struct dir_seen *seen = arg;

	seen->any = true;
	seen->marker |= entry->marker;
	return 0;
}

/* Whether anything lies below key/: 0 with a directory's record, -ENOENT, or unknown. */
static int head_dir(struct cache *c, struct tier_call *call, const char *key, struct record *rec)
{
	CLEANUP_FREE char *prefix = key_join(key, "");
	CLEANUP_FREE char *token = NULL;
	struct dir_seen seen = {false, false};
	struct tier_list_req req = {.delimiter = true, .max = 1};
	int r;

	if (!prefix)
		return -ENOMEM;
	req.prefix = prefix;
	/* A page may be empty, and only the last one says that nothing is there. */
	do {
		char *next = NULL;

		req.token = token;
		r = tier_list(c->store, call, &req, dir_seen_entry, &seen, &next);
		free(token);
		token = next;
	} while (!r && !seen.any && token);
	if (r)
		return r;
	if (!seen.any)
		return -ENOENT;
	if (seen.marker)
		(void)tier_head(c->store, call, prefix, rec);
	rec->known &= ~(REC_SIZE | REC_ETAG);
	rec->mode = S_IFDIR | (rec->mode & 07777);
	return 0;
}

/* --- an object --- */

static void ask_wake(struct ask *a, int r)
{
	struct list out;

	if (a->woken)
		return;
	a->woken = true;
	list_init(&out);
	{
		SCOPE_LOCK(&a->c->lock);
		obj_flight_end(a->c, a->o, &out);
	}
	wake_all(&out, r);
}

/*
 * The answer's head. Where no rename can have come in between it is told now; else who asked
 * looks at the names once more, and the bytes are not kept. A small object's bytes are right
 * behind: who waits will want to open it, and is not woken twice.
 */
static int bring_begin(struct tier_sink *sink, const struct record *rec)
{
	struct ask *a = (struct ask *)sink;
	bool moved;
	int r;

	record_release(&a->rec);
	r = record_copy(&a->rec, rec);
	if (r)
		return r;
	/* A foreign object has no mode or owner to tell: what came is all there is. */
	a->rec.known |= REC_USER;
	{
		SCOPE_LOCK(&a->c->lock);
		moved = a->o->moved != a->moved;
		if (!moved)
			store_answered(a->c, 0);
	}
	if (moved)
		return 0;
	obj_word(a->c, a->o, &a->rec, a->asked_ns);
	a->told = true;
	if (rec->size <= BRING_MAX)
		a->fetch = fetch_lend(a->c, a->o, &a->rec);
	if (!a->fetch)
		ask_wake(a, 0);
	return 0;
}

static int bring_write(struct tier_sink *sink, const void *buf, size_t len, uint64_t off)
{
	struct ask *a = (struct ask *)sink;

	if (a->fetch)
		fetch_lent_write(a->fetch, buf, len, off);
	return 0;
}

/* True where a HEAD may know what this GET did not: an archived object, one that is not for us. */
static bool head_may_tell(const struct ask *a, int r)
{
	return r != -ENOENT && r != -ETIMEDOUT && r != -ECANCELED && r != -ENOMEM &&
	       !a->call.transient;
}

static int ask_object(struct ask *a, const char *key)
{
	struct cache *c = a->c;
	int r;

	if (a->bring && !name_pending(c, key)) {
		a->moved = obj_moved(c, a->o);
		r = tier_get(c->store, &a->call, key, 0, BRING_MAX, NULL, &a->sink);
		if (a->told || !r || !head_may_tell(a, r))
			return a->told ? 0 : r;
	}
	r = tier_head(c->store, &a->call, key, &a->rec);
	if (!r)
		a->rec.known |= REC_USER;
	return r;
}

static int ask_name(struct cache *c, const char *key, void *arg)
{
	struct ask *a = arg;
	int r = -ENOENT;

	if (a->told)
		return 0;
	record_release(&a->rec); /* of a name that was not the right one */
	record_init(&a->rec);
	for (int i = 0; i < 2 && r == -ENOENT; i++)
		r = a->dir_first == (i == 0) ? head_dir(c, &a->call, key, &a->rec)
					     : ask_object(a, key);
	return r;
}

/* --- the job --- */

/* Worth its bytes: cold, and small as far as anybody knows. Lock held */
static bool may_bring(struct cache *c, struct obj *o)
{
	if (tier_can(c->store, TIER_CAP_LOCAL) || S_ISDIR(o->mode) || o->fill || o->wr ||
	    o->flags & (OBJ_RES_DISK | OBJ_RES_RAM | OBJ_ARCHIVED) || !obj_keeps(c, o))
		return false;
	return o->exist == EX_PRESENT ? o->size && o->size <= BRING_MAX
				      : o->exist == EX_UNKNOWN || o->exist == EX_ABSENT;
}

static void ask_answered(struct ask *a, int r)
{
	struct cache *c = a->c;
	struct obj *o = a->o;

	if (r == 0 || r == -ENOENT)
		obj_word(c, o, r ? NULL : &a->rec, a->asked_ns);
	else if (!a->soft && r != -EAGAIN)
		obj_note_error(c, o, r, err_text(&a->call.err, r));
	{
		SCOPE_LOCK(&c->lock);
		store_answered(c, r);
		if (r == -ENOENT || r == -EAGAIN)
			r = 0; /* whoever waits looks again */
		if (r)
			o->tried_ns = clock_mono(c->clock);
		if (r && (obj_servable(o) || absent_as_listed(c, o)))
			r = 0;
	}
	ask_wake(a, r);
}

/* Less than who asks has: that there is no answer is to be told, too. */
static int64_t ask_ms(const struct cache *c)
{
	return c->config->deadlines.lookup_ms * 9 / 10;
}

static void ask_job(struct cache *c, void *arg)
{
	struct ask *a = arg;
	int r = store_ask(c, a->o, ask_name, a, true);

	if (!a->told)
		ask_answered(a, r);
	if (a->fetch && !fetch_has_all(a->fetch))
		ask_wake(a, 0); /* what is missing may take a while */
	if (a->fetch)
		fetch_lent_end(c, a->fetch);
	ask_wake(a, 0);
	record_release(&a->rec);
	obj_unref(c, a->o);
	free(a);
}

static struct ask *ask_new(struct cache *c, struct obj *o)
{
	struct ask *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->sink.begin = bring_begin;
	a->sink.write = bring_write;
	a->c = c;
	a->o = o;
	a->asked_ns = clock_mono(c->clock);
	a->dir_first = S_ISDIR(o->mode);
	a->soft = obj_servable(o);
	a->bring = may_bring(c, o);
	a->call.deadline = deadline_in(c, a->soft ? STALE_WAIT_MS : ask_ms(c));
	record_init(&a->rec);
	return a;
}

int ask_wait(struct cache *c, struct obj *o, struct cache_wait *w)
{
	bool running = o->flight && o->flight->running;
	struct ask *a = running ? NULL : ask_new(c, o);
	int r = -ENOMEM;

	if (a || running)
		r = obj_flight_wait(c, o, w, c->config->deadlines.lookup_ms);
	if (r != CACHE_PENDING || running) {
		free(a);
		return r;
	}
	o->flight->running = true;
	obj_get(o);
	job_run(c, POOL_FOREGROUND, ask_job, a);
	return r;
}
