/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of a cache directory and of a running cache: what is broken is found, and only that. */
#include <ftw.h>
#include <stdio.h>

#include "cache/check.h"
#include "cache/check_priv.h"
#include "cache_fixture.h"
#include "util/fsutil.h"

#define SIZE 5000

/* --- what was found --- */

struct seen {
	struct check ck;
	unsigned int n;
	char path[256], what[256];
};

static void found(void *arg, const struct check_finding *f)
{
	struct seen *s = arg;

	s->n++;
	snprintf(s->path, sizeof(s->path), "%s", f->path);
	snprintf(s->what, sizeof(s->what), "%s", f->what);
}

static struct seen look_offline(const char *dir, unsigned int flags)
{
	struct seen s = {.ck = {.flags = flags, .found = found}};
	const struct check_place place = {.dir = dir};
	struct err err = {{0}};

	s.ck.arg = &s;
	if (check_dir(&s.ck, &place, &err))
		fail_msg("%s", err.text);
	return s;
}

static struct seen look_live(struct host *h, unsigned int flags)
{
	struct seen s = {.ck = {.flags = flags, .found = found}};
	struct err err = {{0}};

	s.ck.arg = &s;
	if (cache_check(h->cache, &s.ck, &err))
		fail_msg("%s", err.text);
	return s;
}

/* --- damage --- */

static int file_of(struct host *h, const char *name, int flags)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", h->cache_dir, name);
	fd = open(path, flags, 0600);
	assert_true(fd >= 0);
	return fd;
}

static const char *path_in(struct host *h, const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", h->cache_dir, name);
	return path;
}

static void flip(struct host *h, const char *name, off_t off)
{
	int fd = file_of(h, name, O_RDWR);
	char c;

	assert_int_equal(pread(fd, &c, 1, off), 1);
	c ^= 4;
	assert_int_equal(pwrite(fd, &c, 1, off), 1);
	close(fd);
}

static bool is_there(struct host *h, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", h->cache_dir, name);
	return access(path, F_OK) == 0;
}

/* A body of its own inode: the store's is another file. */
static void fill_copy(struct host *h, struct host *b, const char *name)
{
	static const struct conf_override none[] = {{NULL, NULL}};
	char path[256], copy[256], cmd[600];

	host_put_sized(h, name, SIZE);
	assert_int_equal(host_flush(h), 0);
	host_open_other(h, b, none, NULL);
	assert_true(host_reads_back(b, name, SIZE));
	snprintf(path, sizeof(path), "%s/objects/%s", b->cache_dir, name);
	snprintf(copy, sizeof(copy), "%s/copy", b->cache_dir);
	snprintf(cmd, sizeof(cmd), "cp --preserve=all --reflink=never %s %s && mv %s %s", path,
		 copy, copy, path);
	assert_int_equal(system(cmd), 0);
}

/* --- offline --- */

static void a_good_cache_has_nothing_to_tell(void **state)
{
	struct host *h = *state;
	struct seen s;

	host_put_sized(h, "a", SIZE);
	obj_unref(h->cache, host_mkdir(h, "d"));
	assert_int_equal(host_flush(h), 0);
	host_close(h);
	s = look_offline(h->cache_dir, 0);
	assert_int_equal(s.n, 0);
	assert_int_equal(s.ck.totals.files, 1);
	assert_int_equal(s.ck.totals.bytes, SIZE);
	host_open(h, h->store);
}

static void a_directory_that_is_used_is_refused(void **state)
{
	struct host *h = *state;
	struct check ck = {.found = found};
	const struct check_place place = {.dir = h->cache_dir}, other = {.dir = h->dir};
	struct err err = {{0}};

	assert_int_equal(check_dir(&ck, &place, &err), -EBUSY);
	assert_non_null(strstr(err.text, "/nowhere"));
	assert_int_equal(check_dir(&ck, &other, &err), -EPROTO);
}

static void a_flipped_copy_is_dropped_by_repair_alone(void **state)
{
	struct host *h = *state, b;
	struct seen s;

	fill_copy(h, &b, "a");
	host_close(&b);
	flip(&b, "objects/a", 17);
	s = look_offline(b.cache_dir, 0);
	assert_int_equal(s.n, 1);
	assert_int_equal(s.ck.totals.left, 1);
	assert_string_equal(s.path, "a");
	assert_true(is_there(&b, "objects/a"));
	s = look_offline(b.cache_dir, CHECK_REPAIR);
	assert_int_equal(s.ck.totals.repaired, 1);
	assert_false(is_there(&b, "objects/a"));
	assert_int_equal(look_offline(b.cache_dir, 0).n, 0);
	host_open(&b, h->store);
	assert_true(host_reads_back(&b, "a", SIZE));
	host_close(&b);
}

static void what_a_crash_left_is_removed(void **state)
{
	static const char *const names[] = {"partial/0000000000000007", "open/0000000000000008",
					    "staging/0000000000000009",
					    "objects/.cogfs.tmp-0123456789abcdef"};
	struct host *h = *state;
	struct seen s;

	host_close(h);
	for (size_t i = 0; i < 4; i++)
		close(file_of(h, names[i], O_CREAT | O_WRONLY));
	s = look_offline(h->cache_dir, 0);
	assert_int_equal(s.ck.totals.left, 4);
	assert_int_equal(look_offline(h->cache_dir, CHECK_REPAIR).ck.totals.repaired, 4);
	for (size_t i = 0; i < 4; i++)
		assert_false(is_there(h, names[i]));
	assert_int_equal(look_offline(h->cache_dir, 0).n, 0);
	host_open(h, h->store);
}

static void a_body_without_a_record_is_moved_aside(void **state)
{
	struct host *h = *state;

	host_close(h);
	close(file_of(h, "objects/strange", O_CREAT | O_WRONLY));
	assert_int_equal(look_offline(h->cache_dir, CHECK_REPAIR).ck.totals.repaired, 1);
	assert_false(is_there(h, "objects/strange"));
	assert_true(is_there(h, "aside/strange"));
	host_open(h, h->store);
}

static void a_planted_link_is_removed_and_not_followed(void **state)
{
	struct host *h = *state;
	char path[256];

	host_close(h);
	snprintf(path, sizeof(path), "%s/objects/link", h->cache_dir);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(look_offline(h->cache_dir, CHECK_REPAIR).ck.totals.repaired, 1);
	assert_int_equal(access("/etc/passwd", F_OK), 0);
	assert_false(is_there(h, "objects/link"));
	host_open(h, h->store);
}

static void a_damaged_checkpoint_is_written_anew(void **state)
{
	struct host *h = *state;

	host_close(h);
	flip(h, "state", 7);
	assert_int_equal(look_offline(h->cache_dir, 0).ck.totals.left, 1);
	assert_int_equal(look_offline(h->cache_dir, CHECK_REPAIR).ck.totals.repaired, 1);
	assert_int_equal(look_offline(h->cache_dir, 0).n, 0);
	host_open(h, h->store);
}

/* --- what no store has --- */

/* The last cache's name of the only file in staging/, "" = none. */
static void staged_name(struct host *h, char out[64])
{
	char cmd[256];
	FILE *ls;

	snprintf(cmd, sizeof(cmd), "ls %s/staging", h->cache_dir);
	ls = popen(cmd, "r");
	snprintf(out, 64, "staging/");
	assert_non_null(fgets(out + 8, 50, ls));
	out[strcspn(out, "\n")] = '\0';
	pclose(ls);
}

/* A host that is closed with a change in its journal. */
static void leave_dirty(struct host *h, const char *name)
{
	static const struct conf_override slow[] = {{"write.upload_delay", "1h"}, {NULL, NULL}};

	host_close(h);
	host_open_with(h, h->store, slow, false);
	host_put_sized(h, name, SIZE);
	assert_int_equal(cache_free(h->cache, 0, NULL, NULL), 1);
	config_free(h->config);
}

static void a_change_that_waits_is_checked(void **state)
{
	struct host *h = *state;
	struct seen s;

	leave_dirty(h, "a");
	s = look_offline(h->cache_dir, 0);
	assert_int_equal(s.n, 0);
	assert_int_equal(s.ck.totals.entries, 1);
	assert_int_equal(s.ck.totals.files, 1);
	host_open(h, h->store);
	assert_true(host_reads_back(h, "a", SIZE));
}

static void bytes_that_no_store_has_are_moved_aside_never_dropped(void **state)
{
	struct host *h = *state;
	struct seen s;
	struct obj *o;
	char name[64];

	leave_dirty(h, "a");
	staged_name(h, name);
	flip(h, name, 100);
	s = look_offline(h->cache_dir, 0);
	assert_int_equal(s.ck.totals.left, 1);
	assert_true(is_there(h, name));
	s = look_offline(h->cache_dir, CHECK_REPAIR);
	assert_int_equal(s.ck.totals.repaired, 1);
	assert_false(is_there(h, name));
	assert_false(is_there(h, "objects/a"));
	assert_true(is_there(h, "aside/a"));
	s = look_offline(h->cache_dir, 0);
	assert_int_equal(s.n, 0);
	assert_int_equal(s.ck.totals.entries, 0);
	host_open(h, h->store);
	assert_int_equal(host_lookup(h, "a", &o), -ENOENT);
}

static void a_torn_record_is_cut_off(void **state)
{
	struct host *h = *state;
	char cmd[256];
	struct seen s;

	leave_dirty(h, "a");
	snprintf(cmd, sizeof(cmd), "printf COGJxx >> %s/journal/$(ls %s/journal)", h->cache_dir,
		 h->cache_dir);
	assert_int_equal(system(cmd), 0);
	s = look_offline(h->cache_dir, 0);
	assert_int_equal(s.ck.totals.left, 1);
	assert_non_null(strstr(s.what, "half a record"));
	assert_int_equal(look_offline(h->cache_dir, CHECK_REPAIR).ck.totals.repaired, 1);
	assert_int_equal(look_offline(h->cache_dir, 0).n, 0);
	host_open(h, h->store);
	assert_true(host_reads_back(h, "a", SIZE));
}

static void flipped_bytes_are_not_uploaded_and_not_read(void **state)
{
	struct host *h = *state;
	char buf[SIZE], name[64];

	leave_dirty(h, "a");
	staged_name(h, name);
	flip(h, name, 100);
	host_open(h, h->store);
	for (int i = 0; i < 1000 && !count_get(&h->counters, COUNTER_corruptions); i++)
		usleep(2000);
	assert_int_equal(count_get(&h->counters, COUNTER_corruptions), 1);
	assert_false(host_stored(h, "a"));
	assert_int_equal(host_get(h, "a", buf, SIZE), -EIO);
	assert_int_equal(look_live(h, CHECK_REPAIR).ck.totals.left,
			 2); /* the change, and its name */
	assert_true(is_there(h, "aside/a"));
	/* Who writes it again has it again. */
	host_put_sized(h, "a", SIZE);
	assert_true(host_reads_back(h, "a", SIZE));
	assert_int_equal(host_flush(h), 0);
	assert_true(host_stored(h, "a"));
	assert_int_equal(look_live(h, 0).n, 0);
}

/* --- a running cache --- */

static void a_running_cache_finds_and_drops_a_flipped_copy(void **state)
{
	struct host *h = *state, b;

	fill_copy(h, &b, "a");
	assert_int_equal(look_live(&b, 0).n, 0);
	flip(&b, "objects/a", 4000);
	assert_int_equal(look_live(&b, CHECK_REPAIR).ck.totals.repaired, 1);
	assert_int_equal(count_get(&b.counters, COUNTER_corruptions), 1);
	assert_true(host_reads_back(&b, "a", SIZE));
	assert_int_equal(look_live(&b, 0).n, 0);
	host_close(&b);
}

static void what_a_check_without_repair_found_is_not_served_either(void **state)
{
	struct host *h = *state, b;

	fill_copy(h, &b, "a");
	flip(&b, "objects/a", 4000);
	assert_int_equal(look_live(&b, 0).ck.totals.left, 1);
	assert_true(is_there(&b, "objects/a"));
	assert_true(host_reads_back(&b, "a", SIZE));
	assert_int_equal(count_get(&b.counters, COUNTER_corruptions), 1);
	host_close(&b);
}

static void the_store_is_checked_byte_for_byte(void **state)
{
	struct host *h = *state, b;
	char path[256];
	struct seen s;
	int fd;

	fill_copy(h, &b, "a");
	snprintf(path, sizeof(path), "%s/a", h->store);
	fd = open(path, O_RDWR);
	assert_int_equal(pwrite(fd, "?", 1, 10), 1);
	close(fd);
	s = look_live(&b, CHECK_COLD);
	assert_int_equal(s.ck.totals.cold, 1);
	s = look_live(&b, CHECK_COLD | CHECK_COLD_BYTES);
	assert_true(s.ck.totals.left + s.ck.totals.unverified >= 1);
	host_close(&b);
}

/* --- verification without being asked --- */

static struct cache_scrub_stats scrub_of(struct host *h)
{
	struct cache_stats stats;

	cache_stats(h->cache, &stats);
	return stats.scrub;
}

static void the_scrub_finds_and_drops_a_flipped_copy(void **state)
{
	static const struct conf_override often[] = {{"integrity.scrub", "1s"}, {NULL, NULL}};
	struct host *h = *state, b;

	fill_copy(h, &b, "a");
	host_close(&b);
	flip(&b, "objects/a", 4000);
	host_open_with(&b, h->store, often, false);
	for (int i = 0; i < 5000 && !count_get(&b.counters, COUNTER_corruptions); i++)
		usleep(1000);
	assert_int_equal(count_get(&b.counters, COUNTER_corruptions), 1);
	assert_false(is_there(&b, "objects/a"));
	assert_true(host_reads_back(&b, "a", SIZE));
	host_close(&b);
}

static void the_scrub_goes_on_where_it_was(void **state)
{
	static const struct conf_override slow[] = {{"integrity.rate", "64KiB"}, {NULL, NULL}};
	static const struct conf_override fast[] = {{"integrity.rate", "1GiB"}, {NULL, NULL}};
	struct host *h = *state;

	host_put_sized(h, "a", 30000);
	host_put_sized(h, "b", 30000);
	host_put_sized(h, "c", 30000);
	assert_int_equal(host_flush(h), 0);
	host_close(h);
	assert_int_equal(unlinkat(AT_FDCWD, path_in(h, "scrub"), 0), 0);
	host_open_with(h, h->store, slow, false);
	for (int i = 0; i < 5000 && !scrub_of(h).objects; i++)
		usleep(1000);
	assert_in_range(scrub_of(h).objects, 1, 2);
	assert_true(scrub_of(h).running);
	host_close(h);
	host_open_with(h, h->store, fast, false);
	for (int i = 0; i < 5000 && scrub_of(h).running; i++)
		usleep(1000);
	assert_int_equal(scrub_of(h).objects, 3);
	assert_int_equal(scrub_of(h).passes, 1);
}

static void never_is_never(void **state)
{
	static const struct conf_override never[] = {{"integrity.scrub", "never"}, {NULL, NULL}};
	struct host *h = *state;

	host_close(h);
	(void)unlinkat(AT_FDCWD, path_in(h, "scrub"), 0);
	host_open_with(h, h->store, never, false);
	usleep(50000);
	assert_false(is_there(h, "scrub"));
	assert_int_equal(scrub_of(h).passes, 0);
}

static void verified_at_the_first_open_where_that_is_wished(void **state)
{
	static const struct conf_override open_too[] = {
		{"integrity.verify", "open"}, {"integrity.scrub", "never"}, {NULL, NULL}};
	struct host *h = *state, b;

	fill_copy(h, &b, "a");
	host_close(&b);
	flip(&b, "objects/a", 4000);
	host_open_with(&b, h->store, open_too, false);
	assert_true(host_reads_back(&b, "a", SIZE));
	assert_int_equal(count_get(&b.counters, COUNTER_corruptions), 1);
	host_close(&b);
}

/* --- the walk --- */

struct walked {
	char text[512];
};

static int walked_add(void *arg, const struct walk_found *f)
{
	struct walked *w = arg;

	size_t len = strlen(w->text);

	snprintf(w->text + len, sizeof(w->text) - len, "%s ", f->path);
	return 0;
}

static void assert_walk(int fd, const char *after, const char *want)
{
	struct walked w = {.text = ""};

	assert_int_equal(check_walk(fd, after, walked_add, &w), 0);
	assert_string_equal(w.text, want);
}

static void a_walk_goes_on_behind_any_path(void **state)
{
	struct host *h = *state;
	int fd = open(h->dir, O_RDONLY | O_DIRECTORY), root;

	assert_int_equal(fs_mkdirs(fd, "w/b/c", 0700), 0);
	assert_int_equal(fs_mkdirs(fd, "w/bb", 0700), 0);
	root = openat(fd, "w", O_RDONLY | O_DIRECTORY);
	for (const char *const *p = (const char *const[]){"a", "b/x", "b/c/y", "bb/z", NULL}; *p;
	     p++)
		close(openat(root, *p, O_CREAT | O_WRONLY, 0600));
	assert_walk(root, NULL, "a b b/c b/c/y b/x bb bb/z ");
	assert_walk(root, "a", "b b/c b/c/y b/x bb bb/z ");
	assert_walk(root, "b", "b/c b/c/y b/x bb bb/z ");
	assert_walk(root, "b/c/y", "b/x bb bb/z ");
	assert_walk(root, "b/gone", "b/x bb bb/z ");
	assert_walk(root, "b/x", "bb bb/z ");
	assert_walk(root, "zz", "");
	close(root);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HOST_TEST(a_good_cache_has_nothing_to_tell),
		HOST_TEST(a_directory_that_is_used_is_refused),
		HOST_TEST(a_flipped_copy_is_dropped_by_repair_alone),
		HOST_TEST(what_a_crash_left_is_removed),
		HOST_TEST(a_body_without_a_record_is_moved_aside),
		HOST_TEST(a_planted_link_is_removed_and_not_followed),
		HOST_TEST(a_damaged_checkpoint_is_written_anew),
		HOST_TEST(a_change_that_waits_is_checked),
		HOST_TEST(bytes_that_no_store_has_are_moved_aside_never_dropped),
		HOST_TEST(a_torn_record_is_cut_off),
		HOST_TEST(flipped_bytes_are_not_uploaded_and_not_read),
		HOST_TEST(a_running_cache_finds_and_drops_a_flipped_copy),
		HOST_TEST(what_a_check_without_repair_found_is_not_served_either),
		HOST_TEST(the_store_is_checked_byte_for_byte),
		HOST_TEST(the_scrub_finds_and_drops_a_flipped_copy),
		HOST_TEST(the_scrub_goes_on_where_it_was),
		HOST_TEST(never_is_never),
		HOST_TEST(verified_at_the_first_open_where_that_is_wished),
		HOST_TEST(a_walk_goes_on_behind_any_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
