/* SPDX-License-Identifier: Apache-2.0 */
/* The record in a local file's xattrs: what fits, what a crash or a bad disk leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "model/record.h"
#include "random_record.h"
#include "util/clock.h"

static int setup(void **state)
{
	static int fd;

	fd = open("/var/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	*state = &fd;
	return 0;
}

static int teardown(void **state)
{
	close(*(int *)*state);
	return 0;
}

static bool has_xattr(int fd, const char *name)
{
	return fgetxattr(fd, name, NULL, 0) >= 0;
}

static void set_mtime(int fd, int64_t ns)
{
	struct timespec times[2] = {
		{.tv_nsec = UTIME_OMIT},
		{.tv_sec = ns / NSEC_PER_SEC, .tv_nsec = ns % NSEC_PER_SEC},
	};

	assert_int_equal(futimens(fd, times), 0);
}

/* What an object in S3 normally has, at a user's uid. */
static void normal_record(struct record *rec)
{
	*rec = (struct record){
		.known = REC_ALL & ~(uint32_t)(REC_SIZE | REC_MTIME),
		.mode = S_IFREG | 0644,
		.uid = 1000,
		.gid = 1000,
		.created_ns = 1764000000123456789,
		.ttl = 604800,
		.expires_at = 1764000000 + 604800,
		.xxh3 = xxh3_of("body", 4),
		.etag = "\"d41d8cd98f00b204e9800998ecf8427e\"",
		.format = strdup("json"),
	};
	assert_non_null(rec->format);
}

/* Any record comes back equal; size and, where the record is silent, mtime are the file's. */
static void test_random_round_trips(void **state)
{
	int fd = *(int *)*state;
	uint64_t rng = random_seed();

	for (int i = 0; i < 2000; i++) {
		struct record rec, back;

		record_init(&rec);
		record_init(&back);
		random_record(&rng, &rec);
		if (random_next(&rng) % 2)
			set_mtime(fd, rec.mtime_ns);
		assert_int_equal(record_to_fd(&rec, fd), 0);
		assert_int_equal(record_from_fd(&back, fd), 0);
		assert_true(back.known & REC_SIZE);
		assert_true(back.known & REC_MTIME);
		assert_int_equal(back.size, 0);
		rec.known |= REC_SIZE;
		rec.size = 0;
		if (!(rec.known & REC_MTIME)) {
			rec.known |= REC_MTIME;
			rec.mtime_ns = back.mtime_ns;
		}
		assert_records_equal(&rec, &back, REC_ALL);
		record_release(&rec);
		record_release(&back);
	}
}

/* A normal record is one xattr of at most 60 bytes, which ext4 keeps in the inode. */
static void test_normal_record_fits(void **state)
{
	int fd = *(int *)*state;
	struct record rec;

	normal_record(&rec);
	assert_int_equal(record_to_fd(&rec, fd), 0);
	assert_in_range(fgetxattr(fd, "user.cogfs", NULL, 0), 1, 60);
	assert_false(has_xattr(fd, "user.cogfs.x"));
	assert_false(has_xattr(fd, "user.cogfs.y"));
	record_release(&rec);
}

/* The rest comes when it is needed and goes when it is not. */
static void test_rest_comes_and_goes(void **state)
{
	int fd = *(int *)*state;
	struct record rec, back;

	normal_record(&rec);
	record_init(&back);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(record_user_set(&rec, "a", "value", 5, 0), 0);
		assert_int_equal(record_to_fd(&rec, fd), 0);
		assert_int_equal(record_to_fd(&rec, fd), 0);
		assert_int_equal(has_xattr(fd, "user.cogfs.x") + has_xattr(fd, "user.cogfs.y"), 1);
		assert_int_equal(record_from_fd(&back, fd), 0);
		assert_non_null(record_user_get(&back, "a"));
		assert_int_equal(record_user_remove(&rec, "a"), 0);
		assert_int_equal(record_to_fd(&rec, fd), 0);
		assert_int_equal(has_xattr(fd, "user.cogfs.x") + has_xattr(fd, "user.cogfs.y"), 0);
	}
	record_release(&rec);
	record_release(&back);
}

/* A crash between the new rest and the new head leaves the whole old record. */
static void test_crash_between_rest_and_head(void **state)
{
	int fd = *(int *)*state;
	char head[64], rest[4096];
	struct record rec, back;
	ssize_t head_len, rest_len;

	normal_record(&rec);
	record_init(&back);
	assert_int_equal(record_user_set(&rec, "a", "old", 3, 0), 0);
	assert_int_equal(record_to_fd(&rec, fd), 0);
	head_len = fgetxattr(fd, "user.cogfs", head, sizeof(head));
	rest_len = fgetxattr(fd, "user.cogfs.x", rest, sizeof(rest));
	assert_true(head_len > 0 && rest_len > 0);

	assert_int_equal(record_user_set(&rec, "a", "new", 3, 0), 0);
	assert_int_equal(record_to_fd(&rec, fd), 0);
	assert_true(has_xattr(fd, "user.cogfs.y"));
	/* As if the head had not been written yet, and so the old rest not removed. */
	assert_int_equal(fsetxattr(fd, "user.cogfs.x", rest, (size_t)rest_len, 0), 0);
	assert_int_equal(fsetxattr(fd, "user.cogfs", head, (size_t)head_len, 0), 0);

	assert_int_equal(record_from_fd(&back, fd), 0);
	assert_memory_equal(record_user_get(&back, "a")->value, "old", 3);
	assert_int_equal(record_to_fd(&rec, fd), 0);
	assert_int_equal(record_from_fd(&back, fd), 0);
	assert_memory_equal(record_user_get(&back, "a")->value, "new", 3);
	record_release(&rec);
	record_release(&back);
}

/* Where there is no room for two rests, the record is still written. */
static void test_little_room(void **state)
{
	int fd = *(int *)*state;
	struct record rec, back;
	char value[1400];

	normal_record(&rec);
	record_init(&back);
	rec.symlink = malloc(1200);
	assert_non_null(rec.symlink);
	memset(rec.symlink, 's', 1199);
	rec.symlink[1199] = '\0';
	free(rec.cache_key);
	rec.cache_key = NULL;
	for (char c = 'a'; c < 'f'; c++) {
		memset(value, c, sizeof(value));
		record_user_set(&rec, "a", value, 300, 0);
		assert_int_equal(record_to_fd(&rec, fd), 0);
		assert_int_equal(record_from_fd(&back, fd), 0);
		assert_records_equal(&rec, &back, REC_USER | REC_ETAG | REC_MODE);
	}
	record_release(&rec);
	record_release(&back);
}

/* A file without a record is told from one with a bad record. */
static void test_no_record(void **state)
{
	int fd = *(int *)*state;
	struct record rec;

	record_init(&rec);
	assert_int_equal(record_from_fd(&rec, fd), -ENODATA);
	assert_int_equal(rec.known, 0);
	assert_int_equal(record_from_fd(&rec, -1), -EBADF);
}

/* Any wrong bit in the head is seen; a head of another length, too. */
static void test_damaged_head(void **state)
{
	int fd = *(int *)*state;
	unsigned char head[128] = {0};
	struct record rec, back;
	ssize_t len;

	normal_record(&rec);
	record_init(&back);
	assert_int_equal(record_to_fd(&rec, fd), 0);
	len = fgetxattr(fd, "user.cogfs", head, sizeof(head));
	for (ssize_t bit = 0; bit < 8 * len; bit++) {
		head[bit / 8] ^= (unsigned char)(1u << bit % 8);
		assert_int_equal(fsetxattr(fd, "user.cogfs", head, (size_t)len, 0), 0);
		assert_int_equal(record_from_fd(&back, fd), -EBADMSG);
		head[bit / 8] ^= (unsigned char)(1u << bit % 8);
	}
	assert_int_equal(fsetxattr(fd, "user.cogfs", head, sizeof(head), 0), 0);
	assert_int_equal(record_from_fd(&back, fd), -EBADMSG);
	assert_int_equal(fsetxattr(fd, "user.cogfs", "", 0, 0), 0);
	assert_int_equal(record_from_fd(&back, fd), -EBADMSG);
	/* And a new record is written over it. */
	assert_int_equal(record_to_fd(&rec, fd), 0);
	assert_int_equal(record_from_fd(&back, fd), 0);
	record_release(&rec);
	record_release(&back);
}

/* A rest that is gone, damaged or another record's is seen. */
static void test_damaged_rest(void **state)
{
	int fd = *(int *)*state;
	struct record rec, back;
	char head[64];
	ssize_t len;

	normal_record(&rec);
	record_init(&back);
	assert_int_equal(record_user_set(&rec, "a", "x", 1, 0), 0);
	assert_int_equal(record_to_fd(&rec, fd), 0);
	assert_int_equal(fsetxattr(fd, "user.cogfs.x", "junk", 4, 0), 0);
	assert_int_equal(record_from_fd(&back, fd), -EBADMSG);
	/* A valid blob that repeats what the head has. */
	len = fgetxattr(fd, "user.cogfs", head, sizeof(head));
	assert_int_equal(fsetxattr(fd, "user.cogfs.x", head, (size_t)len, 0), 0);
	assert_int_equal(record_from_fd(&back, fd), -EBADMSG);
	assert_int_equal(fremovexattr(fd, "user.cogfs.x"), 0);
	assert_int_equal(record_from_fd(&back, fd), -EBADMSG);
	record_release(&rec);
	record_release(&back);
}

/* Everything else in a file's xattrs is left alone. */
static void test_other_xattrs(void **state)
{
	int fd = *(int *)*state;
	struct record rec;
	char value[8];

	normal_record(&rec);
	assert_int_equal(fsetxattr(fd, "user.mine", "mine", 4, 0), 0);
	assert_int_equal(record_to_fd(&rec, fd), 0);
	assert_int_equal(fgetxattr(fd, "user.mine", value, sizeof(value)), 4);
	record_release(&rec);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_random_round_trips),	TEST(test_normal_record_fits),
		TEST(test_rest_comes_and_goes), TEST(test_crash_between_rest_and_head),
		TEST(test_little_room),		TEST(test_no_record),
		TEST(test_damaged_head),	TEST(test_damaged_rest),
		TEST(test_other_xattrs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
