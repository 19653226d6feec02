/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log under attack: a process that is killed at any moment, a file that is cut anywhere,
 * bits that flip, a disk that is full.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "journal_fixture.h"
#include "util/fsutil.h"

#define ROUNDS 50
#define OPS_MAX 20000

/* --- killed at any moment --- */

struct script {
	struct journal_fixture *f;
	uint64_t rng;
	struct jent *taken[2];
};

static unsigned int pick(struct script *s, unsigned int n)
{
	return (unsigned int)(jf_random(&s->rng) >> 33) % n;
}

static void random_key(struct script *s, char *out, size_t size)
{
	jf_text(out, size, pick(s, 2) ? "d%u/f%u" : "f%u%u", pick(s, 3), pick(s, 6));
}

static void script_put(struct script *s, const char *key)
{
	uint64_t id = jf_stage(s->f, "x");

	jf_put_id(s->f, key, id, 1, pick(s, 2) ? jf_absent() : jf_match("e1"), pick(s, 4) == 0);
}

static void script_drain(struct script *s)
{
	unsigned int i = pick(s, 2);
	struct jent *e = s->taken[i];
	char etag[32];

	s->taken[i] = NULL;
	if (!e) {
		s->taken[i] = jf_take(s->f);
	} else if (pick(s, 4) == 0) {
		journal_retry(s->f->j, e, -EIO, 0);
	} else {
		jf_text(etag, sizeof(etag), "e%u", pick(s, 1000));
		assert_int_equal(journal_done(s->f->j, e, etag, false), 0);
	}
}

static void script_held(struct script *s, const char *key)
{
	struct jent e;

	if (journal_find(s->f->j, key, &e))
		return;
	if (e.op == J_PUT && e.state == J_HELD)
		assert_int_equal(journal_release(s->f->j, e.seq, &e.rec), 0);
	else if (e.op == J_PUT && pick(s, 2))
		assert_int_equal(journal_rebody(s->f->j, e.seq, jf_stage(s->f, "x")), 0);
	jent_release(&e);
}

/*
 * The same calls for the same seed: what happens depends on nothing else. One record, or none, a
 * step.
 */
static void script_step(struct script *s)
{
	char key[64], to[64];

	random_key(s, key, sizeof(key));
	switch (pick(s, 8)) {
	case 0:
	case 1:
		script_put(s, key);
		break;
	case 2:
		jf_change(s->f, J_DELETE, key, jf_match("e2"));
		break;
	case 3:
		random_key(s, to, sizeof(to));
		if (strcmp(key, to) != 0)
			jf_rename(s->f, key, to, false, pick(s, 2));
		break;
	case 4:
		jf_text(key, sizeof(key), "d%u", pick(s, 3));
		jf_text(to, sizeof(to), "d%u", 3 + pick(s, 3));
		jf_rename(s->f, key, to, true, pick(s, 2));
		break;
	case 5:
		script_held(s, key);
		break;
	default:
		script_drain(s);
	}
}

static void child_main(struct journal_fixture *f, uint64_t seed, int ack_fd)
{
	struct script s = {.f = f, .rng = seed};
	uint64_t extra = seed ^ 0x5555;

	jf_open(f);
	for (int i = 0; i < OPS_MAX; i++) {
		script_step(&s);
		if (write(ack_fd, "a", 1) != 1)
			_exit(1);
		if (jf_random(&extra) % 60 == 0)
			(void)journal_compact(f->j);
		else if (jf_random(&extra) % 60 == 0)
			(void)journal_sync(f->j);
	}
	_exit(0);
}

/* Lets the child do about n steps and kills it. Returns the number that it said were done. */
static unsigned int run_and_kill(struct journal_fixture *f, uint64_t seed, unsigned int n,
				 unsigned int us)
{
	unsigned int acks = 0;
	int fds[2], status;
	char buf[64];
	ssize_t got;
	pid_t pid;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(fds[0]);
		child_main(f, seed, fds[1]);
	}
	close(fds[1]);
	while (acks < n && (got = read(fds[0], buf, 1)) > 0)
		acks += (unsigned int)got;
	usleep(us);
	kill(pid, SIGKILL);
	while ((got = read(fds[0], buf, sizeof(buf))) > 0)
		acks += (unsigned int)got;
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	return acks;
}

struct hits {
	unsigned int acks, ahead, torn, compacted;
};

static void one_round(uint64_t seed, struct hits *hits)
{
	struct journal_fixture f, oracle;
	struct script s = {.f = &oracle, .rng = seed};
	uint64_t rng = seed ^ 0xaaaa;
	unsigned int acks;
	char *got, *expected;

	jf_setup(&f);
	jf_setup(&oracle);
	f.conf.segment_size = 4096;
	acks = run_and_kill(&f, seed, 1 + (unsigned int)(jf_random(&rng) % 300),
			    (unsigned int)(jf_random(&rng) % 400));
	jf_open(&f);
	assert_int_equal(f.report.lost_bodies, 0);
	assert_string_equal(f.err.text, "");
	got = jf_dump(f.j, true);
	jf_open(&oracle);
	for (unsigned int i = 0; i < acks; i++)
		script_step(&s);
	expected = jf_dump(oracle.j, true);
	if (strcmp(got, expected) != 0) {
		/* The one under way may have been done, and nobody heard. */
		free(expected);
		script_step(&s);
		expected = jf_dump(oracle.j, true);
		hits->ahead++;
	}
	if (strcmp(got, expected) != 0)
		fail_msg("seed %llu, %u steps:\n%s\ninstead of\n%s", (unsigned long long)seed, acks,
			 got, expected);
	hits->acks += acks;
	hits->torn += (unsigned int)f.report.torn;
	hits->compacted += faccessat(f.journal_fd, "log.1", F_OK, 0) != 0;
	free(got);
	free(expected);
	jf_teardown(&f);
	jf_teardown(&oracle);
}

static void test_killed_at_any_moment(void **state)
{
	const char *env = getenv("COGFS_TEST_SEED");
	uint64_t seed = env ? strtoull(env, NULL, 0) : (uint64_t)time(NULL) * 1000003;
	struct hits hits = {0};

	(void)state;
	print_message("seed %llu\n", (unsigned long long)seed);
	for (int i = 0; i < ROUNDS; i++)
		one_round(seed + (uint64_t)i, &hits);
	print_message("%u steps told, %u rounds one ahead, %u torn, %u compacted\n", hits.acks,
		      hits.ahead, hits.torn, hits.compacted);
	assert_true(hits.acks > ROUNDS);
	assert_true(hits.compacted > 0);
}

/* --- damaged files --- */

struct log_copy {
	char *buf;
	size_t len;
};

static int open_log(struct journal_fixture *f)
{
	int fd = openat(f->journal_fd, "log.1", O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static struct log_copy log_read(struct journal_fixture *f)
{
	struct log_copy copy;

	assert_int_equal(fs_read_file(f->journal_fd, "log.1", 1 << 20, &copy.buf, &copy.len), 0);
	return copy;
}

/* The journal directory as if log.1 were all that there is, with these bytes. */
static void log_write(struct journal_fixture *f, const char *buf, size_t len)
{
	for (unsigned int n = 1; n < 10; n++) {
		char name[32];

		jf_text(name, sizeof(name), "log.%x", n);
		unlinkat(f->journal_fd, name, 0);
		jf_text(name, sizeof(name), "bad.%x", n);
		unlinkat(f->journal_fd, name, 0);
	}
	assert_int_equal(fs_write_file_atomic(f->journal_fd, "log.1", buf, len, 0600, false), 0);
}

#define CHANGES 12

/*
 * Changes that each add one entry; lens[i] is the log's length when i of them are there,
 * lines[i] the state.
 */
static void grow_log(struct journal_fixture *f, size_t lens[CHANGES + 1], char *lines[CHANGES + 1])
{
	for (int i = 0; i <= CHANGES; i++) {
		struct stat st;
		int fd = open_log(f);
		char key[32];

		assert_int_equal(fstat(fd, &st), 0);
		close(fd);
		lens[i] = (size_t)st.st_size;
		lines[i] = jf_line(f->j);
		jf_text(key, sizeof(key), "dir/file%d", i);
		if (i < CHANGES)
			jf_change(f, i % 2 ? J_DELETE : J_PUT, key, jf_match("etag"));
	}
}

static void test_cut_at_every_byte(void **state)
{
	struct journal_fixture f;
	size_t lens[CHANGES + 1];
	char *lines[CHANGES + 1];
	struct log_copy log;
	int whole = CHANGES;

	(void)state;
	jf_setup(&f);
	jf_open(&f);
	grow_log(&f, lens, lines);
	jf_close(&f);
	log = log_read(&f);
	for (size_t len = log.len; len >= lens[0]; len--) {
		while (lens[whole] > len)
			whole--;
		log_write(&f, log.buf, len);
		jf_open(&f);
		jf_assert_line(&f, lines[whole]);
		assert_int_equal(f.report.torn, len > lens[whole]);
		assert_string_equal(f.err.text, "");
		/* And it goes on from there. */
		jf_change(&f, J_DELETE, "more", jf_match("etag"));
		jf_reopen(&f);
		assert_int_equal(f.report.live, (uint64_t)whole + 1);
		jf_close(&f);
	}
	for (int i = 0; i <= CHANGES; i++)
		free(lines[i]);
	free(log.buf);
	jf_teardown(&f);
}

static void test_flipped_bit_ends_the_log_there(void **state)
{
	struct journal_fixture f;
	size_t lens[CHANGES + 1];
	char *lines[CHANGES + 1];
	struct log_copy log;
	int whole = 0;

	(void)state;
	jf_setup(&f);
	jf_open(&f);
	grow_log(&f, lens, lines);
	jf_close(&f);
	log = log_read(&f);
	for (size_t at = lens[0]; at < log.len; at += 3) {
		while (lens[whole + 1] <= at)
			whole++;
		log.buf[at] ^= (char)(1 << (at % 8));
		log_write(&f, log.buf, log.len);
		log.buf[at] ^= (char)(1 << (at % 8));
		jf_open(&f);
		jf_assert_line(&f, lines[whole]);
		/* In the last record it cannot be told from one that was cut off. */
		assert_int_equal(f.report.torn, whole == CHANGES - 1);
		assert_int_equal(f.err.text[0] != '\0', whole < CHANGES - 1);
		assert_int_equal(faccessat(f.journal_fd, "bad.1", F_OK, 0) == 0,
				 whole < CHANGES - 1);
		jf_change(&f, J_DELETE, "more", jf_match("etag"));
		jf_reopen(&f);
		assert_int_equal(f.report.live, (uint64_t)whole + 1);
		assert_string_equal(f.err.text, "");
		jf_close(&f);
	}
	for (int i = 0; i <= CHANGES; i++)
		free(lines[i]);
	free(log.buf);
	jf_teardown(&f);
}

static void test_damaged_head_is_no_reason_to_refuse(void **state)
{
	struct journal_fixture f;

	(void)state;
	jf_setup(&f);
	log_write(&f, "this is no log", 14);
	jf_open(&f);
	assert_int_equal(f.report.live, 0);
	assert_true(f.err.text[0] != '\0');
	assert_int_equal(faccessat(f.journal_fd, "bad.1", F_OK, 0), 0);
	jf_put(&f, "a", "x", jf_absent(), false);
	jf_reopen(&f);
	jf_assert_line(&f, "put:a");
	jf_teardown(&f);
}

static void test_leftovers_of_a_compaction(void **state)
{
	struct journal_fixture f;
	struct log_copy old;

	(void)state;
	jf_setup(&f);
	jf_open(&f);
	jf_put(&f, "a", "x", jf_absent(), false);
	old = log_read(&f);
	assert_int_equal(journal_compact(f.j), 0);
	jf_put(&f, "b", "x", jf_absent(), false);
	jf_close(&f);
	/* Killed before the old segment went, and another time before the new one was named. */
	assert_int_equal(fs_write_file_atomic(f.journal_fd, "log.1", old.buf, old.len, 0600, false),
			 0);
	assert_int_equal(
		fs_write_file_atomic(f.journal_fd, "new.3", old.buf, old.len - 5, 0600, false), 0);
	jf_open(&f);
	jf_assert_line(&f, "put:a put:b");
	assert_int_equal(faccessat(f.journal_fd, "log.1", F_OK, 0), -1);
	assert_int_equal(faccessat(f.journal_fd, "new.3", F_OK, 0), -1);
	free(old.buf);
	jf_teardown(&f);
}

/* --- a disk that is full --- */

/* Appends until it fails; returns the number that were told. */
static unsigned int fill_up(struct journal_fixture *f)
{
	struct jent e = {.op = J_DELETE, .base = jf_match("etag")};
	char key[64];
	uint64_t seq;

	record_init(&e.rec);
	e.key = key;
	for (unsigned int i = 0;; i++) {
		int r;

		jf_text(key, sizeof(key), "dir/some/longer/name/%u", i);
		r = journal_append(f->j, &e, false, &seq);
		if (r) {
			assert_int_equal(r, -EFBIG);
			return i;
		}
		assert_true(i < 100000);
	}
}

static void test_failed_write_changes_nothing(void **state)
{
	struct rlimit old, small;
	struct journal_fixture f;
	unsigned int n;

	(void)state;
	jf_setup(&f);
	jf_open(&f);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = (struct rlimit){.rlim_cur = 300 * 1024 + 17, .rlim_max = old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	n = fill_up(&f);
	assert_true(n > 1000);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	jf_reopen(&f);
	assert_int_equal(f.report.torn, 0);
	assert_int_equal(f.report.live, n);
	jf_teardown(&f);
}

/* --- many at a time --- */

struct syncer {
	struct journal_fixture *f;
	unsigned int id;
};

static void *append_and_sync(void *arg)
{
	struct syncer *s = arg;

	for (unsigned int i = 0; i < 40; i++) {
		struct jent e = {.op = J_DELETE, .base = jf_match("etag")};
		char key[64];
		uint64_t seq;

		record_init(&e.rec);
		jf_text(key, sizeof(key), "%u/%u", s->id, i);
		e.key = key;
		if (journal_append(s->f->j, &e, false, &seq) || journal_sync(s->f->j))
			return s;
		if (i % 10 == s->id && journal_compact(s->f->j))
			return s;
	}
	return NULL;
}

static void test_syncs_and_compactions_together(void **state)
{
	struct journal_fixture f;
	struct syncer syncers[6];
	pthread_t threads[6];

	(void)state;
	jf_setup(&f);
	f.conf.segment_size = 2048;
	jf_open(&f);
	for (unsigned int i = 0; i < 6; i++) {
		syncers[i] = (struct syncer){.f = &f, .id = i};
		assert_int_equal(pthread_create(&threads[i], NULL, append_and_sync, &syncers[i]),
				 0);
	}
	for (unsigned int i = 0; i < 6; i++) {
		void *failed;

		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	jf_reopen(&f);
	assert_int_equal(f.report.live, 240);
	jf_teardown(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_killed_at_any_moment),
		cmocka_unit_test(test_cut_at_every_byte),
		cmocka_unit_test(test_flipped_bit_ends_the_log_there),
		cmocka_unit_test(test_damaged_head_is_no_reason_to_refuse),
		cmocka_unit_test(test_leftovers_of_a_compaction),
		cmocka_unit_test(test_failed_write_changes_nothing),
		cmocka_unit_test(test_syncs_and_compactions_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
