/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fetch: one request that brings blocks of a fill. The fill's own ask for a range of it; one that
 * a lookup began (see ask.c) is lent the fill of a whole small object, and brings its bytes
 * along.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cache/internal.h"
#include "cache/where.h"
#include "util/fsutil.h"

/* One request: blocks [first, first + n). */
struct fetch {
	struct tier_sink sink; /* first: the sink is the fetch */
	struct cache *c;
	struct fill *f;
	uint32_t first, n;
	uint64_t at; /* next byte that is expected */
	char *block; /* the beginning of the block that at is in; NULL: not needed yet */
	bool share;
	int64_t announced; /* bytes that min_free counts before they are written */
	int lent;	   /* 1: another's request brings the bytes; < 0: it cannot keep them */
};

static uint64_t block_end(const struct fill *f, uint32_t block)
{
	uint64_t end = (uint64_t)(block + 1) * FILL_BLOCK;

	return end < f->size ? end : f->size;
}

/* --- a request --- */

/* The answer's head: the version must be ours. It also tells what a listing could not. */
static int fetch_begin(struct tier_sink *sink, const struct record *rec)
{
	struct fetch *ft = (struct fetch *)sink;
	struct fill *f = ft->f;
	bool told = false;
	struct obj *o;

	if (rec->size != f->size)
		return -ESTALE;
	{
		SCOPE_LOCK(&ft->c->lock);
		if (!f->etag[0]) /* not known until now: what comes first is the version */
			memcpy(f->etag, rec->etag, sizeof(f->etag));
		else if (strcmp(rec->etag, f->etag) != 0)
			return -ESTALE;
		o = f->obj;
		if (o && !obj_told_whole(o) && obj_live(o)) {
			obj_get(o);
			obj_set_record(o, rec);
			o->known |= REC_USER;
			told = true;
		}
		if (rec->known & REC_XXH3)
			f->xxh3 = rec->xxh3;
	}
	if (told) {
		obj_emit(ft->c, CACHE_EV_ATTR, o);
		obj_unref(ft->c, o);
	}
	return 0;
}

/* Lock held */
static void withhold(struct fill *f, uint32_t b)
{
	if (f->n_present < f->n_blocks || f->n_blocks == 1 || !xxh3_known(&f->xxh3))
		return;
	f->state[b] = BLOCK_BUSY;
	f->withheld = b;
	f->withholds = true;
}

static void blocks_arrived(struct fetch *ft, uint64_t from, uint64_t to)
{
	struct fill *f = ft->f;
	struct list out;

	list_init(&out);
	{
		SCOPE_LOCK(&ft->c->lock);
		for (uint32_t b = from / FILL_BLOCK; b < f->n_blocks && block_end(f, b) <= to;
		     b++) {
			if (f->state[b] == BLOCK_PRESENT || (f->withholds && f->withheld == b))
				continue;
			f->state[b] = BLOCK_PRESENT;
			f->n_present++;
			withhold(f, b);
		}
		if (f->n_present < f->n_blocks || f->had_files)
			wake_collect(ft->c, &f->waits, &out);
	}
	wake_all(&out, 0);
}

static const void *fetch_gather(struct fetch *ft, const void *bytes, size_t len, size_t at)
{
	if (!ft->block)
		ft->block = malloc(FILL_BLOCK);
	if (ft->block)
		memcpy(ft->block + at, bytes, len);
	return ft->block;
}

/* A whole block: its bytes are in the file before it is PRESENT. */
static int block_write(struct fetch *ft, const void *buf, uint64_t off, size_t len)
{
	struct fill *f = ft->f;
	int r = fs_pwrite_full(f->fd, buf, len, off);

	if (r)
		return r;
	if (f->n_blocks == 1)
		f->got = xxh3_of(buf, len);
	blocks_arrived(ft, off, off + len);
	return 0;
}

/* Blocks are written at once: what comes from a connection is cut small. */
static int fetch_write(struct tier_sink *sink, const void *buf, size_t len, uint64_t off)
{
	struct fetch *ft = (struct fetch *)sink;
	const char *bytes = buf;

	if (off != ft->at || off + len > block_end(ft->f, ft->first + ft->n - 1))
		return -EIO;
	while (len) {
		uint64_t from = ft->at - ft->at % FILL_BLOCK;
		size_t have = ft->at - from, all = block_end(ft->f, ft->at / FILL_BLOCK) - from;
		size_t n = len < all - have ? len : all - have;
		const void *block = bytes;
		int r = 0;

		if (n < all) {
			block = fetch_gather(ft, bytes, n, have);
			r = block ? 0 : -ENOMEM;
		}
		if (!r && have + n == all)
			r = block_write(ft, block, from, all);
		if (r)
			return r;
		ft->at += n;
		bytes += n;
		len -= n;
		count_add(ft->c->counters, COUNTER_fill_bytes, n);
	}
	return 0;
}

static void fill_version(struct cache *c, const struct fill *f, char etag[ETAG_MAX])
{
	SCOPE_LOCK(&c->lock);
	memcpy(etag, f->etag, ETAG_MAX);
}

/*
 * Gets what is left of the range; goes on where a broken answer ended, as long as there is
 * progress.
 */
static int fetch_range(struct fetch *ft, const char *key, struct err *err)
{
	struct cache *c = ft->c;
	uint64_t end = block_end(ft->f, ft->first + ft->n - 1);
	unsigned int tries = c->config->network.tries;

	for (;;) {
		struct tier_call call = {.deadline = deadline_in(c, c->config->deadlines.read_ms)};
		uint64_t from = ft->at;
		char etag[ETAG_MAX];
		int r;

		fill_version(c, ft->f, etag);
		r = tier_get(c->store, &call, key, from, end - from, etag, &ft->sink);
		if (ft->at == end && (!r || (end > from && (r == -EIO || r == -ETIMEDOUT))))
			return 0; /* an end that was not clean, with all bytes here */
		if (!r)
			r = -EIO; /* shorter than it said */
		*err = call.err;
		if (ft->at == from && (!call.transient || --tries == 0 || r == -ETIMEDOUT))
			return r;
		if (r != -EIO && r != -ETIMEDOUT)
			return r;
	}
}

/* The store's own file, linked or cloned: no bytes move. */
static int fetch_share(struct fetch *ft, const char *key, struct err *err)
{
	struct tier_call call = {.deadline = deadline_in(ft->c, ft->c->config->deadlines.read_ms)};
	struct fill *f = ft->f;
	char name[LOCAL_ID_LEN + 1], etag[ETAG_MAX];
	struct record rec;
	int fd, r;

	record_init(&rec);
	fill_version(ft->c, f, etag);
	local_id_name(f->id, name);
	local_unlink_id(f->tier->partial_fd, f->id);
	r = tier_share(ft->c->store, &call, key, etag, f->tier->partial_fd, name, &rec);
	if (!r)
		r = fetch_begin(&ft->sink, &rec);
	record_release(&rec);
	if (r) {
		local_unlink_id(f->tier->partial_fd, f->id);
		*err = call.err;
	}
	fd = r ? local_create(f->tier->partial_fd, f->id)
	       : local_open_id(f->tier->partial_fd, f->id, O_RDONLY);
	if (fd < 0)
		return fd;
	dup3(fd, f->fd, O_CLOEXEC); /* readers keep the number */
	close(fd);
	if (!r)
		blocks_arrived(ft, 0, f->size);
	return r;
}

static int fetch_from(struct fetch *ft, const char *key, struct err *err)
{
	int r;

	if (!ft->share)
		return fetch_range(ft, key, err);
	r = fetch_share(ft, key, err);
	return r == -EXDEV || r == -EOPNOTSUPP || r == -EMLINK ? fetch_range(ft, key, err) : r;
}

struct fetch_ask {
	struct fetch *ft;
	struct err *err;
};

static int fetch_at(struct cache *c, const char *key, void *arg)
{
	const struct fetch_ask *ask = arg;

	(void)c;
	return fetch_from(ask->ft, key, ask->err);
}

static int fetch_named(struct fetch *ft, struct err *err)
{
	struct fetch_ask ask = {.ft = ft, .err = err};
	int r = fill_ask(ft->c, ft->f, fetch_at, &ask);

	return r == -EAGAIN ? -EIO : r;
}

/* --- the job --- */

#define RECORD_ROOM 4096

static uint64_t blocks_cost(const struct fill *f, uint32_t first, uint32_t n)
{
	uint64_t from = (uint64_t)first * FILL_BLOCK;

	return n ? local_round(block_end(f, first + n - 1) - from) : 0;
}

static int fetch_admit(struct fetch *ft)
{
	struct fill *f = ft->f;
	uint64_t bytes = blocks_cost(f, ft->first, ft->n), room;
	bool count;
	int r;

	{
		SCOPE_LOCK(&ft->c->lock);
		count = !f->counted;
		f->counted = true;
	}
	/* the first brings the block that the record may take beside the inode */
	room = bytes + (count ? RECORD_ROOM : 0);
	r = make_room(ft->c, f->tier, f->share, room, count);
	SCOPE_LOCK(&ft->c->lock);
	if (r && count)
		f->counted = false;
	if (r)
		return r;
	f->reserved += room;
	ft->announced = (int64_t)bytes;
	local_unwritten(f->tier, ft->announced);
	return 0;
}

/* A version that is not there any more: the obj has to be looked at again. */
static void fetch_gone(struct cache *c, struct fill *f, int r, int64_t asked_ns)
{
	struct obj *o;

	{
		SCOPE_LOCK(&c->lock);
		o = f->obj;
		if (!o)
			return;
		obj_get(o);
	}
	if (r == -ENOENT)
		obj_word(c, o, NULL, asked_ns);
	SCOPE_LOCK(&c->lock);
	if (o->exist == EX_PRESENT && o->checked_ns <= asked_ns)
		o->checked_ns = 0;
	obj_put_locked(c, o);
}

/*
 * What a request did not bring gives its room back, and is asked for again by who needs it. Lock
 * held
 */
static void blocks_failed(struct fetch *ft, int r)
{
	struct fill *f = ft->f;

	for (uint32_t b = ft->first; b < ft->first + ft->n; b++) {
		uint64_t cost = ft->announced ? blocks_cost(f, b, 1) : 0;

		if (f->state[b] != BLOCK_BUSY)
			continue;
		if (f->withholds && f->withheld == b) {
			f->withholds = false;
			f->n_present--;
		}
		f->state[b] = r == -ENOSPC ? BLOCK_EMPTY : BLOCK_FAILED;
		f->reserved -= cost;
		local_adjust(f->tier, -(int64_t)cost);
		share_add(f->share, -(int64_t)cost, 0);
	}
	if (!f->n_blocks)
		f->state[0] = BLOCK_FAILED;
	f->fail = r;
	f->failed_ns = clock_mono(ft->c->clock);
}

static void count_stale(struct list *waits)
{
	list_for_each(it, waits)
		list_entry(it, struct cache_wait, on_flight)->stale++;
}

/*
 * Books the end of a request. Returns what its waiters are told: 0, look again, or why the whole
 * fill is over.
 */
static int fetch_done(struct cache *c, struct fetch *ft, int r, struct list *out)
{
	SCOPE_LOCK(&c->lock);
	struct fill *f = ft->f;
	bool complete = f->n_blocks && f->n_present == f->n_blocks,
	     stale = r == -ESTALE || r == -ENOENT;
	int tell = 0;

	local_unwritten(f->tier, -ft->announced);
	if (r)
		blocks_failed(ft, r);
	if (stale || (complete && r && r != -ENOSPC)) {
		fill_abandon(c, f, stale ? -ESTALE : r, out);
		tell = stale ? 0 : r;
	} else if (r == -ENOSPC && f->obj) {
		f->error = r; /* no room: its readers are streamed to */
	}
	wake_collect(c, &f->waits, out);
	if (stale)
		count_stale(out);
	f->flights--;
	fill_check(c, f);
	return tell;
}

bool fetch_has_all(const struct fetch *ft)
{
	return !ft->n || ft->at == block_end(ft->f, ft->first + ft->n - 1);
}

/*
 * Bytes of a block that is not complete have no room any more. What lies behind the request is
 * another's.
 */
static void fetch_punch(const struct fetch *ft)
{
	uint64_t from = ft->at - ft->at % FILL_BLOCK;
	uint64_t end = (uint64_t)(ft->first + ft->n) * FILL_BLOCK;

	if (from < end)
		(void)fallocate(ft->f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, from,
				end - from);
}

/* Gets what is missing, and books the end. r: what came in between */
static void fetch_end(struct cache *c, struct fetch *ft, int r)
{
	struct fill *f = ft->f;
	struct err err = {{0}};
	int64_t asked_ns = clock_mono(c->clock);
	struct list out;
	bool last, alone;

	list_init(&out);
	if (!r && !(ft->lent && fetch_has_all(ft)))
		r = fetch_named(ft, &err);
	if (r == -ESTALE || r == -ENOENT)
		fetch_gone(c, f, r, asked_ns);
	else if (r && r != -ENOSPC)
		fill_note_error(c, f, r, err_text(&err, r));
	if (r && ft->announced)
		fetch_punch(ft);
	{
		SCOPE_LOCK(&c->lock);
		last = !r && !f->finishing && f->n_present == f->n_blocks;
		alone = last && !f->obj;
		f->finishing |= last;
	}
	if (alone)
		r = fill_finish_alone(c, f, &out);
	else if (last)
		r = fill_finish(c, f, &out);
	wake_all(&out, 0);
	r = fetch_done(c, ft, r, &out);
	wake_all(&out, r);
	free(ft->block);
	free(ft);
}

static void fetch_job(struct cache *c, void *arg)
{
	struct fetch *ft = arg;

	fetch_end(c, ft, fetch_admit(ft));
}

/* Lock held */
static struct fetch *fetch_new(struct cache *c, struct fill *f, uint32_t first, uint32_t n)
{
	struct fetch *ft = calloc(1, sizeof(*ft));

	if (!ft)
		return NULL;
	ft->sink.begin = fetch_begin;
	ft->sink.write = fetch_write;
	ft->c = c;
	ft->f = f;
	ft->first = first;
	ft->n = n;
	ft->at = (uint64_t)first * FILL_BLOCK;
	memset(f->state + first, BLOCK_BUSY, n);
	f->flights++;
	list_del(&f->idle);
	return ft;
}

int fetch_start(struct cache *c, struct fill *f, uint32_t first, uint32_t n)
{
	struct fetch *ft = fetch_new(c, f, first, n);

	if (!ft)
		return -ENOMEM;
	ft->share = !f->share_tried && n == f->n_blocks && tier_can(c->store, TIER_CAP_SHARE);
	f->share_tried = true;
	job_run(c, POOL_FOREGROUND, fetch_job, ft);
	return 0;
}

/* --- lent to another's request --- */

/* Lock held */
static bool may_keep(struct cache *c, struct obj *o, const struct record *rec)
{
	return o->exist == EX_PRESENT && !o->wr && !o->fill && S_ISREG(o->mode) &&
	       !(o->flags & (OBJ_RES_DISK | OBJ_RES_RAM | OBJ_ORPHAN | OBJ_BUSY | OBJ_ARCHIVED)) &&
	       o->size == rec->size && o->etag && !strcmp(o->etag, rec->etag) &&
	       !obj_expired(c, o) && obj_keeps(c, o);
}

struct fetch *fetch_lend(struct cache *c, struct obj *o, const struct record *rec)
{
	SCOPE_LOCK(&c->lock);
	struct fetch *ft = NULL;
	struct fill *f;
	int err;

	f = may_keep(c, o, rec) ? fill_get(c, o, &err) : NULL;
	if (!f)
		return NULL;
	if (!f->flights && !f->files && !f->n_present && !f->error && f->size == rec->size)
		ft = fetch_new(c, f, 0, f->n_blocks);
	if (!ft) {
		fill_check(c, f);
		return NULL;
	}
	ft->lent = 1;
	o->flags |= OBJ_BROUGHT;
	if (rec->known & REC_XXH3)
		f->xxh3 = rec->xxh3;
	return ft;
}

void fetch_lent_write(struct fetch *ft, const void *buf, size_t len, uint64_t off)
{
	int r = 0;

	if (ft->lent > 0 && !ft->announced)
		r = fetch_admit(ft);
	if (!r && ft->lent > 0)
		r = fetch_write(&ft->sink, buf, len, off);
	if (r)
		ft->lent = r;
}

void fetch_lent_end(struct cache *c, struct fetch *ft)
{
	int r = ft->lent < 0 ? ft->lent : 0;

	if (!r && !ft->announced)
		r = fetch_admit(ft);
	fetch_end(c, ft, r);
}
