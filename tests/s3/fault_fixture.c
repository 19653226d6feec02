/* SPDX-License-Identifier: Apache-2.0 */
/* The fixture of fault_fixture.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <signal.h>
#include <unistd.h>

#include "fault_fixture.h"

int fault_setup(void **state)
{
	struct fault_fixture *f = *state;
	const struct s3_conf conf = s3_server_conf(&f->server);

	stub_reset(&f->server);
	f->tier = s3_server_tier(&conf);
	return 0;
}

int fault_teardown(void **state)
{
	struct fault_fixture *f = *state;

	tier_close(f->tier);
	f->tier = NULL;
	return 0;
}

int fault_head(struct fault_fixture *f, struct tier_call *call, const char *key)
{
	struct record rec;
	int rc;

	*call = call_within(5000);
	record_init(&rec);
	rc = tier_head(f->tier, call, key, &rec);
	record_release(&rec);
	return rc;
}

int fault_get(struct fault_fixture *f, struct tier_call *call, const char *key)
{
	struct mem_sink sink;
	int rc;

	*call = call_within(5000);
	rc = get_text(f->tier, call, key, 0, 100, NULL, &sink);
	mem_sink_release(&sink);
	return rc;
}

int fault_put(struct fault_fixture *f, struct tier_call *call, const char *key,
	      const struct tier_pre *pre)
{
	struct tier_source src = source_of("body", 4);
	struct record rec;
	int rc;

	*call = call_within(5000);
	record_init(&rec);
	rc = tier_put(f->tier, call, key, &src, &rec, pre, NULL);
	close(src.fd);
	return rc;
}

void *cancel_soon(void *arg)
{
	usleep(100 * 1000);
	atomic_store((atomic_bool *)arg, true);
	return NULL;
}

int fault_run(struct CMUnitTest *tests, size_t n)
{
	struct fault_fixture fixture = {0};
	int failed;

	signal(SIGPIPE, SIG_IGN);
	if (!s3_stub_start(&fixture.server))
		return S3_SERVER_SKIP;
	for (size_t i = 0; i < n; i++)
		tests[i].initial_state = &fixture;
	failed = _cmocka_run_group_tests("faults", tests, n, NULL, NULL);
	s3_server_stop(&fixture.server);
	return failed;
}
