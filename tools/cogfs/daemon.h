/* SPDX-License-Identifier: Apache-2.0 */
/* A mount that goes on without the terminal: a child that serves, a parent that waits until it is
 * ready. */
#ifndef CLI_DAEMON_H
#define CLI_DAEMON_H

#include "fuse/mount.h"

/*
 * Serves in a child. 0 when the mount answers, with a text where its store does not; -errno with a
 * text when it does not come up.
 */
int daemon_mount(const struct mount_args *args, struct err *err);

#endif
