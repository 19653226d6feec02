/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fill: brings an object's bytes from the store into a partial body, by ranges and in parallel.
 *	a block	EMPTY --fill_want--> BUSY --bytes written--> PRESENT
 *		  '---told--- FAILED <-'
 *
 * A block is PRESENT only after its bytes are in the file: a hole is never trusted. All bytes of
 * one fill are of one version. Readers that wait are woken by each block and look again.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cache/internal.h"
#include "cache/where.h"
#include "util/fsutil.h"

#define FETCH_BLOCKS 32 /* 4 MiB a request */
#define FETCH_FLIGHTS 8 /* requests of one fill at the same time */
/* A failure that nobody waited for is no answer for longer than that. */
#define FAILURE_NS NSEC_PER_SEC

/* One request: blocks [first, first + n). */
struct fetch {
	struct tier_sink sink; /* first: the sink is the fetch */
	struct cache *c;
	struct fill *f;
	uint32_t first, n;
	uint64_t at; /* next byte that is expected */
	bool share;
	int64_t announced; /* bytes that min_free counts before they are written */
};

static uint64_t block_end(const struct fill *f, uint32_t block)
{
	uint64_t end = (uint64_t)(block + 1) * FILL_BLOCK;

	return end < f->size ? end : f->size;
}

/* --- life --- */

static void fill_free(struct cache *c, struct fill *f)
{
	list_del(&f->idle);
	local_adjust(f->tier, -(int64_t)f->reserved);
	if (f->counted)
		local_unreserve(f->tier, 0, true);
	local_unlink_id(f->tier->partial_fd, f->id);
	if (f->fd >= 0)
		close(f->fd);
	c->n_fills--;
	free(f->state);
	free(f->key);
	free(f);
}

/* Nobody needs it any more: it goes. Attached ones that nobody reads stay for a while. Lock held */
static void fill_check(struct cache *c, struct fill *f)
{
	if (f->files || f->flights)
		return;
	if (!f->obj) {
		assert(list_empty(&f->waits));
		fill_free(c, f);
	} else if (list_empty(&f->idle)) {
		list_add_tail(&c->idle_fills, &f->idle);
	}
}

static struct fill *fill_new(struct cache *c, struct obj *o)
{
	struct fill *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->cache = c;
	f->tier = body_tier(c);
	f->fd = -1;
	f->size = o->size;
	f->n_blocks = (o->size + FILL_BLOCK - 1) / FILL_BLOCK;
	f->state = calloc(f->n_blocks + 1, 1);
	f->key = obj_key_locked(o);
	f->xxh3 = o->known & REC_XXH3 ? o->xxh3 : (struct xxh3){{0}};
	if (o->etag)
		memcpy(f->etag, o->etag, strlen(o->etag) + 1);
	list_init(&f->waits);
	list_init(&f->idle);
	f->id = id_next(c);
	c->n_fills++;
	if (!f->state || !f->key) {
		fill_free(c, f);
		return NULL;
	}
	return f;
}

static bool fresh_failure(struct cache *c, const struct fill *f)
{
	return clock_mono(c->clock) - f->failed_ns < FAILURE_NS;
}

struct fill *fill_get(struct cache *c, struct obj *o, int *ret_err)
{
	struct fill *f = o->fill;

	if (f) {
		if (f->error == -ENOSPC && !f->declined && !fresh_failure(c, f))
			f->error = 0; /* there may be room by now */
		return f;
	}
	*ret_err = -ENOMEM;
	f = fill_new(c, o);
	if (!f)
		return NULL;
	pthread_mutex_unlock(&c->lock);
	f->fd = local_create(f->tier->partial_fd, f->id);
	pthread_mutex_lock(&c->lock);
	if (f->fd < 0 || o->fill || o->wr || !obj_live(o) ||
	    o->flags & (OBJ_RES_DISK | OBJ_RES_RAM | OBJ_ORPHAN) || f->size != o->size ||
	    strcmp(f->etag, o->etag ? o->etag : "") != 0) {
		*ret_err = f->fd < 0 ? f->fd : -EAGAIN; /* the world moved on: look again */
		fill_free(c, f);
		return o->fill;
	}
	f->obj = o;
	o->fill = f;
	return f;
}

void fill_unuse(struct cache *c, struct fill *f)
{
	f->files--;
	if (!f->files && f->obj && f->error)
		fill_detach(c, f->obj); /* the next one tries anew */
	else
		fill_check(c, f);
}

void fill_detach(struct cache *c, struct obj *o)
{
	struct fill *f = o->fill;
	char *key = obj_key_locked(o);

	if (key) {
		free(f->key);
		f->key = key;
	}
	o->fill = NULL;
	f->obj = NULL;
	list_del(&f->idle);
	if (list_empty(&f->waits))
		fill_check(c, f);
}

void fill_abandon(struct cache *c, struct fill *f, int err, struct list *out)
{
	if (!f->error)
		f->error = err;
	wake_collect(c, &f->waits, out);
	if (f->obj)
		fill_detach(c, f->obj);
	else
		fill_check(c, f);
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

static void blocks_arrived(struct fetch *ft, uint64_t from, uint64_t to)
{
	struct fill *f = ft->f;
	struct list out;

	list_init(&out);
	{
		SCOPE_LOCK(&ft->c->lock);
		for (uint32_t b = from / FILL_BLOCK; b < f->n_blocks && block_end(f, b) <= to;
		     b++) {
			if (f->state[b] == BLOCK_PRESENT)
				continue;
			f->state[b] = BLOCK_PRESENT;
			f->n_present++;
		}
		if (f->n_present < f->n_blocks || f->had_files)
			wake_collect(ft->c, &f->waits, &out);
	}
	wake_all(&out, 0);
}

static int fetch_write(struct tier_sink *sink, const void *buf, size_t len, uint64_t off)
{
	struct fetch *ft = (struct fetch *)sink;
	struct fill *f = ft->f;
	uint64_t from = ft->at;
	int r;

	if (off != ft->at || off + len > block_end(f, ft->first + ft->n - 1))
		return -EIO;
	r = fs_pwrite_full(f->fd, buf, len, off);
	if (r)
		return r;
	ft->at += len;
	count_add(ft->c->counters, COUNTER_fill_bytes, len);
	if (from / FILL_BLOCK != ft->at / FILL_BLOCK || ft->at == f->size)
		blocks_arrived(ft, from - from % FILL_BLOCK, ft->at);
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

static uint64_t blocks_cost(const struct fill *f, uint32_t first, uint32_t n)
{
	uint64_t from = (uint64_t)first * FILL_BLOCK;

	return n ? (block_end(f, first + n - 1) - from + 4095) & ~4095ull : 0;
}

static int fetch_admit(struct fetch *ft)
{
	struct fill *f = ft->f;
	uint64_t bytes = blocks_cost(f, ft->first, ft->n);
	bool count;
	int r;

	{
		SCOPE_LOCK(&ft->c->lock);
		count = !f->counted;
		f->counted = true;
	}
	r = make_room(ft->c, f->tier, bytes, count);
	SCOPE_LOCK(&ft->c->lock);
	if (r && count)
		f->counted = false;
	if (r)
		return r;
	f->reserved += bytes;
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
		f->state[b] = r == -ENOSPC ? BLOCK_EMPTY : BLOCK_FAILED;
		f->reserved -= cost;
		local_adjust(f->tier, -(int64_t)cost);
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

static void fetch_job(struct cache *c, void *arg)
{
	struct fetch *ft = arg;
	struct fill *f = ft->f;
	struct err err = {{0}};
	struct list out;
	int64_t asked_ns;
	bool last;
	int r = fetch_admit(ft);

	list_init(&out);
	asked_ns = clock_mono(c->clock);
	if (!r)
		r = fetch_named(ft, &err);
	if (r == -ESTALE || r == -ENOENT)
		fetch_gone(c, f, r, asked_ns);
	else if (r && r != -ENOSPC)
		fill_note_error(c, f, r, err_text(&err, r));
	if (r && ft->announced)
		fetch_punch(ft);
	{
		SCOPE_LOCK(&c->lock);
		last = !r && f->obj && !f->finishing && f->n_present == f->n_blocks;
		f->finishing |= last;
	}
	if (last)
		r = fill_finish(c, f, &out);
	wake_all(&out, 0);
	r = fetch_done(c, ft, r, &out);
	wake_all(&out, r);
	free(ft);
}

static int fetch_start(struct cache *c, struct fill *f, uint32_t first, uint32_t n)
{
	struct fetch *ft = calloc(1, sizeof(*ft));

	if (!ft)
		return -ENOMEM;
	ft->sink.begin = fetch_begin;
	ft->sink.write = fetch_write;
	ft->c = c;
	ft->f = f;
	ft->first = first;
	ft->n = n;
	ft->at = (uint64_t)first * FILL_BLOCK;
	ft->share = !f->share_tried && n == f->n_blocks && tier_can(c->store, TIER_CAP_SHARE);
	f->share_tried = true;
	memset(f->state + first, BLOCK_BUSY, n);
	f->flights++;
	list_del(&f->idle);
	job_run(c, POOL_FOREGROUND, fetch_job, ft);
	return 0;
}

/* Requests for the empty blocks of [first, end), `most` blocks each at most. */
static int fetch_blocks(struct cache *c, struct fill *f, uint32_t first, uint32_t end,
			uint32_t most)
{
	while (first < end) {
		uint32_t n = 0;
		int r;

		while (first < end && f->state[first] != BLOCK_EMPTY)
			first++;
		while (first + n < end && n < most && f->state[first + n] == BLOCK_EMPTY)
			n++;
		if (!n)
			return 0;
		r = fetch_start(c, f, first, n);
		if (r)
			return r;
		first += n;
	}
	return 0;
}

/* Why blocks of [first, end) did not come, told once; from then on they are asked for again. */
static int take_failure(struct cache *c, struct fill *f, uint32_t first, uint32_t end)
{
	bool found = false;

	for (uint32_t b = first; b < (f->n_blocks ? end : 1); b++) {
		if (f->state[b] != BLOCK_FAILED)
			continue;
		f->state[b] = BLOCK_EMPTY;
		found = true;
	}
	return found && fresh_failure(c, f) ? f->fail : 0;
}

int fill_want(struct cache *c, struct fill *f, uint64_t off, uint64_t len, uint64_t ahead)
{
	uint32_t first = off / FILL_BLOCK, end = (off + len + FILL_BLOCK - 1) / FILL_BLOCK, far;
	bool missing = !f->n_blocks;
	int r = 0;

	end = end < f->n_blocks ? end : f->n_blocks;
	for (uint32_t b = first; b < end && !missing; b++)
		missing = f->state[b] != BLOCK_PRESENT;
	if (f->error)
		return missing ? f->error : 0;
	r = take_failure(c, f, first, end);
	if (r)
		return r;
	if (!f->n_blocks)
		return f->flights || !(r = fetch_start(c, f, 0, 0)) ? 1 : r;
	far = (off + len + ahead) / FILL_BLOCK;
	far = far < f->n_blocks ? far : f->n_blocks;
	if (tier_can(c->store, TIER_CAP_SHARE) && !f->share_tried && missing)
		r = fetch_start(c, f, 0, f->n_blocks);
	else if (missing)
		r = fetch_blocks(c, f, first,
				 ahead ? (end + FETCH_BLOCKS < far ? end + FETCH_BLOCKS
					  : far > end		   ? far
								   : end)
				       : end,
				 FETCH_BLOCKS);
	/* Ahead of the reader in whole requests only, so that they stay large. */
	for (uint32_t b = end; !r && ahead && b < far && f->flights < FETCH_FLIGHTS; b++) {
		uint32_t n = 0;

		while (b + n < f->n_blocks && n < FETCH_BLOCKS && f->state[b + n] == BLOCK_EMPTY)
			n++;
		if (n == FETCH_BLOCKS || (n && b + n == f->n_blocks))
			r = fetch_start(c, f, b, n);
		b += n ? n - 1 : 0;
	}
	return r ? r : missing;
}
