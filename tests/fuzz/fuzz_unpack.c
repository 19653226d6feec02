/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A packed object as a bucket has it: two bytes say what its metadata claims, the rest is the
 * object, which comes in two pieces. What is unpacked never goes beyond what was claimed, and comes
 * in order.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "tiers/zstd_codec.h"
#include "util/list.h"

#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

struct counter {
	struct tier_sink sink;
	uint64_t next, end;
};

static int begin(struct tier_sink *sink, const struct record *rec)
{
	(void)sink, (void)rec;
	return 0;
}

static int take(struct tier_sink *sink, const void *buf, size_t len, uint64_t off)
{
	struct counter *c = container_of(sink, struct counter, sink);

	(void)buf;
	REQUIRE(len > 0 && off == c->next && len <= c->end - off);
	c->next += len;
	return 0;
}

static void unpack(const uint8_t *data, size_t size, uint64_t claimed, uint64_t off, uint64_t end)
{
	const struct tier t = {.clock = &clock_system};
	const struct tier_call call = {0};
	struct counter c = {.sink = {.begin = begin, .write = take}, .next = off, .end = end};
	const struct unpack_conf conf = {
		.t = &t, .call = &call, .size = claimed, .off = off, .end = end, .out = &c.sink};
	bool by_sink = false;
	struct unpack *u;
	int r;

	REQUIRE(unpack_new(&conf, &u) == 0);
	r = unpack_feed(u, data, size / 2, &by_sink);
	if (r == 0)
		r = unpack_feed(u, data + size / 2, size - size / 2, &by_sink);
	REQUIRE(!by_sink && (r == 0 || r == UNPACK_ENOUGH || r == -EIO));
	if (r == 0 && unpack_end(u) == 0)
		REQUIRE(c.next == (end < claimed ? end : claimed) || off >= claimed);
	if (r == UNPACK_ENOUGH)
		REQUIRE(c.next == end);
	unpack_free(u);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t claimed;

	if (size < 2)
		return 0;
	claimed = (uint64_t)data[0] * 251 + data[1];
	unpack(data + 2, size - 2, claimed, 0, claimed);
	unpack(data + 2, size - 2, claimed, claimed / 3, claimed / 2);
	return 0;
}
