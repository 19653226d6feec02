/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a path is a user's own. */
#ifndef CONTROL_AUTHORISE_H
#define CONTROL_AUTHORISE_H

#include <sys/types.h>

#include "cache/cache.h"

/*
 * 0 where what is at path, or the tenant that it is in, belongs to uid. -EACCES where not, or where
 * nothing is there: the two look the same, so that nobody learns of names that he could not list.
 * Blocks like a lookup: on a thread of its own. Other errors are those of a store that does not
 * answer.
 */
int authorise_owner(struct cache *cache, const char *path, uid_t uid, struct err *err);

/*
 * What is at path, all that is known of it, and a reference. Blocks like a lookup. -ENOENT; others
 * are those of a store that does not answer.
 */
int lookup_blocking(struct cache *cache, const char *path, struct obj **ret_obj,
		    struct cache_attr *ret_attr);

#endif
