/* SPDX-License-Identifier: Apache-2.0 */
/* fsck of the running cache: findings as they are made, progress ten times a second, the totals. */
#include <errno.h>

#include "cache/check.h"
#include "control/verbs.h"
#include "observe/report.h"

struct fsck {
	const struct control_work *work;
	int64_t told_ns;
};

static void found(void *arg, const struct check_finding *f)
{
	struct fsck *fsck = arg;

	control_say(fsck->work->reply,
		    json_pack("{s:{s:o}}", "progress", "finding", report_check_finding(f)));
}

static void progress(void *arg, const struct check_totals *done)
{
	struct fsck *fsck = arg;

	if (control_work_due(&fsck->told_ns))
		control_say(fsck->work->reply,
			    json_pack("{s:o}", "progress", report_check_totals(done)));
}

static bool cancelled(void *arg)
{
	const struct fsck *fsck = arg;

	return control_work_cancelled(fsck->work);
}

void control_fsck(const struct control_work *work)
{
	struct fsck fsck = {.work = work};
	struct check ck = {.flags = (work->req->repair ? CHECK_REPAIR : 0) |
				    (work->req->cold ? CHECK_COLD : 0) |
				    (work->req->bytes ? CHECK_COLD_BYTES : 0),
			   .found = found,
			   .progress = progress,
			   .cancelled = cancelled,
			   .arg = &fsck};
	struct err err = {{0}};
	int r = -EACCES;
	json_t *totals;

	if (control_is_master(work->control, work->uid))
		r = cache_check(work->control->observed.cache, &ck, &err);
	else
		err_set(&err, r, "only root and the mount's owner may check the cache");
	if (r) {
		control_say_error(work->reply, r, err_text(&err, r));
		return;
	}
	totals = report_check_totals(&ck.totals);
	json_object_set_new(totals, "done", json_true());
	control_say(work->reply, totals);
}
