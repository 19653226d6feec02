/* SPDX-License-Identifier: Apache-2.0 */
/* cogfs explain: what is known of a path, and why. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/human.h"
#include "cli/mounts.h"
#include "util/cleanup.h"

const struct cli_option cmd_explain_options[] = {
	{'j', false, "json", NULL, "print the answer as JSON"},
	{0},
};

static void print_row(const char *name, const char *text)
{
	printf("%-14s ", name);
	human_text(text);
	putchar('\n');
}

static void print_group(const char *group, json_t *rows)
{
	const char *name;
	json_t *v;

	printf("%s\n", group);
	json_object_foreach(rows, name, v)
	{
		fputs("  ", stdout);
		print_row(name, json_string_value(v));
	}
}

static void print_answer(json_t *answer)
{
	const char *name;
	json_t *v;

	json_object_foreach(answer, name, v)
	{
		if (json_is_object(v))
			print_group(name, v);
		else
			print_row(name, json_string_value(v));
	}
}

/*
 * A path that is not there has a place too: below the nearest directory that is. *ret_key is
 * malloc'ed.
 */
static int find_place(const char *path, struct mount_place *place, char **ret_key, struct err *err)
{
	CLEANUP_FREE char *up = strdup(path);
	size_t len = up ? strlen(up) : 0;
	const char *rest = "";
	int r = up ? mount_place_find(up, place, err) : -ENOMEM;

	while (r == -ENOENT && len) {
		char *slash = strrchr(up, '/');

		if (slash == up)
			break;
		len = slash ? (size_t)(slash - up) : 0;
		up[len] = '\0';
		rest = path + len + (slash != NULL);
		r = mount_place_find(len ? up : ".", place, err);
	}
	if (r)
		return r;
	if (asprintf(ret_key, "%s%s%s", place->key, *place->key && *rest ? "/" : "", rest) >= 0)
		return 0;
	mount_place_release(place);
	return -ENOMEM;
}

static int explain(const char *dir, const char *key, bool as_json)
{
	json_t *request = json_pack("{s:s, s:s}", "verb", "explain", "path", key), *answer;
	struct err err = {0};
	int r;

	if (!request) {
		cli_error("explain: %s: the path is no UTF-8", key);
		return CLI_FAILED;
	}
	r = client_request(dir, request, NULL, NULL, &answer, &err);
	json_decref(request);
	if (r < 0) {
		cli_error("explain: %s", err_text(&err, r));
		return CLI_FAILED;
	}
	if (as_json) {
		json_dumpf(answer, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		print_answer(answer);
	}
	json_decref(answer);
	return CLI_OK;
}

int cmd_explain(const struct cli_verb *verb, int argc, char **argv)
{
	struct cli_args args = {.verb = verb, .argc = argc, .argv = argv};
	CLEANUP_FREE char *key = NULL;
	struct mount_place place;
	struct err err = {0};
	bool as_json = false;
	int id, r;

	while ((id = cli_next(&args)) > 0)
		as_json = true;
	if (id < 0 || !cli_count(&args, 1, 1))
		return CLI_FAILED;
	r = find_place(args.rest[0], &place, &key, &err);
	if (r < 0) {
		cli_error("explain: %s", err_text(&err, r));
		return CLI_FAILED;
	}
	r = explain(place.dir, key, as_json);
	mount_place_release(&place);
	return r;
}
