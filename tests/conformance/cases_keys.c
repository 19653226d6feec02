/* SPDX-License-Identifier: Apache-2.0 */
/* Keys: the odd ones come back as they are, the unsafe ones never reach a store. */
#include "cases.h"

#include <stdio.h>

#include "model/key.h"

/* Puts, reads, lists and deletes one key, alone in the store. */
static void must_hold(struct fixture *f, const char *key)
{
	char prefix[KEY_MAX + 2];
	char *slash;

	must_put(f, key, key);
	must_have(f, key, key);
	MUST_LIST(f, "", false, 0, key);
	snprintf(prefix, sizeof(prefix), "%s", key);
	slash = strrchr(prefix, '/');
	if (slash) {
		slash[1] = '\0';
		MUST_LIST(f, prefix, true, 0, key);
	}
	assert_int_equal(del_key(f, key, false, NULL), 0);
	assert_int_equal(head_code(f, key), -ENOENT);
}

static void odd_keys_are_kept_as_they_are(struct fixture *f)
{
	static const char *const keys[] = {
		"with space/and more ",
		" leading",
		"100%/%41%2f",
		"what?/a=b&c=d",
		"#/#fragment",
		"a+b/c d",
		"semi;colon,comma:colon",
		"quote\"s and 'those'",
		"<xml>/&amp;]]>",
		"[brackets]{braces}|pipe^",
		"tilde~/at@/dollar$/bang!/star*/(paren)",
		"equals=/x=y",
		"\xc3\xa4\xc3\xb6\xc3\xbc/\xe6\x97\xa5\xe6\x9c\xac",
		"a\xcc\x88 decomposed",
		"\xf0\x9f\x8e\xac/video",
		".hidden/..hidden/...",
		"x/.cogfs/y",
		".cogfs2",
		"-dash/--dash",
		"null",
		"trailing.",
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		must_hold(f, keys[i]);
}

static void control_characters_are_characters(struct fixture *f)
{
	if (has_quirk(f, QUIRK_NO_CONTROL_KEYS))
		return;
	must_hold(f, "line\nbreak/tab\there");
	must_hold(f, "cr\rlf\n");
	must_hold(f, "bell\x07/esc\x1b[0m");
	must_hold(f, "\x01");
	must_hold(f, "del\x7f");
}

static void the_longest_part_is_kept(struct fixture *f)
{
	char key[2 * KEY_PART_MAX + 2];

	if (has_quirk(f, QUIRK_NO_LONG_PARTS))
		return;
	memset(key, 'p', sizeof(key));
	key[KEY_PART_MAX] = '/';
	key[2 * KEY_PART_MAX + 1] = '\0';
	must_hold(f, key);
	must_hold(f, key + KEY_PART_MAX + 1);
}

static void the_longest_key_is_kept(struct fixture *f)
{
	uint32_t max = f->t->caps.max_key;
	char key[KEY_MAX + 1];

	assert_true(max > 0 && max <= KEY_MAX);
	for (uint32_t i = 0; i < max; i++)
		key[i] = i % 100 == 99 && i + 1 < max ? '/' : 'k';
	key[max] = '\0';
	must_hold(f, key);
}

static void unsafe_keys_are_refused(struct fixture *f)
{
	static const char *const keys[] = {
		"",
		"/",
		"/a",
		"a//b",
		"a/",
		"..",
		".",
		"a/../b",
		"a/./b",
		"../a",
		"a/..",
		".cogfs",
		".cogfs/config",
		".cogfs/tmp/x",
	};
	struct names names;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		struct got g;

		got_init(&g);
		assert_int_equal(put_text(f, keys[i], "x", NULL, NULL), -EINVAL);
		assert_int_equal(get_range(f, keys[i], 0, 1, NULL, &g), -EINVAL);
		assert_int_equal(del_key(f, keys[i], false, NULL), -EINVAL);
		if (strcmp(keys[i], "a/") != 0)
			assert_int_equal(head_code(f, keys[i]), -EINVAL);
		got_release(&g);
	}
	assert_int_equal(list_names(f, "", false, 0, &names), 0);
	assert_int_equal(names.n, 0);
	names_release(&names);
}

static void too_long_keys_are_refused(struct fixture *f)
{
	char part[KEY_PART_MAX + 2], key[KEY_MAX + 2];

	memset(part, 'p', sizeof(part));
	part[KEY_PART_MAX + 1] = '\0';
	assert_int_equal(put_text(f, part, "x", NULL, NULL), -ENAMETOOLONG);
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = i % 100 == 99 ? '/' : 'k';
	key[KEY_MAX + 1] = '\0';
	assert_int_equal(put_text(f, key, "x", NULL, NULL), -ENAMETOOLONG);
}

/* A bucket holds both "a" and "a/b", a directory refuses the second; either way nothing is lost. */
static void an_object_may_stand_in_the_way_of_a_prefix(struct fixture *f)
{
	int r;

	must_put(f, "a", "object");
	r = put_text(f, "a/b", "below", NULL, NULL);
	assert_true(r == 0 || r == -EINVAL);
	if (r == 0)
		must_have(f, "a/b", "below");
	must_have(f, "a", "object");
	assert_int_equal(del_key(f, "a", false, NULL), 0);
	assert_int_equal(head_code(f, "a/b"), r == 0 ? 0 : -ENOENT);
}

static void a_prefix_may_stand_in_the_way_of_an_object(struct fixture *f)
{
	int r;

	must_put(f, "a/b", "below");
	r = put_text(f, "a", "object", NULL, NULL);
	assert_true(r == 0 || r == -EINVAL);
	if (r == 0)
		must_have(f, "a", "object");
	must_have(f, "a/b", "below");
}

static void a_name_changes_from_object_to_prefix_and_back(struct fixture *f)
{
	must_put(f, "a", "object");
	assert_int_equal(del_key(f, "a", false, NULL), 0);
	must_put(f, "a/b", "below");
	assert_int_equal(del_key(f, "a/b", false, NULL), 0);
	must_put(f, "a", "object again");
	must_have(f, "a", "object again");
	MUST_LIST(f, "", false, 0, "a");
}

static void a_marker_may_stand_in_the_way_of_an_object(struct fixture *f)
{
	int r;

	if (has_quirk(f, QUIRK_NO_TWIN_MARKER))
		return;
	assert_int_equal(put_marker(f, "d", NULL, NULL), 0);
	r = put_text(f, "d", "object", NULL, NULL);
	assert_true(r == 0 || r == -EINVAL);
	assert_int_equal(head_code(f, "d/"), 0);
	assert_int_equal(head_code(f, "d"), r == 0 ? 0 : -ENOENT);
}

const struct conformance_case cases_keys[] = {
	{"odd keys are kept as they are", odd_keys_are_kept_as_they_are},
	{"control characters are characters", control_characters_are_characters},
	{"the longest part is kept", the_longest_part_is_kept},
	{"the longest key is kept", the_longest_key_is_kept},
	{"unsafe keys are refused", unsafe_keys_are_refused},
	{"too long keys are refused", too_long_keys_are_refused},
	{"an object may stand in the way of a prefix", an_object_may_stand_in_the_way_of_a_prefix},
	{"a prefix may stand in the way of an object", a_prefix_may_stand_in_the_way_of_an_object},
	{"a name changes from object to prefix and back",
	 a_name_changes_from_object_to_prefix_and_back},
	{"a marker may stand in the way of an object", a_marker_may_stand_in_the_way_of_an_object},
	{NULL, NULL},
};
