/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of checking share:
 *
 *  check.c		telling what was found; a body against its record; what is moved aside
 *  check_walk.c	all files below a directory, in an order that can be gone on with
 *  check_dir.c		a cache directory that nobody uses
 *  check_live.c	a running cache
 *  check_cold.c	its store
 *  journal_peek.c	the journal, read without changing it
 *  scrub.c		bodies of a running cache, slowly and again and again
 */
#ifndef CACHE_CHECK_PRIV_H
#define CACHE_CHECK_PRIV_H

#include <sys/stat.h>

#include "cache/check.h"
#include "cache/journal.h"
#include "model/record.h"

/* --- check.c --- */

void check_tell(struct check *ck, const char *path, const char *tier, enum check_outcome outcome,
		const char *what, const char *action);
/* Told, and repaired where the check repairs: did says how, would says what --repair does. */
bool check_repairs(const struct check *ck);
bool check_is_cancelled(struct check *ck);
void check_progress(struct check *ck);

/* Called for each piece that was read; non-zero ends the reading with that value. */
struct check_pace {
	int (*step)(struct check_pace *pace, uint64_t bytes);
};
/* XXH3-128 of the first size bytes of fd. -EIO: shorter, or unreadable. */
int check_hash(int fd, uint64_t size, struct check_pace *pace, struct xxh3 *ret);

enum body_fault {
	BODY_GOOD,
	BODY_UNKNOWN,	 /* no checksum to compare with */
	BODY_NO_RECORD,	 /* nothing says what it is */
	BODY_BAD_RECORD, /* what says it is damaged */
	BODY_BAD_TYPE,	 /* it says that it is no file */
	BODY_BAD_BYTES,
	BODY_UNREADABLE,
};
/*
 * Compares a body with its record, which the caller initialised; 0 with *ret_fault, or what pace
 * ended with.
 */
int body_look(int fd, struct check_pace *pace, struct record *rec, enum body_fault *ret_fault);
const char *body_fault_text(enum body_fault fault);
/* A store has these bytes: they can be had again. */
bool record_is_clean(const struct record *rec);

/*
 * Puts the file dirfd/name into aside/ below root_fd, as path or, where that is taken, path~N;
 * link: a second name for it. A name that is no safe path becomes part of one. 0 or -errno.
 */
int aside_put(int root_fd, int dirfd, const char *name, const char *path, bool link);

/* --- check_walk.c --- */

struct walk_found {
	const char *path; /* below the root; longer than KEY_MAX where somebody made it so */
	const struct stat *st;
};
/*
 * All that is below root_fd, directories before what they hold, names in the order of their
 * bytes. after: only what comes behind that path; NULL: all. fn's non-zero return ends it. What
 * cannot be opened any more is passed over.
 */
int check_walk(int root_fd, const char *after, int (*fn)(void *arg, const struct walk_found *found),
	       void *arg);

/* --- check_live.c: with a running cache --- */

struct local;
struct obj;

enum live_result {
	LIVE_GOOD,
	LIVE_UNKNOWN, /* without a checksum */
	LIVE_GONE,    /* dropped, replaced or being written meanwhile */
	LIVE_DROPPED, /* bad, and the store has it: gone from here */
	LIVE_DOUBTED, /* bad, and the store has it: the next open looks, and drops it */
	LIVE_KEPT,    /* bad, and perhaps nowhere else: a link is in aside/, reads get EIO */
};
struct live_look {
	enum live_result result;
	enum body_fault fault;
	uint64_t bytes;
	bool news; /* it was not known to be bad before */
};
/* Looks at the body of key in l, and does what has to be done. drop: LIVE_DROPPED, not _DOUBTED. */
int live_body(struct cache *c, struct local *l, const char *key, struct check_pace *pace, bool drop,
	      struct live_look *ret);

/* --- check_cold.c --- */
int check_cold(struct cache *c, struct check *ck, struct err *err);

/* --- journal_peek.c --- */

struct journal_peek {
	struct journal *state; /* what a mount would begin with; only to be asked */
	char name[32];	       /* the log that counts, "" = none */
	bool torn;	       /* it ends in half a record: nobody was told of that change */
	bool damaged;	       /* in the middle: what came after is lost */
	uint64_t at;	       /* where */
	unsigned int headless; /* newer files that are no logs */
};
/* -EPROTO: another version's. journal_peek_release() in any case but for failure. */
int journal_peek(int dirfd, int staging_dirfd, struct journal_peek *ret, struct err *err);
void journal_peek_release(struct journal_peek *look);

#endif
