/* SPDX-License-Identifier: Apache-2.0 */
/* Which class a key belongs to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "config_fixture.h"
#include "model/key.h"

static void check(const char *pattern, const char *key, bool want)
{
	if (conf_pattern_matches(pattern, key) != want)
		fail_msg("%s %s %s", pattern, want ? "misses" : "matches", key);
}

/* Without wildcards, only the key itself. */
static void test_literal(void **state)
{
	check("a/b", "a/b", true);
	check("a/b", "a/bc", false);
	check("a/b", "a", false);
	check("a/b", "a/b/c", false);
}

/* A placeholder is at least one character and never crosses a slash. */
static void test_placeholder(void **state)
{
	check("t_{t}/frames/{v}/f_{n}.jpg", "t_acme/frames/v1/f_0001.jpg", true);
	check("t_{t}/frames/{v}/f_{n}.jpg", "t_/frames/v1/f_0001.jpg", false);
	check("t_{t}/frames/{v}/f_{n}.jpg", "t_a/x/frames/v1/f_1.jpg", false);
	check("{a}.{b}", "x.y.z", true);
	check("{a}.{b}", ".y", false);
	check("{a}", "a/b", false);
	check("{a}/{b}", "a/b", true);
}

/* A star may stand for nothing. */
static void test_star(void **state)
{
	check("a/*.json", "a/.json", true);
	check("a/*.json", "a/b.json", true);
	check("a/*.json", "a/b/c.json", false);
	check("*", "abc", true);
	check("*/b", "a/b", true);
}

/* Two stars cross slashes. */
static void test_double_star(void **state)
{
	check("static/**", "static/a", true);
	check("static/**", "static/a/b/c", true);
	check("static/**", "static", false);
	check("**/meta.json", "meta.json", true);
	check("**/meta.json", "a/b/meta.json", true);
	check("**/meta.json", "a/xmeta.json", false);
	check("a/**/z", "a/z", true);
	check("a/**/z", "a/b/c/z", true);
	check("a/**/z", "ab/z", false);
	check("**.tmp", "a/b.tmp", true);
}

/* Many wildcards against a long key take no time. */
static void test_no_blowup(void **state)
{
	char pattern[1024] = "", key[KEY_MAX + 1];

	for (size_t i = 0; i < 200; i++)
		memcpy(pattern + i * 4, "{x}*", 5);
	memset(key, 'a', KEY_MAX - 1);
	key[KEY_MAX - 1] = '/';
	key[KEY_MAX] = '\0';
	check(pattern, key, false);
	key[KEY_MAX - 1] = 'a';
	check(pattern, key, true);
}

/* The first class that matches holds. */
static void test_first_class(void **state)
{
	struct config_fixture f;
	struct config *c;

	config_fixture_init(&f);
	c = config_fixture_text(&f, "classes:\n"
				    "  - {name: one, match: [\"x/*\", \"a/{b}\"]}\n"
				    "  - {name: two, match: \"a/**\"}\n");
	assert_non_null(c);
	assert_string_equal(config_class(c, "a/b")->name, "one");
	assert_string_equal(config_class(c, "a/b/c")->name, "two");
	assert_null(config_class(c, "b"));
	config_free(c);
	config_fixture_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_literal),	  cmocka_unit_test(test_placeholder),
		cmocka_unit_test(test_star),	  cmocka_unit_test(test_double_star),
		cmocka_unit_test(test_no_blowup), cmocka_unit_test(test_first_class),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
