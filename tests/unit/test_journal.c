/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal by hand: how changes meet, what stays through a restart, and what a damaged log
 * leaves.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal_fixture.h"

#define MATCH(etag) jf_match(etag)
#define ABSENT jf_absent()

/* --- how changes meet --- */

static void test_newer_put_takes_place_and_base(void **state)
{
	struct journal_fixture *f = *state;
	uint64_t old, other, put;

	old = jf_put(f, "a", "one", MATCH("e1"), false);
	other = jf_put(f, "b", "x", ABSENT, false);
	put = jf_put(f, "a", "two", MATCH("e9"), false);
	assert_true(put > other && other > old);
	jf_assert_line(f, "put:a put:b");
	jf_expect_base(f, "a", TIER_IF_MATCH, "e1");
	assert_false(jf_staged(f, 1));
	assert_true(jf_staged(f, 3));
	assert_int_equal(journal_release(f->j, old, NULL), -ENOENT);
}

static void test_held_put_stands_beside(void **state)
{
	struct journal_fixture *f = *state;
	uint64_t held;

	jf_put(f, "a", "one", MATCH("e1"), false);
	held = jf_put(f, "a", "two", MATCH("e1"), true);
	jf_assert_line(f, "put:a *put:a");
	assert_int_equal(journal_drop(f->j, held, true), 0);
	jf_assert_line(f, "put:a");
	assert_true(jf_staged(f, 1));
	assert_false(jf_staged(f, 2));
}

static void test_release_replaces_the_older_put(void **state)
{
	struct journal_fixture *f = *state;
	uint64_t held;

	jf_put(f, "a", "one", MATCH("e1"), false);
	held = jf_put(f, "a", "two", MATCH("e1"), true);
	assert_int_equal(journal_release(f->j, held, NULL), 0);
	jf_assert_line(f, "put:a");
	jf_expect_base(f, "a", TIER_IF_MATCH, "e1");
	assert_false(jf_staged(f, 1));
	assert_true(jf_staged(f, 2));
}

static void test_next_flush_of_a_writer_is_the_same_entry(void **state)
{
	struct journal_fixture *f = *state;
	uint64_t id = jf_stage(f, "12345"), first, second;
	struct jent e;

	first = jf_put_id(f, "a", id, 3, ABSENT, true);
	jf_put(f, "b", "x", ABSENT, false);
	second = jf_put_id(f, "a", id, 5, ABSENT, true);
	assert_int_equal(first, second);
	jf_assert_line(f, "*put:a put:b");
	e = jf_found(f, "a");
	assert_int_equal(e.size, 5);
	jent_release(&e);
	assert_true(jf_staged(f, id));
}

static void test_put_without_hold_ends_the_hold(void **state)
{
	struct journal_fixture *f = *state;
	uint64_t id = jf_stage(f, "12345");

	jf_put_id(f, "a", id, 3, MATCH("e1"), true);
	jf_put(f, "a", "second name", MATCH("e9"), false);
	jf_assert_line(f, "put:a");
	jf_expect_base(f, "a", TIER_IF_MATCH, "e1");
	assert_true(jf_staged(f, id)); /* the writer goes on with it */
}

static void test_put_and_delete_of_a_new_object_leave_nothing(void **state)
{
	struct journal_fixture *f = *state;

	jf_put(f, "tmp", "x", ABSENT, false);
	jf_change(f, J_DELETE, "tmp", ABSENT);
	jf_assert_line(f, "");
	assert_false(jf_staged(f, 1));
}

static void test_delete_of_a_stored_object_keeps_its_base(void **state)
{
	struct journal_fixture *f = *state;

	jf_put(f, "a", "x", MATCH("e1"), false);
	jf_change(f, J_DELETE, "a", ABSENT);
	jf_assert_line(f, "delete:a");
	jf_expect_base(f, "a", TIER_IF_MATCH, "e1");
	assert_false(jf_staged(f, 1));
}

static void test_put_after_delete_begins_from_the_deleted_version(void **state)
{
	struct journal_fixture *f = *state;

	jf_change(f, J_DELETE, "a", MATCH("e1"));
	jf_put(f, "a", "x", ABSENT, false);
	jf_assert_line(f, "put:a");
	jf_expect_base(f, "a", TIER_IF_MATCH, "e1");
}

static void test_tried_put_is_followed(void **state)
{
	struct journal_fixture *f = *state;
	struct jent *e;

	jf_put(f, "a", "one", ABSENT, false);
	e = jf_take(f);
	jf_put(f, "a", "two", ABSENT, false);
	jf_put(f, "a", "three", ABSENT, false);
	jf_assert_line(f, "put:a put:a");
	assert_null(jf_take(f));
	journal_retry(f->j, e, -EIO, 0);
	jf_finish_next(f, "e7");
	jf_assert_line(f, "put:a");
	jf_expect_base(f, "a", TIER_IF_MATCH, "e7");
}

static void test_given_up_leaves_the_base(void **state)
{
	struct journal_fixture *f = *state;
	struct jent *e;

	jf_put(f, "a", "one", MATCH("e1"), false);
	e = jf_take(f);
	jf_put(f, "a", "two", MATCH("e1"), false);
	assert_int_equal(journal_done(f->j, e, NULL, false), 0);
	jf_expect_base(f, "a", TIER_IF_MATCH, "e1");
}

static void test_put_behind_a_delete_under_way_is_new(void **state)
{
	struct journal_fixture *f = *state;
	struct jent *e;

	jf_change(f, J_DELETE, "a", MATCH("e1"));
	e = jf_take(f);
	jf_put(f, "a", "x", MATCH("e1"), false);
	assert_int_equal(journal_done(f->j, e, "", false), 0);
	jf_expect_base(f, "a", TIER_IF_ABSENT, "");
}

static void test_meta_merges_into_the_put(void **state)
{
	struct journal_fixture *f = *state;
	uint64_t put = jf_put(f, "a", "one", ABSENT, false);
	struct jent e;

	assert_int_equal(jf_meta(f, "a", S_IFREG | 0600, ABSENT), put);
	jf_assert_line(f, "put:a");
	e = jf_found(f, "a");
	assert_int_equal(e.rec.mode, S_IFREG | 0600);
	assert_int_equal(e.size, 3);
	jent_release(&e);
}

static void test_meta_is_absorbed_by_the_put_that_was_held(void **state)
{
	struct journal_fixture *f = *state;
	uint64_t held = jf_put(f, "a", "one", MATCH("e1"), true);
	struct jent e;

	jf_meta(f, "a", S_IFREG | 0600, MATCH("e1"));
	jf_assert_line(f, "*put:a meta:a");
	assert_int_equal(journal_release(f->j, held, NULL), 0);
	jf_assert_line(f, "put:a");
	e = jf_found(f, "a");
	assert_int_equal(e.rec.mode, S_IFREG | 0600);
	jent_release(&e);
}

static void test_directory_made_and_removed_leaves_nothing(void **state)
{
	struct journal_fixture *f = *state;

	jf_change(f, J_MKDIR, "d", ABSENT);
	jf_change(f, J_RMDIR, "d", ABSENT);
	jf_assert_line(f, "");
	jf_change(f, J_MKDIR, "d", (struct jbase){.cond = TIER_ANY}); /* its attributes changed */
	jf_change(f, J_RMDIR, "d", ABSENT);
	jf_assert_line(f, "rmdir:d");
}

/* --- order and time --- */

static void test_upload_delay_and_hurry(void **state)
{
	struct journal_fixture *f = *state;
	int64_t wake = 0;

	jf_close(f);
	f->conf.upload_delay_ns = NSEC_PER_SEC;
	jf_open(f);
	jf_put(f, "d/x", "1", ABSENT, false);
	assert_null(journal_take(f->j, &wake));
	assert_int_equal(wake, f->now_ns + NSEC_PER_SEC);
	journal_hurry(f->j, "e");
	assert_null(journal_take(f->j, &wake));
	journal_hurry(f->j, "d");
	assert_non_null(journal_take(f->j, &wake));
	jf_put(f, "e", "1", ABSENT, false);
	f->now_ns += NSEC_PER_SEC;
	assert_non_null(journal_take(f->j, &wake));
}

static void test_mark_waits_for_its_siblings(void **state)
{
	struct journal_fixture *f = *state;
	struct jent *frame, *mark;
	uint64_t held;

	jf_put(f, "v/frames/1", "1", ABSENT, false);
	held = jf_put(f, "v/frames/2", "1", ABSENT, true);
	jf_put(f, "w/other", "1", ABSENT, true);
	jf_mark(f, "v/metadata.json", "{}");
	frame = jf_take(f);
	assert_null(jf_take(f));
	assert_int_equal(journal_done(f->j, frame, "e", false), 0);
	assert_null(jf_take(f));
	assert_int_equal(journal_release(f->j, held, NULL), 0);
	/* A newer version of what it waits for is waited for as well. */
	jf_put(f, "v/frames/2", "2", ABSENT, false);
	frame = jf_take(f);
	assert_null(jf_take(f));
	jf_put(f, "v/frames/3", "1", ABSENT, true);
	assert_int_equal(journal_done(f->j, frame, "e", false), 0);
	mark = jf_take(f);
	assert_non_null(mark);
	assert_string_equal(mark->key, "v/metadata.json");
}

static void test_pending_knows_replaced_changes(void **state)
{
	struct journal_fixture *f = *state;
	uint64_t upto;

	jf_put(f, "d/x", "1", ABSENT, false);
	upto = journal_last_seq(f->j);
	assert_true(journal_pending(f->j, "", upto));
	assert_true(journal_pending(f->j, "d", upto));
	assert_false(journal_pending(f->j, "e", upto));
	jf_put(f, "d/x", "2", ABSENT, false);
	assert_true(journal_pending(f->j, "d/x", upto));
	jf_finish_next(f, "e1");
	assert_false(journal_pending(f->j, "", UINT64_MAX));
	jf_put(f, "d/h", "1", ABSENT, true);
	assert_false(journal_pending(f->j, "", UINT64_MAX));
	jf_rename(f, "d", "e", true, true);
	assert_true(journal_pending(f->j, "e/deep/below", UINT64_MAX));
}

static void test_stats_count(void **state)
{
	struct journal_fixture *f = *state;
	struct journal_stats s;
	int64_t then = f->now_ns;

	jf_put(f, "a", "123", ABSENT, false);
	f->now_ns += NSEC_PER_SEC;
	jf_put(f, "b", "12345", ABSENT, true);
	jf_change(f, J_DELETE, "c", MATCH("e"));
	journal_stats(f->j, &s);
	assert_int_equal(s.entries, 3);
	assert_int_equal(s.bytes, 8);
	assert_int_equal(s.held, 1);
	assert_int_equal(s.oldest_ns, then);
}

static void test_rebody_moves_the_bytes(void **state)
{
	struct journal_fixture *f = *state;
	uint64_t put = jf_put(f, "a", "123", ABSENT, false), copy = jf_stage(f, "123");

	assert_int_equal(journal_rebody(f->j, put, copy), 0);
	assert_int_equal(journal_rebody(f->j, put + 9, copy), -ENOENT);
	jf_reopen(f);
	assert_int_equal(f->report.lost_bodies, 0);
	jf_finish_next(f, "e");
	assert_true(jf_staged(f, 1)); /* the writer's */
	assert_false(jf_staged(f, copy));
}

static void test_bad_changes_are_refused(void **state)
{
	struct journal_fixture *f = *state;
	const char *const bad[] = {"", "/a", "a//b", "../x", ".cogfs/x"};
	struct jent e = {.op = J_DELETE};
	uint64_t seq;

	record_init(&e.rec);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		e.key = (char *)bad[i];
		assert_int_equal(journal_append(f->j, &e, false, &seq), -EINVAL);
	}
	e.op = J_RENAME;
	e.key = (char *)"a";
	e.to = (char *)"a/b";
	assert_int_equal(journal_append(f->j, &e, false, &seq), -EINVAL);
}

/* --- through a restart --- */

static void test_everything_is_there_after_a_restart(void **state)
{
	struct journal_fixture *f = *state;
	char *before, *after;
	uint64_t seq;

	jf_put(f, "a", "one", ABSENT, false);
	jf_take(f);
	jf_put(f, "a", "two", ABSENT, false);
	jf_put(f, "held", "x", MATCH("e\"1"), true);
	jf_change(f, J_MKDIR, "d", ABSENT);
	jf_rename(f, "p", "q", true, true);
	jf_mark(f, "d/m", "{}");
	jf_change(f, J_RMDIR, "gone", ABSENT);
	before = jf_dump(f->j, true);
	seq = journal_last_seq(f->j);
	for (int i = 0; i < 3; i++) {
		if (i == 1)
			assert_int_equal(journal_compact(f->j), 0);
		jf_reopen(f);
		after = jf_dump(f->j, true);
		assert_string_equal(before, after);
		free(after);
		assert_int_equal(journal_last_seq(f->j), seq);
		assert_int_equal(f->report.live, 7);
		assert_int_equal(f->report.torn, 0);
	}
	free(before);
	/* What was tried before is followed still. */
	jf_put(f, "a", "three", ABSENT, false);
	jf_finish_next(f, "e1");
	jf_expect_base(f, "a", TIER_IF_MATCH, "e1");
}

static void test_lost_bodies_were_never_there(void **state)
{
	struct journal_fixture *f = *state;

	jf_put(f, "a", "one", ABSENT, false);
	jf_put(f, "b", "two", ABSENT, false);
	jf_put(f, "c", "three", ABSENT, true);
	unlinkat(f->staging_fd, "0000000000000001", 0);
	for (int i = 2; i <= 3; i++) {
		char name[32];
		int fd;

		jf_text(name, sizeof(name), "%016x", (unsigned int)i);
		fd = openat(f->staging_fd, name, O_WRONLY | O_CLOEXEC);
		assert_int_equal(ftruncate(fd, 1), 0);
		close(fd);
	}
	jf_reopen(f);
	assert_int_equal(f->report.lost_bodies, 2);
	jf_assert_line(f, "*put:c");
	jf_reopen(f);
	assert_int_equal(f->report.lost_bodies, 0);
}

static void test_long_log_is_compacted(void **state)
{
	struct journal_fixture *f = *state;
	struct stat st;

	jf_close(f);
	f->conf.segment_size = 4096;
	jf_open(f);
	jf_put(f, "stays", "x", ABSENT, false);
	for (int i = 0; i < 400; i++) {
		jf_put_id(f, "a", 0, 0, ABSENT, false);
		jf_change(f, J_DELETE, "a", ABSENT);
	}
	assert_int_equal(journal_compact(f->j), 0);
	jf_reopen(f);
	jf_assert_line(f, "put:stays");
	for (int n = 1, logs = 0; n < 2000; n++) {
		char name[32];

		jf_text(name, sizeof(name), "log.%x", (unsigned int)n);
		if (fstatat(f->journal_fd, name, &st, 0) == 0) {
			assert_int_equal(++logs, 1);
			assert_true(st.st_size < 1024);
		}
	}
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, jf_setup_open, jf_teardown_free)
	const struct CMUnitTest tests[] = {
		TEST(test_newer_put_takes_place_and_base),
		TEST(test_held_put_stands_beside),
		TEST(test_release_replaces_the_older_put),
		TEST(test_next_flush_of_a_writer_is_the_same_entry),
		TEST(test_put_without_hold_ends_the_hold),
		TEST(test_put_and_delete_of_a_new_object_leave_nothing),
		TEST(test_delete_of_a_stored_object_keeps_its_base),
		TEST(test_put_after_delete_begins_from_the_deleted_version),
		TEST(test_tried_put_is_followed),
		TEST(test_given_up_leaves_the_base),
		TEST(test_put_behind_a_delete_under_way_is_new),
		TEST(test_meta_merges_into_the_put),
		TEST(test_meta_is_absorbed_by_the_put_that_was_held),
		TEST(test_directory_made_and_removed_leaves_nothing),
		TEST(test_upload_delay_and_hurry),
		TEST(test_mark_waits_for_its_siblings),
		TEST(test_pending_knows_replaced_changes),
		TEST(test_stats_count),
		TEST(test_rebody_moves_the_bytes),
		TEST(test_bad_changes_are_refused),
		TEST(test_everything_is_there_after_a_restart),
		TEST(test_lost_bodies_were_never_there),
		TEST(test_long_log_is_compacted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
