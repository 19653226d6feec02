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
#include "observe/report.h"

struct import_work {
	const struct control_work *work;
	int64_t told_ns;
};

static void found(void *arg, const char *path, enum import_outcome outcome, const char *why)
{
	struct import_work *w = arg;

	control_say(w->work->reply, json_pack("{s:{s:o}}", "progress", "finding",
					      report_import_finding(path, outcome, why)));
}

static void progress(void *arg, const struct import_totals *done)
{
	struct import_work *w = arg;

	if (control_work_due(&w->told_ns))
		control_say(w->work->reply,
			    json_pack("{s:o}", "progress", report_import_totals(done)));
}

static bool cancelled(void *arg)
{
	const struct import_work *w = arg;

	return control_work_cancelled(w->work);
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
		control_say_error(work->reply, r, err_text(&err, r));
	else
		control_say(work->reply, report_import_totals(&im.totals));
}
