/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order in which bodies leave: one queue for each class in each tier, by the class's policy.
 *
 *	lru	what has gone longest unused first
 *	lfu	what was used least often first; each use counts for less as others leave (ageing)
 *	fifo	what came first
 *	ttl	what expires next first; what never does last, the longest unused of it first
 *	none	nothing leaves
 *
 * A queue is a heap by body.key. A use only sets the body's key; the heap learns of it when the
 * body comes to its front, as a use never brings a body forward. So a use costs O(1), a victim
 * O(log n). What may not leave now (open, dirty, pinned) steps aside: it is parked.
 *
 * Nothing here locks: all of it is under cache.lock.
 */
#ifndef CACHE_QUEUE_H
#define CACHE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/config.h"

/* A body's place in its queue, and what it takes of the budget. */
struct body {
	uint64_t key;	  /* the lowest leaves first */
	uint64_t cost:48; /* bytes */
	uint64_t uses:16; /* since it came */
	uint32_t at;	  /* QUEUE_PARKED and its place + 1; 0: in no queue */
	uint16_t class;	  /* of cache.shares: whose queue it is in */
};

#define QUEUE_PARKED (1u << 31)

/* What the queues of a tier share, so that their keys compare. */
struct queue_state {
	uint64_t now; /* ns; the last that was given out: no two bodies have the same */
	uint64_t age; /* lfu: what the last that left was worth */
};

/* What a policy goes by. */
struct queue_use {
	int64_t mono_ns;
	int64_t expires_at; /* epoch seconds; 0: never */
};

struct queue_entry {
	uint64_t key; /* the body's, or an older one */
	struct body *body;
};

struct queue_vec {
	struct queue_entry *v;
	uint32_t n, room;
};

struct queue {
	enum eviction policy;
	struct queue_state *state;
	struct queue_vec heap, parked;
	uint32_t next_parked; /* where the next look at those goes on */
};

void queue_init(struct queue *q, struct queue_state *state, enum eviction policy);
void queue_free(struct queue *q);
/* -ENOMEM: b is in no queue then, and queue_add() may be tried again. */
int queue_add(struct queue *q, struct body *b, const struct queue_use *use);
/* The same for one that left another queue: its uses count here too. */
int queue_move(struct queue *q, struct body *b, const struct queue_use *use);
void queue_remove(struct queue *q, struct body *b); /* nothing where it is in none */
void queue_touch(struct queue *q, struct body *b, const struct queue_use *use);
/* Its expiry may be another: the one change that may bring a body forward. */
void queue_life(struct queue *q, struct body *b, const struct queue_use *use);
/* Who leaves next, borrowed; NULL: nobody waits, or the policy is none. */
struct body *queue_first(struct queue *q);
/* It left for room: from now on less is worth what was used before. */
void queue_left(struct queue *q, const struct body *b);
int queue_park(struct queue *q, struct body *b);
int queue_unpark(struct queue *q, struct body *b);
bool queue_is_parked(const struct body *b);
/* The parked ones in turn; NULL: there are none. */
struct body *queue_next_parked(struct queue *q);
/* Another policy: use says what each body's key is made of. */
void queue_set_policy(struct queue *q, enum eviction policy,
		      struct queue_use (*use)(void *arg, const struct body *b), void *arg);

#endif
