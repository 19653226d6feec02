/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a fill: all of its bytes are here; if they are the right ones, they become the
 * object's body.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cache/internal.h"

/*
 * All bytes are here: right ones? 0, or -EIO. The sum of a foreign object is kept for the next
 * time.
 */
static int fill_verify(struct fill *f)
{
	struct xxh3 got = f->got;
	int r = xxh3_known(&got) ? 0 : xxh3_of_fd(f->fd, f->size, &got);

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
static bool fill_take_record(struct cache *c, struct fill *f, char **ret_key,
			     struct record *ret_rec)
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

	uint64_t reserved = f->reserved;
	int counted = f->counted;

	local_adjust(f->tier, (int64_t)cost - (int64_t)f->reserved);
	f->reserved = 0;
	if (!f->counted)
		atomic_fetch_add(&f->tier->objects, 1);
	f->counted = false;
	body_added(c, o, f->tier, cost);
	share_add(f->share, -(int64_t)reserved, -counted);
	o->flags &= ~OBJ_SUSPECT;
	if (f->had_files)
		o->epoch++;
	list_for_each(it, &o->files) {
		struct cfile *cf = list_entry(it, struct cfile, on_obj);

		if (cf->fill != f || cf->slot->kind == CFILE_NONE)
			continue;
		cf->slot->tier = f->tier->kind;
		cf->slot->kind = CFILE_BODY;
	}
	wake_collect(c, &f->waits, out);
	fill_detach(c, o);
	promote_filled(c, o);
}

static int fill_publish(struct cache *c, struct fill *f, struct list *out)
{
	CLEANUP_FREE char *key = NULL;
	struct record rec;
	int r = -ESTALE;

	record_init(&rec);
	SCOPE_LOCK(&c->ns);
	if (fill_take_record(c, f, &key, &rec))
		r = local_body_publish_fd(f->tier, f->fd, f->tier->partial_fd, f->id, key, &rec,
					  false);
	record_release(&rec);
	if (!r) {
		f->published = true;
		fill_attach_body(c, f, out);
	}
	return r;
}

/* Of its obj, or the last that it had. */
static char *fill_key(struct cache *c, const struct fill *f)
{
	SCOPE_LOCK(&c->lock);
	return f->obj ? obj_key_locked(f->obj) : strdup(f->key);
}

void fill_note_error(struct cache *c, struct fill *f, int r, const char *text)
{
	CLEANUP_FREE char *key = fill_key(c, f);

	if (key)
		cache_note_error(c, key, r, text);
}

/* Its bytes are right: the block that was held back may be read. */
static void fill_give(struct cache *c, struct fill *f, struct list *out)
{
	SCOPE_LOCK(&c->lock);
	if (!f->withholds)
		return;
	f->withholds = false;
	f->state[f->withheld] = BLOCK_PRESENT;
	wake_collect(c, &f->waits, out);
}

int fill_finish_alone(struct cache *c, struct fill *f, struct list *out)
{
	int r = fill_verify(f);

	if (!r)
		fill_give(c, f, out);
	if (r == -EIO)
		fill_note_error(c, f, r,
				"the bytes do not have the checksum that was stored with them");
	return r;
}

/* The last block arrived with this request. */
int fill_finish(struct cache *c, struct fill *f, struct list *out)
{
	int r = fill_finish_alone(c, f, out);

	return r ? r : fill_publish(c, f, out);
}
