/* SPDX-License-Identifier: Apache-2.0 */
/* How long copies and objects live by the ttl of their tier. */
#include <stdio.h>

#include "cache_fixture.h"

#define KIB 1024u
#define SIZE (100 * KIB)

static const struct conf_override disk_hour[] = {{"disk.ttl", "1h"}, {NULL, NULL}};
static const struct conf_override ram_hour[] = {
	{"ram.ttl", "1h"}, {"ram.admit", "always"}, {NULL, NULL}};
static const struct conf_override disk_hour_ram_day[] = {
	{"disk.ttl", "1h"}, {"ram.ttl", "1d"}, {"ram.admit", "always"}, {NULL, NULL}};
static const struct conf_override disk_hour_slow[] = {
	{"disk.ttl", "1h"}, {"write.upload_delay", "10h"}, {NULL, NULL}};
static const struct conf_override store_hour[] = {{"store.ttl", "1h"}, {NULL, NULL}};
static const struct conf_override default_day[] = {{"defaults.ttl", "1d"}, {NULL, NULL}};

static void forward(struct ahead *a, int seconds)
{
	a->by += seconds * NSEC_PER_SEC;
}

static bool has_copy(struct host *h, const char *key, const char *tier)
{
	return strstr(host_xattr(h, key, "tiers"), tier);
}

static bool gets_into_ram(struct host *h, const char *key)
{
	for (int i = 0; i < 500 && !has_copy(h, key, "ram"); i++)
		usleep(2000);
	return has_copy(h, key, "ram");
}

static uint64_t over(struct host *h)
{
	return count_get(&h->counters, COUNTER_copy_expirations);
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

static void set_own(struct host *h, const char *key, const char *name, const char *value)
{
	char full[64];
	struct twait t;
	struct obj *o;

	snprintf(full, sizeof(full), "user.cogfs.%s", name);
	assert_int_equal(host_lookup(h, key, &o), 0);
	assert_int_equal(CALL(&t, cache_setxattr(h->cache, o, full, value, strlen(value), 0, &t.w)),
			 0);
	obj_unref(h->cache, o);
}

static long seconds_left(struct host *h, const char *key)
{
	const char *text = host_xattr(h, key, "ttl");

	return strcmp(text, "never") ? strtol(text, NULL, 10) : -1;
}

/* h has an object of SIZE in the store, and b nothing. */
static void begin(struct host *h, struct host *b, const struct conf_override *conf, struct ahead *a)
{
	ahead_init(a);
	host_put_sized(h, "a", SIZE);
	assert_int_equal(host_flush(h), 0);
	host_open_other(h, b, conf, &a->clock);
}

static void a_copy_that_is_over_is_had_again_at_the_next_open(void **state)
{
	struct host *h = *state, b;
	struct ahead a;

	begin(h, &b, disk_hour, &a);
	assert_true(host_reads_back(&b, "a", SIZE));
	forward(&a, 3500);
	assert_true(host_reads_back(&b, "a", SIZE));
	assert_int_equal(count_get(&b.counters, COUNTER_hits_disk), 1);
	forward(&a, 200);
	assert_true(host_reads_back(&b, "a", SIZE));
	assert_int_equal(count_get(&b.counters, COUNTER_hits_store), 2);
	assert_int_equal(over(&b), 1);
	assert_true(host_reads_back(&b, "a", SIZE));
	assert_int_equal(count_get(&b.counters, COUNTER_hits_disk), 2);
	assert_true(host_stored(h, "a"));
	host_close(&b);
}

/* Nobody opens it: the background round, which looks each second. */
static void a_copy_that_is_over_goes_by_itself(void **state)
{
	struct host *h = *state, b;
	struct ahead a;

	begin(h, &b, disk_hour, &a);
	assert_true(host_reads_back(&b, "a", SIZE));
	forward(&a, 3700);
	for (int i = 0; i < 3000 && !over(&b); i++)
		usleep(1000);
	assert_int_equal(over(&b), 1);
	assert_false(has_copy(&b, "a", "warm"));
	host_close(&b);
}

static void what_is_open_or_not_drained_or_pinned_is_kept(void **state)
{
	struct host *h = *state, b;
	struct ahead a;
	struct cfile *f;

	begin(h, &b, disk_hour_slow, &a);
	host_put_sized(&b, "dirty", SIZE);
	host_put_sized(h, "pinned", SIZE);
	assert_int_equal(host_flush(h), 0);
	forward(&a, 1); /* past list_ttl and negative_ttl */
	assert_true(host_reads_back(&b, "pinned", SIZE));
	set_own(&b, "pinned", "pinned", "1");
	f = open_file(&b, "a", O_RDONLY);
	cache_release(b.cache, f);
	f = open_file(&b, "a", O_RDONLY);
	forward(&a, 3700);
	assert_true(host_reads_back(&b, "dirty", SIZE));
	assert_true(host_reads_back(&b, "pinned", SIZE));
	assert_true(host_reads_back(&b, "a", SIZE));
	assert_int_equal(over(&b), 0);
	cache_release(b.cache, f);
	assert_true(host_reads_back(&b, "a", SIZE));
	assert_int_equal(over(&b), 1);
	assert_int_equal(host_flush(&b), 0);
	host_close(&b);
}

static void the_copy_in_ram_goes_and_the_disk_serves(void **state)
{
	struct host *h = *state, b;
	struct ahead a;
	struct cfile *f;

	begin(h, &b, ram_hour, &a);
	assert_true(host_reads_back(&b, "a", SIZE) && gets_into_ram(&b, "a"));
	forward(&a, 3700);
	f = open_file(&b, "a", O_RDONLY);
	assert_int_equal(count_get(&b.counters, COUNTER_hits_disk), 1);
	assert_int_equal(over(&b), 1);
	assert_int_equal(count_get(&b.counters, COUNTER_hits_store), 1);
	cache_release(b.cache, f);
	host_close(&b);
}

/* Promotion never extends a life: the copy is as old as what it was made of. */
static void a_promotion_extends_no_life(void **state)
{
	struct host *h = *state, b;
	struct ahead a;

	begin(h, &b, disk_hour_ram_day, &a);
	assert_true(host_reads_back(&b, "a", SIZE) && gets_into_ram(&b, "a"));
	forward(&a, 3700);
	assert_true(host_reads_back(&b, "a", SIZE));
	assert_int_equal(over(&b), 2);
	assert_int_equal(count_get(&b.counters, COUNTER_hits_store), 2);
	host_close(&b);
}

static void ages_are_known_after_a_remount(void **state)
{
	struct host *h = *state, b;
	struct ahead a;

	begin(h, &b, disk_hour, &a);
	assert_true(host_reads_back(&b, "a", SIZE));
	host_close(&b);
	forward(&a, 3700);
	host_open_with(&b, b.store, disk_hour, false);
	assert_true(host_reads_back(&b, "a", SIZE));
	assert_int_equal(over(&b), 1);
	host_close(&b);
}

static void the_stores_ttl_is_the_longest_life(void **state)
{
	struct host *h = *state, b;
	struct ahead a;

	begin(h, &b, store_hour, &a);
	assert_int_equal(seconds_left(&b, "a"), -1); /* written by another host, without a life */
	host_put_sized(&b, "n", SIZE);
	assert_in_range(seconds_left(&b, "n"), 3590, 3600);
	set_own(&b, "n", "ttl", "60");
	assert_in_range(seconds_left(&b, "n"), 55, 60);
	set_own(&b, "n", "ttl", "1d");
	assert_in_range(seconds_left(&b, "n"), 3590, 3600);
	set_own(&b, "n", "expires_at", "never");
	assert_in_range(seconds_left(&b, "n"), 3590, 3600);
	assert_int_equal(host_flush(&b), 0);
	host_close(&b);
}

static void a_life_counts_from_the_last_write(void **state)
{
	struct host *h = *state, b;
	struct ahead a;
	struct cfile *f;

	begin(h, &b, default_day, &a);
	host_put_sized(&b, "n", SIZE);
	forward(&a, 7200);
	assert_in_range(seconds_left(&b, "n"), 79100, 79210);
	f = open_file(&b, "n", O_WRONLY);
	host_done(&b, f); /* nothing was written */
	assert_in_range(seconds_left(&b, "n"), 79100, 79210);
	host_put_sized(&b, "n", SIZE);
	assert_in_range(seconds_left(&b, "n"), 86300, 86400);
	f = open_file(&b, "n", O_WRONLY);
	host_write(&b, f, "n", 1, 0);
	set_own(&b, "n", "ttl", "60");
	host_done(&b, f);
	assert_in_range(seconds_left(&b, "n"), 50, 60);
	assert_int_equal(host_flush(&b), 0);
	host_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HOST_TEST(a_copy_that_is_over_is_had_again_at_the_next_open),
		HOST_TEST(a_copy_that_is_over_goes_by_itself),
		HOST_TEST(what_is_open_or_not_drained_or_pinned_is_kept),
		HOST_TEST(the_copy_in_ram_goes_and_the_disk_serves),
		HOST_TEST(a_promotion_extends_no_life),
		HOST_TEST(ages_are_known_after_a_remount),
		HOST_TEST(the_stores_ttl_is_the_longest_life),
		HOST_TEST(a_life_counts_from_the_last_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
