/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metadata record: what travels with an object through every tier (DESIGN 7). It has three
 * encodings, all in record_*.c: the xattrs of a local file, the user metadata of a store (a list of
 * name=value strings), and the payload of a journal record.
 */
#ifndef MODEL_RECORD_H
#define MODEL_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "util/err.h"
#include "util/hash.h"

/* Which fields of a record are known. What a LIST does not tell must not be guessed from it. */
enum record_known {
	REC_SIZE = 1 << 0,
	REC_MTIME = 1 << 1,
	REC_MODE = 1 << 2, /* mode, and with it the file type */
	REC_OWNER = 1 << 3,
	REC_EXPIRES = 1 << 4, /* expires_at and ttl */
	REC_CREATED = 1 << 5,
	REC_XXH3 = 1 << 6,
	REC_USER = 1 << 7, /* user xattrs, format, cache_key */
	REC_ETAG = 1 << 8,
	REC_ALL = (1 << 9) - 1,
	/*
	 * encoding and plain_size: how a store keeps the bytes. It is said between a store and the
	 * layer that packs (tiers/layer_zstd.c) and to nobody above them.
	 */
	REC_ENCODING = 1 << 9,
};

#define ETAG_MAX 128
#define ENCODING_MAX 16
#define ENCODING_ZSTD "zstd"
#define PLAIN_SIZE_UNKNOWN UINT64_MAX /* somebody else's encoding: the bytes are what they are */

/* One user.* xattr as the user set it: name without "user.", any bytes as value. */
struct record_xattr {
	struct record_xattr *next;
	size_t value_len;
	char *value; /* behind the name, in the same allocation */
	char name[];
};

/*
 * Plain data but for `user` and the strings, which the record owns. Copy with record_copy().
 * Times are nanoseconds since the epoch; expires_at is *seconds* since the epoch, 0 = never.
 */
struct record {
	uint32_t known; /* enum record_known */
	mode_t mode;	/* type and permissions: S_IFREG, S_IFDIR or S_IFLNK */
	uid_t uid;
	gid_t gid;
	uint64_t size;
	int64_t mtime_ns;
	int64_t created_ns;
	int64_t expires_at;
	int64_t ttl; /* seconds it was set with; 0 = never */
	struct xxh3 xxh3;
	char etag[ETAG_MAX];	     /* the store's version exactly as received, "" = none */
	char encoding[ENCODING_MAX]; /* HTTP's Content-Encoding; "" = the bytes themselves */
	uint64_t plain_size;	     /* what the encoded bytes unpack to */
	/*
	 * A hint to readers, which is never stored: each get unpacks from the object's beginning,
	 * so it is best read whole.
	 */
	bool packed;
	char *format;	 /* "jpg", "npz", ...; NULL = not told */
	char *cache_key; /* seed 003's full colon key; NULL = none */
	char *symlink;	 /* target, for S_IFLNK; NULL otherwise */
	struct record_xattr *user;
};

void record_init(struct record *rec);
void record_release(struct record *rec); /* leaves an initialised record; accepts half-built ones */
int record_copy(struct record *dst, const struct record *src); /* dst is initialised or released */

/* --- user xattrs; name without "user." --- */
const struct record_xattr *record_user_get(const struct record *rec, const char *name);
/*
 * flags: XATTR_CREATE, XATTR_REPLACE. -EEXIST, -ENODATA, -E2BIG (store metadata would exceed
 * META_MAX), -ENOMEM.
 */
int record_user_set(struct record *rec, const char *name, const void *value, size_t len, int flags);
int record_user_remove(struct record *rec, const char *name); /* -ENODATA */

/* --- encoding 1: xattrs of a local file --- */
#define RECORD_XATTR "user.cogfs"
/*
 * "user.cogfs" holds a binary head of at most 60 bytes (ext4 keeps it in the inode: measured in
 * DESIGN 5); the rest, where there is any, is in "user.cogfs.x" or "user.cogfs.y" (the head says
 * which, so that a crash leaves the old record or the new one). Size is the file's own, and so is
 * mtime where the record does not say otherwise.
 */
int record_to_fd(const struct record *rec, int fd);
/*
 * -ENODATA where the file has no record, -EBADMSG where it is corrupt. Fills size and mtime from
 * fstat.
 */
int record_from_fd(struct record *rec, int fd);

/* --- encoding 2: user metadata of a store --- */
#define META_MAX 1900 /* bytes, names (with "x-amz-meta-") and values together; S3 allows 2,048 */

struct meta_pair {
	char *name; /* lower case [a-z0-9_-], without x-amz-meta- */
	char *value;
};

struct meta_list {
	struct meta_pair *v;
	size_t n;
};

void meta_list_release(struct meta_list *list);
int meta_list_add(struct meta_list *list, const char *name, const char *value);
const char *meta_list_get(const struct meta_list *list, const char *name); /* NULL: absent */

/*
 * Names: mode, uid, gid, mtime (as s3fs and rclone write them), created_at (ISO 8601, Z),
 * expires_at, ttl (both seconds), xxh3, format, cache_key, symlink, plain_size (of encoded bytes;
 * not counted in META_MAX, as it is the store's matter), and user xattrs whose name is
 * [a-z0-9_-]{1,64}, not reserved, and whose value is printable ASCII (percent-encoded); all others
 * go into "cogfs_x". -E2BIG above META_MAX: only a long symlink or a foreign record can be,
 * record_user_set refuses first.
 */
int record_to_meta(const struct record *rec, struct meta_list *ret_list);
/*
 * Takes what it understands, keeps unknown names as user xattrs, ignores malformed values (they
 * become user xattrs too): a foreign object must never be unreadable. An integer ttl above 10^9 is
 * seed 002's absolute expiry. Does not touch size, etag, nor mtime where there is none. The
 * encoding is a header of its own: the caller sets it before, and a plain_size counts only with it.
 * The list is taken for the whole metadata: REC_EXPIRES, REC_USER and REC_ENCODING are known
 * afterwards. Fails with -ENOMEM only.
 */
int record_from_meta(struct record *rec, const struct meta_list *list);

/* --- encoding 3: bytes, for the journal --- */
/* malloc'ed, self-delimiting, versioned; -ENOMEM. */
int record_to_bytes(const struct record *rec, void **ret_buf, size_t *ret_len);
/* -EBADMSG where buf is no record of a version we know. Input is hostile (fuzzed). */
int record_from_bytes(struct record *rec, const void *buf, size_t len);

#endif
