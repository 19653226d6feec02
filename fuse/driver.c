/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's tables and its cache: made, brought back after a restart, taken down. */
#include "fuse/driver.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fuse/control_files.h"
#include "util/cleanup.h"
#include "util/log.h"

/* The cache tells what changed behind the kernel's back. */
static void changed(void *arg, enum cache_event ev, struct obj *obj, struct obj *dir,
		    const char *name)
{
	struct driver *d = arg;

	/* Before the session is there nobody can have been told anything. */
	if (!d->notify)
		return;
	switch (ev) {
	case CACHE_EV_ATTR:
		notify_attr(d->notify, obj_node(obj));
		break;
	case CACHE_EV_CONTENT:
		nodes_content_changed(&d->nodes, obj_node(obj));
		notify_content(d->notify, obj_node(obj));
		break;
	case CACHE_EV_NAME:
		if (dir)
			notify_name(d->notify, obj_node(dir), name);
		break;
	}
}

static int make_cache(struct driver *d, const struct driver_conf *conf, struct err *err)
{
	struct cache_conf cache_conf = {
		.config = d->config,
		.clock = d->clock,
		.counters = &d->shm->hdr->counters,
		.events = {.changed = changed, .arg = d},
		.mountpoint = conf->mountpoint,
		.lock_fd = conf->lock_fd,
		.ram_fd = conf->ram_fd,
		.restart = conf->restart,
		.strict = conf->strict,
	};

	return cache_new(&cache_conf, &d->cache, err);
}

static int make_tables(struct driver *d)
{
	int rc = nodes_init(&d->nodes, d->shm, d->cache);

	if (!rc)
		rc = handles_init(&d->handles, d->shm);
	if (!rc)
		rc = opens_init(&d->opens, d->shm, &d->nodes, &d->handles, d->clock);
	if (!rc)
		inflight_init(&d->inflight, d->shm);
	return rc;
}

/* Opens a dead worker's file again. One whose version cannot be had stays, and answers ESTALE. */
static void restore_file(void *arg, struct handle *fh)
{
	struct driver *d = arg;
	CLEANUP_FREE char *key = NULL;
	struct obj *obj;
	int rc;

	if (fh->slot->kind != HANDLE_FILE || fh->slot->file.kind == CFILE_NONE)
		return;
	key = nodes_key(&d->nodes, fh->slot->node);
	rc = cache_restore(d->cache, key, &fh->slot->file, &obj, &fh->file);
	if (rc) {
		log_warn("restart: %s: an open file is lost: %s", key ? key : "(no name)",
			 strerror(-rc));
		return;
	}
	nodes_attach(&d->nodes, fh->slot->node, obj);
	obj_unref(d->cache, obj);
}

int driver_open(struct driver *d, const struct driver_conf *conf, struct err *err)
{
	int rc;

	memset(d, 0, sizeof(*d));
	d->config = conf->config;
	d->clock = &clock_system;
	d->shm = conf->shm;
	d->start_ns = clock_wall(d->clock);
	rc = make_cache(d, conf, err);
	if (rc)
		return rc;
	rc = make_tables(d);
	if (rc)
		return err_set(err, rc, "tables: %s", strerror(-rc));
	if (conf->restart)
		handles_foreach(&d->handles, restore_file, d);
	rc = cache_start(d->cache, err);
	if (rc)
		return rc;
	d->started = true;
	d->control = &control_ops;
	rc = control_new(d->cache, conf->mountpoint, (struct control **)&d->control_arg);
	return rc ? err_set(err, rc, "control files: %s", strerror(-rc)) : 0;
}

/*
 * A handle that is open when the connection ends, as after an abort: its owner will get errors
 * from now on. What a writer has not closed is as good as a killed writer's.
 */
static void abandon(void *arg, struct handle *fh)
{
	struct driver *d = arg;

	if (fh->slot->kind == HANDLE_CONTROL)
		control_release(fh);
	else if (fh->dir)
		cdir_free(d->cache, fh->dir);
	else if (fh->file)
		cache_abandon(d->cache, fh->file);
	handle_free(&d->handles, fh);
}

static void wait_for_requests(struct driver *d)
{
	int64_t next = clock_mono(d->clock);

	while (atomic_load(&d->requests)) {
		if (clock_mono(d->clock) >= next) {
			next += 5 * NSEC_PER_SEC;
			log_info("unmount: waiting for %d calls under way",
				 atomic_load(&d->requests));
		}
		clock_system.sleep_until(&clock_system, clock_mono(d->clock) + 10 * NSEC_PER_MSEC);
	}
}

uint64_t driver_close(struct driver *d, int64_t drain_ns,
		      void (*progress)(void *arg, uint64_t entries, uint64_t bytes), void *arg)
{
	uint64_t left = 0;

	wait_for_requests(d);
	if (d->handles.rt)
		handles_foreach(&d->handles, abandon, d);
	control_free(d->control_arg);
	notify_free(STEAL_PTR(d->notify));
	if (d->cache)
		nodes_release(&d->nodes);
	if (d->started)
		left = cache_free(d->cache, drain_ns, progress, arg);
	else if (d->cache)
		cache_destroy(d->cache);
	handles_release(&d->handles);
	opens_release(&d->opens);
	inflight_release(&d->inflight);
	return left;
}
