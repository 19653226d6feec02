/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the drainer share; drain.h is for everybody else.
 *
 *  drain.c		the scheduler, and what becomes of a try
 *  drain_put.c		bytes and markers to the store
 *  drain_meta.c	metadata, and what goes
 *  drain_conflict.c	another host was there
 *  drain_rename.c	one object moves
 *  drain_tree.c	a directory moves
 */
#ifndef CACHE_DRAIN_PRIV_H
#define CACHE_DRAIN_PRIV_H

#include <pthread.h>

#include "cache/drain.h"
#include "util/list.h"

struct drain {
	struct drain_conf conf;
	atomic_bool cancel;
	pthread_t thread;
	pthread_mutex_t lock; /* all below; never held across a call of the journal or the store */
	pthread_cond_t wake;  /* for the scheduler */
	pthread_cond_t moved; /* for who waits: in flush, in stop */
	bool stopping;
	bool changed;	       /* the journal said something since the scheduler looked */
	unsigned int running;  /* jobs */
	unsigned int failures; /* in a row, of the kind that an outage makes */
	bool down;	       /* nothing is taken until a probe gets an answer */
	bool probing;
	bool unreached;	  /* a probe failed since it is down */
	int64_t probe_ns; /* when to ask next */
	int64_t probe_pause_ns;
	uint64_t events; /* steps with each change, for who waits */
	bool unsynced;	 /* entries were done that the log on the platter still has */
	struct pool_job probe_job;
};

/* One try of one entry. */
struct drain_try {
	struct pool_job job;
	struct drain *d;
	struct jent *e;
	struct tier_call call; /* of the last request: why it failed */
	struct drain_wish wish;
	char etag[ETAG_MAX]; /* what the store has under the key now */
	bool given_up;	     /* the store's version stays */
	bool conflict;	     /* another host's version was met */
	bool progress;	     /* part of it is done for good */
};

/*
 * What the functions below return: 0 done; -errno, then t->call says more where a request
 * failed.
 */

/* t->call made new, with the deadline for that many bytes. */
struct tier_call *drain_call(struct drain_try *t, uint64_t size);

/* From here on what is put or copied is to be kept as key's class says. */
void drain_wish(struct drain_try *t, const char *key);

int drain_put(struct drain_try *t);
int drain_mkdir(struct drain_try *t);
int drain_meta(struct drain_try *t);
int drain_delete(struct drain_try *t);
int drain_rmdir(struct drain_try *t);
int drain_rename(struct drain_try *t);
int drain_tree(struct drain_try *t);

/* --- drain_put.c --- */
/* One put; the etag goes to t->etag. */
int drain_put_once(struct drain_try *t, const char *key, const struct tier_source *src,
		   const struct record *rec, enum tier_cond cond, const char *etag);

/* --- drain_conflict.c --- */
static inline bool drain_is_conflict(int r)
{
	return r == -EEXIST || r == -ESTALE || r == -ENOENT;
}
/* What stands at key now; -ENOENT. ret is initialised by the callee where it returns 0. */
int drain_head(struct drain_try *t, const char *key, struct record *ret);
/* The same object, as far as checksums can tell. */
bool drain_same_bytes(const struct record *a, const struct record *b);
/* The put's precondition did not hold. */
int drain_put_conflict(struct drain_try *t, const struct tier_source *src,
		       const struct record *rec);
/*
 * Where what lost is kept: the n-th name beside key, malloc'ed, the same at every try; NULL: no
 * memory.
 */
char *drain_beside(const struct jent *e, const char *key, unsigned int n);
#define DRAIN_BESIDE_MAX 9
/* How often a version that changes under our eyes is followed within one try. */
#define DRAIN_CHASE_MAX 8

/* --- drain_rename.c --- */
/*
 * Moves one object: copy, note, delete. src: its record if the caller knows one, else it is
 * asked for. cond and etag are what the target should be. 0 also where there is nothing (any
 * more); then t->etag is "". t may be a helper's own, with the same d and e.
 */
int drain_move(struct drain_try *t, const char *from, const struct record *src, const char *to,
	       enum tier_cond cond, const char *etag);

/* drain.c: no name changes in between (drain_events.names). */
void drain_names(struct drain *d, bool hold);

#endif
