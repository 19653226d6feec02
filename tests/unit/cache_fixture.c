/* SPDX-License-Identifier: Apache-2.0 */
/* A cache without a driver: see the header. */
#include <ftw.h>
#include <stdio.h>

#include "cache_fixture.h"

static int64_t ahead_mono(const struct clock *clk)
{
	return clock_mono(&clock_system) + ((struct ahead *)clk->arg)->by;
}

static int64_t ahead_wall(const struct clock *clk)
{
	return clock_wall(&clock_system) + ((struct ahead *)clk->arg)->by;
}

static void ahead_sleep(const struct clock *clk, int64_t mono_ns)
{
	clock_system.sleep_until(&clock_system, mono_ns - ((struct ahead *)clk->arg)->by);
}

void ahead_init(struct ahead *a)
{
	*a = (struct ahead){.clock = {ahead_mono, ahead_wall, ahead_sleep, a}};
}

static void twait_done(struct cache_wait *w, int err)
{
	struct twait *t = (struct twait *)w;

	pthread_mutex_lock(&t->lock);
	t->done = true;
	t->err = err;
	pthread_cond_signal(&t->cond);
	pthread_mutex_unlock(&t->lock);
}

void twait_init(struct twait *t)
{
	memset(t, 0, sizeof(*t));
	cache_wait_init(&t->w, twait_done);
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->cond, NULL);
}

int twait_block(struct twait *t)
{
	pthread_mutex_lock(&t->lock);
	while (!t->done)
		pthread_cond_wait(&t->cond, &t->lock);
	t->done = false;
	pthread_mutex_unlock(&t->lock);
	return t->err;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static const char *write_yaml(struct host *h)
{
	static char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s.yaml", h->cache_dir);
	f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fputs(h->yaml, f) >= 0 && !fclose(f));
	return path;
}

void host_open_with(struct host *h, const char *store, const struct conf_override *extra,
		    bool restart)
{
	char source[128];
	struct err err = {{0}};
	struct conf_override ov[16] = {
		{"cache_dir", h->cache_dir},
		{"write.upload_delay", "0s"},
		{"mount.list_ttl", "200ms"},
		{"mount.negative_ttl", "100ms"},
	};
	struct conf_load_args args = {.overrides = ov, .n_overrides = 4};
	struct cache_conf cc = {.lock_fd = -1,
				.ram_fd = h->ram ? h->ram : -1,
				.counters = &h->counters,
				.clock = h->clock,
				.mountpoint = "/nowhere"};

	if (h->yaml)
		args.file = write_yaml(h);
	for (; extra && extra->name; extra++)
		ov[args.n_overrides++] = *extra;
	if (store) {
		snprintf(source, sizeof(source), "dir:%s", store);
		args.source = source;
	} else {
		ov[args.n_overrides++] = (struct conf_override){"store.enabled", "off"};
	}
	if (config_load(&args, &h->config, &err))
		fail_msg("%s", err.text);
	cc.config = h->config;
	cc.restart = restart;
	if (cache_new(&cc, &h->cache, &err))
		fail_msg("%s", err.text);
	if (!restart)
		assert_int_equal(cache_start(h->cache, &err), 0);
}

void host_open(struct host *h, const char *store)
{
	host_open_with(h, store, NULL, false);
}

void host_close(struct host *h)
{
	assert_int_equal(cache_free(h->cache, 10 * NSEC_PER_SEC, NULL, NULL), 0);
	config_free(h->config);
}

int host_setup(void **state)
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

int host_teardown(void **state)
{
	struct host *h = *state;

	host_close(h);
	nftw(h->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(h);
	return 0;
}

int host_lookup(struct host *h, const char *key, struct obj **ret)
{
	struct twait t;

	return CALL(&t, cache_resolve(h->cache, key, &t.w, ret));
}

struct obj *host_mkdir(struct host *h, const char *name)
{
	struct obj *root = cache_root(h->cache), *dir;
	struct cache_attr attr;

	assert_int_equal(cache_mkdir(h->cache, root, name, 0755, 0, 0, &dir, &attr), 0);
	obj_unref(h->cache, root);
	return dir;
}

struct cfile *host_create(struct host *h, const char *name, struct cfile_state *slot)
{
	struct obj *root = cache_root(h->cache), *o;
	struct cache_attr attr;
	struct cfile *f;
	struct twait t;

	assert_int_equal(CALL(&t, cache_create(h->cache, root, name, 0644, 7, 8, O_WRONLY | O_TRUNC,
					       &t.w, slot, &o, &attr, &f)),
			 0);
	obj_unref(h->cache, o);
	obj_unref(h->cache, root);
	return f;
}

void host_write(struct host *h, struct cfile *f, const void *buf, size_t len, off_t off)
{
	struct twait t;

	assert_int_equal(CALL(&t, cache_write(h->cache, f, buf, len, off, false, &t.w)), 0);
}

void host_done(struct host *h, struct cfile *f)
{
	struct twait t;

	assert_int_equal(CALL(&t, cache_flush(h->cache, f, 0, &t.w)), 0);
	cache_release(h->cache, f);
}

void host_put(struct host *h, const char *name, const void *buf, size_t len)
{
	struct cfile *f = host_create(h, name, NULL);

	host_write(h, f, buf, len, 0);
	host_done(h, f);
}

static ssize_t read_all(struct host *h, struct cfile *f, char *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		struct cache_data data;
		struct twait t;
		int r = CALL(&t, cache_read(h->cache, f, done, len - done, &t.w, &data));
		ssize_t n;

		if (r)
			return r;
		n = data.buf   ? (ssize_t)data.len
		    : data.len ? pread(data.fd, buf + done, data.len, data.off)
			       : 0;
		if (data.buf)
			memcpy(buf + done, data.buf, data.len);
		free(data.buf);
		if (n <= 0)
			break;
		done += n;
	}
	return done;
}

ssize_t host_get(struct host *h, const char *key, void *buf, size_t len)
{
	struct cfile *f;
	struct twait t;
	struct obj *o;
	ssize_t n;
	int r = host_lookup(h, key, &o);

	if (r)
		return r;
	r = CALL(&t, cache_open(h->cache, o, O_RDONLY, &t.w, NULL, &f));
	obj_unref(h->cache, o);
	if (r)
		return r;
	n = read_all(h, f, buf, len);
	cache_release(h->cache, f);
	return n;
}

void host_open_other(struct host *h, struct host *b, const struct conf_override *extra,
		     const struct clock *clock)
{
	memset(b, 0, sizeof(*b));
	b->clock = clock;
	snprintf(b->cache_dir, sizeof(b->cache_dir), "%s/cache-b", h->dir);
	snprintf(b->store, sizeof(b->store), "%s", h->store);
	host_open_with(b, h->store, extra, false);
}

void host_put_sized(struct host *h, const char *name, size_t len)
{
	char *buf = malloc(len);

	for (size_t i = 0; i < len; i++)
		buf[i] = (char)(i * 7 + name[0]);
	host_put(h, name, buf, len);
	free(buf);
}

bool host_reads_back(struct host *h, const char *name, size_t len)
{
	char *buf = malloc(len);
	bool good = host_get(h, name, buf, len) == (ssize_t)len;

	for (size_t i = 0; good && i < len; i++)
		good = buf[i] == (char)(i * 7 + name[0]);
	free(buf);
	return good;
}

const char *host_xattr(struct host *h, const char *key, const char *name)
{
	static char buf[128];
	char full[64];
	struct twait t;
	struct obj *o;
	size_t len = 0;

	snprintf(full, sizeof(full), "user.cogfs.%s", name);
	assert_int_equal(host_lookup(h, key, &o), 0);
	if (CALL(&t, cache_getxattr(h->cache, o, full, buf, sizeof(buf) - 1, &t.w, &len)))
		len = 0;
	obj_unref(h->cache, o);
	buf[len] = '\0';
	return buf;
}

int host_flush(struct host *h)
{
	const struct clock *clock = h->clock ? h->clock : &clock_system;
	uint64_t held;

	return cache_flush_all(h->cache, "", clock_mono(clock) + 10 * NSEC_PER_SEC, NULL, NULL,
			       NULL, &held);
}

bool host_stored(struct host *h, const char *key)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", h->store, key);
	return !access(path, F_OK);
}
