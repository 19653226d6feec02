/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The S3 store against a real server (versitygw): that it takes what we sign and send, for what the
 * conformance suite does not ask of every tier.
 */
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
#include <sys/stat.h>
#include <unistd.h>

#include "s3_io.h"
#include "s3_server.h"

struct fixture {
	struct s3_server server;
	struct tier *tier;
	unsigned int prefixes; /* each test has one of its own */
};

static int setup(void **state)
{
	struct fixture *f = *state;
	struct s3_conf conf = s3_server_conf(&f->server);
	char prefix[16];

	snprintf(prefix, sizeof(prefix), "p/%u", f->prefixes++);
	conf.prefix = prefix;
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

static struct record record_full(void)
{
	struct record rec;

	record_init(&rec);
	rec.known = REC_MODE | REC_OWNER | REC_MTIME | REC_CREATED | REC_EXPIRES | REC_USER;
	rec.mode = S_IFREG | 0640;
	rec.uid = 1001;
	rec.gid = 1002;
	rec.mtime_ns = 1445412480123456789LL;
	rec.created_ns = 1445412481000000000LL;
	rec.expires_at = 1700000000;
	rec.ttl = 60;
	rec.format = strdup("jpg");
	assert_int_equal(record_user_set(&rec, "note", "caf\xc3\xa9 %", 7, 0), 0);
	assert_int_equal(record_user_set(&rec, "empty", "", 0, 0), 0);
	assert_int_equal(record_user_set(&rec, "Odd.Name", "\0\1", 2, 0), 0);
	return rec;
}

static void check_full(const struct record *rec)
{
	const struct record_xattr *x;

	assert_int_equal(rec->mode, S_IFREG | 0640);
	assert_int_equal(rec->uid, 1001);
	assert_int_equal(rec->gid, 1002);
	assert_int_equal(rec->mtime_ns, 1445412480123456789LL);
	assert_int_equal(rec->created_ns, 1445412481000000000LL);
	assert_int_equal(rec->expires_at, 1700000000);
	assert_int_equal(rec->ttl, 60);
	assert_string_equal(rec->format, "jpg");
	x = record_user_get(rec, "note");
	assert_non_null(x);
	assert_memory_equal(x->value, "caf\xc3\xa9 %", 7);
	x = record_user_get(rec, "empty");
	assert_non_null(x);
	assert_int_equal(x->value_len, 0);
	x = record_user_get(rec, "Odd.Name");
	assert_non_null(x);
	assert_memory_equal(x->value, "\0\1", 2);
}

/* The whole record travels with a put, and comes back from a head. */
static void test_record(void **state)
{
	struct fixture *f = *state;
	struct tier_source src = source_of("hello", 5);
	struct tier_call call = call_within(5000);
	struct record rec = record_full(), back;
	char etag[ETAG_MAX];

	record_init(&back);
	assert_int_equal(tier_put(f->tier, &call, "a", &src, &rec, NULL, etag), 0);
	assert_int_equal(tier_head(f->tier, &call, "a", &back), 0);
	check_full(&back);
	assert_int_equal(back.size, 5);
	assert_string_equal(back.etag, etag);
	record_release(&rec);
	record_release(&back);
	close(src.fd);
}

/* Without an mtime of ours, the store's time is the object's. */
static void test_foreign_mtime(void **state)
{
	struct fixture *f = *state;
	struct tier_call call = call_within(5000);
	char etag[ETAG_MAX];
	struct record rec;
	int64_t now = clock_wall(&clock_system);

	record_init(&rec);
	put_text(f->tier, "a", "x", etag);
	assert_int_equal(tier_head(f->tier, &call, "a", &rec), 0);
	assert_true(rec.known & REC_MTIME);
	assert_true(llabs(rec.mtime_ns - now) < 60 * NSEC_PER_SEC);
	assert_false(rec.known & REC_MODE);
	record_release(&rec);
}

/* Metadata is replaced in place; copies keep or replace it; both heed the source's version. */
static void test_copy_and_meta(void **state)
{
	struct fixture *f = *state;
	struct tier_call call = call_within(5000);
	struct record rec = record_full(), back;
	char etag[ETAG_MAX], copied[ETAG_MAX];

	record_init(&back);
	put_text(f->tier, "a b+c", "hello", etag);
	assert_int_equal(tier_set_meta(f->tier, &call, "a b+c", "\"other\"", &rec, etag), -ESTALE);
	assert_int_equal(tier_set_meta(f->tier, &call, "a b+c", etag, &rec, etag), 0);
	assert_int_equal(tier_head(f->tier, &call, "a b+c", &back), 0);
	check_full(&back);
	assert_string_equal(back.etag, etag);
	record_release(&back);

	assert_int_equal(tier_copy(f->tier, &call, "a b+c", etag, "d/\xc3\xa9", NULL, NULL, copied),
			 0);
	assert_int_equal(tier_head(f->tier, &call, "d/\xc3\xa9", &back), 0);
	check_full(&back);
	assert_int_equal(back.size, 5);
	assert_string_equal(back.etag, copied);
	record_release(&back);
	assert_int_equal(tier_copy(f->tier, &call, "a b+c", "\"other\"", "e", NULL, NULL, copied),
			 -ESTALE);
	assert_int_equal(tier_copy(f->tier, &call, "none", NULL, "e", NULL, NULL, copied), -ENOENT);
	record_release(&rec);
}

/* Markers are objects of their own beside what is below them. */
static void test_marker(void **state)
{
	struct fixture *f = *state;
	struct tier_source empty = {.fd = -1};
	struct tier_call call = call_within(5000);
	struct record rec, back;
	char etag[ETAG_MAX];

	record_init(&rec);
	record_init(&back);
	rec.known = REC_MODE;
	rec.mode = S_IFDIR | 0750;
	assert_int_equal(tier_put(f->tier, &call, "d", &empty, &rec, NULL, etag), 0);
	put_text(f->tier, "d/x", "x", etag);
	assert_int_equal(tier_head(f->tier, &call, "d/", &back), 0);
	assert_int_equal(back.mode, S_IFDIR | 0750);
	record_release(&back);
	rec.mode = S_IFDIR | 0700;
	assert_int_equal(tier_set_meta(f->tier, &call, "d", NULL, &rec, etag), 0);
	assert_int_equal(tier_head(f->tier, &call, "d/", &back), 0);
	assert_int_equal(back.mode, S_IFDIR | 0700);
	record_release(&back);
	assert_int_equal(tier_head(f->tier, &call, "d", &back), -ENOENT);
	assert_int_equal(tier_del(f->tier, &call, "d", true, NULL), 0);
	assert_int_equal(tier_head(f->tier, &call, "d/x", &back), 0);
	record_release(&back);
}

/* A link is an empty object whose metadata has the target. */
static void test_symlink(void **state)
{
	struct fixture *f = *state;
	struct tier_source empty = {.fd = -1};
	struct tier_call call = call_within(5000);
	struct record rec, back;

	record_init(&rec);
	record_init(&back);
	rec.known = REC_MODE;
	rec.mode = S_IFLNK | 0777;
	rec.symlink = strdup("../\xc3\xa9 target");
	assert_int_equal(tier_put(f->tier, &call, "l", &empty, &rec, NULL, NULL), 0);
	assert_int_equal(tier_head(f->tier, &call, "l", &back), 0);
	assert_true(S_ISLNK(back.mode));
	assert_string_equal(back.symlink, "../\xc3\xa9 target");
	record_release(&rec);
	record_release(&back);
}

/* A large body goes in parts, whole and with its record, and a range of it comes back. */
static void test_multipart(void **state)
{
	const size_t len = (23u << 20) + 77;
	struct fixture *f = *state;
	struct tier_source src = source_random(len, 5);
	struct tier_call call = call_within(60000);
	struct record rec = record_full(), back;
	char etag[ETAG_MAX], *wanted = malloc(len);
	struct mem_sink sink;

	record_init(&back);
	random_bytes(wanted, len, 5);
	assert_int_equal(tier_put(f->tier, &call, "big", &src, &rec, NULL, etag), 0);
	assert_int_equal(tier_head(f->tier, &call, "big", &back), 0);
	check_full(&back);
	assert_int_equal(back.size, len);
	assert_string_equal(back.etag, etag);
	assert_int_equal(get_text(f->tier, &call, "big", 0, UINT64_MAX, etag, &sink), 0);
	assert_int_equal(sink.len, len);
	assert_memory_equal(sink.data, wanted, len);
	mem_sink_release(&sink);
	assert_int_equal(get_text(f->tier, &call, "big", len - 10, 100, etag, &sink), 0);
	assert_int_equal(sink.len, 10);
	assert_memory_equal(sink.data, wanted + len - 10, 10);
	mem_sink_release(&sink);
	record_release(&rec);
	record_release(&back);
	free(wanted);
	close(src.fd);
}

/* Names that a path may have, and a URL must encode. */
static void test_odd_names(void **state)
{
	static const char *const names[] = {"a b",
					    "a+b",
					    "a%2Fb",
					    "a?b#c&d=e",
					    "\xc3\xa9\xf0\x9f\x98\x80",
					    "a:b;c,d@e!$'()*",
					    "q\"<&>",
					    "~x-_.y",
					    "=",
					    "a\\b"};
	struct fixture *f = *state;
	struct tier_call call = call_within(10000);
	char etag[ETAG_MAX];
	struct mem_sink sink;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		put_text(f->tier, names[i], names[i], etag);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_int_equal(get_text(f->tier, &call, names[i], 0, UINT64_MAX, NULL, &sink), 0);
		assert_int_equal(sink.len, strlen(names[i]));
		assert_memory_equal(sink.data, names[i], sink.len);
		mem_sink_release(&sink);
	}
}

struct listed {
	char text[4096];
};

static int add_listed(void *arg, const struct tier_entry *entry)
{
	struct listed *l = arg;
	size_t len = strlen(l->text);

	assert_int_equal(strlen(entry->key), entry->key_len);
	if (!entry->prefix) {
		assert_int_equal(entry->rec->known, REC_SIZE | REC_ETAG);
		assert_true(entry->rec->mtime_ns > 0);
	}
	snprintf(l->text + len, sizeof(l->text) - len, "%s%s ", entry->key,
		 entry->prefix	 ? "/"
		 : entry->marker ? "(/)"
				 : "");
	return 0;
}

static void list_all(struct tier *t, const char *prefix, bool delimiter, unsigned int max,
		     struct listed *ret)
{
	struct tier_list_req req = {.prefix = prefix, .delimiter = delimiter, .max = max};
	struct tier_call call = call_within(10000);
	char *token = NULL;

	ret->text[0] = '\0';
	do {
		char *next = NULL;

		req.token = token;
		assert_int_equal(tier_list(t, &call, &req, add_listed, ret, &next), 0);
		free(token);
		token = next;
	} while (token);
}

/* Levels, depths, markers and pages of a listing, in the order of bytes, and without the prefix. */
static void test_list(void **state)
{
	struct fixture *f = *state;
	struct tier_source empty = {.fd = -1};
	struct tier_call call = call_within(5000);
	struct record dir;
	struct listed l;
	char etag[ETAG_MAX];

	record_init(&dir);
	dir.known = REC_MODE;
	dir.mode = S_IFDIR | 0755;
	put_text(f->tier, "a/x", "1", etag);
	put_text(f->tier, "a/y/z", "1", etag);
	put_text(f->tier, "a-b", "1", etag);
	put_text(f->tier, "a0", "1", etag);
	assert_int_equal(tier_put(f->tier, &call, "a", &empty, &dir, NULL, NULL), 0);
	for (unsigned int max = 0; max < 4; max++) {
		list_all(f->tier, "", true, max, &l);
		assert_string_equal(l.text, "a-b a/ a0 ");
		list_all(f->tier, "a/", true, max, &l);
		assert_string_equal(l.text, "a(/) a/x a/y/ ");
		list_all(f->tier, "", false, max, &l);
		assert_string_equal(l.text, "a-b a(/) a/x a/y/z a0 ");
	}
	list_all(f->tier, "none/", true, 0, &l);
	assert_string_equal(l.text, "");
}

/* A prefix keeps two tiers on one bucket apart. */
static void test_prefix(void **state)
{
	struct fixture *f = *state;
	struct s3_conf conf = s3_server_conf(&f->server);
	struct tier_call call = call_within(5000);
	struct tier *other;
	struct record rec;
	char etag[ETAG_MAX];
	struct listed l;

	conf.prefix = "/other/";
	other = s3_server_tier(&conf);
	record_init(&rec);
	put_text(f->tier, "k", "x", etag);
	assert_int_equal(tier_head(other, &call, "k", &rec), -ENOENT);
	put_text(other, "k", "y", etag);
	list_all(other, "", false, 0, &l);
	assert_string_equal(l.text, "k ");
	tier_close(other);
}

/* --- conditions --- */

struct racer {
	struct tier *tier;
	int won;
};

static void *race(void *arg)
{
	const struct tier_pre absent = {.cond = TIER_IF_ABSENT};
	struct racer *r = arg;
	struct tier_source src = source_of("body", 4);
	struct tier_call call = call_within(10000);
	struct record rec;
	int rc;

	record_init(&rec);
	rc = tier_put(r->tier, &call, "race", &src, &rec, &absent, NULL);
	close(src.fd);
	r->won = rc == 0 ? 1 : rc == -EEXIST ? 0 : -1;
	return NULL;
}

/* Of many that create one name, one does. */
static void test_race(void **state)
{
	struct fixture *f = *state;
	struct racer racers[16];
	pthread_t threads[16];
	int won = 0;

	for (int i = 0; i < 16; i++) {
		racers[i].tier = f->tier;
		pthread_create(&threads[i], NULL, race, &racers[i]);
	}
	for (int i = 0; i < 16; i++) {
		pthread_join(threads[i], NULL);
		assert_int_not_equal(racers[i].won, -1);
		won += racers[i].won;
	}
	assert_int_equal(won, 1);
}

/* A version that was replaced is neither read, deleted nor replaced under its old name. */
static void test_versions(void **state)
{
	struct fixture *f = *state;
	struct tier_source src = source_of("three", 5);
	struct tier_call call = call_within(5000);
	char first[ETAG_MAX], second[ETAG_MAX];
	struct tier_pre pre = {.cond = TIER_IF_MATCH, .etag = first};
	struct mem_sink sink;
	struct record rec;

	record_init(&rec);
	put_text(f->tier, "v", "one", first);
	put_text(f->tier, "v", "two", second);
	assert_int_equal(get_text(f->tier, &call, "v", 0, 3, first, &sink), -ESTALE);
	assert_int_equal(tier_del(f->tier, &call, "v", false, first), -ESTALE);
	assert_int_equal(tier_put(f->tier, &call, "v", &src, &rec, &pre, NULL), -ESTALE);
	pre.etag = second;
	assert_int_equal(tier_put(f->tier, &call, "v", &src, &rec, &pre, first), 0);
	assert_int_equal(tier_del(f->tier, &call, "v", false, first), 0);
	assert_int_equal(tier_put(f->tier, &call, "v", &src, &rec, &pre, NULL), -ESTALE);
	close(src.fd);
}

/* --- what a probe says --- */

static void check_probe(const struct s3_conf *conf, int code, const char *text)
{
	struct tier_call call = call_within(5000);
	struct tier *t = s3_server_tier(conf);
	int rc = tier_probe(t, &call);

	if (rc != code || !strstr(call.err.text, text))
		fail_msg("%d: %s", rc, call.err.text);
	tier_close(t);
}

/* Each wrong setting has its errno, and a text that says what to set. */
static void test_probe(void **state)
{
	struct fixture *f = *state;
	struct s3_conf conf = s3_server_conf(&f->server);

	check_probe(&conf, 0, "");
	conf.bucket = "nowhere";
	check_probe(&conf, -ENOENT, "check `bucket`");
	conf = s3_server_conf(&f->server);
	conf.secret_key = "wrong";
	check_probe(&conf, -EACCES, "check the secret key");
	conf = s3_server_conf(&f->server);
	conf.access_key = "wrong";
	check_probe(&conf, -EACCES, "does not know this access key");
	conf = s3_server_conf(&f->server);
	conf.region = "eu-west-1";
	check_probe(&conf, -EACCES, "region");
	conf = s3_server_conf(&f->server);
	conf.credentials = "anonymous";
	check_probe(&conf, -EACCES, "AccessDenied");
}

/* versitygw says 404 to an unknown key: nothing may be taken for absent because of that. */
static void test_unknown_key(void **state)
{
	struct fixture *f = *state;
	struct s3_conf conf = s3_server_conf(&f->server);
	struct tier_call call = call_within(5000);
	struct mem_sink sink;
	struct record rec;
	struct tier *t;

	conf.access_key = "wrong";
	t = s3_server_tier(&conf);
	record_init(&rec);
	assert_int_equal(tier_head(t, &call, "a", &rec), -EACCES);
	assert_int_equal(get_text(t, &call, "a", 0, 1, NULL, &sink), -EACCES);
	assert_int_equal(tier_del(t, &call, "a", false, NULL), -EACCES);
	tier_close(t);
}

/* A name cannot be a file and a directory there: refused as one that the store cannot hold. */
static void test_clash(void **state)
{
	struct fixture *f = *state;
	struct tier_source src = source_of("x", 1);
	struct tier_call call = call_within(5000);
	char etag[ETAG_MAX];
	struct record rec;

	record_init(&rec);
	put_text(f->tier, "a", "x", etag);
	assert_int_equal(tier_put(f->tier, &call, "a/b", &src, &rec, NULL, NULL), -EINVAL);
	close(src.fd);
}

/* A read-only tier sends no change. */
static void test_read_only(void **state)
{
	struct fixture *f = *state;
	struct s3_conf conf = s3_server_conf(&f->server);
	struct tier_source src = source_of("x", 1);
	struct tier_call call = call_within(5000);
	const char *const keys[] = {"a"};
	struct record rec;
	struct tier *t;
	int code;

	conf.read_only = true;
	t = s3_server_tier(&conf);
	record_init(&rec);
	assert_int_equal(tier_put(t, &call, "a", &src, &rec, NULL, NULL), -EROFS);
	assert_int_equal(tier_del(t, &call, "a", false, NULL), -EROFS);
	assert_int_equal(tier_del_many(t, &call, keys, 1, &code), -EROFS);
	assert_int_equal(tier_copy(t, &call, "a", NULL, "b", NULL, NULL, NULL), -EROFS);
	assert_int_equal(tier_set_meta(t, &call, "a", NULL, &rec, NULL), -EROFS);
	tier_close(t);
	close(src.fd);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	struct fixture fixture = {0};
	struct CMUnitTest tests[] = {
		TEST(test_record),	TEST(test_foreign_mtime), TEST(test_copy_and_meta),
		TEST(test_marker),	TEST(test_symlink),	  TEST(test_multipart),
		TEST(test_odd_names),	TEST(test_list),	  TEST(test_prefix),
		TEST(test_race),	TEST(test_versions),	  TEST(test_probe),
		TEST(test_unknown_key), TEST(test_clash),	  TEST(test_read_only),
	};
	int failed;

	signal(SIGPIPE, SIG_IGN);
	if (!s3_gateway_start(&fixture.server))
		return S3_SERVER_SKIP;
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tests[i].initial_state = &fixture;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	s3_server_stop(&fixture.server);
	return failed;
}
