/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Eight threads do at random what programs do, on few names, in a disk tier that is too small for
 * them. Afterwards everything must be told the same by this host, by the store, by this host
 * after a restart and by another host, and nothing may be left over: no wait, no fill, no room
 * that nobody uses.
 */
#include <dirent.h>
#include <ftw.h>
#include <stdio.h>

#include "cache_fixture.h"

#define THREADS 8
#define RUN_NS (3 * NSEC_PER_SEC)
#define NAMES 6
#define LEN_MAX (384u << 10)

static const char *const dirs[] = {"", "d", "e"};

#define DIRS (sizeof(dirs) / sizeof(dirs[0]))

struct racer {
	struct host *h;
	pthread_t thread;
	unsigned int seed;
	int64_t until;
	char *buf;
	int unexpected; /* the last error that nothing explains */
	const char *op;
	struct cache_wait *late; /* of the helper that cancels */
};

static unsigned int dice(struct racer *r, unsigned int n)
{
	return rand_r(&r->seed) % n;
}

/* Errors that racing with others explains. */
static bool explained(int err)
{
	switch (err) {
	case 0:
	case -ENOENT:
	case -EEXIST:
	case -EISDIR:
	case -ENOTDIR:
	case -ENOTEMPTY:
	case -ESTALE:
	case -EINTR:
	case -ENOSPC:
	case -ENODATA:
		return true;
	default:
		return false;
	}
}

static void outcome(struct racer *r, const char *op, int err)
{
	if (explained(err))
		return;
	r->op = op;
	r->unexpected = err;
}

static void pick_name(struct racer *r, struct obj **dir, char *name, size_t size)
{
	const char *at = dirs[dice(r, DIRS)];

	snprintf(name, size, "n%u", dice(r, NAMES));
	if (host_lookup(r->h, at, dir))
		*dir = cache_root(r->h->cache);
}

static int open_name(struct racer *r, int flags, struct cfile **ret)
{
	struct twait t;
	struct obj *dir, *o;
	char name[8];
	struct cache_attr attr;
	int64_t neg;
	int rc;

	pick_name(r, &dir, name, sizeof(name));
	rc = CALL(&t, cache_lookup(r->h->cache, dir, name, &t.w, &o, &attr, &neg));
	obj_unref(r->h->cache, dir);
	if (rc)
		return rc;
	rc = CALL(&t, cache_open(r->h->cache, o, flags, &t.w, NULL, ret));
	obj_unref(r->h->cache, o);
	return rc;
}

static void write_some(struct racer *r, struct cfile *f, unsigned int most)
{
	unsigned int len = 1 + dice(r, most), off = dice(r, 4) ? 0 : dice(r, 1000);
	struct twait t;

	memset(r->buf, (int)dice(r, 255) + 1, len);
	outcome(r, "write", CALL(&t, cache_write(r->h->cache, f, r->buf, len, off, false, &t.w)));
	if (!dice(r, 4))
		outcome(r, "fsync", CALL(&t, cache_fsync(r->h->cache, f, &t.w)));
	outcome(r, "flush", CALL(&t, cache_flush(r->h->cache, f, 0, &t.w)));
	cache_release(r->h->cache, f);
}

static void do_create(struct racer *r)
{
	struct cache_attr attr;
	struct obj *dir, *o;
	struct cfile *f;
	struct twait t;
	char name[8];
	int rc, flags = O_WRONLY | (dice(r, 2) ? O_TRUNC : O_EXCL); /* the same in each round */

	pick_name(r, &dir, name, sizeof(name));
	rc = CALL(&t, cache_create(r->h->cache, dir, name, 0644, 0, 0, flags, &t.w, NULL, &o, &attr,
				   &f));
	obj_unref(r->h->cache, dir);
	outcome(r, "create", rc);
	if (rc)
		return;
	write_some(r, f, LEN_MAX);
	obj_unref(r->h->cache, o);
}

static void do_change(struct racer *r)
{
	struct cfile *f;
	int rc = open_name(r, O_RDWR, &f);

	outcome(r, "open to write", rc);
	if (!rc)
		write_some(r, f, 4000);
}

static void do_read(struct racer *r)
{
	struct cache_data data;
	struct cfile *f;
	off_t off = 0;
	struct twait t;
	int rc = open_name(r, O_RDONLY, &f);

	outcome(r, "open to read", rc);
	if (rc)
		return;
	for (size_t n = 1; !rc && n;) {
		rc = CALL(&t, cache_read(r->h->cache, f, off, 128 << 10, &t.w, &data));
		if (rc)
			break;
		n = data.buf   ? data.len
		    : data.len ? (size_t)pread(data.fd, r->buf, data.len, data.off)
			       : 0;
		off += n;
		free(data.buf);
	}
	outcome(r, "read", rc);
	cache_release(r->h->cache, f);
}

static void do_rename(struct racer *r)
{
	struct obj *a, *b;
	struct twait t;
	char from[8], to[8];

	pick_name(r, &a, from, sizeof(from));
	pick_name(r, &b, to, sizeof(to));
	outcome(r, "rename", CALL(&t, cache_rename(r->h->cache, a, from, b, to, 0, &t.w)));
	obj_unref(r->h->cache, a);
	obj_unref(r->h->cache, b);
}

static void do_rename_dir(struct racer *r)
{
	struct obj *root = cache_root(r->h->cache);
	const char *from = dirs[1 + dice(r, 2)];
	struct twait t;

	outcome(r, "rename dir",
		CALL(&t, cache_rename(r->h->cache, root, from, root, from[0] == 'd' ? "g" : "h", 0,
				      &t.w)));
	outcome(r, "rename dir back",
		CALL(&t, cache_rename(r->h->cache, root, from[0] == 'd' ? "g" : "h", root, from, 0,
				      &t.w)));
	obj_unref(r->h->cache, root);
}

static void do_unlink(struct racer *r)
{
	struct twait t;
	struct obj *dir;
	char name[8];

	pick_name(r, &dir, name, sizeof(name));
	outcome(r, "unlink", CALL(&t, cache_unlink(r->h->cache, dir, name, &t.w)));
	obj_unref(r->h->cache, dir);
}

static void do_attributes(struct racer *r)
{
	struct stat st = {.st_mode = 0600 | dice(r, 64), .st_size = dice(r, 3000)};
	unsigned int set = dice(r, 2) ? CACHE_SET_MODE : CACHE_SET_SIZE;
	struct cache_attr attr;
	struct twait t;
	struct obj *dir, *o;
	char name[8];
	int64_t neg;
	int rc;

	pick_name(r, &dir, name, sizeof(name));
	rc = CALL(&t, cache_lookup(r->h->cache, dir, name, &t.w, &o, &attr, &neg));
	obj_unref(r->h->cache, dir);
	outcome(r, "lookup", rc);
	if (rc)
		return;
	if (dice(r, 2))
		rc = CALL(&t, cache_setxattr(r->h->cache, o, "user.colour", "blue", 4, 0, &t.w));
	else
		rc = CALL(&t, cache_setattr(r->h->cache, o, NULL, &st, set, &t.w, &attr));
	outcome(r, "set", rc);
	outcome(r, "getattr", CALL(&t, cache_getattr(r->h->cache, o, &t.w, &attr)));
	obj_unref(r->h->cache, o);
}

static void do_list(struct racer *r)
{
	const char *name;
	struct cache_attr attr;
	struct obj *dir, *o;
	struct cdir *d;
	struct twait t;
	int rc;

	if (host_lookup(r->h, dirs[dice(r, DIRS)], &dir))
		return;
	rc = CALL(&t, cache_opendir(r->h->cache, dir, &t.w, &d));
	outcome(r, "opendir", rc);
	obj_unref(r->h->cache, dir);
	if (rc)
		return;
	for (size_t i = 0; i < cdir_count(d); i++)
		(void)cdir_get(r->h->cache, d, i, &name, &o, &attr);
	cdir_free(r->h->cache, d);
}

static void *race(void *arg)
{
	static void (*const ops[])(struct racer *) = {
		do_create, do_create,	  do_create,	 do_change,	do_change,
		do_read,   do_read,	  do_read,	 do_read,	do_rename,
		do_unlink, do_rename_dir, do_attributes, do_attributes, do_list};
	struct racer *r = arg;

	while (clock_mono(&clock_system) < r->until && !r->unexpected)
		ops[dice(r, sizeof(ops) / sizeof(ops[0]))](r);
	return NULL;
}

/* --- afterwards --- */

static ssize_t stored_bytes(struct host *h, const char *key, char *buf, size_t len)
{
	char path[512];
	CLEANUP_CLOSE int fd = -1;

	snprintf(path, sizeof(path), "%s/%s", h->store, key);
	fd = open(path, O_RDONLY | O_NOFOLLOW);
	return fd < 0 ? -errno : pread(fd, buf, len, 0);
}

/* h says of every name what the store says. */
static void told_as_stored(struct host *h, const char *who)
{
	char *want = malloc(2 * LEN_MAX), *got = malloc(2 * LEN_MAX), key[16];

	for (size_t d = 0; d < DIRS; d++) {
		for (int i = 0; i < NAMES; i++) {
			ssize_t n, m;

			snprintf(key, sizeof(key), "%s%sn%d", dirs[d], *dirs[d] ? "/" : "", i);
			n = stored_bytes(h, key, want, 2 * LEN_MAX);
			m = host_get(h, key, got, 2 * LEN_MAX);
			if (n != m || (n > 0 && memcmp(want, got, n) != 0))
				fail_msg("%s: %s: %zd bytes, the store has %zd%s", who, key, m, n,
					 n == m ? ", others" : "");
		}
	}
	free(want);
	free(got);
}

static uint64_t used_bytes, used_files;

static int add_used(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)path;
	(void)ftw;
	if (flag != FTW_F)
		return 0;
	used_files++;
	used_bytes += st->st_blocks * 512;
	return 0;
}

static void count_used(struct host *h, const char *sub)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/%s", h->cache_dir, sub);
	used_bytes = used_files = 0;
	nftw(path, add_used, 16, FTW_PHYS);
}

static const struct cache_tier_stats *disk_of(const struct cache_stats *s)
{
	for (unsigned int i = 0; i < s->n_tiers; i++)
		if (!strcmp(s->tiers[i].type, "disk"))
			return &s->tiers[i];
	return NULL;
}

static void nothing_is_left_over(struct host *h)
{
	struct cache_stats s;

	for (int i = 0; i < 50; i++) {
		cache_stats(h->cache, &s);
		count_used(h, "staging"); /* goes a moment after its entry */
		if (!s.waits && !s.open_files && !s.dirty_objects && !used_files)
			break;
		usleep(20000);
	}
	assert_int_equal(s.waits, 0);
	assert_int_equal(s.open_files, 0);
	assert_int_equal(s.held_objects, 0);
	assert_int_equal(s.dirty_objects, 0);
	assert_int_equal(used_files, 0);
	count_used(h, "open");
	assert_int_equal(used_files, 0);
	count_used(h, "objects");
	assert_int_equal(disk_of(&s)->objects, used_files);
	/*
	 * The store shares inodes with us: its record may take a block more there after we looked.
	 */
	assert_in_range(disk_of(&s)->bytes + 4096 * used_files, used_bytes,
			used_bytes + 8192 * used_files);
}

static const struct conf_override small_disk[] = {{"disk.max_size", "2MiB"},
						  {"disk.min_free", "0"},
						  {"write.drain_deadline", "20s"},
						  {NULL, NULL}};

static void all_agree_after_a_race(void **state)
{
	struct host *h = *state, other = {.cache = NULL};
	struct racer racers[THREADS] = {{0}};

	host_close(h);
	host_open_with(h, h->store, small_disk, false);
	obj_unref(h->cache, host_mkdir(h, "d"));
	obj_unref(h->cache, host_mkdir(h, "e"));
	for (int i = 0; i < THREADS; i++) {
		racers[i] = (struct racer){
			.h = h, .seed = i + 1, .until = clock_mono(&clock_system) + RUN_NS};
		racers[i].buf = malloc(LEN_MAX);
		pthread_create(&racers[i].thread, NULL, race, &racers[i]);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(racers[i].thread, NULL);
		free(racers[i].buf);
	}
	for (int i = 0; i < THREADS; i++)
		if (racers[i].unexpected)
			fail_msg("%s: %s\n%s", racers[i].op, strerror(-racers[i].unexpected),
				 cache_errors(h->cache)); /* leaks, as all that fails */
	assert_int_equal(host_flush(h), 0);
	nothing_is_left_over(h);
	told_as_stored(h, "the host");
	nothing_is_left_over(h);
	snprintf(other.cache_dir, sizeof(other.cache_dir), "%s/cache-b", h->dir);
	snprintf(other.store, sizeof(other.store), "%s", h->store);
	host_open(&other, h->store);
	told_as_stored(&other, "another host");
	host_close(&other);
	host_close(h);
	host_open_with(h, h->store, small_disk, false);
	told_as_stored(h, "the host after a restart");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HOST_TEST(all_agree_after_a_race),
	};

	return cmocka_run_group_tests_name("cache_races", tests, NULL, NULL);
}
