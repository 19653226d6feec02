/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal: every change that a store has not got yet, in the order in which it was acknowledged.
 *
 * A change is one *entry* with a global sequence number. Entries are kept in an append-only log
 * (journal/log.<n>, framed and checksummed records: doc in ARCHITECTURE.md, "On disk") and in memory. The
 * bytes of a put are the file staging/<id> that the entry names; nothing else may remove that file, so
 * eviction cannot name what is not drained.
 *
 * Life of an entry
 *
 *	HELD ---release---> QUEUED ---take---> INFLIGHT ---done---> (gone)
 *	  |                   |  ^                 |
 *	  +-----drop----------+  +----retry--------+
 *
 *  HELD      a put whose writer still has the file open: kept through a crash, not uploaded
 *  QUEUED    waits for its due time and for the entries that it must not overtake
 *  INFLIGHT  the drainer works on it; it cannot be re-keyed any more, only followed
 *
 * Order. Two entries conflict where one key equals or contains the other (a rename counts with both
 * names). An entry never overtakes an older conflicting one; all others go in parallel.
 *
 * Coalescing, at append time and identically at replay:
 *  - a put or delete replaces an older put of the key that is not INFLIGHT, and inherits its base;
 *  - a delete of what only ever existed in such a put leaves nothing, if the base is "absent";
 *  - a rename re-keys the puts, metas and mkdirs below `from` that are not INFLIGHT, and older puts at
 *    `to` that are not INFLIGHT are dropped. store_has_from says whether the store may hold `from` too. Where not, nothing
 *    is left to do once all was re-keyed. Where it does: a renamed file whose put was re-keyed only needs `from` deleted
 *    there; else, and for a directory, the store copies and deletes (a directory's copies never overwrite: what lies at
 *    the target is newer).
 *
 * Durability. Appending is one write(2): it survives the process. journal_sync() makes all that was
 * appended before it survive power loss; concurrent callers share one fdatasync.
 *
 * Locks. One mutex inside, never held across fsync or by callbacks. All functions may be called from any
 * thread. Entry pointers given to callers are owned by the journal; they stay valid from take to done or
 * retry, and inside the foreach callback.
 */
#ifndef CACHE_JOURNAL_H
#define CACHE_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "model/record.h"
#include "tiers/tier.h"
#include "util/clock.h"
#include "util/list.h"

struct journal;

enum jop {
	J_PUT = 1,  /* key, staging_id (0 for a symlink), rec, base */
	J_META = 2, /* key, rec, base.etag: new metadata of an object whose bytes are unchanged */
	J_DELETE = 3, /* key, base */
	J_RENAME = 4, /* key -> to; dir: everything below. In the store: copy, then delete */
	J_MKDIR = 5,  /* key, rec: a marker */
	J_RMDIR = 6,  /* key: remove the marker */
};

enum jstate { J_HELD, J_QUEUED, J_INFLIGHT };

/* The version that a change began from, as far as a store is concerned. */
struct jbase {
	enum tier_cond cond; /* TIER_IF_ABSENT, TIER_IF_MATCH; TIER_ANY: unknown */
	char etag[ETAG_MAX];
};

struct jent {
	uint64_t seq;
	enum jop op;
	enum jstate state;
	bool dir;	    /* J_RENAME: of a directory */
	bool store_has_from; /* J_RENAME: the store may hold something under key */
	bool after_siblings; /* waits until every older entry below its directory is done */
	char *key;
	char *to;	     /* J_RENAME */
	uint64_t staging_id; /* J_PUT: 16 hex digits name the file; 0 = no bytes */
	uint64_t size;	     /* J_PUT: bytes that the last flush saw */
	struct record rec;   /* J_PUT, J_META, J_MKDIR */
	struct jbase base;
	int64_t appended_ns; /* wall time of the change: the age of what is dirty */
	/* in memory only */
	int64_t due_ns;	 /* monotonic: not before */
	unsigned int tries;
	int last_error; /* -errno of the last try, 0 */
	struct list order;  /* by seq */
	struct jent *blocker; /* an entry known to be in the way, or NULL */
	struct jent *key_next; /* hash chain */
};

struct journal_conf {
	int dirfd;	   /* journal/ ; stays the caller's */
	int staging_dirfd; /* staging/ ; stays the caller's */
	const struct clock *clock;
	int64_t upload_delay_ns;
	uint64_t segment_size; /* bytes, 0 = 4 MiB: a longer log is compacted */
};

/* What replay found, for the log line at start. */
struct journal_report {
	uint64_t live;		/* entries */
	uint64_t bytes;		/* in their staging files */
	uint64_t torn;		/* records cut off at the end of a log */
	uint64_t lost_bodies;	/* puts whose staging file is missing or shorter than the entry says */
};

/*
 * Opens and replays. A torn last record is dropped; a corrupt record in the middle ends that log file
 * and is reported (text in err, still success: nothing refuses a mount). Entries found HELD stay so:
 * the owner decides with journal_release or journal_drop once it knows whose handles live on.
 */
int journal_open(const struct journal_conf *conf, struct journal **ret_journal,
		 struct journal_report *ret_report, struct err *err);
void journal_close(struct journal *j); /* accepts NULL; everything stays on disk */

/*
 * Appends a change; strings and record are copied. On success *ret_seq is its number. For J_PUT with
 * hold the entry is HELD; a HELD entry of the same key and staging_id is replaced in place (the next flush
 * of one writer). -ENOSPC, -EIO, -ENOMEM: nothing changed.
 */
int journal_append(struct journal *j, const struct jent *change, bool hold, uint64_t *ret_seq);

/* HELD -> QUEUED, due after upload_delay. rec (may be NULL) replaces the record (the checksum is known now). */
int journal_release(struct journal *j, uint64_t seq, const struct record *rec);

/* Forgets an entry that is not INFLIGHT, and unlinks its staging file where unlink_body. -ENOENT: gone already, -EBUSY: INFLIGHT. */
int journal_drop(struct journal *j, uint64_t seq, bool unlink_body);

/*
 * Gives the put a staging file of its own, made by the caller as a copy: the old one goes on as the
 * body that is written to. -ENOENT: done meanwhile. An INFLIGHT entry may be given one too.
 */
int journal_rebody(struct journal *j, uint64_t seq, uint64_t new_staging_id);

/* Everything appended before this call survives power loss when it returns 0. Blocks. */
int journal_sync(struct journal *j);

/* --- the drainer's side --- */

/*
 * The oldest entry that is QUEUED, due and not in conflict with an older one becomes INFLIGHT and is
 * returned; NULL: nothing now, and *ret_wake is the monotonic time at which to ask again (0: when
 * something changes).
 */
struct jent *journal_take(struct journal *j, int64_t *ret_wake);
/*
 * The store has it: the entry is gone; its staging file is unlinked, unless keep_body. etag ("" after a delete): what the
 * store holds under the key (J_RENAME: under to) now; it becomes the base of the next live entry of that key.
 */
int journal_done(struct journal *j, struct jent *e, const char *etag, bool keep_body);
/* Back to QUEUED, due after delay_ns. */
void journal_retry(struct journal *j, struct jent *e, int error, int64_t delay_ns);
/* A rename that has handled part of its tree notes nothing: it begins again and finds less to do. */

/* --- questions --- */

struct journal_stats {
	uint64_t entries, bytes; /* live; bytes of staging files */
	uint64_t held, inflight;
	int64_t oldest_ns; /* wall time of the oldest, 0 = none */
};
void journal_stats(struct journal *j, struct journal_stats *ret);

/* True while an entry with seq <= upto lives whose key (or to) is below path ("" = all) and is not HELD. */
bool journal_pending(struct journal *j, const char *path, uint64_t upto);
uint64_t journal_last_seq(struct journal *j);

/* Makes everything below path that is QUEUED due now. */
void journal_hurry(struct journal *j, const char *path);

/* In order of seq, under the lock: fn must not call the journal. Non-zero ends it and is returned. */
int journal_foreach(struct journal *j, int (*fn)(void *arg, const struct jent *e), void *arg);

/* The newest live entry of exactly this key (J_RENAME: its to), copied; -ENOENT. jent_release() frees the copy. */
int journal_find(struct journal *j, const char *key, struct jent *ret);
void jent_release(struct jent *e);

/*
 * A name in the store's view. Where a pending rename (of a file or a directory) covers key: 1, and *ret_store_key (malloc'ed) is
 * where the object still may be; 0: none does.
 */
int journal_origin(struct journal *j, const char *key, char **ret_store_key);

/* Called without locks whenever something became QUEUED, due or gone: wakes drainer and waiters. */
void journal_on_change(struct journal *j, void (*fn)(void *arg), void *arg);

#endif
