/* SPDX-License-Identifier: Apache-2.0 */
/* The control files' contents: a table of names and who writes each. */
#include "control/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/cache.h"
#include "util/cleanup.h"

struct control {
	struct cache *cache;
};

static int render_config(struct control *c, FILE *out)
{
	return config_print(cache_config(c->cache), out, false);
}

static int render_errors(struct control *c, FILE *out)
{
	CLEANUP_FREE char *text = cache_errors(c->cache);

	if (!text)
		return -ENOMEM;
	fputs(text, out);
	return 0;
}

static const struct {
	const char *name;
	int (*render)(struct control *c, FILE *out);
} files[] = {
	{"config.yaml", render_config},
	{"errors", render_errors},
};

static const char *const names[] = {"config.yaml", "errors", NULL};

static int render(void *arg, const char *name, uid_t uid, char **ret_buf, size_t *ret_len)
{
	FILE *out = NULL;
	int rc = -ENOENT;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (strcmp(files[i].name, name) != 0)
			continue;
		out = open_memstream(ret_buf, ret_len);
		rc = out ? files[i].render(arg, out) : -ENOMEM;
		break;
	}
	if (out && fclose(out) && !rc)
		rc = -ENOMEM;
	if (rc && out)
		free(STEAL_PTR(*ret_buf));
	return rc;
}

static int request(void *arg, const char *json, uid_t uid, gid_t gid, pid_t pid,
		   struct control_reply *reply)
{
	return -EOPNOTSUPP;
}

const struct control_ops control_ops = {
	.names = names,
	.render = render,
	.request = request,
};

int control_new(struct cache *cache, struct control **ret_control)
{
	struct control *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->cache = cache;
	*ret_control = c;
	return 0;
}

void control_free(struct control *control)
{
	free(control);
}
