/* SPDX-License-Identifier: Apache-2.0 */
/* fsck of the running cache: findings as they are made, progress ten times a second, the totals. */
#include <errno.h>

#include "cache/check.h"
#include "control/verbs.h"
#include "observe/stats.h"
#include "util/clock.h"

#define TELL_NS (100 * NSEC_PER_MSEC)

struct fsck {
	const struct control_work *work;
	int64_t told_ns;
};

static const char *outcome_name(enum check_outcome outcome)
{
	static const char *const names[] = {
		[CHECK_REPAIRED] = "repaired", [CHECK_LEFT] = "left", [CHECK_NOTED] = "noted"};

	return names[outcome];
}

static void found(void *arg, const struct check_finding *f)
{
	struct fsck *fsck = arg;

	control_say(fsck->work->reply,
		    json_pack("{s:{s:{s:o, s:o, s:o, s:o, s:s}}}", "progress", "finding", "path",
			      stats_text(f->path), "tier", stats_text(f->tier), "what",
			      stats_text(f->what), "action", stats_text(f->action), "outcome",
			      outcome_name(f->outcome)));
}

static json_t *totals_json(const struct check_totals *t)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "files",
			 (json_int_t)t->files, "bytes", (json_int_t)t->bytes, "expected",
			 (json_int_t)t->expected, "entries", (json_int_t)t->entries, "cold",
			 (json_int_t)t->cold, "unsafe_keys", (json_int_t)t->unsafe_keys,
			 "unverified", (json_int_t)t->unverified, "repaired",
			 (json_int_t)t->repaired, "left", (json_int_t)t->left, "noted",
			 (json_int_t)t->noted);
}

static void progress(void *arg, const struct check_totals *done)
{
	struct fsck *fsck = arg;
	int64_t now = clock_mono(&clock_system);

	if (now - fsck->told_ns < TELL_NS)
		return;
	fsck->told_ns = now;
	control_say(fsck->work->reply, json_pack("{s:o}", "progress", totals_json(done)));
}

static bool cancelled(void *arg)
{
	const struct fsck *fsck = arg;

	return atomic_load(fsck->work->cancel) || control_reply_cancelled(fsck->work->reply);
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
		control_say(work->reply, json_pack("{s:o, s:i}", "error",
						   stats_text(err_text(&err, r)), "errno", -r));
		return;
	}
	totals = totals_json(&ck.totals);
	json_object_set_new(totals, "done", json_true());
	control_say(work->reply, totals);
}
