/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the manifest layer share. Nothing outside tiers/layer_manifest.c and
 * tiers/manifest_*.c includes it.
 */
#ifndef TIERS_MANIFEST_INTERNAL_H
#define TIERS_MANIFEST_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "tiers/layer.h"
#include "tiers/manifest_codec.h"
#include "tiers/stores.h"
#include "util/list.h"

#define MANIFEST_PREFIX CONTROL_DIR "/dirs/"
/* ".cogfs/dirs/<hash of the directory>/<host>-<time>-<number>" */
#define MANIFEST_KEY_MAX                                                                           \
	(sizeof(MANIFEST_PREFIX) + XXH3_HEX_LEN + 1 + MANIFEST_HOST_MAX + 1 + 16 + 1 + 8)

/* A directory that is written to here: the entries of its present manifest, and of the next. */
struct outbox {
	struct list node; /* in layer.outboxes, latest use first */
	char *dir;
	struct manifest_entry *v; /* names and records are ours, in one allocation each */
	size_t n, room;
	size_t bytes;		     /* manifest_size() of v */
	size_t waiting;		     /* notes since the last successful write */
	int64_t since;		     /* monotonic: the oldest of them */
	bool writing;		     /* the flusher is at it: it must not go */
	char tail[MANIFEST_KEY_MAX]; /* the object that the next one replaces, "" = none */
};

/* A manifest object that was read, shared by those who use it. */
struct fetched {
	_Atomic unsigned int refs;
	char key[MANIFEST_KEY_MAX];
	char etag[ETAG_MAX];
	struct manifest *m; /* NULL: it is none of this directory */
};

/* All that is known of a directory's manifests. Immutable once it is in the cache. */
struct shelf {
	_Atomic unsigned int refs;
	struct list node; /* in layer.shelves, latest use first */
	bool cached;
	char *dir;
	struct fetched **v;
	size_t n;
	size_t bytes;
	size_t manifests; /* of v */
	size_t entries;
};

struct manifest_layer {
	struct tier base;
	struct manifest_conf conf;
	char host[MANIFEST_HOST_MAX + 1];

	pthread_mutex_t mtx;	/* protects all below; never held across I/O */
	pthread_cond_t wake;	/* for the thread */
	pthread_cond_t written; /* an outbox is not being written any more */
	struct list outboxes;
	size_t n_outboxes;
	size_t outbox_bytes;
	struct list shelves;
	size_t shelf_bytes;
	char *to_compact;   /* a directory, or NULL: the next one has its turn another time */
	int64_t not_before; /* monotonic: nothing is written earlier, after a failure */
	int64_t last_stamp;
	uint32_t number;
	bool stopping;
	struct manifest_stats stats; /* but for pending */

	atomic_bool cancel; /* ends what the thread has under way */
	bool has_thread;
	pthread_t thread;
};

struct manifest_layer *manifest_layer_of(struct tier *t); /* asserts that it is one */

/* --- layer_manifest.c --- */

/* The directory of key, "" the root: its length; *ret_name points into key. */
size_t manifest_split(const char *key, const char **ret_name);
/* ".cogfs/dirs/<hash>/" */
void manifest_dir_prefix(const char *dir, char out[MANIFEST_KEY_MAX]);

/* --- manifest_write.c --- */

/* A write of key, begun at began (monotonic), ended well with etag. Never fails: it is a hint. */
void manifest_note(struct manifest_layer *ml, const char *key, const struct record *rec,
		   const char *etag, int64_t began);
/* The same for a copy, whose record is that of version etag of from, if that is known here. */
void manifest_note_copy(struct manifest_layer *ml, const char *from, const char *from_etag,
			const char *to, const char *etag, int64_t began);
/* key is gone. */
void manifest_forget(struct manifest_layer *ml, const char *key);
/* Puts an encoded manifest of dir under a new name, which is copied. */
int manifest_put(struct manifest_layer *ml, struct tier_call *call, const char *dir,
		 const char *buf, size_t len, char ret_key[MANIFEST_KEY_MAX]);
/*
 * Writes what is due at now; INT64_MAX: all, and waits for what others write at the moment. The
 * first failure ends it.
 */
int manifest_write_due(struct manifest_layer *ml, struct tier_call *call, int64_t now);
/* Monotonic, INT64_MAX: nothing waits. Lock held. */
int64_t manifest_next_due(const struct manifest_layer *ml);
void manifest_outboxes_free(struct manifest_layer *ml);

/* --- manifest_read.c --- */

/* The manifests of dir; fresh: as the store has them now. A reference, to be put. */
int manifest_load(struct manifest_layer *ml, struct tier_call *call, const char *dir, bool fresh,
		  struct shelf **ret);
void manifest_shelf_put(struct manifest_layer *ml, struct shelf *s); /* accepts NULL */
void manifest_shelves_free(struct manifest_layer *ml);
/*
 * The newest entry for the version that a listing tells, decoded into an initialised record whose
 * size, etag and provisional mtime are listed's. False: none, then ret is untouched.
 */
bool manifest_merge(const struct shelf *s, const char *name, size_t len,
		    const struct record *listed, struct record *ret);

/* --- manifest_compact.c --- */

/* Asks the thread to, where the shelf deserves it; names: of a complete listing, or 0. */
void manifest_compact_soon(struct manifest_layer *ml, const struct shelf *s, size_t names);

#endif
