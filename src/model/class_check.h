/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a class's pattern can ever be the one that matches, for `cogfs config check`. */
#ifndef MODEL_CLASS_CHECK_H
#define MODEL_CLASS_CHECK_H

#include "model/class.h"

enum class_reach {
	CLASS_REACHED,	/* some key is its, or nothing else could be shown */
	CLASS_NO_KEY,	/* whatever it matches is no legal key */
	CLASS_SHADOWED, /* every key that it matches is an earlier pattern's */
};

/*
 * ret_by: the earlier pattern that shadows, or the number of rules where only several of them
 * together do. Exact but for patterns so entangled that the search is given up, and for keys that
 * would have to be longer than keys may be: these count as reached. -ENOMEM.
 */
int class_set_reach(const struct class_set *set, unsigned int rule, enum class_reach *ret_reach,
		    unsigned int *ret_by);

#endif
