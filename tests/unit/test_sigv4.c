/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signature Version 4 against the values that AWS publishes: its test suite's "get-vanilla", and
 * the examples of the S3 manual's page on header-based authentication.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "tiers/http/digest.h"
#include "tiers/http/fields.h"
#include "tiers/http/sigv4.h"

#define EMPTY SHA256_EMPTY_HEX
#define S3_HOST "examplebucket.s3.amazonaws.com"

static void check_signature(const struct sigv4_input *in, const char *access_key,
			    const char *secret_key, const char *signature)
{
	CLEANUP_CRED struct cred *cred = cred_new(access_key, secret_key, NULL);
	CLEANUP_BUF struct buf authorization = {0};
	const char *found;

	assert_int_equal(sigv4_authorization(cred, in, &authorization), 0);
	found = strstr(authorization.data, ",Signature=");
	assert_non_null(found);
	assert_string_equal(found + strlen(",Signature="), signature);
}

static void check_s3_example(const char *method, const char *path, const char *query,
			     const struct sigv4_field *fields, size_t n, const char *hash,
			     const char *signature)
{
	const struct sigv4_input in = {
		.method = method,
		.path = path,
		.query = query,
		.fields = fields,
		.n_fields = n,
		.payload_hash = hash,
		.region = "us-east-1",
		.service = "s3",
		.date = "20130524T000000Z",
	};

	check_signature(&in, "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
			signature);
}

/* The plainest request of the test suite is signed as published. */
static void test_get_vanilla(void **state)
{
	static const struct sigv4_field fields[] = {
		{"host", "example.amazonaws.com"},
		{"x-amz-date", "20150830T123600Z"},
	};
	const struct sigv4_input in = {
		.method = "GET",
		.path = "/",
		.query = "",
		.fields = fields,
		.n_fields = 2,
		.payload_hash = EMPTY,
		.region = "us-east-1",
		.service = "service",
		.date = "20150830T123600Z",
	};

	check_signature(&in, "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
			"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
}

/* A GET with a Range header, which is signed too. */
static void test_s3_get_range(void **state)
{
	static const struct sigv4_field fields[] = {
		{"host", S3_HOST},
		{"range", "bytes=0-9"},
		{"x-amz-content-sha256", EMPTY},
		{"x-amz-date", "20130524T000000Z"},
	};

	check_s3_example("GET", "/test.txt", "", fields, 4, EMPTY,
			 "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

/* A PUT with a body, a storage class, and a '$' in its key that is sent encoded. */
static void test_s3_put(void **state)
{
	char hash[SHA256_HEX_SIZE];
	CLEANUP_BUF struct buf path = {0};

	assert_int_equal(sha256_hex_of("Welcome to Amazon S3.", 21, hash), 0);
	buf_addc(&path, '/');
	url_encode(&path, "test$file.text", 14, true);

	const struct sigv4_field fields[] = {
		{"date", "Fri, 24 May 2013 00:00:00 GMT"},
		{"host", S3_HOST},
		{"x-amz-content-sha256", hash},
		{"x-amz-date", "20130524T000000Z"},
		{"x-amz-storage-class", "REDUCED_REDUNDANCY"},
	};

	check_s3_example("PUT", path.data, "", fields, 5, hash,
			 "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

/* Query parameters without and with values. */
static void test_s3_queries(void **state)
{
	static const struct sigv4_field fields[] = {
		{"host", S3_HOST},
		{"x-amz-content-sha256", EMPTY},
		{"x-amz-date", "20130524T000000Z"},
	};

	check_s3_example("GET", "/", "lifecycle=", fields, 3, EMPTY,
			 "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
	check_s3_example("GET", "/", "max-keys=2&prefix=J", fields, 3, EMPTY,
			 "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

/* The whole header, in the form that servers parse. */
static void test_header_form(void **state)
{
	static const struct sigv4_field fields[] = {
		{"host", "h"},
		{"x-amz-date", "20150830T123600Z"},
	};
	const struct sigv4_input in = {
		.method = "GET",
		.path = "/",
		.query = "",
		.fields = fields,
		.n_fields = 2,
		.payload_hash = EMPTY,
		.region = "eu-west-1",
		.service = "s3",
		.date = "20150830T123600Z",
	};
	CLEANUP_CRED struct cred *cred = cred_new("AK", "SK", NULL);
	CLEANUP_BUF struct buf b = {0};
	const char *wanted = "AWS4-HMAC-SHA256 Credential=AK/20150830/eu-west-1/s3/aws4_request,"
			     "SignedHeaders=host;x-amz-date,Signature=";

	assert_int_equal(sigv4_authorization(cred, &in, &b), 0);
	assert_int_equal(strncmp(b.data, wanted, strlen(wanted)), 0);
	assert_null(strstr(b.data, "SK"));
}

/* Wall time as the basic ISO 8601 form. */
static void test_date(void **state)
{
	char date[SIGV4_DATE_SIZE];

	sigv4_date(1440938160LL * 1000000000LL + 999999999LL, date);
	assert_string_equal(date, "20150830T123600Z");
	sigv4_date(0, date);
	assert_string_equal(date, "19700101T000000Z");
}

/* A request is signed as it is encoded: unreserved as is, upper-case %XX for the rest. */
static void test_url_encode(void **state)
{
	static const char in[] = "a b+c%d/e~f-g_h.i?#&\xc3\xa9\n";
	CLEANUP_BUF struct buf b = {0};

	url_encode(&b, in, strlen(in), true);
	assert_string_equal(b.data, "a%20b%2Bc%25d/e~f-g_h.i%3F%23%26%C3%A9%0A");
	buf_reset(&b);
	url_encode(&b, "a/b", 3, false);
	assert_string_equal(b.data, "a%2Fb");
}

/* The encodings around hashes. */
static void test_digests(void **state)
{
	char text[64];

	assert_int_equal(md5_base64_of("", 0, text), 0);
	assert_string_equal(text, "1B2M2Y8AsgTpgAmY7PhCfg==");
	assert_int_equal(sha256_base64_of("", 0, text), 0);
	assert_string_equal(text, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_get_vanilla), cmocka_unit_test(test_s3_get_range),
		cmocka_unit_test(test_s3_put),	    cmocka_unit_test(test_s3_queries),
		cmocka_unit_test(test_header_form), cmocka_unit_test(test_date),
		cmocka_unit_test(test_url_encode),  cmocka_unit_test(test_digests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
