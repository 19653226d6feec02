/* SPDX-License-Identifier: Apache-2.0 */
/* Class patterns and the tree that finds a key's class. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "model/class.h"
#include "naive_pattern.h"

static const struct {
	const char *pattern, *key;
	bool match;
} rows[] = {
	{"a/b", "a/b", true},
	{"a/b", "a/bc", false},
	{"a/*", "a/b", true},
	{"a/*", "a/b/c", false},
	{"a/{x1}.jpg", "a/b.jpg", true},
	{"a/{x1}.jpg", "a/.jpg", false},
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
	{"frame_{n:[0-9]+}.jpg", "frame_0042.jpg", true},
	{"frame_{n:[0-9]+}.jpg", "frame_42a.jpg", false},
	{"frame_{n:[0-9]+}.jpg", "frame_.jpg", false},
	{"{h:[0-9a-f]}", "a", true},
	{"{h:[0-9a-f]}", "aa", false},
	{"{h:[^.]+}.{ending}", "a.tar.gz", true},
	{"{h:[^.]+}.gz", "a.tar.gz", false},
	{"{p}/{a:keyframes|transcripts}/**", "p/transcripts/v.pkl", true},
	{"{p}/{a:keyframes|transcripts}/**", "p/transcript/v.pkl", false},
	{"{a:x|xy}z", "xyz", true},
	{"a\\{b\\*\\}\\\\", "a{b*}\\", true},
	{"{s:[0-9-]+}", "1-2", true},
	{"{s:[]x]+}", "x]x", true},
	{"segment_{segment_id}_start_{start_time}_end_{end_time}/frame_{n}.jpg",
	 "segment_0_start_0.0_end_6.0/frame_1.jpg", true},
};

static struct pattern *compile(const char *text)
{
	struct pattern *p = NULL;
	struct err err = {0};

	if (pattern_compile(text, &p, &err) < 0)
		fail_msg("%s", err.text);
	return p;
}

/* Each row of the table is answered as it says. */
static void the_table_holds(void **state)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pattern *p = compile(rows[i].pattern);

		if (pattern_match(p, rows[i].key, strlen(rows[i].key), NULL) != rows[i].match)
			fail_msg("%s against %s", rows[i].pattern, rows[i].key);
		pattern_free(p);
	}
}

static const struct {
	const char *pattern, *said;
} wrong[] = {
	{"", "empty parts"},
	{"/a", "empty parts"},
	{"a//b", "empty parts"},
	{"a/", "empty parts"},
	{"{}", "name is made of"},
	{"{a", "without a \"}\""},
	{"a}", "without a \"{\""},
	{"{a/b}", "without a \"}\""},
	{"{A}", "name is made of"},
	{"{a}{b}{a}", "twice"},
	{"a**", "a part of its own"},
	{"**a", "a part of its own"},
	{"***", "a part of its own"},
	{"{a:}", "empty"},
	{"{a:b|}", "empty"},
	{"{a:b/c}", "within one part"},
	{"{a:[0-9}", "without a \"]\""},
	{"{a:[9-0]+}", "goes wrong"},
	{"{a:[0-9]*}", "a + or the }"},
	{"a\\b", "\\ stands before"},
	{"{ttl}/x", "would hide user.cogfs.ttl"},
	{"{key}", "would hide"},
	{"{state:a|b}", "would hide"},
	{"{tier}", "would hide"},
	{"{tiers}", "would hide"},
	{"{class}", "would hide"},
	{"{format}", "would hide"},
	{"{etag}", "would hide"},
};

/* A pattern that means nothing is refused, and it is said why. */
static void wrong_patterns_are_refused(void **state)
{
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct pattern *p = NULL;
		struct err err = {0};

		assert_true(pattern_compile(wrong[i].pattern, &p, &err) < 0);
		if (!strstr(err.text, wrong[i].said))
			fail_msg("%s: said \"%s\"", wrong[i].pattern, err.text);
	}
}

/* Placeholders take the shortest text that lets the rest match. */
static void placeholders_are_shortest_first(void **state)
{
	static const char key[] = "p/segment_0_start_0.0_end_6.0/frame_1_2.jpg";
	struct pattern *p = compile(
		"{profile}/segment_{id}_start_{from}_end_{to}/frame_{a}_{b}.jpg");
	static const char *const want[] = {"p", "0", "0.0", "6.0", "1", "2"};
	struct pattern_span spans[PATTERN_NAMES_MAX];

	assert_true(pattern_match(p, key, strlen(key), spans));
	assert_int_equal(p->n_names, 6);
	for (unsigned int i = 0; i < p->n_names; i++) {
		assert_int_equal(spans[i].len, strlen(want[i]));
		assert_memory_equal(key + spans[i].off, want[i], spans[i].len);
	}
	pattern_free(p);
}

/* A pattern made to be slow is not. */
static void no_pattern_is_exponential(void **state)
{
	char key[1024], text[PATTERN_LEN_MAX] = "";
	struct pattern *p;
	clock_t start;

	for (unsigned int i = 0; i < 15; i++)
		snprintf(text + strlen(text), 64, "{%c:[a]+}", 'c' + (char)i);
	text[strlen(text)] = 'b';
	memset(key, 'a', sizeof(key));
	p = compile(text);
	start = clock();
	for (unsigned int i = 0; i < 1000; i++)
		assert_false(pattern_match(p, key, 255, NULL));
	pattern_free(p);
	p = compile("**/*a*a*a*a*a*b/**/*a*a*a*a*b/**/c");
	for (size_t i = 1; i < sizeof(key); i += 2)
		key[i] = '/';
	for (unsigned int i = 0; i < 1000; i++)
		assert_false(pattern_match(p, key, 1023, NULL));
	pattern_free(p);
	assert_true(clock() - start < 20 * CLOCKS_PER_SEC);
}

/* The compiled pattern and the plainest possible matcher agree, placeholders included. */
static void random_patterns_agree(void **state)
{
	struct naive_random rnd = {4};
	unsigned int matches = 0;

	for (unsigned int i = 0; i < 20000; i++) {
		struct pattern_span want[PATTERN_NAMES_MAX], got[PATTERN_NAMES_MAX];
		char text[256], key[256];
		struct pattern *p;

		naive_random_pattern(&rnd, text);
		p = compile(text);
		for (unsigned int k = 0; k < 8; k++) {
			bool yes;

			naive_random_key(&rnd, key);
			yes = naive_pattern_match(text, key, want);
			if (pattern_match(p, key, strlen(key), got) != yes)
				fail_msg("%s against %s: %s expected", text, key,
					 yes ? "yes" : "no");
			if (yes && memcmp(want, got, p->n_names * sizeof(got[0])) != 0)
				fail_msg("%s against %s: other placeholders", text, key);
			matches += yes;
		}
		pattern_free(p);
	}
	assert_true(matches > 2000);
}

#define MANY 40

/* Classes of random patterns: the tree finds the first of them that matches. */
static void random_sets_agree(void **state)
{
	struct naive_random rnd = {5};

	for (unsigned int i = 0; i < 200; i++) {
		struct conf_class classes[MANY] = {{0}};
		char texts[MANY][256], *lists[MANY][2] = {{0}}, key[256];
		struct class_set *set;
		struct err err = {0};

		for (unsigned int c = 0; c < MANY; c++) {
			naive_random_pattern(&rnd, texts[c]);
			lists[c][0] = texts[c];
			classes[c].name = (char *)"c";
			classes[c].match = lists[c];
			classes[c].next = c + 1 < MANY ? &classes[c + 1] : NULL;
		}
		assert_int_equal(class_set_new(classes, &set, &err), 0);
		for (unsigned int k = 0; k < 100; k++) {
			struct pattern_span spans[PATTERN_NAMES_MAX];
			struct class_hit hit = {.class = MANY};
			unsigned int first = 0;

			naive_random_key(&rnd, key);
			while (first < MANY && !naive_pattern_match(texts[first], key, spans))
				first++;
			class_match(set, key, strlen(key), &hit);
			if (hit.class != first)
				fail_msg("%s is in %s, not in %s", key,
					 first < MANY ? texts[first] : "none",
					 hit.class < MANY ? texts[hit.class] : "none");
			if (first < MANY)
				assert_memory_equal(spans, hit.spans,
						    hit.pattern->n_names * sizeof(spans[0]));
		}
		class_set_free(set);
	}
}

/* A hit says the placeholders by name. */
static void a_hit_has_its_placeholders(void **state)
{
	char *match[] = {(char *)"x",
			 (char *)"tenant_{tenant}/frames/{video_id}/frame_{timestamp}.jpg", NULL};
	struct conf_class class = {.name = (char *)"frames", .match = match};
	static const char key[] = "tenant_acme/frames/v1/frame_12.5.jpg";
	struct class_set *set;
	struct class_hit hit;
	const char *text;
	size_t len;

	assert_int_equal(class_set_new(&class, &set, NULL), 0);
	assert_true(class_match(set, key, strlen(key), &hit));
	assert_int_equal(hit.rule, 1);
	assert_true(class_hit_get(&hit, key, "timestamp", &text, &len));
	assert_int_equal(len, 4);
	assert_memory_equal(text, "12.5", 4);
	assert_false(class_hit_get(&hit, key, "nothing", &text, &len));
	class_set_free(set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_holds),
		cmocka_unit_test(wrong_patterns_are_refused),
		cmocka_unit_test(placeholders_are_shortest_first),
		cmocka_unit_test(no_pattern_is_exponential),
		cmocka_unit_test(random_patterns_agree),
		cmocka_unit_test(random_sets_agree),
		cmocka_unit_test(a_hit_has_its_placeholders),
	};

	return cmocka_run_group_tests_name("class", tests, NULL, NULL);
}
