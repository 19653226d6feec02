/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes and durations as people write them, and the nearest word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "model/config.h"
#include "util/nearest.h"

static uint64_t size_of(const char *text)
{
	uint64_t v = 0;

	assert_int_equal(conf_parse_size(text, &v), 0);
	return v;
}

/* GB is 10^9, GiB is 2^30, and a fraction may stand in front. */
static void test_sizes(void **state)
{
	assert_int_equal(size_of("0"), 0);
	assert_int_equal(size_of("17"), 17);
	assert_int_equal(size_of("10GiB"), 10ULL << 30);
	assert_int_equal(size_of("2GB"), 2000000000);
	assert_int_equal(size_of("512MiB"), 512ULL << 20);
	assert_int_equal(size_of("1.5KiB"), 1536);
	assert_int_equal(size_of("1k"), 1024);
	assert_int_equal(size_of("3 MB"), 3000000);
	assert_int_equal(size_of("8191PiB"), 8191ULL << 50);
}

/* What is no size stays none, and nothing wraps around. */
static void test_wrong_sizes(void **state)
{
	static const char *const wrong[] = {"",
					    "GiB",
					    "-1",
					    "1..5",
					    "1.5.5",
					    "1Gib x",
					    "1 2",
					    "0x10",
					    "8192PiB",
					    "99999999999999999999999",
					    "1.0000000000001",
					    "1e3"};
	uint64_t v = 42;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (conf_parse_size(wrong[i], &v) == 0)
			fail_msg("\"%s\" is taken for %llu", wrong[i], (unsigned long long)v);
	assert_int_equal(v, 42);
}

static int64_t duration_of(const char *text)
{
	int64_t v = 0;

	assert_int_equal(conf_parse_duration_ms(text, &v), 0);
	return v;
}

/* A bare number is seconds. */
static void test_durations(void **state)
{
	assert_int_equal(duration_of("0"), 0);
	assert_int_equal(duration_of("60"), 60000);
	assert_int_equal(duration_of("60s"), 60000);
	assert_int_equal(duration_of("250ms"), 250);
	assert_int_equal(duration_of("1.5s"), 1500);
	assert_int_equal(duration_of("5m"), 300000);
	assert_int_equal(duration_of("12h"), 43200000);
	assert_int_equal(duration_of("7d"), 604800000);
	assert_int_equal(duration_of("never"), CONF_NEVER);
}

static void test_wrong_durations(void **state)
{
	static const char *const wrong[] = {"", "s", "-1s", "1 hour", "1S", "soon", "99999999999y"};
	int64_t v;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_true(conf_parse_duration_ms(wrong[i], &v) < 0);
}

static void assert_nearest(const char *word, const char *want)
{
	static const char *const candidates[] = {"passthrough", "list_ttl", "negative_ttl",
						 "max_size", "uid"};
	struct nearest n;

	nearest_init(&n, word);
	for (size_t i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++)
		nearest_offer(&n, candidates[i]);
	if (want)
		assert_string_equal(nearest_get(&n), want);
	else
		assert_null(nearest_get(&n));
}

/* Slips are found, what is far from everything is not. */
static void test_nearest(void **state)
{
	assert_nearest("pasthrough", "passthrough");
	assert_nearest("passthru", "passthrough");
	assert_nearest("list_tll", "list_ttl");
	assert_nearest("ilst_ttl", "list_ttl");
	assert_nearest("max", "max_size");
	assert_nearest("udi", "uid");
	assert_nearest("frobnicate", NULL);
	assert_nearest("", NULL);
	assert_nearest(
		"a-word-of-more-than-sixty-three-bytes-which-no-option-will-ever-be-as-long-as",
		NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),	  cmocka_unit_test(test_wrong_sizes),
		cmocka_unit_test(test_durations), cmocka_unit_test(test_wrong_durations),
		cmocka_unit_test(test_nearest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
