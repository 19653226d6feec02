/* SPDX-License-Identifier: Apache-2.0 */
/* Body tiers: the limits on bytes, objects and free space, and where the RAM tier lives. */
#include "local_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/cleanup.h"

/* Nothing is admitted over a limit, and a refusal admits nothing at all. */
static void test_budget_limits(void **state)
{
	struct fixture *f = *state;
	struct local *l = f->l;

	assert_int_equal(local_reserve(l, 1, true), 0);
	assert_int_equal(l->used, 4096);
	assert_int_equal(l->objects, 1);
	assert_int_equal(local_reserve(l, 16 * MIB - 4096, false), 0);
	assert_int_equal(local_reserve(l, 1, true), -ENOSPC);
	assert_int_equal(l->objects, 1);
	assert_int_equal(local_reserve(l, 0, false), 0);
	local_unreserve(l, 16 * MIB - 4096, false);
	assert_int_equal(local_reserve(l, UINT64_MAX, false), -ENOSPC);
	assert_int_equal(l->used, 4096);
	l->max_objects = 1;
	assert_int_equal(local_reserve(l, 1, true), -ENOSPC);
	assert_int_equal(l->used, 4096);
	local_adjust(l, -4096);
	local_unreserve(l, 0, true);
	assert_int_equal(l->used, 0);
	assert_int_equal(l->objects, 0);
	/* A limit that was made smaller than what is there admits nothing. */
	assert_int_equal(local_reserve(l, 8 * MIB, false), 0);
	l->max_size = 4 * MIB;
	assert_int_equal(local_reserve(l, 1, false), -ENOSPC);
}

static void *hammer(void *arg)
{
	struct local *l = arg;
	unsigned int seed = (unsigned int)(uintptr_t)&seed;
	uint64_t held[16] = {0};

	for (int i = 0; i < 100000; i++) {
		int at = rand_r(&seed) % 16;
		uint64_t bytes = (uint64_t)(rand_r(&seed) % (2 * MIB)) + 1;

		if (held[at])
			local_unreserve(l, held[at], true);
		held[at] = local_reserve(l, bytes, true) == 0 ? bytes : 0;
		if (l->used > (int64_t)l->max_size || l->objects > (int64_t)l->max_objects)
			return (void *)1;
	}
	for (int at = 0; at < 16; at++) {
		if (held[at])
			local_unreserve(l, held[at], true);
	}
	return NULL;
}

/* Eight threads that reserve and give back never make the totals exceed the limits, and lose
 * nothing. */
static void test_budget_threads(void **state)
{
	struct fixture *f = *state;
	pthread_t threads[8];

	f->l->max_objects = 40;
	for (int i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, hammer, f->l), 0);
	for (int i = 0; i < 8; i++) {
		void *over;

		pthread_join(threads[i], &over);
		assert_null(over);
	}
	assert_int_equal(f->l->used, 0);
	assert_int_equal(f->l->objects, 0);
}

/* The cost of a body is what the filesystem takes for it. */
static void test_cost(void **state)
{
	struct fixture *f = *state;
	CLEANUP_CLOSE int fd = local_create(f->l->partial_fd, 9);

	assert_int_equal(local_cost(fd), 0);
	assert_int_equal(fallocate(fd, 0, 0, 10000), 0);
	assert_int_equal(local_cost(fd), 12288);
}

static uint64_t available(int fd)
{
	struct statvfs vfs;

	assert_int_equal(fstatvfs(fd, &vfs), 0);
	return (uint64_t)vfs.f_bavail * vfs.f_frsize;
}

static void fill_to_min_free(struct local *l)
{
	CLEANUP_CLOSE int fd = local_create(l->partial_fd, 1);
	off_t at = 0;

	while (local_reserve(l, 65536, false) == 0) {
		assert_int_equal(fallocate(fd, 0, at, 65536), 0);
		assert_true(available(l->root_fd) >= l->min_free);
		at += 65536;
	}
	assert_true(at > 0);
	assert_true(available(l->root_fd) < l->min_free + 65536);
	local_unreserve(l, (uint64_t)at, false);
	assert_int_equal(ftruncate(fd, 0), 0);
}

/* Reservations stop before the filesystem falls below min_free, counting what is announced. */
static void test_min_free(void **state)
{
	struct fixture *f = *state;
	char dir[96];
	struct local_conf conf = {.kind = LOCAL_DISK,
				  .name = "warm",
				  .path = dir,
				  .ram_fd = -1,
				  .min_free = MIB,
				  .min_free_ratio = 0.5};
	struct local *l = NULL;
	struct err err = {{0}};

	snprintf(dir, sizeof(dir), "%s/small", f->dir);
	assert_int_equal(mkdir(dir, 0700), 0);
	if (unshare(CLONE_NEWNS) < 0 || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", dir, "tmpfs", 0, "size=8m") < 0) {
		print_message("this process may not mount a tmpfs\n");
		skip();
	}
	assert_int_equal(local_open(&conf, &l, &err), 0);
	assert_int_equal(l->min_free, 4 * MIB);
	fill_to_min_free(l);
	/* Admitted and announced, not written: nobody else may have these 3 MiB. */
	assert_int_equal(local_reserve(l, 3 * MIB, true), 0);
	local_unwritten(l, 3 * MIB);
	assert_int_equal(local_reserve(l, 2 * MIB, true), -ENOSPC);
	local_unwritten(l, -(int64_t)(3 * MIB));
	assert_int_equal(local_reserve(l, 2 * MIB, true), 0);
	local_close(l);
	assert_int_equal(umount(dir), 0);
}

/* --- RAM --- */

/* The RAM tier is a tmpfs of its own with the size that was asked for. */
static void test_ram_tmpfs(void **state)
{
	struct fixture *f = *state;
	struct statvfs vfs;

	if (f->l->ram_dir) {
		print_message("this process may not mount a tmpfs\n");
		skip();
	}
	assert_int_equal(fstatvfs(f->l->root_fd, &vfs), 0);
	assert_int_equal((uint64_t)vfs.f_blocks * vfs.f_frsize, 16 * MIB);
	assert_true(f->l->xattrs);
	assert_int_equal(f->l->staging_fd, -1);
}

/* A tmpfs that is handed over keeps its bodies when the tier is closed and opened again. */
static void test_ram_handed_over(void **state)
{
	struct fixture *f = *state;
	CLEANUP_CLOSE int fd = local_tmpfs(4 * MIB);
	struct local_conf conf = {
		.kind = LOCAL_RAM, .name = "ram", .ram_fd = fd, .max_size = 4 * MIB};
	struct err err = {{0}};

	if (fd < 0) {
		print_message("this process may not mount a tmpfs\n");
		skip();
	}
	for (int i = 0; i < 2; i++) {
		local_close(f->l);
		f->l = NULL;
		assert_int_equal(local_open(&conf, &f->l, &err), 0);
		if (i == 0)
			publish(f, "a/b", "kept");
		conf.keep_open = true;
	}
	expect_body(f->l, "a/b", "kept");
}

static int ram_dirs(const char *path)
{
	DIR *dir = opendir(path);
	int n = 0;

	for (struct dirent *de; (de = readdir(dir));)
		n += strncmp(de->d_name, "cogfs-ram-", 10) == 0;
	closedir(dir);
	return n;
}

/* Opens the tier where it may not mount (no capabilities), writes, and is killed. */
static void killed_without_mounts(struct fixture *f)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		if (chmod(f->dir, 0777) < 0 || setgid(65534) < 0 || setuid(65534) < 0)
			_exit(1);
		f->l = open_tier(f, LOCAL_RAM, false);
		publish(f, "left/behind", "x");
		if (!f->l->ram_dir || ram_dirs(f->dir) != 1)
			_exit(1);
		/* The one of this process is in use; a second tier beside it must not sweep it. */
		local_close(open_tier(f, LOCAL_RAM, false));
		expect_body(f->l, "left/behind", "x");
		raise(SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

/* Without the right to mount, a directory stands in; one whose owner was killed is swept by the
 * next. */
static void test_ram_fallback(void **state)
{
	struct fixture *f = *state;
	pid_t pid;
	int status;

	if (geteuid() != 0) {
		print_message("not root\n");
		skip();
	}
	killed_without_mounts(f);
	assert_int_equal(ram_dirs(f->dir), 1);
	pid = fork();
	if (pid == 0) {
		if (setgid(65534) < 0 || setuid(65534) < 0)
			_exit(1);
		local_close(open_tier(f, LOCAL_RAM, false));
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(ram_dirs(f->dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DISK(test_budget_limits),  DISK(test_budget_threads),
		DISK(test_cost),	   RAM(test_cost),
		DISK(test_min_free),	   RAM(test_ram_tmpfs),
		RAM(test_ram_handed_over), DISK(test_ram_fallback),
	};

	return cmocka_run_group_tests_name("local_budget", tests, NULL, NULL);
}
