/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one door between the command line and the driver: mount, serve, return when it is over.
 * The caller has loaded the configuration, looked at the mount point and daemonised.
 */
#ifndef FUSE_MOUNT_H
#define FUSE_MOUNT_H

#include <stdbool.h>

#include "model/config.h"
#include "util/err.h"

struct mount_args {
	const char *mountpoint; /* absolute, resolved, an existing directory */
	const char *source; /* first field of the mount table: "cogfs", or what the user mounts */
	bool foreground;    /* -f: the process that the user started; logs go to stderr */
	bool strict;	    /* an unreachable store is a failure and not a degraded mount */
	bool over;	    /* the mount point may hold files; they are hidden */
	/*
	 * What is for the kernel and libfuse, comma-separated:
	 * "nodev,nosuid,noatime,ro,allow_other,...", with fsname= and without subtype=; NULL:
	 * nothing. allow_other and ro stand here only where the user wrote them;
	 * mount.allow_other and mount.read_only of the configuration hold the decision.
	 */
	const char *fuse_opts;
	/* The caller's; the driver changes it at SIGHUP. */
	struct config *config;
	/* What config was loaded from, to load it again at SIGHUP; the caller's. */
	const struct conf_load_args *reload;
};

/*
 * Mounts and serves until it is unmounted or told to end (SIGTERM, SIGINT), drains, and returns.
 * The log is set up already. When the mount answers, one zero byte goes to ready_fd, and behind it,
 * where the store does not answer and the mount is degraded, why; then it is closed. On a failure
 * before that nothing is written, err holds one line for people, and ready_fd is closed. ready_fd
 * -1: nobody waits.
 *
 * 0: it was mounted, and nothing is left to drain; 1: it was mounted, and the journal holds changes
 * for the next mount; -errno: it could not be mounted, or serving ended with an error.
 */
int cogfs_mount_run(const struct mount_args *args, int ready_fd, struct err *err);

#endif
