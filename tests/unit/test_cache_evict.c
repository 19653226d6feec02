/* SPDX-License-Identifier: Apache-2.0 */
/* Who makes way for whom: shares of classes, priorities, policies, what RAM hands down. */
#include <stdio.h>

#include "cache_fixture.h"

#define KIB 1024u
#define SIZE (100 * KIB)

static const char classes[] =
	"version: 1\n"
	"tiers:\n"
	"  - {name: ram, type: ram, max_size: 1MiB, admit: always, on_evict: demote}\n"
	"  - {name: warm, type: disk, max_size: 4MiB, min_free: 0}\n"
	"  - {name: cold, type: dir, path: /nowhere}\n"
	"defaults: {tiers: [warm, cold]}\n"
	"classes:\n"
	"  - {name: share, match: \"s_*\", max_size: 1MiB}\n"
	"  - {name: few, match: \"f_*\", max_objects: 3}\n"
	"  - {name: never, match: \"n_*\", eviction: none}\n"
	"  - {name: part, match: \"np_*\", eviction: none, max_objects: 3}\n"
	"  - {name: dear, match: \"d_*\", priority: 90}\n"
	"  - {name: first, match: \"q_*\", eviction: fifo, max_objects: 3}\n"
	"  - {name: last, match: \"l_*\", eviction: lru, max_objects: 3}\n"
	"  - {name: often, match: \"o_*\", eviction: lfu, max_objects: 3}\n"
	"  - {name: soon, match: \"t_*\", eviction: ttl, max_objects: 3}\n"
	"  - {name: down, match: \"r_*\", tiers: {ram: {}, warm: {max_objects: 3}, cold: {}}}\n";

static void begin(struct host *h)
{
	host_close(h);
	h->yaml = classes;
	host_open(h, h->store);
}

static const char *name_of(const char *prefix, int i)
{
	static char name[32];

	snprintf(name, sizeof(name), "%s_%02d", prefix, i);
	return name;
}

static bool on_disk(struct host *h, const char *key)
{
	return strstr(host_xattr(h, key, "tiers"), "warm") != NULL;
}

static void put(struct host *h, const char *prefix, int i)
{
	host_put_sized(h, name_of(prefix, i), SIZE);
	assert_int_equal(host_flush(h), 0);
}

static int held(struct host *h, const char *prefix, int n)
{
	int ret = 0;

	for (int i = 0; i < n; i++)
		ret += on_disk(h, name_of(prefix, i));
	return ret;
}

static void use(struct host *h, const char *prefix, int i)
{
	assert_true(host_reads_back(h, name_of(prefix, i), SIZE));
}

static void a_class_keeps_to_its_share(void **state)
{
	struct host *h = *state;

	begin(h);
	for (int i = 0; i < 5; i++)
		put(h, "x", i);
	for (int i = 0; i < 20; i++) {
		put(h, "s", i);
		assert_in_range(held(h, "s", i + 1), i < 8 ? i + 1 : 8, 10);
	}
	assert_int_equal(held(h, "x", 5), 5);
	for (int i = 0; i < 20; i++) { /* what is read keeps to it, too */
		use(h, "s", i);
		assert_in_range(held(h, "s", 20), 8, 10);
	}
	assert_int_equal(held(h, "x", 5), 5);
}

static void a_class_keeps_to_its_number_of_objects(void **state)
{
	struct host *h = *state;

	begin(h);
	for (int i = 0; i < 10; i++) {
		put(h, "f", i);
		assert_in_range(held(h, "f", i + 1), 0, 3);
	}
	for (int i = 0; i < 10; i++) {
		use(h, "f", i);
		assert_in_range(held(h, "f", 10), 1, 3);
	}
}

static void none_stays_and_others_go(void **state)
{
	struct host *h = *state;

	begin(h);
	for (int i = 0; i < 5; i++)
		put(h, "n", i);
	for (int i = 0; i < 60; i++)
		put(h, "x", i);
	assert_int_equal(held(h, "n", 5), 5);
	assert_in_range(held(h, "x", 60), 20, 35);
}

/* Where nothing of a class may leave and its share is full, reads are not kept, and right. */
static void a_full_share_of_what_stays_streams(void **state)
{
	struct host *h = *state;

	for (int i = 0; i < 8; i++)
		put(h, "np", i);
	snprintf(h->cache_dir, sizeof(h->cache_dir), "%s/other", h->dir);
	begin(h);
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 8; i++)
			use(h, "np", i);
	assert_int_equal(held(h, "np", 8), 3);
	assert_int_equal(held(h, "np", 3), 3);
}

static void the_lowest_priority_goes_first(void **state)
{
	struct host *h = *state;

	begin(h);
	for (int i = 0; i < 10; i++)
		put(h, "d", i);
	for (int i = 0; i < 60; i++)
		put(h, "x", i);
	assert_int_equal(held(h, "d", 10), 10);
	for (int i = 10; i < 60; i++)
		put(h, "d", i);
	assert_int_equal(held(h, "x", 60), 0);
}

static void fifo_minds_no_use(void **state)
{
	struct host *h = *state;

	begin(h);
	for (int i = 0; i < 3; i++)
		put(h, "q", i);
	use(h, "q", 0);
	put(h, "q", 3);
	assert_false(on_disk(h, "q_00"));
	assert_true(on_disk(h, "q_01") && on_disk(h, "q_02") && on_disk(h, "q_03"));
}

static void lru_minds_the_last_use(void **state)
{
	struct host *h = *state;

	begin(h);
	for (int i = 0; i < 3; i++)
		put(h, "l", i);
	use(h, "l", 0);
	put(h, "l", 3);
	assert_false(on_disk(h, "l_01"));
	assert_true(on_disk(h, "l_00") && on_disk(h, "l_02") && on_disk(h, "l_03"));
}

static void lfu_minds_how_often(void **state)
{
	struct host *h = *state;

	begin(h);
	for (int i = 0; i < 3; i++)
		put(h, "o", i);
	for (int i = 0; i < 5; i++)
		use(h, "o", 1);
	for (int i = 3; i < 6; i++)
		put(h, "o", i);
	assert_true(on_disk(h, "o_01"));
	assert_int_equal(held(h, "o", 6), 3);
}

static void set_ttl(struct host *h, const char *key, const char *ttl)
{
	struct twait t;
	struct obj *o;

	assert_int_equal(host_lookup(h, key, &o), 0);
	assert_int_equal(
		CALL(&t, cache_setxattr(h->cache, o, "user.cogfs.ttl", ttl, strlen(ttl), 0, &t.w)),
		0);
	obj_unref(h->cache, o);
	assert_int_equal(host_flush(h), 0);
}

static void ttl_minds_the_end(void **state)
{
	struct host *h = *state;

	begin(h);
	for (int i = 0; i < 3; i++)
		put(h, "t", i);
	set_ttl(h, "t_01", "1000");
	set_ttl(h, "t_02", "500");
	put(h, "t", 3);
	assert_false(on_disk(h, "t_02"));
	put(h, "t", 4);
	assert_false(on_disk(h, "t_01"));
	assert_true(on_disk(h, "t_00") && on_disk(h, "t_03") && on_disk(h, "t_04"));
}

static void a_rename_takes_the_share_along(void **state)
{
	struct obj *root;
	struct host *h = *state;
	struct twait t;

	begin(h);
	root = cache_root(h->cache);
	for (int i = 0; i < 3; i++) {
		put(h, "f", i);
		put(h, "x", i);
	}
	assert_int_equal(held(h, "f", 3), 3);
	assert_int_equal(CALL(&t, cache_rename(h->cache, root, "x_00", root, "f_03", 0, &t.w)), 0);
	assert_int_equal(CALL(&t, cache_rename(h->cache, root, "f_00", root, "y_00", 0, &t.w)), 0);
	assert_int_equal(host_flush(h), 0);
	assert_true(on_disk(h, "y_00") && on_disk(h, "f_01") && on_disk(h, "f_03"));
	put(h, "f", 4);
	assert_true(on_disk(h, "f_04") && on_disk(h, "f_03") && !on_disk(h, "f_01"));
	assert_true(on_disk(h, "y_00"));
	obj_unref(h->cache, root);
}

/* RAM has more of this class than the disk: what leaves RAM is taken over by the disk. */
static void ram_hands_down(void **state)
{
	struct host *h = *state;

	begin(h);
	for (int i = 0; i < 12; i++)
		put(h, "r", i);
	for (int i = 0; i < 400 && !count_get(&h->counters, COUNTER_demotions); i++) {
		use(h, "r", i % 12);
		assert_in_range(held(h, "r", 12), 0, 3);
		usleep(2000);
	}
	assert_true(count_get(&h->counters, COUNTER_demotions) > 0);
	for (int i = 0; i < 12; i++)
		use(h, "r", i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HOST_TEST(a_class_keeps_to_its_share),
		HOST_TEST(a_class_keeps_to_its_number_of_objects),
		HOST_TEST(none_stays_and_others_go),
		HOST_TEST(a_full_share_of_what_stays_streams),
		HOST_TEST(the_lowest_priority_goes_first),
		HOST_TEST(fifo_minds_no_use),
		HOST_TEST(lru_minds_the_last_use),
		HOST_TEST(lfu_minds_how_often),
		HOST_TEST(ttl_minds_the_end),
		HOST_TEST(a_rename_takes_the_share_along),
		HOST_TEST(ram_hands_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
