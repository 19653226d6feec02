/* SPDX-License-Identifier: Apache-2.0 */
/* Which keys are safe paths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/key.h"
#include "random_record.h"

#define CHECK(literal) key_check(literal, sizeof(literal) - 1)

/* Everything that a file system can name is a key, however odd it looks. */
static void test_safe_keys(void **state)
{
	assert_int_equal(CHECK("a"), 0);
	assert_int_equal(CHECK("tenant_a/frames/v1/frame_0001.jpg"), 0);
	assert_int_equal(CHECK("..."), 0);
	assert_int_equal(CHECK("..a/.b/c.."), 0);
	assert_int_equal(CHECK(" \n\t\x7f/\xff\xfe/a\\b:*?"), 0);
}

/* What would leave the tree, or name the same object twice, is refused. */
static void test_unsafe_keys(void **state)
{
	assert_int_equal(CHECK(""), -EINVAL);
	assert_int_equal(CHECK("/"), -EINVAL);
	assert_int_equal(CHECK("/a"), -EINVAL);
	assert_int_equal(CHECK("a/"), -EINVAL);
	assert_int_equal(CHECK("a//b"), -EINVAL);
	assert_int_equal(CHECK("."), -EINVAL);
	assert_int_equal(CHECK(".."), -EINVAL);
	assert_int_equal(CHECK("a/../b"), -EINVAL);
	assert_int_equal(CHECK("a/./b"), -EINVAL);
	assert_int_equal(CHECK("a/.."), -EINVAL);
	assert_int_equal(CHECK("a\0b"), -EINVAL);
	assert_int_equal(CHECK("a/\0"), -EINVAL);
}

/* The control directory's name is taken at the root, and only there. */
static void test_control_dir(void **state)
{
	assert_int_equal(CHECK(".cogfs"), -EINVAL);
	assert_int_equal(CHECK(".cogfs/stats.json"), -EINVAL);
	assert_int_equal(CHECK("a/.cogfs"), 0);
	assert_int_equal(CHECK(".cogfs2"), 0);
	assert_int_equal(key_part_check(".cogfs", 6, false), 0);
	assert_int_equal(key_part_check(".cogfs", 6, true), -EINVAL);
}

/* The limits of a part and of the whole are the last lengths that fit. */
static void test_lengths(void **state)
{
	char key[KEY_MAX + 2];

	memset(key, 'x', sizeof(key));
	assert_int_equal(key_check(key, KEY_PART_MAX), 0);
	assert_int_equal(key_check(key, KEY_PART_MAX + 1), -ENAMETOOLONG);
	for (size_t i = KEY_PART_MAX; i < sizeof(key); i += KEY_PART_MAX + 1)
		key[i] = '/';
	key[KEY_MAX - 2] = '/';
	key[KEY_MAX - 1] = 'y';
	assert_int_equal(key_check(key, KEY_MAX), 0);
	assert_int_equal(key_check(key, KEY_MAX + 1), -ENAMETOOLONG);
}

/* A part is no path. */
static void test_part_with_slash(void **state)
{
	assert_int_equal(key_part_check("a/b", 3, false), -EINVAL);
	assert_int_equal(key_part_check("", 0, false), -EINVAL);
}

/* "Below" goes by parts, not by bytes. */
static void test_below(void **state)
{
	assert_true(key_below("a/b", "a"));
	assert_true(key_below("a", "a"));
	assert_true(key_below("a", ""));
	assert_true(key_below("", ""));
	assert_false(key_below("ab", "a"));
	assert_false(key_below("a", "a/b"));
	assert_false(key_below("", "a"));
}

/* Joining to the root adds no slash. */
static void test_join(void **state)
{
	char *deep = key_join("a/b", "c"), *top = key_join("", "c");

	assert_string_equal(deep, "a/b/c");
	assert_string_equal(top, "c");
	free(deep);
	free(top);
}

/* Random bytes that key_check takes have only safe parts, whatever they are. */
static void test_random_keys(void **state)
{
	static const char alphabet[] = "..//ab\0\xff";
	uint64_t rng = random_seed();

	for (int round = 0; round < 100000; round++) {
		size_t len = random_next(&rng) % 12, safe = 0;
		char key[13];

		for (size_t i = 0; i < len; i++)
			key[i] = alphabet[random_next(&rng) % (sizeof(alphabet) - 1)];
		key[len] = '\0';
		if (key_check(key, len) == 0) {
			char *save, *copy = strdup(key);

			assert_int_equal(strlen(key), len);
			for (char *p = strtok_r(copy, "/", &save); p;
			     p = strtok_r(NULL, "/", &save)) {
				assert_string_not_equal(p, ".");
				assert_string_not_equal(p, "..");
				safe += strlen(p) + 1;
			}
			assert_int_equal(safe, len + 1);
			free(copy);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_safe_keys),
		cmocka_unit_test(test_unsafe_keys),
		cmocka_unit_test(test_control_dir),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_part_with_slash),
		cmocka_unit_test(test_below),
		cmocka_unit_test(test_join),
		cmocka_unit_test(test_random_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
