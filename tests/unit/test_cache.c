/* SPDX-License-Identifier: Apache-2.0 */
/* The cache core without a driver: real directories, a real dir store, calls as the driver makes them. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache/cache.h"
#include "util/cleanup.h"

struct host {
	char dir[64], cache_dir[96], store[96];
	struct config *config;
	struct counters counters;
	struct cache *cache;
};

/* A wait that a test blocks on. */
struct twait {
	struct cache_wait w;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
	int err;
};

static void twait_done(struct cache_wait *w, int err)
{
	struct twait *t = (struct twait *)w;

	pthread_mutex_lock(&t->lock);
	t->done = true;
	t->err = err;
	pthread_cond_signal(&t->cond);
	pthread_mutex_unlock(&t->lock);
}

static void twait_init(struct twait *t)
{
	memset(t, 0, sizeof(*t));
	cache_wait_init(&t->w, twait_done);
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->cond, NULL);
}

static int twait_block(struct twait *t)
{
	pthread_mutex_lock(&t->lock);
	while (!t->done)
		pthread_cond_wait(&t->cond, &t->lock);
	t->done = false;
	pthread_mutex_unlock(&t->lock);
	return t->err;
}

/* Runs a call until it is through: what the driver does with its requests. */
#define CALL(t, expr)                                                                              \
	({                                                                                         \
		int call_r;                                                                        \
		twait_init(t);                                                                     \
		while ((call_r = (expr)) == CACHE_PENDING) {                                       \
			call_r = twait_block(t);                                                   \
			if (call_r)                                                                \
				break;                                                             \
		}                                                                                  \
		call_r;                                                                            \
	})

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static void host_open(struct host *h, const char *store)
{
	char source[128];
	struct err err = {{0}};
	const struct conf_override ov[] = {
		{"cache_dir", h->cache_dir},
		{"write.upload_delay", "0s"},
		{"mount.list_ttl", "200ms"},
		{"mount.negative_ttl", "100ms"},
	};
	struct conf_load_args args = {.source = source, .overrides = ov, .n_overrides = 4};
	struct cache_conf cc = {.lock_fd = -1, .ram_fd = -1, .counters = &h->counters, .mountpoint = "/nowhere"};

	snprintf(source, sizeof(source), "dir:%s", store);
	if (config_load(&args, &h->config, &err))
		fail_msg("%s", err.text);
	cc.config = h->config;
	if (cache_new(&cc, &h->cache, &err))
		fail_msg("%s", err.text);
	assert_int_equal(cache_start(h->cache, &err), 0);
}

static void host_close(struct host *h)
{
	assert_int_equal(cache_free(h->cache, 10 * NSEC_PER_SEC, NULL, NULL), 0);
	config_free(h->config);
}

static int setup(void **state)
{
	struct host *h = calloc(1, sizeof(*h));

	snprintf(h->dir, sizeof(h->dir), "/var/tmp/cogfs-test-XXXXXX");
	assert_non_null(mkdtemp(h->dir));
	snprintf(h->cache_dir, sizeof(h->cache_dir), "%s/cache", h->dir);
	snprintf(h->store, sizeof(h->store), "%s/store", h->dir);
	host_open(h, h->store);
	*state = h;
	return 0;
}

static int teardown(void **state)
{
	struct host *h = *state;

	host_close(h);
	nftw(h->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(h);
	return 0;
}

/* --- verbs --- */

static int lookup(struct host *h, const char *key, struct obj **ret)
{
	struct twait t;

	return CALL(&t, cache_resolve(h->cache, key, &t.w, ret));
}

static struct obj *mkdir_p(struct host *h, const char *name)
{
	struct obj *root = cache_root(h->cache), *dir;
	struct cache_attr attr;

	assert_int_equal(cache_mkdir(h->cache, root, name, 0755, 0, 0, &dir, &attr), 0);
	obj_unref(h->cache, root);
	return dir;
}

static void put(struct host *h, const char *name, const void *buf, size_t len)
{
	struct obj *root = cache_root(h->cache), *o;
	struct cache_attr attr;
	struct cfile *f;
	struct twait t;

	assert_int_equal(CALL(&t, cache_create(h->cache, root, name, 0644, 7, 8, O_WRONLY | O_TRUNC, &t.w, NULL, &o,
					       &attr, &f)),
			 0);
	assert_int_equal(CALL(&t, cache_write(h->cache, f, buf, len, 0, false, &t.w)), 0);
	assert_int_equal(CALL(&t, cache_flush(h->cache, f, 0, &t.w)), 0);
	cache_release(h->cache, f);
	obj_unref(h->cache, o);
	obj_unref(h->cache, root);
}

static ssize_t get(struct host *h, const char *key, void *buf, size_t len)
{
	struct cache_data data;
	struct cfile *f;
	struct twait t;
	struct obj *o;
	ssize_t n;
	int r = lookup(h, key, &o);

	if (r)
		return r;
	r = CALL(&t, cache_open(h->cache, o, O_RDONLY, &t.w, NULL, &f));
	obj_unref(h->cache, o);
	if (r)
		return r;
	r = CALL(&t, cache_read(h->cache, f, 0, len, &t.w, &data));
	n = r ? r : data.buf ? (ssize_t)data.len : pread(data.fd, buf, data.len, data.off);
	if (!r && data.buf)
		memcpy(buf, data.buf, data.len);
	free(data.buf);
	cache_release(h->cache, f);
	return n;
}

static int flush_all(struct host *h)
{
	uint64_t held;

	return cache_flush_all(h->cache, "", clock_mono(&clock_system) + 10 * NSEC_PER_SEC, NULL, NULL, NULL, &held);
}

/* --- tests --- */

static void a_written_object_is_read_back(void **state)
{
	struct host *h = *state;
	char buf[16] = "";

	put(h, "a.txt", "hello", 5);
	assert_int_equal(get(h, "a.txt", buf, sizeof(buf)), 5);
	assert_string_equal(buf, "hello");
}

static void a_flush_brings_it_to_the_store(void **state)
{
	struct host *h = *state;
	char path[128];
	struct stat st;

	put(h, "a.txt", "hello", 5);
	assert_int_equal(flush_all(h), 0);
	snprintf(path, sizeof(path), "%s/a.txt", h->store);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 5);
}

static void another_empty_host_reads_it_with_its_metadata(void **state)
{
	struct host *h = *state, b = {{0}};
	struct cache_attr attr;
	char buf[16] = "";
	struct twait t;
	struct obj *o;

	put(h, "a.txt", "hello", 5);
	assert_int_equal(flush_all(h), 0);
	snprintf(b.cache_dir, sizeof(b.cache_dir), "%s/cache-b", h->dir);
	host_open(&b, h->store);
	assert_int_equal(get(&b, "a.txt", buf, sizeof(buf)), 5);
	assert_string_equal(buf, "hello");
	assert_int_equal(lookup(&b, "a.txt", &o), 0);
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

	put(h, "a.txt", "hello", 5);
	host_close(h);
	host_open(h, h->store);
	assert_int_equal(get(h, "a.txt", buf, sizeof(buf)), 5);
}

static void an_unlinked_name_is_gone_here_and_in_the_store(void **state)
{
	struct host *h = *state;
	struct obj *root = cache_root(h->cache), *o;
	char path[128];
	struct twait t;

	put(h, "a.txt", "hello", 5);
	assert_int_equal(flush_all(h), 0);
	assert_int_equal(CALL(&t, cache_unlink(h->cache, root, "a.txt", &t.w)), 0);
	assert_int_equal(lookup(h, "a.txt", &o), -ENOENT);
	assert_int_equal(flush_all(h), 0);
	snprintf(path, sizeof(path), "%s/a.txt", h->store);
	assert_int_equal(access(path, F_OK), -1);
	obj_unref(h->cache, root);
}

static void a_renamed_directory_takes_its_children_along(void **state)
{
	struct host *h = *state;
	struct obj *root = cache_root(h->cache), *dir = mkdir_p(h, "d"), *o;
	struct cache_attr attr;
	struct cfile *f;
	char buf[16] = "", path[128];
	struct twait t;

	assert_int_equal(
		CALL(&t, cache_create(h->cache, dir, "x", 0644, 0, 0, O_WRONLY, &t.w, NULL, &o, &attr, &f)), 0);
	assert_int_equal(CALL(&t, cache_write(h->cache, f, "abc", 3, 0, false, &t.w)), 0);
	assert_int_equal(CALL(&t, cache_flush(h->cache, f, 0, &t.w)), 0);
	cache_release(h->cache, f);
	obj_unref(h->cache, o);
	assert_int_equal(flush_all(h), 0);
	assert_int_equal(CALL(&t, cache_rename(h->cache, root, "d", root, "e", 0, &t.w)), 0);
	assert_int_equal(get(h, "e/x", buf, sizeof(buf)), 3);
	assert_int_equal(lookup(h, "d", &o), -ENOENT);
	assert_int_equal(flush_all(h), 0);
	snprintf(path, sizeof(path), "%s/e/x", h->store);
	assert_int_equal(access(path, F_OK), 0);
	snprintf(path, sizeof(path), "%s/d", h->store);
	assert_int_equal(access(path, F_OK), -1);
	obj_unref(h->cache, dir);
	obj_unref(h->cache, root);
}

static void a_listing_shows_local_and_stored_names_once(void **state)
{
	struct host *h = *state, b = {{0}};
	struct obj *root;
	struct cdir *d;
	struct twait t;

	put(h, "a", "1", 1);
	put(h, "b", "2", 1);
	assert_int_equal(flush_all(h), 0);
	snprintf(b.cache_dir, sizeof(b.cache_dir), "%s/cache-b", h->dir);
	host_open(&b, h->store);
	put(&b, "c", "3", 1);
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

	put(h, "a", "0123456789", 10);
	assert_int_equal(flush_all(h), 0);
	assert_int_equal(lookup(h, "a", &o), 0);
	assert_int_equal(CALL(&t, cache_open(h->cache, o, O_RDWR, &t.w, NULL, &f)), 0);
	assert_int_equal(CALL(&t, cache_write(h->cache, f, "xx", 2, 4, false, &t.w)), 0);
	assert_int_equal(CALL(&t, cache_flush(h->cache, f, 0, &t.w)), 0);
	cache_release(h->cache, f);
	assert_int_equal(get(h, "a", buf, sizeof(buf)), 10);
	assert_string_equal(buf, "0123xx6789");
	assert_int_equal(flush_all(h), 0);
	obj_unref(h->cache, o);
}

static void an_expired_object_is_absent(void **state)
{
	struct host *h = *state;
	struct twait t;
	struct obj *o;

	put(h, "a", "1", 1);
	assert_int_equal(lookup(h, "a", &o), 0);
	assert_int_equal(CALL(&t, cache_setxattr(h->cache, o, "user.cogfs.expires_at", "1", 1, 0, &t.w)), 0);
	obj_unref(h->cache, o);
	assert_int_equal(lookup(h, "a", &o), -ENOENT);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_written_object_is_read_back),
		T(a_flush_brings_it_to_the_store),
		T(another_empty_host_reads_it_with_its_metadata),
		T(what_was_closed_survives_the_process),
		T(an_unlinked_name_is_gone_here_and_in_the_store),
		T(a_renamed_directory_takes_its_children_along),
		T(a_listing_shows_local_and_stored_names_once),
		T(a_change_in_place_is_read_and_drained),
		T(an_expired_object_is_absent),
	};

	return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}
