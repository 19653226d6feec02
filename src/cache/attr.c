/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes: between an object's compact fields, its record, and what stat(2) shows. */
#include <errno.h>
#include <string.h>

#include "cache/internal.h"
#include "cache/session.h"

/*
 * Local changes and directories of our own are believed this long by the kernel; it is told when
 * they change.
 */
#define LOCAL_VALID_NS (60 * NSEC_PER_SEC)

struct obj *obj_ref(struct obj *o)
{
	o->refs++; /* the caller's own reference keeps o alive meanwhile */
	return o;
}

void obj_unref(struct cache *c, struct obj *o)
{
	SCOPE_LOCK(&c->lock);
	obj_put_locked(c, o);
}

struct obj *cache_root(struct cache *c)
{
	SCOPE_LOCK(&c->lock);
	obj_get(c->root);
	return c->root;
}

uint32_t obj_epoch(struct cache *c, struct obj *o)
{
	SCOPE_LOCK(&c->lock);
	return o->epoch;
}

bool obj_is_orphan(struct cache *c, struct obj *o)
{
	SCOPE_LOCK(&c->lock);
	return o->flags & OBJ_ORPHAN;
}

uint64_t obj_node(const struct obj *o)
{
	return __atomic_load_n(&o->node, __ATOMIC_ACQUIRE);
}

void obj_set_node(struct obj *o, uint64_t node)
{
	__atomic_store_n(&o->node, node, __ATOMIC_RELEASE);
}

char *obj_key(struct cache *c, struct obj *o)
{
	SCOPE_LOCK(&c->lock);
	return obj_key_locked(o);
}

int obj_set_etag(struct obj *o, const char *etag)
{
	char *copy = NULL;

	if (etag && *etag) {
		copy = strdup(etag);
		if (!copy)
			return -ENOMEM;
	}
	free(o->etag);
	o->etag = copy;
	return 0;
}

/* The record's rare parts move over by copy; the record stays the caller's. */
static int set_extra(struct obj *o, const struct record *rec)
{
	struct record copy;
	struct obj_extra *x;
	int r;

	if (!rec->format && !rec->cache_key && !rec->symlink && !rec->user) {
		obj_extra_free(o->extra);
		o->extra = NULL;
		return 0;
	}
	record_init(&copy);
	x = calloc(1, sizeof(*x));
	if (!x)
		return -ENOMEM;
	r = record_copy(&copy, rec);
	if (r) {
		free(x);
		return r;
	}
	x->format = STEAL_PTR(copy.format);
	x->cache_key = STEAL_PTR(copy.cache_key);
	x->symlink = STEAL_PTR(copy.symlink);
	x->user = STEAL_PTR(copy.user);
	record_release(&copy);
	obj_extra_free(o->extra);
	o->extra = x;
	return 0;
}

uint32_t ttl_fits(int64_t ttl_s)
{
	return ttl_s < 0 ? 0 : ttl_s < UINT32_MAX ? (uint32_t)ttl_s : UINT32_MAX;
}

int obj_set_record(struct obj *o, const struct record *rec)
{
	const char *pin;

	if (rec->known & REC_ETAG && obj_set_etag(o, rec->etag))
		return -ENOMEM;
	if (rec->known & REC_USER) {
		if (set_extra(o, rec))
			return -ENOMEM;
		pin = obj_pin_said(o);
		o->flags = (o->flags & ~OBJ_PINNED) | (pin && *pin == '1' ? OBJ_PINNED : 0);
	}
	if (rec->known & REC_SIZE)
		o->size = rec->size;
	if (rec->known & REC_MTIME || (!(o->known & REC_MTIME) && rec->mtime_ns))
		o->mtime_ns = rec->mtime_ns; /* a listing's is provisional: when it was stored */
	if (rec->known & REC_MODE)
		o->mode = rec->mode;
	if (rec->known & REC_OWNER) {
		o->uid = rec->uid;
		o->gid = rec->gid;
	}
	if (rec->known & REC_EXPIRES) {
		o->expires_at = rec->expires_at;
		o->ttl = ttl_fits(rec->ttl);
	}
	if (rec->known & REC_CREATED)
		o->created_ns = rec->created_ns;
	if (rec->known & REC_XXH3)
		o->xxh3 = rec->xxh3;
	o->known |= rec->known;
	tenant_settle(o);
	return 0;
}

void obj_limit_life(struct cache *c, struct obj *o)
{
	int64_t max = obj_life_max(c, o);
	int64_t last = clock_wall(c->clock) / NSEC_PER_SEC + max;

	if (max == CONF_NEVER || (o->expires_at && o->expires_at <= last))
		return;
	o->expires_at = last;
	o->ttl = ttl_fits(max);
	o->known |= REC_EXPIRES;
}

int obj_to_record(const struct obj *o, struct record *ret)
{
	struct record rec;
	const struct obj_extra *x = o->extra;

	memset(&rec, 0, sizeof(rec));
	rec.known = o->known;
	rec.mode = o->mode;
	rec.uid = o->uid;
	rec.gid = o->gid;
	rec.size = o->size;
	rec.mtime_ns = o->mtime_ns;
	rec.created_ns = o->created_ns;
	rec.expires_at = o->expires_at;
	rec.ttl = o->ttl;
	rec.xxh3 = o->xxh3;
	if (o->etag)
		snprintf(rec.etag, sizeof(rec.etag), "%s", o->etag);
	if (x) {
		rec.format = x->format;
		rec.cache_key = x->cache_key;
		rec.symlink = x->symlink;
		rec.user = x->user;
	}
	return record_copy(ret, &rec); /* rec borrows from o: not released */
}

static struct timespec ts_of(int64_t ns)
{
	struct timespec ts = {.tv_sec = ns / NSEC_PER_SEC, .tv_nsec = ns % NSEC_PER_SEC};

	if (ts.tv_nsec < 0) {
		ts.tv_nsec += NSEC_PER_SEC;
		ts.tv_sec--;
	}
	return ts;
}

static int64_t ns_of(const struct timespec *ts)
{
	return ts->tv_sec * NSEC_PER_SEC + ts->tv_nsec;
}

int64_t ttl_ns(const struct cache *c)
{
	return c->config->mount.list_ttl_ms * NSEC_PER_MSEC;
}

/* How long the kernel may believe what it is told now. */
static int64_t obj_valid_ns(struct cache *c, const struct obj *o)
{
	int64_t valid = LOCAL_VALID_NS;

	if (has_store(c) && o->exist == EX_PRESENT && o->parent) {
		int64_t age = clock_mono(c->clock) - o->checked_ns;

		valid = o->checked_ns && age < ttl_ns(c) ? ttl_ns(c) - age : 0;
	}
	if (o->expires_at && o->known & REC_EXPIRES && !obj_is_dir(o)) {
		int64_t left = o->expires_at * NSEC_PER_SEC - clock_wall(c->clock);

		valid = left < valid ? left : valid;
	}
	return valid > 0 ? valid : 0;
}

/* A file that is being written: its size and times are those of the file. */
static void attr_of_writer(struct obj *o, struct stat *st)
{
	struct stat body;

	if (fstat(o->wr->fd, &body))
		return;
	st->st_size = body.st_size;
	st->st_blocks = body.st_blocks;
	if (o->wr->dirtied) {
		st->st_mtim = body.st_mtim;
	}
}

void attr_fill(struct cache *c, struct obj *o, struct cache_attr *ret)
{
	struct stat *st = &ret->st;

	memset(ret, 0, sizeof(*ret));
	st->st_ino = o->ino;
	st->st_mode = o->mode;
	st->st_nlink = o->flags & OBJ_ORPHAN ? 0 : obj_is_dir(o) ? 2 : 1;
	st->st_uid = o->uid;
	st->st_gid = o->gid;
	st->st_size = obj_is_dir(o) ? 4096
		      : S_ISLNK(o->mode) && o->extra && o->extra->symlink
			      ? strlen(o->extra->symlink)
			      : o->size;
	st->st_blksize = 4096;
	st->st_blocks = (st->st_size + 511) / 512;
	st->st_mtim = ts_of(o->mtime_ns);
	st->st_atim = st->st_mtim;
	if (o->wr)
		attr_of_writer(o, st);
	st->st_ctim = o->ctime_ns > ns_of(&st->st_mtim) ? ts_of(o->ctime_ns) : st->st_mtim;
	ret->valid_ns = obj_valid_ns(c, o);
	ret->epoch = o->epoch;
	ret->provisional = !obj_is_dir(o) && !obj_told_whole(o);
}

int cache_getattr(struct cache *c, struct obj *o, struct cache_wait *w, struct cache_attr *ret_attr)
{
	SCOPE_LOCK(&c->lock);

	if (!(o->flags & OBJ_ORPHAN) && o->parent && !o->wr && list_empty(&o->files)) {
		int r = obj_refresh(c, o, true, w);

		if (r)
			return r;
		if (!obj_live(o) || obj_expired(c, o))
			return -ENOENT;
	}
	attr_fill(c, o, ret_attr);
	return 0;
}

void obj_touch(struct cache *c, struct obj *o)
{
	bodies_touch(c, o);
}

/* What is configured for a tenant's directory is not changed by hand. Lock held. */
static bool is_fixed(const struct obj *o, const struct stat *st, unsigned int set)
{
	return o->flags & OBJ_TENANT_DIR &&
	       ((set & CACHE_SET_MODE && (o->mode & 07777) != (st->st_mode & 07777)) ||
		(set & CACHE_SET_UID && o->uid != st->st_uid) ||
		(set & CACHE_SET_GID && o->gid != st->st_gid));
}

/* What of a request really differs; fields that are new are taken over. Lock held. */
static bool set_fields(struct cache *c, struct obj *o, const struct stat *st, unsigned int set)
{
	bool changed = false;

	if (set & CACHE_SET_MODE && (o->mode & 07777) != (st->st_mode & 07777)) {
		o->mode = (o->mode & S_IFMT) | (st->st_mode & 07777);
		changed = true;
	}
	if (set & CACHE_SET_KILL_PRIV && o->mode & (S_ISUID | S_ISGID)) {
		o->mode &= ~(S_ISUID | (o->mode & S_IXGRP ? S_ISGID : 0));
		changed = true;
	}
	if (set & CACHE_SET_UID && o->uid != st->st_uid) {
		o->uid = st->st_uid;
		changed = true;
	}
	if (set & CACHE_SET_GID && o->gid != st->st_gid) {
		o->gid = st->st_gid;
		changed = true;
	}
	if (set & CACHE_SET_MTIME && o->mtime_ns != ns_of(&st->st_mtim)) {
		o->mtime_ns = ns_of(&st->st_mtim);
		changed = true;
	}
	if (set & CACHE_SET_MTIME_NOW) {
		if (obj_is_dir(o) || o->wr)
			o->mtime_ns = clock_wall(c->clock);
		obj_touch(c,
			  o); /* on an unchanged object a touch is recency, and costs no request */
	}
	if (changed || set & CACHE_SET_MTIME)
		o->known |= REC_MODE | REC_OWNER | REC_MTIME;
	return changed;
}

/* The mtime of a file being written is the file's own. */
static void set_writer_times(struct obj *o, const struct stat *st, unsigned int set)
{
	struct timespec tv[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};

	if (set & CACHE_SET_MTIME)
		tv[1] = st->st_mtim;
	else if (set & CACHE_SET_MTIME_NOW)
		tv[1].tv_nsec = UTIME_NOW;
	else
		return;
	if (!futimens(o->wr->fd, tv))
		o->wr->changed = o->wr->dirtied = true;
}

/* Journals new metadata of an object whose bytes stay. No lock held. */
int obj_save_meta(struct cache *c, struct obj *o)
{
	struct jent change = {.op = J_META};
	bool to_store;
	int r;

	record_init(&change.rec);
	SCOPE_LOCK(&c->ns);
	{
		SCOPE_LOCK(&c->lock);
		if (o->flags & OBJ_ORPHAN)
			return 0;
		if (o->parent && !o->wr && !obj_live(o))
			return -ENOENT; /* another host removed it a moment ago */
		if (obj_is_dir(o)) {
			change.op = J_MKDIR;
			o->flags |= OBJ_OWN_DIR;
		}
		change.key = obj_key_locked(o);
		r = change.key ? obj_to_record(o, &change.rec) : -ENOMEM;
		change.base.cond = o->etag ? TIER_IF_MATCH : TIER_ANY;
		if (o->etag)
			snprintf(change.base.etag, sizeof(change.base.etag), "%s", o->etag);
		if (!r && o->wr) {
			/* the writer's next flush or its release carries it */
			o->wr->changed = o->wr->meta = true;
			jent_release(&change);
			return 0;
		}
		to_store = has_store(c) && o->parent && !(o->flags & OBJ_ALONE);
		if (!r && to_store)
			obj_set_exist(o, EX_LOCAL);
	}
	if (!r && to_store)
		r = append_change(c, &change, false, NULL);
	if (!r)
		body_store_record(c, o);
	jent_release(&change);
	return r;
}

int cache_setattr(struct cache *c, struct obj *o, struct cfile *f, const struct stat *st,
		  unsigned int set, struct cache_wait *w, struct cache_attr *ret_attr)
{
	bool changed;
	int r = 0;

	if (c->config->mount.read_only)
		return -EROFS;
	if (set & CACHE_SET_SIZE) {
		r = session_truncate(c, o, f, st->st_size, w);
		if (r)
			return r;
	}
	{
		SCOPE_LOCK(&c->lock);
		if (o->flags & OBJ_BUSY) /* what is published now is not to be changed meanwhile */
			return obj_flight_wait(c, o, w, c->config->deadlines.open_ms);
		if (!(o->flags & OBJ_ORPHAN) && !o->wr && o->parent) {
			r = obj_refresh(c, o, true, w);
			if (!r && !o->wr && !obj_live(o))
				r = -ENOENT;
			if (r)
				return r;
		}
		if (is_fixed(o, st, set))
			return -EPERM;
		changed = set_fields(c, o, st, set);
		if (changed)
			o->ctime_ns = clock_wall(c->clock);
		if (o->wr)
			set_writer_times(o, st, set);
	}
	if (changed)
		r = obj_save_meta(c, o);
	if (r)
		return r;
	SCOPE_LOCK(&c->lock);
	attr_fill(c, o, ret_attr);
	return 0;
}

int cache_readlink(struct cache *c, struct obj *o, struct cache_wait *w, char **ret_target)
{
	SCOPE_LOCK(&c->lock);
	int r = obj_refresh(c, o, true, w);

	if (r)
		return r;
	if (!S_ISLNK(o->mode) || !o->extra || !o->extra->symlink)
		return -EINVAL;
	*ret_target = strdup(o->extra->symlink);
	return *ret_target ? 0 : -ENOMEM;
}
