/* SPDX-License-Identifier: Apache-2.0 */
/* The drainer on the store in memory: what reaches it, and what failures do to that. */
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

/* --- plain --- */

static void test_changes_reach_the_store(void **state)
{
	struct drain_fixture *w = *state;
	struct record rec;
	struct tier_call call = df_call_now();
	char etag[ETAG_MAX];

	df_theirs(w, "old", "x", etag);
	jf_put(&w->f, "d/a", "hello", jf_absent(), false);
	jf_change(&w->f, J_MKDIR, "d", jf_absent());
	jf_change(&w->f, J_DELETE, "old", jf_match(etag));
	df_start(w);
	df_flush(w);
	df_expect_stored(w, "d/a", "hello");
	df_expect_stored(w, "old", NULL);
	rec = df_stored_record(w, "d/a");
	assert_true(rec.known & REC_XXH3);
	assert_int_equal(rec.mode, S_IFREG | 0644);
	jf_meta(&w->f, "d/a", S_IFREG | 0600, jf_match(rec.etag));
	record_release(&rec);
	df_flush(w);
	rec = df_stored_record(w, "d/a");
	assert_int_equal(rec.mode, S_IFREG | 0600);
	assert_string_equal(rec.etag, w->etag);
	record_release(&rec);
	record_init(&rec);
	assert_int_equal(tier_head(w->mem, &call, "d/", &rec), 0);
	record_release(&rec);
	assert_int_equal(w->failed, 0);
	df_stop(w);
	assert_false(jf_staged(&w->f, 1));
	assert_int_equal(count_get(&w->counters, COUNTER_uploads), 1);
	assert_int_equal(count_get(&w->counters, COUNTER_drain_bytes), 5);
}

static void test_symlink_travels(void **state)
{
	struct drain_fixture *w = *state;
	struct jent e = {.op = J_PUT, .key = (char *)"link", .base = jf_absent()};
	struct record rec;
	uint64_t seq;

	record_init(&e.rec);
	e.rec.mode = S_IFLNK | 0777;
	e.rec.known = REC_MODE;
	e.rec.symlink = (char *)"target";
	assert_int_equal(journal_append(w->f.j, &e, false, &seq), 0);
	df_start(w);
	df_flush(w);
	rec = df_stored_record(w, "link");
	assert_string_equal(rec.symlink, "target");
	record_release(&rec);
}

static void test_mark_comes_last(void **state)
{
	struct drain_fixture *w = *state;
	const char *last;

	for (int i = 0; i < 20; i++) {
		char key[64];

		jf_text(key, sizeof(key), "v/frames/%d", i);
		jf_put(&w->f, key, "x", jf_absent(), false);
	}
	jf_mark(&w->f, "v/metadata.json", "{}");
	df_fault(w,
		 (struct fault_plan){
			 .op = FAULT_PUT, .after = 5, .times = 4, .code = -EIO, .transient = true});
	df_start(w);
	df_flush(w);
	last = strrchr(w->order, ' ');
	assert_non_null(last);
	assert_string_equal(last + 1, "v/metadata.json");
	assert_int_equal(w->done, 21);
}

static void test_held_is_not_drained(void **state)
{
	struct drain_fixture *w = *state;

	jf_put(&w->f, "d/open", "x", jf_absent(), true);
	jf_put(&w->f, "d/a", "x", jf_absent(), false);
	df_start(w);
	df_flush(w);
	df_expect_stored(w, "d/a", "x");
	df_expect_stored(w, "d/open", NULL);
	assert_int_equal(drain_held(w->d, "d"), 1);
	assert_int_equal(drain_held(w->d, "e"), 0);
}

/* --- answers that are lost, failures that stay --- */

static void test_lost_answers_are_no_conflicts(void **state)
{
	struct drain_fixture *w = *state;

	df_start(w);
	for (int i = 0; i < 5; i++) {
		char text[32];

		jf_text(text, sizeof(text), "version %d", i);
		df_fault(w, (struct fault_plan){.op = i % 2 ? FAULT_PUT : FAULT_ANY,
						.times = 2,
						.code = -EIO,
						.transient = true,
						.after_effect = true});
		jf_put(&w->f, "a", text, i ? jf_match("stale") : jf_absent(), false);
		if (i % 2)
			usleep(3000);
	}
	df_flush(w);
	df_expect_stored(w, "a", "version 4");
	assert_true(w->failed > 0);
	assert_int_equal(w->conflicts, 0);
}

static void test_nothing_is_dropped_after_many_failures(void **state)
{
	struct drain_fixture *w = *state;

	w->conf.retry_min_ns = NSEC_PER_MSEC / 20;
	df_fault(w, (struct fault_plan){.op = FAULT_PUT, .times = 8, .code = -EACCES});
	jf_put(&w->f, "a", "x", jf_absent(), false);
	df_start(w);
	df_flush(w);
	assert_int_equal(w->failed, 8);
	assert_int_equal(w->last_error, -EACCES);
	df_expect_stored(w, "a", "x");
	assert_int_equal(count_get(&w->counters, COUNTER_upload_errors), 8);
}

static void test_outage_touches_few_entries(void **state)
{
	struct drain_fixture *w = *state;
	dl_t soon;
	uint64_t tried;

	for (int i = 0; i < 50; i++) {
		char key[64];

		jf_text(key, sizeof(key), "tmp.%d", i);
		jf_put(&w->f, key, "x", jf_absent(), false);
	}
	df_fault(w, (struct fault_plan){.op = FAULT_ANY, .code = -EIO, .transient = true});
	df_start(w);
	soon = clock_mono(&clock_system) + 200 * NSEC_PER_MSEC;
	assert_int_equal(drain_flush(w->d, "", soon, NULL, NULL, NULL), -ETIMEDOUT);
	tried = fault_calls(w->store, FAULT_PUT);
	assert_true(tried <= 8);
	assert_int_equal(journal_pending(w->f.j, "", UINT64_MAX), true);
	/* What was not tried can still be renamed without a trace. */
	jf_rename(&w->f, "tmp.49", "final", false, false);
	df_fault(w, (struct fault_plan){.op = FAULT_COPY, .times = 1, .after = 100000});
	df_flush(w);
	df_expect_stored(w, "final", "x");
	df_expect_stored(w, "tmp.49", NULL);
	assert_int_equal(df_count_below(w, ""), 50);
}

static void test_flush_can_be_cancelled(void **state)
{
	struct drain_fixture *w = *state;
	atomic_bool cancel = true;

	df_fault(w, (struct fault_plan){.op = FAULT_ANY, .code = -EIO, .transient = true});
	jf_put(&w->f, "a", "x", jf_absent(), false);
	df_start(w);
	assert_int_equal(drain_flush(w->d, "", 0, &cancel, NULL, NULL), -ECANCELED);
	assert_int_equal(drain_flush(w->d, "elsewhere", 0, NULL, NULL, NULL), 0);
}

static void on_progress(void *arg, uint64_t entries, uint64_t bytes)
{
	uint64_t *seen = arg;

	seen[0] = entries;
	seen[1] = bytes;
	seen[2]++;
}

static void test_flush_tells_what_is_left(void **state)
{
	struct drain_fixture *w = *state;
	uint64_t seen[3] = {0};

	df_fault(w, (struct fault_plan){.op = FAULT_PUT, .delay_ns = 50 * NSEC_PER_MSEC});
	jf_put(&w->f, "d/a", "12345", jf_absent(), false);
	jf_put(&w->f, "e", "12345", jf_absent(), false);
	df_start(w);
	assert_int_equal(drain_flush(w->d, "d", 0, NULL, on_progress, seen), 0);
	assert_int_equal(seen[0], 1);
	assert_int_equal(seen[1], 5);
	assert_true(seen[2] >= 1);
}

static void test_stop_cancels_after_its_grace(void **state)
{
	struct drain_fixture *w = *state;
	int64_t began = clock_mono(&clock_system);

	df_fault(w, (struct fault_plan){.op = FAULT_PUT, .delay_ns = 9 * NSEC_PER_SEC});
	jf_put(&w->f, "a", "x", jf_absent(), false);
	df_start(w);
	usleep(20000);
	drain_stop(w->d, 10 * NSEC_PER_MSEC);
	w->d = NULL;
	assert_true(clock_mono(&clock_system) - began < 5 * NSEC_PER_SEC);
	jf_assert_line(&w->f, "put:a");
}

/* --- a body that is taken away while it is uploaded --- */

static void test_copy_goes_up_where_the_body_was_taken(void **state)
{
	struct drain_fixture *w = *state;
	uint64_t put, copy;
	int fd;

	df_fault(w,
		 (struct fault_plan){.op = FAULT_PUT, .times = 1, .delay_ns = 100 * NSEC_PER_MSEC});
	put = jf_put(&w->f, "a", "closed", jf_absent(), false);
	df_start(w);
	usleep(30000);
	copy = jf_stage(&w->f, "closed");
	assert_int_equal(journal_rebody(w->f.j, put, copy), 0);
	fd = local_open_id(w->f.staging_fd, 1, O_WRONLY);
	assert_int_equal(write(fd, "torn!!", 6), 6);
	close(fd);
	df_flush(w);
	df_expect_stored(w, "a", "closed");
	df_stop(w);
	assert_true(jf_staged(&w->f, 1));
	assert_false(jf_staged(&w->f, copy));
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, df_setup, df_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_changes_reach_the_store),
		TEST(test_symlink_travels),
		TEST(test_mark_comes_last),
		TEST(test_held_is_not_drained),
		TEST(test_lost_answers_are_no_conflicts),
		TEST(test_nothing_is_dropped_after_many_failures),
		TEST(test_outage_touches_few_entries),
		TEST(test_flush_can_be_cancelled),
		TEST(test_flush_tells_what_is_left),
		TEST(test_stop_cancels_after_its_grace),
		TEST(test_copy_goes_up_where_the_body_was_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
