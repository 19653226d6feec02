/* SPDX-License-Identifier: Apache-2.0 */
/* cogfs mount, and mount.cogfs as mount(8) calls it. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/daemon.h"
#include "cli/mountpoint.h"
#include "cli/options.h"
#include "fuse/mount.h"
#include "model/config.h"
#include "util/cleanup.h"
#include "util/log.h"

const struct cli_option cmd_mount_options[] = {
	{'f', true, "foreground", NULL, "serve in the foreground and log to stderr"},
	{'o', true, "options", "OPTION,...", "mount options, see below; may be given again"},
	{'c', true, "config", "FILE", "read this configuration instead of /etc/cogfs/cogfs.yaml"},
	{'s', false, "strict", NULL,
	 "fail where the store does not answer, instead of mounting degraded"},
	{'O', false, "over", NULL, "mount over a directory that is not empty"},
	{'d', true, "debug", NULL, "-f with every call in the log"},
	{0},
};

/* What mount(8) gives a helper: mount.cogfs SOURCE DIR [-sfnv] [-N NS] [-t TYPE] [-o OPTIONS]. */
static const struct cli_option helper_options[] = {
	{'o', true, NULL, "OPTION,...", "mount options"},
	{'s', true, NULL, NULL, "ignore options that are not known"},
	{'f', true, NULL, NULL, "do everything but the mount"},
	{'n', true, NULL, NULL, "leave /etc/mtab alone, which is done anyway"},
	{'v', true, NULL, NULL, "nothing more to say"},
	{'N', true, NULL, "NAMESPACE", "mount(8) has entered it"},
	{'t', true, NULL, "TYPE", "fuse.cogfs or cogfs"},
	{'r', true, NULL, NULL, "-o ro"},
	{'w', true, NULL, NULL, "-o rw"},
	{0},
};

static const struct cli_verb helper_verb = {
	.name = "mount.cogfs",
	.args = "SOURCE DIR [-o OPTION,...]",
	.text = "what mount(8) calls",
	.options = helper_options,
};

/* What is to be mounted, from either command line. */
struct mount_job {
	const char *source; /* as given; NULL: none */
	const char *dir;
	struct mount_options options;
	bool foreground, fake;
};

static int complain(const struct mount_job *job, const struct err *err, int r, int status)
{
	cli_error("mount %s: %s", job->dir, err_text(err, r));
	return status;
}

/* The words that stand for "as configured". */
static const char *configured_source(const struct mount_job *job)
{
	if (!job->source || strcmp(job->source, "cogfs") == 0 || strcmp(job->source, "none") == 0)
		return NULL;
	return job->source;
}

/* fsname= for the mount table, and all that is for the kernel. Commas in a source are escaped. */
static int fuse_options(const struct mount_job *job, const char *source, char **ret,
			struct err *err)
{
	CLEANUP_FREE char *escaped = calloc(2, strlen(source) + 1);
	const char *more = job->options.fuse_opts;
	char *to = escaped;

	for (const char *s = source; escaped && *s; s++) {
		if (*s == ',' || *s == '\\')
			*to++ = '\\';
		*to++ = *s;
	}
	if (!escaped ||
	    asprintf(ret, "fsname=%s%s%s", escaped, more ? "," : "", more ? more : "") < 0)
		return err_set(err, -ENOMEM, "no memory");
	return 0;
}

static int serve(const struct mount_args *args, struct err *err)
{
	signal(SIGPIPE, SIG_IGN);
	if (!args->foreground)
		return daemon_mount(args, err);
	log_setup(LOG_TARGET_STDERR, args->config->log.level, args->config->log.format);
	return cogfs_mount_run(args, -1, err);
}

static int mount_configured(struct mount_job *job, struct conf_load_args *load,
			    struct config *config)
{
	CLEANUP_FREE char *dir = NULL, *fuse_opts = NULL;
	struct mount_args args = {
		.source = job->options.fsname ? job->options.fsname
			  : job->source	      ? job->source
					      : "cogfs",
		.foreground = job->foreground,
		.strict = job->options.strict,
		.over = job->options.over,
		.config = config,
		.reload = load,
	};
	struct err err = {0};
	int r;

	for (char **w = config->warnings; w && *w; w++)
		cli_error("warning: %s", *w);
	r = mountpoint_prepare(job->dir, job->options.over, config, &dir, &err);
	if (r == 0)
		r = fuse_options(job, args.source, &fuse_opts, &err);
	if (r < 0)
		return complain(job, &err, r, r == -ENOMEM ? MOUNT_SYSTEM : MOUNT_FAILED);
	if (job->fake)
		return MOUNT_OK;
	args.mountpoint = dir;
	args.fuse_opts = fuse_opts;
	/* The daemon leaves this directory: a reload must not depend on it. */
	load->file = config->source;
	r = serve(&args, &err);
	if (r == 0 && !args.foreground && err.text[0])
		cli_error("warning: the store is unreachable: %s; %s is mounted degraded", err.text,
			  job->dir);
	if (r == 0 && geteuid() != 0 && !args.foreground)
		cli_error("mounted without root: reads pass through the daemon, and one that dies "
			  "ends the mount");
	return r < 0 ? complain(job, &err, r, MOUNT_FAILED) : MOUNT_OK;
}

static int do_mount(struct mount_job *job)
{
	struct conf_load_args load = {
		.file = job->options.config_file,
		.source = configured_source(job),
		.overrides = job->options.overrides,
		.n_overrides = job->options.n_overrides,
	};
	struct config *config;
	struct err err = {0};
	int r = config_load(&load, &config, &err);

	if (r < 0)
		return complain(job, &err, r, r == -ENOMEM ? MOUNT_SYSTEM : MOUNT_USAGE);
	r = mount_configured(job, &load, config);
	config_free(config);
	return r;
}

static int take_options(struct mount_job *job, const char *verb, const char *text)
{
	struct err err = {0};
	int r = mount_options_parse(&job->options, text, &err);

	if (r == 0)
		return 0;
	cli_error("%s: %s", verb, err_text(&err, r));
	return r;
}

static int take_config_file(struct mount_job *job, const char *file)
{
	free(job->options.config_file);
	job->options.config_file = strdup(file);
	return job->options.config_file ? 0 : -ENOMEM;
}

static int parse_mount(struct mount_job *job, struct cli_args *args)
{
	int id, r = 0;

	while (r == 0 && (id = cli_next(args)) > 0) {
		if (id == 'o')
			r = take_options(job, args->verb->name, args->value);
		else if (id == 'c')
			r = take_config_file(job, args->value);
		else if (id == 's')
			job->options.strict = true;
		else if (id == 'O')
			job->options.over = true;
		else
			job->foreground = true;
		if (id == 'd')
			r = take_options(job, args->verb->name, "debug");
	}
	if (r < 0 || id < 0 || !cli_count(args, 1, 2))
		return -EINVAL;
	job->source = args->n_rest == 2 ? args->rest[0] : NULL;
	job->dir = args->rest[args->n_rest - 1];
	return 0;
}

int cmd_mount(const struct cli_verb *verb, int argc, char **argv)
{
	struct cli_args args = {.verb = verb, .argc = argc, .argv = argv};
	struct mount_job job = {0};
	int status = parse_mount(&job, &args) < 0 ? MOUNT_USAGE : do_mount(&job);

	mount_options_release(&job.options);
	return status;
}

static int parse_helper(struct mount_job *job, struct cli_args *args)
{
	int id, r = 0;

	while (r == 0 && (id = cli_next(args)) > 0) {
		if (id == 'o')
			r = take_options(job, "mount.cogfs", args->value);
		else if (id == 's')
			job->options.sloppy = true;
		else if (id == 'f')
			job->fake = true;
		else if (id == 'r' || id == 'w')
			r = take_options(job, "mount.cogfs", id == 'r' ? "ro" : "rw");
	}
	if (r < 0 || id < 0)
		return -EINVAL;
	if (args->n_rest != 2) {
		cli_error("usage: mount.cogfs %s", helper_verb.args);
		return -EINVAL;
	}
	job->source = args->rest[0];
	job->dir = args->rest[1];
	return 0;
}

int cmd_mount_helper(int argc, char **argv)
{
	struct cli_args args = {.verb = &helper_verb, .argc = argc, .argv = argv};
	struct mount_job job = {0};
	int status = parse_helper(&job, &args) < 0 ? MOUNT_USAGE : do_mount(&job);

	mount_options_release(&job.options);
	return status;
}
