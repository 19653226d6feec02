/* SPDX-License-Identifier: Apache-2.0 */
/* cogfs import: adopts a directory into a mount, or into a cache that is not mounted. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "cache/import.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/human.h"
#include "cli/mounts.h"
#include "model/config.h"
#include "observe/report.h"
#include "util/cleanup.h"

const struct cli_option cmd_import_options[] = {
	{'i', true, "into", "PATH", "the directory that takes them, from the root of the mount"},
	{'m', true, "mount", "DIR", "the mount, where there are several"},
	{'c', true, "config", "FILE",
	 "not into a mount, but into this configuration's cache, which "
	 "nobody may use"},
	{'C', false, "copy", NULL, "share no bytes with DIR's files: copy them"},
	{'n', true, "dry-run", NULL, "only say what would be done"},
	{'j', false, "json", NULL, "print what is left out, and the end, as lines of JSON"},
	{0},
};

struct import_cmd {
	const char *into, *mount, *config_file;
	bool copy, dry_run, as_json;
	struct progress progress;
};

/* --- output --- */

static void print_finding(struct import_cmd *cmd, const json_t *finding)
{
	progress_end(&cmd->progress);
	if (cmd->as_json) {
		client_print(finding);
		return;
	}
	human_text(json_string_value(json_object_get(finding, "path")));
	fputs(": ", stdout);
	human_text(json_string_value(json_object_get(finding, "what")));
	putchar('\n');
}

static void show_progress(void *arg, const json_t *line)
{
	const json_t *finding = json_object_get(line, "finding");
	uint64_t files = client_number(line, "files"), expected = client_number(line, "expected");
	struct import_cmd *cmd = arg;

	if (finding)
		print_finding(cmd, finding);
	else
		progress_show(&cmd->progress, expected > files ? expected - files : 0, 0);
}

static int print_end(struct import_cmd *cmd, const json_t *t)
{
	uint64_t left = client_number(t, "differs") + client_number(t, "skipped") +
			client_number(t, "failed");
	char size[32];

	progress_end(&cmd->progress);
	if (cmd->as_json) {
		client_print(t);
	} else {
		printf("%" PRIu64 " files, %s: %" PRIu64 "%s imported (%" PRIu64
		       " without a copy), %" PRIu64 " were there, %" PRIu64 " left out\n",
		       client_number(t, "files"),
		       human_size(client_number(t, "bytes"), size, sizeof(size)),
		       client_number(t, "imported"), cmd->dry_run ? " would be" : "",
		       client_number(t, "shared"), client_number(t, "there"), left);
	}
	return left ? CLI_FAILED : CLI_OK;
}

static int failed(struct import_cmd *cmd, const struct err *err, int r)
{
	progress_end(&cmd->progress);
	cli_error("import: %s", err_text(err, r));
	return CLI_FAILED;
}

/* --- into a mount --- */

static int import_mounted(struct import_cmd *cmd, const char *source)
{
	struct mount_place place;
	struct err err = {{0}};
	json_t *request, *done;
	int r = mount_place_find(cmd->mount, &place, &err);

	if (r)
		return failed(cmd, &err, r);
	request = json_pack("{s:s, s:s, s:s, s:b, s:b}", "verb", "import", "source", source, "path",
			    cmd->into ? cmd->into : place.key, "copy", cmd->copy, "dry_run",
			    cmd->dry_run);
	r = request ? client_request(place.dir, request, show_progress, cmd, &done, &err)
		    : err_set(&err, -EINVAL, "%s: the path is no UTF-8", source);
	json_decref(request);
	mount_place_release(&place);
	if (r)
		return failed(cmd, &err, r);
	r = print_end(cmd, done);
	json_decref(done);
	return r;
}

/* --- into a cache directory --- */

static void found(void *arg, const char *path, enum import_outcome outcome, const char *why)
{
	json_t *json = report_import_finding(path, outcome, why);

	if (json)
		print_finding(arg, json);
	json_decref(json);
}

static void count_down(void *arg, const struct import_totals *done)
{
	struct import_cmd *cmd = arg;

	if (done->files % 64 == 0)
		progress_show(&cmd->progress, done->expected - done->files, 0);
}

static int print_totals(struct import_cmd *cmd, const struct import_totals *t)
{
	json_t *json = report_import_totals(t);
	int r = print_end(cmd, json);

	json_decref(json);
	return r;
}

/* What is imported waits in the journal for the next mount. */
static int import_with(struct import_cmd *cmd, const struct config *config, const char *source)
{
	const struct cache_conf conf = {
		.config = config, .lock_fd = -1, .ram_fd = -1, .mountpoint = "(cogfs import)"};
	struct import im = {.source = source,
			    .into = cmd->into ? cmd->into : "",
			    .share = !cmd->copy,
			    .dry_run = cmd->dry_run,
			    .found = found,
			    .progress = count_down,
			    .arg = cmd};
	struct cache *cache;
	struct err err = {{0}};
	int r = cache_new(&conf, &cache, &err);

	if (r)
		return failed(cmd, &err, r);
	r = cache_start(cache, &err);
	if (!r)
		r = cache_import(cache, &im, &err);
	(void)cache_free(cache, 0, NULL, NULL);
	return r ? failed(cmd, &err, r) : print_totals(cmd, &im.totals);
}

static int import_unmounted(struct import_cmd *cmd, const char *source)
{
	const struct conf_load_args args = {.file = cmd->config_file};
	struct config *config;
	struct err err = {{0}};
	int r = config_load(&args, &config, &err);

	if (r)
		return failed(cmd, &err, r);
	r = import_with(cmd, config, source);
	config_free(config);
	return r;
}

int cmd_import(const struct cli_verb *verb, int argc, char **argv)
{
	struct cli_args args = {.verb = verb, .argc = argc, .argv = argv};
	struct import_cmd cmd = {.progress = {.what = "import"}};
	CLEANUP_FREE char *source = NULL;
	int id;

	while ((id = cli_next(&args)) > 0) {
		cmd.copy |= id == 'C';
		cmd.dry_run |= id == 'n';
		cmd.as_json |= id == 'j';
		if (id == 'i')
			cmd.into = args.value;
		if (id == 'm')
			cmd.mount = args.value;
		if (id == 'c')
			cmd.config_file = args.value;
	}
	if (id < 0 || !cli_count(&args, 1, 1))
		return CLI_FAILED;
	source = realpath(args.rest[0], NULL);
	if (!source) {
		cli_error("import: %s: %s", args.rest[0], strerror(errno));
		return CLI_FAILED;
	}
	return cmd.config_file ? import_unmounted(&cmd, source) : import_mounted(&cmd, source);
}
