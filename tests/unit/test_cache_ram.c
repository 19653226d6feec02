/* SPDX-License-Identifier: Apache-2.0 */
/* The RAM tier: what enters it and when, what makes way, who reads which copy. */
#include <stdio.h>

#include "cache_fixture.h"
#include "tiers/local.h"

#define KIB 1024u
#define RAM (1u << 20)

static const struct conf_override always[] = {
	{"ram.max_size", "1MiB"}, {"ram.admit", "always"}, {NULL, NULL}};
static const struct conf_override second_hit[] = {
	{"ram.max_size", "1MiB"}, {"ram.admit", "second_hit"}, {NULL, NULL}};
static const struct conf_override plain[] = {{"ram.max_size", "1MiB"}, {NULL, NULL}};
static const struct conf_override second_hit_alone[] = {{"ram.max_size", "1MiB"},
							{"ram.admit", "second_hit"},
							{"disk.enabled", "off"},
							{NULL, NULL}};

static struct cfile *open_file(struct host *h, const char *key, int flags, struct cfile_state *slot)
{
	struct cfile *f;
	struct twait t;
	struct obj *o;

	assert_int_equal(host_lookup(h, key, &o), 0);
	assert_int_equal(CALL(&t, cache_open(h->cache, o, flags, &t.w, slot, &f)), 0);
	obj_unref(h->cache, o);
	return f;
}

static bool in_ram(struct host *h, const char *key)
{
	return !strncmp(host_xattr(h, key, "tiers"), "ram", 3);
}

static bool on_disk(struct host *h, const char *key)
{
	return strstr(host_xattr(h, key, "tiers"), "warm") != NULL;
}

/* Promotions run behind: waits for one. */
static bool gets_into_ram(struct host *h, const char *key)
{
	for (int i = 0; i < 500 && !in_ram(h, key); i++)
		usleep(2000);
	return in_ram(h, key);
}

static bool stays_out_of_ram(struct host *h, const char *key)
{
	usleep(50000);
	return !in_ram(h, key);
}

static struct cache_tier_stats ram_of(struct host *h)
{
	struct cache_stats s;

	cache_stats(h->cache, &s);
	assert_string_equal(s.tiers[0].type, "ram");
	return s.tiers[0];
}

static uint64_t hits(struct host *h, enum counter_id id)
{
	return count_get(&h->counters, id);
}

static void auto_keeps_to_the_disk(void **state)
{
	struct host *h = *state, b;

	host_put_sized(h, "a", 100 * KIB);
	assert_int_equal(host_flush(h), 0);
	host_open_other(h, &b, plain, NULL);
	for (int i = 0; i < 4; i++)
		assert_true(host_reads_back(&b, "a", 100 * KIB));
	assert_true(stays_out_of_ram(&b, "a"));
	assert_int_equal(hits(&b, COUNTER_hits_disk), 3);
	host_close(&b);
}

static void what_is_always_admitted_enters_ram_when_it_is_filled(void **state)
{
	struct host *h = *state, b;

	host_put_sized(h, "a", 100 * KIB);
	assert_int_equal(host_flush(h), 0);
	host_open_other(h, &b, always, NULL);
	assert_true(host_reads_back(&b, "a", 100 * KIB));
	assert_true(gets_into_ram(&b, "a"));
	assert_true(on_disk(&b, "a"));
	assert_true(host_reads_back(&b, "a", 100 * KIB));
	assert_int_equal(hits(&b, COUNTER_hits_ram), 1);
	assert_int_equal(hits(&b, COUNTER_promotions), 1);
	assert_int_equal(ram_of(&b).bytes, 100 * KIB);
	assert_int_equal(ram_of(&b).objects, 1);
	host_close(&b);
}

static void the_second_open_within_the_window_admits(void **state)
{
	struct host *h = *state, b;
	struct ahead a;

	ahead_init(&a);
	host_put_sized(h, "a", 100 * KIB);
	assert_int_equal(host_flush(h), 0);
	host_open_other(h, &b, second_hit, &a.clock);
	assert_true(host_reads_back(&b, "a", 100 * KIB));
	a.by += 601 * NSEC_PER_SEC;
	assert_true(host_reads_back(&b, "a", 100 * KIB));
	assert_true(stays_out_of_ram(&b, "a"));
	a.by += 300 * NSEC_PER_SEC;
	assert_true(host_reads_back(&b, "a", 100 * KIB));
	assert_int_equal(hits(&b, COUNTER_hits_ram), 0);
	assert_true(gets_into_ram(&b, "a"));
	assert_true(host_reads_back(&b, "a", 100 * KIB));
	assert_int_equal(hits(&b, COUNTER_hits_ram), 1);
	host_close(&b);
}

/* An inode has one backing file: who comes beside an open disk body gets that. */
static void a_promotion_takes_effect_at_the_next_first_open(void **state)
{
	struct host *h = *state, b;
	struct cfile *first, *beside, *later;
	uint64_t ino, other;

	host_put_sized(h, "a", 100 * KIB);
	assert_int_equal(host_flush(h), 0);
	host_open_other(h, &b, second_hit, NULL);
	assert_true(host_reads_back(&b, "a", 100 * KIB));
	first = open_file(&b, "a", O_RDONLY, NULL);
	assert_true(gets_into_ram(&b, "a"));
	beside = open_file(&b, "a", O_RDONLY, NULL);
	assert_true(cfile_body_fd(first, &ino) >= 0 && cfile_body_fd(beside, &other) >= 0);
	assert_int_equal(ino, other);
	cache_release(b.cache, first);
	cache_release(b.cache, beside);
	later = open_file(&b, "a", O_RDONLY, NULL);
	assert_true(cfile_body_fd(later, &other) >= 0);
	assert_int_not_equal(ino, other);
	cache_release(b.cache, later);
	host_close(&b);
}

static void ram_stays_below_its_limit_and_drops_only_copies(void **state)
{
	struct host *h = *state, b;
	char name[8];

	for (int i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "%d", i);
		host_put_sized(h, name, 200 * KIB);
	}
	assert_int_equal(host_flush(h), 0);
	host_open_other(h, &b, always, NULL);
	for (int i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "%d", i);
		assert_true(host_reads_back(&b, name, 200 * KIB));
		assert_true(gets_into_ram(&b, name));
		assert_in_range(ram_of(&b).bytes, 0, RAM);
	}
	assert_in_range(ram_of(&b).objects, 4, 5); /* one less where room was made ahead */
	assert_false(in_ram(&b, "0"));
	assert_true(on_disk(&b, "0"));
	assert_true(host_reads_back(&b, "0", 200 * KIB));
	host_close(&b);
}

static void what_is_larger_than_ram_is_left_alone(void **state)
{
	struct host *h = *state, b;

	host_put_sized(h, "a", 100 * KIB);
	host_put_sized(h, "big", 2 * RAM);
	assert_int_equal(host_flush(h), 0);
	host_open_other(h, &b, always, NULL);
	assert_true(host_reads_back(&b, "a", 100 * KIB));
	assert_true(gets_into_ram(&b, "a"));
	for (int i = 0; i < 3; i++)
		assert_true(host_reads_back(&b, "big", 2 * RAM));
	assert_true(stays_out_of_ram(&b, "big"));
	assert_true(in_ram(&b, "a"));
	host_close(&b);
}

static void what_is_written_or_not_drained_is_left_alone(void **state)
{
	static const struct conf_override slow[] = {{"ram.max_size", "1MiB"},
						    {"ram.admit", "always"},
						    {"write.upload_delay", "1h"},
						    {NULL, NULL}};
	struct host *h = *state, b;

	host_open_other(h, &b, slow, NULL);
	host_put_sized(&b, "a", 100 * KIB);
	for (int i = 0; i < 3; i++)
		assert_true(host_reads_back(&b, "a", 100 * KIB));
	assert_true(stays_out_of_ram(&b, "a"));
	assert_int_equal(host_flush(&b), 0);
	assert_true(host_reads_back(&b, "a", 100 * KIB));
	assert_true(gets_into_ram(&b, "a"));
	host_close(&b);
}

static void a_write_ends_the_copy_and_keeps_the_inode_of_the_disk(void **state)
{
	struct host *h = *state, b;
	struct cfile *f;
	char buf[8] = "";

	host_put(h, "a", "hello", 5);
	assert_int_equal(host_flush(h), 0);
	host_open_other(h, &b, always, NULL);
	assert_int_equal(host_get(&b, "a", buf, 5), 5);
	assert_true(gets_into_ram(&b, "a"));
	f = open_file(&b, "a", O_RDWR, NULL);
	host_write(&b, f, "J", 1, 0);
	assert_false(in_ram(&b, "a"));
	host_done(&b, f);
	assert_int_equal(host_get(&b, "a", buf, 5), 5);
	assert_string_equal(buf, "Jello");
	assert_int_equal(host_flush(&b), 0);
	assert_int_equal(host_get(&b, "a", buf, 5), 5);
	assert_true(gets_into_ram(&b, "a"));
	memset(buf, 0, sizeof(buf));
	assert_int_equal(host_get(&b, "a", buf, 5), 5);
	assert_string_equal(buf, "Jello");
	host_close(&b);
}

static void a_copy_that_is_renamed_or_removed_goes_along(void **state)
{
	struct host *h = *state, b;
	struct obj *root;
	struct twait t;

	host_put_sized(h, "a", 100 * KIB);
	host_put_sized(h, "ab", 100 * KIB);
	assert_int_equal(host_flush(h), 0);
	host_open_other(h, &b, always, NULL);
	assert_true(host_reads_back(&b, "a", 100 * KIB) && gets_into_ram(&b, "a"));
	assert_true(host_reads_back(&b, "ab", 100 * KIB) && gets_into_ram(&b, "ab"));
	root = cache_root(b.cache);
	assert_int_equal(CALL(&t, cache_rename(b.cache, root, "a", root, "ac", 0, &t.w)), 0);
	assert_true(in_ram(&b, "ac"));
	assert_true(host_reads_back(&b, "ac", 100 * KIB));
	assert_int_equal(CALL(&t, cache_rename(b.cache, root, "ac", root, "ab", 0, &t.w)), 0);
	assert_int_equal(ram_of(&b).objects, 1);
	assert_int_equal(CALL(&t, cache_unlink(b.cache, root, "ab", &t.w)), 0);
	assert_int_equal(ram_of(&b).objects, 0);
	assert_int_equal(ram_of(&b).bytes, 0);
	obj_unref(b.cache, root);
	host_close(&b);
}

/* The disk's bytes went bad: what is copied is checked, and had anew from the store. */
static void a_copy_of_bad_bytes_is_not_made(void **state)
{
	struct host *h = *state, b;
	char path[160];
	char *bad = calloc(1, 100 * KIB);
	int fd;

	host_put_sized(h, "a", 100 * KIB);
	assert_int_equal(host_flush(h), 0);
	host_open_other(h, &b, second_hit, NULL);
	assert_true(host_reads_back(&b, "a", 100 * KIB));
	/* Another inode: the one that is there is the store's, too. */
	snprintf(path, sizeof(path), "%s/objects/a", b.cache_dir);
	assert_int_equal(unlink(path), 0);
	fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
	assert_int_equal(write(fd, bad, 100 * KIB), 100 * KIB);
	close(fd);
	free(bad);
	(void)host_reads_back(&b, "a", 100 * KIB);
	for (int i = 0; i < 500 && !hits(&b, COUNTER_corruptions); i++)
		usleep(2000);
	assert_int_equal(hits(&b, COUNTER_corruptions), 1);
	assert_true(host_reads_back(&b, "a", 100 * KIB));
	host_close(&b);
}

/* --- a RAM tier alone --- */

static void alone_a_first_read_streams_and_the_second_is_kept(void **state)
{
	struct host *h = *state, b;
	struct ahead a;

	ahead_init(&a);
	host_put_sized(h, "a", 100 * KIB);
	assert_int_equal(host_flush(h), 0);
	host_open_other(h, &b, second_hit_alone, &a.clock);
	assert_true(host_reads_back(&b, "a", 100 * KIB));
	assert_false(in_ram(&b, "a"));
	assert_true(hits(&b, COUNTER_stream_bytes) >= 100 * KIB);
	a.by += 601 * NSEC_PER_SEC;
	assert_true(host_reads_back(&b, "a", 100 * KIB));
	assert_false(in_ram(&b, "a"));
	assert_true(host_reads_back(&b, "a", 100 * KIB));
	assert_true(in_ram(&b, "a"));
	assert_int_equal(hits(&b, COUNTER_hits_ram), 0);
	assert_true(host_reads_back(&b, "a", 100 * KIB));
	assert_int_equal(hits(&b, COUNTER_hits_ram), 1);
	host_close(&b);
}

static void alone_a_writer_needs_no_second_hit(void **state)
{
	struct host *h = *state, b;
	struct cfile *reader, *f;

	host_put_sized(h, "a", 100 * KIB);
	assert_int_equal(host_flush(h), 0);
	host_open_other(h, &b, second_hit_alone, NULL);
	reader = open_file(&b, "a", O_RDONLY, NULL);
	f = open_file(&b, "a", O_RDWR, NULL);
	host_write(&b, f, "a", 1, 0);
	host_done(&b, f);
	cache_release(b.cache, reader);
	assert_true(host_reads_back(&b, "a", 100 * KIB));
	host_close(&b);
}

/* --- restarts --- */

static const struct conf_override *kept_conf;

/* A worker that dies: the tmpfs and the cache directory stay as they are. */
static void die_and_restart(struct host *h, struct host *b)
{
	struct err err = {{0}};

	(void)h;
	host_close(b); /* a clean end leaves the tmpfs as a dead worker would */
	memset(&b->counters, 0, sizeof(b->counters));
	host_open_with(b, b->store, kept_conf, true);
	assert_int_equal(cache_start(b->cache, &err), 0);
}

static void open_on_tmpfs(struct host *h, struct host *b, const struct conf_override *conf)
{
	memset(b, 0, sizeof(*b));
	b->ram = local_tmpfs(RAM);
	if (b->ram < 0)
		skip();
	kept_conf = conf;
	snprintf(b->cache_dir, sizeof(b->cache_dir), "%s/cache-b", h->dir);
	snprintf(b->store, sizeof(b->store), "%s", h->store);
	host_open_with(b, h->store, conf, false);
}

static void wait_for_scan(struct host *h)
{
	struct cache_stats s;

	do {
		usleep(1000);
		cache_stats(h->cache, &s);
	} while (s.scanning);
}

static void copies_outlive_the_worker(void **state)
{
	struct host *h = *state, b;

	host_put_sized(h, "a", 100 * KIB);
	host_put_sized(h, "b", 100 * KIB);
	assert_int_equal(host_flush(h), 0);
	open_on_tmpfs(h, &b, always);
	assert_true(host_reads_back(&b, "a", 100 * KIB) && gets_into_ram(&b, "a"));
	assert_true(host_reads_back(&b, "b", 100 * KIB) && gets_into_ram(&b, "b"));
	die_and_restart(h, &b);
	assert_in_range(ram_of(&b).bytes, 200 * KIB, RAM);
	wait_for_scan(&b);
	assert_int_equal(ram_of(&b).bytes, 200 * KIB);
	assert_int_equal(ram_of(&b).objects, 2);
	assert_true(in_ram(&b, "a") && on_disk(&b, "a"));
	assert_true(host_reads_back(&b, "a", 100 * KIB));
	assert_int_equal(hits(&b, COUNTER_hits_ram), 1);
	host_close(&b);
	close(b.ram);
}

static void what_is_no_copy_of_the_body_is_swept(void **state)
{
	struct host *h = *state, b;
	int fd;

	host_put_sized(h, "a", 100 * KIB);
	assert_int_equal(host_flush(h), 0);
	open_on_tmpfs(h, &b, always);
	assert_true(host_reads_back(&b, "a", 100 * KIB) && gets_into_ram(&b, "a"));
	host_close(&b);
	/* The copy of an older version, what was half copied, and a name that is not known. */
	assert_int_equal(mkdirat(b.ram, "objects/d", 0700), 0);
	assert_int_equal(renameat(b.ram, "objects/a", b.ram, "objects/d/x"), 0);
	fd = openat(b.ram, "partial/0000000000000001", O_CREAT | O_WRONLY, 0600);
	assert_int_equal(write(fd, "half", 4), 4);
	close(fd);
	fd = openat(b.ram, "objects/a", O_CREAT | O_WRONLY, 0600);
	assert_int_equal(write(fd, "other", 5), 5);
	close(fd);
	host_open_with(&b, b.store, kept_conf, true);
	assert_int_equal(cache_start(b.cache, &(struct err){{0}}), 0);
	wait_for_scan(&b);
	assert_int_equal(faccessat(b.ram, "objects/a", F_OK, 0), -1);
	assert_int_equal(faccessat(b.ram, "partial/0000000000000001", F_OK, 0), -1);
	assert_true(host_reads_back(&b, "a", 100 * KIB));
	host_close(&b);
	close(b.ram);
}

static void an_open_copy_is_opened_again_after_a_restart(void **state)
{
	struct host *h = *state, b;
	struct cfile_state slot = {0};
	struct err err = {{0}};
	struct cfile *f;
	struct obj *o;
	uint64_t ino, again;

	host_put_sized(h, "a", 100 * KIB);
	assert_int_equal(host_flush(h), 0);
	open_on_tmpfs(h, &b, always);
	assert_true(host_reads_back(&b, "a", 100 * KIB) && gets_into_ram(&b, "a"));
	f = open_file(&b, "a", O_RDONLY, &slot);
	assert_true(cfile_body_fd(f, &ino) >= 0);
	assert_int_equal(slot.tier, LOCAL_RAM);
	cache_abandon(b.cache, f);
	host_close(&b);
	host_open_with(&b, b.store, kept_conf, true);
	assert_int_equal(cache_restore(b.cache, "a", &slot, &o, &f), 0);
	assert_int_equal(cache_start(b.cache, &err), 0);
	assert_true(cfile_body_fd(f, &again) >= 0);
	assert_int_equal(ino, again);
	cache_release(b.cache, f);
	obj_unref(b.cache, o);
	host_close(&b);
	close(b.ram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HOST_TEST(auto_keeps_to_the_disk),
		HOST_TEST(what_is_always_admitted_enters_ram_when_it_is_filled),
		HOST_TEST(the_second_open_within_the_window_admits),
		HOST_TEST(a_promotion_takes_effect_at_the_next_first_open),
		HOST_TEST(ram_stays_below_its_limit_and_drops_only_copies),
		HOST_TEST(what_is_larger_than_ram_is_left_alone),
		HOST_TEST(what_is_written_or_not_drained_is_left_alone),
		HOST_TEST(a_write_ends_the_copy_and_keeps_the_inode_of_the_disk),
		HOST_TEST(a_copy_that_is_renamed_or_removed_goes_along),
		HOST_TEST(a_copy_of_bad_bytes_is_not_made),
		HOST_TEST(alone_a_first_read_streams_and_the_second_is_kept),
		HOST_TEST(alone_a_writer_needs_no_second_hit),
		HOST_TEST(copies_outlive_the_worker),
		HOST_TEST(what_is_no_copy_of_the_body_is_swept),
		HOST_TEST(an_open_copy_is_opened_again_after_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
