/* SPDX-License-Identifier: Apache-2.0 */
/* Where each value came from, and what the loader wants to be said about the values. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "model/config_table.h"
#include "util/cleanup.h"

struct conf_origin {
	struct conf_origin *next;
	char *where;
	char name[];
};

static struct conf_origin *find(const struct config *config, const char *name)
{
	for (struct conf_origin *o = config->origins; o; o = o->next)
		if (strcmp(o->name, name) == 0)
			return o;
	return NULL;
}

int conf_origin_set(struct config *config, const char *name, const char *where)
{
	CLEANUP_FREE char *copy = strdup(where);
	struct conf_origin *o = find(config, name);
	size_t len = strlen(name);

	if (!copy)
		return -ENOMEM;
	if (!o) {
		o = calloc(1, sizeof(*o) + len + 1);
		if (!o)
			return -ENOMEM;
		memcpy(o->name, name, len + 1);
		o->next = config->origins;
		config->origins = o;
	}
	free(o->where);
	o->where = STEAL_PTR(copy);
	return 0;
}

const char *conf_origin_get(const struct config *config, const char *name)
{
	const struct conf_origin *o = find(config, name);

	return o ? o->where : "default";
}

void conf_origins_free(struct config *config)
{
	while (config->origins) {
		struct conf_origin *o = config->origins;

		config->origins = o->next;
		free(o->where);
		free(o);
	}
}

int conf_warn(struct config *config, const char *fmt, ...)
{
	CLEANUP_FREE char *text = NULL;
	char **grown;
	size_t n = 0;
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (len < 0) {
		text = NULL;
		return -ENOMEM;
	}
	for (; config->warnings && config->warnings[n]; n++)
		if (strcmp(config->warnings[n], text) == 0)
			return 0;
	grown = realloc(config->warnings, (n + 2) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	grown[n] = STEAL_PTR(text);
	grown[n + 1] = NULL;
	config->warnings = grown;
	return 0;
}
