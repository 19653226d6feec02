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
#include "util/fsutil.h"

#define FETCH_BLOCKS 32 /* 4 MiB a request */
#define FETCH_FLIGHTS 8 /* requests of one fill at the same time */
/* A failure that nobody waited for is no answer for longer than that. */
#define FAILURE_NS NSEC_PER_SEC

/* --- life --- */

static void fill_free(struct cache *c, struct fill *f)
{
	list_del(&f->idle);
	local_adjust(f->tier, -(int64_t)f->reserved);
	share_add(f->share, -(int64_t)f->reserved, f->counted ? -1 : 0);
	if (f->counted)
		local_unreserve(f->tier, 0, true);
	if (!f->published)
		local_unlink_id(f->tier->partial_fd, f->id);
	if (f->fd >= 0)
		close(f->fd);
	c->n_fills--;
	free(f->state);
	free(f->key);
	free(f);
}

void fill_check(struct cache *c, struct fill *f)
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
	f->tier = obj_home(c, o);
	if (!f->tier)
		f->tier = body_tier(c); /* for who will write to it; readers are streamed to */
	f->share = share_of(c, o, f->tier);
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
