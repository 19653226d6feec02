/* SPDX-License-Identifier: Apache-2.0 */
/* Sources, sinks and short calls for tests of the S3 store. */
#ifndef TESTS_S3_S3_IO_H
#define TESTS_S3_S3_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiers/tier.h"

/* A sink that keeps what comes and checks that it comes in order. */
struct mem_sink {
	struct tier_sink sink;
	bool begun;
	uint64_t size; /* of the whole object */
	char etag[ETAG_MAX];
	char *data;
	uint64_t off; /* where data begins */
	size_t len;
};

void mem_sink_init(struct mem_sink *s);
void mem_sink_release(struct mem_sink *s);

/* An unlinked file of these bytes. fd is the caller's to close. */
struct tier_source source_of(const void *data, size_t len);
/* Of that many bytes that differ everywhere; the same ones for the same seed. */
struct tier_source source_random(size_t len, unsigned int seed);
void random_bytes(char *data, size_t len, unsigned int seed);

/* A call with that much time. */
struct tier_call call_within(int64_t ms);

/* Asserts success; returns the etag. */
const char *put_text(struct tier *t, const char *key, const char *text, char etag[ETAG_MAX]);
/* The object's bytes [off, off + len) into *ret, or the tier's errno; call says more. */
int get_text(struct tier *t, struct tier_call *call, const char *key, uint64_t off, uint64_t len,
	     const char *etag, struct mem_sink *ret);

#endif
