/* SPDX-License-Identifier: Apache-2.0 */
/* Sidecars: what seed 003 writes, what others might, and what becomes of a record. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/sidecar.h"
#include "util/clock.h"

#define NOW 1700000000

static void parse(const char *text, struct sidecar *ret)
{
	struct err err = {0};

	if (sidecar_parse(text, strlen(text), ret, &err))
		fail_msg("%s: %s", text, err.text);
}

/* "Metadata Files" of the seed, as it is there. */
static void test_seeds_example(void **state)
{
	struct sidecar s;
	struct record rec;

	(void)state;
	record_init(&rec);
	parse("{\n"
	      "    \"key\": \"profile:video:abc123:transcript\",\n"
	      "    \"created_at\": 1696723200.0,\n"
	      "    \"expires_at\": 1697328000.0,\n"
	      "    \"ttl\": 604800,\n"
	      "    \"size_bytes\": 15234,\n"
	      "    \"format\": \"pickle\"\n"
	      "}",
	      &s);
	assert_int_equal(sidecar_apply(&s, NOW, &rec), 0);
	assert_string_equal(rec.cache_key, "profile:video:abc123:transcript");
	assert_int_equal(rec.created_ns, 1696723200 * NSEC_PER_SEC);
	assert_int_equal(rec.expires_at, 1697328000);
	assert_int_equal(rec.ttl, 604800);
	assert_string_equal(rec.format, "pickle");
	assert_int_equal(rec.size, 0);
	assert_int_equal(rec.known, REC_CREATED | REC_EXPIRES | REC_USER);
	sidecar_release(&s);
	record_release(&rec);
}

static void test_lives(void **state)
{
	static const struct {
		const char *text;
		int64_t expires_at, ttl;
	} rows[] = {
		{"{\"expires_at\": null, \"ttl\": null}", 0, 0},
		{"{\"ttl\": null}", 0, 0},
		{"{\"ttl\": 60}", NOW + 60, 60},
		{"{\"ttl\": 60.9}", NOW + 60, 60},
		{"{\"ttl\": 60, \"created_at\": 1000.5}", 1060, 60},
		{"{\"ttl\": -1}", NOW - 1, 1},
		{"{\"ttl\": -1, \"expires_at\": 1699999999.25}", 1699999999, 1},
		{"{\"expires_at\": 1700000060.75}", NOW + 60, 60},
		{"{\"expires_at\": 1700000060, \"created_at\": 1699999060}", NOW + 60, 1000},
		{"{\"expires_at\": \"2023-11-14T22:14:20\"}", NOW + 60, 60},
		{"{\"expires_at\": \"2023-11-14T22:14:20.5Z\"}", NOW + 60, 60},
		{"{\"expires_at\": \"2023-11-14T23:14:20+01:00\"}", NOW + 60, 60},
		{"{\"expires_at\": \"1700000060.5\"}", NOW + 60, 60},
		{"{\"expires_at\": 0}", 1, 1}, /* long ago, not never */
		{"{\"expires_at\": -5.5, \"ttl\": 9}", 1, 9},
		{"{\"expires_at\": null, \"ttl\": 60}", 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sidecar s;
		struct record rec;

		record_init(&rec);
		parse(rows[i].text, &s);
		assert_int_equal(sidecar_apply(&s, NOW, &rec), 0);
		if (rec.expires_at != rows[i].expires_at || rec.ttl != rows[i].ttl)
			fail_msg("%s: %ld %ld", rows[i].text, (long)rec.expires_at, (long)rec.ttl);
		assert_true(rec.known & REC_EXPIRES);
		sidecar_release(&s);
		record_release(&rec);
	}
}

/* Members that make no sense change nothing. */
static void test_senseless(void **state)
{
	static const char *const texts[] = {
		"{}",
		"{\"ttl\": \"60\"}",
		"{\"ttl\": true, \"expires_at\": [], \"created_at\": {}, \"key\": 7, \"format\": "
		"null}",
		"{\"ttl\": 1e300, \"expires_at\": -1e300, \"created_at\": 1e19}",
		"{\"ttl\": 9223372036854775807, \"expires_at\": 9223372036854775807}",
		"{\"expires_at\": \"tomorrow\", \"created_at\": \"\"}",
		"{\"key\": \"\", \"format\": \"\"}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct sidecar s;
		struct record rec;

		record_init(&rec);
		parse(texts[i], &s);
		if (s.has)
			fail_msg("%s: has %#x", texts[i], s.has);
		assert_int_equal(sidecar_apply(&s, NOW, &rec), 0);
		assert_int_equal(rec.known, 0);
		record_release(&rec);
	}
}

static void test_no_sidecar(void **state)
{
	static const char *const texts[] = {
		"",
		"null",
		"[]",
		"\"x\"",
		"{",
		"{} {}",
		"{\"ttl\": NaN}",
		"{\"key\": \"\\u0000\"}",
		"{\"key\": \"\xff\"}",
		"\x80\x04\x95",
	};
	char *large = malloc(SIDECAR_MAX + 1);
	struct sidecar s = {.ttl = 7};
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		err.text[0] = '\0';
		assert_int_equal(sidecar_parse(texts[i], strlen(texts[i]), &s, &err), -EINVAL);
		assert_true(err.text[0]);
		assert_int_equal(s.ttl, 7);
	}
	memset(large, ' ', SIDECAR_MAX + 1);
	memcpy(large, "{}", 2);
	assert_int_equal(sidecar_parse(large, SIDECAR_MAX + 1, &s, NULL), -EINVAL);
	assert_int_equal(sidecar_parse(large, SIDECAR_MAX, &s, NULL), 0);
	free(large);
}

/* What the store's metadata has no room for is left out, and what was there stays. */
static void test_too_long(void **state)
{
	struct sidecar s = {.has = SIDECAR_KEY | SIDECAR_FORMAT};
	struct record rec;
	char value[1200];

	(void)state;
	memset(value, 'v', sizeof(value));
	record_init(&rec);
	rec.cache_key = strdup("old");
	assert_int_equal(record_user_set(&rec, "note", value, sizeof(value), 0), 0);
	s.key = strndup(value, 1000);
	s.format = strdup("pickle");
	assert_int_equal(sidecar_apply(&s, NOW, &rec), 0);
	assert_string_equal(rec.cache_key, "old");
	assert_string_equal(rec.format, "pickle");
	assert_int_equal(record_user_remove(&rec, "note"), 0);
	assert_int_equal(sidecar_apply(&s, NOW, &rec), 0);
	assert_string_equal(rec.cache_key, s.key);
	sidecar_release(&s);
	record_release(&rec);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_seeds_example), cmocka_unit_test(test_lives),
		cmocka_unit_test(test_senseless),     cmocka_unit_test(test_no_sidecar),
		cmocka_unit_test(test_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
