/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layer that packs, with everything packed that is put: over the store in memory, over a
 * directory, and over S3 on the stub and on a real versitygw.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "conformance.h"
#include "packer.h"
#include "s3_server.h"
#include "tiers/stores.h"

static struct tier *pack(struct tier *t)
{
	const struct retry_conf retry = {.tries = 3, .min_ns = 1000, .max_ns = 1000000};
	const struct zstd_conf zstd = {.tmp_dirfd = -1, .always = true};

	if (t && retry_create(&retry, t, &t) == 0 && zstd_create(&zstd, t, &t) == 0 &&
	    packer_create(t, &t) == 0)
		return t;
	tier_close(t);
	return NULL;
}

static struct tier *make_mem(void *arg)
{
	const struct tier_env env = {.clock = &clock_system, .counters = arg};
	struct tier *t = NULL;

	return mem_create(&env, "mem", &t) == 0 ? pack(t) : NULL;
}

static int run_mem(void)
{
	struct counters counters = {0};
	const struct conformance conf = {
		.name = "zstd over mem", .make = make_mem, .arg = &counters};

	return conformance_run(&conf);
}

static struct tier *make_dir(void *arg)
{
	const struct tier_env env = {.clock = &clock_system};
	const struct dir_conf conf = {.name = "dir", .path = arg};
	struct err err = {{0}};
	struct tier *t = NULL;

	return dir_create(&env, &conf, &t, &err) == 0 ? pack(t) : NULL;
}

static int run_dir(void)
{
	char path[] = "/tmp/cogfs-zstd-XXXXXX", command[96];
	const struct conformance conf = {.name = "zstd over dir", .make = make_dir, .arg = path};
	int failed;

	if (!mkdtemp(path))
		return 1;
	failed = conformance_run(&conf);
	snprintf(command, sizeof(command), "rm -rf '%s'", path);
	return system(command) ? 1 : failed;
}

static struct tier *make_s3(void *arg)
{
	struct s3_conf conf = s3_server_conf(arg);

	conf.prefix = "conformance/zstd";
	return pack(s3_server_tier(&conf));
}

static int run_s3(const char *name, bool (*start)(struct s3_server *server), unsigned int quirks)
{
	struct s3_server server;
	const struct conformance conf = {
		.name = name, .make = make_s3, .arg = &server, .quirks = quirks};
	int failed;

	if (!start(&server))
		return 0;
	failed = conformance_run(&conf);
	s3_server_stop(&server);
	return failed;
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	return run_mem() + run_dir() +
	       run_s3("zstd over s3 on the stub", s3_stub_start, QUIRK_NO_LISTED_SIZE) +
	       run_s3("zstd over s3 on versitygw", s3_gateway_start,
		      QUIRK_NO_LISTED_SIZE | QUIRK_NO_CONTROL_KEYS | QUIRK_NO_TWIN_MARKER |
			      QUIRK_NO_LONG_PARTS);
}
