/* SPDX-License-Identifier: Apache-2.0 */
/* mount(2) for root: /dev/fuse, the options, and the end of it. */
#ifndef FUSE_KMOUNT_H
#define FUSE_KMOUNT_H

#include <stdbool.h>

#include "fuse/mount.h"

/* A descriptor of /dev/fuse, close-on-exec; -errno with a way out in err. */
int kmount_device(struct err *err);
/* Mounts it on args->mountpoint. */
int kmount(const struct mount_args *args, int dev_fd, struct err *err);

enum kmount_how {
	KMOUNT_TRY,   /* -EBUSY while somebody uses it, -EINVAL where nothing is mounted */
	KMOUNT_ABORT, /* out of the tree, and who uses it gets errors from now on */
};
int kmount_end(const char *mountpoint, enum kmount_how how);

#endif
