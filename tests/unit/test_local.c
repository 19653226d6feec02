/* SPDX-License-Identifier: Apache-2.0 */
/* Body tiers: names in the mirror, the scan, and what a crash leaves. */
#include "local_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/fsutil.h"

/* A published body has its key, its bytes, its record and the record's mtime. */
static void test_publish(void **state)
{
	struct fixture *f = *state;
	uint64_t id = make_body(f, "one");
	struct record rec;
	struct stat st;

	assert_int_equal(publish_id(f, f->l->partial_fd, id, "a/b/c.jpg", false), 0);
	expect_body(f->l, "a/b/c.jpg", "one");
	assert_int_equal(local_open_id(f->l->partial_fd, id, O_RDONLY), -ENOENT);

	CLEANUP_CLOSE int fd = local_body_open(f->l, "a/b/c.jpg", O_RDWR);
	assert_true(fd >= 0);
	record_init(&rec);
	assert_int_equal(record_from_fd(&rec, fd), 0);
	assert_int_equal(rec.mode, S_IFREG | 0644);
	assert_int_equal(rec.size, 3);
	record_release(&rec);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mtim.tv_sec, 1700000000);
	assert_int_equal(st.st_mtim.tv_nsec, 123456789);
}

/* A publish over a body replaces it, and an open descriptor keeps the old bytes. */
static void test_replace(void **state)
{
	struct fixture *f = *state;
	char buf[8] = "";

	publish(f, "k", "old");
	CLEANUP_CLOSE int fd = local_body_open(f->l, "k", O_RDONLY);
	publish(f, "k", "new");
	expect_body(f->l, "k", "new");
	assert_int_equal(fs_pread_full(fd, buf, sizeof(buf), 0), 3);
	assert_string_equal(buf, "old");
}

/* A publish with link leaves the number, and may be done again for the same inode. */
static void test_publish_link(void **state)
{
	struct fixture *f = *state;
	uint64_t id = make_body(f, "linked");

	publish(f, "d/k", "before");
	assert_int_equal(publish_id(f, f->l->partial_fd, id, "d/k", true), 0);
	assert_int_equal(publish_id(f, f->l->partial_fd, id, "d/k", true), 0);
	expect_body(f->l, "d/k", "linked");
	CLEANUP_CLOSE int fd = local_open_id(f->l->partial_fd, id, O_RDONLY);
	assert_true(fd >= 0);
	/* Without link, the number goes although both names are one inode already. */
	assert_int_equal(publish_id(f, f->l->partial_fd, id, "d/k", false), 0);
	assert_int_equal(local_open_id(f->l->partial_fd, id, O_RDONLY), -ENOENT);
	expect_body(f->l, "d/k", "linked");
}

/* A stale file in a directory's place, or an empty directory in a file's, gives way. */
static void test_kind_changes(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(make_dir(f->l, "x"), 0);
	publish(f, "x", "file now");
	expect_body(f->l, "x", "file now");
	publish(f, "d/inner", "in a directory");
	assert_int_equal(local_body_rename(f->l, "d", "x"), 0);
	expect_body(f->l, "x/inner", "in a directory");
	/* One that holds something stays. */
	uint64_t id = make_body(f, "no");
	assert_int_equal(publish_id(f, f->l->partial_fd, id, "x", false), -EISDIR);
	expect_body(f->l, "x/inner", "in a directory");
}

/* A displaced body is found under its number, and its key is gone. */
static void test_displace(void **state)
{
	struct fixture *f = *state;
	char buf[8] = "";

	publish(f, "p/q/r", "moved");
	assert_int_equal(local_body_displace(f->l, "p/q/r", f->l->open_fd, 77), 0);
	expect_absent(f->l, "p/q/r");
	assert_false(in_mirror(f->l, "p"));
	CLEANUP_CLOSE int fd = local_open_id(f->l->open_fd, 77, O_RDONLY);
	assert_int_equal(fs_pread_full(fd, buf, sizeof(buf), 0), 5);
	assert_string_equal(buf, "moved");
	assert_int_equal(local_body_displace(f->l, "p/q/r", f->l->open_fd, 78), -ENOENT);
	assert_int_equal(local_unlink_id(f->l->open_fd, 77), 0);
	assert_int_equal(local_unlink_id(f->l->open_fd, 77), 0);
}

/* Unlinking prunes implied directories up to the first that holds something. */
static void test_prune_implied(void **state)
{
	struct fixture *f = *state;

	publish(f, "a/b/c/one", "1");
	publish(f, "a/two", "2");
	assert_int_equal(local_body_unlink(f->l, "a/b/c/one"), 0);
	assert_false(in_mirror(f->l, "a/b"));
	assert_true(in_mirror(f->l, "a"));
	assert_int_equal(local_body_unlink(f->l, "a/two"), 0);
	assert_false(in_mirror(f->l, "a"));
	assert_int_equal(local_body_unlink(f->l, "a/two"), -ENOENT);
}

/* A directory that somebody made stays when it is empty; one above it that is implied then stays
 * too. */
static void test_prune_keeps_made(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(make_dir(f->l, "a/made"), 0);
	publish(f, "a/made/sub/file", "1");
	assert_int_equal(local_body_unlink(f->l, "a/made/sub/file"), 0);
	assert_false(in_mirror(f->l, "a/made/sub"));
	assert_true(in_mirror(f->l, "a/made"));
	assert_int_equal(local_dir_remove(f->l, "a/made"), 0);
	assert_false(in_mirror(f->l, "a"));
	assert_int_equal(local_dir_remove(f->l, "a/made"), -ENOENT);
}

/* A directory that holds something is not removed. */
static void test_dir_remove_full(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(make_dir(f->l, "d"), 0);
	publish(f, "d/file", "1");
	assert_int_equal(local_dir_remove(f->l, "d"), -ENOTEMPTY);
	expect_body(f->l, "d/file", "1");
}

/* Renames move files over files, whole directories over empty ones, and prune what they leave. */
static void test_rename(void **state)
{
	struct fixture *f = *state;

	publish(f, "from/x/1", "one");
	publish(f, "from/x/2", "two");
	publish(f, "to/old", "old");
	assert_int_equal(local_body_rename(f->l, "from/x/1", "to/old"), 0);
	expect_body(f->l, "to/old", "one");
	assert_int_equal(make_dir(f->l, "empty"), 0);
	assert_int_equal(local_body_rename(f->l, "from/x", "empty"), 0);
	expect_body(f->l, "empty/2", "two");
	assert_false(in_mirror(f->l, "from"));
	assert_int_equal(local_body_rename(f->l, "empty", "to"), -ENOTEMPTY);
	assert_int_equal(local_body_rename(f->l, "nothing", "to"), -ENOENT);
}

/* Any byte but '/' and NUL may be part of a name. */
static void test_odd_names(void **state)
{
	struct fixture *f = *state;
	char name[256], all[256];
	size_t n = 0;

	for (int c = 1; c < 256; c++) {
		if (c != '/')
			all[n++] = (char)c;
	}
	all[n] = '\0';
	publish(f, all, "every byte");
	expect_body(f->l, all, "every byte");
	memset(name, 'n', 255);
	name[255] = '\0';
	publish(f, name, "long");
	expect_body(f->l, name, "long");
	publish(f, " / . \n/...", "odd");
	expect_body(f->l, " / . \n/...", "odd");
}

/* What is no safe path is refused before it reaches the filesystem. */
static void test_unsafe_keys(void **state)
{
	static const char *const bad[] = {"", "..", "a/../b", "/etc/passwd", "a//b", "a/", "./a"};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint64_t id = make_body(f, "x");

		assert_true(publish_id(f, f->l->partial_fd, id, bad[i], false) < 0);
		assert_int_equal(local_body_open(f->l, bad[i], O_RDONLY), -ENOENT);
		assert_true(local_body_unlink(f->l, bad[i]) < 0);
		assert_true(make_dir(f->l, bad[i]) < 0);
	}
}

static int count_found(void *arg, const struct local_found *found)
{
	(*(int *)arg)++;
	return 0;
}

static int count_name(void *arg, const char *name, unsigned char d_type)
{
	(*(int *)arg)++;
	return 0;
}

/* Links and devices that somebody plants in the mirror are never followed, opened or shown. */
static void test_planted(void **state)
{
	struct fixture *f = *state;
	CLEANUP_CLOSE int out = -1;
	int seen = 0;

	publish(f, "dir/real", "real");
	assert_int_equal(symlinkat("/etc/passwd", f->l->objects_fd, "link"), 0);
	assert_int_equal(symlinkat("/etc", f->l->objects_fd, "way_out"), 0);
	assert_int_equal(symlinkat("dir", f->l->objects_fd, "inner"), 0);
	assert_int_equal(mkfifoat(f->l->objects_fd, "fifo", 0600), 0);
	expect_absent(f->l, "link");
	expect_absent(f->l, "way_out/passwd");
	expect_absent(f->l, "inner/real");
	expect_absent(f->l, "fifo");
	assert_int_equal(local_body_open(f->l, "fifo", O_WRONLY), -ENOENT);
	assert_true(publish_id(f, f->l->partial_fd, make_body(f, "x"), "way_out/cogfs-test",
			       false) < 0);
	assert_int_equal(access("/etc/cogfs-test", F_OK), -1);
	assert_true(local_body_unlink(f->l, "inner/real") < 0);
	expect_body(f->l, "dir/real", "real");
	assert_int_equal(local_readdir(f->l, "", count_name, &seen), 0);
	assert_int_equal(seen, 1);
	seen = 0;
	assert_int_equal(local_scan(f->l, count_found, &seen), 0);
	assert_int_equal(seen, 2);
	/* A body replaces a link at its own name, and what that pointed to is as it was. */
	publish(f, "link", "mine");
	expect_body(f->l, "link", "mine");
	out = open("/etc/passwd", O_RDONLY);
	assert_true(out >= 0);
}

/* A directory is no body. */
static void test_open_dir(void **state)
{
	struct fixture *f = *state;

	publish(f, "d/x", "1");
	assert_int_equal(local_body_open(f->l, "d", O_RDONLY), -EISDIR);
}

struct seen {
	int files, dirs, made;
	uint64_t cost;
};

static int look(void *arg, const struct local_found *found)
{
	struct seen *seen = arg;
	struct record rec;

	record_init(&rec);
	seen->files += !found->dir;
	seen->dirs += found->dir;
	seen->made += found->dir && record_from_fd(&rec, found->fd) == 0;
	seen->cost += found->cost;
	assert_true(found->used_ns > 0);
	record_release(&rec);
	return 0;
}

/* The scan finds each body and directory once, with its cost, and ends when it is told to. */
static void test_scan(void **state)
{
	struct fixture *f = *state;
	struct seen seen = {0};
	char key[64];

	for (int i = 0; i < 50; i++) {
		snprintf(key, sizeof(key), "d%d/e/f%d", i % 5, i);
		publish(f, key, "12345");
	}
	assert_int_equal(make_dir(f->l, "made"), 0);
	assert_int_equal(local_scan(f->l, look, &seen), 0);
	assert_int_equal(seen.files, 50);
	assert_int_equal(seen.dirs, 11);
	assert_int_equal(seen.made, 1);
	assert_true(seen.cost >= 50 * 4096);
}

static int stop_at_third(void *arg, const struct local_found *found)
{
	return ++*(int *)arg == 3 ? -ECANCELED : 0;
}

static void test_scan_stops(void **state)
{
	struct fixture *f = *state;
	int n = 0;

	for (int i = 0; i < 5; i++) {
		char key[16];

		snprintf(key, sizeof(key), "a/b/%d", i);
		publish(f, key, "x");
	}
	assert_int_equal(local_scan(f->l, stop_at_third, &n), -ECANCELED);
	assert_int_equal(n, 3);
}

/* One directory: the names in it, not deeper; absent is -ENOENT. */
static void test_readdir(void **state)
{
	struct fixture *f = *state;
	int n = 0;

	publish(f, "d/one", "1");
	publish(f, "d/sub/two", "2");
	assert_int_equal(local_readdir(f->l, "d", count_name, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(local_readdir(f->l, "none", count_name, &n), -ENOENT);
}

/* A fresh start empties partial/ and open/, keeps objects/ and staging/; a supervised one keeps
 * all. */
static void test_reopen(void **state)
{
	struct fixture *f = *state;
	int fd;

	publish(f, "kept", "body");
	make_body(f, "half");
	close(local_create(f->l->open_fd, 500));
	close(local_create(f->l->staging_fd, 501));
	local_close(f->l);
	f->l = open_tier(f, LOCAL_DISK, true);
	fd = local_open_id(f->l->open_fd, 500, O_RDONLY);
	assert_true(fd >= 0);
	close(fd);
	local_close(f->l);
	f->l = open_tier(f, LOCAL_DISK, false);
	assert_int_equal(local_open_id(f->l->open_fd, 500, O_RDONLY), -ENOENT);
	fd = local_open_id(f->l->staging_fd, 501, O_RDONLY);
	assert_true(fd >= 0);
	close(fd);
	expect_body(f->l, "kept", "body");
}

/* A directory with an objects/ of somebody else is refused and left alone. */
static void test_foreign(void **state)
{
	struct fixture *f = *state;
	char dir[96], objects[112];
	struct local_conf conf = {.kind = LOCAL_DISK, .name = "warm", .path = dir, .ram_fd = -1};
	struct local *l = NULL;
	struct err err = {{0}};

	snprintf(dir, sizeof(dir), "%s/foreign", f->dir);
	snprintf(objects, sizeof(objects), "%s/objects", dir);
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(mkdir(objects, 0700), 0);
	assert_int_equal(local_open(&conf, &l, &err), -EPROTO);
	assert_non_null(strstr(err.text, "objects/"));
	assert_null(l);
	assert_int_equal(rmdir(objects), 0);
	assert_int_equal(rmdir(dir), 0);
}

/* --- crash --- */

static void publish_for_ever(struct fixture *f)
{
	for (unsigned int i = 0;; i++) {
		char text[32];
		uint64_t id;

		snprintf(text, sizeof(text), i % 2 ? "odd%d" : "even%d", (int)i);
		id = make_body(f, text);
		publish_id(f, f->l->partial_fd, id, "d/key", i % 3 == 0);
		local_unlink_id(f->l->partial_fd, id);
		if (i % 7 == 0)
			local_body_rename(f->l, "d/key", "e/key");
		if (i % 11 == 0)
			local_body_unlink(f->l, "d/key");
	}
}

static int check_whole(void *arg, const struct local_found *found)
{
	struct record rec;
	char buf[32] = "";

	if (found->dir)
		return 0;
	assert_true(fs_pread_full(found->fd, buf, sizeof(buf) - 1, 0) > 3);
	assert_true(strncmp(buf, "odd", 3) == 0 || strncmp(buf, "even", 4) == 0);
	record_init(&rec);
	assert_int_equal(record_from_fd(&rec, found->fd), 0);
	assert_int_equal(rec.mode, S_IFREG | 0644);
	record_release(&rec);
	(*(int *)arg)++;
	return 0;
}

/* Killed between any two steps, every key is a whole body with its record, old or new. */
static void test_crash(void **state)
{
	struct fixture *f = *state;
	int bodies = 0;

	for (int round = 0; round < 60; round++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0)
			publish_for_ever(f);
		usleep((useconds_t)(2000 + round * 137));
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		local_close(f->l);
		f->l = open_tier(f, LOCAL_DISK, false);
		assert_int_equal(local_scan(f->l, check_whole, &bodies), 0);
	}
	assert_true(bodies > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DISK(test_publish),
		RAM(test_publish),
		DISK(test_replace),
		RAM(test_replace),
		DISK(test_publish_link),
		RAM(test_publish_link),
		DISK(test_kind_changes),
		DISK(test_displace),
		DISK(test_prune_implied),
		DISK(test_prune_keeps_made),
		RAM(test_prune_keeps_made),
		DISK(test_dir_remove_full),
		DISK(test_rename),
		RAM(test_rename),
		DISK(test_odd_names),
		RAM(test_odd_names),
		DISK(test_unsafe_keys),
		DISK(test_planted),
		RAM(test_planted),
		DISK(test_open_dir),
		DISK(test_scan),
		RAM(test_scan),
		DISK(test_scan_stops),
		DISK(test_readdir),
		DISK(test_reopen),
		DISK(test_foreign),
		DISK(test_crash),
	};

	return cmocka_run_group_tests_name("local", tests, NULL, NULL);
}
