/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exactly once: what a killed worker had begun and not answered is sent again by the kernel, and
 * a CREATE, MKDIR, SYMLINK, UNLINK, RMDIR or RENAME that took effect would fail the second time.
 *
 *	inflight_begin   before the change
 *	inflight_done    after it, with what the answer will say
 *	inflight_end     after the answer
 *
 * A resent request that finds DONE is answered from the table. One that finds BEGUN may have
 * taken effect or not: it is executed, and the error that says "was done already" means success
 * (each operation knows its own). Numbers of requests are never used twice, so that a slot whose
 * answer had arrived harms nothing; such slots are taken back when the table fills up.
 */
#ifndef FUSE_INFLIGHT_H
#define FUSE_INFLIGHT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "fuse/shm.h"

struct inflight {
	struct shm *shm;
	pthread_mutex_t lock;
	uint16_t free[SHM_INFLIGHT]; /* stack of free slots */
	uint32_t n_free;
	uint16_t old[SHM_INFLIGHT]; /* slots that another worker left */
	uint32_t n_old;
};

enum inflight_found { INFLIGHT_NEW, INFLIGHT_AGAIN, INFLIGHT_ANSWER };

void inflight_init(struct inflight *t, struct shm *shm);
void inflight_release(struct inflight *t);

/*
 * *ret_slot is NULL where the table is full of requests under way: then this one goes without,
 * and only a kill in the very moment could tell. resent: the kernel has sent it before.
 */
enum inflight_found inflight_begin(struct inflight *t, uint64_t unique, bool resent,
				   struct shm_inflight **ret_slot);
/* slot may be NULL. attr may be NULL. */
void inflight_done(struct shm_inflight *slot, int error, uint64_t node, uint64_t handle,
		   const struct stat *attr, int64_t valid_ns);
void inflight_end(struct inflight *t, struct shm_inflight *slot);

#endif
