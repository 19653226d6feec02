/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes: what the kernel calls an inode. A node has an id that is never used twice, the place
 * where its name stands, and the kernel's lookup count, all in shared memory; and the obj behind
 * it, which is this worker's.
 *
 *	new --enter--> CURRENT --another epoch while open--> STALE --forget--> free
 *			  |  \--name removed, replaced--> ORPHAN --forget--> free
 *			  \--forget--> free
 *
 * CURRENT	the node that the next lookup of the name gets
 * STALE   open files go on with it, and the name's next lookup makes a new node with the same
 * st_ino
 * ORPHAN	its name is gone; whoever has it open goes on
 *
 * An obj may have several nodes (one CURRENT, the others STALE); they are found through their
 * common name. After a restart a node has no obj until it is asked for: nodes_obj() then says
 * under which key to look.
 *
 * One mutex protects everything here, `struct node_io` included; it is never held across a call
 * into the cache that may wait or free.
 */
#ifndef FUSE_NODES_H
#define FUSE_NODES_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "cache/cache.h"
#include "io_mode.h"
#include "names.h"
#include "shm.h"

#define NODE_ROOT 1u

enum node_flags { NODE_STALE = 1 << 0, NODE_ORPHAN = 1 << 1 };

/* Of a node with open files, or that had some. */
struct node_io {
	struct io_held held;
	uint32_t backing;  /* slot in shm->backings, 0: none */
	int64_t direct_ns; /* when IO_DIRECT was last answered */
	bool pages_good;   /* the page cache holds the present bytes: keep_cache */
};

struct node_rt {
	struct obj *obj; /* NULL: nobody asked since the restart */
	struct node_io *io;
	uint32_t next; /* in the hash chain */
};

struct nodes {
	struct shm *shm;
	struct cache *cache;
	pthread_mutex_t lock;
	struct names names;
	struct node_rt *rt; /* SHM_NODES of them, sparse */
	uint32_t *buckets;  /* by hash of parent and name; a power of two of them */
	uint32_t n_buckets;
	uint32_t n_live;
	uint32_t *free; /* stack of free slots */
	uint32_t n_free, max_free;
};

/* Takes over what the shared memory holds, or begins with the root alone. */
int nodes_init(struct nodes *n, struct shm *shm, struct cache *cache);
/* Drops all references; the shared memory stays. */
void nodes_release(struct nodes *n);

/*
 * The kernel gets `name` in parent, which is obj: *ret_id is its node, with one lookup more, and
 * attr's st_ino is set to the node's. -ENOMEM, -ENFILE when there are no node ids left.
 */
int nodes_enter(struct nodes *n, uint64_t parent, const char *name, struct obj *obj,
		struct cache_attr *attr, uint64_t *ret_id);
/* The answer with that lookup did not arrive, or the kernel forgets. */
void nodes_forget(struct nodes *n, uint64_t id, uint64_t lookups);

#define NODES_UNRESOLVED 1

/*
 * 0: *ret_obj is a new reference. NODES_UNRESOLVED: *ret_key (malloc'ed) is where it was; look it
 * up and call nodes_attach(). -ESTALE: no such node, or its name went before a restart.
 */
int nodes_obj(struct nodes *n, uint64_t id, struct obj **ret_obj, char **ret_key);
/* Takes a reference of its own, unless the node has an obj already. */
void nodes_attach(struct nodes *n, uint64_t id, struct obj *obj);
/* NULL where it has none. */
char *nodes_key(struct nodes *n, uint64_t id);
uint64_t nodes_ino(struct nodes *n, uint64_t id);
uint64_t nodes_parent(struct nodes *n, uint64_t id);

/*
 * Other bytes than the kernel has in its page cache: the next cached open begins with an empty
 * one.
 */
void nodes_content_changed(struct nodes *n, uint64_t id);

/* The tree changed through the kernel. */
void nodes_removed(struct nodes *n, uint64_t parent, const char *name);
void nodes_renamed(struct nodes *n, uint64_t from_parent, const char *from, uint64_t to_parent,
		   const char *to);

/* --- for those who hold n->lock --- */
struct shm_node *nodes_get_locked(struct nodes *n, uint64_t id); /* NULL: not live */
struct node_io *nodes_io_locked(struct nodes *n, uint64_t id,
				bool make); /* NULL: none, no memory */

/*
 * The node's last open file is gone: what is left of it where the kernel has forgotten it, to be
 * put without the lock.
 */
struct obj *nodes_closed_locked(struct nodes *n, uint64_t id);

#endif
