/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rename of a file or of a whole directory: one journal entry, one rename on the local disk, one
 * move in the tree. The store follows later; until then journal_names() says under which name it
 * still has an object.
 */
#include <errno.h>
#include <linux/fs.h>
#include <string.h>

#include "cache/internal.h"
#include "cache/sidecar.h"

/* Whether o may take t's place. Lock held, dropped in between */
static int check_target(struct cache *c, struct obj *o, struct obj *t, unsigned int flags,
			struct cache_wait *w)
{
	int r;

	if (flags & RENAME_NOREPLACE)
		return -EEXIST;
	if (obj_is_dir(o) && !obj_is_dir(t))
		return -ENOTDIR;
	if (!obj_is_dir(o) && obj_is_dir(t))
		return -EISDIR;
	if (t->flags & OBJ_BUSY)
		return obj_flight_wait(c, t, w, c->config->deadlines.open_ms);
	if (!obj_is_dir(t))
		return 0;
	r = dir_load(c, t, w);
	return r ? r : t->dir->n_live ? -ENOTEMPTY : 0;
}

/*
 * The two ends, referenced; *ret_t NULL where nothing is at the target. Lock held, dropped in
 * between
 */
static int find_ends(struct cache *c, struct obj *from_dir, const char *from, struct obj *to_dir,
		     const char *to, unsigned int flags, struct cache_wait *w, struct obj **ret_o,
		     struct obj **ret_t)
{
	int r = key_part_check(to, strlen(to), to_dir == c->root);

	*ret_o = *ret_t = NULL;
	if (!r)
		r = child_get(c, from_dir, from, w, ret_o);
	if (r)
		return r;
	for (struct obj *dir = to_dir; dir; dir = dir->parent)
		if (dir == *ret_o)
			return -EINVAL; /* into itself */
	r = (*ret_o)->flags & OBJ_BUSY ? obj_flight_wait(c, *ret_o, w, c->config->deadlines.open_ms)
				       : 0;
	if (!r)
		r = child_get(c, to_dir, to, w, ret_t);
	if (r == -ENOENT) {
		return to_dir->flags & OBJ_ORPHAN ? -ENOENT : 0;
	}
	if (!r && *ret_t != *ret_o)
		r = check_target(c, *ret_o, *ret_t, flags, w);
	return r;
}

/* The journal's entry: what the store has to do, and what the target's version is. ns held */
static int journal_rename(struct cache *c, struct obj *o, struct obj *t, const char *from,
			  const char *to)
{
	struct jent change = {.op = J_RENAME, .key = (char *)from, .to = (char *)to};
	int r = 0;

	record_init(&change.rec);
	{
		SCOPE_LOCK(&c->lock);
		change.dir = obj_is_dir(o);
		change.store_has_from = has_store(c) &&
					(change.dir || o->etag || o->exist == EX_PRESENT);
		if (t)
			change.base = t->wr ? t->wr->base : obj_base(t);
		else
			change.base.cond = TIER_IF_ABSENT;
		/*
		 * After a crash the target is known by this alone, where its bytes are only in the
		 * store.
		 */
		if (!change.dir)
			r = obj_to_record(o, &change.rec);
		change.rec.known &=
			/* for the drainer that means: the copy is made, of this version */
			~REC_ETAG;
		change.rec.etag[0] = '\0';
	}
	if (!r)
		r = append_change(c, &change, false, NULL);
	record_release(&change.rec);
	return r;
}

/* Tree: o goes to its new place, and its old name is known to be gone. Lock held */
static int tree_rename(struct cache *c, struct obj *o, struct obj *to_dir, const char *to,
		       const char *from_key)
{
	struct obj *from_dir = o->parent, *ghost, *squatter = tree_find(c, to_dir, to);
	CLEANUP_FREE char *name = strdup(o->name);
	int r;

	if (!name)
		return -ENOMEM;
	if (squatter) { /* an absent or deleted name's place */
		obj_get(squatter);
		tree_detach(c, squatter);
		obj_put_locked(c, squatter);
	}
	obj_get(from_dir);
	r = tree_move(c, o, to_dir, to);
	c->moves++;
	o->body_gen++;
	o->ctime_ns = clock_wall(c->clock);
	if (!r && has_store(c)) {
		bool pending = journal_pending(c->journal, from_key, UINT64_MAX);

		ghost = tree_get(c, from_dir, name);
		if (ghost) {
			ghost->flags |= OBJ_PROBED;
			ghost->checked_ns = clock_mono(c->clock);
			obj_set_exist(ghost, pending ? EX_DELETED : EX_ABSENT);
			obj_put_locked(c, ghost);
		}
		obj_set_exist(o, EX_LOCAL);
	}
	dir_lost_name(c, from_dir);
	from_dir->mtime_ns = to_dir->mtime_ns = clock_wall(c->clock);
	obj_put_locked(c, from_dir);
	return r;
}

static void local_rename(struct cache *c, const char *from, const char *to)
{
	if (c->disk)
		(void)local_body_rename(c->disk, from, to);
	if (c->ram)
		(void)local_body_rename(c->ram, from, to);
}

/* A rename that failed brings nothing. */
static void tenant_move_end(struct cache *c)
{
	SCOPE_LOCK(&c->lock);
	tenant_moved(c);
}

/* While journal and local disk are ahead of the tree, nobody concludes anything from a key. */
static void set_moving(struct cache *c, bool moving)
{
	SCOPE_LOCK(&c->lock);
	c->moving = moving;
}

/* ns held */
static int rename_ends(struct cache *c, struct obj *o, struct obj *t, struct obj *to_dir,
		       const char *to)
{
	CLEANUP_FREE char *from_key = NULL;
	CLEANUP_FREE char *to_key = NULL;
	int r;

	{
		SCOPE_LOCK(&c->lock);
		CLEANUP_FREE char *dir_key = obj_key_locked(to_dir);

		from_key = obj_key_locked(o);
		to_key = dir_key ? key_join(dir_key, to) : NULL;
	}
	if (!from_key || !to_key)
		return -ENOMEM;
	if (key_len_check(c, strlen(to_key)))
		return -ENAMETOOLONG;
	set_moving(c, true);
	r = journal_rename(c, o, t, from_key, to_key);
	if (r) {
		set_moving(c, false);
		return r;
	}
	if (t && obj_is_dir(t)) {
		mirror_rmdir(c, to_key);
		SCOPE_LOCK(&c->lock);
		tree_detach(c, t);
	} else if (t) {
		(void)name_drop(c, t, to_key, false);
	}
	local_rename(c, from_key, to_key);
	SCOPE_LOCK(&c->lock);
	c->moving = false;
	tenant_moved(c);
	return tree_rename(c, o, to_dir, to, from_key);
}

static void rehome_job(struct cache *c, void *arg)
{
	obj_rehome(c, arg);
	obj_unref(c, arg);
}

/*
 * The class and the directories of its new name hold from here on. given: the life that it had was
 * that of its old name. No lock held
 */
static void renamed(struct cache *c, struct obj *o, bool given)
{
	bool follows;

	{
		SCOPE_LOCK(&c->lock);
		if (o->flags & OBJ_ORPHAN || !S_ISREG(o->mode))
			return;
		bodies_follow(c, o);
		follows = given && obj_life_follow(c, o);
		if (obj_is_misplaced(c, o)) {
			obj_get(o);
			job_run(c, POOL_FOREGROUND, rehome_job, o);
		}
	}
	if (follows)
		(void)obj_save_meta(c, o); /* it is renamed whatever becomes of that */
}

/*
 * *ret_o: what was renamed, a new reference; NULL where nothing was. *ret_given: its life was the
 * one that its name gave it.
 */
static int rename_name(struct cache *c, struct obj *from_dir, const char *from, struct obj *to_dir,
		       const char *to, unsigned int flags, struct cache_wait *w, struct obj **ret_o,
		       bool *ret_given)
{
	struct obj *o = NULL, *t = NULL;
	int r;

	SCOPE_LOCK(&c->ns);
	{
		SCOPE_LOCK(&c->lock);
		r = find_ends(c, from_dir, from, to_dir, to, flags, w, &o, &t);
		*ret_given = !r && S_ISREG(o->mode) && o->known & REC_EXPIRES &&
			     obj_life_is_given(c, o);
		if (!r && o != t)
			r = tenant_move(c, o, to_dir, to);
	}
	if (!r && o != t)
		r = rename_ends(c, o, t, to_dir, to);
	if (!r && o != t)
		*ret_o = obj_ref(o);
	tenant_move_end(c);
	if (t)
		obj_unref(c, t);
	if (o)
		obj_unref(c, o);
	return r;
}

int cache_rename(struct cache *c, struct obj *from_dir, const char *from, struct obj *to_dir,
		 const char *to, unsigned int flags, struct cache_wait *w)
{
	struct obj *o = NULL;
	bool given;
	int r;

	if (c->config->mount.read_only)
		return -EROFS;
	if (flags & ~RENAME_NOREPLACE)
		return -EINVAL;
	r = rename_name(c, from_dir, from, to_dir, to, flags, w, &o, &given);
	if (o) {
		renamed(c, o, given);
		sidecar_moved(c, o);
		obj_unref(c, o);
	}
	return r;
}
