/* SPDX-License-Identifier: Apache-2.0 */
/* The record as bytes, for the journal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "model/record.h"
#include "random_record.h"
#include "util/cleanup.h"

/* Any record comes back equal, and its bytes are the same every time. */
static void test_random_round_trips(void **state)
{
	uint64_t rng = random_seed();

	for (int i = 0; i < 5000; i++) {
		CLEANUP_FREE void *bytes = NULL, *again = NULL;
		size_t len, len_again;
		struct record rec, back;

		record_init(&rec);
		record_init(&back);
		random_record(&rng, &rec);
		assert_int_equal(record_to_bytes(&rec, &bytes, &len), 0);
		assert_int_equal(record_from_bytes(&back, bytes, len), 0);
		assert_records_equal(&rec, &back, REC_ALL);
		assert_int_equal(record_to_bytes(&back, &again, &len_again), 0);
		assert_int_equal(len, len_again);
		assert_memory_equal(bytes, again, len);
		record_release(&rec);
		record_release(&back);
	}
}

/* Numbers at the ends of their ranges survive, sums of them included. */
static void test_extremes(void **state)
{
	static const int64_t ends[] = {INT64_MIN, INT64_MIN + 1, -1, 0, 1, INT64_MAX};

	for (size_t i = 0; i < 6 * 6 * 6; i++) {
		struct record back, rec = {
					    .known = REC_ALL,
					    .mode = 0xffff,
					    .uid = i % 2 ? UINT32_MAX : 0,
					    .gid = i % 3 ? 0 : UINT32_MAX,
					    .size = UINT64_MAX,
					    .mtime_ns = ends[i % 6],
					    .created_ns = ends[i % 6],
					    .ttl = ends[i / 6 % 6],
					    .expires_at = ends[i / 36],
				    };
		CLEANUP_FREE void *bytes = NULL;
		size_t len;

		record_init(&back);
		assert_int_equal(record_to_bytes(&rec, &bytes, &len), 0);
		assert_int_equal(record_from_bytes(&back, bytes, len), 0);
		assert_records_equal(&rec, &back, REC_ALL);
		record_release(&back);
	}
}

/* An etag is opaque: forms that are nearly S3's come back to the letter. */
static void test_etags(void **state)
{
	static const char *const etags[] = {
		"",
		"\"\"",
		"\"d41d8cd98f00b204e9800998ecf8427e\"",
		"\"D41D8CD98F00B204E9800998ECF8427E\"",
		"d41d8cd98f00b204e9800998ecf8427e",
		"\"d41d8cd98f00b204e9800998ecf8427e",
		"\"d41d8cd98f00b204e9800998ecf8427e-\"",
		"\"d41d8cd98f00b204e9800998ecf8427e-0\"",
		"\"d41d8cd98f00b204e9800998ecf8427e-1\"",
		"\"d41d8cd98f00b204e9800998ecf8427e-01\"",
		"\"d41d8cd98f00b204e9800998ecf8427e-10000\"",
		"\"d41d8cd98f00b204e9800998ecf8427e-99999\"",
		"\"d41d8cd98f00b204e9800998ecf8427e-100000\"",
		"\"d41d8cd98f00b204e9800998ecf8427e-1x\"",
		"\"d41d8cd98f00b204e9800998ecf8427e\"\"",
		"\"d41d8cd98f00b204e9800998ecf8427e1\"",
		"W/\"d41d8cd98f00b204e9800998ecf8427e\"",
		"0x8DC123456789ABC",
		"\xff\xfe",
	};

	for (size_t i = 0; i < sizeof(etags) / sizeof(etags[0]); i++) {
		struct record back, rec = {.known = REC_ETAG};
		CLEANUP_FREE void *bytes = NULL;
		size_t len;

		record_init(&back);
		memcpy(rec.etag, etags[i], strlen(etags[i]) + 1);
		assert_int_equal(record_to_bytes(&rec, &bytes, &len), 0);
		assert_int_equal(record_from_bytes(&back, bytes, len), 0);
		assert_string_equal(back.etag, etags[i]);
		record_release(&back);
	}
}

/* One wrong bit anywhere, or one byte less or more, is seen. */
static void test_damage_is_seen(void **state)
{
	struct record rec, back;
	CLEANUP_FREE unsigned char *bytes = NULL;
	uint64_t rng = 42;
	size_t len;

	record_init(&rec);
	record_init(&back);
	random_record(&rng, &rec);
	assert_int_equal(record_user_set(&rec, "plain", "value", 5, 0), 0);
	assert_int_equal(record_to_bytes(&rec, (void **)&bytes, &len), 0);
	for (size_t bit = 0; bit < 8 * len; bit++) {
		bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
		assert_int_equal(record_from_bytes(&back, bytes, len), -EBADMSG);
		bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
	}
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(record_from_bytes(&back, bytes, cut), -EBADMSG);
	bytes = realloc(bytes, len + 1);
	assert_non_null(bytes);
	bytes[len] = 0;
	assert_int_equal(record_from_bytes(&back, bytes, len + 1), -EBADMSG);
	assert_int_equal(record_from_bytes(&back, bytes, len), 0);
	record_release(&back);
	record_release(&rec);
}

/* How a store keeps the bytes is kept where it was said, and takes no byte where it was not. */
static void test_encoding(void **state)
{
	struct record back, rec = {.known = REC_SIZE, .size = 5, .encoding = "zstd"};
	CLEANUP_FREE void *bytes = NULL, *more = NULL;
	size_t len, len_more;

	record_init(&back);
	assert_int_equal(record_to_bytes(&rec, &bytes, &len), 0);
	assert_int_equal(record_from_bytes(&back, bytes, len), 0);
	assert_int_equal(back.known, REC_SIZE);
	assert_string_equal(back.encoding, "");
	rec.known |= REC_ENCODING;
	rec.plain_size = UINT64_MAX - 1;
	assert_int_equal(record_to_bytes(&rec, &more, &len_more), 0);
	assert_true(len_more > len);
	assert_int_equal(record_from_bytes(&back, more, len_more), 0);
	assert_int_equal(back.known, REC_SIZE | REC_ENCODING);
	assert_string_equal(back.encoding, "zstd");
	assert_true(back.plain_size == UINT64_MAX - 1);
	record_release(&back);
}

/* A failed decoding leaves the record that was there. */
static void test_failure_changes_nothing(void **state)
{
	struct record rec = {.known = REC_SIZE, .size = 7};

	assert_int_equal(record_user_set(&rec, "a", "x", 1, 0), 0);
	assert_int_equal(record_from_bytes(&rec, "\x01junk", 5), -EBADMSG);
	assert_int_equal(rec.size, 7);
	assert_non_null(record_user_get(&rec, "a"));
	record_release(&rec);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_round_trips),
		cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_etags),
		cmocka_unit_test(test_damage_is_seen),
		cmocka_unit_test(test_failure_changes_nothing),
		cmocka_unit_test(test_encoding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
