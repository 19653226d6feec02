/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A manifest as a bucket has it, which anybody may have put there. Its hash would keep a fuzzer
 * out, so besides the input itself it is tried with its hash put right. What is taken is safe to
 * use as it is, and is the only encoding of what it means.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tiers/manifest_codec.h"
#include "util/hash.h"

#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

static void use_entry(const struct manifest *m, const struct manifest_entry *e)
{
	struct record rec;
	bool found;
	size_t at = manifest_find(m->v, m->n, e->name, e->name_len, &found);

	REQUIRE(found && &m->v[at] == e);
	REQUIRE(key_part_check(e->name, e->name_len, m->dir[0] == '\0') == 0);
	record_init(&rec);
	if (manifest_record_decode(e, &rec) == 0) {
		REQUIRE(rec.known & REC_ETAG && !(rec.known & REC_SIZE));
		REQUIRE(!(rec.known & REC_MODE) || S_ISREG(rec.mode) || S_ISLNK(rec.mode));
		REQUIRE(memchr(rec.encoding, '\0', sizeof(rec.encoding)));
	}
	record_release(&rec);
}

static void decode(char *buf, size_t size)
{
	struct manifest *m;
	size_t len;
	char *again;

	if (manifest_decode(buf, size, &m))
		return;
	REQUIRE(m->dir[0] == '\0' || key_check(m->dir, strlen(m->dir)) == 0);
	REQUIRE(manifest_is_host(m->host, strlen(m->host)));
	for (size_t i = 0; i < m->n; i++)
		use_entry(m, &m->v[i]);
	REQUIRE(manifest_encode(m->host, m->dir, m->v, m->n, &again, &len) == 0);
	REQUIRE(len == m->len && memcmp(again, m->buf, len) == 0);
	free(again);
	manifest_free(m);
}

static char *copy_of(const uint8_t *data, size_t size)
{
	char *copy = malloc(size + 1);

	REQUIRE(copy);
	memcpy(copy, data, size);
	return copy;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *fixed;
	uint64_t hash;

	decode(copy_of(data, size), size);
	if (size < 8)
		return 0;
	fixed = copy_of(data, size);
	hash = hash64(fixed, size - 8);
	for (size_t i = 0; i < 8; i++)
		fixed[size - 8 + i] = (char)(hash >> (8 * i));
	decode(fixed, size);
	return 0;
}
