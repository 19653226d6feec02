/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open files of nodes: answers each open as io_mode.h decides, and keeps what that decision rests
 * on: how each node is held, and the one backing id that it may have.
 *
 * What is counted here always includes what the kernel holds: a file is counted before the answer
 * goes out, and taken off when its RELEASE has come. Order in shared memory: the backing id, then
 * the handle, then the answer; at the end the handle first and the backing id after its ioctl.
 *
 * The node table's lock covers the counts; the closing ioctl is made without it (the last
 * reference to an unlinked body frees its blocks).
 */
#ifndef FUSE_OPENS_H
#define FUSE_OPENS_H

#include <stdbool.h>
#include <stdint.h>

#include "fuse/handles.h"
#include "fuse/io_mode.h"
#include "fuse/nodes.h"
#include "fuse/shm.h"
#include "util/clock.h"

struct opens {
	struct shm *shm;
	struct nodes *nodes;
	struct handles *handles;
	const struct clock *clock;
	int dev_fd;	  /* /dev/fuse, for the ioctls */
	bool passthrough; /* agreed with the kernel, and not switched off */
	atomic_bool told; /* that a backing could not be registered: one line is enough */
	uint32_t *free;	  /* backing slots */
	uint32_t n_free;
};

struct open_answer {
	enum io_mode mode;
	int32_t backing; /* 0: none */
	bool keep_cache;
	int backing_error; /* -errno where passthrough was wanted and refused for the first time */
};

int opens_init(struct opens *o, struct shm *shm, struct nodes *nodes, struct handles *handles,
	       const struct clock *clock);
void opens_release(struct opens *o);
/*
 * After a restart: counts from the handles, backings that nobody uses closed, ids that were lost
 * swept up.
 */
void opens_restore(struct opens *o);

/*
 * Decides, counts and notes it in fh's slot, which the caller then publishes. -ESTALE: the name
 * leads to another node now; nothing was counted.
 */
int opens_admit(struct opens *o, struct handle *fh, uint64_t node, int flags,
		struct open_answer *ret);
/* The kernel has used the handle: its open is over. */
void opens_settled(struct opens *o, struct handle *fh);
/* The opposite of opens_admit(). */
void opens_leave(struct opens *o, struct handle *fh);

#endif
