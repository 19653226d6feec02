/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of a path, as one JSON object. Its store is asked, as a lookup would ask it. */
#include "cache/explain.h"

#include <errno.h>
#include <string.h>

#include "control/authorise.h"
#include "control/verbs.h"
#include "observe/stats.h"

/* Names of two levels are told, and no deeper ones. */
static void take(void *arg, const char *group, const char *name, const char *text)
{
	json_t *at = arg;

	if (group && !json_object_get(at, group))
		json_object_set_new(at, group, json_object());
	if (group)
		at = json_object_get(at, group);
	json_object_set_new(at, name, stats_text(text));
}

void control_explain(const struct control_work *work)
{
	struct cache *cache = work->control->observed.cache;
	const char *path = work->req->path;
	struct cache_attr attr;
	struct obj *obj = NULL;
	struct err err = {0};
	json_t *json;
	int r = 0;

	if (!control_is_master(work->control, work->uid))
		r = authorise_owner(cache, path, work->uid, &err);
	if (!r)
		r = lookup_blocking(cache, path, &obj, &attr);
	if (r && r != -ENOENT && r != -ENOTDIR) {
		control_say_error(work->reply, r, err_text(&err, r));
		return;
	}
	json = json_object();
	if (json) {
		json_object_set_new(json, "path", stats_text(path));
		cache_explain(cache, path, obj, take, json);
	}
	if (obj)
		obj_unref(cache, obj);
	control_say(work->reply, json);
}
