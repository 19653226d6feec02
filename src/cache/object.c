/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree of objects: one struct obj a name that is known, found by (parent, name) in a hash
 * table. All functions need cache.lock, unless they say otherwise.
 */
#include <errno.h>
#include <string.h>

#include "cache/internal.h"
#include "cache/session.h"

#define TABLE_START 4096
#define MAX_NEGATIVES 65536

static size_t name_hash(const struct obj *dir, const char *name)
{
	return hash64(name, strlen(name)) ^ ((uintptr_t)dir * 0x9E3779B97F4A7C15ull);
}

static size_t slot_of(const struct cache *c, const struct obj *dir, const char *name)
{
	return name_hash(dir, name) & (c->table_size - 1);
}

/* Doubles the table; where there is no memory for it, the chains grow instead. */
static void table_grow(struct cache *c)
{
	size_t size = c->table_size ? c->table_size * 2 : TABLE_START;
	struct obj **table = calloc(size, sizeof(*table));
	struct obj **old = c->table;
	size_t old_size = c->table_size;

	if (!table)
		return;
	c->table = table;
	c->table_size = size;
	for (size_t i = 0; i < old_size; i++) {
		struct obj *o, *next;

		for (o = old[i]; o; o = next) {
			size_t slot = slot_of(c, o->parent, o->name);

			next = o->hash_next;
			o->hash_next = table[slot];
			table[slot] = o;
		}
	}
	free(old);
}

static void table_add(struct cache *c, struct obj *o)
{
	size_t slot;

	if (c->n_objs >= c->table_size)
		table_grow(c);
	slot = slot_of(c, o->parent, o->name);
	o->hash_next = c->table[slot];
	c->table[slot] = o;
	c->n_objs++;
}

static void table_del(struct cache *c, struct obj *o)
{
	struct obj **p = &c->table[slot_of(c, o->parent, o->name)];

	while (*p != o)
		p = &(*p)->hash_next;
	*p = o->hash_next;
	o->hash_next = NULL;
	c->n_objs--;
}

struct obj *tree_find(struct cache *c, const struct obj *dir, const char *name)
{
	struct obj *o = c->table_size ? c->table[slot_of(c, dir, name)] : NULL;

	while (o && (o->parent != dir || strcmp(o->name, name) != 0))
		o = o->hash_next;
	return o;
}

char *obj_key_locked(const struct obj *o)
{
	size_t len = 0;
	char *key, *p;

	for (const struct obj *at = o; at->parent; at = at->parent)
		len += strlen(at->name) + 1;
	if (!len)
		return strdup(o->parent ? "" : o->name);
	key = malloc(len);
	if (!key)
		return NULL;
	p = key + len - 1;
	*p = '\0';
	for (const struct obj *at = o; at->parent; at = at->parent) {
		size_t n = strlen(at->name);

		p -= n;
		memcpy(p, at->name, n);
		if (p > key)
			*--p = '/';
	}
	return key;
}

/* st_ino: a stable hash of the key; 0 and 1 mean other things to the kernel. */
static void obj_set_ino(struct obj *o)
{
	CLEANUP_FREE char *key = obj_key_locked(o);

	o->ino = key ? hash64(key, strlen(key)) : (uintptr_t)o;
	if (!o->parent && !o->name[0])
		o->ino = 1;
	else if (o->ino < 2)
		o->ino += 2;
}

struct obj *obj_new(struct cache *c, struct obj *parent, const char *name)
{
	struct obj *o = calloc(1, sizeof(*o) + strlen(name) + 1);

	if (!o)
		return NULL;
	memcpy(o->name_buf, name, strlen(name) + 1);
	o->name = o->name_buf;
	o->refs = 1;
	list_init(&o->sibling);
	list_init(&o->files);
	list_init(&o->negative);
	if (parent) {
		obj_get(parent);
		o->parent = parent;
		list_add_tail(&parent->dir->children, &o->sibling);
		table_add(c, o);
		tenant_enter(c, o);
	}
	obj_set_ino(o);
	return o;
}

void obj_extra_free(struct obj_extra *x)
{
	struct record_xattr *next;

	if (!x)
		return;
	free(x->format);
	free(x->cache_key);
	free(x->symlink);
	for (struct record_xattr *u = x->user; u; u = next) {
		next = u->next;
		free(u);
	}
	free(x);
}

static void obj_free(struct cache *c, struct obj *o)
{
	assert(!o->wr && !o->fill && list_empty(&o->files));
	body_gone(c, o, c->disk);
	body_gone(c, o, c->ram);
	tenant_leave(c, o);
	assert(!o->flight || list_empty(&o->flight->waits));
	free(o->flight);
	assert(!o->dir || list_empty(&o->dir->children));
	free(o->dir);
	obj_extra_free(o->extra);
	free(o->etag);
	if (o->name != o->name_buf)
		free(o->name);
	free(o);
}

void obj_get(struct obj *o)
{
	o->refs++;
}

/*
 * What must stay in memory although nobody refers to it: what is here and nowhere else, what the
 * eviction must find, and what a listing told, as long as its directory is believed.
 */
static bool obj_worth_keeping(const struct obj *o)
{
	return o->parent && (o->exist == EX_LOCAL || o->exist == EX_DELETED ||
			     o->exist == EX_PRESENT || (o->flags & (OBJ_RES_DISK | OBJ_RES_RAM)) ||
			     o->wr || o->fill || (o->dir && !list_empty(&o->dir->children)));
}

static void obj_unlink_tree(struct cache *c, struct obj *o)
{
	table_del(c, o);
	list_del(&o->sibling);
	o->parent = NULL;
}

void obj_destroy(struct cache *c, struct obj *o)
{
	if (o->wr)
		session_free(c, o);
	if (o->fill)
		fill_detach(c, o);
	list_del(&o->files);
	if (!list_empty(&o->negative))
		list_del(&o->negative);
	if (o->parent)
		obj_unlink_tree(c, o);
	obj_free(c, o);
}

/* Frees o, which nobody refers to, and then the parents that only it kept. */
static void obj_forget(struct cache *c, struct obj *o)
{
	while (o) {
		struct obj *parent = o->parent;

		if (!list_empty(&o->negative)) {
			list_del(&o->negative);
			c->n_negatives--;
		}
		if (parent) {
			if (obj_live(o))
				parent->dir->n_live--;
			obj_unlink_tree(c, o);
		}
		obj_free(c, o);
		if (!parent || --parent->refs || obj_worth_keeping(parent))
			return;
		o = parent;
	}
}

/* An absent name is remembered for a while: whoever waited for the answer asks once more. */
static void keep_negative(struct cache *c, struct obj *o)
{
	if (!list_empty(&o->negative))
		list_del(&o->negative);
	else
		c->n_negatives++;
	list_add_tail(&c->negatives, &o->negative);
	while (c->n_negatives > MAX_NEGATIVES) {
		struct obj *old = list_entry(c->negatives.next, struct obj, negative);

		list_del(&old->negative);
		c->n_negatives--;
		if (!old->refs && !obj_worth_keeping(old))
			obj_forget(c, old);
	}
}

void obj_put_locked(struct cache *c, struct obj *o)
{
	assert(o->refs > 0);
	if (--o->refs || obj_worth_keeping(o))
		return;
	if (o->parent && o->exist == EX_ABSENT)
		keep_negative(c, o);
	else
		obj_forget(c, o);
}

struct obj *tree_get(struct cache *c, struct obj *dir, const char *name)
{
	struct obj *o = tree_find(c, dir, name);

	if (o) {
		obj_get(o);
		return o;
	}
	if (obj_become_dir(c, dir))
		return NULL;
	return obj_new(c, dir, name);
}

/*
 * Walks key; make: objs are made on the way. Returns a new reference with make, else a borrowed
 * pointer.
 */
static struct obj *tree_walk(struct cache *c, const char *key, bool make)
{
	struct obj *o = c->root;
	char name[KEY_PART_MAX + 1];

	if (make)
		obj_get(o);
	while (*key && o) {
		size_t n = strcspn(key, "/");
		struct obj *next;

		memcpy(name, key, n);
		name[n] = '\0';
		key += n + (key[n] == '/');
		next = make ? tree_get(c, o, name) : tree_find(c, o, name);
		if (make)
			obj_put_locked(c, o);
		o = next;
	}
	return o;
}

struct obj *tree_peek(struct cache *c, const char *key)
{
	return tree_walk(c, key, false);
}

struct obj *tree_make(struct cache *c, const char *key)
{
	return tree_walk(c, key, true);
}

bool obj_expired(const struct cache *c, const struct obj *o)
{
	return o->expires_at && (o->known & REC_EXPIRES) && !S_ISDIR(o->mode) &&
	       clock_wall(c->clock) >= o->expires_at * NSEC_PER_SEC;
}

/* Whether its state says that it is there; the clock is not asked, so that counts stay right. */
static bool exist_live(enum exist ex)
{
	return ex == EX_PRESENT || ex == EX_LOCAL;
}

bool obj_live(const struct obj *o)
{
	return exist_live(o->exist);
}

bool obj_is_dir(const struct obj *o)
{
	return S_ISDIR(o->mode);
}

void obj_set_exist(struct obj *o, enum exist ex)
{
	bool was = exist_live(o->exist), is;

	if (o->flags & OBJ_TENANT_DIR)
		ex = EX_LOCAL; /* the configuration says so */
	is = exist_live(ex);
	o->exist = ex;
	if (o->parent && was != is)
		o->parent->dir->n_live += is ? 1 : -1;
	tenant_settle(o);
}

int obj_become_dir(struct cache *c, struct obj *o)
{
	if (!o->dir) {
		o->dir = calloc(1, sizeof(*o->dir));
		if (!o->dir)
			return -ENOMEM;
		list_init(&o->dir->children);
		flight_init(&o->dir->flight);
	}
	if (!S_ISDIR(o->mode))
		obj_default_attr(c, o, S_IFDIR);
	return 0;
}

bool obj_told_whole(const struct obj *o)
{
	return o->known & REC_USER;
}

static mode_t file_mode(struct cache *c, struct obj *o)
{
	mode_t mode = obj_class(c, o)->mode;

	return mode == POLICY_MODE_NONE ? c->config->mount.mode & 0666 : mode & 07777;
}

/* What an object is shown with while nobody has said better. */
void obj_default_attr(struct cache *c, struct obj *o, mode_t type)
{
	const struct config *conf = c->config;

	o->uid = conf->mount.uid;
	o->gid = conf->mount.gid;
	o->mode = type | (type == S_IFDIR ? conf->mount.mode : file_mode(c, o));
	o->known &= ~(REC_MODE | REC_OWNER);
	tenant_default_attr(o, type);
	if (!o->mtime_ns)
		o->mtime_ns = clock_wall(c->clock);
}

/* Nothing is known below a directory that has no name: its absent and deleted names go. */
static void drop_children(struct cache *c, struct obj *dir)
{
	while (dir->dir && !list_empty(&dir->dir->children)) {
		struct obj *o = list_entry(dir->dir->children.next, struct obj, sibling);

		obj_get(o);
		tree_detach(c, o);
		obj_put_locked(c, o);
	}
}

void tree_detach(struct cache *c, struct obj *o)
{
	struct obj *parent = o->parent;

	if (!parent)
		return;
	drop_children(c, o);
	if (o->fill)
		fill_detach(c, o);
	obj_set_exist(o, EX_ABSENT);
	obj_unlink_tree(c, o);
	o->flags |= OBJ_ORPHAN;
	obj_put_locked(c, parent);
}

static void subtree_rekey(struct cache *c, struct obj *o)
{
	obj_set_ino(o);
	tenant_reenter(c, o);
	o->class_gen = 0;
	o->moved++;
	if (!o->dir)
		return;
	list_for_each(it, &o->dir->children)
		subtree_rekey(c, list_entry(it, struct obj, sibling));
}

int tree_move(struct cache *c, struct obj *o, struct obj *to_dir, const char *name)
{
	struct obj *old_parent = o->parent;
	bool live = obj_live(o);
	char *copy = strdup(name);

	if (!copy || obj_become_dir(c, to_dir)) {
		free(copy);
		return -ENOMEM;
	}
	table_del(c, o);
	list_del(&o->sibling);
	if (o->name != o->name_buf)
		free(o->name);
	o->name = copy;
	obj_get(to_dir);
	o->parent = to_dir;
	list_add_tail(&to_dir->dir->children, &o->sibling);
	table_add(c, o);
	if (live) {
		old_parent->dir->n_live--;
		to_dir->dir->n_live++;
	}
	obj_put_locked(c, old_parent);
	subtree_rekey(c, o);
	return 0;
}
