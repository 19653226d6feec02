/* SPDX-License-Identifier: Apache-2.0 */
/* Names beneath a root: what is planted there never leads out of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/fsutil.h"

struct fixture {
	char top[64];
	int root; /* top/root; top/secret is outside */
};

static void write_file(int dirfd, const char *path, const char *text)
{
	CLEANUP_CLOSE int fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fs_pwrite_full(fd, text, strlen(text), 0), 0);
}

static void assert_content(int dirfd, const char *path, const char *text)
{
	CLEANUP_FREE char *buf = NULL;
	size_t len;

	assert_int_equal(fs_read_file(dirfd, path, 1 << 20, &buf, &len), 0);
	assert_int_equal(len, strlen(text));
	assert_string_equal(buf, text);
}

static unsigned int count_names(int dirfd)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fdopendir(fd);
	unsigned int count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count - 2; /* . and .. */
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	CLEANUP_CLOSE int top = -1;

	assert_non_null(f);
	snprintf(f->top, sizeof(f->top), "/tmp/cogfs-fsutil-XXXXXX");
	assert_non_null(mkdtemp(f->top));
	top = open(f->top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(top, "root", 0700), 0);
	assert_int_equal(mkdirat(top, "outside", 0700), 0);
	write_file(top, "outside/secret", "secret");
	f->root = openat(top, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->root >= 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close(f->root);
	nftw(f->top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(f);
	return 0;
}

/* A link, planted as a file or as a directory on the way, is refused and not followed. */
static void test_links_are_refused(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	assert_int_equal(symlinkat("../outside", f->root, "dir"), 0);
	assert_int_equal(symlinkat("../outside/secret", f->root, "file"), 0);
	assert_int_equal(fs_open_beneath(f->root, "file", O_RDONLY, 0), -ELOOP);
	assert_int_equal(fs_open_beneath(f->root, "dir/secret", O_RDONLY, 0), -ELOOP);
	assert_int_equal(fs_open_beneath(f->root, "dir/new", O_WRONLY | O_CREAT, 0600), -ELOOP);
	assert_int_equal(fs_unlink_beneath(f->root, "dir/secret"), -ELOOP);
	assert_int_equal(fs_mkdirs(f->root, "dir/new", 0700), -ELOOP);
	write_file(f->root, "mine", "mine");
	assert_int_equal(fs_rename_beneath(f->root, "mine", f->root, "dir/mine"), -ELOOP);
	assert_int_equal(fs_link_beneath(f->root, "dir/secret", f->root, "stolen"), -ELOOP);
	assert_int_equal(fs_stat_beneath(f->root, "dir/secret", &st), -ELOOP);
	assert_int_equal(fs_write_file_atomic(f->root, "dir/x", "x", 1, 0600, false), -ELOOP);
	fs_prune_parents(f->root, "dir/secret");
	assert_content(f->root, "mine", "mine");
}

/* Neither ".." nor an absolute path leaves the root. */
static void test_ways_out(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fs_mkdirs(f->root, "a", 0700), 0);
	assert_int_equal(fs_open_beneath(f->root, "../outside/secret", O_RDONLY, 0), -EXDEV);
	assert_int_equal(fs_open_beneath(f->root, "a/../../outside/secret", O_RDONLY, 0), -EXDEV);
	assert_int_equal(fs_open_beneath(f->root, "/etc/passwd", O_RDONLY, 0), -EXDEV);
	assert_int_equal(fs_unlink_beneath(f->root, "../outside/secret"), -EXDEV);
	assert_int_equal(fs_unlink_beneath(f->root, "a/.."), -EINVAL);
	assert_int_equal(fs_unlink_beneath(f->root, ".."), -EINVAL);
	assert_int_equal(fs_rename_beneath(f->root, "a", f->root, "b/.."), -EINVAL);
	assert_int_equal(fs_mkdirs(f->root, "a/../../outside/x", 0700), -EINVAL);
	assert_int_equal(fs_mkdirs(f->root, "a//b", 0700), -EINVAL);
}

/* A link can be looked at as a link. */
static void test_stat_of_link(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	assert_int_equal(symlinkat("nowhere", f->root, "link"), 0);
	assert_int_equal(fs_stat_beneath(f->root, "link", &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(fs_stat_beneath(f->root, "none", &st), -ENOENT);
	assert_int_equal(fs_stat_beneath(f->root, "", &st), 0);
	assert_true(S_ISDIR(st.st_mode));
}

/* Descriptors are closed at exec, whatever the caller's flags. */
static void test_close_on_exec(void **state)
{
	struct fixture *f = *state;
	CLEANUP_CLOSE int fd = fs_open_beneath(f->root, "new", O_RDWR | O_CREAT, 0600);

	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

/* Parents are made where asked for, and only there; a file in the way is ENOTDIR. */
static void test_parents(void **state)
{
	struct fixture *f = *state;
	const char *base = NULL;
	int fd;

	assert_int_equal(fs_open_parent(f->root, "a/b/c", false, &base), -ENOENT);
	assert_null(base);
	fd = fs_open_parent(f->root, "a/b/c", true, &base);
	assert_true(fd >= 0);
	assert_string_equal(base, "c");
	assert_int_equal(fsync(fd), 0); /* no O_PATH descriptor, although the root is one */
	close(fd);
	write_file(f->root, "file", "x");
	assert_int_equal(fs_open_parent(f->root, "file/b", true, &base), -ENOTDIR);
	assert_int_equal(fs_open_parent(f->root, "a/", true, &base), -EINVAL);
	assert_int_equal(fs_open_parent(f->root, "", true, &base), -EINVAL);
}

/* Empty directories go with the last name below them, up to the first that holds something. */
static void test_prune(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	assert_int_equal(fs_mkdirs(f->root, "a/b/c/d", 0700), 0);
	write_file(f->root, "a/keep", "x");
	fs_prune_parents(f->root, "a/b/c/d/gone");
	assert_int_equal(fs_stat_beneath(f->root, "a/b", &st), -ENOENT);
	assert_int_equal(fs_stat_beneath(f->root, "a/keep", &st), 0);
	fs_prune_parents(f->root, "gone");
	assert_int_equal(fs_stat_beneath(f->root, "a", &st), 0);
}

/* A rename makes the parents of its target and replaces what is there. */
static void test_rename(void **state)
{
	struct fixture *f = *state;

	write_file(f->root, "old", "new text");
	assert_int_equal(fs_mkdirs(f->root, "x", 0700), 0);
	write_file(f->root, "x/y", "old text");
	assert_int_equal(fs_rename_beneath(f->root, "old", f->root, "x/y"), 0);
	assert_content(f->root, "x/y", "new text");
	assert_int_equal(fs_rename_beneath(f->root, "x/y", f->root, "p/q/r"), 0);
	assert_content(f->root, "p/q/r", "new text");
	assert_int_equal(fs_rename_beneath(f->root, "none", f->root, "z/z"), -ENOENT);
	assert_int_equal(fs_rename_beneath(f->root, "none/none", f->root, "z/z"), -ENOENT);
}

/* A link replaces its target at once, also by the same inode, and leaves no temporary name. */
static void test_link_replaces(void **state)
{
	struct fixture *f = *state;
	struct stat a, b;

	write_file(f->root, "a", "A");
	write_file(f->root, "b", "B");
	for (int i = 0; i < 2; i++) {
		assert_int_equal(fs_link_beneath(f->root, "a", f->root, "b"), 0);
		assert_int_equal(fs_stat_beneath(f->root, "a", &a), 0);
		assert_int_equal(fs_stat_beneath(f->root, "b", &b), 0);
		assert_int_equal(a.st_ino, b.st_ino);
		assert_int_equal(a.st_nlink, 2);
		assert_int_equal(count_names(f->root), 2);
	}
	assert_int_equal(fs_link_beneath(f->root, "a", f->root, "deep/er"), 0);
	assert_content(f->root, "deep/er", "A");
}

struct churn {
	int root, result;
	char source[8], name[32], other[32];
};

/* Makes names in the same directory and takes them away again, with the directories above. */
static void *churn_names(void *arg)
{
	struct churn *c = arg;

	for (int i = 0; i < 300 && c->result == 0; i++) {
		c->result = fs_link_beneath(c->root, c->source, c->root, c->name);
		if (c->result == 0)
			c->result = fs_rename_beneath(c->root, c->name, c->root, c->other);
		if (c->result == 0)
			c->result = fs_unlink_beneath(c->root, c->other);
		fs_prune_parents(c->root, c->other);
	}
	return NULL;
}

/* Those who take the last name of a directory away do not disturb those who bring a new one. */
static void test_pruning_race(void **state)
{
	struct fixture *f = *state;
	struct churn churns[3];
	pthread_t threads[3];

	for (int i = 0; i < 3; i++) {
		churns[i] = (struct churn){.root = f->root};
		snprintf(churns[i].source, sizeof(churns[i].source), "s%d", i);
		snprintf(churns[i].name, sizeof(churns[i].name), "d/e/f/n%d", i);
		snprintf(churns[i].other, sizeof(churns[i].other), "d/e/g/o%d", i);
		write_file(f->root, churns[i].source, "x");
	}
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, churn_names, &churns[i]), 0);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 3; i++)
		assert_int_equal(churns[i].result, 0);
}

/* A whole write replaces the old text, has the mode that was asked for whatever the umask, and
 * leaves nothing beside it. */
static void test_write_atomic(void **state)
{
	struct fixture *f = *state;
	mode_t mask = umask(077);
	struct stat st;

	assert_int_equal(fs_write_file_atomic(f->root, "FORMAT", "1\n", 2, 0644, true), 0);
	assert_int_equal(fs_write_file_atomic(f->root, "FORMAT", "2\n", 2, 0640, false), 0);
	umask(mask);
	assert_content(f->root, "FORMAT", "2\n");
	assert_int_equal(fs_stat_beneath(f->root, "FORMAT", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(count_names(f->root), 1);
	assert_int_equal(fs_write_file_atomic(f->root, "no/dir", "x", 1, 0600, false), -ENOENT);
}

/* Where the rename fails, the temporary file goes and the old state stays. */
static void test_write_atomic_fails(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fs_mkdirs(f->root, "dir", 0700), 0);
	assert_int_equal(fs_write_file_atomic(f->root, "dir", "x", 1, 0600, false), -EISDIR);
	assert_int_equal(count_names(f->root), 1);
}

/* Only files up to the limit are read; what would block or is no file is refused. */
static void test_read_file(void **state)
{
	struct fixture *f = *state;
	char *buf = NULL;
	size_t len;

	write_file(f->root, "four", "1234");
	assert_int_equal(fs_read_file(f->root, "four", 3, &buf, &len), -EFBIG);
	assert_int_equal(fs_read_file(f->root, "none", 3, &buf, &len), -ENOENT);
	assert_int_equal(fs_read_file(f->root, "", 3, &buf, &len), -EISDIR);
	assert_int_equal(mkfifoat(f->root, "fifo", 0600), 0);
	assert_int_equal(fs_read_file(f->root, "fifo", 3, &buf, &len), -EINVAL);
	assert_null(buf);
	assert_content(f->root, "four", "1234");
}

/* Names of temporary files are told from users' names. */
static void test_tmp_names(void **state)
{
	char a[FS_TMP_NAME_LEN + 1], b[FS_TMP_NAME_LEN + 1];

	assert_int_equal(fs_tmp_name(a), 0);
	assert_int_equal(fs_tmp_name(b), 0);
	assert_string_not_equal(a, b);
	assert_true(fs_is_tmp_name(a));
	assert_false(fs_is_tmp_name(".cogfs.tmp-"));
	assert_false(fs_is_tmp_name(".cogfs.tmp-0123456789abcdeg"));
	assert_false(fs_is_tmp_name(".cogfs.tmp-0123456789abcdef0"));
	assert_false(fs_is_tmp_name("x"));
}

/* A copy is exactly as long as was asked for, into an empty file and into a longer one. */
static void test_copy(void **state)
{
	struct fixture *f = *state;
	const size_t len = 600 * 1024 + 3;
	CLEANUP_FREE char *data = malloc(len), *back = malloc(len);
	CLEANUP_CLOSE int from = fs_open_beneath(f->root, "from", O_RDWR | O_CREAT, 0600);
	CLEANUP_CLOSE int to = fs_open_beneath(f->root, "to", O_RDWR | O_CREAT, 0600);
	struct stat st;

	for (size_t i = 0; i < len; i++)
		data[i] = (char)(i * 7 + (i >> 9));
	assert_int_equal(fs_pwrite_full(from, data, len, 0), 0);
	for (size_t size = len; size > 1000; size /= 3) {
		assert_int_equal(fs_copy_fd(from, to, size, NULL), 0);
		assert_int_equal(fstat(to, &st), 0);
		assert_int_equal(st.st_size, size);
		assert_int_equal(fs_pread_full(to, back, len, 0), size);
		assert_memory_equal(data, back, size);
	}
}

/* A source that is shorter than the caller believes is an error. */
static void test_copy_of_short_source(void **state)
{
	struct fixture *f = *state;
	CLEANUP_CLOSE int from = fs_open_beneath(f->root, "from", O_RDWR | O_CREAT, 0600);
	CLEANUP_CLOSE int to = fs_open_beneath(f->root, "to", O_RDWR | O_CREAT, 0600);

	assert_int_equal(fs_pwrite_full(from, "abc", 3, 0), 0);
	assert_int_equal(fs_copy_fd(from, to, 4, NULL), -EIO);
	assert_int_equal(fs_copy_fd(from, to, 3, NULL), 0);
	assert_content(f->root, "to", "abc");
}

/* Between two file systems, which no clone spans, the bytes are copied all the same. */
static void test_copy_across_file_systems(void **state)
{
	struct fixture *f = *state;
	CLEANUP_CLOSE int from = open("/dev/shm", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	CLEANUP_CLOSE int to = fs_open_beneath(f->root, "to", O_RDWR | O_CREAT, 0600);
	bool cloned = true;

	if (from < 0)
		skip();
	assert_int_equal(fs_pwrite_full(from, "abc", 3, 0), 0);
	assert_int_equal(fs_copy_fd(from, to, 3, &cloned), 0);
	assert_false(cloned);
	assert_content(f->root, "to", "abc");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_links_are_refused),
		TEST(test_ways_out),
		TEST(test_stat_of_link),
		TEST(test_close_on_exec),
		TEST(test_parents),
		TEST(test_prune),
		TEST(test_rename),
		TEST(test_link_replaces),
		TEST(test_pruning_race),
		TEST(test_write_atomic),
		TEST(test_write_atomic_fails),
		TEST(test_read_file),
		TEST(test_tmp_names),
		TEST(test_copy),
		TEST(test_copy_of_short_source),
		TEST(test_copy_across_file_systems),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
