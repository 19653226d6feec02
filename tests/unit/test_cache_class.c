/* SPDX-License-Identifier: Apache-2.0 */
/* What a class says of its objects: where their bytes are, how they get there, how long. */
#include <stdio.h>

#include "cache_fixture.h"

#define KIB 1024u
#define SIZE (100 * KIB)

static const char classes[] =
	"version: 1\n"
	"tiers:\n"
	"  - {name: ram, type: ram, max_size: 16MiB}\n"
	"  - {name: warm, type: disk, max_size: 1GiB}\n"
	"  - {name: cold, type: dir, path: /nowhere}\n"
	"classes:\n"
	"  - {name: hot, match: \"hot_{name}\", tiers: [ram], ttl: 1h}\n"
	"  - {name: short, match: \"short_*\", tiers: {ram: {ttl: 60s}}}\n"
	"  - {name: big, match: \"big_*\", tiers: {ram: {}, warm: {max_object: 64KiB}, cold: "
	"{max_object: 200KiB}}}\n"
	"  - {name: ramcold, match: \"rc_*\", tiers: [ram, cold]}\n"
	"  - {name: stream, match: \"stream_*\", tiers: [cold]}\n"
	"  - {name: here, match: \"here_*\", tiers: [warm], ttl: 1d}\n"
	"  - {name: day, match: \"day_*\", ttl: 1d, mode: \"0640\"}\n"
	"  - {name: through, match: \"through_*\", write: through}\n"
	"  - {name: aged, match: \"aged_*\", tiers: {warm: {ttl: 1h}, cold: {}}}\n"
	"  - {name: pinned, match: \"pin_*\", pinned: true, tiers: {warm: {ttl: 1h}, cold: {}}}\n"
	"  - {name: packed, match: \"packed_*\", compression: zstd}\n"
	"  - {name: eager, match: \"eager_*\", admission: always}\n";

/* Begins anew with the classes above. */
static void begin(struct host *h)
{
	host_close(h);
	h->yaml = classes;
	host_open(h, h->store);
}

static void begin_ahead(struct host *h, struct ahead *a)
{
	host_close(h);
	ahead_init(a);
	h->clock = &a->clock;
	h->yaml = classes;
	host_open(h, h->store);
}

static void reopen(struct host *h)
{
	host_close(h);
	host_open(h, h->store);
}

static void forward(struct ahead *a, int seconds)
{
	a->by += seconds * NSEC_PER_SEC;
}

static void assert_own(struct host *h, const char *key, const char *name, const char *value)
{
	assert_string_equal(host_xattr(h, key, name), value);
}

static bool comes_to_be(struct host *h, const char *key, const char *name, const char *value)
{
	for (int i = 0; i < 1500; i++, usleep(2000))
		if (!strcmp(host_xattr(h, key, name), value))
			return true;
	return false;
}

static long seconds_left(struct host *h, const char *key)
{
	const char *text = host_xattr(h, key, "ttl");

	return strcmp(text, "never") ? strtol(text, NULL, 10) : -1;
}

static void host_rename(struct host *h, const char *from, const char *to)
{
	struct obj *root = cache_root(h->cache);
	struct twait t;

	assert_int_equal(CALL(&t, cache_rename(h->cache, root, from, root, to, 0, &t.w)), 0);
	obj_unref(h->cache, root);
}

static uint64_t counted(struct host *h, enum counter_id id)
{
	return count_get(&h->counters, id);
}

static void what_is_volatile_is_in_ram_and_nowhere_else(void **state)
{
	struct host *h = *state;

	begin(h);
	host_put_sized(h, "hot_a", SIZE);
	assert_own(h, "hot_a", "state", "volatile");
	assert_own(h, "hot_a", "tiers", "ram");
	assert_true(host_reads_back(h, "hot_a", SIZE));
	assert_int_equal(counted(h, COUNTER_hits_ram), 1);
	assert_int_equal(host_flush(h), 0);
	assert_false(host_stored(h, "hot_a"));
	assert_int_equal(counted(h, COUNTER_uploads), 0);
	host_put_sized(h, "hot_a", 2 * SIZE); /* over it */
	assert_true(host_reads_back(h, "hot_a", 2 * SIZE));
	reopen(h);
	assert_int_equal(host_get(h, "hot_a", (char[8]){0}, 8), -ENOENT);
}

static void no_store_is_asked_for_a_volatile_name(void **state)
{
	struct host *h = *state;
	uint64_t before;

	begin(h);
	before = counted(h, COUNTER_store_requests);
	assert_int_equal(host_get(h, "hot_none", (char[8]){0}, 8), -ENOENT);
	assert_int_equal(counted(h, COUNTER_store_requests), before);
}

static void what_is_volatile_makes_way(void **state)
{
	struct host *h = *state;
	char name[32];

	begin(h);
	for (int i = 0; i < 40; i++) { /* 40 MiB into 16 */
		snprintf(name, sizeof(name), "hot_%02d", i);
		host_put_sized(h, name, 1024 * KIB);
	}
	assert_true(counted(h, COUNTER_evictions) >= 24);
	assert_int_equal(host_get(h, "hot_00", name, 8), -ENOENT);
	assert_true(host_reads_back(h, "hot_39", 1024 * KIB));
}

static void a_volatile_life_ends_with_its_tiers_ttl(void **state)
{
	struct host *h = *state;
	static struct ahead a; /* the teardown still asks it */

	begin_ahead(h, &a);
	host_put_sized(h, "short_a", SIZE);
	assert_in_range(seconds_left(h, "short_a"), 55, 60);
	forward(&a, 70);
	assert_int_equal(host_get(h, "short_a", (char[8]){0}, 8), -ENOENT);
}

static void one_without_a_disk_is_stored_and_kept_in_ram(void **state)
{
	struct host *h = *state;

	begin(h);
	host_put_sized(h, "rc_a", SIZE);
	assert_true(host_reads_back(h, "rc_a", SIZE));
	assert_int_equal(host_flush(h), 0);
	assert_true(host_stored(h, "rc_a"));
	assert_own(h, "rc_a", "state", "clean");
	assert_own(h, "rc_a", "tiers", "ram,cold");
	assert_true(host_reads_back(h, "rc_a", SIZE));
	assert_int_equal(counted(h, COUNTER_hits_ram), 2);
	reopen(h);
	assert_own(h, "rc_a", "tiers", "cold");
	assert_true(host_reads_back(h, "rc_a", SIZE));
	assert_own(h, "rc_a", "tiers", "ram,cold");
}

static void one_with_a_store_only_is_streamed(void **state)
{
	struct host *h = *state;

	begin(h);
	host_put_sized(h, "stream_a", SIZE);
	assert_true(host_reads_back(h, "stream_a", SIZE));
	assert_int_equal(host_flush(h), 0);
	assert_own(h, "stream_a", "tiers", "cold");
	assert_true(host_reads_back(h, "stream_a", SIZE));
	assert_own(h, "stream_a", "tiers", "cold");
	assert_true(counted(h, COUNTER_stream_bytes) >= SIZE);
}

static void a_streamed_one_can_be_changed_in_place(void **state)
{
	struct host *h = *state;
	struct cfile *f;
	struct twait t;
	struct obj *o;
	char c;

	begin(h);
	host_put_sized(h, "stream_a", SIZE);
	assert_int_equal(host_flush(h), 0);
	assert_int_equal(host_lookup(h, "stream_a", &o), 0);
	assert_int_equal(CALL(&t, cache_open(h->cache, o, O_WRONLY, &t.w, NULL, &f)), 0);
	host_write(h, f, "!", 1, 0);
	host_done(h, f);
	obj_unref(h->cache, o);
	assert_int_equal(host_flush(h), 0);
	assert_int_equal(host_get(h, "stream_a", &c, 1), 1);
	assert_int_equal(c, '!');
	assert_own(h, "stream_a", "tiers", "cold");
}

static void one_without_a_store_stays_on_this_disk(void **state)
{
	struct host *h = *state;

	begin(h);
	host_put_sized(h, "here_a", SIZE);
	assert_own(h, "here_a", "state", "clean");
	assert_own(h, "here_a", "tiers", "warm");
	assert_int_equal(host_flush(h), 0);
	assert_false(host_stored(h, "here_a"));
	reopen(h);
	assert_true(host_reads_back(h, "here_a", SIZE));
	usleep(300000); /* past list_ttl */
	assert_true(host_reads_back(h, "here_a", SIZE));
	host_put_sized(h, "here_a", 2 * SIZE);
	assert_true(host_reads_back(h, "here_a", 2 * SIZE));
	assert_int_equal(counted(h, COUNTER_uploads), 0);
}

static void a_large_one_is_not_kept_where_it_is_too_large(void **state)
{
	struct host *h = *state;
	struct cfile *f;
	struct twait t;

	begin(h);
	host_put_sized(h, "big_small", 10 * KIB);
	host_put_sized(h, "big_more", SIZE);
	host_put_sized(h, "big_most", 300 * KIB);
	assert_int_equal(host_flush(h), 0);
	assert_own(h, "big_small", "tiers", "warm,cold");
	assert_own(h, "big_more", "tiers", "ram,cold");
	assert_own(h, "big_most", "tiers", "ram");
	assert_own(h, "big_most", "state", "volatile");
	f = host_create(h, "hot_huge", NULL);
	assert_int_equal(CALL(&t, cache_write(h->cache, f, "x", 1, 64 << 20, false, &t.w)), -EFBIG);
	cache_release(h->cache, f);
}

static void lives_and_modes_are_the_classs(void **state)
{
	struct host *h = *state;
	struct cache_attr attr;
	struct twait t;
	struct obj *o;

	begin(h);
	host_put_sized(h, "day_a", 10);
	host_put_sized(h, "other", 10);
	assert_in_range(seconds_left(h, "day_a"), 86390, 86400);
	assert_int_equal(seconds_left(h, "other"), -1);
	assert_int_equal(host_lookup(h, "day_a", &o), 0);
	assert_int_equal(CALL(&t, cache_getattr(h->cache, o, &t.w, &attr)), 0);
	assert_int_equal(attr.st.st_mode & 07777, 0640);
	obj_unref(h->cache, o);
	assert_int_equal(host_flush(h), 0);
}

static void through_is_per_class(void **state)
{
	struct host *h = *state;

	begin(h);
	host_put_sized(h, "through_a", 10);
	assert_true(host_stored(h, "through_a"));
	assert_int_equal(host_flush(h), 0);
}

static void copies_end_by_class_and_tier_and_pinned_ones_do_not(void **state)
{
	struct host *h = *state;
	static struct ahead a; /* the teardown still asks it */

	begin_ahead(h, &a);
	host_put_sized(h, "aged_a", SIZE);
	host_put_sized(h, "pin_a", SIZE);
	host_put_sized(h, "other", SIZE);
	assert_int_equal(host_flush(h), 0);
	assert_own(h, "pin_a", "pinned", "1");
	forward(&a, 3700);
	assert_true(comes_to_be(h, "aged_a", "tiers", "cold"));
	assert_own(h, "pin_a", "tiers", "warm,cold");
	assert_own(h, "other", "tiers", "warm,cold");
}

static void admission_is_per_class(void **state)
{
	struct host *h = *state;

	begin(h);
	host_put_sized(h, "eager_a", SIZE);
	host_put_sized(h, "other", SIZE);
	assert_int_equal(host_flush(h), 0);
	assert_true(host_reads_back(h, "eager_a", SIZE) && host_reads_back(h, "other", SIZE));
	assert_true(comes_to_be(h, "eager_a", "tiers", "ram,warm,cold"));
	assert_own(h, "other", "tiers", "warm,cold");
}

/* As programs do that write beside and rename. */
static void a_rename_brings_bytes_where_the_new_class_keeps_them(void **state)
{
	static const struct conf_override slow[] = {{"write.upload_delay", "1h"}, {NULL, NULL}};
	struct host *h = *state;

	host_close(h);
	h->yaml = classes;
	host_open_with(h, h->store, slow, false);
	host_put_sized(h, "htmp", SIZE);
	host_rename(h, "htmp", "hot_a");
	assert_true(comes_to_be(h, "hot_a", "tiers", "ram"));
	assert_own(h, "hot_a", "state", "volatile");
	assert_true(host_reads_back(h, "hot_a", SIZE));
	assert_int_equal(host_flush(h), 0);
	assert_false(host_stored(h, "hot_a"));
	host_rename(h, "hot_a", "hither");
	for (int i = 0; i < 1500 && !host_stored(h, "hither"); i++, usleep(2000))
		assert_int_equal(host_flush(h), 0);
	assert_true(host_stored(h, "hither"));
	assert_own(h, "hither", "tiers", "warm,cold");
	assert_true(host_reads_back(h, "hither", SIZE));
}

static void a_volatile_one_is_removed_without_a_word_to_the_store(void **state)
{
	struct host *h = *state;
	struct obj *root;
	struct twait t;

	begin(h);
	root = cache_root(h->cache);
	host_put_sized(h, "hot_a", SIZE);
	assert_int_equal(CALL(&t, cache_unlink(h->cache, root, "hot_a", &t.w)), 0);
	assert_int_equal(host_get(h, "hot_a", (char[8]){0}, 8), -ENOENT);
	obj_unref(h->cache, root);
}

static void packing_is_per_class_and_nobody_sees_it(void **state)
{
	static const struct conf_override none[] = {{NULL, NULL}};
	struct host *h = *state, b = {.yaml = NULL};
	char path[512], zeroes[1000] = {0}, back[1000];
	struct stat st;

	begin(h);
	host_put(h, "packed_a", zeroes, sizeof(zeroes));
	host_put(h, "other", zeroes, sizeof(zeroes));
	assert_int_equal(host_flush(h), 0);
	snprintf(path, sizeof(path), "%s/packed_a", h->store);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size < 500);
	snprintf(path, sizeof(path), "%s/other", h->store);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, sizeof(zeroes));
	host_open_other(h, &b, none, NULL);
	assert_own(&b, "packed_a", "size_bytes", "1000");
	assert_int_equal(host_get(&b, "packed_a", back, sizeof(back)), sizeof(back));
	assert_memory_equal(back, zeroes, sizeof(back));
	host_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HOST_TEST(what_is_volatile_is_in_ram_and_nowhere_else),
		HOST_TEST(no_store_is_asked_for_a_volatile_name),
		HOST_TEST(what_is_volatile_makes_way),
		HOST_TEST(a_volatile_life_ends_with_its_tiers_ttl),
		HOST_TEST(one_without_a_disk_is_stored_and_kept_in_ram),
		HOST_TEST(one_with_a_store_only_is_streamed),
		HOST_TEST(a_streamed_one_can_be_changed_in_place),
		HOST_TEST(one_without_a_store_stays_on_this_disk),
		HOST_TEST(a_large_one_is_not_kept_where_it_is_too_large),
		HOST_TEST(lives_and_modes_are_the_classs),
		HOST_TEST(through_is_per_class),
		HOST_TEST(copies_end_by_class_and_tier_and_pinned_ones_do_not),
		HOST_TEST(admission_is_per_class),
		HOST_TEST(a_rename_brings_bytes_where_the_new_class_keeps_them),
		HOST_TEST(packing_is_per_class_and_nobody_sees_it),
		HOST_TEST(a_volatile_one_is_removed_without_a_word_to_the_store),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
