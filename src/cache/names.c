/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of names: mkdir, rmdir, symlink, unlink. Each is journalled first, then done on the
 * local disk, then in the tree, all under cache.ns, so that what was acknowledged is found again
 * and what was not leaves nothing behind.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cache/internal.h"
#include "cache/sidecar.h"

int key_len_check(const struct cache *c, size_t len)
{
	size_t max = KEY_MAX;

	if (has_store(c) && c->store->caps.max_key && c->store->caps.max_key < max)
		max = c->store->caps.max_key;
	return len > max ? -ENAMETOOLONG : 0;
}

bool key_too_long(const struct cache *c, const struct obj *o)
{
	CLEANUP_FREE char *key = obj_key_locked(o);

	return !key || key_len_check(c, strlen(key));
}

static void stamp(struct cache *c, struct obj *dir)
{
	dir->mtime_ns = clock_wall(c->clock);
}

/* As far as it is known here: what the store would say was not waited for. Lock held */
static bool name_is_taken(struct cache *c, const struct obj *o)
{
	return o->wr || o->flags & OBJ_BUSY || (obj_live(o) && !obj_expired(c, o));
}

/*
 * A name that is to be made: 0, the obj UNKNOWN or ABSENT or DELETED. Lock held, dropped in
 * between
 */
static int new_name(struct cache *c, struct obj *dir, const char *name, struct obj **ret)
{
	int r = key_part_check(name, strlen(name), dir == c->root);

	if (c->config->mount.read_only)
		return -EROFS;
	if (r)
		return r;
	r = child_get(c, dir, name, NULL, ret);
	if (!r) {
		obj_put_locked(c, *ret);
		return -EEXIST;
	}
	if (r != -ENOENT && r != -EAGAIN)
		return r;
	if (dir->flags & OBJ_ORPHAN)
		return -ENOENT;
	*ret = tree_get(c, dir, name);
	if (!*ret)
		return -ENOMEM;
	r = key_too_long(c, *ret) ? -ENAMETOOLONG : name_is_taken(c, *ret) ? -EEXIST : 0;
	if (r)
		obj_put_locked(c, *ret);
	return r;
}

static void init_new(struct cache *c, struct obj *o, mode_t mode, uid_t uid, gid_t gid)
{
	obj_extra_free(o->extra);
	o->extra = NULL;
	(void)obj_set_etag(o, NULL);
	o->mode = mode;
	o->uid = uid;
	o->gid = gid;
	o->size = 0;
	o->expires_at = o->ttl = 0;
	o->mtime_ns = o->created_ns = clock_wall(c->clock);
	o->known = REC_MODE | REC_OWNER | REC_MTIME | REC_CREATED | REC_EXPIRES | REC_USER |
		   REC_SIZE;
	o->flags |= OBJ_PROBED;
	o->epoch++;
}

/* A change entry of o with its record. Lock held */
static int change_of(struct obj *o, enum jop op, struct jent *change)
{
	change->op = op;
	change->key = obj_key_locked(o);
	change->base = obj_base(o);
	return change->key ? obj_to_record(o, &change->rec) : -ENOMEM;
}

static int make_dir(struct cache *c, struct obj *o)
{
	struct jent change = {0};
	int r;

	record_init(&change.rec);
	{
		SCOPE_LOCK(&c->lock);
		r = change_of(o, J_MKDIR, &change);
	}
	if (!r && has_store(c))
		r = append_change(c, &change, false, NULL);
	if (!r && body_tier(c))
		r = local_dir_make(body_tier(c), change.key, &change.rec);
	jent_release(&change);
	return r;
}

int cache_mkdir(struct cache *c, struct obj *dir, const char *name, mode_t mode, uid_t uid,
		gid_t gid, struct obj **ret_obj, struct cache_attr *ret_attr)
{
	const uid_t caller = uid;
	struct obj *o;
	int r;

	SCOPE_LOCK(&c->ns);
	{
		SCOPE_LOCK(&c->lock);
		r = new_name(c, dir, name, &o);
		if (r)
			return r;
		r = tenant_made_dir(c, o, caller, &mode, &uid, &gid);
		if (r) {
			obj_put_locked(c, o);
			return r;
		}
		init_new(c, o, S_IFDIR | (mode & 07777), uid, gid);
		r = obj_become_dir(c, o);
	}
	if (!r)
		r = make_dir(c, o);
	SCOPE_LOCK(&c->lock);
	if (r) {
		obj_put_locked(c, o);
		return r;
	}
	o->flags |= OBJ_OWN_DIR | OBJ_NEW_DIR;
	obj_set_exist(o, has_store(c) ? EX_LOCAL : EX_PRESENT);
	stamp(c, dir);
	attr_fill(c, o, ret_attr);
	*ret_obj = o;
	return 0;
}

/* --- symlinks: an empty body whose record has the target --- */

static int place_symlink(struct cache *c, const struct jent *change)
{
	struct local *l = body_tier(c);
	uint64_t id;
	int fd;

	{
		SCOPE_LOCK(&c->lock);
		id = id_next(c);
	}
	fd = local_create(l->partial_fd, id);
	if (fd < 0)
		return fd;
	close(fd);
	return local_body_publish(l, l->partial_fd, id, change->key, &change->rec, false);
}

static int make_symlink(struct cache *c, struct obj *o)
{
	struct jent change = {0};
	int r;

	record_init(&change.rec);
	{
		SCOPE_LOCK(&c->lock);
		r = change_of(o, J_PUT, &change);
		change.base.cond = TIER_IF_ABSENT;
	}
	if (!r && has_store(c))
		r = append_change(c, &change, false, NULL);
	if (!r)
		r = place_symlink(c, &change);
	jent_release(&change);
	return r;
}

int cache_symlink(struct cache *c, struct obj *dir, const char *name, const char *target, uid_t uid,
		  gid_t gid, struct obj **ret_obj, struct cache_attr *ret_attr)
{
	struct obj *o;
	int r;

	SCOPE_LOCK(&c->ns);
	{
		SCOPE_LOCK(&c->lock);
		r = new_name(c, dir, name, &o);
		if (r)
			return r;
		init_new(c, o, S_IFLNK | 0777, uid, gid);
		o->size = strlen(target);
		o->extra = calloc(1, sizeof(*o->extra));
		if (o->extra)
			o->extra->symlink = strdup(target);
		r = o->extra && o->extra->symlink ? tenant_admit_object(c, o) : -ENOMEM;
	}
	if (!r)
		r = make_symlink(c, o);
	SCOPE_LOCK(&c->lock);
	if (r) {
		obj_put_locked(c, o);
		return r;
	}
	obj_set_exist(o, has_store(c) ? EX_LOCAL : EX_PRESENT);
	if (body_tier(c)) {
		atomic_fetch_add(&body_tier(c)->objects, 1);
		body_added(c, o, body_tier(c), 0);
	}
	stamp(c, dir);
	attr_fill(c, o, ret_attr);
	*ret_obj = o;
	return 0;
}

/* --- unlink --- */

/* What its writer flushed is forgotten; the file is left to it. ns held */
static void writer_unnamed(struct cache *c, struct obj *o)
{
	uint64_t seq;

	{
		SCOPE_LOCK(&c->lock);
		if (!o->wr)
			return;
		seq = o->wr->put_own;
		o->wr->put_seq = o->wr->put_own = 0;
	}
	if (seq)
		(void)journal_drop(
			c->journal, seq,
			false); /* unless what replaced it in the journal took it along */
}

/*
 * Without a store the journal knows only what is being written: that it was is forgotten. ns held
 */
static int journal_forget(struct cache *c, struct obj *o, uint64_t seq)
{
	bool written;
	int r;

	{
		SCOPE_LOCK(&c->lock);
		written = o->wr;
	}
	r = journal_drop(c->journal, seq, !written);
	return r == -ENOENT ? 0 : r;
}

/* The journal's part: the store must lose the object, if it ever had it. ns held */
static int journal_unlink(struct cache *c, struct obj *o, const char *key)
{
	struct jent change = {.op = J_DELETE, .key = (char *)key};
	bool known_to_journal;
	struct jent live;

	known_to_journal = !journal_find(c->journal, key, &live);
	if (known_to_journal)
		jent_release(&live);
	if (!has_store(c))
		return known_to_journal ? journal_forget(c, o, live.seq) : 0;
	{
		SCOPE_LOCK(&c->lock);
		change.base = o->wr ? o->wr->base : obj_base(o);
	}
	if (!known_to_journal && change.base.cond == TIER_IF_ABSENT)
		return 0;
	record_init(&change.rec);
	return append_change(c, &change, false, NULL);
}

/*
 * The tree's part: o is an orphan; while the store still has it, its name is known to be deleted.
 * Lock held
 */
static void tree_unlink(struct cache *c, struct obj *o, const char *key)
{
	struct obj *dir = o->parent, *ghost;
	CLEANUP_FREE char *name = strdup(o->name);
	struct jent live;

	obj_get(dir);
	if (o->fill)
		fill_detach(c, o);
	tree_detach(c, o);
	ghost = name ? tree_get(c, dir, name) : NULL;
	if (ghost) {
		bool pending = !journal_find(c->journal, key, &live);

		if (pending)
			jent_release(&live);
		ghost->flags |= OBJ_PROBED;
		ghost->checked_ns = clock_mono(c->clock);
		obj_set_exist(ghost, pending ? EX_DELETED : EX_ABSENT);
		obj_put_locked(c, ghost);
	}
	dir_lost_name(c, dir);
	stamp(c, dir);
	obj_put_locked(c, dir);
}

/* Takes o's local copies away. ns held */
static void bodies_unlink(struct cache *c, struct obj *o, const char *key)
{
	bool replaced;
	unsigned int todo;

	{
		SCOPE_LOCK(&c->lock);
		replaced = o->wr && o->wr->replaced;
		if (replaced) {
			local_adjust(c->disk, -(int64_t)o->wr->old_cost);
			o->wr->old_cost = 0;
			o->wr->replaced = false;
		}
		todo = body_retire(c, o);
	}
	body_remove(c, o, key, todo);
	if (replaced)
		(void)local_body_unlink(c->disk, key);
}

/*
 * What a mapping still changes is nobody's any more, and the background round does not find it:
 * the session ends.
 */
static void mapping_unnamed(struct cache *c, void *arg)
{
	watch_mapping(c, arg);
	obj_unref(c, arg);
}

int name_drop(struct cache *c, struct obj *o, const char *key, bool journal)
{
	int r = journal ? journal_unlink(c, o, key) : 0;

	if (r)
		return r;
	writer_unnamed(c, o);
	bodies_unlink(c, o, key);
	SCOPE_LOCK(&c->lock);
	if (o->wr && o->wr->mapped) {
		obj_get(o);
		job_run(c, POOL_BACKGROUND, mapping_unnamed, o);
	}
	tree_unlink(c, o, key);
	return 0;
}

/* *ret_sidecar: what was beside it, a new reference; or NULL. */
static int unlink_name(struct cache *c, struct obj *dir, const char *name, struct cache_wait *w,
		       struct obj **ret_sidecar)
{
	CLEANUP_FREE char *key = NULL;
	struct obj *o;
	int r;

	SCOPE_LOCK(&c->ns);
	{
		SCOPE_LOCK(&c->lock);
		r = child_get(c, dir, name, w, &o);
		if (r)
			return r;
		r = sidecar_get(c, o, w, ret_sidecar);
		if (!r && o->flags & OBJ_BUSY)
			r = obj_flight_wait(c, o, w, c->config->deadlines.open_ms);
		else if (!r && obj_is_dir(o))
			r = -EISDIR;
		key = obj_key_locked(o);
	}
	if (!r)
		r = key ? name_drop(c, o, key, true) : -ENOMEM;
	obj_unref(c, o);
	return r;
}

static void count_deleted(struct cache *c, const struct obj *dir, const char *name)
{
	SCOPE_LOCK(&c->lock);
	class_count_name(c, dir, name, CLASS_DELETES);
	count_one(c->counters, COUNTER_deletes);
	tenant_count(dir, TENANT_DELETES);
}

int cache_unlink(struct cache *c, struct obj *dir, const char *name, struct cache_wait *w)
{
	struct obj *sidecar = NULL;
	int r;

	if (c->config->mount.read_only)
		return -EROFS;
	r = unlink_name(c, dir, name, w, &sidecar);
	if (!r) {
		count_deleted(c, dir, name);
		sidecar_end(c, sidecar);
	} else if (sidecar) {
		obj_unref(c, sidecar);
	}
	return r;
}

/* --- rmdir --- */

/*
 * Also where nobody is known to have made it: until the deletes below are drained, the store still
 * shows it, and the entry, which comes behind them, says that it is gone.
 */
static int journal_rmdir(struct cache *c, const char *key)
{
	struct jent change = {.op = J_RMDIR, .key = (char *)key};

	if (!has_store(c))
		return 0;
	record_init(&change.rec);
	return append_change(c, &change, false, NULL);
}

void mirror_rmdir(struct cache *c, const char *key)
{
	if (c->disk)
		(void)local_dir_remove(c->disk, key);
	if (c->ram)
		(void)local_dir_remove(c->ram, key);
}

int cache_rmdir(struct cache *c, struct obj *dir, const char *name, struct cache_wait *w)
{
	CLEANUP_FREE char *key = NULL;
	struct obj *o;
	int r;

	if (c->config->mount.read_only)
		return -EROFS;
	SCOPE_LOCK(&c->ns);
	{
		SCOPE_LOCK(&c->lock);
		r = child_get(c, dir, name, w, &o);
		if (r)
			return r;
		r = !obj_is_dir(o)		? -ENOTDIR
		    : o->flags & OBJ_TENANT_DIR ? -EBUSY /* it is there as long as it is declared */
						: dir_load(c, o, w);
		if (!r && o->dir->n_live)
			r = -ENOTEMPTY;
		if (!r && has_store(c) && o->dir->error && !o->dir->listed_ns)
			r = o->dir->error; /* unknown is not empty */
		key = obj_key_locked(o);
	}
	if (!r)
		r = key ? journal_rmdir(c, key) : -ENOMEM;
	if (!r)
		mirror_rmdir(c, key);
	if (!r) {
		SCOPE_LOCK(&c->lock);
		tree_unlink(c, o, key);
	}
	obj_unref(c, o);
	return r;
}
