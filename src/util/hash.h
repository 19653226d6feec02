/* SPDX-License-Identifier: Apache-2.0 */
/* XXH3 over buffers, files and streams (https://github.com/Cyan4973/xxHash, stable since 0.8). */
#ifndef UTIL_HASH_H
#define UTIL_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Canonical (big-endian) XXH3-128. All zero means "not known": the real hash is never all zero in
 * practice.
 */
struct xxh3 {
	uint8_t b[16];
};

#define XXH3_HEX_LEN 32

struct xxh3_stream; /* a running hash; heap-allocated, freed by _free */

uint64_t hash64(const void *buf, size_t len);
struct xxh3 xxh3_of(const void *buf, size_t len);
/* Reads size bytes of fd from offset 0. -EIO where the file is shorter. */
int xxh3_of_fd(int fd, uint64_t size, struct xxh3 *ret);
bool xxh3_known(const struct xxh3 *h);
bool xxh3_equal(const struct xxh3 *a, const struct xxh3 *b);
/* out gets 32 lower-case digits and a NUL. */
void xxh3_hex(const struct xxh3 *h, char out[XXH3_HEX_LEN + 1]);
/* -EINVAL where s is not 32 hex digits. */
int xxh3_parse(const char *s, struct xxh3 *ret);

struct xxh3_stream *xxh3_stream_new(void); /* NULL: no memory */
void xxh3_stream_update(struct xxh3_stream *s, const void *buf, size_t len);
struct xxh3 xxh3_stream_digest(const struct xxh3_stream *s);
void xxh3_stream_free(struct xxh3_stream *s);

#endif
