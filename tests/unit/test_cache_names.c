/* SPDX-License-Identifier: Apache-2.0 */
/* What a host says of names while the store has not followed its renames yet. */
#include <stdio.h>

#include "cache_fixture.h"

static const struct conf_override late[] = {{"write.upload_delay", "10m"}, {NULL, NULL}};

static int setup_late(void **state)
{
	struct host *h;
	int r = host_setup(state);

	h = *state;
	host_close(h);
	host_open_with(h, h->store, late, false);
	return r;
}

static int teardown_late(void **state)
{
	assert_int_equal(host_flush(*state), 0);
	return host_teardown(state);
}

static void in_store(struct host *h, const char *key, char *path, size_t size)
{
	snprintf(path, size, "%s/%s", h->store, key);
}

/* Another host's object: dir/x with that text. */
static void foreign(struct host *h, const char *dir, const char *text)
{
	char path[256], name[8];
	int fd;

	in_store(h, dir, path, sizeof(path));
	assert_int_equal(mkdir(path, 0755), 0);
	snprintf(name, sizeof(name), "%s/x", dir);
	in_store(h, name, path, sizeof(path));
	fd = open(path, O_WRONLY | O_CREAT, 0644);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void rename_dir(struct host *h, const char *from, const char *to)
{
	struct obj *root = cache_root(h->cache);
	struct twait t;

	assert_int_equal(CALL(&t, cache_rename(h->cache, root, from, root, to, 0, &t.w)), 0);
	obj_unref(h->cache, root);
}

static void expect_text(struct host *h, const char *key, const char *text)
{
	char buf[32];

	assert_int_equal(host_get(h, key, buf, sizeof(buf)), strlen(text));
	assert_memory_equal(buf, text, strlen(text));
}

static size_t names_in(struct host *h, const char *key)
{
	struct cdir *d;
	struct twait t;
	struct obj *o;
	size_t n;

	assert_int_equal(host_lookup(h, key, &o), 0);
	assert_int_equal(CALL(&t, cache_opendir(h->cache, o, &t.w, &d)), 0);
	n = cdir_count(d);
	cdir_free(h->cache, d);
	obj_unref(h->cache, o);
	return n;
}

/* As the drainer leaves it once the first of two renames is through. */
static void half_way(struct host *h)
{
	char from[256], to[256];
	struct obj *o;

	foreign(h, "d", "hello");
	assert_int_equal(host_lookup(h, "d/x", &o), 0);
	obj_unref(h->cache, o);
	rename_dir(h, "d", "g");
	rename_dir(h, "g", "d");
	in_store(h, "d", from, sizeof(from));
	in_store(h, "g", to, sizeof(to));
	assert_int_equal(rename(from, to), 0);
	usleep(500000); /* what is known is to be asked again */
}

static void an_object_is_found_between_two_renames(void **state)
{
	struct host *h = *state;

	half_way(h);
	expect_text(h, "d/x", "hello");
	assert_int_equal(host_flush(h), 0);
	expect_text(h, "d/x", "hello");
	assert_true(host_stored(h, "d/x"));
}

static void a_directory_is_listed_between_two_renames(void **state)
{
	struct host *h = *state;

	half_way(h);
	assert_int_equal(names_in(h, "d"), 1);
	assert_int_equal(names_in(h, ""), 1);
	expect_text(h, "d/x", "hello");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup_late, teardown_late)
	const struct CMUnitTest tests[] = {
		TEST(an_object_is_found_between_two_renames),
		TEST(a_directory_is_listed_between_two_renames),
	};

	return cmocka_run_group_tests_name("cache_names", tests, NULL, NULL);
}
