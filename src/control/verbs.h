/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the verbs of the control file do. Those that only look answer at once, in the thread that
 * asks; the others are works: each on a thread of its own, counted and limited per user, and
 * ended when the reader goes away or the mount does.
 */
#ifndef CONTROL_VERBS_H
#define CONTROL_VERBS_H

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "control/control.h"
#include "control/request.h"
#include "observe/sample.h"
#include "util/list.h"
#include "util/pool.h"

#define CONTROL_MAX_WORKS 16

struct control {
	struct observed observed;
	char *mountpoint;
	struct pool *pool;
	pthread_mutex_t lock; /* of works and stopping */
	struct list works;    /* struct work, in verbs.c */
	bool stopping;
};

/* Whether the user may act on, and be told of, everybody's files. */
bool control_is_master(const struct control *c, uid_t uid);

/* Answers req, now or later; takes over what it holds, and ends the reply. */
void control_run(struct control *c, struct control_request *req, uid_t uid,
		 struct control_reply *reply);
/* The error as the last line; control_refuse: and the end. */
void control_say_error(struct control_reply *reply, int error, const char *text);
void control_refuse(struct control_reply *reply, int error, const char *text);

/* What is in stats.json, for that user; NULL: no memory. */
json_t *control_stats(struct control *c, uid_t uid);

/* One line; takes json. Without memory it is lost, and the reader sees that there is no end. */
void control_say(struct control_reply *reply, json_t *json);

/* --- works: each answers req on its own thread, but for the end, and looks at cancel --- */
struct control_work {
	struct control *control;
	const struct control_request *req;
	struct control_reply *reply;
	uid_t uid;
	const atomic_bool *cancel;
};
/* Progress is told ten times a second: true where that is due. *told_ns is 0 at first. */
bool control_work_due(int64_t *told_ns);
bool control_work_cancelled(const struct control_work *work);
void control_fsck(const struct control_work *work);    /* work_fsck.c */
void control_explain(const struct control_work *work); /* work_explain.c */
void control_import(const struct control_work *work);  /* work_import.c */

/* Ends what is under way, and lets nothing new begin. */
void control_works_cancel(struct control *c);

#endif
