/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Import into the running cache. The daemon opens the source with its own rights, so that only root
 * and the user it runs as may ask.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cache/import.h"
#include "control/verbs.h"
#include "observe/stats.h"
#include "util/clock.h"

#define TELL_NS (100 * NSEC_PER_MSEC)

struct import_work {
	const struct control_work *work;
	int64_t told_ns;
};

static void found(void *arg, const char *path, enum import_outcome outcome, const char *why)
{
	static const char *const names[] = {[IMPORT_DONE] = "imported",
					    [IMPORT_THERE] = "there",
					    [IMPORT_DIFFERS] = "differs",
					    [IMPORT_SKIPPED] = "skipped",
					    [IMPORT_FAILED] = "failed"};
	struct import_work *w = arg;

	control_say(w->work->reply, json_pack("{s:{s:{s:o, s:o, s:s}}}", "progress", "finding",
					      "path", stats_text(path), "what", stats_text(why),
					      "outcome", names[outcome]));
}

static json_t *totals_json(const struct import_totals *t)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "files",
			 (json_int_t)t->files, "bytes", (json_int_t)t->bytes, "expected",
			 (json_int_t)t->expected, "imported", (json_int_t)t->imported, "there",
			 (json_int_t)t->there, "differs", (json_int_t)t->differs, "skipped",
			 (json_int_t)t->skipped, "failed", (json_int_t)t->failed, "shared",
			 (json_int_t)t->shared, "copied", (json_int_t)t->copied);
}

static void progress(void *arg, const struct import_totals *done)
{
	struct import_work *w = arg;
	int64_t now = clock_mono(&clock_system);

	if (now - w->told_ns < TELL_NS)
		return;
	w->told_ns = now;
	control_say(w->work->reply, json_pack("{s:o}", "progress", totals_json(done)));
}

static bool cancelled(void *arg)
{
	const struct import_work *w = arg;

	return atomic_load(w->work->cancel) || control_reply_cancelled(w->work->reply);
}

void control_import(const struct control_work *work)
{
	struct import_work w = {.work = work};
	struct import im = {.source = work->req->source,
			    .into = work->req->path,
			    .share = !work->req->copy,
			    .dry_run = work->req->dry_run,
			    .found = found,
			    .progress = progress,
			    .cancelled = cancelled,
			    .arg = &w};
	struct err err = {{0}};
	int r;

	if (work->uid != 0 && work->uid != geteuid())
		r = err_set(&err, -EACCES, "only root may import: the daemon reads the files");
	else if (!im.source)
		r = err_set(&err, -EINVAL, "\"source\" is missing");
	else
		r = cache_import(work->control->observed.cache, &im, &err);
	if (r)
		control_say(work->reply, json_pack("{s:o, s:i}", "error",
						   stats_text(err_text(&err, r)), "errno", -r));
	else
		control_say(work->reply, totals_json(&im.totals));
}
