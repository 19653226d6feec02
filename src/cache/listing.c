/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listings: one pass over a store's pages brings a whole directory into the tree, with what a
 * listing tells (size and version); nothing is asked name by name. A directory listed within
 * list_ttl is shown from memory; one that is a little older is shown and refreshed behind; an
 * older one is waited for.
 *
 * A complete listing is the store's word on absence too: names of this directory that it does not
 * have, and that are not ours alone, are gone. A listing that failed says nothing about anybody.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cache/internal.h"
#include "cache/where.h"

/* --- one listing --- */

struct batch_item {
	struct record rec;
	char name[KEY_PART_MAX + 1];
};

/* One page, copied out of the tier's callback, so that the tree is locked once for all of it. */
struct batch {
	struct cache *c;
	size_t prefix_len;
	bool at_root;
	bool marker; /* the directory's own was among them */
	size_t n, cap;
	struct batch_item *v;
};

static void batch_clear(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		record_release(&b->v[i].rec);
	b->n = 0;
}

static int batch_grow(struct batch *b)
{
	size_t cap = b->cap ? b->cap * 2 : 256;
	struct batch_item *v = realloc(b->v, cap * sizeof(*v));

	if (!v)
		return -ENOMEM;
	b->v = v;
	b->cap = cap;
	return 0;
}

static int take_entry(void *arg, const struct tier_entry *e)
{
	struct batch *b = arg;
	struct batch_item *item;
	const char *name = e->key + b->prefix_len;
	size_t len = e->key_len - b->prefix_len;

	if (e->marker && e->key_len + 1 == b->prefix_len)
		b->marker = true;
	if (e->key_len < b->prefix_len)
		return 0;
	if (key_part_check(name, len, b->at_root)) {
		if (!(b->at_root && len == strlen(CONTROL_DIR) && !memcmp(name, CONTROL_DIR, len)))
			count_one(b->c->counters, COUNTER_unsafe_keys);
		return 0;
	}
	if (b->n == b->cap && batch_grow(b))
		return -ENOMEM;
	item = &b->v[b->n];
	memcpy(item->name, name, len);
	item->name[len] = '\0';
	record_init(&item->rec);
	if (e->rec && record_copy(&item->rec, e->rec))
		return -ENOMEM;
	if (e->prefix || e->marker)
		item->rec.mode = S_IFDIR | (item->rec.mode & 07777);
	b->n++;
	return 0;
}

/* Lock held */
static bool pending_gone(struct cache *c, struct obj *o)
{
	CLEANUP_FREE char *key = obj_live(o) ? NULL : obj_key_locked(o);

	return key && name_pending_gone(c, key);
}

/* With ns of its own: others get at names between two items, and the kernel is told without it. */
static void apply_item(struct cache *c, struct obj *dir, struct batch_item *item, int64_t asked_ns)
{
	CLEANUP_FREE char *key = NULL;
	unsigned int todo = 0;
	struct obj *o;
	int ev = 0;

	pthread_mutex_lock(&c->ns);
	{
		SCOPE_LOCK(&c->lock);
		o = dir->flags & OBJ_ORPHAN ? NULL : tree_get(c, dir, item->name);
		if (!o) {
			pthread_mutex_unlock(&c->ns);
			return;
		}
		o->round = dir->dir->round;
		if (!(o->flags & OBJ_PROBED) && o->exist == EX_UNKNOWN &&
		    !S_ISDIR(item->rec.mode)) {
			pthread_mutex_unlock(&c->lock);
			(void)body_probe(c, o);
			pthread_mutex_lock(&c->lock);
		}
		if (pending_gone(c, o))
			;
		else if (!(S_ISDIR(item->rec.mode) && obj_live(o) && obj_is_dir(o)))
			ev = obj_store_says(c, o, &item->rec, asked_ns, &todo);
		else
			o->checked_ns = clock_mono(c->clock);
		key = todo ? obj_key_locked(o) : NULL;
	}
	if (key)
		body_remove(c, o, key, todo);
	pthread_mutex_unlock(&c->ns);
	if (ev)
		obj_emit(c, ev - 1, o);
	obj_unref(c, o);
}

static void apply_page(struct cache *c, struct obj *dir, struct batch *b, int64_t asked_ns)
{
	for (size_t i = 0; i < b->n; i++)
		apply_item(c, dir, &b->v[i], asked_ns);
}

static void page_done(struct cache *c, struct obj *dir, bool more)
{
	struct list out;

	list_init(&out);
	if (!more)
		return;
	{
		SCOPE_LOCK(&c->lock);
		dir->dir->big = true;
		wake_collect(c, &dir->dir->flight.waits, &out);
	}
	wake_all(&out, 0); /* single names need not wait for the rest */
}

static bool is_stopping(struct cache *c)
{
	SCOPE_LOCK(&c->lock);
	return c->stopping;
}

/* What is to be listed: dir, by all names that the store may have it or parts of it under. */
struct listing {
	struct obj *dir;
	char *key;
	uint32_t moved;
	struct jnames names;
	bool marker; /* its own was among what was listed */
};

static bool listing_leads(struct cache *c, const struct listing *l, size_t left)
{
	return obj_moved(c, l->dir) == l->moved && names_lead(c, l->key, left);
}

/* left: how many of the names are still to come, prefix's among them. */
static int list_prefix(struct cache *c, struct listing *l, const char *prefix, size_t left,
		       struct err *err)
{
	struct batch b = {.c = c, .prefix_len = strlen(prefix), .at_root = !*prefix};
	struct tier_list_req req = {.prefix = prefix, .delimiter = true};
	CLEANUP_FREE char *token = NULL;
	int r;

	do {
		struct tier_call call = {.deadline = deadline_in(c, c->config->deadlines.list_ms)};
		int64_t asked_ns = clock_mono(c->clock);
		char *next = NULL;

		req.token = token;
		r = tier_list(c->store, &call, &req, take_entry, &b, &next);
		free(token);
		token = next;
		if (r)
			*err = call.err;
		else if (!listing_leads(c, l, left))
			r = -EAGAIN; /* what was listed may be another directory by now */
		else
			apply_page(c, l->dir, &b, asked_ns);
		batch_clear(&b);
		if (!r)
			page_done(c, l->dir, token || left > 1);
	} while (!r && token && !is_stopping(c));
	free(b.v);
	l->marker |= b.marker;
	return r ? r : token ? -ECANCELED : 0;
}

void children_gone(struct cache *c, struct obj *dir, bool unseen, int64_t asked_ns)
{
	struct obj **gone = NULL;
	size_t n = 0, cap = 0;

	{
		SCOPE_LOCK(&c->lock);
		list_for_each(it, &dir->dir->children) {
			struct obj *o = list_entry(it, struct obj, sibling);
			struct obj **v;

			if (o->exist != EX_PRESENT || o->checked_ns > asked_ns ||
			    (unseen && o->round == dir->dir->round))
				continue;
			if (n == cap) {
				v = realloc(gone, (cap ? cap * 2 : 64) * sizeof(*gone));
				if (!v)
					break;
				gone = v;
				cap = cap ? cap * 2 : 64;
			}
			obj_get(o);
			gone[n++] = o;
		}
	}
	for (size_t i = 0; i < n; i++) {
		obj_word(c, gone[i], NULL, asked_ns);
		obj_unref(c, gone[i]);
	}
	free(gone);
}

static char *dir_prefix(const char *key)
{
	return *key ? key_join(key, "") : strdup("");
}

static int list_names(struct cache *c, struct listing *l, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < l->names.n && !r; i++) {
		CLEANUP_FREE char *prefix = dir_prefix(l->names.v[i]);

		r = prefix ? list_prefix(c, l, prefix, l->names.n - i, err) : -ENOMEM;
	}
	return r || listing_leads(c, l, 1) ? r : -EAGAIN;
}

static int list_dir(struct cache *c, struct obj *dir, bool *ret_marker, struct err *err)
{
	struct listing l = {.dir = dir, .moved = obj_moved(c, dir), .key = obj_key(c, dir)};
	int r = l.key ? journal_names(c->journal, l.key, &l.names) : -ENOMEM;

	if (!r)
		r = list_names(c, &l, err);
	else if (r == -ENOENT)
		r = 0; /* what the store may have there is not this directory's */
	*ret_marker = l.marker;
	jnames_release(&l.names);
	free(l.key);
	return r;
}

/* Whether it is a directory of its own, or only what its names imply. Lock held */
static void note_marker(struct obj *dir, bool marker, int64_t began)
{
	if (marker)
		dir->flags |= OBJ_OWN_DIR;
	else if (dir->exist == EX_PRESENT && dir->checked_ns <= began)
		dir->flags &= ~OBJ_OWN_DIR;
}

static void list_job(struct cache *c, void *arg)
{
	struct obj *dir = arg;
	struct err err = {{0}};
	int64_t began = clock_mono(c->clock);
	struct list out;
	bool marker = false;
	int r = list_dir(c, dir, &marker, &err);
	bool again = r == -EAGAIN;

	list_init(&out);
	if (!r)
		children_gone(c, dir, true, began);
	else if (r != -ECANCELED && !again)
		obj_note_error(c, dir, r, err_text(&err, r));
	{
		SCOPE_LOCK(&c->lock);
		struct dirinfo *d = dir->dir;

		store_answered(c, r);
		d->flight.running = false;
		d->error = again ? 0 : r;
		d->misses = 0;
		if (!r) {
			d->listed_ns = began;
			d->big = false;
			note_marker(dir, marker, began);
		} else if (!again) {
			dir->tried_ns = clock_mono(c->clock);
		}
		wake_collect(c, &d->flight.waits, &out);
	}
	wake_all(&out, 0); /* whoever waited looks at d->error or asks by name */
	obj_unref(c, dir);
}

int list_start(struct cache *c, struct obj *dir)
{
	int r = obj_become_dir(c, dir);

	if (r || dir->dir->flight.running)
		return r;
	dir->dir->flight.running = true;
	dir->dir->round++;
	obj_get(dir);
	job_run(c, POOL_FOREGROUND, list_job, dir);
	return 0;
}

/* --- snapshots --- */

static int mirror_name(void *arg, const char *name, unsigned char d_type)
{
	struct obj *dir = ((void **)arg)[1];
	struct cache *c = ((void **)arg)[0];
	struct obj *o = NULL;

	(void)d_type;
	if (key_part_check(name, strlen(name), dir == c->root))
		return 0;
	{
		SCOPE_LOCK(&c->lock);
		if (!tree_find(c, dir, name))
			o = tree_get(c, dir, name);
	}
	if (!o)
		return 0;
	(void)body_probe(c, o);
	obj_unref(c, o);
	return 0;
}

/*
 * Brings the names of the local mirror into the tree, once a directory. Lock held, dropped in
 * between
 */
static void read_mirror(struct cache *c, struct obj *dir)
{
	CLEANUP_FREE char *key = obj_key_locked(dir);
	void *arg[2] = {c, dir};

	if (dir->dir->mirror_read || !key)
		return;
	pthread_mutex_unlock(&c->lock);
	if (c->disk)
		(void)local_readdir(c->disk, key, mirror_name, arg);
	if (c->ram)
		(void)local_readdir(c->ram, key, mirror_name, arg);
	pthread_mutex_lock(&c->lock);
	dir->dir->mirror_read = true;
}

static bool listed_within(struct cache *c, const struct dirinfo *d, int64_t ns)
{
	return d->listed_ns && clock_mono(c->clock) - d->listed_ns < ns;
}

/*
 * 0: what the tree has may be shown; else wait. A listing that just failed is not asked for again.
 * Lock held
 */
static int fresh_listing(struct cache *c, struct obj *dir, struct cache_wait *w)
{
	struct dirinfo *d = dir->dir;
	bool tried = dir->tried_ns && clock_mono(c->clock) - dir->tried_ns < NSEC_PER_SEC;

	if (!has_store(c) || listed_within(c, d, ttl_ns(c)))
		return 0;
	if (dir->flags & OBJ_NEW_DIR)
		return 0; /* made here: the store has nothing below it */
	if (d->error && tried && !d->flight.running)
		return 0;
	if (list_start(c, dir))
		return -ENOMEM;
	if (listed_within(c, d, 2 * ttl_ns(c)))
		return 0;
	return wait_on(c, &d->flight.waits, w, c->config->deadlines.list_ms);
}

static int snapshot(struct cache *c, struct obj *dir, struct cdir *d)
{
	size_t n = 0;

	list_for_each(it, &dir->dir->children)
		n++;
	d->v = calloc(n ? n : 1, sizeof(*d->v));
	if (!d->v)
		return -ENOMEM;
	list_for_each(it, &dir->dir->children) {
		struct obj *o = list_entry(it, struct obj, sibling);

		if (!obj_live(o) || obj_expired(c, o))
			continue;
		obj_get(o);
		d->v[d->n++] = o;
	}
	return 0;
}

int dir_load(struct cache *c, struct obj *dir, struct cache_wait *w)
{
	int r = obj_become_dir(c, dir);

	if (r || dir->flags & OBJ_ORPHAN)
		return r;
	r = fresh_listing(c, dir, w);
	if (!r && (!has_store(c) || dir->dir->error || !dir->dir->listed_ns))
		read_mirror(c, dir);
	return r;
}

int cache_opendir(struct cache *c, struct obj *dir, struct cache_wait *w, struct cdir **ret_cdir)
{
	struct cdir *d;
	int r;

	SCOPE_LOCK(&c->lock);
	if (!obj_is_dir(dir))
		return -ENOTDIR;
	r = dir_load(c, dir, w);
	if (r)
		return r;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	if (has_store(c) && dir->dir->error && !dir->dir->listed_ns)
		d->error = dir->dir->error;
	r = snapshot(c, dir, d);
	if (r) {
		free(d);
		return r;
	}
	*ret_cdir = d;
	return 0;
}

size_t cdir_count(const struct cdir *d)
{
	return d->n;
}

int cdir_error(const struct cdir *d)
{
	return d->error;
}

bool cdir_get(struct cache *c, struct cdir *d, size_t i, const char **ret_name,
	      struct obj **ret_obj, struct cache_attr *ret_attr)
{
	SCOPE_LOCK(&c->lock);
	struct obj *o = d->v[i];

	if (o->flags & OBJ_ORPHAN || !obj_live(o))
		return false;
	snprintf(d->name, sizeof(d->name), "%s", o->name); /* a rename may free the obj's */
	*ret_name = d->name;
	*ret_obj = o;
	attr_fill(c, o, ret_attr);
	if (obj_is_vague(o))
		ret_attr->st.st_mode = 0;
	return true;
}

void cdir_free(struct cache *c, struct cdir *d)
{
	if (!d)
		return;
	SCOPE_LOCK(&c->lock);
	for (size_t i = 0; i < d->n; i++)
		obj_put_locked(c, d->v[i]);
	free(d->v);
	free(d);
}
