/* SPDX-License-Identifier: Apache-2.0 */
/* Directories come with what makes them, and go with it. */
#include <stdio.h>

#include "cache_fixture.h"

static void in_store(char path[160], const struct host *h, const char *key)
{
	snprintf(path, 160, "%s/%s", h->store, key);
}

static void store_dir(const struct host *h, const char *key)
{
	char path[160];

	in_store(path, h, key);
	assert_int_equal(mkdir(path, 0755), 0);
}

/* As another program puts it there. */
static void store_file(const struct host *h, const char *key)
{
	char path[160];
	int fd;

	in_store(path, h, key);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "x", 1), 1);
	close(fd);
}

static void store_remove(const struct host *h, const char *key)
{
	char path[160];

	in_store(path, h, key);
	assert_int_equal(remove(path), 0);
}

static bool is_there(struct host *h, const char *key)
{
	struct obj *o;
	int r = host_lookup(h, key, &o);

	if (!r)
		obj_unref(h->cache, o);
	else
		assert_int_equal(r, -ENOENT);
	return !r;
}

static void a_directory_goes_with_all_that_was_seen_below(void **state)
{
	struct host *h = *state;

	store_dir(h, "d");
	store_dir(h, "d/e");
	store_file(h, "d/e/f");
	assert_true(is_there(h, "d/e/f"));
	store_remove(h, "d/e/f");
	store_remove(h, "d/e");
	store_remove(h, "d");
	usleep(300000);
	assert_false(is_there(h, "d"));
	assert_false(is_there(h, "d/e"));
	assert_false(is_there(h, "d/e/f"));
}

static void what_is_ours_keeps_the_directory_of_others(void **state)
{
	struct conf_override late[] = {{"write.upload_delay", "1h"}, {NULL, NULL}};
	struct host *h = *state;
	struct cfile *f;
	struct cache_attr attr;
	struct obj *d, *o;
	struct twait t;

	host_close(h);
	host_open_with(h, h->store, late, false);
	store_dir(h, "d");
	store_file(h, "d/theirs");
	assert_int_equal(host_lookup(h, "d", &d), 0);
	assert_int_equal(CALL(&t, cache_create(h->cache, d, "ours", 0644, 0, 0, O_WRONLY, &t.w,
					       NULL, &o, &attr, &f)),
			 0);
	host_write(h, f, "x", 1, 0);
	host_done(h, f);
	obj_unref(h->cache, o);
	obj_unref(h->cache, d);
	assert_true(is_there(h, "d/theirs"));
	store_remove(h, "d/theirs");
	store_remove(h, "d");
	usleep(300000);
	assert_false(is_there(h, "d/theirs"));
	assert_true(is_there(h, "d"));
	assert_true(is_there(h, "d/ours"));
	assert_int_equal(host_flush(h), 0);
	assert_true(host_stored(h, "d/ours"));
}

static void who_empties_a_directory_can_remove_it(void **state)
{
	struct conf_override late[] = {{"write.upload_delay", "1h"}, {NULL, NULL}};
	struct host *h = *state;
	struct obj *root, *d;
	struct twait t;

	host_close(h);
	host_open_with(h, h->store, late, false);
	store_dir(h, "d");
	store_file(h, "d/f");
	root = cache_root(h->cache);
	assert_int_equal(host_lookup(h, "d", &d), 0);
	assert_int_equal(CALL(&t, cache_unlink(h->cache, d, "f", &t.w)), 0);
	obj_unref(h->cache, d);
	assert_true(is_there(h, "d"));
	assert_int_equal(CALL(&t, cache_rmdir(h->cache, root, "d", &t.w)), 0);
	obj_unref(h->cache, root);
	usleep(300000);
	assert_false(is_there(h, "d")); /* the store still has d/f */
	assert_true(host_stored(h, "d/f"));
	assert_int_equal(host_flush(h), 0);
	assert_false(host_stored(h, "d"));
	usleep(300000);
	assert_false(is_there(h, "d"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HOST_TEST(a_directory_goes_with_all_that_was_seen_below),
		HOST_TEST(what_is_ours_keeps_the_directory_of_others),
		HOST_TEST(who_empties_a_directory_can_remove_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
