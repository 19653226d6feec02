/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a directory can be mounted on. */
#ifndef CLI_MOUNTPOINT_H
#define CLI_MOUNTPOINT_H

#include <stdbool.h>

#include "model/config.h"
#include "util/err.h"

/*
 * Resolves dir to *ret_dir (malloc'ed) and refuses what cannot be a mount point, with a way out:
 * missing, no directory, a mount of cogfs already, not empty (unless over), entangled with the
 * cache's own directories. A dead cogfs mount on it is taken away first.
 */
int mountpoint_prepare(const char *dir, bool over, const struct config *config, char **ret_dir,
		       struct err *err);

/* umount2(2), or fusermount3 where this user may not. 0 or -errno (-EBUSY: in use) with a text. */
int mountpoint_unmount(const char *dir, bool lazy, struct err *err);

#endif
