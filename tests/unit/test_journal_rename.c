/* SPDX-License-Identifier: Apache-2.0 */
/* Renames in the journal, by hand: what is re-keyed, and what is left to do in the store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "journal_fixture.h"

#define MATCH(etag) jf_match(etag)
#define ABSENT jf_absent()

static void test_temporary_name_never_reaches_the_store(void **state)
{
	struct journal_fixture *f = *state;
	uint64_t put = jf_put(f, "a.tmp", "x", ABSENT, false);
	struct jent e;

	jf_rename(f, "a.tmp", "a", false, false);
	jf_assert_line(f, "put:a");
	e = jf_found(f, "a");
	assert_int_equal(e.seq, put);
	assert_int_equal(e.base.cond, TIER_IF_ABSENT);
	jent_release(&e);
}

static void test_rename_over_a_file_begins_from_that_file(void **state)
{
	struct journal_fixture *f = *state;
	struct jent change = {
		.op = J_RENAME, .key = (char *)"a.tmp", .to = (char *)"a", .base = MATCH("e1")};
	uint64_t seq;

	record_init(&change.rec);
	jf_put(f, "a.tmp", "x", ABSENT, false);
	assert_int_equal(journal_append(f->j, &change, false, &seq), 0);
	jf_assert_line(f, "put:a");
	jf_expect_base(f, "a", TIER_IF_MATCH, "e1");
}

static void test_rename_over_a_dirty_file_drops_it(void **state)
{
	struct journal_fixture *f = *state;

	jf_put(f, "a", "old", MATCH("e1"), false);
	jf_put(f, "a.tmp", "new", ABSENT, false);
	jf_rename(f, "a.tmp", "a", false, false);
	jf_assert_line(f, "put:a");
	jf_expect_base(f, "a", TIER_IF_MATCH, "e1");
	assert_false(jf_staged(f, 1));
	assert_true(jf_staged(f, 2));
}

static void test_rename_of_a_held_file_keeps_the_hold(void **state)
{
	struct journal_fixture *f = *state;
	uint64_t held = jf_put(f, "log", "x", ABSENT, true);

	jf_rename(f, "log", "log.1", false, false);
	jf_assert_line(f, "*put:log.1");
	assert_int_equal(journal_release(f->j, held, NULL), 0);
	jf_assert_line(f, "put:log.1");
}

static void test_rename_of_a_changed_file_deletes_the_old_name(void **state)
{
	struct journal_fixture *f = *state;

	jf_put(f, "a", "x", MATCH("e1"), false);
	jf_rename(f, "a", "b", false, true);
	jf_assert_line(f, "put:b delete:a");
	jf_expect_base(f, "b", TIER_IF_ABSENT, "");
	jf_expect_base(f, "a", TIER_IF_MATCH, "e1");
}

static void test_rename_behind_an_upload_moves_in_the_store(void **state)
{
	struct journal_fixture *f = *state;
	struct jent *e;

	jf_put(f, "a", "x", ABSENT, false);
	e = jf_take(f);
	jf_rename(f, "a", "b", false, false);
	jf_assert_line(f, "put:a rename:a>b");
	assert_null(jf_take(f));
	assert_int_equal(journal_done(f->j, e, "e1", false), 0);
	jf_finish_next(f, "e2");
	jf_assert_line(f, "");
}

static void test_write_behind_a_moving_file_begins_from_the_copy(void **state)
{
	struct journal_fixture *f = *state;
	struct jent *e;

	jf_rename(f, "a", "b", false, true);
	jf_put(f, "b", "x", MATCH("e1"), false);
	e = jf_take(f);
	assert_int_equal(e->op, J_RENAME);
	assert_int_equal(journal_moved(f->j, e, "b", "e1", "e2"), 0);
	jf_expect_base(f, "b", TIER_IF_MATCH, "e2");
	assert_int_equal(journal_done(f->j, e, "e2", false), 0);
	jf_expect_base(f, "b", TIER_IF_MATCH, "e2");
}

static void test_directory_rename_takes_its_tree_along(void **state)
{
	struct journal_fixture *f = *state;

	jf_change(f, J_MKDIR, "d", ABSENT);
	jf_put(f, "d/x", "1", ABSENT, false);
	jf_put(f, "dx", "2", ABSENT, false);
	jf_put(f, "d/s/y", "3", ABSENT, false);
	jf_rename(f, "d", "e", true, false);
	jf_assert_line(f, "mkdir:e put:e/x put:dx put:e/s/y");
}

static void test_directory_rename_in_the_store_comes_first(void **state)
{
	struct journal_fixture *f = *state;
	struct jent *e;

	jf_put(f, "d/x", "1", MATCH("e1"), false);
	jf_change(f, J_DELETE, "d/gone", MATCH("e3"));
	jf_rename(f, "d", "e", true, true);
	jf_assert_line(f, "delete:d/gone rename:d>e put:e/x");
	jf_finish_next(f, "");
	e = jf_take(f);
	assert_int_equal(e->op, J_RENAME);
	assert_null(jf_take(f));
	assert_int_equal(journal_moved(f->j, e, "e/x", "e1", "e2"), 0);
	assert_int_equal(journal_done(f->j, e, "", false), 0);
	jf_expect_base(f, "e/x", TIER_IF_MATCH, "e2");
}

static void expect_names(struct journal_fixture *f, const char *key, const char *expected)
{
	struct jnames names;
	size_t at = 0;

	assert_int_equal(journal_names(f->j, key, &names), 0);
	for (size_t i = 0; i < names.n; i++) {
		size_t len = strcspn(expected + at, " ");

		assert_int_equal(strlen(names.v[i]), len);
		assert_memory_equal(names.v[i], expected + at, len);
		at += len + (expected[at + len] == ' ');
	}
	assert_int_equal(at, strlen(expected));
	jnames_release(&names);
}

static void expect_gone(struct journal_fixture *f, const char *key)
{
	struct jnames names;

	assert_int_equal(journal_names(f->j, key, &names), -ENOENT);
	assert_int_equal(names.n, 0);
}

static void test_names_of_an_object_are_told_in_the_order_of_its_renames(void **state)
{
	struct journal_fixture *f = *state;

	expect_names(f, "c/x", "c/x");
	jf_rename(f, "a", "b", true, true);
	jf_rename(f, "b/s", "c", true, true);
	expect_names(f, "c/x", "a/s/x b/s/x c/x");
	expect_gone(f, "a/s/x");
	expect_gone(f, "b/s/x");
	expect_names(f, "bx", "bx");
	jf_rename(f, "c", "a", true, true);
	expect_names(f, "a/x", "a/s/x b/s/x c/x a/x");
}

static void test_names_know_what_was_deleted_and_made_on_the_way(void **state)
{
	struct journal_fixture *f = *state;

	jf_rename(f, "a", "b", true, true);
	jf_change(f, J_DELETE, "b/x", jf_match("e1"));
	jf_rename(f, "b", "a", true, true);
	expect_gone(f, "a/x"); /* deleted under a name that it had in between */
	expect_names(f, "a/y", "a/y b/y a/y");
	jf_put(f, "a/x", "new", ABSENT, false);
	expect_names(f, "a/x", "b/x a/x");
	jf_put(f, "b", "new", ABSENT, false);
	expect_names(f, "b", "b");
	expect_gone(f, "b/y");
}

static void test_bytes_are_found_under_the_name_that_they_were_put_at(void **state)
{
	struct journal_fixture *f = *state;
	uint64_t seq = 0, put = jf_put(f, "d/a", "1", ABSENT, false), id;

	jf_take(f); /* so that it keeps its name */
	id = journal_bytes(f->j, "d/a", &seq);
	assert_int_equal(seq, put);
	assert_int_not_equal(id, 0);
	jf_rename(f, "d/a", "d/b", false, true);
	jf_rename(f, "d", "e", true, true);
	assert_int_equal(journal_bytes(f->j, "e/b", NULL), id);
	assert_int_equal(journal_bytes(f->j, "d/a", NULL), 0);
	jf_meta(f, "e/b", 0600, (struct jbase){.cond = TIER_ANY});
	assert_int_equal(journal_bytes(f->j, "e/b", NULL), id);
	jf_change(f, J_DELETE, "e/b", (struct jbase){.cond = TIER_ANY});
	assert_int_equal(journal_bytes(f->j, "e/b", NULL), 0);
}

static void test_bytes_of_who_took_the_name_since_are_not_taken_for_ours(void **state)
{
	struct journal_fixture *f = *state;

	jf_put(f, "x", "theirs", ABSENT, false); /* older, but renamed behind ours */
	jf_rename(f, "a", "b", false, true);
	jf_rename(f, "x", "a", false, true);
	assert_int_equal(journal_bytes(f->j, "b", NULL), 0);
	assert_int_not_equal(journal_bytes(f->j, "a", NULL), 0);
}

static void test_name_now_follows_renames_and_knows_what_is_gone(void **state)
{
	struct journal_fixture *f = *state;
	struct jent *a, *b;
	char *now = NULL;

	jf_put(f, "d/a", "1", ABSENT, false);
	jf_put(f, "d/b", "1", ABSENT, false);
	a = jf_take(f);
	b = jf_take(f);
	jf_rename(f, "d", "e", true, true);
	jf_rename(f, "x", "e/b", false, true);
	assert_int_equal(journal_name_now(f->j, a, "d/a", &now), 0);
	assert_string_equal(now, "e/a");
	free(now);
	assert_int_equal(journal_name_now(f->j, b, "d/b", &now), -ENOENT);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, jf_setup_open, jf_teardown_free)
	const struct CMUnitTest tests[] = {
		TEST(test_temporary_name_never_reaches_the_store),
		TEST(test_rename_over_a_file_begins_from_that_file),
		TEST(test_rename_over_a_dirty_file_drops_it),
		TEST(test_rename_of_a_held_file_keeps_the_hold),
		TEST(test_rename_of_a_changed_file_deletes_the_old_name),
		TEST(test_rename_behind_an_upload_moves_in_the_store),
		TEST(test_write_behind_a_moving_file_begins_from_the_copy),
		TEST(test_directory_rename_takes_its_tree_along),
		TEST(test_directory_rename_in_the_store_comes_first),
		TEST(test_names_of_an_object_are_told_in_the_order_of_its_renames),
		TEST(test_names_know_what_was_deleted_and_made_on_the_way),
		TEST(test_bytes_are_found_under_the_name_that_they_were_put_at),
		TEST(test_bytes_of_who_took_the_name_since_are_not_taken_for_ours),
		TEST(test_name_now_follows_renames_and_knows_what_is_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
