/* SPDX-License-Identifier: Apache-2.0 */
/* Random records for round trips, and what it means that two are equal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "random_record.h"
#include "util/clock.h"

uint64_t random_seed(void)
{
	const char *given = getenv("COGFS_TEST_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)clock_wall(&clock_system);

	printf("seed: COGFS_TEST_SEED=%llu\n", (unsigned long long)seed);
	return seed | 1;
}

/* xorshift64* */
uint64_t random_next(uint64_t *rng)
{
	*rng ^= *rng >> 12;
	*rng ^= *rng << 25;
	*rng ^= *rng >> 27;
	return *rng * UINT64_C(2685821657736338717);
}

static bool coin(uint64_t *rng)
{
	return random_next(rng) >> 63;
}

/* Small numbers are as likely as large ones. */
static uint64_t any_size(uint64_t *rng)
{
	unsigned int bits = random_next(rng) % 64;

	return random_next(rng) >> bits;
}

/* A time that ISO 8601 and metadata can say: 1970 to 2200. */
static int64_t any_time(uint64_t *rng)
{
	return (int64_t)(random_next(rng) % (UINT64_C(7258118400) * 1000000000));
}

static char *any_string(uint64_t *rng, size_t max, bool printable)
{
	size_t len = 1 + random_next(rng) % max;
	char *s = malloc(len + 1);

	assert_non_null(s);
	for (size_t i = 0; i < len; i++)
		s[i] = (char)(printable ? ' ' + random_next(rng) % 95 : 1 + random_next(rng) % 255);
	s[len] = '\0';
	return s;
}

static void any_etag(uint64_t *rng, char etag[ETAG_MAX])
{
	struct xxh3 hash = xxh3_of(rng, sizeof(*rng));
	char hex[XXH3_HEX_LEN + 1];
	char *text;

	xxh3_hex(&hash, hex);
	switch (random_next(rng) % 5) {
	case 0:
		snprintf(etag, ETAG_MAX, "\"%s\"", hex);
		return;
	case 1:
		snprintf(etag, ETAG_MAX, "\"%s-%u\"", hex,
			 (unsigned int)(random_next(rng) % 20000));
		return;
	case 2:
		snprintf(etag, ETAG_MAX, "%s", hex);
		return;
	case 3:
		snprintf(etag, ETAG_MAX, "\"%.31sG\"", hex);
		return;
	default:
		text = any_string(rng, ETAG_MAX - 1, false);
		snprintf(etag, ETAG_MAX, "%s", text);
		free(text);
	}
}

static void any_xattrs(uint64_t *rng, struct record *rec)
{
	static const char *const names[] = {"plain", "with-dash",  "Upper", "mode",
					    "ttl",   "cogfs_x",	   "a.b",   "\xc3\xa4",
					    "empty", "x0123456789"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		bool printable = coin(rng);
		char *value;

		if (coin(rng))
			continue;
		value = any_string(rng, 60, printable);
		assert_int_equal(record_user_set(rec, names[i], value,
						 strcmp(names[i], "empty") ? strlen(value) : 0, 0),
				 0);
		free(value);
	}
}

void random_record(uint64_t *rng, struct record *rec)
{
	static const mode_t types[] = {S_IFREG, S_IFREG, S_IFDIR, S_IFLNK};

	rec->known = (uint32_t)random_next(rng) & REC_ALL;
	rec->mode = types[random_next(rng) % 4] | (mode_t)(random_next(rng) & 07777);
	rec->uid = (uid_t)any_size(rng);
	rec->gid = (gid_t)any_size(rng);
	rec->size = any_size(rng);
	rec->mtime_ns = any_time(rng);
	rec->created_ns = any_time(rng);
	rec->ttl = (int64_t)(any_size(rng) >> 20);
	rec->expires_at = coin(rng) ? 0 : rec->created_ns / NSEC_PER_SEC + rec->ttl;
	rec->xxh3 = xxh3_of(rng, sizeof(*rng));
	if (rec->known & REC_ETAG)
		any_etag(rng, rec->etag);
	if (rec->known & REC_USER) {
		rec->format = coin(rng) ? any_string(rng, 8, coin(rng)) : NULL;
		rec->cache_key = coin(rng) ? any_string(rng, 60, coin(rng)) : NULL;
		any_xattrs(rng, rec);
	}
	if ((rec->known & REC_MODE) && S_ISLNK(rec->mode))
		rec->symlink = any_string(rng, 60, coin(rng));
}

static void assert_strings_equal(const char *a, const char *b)
{
	assert_int_equal(a == NULL, b == NULL);
	if (a)
		assert_string_equal(a, b);
}

static void assert_xattrs_equal(const struct record_xattr *a, const struct record_xattr *b)
{
	for (; a && b; a = a->next, b = b->next) {
		assert_string_equal(a->name, b->name);
		assert_int_equal(a->value_len, b->value_len);
		assert_memory_equal(a->value, b->value, a->value_len);
	}
	assert_null(a);
	assert_null(b);
}

void assert_records_equal(const struct record *a, const struct record *b, uint32_t fields)
{
	uint32_t both = a->known & fields;

	assert_int_equal(a->known & fields, b->known & fields);
	if (both & REC_SIZE)
		assert_int_equal(a->size, b->size);
	if (both & REC_MTIME)
		assert_int_equal(a->mtime_ns, b->mtime_ns);
	if (both & REC_MODE) {
		assert_int_equal(a->mode, b->mode);
		assert_strings_equal(a->symlink, b->symlink);
	}
	if (both & REC_OWNER) {
		assert_int_equal(a->uid, b->uid);
		assert_int_equal(a->gid, b->gid);
	}
	if (both & REC_EXPIRES) {
		assert_int_equal(a->expires_at, b->expires_at);
		assert_int_equal(a->ttl, b->ttl);
	}
	if (both & REC_CREATED)
		assert_int_equal(a->created_ns, b->created_ns);
	if (both & REC_XXH3)
		assert_memory_equal(&a->xxh3, &b->xxh3, sizeof(a->xxh3));
	if (both & REC_ETAG)
		assert_string_equal(a->etag, b->etag);
	if (both & REC_USER) {
		assert_strings_equal(a->format, b->format);
		assert_strings_equal(a->cache_key, b->cache_key);
		assert_xattrs_equal(a->user, b->user);
	}
}
