/* SPDX-License-Identifier: Apache-2.0 */
/* What user.cogfs.format says of an object: told from how it begins, and from its name. */
#ifndef MODEL_FORMAT_H
#define MODEL_FORMAT_H

#include <stddef.h>

#define FORMAT_HEAD 64 /* bytes that are worth giving */
#define FORMAT_MAX 16  /* bytes of a format, with its NUL */

/*
 * The format of a file of this name (the last part of its path) that begins with these bytes: a
 * short word such as "npz", "jpg", "json", "pickle". Where the bytes do not prove one, the name's
 * ending does if it is a known one, in its usual form ("jpeg" is "jpg"), else what the bytes look
 * like. n may be 0. "": nothing says anything. Input is hostile.
 */
void format_of(const char *name, const void *head, size_t n, char ret_format[FORMAT_MAX]);

/*
 * What to show of an object that has this name now: told is its record's format (may be NULL), from
 * format_of() under a name that it may not have any more, as temporary files are renamed, or from
 * who wrote it. Without one an unknown ending counts too. ret_size bytes, "" where there is none.
 */
void format_shown(const char *name, const char *told, char *ret_format, size_t ret_size);

#endif
