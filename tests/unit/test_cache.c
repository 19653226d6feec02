/* SPDX-License-Identifier: Apache-2.0 */
/* What the cache core does with one host, and with two on one store. */
#include "cache_fixture.h"

static void a_written_object_is_read_back(void **state)
{
	struct host *h = *state;
	char buf[16] = "";

	host_put(h, "a.txt", "hello", 5);
	assert_int_equal(host_get(h, "a.txt", buf, sizeof(buf)), 5);
	assert_string_equal(buf, "hello");
}

static void a_flush_brings_it_to_the_store(void **state)
{
	struct host *h = *state;

	host_put(h, "a.txt", "hello", 5);
	assert_int_equal(host_flush(h), 0);
	assert_true(host_stored(h, "a.txt"));
}

static void another_empty_host_reads_it_with_its_metadata(void **state)
{
	struct host *h = *state, b = {.cache = NULL};
	struct cache_attr attr;
	char buf[16] = "";
	struct twait t;
	struct obj *o;

	host_put(h, "a.txt", "hello", 5);
	assert_int_equal(host_flush(h), 0);
	snprintf(b.cache_dir, sizeof(b.cache_dir), "%s/cache-b", h->dir);
	host_open(&b, h->store);
	assert_int_equal(host_get(&b, "a.txt", buf, sizeof(buf)), 5);
	assert_string_equal(buf, "hello");
	assert_int_equal(host_lookup(&b, "a.txt", &o), 0);
	assert_int_equal(CALL(&t, cache_getattr(b.cache, o, &t.w, &attr)), 0);
	assert_int_equal(attr.st.st_uid, 7);
	assert_int_equal(attr.st.st_mode, S_IFREG | 0644);
	obj_unref(b.cache, o);
	host_close(&b);
}

static void what_was_closed_survives_the_process(void **state)
{
	struct host *h = *state;
	char buf[16] = "";

	host_put(h, "a.txt", "hello", 5);
	host_close(h);
	host_open(h, h->store);
	assert_int_equal(host_get(h, "a.txt", buf, sizeof(buf)), 5);
}

static void an_unlinked_name_is_gone_here_and_in_the_store(void **state)
{
	struct host *h = *state;
	struct obj *root = cache_root(h->cache), *o;
	struct twait t;

	host_put(h, "a.txt", "hello", 5);
	assert_int_equal(host_flush(h), 0);
	assert_int_equal(CALL(&t, cache_unlink(h->cache, root, "a.txt", &t.w)), 0);
	assert_int_equal(host_lookup(h, "a.txt", &o), -ENOENT);
	assert_int_equal(host_flush(h), 0);
	assert_false(host_stored(h, "a.txt"));
	obj_unref(h->cache, root);
}

static void a_renamed_directory_takes_its_children_along(void **state)
{
	struct host *h = *state;
	struct obj *root = cache_root(h->cache), *dir = host_mkdir(h, "d"), *o;
	struct cache_attr attr;
	struct cfile *f;
	char buf[16] = "";
	struct twait t;

	assert_int_equal(CALL(&t, cache_create(h->cache, dir, "x", 0644, 0, 0, O_WRONLY, &t.w, NULL,
					       &o, &attr, &f)),
			 0);
	assert_int_equal(CALL(&t, cache_write(h->cache, f, "abc", 3, 0, false, &t.w)), 0);
	assert_int_equal(CALL(&t, cache_flush(h->cache, f, 0, &t.w)), 0);
	cache_release(h->cache, f);
	obj_unref(h->cache, o);
	assert_int_equal(host_flush(h), 0);
	assert_int_equal(CALL(&t, cache_rename(h->cache, root, "d", root, "e", 0, &t.w)), 0);
	assert_int_equal(host_get(h, "e/x", buf, sizeof(buf)), 3);
	assert_int_equal(host_lookup(h, "d", &o), -ENOENT);
	assert_int_equal(host_flush(h), 0);
	assert_true(host_stored(h, "e/x"));
	assert_false(host_stored(h, "d"));
	obj_unref(h->cache, dir);
	obj_unref(h->cache, root);
}

static void a_listing_shows_local_and_stored_names_once(void **state)
{
	struct host *h = *state, b = {.cache = NULL};
	struct obj *root;
	struct cdir *d;
	struct twait t;

	host_put(h, "a", "1", 1);
	host_put(h, "b", "2", 1);
	assert_int_equal(host_flush(h), 0);
	snprintf(b.cache_dir, sizeof(b.cache_dir), "%s/cache-b", h->dir);
	host_open(&b, h->store);
	host_put(&b, "c", "3", 1);
	root = cache_root(b.cache);
	assert_int_equal(CALL(&t, cache_opendir(b.cache, root, &t.w, &d)), 0);
	assert_int_equal(cdir_count(d), 3);
	assert_int_equal(cdir_error(d), 0);
	cdir_free(b.cache, d);
	obj_unref(b.cache, root);
	host_close(&b);
}

static void a_change_in_place_is_read_and_drained(void **state)
{
	struct host *h = *state;
	struct cfile *f;
	char buf[16] = "";
	struct twait t;
	struct obj *o;

	host_put(h, "a", "0123456789", 10);
	assert_int_equal(host_flush(h), 0);
	assert_int_equal(host_lookup(h, "a", &o), 0);
	assert_int_equal(CALL(&t, cache_open(h->cache, o, O_RDWR, &t.w, NULL, &f)), 0);
	assert_int_equal(CALL(&t, cache_write(h->cache, f, "xx", 2, 4, false, &t.w)), 0);
	assert_int_equal(CALL(&t, cache_flush(h->cache, f, 0, &t.w)), 0);
	cache_release(h->cache, f);
	assert_int_equal(host_get(h, "a", buf, sizeof(buf)), 10);
	assert_string_equal(buf, "0123xx6789");
	assert_int_equal(host_flush(h), 0);
	obj_unref(h->cache, o);
}

static void an_expired_object_is_absent(void **state)
{
	struct host *h = *state;
	struct twait t;
	struct obj *o;

	host_put(h, "a", "1", 1);
	assert_int_equal(host_lookup(h, "a", &o), 0);
	assert_int_equal(
		CALL(&t, cache_setxattr(h->cache, o, "user.cogfs.expires_at", "1", 1, 0, &t.w)), 0);
	obj_unref(h->cache, o);
	assert_int_equal(host_lookup(h, "a", &o), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HOST_TEST(a_written_object_is_read_back),
		HOST_TEST(a_flush_brings_it_to_the_store),
		HOST_TEST(another_empty_host_reads_it_with_its_metadata),
		HOST_TEST(what_was_closed_survives_the_process),
		HOST_TEST(an_unlinked_name_is_gone_here_and_in_the_store),
		HOST_TEST(a_renamed_directory_takes_its_children_along),
		HOST_TEST(a_listing_shows_local_and_stored_names_once),
		HOST_TEST(a_change_in_place_is_read_and_drained),
		HOST_TEST(an_expired_object_is_absent),
	};

	return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}
