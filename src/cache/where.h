/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a store has an object while renames are pending: see where.c. No lock held, unless it says
 * otherwise.
 */
#ifndef CACHE_WHERE_H
#define CACHE_WHERE_H

#include "cache/internal.h"

/* It was deleted or renamed here: what the store may still show under key is not key's. Any lock */
bool name_pending_gone(struct cache *c, const char *key);
/* Something in the journal still changes what is at key, by whatever name. Any lock */
bool name_pending(struct cache *c, const char *key);
/* At least `left` names, the last ones of those that key had, are still to be asked. Any lock */
bool names_lead(struct cache *c, const char *key, size_t left);
uint32_t obj_moved(struct cache *c, struct obj *o); /* obj.moved */
/* Asks the store about one name: 0, -ENOENT, -errno. Called again where a rename came in between */
typedef int ask_fn(struct cache *c, const char *name, void *arg);
/*
 * Asks by each name that the store may have o under: the first answer that is not -ENOENT, or
 * -ENOENT: absent for sure; -EAGAIN: renames came in between. by_name: what is found is told by
 * its name alone, not by its version.
 */
int store_ask(struct cache *c, struct obj *o, ask_fn *ask, void *arg, bool by_name);
/* The same of what has no obj any more. */
int store_ask_key(struct cache *c, const char *key, ask_fn *ask, void *arg, bool by_name);
int fill_ask(struct cache *c, struct fill *f, ask_fn *ask, void *arg);

#endif
