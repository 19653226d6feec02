/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs of the control file, and the threads of those that wait. */
#include "control/verbs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cogfs_version.h"
#include "control/authorise.h"
#include "observe/stats.h"
#include "util/cleanup.h"

/*
 * So that no user can keep the others from theirs: the last ones of MAX_WORKS are for root and the
 * mount's owner.
 */
#define MAX_PER_USER 4
#define TELL_NS (100 * NSEC_PER_MSEC) /* between two lines of progress */
#define MAX_OF_USERS (CONTROL_MAX_WORKS - 4)

struct work {
	struct pool_job job;
	struct list on_control;
	struct control *control;
	struct control_request req;
	struct control_reply *reply;
	uid_t uid;
	atomic_bool cancel;
	uint64_t entries, bytes; /* that the last progress line told */
	bool told;
};

/* --- lines --- */

void control_say(struct control_reply *reply, json_t *json)
{
	CLEANUP_FREE char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	json_decref(json);
	control_reply_line(reply, text ? text : "{\"error\": \"no memory\", \"errno\": 12}");
}

void control_say_error(struct control_reply *reply, int error, const char *text)
{
	control_say(reply, json_pack("{s:o, s:i}", "error", stats_text(text), "errno", -error));
}

void control_refuse(struct control_reply *reply, int error, const char *text)
{
	control_say_error(reply, error, text);
	control_reply_end(reply);
}

/* --- what only looks --- */

static void run_stats(struct control *c, uid_t uid, struct control_reply *reply)
{
	control_say(reply, control_stats(c, uid));
	control_reply_end(reply);
}

static void run_version(struct control *c, uid_t uid, struct control_reply *reply)
{
	control_say(reply, json_pack("{s:s, s:s, s:s}", "version", COGFS_VERSION, "libfuse",
				     COGFS_LIBFUSE_VERSION, "build", COGFS_BUILD_KIND));
	control_reply_end(reply);
}

/* Errors name files, and not everybody may know their names. */
static void run_errors(struct control *c, uid_t uid, struct control_reply *reply)
{
	CLEANUP_FREE char *text = NULL;
	json_t *list;
	char *rest;

	if (!control_is_master(c, uid)) {
		control_refuse(reply, -EACCES, "only root and the mount's owner see all errors");
		return;
	}
	text = cache_errors(c->observed.cache);
	list = text ? json_array() : NULL;
	rest = text;
	for (char *line; list && (line = strsep(&rest, "\n"));)
		if (*line)
			json_array_append_new(list, stats_text(line));
	control_say(reply, list ? json_pack("{s:o}", "errors", list) : NULL);
	control_reply_end(reply);
}

/* --- works --- */

static void progress(void *arg, uint64_t entries, uint64_t bytes)
{
	struct work *w = arg;

	if (control_reply_cancelled(w->reply))
		atomic_store(&w->cancel, true);
	if (w->told && entries == w->entries && bytes == w->bytes)
		return;
	w->told = true;
	w->entries = entries;
	w->bytes = bytes;
	control_say(w->reply, json_pack("{s:{s:I, s:I}}", "progress", "entries",
					(json_int_t)entries, "bytes", (json_int_t)bytes));
}

static void say_flushed(struct work *w, int r, uint64_t held)
{
	char text[128];

	if (!r) {
		control_say(w->reply, json_pack("{s:b, s:s, s:i, s:I}", "done", 1, "path",
						w->req.path, "left", 0, "held", (json_int_t)held));
		return;
	}
	if (r == -ETIMEDOUT && w->told)
		snprintf(text, sizeof(text), "%" PRIu64 " change%s journalled and not stored yet",
			 w->entries, w->entries == 1 ? " is" : "s are");
	else
		snprintf(text, sizeof(text), "%s", strerror(-r));
	control_say(w->reply, json_pack("{s:s, s:i, s:I}", "error", text, "errno", -r, "held",
					(json_int_t)held));
}

static void run_flush(struct work *w)
{
	struct cache *cache = w->control->observed.cache;
	dl_t deadline = 0;
	struct err err = {0};
	uint64_t held = 0;
	int r = 0;

	if (!control_is_master(w->control, w->uid))
		r = authorise_owner(cache, w->req.path, w->uid, &err);
	if (r) {
		control_say_error(w->reply, r, err_text(&err, r));
		return;
	}
	if (w->req.timeout_ms >= 0)
		deadline = clock_mono(&clock_system) + w->req.timeout_ms * NSEC_PER_MSEC;
	r = cache_flush_all(cache, w->req.path, deadline, &w->cancel, progress, w, &held);
	say_flushed(w, r, held);
}

static struct control_work work_of(struct work *w)
{
	return (struct control_work){.control = w->control,
				     .req = &w->req,
				     .reply = w->reply,
				     .uid = w->uid,
				     .cancel = &w->cancel};
}

bool control_work_due(int64_t *told_ns)
{
	int64_t now = clock_mono(&clock_system);

	if (now - *told_ns < TELL_NS)
		return false;
	*told_ns = now;
	return true;
}

bool control_work_cancelled(const struct control_work *work)
{
	return atomic_load(work->cancel) || control_reply_cancelled(work->reply);
}

static void run_fsck(struct work *w)
{
	const struct control_work work = work_of(w);

	control_fsck(&work);
}

static void run_explain(struct work *w)
{
	const struct control_work work = work_of(w);

	control_explain(&work);
}

static void run_import(struct work *w)
{
	const struct control_work work = work_of(w);

	control_import(&work);
}

static void (*const workers[CONTROL_VERBS])(struct work *w) = {
	[CONTROL_FLUSH] = run_flush,
	[CONTROL_FSCK] = run_fsck,
	[CONTROL_EXPLAIN] = run_explain,
	[CONTROL_IMPORT] = run_import,
};

static void work_main(struct pool_job *job)
{
	struct work *w = container_of(job, struct work, job);
	struct control_reply *reply = w->reply;

	workers[w->req.verb](w);
	{
		SCOPE_LOCK(&w->control->lock);
		list_del(&w->on_control);
	}
	control_request_release(&w->req);
	free(w);
	control_reply_end(reply);
}

/* 0, or -EAGAIN where the user has enough under way. Lock held */
static int admit(struct control *c, uid_t uid)
{
	unsigned int own = 0, all = 0;

	if (c->stopping)
		return -EAGAIN;
	for (const struct list *l = c->works.next; l != &c->works; l = l->next) {
		own += list_entry(l, struct work, on_control)->uid == uid;
		all++;
	}
	if (control_is_master(c, uid))
		return all < CONTROL_MAX_WORKS ? 0 : -EAGAIN;
	return own < MAX_PER_USER && all < MAX_OF_USERS ? 0 : -EAGAIN;
}

static int work_start(struct control *c, struct control_request *req, uid_t uid,
		      struct control_reply *reply)
{
	struct work *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->job.run = work_main;
	w->control = c;
	w->req = *req;
	w->reply = reply;
	w->uid = uid;
	{
		SCOPE_LOCK(&c->lock);

		r = admit(c, uid);
		if (!r)
			list_add_tail(&c->works, &w->on_control);
	}
	if (r)
		free(w);
	else
		pool_submit(c->pool, POOL_FOREGROUND, &w->job);
	return r;
}

void control_works_cancel(struct control *c)
{
	SCOPE_LOCK(&c->lock);

	c->stopping = true;
	for (struct list *l = c->works.next; l != &c->works; l = l->next)
		atomic_store(&list_entry(l, struct work, on_control)->cancel, true);
}

/* --- the table --- */

static void (*const lookers[CONTROL_VERBS])(struct control *c, uid_t uid,
					    struct control_reply *reply) = {
	[CONTROL_STATS] = run_stats, [CONTROL_VERSION] = run_version, [CONTROL_ERRORS] = run_errors,
	[CONTROL_FLUSH] = NULL, /* works */
	[CONTROL_FSCK] = NULL,	     [CONTROL_EXPLAIN] = NULL,	      [CONTROL_IMPORT] = NULL,
};

void control_run(struct control *c, struct control_request *req, uid_t uid,
		 struct control_reply *reply)
{
	int r = 0;

	if (lookers[req->verb]) {
		lookers[req->verb](c, uid, reply);
		control_request_release(req);
		return;
	}
	r = work_start(c, req, uid, reply);
	if (!r)
		return;
	control_request_release(req);
	control_refuse(reply, r,
		       r == -EAGAIN ? "too many commands are under way; try again" : strerror(-r));
}
