/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal: every change that a store has not got yet, in the order in which it was
 * acknowledged.
 *
 * A change is one *entry* with a global sequence number. Entries are kept in an append-only log
 * (journal/log.<n>, framed and checksummed records: doc in ARCHITECTURE.md, "On disk") and in
 * memory. The bytes of a put are the file staging/<id> that the entry names; nothing else may
 * remove that file, so eviction cannot name what is not drained.
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
 * Order. Two entries conflict where one key equals or contains the other (a rename counts with
 * both names; a directory's marker has nothing to do with what lies below it). An entry never
 * overtakes an older conflicting one; all others go in parallel. The place in line is not the
 * seq: a change that replaces an older one takes its place, so that whoever waits for that one
 * waits for it.
 *
 * Coalescing, at append time and identically at replay. *Tried* is an entry that is or was
 * INFLIGHT: the store may have it, whatever it answered, so it is only followed, never changed.
 *  - a put or delete replaces an older put or delete of the key that is not tried, and inherits
 *    its base; metadata is merged into such a put. A HELD put stands beside the older one and
 *    replaces it when it is released: a crash in between must not cost what a close
 *    acknowledged;
 *  - a delete of what only ever existed in such a put leaves nothing, if the base is "absent";
 *  - a rename re-keys the puts, metas and mkdirs below `from` that are not tried, and older ones
 *    at `to` are dropped. store_has_from says whether the store may hold `from` too. Where not,
 *    nothing is left to do once all was re-keyed. Where it does: a renamed file whose released
 *    put was re-keyed only needs `from` deleted there; else, and for a directory, the store
 *    copies and deletes, and what was re-keyed comes after that.
 *
 * Bases. The base of an entry behind another one of its key is what that one leaves behind,
 * whatever the caller gave. For a rename, base is what the store has at `to`. An object that a
 * rename brought to another name may have another etag there: the bases of entries that wait for
 * it follow (journal_moved).
 *
 * Durability. Appending is one write(2): it survives the process. journal_sync() makes all that
 * was appended before it survive power loss; concurrent callers share one fdatasync.
 *
 * Locks. One mutex inside, never held across fsync or by callbacks. All functions may be called
 * from any thread. Entry pointers given to callers are owned by the journal; they stay valid
 * from take to done or retry, and inside the foreach callback.
 */
#ifndef CACHE_JOURNAL_H
#define CACHE_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "model/record.h"
#include "tiers/tier.h"
#include "util/clock.h"

struct journal;

/* base: of the object at key; J_RENAME: at `to`. */
enum jop {
	/* key, staging_id (0 for a symlink), rec, base */
	J_PUT = 1,
	/* key, rec, base: new metadata, unchanged bytes. Of a directory the same as J_MKDIR */
	J_META = 2,
	/* key, base */
	J_DELETE = 3,
	/* key -> to, base; dir: everything below. In the store: copy, then delete */
	J_RENAME = 4,
	/* key, rec: a marker. base TIER_IF_ABSENT: a new one, whose rmdir may leave nothing */
	J_MKDIR = 5,
	/* key: the marker goes */
	J_RMDIR = 6,
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
	bool dir;	     /* J_RENAME: of a directory */
	bool store_has_from; /* J_RENAME: the store may hold something under key */
	bool after_siblings; /* waits for every older entry below its directory, HELD ones too */
	char *key;
	char *to;	     /* J_RENAME */
	uint64_t staging_id; /* J_PUT: 16 hex digits name the file; 0 = no bytes */
	uint64_t size;	     /* J_PUT: bytes that the last flush saw */
	struct record rec;   /* J_PUT, J_META, J_MKDIR */
	struct jbase base;
	int64_t appended_ns; /* wall time of the change: the age of what is dirty */
	/* in memory only */
	int64_t due_ns; /* monotonic: not before */
	unsigned int tries;
	int last_error; /* -errno of the last try, 0 */
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
	uint64_t live;	      /* entries */
	uint64_t bytes;	      /* in their staging files */
	uint64_t torn;	      /* records cut off at the end of a log */
	uint64_t lost_bodies; /* puts whose staging file is missing or too short */
};

/*
 * Opens and replays. A torn last record is dropped; a corrupt record in the middle ends that log
 * file and is reported (text in err, still success: nothing refuses a mount). Entries found HELD
 * stay so: the owner decides with journal_release or journal_drop once it knows whose handles
 * live on. Staging files that no entry names are the owner's to sweep; a released put whose file
 * is gone or too short was never there. -EPROTO: another version wrote the log.
 */
int journal_open(const struct journal_conf *conf, struct journal **ret_journal,
		 struct journal_report *ret_report, struct err *err);
void journal_close(struct journal *j); /* accepts NULL; everything stays on disk, synced */

/*
 * Appends a change; strings and record are copied. On success *ret_seq is its number. For J_PUT
 * with hold the entry is HELD; a HELD entry of the same key and staging_id is replaced in place
 * (the next flush of one writer). -ENOSPC, -EIO, -ENOMEM: nothing changed.
 */
int journal_append(struct journal *j, const struct jent *change, bool hold, uint64_t *ret_seq);

/*
 * HELD -> QUEUED, due after upload_delay. rec (may be NULL) replaces the record (the checksum is
 * known now).
 */
int journal_release(struct journal *j, uint64_t seq, const struct record *rec);

/*
 * Forgets an entry that is not INFLIGHT, and unlinks its staging file where unlink_body.
 * -ENOENT: gone already, -EBUSY: INFLIGHT.
 */
int journal_drop(struct journal *j, uint64_t seq, bool unlink_body);

/*
 * Gives the put a staging file of its own, made by the caller as a copy: the old one goes on as
 * the body that is written to. -ENOENT: done meanwhile. An INFLIGHT entry may be given one too.
 */
int journal_rebody(struct journal *j, uint64_t seq, uint64_t new_staging_id);
/* The same; -EBUSY: INFLIGHT, and the store may be making a link to the old one just now. */
int journal_rebody_idle(struct journal *j, uint64_t seq, uint64_t new_staging_id);

/* Everything appended before this call survives power loss when it returns 0. Blocks. */
int journal_sync(struct journal *j);
/*
 * Writes a new, short log. It happens by itself when the log is long; for the end and for tests.
 * Blocks.
 */
int journal_compact(struct journal *j);

/* --- the drainer's side --- */

/*
 * The oldest entry that is QUEUED, due and not in conflict with an older one becomes INFLIGHT
 * and is returned; NULL: nothing now, and *ret_wake is the monotonic time at which to ask again
 * (0: when something changes).
 */
struct jent *journal_take(struct journal *j, int64_t *ret_wake);
/*
 * The store has it: the entry is gone; its staging file is unlinked, unless keep_body. etag (""
 * after a delete): what the store holds under the key (J_RENAME: under to; "" where there was
 * nothing to move) now; it becomes the base of the next live entry of that key. NULL: the store
 * kept another host's version, and that entry will meet it too. -EIO, -ENOSPC: it could not be
 * noted, e is INFLIGHT still.
 */
int journal_done(struct journal *j, struct jent *e, const char *etag, bool keep_body);
/* Back to QUEUED, due after delay_ns. */
void journal_retry(struct journal *j, struct jent *e, int error, int64_t delay_ns);
/*
 * A rename that has handled part of its tree notes nothing: it begins again and finds less to
 * do.
 */
/*
 * The rename has brought version from_etag to `to`, where it is etag: whoever waits to change it
 * begins from that. To be called before the source is deleted. A file's rename keeps both: as
 * its rec.etag, and as its base from then on.
 */
int journal_moved(struct journal *j, struct jent *rename, const char *to, const char *from_etag,
		  const char *etag);
/*
 * What the object is called by now that was at key when e had its turn: malloc'ed. -ENOENT: it
 * was deleted or replaced since, and what is at key now is another one.
 */
int journal_name_now(struct journal *j, const struct jent *e, const char *key, char **ret_name);
/* What the bytes of e, which is INFLIGHT, were found to be. */
void journal_hashed(struct journal *j, struct jent *e, const struct xxh3 *xxh3);
/* Where the bytes of e, which is INFLIGHT, are now: journal_rebody may have moved them. */
uint64_t journal_staging_id(struct journal *j, const struct jent *e);
/* A copy of e, which is INFLIGHT, as it is now; it shares e's strings. */
void journal_look(struct journal *j, const struct jent *e, struct jent *ret);

/* --- questions --- */

struct journal_stats {
	uint64_t entries, bytes; /* live; bytes of staging files */
	uint64_t held, inflight;
	int64_t oldest_ns; /* wall time of the first in line, 0 = none */
};
void journal_stats(struct journal *j, struct journal_stats *ret);

/*
 * True while an entry lives that carries a change with seq <= upto, whose key (or to) is below
 * path ("" = all) and which is not HELD; also while a directory above path is being renamed.
 */
bool journal_pending(struct journal *j, const char *path, uint64_t upto);
uint64_t journal_last_seq(struct journal *j);

/* For what becomes QUEUED from now on. */
void journal_set_upload_delay(struct journal *j, int64_t upload_delay_ns);

/* Makes everything below path that is QUEUED due now, and what it waits for. */
void journal_hurry(struct journal *j, const char *path);
/* The same for all whose last try failed: the store is back. */
void journal_hurry_failed(struct journal *j);

/* In line, under the lock: fn must not call the journal. Non-zero ends it and is returned. */
int journal_foreach(struct journal *j, int (*fn)(void *arg, const struct jent *e), void *arg);

/*
 * The newest live entry of exactly this key (J_RENAME: its to), copied; -ENOENT. jent_release()
 * frees the copy.
 */
int journal_find(struct journal *j, const char *key, struct jent *ret);
void jent_release(struct jent *e);
/* dst needs no initialisation; -ENOMEM. */
int jent_copy(struct jent *dst, const struct jent *src);

/*
 * The bytes of what is called key now, where a live put has them, be it under a name that pending
 * renames of the object or of a directory above it have left since: staging id, or 0.
 */
uint64_t journal_bytes(struct journal *j, const char *key, uint64_t *ret_seq);

/*
 * The store's view of a name. Each pending rename, of the object or of a directory above it, brings
 * it from one name to the next, copied before it is deleted; so it is at one of these, and who asks
 * for them in this order does not miss it on its way. The last one is key; a name may come twice.
 * -ENOENT: what has the name in the store, if anything, was deleted or renamed here.
 */
struct jnames {
	char **v;
	size_t n;
};
int journal_names(struct journal *j, const char *key, struct jnames *ret);
void jnames_release(struct jnames *names);

/*
 * Called without locks whenever something became QUEUED, due or gone: wakes drainer and waiters.
 * Several may be set; fn NULL takes those with arg back, and waits for the ones being called.
 */
void journal_on_change(struct journal *j, void (*fn)(void *arg), void *arg);

#endif
