/* SPDX-License-Identifier: Apache-2.0 */
/* The mounts of cogfs that this process sees, from /proc/self/mountinfo. */
#ifndef CLI_MOUNTS_H
#define CLI_MOUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

#include "util/err.h"

struct mount_entry {
	int id, parent;
	dev_t dev;
	char *root; /* what of the filesystem is mounted there: "/" but for bind mounts */
	char *dir;
	char *type;
	char *source;
};

struct mount_table {
	struct mount_entry
		*entries; /* all mounts, in the kernel's order: later ones cover earlier ones */
	size_t n;
};

/* Reads a mountinfo; what is no line of one is left out. 0 or -ENOMEM. */
int mount_table_parse(FILE *in, struct mount_table *ret);
int mount_table_load(struct mount_table *ret, struct err *err);
void mount_table_release(struct mount_table *table);

/* "0:41", as mountinfo (base 10) and maps (base 16) write a device; a space may follow. */
bool mount_parse_dev(const char *text, int base, dev_t *ret);

bool mount_is_cogfs(const struct mount_entry *m);
/* What is mounted exactly at dir (the topmost), or NULL. */
const struct mount_entry *mount_at(const struct mount_table *table, const char *dir);
/* What an absolute, resolved path lies in, or NULL. */
const struct mount_entry *mount_of(const struct mount_table *table, const char *path);

/* A place in a cogfs mount. */
struct mount_place {
	char *dir; /* a mount point that shows the whole tree, with .cogfs in it */
	char *key; /* the path below it, "" for the root */
};

/*
 * The place that path names, or, path NULL, the root of the only cogfs mount there is. Errors are
 * told for people: not in a mount, several mounts (named).
 */
int mount_place_find(const char *path, struct mount_place *ret, struct err *err);
void mount_place_release(struct mount_place *place);

/* realpath(3) that also works on the point of a mount whose server is gone. malloc'ed, or NULL with
 * errno. */
char *mount_realpath(const struct mount_table *table, const char *path);

#endif
