/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tier.h: the contract between the cache and the places where bytes live.
 *
 * There are two kinds of place. A *store* (dir, s3, and later gcs, azure, redis) keeps whole
 * objects behind names and is reached through struct tier below. A *body tier* (ram, disk) keeps
 * the local files that the kernel reads; its contract is tiers/local.h.
 *
 * Properties
 *  - A store maps keys to versions. A key is a path as model/key.h defines it; the store's own
 *    prefix is not part of it. A version is what makes an object's bytes what they are: the etag,
 *    an opaque string that is compared and never looked into. Two equal etags of one key mean
 *    equal bytes.
 *  - Existence is three-valued. -ENOENT means absent for sure: the store said so. Every other
 *    error means "unknown", and a caller must not conclude anything from it.
 *  - Calls block. They are made from worker threads only, never from a FUSE thread, and any
 *    number may run at the same time on the same tier and on the same key.
 *  - A call ends by its deadline, with -ETIMEDOUT if it must, and by cancellation with
 *    -ECANCELED.
 *
 * Composition
 *  - A layer (retry, breaker, trace, fault) is a tier that holds another one. Layers are made by
 *    x_create(const struct x_conf *, struct tier *inner, struct tier **ret): on success the layer
 *    owns inner, on failure the caller still does. tier_close() of the outermost one closes all.
 *  - Every ops table is complete: what a tier does not do is one of the tier_default_* functions,
 *    in the table where a reader sees it. tier_init() checks that there is no hole.
 *
 * Errors (negative errno; the same words everywhere)
 *  -ENOENT       no such object (or bucket or root, from probe); absent for sure
 *  -ESTALE       the object is there, and it is not the version that the call named
 *  -EEXIST       put or copy with TIER_IF_ABSENT: it is there
 *  -EACCES       the store refused the credentials or the action
 *  -ETIMEDOUT    no answer by the deadline
 *  -EIO          the store failed, or answered what makes no sense
 *  -EFBIG        larger than the store takes        -E2BIG   more metadata than it takes
 *  -EINVAL, -ENAMETOOLONG  a key that this store cannot hold
 *  -EREMOTE      archived: it exists, and cannot be read now
 *  -EROFS        read-only tier                     -EOPNOTSUPP  tier_caps says that it cannot
 *  -ENOSPC, -EDQUOT  the store is full              -ENOMEM, -ECANCELED  as usual
 *
 * Not errors: deleting what is not there; a list that finds nothing; a get of zero bytes.
 */
#ifndef TIERS_TIER_H
#define TIERS_TIER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/record.h"
#include "util/clock.h"
#include "util/counters.h"
#include "util/err.h"

struct tier;

/*
 * What one call carries beside its arguments. Zero-initialise, set what you need. It belongs to
 * the caller, to one call at a time; layers may change it between tries.
 */
struct tier_call {
	dl_t deadline;		   /* monotonic ns, covers all tries; 0 = in 30 s */
	const atomic_bool *cancel; /* becomes true: end soon with -ECANCELED; NULL = never */
	bool probe;		   /* goes through an open breaker (health probes only) */
	const char *storage_class; /* of what a put, copy, set_meta makes; NULL: the store's */
	bool control;		   /* keys are ours, below ".cogfs/", and no others (manifests) */
	/* Set by the callee when it fails: */
	struct err err;		/* for people; never a secret. Wrapped by each layer */
	bool transient;		/* may succeed if it is sent again (5xx, 429, reset, time-out) */
	bool throttled;		/* transient, and the store asked for less (SlowDown, 429, 503) */
	int64_t retry_after_ns; /* the store's own wish, 0 = none */
};

/* What a tier can do; fixed after creation. */
enum tier_cap {
	TIER_CAP_COND_PUT = 1 << 0,	/* TIER_IF_ABSENT and TIER_IF_MATCH hold atomically */
	TIER_CAP_COND_DELETE = 1 << 1,	/* del with an etag holds atomically; else: see del */
	TIER_CAP_COPY = 1 << 2,		/* copy without the bytes passing through us */
	TIER_CAP_LIST_RECORDS = 1 << 3, /* list yields whole records (dir) */
	TIER_CAP_SHARE = 1 << 4,	/* share: a body without copying bytes */
	TIER_CAP_LOCAL = 1 << 5,	/* as fast as a local disk: needs no read-ahead */
};

struct tier_caps {
	unsigned int flags;    /* enum tier_cap */
	uint64_t max_size;     /* bytes of an object; above: -EFBIG */
	uint32_t max_metadata; /* bytes as record_to_meta counts */
	uint32_t max_key;      /* bytes, the store's prefix already taken off */
	uint32_t delete_batch; /* keys that one del_many takes at best; >= 1 */
};

/* Where the bytes of a get go. Both functions run on the calling thread, in order. */
struct tier_sink {
	/*
	 * Once, before any byte: the version's record (size = the whole object's, whatever range
	 * was asked; etag known). A non-zero return ends the get with that value. Never NULL.
	 */
	int (*begin)(struct tier_sink *sink, const struct record *rec);
	/*
	 * off is absolute in the object and ascending without gaps. Non-zero ends the get. Never
	 * NULL.
	 */
	int (*write)(struct tier_sink *sink, const void *buf, size_t len, uint64_t off);
};

/* How the bytes of a put may be packed by a layer that can; stores take no notice. */
struct tier_packing {
	bool zstd;	   /* false: stored as they are */
	int level;	   /* as zstd counts them; taken to the nearest that there is */
	uint64_t min_size; /* smaller objects are stored as they are */
};

/* Where the bytes of a put come from: a file that nobody writes to while the call runs. */
struct tier_source {
	int fd;		  /* readable; the callee neither closes it nor moves its offset */
	uint64_t size;	  /* bytes, from offset 0 */
	bool immutable;	  /* the inode is never written again: a local store may link to it */
	struct xxh3 xxh3; /* of the bytes, or unknown */
	struct tier_packing packing;
};

/*
 * The bytes of a symlink's object in a store whose list does not yield whole records: so long
 * that its size alone tells who may be a symlink, and an ordinary file, empty or not, needs no
 * head. Its size and etag are these bytes' in head and in list. A store with
 * TIER_CAP_LIST_RECORDS stores no bytes.
 */
#define TIER_SYMLINK_BODY                                                                          \
	"This object stands for a symbolic link that was made through cogfs, a cache filesystem. " \
	"Its target is in the object's metadata, below the name \"symlink\". These bytes mean "    \
	"nothing: their number tells a listing of the store that there may be a link.\n"
#define TIER_SYMLINK_SIZE (sizeof(TIER_SYMLINK_BODY) - 1)

enum tier_cond { TIER_ANY, TIER_IF_ABSENT, TIER_IF_MATCH };

struct tier_pre {
	enum tier_cond cond;
	const char *etag; /* TIER_IF_MATCH; else ignored */
};

/* One name in a listing. */
struct tier_entry {
	const char *key;	  /* whole key, not checked: hostile until key_check() */
	size_t key_len;		  /* may hold NUL bytes */
	bool prefix;		  /* a common prefix ("directory"); key has no slash behind it */
	bool marker;		  /* the object "key/": a directory that exists as an object */
	const struct record *rec; /* known says what it tells; for prefix nothing is known */
};

typedef int tier_entry_fn(void *arg, const struct tier_entry *entry);

struct tier_list_req {
	const char *prefix; /* "" or "dir/": names that begin with it, byte-wise */
	bool delimiter;	    /* true: one level, what lies deeper comes as prefixes */
	const char *token;  /* continuation from the last page, NULL = start */
	unsigned int max;   /* entries a page, 0 = the store's own */
};

struct tier_ops {
	const char *type; /* "s3", "dir", "retry", ... */

	/* Answers whether the store is there and lets us in. One cheap request. */
	int (*probe)(struct tier *t, struct tier_call *call);

	/*
	 * The present version's record. ret_rec is initialised by the caller, untouched on
	 * failure. A store says how it keeps the bytes (REC_ENCODING) here and in get, and in
	 * list where it yields whole records; size is then that of the encoded bytes. A key that
	 * ends in '/' asks for the marker of that directory (head only; get is never asked for
	 * one).
	 */
	int (*head)(struct tier *t, struct tier_call *call, const char *key,
		    struct record *ret_rec);

	/*
	 * Bytes [off, off + len) of the version etag ("" or NULL: the present one), clipped at
	 * the object's end; len UINT64_MAX: to the end. off at or behind the end is not an error:
	 * begin is called, write is not. A connection that breaks after write was called is -EIO
	 * with transient set; the layers never send a get again once write was called: resuming
	 * is the caller's.
	 */
	int (*get)(struct tier *t, struct tier_call *call, const char *key, uint64_t off,
		   uint64_t len, const char *etag, struct tier_sink *sink);

	/*
	 * Stores a whole object with rec's metadata (size, etag of rec are ignored; its encoding
	 * is what src is in, and goes where rec does not have it, as with set_meta; for a symlink
	 * the source is empty and rec->symlink counts, and what stands for it in the store is as
	 * TIER_SYMLINK_BODY says; for a directory the object is a marker). Atomic: a reader sees
	 * the old version or the new one. A precondition that fails: -EEXIST or -ESTALE;
	 * TIER_IF_MATCH where nothing is there: -ENOENT or -ESTALE. The new etag is copied to
	 * ret_etag[ETAG_MAX].
	 */
	int (*put)(struct tier *t, struct tier_call *call, const char *key,
		   const struct tier_source *src, const struct record *rec,
		   const struct tier_pre *pre, char *ret_etag);

	/*
	 * Removes the version etag (NULL: whatever is there). marker: the object "key/". Without
	 * TIER_CAP_COND_DELETE the version is looked at just before; a small window stays.
	 */
	int (*del)(struct tier *t, struct tier_call *call, const char *key, bool marker,
		   const char *etag);

	/* n keys, unconditionally; ret_codes[i]: 0 or -errno of each. Returns the first of them. */
	int (*del_many)(struct tier *t, struct tier_call *call, const char *const *keys, size_t n,
			int *ret_codes);

	/*
	 * One page in the byte order of UTF-8, in which a prefix and a marker stand as "key/".
	 * The marker of the prefix itself comes first. *ret_token: malloc'ed continuation, or
	 * NULL at the end: then, and only then, the listing is complete. fn's non-zero return
	 * ends it with that value.
	 */
	int (*list)(struct tier *t, struct tier_call *call, const struct tier_list_req *req,
		    tier_entry_fn *fn, void *arg, char **ret_token);

	/*
	 * Server-side copy of version etag (NULL: present) of from to to, with rec's metadata
	 * where rec is not NULL, else with the source's. pre is about the destination; a store
	 * that cannot check it there looks just before. from == to with rec replaces the
	 * metadata.
	 */
	int (*copy)(struct tier *t, struct tier_call *call, const char *from, const char *etag,
		    const char *to, const struct record *rec, const struct tier_pre *pre,
		    char *ret_etag);

	/*
	 * Replaces the metadata of version etag in place. The bytes stay; ret_etag may differ
	 * from etag.
	 */
	int (*set_meta)(struct tier *t, struct tier_call *call, const char *key, const char *etag,
			const struct record *rec, char *ret_etag);

	/*
	 * TIER_CAP_SHARE: makes the file `name` below dst_dirfd hold the bytes of version etag
	 * without copying them (reflink or hard link), and fills ret_rec. Then bytes of that
	 * inode are never written in place again by anyone. -EXDEV, -EOPNOTSUPP, -EMLINK: use
	 * get.
	 */
	int (*share)(struct tier *t, struct tier_call *call, const char *key, const char *etag,
		     int dst_dirfd, const char *name, struct record *ret_rec);

	/* Ends background work (uploads to abort) and frees the tier and what it holds. */
	void (*close)(struct tier *t);
};

#define TIER_MAGIC 0x74696572u

/* The base that every tier embeds as its first member. */
struct tier {
	unsigned int magic;
	const struct tier_ops *ops;
	struct tier *inner; /* a layer's: the tier it stands in front of and owns; NULL: a store */
	const char *name;   /* from the configuration: "cold"; owned by the tier */
	struct tier_caps caps;
	const struct clock *clock;
	struct counters *counters; /* may be NULL */
};

/* Fills the base. name is duplicated. -EINVAL where ops has a hole, -ENOMEM. */
int tier_init(struct tier *t, const struct tier_ops *ops, const char *name,
	      const struct tier_caps *caps, const struct clock *clock, struct counters *counters);
/* Frees the base's own members; for implementations of close. */
void tier_release(struct tier *t);

/* For a store at work: 0, -ECANCELED or -ETIMEDOUT, as the call's cancel and deadline stand. */
int tier_call_check(const struct tier *t, const struct tier_call *call);
/* For a store that has no limit of its own: -E2BIG above META_MAX, which others could not hold. */
int tier_check_metadata(const struct record *rec);

/*
 * The wrappers: what callers use. They assert the contract on both sides and check keys, clear
 * what call says of the last failure, give it a deadline where it has none, end it before it
 * begins where it is too late or cancelled, and name tier, operation and key in call->err.
 * Requests and their failures are counted once, at the store. pre may be NULL (TIER_ANY),
 * ret_etag too.
 */
int tier_probe(struct tier *t, struct tier_call *call);
int tier_head(struct tier *t, struct tier_call *call, const char *key, struct record *ret_rec);
int tier_get(struct tier *t, struct tier_call *call, const char *key, uint64_t off, uint64_t len,
	     const char *etag, struct tier_sink *sink);
int tier_put(struct tier *t, struct tier_call *call, const char *key, const struct tier_source *src,
	     const struct record *rec, const struct tier_pre *pre, char *ret_etag);
int tier_del(struct tier *t, struct tier_call *call, const char *key, bool marker,
	     const char *etag);
int tier_del_many(struct tier *t, struct tier_call *call, const char *const *keys, size_t n,
		  int *ret_codes);
int tier_list(struct tier *t, struct tier_call *call, const struct tier_list_req *req,
	      tier_entry_fn *fn, void *arg, char **ret_token);
int tier_copy(struct tier *t, struct tier_call *call, const char *from, const char *etag,
	      const char *to, const struct record *rec, const struct tier_pre *pre, char *ret_etag);
int tier_set_meta(struct tier *t, struct tier_call *call, const char *key, const char *etag,
		  const struct record *rec, char *ret_etag);
int tier_share(struct tier *t, struct tier_call *call, const char *key, const char *etag,
	       int dst_dirfd, const char *name, struct record *ret_rec);
void tier_close(struct tier *t); /* accepts NULL */

static inline bool tier_can(const struct tier *t, enum tier_cap cap)
{
	return t->caps.flags & cap;
}

/* --- named defaults for what a tier does not do --- */
int tier_default_del_many(struct tier *t, struct tier_call *call, const char *const *keys, size_t n,
			  int *ret_codes); /* one del after the other */
int tier_default_copy(struct tier *t, struct tier_call *call, const char *from, const char *etag,
		      const char *to, const struct record *rec, const struct tier_pre *pre,
		      char *ret_etag); /* -EOPNOTSUPP */
int tier_default_share(struct tier *t, struct tier_call *call, const char *key, const char *etag,
		       int dst_dirfd, const char *name, struct record *ret_rec); /* -EOPNOTSUPP */

#endif
