/* SPDX-License-Identifier: Apache-2.0 */
/* The last errors, for people: .cogfs/errors. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cache/internal.h"

void cache_note_error(struct cache *c, const char *key, int error, const char *text)
{
	char stamp[32], *line = NULL;
	time_t now = clock_wall(c->clock) / NSEC_PER_SEC;
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", &tm);
	if (asprintf(&line, "%s %s: %s (%s)", stamp, *key ? key : "/", text, strerror(-error)) < 0)
		return;
	/* One error is one line, and a foreign name is not to reach a terminal as commands. */
	for (char *at = line; *at; at++)
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			*at = '?';
	SCOPE_LOCK(&c->lock);
	free(c->errors[c->errors_next]);
	c->errors[c->errors_next] = line;
	c->errors_next = (c->errors_next + 1) % N_ERRORS;
}

void obj_note_error(struct cache *c, struct obj *o, int error, const char *text)
{
	CLEANUP_FREE char *key = obj_key(c, o);

	if (key)
		cache_note_error(c, key, error, text);
}

char *cache_errors(struct cache *c)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	{
		SCOPE_LOCK(&c->lock);
		for (unsigned int i = 1; i <= N_ERRORS; i++) {
			const char *line = c->errors[(c->errors_next + N_ERRORS - i) % N_ERRORS];

			if (line)
				fprintf(out, "%s\n", line);
		}
	}
	fclose(out);
	return text;
}
