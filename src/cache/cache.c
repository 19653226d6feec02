/* SPDX-License-Identifier: Apache-2.0 */
/* The cache's life: made from a configuration, started, asked, stopped. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cache/check_live.h"
#include "cache/internal.h"
#include "cache/scrub.h"
#include "cache/store_layers.h"
#include "util/fsutil.h"

#define THREADS_AUTO 32
#define FLUSH_STEP_NS (250 * NSEC_PER_MSEC)

/* --- jobs --- */

struct job {
	struct pool_job job; /* first */
	struct cache *c;
	void (*fn)(struct cache *c, void *arg);
	void *arg;
};

static void job_main(struct pool_job *pj)
{
	struct job j = *(struct job *)pj;

	free(pj);
	j.fn(j.c, j.arg);
	SCOPE_LOCK(&j.c->jobs_lock);
	if (!--j.c->jobs)
		pthread_cond_broadcast(&j.c->jobs_cond);
}

void job_run(struct cache *c, int prio, void (*fn)(struct cache *c, void *arg), void *arg)
{
	struct job *j = malloc(sizeof(*j));

	assert(j); /* 40 bytes: there is no going on without them */
	j->job.run = job_main;
	j->c = c;
	j->fn = fn;
	j->arg = arg;
	{
		SCOPE_LOCK(&c->jobs_lock);
		c->jobs++;
	}
	pool_submit(c->pool, prio, &j->job);
}

static void jobs_wait(struct cache *c)
{
	SCOPE_LOCK(&c->jobs_lock);
	while (c->jobs)
		pthread_cond_wait(&c->jobs_cond, &c->jobs_lock);
}

/* --- tiers --- */

static int open_local(struct cache *c, const struct conf_tier *t, const struct cache_conf *conf,
		      struct local **ret, struct err *err)
{
	struct local_conf lc = {
		.kind = t->type == TIER_TYPE_RAM ? LOCAL_RAM : LOCAL_DISK,
		.name = t->name,
		.path = t->type == TIER_TYPE_RAM ? NULL
			: t->path		 ? t->path
						 : c->config->cache_dir,
		.ram_fd = conf->ram_fd,
		.max_size = t->max_size,
		.max_objects = t->max_objects,
		.min_free = t->type == TIER_TYPE_DISK ? t->min_free : 0,
		.min_free_ratio = t->type == TIER_TYPE_DISK ? t->min_free_ratio : 0,
		.keep_open = conf->restart,
	};

	return local_open(&lc, ret, err);
}

static int open_dir_store(struct cache *c, const struct tier_env *env, const struct conf_tier *t,
			  struct err *err)
{
	struct dir_conf dc = {
		.name = t->name, .path = t->path, .read_only = t->read_only, .link = true};

	return dir_create(env, &dc, &c->store, err);
}

static int open_s3_store(struct cache *c, const struct tier_env *env, const struct conf_tier *t,
			 struct err *err)
{
	const struct config *conf = c->config;
	struct s3_conf sc = {
		.name = t->name,
		.bucket = t->bucket,
		.prefix = t->prefix,
		.endpoint = t->endpoint,
		.region = t->region,
		.path_style = t->path_style == CONF_ON,
		.virtual_host = t->path_style == CONF_OFF,
		.storage_class = t->storage_class,
		.credentials = t->credentials,
		.access_key = t->access_key,
		.secret_key = t->secret_key,
		.session_token = t->session_token,
		.read_only = t->read_only,
		.part_size = t->part_size,
		.ca_file = conf->network.ca_file,
		.proxy = conf->network.proxy,
	};

	return s3_create(env, &sc, &c->store, err);
}

static int open_store(struct cache *c, struct err *err)
{
	struct tier_env env = {.clock = c->clock, .counters = c->counters};
	const struct conf_tier *t = config_tier(c->config, TIER_TYPE_S3);
	int r;

	if (t) {
		r = open_s3_store(c, &env, t, err);
	} else {
		t = config_tier(c->config, TIER_TYPE_DIR);
		r = t ? open_dir_store(c, &env, t, err) : 0;
	}
	return r || !t ? r : store_stack_layers(c, t);
}

/* What a tmpfs that outlived its worker holds counts from the start, as the kernel counts it. */
static void charge_left(struct cache *c)
{
	struct statvfs vfs;

	c->ram_left = true;
	if (fstatvfs(c->ram->root_fd, &vfs))
		return;
	c->ram_left_bytes = (uint64_t)(vfs.f_blocks - vfs.f_bfree) * vfs.f_frsize;
	local_adjust(c->ram, (int64_t)c->ram_left_bytes);
}

static int open_bodies(struct cache *c, const struct cache_conf *conf, struct err *err)
{
	const struct conf_tier *disk = config_tier(c->config, TIER_TYPE_DISK);
	const struct conf_tier *ram = config_tier(c->config, TIER_TYPE_RAM);
	int r = 0;

	if (disk)
		r = open_local(c, disk, conf, &c->disk, err);
	if (!r && ram)
		r = open_local(c, ram, conf, &c->ram, err);
	if (r)
		return r;
	if (!c->disk && !c->ram)
		return err_set(err, -EINVAL,
			       "no tier for local bodies: configure a ram or a disk tier");
	if (!c->disk && !c->store)
		return err_set(
			err, -EINVAL,
			"only a ram tier: nothing would survive; add a disk tier or a store");
	if (c->ram && conf->ram_fd >= 0)
		charge_left(c);
	c->staging_fd = c->disk ? c->disk->staging_fd : c->dir.staging_fd;
	if (c->disk)
		local_adjust(c->disk, (int64_t)c->last.disk_bytes);
	if (c->disk)
		atomic_fetch_add(&c->disk->objects, (int64_t)c->last.disk_objects);
	return 0;
}

/* Refused is an error that the caller shows; unreachable is a state that passes. */
static int try_store(struct cache *c, bool strict, struct err *err)
{
	struct tier_call call = {.deadline = deadline_in(c, c->config->deadlines.mount_ms / 3)};
	int r;

	if (!c->store)
		return 0;
	r = tier_probe(c->store, &call);
	if (!r)
		return 0;
	c->degraded = true;
	if (strict || (r != -ETIMEDOUT && r != -EIO)) {
		if (err)
			*err = call.err;
		return r;
	}
	(void)err_set(&c->unreached, r, "%s", err_text(&call.err, r));
	cache_note_error(c, "", r, err_text(&call.err, r));
	return 0;
}

/* --- making --- */

static int init_locks(struct cache *c)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&c->ns, NULL);
	pthread_mutex_init(&c->lock, NULL);
	pthread_mutex_init(&c->jobs_lock, NULL);
	pthread_cond_init(&c->clock_cond, &attr);
	pthread_cond_init(&c->round_cond, &attr);
	pthread_cond_init(&c->jobs_cond, NULL);
	pthread_condattr_destroy(&attr);
	list_init(&c->idle_fills);
	list_init(&c->negatives);
	list_init(&c->waits);
	list_init(&c->room_waits);
	return 0;
}

static int make_root(struct cache *c)
{
	c->root = obj_new(c, NULL, "");
	if (!c->root || obj_become_dir(c, c->root))
		return -ENOMEM;
	c->root->flags |= OBJ_PROBED;
	obj_set_exist(c->root, EX_PRESENT);
	c->root->mtime_ns = c->root->created_ns = clock_wall(c->clock);
	root_take_record(c);
	return 0;
}

/*
 * An entry is gone only now, after drained(): whoever waits for room or for the store looks again.
 */
static void journal_changed(void *arg)
{
	room_freed(arg);
}

static int open_journal(struct cache *c, struct err *err)
{
	struct journal_conf jc = {.dirfd = c->dir.journal_fd,
				  .staging_dirfd = c->staging_fd,
				  .clock = c->clock,
				  .upload_delay_ns = c->config->write.upload_delay_ms *
						     NSEC_PER_MSEC};
	struct journal_report report;
	struct err note = {{0}};
	int r = journal_open(&jc, &c->journal, &report, &note);

	if (r)
		return err_wrap(err, err_set(err, r, "%s", err_text(&note, r)), "journal");
	if (note.text[0])
		cache_note_error(c, "", -EBADMSG, note.text);
	journal_on_change(c->journal, journal_changed, c);
	return recover_tree(c);
}

static int build(struct cache *c, const struct cache_conf *conf, struct err *err)
{
	unsigned int threads = c->config->network.parallel ? c->config->network.parallel
							   : THREADS_AUTO;
	int r = cachedir_open(c->config->cache_dir, conf->lock_fd, conf->mountpoint, &c->dir,
			      &c->last, err);

	if (r)
		return r;
	c->crashed = !c->last.clean && !c->last.same_boot;
	r = pool_new("cogfs-io", threads, &c->pool);
	if (!r)
		r = open_store(c, err);
	if (!r)
		r = open_bodies(c, conf, err);
	if (!r)
		r = make_root(c);
	if (!r)
		r = clock_start(c);
	if (!r)
		r = try_store(c, conf->strict, err);
	if (!r)
		r = open_journal(c, err);
	if (!r)
		tenants_make_dirs(c);
	return r;
}

int cache_new(const struct cache_conf *conf, struct cache **ret_cache, struct err *err)
{
	struct cache *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->config = conf->config;
	c->clock = conf->clock ? conf->clock : &clock_system;
	c->counters = conf->counters;
	c->events = conf->events;
	c->staging_fd = -1;
	c->dir.fd = c->dir.lock_fd = c->dir.journal_fd = c->dir.staging_fd = -1;
	init_locks(c);
	r = classes_take(c);
	if (!r)
		r = build(c, conf, err);
	if (r) {
		cache_destroy(c);
		return r;
	}
	*ret_cache = c;
	return 0;
}

const char *cache_degraded(const struct cache *c)
{
	return c->degraded ? c->unreached.text : NULL;
}

static int start_drain(struct cache *c)
{
	const struct config *conf = c->config;
	struct drain_conf dc = {
		.journal = c->journal,
		.store = c->store,
		.pool = c->pool,
		.clock = c->clock,
		.counters = c->counters,
		.staging_dirfd = c->staging_fd,
		.conflict = conf->write.conflict,
		.try_deadline_ns = conf->deadlines.read_ms * NSEC_PER_MSEC,
		.link_bodies = true,
		.wish = class_wish,
		.events = {.names = drain_names_hold,
			   .done = drained,
			   .failed = check_drain_failed,
			   .moved = drained_moved,
			   .arg = c},
	};

	return c->store ? drain_start(&dc, &c->drain) : 0;
}

int cache_start(struct cache *c, struct err *err)
{
	int r = recover_held(c);

	free(c->orphans);
	c->orphans = NULL;
	c->n_orphans = 0;
	if (!r)
		r = cache_checkpoint(c, false);
	if (!r)
		r = start_drain(c);
	if (!r)
		r = round_start(c);
	if (!r)
		r = scan_start(c);
	if (!r)
		r = scrub_start(c);
	c->started = !r;
	return r ? err_wrap(err, r, "start") : 0;
}

/* --- stopping --- */

static void free_tree(struct cache *c)
{
	/* Children first: each round takes the leaves. */
	for (bool any = true; any;) {
		any = false;
		for (size_t i = 0; i < c->table_size; i++) {
			struct obj *next;

			for (struct obj *o = c->table[i]; o; o = next) {
				next = o->hash_next;
				if (o->dir && !list_empty(&o->dir->children))
					continue;
				obj_destroy(c, o);
				any = true;
			}
		}
	}
	if (c->root)
		obj_destroy(c, c->root);
	free(c->table);
}

void cache_destroy(struct cache *c)
{
	scrub_stop(c);
	round_stop(c);
	drain_stop(c->drain, NSEC_PER_SEC);
	jobs_wait(c);
	if (c->journal)
		journal_on_change(c->journal, NULL, c);
	clock_stop(c);
	pool_free(c->pool);
	{
		SCOPE_LOCK(&c->lock);
		while (!list_empty(&c->idle_fills))
			fill_detach(c, list_entry(c->idle_fills.next, struct fill, idle)->obj);
		free_tree(c);
	}
	journal_close(c->journal);
	tier_close(c->store);
	local_close(c->disk);
	local_close(c->ram);
	cachedir_release(&c->dir);
	for (int i = 0; i < N_ERRORS; i++)
		free(c->errors[i]);
	free(c->orphans);
	room_forget(c);
	tenants_release(c);
	classes_release(c);
	free(c);
}

uint64_t cache_free(struct cache *c, int64_t drain_ns,
		    void (*fn)(void *arg, uint64_t entries, uint64_t bytes), void *arg)
{
	struct journal_stats js;

	if (c->drain && drain_ns > 0)
		(void)drain_flush(c->drain, "", clock_mono(c->clock) + drain_ns, NULL, fn, arg);
	{
		SCOPE_LOCK(&c->lock);
		c->stopping = true;
	}
	scrub_stop(c);
	round_stop(c);
	drain_stop(c->drain, NSEC_PER_SEC);
	c->drain = NULL;
	jobs_wait(c);
	journal_stats(c->journal, &js);
	(void)journal_sync(c->journal);
	(void)cache_checkpoint(c, true);
	cache_destroy(c);
	return js.entries;
}

static void resize(struct local *l, const struct conf_tier *t)
{
	if (!l || !t)
		return;
	atomic_store(&l->max_size, t->max_size);
	atomic_store(&l->max_objects, t->max_objects);
}

void cache_reconfigure(struct cache *c)
{
	journal_set_upload_delay(c->journal, c->config->write.upload_delay_ms * NSEC_PER_MSEC);
	resize(c->disk, config_tier(c->config, TIER_TYPE_DISK));
	resize(c->ram, config_tier(c->config, TIER_TYPE_RAM));
	{
		SCOPE_LOCK(&c->lock);
		(void)classes_take(c); /* its one failure is of the first time */
	}
	tenants_make_dirs(c);
}

/* --- questions --- */

struct counters *cache_counters(struct cache *c)
{
	return c->counters;
}

const struct config *cache_config(struct cache *c)
{
	return c->config;
}

static void local_stats(struct cache *c, const struct local *l, struct cache_tier_stats *ret)
{
	int64_t used = atomic_load(&l->used), objects = atomic_load(&l->objects);

	ret->name = l->name;
	ret->type = l->kind == LOCAL_RAM ? "ram" : "disk";
	ret->bytes = used > 0 ? used : 0;
	ret->max_bytes = atomic_load(&l->max_size);
	ret->objects = objects > 0 ? objects : 0;
	ret->evictions = shares_evictions(c, l);
}

static void tier_stats(struct cache *c, struct cache_stats *ret)
{
	struct cache_tier_stats *t;

	if (c->ram)
		local_stats(c, c->ram, &ret->tiers[ret->n_tiers++]);
	if (c->disk)
		local_stats(c, c->disk, &ret->tiers[ret->n_tiers++]);
	if (!c->store)
		return;
	t = &ret->tiers[ret->n_tiers++];
	t->name = c->store->name;
	t->type = config_tier(c->config, TIER_TYPE_S3) ? "s3" : "dir";
	switch (breaker_state_get(c->breaker)) {
	case BREAKER_OPEN:
		t->state = 2;
		break;
	case BREAKER_HALF_OPEN:
		t->state = 1;
		break;
	default:
		t->state = 0;
	}
	ret->degraded = t->state != 0;
}

void cache_stats(struct cache *c, struct cache_stats *ret)
{
	struct journal_stats js;

	memset(ret, 0, sizeof(*ret));
	journal_stats(c->journal, &js);
	tier_stats(c, ret);
	scrub_stats(c, &ret->scrub);
	ret->dirty_objects = js.entries;
	ret->dirty_bytes = js.bytes;
	ret->held_objects = js.held;
	if (js.oldest_ns)
		ret->oldest_dirty_s = (clock_wall(c->clock) - js.oldest_ns) / NSEC_PER_SEC;
	SCOPE_LOCK(&c->lock);
	ret->objects_known = c->n_objs;
	ret->fills = c->n_fills;
	ret->waits = c->n_waits;
	ret->open_files = c->open_files;
	ret->scanning = c->scanning;
}

/*
 * statfs answers from memory and the local file system only: the disk tier's limits are the
 * mount's size, a tenant's quota is its directory's.
 */
int cache_statfs(struct cache *c, const struct obj *o, struct statvfs *ret)
{
	struct local *l = body_tier(c);
	uint64_t max = atomic_load(&l->max_size), used, free_fs;
	int64_t n = atomic_load(&l->used);

	if (fstatvfs(l->root_fd, ret))
		return -errno;
	used = n > 0 ? n : 0;
	free_fs = (uint64_t)ret->f_bavail * ret->f_frsize;
	free_fs = free_fs > l->min_free ? free_fs - l->min_free : 0;
	if (!max || max > used + free_fs)
		max = used + free_fs;
	ret->f_bsize = ret->f_frsize = 4096;
	ret->f_blocks = max / 4096;
	ret->f_bfree = ret->f_bavail = (max > used ? max - used : 0) / 4096;
	ret->f_namemax = KEY_PART_MAX;
	SCOPE_LOCK(&c->lock);
	(void)tenant_statfs(o, ret);
	return 0;
}

/*
 * The kernel tells of a close some time after close(2) has returned: what is still held then gets
 * 300 ms, so that a flush right behind a close finds the file closed.
 */
static void await_closes(struct cache *c, const char *path, const atomic_bool *cancel)
{
	for (unsigned int ms = 10; ms <= 160; ms *= 2) {
		if (!drain_held(c->drain, path) || (cancel && atomic_load(cancel)))
			return;
		usleep(ms * 1000);
	}
}

int cache_flush_all(struct cache *c, const char *path, dl_t deadline, const atomic_bool *cancel,
		    void (*progress)(void *arg, uint64_t entries, uint64_t bytes), void *arg,
		    uint64_t *ret_held)
{
	int r;

	*ret_held = 0;
	if (!c->drain)
		return 0;
	await_closes(c, path, cancel);
	r = drain_flush(c->drain, path, deadline, cancel, progress, arg);
	if (!r)
		store_flush_manifests(c, deadline, cancel);
	*ret_held = drain_held(c->drain, path);
	return r;
}
