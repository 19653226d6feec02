/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the body tiers share. Nothing outside tiers/local*.c includes it. */
#ifndef TIERS_LOCAL_INTERNAL_H
#define TIERS_LOCAL_INTERNAL_H

#include <dirent.h>

#include "tiers/local.h"

/* Finds or makes the RAM tier's root, sets root_fd; ram_dir too where it had to be a directory. */
int local_ram_root(struct local *l, const struct local_conf *conf, struct err *err);
/* Removes the directory that stood in for a tmpfs. */
void local_ram_remove(struct local *l);

/* Opens a directory beneath dirfd for reading its names; "" is dirfd itself. NULL with *ret_error =
 * -errno. */
DIR *local_opendir(int dirfd, const char *path, int *ret_error);
/* The next name that is not "." or "..", or NULL: at the end *ret_error is 0. */
struct dirent *local_nextdir(DIR *dir, int *ret_error);
/* Its type, asked for where the filesystem does not tell; DT_UNKNOWN where it is gone. */
unsigned char local_dtype(DIR *dir, const struct dirent *de);

/* Removes the files in dirfd itself; directories in it stay. */
int local_empty_dir(int dirfd);
/* Removes all below dirfd, links unfollowed. */
int local_empty_tree(int dirfd);

#endif
