/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Manifests, written as fast as they can be, with packing over them: over the store in memory with
 * a listing as blind as S3's, and over S3 on the stub and on a real versitygw.
 */
#include <signal.h>
#include <stdio.h>

#include "blind_list.h"
#include "conformance.h"
#include "packer.h"
#include "s3_server.h"
#include "tiers/stores.h"

static struct tier *stack(struct tier *t)
{
	const struct retry_conf retry = {.tries = 3, .min_ns = 1000, .max_ns = 1000000};
	const struct breaker_conf breaker = {.after = 5, .for_ns = NSEC_PER_SEC};
	const struct manifest_conf manifest = {.host = "conformance", .flush_ns = NSEC_PER_MSEC};
	const struct zstd_conf zstd = {.tmp_dirfd = -1, .always = true};

	if (t && retry_create(&retry, t, &t) == 0 && breaker_create(&breaker, t, &t) == 0 &&
	    manifest_create(&manifest, t, &t) == 0 && zstd_create(&zstd, t, &t) == 0 &&
	    packer_create(t, &t) == 0)
		return t;
	tier_close(t);
	return NULL;
}

/* Without counters: what is written behind counts as well, at any time. */
static struct tier *make_mem(void *arg)
{
	const struct tier_env env = {.clock = &clock_system};
	struct tier *t = NULL;

	return mem_create(&env, "mem", &t) == 0 && blind_list_create(t, &t) == 0 ? stack(t) : NULL;
}

static struct tier *make_s3(void *arg)
{
	struct s3_conf conf = s3_server_conf(arg);

	conf.prefix = "conformance/manifest";
	return stack(s3_server_tier(&conf));
}

static int run_mem(void)
{
	const struct conformance conf = {.name = "manifest over mem",
					 .make = make_mem,
					 .quirks = QUIRK_HINTS | QUIRK_NO_LISTED_SIZE};

	return conformance_run(&conf);
}

static int run_s3(const char *name, bool (*start)(struct s3_server *server), unsigned int quirks)
{
	struct s3_server server;
	const struct conformance conf = {.name = name,
					 .make = make_s3,
					 .arg = &server,
					 .quirks = quirks | QUIRK_HINTS | QUIRK_NO_LISTED_SIZE};
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
	return run_mem() + run_s3("manifest over s3 on the stub", s3_stub_start, 0) +
	       run_s3("manifest over s3 on versitygw", s3_gateway_start,
		      QUIRK_NO_CONTROL_KEYS | QUIRK_NO_TWIN_MARKER | QUIRK_NO_LONG_PARTS);
}
