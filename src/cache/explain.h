/* SPDX-License-Identifier: Apache-2.0 */
/* Why an object is where it is, and what would become of a read of it now. */
#ifndef CACHE_EXPLAIN_H
#define CACHE_EXPLAIN_H

#include "cache/cache.h"

/* One thing that is known; `group` NULL, or what it is one of: "placeholders", "copies". */
typedef void explain_fn(void *arg, const char *group, const char *name, const char *text);

/*
 * Tells what is known of key: class, pattern, placeholders, tiers, state, copies, life, why it is
 * (not) kept here, and what a read does. o: what a lookup of it found, or NULL where that found
 * nothing. Waits for nobody.
 */
void cache_explain(struct cache *c, const char *key, struct obj *o, explain_fn *tell, void *arg);

#endif
