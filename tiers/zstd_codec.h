/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packing a file and unpacking a stream of hostile bytes, for layer_zstd.c. What is packed is one
 * plain zstd frame without a dictionary, with its size and a checksum in it: `zstd -d` gives the
 * file back.
 */
#ifndef TIERS_ZSTD_CODEC_H
#define TIERS_ZSTD_CODEC_H

#include "tiers/tier.h"

/* --- zstd_pack.c --- */

struct packed {
	int fd; /* a file without a name, -1: not worth it; the caller closes it */
	uint64_t size;
	struct xxh3 xxh3;  /* of the packed bytes */
	struct xxh3 plain; /* of the source's */
};

/*
 * Packs src by its packing into a new file (dirfd: of the directory for it, -1: memory). Gives up
 * where it saves too little, unless always is set. -EIO where src is shorter than it says or has
 * not its xxh3 any more; as tier_call_check; -ENOSPC and its like of the temporary file.
 */
int zstd_pack(const struct tier *t, struct tier_call *call, const struct tier_source *src,
	      int dirfd, bool always, struct packed *ret);

/* --- zstd_unpack.c --- */

struct unpack;

/*
 * Bytes [off, end) of what unpacks to size bytes are for out, in order; size was bounded by the
 * caller. want: the hash of all of them, or unknown: checked where end is at or behind size. t and
 * call are asked for time and patience as it goes on.
 */
struct unpack_conf {
	const struct tier *t;
	const struct tier_call *call;
	uint64_t size, off, end;
	struct xxh3 want;
	struct tier_sink *out;
};
int unpack_new(const struct unpack_conf *conf, struct unpack **ret);
void unpack_free(struct unpack *u); /* accepts NULL */

#define UNPACK_ENOUGH 1 /* no packed byte more is wanted */

/*
 * 0: more, please. UNPACK_ENOUGH, -ENOMEM, as tier_call_check; -EIO: these bytes are not what they
 * were said to be. Or what out->write ended with: then *ret_by_sink is set.
 */
int unpack_feed(struct unpack *u, const void *data, size_t len, bool *ret_by_sink);
/* After the last packed byte: 0, or -EIO where something is missing or the hash differs. */
int unpack_end(const struct unpack *u);
const char *unpack_reason(const struct unpack *u); /* for people, after -EIO */

#endif
