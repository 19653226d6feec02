/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns that can never match are found, and no others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "config_fixture.h"
#include "model/class_check.h"
#include "naive_pattern.h"

#define PATTERNS 4

static struct class_set *make(const char *const patterns[PATTERNS])
{
	char *list[PATTERNS + 1] = {NULL};
	struct conf_class class = {.name = (char *)"c", .match = list};
	struct class_set *set = NULL;
	struct err err = {0};

	for (unsigned int i = 0; i < PATTERNS && patterns[i]; i++)
		list[i] = (char *)patterns[i];
	if (class_set_new(&class, &set, &err) < 0)
		fail_msg("%s", err.text);
	return set;
}

/* by: the pattern that shadows the last one; the number of them: all together; -1: it is reached;
 * -2: it has no key. */
static const struct {
	const char *patterns[PATTERNS];
	int by;
} rows[] = {
	{{"a/b"}, -1},
	{{"a/b", "a/b"}, 0},
	{{"a/*", "a/b"}, 0},
	{{"a/b", "a/*"}, -1},
	{{"**", "a/b/c"}, 0},
	{{"a/**", "a"}, 0},
	{{"a/**", "b", "a/{x1}/c"}, 0},
	{{"a/*/**", "a"}, -1},
	{{"a/*/**", "a/{x1}"}, 0},
	{{"{x1}/{y1}", "*/*"}, 0},
	{{"{x1}", "*"}, 0},
	{{"frame_{n}.jpg", "frame_{n:[0-9]+}.jpg"}, 0},
	{{"frame_{n:[0-9]+}.jpg", "frame_{n}.jpg"}, -1},
	{{"frame_{n:[0-9]+}.jpg", "frame_{n:[3-5]}.jpg"}, 0},
	{{"{a:x|y}/**", "{b:y|x}/{c}/d"}, 0},
	{{"{a:x|y}/**", "{b:y|x|z}/{c}/d"}, -1},
	{{"{a:[0-4]}", "{a:[5-9]}", "{a:[0-9]}"}, 3},
	{{"x/**", "{a:[^x]}{b}/**", "{a:[^x]}/**", "{a}/{b}"}, -1},
	{{"x/**", "x{b}/**", "{a:[^x]}/**", "{a:[^x]}{b}/**"}, -1},
	{{"*a*/**", "{x1}a{y1}/z"}, 0},
	{{"**/b", "a/**/b"}, 0},
	{{"a/**/b", "**/b"}, -1},
	{{"**/**", "**"}, 0},
	{{"**/*", "a/**/b/**"}, 0},
	{{"**/a/**", "b/{x1}/a"}, 0},
	{{"../x"}, -2},
	{{"a/./b"}, -2},
	{{".cogfs/x"}, -2},
	{{"a/.cogfs"}, -1},
	{{"{x1:.|..}/a"}, -2},
	{{"{x1:.|..|...}/a"}, -1},
	{{".c{x1}"}, -1},
	{{".cogf{x1:s}/**"}, -2},
	{{"{a:[.]+}", ".."}, -2},
	{{"{a:[.]+}", "..."}, 0},
};

/* Each row's last pattern is what the row says. */
static void the_table_holds(void **state)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct class_set *set = make(rows[i].patterns);
		unsigned int last = class_set_rules(set) - 1, by = ~0U;
		enum class_reach reach, want = rows[i].by == -1	  ? CLASS_REACHED
					       : rows[i].by == -2 ? CLASS_NO_KEY
								  : CLASS_SHADOWED;

		assert_int_equal(class_set_reach(set, last, &reach, &by), 0);
		if (reach != want || (want == CLASS_SHADOWED && by != (unsigned int)rows[i].by))
			fail_msg("\"%s\" behind \"%s\": %d by %u", rows[i].patterns[last],
				 rows[i].patterns[0], (int)reach, by);
		class_set_free(set);
	}
}

static void random_set(struct naive_random *rnd, char texts[PATTERNS][256],
		       const char *patterns[PATTERNS])
{
	for (unsigned int i = 0; i < PATTERNS; i++) {
		naive_random_pattern(rnd, texts[i]);
		patterns[i] = texts[i];
	}
}

/* No key is ever found for a pattern that is said to have none. */
static void what_is_reported_is_so(void **state)
{
	struct naive_random rnd = {7};
	unsigned int reported = 0;

	for (unsigned int i = 0; i < 1000; i++) {
		char texts[PATTERNS][256], key[256];
		const char *patterns[PATTERNS];
		bool never[PATTERNS];
		struct class_set *set;

		random_set(&rnd, texts, patterns);
		set = make(patterns);
		for (unsigned int r = 0; r < PATTERNS; r++) {
			enum class_reach reach;
			unsigned int by;

			assert_int_equal(class_set_reach(set, r, &reach, &by), 0);
			never[r] = reach != CLASS_REACHED;
			reported += never[r];
		}
		for (unsigned int k = 0; k < 200; k++) {
			struct class_hit hit;

			naive_random_key(&rnd, key);
			if (class_match(set, key, strlen(key), &hit) && never[hit.rule])
				fail_msg("%s matches %s", key, hit.pattern->text);
		}
		class_set_free(set);
	}
	assert_true(reported > 100);
}

/* The loader warns, by name, and of classes that nothing keeps. */
static void the_loader_warns(void **state)
{
	struct config_fixture f;
	struct config *c;

	config_fixture_init(&f);
	c = config_fixture_text(&f, "cache_dir: /c\n"
				    "tiers: [{type: ram}, {type: disk, enabled: off}, "
				    "{type: dir, path: /x}]\n"
				    "classes:\n"
				    "  - {name: all, match: \"a/**\"}\n"
				    "  - {name: part, match: [\"a/b\", \"c/d\", \"./e\"]}\n"
				    "  - {name: light, match: e, tiers: [ram, disk]}\n"
				    "  - {name: nothing, match: f, tiers: [disk]}\n");
	if (!c)
		fail_msg("%s", f.err.text);
	assert_non_null(c->warnings);
	assert_string_equal(c->warnings[0],
			    "class part: pattern \"a/b\" never matches: \"a/**\" of "
			    "class all takes all of its paths");
	assert_string_equal(c->warnings[1],
			    "class part: pattern \"./e\" never matches: there is no such path");
	assert_non_null(strstr(c->warnings[2], "class light: neither a disk nor a store"));
	assert_non_null(strstr(c->warnings[3], "class nothing: all of its tiers are off"));
	assert_null(c->warnings[4]);
	config_free(c);
	config_fixture_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_holds),
		cmocka_unit_test(what_is_reported_is_so),
		cmocka_unit_test(the_loader_warns),
	};

	return cmocka_run_group_tests_name("class_check", tests, NULL, NULL);
}
