/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A class's share of a body tier: its limits, what it has of them, and the order in which its
 * bodies leave. What is under way (fills, files that are written, copies into RAM) counts from the
 * moment when it is admitted.
 */
#ifndef CACHE_SHARE_H
#define CACHE_SHARE_H

#include <stdatomic.h>

#include "cache/queue.h"
#include "model/policy.h"

struct cache;
struct local;
struct obj;

struct share {
	struct queue queue;	   /* under cache.lock */
	unsigned int priority;	   /* likewise */
	enum on_evict on_evict;	   /* likewise */
	_Atomic uint64_t max_size; /* 0: no limit */
	_Atomic uint64_t max_objects;
	_Atomic int64_t used, objects;
	_Atomic uint64_t evictions;
};

/* Of one class, in both tiers. They stay for the cache's life, as what they hold does. */
struct class_shares {
	char *name;
	struct share share[2]; /* by enum local_kind */
};

/* As the present policies say: at the start and after each change. Lock held */
int shares_take(struct cache *c);
void shares_release(struct cache *c);

uint64_t shares_evictions(struct cache *c, const struct local *l); /* no lock held */

/* The share of o's class in l. Lock held; it stays what it is for the cache's life */
struct share *share_of(struct cache *c, struct obj *o, const struct local *l);
/* What is held beside bodies is given back, or taken over without being admitted. s: may be NULL */
void share_add(struct share *s, int64_t bytes, int objects);
/* Takes that much of it, unless it would be over. Any lock */
bool share_admit(struct share *s, uint64_t bytes, bool object);
/* It has more than it may: its limits became smaller, or what it had became its own. */
bool share_is_over(const struct share *s);
/* Less than 1/parts of it is left. */
bool share_is_tight(const struct share *s, unsigned int parts);

/* --- o's body in l and its share's queue. Lock held --- */
void body_enqueue(struct cache *c, struct obj *o, struct local *l);
void body_dequeue(struct cache *c, struct obj *o, struct local *l);
/* It takes other bytes now. */
void body_weighs(struct cache *c, struct obj *o, struct local *l, uint64_t cost);
void bodies_touch(struct cache *c, struct obj *o); /* o is used */
/*
 * Something happened to o (closed, drained, another class, another life): its bodies are where they
 * belong
 */
void bodies_follow(struct cache *c, struct obj *o);
/* The object that a body of l is of. */
struct obj *body_obj_of(const struct cache *c, struct body *b, const struct local *l);
bool body_may_leave(struct cache *c, struct obj *o, const struct local *l);

#endif
