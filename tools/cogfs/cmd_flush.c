/* SPDX-License-Identifier: Apache-2.0 */
/* cogfs flush: waits until the stores have everything below a path. */
#include <errno.h>
#include <inttypes.h>

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/human.h"
#include "cli/mounts.h"
#include "model/config.h"

const struct cli_option cmd_flush_options[] = {
	{'t', true, "timeout", "DURATION",
	 "give up after that long; what is left stays journalled"},
	{'j', false, "json", NULL, "print the answer as JSON"},
	{0},
};

static void show_progress(void *arg, const json_t *progress)
{
	progress_show(arg, client_number(progress, "entries"), client_number(progress, "bytes"));
}

static void say_held(const json_t *done)
{
	uint64_t held = client_number(done, "held");

	if (held)
		cli_error("flush: %" PRIu64
			  " file%s still open for writing: to be stored when closed",
			  held, held == 1 ? "" : "s");
}

static int flush(const struct mount_place *place, int64_t timeout_ms, bool as_json)
{
	struct progress progress = {.what = "flush"};
	json_t *request = json_pack("{s:s, s:s}", "verb", "flush", "path", place->key), *done;
	struct err err = {0};
	int r;

	if (!request) {
		cli_error("flush: %s: the path is no UTF-8; flush the directory above it",
			  place->key);
		return CLI_FAILED;
	}
	if (timeout_ms >= 0)
		json_object_set_new(request, "timeout_ms", json_integer(timeout_ms));
	r = client_request(place->dir, request, show_progress, &progress, &done, &err);
	progress_end(&progress);
	json_decref(request);
	if (r < 0) {
		cli_error("flush: %s", err_text(&err, r));
		return r == -ETIMEDOUT ? CLI_DIRTY : CLI_FAILED;
	}
	if (as_json)
		client_print(done);
	say_held(done);
	r = client_number(done, "held") ? CLI_DIRTY : CLI_OK;
	json_decref(done);
	return r;
}

int cmd_flush(const struct cli_verb *verb, int argc, char **argv)
{
	struct cli_args args = {.verb = verb, .argc = argc, .argv = argv};
	struct mount_place place;
	int64_t timeout_ms = -1;
	struct err err = {0};
	bool as_json = false;
	int id, r;

	while ((id = cli_next(&args)) > 0) {
		if (id == 'j')
			as_json = true;
		if (id == 't' && conf_parse_duration_ms(args.value, &timeout_ms) < 0) {
			cli_error("flush: \"%s\" is not a duration such as 60s", args.value);
			return CLI_FAILED;
		}
	}
	if (id < 0 || !cli_count(&args, 0, 1))
		return CLI_FAILED;
	r = mount_place_find(args.rest[0], &place, &err);
	if (r < 0) {
		cli_error("flush: %s", err_text(&err, r));
		return CLI_FAILED;
	}
	r = flush(&place, timeout_ms, as_json);
	mount_place_release(&place);
	return r;
}
