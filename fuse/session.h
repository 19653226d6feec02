/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker's session with the kernel: libfuse on a descriptor of /dev/fuse, with a read loop of
 * our own that sees the number of each request, and the replay of INIT for a worker that takes
 * over a connection.
 */
#ifndef FUSE_SESSION_H
#define FUSE_SESSION_H

#include <fuse_lowlevel.h>
#include <stdbool.h>

#include "fuse/driver.h"
#include "util/err.h"

struct session {
	struct driver *drv;
	struct fuse_session *fuse;
	int dev_fd;
	int done_fd; /* eventfd: a reader has seen the end of the connection */
	pthread_t *threads;
	unsigned int n_threads;
	atomic_int end;	      /* 0, or -errno: why the connection ended; -ENODEV: unmounted */
	atomic_bool answered; /* INIT was: the mount serves */
	int answered_fd;      /* eventfd for that */
};

/*
 * dev_fd: /dev/fuse as a supervisor opened it; -1: mount through fusermount3 with `options`
 * (comma-separated). mountpoint is only used by the latter.
 */
int session_open(struct session *s, struct driver *d, int dev_fd, const char *mountpoint,
		 const char *options, struct err *err);
/*
 * Takes over the connection of a worker that died: INIT again, then everything that it had not
 * answered.
 */
int session_take_over(struct session *s);
/* Starts the readers. -errno where not even one can be had. */
int session_start(struct session *s);
/* INIT is answered: says so on answered_fd, once. */
void session_answered(struct session *s);
/* Waits for the readers, which the end of the connection ends. Returns its reason. */
int session_join(struct session *s);
void session_close(struct session *s);

/* libfuse's init(): decides the flags, or repeats what was decided before a restart. */
void session_init_reply(void *userdata, struct fuse_conn_info *conn);

#endif
