/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Worker threads that run blocking jobs (network, fsync, scans), so that no FUSE thread does.
 * Three priorities, strictly in order, with one guarantee: at least a quarter of the threads takes
 * foreground jobs only, so background work cannot occupy all of them.
 */
#ifndef UTIL_POOL_H
#define UTIL_POOL_H

#include <stdint.h>

struct pool;

enum pool_prio { POOL_FOREGROUND, POOL_DRAIN, POOL_BACKGROUND, POOL_PRIO_COUNT };

/* A job is embedded in its owner's struct and must stay valid until run() was entered. */
struct pool_job {
	void (*run)(struct pool_job *job);
	struct pool_job *next; /* the pool's, while queued */
};

/* Starts `threads` (1..1024) named threads of 256 KiB stack, on demand. 0 or -errno. */
int pool_new(const char *name, unsigned int threads, struct pool **ret_pool);

/* Runs all that is queued, joins the threads, frees. Accepts NULL. No pool_submit may follow. */
void pool_free(struct pool *pool);

/* Never blocks, never fails: the queue is a list through the jobs. */
void pool_submit(struct pool *pool, enum pool_prio prio, struct pool_job *job);

/* Waits until no job is queued or running. For tests and for the end. */
void pool_quiesce(struct pool *pool);

#endif
