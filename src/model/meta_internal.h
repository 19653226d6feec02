/* SPDX-License-Identifier: Apache-2.0 */
/* The names that the two halves of a store's metadata encoding share. */
#ifndef MODEL_META_INTERNAL_H
#define MODEL_META_INTERNAL_H

#include <stdbool.h>

/* base64 of FIELD_XATTRS: the user xattrs whose name or value is no metadata pair of its own. */
#define META_NAME_ODD "cogfs_x"

/* True for a name that has a meaning of its own: a user xattr of that name is an odd one. */
bool meta_name_reserved(const char *name);

#endif
