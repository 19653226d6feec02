/* SPDX-License-Identifier: Apache-2.0 */
/* The cache directory: format, lock, checkpoint, and numbers that never come again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache/cachedir.h"
#include "tiers/local.h"
#include "util/cleanup.h"
#include "util/fsutil.h"

struct fixture {
	char top[64], path[96];
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	snprintf(f->top, sizeof(f->top), "/tmp/cogfs-cachedir-XXXXXX");
	assert_non_null(mkdtemp(f->top));
	snprintf(f->path, sizeof(f->path), "%s/new/cache", f->top);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	nftw(f->top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(f);
	return 0;
}

static void open_ok(struct fixture *f, struct cachedir *dir, struct cachedir_state *st)
{
	struct err err = {{0}};
	int r = cachedir_open(f->path, -1, "/mnt/here", dir, st, &err);

	if (r)
		fail_msg("cachedir_open: %s", err_text(&err, r));
}

static int open_fails(struct fixture *f, struct err *err)
{
	struct cachedir dir;
	struct cachedir_state st;

	return cachedir_open(f->path, -1, "/mnt/other", &dir, &st, err);
}

static void write_file(struct fixture *f, const char *name, const char *text)
{
	CLEANUP_CLOSE int fd = fs_open_root(f->path, 0700);

	assert_true(fd >= 0);
	assert_int_equal(fs_write_file_atomic(fd, name, text, strlen(text), 0600, false), 0);
}

/* A new directory is made with its parts, and counts as left in order. */
static void test_new(void **state)
{
	struct fixture *f = *state;
	struct cachedir dir;
	struct cachedir_state st;
	CLEANUP_FREE char *text = NULL;
	struct stat s;
	size_t len;

	open_ok(f, &dir, &st);
	assert_true(st.clean && st.same_boot);
	assert_true(dir.lock_fd >= 0 && dir.journal_fd >= 0 && dir.staging_fd >= 0);
	assert_true(dir.next_id > 0);
	assert_int_equal(fs_read_file(dir.fd, "FORMAT", 4096, &text, &len), 0);
	assert_int_equal(strncmp(text, "cogfs-cache 1\n", 14), 0);
	assert_int_equal(stat(f->path, &s), 0);
	assert_int_equal(s.st_mode & 07777, 0700);
	cachedir_release(&dir);
}

/* A checkpoint comes back; only a clean one says clean, and only for the next opening. */
static void test_checkpoint(void **state)
{
	struct fixture *f = *state;
	struct cachedir dir;
	struct cachedir_state st;

	open_ok(f, &dir, &st);
	st = (struct cachedir_state){
		.clean = true, .synced_ns = 42, .disk_bytes = 7, .disk_objects = 3};
	assert_int_equal(cachedir_checkpoint(&dir, &st, true), 0);
	cachedir_release(&dir);
	open_ok(f, &dir, &st);
	assert_true(st.clean && st.same_boot);
	assert_int_equal(st.synced_ns, 42);
	assert_int_equal(st.disk_bytes, 7);
	assert_int_equal(st.disk_objects, 3);
	cachedir_release(&dir);
	open_ok(f, &dir, &st);
	assert_false(st.clean);
	assert_int_equal(st.disk_bytes, 7);
	cachedir_release(&dir);
}

/* A state that is torn, or of another machine's life, is not believed. */
static void test_bad_state(void **state)
{
	static const char *const bad[] = {"", "clean 1\n", "clean 1\nend 0000000000000000\n",
					  "clean 1\nboot_id x\nend zz"};
	struct fixture *f = *state;
	struct cachedir dir;
	struct cachedir_state st;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		open_ok(f, &dir, &st);
		cachedir_release(&dir);
		write_file(f, "state", bad[i]);
		open_ok(f, &dir, &st);
		assert_false(st.clean);
		assert_false(st.same_boot);
		assert_int_equal(st.disk_bytes, 0);
		cachedir_release(&dir);
	}
}

/* Numbers ascend over orderly ends, crashes, and checkpoints that name larger ones. */
static void test_ids(void **state)
{
	struct fixture *f = *state;
	struct cachedir dir;
	struct cachedir_state st;
	uint64_t last = 0;

	for (int i = 0; i < 10; i++) {
		open_ok(f, &dir, &st);
		assert_int_equal(st.next_id, dir.next_id);
		assert_true(dir.next_id > last);
		dir.next_id += 1000000;
		last = dir.next_id;
		if (i % 2) {
			st.clean = true;
			assert_int_equal(cachedir_checkpoint(&dir, &st, false), 0);
		}
		cachedir_release(&dir);
	}
}

/* With the state lost, the files themselves say which numbers were used. */
static void test_ids_without_state(void **state)
{
	struct fixture *f = *state;
	struct cachedir dir;
	struct cachedir_state st;
	uint64_t used;

	open_ok(f, &dir, &st);
	used = dir.next_id + 5;
	close(local_create(dir.staging_fd, used));
	assert_int_equal(unlinkat(dir.fd, "state", 0), 0);
	cachedir_release(&dir);
	open_ok(f, &dir, &st);
	assert_true(dir.next_id > used);
	cachedir_release(&dir);
}

/* A second user is refused, and told who has it; when that one dies, the lock is free. */
static void test_lock(void **state)
{
	struct fixture *f = *state;
	struct cachedir dir;
	struct cachedir_state st;
	struct err err = {{0}};
	char pid_text[32];
	int ready[2];
	char c;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		open_ok(f, &dir, &st);
		if (write(ready[1], "x", 1) == 1)
			pause();
		_exit(0);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(open_fails(f, &err), -EBUSY);
	snprintf(pid_text, sizeof(pid_text), "process %d,", (int)pid);
	assert_non_null(strstr(err.text, pid_text));
	assert_non_null(strstr(err.text, "/mnt/here"));
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	open_ok(f, &dir, &st);
	assert_false(st.clean);
	cachedir_release(&dir);
	close(ready[0]);
	close(ready[1]);
}

/* A lock that was handed over is used and not released; one of another directory is refused. */
static void test_lock_handed_over(void **state)
{
	struct fixture *f = *state;
	struct cachedir dir;
	struct cachedir_state st;
	struct err err = {{0}};
	CLEANUP_CLOSE int lock = cachedir_lock(f->path, "/mnt/here", &err);
	CLEANUP_CLOSE int other = open("/dev/null", O_RDONLY);

	assert_true(lock >= 0);
	assert_int_equal(cachedir_open(f->path, lock, "/mnt/here", &dir, &st, &err), 0);
	assert_int_equal(dir.lock_fd, -1);
	cachedir_release(&dir);
	assert_int_equal(open_fails(f, &err), -EBUSY);
	assert_int_equal(cachedir_open(f->path, other, "/mnt/here", &dir, &st, &err), -EINVAL);
}

/* Another format is refused with the program that wrote it, and nothing is changed. */
static void test_other_format(void **state)
{
	struct fixture *f = *state;
	struct err err = {{0}};
	struct stat s;
	char path[128];

	write_file(f, "FORMAT",
		   "cogfs-cache 2\n00000000-0000-4000-8000-000000000000\ncogfs 9.9.9\n");
	assert_int_equal(open_fails(f, &err), -EPROTO);
	assert_non_null(strstr(err.text, "format 2, written by cogfs 9.9.9"));
	snprintf(path, sizeof(path), "%s/journal", f->path);
	assert_int_equal(stat(path, &s), -1);
	write_file(f, "FORMAT", "something else\n");
	assert_int_equal(open_fails(f, &err), -EPROTO);
}

/* A directory that is in use for something else is not taken over. */
static void test_foreign(void **state)
{
	struct fixture *f = *state;
	struct err err = {{0}};
	char path[128];
	struct stat s;

	snprintf(path, sizeof(path), "%s/objects", f->path);
	close(fs_open_root(path, 0700));
	assert_int_equal(open_fails(f, &err), -EPROTO);
	assert_non_null(strstr(err.text, "objects/"));
	snprintf(path, sizeof(path), "%s/FORMAT", f->path);
	assert_int_equal(stat(path, &s), -1);
}

/* Links that are planted for our files lead nowhere. */
static void test_planted(void **state)
{
	struct fixture *f = *state;
	struct err err = {{0}};
	char target[128], path[128];
	struct stat s;

	close(fs_open_root(f->path, 0700));
	snprintf(target, sizeof(target), "%s/victim", f->top);
	snprintf(path, sizeof(path), "%s/lock", f->path);
	assert_int_equal(symlink(target, path), 0);
	assert_true(open_fails(f, &err) < 0);
	assert_int_equal(stat(target, &s), -1);
	assert_int_equal(unlink(path), 0);
	snprintf(path, sizeof(path), "%s/state", f->path);
	assert_int_equal(symlink(target, path), 0);
	assert_true(open_fails(f, &err) < 0);
	assert_int_equal(stat(target, &s), -1);
}

/* Killed at any moment, the next opening finds a whole state and unused numbers. */
static void test_crash(void **state)
{
	struct fixture *f = *state;
	uint64_t last = 0;

	for (int round = 0; round < 25; round++) {
		struct cachedir dir;
		struct cachedir_state st;
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0) {
			open_ok(f, &dir, &st);
			for (uint64_t i = 1;; i++) {
				st = (struct cachedir_state){.disk_bytes = 1,
							     .next_id = ++dir.next_id};
				cachedir_checkpoint(&dir, &st, false);
			}
		}
		usleep((useconds_t)(3000 + round * 611));
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		open_ok(f, &dir, &st);
		assert_false(st.clean && st.disk_bytes);
		assert_true(dir.next_id > last);
		last = dir.next_id;
		cachedir_release(&dir);
	}
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_new),
		TEST(test_checkpoint),
		TEST(test_bad_state),
		TEST(test_ids),
		TEST(test_ids_without_state),
		TEST(test_lock),
		TEST(test_lock_handed_over),
		TEST(test_other_format),
		TEST(test_foreign),
		TEST(test_planted),
		TEST(test_crash),
	};

	return cmocka_run_group_tests_name("cachedir", tests, NULL, NULL);
}
