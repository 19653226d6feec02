/* SPDX-License-Identifier: Apache-2.0 */
/* What may happen to an object between two steps of one call, or of two calls of one program. */
#include <stdio.h>

#include "cache_fixture.h"

#define BIG (4u << 20)

/* Whoever waits is not at once there when it is woken: a thread has to be found for it. */
static void a_session_waits_for_whom_it_was_made(void **state)
{
	struct host *h = *state;
	char *buf = calloc(1, BIG);
	unsigned int looks = 0;
	struct cfile *f;
	struct twait t;
	struct obj *o;
	int r;

	host_put(h, "big", buf, BIG);
	free(buf);
	assert_int_equal(host_flush(h), 0);
	assert_int_equal(host_lookup(h, "big", &o), 0);
	twait_init(&t);
	while ((r = cache_open(h->cache, o, O_RDWR, &t.w, NULL, &f)) == CACHE_PENDING) {
		assert_int_equal(twait_block(&t), 0);
		usleep(20000);
		assert_in_range(++looks, 1, 3);
	}
	assert_int_equal(r, 0);
	host_write(h, f, "x", 1, 0);
	host_done(h, f);
	obj_unref(h->cache, o);
	assert_int_equal(host_flush(h), 0);
}

/* What it is woken for is not what it does: nothing may be left of the session. */
static void a_session_that_is_not_wanted_any_more_ends(void **state)
{
	struct host *h = *state;
	char *buf = calloc(1, BIG);
	struct cache_stats stats;
	struct cfile *f;
	struct twait t;
	struct obj *o, *root;

	host_put(h, "big", buf, BIG);
	free(buf);
	assert_int_equal(host_flush(h), 0);
	assert_int_equal(host_lookup(h, "big", &o), 0);
	twait_init(&t);
	assert_int_equal(cache_open(h->cache, o, O_RDWR, &t.w, NULL, &f), CACHE_PENDING);
	assert_int_equal(twait_block(&t), 0);
	root = cache_root(h->cache);
	assert_int_equal(cache_unlink(h->cache, root, "big", &t.w), 0);
	obj_unref(h->cache, root);
	if (!cache_open(h->cache, o, O_RDONLY, &t.w, NULL, &f))
		cache_release(h->cache, f);
	obj_unref(h->cache, o);
	assert_int_equal(host_flush(h), 0);
	cache_stats(h->cache, &stats);
	assert_int_equal(stats.open_files, 0);
	assert_int_equal(stats.dirty_objects, 0);
}

static struct cfile *open_to_read(struct host *h, const char *name)
{
	struct cfile *f;
	struct twait t;
	struct obj *o;

	assert_int_equal(host_lookup(h, name, &o), 0);
	assert_int_equal(CALL(&t, cache_open(h->cache, o, O_RDONLY, &t.w, NULL, &f)), 0);
	obj_unref(h->cache, o);
	return f;
}

static void put_stored(struct host *h, const char *name)
{
	char *buf = calloc(1, BIG);

	host_put(h, name, buf, BIG);
	free(buf);
	assert_int_equal(host_flush(h), 0);
}

/* Twice a session has to be made by a worker, and the first one is of what lost its name since. */
static void a_session_of_what_had_the_name_before_ends(void **state)
{
	struct host *h = *state;
	struct cfile *readers[2], *f = NULL;
	struct obj *root = cache_root(h->cache), *o;
	struct cache_attr attr;
	struct twait t, gone;
	char path[160];
	int r;

	twait_init(&t);
	for (int i = 0; i < 2; i++) {
		put_stored(h, "big");
		readers[i] = open_to_read(h, "big");
		r = cache_create(h->cache, root, "big", 0644, 0, 0, O_WRONLY | O_TRUNC, &t.w, NULL,
				 &o, &attr, &f);
		assert_int_equal(r, CACHE_PENDING);
		assert_int_equal(twait_block(&t), 0);
		if (!i)
			assert_int_equal(CALL(&gone, cache_unlink(h->cache, root, "big", &gone.w)),
					 0);
	}
	assert_int_equal(cache_create(h->cache, root, "big", 0644, 0, 0, O_WRONLY | O_TRUNC, &t.w,
				      NULL, &o, &attr, &f),
			 0);
	host_done(h, f);
	cache_release(h->cache, readers[0]);
	cache_release(h->cache, readers[1]);
	obj_unref(h->cache, o);
	obj_unref(h->cache, root);
	assert_int_equal(host_flush(h), 0);
	snprintf(path, sizeof(path), "%s/staging", h->cache_dir);
	for (int i = 0; i < 50 && rmdir(path); i++)
		usleep(20000);
	assert_int_equal(mkdir(path, 0700), 0); /* it could be removed: it was empty */
}

static void attributes_of_what_another_host_removed_are_not_set(void **state)
{
	struct host *h = *state;
	struct stat st = {.st_mode = 0600};
	struct cache_attr attr;
	char path[256], buf[8];
	struct twait t;
	struct obj *o;

	host_put(h, "a", "x", 1);
	assert_int_equal(host_flush(h), 0);
	assert_int_equal(host_lookup(h, "a", &o), 0);
	snprintf(path, sizeof(path), "%s/a", h->store);
	assert_int_equal(unlink(path), 0);
	usleep(300000); /* list_ttl */
	assert_int_equal(
		CALL(&t, cache_setattr(h->cache, o, NULL, &st, CACHE_SET_MODE, &t.w, &attr)),
		-ENOENT);
	obj_unref(h->cache, o);
	assert_int_equal(host_get(h, "a", buf, sizeof(buf)), -ENOENT);
	assert_int_equal(host_flush(h), 0);
	assert_false(host_stored(h, "a"));
}

/* The old file is still open, so its body is taken over: nothing of its bytes may be. */
static void a_new_file_at_an_expired_name_begins_empty(void **state)
{
	struct host *h = *state;
	struct cfile *reader;
	struct twait t;
	struct obj *o;
	char buf[32];

	host_close(h);
	host_open(h, NULL); /* nobody shares the body, so that it is not copied */
	host_put(h, "a", "old and long", 12);
	assert_int_equal(host_lookup(h, "a", &o), 0);
	assert_int_equal(CALL(&t, cache_open(h->cache, o, O_RDONLY, &t.w, NULL, &reader)), 0);
	assert_int_equal(
		CALL(&t, cache_setxattr(h->cache, o, "user.cogfs.expires_at", "1", 1, 0, &t.w)), 0);
	obj_unref(h->cache, o);
	host_put(h, "a", "new", 3);
	assert_int_equal(host_get(h, "a", buf, sizeof(buf)), 3);
	assert_memory_equal(buf, "new", 3);
	cache_release(h->cache, reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HOST_TEST(a_session_waits_for_whom_it_was_made),
		HOST_TEST(a_session_that_is_not_wanted_any_more_ends),
		HOST_TEST(a_session_of_what_had_the_name_before_ends),
		HOST_TEST(attributes_of_what_another_host_removed_are_not_set),
		HOST_TEST(a_new_file_at_an_expired_name_begins_empty),
	};

	return cmocka_run_group_tests_name("cache_windows", tests, NULL, NULL);
}
