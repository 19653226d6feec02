/* SPDX-License-Identifier: Apache-2.0 */
/* list: order, prefixes, pages; and markers, which are mostly there to be listed. */
#include "cases.h"

#include <stdio.h>

#define KEY_LEN 64

static void an_empty_store_lists_nothing(struct fixture *f)
{
	struct names names;

	assert_int_equal(list_names(f, "", false, 0, &names), 0);
	assert_int_equal(names.n, 0);
	assert_int_equal(names.pages, 1);
	names_release(&names);
	assert_int_equal(list_names(f, "no/such/", true, 0, &names), 0);
	assert_int_equal(names.n, 0);
	names_release(&names);
}

static void put_sample(struct fixture *f)
{
	const char *keys[] = {"a0",    "a/b", "a.b", "a-b", "b/c/d",
			      "b/c/e", "b/f", "z",   "B",   "\xc3\xa4"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		must_put(f, keys[i], keys[i]);
}

static void names_come_in_byte_order(struct fixture *f)
{
	put_sample(f);
	MUST_LIST(f, "", false, 0, "B", "a-b", "a.b", "a/b", "a0", "b/c/d", "b/c/e", "b/f", "z",
		  "\xc3\xa4");
}

static void a_delimiter_shows_one_level(struct fixture *f)
{
	put_sample(f);
	MUST_LIST(f, "", true, 0, "B", "a-b", "a.b", "a/", "a0", "b/", "z", "\xc3\xa4");
	MUST_LIST(f, "b/", true, 0, "b/c/", "b/f");
	MUST_LIST(f, "b/c/", true, 0, "b/c/d", "b/c/e");
}

static void a_prefix_is_compared_by_bytes(struct fixture *f)
{
	put_sample(f);
	MUST_LIST(f, "b/", false, 0, "b/c/d", "b/c/e", "b/f");
	MUST_LIST(f, "a", false, 0, "a-b", "a.b", "a/b", "a0");
	MUST_LIST(f, "a", true, 0, "a-b", "a.b", "a/", "a0");
	MUST_LIST(f, "b/c/e", false, 0, "b/c/e");
	MUST_LIST(f, "b/c", true, 0, "b/c/");
}

static void pages_lose_and_repeat_nothing(struct fixture *f)
{
	static const unsigned int sizes[] = {1, 2, 3, 4, 7, 9, 10, 11, 1000};

	put_sample(f);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		MUST_LIST(f, "", false, sizes[i], "B", "a-b", "a.b", "a/b", "a0", "b/c/d", "b/c/e",
			  "b/f", "z", "\xc3\xa4");
		MUST_LIST(f, "", true, sizes[i], "B", "a-b", "a.b", "a/", "a0", "b/", "z",
			  "\xc3\xa4");
		MUST_LIST(f, "b/", false, sizes[i], "b/c/d", "b/c/e", "b/f");
		MUST_LIST(f, "b/", true, sizes[i], "b/c/", "b/f");
	}
}

static void a_page_holds_no_more_than_asked_for(struct fixture *f)
{
	struct names names;

	put_sample(f);
	assert_int_equal(list_names(f, "", false, 3, &names), 0);
	assert_int_equal(names.n, 10);
	assert_true(names.pages >= 4);
	names_release(&names);
}

static void many_names_are_all_told(struct fixture *f)
{
	struct names names;
	char key[64];

	for (int i = 0; i < 250; i++) {
		snprintf(key, sizeof(key), "many/%03d", i);
		must_put(f, key, "");
	}
	assert_int_equal(list_names(f, "many/", true, 100, &names), 0);
	assert_int_equal(names.n, 250);
	for (size_t i = 0; i < names.n; i++) {
		snprintf(key, sizeof(key), "many/%03zu", i);
		assert_string_equal(names.v[i], key);
	}
	names_release(&names);
}

static int keep_last(void *arg, const struct tier_entry *entry)
{
	snprintf(arg, KEY_LEN, "%s", entry->key);
	return 0;
}

static void a_name_that_goes_between_pages_disturbs_nothing(struct fixture *f)
{
	struct tier_list_req req = {.prefix = "", .max = 2};
	struct tier_call call = {0};
	char *token = NULL, *end = NULL;
	char last[KEY_LEN];

	must_put(f, "a", "");
	must_put(f, "b", "");
	must_put(f, "c", "");
	assert_int_equal(tier_list(f->t, &call, &req, keep_last, last, &token), 0);
	assert_string_equal(last, "b");
	assert_non_null(token);
	/* The very name that the page ended with. */
	assert_int_equal(del_key(f, "b", false, NULL), 0);
	req.token = token;
	assert_int_equal(tier_list(f->t, &call, &req, keep_last, last, &end), 0);
	assert_string_equal(last, "c");
	assert_null(end);
	free(token);
}

static int count_and_stop(void *arg, const struct tier_entry *entry)
{
	unsigned int *n = arg;

	return ++*n == 2 ? 7 : 0;
}

static void the_callback_ends_the_listing_with_its_value(struct fixture *f)
{
	struct tier_list_req req = {.prefix = ""};
	struct tier_call call = {0};
	char *token = NULL;
	unsigned int n = 0;

	put_sample(f);
	assert_int_equal(tier_list(f->t, &call, &req, count_and_stop, &n, &token), 7);
	assert_int_equal(n, 2);
	assert_null(token);
	assert_false(call.transient);
}

static int check_prefix_entry(void *arg, const struct tier_entry *entry)
{
	if (!entry->prefix || entry->rec->known)
		return -EBADMSG;
	++*(unsigned int *)arg;
	return 0;
}

static void of_a_prefix_nothing_is_known(struct fixture *f)
{
	struct tier_list_req req = {.prefix = "", .delimiter = true};
	struct tier_call call = {0};
	char *token = NULL;
	unsigned int n = 0;

	must_put(f, "d/x", "");
	must_put(f, "e/x", "");
	assert_int_equal(tier_list(f->t, &call, &req, check_prefix_entry, &n, &token), 0);
	assert_int_equal(n, 2);
}

static void a_prefix_goes_with_its_last_object(struct fixture *f)
{
	struct names names;

	must_put(f, "d/e/x", "");
	must_put(f, "d/e/y", "");
	must_put(f, "q", "");
	assert_int_equal(del_key(f, "d/e/x", false, NULL), 0);
	MUST_LIST(f, "", true, 0, "d/", "q");
	assert_int_equal(del_key(f, "d/e/y", false, NULL), 0);
	MUST_LIST(f, "", true, 0, "q");
	assert_int_equal(list_names(f, "d/", true, 0, &names), 0);
	assert_int_equal(names.n, 0);
	names_release(&names);
}

/* --- markers --- */

static void a_marker_keeps_its_directory(struct fixture *f)
{
	char etag[ETAG_MAX];

	assert_int_equal(put_marker(f, "d/e", NULL, etag), 0);
	MUST_LIST(f, "", true, 0, "d/");
	MUST_LIST(f, "d/", true, 0, "d/e/");
	MUST_LIST(f, "d/e/", true, 0, "d/e/!");
	MUST_LIST(f, "", false, 0, "d/e/!");
	must_put(f, "d/e/x", "");
	MUST_LIST(f, "d/e/", true, 0, "d/e/!", "d/e/x");
	assert_int_equal(del_key(f, "d/e/x", false, NULL), 0);
	MUST_LIST(f, "d/e/", true, 0, "d/e/!");
	assert_int_equal(del_key(f, "d/e", true, etag), 0);
	assert_int_equal(head_code(f, "d/e/"), -ENOENT);
}

static void markers_are_paged_like_names(struct fixture *f)
{
	assert_int_equal(put_marker(f, "d", NULL, NULL), 0);
	assert_int_equal(put_marker(f, "d/e", NULL, NULL), 0);
	must_put(f, "d/a", "");
	must_put(f, "d/e/x", "");
	must_put(f, "d-", "");
	for (unsigned int max = 1; max < 7; max++) {
		MUST_LIST(f, "", false, max, "d-", "d/!", "d/a", "d/e/!", "d/e/x");
		MUST_LIST(f, "d/", true, max, "d/!", "d/a", "d/e/");
	}
}

static void a_marker_has_a_record(struct fixture *f)
{
	struct tier_call call = {0};
	struct record rec, now;

	record_init(&rec);
	rec.known = REC_MODE | REC_OWNER | REC_MTIME | REC_USER;
	rec.mode = S_IFDIR | 0750;
	rec.uid = 1000;
	rec.gid = 100;
	rec.mtime_ns = 1600000000LL * NSEC_PER_SEC + 5;
	assert_int_equal(record_user_set(&rec, "note", "x", 1, 0), 0);
	assert_int_equal(put_empty(f, "d", &rec, NULL, NULL), 0);
	must_put(f, "d/later", "x"); /* which is no reason to forget any of it */
	record_init(&now);
	assert_int_equal(tier_head(f->t, &call, "d/", &now), 0);
	assert_int_equal(now.mode, S_IFDIR | 0750);
	assert_int_equal(now.uid, 1000);
	assert_int_equal(now.mtime_ns, rec.mtime_ns);
	assert_non_null(record_user_get(&now, "note"));
	record_release(&now);
	record_release(&rec);
}

static void the_marker_goes_and_the_objects_stay(struct fixture *f)
{
	assert_int_equal(put_marker(f, "d", NULL, NULL), 0);
	must_put(f, "d/x", "x");
	assert_int_equal(del_key(f, "d", true, NULL), 0);
	MUST_LIST(f, "", false, 0, "d/x");
	assert_int_equal(head_code(f, "d/"), -ENOENT);
	must_have(f, "d/x", "x");
}

static void a_marker_is_no_object(struct fixture *f)
{
	assert_int_equal(put_marker(f, "d", NULL, NULL), 0);
	assert_int_equal(head_code(f, "d/"), 0);
	assert_int_equal(head_code(f, "d"), -ENOENT);
	assert_int_equal(del_key(f, "d", false, NULL), 0);
	assert_int_equal(head_code(f, "d/"), 0);
}

const struct conformance_case cases_list[] = {
	{"an empty store lists nothing", an_empty_store_lists_nothing},
	{"names come in byte order", names_come_in_byte_order},
	{"a delimiter shows one level", a_delimiter_shows_one_level},
	{"a prefix is compared by bytes", a_prefix_is_compared_by_bytes},
	{"pages lose and repeat nothing", pages_lose_and_repeat_nothing},
	{"a page holds no more than asked for", a_page_holds_no_more_than_asked_for},
	{"many names are all told", many_names_are_all_told},
	{"a name that goes between pages disturbs nothing",
	 a_name_that_goes_between_pages_disturbs_nothing},
	{"the callback ends the listing with its value",
	 the_callback_ends_the_listing_with_its_value},
	{"of a prefix nothing is known", of_a_prefix_nothing_is_known},
	{"a prefix goes with its last object", a_prefix_goes_with_its_last_object},
	{"a marker keeps its directory", a_marker_keeps_its_directory},
	{"markers are paged like names", markers_are_paged_like_names},
	{"a marker has a record", a_marker_has_a_record},
	{"the marker goes and the objects stay", the_marker_goes_and_the_objects_stay},
	{"a marker is no object", a_marker_is_no_object},
	{NULL, NULL},
};
