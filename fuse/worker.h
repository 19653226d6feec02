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
	int ready_fd; /* alone: as cogfs_mount_run() has it */
	bool restart;
};

/*
 * What ends a process that is told to: blocked in supervisor and worker, and taken from a
 * signalfd.
 */
sigset_t worker_signals(void);

/*
 * Tells whoever waits for the mount that it answers, and what is amiss with it (warning's text, if
 * there is one); closes ready_fd.
 */
void worker_serves(const struct mount_args *args, int *ready_fd, const struct err *warning);
/* There is nothing to wait for; closes ready_fd. */
void worker_never_serves(int *ready_fd);

/* The log's last word: what the drain left in the journal. */
void worker_say_left(const struct mount_args *args, uint64_t entries);

/* Serves; returns as cogfs_mount_run() does. */
int worker_run(const struct worker_conf *conf, struct err *err);

#endif
