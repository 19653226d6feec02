/* SPDX-License-Identifier: Apache-2.0 */
/* The cache without a store, without a disk for bodies, and read-only. */
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "cache_fixture.h"

static const struct conf_override no_disk[] = {{"disk.enabled", "off"}, {NULL, NULL}};
static const struct conf_override slow_upload[] = {
	{"disk.enabled", "off"}, {"write.upload_delay", "1h"}, {NULL, NULL}};
static const struct conf_override read_only[] = {{"mount.read_only", "on"}, {NULL, NULL}};
static const struct conf_override tiny[] = {
	{"disk.max_size", "1MiB"}, {"disk.min_free", "0"}, {NULL, NULL}};

static void again(struct host *h, const char *store, const struct conf_override *extra)
{
	host_close(h);
	host_open_with(h, store, extra, false);
}

static int in_root(struct host *h, const char *name,
		   int (*call)(struct cache *, struct obj *, const char *, struct cache_wait *))
{
	struct obj *root = cache_root(h->cache);
	struct twait t;
	int r = CALL(&t, call(h->cache, root, name, &t.w));

	obj_unref(h->cache, root);
	return r;
}

static int rename_in_root(struct host *h, const char *from, const char *to)
{
	struct obj *root = cache_root(h->cache);
	struct twait t;
	int r = CALL(&t, cache_rename(h->cache, root, from, root, to, 0, &t.w));

	obj_unref(h->cache, root);
	return r;
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

static void reads_as(struct host *h, const char *key, const char *text)
{
	char buf[32] = "";

	assert_int_equal(host_get(h, key, buf, sizeof(buf) - 1), strlen(text));
	assert_string_equal(buf, text);
}

static void is_absent(struct host *h, const char *key)
{
	struct obj *o;

	assert_int_equal(host_lookup(h, key, &o), -ENOENT);
}

/* --- without a store --- */

static void without_a_store_what_was_closed_is_there_after_a_restart(void **state)
{
	struct host *h = *state;

	again(h, NULL, NULL);
	host_put(h, "a", "hello", 5);
	again(h, NULL, NULL);
	reads_as(h, "a", "hello");
}

static void without_a_store_nothing_is_evicted(void **state)
{
	struct host *h = *state;
	char *big = calloc(1, 300 << 10);
	struct cfile *f;
	struct twait t;

	again(h, NULL, tiny);
	host_put(h, "a", big, 300 << 10);
	host_put(h, "b", big, 300 << 10);
	host_put(h, "c", big, 300 << 10);
	f = host_create(h, "d", NULL);
	assert_int_equal(CALL(&t, cache_write(h->cache, f, big, 300 << 10, 0, false, &t.w)),
			 -ENOSPC);
	cache_release(h->cache, f);
	assert_int_equal(host_get(h, "a", big, 300 << 10), 300 << 10);
	assert_int_equal(host_get(h, "b", big, 300 << 10), 300 << 10);
	free(big);
}

static void without_a_store_an_unlinked_name_can_be_used_again(void **state)
{
	struct host *h = *state;
	struct cfile *f;

	again(h, NULL, NULL);
	host_put(h, "a", "old", 3);
	f = open_file(h, "a", O_RDWR); /* the journal knows it while it is written */
	assert_int_equal(in_root(h, "a", cache_unlink), 0);
	is_absent(h, "a");
	host_done(h, f);
	host_put(h, "a", "new", 3);
	again(h, NULL, NULL);
	reads_as(h, "a", "new");
}

static void without_a_store_a_rename_moves_what_is_there(void **state)
{
	struct host *h = *state;

	again(h, NULL, NULL);
	host_put(h, "a", "hello", 5);
	host_put(h, "b", "over", 4);
	assert_int_equal(rename_in_root(h, "a", "b"), 0);
	reads_as(h, "b", "hello");
	is_absent(h, "a");
	again(h, NULL, NULL);
	reads_as(h, "b", "hello");
	is_absent(h, "a");
}

static void without_a_store_an_opened_unchanged_file_goes_back(void **state)
{
	struct host *h = *state;

	again(h, NULL, NULL);
	host_put(h, "a", "hello", 5);
	cache_release(h->cache, open_file(h, "a", O_RDWR));
	reads_as(h, "a", "hello");
	again(h, NULL, NULL);
	reads_as(h, "a", "hello");
}

static void without_a_store_a_killed_writer_in_place_costs_nothing(void **state)
{
	struct host *h = *state;
	struct cfile *f;
	struct twait t;

	again(h, NULL, NULL);
	host_put(h, "a", "0123456789", 10);
	f = open_file(h, "a", O_RDWR);
	host_write(h, f, "xx", 2, 0);
	assert_int_equal(CALL(&t, cache_flush(h->cache, f, CACHE_FLUSH_KILLED, &t.w)), 0);
	cache_release(h->cache, f);
	reads_as(h, "a", "xx23456789");
}

static void dies_in_place(struct host *h)
{
	struct cfile *f;
	struct twait t;

	host_open_with(h, NULL, NULL, false);
	f = open_file(h, "a", O_RDWR);
	host_write(h, f, "xx", 2, 0);
	assert_int_equal(CALL(&t, cache_flush(h->cache, f, 0, &t.w)), 0);
	kill(getpid(), SIGKILL);
}

static void without_a_store_a_file_is_there_after_its_writer_died(void **state)
{
	struct host *h = *state;
	pid_t pid;
	int status;

	again(h, NULL, NULL);
	host_put(h, "a", "0123456789", 10);
	host_close(h);
	pid = fork();
	if (!pid)
		dies_in_place(h);
	waitpid(pid, &status, 0);
	host_open_with(h, NULL, NULL, false);
	reads_as(h, "a", "xx23456789");
}

/* --- without a disk --- */

static void without_a_disk_a_file_is_read_from_the_journal_and_then_from_the_store(void **state)
{
	struct host *h = *state;

	again(h, h->store, slow_upload);
	host_put(h, "a", "hello", 5);
	reads_as(h, "a", "hello");
	assert_int_equal(host_flush(h), 0);
	reads_as(h, "a", "hello");
	reads_as(h, "a", "hello");
}

static void without_a_disk_a_change_in_place_is_seen(void **state)
{
	struct host *h = *state;
	struct cfile *f;

	again(h, h->store, slow_upload);
	host_put(h, "a", "0123456789", 10);
	f = open_file(h, "a", O_RDWR); /* of what only the journal has */
	host_write(h, f, "xx", 2, 0);
	host_done(h, f);
	reads_as(h, "a", "xx23456789");
	assert_int_equal(host_flush(h), 0);
	f = open_file(h, "a", O_RDWR); /* of what only the store has */
	host_write(h, f, "yy", 2, 8);
	host_done(h, f);
	reads_as(h, "a", "xx234567yy");
}

static void without_a_disk_a_renamed_file_is_read(void **state)
{
	struct host *h = *state;

	again(h, h->store, slow_upload);
	host_put(h, "a", "hello", 5);
	assert_int_equal(rename_in_root(h, "a", "b"), 0);
	reads_as(h, "b", "hello");
	is_absent(h, "a");
}

static void without_a_disk_an_unchanged_file_leaves_nothing_in_staging(void **state)
{
	struct host *h = *state;
	char path[160];

	again(h, h->store, no_disk);
	host_put(h, "a", "hello", 5);
	assert_int_equal(host_flush(h), 0);
	cache_release(h->cache, open_file(h, "a", O_RDWR));
	snprintf(path, sizeof(path), "%s/staging", h->cache_dir);
	assert_int_equal(rmdir(path), 0); /* which only an empty one lets happen */
	assert_int_equal(mkdir(path, 0700), 0);
}

/* --- read-only --- */

static void a_read_only_mount_reads_and_changes_nothing(void **state)
{
	struct host *h = *state;
	struct stat st = {.st_mode = 0600, .st_size = 0};
	struct obj *o, *root;
	struct cache_attr attr;
	struct cfile *f;
	struct twait t;

	host_put(h, "a", "hello", 5);
	again(h, h->store, read_only);
	root = cache_root(h->cache);
	reads_as(h, "a", "hello");
	assert_int_equal(host_lookup(h, "a", &o), 0);
	assert_int_equal(CALL(&t, cache_open(h->cache, o, O_RDWR, &t.w, NULL, &f)), -EROFS);
	assert_int_equal(
		CALL(&t, cache_setattr(h->cache, o, NULL, &st, CACHE_SET_SIZE, &t.w, &attr)),
		-EROFS);
	assert_int_equal(CALL(&t, cache_setxattr(h->cache, o, "user.a", "b", 1, 0, &t.w)), -EROFS);
	assert_int_equal(CALL(&t, cache_removexattr(h->cache, o, "user.a", &t.w)), -EROFS);
	obj_unref(h->cache, o);
	assert_int_equal(cache_mkdir(h->cache, root, "d", 0755, 0, 0, &o, &attr), -EROFS);
	assert_int_equal(cache_symlink(h->cache, root, "l", "a", 0, 0, &o, &attr), -EROFS);
	assert_int_equal(in_root(h, "a", cache_unlink), -EROFS);
	assert_int_equal(in_root(h, "d", cache_rmdir), -EROFS);
	assert_int_equal(rename_in_root(h, "a", "b"), -EROFS);
	obj_unref(h->cache, root);
}

/* --- what all have --- */

static void attributes_of_directories_and_of_the_root_stay(void **state)
{
	struct host *h = *state;
	struct obj *dir = host_mkdir(h, "d"), *root = cache_root(h->cache);
	char value[8] = "";
	struct twait t;
	size_t len;

	assert_int_equal(CALL(&t, cache_setxattr(h->cache, dir, "user.a", "1", 1, 0, &t.w)), 0);
	assert_int_equal(CALL(&t, cache_setxattr(h->cache, root, "user.b", "2", 1, 0, &t.w)), 0);
	obj_unref(h->cache, dir);
	obj_unref(h->cache, root);
	again(h, h->store, NULL);
	root = cache_root(h->cache);
	assert_int_equal(host_lookup(h, "d", &dir), 0);
	assert_int_equal(CALL(&t, cache_getxattr(h->cache, dir, "user.a", value, 8, &t.w, &len)),
			 0);
	assert_string_equal(value, "1");
	assert_int_equal(CALL(&t, cache_getxattr(h->cache, root, "user.b", value, 8, &t.w, &len)),
			 0);
	assert_string_equal(value, "2");
	obj_unref(h->cache, dir);
	obj_unref(h->cache, root);
}

static void metadata_set_while_a_file_is_open_to_write_is_stored(void **state)
{
	struct host *h = *state, b = {.cache = NULL};
	struct stat st = {.st_mode = 0600};
	struct cache_attr attr;
	struct cfile *f;
	struct twait t;
	struct obj *o;

	host_put(h, "a", "hello", 5);
	assert_int_equal(host_flush(h), 0);
	f = open_file(h, "a", O_RDWR);
	assert_int_equal(CALL(&t, cache_setattr(h->cache, cfile_obj(f), f, &st, CACHE_SET_MODE,
						&t.w, &attr)),
			 0);
	cache_release(h->cache, f);
	assert_int_equal(host_flush(h), 0);
	snprintf(b.cache_dir, sizeof(b.cache_dir), "%s/cache-b", h->dir);
	host_open(&b, h->store);
	assert_int_equal(host_lookup(&b, "a", &o), 0);
	assert_int_equal(CALL(&t, cache_getattr(b.cache, o, &t.w, &attr)), 0);
	assert_int_equal(attr.st.st_mode, S_IFREG | 0600);
	obj_unref(b.cache, o);
	host_close(&b);
}

static void a_directory_that_was_made_is_found_when_its_age_is_over(void **state)
{
	struct host *h = *state;
	struct obj *o;

	host_put(h, "a", "1", 1);
	obj_unref(h->cache, host_mkdir(h, "d"));
	assert_int_equal(host_flush(h), 0);
	usleep(400000); /* list_ttl is 200 ms here */
	assert_int_equal(host_lookup(h, "d", &o), 0);
	obj_unref(h->cache, o);
}

static void an_open_meets_the_version_that_another_host_has_just_written(void **state)
{
	struct host *h = *state, b = {.cache = NULL};
	struct obj *o;

	host_put(h, "a", "old version", 11);
	assert_int_equal(host_flush(h), 0);
	snprintf(b.cache_dir, sizeof(b.cache_dir), "%s/cache-b", h->dir);
	host_open(&b, h->store);
	assert_int_equal(host_lookup(&b, "a", &o),
			 0); /* b knows the old one, and has no bytes of it */
	host_put(h, "a", "new", 3);
	assert_int_equal(host_flush(h), 0);
	reads_as(&b, "a", "new");
	obj_unref(b.cache, o);
	host_close(&b);
}

/* The round that watches mappings runs once a second. */
static void what_a_mapping_changes_after_the_close_is_stored(void **state)
{
	struct host *h = *state;
	struct cfile_state slot = {0};
	struct cfile *f, *second;
	char path[160], *map;
	struct twait t;
	struct obj *o;
	int fd;

	host_put(h, "a", "0123456789", 10);
	assert_int_equal(host_lookup(h, "a", &o), 0);
	assert_int_equal(CALL(&t, cache_open(h->cache, o, O_RDWR, &t.w, &slot, &f)), 0);
	assert_int_equal(CALL(&t, cache_open(h->cache, o, O_RDWR, &t.w, NULL, &second)), 0);
	obj_unref(h->cache, o);
	snprintf(path, sizeof(path), "%s/staging/%016llx", h->cache_dir,
		 (unsigned long long)slot.id);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	map = mmap(NULL, 10, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(map != MAP_FAILED);
	close(fd);
	cache_release_mapped(h->cache, f);
	cache_release_mapped(h->cache, second);
	sleep(2);
	map[0] = 'x';
	munmap(map, 10);
	for (int i = 0; i < 50 && access(path, F_OK) == 0; i++) {
		usleep(100000);
		(void)host_flush(h);
	}
	reads_as(h, "a", "x123456789");
	assert_int_equal(access(path, F_OK), -1);
}

static void a_directory_does_not_go_into_itself(void **state)
{
	struct host *h = *state;
	struct obj *root = cache_root(h->cache), *dir = host_mkdir(h, "d");
	struct twait t;

	assert_int_equal(CALL(&t, cache_rename(h->cache, root, "d", dir, "e", 0, &t.w)), -EINVAL);
	obj_unref(h->cache, dir);
	obj_unref(h->cache, root);
}

static void a_key_of_1024_bytes_is_the_longest(void **state)
{
	struct host *h = *state;
	struct obj *dir = cache_root(h->cache), *next;
	struct cache_attr attr;
	char name[256];

	memset(name, 'x', sizeof(name));
	name[255] = '\0';
	for (int i = 0; i < 3; i++) {
		assert_int_equal(cache_mkdir(h->cache, dir, name, 0755, 0, 0, &next, &attr), 0);
		obj_unref(h->cache, dir);
		dir = next;
	}
	name[250] = '\0'; /* 3 * 256 + 250 = 1018 */
	assert_int_equal(cache_mkdir(h->cache, dir, name, 0755, 0, 0, &next, &attr), 0);
	obj_unref(h->cache, dir);
	assert_int_equal(cache_mkdir(h->cache, next, "123456", 0755, 0, 0, &dir, &attr),
			 -ENAMETOOLONG);
	assert_int_equal(cache_mkdir(h->cache, next, "1234", 0755, 0, 0, &dir, &attr), 0);
	obj_unref(h->cache, dir);
	obj_unref(h->cache, next);
}

static void statfs_shows_the_limit_of_the_disk(void **state)
{
	struct host *h = *state;
	struct statvfs vfs;
	char buf[4096] = "";

	again(h, h->store, tiny);
	host_put(h, "a", buf, sizeof(buf));
	assert_int_equal(cache_statfs(h->cache, NULL, &vfs), 0);
	assert_int_equal(vfs.f_blocks * vfs.f_frsize, 1 << 20);
	assert_in_range(vfs.f_bfree, 1, 255);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HOST_TEST(without_a_store_what_was_closed_is_there_after_a_restart),
		HOST_TEST(without_a_store_nothing_is_evicted),
		HOST_TEST(without_a_store_an_unlinked_name_can_be_used_again),
		HOST_TEST(without_a_store_a_rename_moves_what_is_there),
		HOST_TEST(without_a_store_an_opened_unchanged_file_goes_back),
		HOST_TEST(without_a_store_a_killed_writer_in_place_costs_nothing),
		HOST_TEST(without_a_store_a_file_is_there_after_its_writer_died),
		HOST_TEST(without_a_disk_a_file_is_read_from_the_journal_and_then_from_the_store),
		HOST_TEST(without_a_disk_a_change_in_place_is_seen),
		HOST_TEST(without_a_disk_a_renamed_file_is_read),
		HOST_TEST(without_a_disk_an_unchanged_file_leaves_nothing_in_staging),
		HOST_TEST(a_read_only_mount_reads_and_changes_nothing),
		HOST_TEST(attributes_of_directories_and_of_the_root_stay),
		HOST_TEST(metadata_set_while_a_file_is_open_to_write_is_stored),
		HOST_TEST(a_directory_that_was_made_is_found_when_its_age_is_over),
		HOST_TEST(an_open_meets_the_version_that_another_host_has_just_written),
		HOST_TEST(what_a_mapping_changes_after_the_close_is_stored),
		HOST_TEST(a_directory_does_not_go_into_itself),
		HOST_TEST(a_key_of_1024_bytes_is_the_longest),
		HOST_TEST(statfs_shows_the_limit_of_the_disk),
	};

	return cmocka_run_group_tests_name("cache_modes", tests, NULL, NULL);
}
