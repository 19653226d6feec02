/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Classes: which one holds an object. The patterns of all classes are compiled into one tree over
 * the parts of paths, so that a match costs what the path's parts cost and not what the number of
 * classes does. First match wins: the class that the configuration lists first, and in it the first
 * of its patterns.
 */
#ifndef MODEL_CLASS_H
#define MODEL_CLASS_H

#include <stdbool.h>
#include <stddef.h>

#include "model/config.h"
#include "model/pattern.h"

struct class_set; /* immutable once it is made: any number of threads may match */

struct class_hit {
	unsigned int class;	       /* its place in the configuration's list */
	unsigned int rule;	       /* place of the pattern among those of all classes */
	const struct pattern *pattern; /* lives as long as the set */
	struct pattern_span spans[PATTERN_NAMES_MAX]; /* of pattern->names, in the key */
};

/* Compiles the patterns of a list of classes. -EINVAL with "class NAME: pattern ...", -ENOMEM. */
int class_set_new(const struct conf_class *classes, struct class_set **ret_set, struct err *err);
void class_set_free(struct class_set *set); /* accepts NULL */

unsigned int class_set_rules(const struct class_set *set);
/* The pattern at a place, and its class. */
const struct pattern *class_set_rule(const struct class_set *set, unsigned int rule,
				     unsigned int *ret_class);

/*
 * False: no class holds the key. Allocates nothing, and takes at most O(length of all patterns *
 * length of the key) steps on whatever comes from outside. ret_hit may be NULL.
 */
bool class_match(const struct class_set *set, const char *key, size_t len,
		 struct class_hit *ret_hit);

/* The text of a placeholder in the key that was matched; false: there is none of that name. */
bool class_hit_get(const struct class_hit *hit, const char *key, const char *name,
		   const char **ret_text, size_t *ret_len);

/* The configured class that holds key, or NULL. */
const struct conf_class *class_of(const struct config *config, const char *key);

#endif
