/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the journal share; journal.h is for everybody else.
 *
 *  journal.c		the calls, and the tables that entries stand in
 *  journal_query.c	the calls that only ask
 *  journal_change.c	one change meets the older ones
 *  journal_rename.c	the same for renames
 *  journal_base.c	which version a change begins from
 *  journal_steps.c	the steps of an entry's life
 *  journal_order.c	what may go next
 *  journal_tree.c	entries by path
 *  journal_codec.c	records as bytes
 *  journal_log.c	segment files, group commit
 *  journal_compact.c	a new segment with what lives
 *  journal_replay.c	the log read back
 *
 * Whatever changes an entry is one record. A call plans the change (everything that can fail),
 * writes the record, then commits to memory (nothing can fail any more); replay does the same
 * without the writing. So memory after a replay is what it was, and a failed call has changed
 * nothing.
 *
 * All functions here need the journal's lock unless they say otherwise.
 */
#ifndef CACHE_JOURNAL_PRIV_H
#define CACHE_JOURNAL_PRIV_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache/journal.h"
#include "model/key.h"
#include "util/cleanup.h"
#include "util/list.h"

/* --- journal_codec.c: records as bytes --- */

/*
 * A record: magic (4), payload length (4), type (2), zero (2), entry's seq (8), payload, XXH3-64
 * of all before (8). Little-endian throughout.
 */
#define JREC_MAGIC 0x4a474f43u /* "COGJ" */
#define JREC_HEAD 20
#define JREC_TAIL 8
#define JREC_PAYLOAD_MAX (64 * 1024)
#define JREC_VERSION 1

enum jrec_type {
	JREC_SEGMENT =
		1,    /* first of a segment: version, number; seq: the next one to be given out */
	JREC_ENTRY,   /* snapshot: a whole entry as it is */
	JREC_APPEND,  /* a change: entry and hold */
	JREC_RELEASE, /* record, if it was replaced */
	JREC_DROP,
	JREC_REBODY, /* new staging id */
	JREC_TAKE,   /* its first try begins: the store may have it from now on */
	JREC_DONE,   /* outcome and etag */
	JREC_MOVED,  /* a rename brought an object: its name then, its etag before and now */
};

struct jrec {
	enum jrec_type type;
	uint64_t seq;
	const uint8_t *payload;
	size_t len;
};

/* Bytes that grow. oom sticks: asked once, at the end. Zero-initialise. */
struct jbuf {
	uint8_t *p;
	size_t len, cap;
	bool oom;
};

void jbuf_release(struct jbuf *b);
void jbuf_put(struct jbuf *b, const void *data, size_t len);
void jbuf_u8(struct jbuf *b, uint8_t v);
void jbuf_u64(struct jbuf *b, uint64_t v);
void jbuf_str(struct jbuf *b, const char *s);

/* A reader of a payload. bad sticks. */
struct jcur {
	const uint8_t *p;
	size_t left;
	bool bad;
};

uint8_t jcur_u8(struct jcur *c);
uint64_t jcur_u64(struct jcur *c);
/* Into buf[size]; longer, or holding a NUL: bad. */
void jcur_str(struct jcur *c, char *buf, size_t size);

/* Begins a record at the end of b, and completes it. */
size_t jrec_begin(struct jbuf *b, enum jrec_type type, uint64_t seq);
int jrec_end(struct jbuf *b, size_t start); /* -ENOMEM, -E2BIG: b is as before jrec_begin */
/*
 * The record at *off, which moves behind it. 0 at the end, 1, or -EBADMSG: what is at *off is no
 * whole record.
 */
int jrec_next(const uint8_t *buf, size_t len, size_t *off, struct jrec *ret);
/* Whether a whole record begins anywhere at or behind off. */
bool jrec_any(const uint8_t *buf, size_t len, size_t off);

/* Flags of an entry that travel with it. */
enum jent_flag {
	JF_HELD = 1 << 0,
	JF_DIR = 1 << 1,
	JF_AFTER_SIBLINGS = 1 << 2,
	JF_STORE_HAS_FROM = 1 << 3,
	JF_TRIED = 1 << 4,
	JF_CHAINED = 1 << 5,
	JF_ALL = (1 << 6) - 1,
};

int jcode_entry(struct jbuf *b, const struct jent *e, unsigned int flags);
/* -EBADMSG, -ENOMEM: *ret is released. Keys are checked: what comes out is safe to use. */
int jcode_parse_entry(struct jcur *c, struct jent *ret, unsigned int *ret_flags);

void jent_init(struct jent *e);

/* --- entries in memory --- */

/*
 * A point of the tree of paths: an entry's key or a part of it. Lives while it is referred to.
 */
struct jnode {
	struct jnode *parent, *hash_next;
	struct list children, sibling;
	struct list entries;  /* jplace.link of those whose key (or to) this is, by pos */
	struct list watchers; /* jplace.link of entries that wait for all older ones below */
	uint64_t below;	      /* places strictly below */
	unsigned int refs;
	unsigned int len;
	uint32_t hash;
	char name[];
};

struct jplace {
	struct list link;
	struct jnode *node; /* NULL: not in the tree. Holds a reference */
	struct ent *ent;
};

enum { PLACE_KEY, PLACE_TO, PLACE_COUNT };
enum heap_id { HEAP_NONE, HEAP_LATER, HEAP_READY };

/*
 * An entry. pos is its place in line: seq at first, but a newer change may take the place of an
 * older one (then seq is newer), and what a rename moves may be put behind it.
 *
 * Invariants, checked by jn_check():
 *  - places, order and by-seq table agree; lists of a node are sorted by pos
 *  - waits is the number of older places strictly below its nodes (deep entries), plus those
 *    below its directory (after_siblings)
 *  - every wait is for an entry with a smaller pos: no circle is possible
 *  - QUEUED and nothing in the way: in a heap; else: not
 *  - at most one entry of a key is tried, and it is the oldest of them
 */
struct ent {
	struct jent pub;
	uint64_t pos;
	uint64_t first_seq; /* the oldest change that it carries */
	uint64_t waits;
	bool tried;   /* the store may have it: it can only be followed, not changed */
	bool chained; /* base is what the one before leaves behind; not valid yet */
	bool deep;    /* conflicts with what is below its key: all but mkdir */
	uint8_t heap; /* enum heap_id */
	size_t heap_at;
	struct jplace place[PLACE_COUNT];
	struct jplace watch;
	struct list order;
	struct ent *blocker;  /* an older entry at its path or above, or NULL: not known of any */
	struct list waiters;  /* whose blocker this is */
	struct list waiting;  /* in blocker's waiters */
	struct ent *seq_next; /* hash chain */
};

struct heap {
	struct ent **v;
	size_t n, cap;
};

/*
 * The log: segment files, and what of them is on the platter. Positions count bytes ever
 * appended.
 */
struct jlog {
	int dirfd;
	int fd; /* of the segment; -1: none (tests of the state alone) */
	uint64_t number;
	uint64_t size;	   /* of the segment */
	uint64_t reserved; /* bytes of it that the filesystem has promised */
	uint64_t base;	   /* size right after it was compacted */
	uint64_t end, synced;
	bool broken;	 /* its end may not be whole: it takes nothing until there is a new one */
	uint64_t breaks; /* how often that happened */
	bool syncing;	 /* somebody is in fdatasync */
	bool held_off;	 /* nobody may begin a sync: the segment is being changed */
	bool compacting;
	struct jbuf buf;  /* the record being made */
	struct jbuf tail; /* compacting: records that the snapshot has not got */
	pthread_cond_t cond;
};

struct jwatcher {
	struct jwatcher *next;
	void (*fn)(void *arg);
	void *arg;
};

struct journal {
	pthread_mutex_t lock;
	struct journal_conf conf;
	struct jlog log;
	struct jnode *root;
	struct jnode **nodes;
	size_t n_nodes, nodes_size;
	struct ent **seqs;
	size_t seqs_size;
	struct list order; /* all entries, by pos */
	struct heap later; /* by due_ns */
	struct heap ready; /* by pos: was due when it was last looked at */
	struct list dead;  /* entries that went: buried without the lock */
	uint64_t next_seq, next_pos;
	uint64_t entries, bytes, held, inflight;
	bool replaying;
	bool changed; /* somebody wants to know */
	struct jwatcher *watchers;
	unsigned int notifying;
	pthread_cond_t notified;
	pthread_t thread; /* compacts */
	pthread_cond_t work;
	bool running, stop;
};

/* --- journal.c --- */
/* The state without files; jn_free() also takes a half-built one. */
struct journal *jn_new(const struct journal_conf *conf);
void jn_free(struct journal *j);
struct ent *jn_by_seq(struct journal *j, uint64_t seq);
void jn_set_seq(struct journal *j, struct ent *e, uint64_t seq);
struct ent *jn_ent_new(const struct jent *src); /* NULL: no memory */
void jn_ent_free(struct ent *e);
/* Room in the tables, so that entering that many cannot fail. */
int jn_reserve(struct journal *j, size_t more);
/* Last in line, HELD, at its key: the nodes exist. */
void jn_enter(struct journal *j, struct ent *e);
void jn_move_last(struct journal *j, struct ent *e);
/* QUEUED is due after the upload delay, unless it was queued before. */
void jn_set_state(struct journal *j, struct ent *e, enum jstate state);
/*
 * Takes e out of everything. It is freed, and the staging file that it names unlinked, by
 * jn_unlock().
 */
void jn_kill(struct journal *j, struct ent *e);
void jn_unlock(struct journal *j);
/* What of e stands in the totals; around a change of its size or staging file. */
void jn_count(struct journal *j, const struct ent *e);
void jn_uncount(struct journal *j, const struct ent *e);

/*
 * --- journal_steps.c: the changes of one entry, for calls and replay alike. They write the
 * record unless replaying ---
 */
int jn_log_append(struct journal *j, const struct jent *change, bool hold, uint64_t seq);
int jn_log_release(struct journal *j, const struct ent *e, const struct record *rec);
int jn_drop(struct journal *j, struct ent *e, bool unlink_body);
int jn_rebody(struct journal *j, struct ent *e, uint64_t id);
int jn_take(struct journal *j, struct ent *e);
int jn_done(struct journal *j, struct ent *e,
	    const char *etag); /* NULL: the store kept another's */
int jn_moved(struct journal *j, struct ent *e, const char *to, const char *from_etag,
	     const char *etag);

/* --- journal_change.c --- */
int jn_append(struct journal *j, const struct jent *change, bool hold, uint64_t seq,
	      uint64_t *ret_seq);
int jn_release(struct journal *j, struct ent *e, const struct record *rec); /* e is HELD */
bool jn_is_write(const struct ent *e);					    /* put, meta, mkdir */
/*
 * The entry whose place in line a newer change of the same key may take; NULL: none. marker: of
 * "key/".
 */
struct ent *jn_slot(struct journal *j, struct jnode *node, bool marker);
/* slot carries e's payload and seq from now on; e dies, with the bytes that slot had. */
void jn_take_over(struct journal *j, struct ent *slot, struct ent *e);
/*
 * What of node's object was not tried goes, all but keep (which counts as gone). A writer whose
 * put was held keeps its staging file.
 */
struct jsquashed {
	bool any;     /* was there; if not, the rest says nothing */
	bool chained; /* of the first of them, as the next two */
	struct jbase base;
	uint64_t pos;
};
struct jsquashed jn_squash(struct journal *j, struct jnode *node, const struct ent *keep);

/* --- journal_rename.c --- */
int jn_append_rename(struct journal *j, const struct jent *change, uint64_t seq, uint64_t *ret_seq);

/* --- journal_base.c --- */
/* The entry that begins from what a change of key, at pos in line, leaves behind; NULL: none. */
struct ent *jn_follower(struct journal *j, const char *key, uint64_t pos);
void jn_set_base(struct ent *e, enum tier_cond cond, const char *etag);
/*
 * e, not entered yet, comes behind all that is there at key: chained where a live change of that
 * object decides its base.
 */
void jn_chain(struct journal *j, struct ent *e, const char *key);
/* A rename that waits before pos may bring something to key, whatever its owner thinks. */
bool jn_is_brought(struct journal *j, const char *key, uint64_t pos);
/* See journal_name_now(). */
int jn_name_now(struct journal *j, const char *key, uint64_t pos, char **ret_name);
/* e goes, never done, or done with that outcome (jn_done): its follower learns its base. */
void jn_base_dropped(struct journal *j, struct ent *e);
void jn_base_done(struct journal *j, struct ent *e, const char *etag);
/* The entry whose base journal_moved() changes; NULL: none. */
struct ent *jn_moved_follower(struct journal *j, const struct ent *rename, const char *to,
			      const char *from_etag);

/* --- journal_tree.c --- */
struct jnode *jtree_find(struct journal *j, const char *key);
/* A new reference; NULL: no memory. */
struct jnode *jtree_get(struct journal *j, const char *key);
void jtree_put(struct journal *j, struct jnode *n); /* accepts NULL */
/* Depth-first over a node and all below it: pass NULL first. */
struct jnode *jtree_walk(struct jnode *top, struct jnode *at);
/* Nodes on the way from the root to key as far as there are any, deepest first. */
struct jnode *jtree_deepest(struct journal *j, const char *key);
int jtree_init(struct journal *j);
void jtree_release(struct journal *j);

/* --- journal_order.c --- */
/* e into the tree at its key (and to): the nodes exist. */
void jorder_place(struct journal *j, struct ent *e);
void jorder_unplace(struct journal *j, struct ent *e);
/* Ready, waiting or neither: to be called when state or due time changed. */
void jorder_update(struct journal *j, struct ent *e);
/* e, and what it is known to wait for above it, is due now. */
void jorder_hurry(struct journal *j, struct ent *e);
struct ent *jorder_next(struct journal *j, int64_t now, int64_t *ret_wake);
/* Walks over everything; does nothing where there is much, or in release builds. */
void jn_check(struct journal *j);

/* --- journal_log.c --- */
/*
 * Writes log.buf, one or more whole records, and empties it. vital: may use the room that is
 * kept back.
 */
int jlog_write(struct journal *j, bool vital);
int jlog_sync(struct journal *j); /* without the lock */
void jlog_break(struct jlog *log);
#define JLOG_NAME_MAX 32
void jlog_name(const char *prefix, uint64_t number, char out[JLOG_NAME_MAX]);
/* All of it at the end of fd, or -errno. */
int jlog_write_all(int fd, const void *buf, size_t len);
bool jlog_wants_compaction(const struct journal *j);

/* --- journal_compact.c --- */
int jlog_compact(struct journal *j); /* without the lock; waits for one that is under way */

/* --- journal_replay.c --- */
int jreplay(struct journal *j, struct journal_report *report, struct err *err);
/* One record into the state; -EBADMSG. j->replaying must be set. */
int jreplay_apply(struct journal *j, const struct jrec *rec);

#endif
