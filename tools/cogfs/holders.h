/* SPDX-License-Identifier: Apache-2.0 */
/* Who keeps a mount busy: the processes with something open, mapped or their directory in it. */
#ifndef CLI_HOLDERS_H
#define CLI_HOLDERS_H

#include <stdio.h>

#include "cli/mounts.h"

/*
 * Prints "  PID COMMAND: how PATH" for each on out, and the mounts that lie on m. Returns how many
 * lines. Asks nothing of m's server, which may hang. Without root other users' processes stay
 * unseen.
 */
int holders_print(const struct mount_table *table, const struct mount_entry *m, FILE *out);

#endif
