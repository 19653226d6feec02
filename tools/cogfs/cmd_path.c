/* SPDX-License-Identifier: Apache-2.0 */
/* cogfs path and key: between the seeds' keys and the paths of a mount. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/human.h"
#include "cli/mounts.h"
#include "model/seedkey.h"
#include "util/cleanup.h"

#define CACHE_KEY_XATTR "user.cogfs.cache_key"
#define CACHE_KEY_MAX 4096

const struct cli_option cmd_path_options[] = {
	{'f', true, "format", "FORMAT",
	 "how the value is written: pkl (the default), json, msgpack"},
	{'g', true, "grammar", "GRAMMAR", "whose keys: 003 (the default) or 004"},
	{'e', true, "embedding", "MODEL", "TEXT instead of KEY: the embedding of TEXT by MODEL"},
	{'s', true, "search", "QUERY", "no KEY: the results of a query; needs --strategy"},
	{'S', false, "strategy", "STRATEGY", "search: the strategy that ranks the results"},
	{'F', false, "filters", "JSON", "search: an object of filters, {} for none in particular"},
	{'j', false, "json", NULL, "print key, path and grammar as JSON"},
	{0},
};

const struct cli_option cmd_key_options[] = {
	{'g', true, "grammar", "GRAMMAR", "whose keys: 003 (the default) or 004"},
	{'j', false, "json", NULL, "print key, path, grammar and where the key is from as JSON"},
	{0},
};

/* Keys come from outside: what is in them does not reach the terminal's mind. */
static void print_line(const char *text)
{
	bool mask = isatty(STDOUT_FILENO);

	for (; *text; text++)
		putchar(mask ? human_char(*text) : *text);
	putchar('\n');
}

/* Takes json, which is NULL where something is no UTF-8. */
static int print_json(const char *verb, const char *what, json_t *json)
{
	if (!json) {
		cli_error("%s: %s: it is no UTF-8, which JSON wants", verb, what);
		return CLI_FAILED;
	}
	client_print(json);
	json_decref(json);
	return CLI_OK;
}

/* --- path --- */

struct path_job {
	enum seed_grammar grammar;
	enum seed_format format;
	const char *model, *query, *strategy, *filters;
	bool json, other_grammar, other_format;
	char **rest;
};

static int path_option(struct path_job *job, int id, const char *value, struct err *err)
{
	switch (id) {
	case 'f':
		job->other_format = true;
		return seed_format_parse(value, &job->format, err);
	case 'g':
		job->other_grammar = true;
		return seed_grammar_parse(value, &job->grammar, err);
	case 'e':
		job->model = value;
		return 0;
	case 's':
		job->query = value;
		return 0;
	case 'S':
		job->strategy = value;
		return 0;
	case 'F':
		job->filters = value;
		return 0;
	default:
		job->json = true;
		return 0;
	}
}

/* What cannot be meant together. */
static int path_check(const struct path_job *job, struct err *err)
{
	if (job->query && job->model)
		return err_set(err, -EINVAL, "--search and --embedding are two questions");
	if (job->query && !job->strategy)
		return err_set(err, -EINVAL, "--search needs --strategy");
	if (!job->query && (job->strategy || job->filters))
		return err_set(err, -EINVAL, "--strategy and --filters belong to --search");
	if (job->other_grammar && (job->query || job->model))
		return err_set(err, -EINVAL, "--grammar is for keys");
	if (job->other_format && (job->query || job->grammar == SEED_004))
		return err_set(err, -EINVAL, "--format: these paths have no ending to choose");
	return 0;
}

static int path_print(const struct path_job *job, const char *key, const char *path)
{
	char back[SEED_KEY_MAX + 1];

	if (!job->json) {
		print_line(path);
		return CLI_OK;
	}
	if (job->query) /* the seeds' key is the path */
		return print_json("path", path, json_pack("{s:s, s:s}", "key", path, "path", path));
	if (seed_key_of(job->grammar, path, back, NULL))
		back[0] = '\0';
	return print_json("path", key,
			  json_pack("{s:s, s:s, s:s, s:b}", "key", key, "path", path, "grammar",
				    seed_grammar_name(job->grammar), "complete",
				    strcmp(back, key) == 0));
}

int cmd_path(const struct cli_verb *verb, int argc, char **argv)
{
	struct cli_args args = {.verb = verb, .argc = argc, .argv = argv};
	char key[SEED_KEY_MAX + 1], path[KEY_MAX + 1];
	struct path_job job = {0};
	struct err err = {0};
	const char *of = key;
	int id, r = 0;

	while (r == 0 && (id = cli_next(&args)) > 0)
		r = path_option(&job, id, args.value, &err);
	if (r == 0 && id < 0)
		return CLI_FAILED;
	if (r == 0)
		r = path_check(&job, &err);
	if (r == 0 && !cli_count(&args, job.query ? 0 : 1, job.query ? 0 : 1))
		return CLI_FAILED;
	if (r == 0 && job.query)
		r = seed_query_path(job.query, job.strategy, job.filters, path, &err);
	else if (r == 0 && job.model)
		r = seed_embedding_key(job.model, args.rest[0], key, &err);
	else if (r == 0)
		of = args.rest[0];
	if (r == 0 && !job.query)
		r = seed_path_of(job.grammar, job.format, of, path, &err);
	if (r == 0)
		return path_print(&job, of, path);
	cli_error("path: %s", err_text(&err, r));
	return CLI_FAILED;
}

/* --- key --- */

/* The key that the object itself has; false: it has none, or there is no such object. */
static bool own_key(const char *path, char out[CACHE_KEY_MAX + 1])
{
	ssize_t len = getxattr(path, CACHE_KEY_XATTR, out, CACHE_KEY_MAX);

	if (len <= 0)
		return false;
	out[len] = '\0';
	return strlen(out) == (size_t)len;
}

/*
 * The path below the root of the mount, of something that may not be there: from the nearest
 * directory above that is. malloc'ed. A relative path that leads into no mount is below one
 * already.
 */
static int path_in_mount(const char *path, char **ret_path, struct err *err)
{
	CLEANUP_FREE char *dir = strdup(path);
	struct mount_place place;
	char *slash;
	int r = dir ? mount_place_find(path, &place, err) : -ENOMEM;

	while (r == -ENOENT && (slash = strrchr(dir, '/')) && slash > dir) {
		*slash = '\0';
		r = mount_place_find(dir, &place, err);
	}
	if (r == -ENOENT && *path != '/')
		r = mount_place_find(".", &place, err);
	else if (r == 0)
		path += strlen(dir);
	if (r == 0) {
		path += strspn(path, "/");
		r = asprintf(ret_path, "%s%s%s", place.key, *place.key && *path ? "/" : "", path);
		mount_place_release(&place);
		return r < 0 ? -ENOMEM : 0;
	}
	if (r == -ENOENT)
		r = err_set(err, r, "%s is in no cogfs mount", path);
	if (*path == '/' || r == -ENOMEM)
		return r;
	*ret_path = strdup(path);
	return *ret_path ? 0 : -ENOMEM;
}

static int key_print(const char *key, const char *path, const char *from, const char *grammar,
		     bool as_json)
{
	if (as_json)
		return print_json("key", path,
				  json_pack("{s:s, s:s, s:s*, s:s}", "key", key, "path", path,
					    "grammar", grammar, "from", from));
	print_line(key);
	return CLI_OK;
}

static int key_of(const char *path, enum seed_grammar grammar, bool as_json)
{
	char own[CACHE_KEY_MAX + 1], key[SEED_KEY_MAX + 1];
	CLEANUP_FREE char *below = NULL;
	struct err err = {0};
	int r;

	r = path_in_mount(path, &below, &err);
	if (own_key(path, own))
		return key_print(own, below ? below : path, CACHE_KEY_XATTR, NULL, as_json);
	if (r == 0)
		r = seed_key_of(grammar, below, key, &err);
	if (r == 0)
		return key_print(key, below, "path", seed_grammar_name(grammar), as_json);
	cli_error("key: %s", err_text(&err, r));
	return CLI_FAILED;
}

int cmd_key(const struct cli_verb *verb, int argc, char **argv)
{
	struct cli_args args = {.verb = verb, .argc = argc, .argv = argv};
	enum seed_grammar grammar = SEED_003;
	struct err err = {0};
	bool as_json = false;
	int id;

	while ((id = cli_next(&args)) > 0) {
		if (id == 'j')
			as_json = true;
		if (id == 'g' && seed_grammar_parse(args.value, &grammar, &err) < 0) {
			cli_error("key: %s", err.text);
			return CLI_FAILED;
		}
	}
	if (id < 0 || !cli_count(&args, 1, 1))
		return CLI_FAILED;
	return key_of(args.rest[0], grammar, as_json);
}
