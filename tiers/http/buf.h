/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing byte buffer for texts that are put together piece by piece. A failed allocation sticks:
 * callers add freely and look once, at the end, with buf_str().
 */
#ifndef TIERS_HTTP_BUF_H
#define TIERS_HTTP_BUF_H

#include <stdbool.h>
#include <stddef.h>

/* Zero-initialise. data is NUL-terminated whenever it is not NULL; the NUL is not part of len. */
struct buf {
	char *data;
	size_t len;
	size_t cap;
	bool failed; /* memory ran out; the contents are incomplete */
};

void buf_add(struct buf *b, const void *data, size_t len);
void buf_adds(struct buf *b, const char *s);
void buf_addc(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The contents ("" of an empty one), or NULL where memory ran out. Valid until the next call. */
const char *buf_str(const struct buf *b);

void buf_reset(struct buf *b);	 /* empty; keeps the memory */
void buf_release(struct buf *b); /* wipes and frees; leaves an empty buffer */

#define CLEANUP_BUF __attribute__((cleanup(buf_release)))

#endif
