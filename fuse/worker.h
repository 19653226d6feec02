/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker: opens the cache, serves one connection until it ends, drains. As a process of its own
 * below a supervisor, or (without root) as the whole of cogfs.
 */
#ifndef FUSE_WORKER_H
#define FUSE_WORKER_H

#include <signal.h>
#include <stdbool.h>

#include "fuse/mount.h"
#include "fuse/shm.h"

struct worker_conf {
	const struct mount_args *args;
	struct shm *shm;
	int dev_fd;  /* -1: mount through fusermount3 */
	int lock_fd; /* -1: the cache takes its own */
	int ram_fd;
	int link_fd;  /* -1: alone */
	int ready_fd; /* alone: one zero byte when it serves; closed in any case */
	bool restart;
};

/*
 * What ends a process that is told to: blocked in supervisor and worker, and taken from a
 * signalfd.
 */
sigset_t worker_signals(void);

/* Tells whoever waits for the mount, or only that there is nothing to wait for; closes it. */
void worker_ready(int *ready_fd, bool yes);

/* The log's last word: what the drain left in the journal. */
void worker_say_left(const struct mount_args *args, uint64_t entries);

/* Serves; returns as cogfs_mount_run() does. */
int worker_run(const struct worker_conf *conf, struct err *err);

#endif
