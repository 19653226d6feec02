/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The record's binary form, as a journal or a file's xattr has it. A checksum would keep a fuzzer
 * out, so besides the input itself it is tried with its checksum put right. What is taken is the
 * only encoding of what it means.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/record.h"
#include "util/hash.h"

#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

static void decode(const uint8_t *data, size_t size)
{
	struct record rec;
	size_t len;
	void *again;

	record_init(&rec);
	if (record_from_bytes(&rec, data, size) == 0) {
		REQUIRE(memchr(rec.etag, '\0', sizeof(rec.etag)));
		REQUIRE(record_to_bytes(&rec, &again, &len) == 0);
		REQUIRE(len == size && memcmp(again, data, size) == 0);
		free(again);
	}
	record_release(&rec);
}

/* The layout is in model/record_internal.h: version, two bytes of check, then what is checked. */
static void decode_with_check(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size);
	uint64_t check;

	REQUIRE(copy);
	memcpy(copy, data, size);
	check = hash64(copy + 3, size - 3);
	copy[0] = 1;
	copy[1] = (uint8_t)check;
	copy[2] = (uint8_t)(check >> 8);
	decode(copy, size);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	decode(data, size);
	if (size > 3)
		decode_with_check(data, size);
	return 0;
}
