/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes: entering, forgetting, renaming. What a restart needs is in nodes_restart.c. */
#include "nodes.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nodes_priv.h"
#include "util/cleanup.h"

/* --- the hash of names: chains of slot numbers --- */

static uint32_t *bucket_of(struct nodes *n, uint64_t link)
{
	return &n->buckets[names_link_hash(link) & (n->n_buckets - 1)];
}

void nodes_chain_add(struct nodes *n, uint32_t at)
{
	uint32_t *head = bucket_of(n, n->shm->nodes[at].link);

	n->rt[at].next = *head;
	*head = at;
}

static void chain_del(struct nodes *n, uint32_t at)
{
	uint32_t *p = bucket_of(n, n->shm->nodes[at].link);

	while (*p && *p != at)
		p = &n->rt[*p].next;
	if (*p)
		*p = n->rt[at].next;
}

/* Without memory for it the chains only get longer. */
static void grow_buckets(struct nodes *n)
{
	uint32_t old = n->n_buckets, *fresh;
	uint32_t *was = n->buckets;

	if (n->n_live < old || old >= 1u << NAMES_HASH_BITS)
		return;
	fresh = calloc((size_t)old * 2, sizeof(*fresh));
	if (!fresh)
		return;
	n->buckets = fresh;
	n->n_buckets = old * 2;
	for (uint32_t i = 0; i < old; i++) {
		for (uint32_t at = was[i], next; at; at = next) {
			next = n->rt[at].next;
			nodes_chain_add(n, at);
		}
	}
	free(was);
}

/* The first node from `at` on in its chain that has this name, 0: none. */
static uint32_t chain_match(struct nodes *n, uint32_t at, uint64_t parent, const char *name,
			    uint32_t hash)
{
	size_t len = strlen(name);

	for (; at; at = n->rt[at].next) {
		uint64_t link = n->shm->nodes[at].link;
		const struct name_rec *rec;

		if (names_link_hash(link) != hash)
			continue;
		rec = names_get(&n->names, link);
		if (rec->parent == parent && rec->len == len && !memcmp(rec->s, name, len))
			break;
	}
	return at;
}

static uint32_t chain_first(struct nodes *n, uint64_t parent, const char *name, uint32_t *ret_hash)
{
	uint32_t hash = names_hash(parent, name, strlen(name));

	*ret_hash = hash;
	return chain_match(n, n->buckets[hash & (n->n_buckets - 1)], parent, name, hash);
}

/* --- slots --- */

static uint32_t slot_take(struct nodes *n)
{
	if (n->n_free)
		return n->free[--n->n_free];
	return shm_grow(&n->shm->hdr->nodes, SHM_NODES);
}

/* Without memory the slot is lost to this worker and found free by the next. */
void nodes_slot_give(struct nodes *n, uint32_t at)
{
	if (n->n_free == n->max_free) {
		uint32_t max = n->max_free ? n->max_free * 2 : 1024;
		uint32_t *more = realloc(n->free, max * sizeof(*more));

		if (!more)
			return;
		n->free = more;
		n->max_free = max;
	}
	n->free[n->n_free++] = at;
}

struct shm_node *nodes_get_locked(struct nodes *n, uint64_t id)
{
	uint32_t at = shm_index(id);

	if (!at || at >= atomic_load_explicit(&n->shm->hdr->nodes, memory_order_acquire))
		return NULL;
	return n->shm->nodes[at].id == id ? &n->shm->nodes[at] : NULL;
}

struct node_io *nodes_io_locked(struct nodes *n, uint64_t id, bool make)
{
	struct node_rt *rt = &n->rt[shm_index(id)];

	if (!nodes_get_locked(n, id))
		return NULL;
	if (!rt->io && make)
		rt->io = calloc(1, sizeof(*rt->io));
	return rt->io;
}

/* Its name is gone: found no more, but still there for those who have it. */
static void make_orphan(struct nodes *n, uint32_t at)
{
	chain_del(n, at);
	atomic_fetch_or(&n->shm->nodes[at].flags, NODE_ORPHAN);
}

static int slot_new(struct nodes *n, uint64_t parent, const char *name, struct obj *obj,
		    const struct cache_attr *attr, uint64_t ino, uint64_t *ret_id)
{
	uint32_t at = slot_take(n);
	struct shm_node *slot = &n->shm->nodes[at];
	uint64_t link;
	int rc;

	if (!at)
		return -ENFILE;
	rc = names_put(&n->names, parent, name, &link);
	if (rc) {
		nodes_slot_give(n, at);
		return rc;
	}
	slot->generation++;
	slot->link = link;
	slot->ino = ino;
	slot->lookups = 1;
	slot->flags = 0;
	slot->epoch = attr->epoch;
	memset(&n->rt[at], 0, sizeof(n->rt[at]));
	n->rt[at].obj = obj_ref(obj);
	*ret_id = shm_id(slot->generation, at);
	atomic_store_explicit(&slot->id, *ret_id, memory_order_release);
	obj_set_node(obj, *ret_id);
	nodes_chain_add(n, at);
	n->n_live++;
	grow_buckets(n);
	return 0;
}

static bool io_busy(const struct node_io *io)
{
	for (int mode = 0; io && mode < IO_MODES; mode++) {
		if (io->held.n[mode])
			return true;
	}
	return false;
}

/*
 * May the node stand for the obj as it is now? Open files that were opened on another epoch keep
 * it for themselves, unless they are writers': those have to meet everybody else on one inode.
 */
static bool node_fits(struct nodes *n, struct shm_node *slot, const struct cache_attr *attr)
{
	struct node_io *io = n->rt[slot - n->shm->nodes].io;

	if (slot->flags & (NODE_STALE | NODE_ORPHAN))
		return false;
	if (slot->epoch == attr->epoch || S_ISDIR(attr->st.st_mode))
		return true;
	if (io_busy(io) && !io->held.writers) {
		atomic_fetch_or(&slot->flags, NODE_STALE);
		return false;
	}
	slot->epoch = attr->epoch;
	if (io)
		io->pages_good = false;
	return true;
}

/*
 * Nodes with this name that are not the obj's: one that nobody asked for since the restart is
 * taken to be it; what belongs to another obj has lost its name behind our back.
 */
static struct shm_node *adopt_by_name(struct nodes *n, uint64_t parent, const char *name,
				      struct obj *obj, const struct cache_attr *attr)
{
	uint32_t hash, next, at = chain_first(n, parent, name, &hash);

	for (; at; at = next) {
		struct shm_node *slot = &n->shm->nodes[at];

		next = chain_match(n, n->rt[at].next, parent, name, hash);
		if (n->rt[at].obj && n->rt[at].obj != obj) {
			make_orphan(n, at);
		} else if (!n->rt[at].obj && !(slot->flags & NODE_STALE)) {
			n->rt[at].obj = obj_ref(obj);
			slot->epoch = attr->epoch;
			obj_set_node(obj, slot->id);
			return slot;
		}
	}
	return NULL;
}

int nodes_enter(struct nodes *n, uint64_t parent, const char *name, struct obj *obj,
		struct cache_attr *attr, uint64_t *ret_id)
{
	uint64_t id = obj_node(obj), ino = attr->st.st_ino;
	struct shm_node *slot;
	SCOPE_LOCK(&n->lock);

	id = obj_node(obj);
	slot = id ? nodes_get_locked(n, id) : NULL;
	if (slot)
		ino = slot->ino;
	else
		slot = adopt_by_name(n, parent, name, obj, attr);
	if (!slot || !node_fits(n, slot, attr)) {
		attr->st.st_ino = ino;
		return slot_new(n, parent, name, obj, attr, ino, ret_id);
	}
	atomic_fetch_add(&slot->lookups, 1);
	attr->st.st_ino = slot->ino;
	*ret_id = slot->id;
	return 0;
}

/* What is left of a node that was freed, to be put without the lock. */
static struct obj *node_free(struct nodes *n, struct shm_node *slot)
{
	uint32_t at = (uint32_t)(slot - n->shm->nodes);
	struct node_rt *rt = &n->rt[at];
	struct obj *obj = rt->obj;

	if (obj && obj_node(obj) == slot->id)
		obj_set_node(obj, 0);
	if (!(slot->flags & NODE_ORPHAN))
		chain_del(n, at);
	atomic_store_explicit(&slot->id, 0, memory_order_release);
	names_free(&n->names, slot->link);
	free(rt->io);
	memset(rt, 0, sizeof(*rt));
	nodes_slot_give(n, at);
	n->n_live--;
	return obj;
}

void nodes_forget(struct nodes *n, uint64_t id, uint64_t lookups)
{
	struct obj *obj = NULL;

	if (id == NODE_ROOT)
		return;
	{
		SCOPE_LOCK(&n->lock);
		struct shm_node *slot = nodes_get_locked(n, id);

		if (!slot)
			return;
		if (slot->lookups > lookups)
			slot->lookups -= (uint32_t)lookups;
		else
			slot->lookups = 0;
		/* RELEASE was sent before, but another thread may have it. */
		if (!slot->lookups && !io_busy(n->rt[shm_index(id)].io))
			obj = node_free(n, slot);
	}
	if (obj)
		obj_unref(n->cache, obj);
}

struct obj *nodes_closed_locked(struct nodes *n, uint64_t id)
{
	struct shm_node *slot = nodes_get_locked(n, id);

	return slot && !slot->lookups && id != NODE_ROOT ? node_free(n, slot) : NULL;
}

uint64_t nodes_ino(struct nodes *n, uint64_t id)
{
	SCOPE_LOCK(&n->lock);
	struct shm_node *slot = nodes_get_locked(n, id);

	return slot ? slot->ino : 0;
}

uint64_t nodes_parent(struct nodes *n, uint64_t id)
{
	SCOPE_LOCK(&n->lock);
	struct shm_node *slot = nodes_get_locked(n, id);

	if (!slot || id == NODE_ROOT)
		return NODE_ROOT;
	return names_get(&n->names, slot->link)->parent;
}

void nodes_content_changed(struct nodes *n, uint64_t id)
{
	SCOPE_LOCK(&n->lock);
	struct node_io *io = id ? nodes_io_locked(n, id, false) : NULL;

	if (io)
		io->pages_good = false;
}

static void orphan_all(struct nodes *n, uint64_t parent, const char *name)
{
	uint32_t hash, next, at = chain_first(n, parent, name, &hash);

	for (; at; at = next) {
		next = chain_match(n, n->rt[at].next, parent, name, hash);
		make_orphan(n, at);
	}
}

void nodes_removed(struct nodes *n, uint64_t parent, const char *name)
{
	SCOPE_LOCK(&n->lock);

	orphan_all(n, parent, name);
}

/*
 * Gives it another place. Where the heap is full it goes on without a name that a restart would
 * find.
 */
static void relink(struct nodes *n, uint32_t at, uint64_t parent, const char *name)
{
	struct shm_node *slot = &n->shm->nodes[at];
	uint64_t old = slot->link, link;

	if (names_put(&n->names, parent, name, &link)) {
		make_orphan(n, at);
		return;
	}
	chain_del(n, at);
	atomic_store_explicit(&slot->link, link, memory_order_release);
	names_free(&n->names, old);
	nodes_chain_add(n, at);
}

void nodes_renamed(struct nodes *n, uint64_t from_parent, const char *from, uint64_t to_parent,
		   const char *to)
{
	uint32_t hash, next, at;
	SCOPE_LOCK(&n->lock);

	if (from_parent == to_parent && !strcmp(from, to))
		return;
	orphan_all(n, to_parent, to);
	for (at = chain_first(n, from_parent, from, &hash); at; at = next) {
		next = chain_match(n, n->rt[at].next, from_parent, from, hash);
		relink(n, at, to_parent, to);
	}
}
