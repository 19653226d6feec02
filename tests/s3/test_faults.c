/* SPDX-License-Identifier: Apache-2.0 */
/* What the S3 store makes of a server that fails: errno, transient, throttled, text, and no more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "s3_io.h"
#include "s3_server.h"

struct fixture {
	struct s3_server server;
	struct tier *tier;
};

static int setup(void **state)
{
	struct fixture *f = *state;
	const struct s3_conf conf = s3_server_conf(&f->server);

	stub_reset(&f->server);
	f->tier = s3_server_tier(&conf);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	tier_close(f->tier);
	f->tier = NULL;
	return 0;
}

static int head(struct fixture *f, struct tier_call *call, const char *key)
{
	struct record rec;
	int rc;

	*call = call_within(5000);
	record_init(&rec);
	rc = tier_head(f->tier, call, key, &rec);
	record_release(&rec);
	return rc;
}

static int get(struct fixture *f, struct tier_call *call, const char *key)
{
	struct mem_sink sink;
	int rc;

	*call = call_within(5000);
	rc = get_text(f->tier, call, key, 0, 100, NULL, &sink);
	mem_sink_release(&sink);
	return rc;
}

static int put(struct fixture *f, struct tier_call *call, const char *key, const struct tier_pre *pre)
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
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tier_call call;
		char plan[256];
		int rc;

		snprintf(plan, sizeof(plan), "[{\"do\":\"status\",\"status\":%s}]", cases[i].rule);
		stub_plan(&f->server, plan);
		rc = get(f, &call, "a");
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
	struct fixture *f = *state;
	struct tier_call call;

	stub_plan(&f->server, "[{\"do\":\"status\",\"status\":503,\"code\":\"SlowDown\","
			      "\"headers\":{\"Retry-After\":\"7\"}}]");
	assert_int_equal(get(f, &call, "a"), -EIO);
	assert_int_equal(call.retry_after_ns, 7 * NSEC_PER_SEC);
}

/* The text has what a person needs to ask the store's owner, and what to do about it. */
static void test_text(void **state)
{
	struct fixture *f = *state;
	struct tier_call call;

	stub_plan(&f->server, "[{\"do\":\"status\",\"status\":403,\"code\":\"RequestTimeTooSkewed\","
			      "\"message\":\"The difference is too large.\"}]");
	assert_int_equal(get(f, &call, "a/b"), -EACCES);
	assert_non_null(strstr(call.err.text, "cold: get a/b: GetObject: 403 RequestTimeTooSkewed"));
	assert_non_null(strstr(call.err.text, "set this machine's clock"));
	assert_non_null(strstr(call.err.text, "(request id STUB"));
}

/* HEAD's refusals have no body: the reason is asked for, and a 404 alone is never believed. */
static void test_head_refusals(void **state)
{
	struct fixture *f = *state;
	struct tier_call call;
	char etag[ETAG_MAX];

	stub_plan(&f->server, "[{\"do\":\"status\",\"status\":404,\"code\":\"XAdminUserNotFound\"}]");
	assert_int_equal(head(f, &call, "a"), -EACCES);
	stub_plan(&f->server, "[{\"do\":\"html\"}]");
	assert_int_equal(head(f, &call, "a"), -EIO);
	stub_plan(&f->server, "[{\"do\":\"status\",\"status\":403,\"code\":\"InvalidAccessKeyId\"}]");
	assert_int_equal(head(f, &call, "a"), -EACCES);
	assert_non_null(strstr(call.err.text, "InvalidAccessKeyId"));
	stub_plan(&f->server, "[{\"do\":\"status\",\"status\":503}]");
	assert_int_equal(head(f, &call, "a"), -EIO);
	assert_int_equal(stub_log_count(&f->server, "\"GET\""), 0);

	/* Right after an answer that proved the credentials, it is. */
	stub_plan(&f->server, "[]");
	put_text(f->tier, "there", "x", etag);
	assert_int_equal(head(f, &call, "a"), -ENOENT);
	assert_int_equal(head(f, &call, "there"), 0);
	assert_int_equal(stub_log_count(&f->server, "\"GET\""), 0);
}

/* A 404 whose reason had to be asked for is absent for sure if the store says so. */
static void test_head_unproven(void **state)
{
	struct fixture *f = *state;
	struct tier_call call;

	assert_int_equal(head(f, &call, "a"), -ENOENT);
	assert_int_equal(stub_log_count(&f->server, "\"HEAD\""), 1);
	assert_int_equal(stub_log_count(&f->server, "\"GET\""), 1);
}

/* Nothing at all by the deadline: -ETIMEDOUT, and not much later. */
static void test_silence(void **state)
{
	struct fixture *f = *state;
	struct tier_call call = call_within(300);
	int64_t begin = clock_mono(&clock_system);
	struct mem_sink sink;

	stub_plan(&f->server, "[{\"do\":\"silent\",\"seconds\":3}]");
	assert_int_equal(get_text(f->tier, &call, "a", 0, 10, NULL, &sink), -ETIMEDOUT);
	assert_true(call.transient);
	assert_true(clock_mono(&clock_system) - begin < 600 * NSEC_PER_MSEC);
}

static void *cancel_soon(void *arg)
{
	usleep(100 * 1000);
	atomic_store((atomic_bool *)arg, true);
	return NULL;
}

/* A call that is taken back ends soon, whatever the server does. */
static void test_cancel(void **state)
{
	struct fixture *f = *state;
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
	struct fixture *f = *state;
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
	struct fixture *f = *state;
	struct tier_call call;

	stub_plan(&f->server, "[{\"do\":\"garbage\"}]");
	assert_int_equal(get(f, &call, "a"), -EIO);
	assert_true(call.transient);
	stub_plan(&f->server, "[{\"do\":\"close\"}]");
	assert_int_equal(get(f, &call, "a"), -EIO);
	assert_true(call.transient);
}

/* A reused connection that was closed meanwhile costs nothing; a fresh one that fails is a failure. */
static void test_stale_connection(void **state)
{
	struct fixture *f = *state;
	struct tier_call call;
	char etag[ETAG_MAX];

	put_text(f->tier, "a", "x", etag);
	stub_plan(&f->server, "[{\"do\":\"close\",\"times\":1}]");
	assert_int_equal(get(f, &call, "a"), 0);
	assert_int_equal(stub_log_count(&f->server, "\"GET\""), 2);

	stub_plan(&f->server, "[{\"do\":\"close\",\"times\":2}]");
	assert_int_equal(get(f, &call, "a"), -EIO);
	assert_int_equal(stub_log_count(&f->server, "\"GET\""), 2);
}

/* Nobody listens: an error at once. */
static void test_refused_connection(void **state)
{
	struct fixture *f = *state;
	struct s3_conf conf = s3_server_conf(&f->server);
	struct tier_call call = call_within(5000);
	struct tier *t;

	conf.endpoint = "http://127.0.0.1:1";
	t = s3_server_tier(&conf);
	assert_int_equal(tier_probe(t, &call), -EIO);
	assert_true(call.transient);
	tier_close(t);
}

/* Redirects are not followed; where they tell the region, the text does. */
static void test_redirects(void **state)
{
	struct fixture *f = *state;
	struct tier_call call;

	stub_plan(&f->server, "[{\"do\":\"redirect\"}]");
	assert_int_equal(get(f, &call, "a"), -EIO);
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
	struct fixture *f = *state;
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

/* Both words for a lost race mean the same. */
static void test_conditions(void **state)
{
	const struct tier_pre absent = {.cond = TIER_IF_ABSENT};
	const struct tier_pre match = {.cond = TIER_IF_MATCH, .etag = "\"x\""};
	static const char *const rules[] = {
		"[{\"do\":\"status\",\"status\":409,\"code\":\"ConditionalRequestConflict\"}]",
		"[{\"do\":\"status\",\"status\":412,\"code\":\"PreconditionFailed\"}]",
		"[{\"do\":\"status\",\"status\":412}]",
	};
	struct fixture *f = *state;
	struct tier_call call;

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		stub_plan(&f->server, rules[i]);
		assert_int_equal(put(f, &call, "a", &absent), -EEXIST);
		assert_false(call.transient);
		assert_int_equal(put(f, &call, "a", &match), -ESTALE);
	}
	stub_plan(&f->server, "[]");
	assert_int_equal(put(f, &call, "a", &match), -ESTALE);
	assert_int_equal(put(f, &call, "a", &absent), 0);
	assert_int_equal(put(f, &call, "a", &absent), -EEXIST);
	stub_plan(&f->server, "[{\"do\":\"status\",\"status\":409,\"code\":\"ObjectParentIsFile\"}]");
	assert_int_equal(put(f, &call, "a", &absent), -EINVAL);
}

/* What the server says about our token or secret does not reach the text. */
static void test_no_secrets(void **state)
{
	struct fixture *f = *state;
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

/* A server that does not know ranges still gives the right bytes; one that gives others is refused. */
static void test_ranges(void **state)
{
	struct fixture *f = *state;
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
	struct fixture *f = *state;
	struct tier_call call = call_within(5000);
	struct mem_sink sink;
	char etag[ETAG_MAX];
	static const uint64_t cases[][2] = {{0, 10}, {0, UINT64_MAX}, {5, 10}, {0, 0}};

	put_text(f->tier, "empty", "", etag);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(get_text(f->tier, &call, "empty", cases[i][0], cases[i][1], NULL,
					  &sink),
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
	struct fixture *f = *state;
	struct tier_call call = call_within(5000);
	struct mem_sink sink;
	char etag[ETAG_MAX];

	put_text(f->tier, "a", "0123456789", etag);
	mem_sink_init(&sink);
	sink.sink.begin = refuse_begin;
	assert_int_equal(tier_get(f->tier, &call, "a", 0, 5, NULL, &sink.sink), -ENOSPC);
	assert_int_equal(tier_get(f->tier, &call, "a", 50, 5, NULL, &sink.sink), -ENOSPC);
}

/* A 200 that turns out to be an Error is one. */
static void test_error_in_200(void **state)
{
	struct fixture *f = *state;
	struct tier_call call = call_within(5000);
	char etag[ETAG_MAX];

	put_text(f->tier, "a", "x", etag);
	stub_plan(&f->server, "[{\"method\":\"PUT\",\"do\":\"error200\",\"code\":\"InternalError\"}]");
	assert_int_equal(tier_copy(f->tier, &call, "a", NULL, "b", NULL, NULL, etag), -EIO);
	assert_true(call.transient);
	stub_plan(&f->server, "[{\"method\":\"PUT\",\"do\":\"error200\",\"code\":\"SlowDown\"}]");
	assert_int_equal(tier_copy(f->tier, &call, "a", NULL, "b", NULL, NULL, etag), -EIO);
	assert_true(call.throttled);
}

/* A delete is done by a 204, a 200, and the store's own "no such key"; by nobody else's 404. */
static void test_delete(void **state)
{
	struct fixture *f = *state;
	struct tier_call call = call_within(5000);
	char etag[ETAG_MAX];

	assert_int_equal(tier_del(f->tier, &call, "none", false, NULL), 0);
	stub_plan(&f->server, "[{\"do\":\"status\",\"status\":404,\"code\":\"NoSuchKey\"}]");
	assert_int_equal(tier_del(f->tier, &call, "none", false, NULL), 0);
	stub_plan(&f->server, "[{\"do\":\"html\"}]");
	assert_int_equal(tier_del(f->tier, &call, "none", false, NULL), -EIO);
	stub_plan(&f->server, "[{\"do\":\"status\",\"status\":404,\"code\":\"XAdminUserNotFound\"}]");
	assert_int_equal(tier_del(f->tier, &call, "none", false, NULL), -EACCES);

	/* A server that knows no If-Match on DELETE, or heeds none. */
	stub_plan(&f->server, "[]");
	put_text(f->tier, "a", "x", etag);
	assert_int_equal(tier_del(f->tier, &call, "a", false, "\"other\""), -ESTALE);
	stub_plan(&f->server, "[{\"method\":\"DELETE\",\"do\":\"status\",\"status\":501,"
			      "\"code\":\"NotImplemented\",\"times\":1}]");
	assert_int_equal(tier_del(f->tier, &call, "a", false, etag), 0);
	assert_int_equal(head(f, &call, "a"), -ENOENT);
}

/* Many at once, with each one's own result; without DeleteObjects one by one. */
static void test_delete_many(void **state)
{
	static const char *const keys[] = {"c", "a", "b\x01", "d<&>\n"};
	struct fixture *f = *state;
	struct tier_call call = call_within(5000);
	char etag[ETAG_MAX];
	int codes[4];

	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 4; i++)
			put_text(f->tier, keys[i], "x", etag);
		stub_plan(&f->server, round ? "[{\"method\":\"POST\",\"do\":\"status\",\"status\":"
					      "501,\"code\":\"NotImplemented\"}]"
					    : "[]");
		assert_int_equal(tier_del_many(f->tier, &call, keys, 4, codes), 0);
		/* Control characters cannot be named in XML. */
		assert_int_equal(stub_log_count(&f->server, "\"DELETE\""), round ? 4 : 1);
		for (int i = 0; i < 4; i++) {
			assert_int_equal(codes[i], 0);
			assert_int_equal(head(f, &call, keys[i]), -ENOENT);
		}
	}
	stub_plan(&f->server, "[{\"do\":\"status\",\"status\":200,\"body\":\"<DeleteResult><Deleted>"
			      "<Key>a</Key></Deleted><Error><Key>c</Key><Code>AccessDenied</Code>"
			      "</Error></DeleteResult>\"}]");
	assert_int_equal(tier_del_many(f->tier, &call, keys, 2, codes), -EACCES);
	assert_int_equal(codes[0], -EACCES);
	assert_int_equal(codes[1], 0);
	stub_plan(&f->server, "[{\"do\":\"html\",\"status\":200}]");
	assert_int_equal(tier_del_many(f->tier, &call, keys, 2, codes), -EIO);
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
	struct fixture *f = *state;
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

/* Bytes that are not those of the checksum are not stored under it. */
static void test_body_changed(void **state)
{
	struct fixture *f = *state;
	struct tier_source src = source_of("body", 4);
	struct tier_call call = call_within(5000);
	struct record rec;

	record_init(&rec);
	assert_int_equal(pwrite(src.fd, "B", 1, 0), 1);
	assert_int_equal(tier_put(f->tier, &call, "a", &src, &rec, NULL, NULL), -EIO);
	assert_true(call.transient);
	assert_int_equal(ftruncate(src.fd, 2), 0);
	assert_int_equal(tier_put(f->tier, &call, "a", &src, &rec, NULL, NULL), -EIO);
	assert_int_equal(stub_log_count(&f->server, "\"PUT\""), 0);
	close(src.fd);

	/* One that changes between the checksum and the sending is refused by the server. */
	stub_plan(&f->server,
		  "[{\"do\":\"status\",\"status\":400,\"code\":\"XAmzContentSHA256Mismatch\"}]");
	assert_int_equal(put(f, &call, "a", NULL), -EIO);
	assert_true(call.transient);
}

/* --- uploads in parts --- */

#define LARGE (12u << 20)

static int put_large(struct fixture *f, struct tier_call *call, const struct tier_pre *pre)
{
	struct tier_source src = source_random(LARGE, 1);
	struct record rec;
	int rc;

	*call = call_within(30000);
	record_init(&rec);
	rc = tier_put(f->tier, call, "large", &src, &rec, pre, NULL);
	close(src.fd);
	return rc;
}

/* A part that fails once is sent again, alone. */
static void test_part_again(void **state)
{
	struct fixture *f = *state;
	struct tier_call call;
	struct mem_sink sink;
	char *wanted = malloc(LARGE);

	stub_plan(&f->server, "[{\"query\":\"partNumber=2.*\",\"do\":\"status\",\"status\":500,"
			      "\"code\":\"InternalError\",\"times\":1},"
			      "{\"method\":\"POST\",\"query\":\"uploadId=.*\",\"do\":\"error200\","
			      "\"times\":1}]");
	assert_int_equal(put_large(f, &call, NULL), 0);
	assert_int_equal(stub_log_count(&f->server, "partNumber="), 4);
	call = call_within(10000);
	assert_int_equal(get_text(f->tier, &call, "large", 0, UINT64_MAX, NULL, &sink), 0);
	random_bytes(wanted, LARGE, 1);
	assert_int_equal(sink.len, LARGE);
	assert_memory_equal(sink.data, wanted, LARGE);
	mem_sink_release(&sink);
	free(wanted);
}

/* An upload that fails is aborted, and its failure is the part's. */
static void test_part_refused(void **state)
{
	struct fixture *f = *state;
	struct tier_call call;

	stub_plan(&f->server, "[{\"query\":\"partNumber=2.*\",\"do\":\"status\",\"status\":403,"
			      "\"code\":\"AccessDenied\"}]");
	assert_int_equal(put_large(f, &call, NULL), -EACCES);
	assert_non_null(strstr(call.err.text, "UploadPart: 403 AccessDenied"));
	assert_int_equal(stub_log_count(&f->server, "\"DELETE\""), 1);
}

/* A race that is lost at the end is lost without a trace. */
static void test_upload_condition(void **state)
{
	const struct tier_pre absent = {.cond = TIER_IF_ABSENT};
	struct fixture *f = *state;
	struct tier_call call;

	stub_plan(&f->server, "[{\"method\":\"POST\",\"query\":\"uploadId=.*\",\"do\":\"status\","
			      "\"status\":412,\"code\":\"PreconditionFailed\"}]");
	assert_int_equal(put_large(f, &call, &absent), -EEXIST);
	assert_int_equal(stub_log_count(&f->server, "\"DELETE\""), 1);
	stub_plan(&f->server, "[]");
	assert_int_equal(put_large(f, &call, &absent), 0);
	/* Known before the first byte is sent. */
	stub_plan(&f->server, "[]");
	assert_int_equal(put_large(f, &call, &absent), -EEXIST);
	assert_int_equal(stub_log_count(&f->server, "partNumber="), 0);
}

/* A body that is not its checksum's is uploaded, and never completed. */
static void test_large_body_changed(void **state)
{
	struct fixture *f = *state;
	struct tier_source src = source_random(LARGE, 1);
	struct tier_call call = call_within(30000);
	struct record rec;

	record_init(&rec);
	assert_int_equal(pwrite(src.fd, "B", 1, LARGE - 1), 1);
	assert_int_equal(tier_put(f->tier, &call, "large", &src, &rec, NULL, NULL), -EIO);
	assert_true(call.transient);
	assert_int_equal(stub_log_count(&f->server, "\"DELETE\""), 1);
	assert_int_equal(head(f, &call, "large"), -ENOENT);
	close(src.fd);
}

/* Taken back in the middle, an upload ends soon and is aborted. */
static void test_upload_cancel(void **state)
{
	struct fixture *f = *state;
	struct tier_source src = source_random(LARGE, 1);
	struct tier_call call = call_within(30000);
	atomic_bool cancel = false;
	struct record rec;
	pthread_t thread;

	record_init(&rec);
	call.cancel = &cancel;
	stub_plan(&f->server, "[{\"query\":\"partNumber=.*\",\"do\":\"silent\",\"seconds\":3}]");
	pthread_create(&thread, NULL, cancel_soon, &cancel);
	assert_int_equal(tier_put(f->tier, &call, "large", &src, &rec, NULL, NULL), -ECANCELED);
	pthread_join(thread, NULL);
	assert_int_equal(stub_log_count(&f->server, "\"DELETE\""), 1);
	close(src.fd);
}

/* Uploads that a killed process left are aborted a day later, and no sooner. */
static void test_sweep(void **state)
{
	struct fixture *f = *state;
	const struct s3_conf conf = s3_server_conf(&f->server);
	struct tier_call call;
	struct tier *t;

	/* Its abort fails, so the upload stays. */
	stub_plan(&f->server, "[{\"query\":\"partNumber=.*\",\"do\":\"status\",\"status\":403},"
			      "{\"method\":\"DELETE\",\"do\":\"status\",\"status\":403}]");
	assert_int_equal(put_large(f, &call, NULL), -EACCES);
	for (int old = 0; old < 2; old++) {
		stub_plan(&f->server, "[]");
		if (old)
			stub_age_uploads(&f->server, 25 * 3600);
		t = s3_server_tier(&conf);
		call = call_within(5000);
		assert_int_equal(tier_probe(t, &call), 0);
		/* The sweep is behind; it is waited for, and then nothing more comes. */
		for (int i = 0; i < 100 && !stub_log_count(&f->server, old ? "\"DELETE\"" : "uploads="); i++)
			usleep(20 * 1000);
		tier_close(t);
		assert_int_equal(stub_log_count(&f->server, "\"DELETE\""), old);
	}
}

/* Objects too large for one copy are copied in parts. */
static void test_large_copy(void **state)
{
	struct fixture *f = *state;
	struct tier_call call = call_within(5000);
	char etag[ETAG_MAX];

	put_text(f->tier, "a", "x", etag);
	/* The refusal is believed only if the object is as large as that. */
	stub_plan(&f->server, "[{\"method\":\"PUT\",\"do\":\"status\",\"status\":400,"
			      "\"code\":\"InvalidRequest\"}]");
	assert_int_equal(tier_copy(f->tier, &call, "a", NULL, "b", NULL, NULL, etag), -EIO);
	assert_int_equal(stub_log_count(&f->server, "partNumber="), 0);
	stub_plan(&f->server,
		  "[{\"method\":\"PUT\",\"query\":\"\",\"do\":\"status\",\"status\":400,"
		  "\"code\":\"InvalidRequest\"},"
		  "{\"method\":\"HEAD\",\"do\":\"status\",\"status\":200,\"headers\":"
		  "{\"ETag\":\"e\",\"Content-Length\":\"6442450944\",\"x-amz-meta-mode\":\"33188\"}},"
		  "{\"query\":\"partNumber=.*\",\"do\":\"status\",\"status\":200,"
		  "\"body\":\"<CopyPartResult><ETag>p</ETag></CopyPartResult>\"},"
		  "{\"method\":\"POST\",\"query\":\"uploadId=.*\",\"do\":\"status\",\"status\":200,"
		  "\"body\":\"<CompleteMultipartUploadResult><ETag>whole</ETag>"
		  "</CompleteMultipartUploadResult>\"}]");
	assert_int_equal(tier_copy(f->tier, &call, "a", NULL, "b", NULL, NULL, etag), 0);
	assert_string_equal(etag, "\"whole\"");
	assert_int_equal(stub_log_count(&f->server, "partNumber="), 12);
	assert_int_equal(stub_log_count(&f->server, "bytes=5905580032-6442450943"), 1);
	assert_true(stub_log_count(&f->server, "\"x-amz-meta-mode\": \"33188\"") >= 1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	struct fixture fixture = {0};
	struct CMUnitTest tests[] = {
		TEST(test_statuses),
		TEST(test_retry_after),
		TEST(test_text),
		TEST(test_head_refusals),
		TEST(test_head_unproven),
		TEST(test_silence),
		TEST(test_cancel),
		TEST(test_half_body),
		TEST(test_garbage_and_close),
		TEST(test_stale_connection),
		TEST(test_refused_connection),
		TEST(test_redirects),
		TEST(test_probe),
		TEST(test_conditions),
		TEST(test_no_secrets),
		TEST(test_ranges),
		TEST(test_nothing_to_read),
		TEST(test_sink_refuses),
		TEST(test_error_in_200),
		TEST(test_delete),
		TEST(test_delete_many),
		TEST(test_list),
		TEST(test_body_changed),
		TEST(test_part_again),
		TEST(test_part_refused),
		TEST(test_upload_condition),
		TEST(test_large_body_changed),
		TEST(test_upload_cancel),
		TEST(test_sweep),
		TEST(test_large_copy),
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
