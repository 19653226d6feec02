/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File handles: what the kernel gives back with each read, write and release. The slot in shared
 * memory is what another worker needs to go on; `struct handle` is this worker's.
 *
 * Life: handle_new() takes a slot whose cfile_state the cache may fill in; handle_publish() makes
 * it true, before the answer; handle_settled() once the answer went out; handle_free() at
 * RELEASE. A slot that was never published is nothing to the next worker. One whose answer may
 * not have arrived (`unique`) is found again by the resent OPEN; where none comes, the answer had
 * arrived.
 *
 * The kernel sends RELEASE after everything else on a handle was answered, so a struct handle needs
 * no lock.
 */
#ifndef FUSE_HANDLES_H
#define FUSE_HANDLES_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "cache/cache.h"
#include "fuse/shm.h"

enum handle_kind { HANDLE_FILE = 1, HANDLE_DIR, HANDLE_CONTROL };

struct control_file; /* control_files.h */

struct handle {
	struct shm_handle *slot;
	uint32_t index;
	struct cfile *file; /* HANDLE_FILE; NULL: its version could not be had after a restart */
	struct cdir *dir;   /* HANDLE_DIR; NULL: not read yet, or a new worker */
	bool dir_read;	    /* READDIR has begun: at offset 0 it wants to see the directory anew */
	struct control_file *control;
	int64_t opened_ns;   /* monotonic */
	atomic_bool settled; /* the kernel has used it */
};

struct handles {
	struct shm *shm;
	pthread_mutex_t lock; /* of the free list */
	struct handle *rt;    /* SHM_HANDLES of them, sparse */
	uint32_t *free;
	uint32_t n_free, max_free;
	uint32_t begin_end; /* slots below were there when this worker began */
};

int handles_init(struct handles *h, struct shm *shm);
void handles_release(struct handles *h);

/* An unpublished one, all zero but slot. NULL: -ENFILE. */
struct handle *handle_new(struct handles *h);
/* Fills the slot in and makes it true. Returns its id, which is fi->fh. */
uint64_t handle_publish(struct handle *fh, enum handle_kind kind, uint64_t node, int flags,
			uint64_t unique, pid_t pid);
/*
 * The answer to that request was written to the kernel, which may have released the handle
 * meanwhile.
 */
void handle_settled(struct handles *h, const struct handle *fh, uint64_t unique);
/* Gives the slot back; what it referred to is gone already. */
void handle_free(struct handles *h, struct handle *fh);

/* NULL where fh is not live: the RELEASE was executed before and is sent again. */
struct handle *handle_get(struct handles *h, uint64_t fh);
/* After a restart: the handle that the resent request `unique` had made, or NULL. */
struct handle *handle_of_unique(struct handles *h, uint64_t unique);
/* Live ones; fn must not change the table but may free the handle that it gets. */
void handles_foreach(struct handles *h, void (*fn)(void *arg, struct handle *fh), void *arg);

static inline uint64_t handle_id(const struct handle *fh)
{
	return atomic_load_explicit(&fh->slot->id, memory_order_relaxed);
}

#endif
