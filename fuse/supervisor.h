/* SPDX-License-Identifier: Apache-2.0 */
/* The process that holds the mount while workers come and go. */
#ifndef FUSE_SUPERVISOR_H
#define FUSE_SUPERVISOR_H

#include "fuse/mount.h"

/* As cogfs_mount_run(), for root. */
int supervisor_run(const struct mount_args *args, int ready_fd, struct err *err);

#endif
