/* SPDX-License-Identifier: Apache-2.0 */
/* Where requests to a bucket go, by configuration, environment and shared files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/s3/s3.h"

static int setup(void **state)
{
	static const char *const variables[] = {"AWS_REGION",	    "AWS_DEFAULT_REGION",
						"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3",
						"AWS_PROFILE",	    "AWS_DEFAULT_PROFILE"};

	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
		unsetenv(variables[i]);
	setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials", 1);
	setenv("AWS_CONFIG_FILE", "/nonexistent/config", 1);
	return 0;
}

static void check(const struct s3_conf *conf, const char *origin, const char *host,
		  const char *path)
{
	struct s3_endpoint ep = {0};
	struct err err = {0};

	if (s3_endpoint_init(&ep, conf, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(ep.origin, origin);
	assert_string_equal(ep.host, host);
	assert_string_equal(ep.path, path);
	s3_endpoint_release(&ep);
}

/* AWS takes the bucket as a host, in the region's own domain. */
static void test_aws(void **state)
{
	struct s3_conf conf = {.bucket = "b", .region = "eu-west-1"};

	check(&conf, "https://b.s3.eu-west-1.amazonaws.com", "b.s3.eu-west-1.amazonaws.com", "");
	conf.region = "cn-north-1";
	check(&conf, "https://b.s3.cn-north-1.amazonaws.com.cn", "b.s3.cn-north-1.amazonaws.com.cn",
	      "");
	conf.region = NULL;
	check(&conf, "https://b.s3.us-east-1.amazonaws.com", "b.s3.us-east-1.amazonaws.com", "");
	conf.path_style = true;
	check(&conf, "https://s3.us-east-1.amazonaws.com", "s3.us-east-1.amazonaws.com", "/b");
}

/* A dot in the name is not covered by a certificate for "*.s3...". */
static void test_dotted_bucket(void **state)
{
	const struct s3_conf conf = {.bucket = "a.b"};

	check(&conf, "https://s3.us-east-1.amazonaws.com", "s3.us-east-1.amazonaws.com", "/a.b");
}

/* Other servers get the bucket in the path, unless told otherwise. */
static void test_other_servers(void **state)
{
	struct s3_conf conf = {.bucket = "b", .endpoint = "http://127.0.0.1:9000"};

	check(&conf, "http://127.0.0.1:9000", "127.0.0.1:9000", "/b");
	conf.endpoint = "http://127.0.0.1:9000/s3/";
	check(&conf, "http://127.0.0.1:9000", "127.0.0.1:9000", "/s3/b");
	conf.endpoint = "http://[::1]:9000";
	check(&conf, "http://[::1]:9000", "[::1]:9000", "/b");
	conf.endpoint = "http://store.example:8080";
	conf.virtual_host = true;
	check(&conf, "http://b.store.example:8080", "b.store.example:8080", "");
}

/* A scheme's own port is not part of Host, and so not of what is signed. */
static void test_default_ports(void **state)
{
	struct s3_conf conf = {.bucket = "b", .endpoint = "https://h:443"};

	check(&conf, "https://h", "h", "/b");
	conf.endpoint = "http://h:80/";
	check(&conf, "http://h", "h", "/b");
	conf.endpoint = "http://h:443";
	check(&conf, "http://h:443", "h:443", "/b");
}

/* What the configuration leaves out, the environment says. */
static void test_environment(void **state)
{
	struct s3_conf conf = {.bucket = "b"};
	struct s3_endpoint ep = {0};

	setenv("AWS_DEFAULT_REGION", "r2", 1);
	setenv("AWS_ENDPOINT_URL", "http://all:1", 1);
	check(&conf, "http://all:1", "all:1", "/b");
	setenv("AWS_ENDPOINT_URL_S3", "http://s3:1", 1);
	check(&conf, "http://s3:1", "s3:1", "/b");
	setenv("AWS_REGION", "r1", 1);
	assert_int_equal(s3_endpoint_init(&ep, &conf, NULL), 0);
	assert_string_equal(ep.region, "r1");
	s3_endpoint_release(&ep);
	conf.endpoint = "http://conf:1";
	conf.region = "r0";
	assert_int_equal(s3_endpoint_init(&ep, &conf, NULL), 0);
	assert_string_equal(ep.region, "r0");
	assert_string_equal(ep.origin, "http://conf:1");
	s3_endpoint_release(&ep);
}

/* What is no server's address is refused, and not repeated: there may be a password in it. */
static void test_refused(void **state)
{
	static const char *const bad[] = {
		"127.0.0.1:9000", "ftp://h",	"http://", "http://u:pw@h",
		"http://h?x",	  "http://h#x", "",
	};

	for (size_t i = 0; bad[i][0]; i++) {
		const struct s3_conf conf = {.bucket = "b", .endpoint = bad[i]};
		struct s3_endpoint ep = {0};
		struct err err = {0};

		if (s3_endpoint_init(&ep, &conf, &err) != -EINVAL)
			fail_msg("taken: %s", bad[i]);
		assert_null(strstr(err.text, "pw"));
		s3_endpoint_release(&ep);
	}
}

/* A tier that cannot work is not made. */
static void test_create_refused(void **state)
{
	static const struct s3_conf bad[] = {
		{.bucket = NULL},
		{.bucket = ""},
		{.bucket = "a/b"},
		{.bucket = "a b"},
		{.bucket = "b", .storage_class = "A\r\nx: y"},
		{.bucket = "b", .path_style = true, .virtual_host = true},
		{.bucket = "b", .credentials = "typo"},
		{.bucket = "b", .ca_file = "/nonexistent/ca.pem"},
	};
	const struct tier_env env = {.clock = &clock_system};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct tier *t = NULL;
		struct err err = {0};

		assert_int_equal(s3_create(&env, &bad[i], &t, &err), -EINVAL);
		assert_true(err.text[0]);
		assert_null(t);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, setup)
	const struct CMUnitTest tests[] = {
		TEST(test_aws),
		TEST(test_dotted_bucket),
		TEST(test_other_servers),
		TEST(test_default_ports),
		TEST(test_environment),
		TEST(test_refused),
		TEST(test_create_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
