/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recovery: the journal's entries become the tree again, files that a crash left half-way are
 * finished or dropped, and, after a supervised restart, open files live on.
 *
 * What becomes of a put whose writer never closed (HELD): it is kept as its last flush or fsync
 * saw it; what was appended after that is cut off; an empty file that was never released is
 * dropped (a shell makes one before its command writes).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cache/internal.h"
#include "util/fsutil.h"

/* Directories above what is ours exist as long as it does. Lock held */
static void parents_exist(struct obj *o)
{
	for (struct obj *dir = o->parent; dir && dir->parent; dir = dir->parent)
		if (!obj_live(dir))
			obj_set_exist(dir, EX_PRESENT);
}

/* The obj of an entry, made; a new reference. */
static struct obj *entry_obj(struct cache *c, const char *key)
{
	SCOPE_LOCK(&c->lock);
	return tree_make(c, key);
}

static void take_record(struct cache *c, struct obj *o, const struct jent *e, enum exist ex)
{
	SCOPE_LOCK(&c->lock);
	(void)obj_set_record(o, &e->rec);
	if (S_ISDIR(e->rec.mode))
		(void)obj_become_dir(c, o);
	if (e->op == J_PUT && !S_ISLNK(e->rec.mode))
		o->size = e->size;
	if (e->base.cond == TIER_IF_MATCH)
		(void)obj_set_etag(o, e->base.etag);
	o->flags |= OBJ_PROBED;
	obj_set_exist(o, ex);
	parents_exist(o);
}

static bool same_file(int a, int b)
{
	struct stat sa, sb;

	return !fstat(a, &sa) && !fstat(b, &sb) && sa.st_ino == sb.st_ino && sa.st_dev == sb.st_dev;
}

static bool starts_below(const char *key, const char *dir)
{
	size_t n = strlen(dir);

	return !strncmp(key, dir, n) && (!key[n] || key[n] == '/');
}

/* The entries in line, copied: while they are looked at, the journal is asked about them. */
struct line {
	struct jent *v;
	size_t n, cap;
	size_t *renames; /* where in v; they are few */
	size_t n_renames;
};

static int line_add_rename(struct line *line)
{
	size_t *v = realloc(line->renames, (line->n_renames + 1) * sizeof(*v));

	if (!v)
		return -ENOMEM;
	line->renames = v;
	v[line->n_renames++] = line->n;
	return 0;
}

static int line_add(void *arg, const struct jent *e)
{
	struct line *line = arg;
	int r;

	if (line->n == line->cap) {
		size_t cap = line->cap ? line->cap * 2 : 256;
		struct jent *v = realloc(line->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		line->v = v;
		line->cap = cap;
	}
	r = e->op == J_RENAME ? line_add_rename(line) : 0;
	if (!r)
		r = jent_copy(&line->v[line->n], e);
	line->n += !r;
	return r;
}

static void line_release(struct line *line)
{
	for (size_t i = 0; i < line->n; i++)
		jent_release(&line->v[i]);
	free(line->v);
	free(line->renames);
}

/* An entry behind the i-th takes what is at key elsewhere, or puts something else there. */
static bool overtaken(struct cache *c, const struct line *line, size_t i, const char *key)
{
	struct jent newest;
	bool other;

	for (size_t k = line->n_renames; k-- && line->renames[k] > i;) {
		const struct jent *e = &line->v[line->renames[k]];

		if (starts_below(key, e->key) || starts_below(key, e->to))
			return true;
	}
	if (journal_find(c->journal, key, &newest))
		return false;
	other = newest.seq != line->v[i].seq && newest.op == J_PUT && newest.state != J_HELD;
	jent_release(&newest);
	return other;
}

/* The bytes of a released put are the object's body. */
static void link_body(struct cache *c, struct obj *o, const struct jent *e)
{
	CLEANUP_CLOSE int staged = local_open_id(c->staging_fd, e->staging_id, O_RDONLY);
	CLEANUP_CLOSE int body = c->disk ? local_body_open(c->disk, e->key, O_RDONLY) : -1;

	if (staged < 0 || !c->disk)
		return;
	if (!same_file(staged, body) &&
	    local_body_publish(c->disk, c->staging_fd, e->staging_id, e->key, &e->rec, true))
		return;
	SCOPE_LOCK(&c->lock);
	if (o->flags & OBJ_RES_DISK) { /* of an older put */
		c->scan_found_bytes -= o->disk.cost;
		c->scan_found_objects--;
	}
	body_added(c, o, c->disk, local_cost(staged));
	c->scan_found_bytes += o->disk.cost;
	c->scan_found_objects++;
}

static void recover_put(struct cache *c, const struct line *line, size_t i)
{
	const struct jent *e = &line->v[i];
	struct obj *o = entry_obj(c, e->key);

	if (!o)
		return;
	if (!e->staging_id)
		(void)body_probe(c, o);
	take_record(c, o, e, EX_LOCAL);
	if (e->staging_id && e->state != J_HELD && !overtaken(c, line, i, e->key))
		link_body(c, o, e);
	obj_unref(c, o);
}

static void recover_meta(struct cache *c, const struct jent *e)
{
	struct obj *o = entry_obj(c, e->key);

	if (!o)
		return;
	(void)body_probe(c, o);
	take_record(c, o, e, EX_LOCAL);
	if (e->op == J_MKDIR) {
		SCOPE_LOCK(&c->lock);
		o->flags |= OBJ_OWN_DIR;
	}
	obj_unref(c, o);
}

/* What was found of o so far is not what is there now. Lock held */
static void unlearn(struct cache *c, struct obj *o)
{
	if (o->flags & OBJ_RES_DISK) {
		c->scan_found_bytes -= o->disk.cost;
		c->scan_found_objects--;
		body_dequeue(c, o, c->disk);
		class_uncharge(c, o);
		o->flags &= ~OBJ_RES_DISK;
		o->body_gen++;
		o->disk.cost = 0;
		class_charge(c, o);
	}
	body_gone(c, o, c->ram);
	o->flags &= ~(OBJ_PROBED | OBJ_ALONE);
	o->known = 0;
	obj_set_exist(o, EX_UNKNOWN);
}

static void recover_gone(struct cache *c, const struct line *line, size_t i, const char *key,
			 bool dir)
{
	struct obj *o = entry_obj(c, key);

	if (!o)
		return;
	if (dir)
		mirror_rmdir(c, key);
	else if (c->disk && !overtaken(c, line, i, key))
		(void)local_body_unlink(c->disk, key);
	if (c->ram && !dir)
		(void)local_body_unlink(c->ram, key); /* a copy, at the most */
	{
		SCOPE_LOCK(&c->lock);
		unlearn(c, o);
		o->flags |= OBJ_PROBED;
		obj_set_exist(o, EX_DELETED);
	}
	obj_unref(c, o);
}

static void rename_in(struct local *l, const struct jent *e)
{
	struct stat st;

	if (l && !fs_stat_beneath(l->objects_fd, e->key, &st))
		(void)local_body_rename(l, e->key, e->to);
	else if (l && l->kind == LOCAL_RAM && !e->dir)
		(void)local_body_unlink(l, e->to); /* perhaps of what was replaced */
}

/*
 * Journal and local disk change under one lock, so that only the last entry of all can be one
 * whose rename here did not happen. What is at the old name of any other came later.
 */
static void recover_rename(struct cache *c, const struct line *line, size_t i)
{
	const struct jent *e = &line->v[i];
	struct obj *o;

	if (e->seq == journal_last_seq(c->journal)) {
		rename_in(c->disk, e);
		rename_in(c->ram, e);
	}
	recover_gone(c, line, i, e->key, e->dir);
	o = entry_obj(c, e->to);
	if (!o)
		return;
	{
		SCOPE_LOCK(&c->lock);
		unlearn(c, o);
	}
	if (!overtaken(c, line, i, e->to))
		(void)body_probe(c, o);
	SCOPE_LOCK(&c->lock);
	if (e->dir)
		(void)obj_become_dir(c, o);
	else if (e->rec.known)
		(void)obj_set_record(o, &e->rec);
	if (e->dir || e->rec.known || o->exist == EX_PRESENT) {
		obj_set_exist(o, EX_LOCAL);
		parents_exist(o);
	}
	obj_put_locked(c, o);
}

static void recover_entry(struct cache *c, const struct line *line, size_t i)
{
	const struct jent *e = &line->v[i];

	switch (e->op) {
	case J_PUT:
		recover_put(c, line, i);
		break;
	case J_META:
	case J_MKDIR:
		recover_meta(c, e);
		break;
	case J_DELETE:
	case J_RMDIR:
		recover_gone(c, line, i, e->key, e->op == J_RMDIR);
		break;
	case J_RENAME:
		recover_rename(c, line, i);
		break;
	}
}

int recover_tree(struct cache *c)
{
	struct line line = {.v = NULL};
	int r = journal_foreach(c->journal, line_add, &line);

	for (size_t i = 0; !r && i < line.n; i++)
		recover_entry(c, &line, i);
	line_release(&line);
	return r;
}

/* --- unfinished writes --- */

struct ids {
	struct cache *c;
	uint64_t *v;
	size_t n, cap;
	struct jent *held;
	size_t n_held;
};

static int collect(void *arg, const struct jent *e)
{
	struct ids *ids = arg;
	struct jent *held;

	if (e->op != J_PUT)
		return 0;
	if (ids->n == ids->cap) {
		size_t cap = ids->cap ? ids->cap * 2 : 1024;
		uint64_t *v = realloc(ids->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		ids->v = v;
		ids->cap = cap;
	}
	ids->v[ids->n++] = e->staging_id;
	if (e->state != J_HELD)
		return 0;
	held = realloc(ids->held, (ids->n_held + 1) * sizeof(*held));
	if (!held)
		return -ENOMEM;
	ids->held = held;
	held[ids->n_held] = *e; /* shallow: key and record are copied below */
	held[ids->n_held].key = strdup(e->key);
	record_init(&held[ids->n_held].rec);
	return record_copy(&held[ids->n_held++].rec, &e->rec);
}

static bool is_claimed(struct cache *c, const struct jent *e)
{
	SCOPE_LOCK(&c->lock);
	struct obj *o = tree_peek(c, e->key);

	return o && o->wr && o->wr->id == e->staging_id;
}

/*
 * What was there before counts again: an older change that waits in the journal, or whatever is
 * found.
 */
static void drop_held(struct cache *c, struct jent *e)
{
	struct obj *o = entry_obj(c, e->key);
	struct line line = {.v = NULL};
	struct jent older;

	(void)journal_drop(c->journal, e->seq, true);
	if (!o)
		return;
	{
		SCOPE_LOCK(&c->lock);
		unlearn(c, o);
	}
	if (!journal_find(c->journal, e->key, &older)) {
		if (!line_add(&line, &older))
			recover_entry(c, &line, 0);
		line_release(&line);
		jent_release(&older);
	}
	obj_unref(c, o);
}

/*
 * A shell makes an empty file before its command writes: an empty file counts where its last
 * flush gave it a checksum (it was closed), or where, without a store, nothing else is left of
 * the object.
 */
static bool never_was(struct cache *c, const struct jent *e)
{
	struct stat st;

	return !e->size && !(e->rec.known & REC_XXH3) &&
	       (e->base.cond == TIER_IF_ABSENT || has_store(c) ||
		!fs_stat_beneath(c->disk->objects_fd, e->key, &st));
}

static bool is_stored(struct cache *c, struct obj *o)
{
	SCOPE_LOCK(&c->lock);
	bool stored = obj_stored(c, o);

	if (has_store(c) && !stored && o->flags & OBJ_RES_DISK)
		o->flags |= OBJ_ALONE;
	return stored;
}

/* As its last flush saw it. */
static int keep_held(struct cache *c, struct jent *e)
{
	CLEANUP_CLOSE int fd = local_open_id(c->staging_fd, e->staging_id, O_RDWR);
	struct stat st;
	struct obj *o;
	bool stored;

	if (fd < 0 || fstat(fd, &st) || (uint64_t)st.st_size < e->size)
		return -ENOENT;
	if ((uint64_t)st.st_size > e->size && ftruncate(fd, e->size))
		return -errno;
	if (xxh3_of_fd(fd, e->size, &e->rec.xxh3))
		return -EIO;
	e->rec.known |= REC_XXH3;
	o = entry_obj(c, e->key);
	if (!o)
		return -ENOMEM;
	take_record(c, o, e, has_store(c) ? EX_LOCAL : EX_PRESENT);
	link_body(c, o, e);
	stored = is_stored(c, o);
	obj_unref(c, o);
	return stored ? journal_release(c->journal, e->seq, &e->rec)
		      : journal_drop(c->journal, e->seq, true);
}

static int by_id(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static bool session_has(struct cache *c, uint64_t id)
{
	SCOPE_LOCK(&c->lock);
	for (size_t i = 0; i < c->table_size; i++)
		for (struct obj *o = c->table[i]; o; o = o->hash_next)
			if (o->wr && o->wr->id == id)
				return true;
	for (size_t i = 0; i < c->n_orphans; i++)
		if (c->orphans[i] == id)
			return true;
	return false;
}

static int sweep_file(void *arg, const char *name)
{
	struct ids *ids = arg;
	char *end;
	uint64_t id = strtoull(name, &end, 16);

	if (*end || strlen(name) != LOCAL_ID_LEN)
		return 0;
	if (!(ids->n && bsearch(&id, ids->v, ids->n, sizeof(id), by_id)) &&
	    !session_has(ids->c, id))
		local_unlink_id(ids->c->staging_fd, id);
	return 0;
}

/* Staging files that no entry and no open file names: writes that were never flushed. */
static void sweep_staging(struct ids *ids)
{
	int fd = openat(ids->c->staging_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *de;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((de = readdir(d)))
		sweep_file(ids, de->d_name);
	closedir(d);
}

int recover_held(struct cache *c)
{
	struct ids ids = {.c = c};
	int r = journal_foreach(c->journal, collect, &ids);

	for (size_t i = 0; i < ids.n_held; i++) {
		struct jent *e = &ids.held[i];

		if (!r && !is_claimed(c, e)) {
			if (never_was(c, e) || keep_held(c, e))
				drop_held(c, e);
		}
		free(e->key);
		record_release(&e->rec);
	}
	if (!r) {
		if (ids.n)
			qsort(ids.v, ids.n, sizeof(*ids.v), by_id);
		sweep_staging(&ids);
	}
	free(ids.held);
	free(ids.v);
	return r;
}
