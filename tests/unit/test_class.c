/* SPDX-License-Identifier: Apache-2.0 */
/* Class patterns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "model/class.h"

static const struct {
	const char *pattern, *key;
	bool match;
} rows[] = {
	{"a/b", "a/b", true},
	{"a/b", "a/bc", false},
	{"a/*", "a/b", true},
	{"a/*", "a/b/c", false},
	{"a/{x}.jpg", "a/b.jpg", true},
	{"a/{x}.jpg", "a/.jpg", false},
	{"a/*.jpg", "a/.jpg", true},
	{"static/**", "static/a/b/c", true},
	{"static/**", "static/a", true},
	{"static/**", "other/a", false},
	{"**/metadata.json", "p/videos/v/metadata.json", true},
	{"**/metadata.json", "metadata.json", true},
	{"**/metadata.json", "a/metadata.jsonx", false},
	{"profile_{profile}/videos/{video_id}/metadata.json", "profile_x/videos/v1/metadata.json",
	 true},
	{"profile_{profile}/videos/{video_id}/metadata.json",
	 "profile_x/videos/v1/v2/metadata.json", false},
	{"frame_{n}_{m}.jpg", "frame_1_2_3.jpg", true},
	{"a/**/z/**", "a/b/z/c/z/d", true},
	{"{a}", "", false},
};

/* Each row of the table is answered as it says. */
static void the_table_holds(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (class_pattern_match(rows[i].pattern, rows[i].key) != rows[i].match)
			fail_msg("%s against %s", rows[i].pattern, rows[i].key);
}

/* A pattern made to be slow is not. */
static void no_pattern_is_exponential(void **state)
{
	char key[1001];

	(void)state;
	memset(key, 'a', sizeof(key) - 1);
	key[sizeof(key) - 1] = '\0';
	assert_false(class_pattern_match("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", key));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_holds),
		cmocka_unit_test(no_pattern_is_exponential),
	};

	return cmocka_run_group_tests_name("class", tests, NULL, NULL);
}
