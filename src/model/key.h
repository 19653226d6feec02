/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys: an object's path relative to the mount, parts joined by '/', no leading or trailing slash.
 * The root directory's key is "". Keys that arrive from a store are hostile until key_check() said
 * otherwise.
 */
#ifndef MODEL_KEY_H
#define MODEL_KEY_H

#include <stdbool.h>
#include <stddef.h>

#define KEY_MAX 1024	 /* bytes: S3's limit for a whole key */
#define KEY_PART_MAX 255 /* bytes: NAME_MAX */
#define CONTROL_DIR ".cogfs"

/*
 * 0 where key is a safe path; -ENAMETOOLONG above the limits; -EINVAL for an empty part ("a//b",
 * "/a", "a/"), "." or "..", an embedded NUL (len counts it), or a first part equal to ".cogfs".
 * The empty key is -EINVAL. Any other byte is fine, including control characters and invalid UTF-8.
 */
int key_check(const char *key, size_t len);

/* The same for one part, except that ".cogfs" is allowed below the root: at_root refuses it. */
int key_part_check(const char *name, size_t len, bool at_root);

/* True where key equals dir or lies below it; "" contains everything. */
bool key_below(const char *key, const char *dir);

/* malloc'ed "dir/name" (or name where dir is ""); NULL: no memory. */
char *key_join(const char *dir, const char *name);

#endif
