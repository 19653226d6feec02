/* SPDX-License-Identifier: Apache-2.0 */
/* What the S3 store makes of a server that fails a change: puts, copies, deletes, uploads in parts.
 */
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
	struct fault_fixture *f = *state;
	struct tier_call call;

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		stub_plan(&f->server, rules[i]);
		assert_int_equal(fault_put(f, &call, "a", &absent), -EEXIST);
		assert_false(call.transient);
		assert_int_equal(fault_put(f, &call, "a", &match), -ESTALE);
	}
	stub_plan(&f->server, "[]");
	assert_int_equal(fault_put(f, &call, "a", &match), -ESTALE);
	assert_int_equal(fault_put(f, &call, "a", &absent), 0);
	assert_int_equal(fault_put(f, &call, "a", &absent), -EEXIST);
	stub_plan(&f->server,
		  "[{\"do\":\"status\",\"status\":409,\"code\":\"ObjectParentIsFile\"}]");
	assert_int_equal(fault_put(f, &call, "a", &absent), -EINVAL);
}

/* A 200 that turns out to be an Error is one. */
static void test_error_in_200(void **state)
{
	struct fault_fixture *f = *state;
	struct tier_call call = call_within(5000);
	char etag[ETAG_MAX];

	put_text(f->tier, "a", "x", etag);
	stub_plan(&f->server,
		  "[{\"method\":\"PUT\",\"do\":\"error200\",\"code\":\"InternalError\"}]");
	assert_int_equal(tier_copy(f->tier, &call, "a", NULL, "b", NULL, NULL, etag), -EIO);
	assert_true(call.transient);
	stub_plan(&f->server, "[{\"method\":\"PUT\",\"do\":\"error200\",\"code\":\"SlowDown\"}]");
	assert_int_equal(tier_copy(f->tier, &call, "a", NULL, "b", NULL, NULL, etag), -EIO);
	assert_true(call.throttled);
}

/* A delete is done by a 204, a 200, and the store's own "no such key"; by nobody else's 404. */
static void test_delete(void **state)
{
	struct fault_fixture *f = *state;
	struct tier_call call = call_within(5000);
	char etag[ETAG_MAX];

	assert_int_equal(tier_del(f->tier, &call, "none", false, NULL), 0);
	stub_plan(&f->server, "[{\"do\":\"status\",\"status\":404,\"code\":\"NoSuchKey\"}]");
	assert_int_equal(tier_del(f->tier, &call, "none", false, NULL), 0);
	stub_plan(&f->server, "[{\"do\":\"html\"}]");
	assert_int_equal(tier_del(f->tier, &call, "none", false, NULL), -EIO);
	stub_plan(&f->server,
		  "[{\"do\":\"status\",\"status\":404,\"code\":\"XAdminUserNotFound\"}]");
	assert_int_equal(tier_del(f->tier, &call, "none", false, NULL), -EACCES);

	/* A server that knows no If-Match on DELETE, or heeds none. */
	stub_plan(&f->server, "[]");
	put_text(f->tier, "a", "x", etag);
	assert_int_equal(tier_del(f->tier, &call, "a", false, "\"other\""), -ESTALE);
	stub_plan(&f->server, "[{\"method\":\"DELETE\",\"do\":\"status\",\"status\":501,"
			      "\"code\":\"NotImplemented\",\"times\":1}]");
	assert_int_equal(tier_del(f->tier, &call, "a", false, etag), 0);
	assert_int_equal(fault_head(f, &call, "a"), -ENOENT);
}

/* Many at once, with each one's own result; without DeleteObjects one by one. */
static void test_delete_many(void **state)
{
	static const char *const keys[] = {"c", "a", "b\x01", "d<&>\n"};
	struct fault_fixture *f = *state;
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
			assert_int_equal(fault_head(f, &call, keys[i]), -ENOENT);
		}
	}
	stub_plan(&f->server,
		  "[{\"do\":\"status\",\"status\":200,\"body\":\"<DeleteResult><Deleted>"
		  "<Key>a</Key></Deleted><Error><Key>c</Key><Code>AccessDenied</Code>"
		  "</Error></DeleteResult>\"}]");
	assert_int_equal(tier_del_many(f->tier, &call, keys, 2, codes), -EACCES);
	assert_int_equal(codes[0], -EACCES);
	assert_int_equal(codes[1], 0);
	stub_plan(&f->server, "[{\"do\":\"html\",\"status\":200}]");
	assert_int_equal(tier_del_many(f->tier, &call, keys, 2, codes), -EIO);
}

/* Bytes that are not those of the checksum are not stored under it. */
static void test_body_changed(void **state)
{
	struct fault_fixture *f = *state;
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
	assert_int_equal(fault_put(f, &call, "a", NULL), -EIO);
	assert_true(call.transient);
}

/* --- uploads in parts --- */

#define LARGE (12u << 20)

static int put_large(struct fault_fixture *f, struct tier_call *call, const struct tier_pre *pre)
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
	struct fault_fixture *f = *state;
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
	struct fault_fixture *f = *state;
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
	struct fault_fixture *f = *state;
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
	struct fault_fixture *f = *state;
	struct tier_source src = source_random(LARGE, 1);
	struct tier_call call = call_within(30000);
	struct record rec;

	record_init(&rec);
	assert_int_equal(pwrite(src.fd, "B", 1, LARGE - 1), 1);
	assert_int_equal(tier_put(f->tier, &call, "large", &src, &rec, NULL, NULL), -EIO);
	assert_true(call.transient);
	assert_int_equal(stub_log_count(&f->server, "\"DELETE\""), 1);
	assert_int_equal(fault_head(f, &call, "large"), -ENOENT);
	close(src.fd);
}

/* Taken back in the middle, an upload ends soon and is aborted. */
static void test_upload_cancel(void **state)
{
	struct fault_fixture *f = *state;
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
	struct fault_fixture *f = *state;
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
		for (int i = 0;
		     i < 100 && !stub_log_count(&f->server, old ? "\"DELETE\"" : "uploads="); i++)
			usleep(20 * 1000);
		tier_close(t);
		assert_int_equal(stub_log_count(&f->server, "\"DELETE\""), old);
	}
}

/* Objects too large for one copy are copied in parts. */
static void test_large_copy(void **state)
{
	struct fault_fixture *f = *state;
	struct tier_call call = call_within(5000);
	char etag[ETAG_MAX];

	put_text(f->tier, "a", "x", etag);
	/* The refusal is believed only if the object is as large as that. */
	stub_plan(&f->server, "[{\"method\":\"PUT\",\"do\":\"status\",\"status\":400,"
			      "\"code\":\"InvalidRequest\"}]");
	assert_int_equal(tier_copy(f->tier, &call, "a", NULL, "b", NULL, NULL, etag), -EIO);
	assert_int_equal(stub_log_count(&f->server, "partNumber="), 0);
	stub_plan(
		&f->server,
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
	struct CMUnitTest tests[] = {
		FAULT_TEST(test_conditions),
		FAULT_TEST(test_error_in_200),
		FAULT_TEST(test_delete),
		FAULT_TEST(test_delete_many),
		FAULT_TEST(test_body_changed),
		FAULT_TEST(test_part_again),
		FAULT_TEST(test_part_refused),
		FAULT_TEST(test_upload_condition),
		FAULT_TEST(test_large_body_changed),
		FAULT_TEST(test_upload_cancel),
		FAULT_TEST(test_sweep),
		FAULT_TEST(test_large_copy),
	};

	return fault_run(tests, sizeof(tests) / sizeof(tests[0]));
}
