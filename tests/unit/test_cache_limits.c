/* SPDX-License-Identifier: Apache-2.0 */
/* A disk tier of 1 MiB: what is admitted, what makes way, and who waits. */
#include <ftw.h>
#include <stdio.h>

#include "cache_fixture.h"

#define DISK (1u << 20)
#define KIB 1024u

static const struct conf_override small[] = {
	{"disk.max_size", "1MiB"}, {"disk.min_free", "0"}, {NULL, NULL}};
static const struct conf_override small_and_slow[] = {{"disk.max_size", "1MiB"},
						      {"disk.min_free", "0"},
						      {"write.upload_delay", "1h"},
						      {NULL, NULL}};
static const struct conf_override few[] = {
	{"disk.max_objects", "3"}, {"disk.min_free", "0"}, {NULL, NULL}};

static bool on_disk(struct host *h, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/objects/%s", h->cache_dir, name);
	return !access(path, F_OK);
}

static uint64_t tier_bytes(struct host *h)
{
	struct cache_stats s;

	cache_stats(h->cache, &s);
	for (unsigned int i = 0; i < s.n_tiers; i++)
		if (!strcmp(s.tiers[i].type, "disk"))
			return s.tiers[i].bytes;
	return 0;
}

static uint64_t walked;

static int add_up(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)path;
	(void)ftw;
	/* Hard links of one inode take its room once: the store's do not count here. */
	walked += flag == FTW_F ? st->st_blocks * 512 : 0;
	return 0;
}

static uint64_t in_objects(struct host *h)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/objects", h->cache_dir);
	walked = 0;
	nftw(path, add_up, 16, FTW_PHYS);
	return walked;
}

static struct cfile *open_file(struct host *h, const char *key, int flags)
{
	struct cfile *f;
	struct twait t;
	struct obj *o;

	assert_int_equal(host_lookup(h, key, &o), 0);
	assert_int_equal(CALL(&t, cache_open(h->cache, o, flags, &t.w, NULL, &f)), 0);
	obj_unref(h->cache, o);
	return f;
}

static void fills_stay_below_the_limit(void **state)
{
	struct host *h = *state, b;
	char name[8];

	for (int i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "%d", i);
		host_put_sized(h, name, 300 * KIB);
	}
	assert_int_equal(host_flush(h), 0);
	host_open_other(h, &b, small, NULL);
	for (int i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "%d", i);
		assert_true(host_reads_back(&b, name, 300 * KIB));
		assert_in_range(tier_bytes(&b), 0, DISK);
		assert_in_range(in_objects(&b), 0, DISK);
	}
	host_close(&b);
}

static void what_was_read_longest_ago_goes_first(void **state)
{
	struct host *h = *state, b;

	host_put_sized(h, "a", 300 * KIB);
	host_put_sized(h, "b", 300 * KIB);
	host_put_sized(h, "c", 300 * KIB);
	host_put_sized(h, "d", 300 * KIB);
	assert_int_equal(host_flush(h), 0);
	host_open_other(h, &b, small, NULL);
	assert_true(host_reads_back(&b, "a", 300 * KIB));
	assert_true(host_reads_back(&b, "b", 300 * KIB));
	assert_true(host_reads_back(&b, "c", 300 * KIB));
	assert_true(host_reads_back(&b, "a", 300 * KIB));
	assert_true(host_reads_back(&b, "d", 300 * KIB));
	assert_true(on_disk(&b, "a"));
	assert_false(on_disk(&b, "b"));
	assert_true(on_disk(&b, "c"));
	assert_true(on_disk(&b, "d"));
	host_close(&b);
}

static void what_is_open_does_not_go(void **state)
{
	struct host *h = *state, b;
	struct cfile *f;

	host_put_sized(h, "a", 600 * KIB);
	host_put_sized(h, "b", 600 * KIB);
	assert_int_equal(host_flush(h), 0);
	host_open_other(h, &b, small, NULL);
	assert_true(host_reads_back(&b, "a", 600 * KIB));
	f = open_file(&b, "a", O_RDONLY);
	assert_true(host_reads_back(&b, "b", 600 * KIB)); /* past the disk */
	assert_true(on_disk(&b, "a"));
	assert_false(on_disk(&b, "b"));
	cache_release(b.cache, f);
	assert_true(host_reads_back(&b, "b", 600 * KIB));
	host_close(&b);
}

static void what_is_larger_than_the_disk_is_streamed(void **state)
{
	struct host *h = *state, b;

	host_put_sized(h, "a", 100 * KIB);
	host_put_sized(h, "l", 3 * DISK);
	assert_int_equal(host_flush(h), 0);
	host_open_other(h, &b, small, NULL);
	assert_true(host_reads_back(&b, "a", 100 * KIB));
	assert_true(host_reads_back(&b, "l", 3 * DISK));
	assert_in_range(tier_bytes(&b), 0, DISK);
	host_close(&b);
}

static void a_number_of_objects_is_a_limit_too(void **state)
{
	struct host *h = *state;
	struct cache_stats s;
	char name[8];

	host_close(h);
	host_open_with(h, h->store, few, false);
	for (int i = 0; i < 6; i++) {
		snprintf(name, sizeof(name), "%d", i);
		host_put_sized(h, name, 10);
		cache_stats(h->cache, &s);
		for (unsigned int t = 0; t < s.n_tiers; t++)
			if (!strcmp(s.tiers[t].type, "disk"))
				assert_in_range(s.tiers[t].objects, 0, 3);
	}
	for (int i = 0; i < 6; i++) {
		snprintf(name, sizeof(name), "%d", i);
		assert_true(host_reads_back(h, name, 10));
	}
}

static void a_writer_is_held_back_until_something_is_drained(void **state)
{
	struct host *h = *state;

	host_close(h);
	host_open_with(h, h->store, small_and_slow, false);
	host_put_sized(h, "a", 600 * KIB); /* dirty for an hour, unless somebody needs the room */
	host_put_sized(h, "b", 600 * KIB);
	assert_true(host_reads_back(h, "a", 600 * KIB));
	assert_true(host_reads_back(h, "b", 600 * KIB));
	assert_in_range(tier_bytes(h), 0, DISK);
}

static void a_file_that_can_never_fit_is_refused(void **state)
{
	struct host *h = *state;
	char *buf = calloc(1, 3 * DISK);
	struct cfile *f;
	struct twait t;

	host_close(h);
	host_open_with(h, h->store, small, false);
	f = host_create(h, "a", NULL);
	assert_int_equal(CALL(&t, cache_write(h->cache, f, buf, 3 * DISK, 0, false, &t.w)),
			 -ENOSPC);
	cache_release(h->cache, f);
	free(buf);
	assert_int_equal(host_flush(h), 0);
	assert_in_range(tier_bytes(h), 0, 4096);
}

static void holes_are_charged_when_they_are_written(void **state)
{
	struct host *h = *state;
	struct stat st = {.st_size = 8 * DISK};
	char *buf = malloc(256 * KIB);
	struct cache_attr attr;
	struct cfile *f;
	struct twait t;
	int r = 0, n;

	memset(buf, 1, 256 * KIB);
	host_close(h);
	host_open_with(h, h->store, small, false);
	f = host_create(h, "a", NULL);
	assert_int_equal(CALL(&t, cache_setattr(h->cache, cfile_obj(f), f, &st, CACHE_SET_SIZE,
						&t.w, &attr)),
			 0);
	for (n = 0; n < 8 && !r; n++) {
		r = CALL(&t, cache_write(h->cache, f, buf, 256 * KIB, n * DISK, false, &t.w));
		assert_in_range(tier_bytes(h), 0, DISK);
	}
	assert_int_equal(r, -ENOSPC);
	assert_in_range(n, 4, 5);
	cache_release(h->cache, f);
	free(buf);
}

static void room_that_is_given_back_can_be_used(void **state)
{
	struct host *h = *state;
	struct stat st = {.st_size = 0};
	char *buf = malloc(700 * KIB);
	struct cache_attr attr;
	struct cfile *f;
	struct twait t;

	memset(buf, 1, 700 * KIB);
	host_close(h);
	host_open_with(h, h->store, small, false);
	f = host_create(h, "a", NULL);
	for (int i = 0; i < 4; i++) {
		host_write(h, f, buf, 700 * KIB, 0);
		assert_int_equal(CALL(&t, cache_setattr(h->cache, cfile_obj(f), f, &st,
							CACHE_SET_SIZE, &t.w, &attr)),
				 0);
	}
	assert_in_range(tier_bytes(h), 0, 4096);
	host_done(h, f);
	free(buf);
}

static void a_change_of_what_is_not_drained_is_charged_and_given_back(void **state)
{
	struct host *h = *state;
	struct cfile *f;

	host_close(h);
	host_open_with(h, h->store, small_and_slow, false);
	host_put_sized(h, "a", 300 * KIB);
	f = open_file(h, "a", O_RDWR);
	assert_in_range(tier_bytes(h), 600 * KIB, DISK); /* the journal's file and ours */
	host_write(h, f, "x", 1, 0);
	host_done(h, f);
	assert_int_equal(host_flush(h), 0);
	assert_in_range(tier_bytes(h), 300 * KIB, 316 * KIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HOST_TEST(fills_stay_below_the_limit),
		HOST_TEST(what_was_read_longest_ago_goes_first),
		HOST_TEST(what_is_open_does_not_go),
		HOST_TEST(what_is_larger_than_the_disk_is_streamed),
		HOST_TEST(a_number_of_objects_is_a_limit_too),
		HOST_TEST(a_writer_is_held_back_until_something_is_drained),
		HOST_TEST(a_file_that_can_never_fit_is_refused),
		HOST_TEST(holes_are_charged_when_they_are_written),
		HOST_TEST(room_that_is_given_back_can_be_used),
		HOST_TEST(a_change_of_what_is_not_drained_is_charged_and_given_back),
	};

	return cmocka_run_group_tests_name("cache_limits", tests, NULL, NULL);
}
