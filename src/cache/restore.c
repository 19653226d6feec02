/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open files after a supervised restart: each is made again from what its slot says, without any
 * network.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cache/internal.h"
#include "cache/session.h"

/* The obj of a slot: that of its key, or an orphan. A new reference. */
static struct obj *slot_obj(struct cache *c, const char *key)
{
	struct obj *o;

	{
		SCOPE_LOCK(&c->lock);
		o = key ? tree_make(c, key) : obj_new(c, NULL, "");
		if (o && !key) {
			o->flags |= OBJ_ORPHAN | OBJ_PROBED;
			obj_default_attr(c, o, S_IFREG);
		}
	}
	if (o && key)
		(void)body_probe(c, o);
	return o;
}

static int file_with_fd(struct cache *c, struct obj *o, struct cfile_state *slot, int fd,
			struct cfile **ret)
{
	struct cfile_state was = *slot;
	struct stat st;

	SCOPE_LOCK(&c->lock);
	*ret = cfile_new(c, o, was.flags, slot);
	if (!*ret) {
		close(fd);
		return -ENOMEM;
	}
	*slot = was;
	(*ret)->fd = fd;
	if (!fstat(fd, &st)) {
		(*ret)->ino = st.st_ino;
		if (o->flags & OBJ_ORPHAN)
			o->size = st.st_size;
	}
	return 0;
}

static int restore_body(struct cache *c, struct obj *o, struct cfile_state *slot,
			struct cfile **ret)
{
	struct local *l;
	int fd;

	{ /* what the kernel has as the backing file */
		SCOPE_LOCK(&c->lock);
		fd = body_open_in(c, o, slot->tier == LOCAL_RAM ? c->ram : c->disk, &l);
	}
	if (fd < 0)
		return fd == -ENOENT ? -ESTALE : fd;
	if (slot->etag[0] && o->etag && strcmp(slot->etag, o->etag) != 0 && o->exist != EX_LOCAL) {
		close(fd);
		return -ESTALE;
	}
	slot->tier = l->kind;
	slot->kind = CFILE_BODY;
	return file_with_fd(c, o, slot, fd, ret);
}

/* A displaced body is not found by the scan: the first of its files brings its room along. */
static void open_id_charged(struct cache *c, struct obj *o, struct local *l, uint64_t id, int fd)
{
	SCOPE_LOCK(&c->lock);
	list_for_each(it, &o->files) {
		struct cfile *f = list_entry(it, struct cfile, on_obj);

		if (f->slot->kind == CFILE_OPEN_ID && f->slot->id == id)
			return;
	}
	local_adjust(l, (int64_t)local_cost(fd));
}

static int restore_open_id(struct cache *c, struct obj *o, struct cfile_state *slot,
			   struct cfile **ret)
{
	struct local *l = slot->tier == LOCAL_RAM ? c->ram : c->disk;
	int fd = l ? local_open_id(l->open_fd, slot->id, O_RDONLY) : -ESTALE;

	if (fd < 0)
		return -ESTALE;
	open_id_charged(c, o, l, slot->id, fd);
	return file_with_fd(c, o, slot, fd, ret);
}

/* A fill begins again; the version is the one that the slot names. */
static int restore_fill(struct cache *c, struct obj *o, struct cfile_state *slot,
			struct cfile **ret)
{
	struct cfile_state was = *slot;
	struct fill *f;
	int r = -ENOMEM;

	SCOPE_LOCK(&c->lock);
	if (o->exist == EX_UNKNOWN) {
		obj_default_attr(c, o, S_IFREG);
		o->size = was.size;
		(void)obj_set_etag(o, was.etag);
		o->known |= REC_SIZE | REC_ETAG;
		obj_set_exist(o, EX_PRESENT);
	}
	if (o->flags & OBJ_ORPHAN || o->size != was.size ||
	    strcmp(o->etag ? o->etag : "", was.etag) != 0)
		return -ESTALE;
	f = has_store(c) ? fill_get(c, o, &r) : NULL;
	if (!f)
		return r == -EAGAIN ? -ESTALE : r;
	*ret = cfile_new(c, o, was.flags, slot);
	if (!*ret)
		return -ENOMEM;
	*slot = was;
	(*ret)->fill = f;
	f->files++;
	f->had_files = true;
	list_del(&f->idle);
	return 0;
}

/* --- writers --- */

static int remember_orphan(struct cache *c, uint64_t id)
{
	uint64_t *v = realloc(c->orphans, (c->n_orphans + 1) * sizeof(*v));

	if (!v)
		return -ENOMEM;
	c->orphans = v;
	v[c->n_orphans++] = id;
	return 0;
}

/* What the object is, as far as only its staging file knows. Lock held */
static void record_of_staging(struct obj *o, int fd)
{
	struct record rec;

	record_init(&rec);
	if (o->exist == EX_UNKNOWN && !record_from_fd(&rec, fd)) {
		rec.known &= ~(REC_SIZE | REC_ETAG | REC_XXH3);
		(void)obj_set_record(o, &rec);
	}
	record_release(&rec);
}

/* Lock held */
static int restore_session(struct cache *c, struct obj *o, const struct cfile_state *slot, int fd)
{
	struct wsession *wr;

	if (o->wr) {
		close(fd);
		return o->wr->id == slot->id ? 0 : -ESTALE;
	}
	record_of_staging(o, fd);
	wr = session_new(c, o, slot->id, fd, false);
	if (!wr) {
		close(fd);
		return -ENOMEM;
	}
	wr->created = slot->created;
	wr->changed = wr->dirtied = true;
	wr->put_seq = slot->put_seq;
	wr->size = wr->claimed = wr->look_size;
	wr->holes = local_cost(fd) < wr->size;
	session_settle(c, wr);
	wr->counted = c->disk;
	if (c->disk)
		atomic_fetch_add(&c->disk->objects, 1);
	wr->base.cond = slot->created ? TIER_IF_ABSENT : slot->etag[0] ? TIER_IF_MATCH : TIER_ANY;
	memcpy(wr->base.etag, slot->etag, sizeof(wr->base.etag));
	if (o->flags & OBJ_ORPHAN)
		return remember_orphan(c, slot->id);
	if (!(o->known & REC_MODE))
		obj_default_attr(c, o, S_IFREG);
	wr->replaced = o->flags & OBJ_RES_DISK;
	if (wr->replaced) {
		wr->old_cost = o->disk.cost;
		local_adjust(c->disk, (int64_t)o->disk.cost);
		body_gone(c, o, c->disk);
	}
	session_share(wr);
	o->flags |= OBJ_PROBED;
	obj_set_exist(o, EX_LOCAL);
	for (struct obj *dir = o->parent; dir && dir->parent; dir = dir->parent)
		if (!obj_live(dir))
			obj_set_exist(dir, EX_PRESENT);
	return 0;
}

static int restore_write(struct cache *c, struct obj *o, struct cfile_state *slot,
			 struct cfile **ret)
{
	bool writer = (slot->flags & O_ACCMODE) != O_RDONLY || slot->flags & O_TRUNC;
	int fd = local_open_id(c->staging_fd, slot->id, writer ? O_RDWR : O_RDONLY), r;

	if (fd < 0)
		return writer ? -ESTALE : restore_body(c, o, slot, ret); /* published meanwhile */
	if (writer) {
		SCOPE_LOCK(&c->lock);
		r = restore_session(c, o, slot, dup(fd));
		if (!r)
			o->wr->writers++;
		if (r) {
			close(fd);
			return r;
		}
	}
	r = file_with_fd(c, o, slot, fd, ret);
	if (!r)
		(*ret)->writer = writer;
	return r;
}

int cache_restore(struct cache *c, const char *key, struct cfile_state *slot, struct obj **ret_obj,
		  struct cfile **ret_file)
{
	struct obj *o = slot_obj(c, key);
	int r;

	if (!o)
		return -ENOMEM;
	switch (slot->kind) {
	case CFILE_BODY:
		r = restore_body(c, o, slot, ret_file);
		break;
	case CFILE_OPEN_ID:
		r = restore_open_id(c, o, slot, ret_file);
		break;
	case CFILE_FILL:
		r = o->flags & (OBJ_RES_DISK | OBJ_RES_RAM) ? restore_body(c, o, slot, ret_file)
							    : restore_fill(c, o, slot, ret_file);
		break;
	case CFILE_WRITE:
		r = restore_write(c, o, slot, ret_file);
		break;
	default:
		r = -EINVAL;
	}
	if (r) {
		obj_unref(c, o);
		return r;
	}
	*ret_obj = o;
	return 0;
}
