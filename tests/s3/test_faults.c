/* SPDX-License-Identifier: Apache-2.0 */
/* What the S3 store makes of a server that fails a read: errno, transient, throttled, text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fault_fixture.h"

/* Each answer has its errno, and says whether trying again may help. */
static void test_statuses(void **state)
{
	static const struct {
		const char *rule;
		int code;
		bool transient, throttled;
	} cases[] = {
		{"500,\"code\":\"InternalError\"", -EIO, true, false},
		{"503,\"code\":\"SlowDown\"", -EIO, true, true},
		{"503", -EIO, true, true},
		{"502,\"body\":\"<html>bad gateway</html>\"", -EIO, true, false},
		{"429", -EIO, true, true},
		{"403,\"code\":\"AccessDenied\"", -EACCES, false, false},
		{"403,\"code\":\"SignatureDoesNotMatch\"", -EACCES, false, false},
		{"403,\"code\":\"InvalidObjectState\"", -EREMOTE, false, false},
		{"403,\"body\":\"<html>no</html>\"", -EACCES, false, false},
		{"401", -EACCES, false, false},
		{"404,\"code\":\"NoSuchKey\"", -ENOENT, false, false},
		{"404,\"code\":\"NoSuchBucket\"", -EIO, false, false},
		{"404,\"code\":\"XAdminUserNotFound\"", -EACCES, false, false},
		{"404,\"body\":\"<html>gone</html>\"", -EIO, true, false},
		{"404", -EIO, true, false},
		{"412,\"code\":\"PreconditionFailed\"", -ESTALE, false, false},
		{"400,\"code\":\"ExpiredToken\"", -EACCES, false, false},
		{"400,\"code\":\"KeyTooLongError\"", -ENAMETOOLONG, false, false},
		{"400,\"code\":\"Whatever\"", -EIO, false, false},
		{"501,\"code\":\"NotImplemented\"", -EOPNOTSUPP, false, false},
		{"204", -EIO, false, false},
	};
	struct fault_fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tier_call call;
		char plan[256];
		int rc;

		snprintf(plan, sizeof(plan), "[{\"do\":\"status\",\"status\":%s}]", cases[i].rule);
		stub_plan(&f->server, plan);
		rc = fault_get(f, &call, "a");
		if (rc != cases[i].code || call.transient != cases[i].transient ||
		    call.throttled != cases[i].throttled)
			fail_msg("%s: %d, transient %d, throttled %d: %s", cases[i].rule, rc,
				 call.transient, call.throttled, call.err.text);
		assert_true(call.err.text[0]);
	}
}

/* The store's own wish how long to wait is passed on. */
static void test_retry_after(void **state)
{
	struct fault_fixture *f = *state;
	struct tier_call call;

	stub_plan(&f->server, "[{\"do\":\"status\",\"status\":503,\"code\":\"SlowDown\","
			      "\"headers\":{\"Retry-After\":\"7\"}}]");
	assert_int_equal(fault_get(f, &call, "a"), -EIO);
	assert_int_equal(call.retry_after_ns, 7 * NSEC_PER_SEC);
}

/* The text has what a person needs to ask the store's owner, and what to do about it. */
static void test_text(void **state)
{
	struct fault_fixture *f = *state;
	struct tier_call call;

	stub_plan(&f->server,
		  "[{\"do\":\"status\",\"status\":403,\"code\":\"RequestTimeTooSkewed\","
		  "\"message\":\"The difference is too large.\"}]");
	assert_int_equal(fault_get(f, &call, "a/b"), -EACCES);
	assert_non_null(
		strstr(call.err.text, "cold: get a/b: GetObject: 403 RequestTimeTooSkewed"));
	assert_non_null(strstr(call.err.text, "set this machine's clock"));
	assert_non_null(strstr(call.err.text, "(request id STUB"));
}

/* HEAD's refusals have no body: the reason is asked for, and a 404 alone is never believed. */
static void test_head_refusals(void **state)
{
	struct fault_fixture *f = *state;
	struct tier_call call;
	char etag[ETAG_MAX];

	stub_plan(&f->server,
		  "[{\"do\":\"status\",\"status\":404,\"code\":\"XAdminUserNotFound\"}]");
	assert_int_equal(fault_head(f, &call, "a"), -EACCES);
	stub_plan(&f->server, "[{\"do\":\"html\"}]");
	assert_int_equal(fault_head(f, &call, "a"), -EIO);
	stub_plan(&f->server,
		  "[{\"do\":\"status\",\"status\":403,\"code\":\"InvalidAccessKeyId\"}]");
	assert_int_equal(fault_head(f, &call, "a"), -EACCES);
	assert_non_null(strstr(call.err.text, "InvalidAccessKeyId"));
	stub_plan(&f->server, "[{\"do\":\"status\",\"status\":503}]");
	assert_int_equal(fault_head(f, &call, "a"), -EIO);
	assert_int_equal(stub_log_count(&f->server, "\"GET\""), 0);

	/* Right after an answer that proved the credentials, it is. */
	stub_plan(&f->server, "[]");
	put_text(f->tier, "there", "x", etag);
	assert_int_equal(fault_head(f, &call, "a"), -ENOENT);
	assert_int_equal(fault_head(f, &call, "there"), 0);
	assert_int_equal(stub_log_count(&f->server, "\"GET\""), 0);
}

/* A 404 whose reason had to be asked for is absent for sure if the store says so. */
static void test_head_unproven(void **state)
{
	struct fault_fixture *f = *state;
	struct tier_call call;

	assert_int_equal(fault_head(f, &call, "a"), -ENOENT);
	assert_int_equal(stub_log_count(&f->server, "\"HEAD\""), 1);
	assert_int_equal(stub_log_count(&f->server, "\"GET\""), 1);
}

/* Nothing at all by the deadline: -ETIMEDOUT, and not much later. */
static void test_silence(void **state)
{
	struct fault_fixture *f = *state;
	struct tier_call call = call_within(300);
	int64_t begin = clock_mono(&clock_system);
	struct mem_sink sink;

	stub_plan(&f->server, "[{\"do\":\"silent\",\"seconds\":3}]");
	assert_int_equal(get_text(f->tier, &call, "a", 0, 10, NULL, &sink), -ETIMEDOUT);
	assert_true(call.transient);
	assert_true(clock_mono(&clock_system) - begin < 600 * NSEC_PER_MSEC);
}

/* A call that is taken back ends soon, whatever the server does. */
static void test_cancel(void **state)
{
	struct fault_fixture *f = *state;
	atomic_bool cancel = false;
	struct tier_call call = call_within(5000);
	int64_t begin = clock_mono(&clock_system);
	struct mem_sink sink;
	pthread_t thread;

	stub_plan(&f->server, "[{\"do\":\"silent\",\"seconds\":3}]");
	call.cancel = &cancel;
	pthread_create(&thread, NULL, cancel_soon, &cancel);
	assert_int_equal(get_text(f->tier, &call, "a", 0, 10, NULL, &sink), -ECANCELED);
	pthread_join(thread, NULL);
	assert_true(clock_mono(&clock_system) - begin < 500 * NSEC_PER_MSEC);
}

/* Half a body: what came is handed on, and the rest is a transient failure. */
static void test_half_body(void **state)
{
	struct fault_fixture *f = *state;
	struct tier_call call = call_within(5000);
	struct mem_sink sink;
	char etag[ETAG_MAX];

	put_text(f->tier, "a", "0123456789", etag);
	stub_plan(&f->server, "[{\"method\":\"GET\",\"do\":\"half\"}]");
	assert_int_equal(get_text(f->tier, &call, "a", 2, 6, etag, &sink), -EIO);
	assert_true(call.transient);
	assert_int_equal(sink.off, 2);
	assert_int_equal(sink.len, 3);
	assert_memory_equal(sink.data, "234", 3);
	mem_sink_release(&sink);
}

/* Bytes that are no HTTP, and a connection that closes, are failures that may pass. */
static void test_garbage_and_close(void **state)
{
	struct fault_fixture *f = *state;
	struct tier_call call;

	stub_plan(&f->server, "[{\"do\":\"garbage\"}]");
	assert_int_equal(fault_get(f, &call, "a"), -EIO);
	assert_true(call.transient);
	stub_plan(&f->server, "[{\"do\":\"close\"}]");
	assert_int_equal(fault_get(f, &call, "a"), -EIO);
	assert_true(call.transient);
}

/* A reused connection that was closed meanwhile costs nothing; a fresh one that fails is a failure.
 */
static void test_stale_connection(void **state)
{
	struct fault_fixture *f = *state;
	struct tier_call call;
	char etag[ETAG_MAX];

	put_text(f->tier, "a", "x", etag);
	stub_plan(&f->server, "[{\"do\":\"close\",\"times\":1}]");
	assert_int_equal(fault_get(f, &call, "a"), 0);
	assert_int_equal(stub_log_count(&f->server, "\"GET\""), 2);

	stub_plan(&f->server, "[{\"do\":\"close\",\"times\":2}]");
	assert_int_equal(fault_get(f, &call, "a"), -EIO);
	assert_int_equal(stub_log_count(&f->server, "\"GET\""), 2);
}

/* Nobody listens: an error at once. */
static void test_refused_connection(void **state)
{
	struct fault_fixture *f = *state;
	struct s3_conf conf = s3_server_conf(&f->server);
	struct tier_call call = call_within(5000);
	struct tier *t;

	conf.endpoint = "http://127.0.0.1:1";
	t = s3_server_tier(&conf);
	assert_int_equal(tier_probe(t, &call), -EIO);
	assert_true(call.transient);
	tier_close(t);
}

/* Made with the openssl command, as libcrypto would take a page of C. False: there is none. */
static bool make_pem(char path[64])
{
	char command[256];
	int fd;

	snprintf(path, 64, "/tmp/cogfs-pem.XXXXXX");
	fd = mkstemp(path);
	if (fd < 0)
		return false;
	close(fd);
	snprintf(command, sizeof(command),
		 "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
		 "-subj /CN=stub -addext subjectAltName=IP:127.0.0.1 -keyout - -out - "
		 ">%s 2>/dev/null",
		 path);
	return system(command) == 0;
}

/* A certificate that nobody vouches for is refused, and not asked for again; ca_file vouches. */
static void test_tls(void **state)
{
	struct tier_call call = call_within(5000);
	struct s3_server server;
	struct s3_conf conf;
	struct tier *t;
	char pem[64];

	if (!make_pem(pem)) {
		unlink(pem);
		skip();
	}
	assert_true(s3_stub_start_tls(&server, pem));
	conf = s3_server_conf(&server);
	t = s3_server_tier(&conf);
	assert_int_equal(tier_probe(t, &call), -EIO);
	assert_false(call.transient);
	assert_non_null(strstr(call.err.text, "certificate"));
	tier_close(t);
	conf.ca_file = pem;
	t = s3_server_tier(&conf);
	assert_int_equal(tier_probe(t, &call), 0);
	tier_close(t);
	unlink(pem);
	s3_server_stop(&server);
}

/* Headers without end are not collected. */
static void test_large_headers(void **state)
{
	struct fault_fixture *f = *state;
	struct tier_call call;
	const size_t size = 80 << 10;
	char *plan = malloc(size + 128);
	int len;

	len = snprintf(plan, 128, "[{\"do\":\"status\",\"status\":200,\"headers\":{\"x\":\"");
	memset(plan + len, 'a', size);
	snprintf(plan + len + size, 128 - (size_t)len, "\"}}]");
	stub_plan(&f->server, plan);
	assert_int_equal(fault_get(f, &call, "a"), -EIO);
	free(plan);
}

/* Redirects are not followed; where they tell the region, the text does. */
static void test_redirects(void **state)
{
	struct fault_fixture *f = *state;
	struct tier_call call;

	stub_plan(&f->server, "[{\"do\":\"redirect\"}]");
	assert_int_equal(fault_get(f, &call, "a"), -EIO);
	assert_int_equal(stub_log_count(&f->server, "\"GET\""), 1);
	stub_plan(&f->server, "[{\"do\":\"status\",\"status\":301,\"code\":\"PermanentRedirect\","
			      "\"headers\":{\"x-amz-bucket-region\":\"eu-west-1\"}}]");
	call = call_within(5000);
	assert_int_equal(tier_probe(f->tier, &call), -EACCES);
	assert_non_null(strstr(call.err.text, "set `region: eu-west-1`"));
}

/* A probe tells a missing bucket from everything else, with the way out. */
static void test_probe(void **state)
{
	struct fault_fixture *f = *state;
	struct s3_conf conf = s3_server_conf(&f->server);
	struct tier_call call = call_within(5000);
	struct tier *t;

	assert_int_equal(tier_probe(f->tier, &call), 0);
	conf.bucket = "nowhere";
	t = s3_server_tier(&conf);
	assert_int_equal(tier_probe(t, &call), -ENOENT);
	assert_non_null(strstr(call.err.text, "check `bucket` and `endpoint`"));
	tier_close(t);
	conf = s3_server_conf(&f->server);
	conf.access_key = "wrong";
	t = s3_server_tier(&conf);
	assert_int_equal(tier_probe(t, &call), -EACCES);
	tier_close(t);
	stub_plan(&f->server, "[{\"do\":\"html\",\"status\":200}]");
	assert_int_equal(tier_probe(f->tier, &call), -EIO);
	stub_plan(&f->server, "[{\"do\":\"html\",\"status\":404}]");
	assert_int_equal(tier_probe(f->tier, &call), -EIO);
}

/* What the server says about our token or secret does not reach the text. */
static void test_no_secrets(void **state)
{
	struct fault_fixture *f = *state;
	struct s3_conf conf = s3_server_conf(&f->server);
	struct tier_call call = call_within(5000);
	struct tier *t;

	conf.session_token = "tok3n";
	t = s3_server_tier(&conf);
	stub_plan(&f->server, "[{\"do\":\"status\",\"status\":403,\"code\":\"AccessDenied\","
			      "\"message\":\"you sent tok3n\",\"times\":1},"
			      "{\"do\":\"status\",\"status\":403,\"code\":\"AccessDenied\","
			      "\"message\":\"signed with " S3_TEST_SECRET_KEY "\"}]");
	assert_int_equal(tier_probe(t, &call), -EACCES);
	assert_null(strstr(call.err.text, "tok3n"));
	assert_int_equal(tier_probe(t, &call), -EACCES);
	assert_null(strstr(call.err.text, S3_TEST_SECRET_KEY));
	tier_close(t);
}

/* A server that does not know ranges still gives the right bytes; one that gives others is refused.
 */
static void test_ranges(void **state)
{
	struct fault_fixture *f = *state;
	struct tier_call call = call_within(5000);
	struct mem_sink sink;
	char etag[ETAG_MAX];

	put_text(f->tier, "a", "0123456789", etag);
	stub_plan(&f->server, "[{\"do\":\"status\",\"status\":200,\"body\":\"0123456789\","
			      "\"headers\":{\"ETag\":\"e\"}}]");
	assert_int_equal(get_text(f->tier, &call, "a", 3, 4, NULL, &sink), 0);
	assert_int_equal(sink.len, 4);
	assert_memory_equal(sink.data, "3456", 4);
	mem_sink_release(&sink);
	assert_int_equal(get_text(f->tier, &call, "a", 8, 100, NULL, &sink), 0);
	assert_int_equal(sink.len, 2);
	mem_sink_release(&sink);
	assert_int_equal(get_text(f->tier, &call, "a", 10, 1, NULL, &sink), 0);
	assert_true(sink.begun);
	assert_int_equal(sink.len, 0);
	mem_sink_release(&sink);
	assert_int_equal(get_text(f->tier, &call, "a", 3, 4, "\"other\"", &sink), -ESTALE);

	stub_plan(&f->server, "[{\"do\":\"status\",\"status\":206,\"body\":\"0123\",\"headers\":"
			      "{\"ETag\":\"e\",\"Content-Range\":\"bytes 0-3/10\"}}]");
	assert_int_equal(get_text(f->tier, &call, "a", 3, 4, NULL, &sink), -EIO);
	assert_false(sink.begun);
	stub_plan(&f->server, "[{\"do\":\"status\",\"status\":206,\"body\":\"0123\",\"headers\":"
			      "{\"ETag\":\"e\"}}]");
	assert_int_equal(get_text(f->tier, &call, "a", 0, 4, NULL, &sink), -EIO);
}

/* Nothing to read is no error: empty objects, the end, no bytes. */
static void test_nothing_to_read(void **state)
{
	struct fault_fixture *f = *state;
	struct tier_call call = call_within(5000);
	struct mem_sink sink;
	char etag[ETAG_MAX];
	static const uint64_t cases[][2] = {{0, 10}, {0, UINT64_MAX}, {5, 10}, {0, 0}};

	put_text(f->tier, "empty", "", etag);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(
			get_text(f->tier, &call, "empty", cases[i][0], cases[i][1], NULL, &sink),
			0);
		assert_true(sink.begun);
		assert_int_equal(sink.len, 0);
		assert_string_equal(sink.etag, etag);
	}
	assert_int_equal(get_text(f->tier, &call, "none", 0, 0, NULL, &sink), -ENOENT);
}

/* A sink's own verdict comes back as it is. */
static int refuse_begin(struct tier_sink *sink, const struct record *rec)
{
	return -ENOSPC;
}

static void test_sink_refuses(void **state)
{
	struct fault_fixture *f = *state;
	struct tier_call call = call_within(5000);
	struct mem_sink sink;
	char etag[ETAG_MAX];

	put_text(f->tier, "a", "0123456789", etag);
	mem_sink_init(&sink);
	sink.sink.begin = refuse_begin;
	assert_int_equal(tier_get(f->tier, &call, "a", 0, 5, NULL, &sink.sink), -ENOSPC);
	assert_int_equal(tier_get(f->tier, &call, "a", 50, 5, NULL, &sink.sink), -ENOSPC);
}

static int count_entry(void *arg, const struct tier_entry *entry)
{
	++*(int *)arg;
	return 0;
}

/* Nothing but a whole listing is one. */
static void test_list(void **state)
{
	static const char *const plans[] = {
		"[{\"do\":\"html\",\"status\":200}]",
		"[{\"do\":\"html\",\"status\":404}]",
		"[{\"do\":\"half\"}]",
		"[{\"do\":\"error200\"}]",
		"[{\"do\":\"status\",\"status\":200}]",
	};
	struct fault_fixture *f = *state;
	const struct tier_list_req req = {.prefix = ""};
	struct tier_call call = call_within(5000);
	char *token = NULL, etag[ETAG_MAX];
	int seen = 0;

	put_text(f->tier, "a", "x", etag);
	for (size_t i = 0; i < sizeof(plans) / sizeof(plans[0]); i++) {
		stub_plan(&f->server, plans[i]);
		assert_int_equal(tier_list(f->tier, &call, &req, count_entry, &seen, &token), -EIO);
		assert_true(call.transient);
	}
	assert_int_equal(seen, 0);
	stub_plan(&f->server, "[]");
	assert_int_equal(tier_list(f->tier, &call, &req, count_entry, &seen, &token), 0);
	assert_int_equal(seen, 1);
	assert_null(token);
}

int main(void)
{
	struct CMUnitTest tests[] = {
		FAULT_TEST(test_statuses),
		FAULT_TEST(test_retry_after),
		FAULT_TEST(test_text),
		FAULT_TEST(test_head_refusals),
		FAULT_TEST(test_head_unproven),
		FAULT_TEST(test_silence),
		FAULT_TEST(test_cancel),
		FAULT_TEST(test_half_body),
		FAULT_TEST(test_garbage_and_close),
		FAULT_TEST(test_stale_connection),
		FAULT_TEST(test_refused_connection),
		FAULT_TEST(test_tls),
		FAULT_TEST(test_large_headers),
		FAULT_TEST(test_redirects),
		FAULT_TEST(test_probe),
		FAULT_TEST(test_no_secrets),
		FAULT_TEST(test_ranges),
		FAULT_TEST(test_nothing_to_read),
		FAULT_TEST(test_sink_refuses),
		FAULT_TEST(test_list),
	};

	return fault_run(tests, sizeof(tests) / sizeof(tests[0]));
}
