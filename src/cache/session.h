/* SPDX-License-Identifier: Apache-2.0 */
/* Write sessions: the file that is written, from its beginning to its publishing. */
#ifndef CACHE_SESSION_H
#define CACHE_SESSION_H

#include "cache/internal.h"

/* --- session.c: the file that is written --- */
/*
 * Makes o writable and counts one more writer. Lock held, dropped in between; may wait. The caller
 * ends it with session_end().
 */
int session_begin(struct cache *c, struct obj *o, int flags, struct cache_wait *w);
void session_end(struct cache *c,
		 struct obj *o); /* one writer less; the last publishes. No lock held */
/* The call that a session was made for ends another way. Lock held, dropped in between */
void session_unclaim(struct cache *c, struct cache_wait *w);
struct wsession *session_new(struct cache *c, struct obj *o, uint64_t id, int fd,
			     bool fresh);	   /* NULL: no memory. Lock held */
void session_free(struct cache *c, struct obj *o); /* lock held; the staging file is not touched */
/* truncate(2) with or without an open file */
int session_truncate(struct cache *c, struct obj *o, struct cfile *f, uint64_t size,
		     struct cache_wait *w);
/* Reserved is what the file takes and what is about to be written. Lock held */
void session_settle(struct cache *c, struct wsession *wr);
/* What it holds of the disk is charged to its class's share as well. Lock held */
void session_share(struct wsession *wr);
void session_look(struct wsession *wr);	  /* remembers size and times as a flush saw them */
void session_unhash(struct wsession *wr); /* bytes change out of order */
void session_dirty(struct cache *c, struct obj *o); /* lock held: something changed */

/* --- begin.c --- */
/* Makes o's session, without writers yet. OBJ_BUSY is set, no lock is held. 0 or -errno */
int session_make(struct cache *c, struct obj *o, bool fresh);

/* --- commit.c --- */
/*
 * Journals what the file is now. hold: HELD until the last close; else (write: through) it is
 * uploaded at once, from a second name of the same inode. No lock held
 */
int session_note(struct cache *c, struct obj *o, bool hold);
/* The same; ns held: the key that is journalled is the one that the object has. */
int session_note_locked(struct cache *c, struct obj *o, bool hold);
/* The journal has the file as it is, and recovery would publish it. */
bool session_is_flushed(struct cache *c, struct wsession *wr);
/* The record of the file as it is. Lock held */
int session_record(struct cache *c, struct obj *o, struct record *ret);
/* What sessions hold beyond the journal; the journal counts it from here on. Lock held */
void session_counted(struct cache *c, struct wsession *wr);
/*
 * Nothing but seq waits for key; the journal forgets seq itself only after it was told of. (What
 * waits behind a rename may have a smaller number.)
 */
bool nothing_newer(struct cache *c, const char *key, uint64_t seq);

/* --- publish.c --- */
void session_publish(struct cache *c,
		     struct obj *o); /* the last writer left; OBJ_BUSY is set. No lock held */

#endif
