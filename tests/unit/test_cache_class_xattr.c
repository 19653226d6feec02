/* SPDX-License-Identifier: Apache-2.0 */
/* What xattrs tell of an object's class, and what directories say of what is made below. */
#include <stdio.h>

#include "cache_fixture.h"

static const char classes[] = "version: 1\n"
			      "tiers:\n"
			      "  - {name: warm, type: disk, max_size: 1GiB}\n"
			      "  - {name: cold, type: dir, path: /nowhere}\n"
			      "classes:\n"
			      "  - name: frames\n"
			      "    match: \"{video_id}_frame_{timestamp:[0-9]+}.jpg\"\n"
			      "    ttl: 1d\n"
			      "  - name: typed\n"
			      "    match: \"{artifact:audio|text}_*\"\n"
			      "  - {name: wild, match: \"{artifact}.wild\"}\n"
			      "  - {name: done, match: \"*.json\", ttl: 1h}\n";

static void begin(struct host *h)
{
	host_close(h);
	h->yaml = classes;
	host_open(h, h->store);
}

static void assert_own(struct host *h, const char *key, const char *name, const char *value)
{
	assert_string_equal(host_xattr(h, key, name), value);
}

static long seconds_left(struct host *h, const char *key)
{
	const char *text = host_xattr(h, key, "ttl");

	return strcmp(text, "never") ? strtol(text, NULL, 10) : -1;
}

static int change(struct host *h, const char *key, const char *name, const char *value)
{
	struct twait t;
	struct obj *o;
	int r;

	assert_int_equal(host_lookup(h, key, &o), 0);
	r = value ? CALL(&t, cache_setxattr(h->cache, o, name, value, strlen(value), 0, &t.w))
		  : CALL(&t, cache_removexattr(h->cache, o, name, &t.w));
	obj_unref(h->cache, o);
	return r;
}

static void set_own(struct host *h, const char *key, const char *name, const char *value)
{
	char full[64];

	snprintf(full, sizeof(full), "user.cogfs.%s", name);
	assert_int_equal(change(h, key, full, value), 0);
}

static void make_dir(struct host *h, const char *in, const char *name)
{
	struct cache_attr attr;
	struct obj *dir, *o;

	assert_int_equal(host_lookup(h, in, &dir), 0);
	assert_int_equal(cache_mkdir(h->cache, dir, name, 0755, 0, 0, &o, &attr), 0);
	obj_unref(h->cache, o);
	obj_unref(h->cache, dir);
}

static void put_in(struct host *h, const char *in, const char *name)
{
	struct cache_attr attr;
	struct obj *dir, *o;
	struct cfile *f;
	struct twait t;

	assert_int_equal(host_lookup(h, in, &dir), 0);
	assert_int_equal(CALL(&t, cache_create(h->cache, dir, name, 0644, 0, 0, O_WRONLY, &t.w,
					       NULL, &o, &attr, &f)),
			 0);
	host_write(h, f, name, strlen(name), 0);
	host_done(h, f);
	obj_unref(h->cache, o);
	obj_unref(h->cache, dir);
}

static void host_rename(struct host *h, const char *from, const char *to)
{
	struct obj *root = cache_root(h->cache);
	struct twait t;

	assert_int_equal(CALL(&t, cache_rename(h->cache, root, from, root, to, 0, &t.w)), 0);
	obj_unref(h->cache, root);
}

static bool is_listed(struct host *h, const char *key, const char *name)
{
	char buf[2048];
	bool found = false;
	struct obj *o;
	size_t len;

	assert_int_equal(host_lookup(h, key, &o), 0);
	assert_int_equal(cache_listxattr(h->cache, o, buf, sizeof(buf), &len), 0);
	for (const char *p = buf; p < buf + len; p += strlen(p) + 1)
		found |= !strcmp(p, name);
	obj_unref(h->cache, o);
	return found;
}

static void class_and_placeholders_are_shown_and_cannot_be_set(void **state)
{
	struct host *h = *state;

	begin(h);
	host_put(h, "v1_frame_17.jpg", "x", 1);
	host_put(h, "other", "x", 1);
	assert_own(h, "v1_frame_17.jpg", "class", "frames");
	assert_own(h, "v1_frame_17.jpg", "video_id", "v1");
	assert_own(h, "v1_frame_17.jpg", "timestamp", "17");
	assert_own(h, "other", "class", "default");
	assert_own(h, "other", "video_id", "");
	assert_true(is_listed(h, "v1_frame_17.jpg", "user.cogfs.video_id"));
	assert_true(is_listed(h, "v1_frame_17.jpg", "user.cogfs.timestamp"));
	assert_false(is_listed(h, "other", "user.cogfs.video_id"));
	set_own(h, "v1_frame_17.jpg", "video_id", "another");
	set_own(h, "v1_frame_17.jpg", "class", "another");
	assert_own(h, "v1_frame_17.jpg", "video_id", "v1");
	assert_own(h, "v1_frame_17.jpg", "class", "frames");
	host_rename(h, "v1_frame_17.jpg", "v2_frame_1.jpg");
	assert_own(h, "v2_frame_1.jpg", "video_id", "v2");
	assert_int_equal(host_flush(h), 0);
}

/* Programs write beside and rename: the life is that of the name that it gets. */
static void a_rename_brings_the_life_of_the_new_name(void **state)
{
	struct host *h = *state;

	begin(h);
	host_put(h, "tmp1", "x", 1);
	assert_int_equal(seconds_left(h, "tmp1"), -1);
	host_rename(h, "tmp1", "a.json");
	assert_in_range(seconds_left(h, "a.json"), 3590, 3600);
	host_put(h, "tmp2", "x", 1);
	set_own(h, "tmp2", "ttl", "60");
	host_rename(h, "tmp2", "b.json");
	assert_in_range(seconds_left(h, "b.json"), 50, 60);
	host_rename(h, "a.json", "plain");
	assert_int_equal(seconds_left(h, "plain"), -1);
	assert_int_equal(host_flush(h), 0);
	host_close(h);
	host_open(h, h->store);
	assert_int_equal(seconds_left(h, "plain"), -1);
	assert_in_range(seconds_left(h, "b.json"), 40, 60);
}

static void the_nearest_directory_says_what_lives_how_long(void **state)
{
	struct host *h = *state;

	begin(h);
	make_dir(h, "", "d");
	make_dir(h, "d", "e");
	assert_own(h, "d", "ttl", "");
	put_in(h, "d", "before");
	set_own(h, "d", "ttl", "1000");
	assert_own(h, "d", "ttl", "1000");
	put_in(h, "d", "a");
	put_in(h, "d/e", "b.json");
	assert_int_equal(seconds_left(h, "d/before"), -1);
	assert_in_range(seconds_left(h, "d/a"), 990, 1000);
	assert_in_range(seconds_left(h, "d/e/b.json"), 990, 1000);
	set_own(h, "d/e", "ttl", "never");
	assert_own(h, "d/e", "ttl", "never");
	put_in(h, "d/e", "c.json");
	assert_int_equal(seconds_left(h, "d/e/c.json"), -1);
	set_own(h, "d/e", "expires_at", "4000000000");
	put_in(h, "d/e", "f");
	assert_own(h, "d/e/f", "expires_at", "4000000000");
	set_own(h, "d/e/f", "ttl", "60");
	assert_in_range(seconds_left(h, "d/e/f"), 50, 60);
	set_own(h, "d/e", "expires_at", NULL);
	set_own(h, "d", "ttl", NULL);
	assert_own(h, "d", "ttl", "");
	put_in(h, "d/e", "g");
	assert_int_equal(seconds_left(h, "d/e/g"), -1);
	assert_int_equal(host_flush(h), 0);
}

/* An expiry that is over is that of what was made below, not the directory's. */
static void a_directory_itself_does_not_expire(void **state)
{
	struct host *h = *state;
	struct obj *o;

	begin(h);
	make_dir(h, "", "d");
	set_own(h, "d", "expires_at", "1000000000");
	assert_int_equal(host_lookup(h, "d", &o), 0);
	obj_unref(h->cache, o);
	assert_int_equal(host_flush(h), 0);
}

static void what_a_directory_says_is_kept_and_travels(void **state)
{
	static const struct conf_override none[] = {{NULL, NULL}};
	struct host *h = *state, b;

	begin(h);
	make_dir(h, "", "d");
	set_own(h, "d", "ttl", "1000");
	set_own(h, "d", "pinned", "1");
	put_in(h, "d", "a");
	assert_own(h, "d/a", "pinned", "1");
	assert_int_equal(host_flush(h), 0);
	host_close(h);
	host_open(h, h->store);
	assert_own(h, "d", "ttl", "1000");
	assert_own(h, "d", "pinned", "1");
	assert_own(h, "d/a", "pinned", "1");
	assert_false(is_listed(h, "d/a", "user.cogfs.pinned.x"));
	host_open_other(h, &b, none, NULL);
	assert_own(&b, "d", "ttl", "1000");
	assert_own(&b, "d", "pinned", "1");
	put_in(&b, "d", "c");
	assert_in_range(seconds_left(&b, "d/c"), 990, 1000);
	assert_own(&b, "d/c", "pinned", "1");
	set_own(&b, "d/c", "pinned", "0");
	assert_own(&b, "d/c", "pinned", "0");
	assert_int_equal(host_flush(&b), 0);
	host_close(&b);
}

static struct cache_class_stats stats_of(struct host *h, const char *name, const char *type)
{
	struct cache_class_stats *v, found = {.name = ""};
	size_t n;

	assert_int_equal(cache_class_stats(h->cache, &v, &n), 0);
	for (size_t i = 0; i < n; i++)
		if (!strcmp(v[i].name, name) && !strcmp(v[i].type, type))
			found = v[i];
	free(v);
	return found;
}

static int look_up(struct host *h, const char *name)
{
	struct obj *root = cache_root(h->cache), *o;
	struct cache_attr attr;
	struct twait t;
	int64_t neg;
	int r = CALL(&t, cache_lookup(h->cache, root, name, &t.w, &o, &attr, &neg));

	if (!r)
		obj_unref(h->cache, o);
	obj_unref(h->cache, root);
	return r;
}

static void counts_are_kept_for_each_class_and_type(void **state)
{
	struct host *h = *state;
	struct cache_class_stats s;
	struct obj *root;
	struct twait t;
	char buf[8];

	begin(h);
	host_put(h, "audio_a", "1234", 4);
	host_put(h, "audio_b", "1234", 4);
	host_put(h, "text_a", "1234", 4);
	assert_int_equal(host_get(h, "audio_a", buf, 4), 4);
	assert_int_equal(host_get(h, "audio_a", buf, 4), 4);
	assert_int_equal(look_up(h, "audio_none"), -ENOENT);
	s = stats_of(h, "typed", "audio");
	assert_int_equal(s.hits, 2);
	assert_int_equal(s.misses, 1);
	assert_int_equal(s.sets, 2);
	assert_int_equal(s.files, 2);
	assert_true(s.bytes >= 8192);
	assert_int_equal(stats_of(h, "typed", "text").sets, 1);
	host_rename(h, "audio_b", "text_b");
	(void)host_xattr(h, "text_b", "class");
	assert_int_equal(stats_of(h, "typed", "audio").files, 1);
	assert_int_equal(stats_of(h, "typed", "text").files, 2);
	root = cache_root(h->cache);
	assert_int_equal(CALL(&t, cache_unlink(h->cache, root, "text_a", &t.w)), 0);
	obj_unref(h->cache, root);
	s = stats_of(h, "typed", "text");
	assert_int_equal(s.deletes, 1);
	assert_int_equal(s.files, 1);
	assert_int_equal(host_flush(h), 0);
}

/* They come from paths, and anybody can think of more. */
static void types_are_limited(void **state)
{
	struct cache_class_stats *v;
	struct host *h = *state;
	uint64_t misses = 0;
	char name[32];
	size_t n;

	begin(h);
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "t%d.wild", i);
		assert_int_equal(look_up(h, name), -ENOENT);
	}
	assert_int_equal(cache_class_stats(h->cache, &v, &n), 0);
	for (size_t i = 0; i < n; i++)
		misses += v[i].misses;
	free(v);
	assert_in_range(n, 60, 70);
	assert_int_equal(misses, 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HOST_TEST(class_and_placeholders_are_shown_and_cannot_be_set),
		HOST_TEST(a_rename_brings_the_life_of_the_new_name),
		HOST_TEST(the_nearest_directory_says_what_lives_how_long),
		HOST_TEST(a_directory_itself_does_not_expire),
		HOST_TEST(counts_are_kept_for_each_class_and_type),
		HOST_TEST(types_are_limited),
		HOST_TEST(what_a_directory_says_is_kept_and_travels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
