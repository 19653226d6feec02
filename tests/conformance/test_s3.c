/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The S3 store on a real versitygw (VERSITYGW says where the program is), and on the stub of
 * tests/stub, which behaves as S3 does where a gateway on a file system cannot.
 */
#include <signal.h>

#include "conformance.h"
#include "s3_server.h"

static struct tier *make(void *arg)
{
	struct s3_conf conf = s3_server_conf(arg);

	conf.prefix = "conformance/s3";
	return s3_server_tier(&conf);
}

/* A gateway's names are files and directories of the file system below it. */
static int run_gateway(void)
{
	struct s3_server server;
	const struct conformance conf = {
		.name = "s3 on versitygw",
		.make = make,
		.arg = &server,
		.quirks = QUIRK_NO_CONTROL_KEYS | QUIRK_NO_TWIN_MARKER | QUIRK_NO_LONG_PARTS,
	};
	int failed;

	if (!s3_gateway_start(&server))
		return CONFORMANCE_SKIP;
	failed = conformance_run(&conf);
	s3_server_stop(&server);
	return failed;
}

static int run_stub(void)
{
	struct s3_server server;
	const struct conformance conf = {.name = "s3 on the stub", .make = make, .arg = &server};
	int failed;

	if (!s3_stub_start(&server))
		return CONFORMANCE_SKIP;
	failed = conformance_run(&conf);
	s3_server_stop(&server);
	return failed;
}

int main(void)
{
	int stub, gateway;

	signal(SIGPIPE, SIG_IGN);
	stub = run_stub();
	gateway = run_gateway();
	if (stub == CONFORMANCE_SKIP)
		return gateway;
	return gateway == CONFORMANCE_SKIP && stub == 0 ? CONFORMANCE_SKIP : stub + gateway;
}
