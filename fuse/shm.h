/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel remembers of us, in memory that outlives a worker (DESIGN rule 11).
 *
 * A supervisor makes it before it forks the first worker, and every worker inherits the mapping
 * at the same address. It is a sparse file: room for the maxima below is reserved as address
 * space and costs memory only where it was touched, which the high-water marks bound.
 *
 * Only the slots are truth. Free lists, hash tables and counts are a worker's own and are rebuilt
 * from the slots by one scan. A slot is published by a release-store of its id after everything
 * else in it was written, and given back by a store of 0; so a worker may be killed between any
 * two instructions.
 *
 * Ids are generation << 32 | index. The generation of a slot grows at each reuse and stays in the
 * slot, so
 * that no id is ever given twice: what is late (a resent RELEASE, a lost FORGET) hits nothing.
 */
#ifndef FUSE_SHM_H
#define FUSE_SHM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache/cache.h"
#include "kabi.h"
#include "util/counters.h"

#define SHM_NODES (1u << 25)
#define SHM_HANDLES (1u << 20)
#define SHM_BACKINGS (1u << 16)
#define SHM_INFLIGHT 4096u
#define SHM_HEAP_UNIT 16u
#define SHM_HEAP_UNITS (1u << 28) /* 4 GiB of names */

static inline uint32_t shm_index(uint64_t id)
{
	return (uint32_t)id;
}

static inline uint64_t shm_id(uint32_t generation, uint32_t index)
{
	return (uint64_t)generation << 32 | index;
}

/* A node id that the kernel holds. Slot 0 is not used, slot 1 is the root. */
struct shm_node {
	_Atomic uint64_t id;
	_Atomic uint64_t
		link; /* parent and name: names.h. One store, so that a rename is never seen half */
	_Atomic uint64_t ino; /* st_ino, which stays the same as long as the node lives */
	_Atomic uint32_t lookups;
	_Atomic uint32_t flags; /* enum node_flags in nodes.h */
	/* of the obj when the kernel last opened it; means nothing to another worker */
	uint32_t epoch;
	uint32_t generation;
};

/* A file handle that the kernel holds. */
struct shm_handle {
	_Atomic uint64_t id;
	_Atomic uint64_t
		unique; /* the OPEN or CREATE whose answer may not have arrived; 0: it has */
	uint64_t node;
	uint32_t generation;
	uint32_t kind;	 /* enum handle_kind in handles.h */
	uint32_t flags;	 /* of open(2) */
	uint32_t mode;	 /* enum io_mode in io_mode.h */
	int32_t backing; /* backing id that the open was answered with, 0: none */
	int32_t pid;	 /* who opened it */
	struct cfile_state file;
};

/* A backing id that is registered with the connection. */
struct shm_backing {
	_Atomic uint64_t node; /* 0: free */
	uint64_t ino;	       /* of the body */
	int32_t id;
};

enum inflight_state { INFLIGHT_BEGUN = 1, INFLIGHT_DONE };

/* A request that may take effect only once. */
struct shm_inflight {
	_Atomic uint64_t unique; /* without KABI_UNIQUE_RESEND; 0: free */
	_Atomic uint32_t state;	 /* enum inflight_state */
	int32_t error;		 /* -errno */
	uint64_t node;		 /* what it made */
	uint64_t handle;
	int64_t valid_ns;
	struct stat attr;
};

struct shm_header {
	_Atomic uint32_t nodes, handles, backings; /* slots below these were used */
	_Atomic uint32_t heap_units;
	_Atomic uint32_t starts;      /* workers so far */
	_Atomic int32_t backing_last; /* highest backing id seen */
	_Atomic uint32_t
		/* SIGHUPs: the configuration of a new worker is not what was loaded first */
		reloads;
	_Atomic uint32_t init_len; /* of init; 0: the kernel has not asked yet */
	uint64_t init_want;	   /* FUSE_CAP_* that INIT was answered with */
	char init[KABI_INIT_MAX];  /* the request as it came */
	struct counters counters;
};

struct shm {
	int fd;
	size_t size;
	struct shm_header *hdr;
	struct shm_node *nodes;
	struct shm_handle *handles;
	struct shm_backing *backings;
	struct shm_inflight *inflight;
	char *heap;
};

/* Makes an empty one. -ENOMEM, -errno of memfd_create and mmap. */
int shm_init(struct shm *shm);
/* Unmaps and closes; accepts what shm_init left after a failure. */
void shm_release(struct shm *shm);

/*
 * A slot of the table whose used slots the mark counts: below max, or 0 when it is full. The caller
 * publishes it; an index that is taken and never published is found free by the next worker.
 */
uint32_t shm_grow(_Atomic uint32_t *mark, uint32_t max);

#endif
