/* SPDX-License-Identifier: Apache-2.0 */
/* cogfs config check, show and init. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/options.h"
#include "model/config.h"
#include "util/cleanup.h"

const struct cli_option cmd_config_options[] = {
	{'o', true, "options", "OPTION,...", "as for mount: what these options would change"},
	{'s', true, "source", "SOURCE", "as for mount: s3://BUCKET/PREFIX, dir:/PATH or /PATH"},
	{'O', false, "origin", NULL, "show: say behind each value where it comes from"},
	{0},
};

struct config_job {
	const char *action, *file, *source;
	struct mount_options options;
	bool origin;
};

static int load(const struct config_job *job, struct config **ret_config)
{
	const struct conf_load_args args = {
		.file = job->file ? job->file : job->options.config_file,
		.source = job->source,
		.overrides = job->options.overrides,
		.n_overrides = job->options.n_overrides,
	};
	struct err err = {0};
	int r = config_load(&args, ret_config, &err);

	if (r < 0) {
		cli_error("config: %s", err_text(&err, r));
		return r;
	}
	for (char **w = (*ret_config)->warnings; w && *w; w++)
		cli_error("warning: %s", *w);
	return 0;
}

static int check(const struct config_job *job)
{
	struct config *config;

	if (load(job, &config) < 0)
		return CLI_FAILED;
	printf("%s: good\n", config->source ? config->source : "no file, the defaults");
	config_free(config);
	return CLI_OK;
}

static int show(const struct config_job *job)
{
	struct config *config;
	int r;

	if (load(job, &config) < 0)
		return CLI_FAILED;
	r = config_print(config, stdout, job->origin);
	config_free(config);
	return r < 0 ? CLI_FAILED : CLI_OK;
}

static int init(const struct config_job *job)
{
	CLEANUP_FCLOSE FILE *out = NULL;
	int fd;

	if (!job->file)
		return config_print_template(stdout) < 0 ? CLI_FAILED : CLI_OK;
	/* It may come to hold secrets: not for everybody. */
	fd = open(job->file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	if (fd >= 0)
		out = fdopen(fd, "w");
	if (!out) {
		cli_error("config init: %s: %s", job->file, strerror(errno));
		if (fd >= 0)
			close(fd);
		return CLI_FAILED;
	}
	if (config_print_template(out) < 0 || fflush(out) != 0) {
		cli_error("config init: %s: %s", job->file, strerror(errno));
		unlink(job->file);
		return CLI_FAILED;
	}
	return CLI_OK;
}

static const struct {
	const char *name;
	int (*run)(const struct config_job *job);
} actions[] = {{"check", check}, {"show", show}, {"init", init}};

static int run(const struct config_job *job)
{
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		if (strcmp(actions[i].name, job->action) == 0)
			return actions[i].run(job);
	cli_error("config: %s is none of check, show, init", job->action);
	return CLI_FAILED;
}

int cmd_config(const struct cli_verb *verb, int argc, char **argv)
{
	struct cli_args args = {.verb = verb, .argc = argc, .argv = argv};
	struct config_job job = {0};
	struct err err = {0};
	int id, r = 0, status = CLI_FAILED;

	while (r == 0 && (id = cli_next(&args)) > 0) {
		if (id == 'o')
			r = mount_options_parse(&job.options, args.value, &err);
		else if (id == 's')
			job.source = args.value;
		else
			job.origin = true;
	}
	if (r < 0)
		cli_error("config: %s", err_text(&err, r));
	if (r == 0 && id == 0 && cli_count(&args, 1, 2)) {
		job.action = args.rest[0];
		job.file = args.rest[1];
		status = run(&job);
	}
	mount_options_release(&job.options);
	return status;
}
