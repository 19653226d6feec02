/* SPDX-License-Identifier: Apache-2.0 */
/* The classes of objects, and what follows from their policies. All need cache.lock. */
#ifndef CACHE_CLASSES_H
#define CACHE_CLASSES_H

#include <limits.h>

#include "model/policy.h"

struct cache;
struct drain_wish;
struct local;
struct obj;

#define NO_TIER UINT_MAX /* in place of conf_tier.index: there is none of that type */

/* What is counted for each class, beside cache.counters. */
enum class_counter {
	CLASS_HITS,
	CLASS_MISSES,
	CLASS_SETS,
	CLASS_DELETES,
	CLASS_EVICTIONS,
	CLASS_EXPIRATIONS,
	CLASS_COUNTERS,
};

/*
 * A class as this cache has met it, with objects of one type: what {artifact} stands for in their
 * paths. struct obj names it by its number.
 */
struct class_slot {
	char *name, *type;  /* type "": none, or one too many */
	unsigned int index; /* in the present set of policies */
	uint16_t number;
	uint64_t counts[CLASS_COUNTERS];
	uint64_t bytes, files; /* here: each object once, though it may have two copies */
};

/* Takes the set of policies that the configuration has now; at the start and after each change. */
int classes_take(struct cache *c);
void classes_release(struct cache *c);

/* One more for o's class; for that of a name in dir, which may have no obj. */
void class_count(struct cache *c, struct obj *o, enum class_counter counter);
void class_count_name(struct cache *c, const struct obj *dir, const char *name,
		      enum class_counter counter);
/* Around each change of what o has here: before it, and after. */
void class_uncharge(struct cache *c, const struct obj *o);
void class_charge(struct cache *c, const struct obj *o);

/* o's class as it is now: matched again where o was renamed or the policies were replaced. */
struct class_slot *obj_slot(struct cache *c, struct obj *o);
/* What holds for it; valid as long as the lock is held. */
const struct class_policy *obj_class(struct cache *c, struct obj *o);
/* What holds for it in a tier: cache.disk_tier, ram_tier, store_tier. Never NULL. */
const struct tier_policy *obj_policy(struct cache *c, struct obj *o, unsigned int tier);

/* How the store is to keep what is at key: drain_conf.wish, arg is the cache. No lock held */
void class_wish(void *arg, const char *key, struct drain_wish *ret);

/* --- what follows from it (keep.c) --- */
/* Whether a tier may hold an object of that size. */
bool policy_fits(const struct tier_policy *p, uint64_t size);
uint64_t obj_bytes(const struct obj *o); /* as it is now, written or not */
/* Where o's body is to be: on disk, in RAM, or NULL: it is not kept. */
struct local *obj_home(struct cache *c, struct obj *o);
/* Whether an open for reading is to keep what it brings. */
bool obj_keeps(struct cache *c, struct obj *o);
/* Whether what is written is to go to the store. */
bool obj_stored(struct cache *c, struct obj *o);
/* Neither a disk nor a store is to hold it: it goes with the mount. */
bool obj_volatile(struct cache *c, struct obj *o);
/* The largest size that any of its tiers takes. */
uint64_t obj_size_max(struct cache *c, struct obj *o);
/* A class says that no store has a name such as o's: none is asked for it. */
bool obj_is_unstored(struct cache *c, struct obj *o);
bool obj_pinned(struct cache *c, struct obj *o);
/* The longest life of what is written now, by the tiers that will hold it; CONF_NEVER. */
int64_t obj_life_max(struct cache *c, struct obj *o);

#endif
