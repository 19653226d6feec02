/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the record's three encodings share: the binary form, and how user xattrs are kept.
 *
 * A *blob* is a record, or a part of one:
 *
 *	offset	bytes
 *	0	1	version, CODEC_VERSION
 *	1	2	check: low 16 bits of hash64 over everything from offset 3 on
 *	3	2	mask: bit n: field n (enum record_field) is here; bits 14, 15: slot
 *	5	...	the fields, in the order of their bits, without gaps; nothing behind them
 *
 * All numbers are little-endian. A varint has seven bits a byte, the low ones first, and is never
 * longer than it must be; a zigzag is a varint of a signed number. A string is a varint length and
 * its bytes. Which fields are known follows from the mask. One record has exactly one encoding.
 */
#ifndef MODEL_RECORD_INTERNAL_H
#define MODEL_RECORD_INTERNAL_H

#include "model/record.h"

#define CODEC_VERSION 1
#define XATTR_NAME_LEN_MAX 250 /* the kernel's 255 without "user." */

/* In the order in which a local file's head takes them: what is needed at each open comes first. */
enum record_field {
	FIELD_MODE,	 /* 2 bytes */
	FIELD_OWNER,	 /* varint uid, zigzag gid - uid */
	FIELD_XXH3,	 /* 16 bytes */
	FIELD_CREATED,	 /* 8 bytes, ns */
	FIELD_EXPIRES,	 /* zigzag ttl, zigzag expires_at - ttl - created in s (0 where the blob has
			    no FIELD_CREATED) */
	FIELD_ETAG,	 /* see etag forms in record_codec.c */
	FIELD_FORMAT,	 /* string */
	FIELD_MTIME,	 /* 8 bytes, ns */
	FIELD_SIZE,	 /* varint */
	FIELD_CACHE_KEY, /* string */
	FIELD_SYMLINK,	 /* string */
	FIELD_XATTRS,	 /* varint count, not 0; then string name, string value; names ascending */
	FIELD_USER,	 /* nothing: REC_USER is known, also where there is no xattr */
	FIELD_MORE, /* varint mask, not 0, of what came later (enum record_more), then that: the
			    head's own mask has no bit left */
	FIELD_COUNT,
};

#define FIELD_BIT(field) (1u << (field))

enum record_more {
	MORE_ENCODING, /* string, not empty, then varint plain_size */
	MORE_COUNT,
};

/* A buffer that grows. Zero-initialise. After a failed allocation it ignores what is put. */
struct codec_out {
	uint8_t *buf;
	size_t len, size;
	bool failed;
};

struct codec_in {
	const uint8_t *at;
	size_t left;
};

void codec_out_release(struct codec_out *out);

/* The fields that rec has. */
uint32_t codec_fields(const struct record *rec);

/*
 * Writes those of `fields` that fit into room bytes; *ret_left are the others, and where there are
 * any, the blob carries slot (0..3). -ENOMEM.
 */
int codec_encode(const struct record *rec, uint32_t fields, size_t room, unsigned int slot,
		 struct codec_out *out, uint32_t *ret_left);

/*
 * Adds a blob's fields to rec. *seen are the fields that it has already and must not get twice. On
 * -EBADMSG and -ENOMEM rec may hold a part; record_release() takes it.
 */
int codec_decode(const void *buf, size_t len, struct record *rec, uint32_t *seen,
		 unsigned int *ret_slot);

/* FIELD_XATTRS on its own. want: leaves out those that it answers false for; NULL: all. */
void codec_put_xattrs(struct codec_out *out, const struct record_xattr *list,
		      bool (*want)(const struct record_xattr *xattr));
/* Appends to an empty list. */
int codec_get_xattrs(struct codec_in *in, struct record_xattr **ret_list);

/* Sets without asking for limits. -ENOMEM. */
int record_user_put(struct record *rec, const char *name, const void *value, size_t len);
struct record_xattr *record_xattr_new(const char *name, size_t name_len, const void *value,
				      size_t len);
void record_xattrs_free(struct record_xattr *list);

/* What the part of the metadata takes that users decide (xattrs, format, cache_key, symlink). */
int record_meta_user_bytes(const struct record *rec, size_t *ret_bytes);
/* Kept for the part that is ours (mode to xxh3, at their longest): a set xattr never makes a drain
 * fail. */
#define META_OWN_MAX 280

#endif
