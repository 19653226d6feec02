/* SPDX-License-Identifier: Apache-2.0 */
/* The drainer meets what another host ("theirs") did, under each policy. */
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

static int first_conflict_name(void *arg, const struct tier_entry *entry)
{
	if (strstr(entry->key, ".conflict-"))
		jf_text(arg, 512, "%s", entry->key);
	return 0;
}

static void conflict_setup(struct drain_fixture *w, enum conflict_policy policy)
{
	char etag[ETAG_MAX];

	w->conf.conflict = policy;
	df_theirs(w, "a", "base", etag);
	jf_put(&w->f, "a", "ours", jf_match(etag), false);
	df_theirs(w, "a", "theirs", etag);
	df_start(w);
	df_flush(w);
}

static void test_last_writer_wins(void **state)
{
	struct drain_fixture *w = *state;

	conflict_setup(w, CONFLICT_LAST_WRITER);
	df_expect_stored(w, "a", "ours");
	assert_int_equal(w->conflicts, 0);
	assert_int_equal(df_conflicts(w), 1);
	assert_true(w->etag[0] != '\0');
}

static void test_first_writer_stays(void **state)
{
	struct drain_fixture *w = *state;

	conflict_setup(w, CONFLICT_FIRST_WRITER);
	df_expect_stored(w, "a", "theirs");
	assert_int_equal(w->conflicts, 1);
	assert_string_equal(w->etag, "");
	jf_assert_line(&w->f, "");
}

static void test_both_are_kept(void **state)
{
	struct drain_fixture *w = *state;
	struct tier_list_req req = {.prefix = ""};
	struct tier_call call = df_call_now();
	char name[512] = "", *token = NULL;

	conflict_setup(w, CONFLICT_KEEP_BOTH);
	df_expect_stored(w, "a", "theirs");
	assert_int_equal(w->conflicts, 1);
	assert_int_equal(tier_list(w->mem, &call, &req, first_conflict_name, name, &token), 0);
	assert_memory_equal(name, "a.conflict-", 11);
	df_expect_stored(w, name, "ours");
	assert_int_equal(df_count_below(w, ""), 2);
}

static void test_equal_bytes_are_no_conflict(void **state)
{
	struct drain_fixture *w = *state;
	char etag[ETAG_MAX];

	w->conf.conflict = CONFLICT_FIRST_WRITER;
	df_theirs(w, "a", "same", etag);
	jf_put(&w->f, "a", "same", jf_absent(), false);
	df_start(w);
	df_flush(w);
	assert_int_equal(w->conflicts + df_conflicts(w), 0);
	assert_string_equal(w->etag, etag);
}

static void test_what_they_deleted_is_put_anew(void **state)
{
	struct drain_fixture *w = *state;

	w->conf.conflict = CONFLICT_FIRST_WRITER;
	jf_put(&w->f, "a", "ours", jf_match("\"gone\""), false);
	df_start(w);
	df_flush(w);
	df_expect_stored(w, "a", "ours");
}

static void test_delete_meets_their_version(void **state)
{
	struct drain_fixture *w = *state;
	char etag[ETAG_MAX];

	df_theirs(w, "a", "base", etag);
	jf_change(&w->f, J_DELETE, "a", jf_match(etag));
	df_theirs(w, "a", "theirs", etag);
	w->conf.conflict = CONFLICT_FIRST_WRITER;
	df_start(w);
	df_flush(w);
	df_expect_stored(w, "a", "theirs");
	df_stop(w);
	jf_change(&w->f, J_DELETE, "a", jf_match("\"stale\""));
	w->conf.conflict = CONFLICT_LAST_WRITER;
	df_start(w);
	df_flush(w);
	df_expect_stored(w, "a", NULL);
}

static void test_metadata_does_not_go_onto_other_bytes(void **state)
{
	struct drain_fixture *w = *state;
	char etag[ETAG_MAX];
	struct record rec;

	df_theirs(w, "a", "theirs", etag);
	jf_meta(&w->f, "a", S_IFREG | 0600, jf_match("\"stale\""));
	df_start(w);
	df_flush(w);
	rec = df_stored_record(w, "a");
	assert_int_equal(rec.mode, S_IFREG | 0644);
	record_release(&rec);
	assert_int_equal(w->conflicts, 1);
}

static void test_writes_behind_a_given_up_one_are_given_up_too(void **state)
{
	struct drain_fixture *w = *state;
	char etag[ETAG_MAX];

	w->conf.conflict = CONFLICT_FIRST_WRITER;
	df_theirs(w, "a", "theirs", etag);
	df_fault(w, (struct fault_plan){.op = FAULT_PUT, .delay_ns = 30 * NSEC_PER_MSEC});
	jf_put(&w->f, "a", "ours 1", jf_absent(), false);
	df_start(w);
	usleep(10000);
	jf_put(&w->f, "a", "ours 2", jf_absent(), false);
	df_flush(w);
	df_expect_stored(w, "a", "theirs");
	assert_int_equal(w->conflicts, 2);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, df_setup, df_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_last_writer_wins),
		TEST(test_first_writer_stays),
		TEST(test_both_are_kept),
		TEST(test_equal_bytes_are_no_conflict),
		TEST(test_what_they_deleted_is_put_anew),
		TEST(test_delete_meets_their_version),
		TEST(test_metadata_does_not_go_onto_other_bytes),
		TEST(test_writes_behind_a_given_up_one_are_given_up_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
