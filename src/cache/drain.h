/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The drainer: brings the journal's entries to the store, oldest first, some in parallel.
 *
 * A put carries the precondition of its base; a conflict is resolved as `write.conflict` says
 * (equal XXH3 is no conflict). A failure that may pass is retried for ever with growing pauses
 * (1 s .. 60 s, at once when the store answers again); one that cannot (E2BIG, EFBIG, EINVAL,
 * EACCES, EROFS, ...) is retried slowly (1 to 10 min), kept and reported: an acknowledged change
 * is never thrown away.
 *
 * Threads: one scheduler of its own; the work runs on the pool it is given with POOL_DRAIN.
 */
#ifndef CACHE_DRAIN_H
#define CACHE_DRAIN_H

#include "cache/journal.h"
#include "model/config.h"
#include "util/counters.h"
#include "util/pool.h"

struct drain;

/*
 * What became of an entry, told to the owner of the objects. Called without locks, from a
 * worker.
 */
struct drain_events {
	/*
	 * hold: no name changes from here on, so that a name that is asked for is still right when
	 * it is told. Else: again. Around done and moved, from the same thread. May be NULL.
	 */
	void (*names)(void *arg, bool hold);
	/*
	 * The store has e. It is called just before the journal forgets e: journal_find() may
	 * still yield it (its seq tells), a change that is appended meanwhile follows it, and
	 * after a crash in between it is done and told again. etag: the version that the store
	 * has now ("" after delete, after rename of a directory or of what was not there, where
	 * ours is not there, and where the object was deleted or replaced meanwhile: look
	 * again). key (J_RENAME: to) is the name that the object has by now, which a rename that
	 * waits behind e may have changed. conflict: ours was given up (first_writer) or stored
	 * beside; a conflict that ours won is in the counter only.
	 */
	void (*done)(void *arg, const struct jent *e, const char *etag, bool conflict);
	/* A try failed; for the error list. text names key, tier and cause. */
	void (*failed)(void *arg, const struct jent *e, int error, const char *text);
	/*
	 * A rename of a directory moved one object; it may have another etag now. `to` is its
	 * name by now. May be NULL.
	 */
	void (*moved)(void *arg, const char *from, const char *to, const char *old_etag,
		      const char *etag);
	void *arg;
};

/* How an object is to be kept in the store. */
struct drain_wish {
	const char *storage_class; /* outlives the drainer; NULL: the store's own */
	struct tier_packing packing;
};

struct drain_conf {
	struct journal *journal;
	struct tier *store; /* stays the caller's */
	struct pool *pool;
	const struct clock *clock;
	struct counters *counters;
	int staging_dirfd;
	unsigned int parallel; /* entries at the same time, 0 = 4 */
	enum conflict_policy conflict;
	int64_t retry_min_ns; /* first pause after a failure, 0 = 1 s; the others follow from it */
	int64_t try_deadline_ns; /* of one try; large objects get size / 256 KiB/s on top */
	bool link_bodies; /* staged files are immutable once released: the store may link to them */
	/* What the owner wishes for a key; from any worker. NULL: nothing. arg is that of events */
	void (*wish)(void *arg, const char *key, struct drain_wish *ret);
	struct drain_events events;
};

int drain_start(const struct drain_conf *conf, struct drain **ret_drain);
/* Lets what is INFLIGHT end (or cancels it after grace_ns), joins, frees. Accepts NULL. */
void drain_stop(struct drain *d, int64_t grace_ns);

/*
 * Waits until everything below path that was acknowledged before the call is in the store. 0;
 * -ETIMEDOUT with what is left still journalled; -ECANCELED. progress (may be NULL) is called
 * about four times a second with what is left below path.
 */
int drain_flush(struct drain *d, const char *path, dl_t deadline, const atomic_bool *cancel,
		void (*progress)(void *arg, uint64_t entries, uint64_t bytes), void *arg);

/* How many entries below path wait because a writer still has them open (HELD). */
uint64_t drain_held(struct drain *d, const char *path);

#endif
