/* SPDX-License-Identifier: Apache-2.0 */
/* The control files: a table of names and who writes each, and the control side's life. */
#include "control/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cogfs_version.h"
#include "control/verbs.h"
#include "observe/metrics.h"
#include "observe/stats.h"
#include "util/cleanup.h"

bool control_is_master(const struct control *c, uid_t uid)
{
	return uid == 0 || uid == cache_config(c->observed.cache)->mount.uid;
}

/* --- the files --- */

static int render_stats(struct control *c, uid_t uid, FILE *out)
{
	json_t *json = control_stats(c, uid);
	int r;

	r = json ? json_dumpf(json, out, JSON_INDENT(2)) : -1;
	json_decref(json);
	fputc('\n', out);
	return r ? -ENOMEM : 0;
}

static int render_metrics(struct control *c, uid_t uid, FILE *out)
{
	struct sample sample;

	sample_take(&c->observed, &sample);
	metrics_print(&sample, out);
	return 0;
}

static int render_config(struct control *c, uid_t uid, FILE *out)
{
	return config_print(cache_config(c->observed.cache), out, true);
}

static int render_errors(struct control *c, uid_t uid, FILE *out)
{
	CLEANUP_FREE char *text = cache_errors(c->observed.cache);

	if (!text)
		return -ENOMEM;
	fputs(text, out);
	return 0;
}

static int render_version(struct control *c, uid_t uid, FILE *out)
{
	fprintf(out, "cogfs %s (libfuse %s, %s build)\n", COGFS_VERSION, COGFS_LIBFUSE_VERSION,
		COGFS_BUILD_KIND);
	return 0;
}

static const struct {
	const char *name;
	int (*render)(struct control *c, uid_t uid, FILE *out);
	bool master; /* names other people's files: only for root and the mount's owner */
} files[] = {
	{"stats.json", render_stats, false},   {"metrics", render_metrics, false},
	{"config.yaml", render_config, false}, {"errors", render_errors, true},
	{"version", render_version, false},
};

static const char *const names[] = {"stats.json", "metrics", "config.yaml",
				    "errors",	  "version", NULL};

static int render(void *arg, const char *name, uid_t uid, char **ret_buf, size_t *ret_len)
{
	struct control *c = arg;
	CLEANUP_FREE char *buf = NULL;
	size_t i = 0, len;
	FILE *out;
	int r;

	while (i < sizeof(files) / sizeof(files[0]) && strcmp(files[i].name, name) != 0)
		i++;
	if (i == sizeof(files) / sizeof(files[0]))
		return -ENOENT;
	if (files[i].master && !control_is_master(c, uid))
		return -EACCES;
	out = open_memstream(&buf, &len);
	if (!out)
		return -ENOMEM;
	r = files[i].render(c, uid, out);
	if (fclose(out) && !r)
		r = -ENOMEM;
	if (r)
		return r;
	*ret_buf = STEAL_PTR(buf);
	*ret_len = len;
	return 0;
}

/* --- requests --- */

static int request(void *arg, const char *json, uid_t uid, gid_t gid, pid_t pid,
		   struct control_reply *reply)
{
	struct control_request req = {0};
	struct err err = {0};
	int r = control_request_parse(json, &req, &err);

	if (r)
		control_refuse(reply, r, err_text(&err, r));
	else
		control_run(arg, &req, uid, reply);
	return 0;
}

const struct control_ops control_ops = {
	.names = names,
	.render = render,
	.request = request,
};

/* --- life --- */

int control_new(struct cache *cache, const char *mountpoint, struct control **ret_control)
{
	struct control *c = calloc(1, sizeof(*c));
	int r = -ENOMEM;

	if (!c)
		return r;
	pthread_mutex_init(&c->lock, NULL);
	list_init(&c->works);
	c->mountpoint = strdup(mountpoint);
	if (c->mountpoint)
		r = pool_new("cogfs-ctl", CONTROL_MAX_WORKS, &c->pool);
	if (r) {
		control_free(c);
		return r;
	}
	c->observed = (struct observed){
		.cache = cache, .mountpoint = c->mountpoint, .start_ns = clock_mono(&clock_system)};
	*ret_control = c;
	return 0;
}

void control_free(struct control *control)
{
	if (!control)
		return;
	control_works_cancel(control);
	pool_free(control->pool);
	pthread_mutex_destroy(&control->lock);
	free(control->mountpoint);
	free(control);
}
