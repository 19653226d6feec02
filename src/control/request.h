/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request to the control file: {"verb": NAME, FIELD: VALUE...}, one JSON object. It comes from
 * any local user, so nothing is believed: verbs and fields are rows of tables, and what is not in
 * them is an error that names it.
 *
 *	stats	 what is in stats.json
 *	version	 the running program
 *	errors	 the last errors, newest first
 *	flush	 waits until the stores have everything below path
 *		 path	     a key; "" or left out: everything
 *		 timeout_ms  how long at most; left out: as long as it takes
 *	explain	 what is known of path: class, place, life, and what a read would do
 *	fsck	 checks the cache against itself; findings come as {"progress": {"finding": {...}}}
 *		 repair, cold, bytes	see cache/check.h; left out: false
 *	import	 adopts a tree of files; what is left out comes as {"progress": {"finding": {...}}}
 *		 source		an absolute path, as the daemon sees it
 *		 path		where to, a key; "" or left out: the root
 *		 dry_run, copy	see cache/import.h; left out: false
 *
 * The answer is JSON lines: {"progress": {...}} while it takes time, and as the last one either the
 * result or {"error": TEXT, "errno": N}.
 */
#ifndef CONTROL_REQUEST_H
#define CONTROL_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"

enum control_verb {
	CONTROL_STATS,
	CONTROL_VERSION,
	CONTROL_ERRORS,
	CONTROL_FLUSH,
	CONTROL_FSCK,
	CONTROL_EXPLAIN,
	CONTROL_IMPORT,
};
#define CONTROL_VERBS 7

struct control_request {
	enum control_verb verb;
	char *path;	    /* a safe key, or "" */
	int64_t timeout_ms; /* -1: none */
	bool repair, cold, bytes;
	char *source; /* an absolute path, or NULL */
	bool dry_run, copy;
};

/* -EINVAL, -ENAMETOOLONG, -EOPNOTSUPP for a verb that is not known, -ENOMEM: with a text in err. */
int control_request_parse(const char *json, struct control_request *ret, struct err *err);
void control_request_release(struct control_request *req);

#endif
