/* SPDX-License-Identifier: Apache-2.0 */
/* Body tiers: names in the mirror, the budget, the scan, and what a crash leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tiers/local.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/fsutil.h"

#define MIB (1024u * 1024u)

struct fixture {
	char dir[64];
	struct local *l;
	uint64_t next_id;
};

static struct local *open_tier(struct fixture *f, enum local_kind kind, bool keep_open)
{
	struct local_conf conf = {
		.kind = kind,
		.name = kind == LOCAL_DISK ? "warm" : "ram",
		.path = f->dir,
		.ram_fd = -1,
		.max_size = 16 * MIB,
		.keep_open = keep_open,
	};
	struct local *l = NULL;
	struct err err = {{0}};
	int r = local_open(&conf, &l, &err);

	if (r)
		fail_msg("local_open: %s", err_text(&err, r));
	return l;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static int setup_kind(void **state, enum local_kind kind)
{
	struct fixture *f = calloc(1, sizeof(*f));

	snprintf(f->dir, sizeof(f->dir), "/tmp/cogfs-local-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->l = open_tier(f, kind, false);
	f->next_id = 1;
	*state = f;
	return 0;
}

static int setup_disk(void **state)
{
	return setup_kind(state, LOCAL_DISK);
}

static int setup_ram(void **state)
{
	return setup_kind(state, LOCAL_RAM);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	local_close(f->l);
	nftw(f->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(f);
	return 0;
}

static uint64_t make_body(struct fixture *f, const char *text)
{
	uint64_t id = f->next_id++;
	CLEANUP_CLOSE int fd = local_create(f->l->partial_fd, id);

	assert_true(fd >= 0);
	assert_int_equal(fs_pwrite_full(fd, text, strlen(text), 0), 0);
	return id;
}

static void file_record(struct record *rec)
{
	record_init(rec);
	rec->known = REC_MODE | REC_MTIME;
	rec->mode = S_IFREG | 0644;
	rec->mtime_ns = 1700000000 * NSEC_PER_SEC + 123456789;
}

static int publish_id(struct fixture *f, int dirfd, uint64_t id, const char *key, bool link)
{
	struct record rec;
	int r;

	file_record(&rec);
	r = local_body_publish(f->l, dirfd, id, key, &rec, link);
	record_release(&rec);
	return r;
}

static void publish(struct fixture *f, const char *key, const char *text)
{
	assert_int_equal(publish_id(f, f->l->partial_fd, make_body(f, text), key, false), 0);
}

static void expect_body(struct local *l, const char *key, const char *text)
{
	CLEANUP_CLOSE int fd = local_body_open(l, key, O_RDONLY);
	char buf[256] = "";

	if (fd < 0)
		fail_msg("%s: %s", key, strerror(-fd));
	assert_true(fs_pread_full(fd, buf, sizeof(buf) - 1, 0) >= 0);
	assert_string_equal(buf, text);
}

static void expect_absent(struct local *l, const char *key)
{
	assert_int_equal(local_body_open(l, key, O_RDONLY), -ENOENT);
}

static bool in_mirror(struct local *l, const char *key)
{
	struct stat st;

	return fs_stat_beneath(l->objects_fd, key, &st) == 0;
}

static int make_dir(struct local *l, const char *key)
{
	struct record rec;
	int r;

	record_init(&rec);
	rec.known = REC_MODE;
	rec.mode = S_IFDIR | 0755;
	r = local_dir_make(l, key, &rec);
	record_release(&rec);
	return r;
}

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

/* --- budget --- */

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
#define DISK(fn) cmocka_unit_test_setup_teardown(fn, setup_disk, teardown)
#define RAM(fn) cmocka_unit_test_setup_teardown(fn, setup_ram, teardown)
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
		DISK(test_budget_limits),
		DISK(test_budget_threads),
		DISK(test_cost),
		RAM(test_cost),
		DISK(test_min_free),
		RAM(test_ram_tmpfs),
		RAM(test_ram_handed_over),
		DISK(test_ram_fallback),
		DISK(test_crash),
	};

	return cmocka_run_group_tests_name("local", tests, NULL, NULL);
}
