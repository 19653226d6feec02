/* SPDX-License-Identifier: Apache-2.0 */
/* A worker: everything that one mount's requests need, passed down as libfuse's userdata. */
#ifndef FUSE_DRIVER_H
#define FUSE_DRIVER_H

#include <fuse_lowlevel.h>
#include <stdbool.h>

#include "cache/cache.h"
#include "control/control.h"
#include "fuse/handles.h"
#include "fuse/inflight.h"
#include "fuse/nodes.h"
#include "fuse/notify.h"
#include "fuse/opens.h"
#include "fuse/shm.h"

struct driver {
	struct config *config;
	const struct clock *clock;
	struct shm *shm;
	struct cache *cache;
	bool started; /* the cache was */
	struct nodes nodes;
	struct handles handles;
	struct opens opens;
	struct inflight inflight;
	struct notify *notify;
	const struct control_ops *control;
	void *control_arg;
	int64_t start_ns;    /* wall time: the control files' mtime */
	atomic_int requests; /* that are not answered yet */
};

struct driver_conf {
	struct config *config;
	struct shm *shm;
	const char *mountpoint;
	bool restart; /* shm holds what another worker left */
	bool strict;
	int lock_fd, ram_fd; /* see struct cache_conf */
};

/*
 * Opens the cache and the tables; after a restart the open files too. What it made so far is left
 * for driver_close().
 */
int driver_open(struct driver *d, const struct driver_conf *conf, struct err *err);
/*
 * After the last request was read: waits for those under way, ends what is still open, drains,
 * frees. Returns the number of entries that are left in the journal.
 */
uint64_t driver_close(struct driver *d, int64_t drain_ns,
		      void (*progress)(void *arg, uint64_t entries, uint64_t bytes), void *arg);

/* All operations, for fuse_session_new(). */
extern const struct fuse_lowlevel_ops driver_ops;

static inline double driver_seconds(int64_t ns)
{
	return ns > 0 ? (double)ns / 1e9 : 0;
}

#endif
