/* SPDX-License-Identifier: Apache-2.0 */
/* The drainer on the store in memory, with failures injected. "Theirs" is another host's doing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/drain.h"
#include "journal_fixture.h"
#include "tiers/local.h"
#include "tiers/stores.h"
#include "util/cleanup.h"
#include "util/hash.h"

#define MANY 3000

struct world {
	struct journal_fixture f;
	struct counters counters;
	struct tier *mem;   /* what other hosts see */
	struct tier *store; /* what the drainer sees: faults in front */
	struct pool *pool;
	struct drain_conf conf;
	struct drain *d;
	pthread_mutex_t lock;
	unsigned int done, failed, conflicts, moved;
	int last_error;
	char order[4096]; /* keys as they were done */
	char etag[ETAG_MAX]; /* of the last one */
};

static void on_done(void *arg, const struct jent *e, const char *etag, bool conflict)
{
	struct world *w = arg;
	SCOPE_LOCK(&w->lock);
	size_t len = strlen(w->order);

	w->done++;
	w->conflicts += conflict;
	if (len + strlen(e->key) + 2 < sizeof(w->order))
		jf_text(w->order + len, sizeof(w->order) - len, "%s%s", len ? " " : "", e->key);
	jf_text(w->etag, sizeof(w->etag), "%s", etag);
}

static void on_failed(void *arg, const struct jent *e, int error, const char *text)
{
	struct world *w = arg;
	SCOPE_LOCK(&w->lock);

	assert_true(text[0] != '\0');
	w->failed++;
	w->last_error = error;
}

static void on_moved(void *arg, const char *from, const char *to, const char *old_etag, const char *etag)
{
	struct world *w = arg;
	SCOPE_LOCK(&w->lock);

	assert_true(from[0] && to[0] && old_etag[0] && etag[0]);
	w->moved++;
}

static void start(struct world *w)
{
	w->conf.journal = w->f.j;
	w->conf.store = w->store;
	assert_int_equal(drain_start(&w->conf, &w->d), 0);
}

static void stop(struct world *w)
{
	drain_stop(w->d, 10 * NSEC_PER_SEC);
	w->d = NULL;
}

/* As after kill -9: nothing in memory stays. */
static void restart(struct world *w)
{
	drain_stop(w->d, 0);
	jf_reopen(&w->f);
	start(w);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct tier_env env;

	assert_non_null(w);
	jf_setup(&w->f);
	w->f.clock = clock_system;
	jf_open(&w->f);
	env = (struct tier_env){.clock = &clock_system, .counters = &w->counters};
	assert_int_equal(mem_create(&env, "cold", &w->mem), 0);
	assert_int_equal(fault_create(w->mem, &w->store), 0);
	assert_int_equal(pool_new("test", 4, &w->pool), 0);
	pthread_mutex_init(&w->lock, NULL);
	w->conf = (struct drain_conf){
		.pool = w->pool,
		.clock = &clock_system,
		.counters = &w->counters,
		.staging_dirfd = w->f.staging_fd,
		.retry_min_ns = 2 * NSEC_PER_MSEC,
		.try_deadline_ns = 10 * NSEC_PER_SEC,
		.events = {.done = on_done, .failed = on_failed, .moved = on_moved, .arg = w},
	};
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	drain_stop(w->d, 10 * NSEC_PER_SEC);
	pool_free(w->pool);
	jf_teardown(&w->f);
	tier_close(w->store);
	pthread_mutex_destroy(&w->lock);
	free(w);
	return 0;
}

static void flush(struct world *w)
{
	int r = drain_flush(w->d, "", clock_mono(&clock_system) + 30 * NSEC_PER_SEC, NULL, NULL, NULL);

	if (r) {
		char *line = jf_line(w->f.j);

		fail_msg("flush: %d, last error %d, left: %s", r, w->last_error, line);
	}
}

static void fault(struct world *w, struct fault_plan plan)
{
	fault_arm(w->store, &plan);
}

/* --- the store, as others see it --- */

static struct tier_call call_now(void)
{
	return (struct tier_call){.deadline = clock_mono(&clock_system) + 10 * NSEC_PER_SEC};
}

struct text_sink {
	struct tier_sink sink;
	char buf[256];
	size_t len;
};

static int text_begin(struct tier_sink *sink, const struct record *rec)
{
	return rec->size < sizeof(((struct text_sink *)sink)->buf) ? 0 : -EFBIG;
}

static int text_write(struct tier_sink *sink, const void *buf, size_t len, uint64_t off)
{
	struct text_sink *t = (struct text_sink *)sink;

	memcpy(t->buf + off, buf, len);
	t->len = off + len;
	return 0;
}

static void expect_stored(struct world *w, const char *key, const char *text)
{
	struct text_sink sink = {.sink = {.begin = text_begin, .write = text_write}};
	struct tier_call call = call_now();
	int r = tier_get(w->mem, &call, key, 0, UINT64_MAX, NULL, &sink.sink);

	if (!text) {
		assert_int_equal(r, -ENOENT);
		return;
	}
	if (r)
		fail_msg("%s: %d", key, r);
	assert_string_equal(sink.buf, text);
}

static struct record stored_record(struct world *w, const char *key)
{
	struct tier_call call = call_now();
	struct record rec;

	record_init(&rec);
	assert_int_equal(tier_head(w->mem, &call, key, &rec), 0);
	return rec;
}

/* Puts an object as another host does; its etag to etag[ETAG_MAX]. */
static void theirs(struct world *w, const char *key, const char *text, char *etag)
{
	struct tier_call call = call_now();
	CLEANUP_CLOSE int fd = openat(w->f.dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	struct tier_source src = {.fd = fd, .size = strlen(text), .xxh3 = xxh3_of(text, strlen(text))};
	struct record rec;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	record_init(&rec);
	rec.mode = S_IFREG | 0644;
	rec.xxh3 = src.xxh3;
	rec.known = REC_MODE | REC_XXH3;
	assert_int_equal(tier_put(w->mem, &call, key, &src, &rec, NULL, etag), 0);
}

static int count_name(void *arg, const struct tier_entry *entry)
{
	(*(unsigned int *)arg)++;
	return 0;
}

static unsigned int count_below(struct world *w, const char *prefix)
{
	char *token = NULL;
	unsigned int n = 0;

	do {
		struct tier_list_req req = {.prefix = prefix, .token = token};
		struct tier_call call = call_now();
		char *next = NULL;

		assert_int_equal(tier_list(w->mem, &call, &req, count_name, &n, &next), 0);
		free(token);
		token = next;
	} while (token);
	return n;
}

static int first_conflict_name(void *arg, const struct tier_entry *entry)
{
	if (strstr(entry->key, ".conflict-"))
		jf_text(arg, 512, "%s", entry->key);
	return 0;
}

static uint64_t conflicts(struct world *w)
{
	return count_get(&w->counters, COUNTER_conflicts);
}

/* --- plain --- */

static void test_changes_reach_the_store(void **state)
{
	struct world *w = *state;
	struct record rec;
	struct tier_call call = call_now();
	char etag[ETAG_MAX];

	theirs(w, "old", "x", etag);
	jf_put(&w->f, "d/a", "hello", jf_absent(), false);
	jf_change(&w->f, J_MKDIR, "d", jf_absent());
	jf_change(&w->f, J_DELETE, "old", jf_match(etag));
	start(w);
	flush(w);
	expect_stored(w, "d/a", "hello");
	expect_stored(w, "old", NULL);
	rec = stored_record(w, "d/a");
	assert_true(rec.known & REC_XXH3);
	assert_int_equal(rec.mode, S_IFREG | 0644);
	jf_meta(&w->f, "d/a", S_IFREG | 0600, jf_match(rec.etag));
	record_release(&rec);
	flush(w);
	rec = stored_record(w, "d/a");
	assert_int_equal(rec.mode, S_IFREG | 0600);
	assert_string_equal(rec.etag, w->etag);
	record_release(&rec);
	record_init(&rec);
	assert_int_equal(tier_head(w->mem, &call, "d/", &rec), 0);
	record_release(&rec);
	assert_int_equal(w->failed, 0);
	assert_false(jf_staged(&w->f, 1));
	assert_int_equal(count_get(&w->counters, COUNTER_uploads), 1);
	assert_int_equal(count_get(&w->counters, COUNTER_drain_bytes), 5);
}

static void test_symlink_travels(void **state)
{
	struct world *w = *state;
	struct jent e = {.op = J_PUT, .key = (char *)"link", .base = jf_absent()};
	struct record rec;
	uint64_t seq;

	record_init(&e.rec);
	e.rec.mode = S_IFLNK | 0777;
	e.rec.known = REC_MODE;
	e.rec.symlink = (char *)"target";
	assert_int_equal(journal_append(w->f.j, &e, false, &seq), 0);
	start(w);
	flush(w);
	rec = stored_record(w, "link");
	assert_string_equal(rec.symlink, "target");
	record_release(&rec);
}

static void test_mark_comes_last(void **state)
{
	struct world *w = *state;
	const char *last;

	for (int i = 0; i < 20; i++) {
		char key[64];

		jf_text(key, sizeof(key), "v/frames/%d", i);
		jf_put(&w->f, key, "x", jf_absent(), false);
	}
	jf_mark(&w->f, "v/metadata.json", "{}");
	fault(w, (struct fault_plan){.op = FAULT_PUT, .after = 5, .times = 4, .code = -EIO, .transient = true});
	start(w);
	flush(w);
	last = strrchr(w->order, ' ');
	assert_non_null(last);
	assert_string_equal(last + 1, "v/metadata.json");
	assert_int_equal(w->done, 21);
}

static void test_held_is_not_drained(void **state)
{
	struct world *w = *state;

	jf_put(&w->f, "d/open", "x", jf_absent(), true);
	jf_put(&w->f, "d/a", "x", jf_absent(), false);
	start(w);
	flush(w);
	expect_stored(w, "d/a", "x");
	expect_stored(w, "d/open", NULL);
	assert_int_equal(drain_held(w->d, "d"), 1);
	assert_int_equal(drain_held(w->d, "e"), 0);
}

/* --- answers that are lost, failures that stay --- */

static void test_lost_answers_are_no_conflicts(void **state)
{
	struct world *w = *state;

	start(w);
	for (int i = 0; i < 5; i++) {
		char text[32];

		jf_text(text, sizeof(text), "version %d", i);
		fault(w, (struct fault_plan){.op = i % 2 ? FAULT_PUT : FAULT_ANY,
					     .times = 2,
					     .code = -EIO,
					     .transient = true,
					     .after_effect = true});
		jf_put(&w->f, "a", text, i ? jf_match("stale") : jf_absent(), false);
		if (i % 2)
			usleep(3000);
	}
	flush(w);
	expect_stored(w, "a", "version 4");
	assert_true(w->failed > 0);
	assert_int_equal(w->conflicts, 0);
}

static void test_nothing_is_dropped_after_many_failures(void **state)
{
	struct world *w = *state;

	w->conf.retry_min_ns = NSEC_PER_MSEC / 20;
	fault(w, (struct fault_plan){.op = FAULT_PUT, .times = 8, .code = -EACCES});
	jf_put(&w->f, "a", "x", jf_absent(), false);
	start(w);
	flush(w);
	assert_int_equal(w->failed, 8);
	assert_int_equal(w->last_error, -EACCES);
	expect_stored(w, "a", "x");
	assert_int_equal(count_get(&w->counters, COUNTER_upload_errors), 8);
}

static void test_outage_touches_few_entries(void **state)
{
	struct world *w = *state;
	dl_t soon;
	uint64_t tried;

	for (int i = 0; i < 50; i++) {
		char key[64];

		jf_text(key, sizeof(key), "tmp.%d", i);
		jf_put(&w->f, key, "x", jf_absent(), false);
	}
	fault(w, (struct fault_plan){.op = FAULT_ANY, .code = -EIO, .transient = true});
	start(w);
	soon = clock_mono(&clock_system) + 200 * NSEC_PER_MSEC;
	assert_int_equal(drain_flush(w->d, "", soon, NULL, NULL, NULL), -ETIMEDOUT);
	tried = fault_calls(w->store, FAULT_PUT);
	assert_true(tried <= 8);
	assert_int_equal(journal_pending(w->f.j, "", UINT64_MAX), true);
	/* What was not tried can still be renamed without a trace. */
	jf_rename(&w->f, "tmp.49", "final", false, false);
	fault(w, (struct fault_plan){.op = FAULT_COPY, .times = 1, .after = 100000});
	flush(w);
	expect_stored(w, "final", "x");
	expect_stored(w, "tmp.49", NULL);
	assert_int_equal(count_below(w, ""), 50);
}

static void test_flush_can_be_cancelled(void **state)
{
	struct world *w = *state;
	atomic_bool cancel = true;

	fault(w, (struct fault_plan){.op = FAULT_ANY, .code = -EIO, .transient = true});
	jf_put(&w->f, "a", "x", jf_absent(), false);
	start(w);
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
	struct world *w = *state;
	uint64_t seen[3] = {0};

	fault(w, (struct fault_plan){.op = FAULT_PUT, .delay_ns = 50 * NSEC_PER_MSEC});
	jf_put(&w->f, "d/a", "12345", jf_absent(), false);
	jf_put(&w->f, "e", "12345", jf_absent(), false);
	start(w);
	assert_int_equal(drain_flush(w->d, "d", 0, NULL, on_progress, seen), 0);
	assert_int_equal(seen[0], 1);
	assert_int_equal(seen[1], 5);
	assert_true(seen[2] >= 1);
}

static void test_stop_cancels_after_its_grace(void **state)
{
	struct world *w = *state;
	int64_t began = clock_mono(&clock_system);

	fault(w, (struct fault_plan){.op = FAULT_PUT, .delay_ns = 9 * NSEC_PER_SEC});
	jf_put(&w->f, "a", "x", jf_absent(), false);
	start(w);
	usleep(20000);
	drain_stop(w->d, 10 * NSEC_PER_MSEC);
	w->d = NULL;
	assert_true(clock_mono(&clock_system) - began < 5 * NSEC_PER_SEC);
	jf_assert_line(&w->f, "put:a");
}

/* --- conflicts --- */

static void conflict_setup(struct world *w, enum conflict_policy policy)
{
	char etag[ETAG_MAX];

	w->conf.conflict = policy;
	theirs(w, "a", "base", etag);
	jf_put(&w->f, "a", "ours", jf_match(etag), false);
	theirs(w, "a", "theirs", etag);
	start(w);
	flush(w);
}

static void test_last_writer_wins(void **state)
{
	struct world *w = *state;

	conflict_setup(w, CONFLICT_LAST_WRITER);
	expect_stored(w, "a", "ours");
	assert_int_equal(w->conflicts, 0);
	assert_int_equal(conflicts(w), 1);
	assert_true(w->etag[0] != '\0');
}

static void test_first_writer_stays(void **state)
{
	struct world *w = *state;

	conflict_setup(w, CONFLICT_FIRST_WRITER);
	expect_stored(w, "a", "theirs");
	assert_int_equal(w->conflicts, 1);
	assert_string_equal(w->etag, "");
	jf_assert_line(&w->f, "");
}

static void test_both_are_kept(void **state)
{
	struct world *w = *state;
	struct tier_list_req req = {.prefix = ""};
	struct tier_call call = call_now();
	char name[512] = "", *token = NULL;

	conflict_setup(w, CONFLICT_KEEP_BOTH);
	expect_stored(w, "a", "theirs");
	assert_int_equal(w->conflicts, 1);
	assert_int_equal(tier_list(w->mem, &call, &req, first_conflict_name, name, &token), 0);
	assert_memory_equal(name, "a.conflict-", 11);
	expect_stored(w, name, "ours");
	assert_int_equal(count_below(w, ""), 2);
}

static void test_equal_bytes_are_no_conflict(void **state)
{
	struct world *w = *state;
	char etag[ETAG_MAX];

	w->conf.conflict = CONFLICT_FIRST_WRITER;
	theirs(w, "a", "same", etag);
	jf_put(&w->f, "a", "same", jf_absent(), false);
	start(w);
	flush(w);
	assert_int_equal(w->conflicts + conflicts(w), 0);
	assert_string_equal(w->etag, etag);
}

static void test_what_they_deleted_is_put_anew(void **state)
{
	struct world *w = *state;

	w->conf.conflict = CONFLICT_FIRST_WRITER;
	jf_put(&w->f, "a", "ours", jf_match("\"gone\""), false);
	start(w);
	flush(w);
	expect_stored(w, "a", "ours");
}

static void test_delete_meets_their_version(void **state)
{
	struct world *w = *state;
	char etag[ETAG_MAX];

	theirs(w, "a", "base", etag);
	jf_change(&w->f, J_DELETE, "a", jf_match(etag));
	theirs(w, "a", "theirs", etag);
	w->conf.conflict = CONFLICT_FIRST_WRITER;
	start(w);
	flush(w);
	expect_stored(w, "a", "theirs");
	stop(w);
	jf_change(&w->f, J_DELETE, "a", jf_match("\"stale\""));
	w->conf.conflict = CONFLICT_LAST_WRITER;
	start(w);
	flush(w);
	expect_stored(w, "a", NULL);
}

static void test_metadata_does_not_go_onto_other_bytes(void **state)
{
	struct world *w = *state;
	char etag[ETAG_MAX];
	struct record rec;

	theirs(w, "a", "theirs", etag);
	jf_meta(&w->f, "a", S_IFREG | 0600, jf_match("\"stale\""));
	start(w);
	flush(w);
	rec = stored_record(w, "a");
	assert_int_equal(rec.mode, S_IFREG | 0644);
	record_release(&rec);
	assert_int_equal(w->conflicts, 1);
}

static void test_writes_behind_a_given_up_one_are_given_up_too(void **state)
{
	struct world *w = *state;
	char etag[ETAG_MAX];

	w->conf.conflict = CONFLICT_FIRST_WRITER;
	theirs(w, "a", "theirs", etag);
	fault(w, (struct fault_plan){.op = FAULT_PUT, .delay_ns = 30 * NSEC_PER_MSEC});
	jf_put(&w->f, "a", "ours 1", jf_absent(), false);
	start(w);
	usleep(10000);
	jf_put(&w->f, "a", "ours 2", jf_absent(), false);
	flush(w);
	expect_stored(w, "a", "theirs");
	assert_int_equal(w->conflicts, 2);
}

/* --- a body that is taken away while it is uploaded --- */

static void test_copy_goes_up_where_the_body_was_taken(void **state)
{
	struct world *w = *state;
	uint64_t put, copy;
	int fd;

	fault(w, (struct fault_plan){.op = FAULT_PUT, .times = 1, .delay_ns = 100 * NSEC_PER_MSEC});
	put = jf_put(&w->f, "a", "closed", jf_absent(), false);
	start(w);
	usleep(30000);
	copy = jf_stage(&w->f, "closed");
	assert_int_equal(journal_rebody(w->f.j, put, copy), 0);
	fd = local_open_id(w->f.staging_fd, 1, O_WRONLY);
	assert_int_equal(write(fd, "torn!!", 6), 6);
	close(fd);
	flush(w);
	expect_stored(w, "a", "closed");
	assert_true(jf_staged(&w->f, 1));
	assert_false(jf_staged(&w->f, copy));
}

/* --- renames --- */

static void test_file_moves_in_the_store(void **state)
{
	struct world *w = *state;
	char etag[ETAG_MAX];

	theirs(w, "a", "bytes", etag);
	jf_rename(&w->f, "a", "b", false, true);
	jf_put(&w->f, "b", "newer", jf_match(etag), false);
	fault(w, (struct fault_plan){
			 .op = FAULT_DEL, .times = 1, .code = -EIO, .transient = true, .after_effect = true});
	start(w);
	flush(w);
	expect_stored(w, "a", NULL);
	expect_stored(w, "b", "newer");
	assert_int_equal(w->conflicts + conflicts(w), 0);
}

static void test_file_moves_through_us_without_copy(void **state)
{
	struct world *w = *state;
	char etag[ETAG_MAX];
	struct record rec;

	w->store->caps.flags &= ~(unsigned int)TIER_CAP_COPY;
	theirs(w, "a", "bytes", etag);
	jf_rename(&w->f, "a", "b", false, true);
	start(w);
	flush(w);
	expect_stored(w, "a", NULL);
	expect_stored(w, "b", "bytes");
	rec = stored_record(w, "b");
	assert_int_equal(rec.mode, S_IFREG | 0644);
	record_release(&rec);
	assert_int_equal(fault_calls(w->store, FAULT_COPY), 0);
}

static void many_objects(struct world *w, const char *dir, unsigned int n)
{
	char key[64], text[32], etag[ETAG_MAX];

	for (unsigned int i = 0; i < n; i++) {
		jf_text(key, sizeof(key), "%s/%u/%u", dir, i % 7, i);
		jf_text(text, sizeof(text), "text %u", i);
		theirs(w, key, text, etag);
	}
}

static void expect_many(struct world *w, const char *dir, unsigned int n)
{
	char key[64], text[32];

	for (unsigned int i = 0; i < n; i += 97) {
		jf_text(key, sizeof(key), "%s/%u/%u", dir, i % 7, i);
		jf_text(text, sizeof(text), "text %u", i);
		expect_stored(w, key, text);
	}
}

static void test_directory_moves_with_its_markers(void **state)
{
	struct world *w = *state;
	struct tier_call call = call_now();
	struct record rec;

	jf_change(&w->f, J_MKDIR, "d/empty", jf_absent());
	start(w);
	flush(w);
	many_objects(w, "d", 20);
	theirs(w, "dd", "beside", w->etag);
	jf_rename(&w->f, "d", "e", true, true);
	flush(w);
	assert_int_equal(count_below(w, "d/"), 0);
	assert_int_equal(count_below(w, "e/"), 21);
	expect_many(w, "e", 20);
	expect_stored(w, "dd", "beside");
	record_init(&rec);
	assert_int_equal(tier_head(w->mem, &call, "e/empty/", &rec), 0);
	assert_int_equal(rec.mode, S_IFDIR | 0755);
	record_release(&rec);
	assert_int_equal(w->moved, 20);
}

static void test_large_rename_is_interrupted_and_resumed(void **state)
{
	struct world *w = *state;
	const struct fault_plan plans[] = {
		{.op = FAULT_COPY, .after = 500, .times = 1, .code = -EIO, .transient = true},
		{.op = FAULT_DEL, .after = 400, .times = 3, .code = -EIO, .transient = true, .after_effect = true},
		{.op = FAULT_COPY, .after = 300, .times = 3, .code = -EIO, .transient = true, .after_effect = true},
		{.op = FAULT_LIST, .times = 1, .code = -EIO, .transient = true},
		{.op = FAULT_DEL, .after = 200, .times = 1, .code = -EIO, .transient = true},
	};

	w->conf.retry_min_ns = 200 * NSEC_PER_MSEC; /* time to look between two tries */
	many_objects(w, "d", MANY);
	jf_rename(&w->f, "d", "e", true, true);
	start(w);
	for (size_t i = 0; i < sizeof(plans) / sizeof(*plans); i++) {
		fault(w, plans[i]);
		usleep(20000);
		restart(w);
	}
	fault(w, (struct fault_plan){.op = FAULT_LIST, .times = 1, .after = 1000000});
	flush(w);
	assert_int_equal(count_below(w, "d/"), 0);
	assert_int_equal(count_below(w, "e/"), MANY);
	expect_many(w, "e", MANY);
	assert_int_equal(w->conflicts + conflicts(w), 0);
}

static void test_their_object_at_the_target(void **state)
{
	struct world *w = *state;
	char etag[ETAG_MAX];

	w->conf.conflict = CONFLICT_KEEP_BOTH;
	theirs(w, "d/a", "ours", etag);
	theirs(w, "d/b", "ours", etag);
	theirs(w, "e/a", "theirs", etag);
	jf_rename(&w->f, "d", "e", true, true);
	start(w);
	flush(w);
	expect_stored(w, "e/a", "theirs");
	expect_stored(w, "e/b", "ours");
	assert_int_equal(count_below(w, "d/"), 0);
	assert_int_equal(count_below(w, "e/"), 3);
	assert_int_equal(w->conflicts, 1);
}

static void test_writes_into_a_moving_directory_follow(void **state)
{
	struct world *w = *state;
	char etag[ETAG_MAX];

	w->conf.conflict = CONFLICT_FIRST_WRITER; /* any conflict would show */
	theirs(w, "d/a", "old", etag);
	jf_put(&w->f, "d/a", "newer", jf_match(etag), false);
	jf_rename(&w->f, "d", "e", true, true);
	jf_rename(&w->f, "e", "f", true, true);
	jf_put(&w->f, "f/new", "x", jf_absent(), false);
	start(w);
	flush(w);
	expect_stored(w, "f/a", "newer");
	expect_stored(w, "f/new", "x");
	assert_int_equal(count_below(w, ""), 2);
	assert_int_equal(w->conflicts, 0);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
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
		TEST(test_last_writer_wins),
		TEST(test_first_writer_stays),
		TEST(test_both_are_kept),
		TEST(test_equal_bytes_are_no_conflict),
		TEST(test_what_they_deleted_is_put_anew),
		TEST(test_delete_meets_their_version),
		TEST(test_metadata_does_not_go_onto_other_bytes),
		TEST(test_writes_behind_a_given_up_one_are_given_up_too),
		TEST(test_copy_goes_up_where_the_body_was_taken),
		TEST(test_file_moves_in_the_store),
		TEST(test_file_moves_through_us_without_copy),
		TEST(test_directory_moves_with_its_markers),
		TEST(test_large_rename_is_interrupted_and_resumed),
		TEST(test_their_object_at_the_target),
		TEST(test_writes_into_a_moving_directory_follow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
