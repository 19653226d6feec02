/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP transport by itself, with the stub as its server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "s3_io.h"
#include "s3_server.h"
#include "tiers/http/transport.h"

struct fixture {
	struct s3_server server;
	struct transport *transport;
	char url[128];
};

static int setup(void **state)
{
	const struct transport_conf conf = {.clock = &clock_system, .proxy = "none"};
	struct fixture *f = *state;

	stub_reset(&f->server);
	snprintf(f->url, sizeof(f->url), "%s/" S3_TEST_BUCKET "/a", f->server.endpoint);
	return transport_new(&conf, &f->transport, NULL);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	transport_free(f->transport);
	return 0;
}

/* A connection on which nothing moves is given up long before the deadline. */
static void test_stall(void **state)
{
	struct fixture *f = *state;
	const struct http_request request = {
		.method = "GET",
		.url = f->url,
		.deadline = clock_mono(&clock_system) + 5 * NSEC_PER_SEC,
		.stall_ns = 200 * NSEC_PER_MSEC,
	};
	CLEANUP_RESPONSE struct http_response response = {0};
	int64_t begin = clock_mono(&clock_system);

	stub_plan(&f->server, "[{\"do\":\"silent\",\"seconds\":2}]");
	assert_int_equal(transport_perform(f->transport, &request, &response, NULL), -ETIMEDOUT);
	assert_true(response.transient);
	assert_true(clock_mono(&clock_system) - begin < 1900 * NSEC_PER_MSEC);
}

/* An answer that is collected has a limit; an error's is cut off there. */
static void test_body_limits(void **state)
{
	struct fixture *f = *state;
	struct http_request request = {.method = "GET", .url = f->url, .body_max = 100};
	CLEANUP_RESPONSE struct http_response response = {0};
	CLEANUP_BUF struct buf plan = {0};

	buf_adds(&plan, "[{\"do\":\"status\",\"times\":1,\"status\":200,\"body\":\"");
	for (int i = 0; i < HTTP_ERROR_BODY_MAX; i++)
		buf_adds(&plan, "xy");
	buf_adds(&plan, "\"},{\"do\":\"status\",\"status\":500,\"body\":\"");
	for (int i = 0; i < HTTP_ERROR_BODY_MAX; i++)
		buf_adds(&plan, "xy");
	buf_adds(&plan, "\"}]");
	stub_plan(&f->server, buf_str(&plan));
	assert_int_equal(transport_perform(f->transport, &request, &response, NULL), -EIO);
	assert_int_equal(transport_perform(f->transport, &request, &response, NULL), 0);
	assert_int_equal(response.status, 500);
	assert_int_equal(response.body.len, HTTP_ERROR_BODY_MAX);
}

static int refuse(void *arg, const void *data, size_t len)
{
	return -ENOSPC;
}

/* What a callback returns is what the call returns, and the next call works. */
static void test_callback_ends(void **state)
{
	struct fixture *f = *state;
	struct http_request put = {
		.method = "PUT", .url = f->url, .body = HTTP_BODY_MEM, .mem = "hello", .len = 5};
	struct http_request get = {.method = "GET", .url = f->url, .on_body = refuse};
	CLEANUP_RESPONSE struct http_response response = {0};
	const char *const headers[] = {"Authorization: Credential=" S3_TEST_ACCESS_KEY "/", NULL};

	put.headers = get.headers = headers;
	assert_int_equal(transport_perform(f->transport, &put, &response, NULL), 0);
	assert_int_equal(response.status, 200);
	assert_int_equal(transport_perform(f->transport, &get, &response, NULL), -ENOSPC);
	get.on_body = NULL;
	get.body_max = 100;
	assert_int_equal(transport_perform(f->transport, &get, &response, NULL), 0);
	assert_string_equal(response.body.data, "hello");
}

/* A body is the range of the file that was named; a file that has become shorter is noticed. */
static void test_body_from_file(void **state)
{
	struct fixture *f = *state;
	struct tier_source src = source_of("0123456789", 10);
	const char *const headers[] = {"Authorization: Credential=" S3_TEST_ACCESS_KEY "/", NULL};
	struct http_request put = {.method = "PUT",
				   .url = f->url,
				   .headers = headers,
				   .body = HTTP_BODY_FD,
				   .fd = src.fd,
				   .off = 3,
				   .len = 4};
	struct http_request get = {
		.method = "GET", .url = f->url, .headers = headers, .body_max = 100};
	CLEANUP_RESPONSE struct http_response response = {0};

	assert_int_equal(transport_perform(f->transport, &put, &response, NULL), 0);
	assert_int_equal(transport_perform(f->transport, &get, &response, NULL), 0);
	assert_string_equal(response.body.data, "3456");
	put.len = 8;
	assert_int_equal(transport_perform(f->transport, &put, &response, NULL), -EIO);
	assert_true(response.transient);
	close(src.fd);
}

/* Dot segments go out as they are: a DELETE of "..", made shorter, would name the bucket. */
static void test_path_as_is(void **state)
{
	struct fixture *f = *state;
	char url[160];
	const struct http_request request = {.method = "GET", .url = url};
	CLEANUP_RESPONSE struct http_response response = {0};

	snprintf(url, sizeof(url), "%s/b/./x/../..", f->server.endpoint);
	stub_plan(&f->server, "[]");
	assert_int_equal(transport_perform(f->transport, &request, &response, NULL), 0);
	assert_int_equal(stub_log_count(&f->server, "\"/b/./x/../..\""), 1);
}

/* Small bodies are not announced, large ones are; all have a length. */
static void test_expect(void **state)
{
	const size_t large = 2 << 20;
	struct fixture *f = *state;
	char *data = calloc(1, large);
	struct http_request put = {
		.method = "PUT", .url = f->url, .body = HTTP_BODY_MEM, .mem = data, .len = 1000};
	CLEANUP_RESPONSE struct http_response response = {0};

	stub_plan(&f->server, "[]");
	assert_int_equal(transport_perform(f->transport, &put, &response, NULL), 0);
	assert_int_equal(stub_log_count(&f->server, "\"expect\""), 0);
	put.len = large;
	assert_int_equal(transport_perform(f->transport, &put, &response, NULL), 0);
	assert_int_equal(stub_log_count(&f->server, "\"expect\": \"100-continue\""), 1);
	put.len = 0;
	assert_int_equal(transport_perform(f->transport, &put, &response, NULL), 0);
	assert_int_equal(stub_log_count(&f->server, "\"content-length\": \"0\""), 1);
	assert_int_equal(stub_log_count(&f->server, "transfer-encoding"), 0);
	free(data);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	struct fixture fixture = {0};
	struct CMUnitTest tests[] = {
		TEST(test_stall),	   TEST(test_body_limits), TEST(test_callback_ends),
		TEST(test_body_from_file), TEST(test_path_as_is),  TEST(test_expect),
	};
	int failed;

	signal(SIGPIPE, SIG_IGN);
	if (!s3_stub_start(&fixture.server))
		return S3_SERVER_SKIP;
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tests[i].initial_state = &fixture;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	s3_server_stop(&fixture.server);
	return failed;
}
