/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fill: brings an object's bytes from the store into a partial body, by ranges and in parallel, and makes it a body
 * when all of it is here and its checksum is right.
 *
 *	a block	EMPTY --fill_want--> BUSY --bytes written--> PRESENT
 *		  ^------------failed----'
 *
 * A block is PRESENT only after its bytes are in the file: a hole is never trusted. All bytes of one fill are asked for
 * with the same version, so that two versions never mix. Readers that wait are woken whenever a block arrives and look again.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cache/internal.h"
#include "util/fsutil.h"

#define FETCH_BLOCKS 32	 /* 4 MiB a request */
#define FETCH_FLIGHTS 8	 /* requests of one fill at the same time */

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
	if (f->reserved)
		local_unreserve(f->tier, f->reserved, true);
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

struct fill *fill_get(struct cache *c, struct obj *o, int *ret_err)
{
	struct fill *f;

	if (o->fill)
		return o->fill;
	*ret_err = -ENOMEM;
	f = fill_new(c, o);
	if (!f)
		return NULL;
	pthread_mutex_unlock(&c->lock);
	f->fd = local_create(f->tier->partial_fd, f->id);
	pthread_mutex_lock(&c->lock);
	if (f->fd < 0 || o->fill || o->wr || !obj_live(o) || o->flags & (OBJ_RES_DISK | OBJ_RES_RAM)) {
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
	fill_check(c, f);
}

void fill_detach(struct cache *c, struct obj *o)
{
	struct fill *f = o->fill;

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

int fill_evict_idle(struct cache *c)
{
	SCOPE_LOCK(&c->lock);

	if (list_empty(&c->idle_fills))
		return 0;
	fill_detach(c, list_entry(c->idle_fills.next, struct fill, idle)->obj);
	return 1;
}

/* --- a request --- */

/* The answer's head: the version must be ours. It also tells what a listing could not. */
static int fetch_begin(struct tier_sink *sink, const struct record *rec)
{
	struct fetch *ft = (struct fetch *)sink;
	struct fill *f = ft->f;
	bool told = false;
	struct obj *o;

	if (rec->size != f->size || (f->etag[0] && strcmp(rec->etag, f->etag) != 0))
		return -ESTALE;
	{
		SCOPE_LOCK(&ft->c->lock);
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
		for (uint32_t b = from / FILL_BLOCK; b < f->n_blocks && block_end(f, b) <= to; b++) {
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

/* Gets what is left of the range; goes on where a broken answer ended, as long as there is progress. */
static int fetch_range(struct fetch *ft, const char *key, struct err *err)
{
	struct cache *c = ft->c;
	uint64_t end = block_end(ft->f, ft->first + ft->n - 1);
	unsigned int tries = c->config->network.tries;

	for (;;) {
		struct tier_call call = {.deadline = deadline_in(c, c->config->deadlines.read_ms)};
		uint64_t from = ft->at;
		int r = tier_get(c->store, &call, key, from, end - from, ft->f->etag, &ft->sink);

		if (!r && ft->at == end)
			return 0;
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
	char name[LOCAL_ID_LEN + 1];
	struct record rec;
	int fd, r;

	record_init(&rec);
	local_id_name(f->id, name);
	local_unlink_id(f->tier->partial_fd, f->id);
	r = tier_share(ft->c->store, &call, key, f->etag, f->tier->partial_fd, name, &rec);
	if (!r)
		r = fetch_begin(&ft->sink, &rec);
	record_release(&rec);
	if (r) {
		local_unlink_id(f->tier->partial_fd, f->id);
		*err = call.err;
	}
	fd = r ? local_create(f->tier->partial_fd, f->id) : local_open_id(f->tier->partial_fd, f->id, O_RDONLY);
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

/* --- the end of a fill --- */

/* All bytes are here: right ones? 0, or -EIO. The sum of a foreign object is kept for the next time. */
static int fill_verify(struct fill *f)
{
	struct xxh3 got;
	int r = xxh3_of_fd(f->fd, f->size, &got);

	if (r)
		return r;
	if (xxh3_known(&f->xxh3) && !xxh3_equal(&f->xxh3, &got)) {
		count_one(f->cache->counters, COUNTER_corruptions);
		return -EIO;
	}
	f->xxh3 = got;
	return 0;
}

/* The obj takes the body over, if it still is that version. ns held */
static bool fill_take_record(struct cache *c, struct fill *f, char **ret_key, struct record *ret_rec)
{
	SCOPE_LOCK(&c->lock);
	struct obj *o = f->obj;

	if (!o || o->wr || !obj_live(o) || o->flags & (OBJ_ORPHAN | OBJ_BUSY))
		return false;
	o->xxh3 = f->xxh3;
	o->known |= REC_XXH3;
	*ret_key = obj_key_locked(o);
	return *ret_key && !obj_to_record(o, ret_rec);
}

static void fill_attach_body(struct cache *c, struct fill *f, struct list *out)
{
	SCOPE_LOCK(&c->lock);
	struct obj *o = f->obj;
	uint64_t cost = local_cost(f->fd);

	local_adjust(f->tier, (int64_t)cost - (int64_t)f->reserved);
	f->reserved = 0;
	body_added(c, o, f->tier, cost);
	o->flags &= ~OBJ_SUSPECT;
	if (f->had_files)
		o->epoch++;
	list_for_each(it, &o->files) {
		struct cfile *cf = list_entry(it, struct cfile, on_obj);

		if (cf->fill != f)
			continue;
		cf->slot->tier = f->tier->kind;
		cf->slot->kind = CFILE_BODY;
	}
	wake_collect(c, &f->waits, out);
	fill_detach(c, o);
}

static int fill_publish(struct cache *c, struct fill *f, struct list *out)
{
	CLEANUP_FREE char *key = NULL;
	struct record rec;
	int r = -ESTALE;

	record_init(&rec);
	SCOPE_LOCK(&c->ns);
	if (fill_take_record(c, f, &key, &rec))
		r = local_body_publish(f->tier, f->tier->partial_fd, f->id, key, &rec, false);
	record_release(&rec);
	if (!r)
		fill_attach_body(c, f, out);
	return r;
}

/* The last block arrived with this request. */
static int fill_finish(struct cache *c, struct fill *f, struct list *out)
{
	int r = fill_verify(f);

	if (!r)
		r = fill_publish(c, f, out);
	if (r == -EIO)
		cache_note_error(c, f->key, r, "the bytes do not have the checksum that was stored with them");
	return r;
}

/* --- the job --- */

static int fetch_admit(struct fetch *ft)
{
	struct fill *f = ft->f;
	uint64_t from = (uint64_t)ft->first * FILL_BLOCK, bytes = block_end(f, ft->first + ft->n - 1) - from;
	int r;

	bytes = (bytes + 4095) & ~4095ull;
	r = make_room(ft->c, f->tier, bytes, !f->reserved);
	if (!r) {
		SCOPE_LOCK(&ft->c->lock);
		f->reserved += bytes;
		ft->announced = (int64_t)bytes;
		local_unwritten(f->tier, ft->announced);
	}
	return r;
}

/* A version that is not there any more: the obj has to be looked at again. */
static void fetch_gone(struct cache *c, struct fill *f, int r)
{
	struct obj *o;

	{
		SCOPE_LOCK(&c->lock);
		o = f->obj;
		if (!o)
			return;
		obj_get(o);
		o->checked_ns = 0;
	}
	if (r == -ENOENT)
		obj_word(c, o, NULL, INT64_MAX);
	obj_unref(c, o);
}

/* Books the end of a request; the blocks that did not come are asked for again by who needs them. */
static void fetch_done(struct cache *c, struct fetch *ft, int r, struct list *out)
{
	SCOPE_LOCK(&c->lock);
	struct fill *f = ft->f;

	local_unwritten(f->tier, -ft->announced);
	for (uint32_t b = ft->first; b < ft->first + ft->n; b++)
		if (f->state[b] == BLOCK_BUSY)
			f->state[b] = BLOCK_EMPTY;
	if (r == -ESTALE || r == -ENOENT || (r == -EIO && f->n_present == f->n_blocks))
		fill_abandon(c, f, r == -ENOENT ? -ESTALE : r, out);
	else if (r)
		wake_collect(c, &f->waits, out);
	else if (f->n_present == f->n_blocks)
		wake_collect(c, &f->waits, out);
	if (r == -ENOSPC && f->obj)
		f->error = -ENOSPC; /* no room: its readers are streamed to */
	f->flights--;
	fill_check(c, f);
}

static void fetch_job(struct cache *c, void *arg)
{
	struct fetch *ft = arg;
	struct fill *f = ft->f;
	CLEANUP_FREE char *at = NULL;
	struct err err = {{0}};
	struct list out;
	bool last;
	int r = fetch_admit(ft);

	list_init(&out);
	if (!r) {
		at = store_key(c, f->key);
		r = at ? fetch_from(ft, at, &err) : -ENOMEM;
		if (r == -ENOENT && strcmp(at, f->key) != 0)
			r = fetch_from(ft, f->key, &err);
	}
	if (r == -ESTALE || r == -ENOENT)
		fetch_gone(c, f, r);
	else if (r && r != -ENOSPC)
		cache_note_error(c, f->key, r, err_text(&err, r));
	{
		SCOPE_LOCK(&c->lock);
		last = !r && f->flights == 1 && f->n_present == f->n_blocks && f->obj;
	}
	if (last)
		r = fill_finish(c, f, &out);
	fetch_done(c, ft, r, &out);
	wake_all(&out, r == -ENOSPC ? 0 : r == -ENOENT ? -ESTALE : r);
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
static int fetch_blocks(struct cache *c, struct fill *f, uint32_t first, uint32_t end, uint32_t most)
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
	if (!f->n_blocks)
		return f->flights || !(r = fetch_start(c, f, 0, 0)) ? 1 : r;
	far = (off + len + ahead) / FILL_BLOCK;
	far = far < f->n_blocks ? far : f->n_blocks;
	if (tier_can(c->store, TIER_CAP_SHARE) && !f->share_tried && missing)
		r = fetch_start(c, f, 0, f->n_blocks);
	else if (missing)
		r = fetch_blocks(c, f, first, ahead ? (end + FETCH_BLOCKS < far ? end + FETCH_BLOCKS : far > end ? far : end)
						    : end, FETCH_BLOCKS);
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
