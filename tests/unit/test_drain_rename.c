/* SPDX-License-Identifier: Apache-2.0 */
/* The drainer moves files and directories in the store. */
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

#include "drain_fixture.h"
#include "tiers/local.h"

#define MANY 3000

static void test_file_moves_in_the_store(void **state)
{
	struct drain_fixture *w = *state;
	char etag[ETAG_MAX];

	df_theirs(w, "a", "bytes", etag);
	jf_rename(&w->f, "a", "b", false, true);
	jf_put(&w->f, "b", "newer", jf_match(etag), false);
	df_fault(w, (struct fault_plan){.op = FAULT_DEL,
					.times = 1,
					.code = -EIO,
					.transient = true,
					.after_effect = true});
	df_start(w);
	df_flush(w);
	df_expect_stored(w, "a", NULL);
	df_expect_stored(w, "b", "newer");
	assert_int_equal(w->conflicts + df_conflicts(w), 0);
}

static void test_file_moves_through_us_without_copy(void **state)
{
	struct drain_fixture *w = *state;
	char etag[ETAG_MAX];
	struct record rec;

	w->store->caps.flags &= ~(unsigned int)TIER_CAP_COPY;
	df_theirs(w, "a", "bytes", etag);
	jf_rename(&w->f, "a", "b", false, true);
	df_start(w);
	df_flush(w);
	df_expect_stored(w, "a", NULL);
	df_expect_stored(w, "b", "bytes");
	rec = df_stored_record(w, "b");
	assert_int_equal(rec.mode, S_IFREG | 0644);
	record_release(&rec);
	assert_int_equal(fault_calls(w->store, FAULT_COPY), 0);
}

static void many_objects(struct drain_fixture *w, const char *dir, unsigned int n)
{
	char key[64], text[32], etag[ETAG_MAX];

	for (unsigned int i = 0; i < n; i++) {
		jf_text(key, sizeof(key), "%s/%u/%u", dir, i % 7, i);
		jf_text(text, sizeof(text), "text %u", i);
		df_theirs(w, key, text, etag);
	}
}

static void expect_many(struct drain_fixture *w, const char *dir, unsigned int n)
{
	char key[64], text[32];

	for (unsigned int i = 0; i < n; i += 97) {
		jf_text(key, sizeof(key), "%s/%u/%u", dir, i % 7, i);
		jf_text(text, sizeof(text), "text %u", i);
		df_expect_stored(w, key, text);
	}
}

static void test_directory_moves_with_its_markers(void **state)
{
	struct drain_fixture *w = *state;
	struct tier_call call = df_call_now();
	struct record rec;

	jf_change(&w->f, J_MKDIR, "d/empty", jf_absent());
	df_start(w);
	df_flush(w);
	many_objects(w, "d", 20);
	df_theirs(w, "dd", "beside", w->etag);
	jf_rename(&w->f, "d", "e", true, true);
	df_flush(w);
	assert_int_equal(df_count_below(w, "d/"), 0);
	assert_int_equal(df_count_below(w, "e/"), 21);
	expect_many(w, "e", 20);
	df_expect_stored(w, "dd", "beside");
	record_init(&rec);
	assert_int_equal(tier_head(w->mem, &call, "e/empty/", &rec), 0);
	assert_int_equal(rec.mode, S_IFDIR | 0755);
	record_release(&rec);
	assert_int_equal(w->moved, 20);
}

static void test_large_rename_is_interrupted_and_resumed(void **state)
{
	struct drain_fixture *w = *state;
	const struct fault_plan plans[] = {
		{.op = FAULT_COPY, .after = 500, .times = 1, .code = -EIO, .transient = true},
		{.op = FAULT_DEL,
		 .after = 400,
		 .times = 3,
		 .code = -EIO,
		 .transient = true,
		 .after_effect = true},
		{.op = FAULT_COPY,
		 .after = 300,
		 .times = 3,
		 .code = -EIO,
		 .transient = true,
		 .after_effect = true},
		{.op = FAULT_LIST, .times = 1, .code = -EIO, .transient = true},
		{.op = FAULT_DEL, .after = 200, .times = 1, .code = -EIO, .transient = true},
	};

	w->conf.retry_min_ns = 200 * NSEC_PER_MSEC; /* time to look between two tries */
	many_objects(w, "d", MANY);
	jf_rename(&w->f, "d", "e", true, true);
	df_start(w);
	for (size_t i = 0; i < sizeof(plans) / sizeof(*plans); i++) {
		df_fault(w, plans[i]);
		usleep(20000);
		df_restart(w);
	}
	df_fault(w, (struct fault_plan){.op = FAULT_LIST, .times = 1, .after = 1000000});
	df_flush(w);
	assert_int_equal(df_count_below(w, "d/"), 0);
	assert_int_equal(df_count_below(w, "e/"), MANY);
	expect_many(w, "e", MANY);
	assert_int_equal(w->conflicts + df_conflicts(w), 0);
}

static void test_their_object_at_the_target(void **state)
{
	struct drain_fixture *w = *state;
	char etag[ETAG_MAX];

	w->conf.conflict = CONFLICT_KEEP_BOTH;
	df_theirs(w, "d/a", "ours", etag);
	df_theirs(w, "d/b", "ours", etag);
	df_theirs(w, "e/a", "theirs", etag);
	jf_rename(&w->f, "d", "e", true, true);
	df_start(w);
	df_flush(w);
	df_expect_stored(w, "e/a", "theirs");
	df_expect_stored(w, "e/b", "ours");
	assert_int_equal(df_count_below(w, "d/"), 0);
	assert_int_equal(df_count_below(w, "e/"), 3);
	assert_int_equal(w->conflicts, 1);
}

static void test_writes_into_a_moving_directory_follow(void **state)
{
	struct drain_fixture *w = *state;
	char etag[ETAG_MAX];

	w->conf.conflict = CONFLICT_FIRST_WRITER; /* any conflict would show */
	df_theirs(w, "d/a", "old", etag);
	jf_put(&w->f, "d/a", "newer", jf_match(etag), false);
	jf_rename(&w->f, "d", "e", true, true);
	jf_rename(&w->f, "e", "f", true, true);
	jf_put(&w->f, "f/new", "x", jf_absent(), false);
	df_start(w);
	df_flush(w);
	df_expect_stored(w, "f/a", "newer");
	df_expect_stored(w, "f/new", "x");
	assert_int_equal(df_count_below(w, ""), 2);
	assert_int_equal(w->conflicts, 0);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, df_setup, df_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_file_moves_in_the_store),
		TEST(test_file_moves_through_us_without_copy),
		TEST(test_directory_moves_with_its_markers),
		TEST(test_large_rename_is_interrupted_and_resumed),
		TEST(test_their_object_at_the_target),
		TEST(test_writes_into_a_moving_directory_follow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
