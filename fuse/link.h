/* SPDX-License-Identifier: Apache-2.0 */
/* Between supervisor and worker: short messages over a socket pair that keeps their bounds. */
#ifndef FUSE_LINK_H
#define FUSE_LINK_H

#include <stdint.h>

#include "util/err.h"

enum link_type {
	LINK_READY = 1, /* worker: the cache is open */
	LINK_FAILED,	/* worker: it is not: code and text */
	LINK_GO,	/* supervisor: it is mounted, read */
	LINK_SERVING,	/* worker: the kernel's INIT is answered; text: why it is degraded, or "" */
	LINK_LEFT,	/* worker: drained; so many entries are left in the journal */
};

struct link_msg {
	enum link_type type;
	int code; /* LINK_FAILED: -errno; LINK_LEFT: why the connection ended */
	uint64_t entries;
	struct err err;
};

/* Two ends, close-on-exec. */
int link_pair(int ends[2]);
int link_send(int fd, const struct link_msg *msg);
/* Blocks. -EPIPE: the other side is gone. */
int link_receive(int fd, struct link_msg *ret_msg);

#endif
