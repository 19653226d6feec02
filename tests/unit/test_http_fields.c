/* SPDX-License-Identifier: Apache-2.0 */
/* Headers of HTTP answers, and the values in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/http/fields.h"
#include "util/clock.h"

#define ADD(headers, literal) http_headers_add_line(headers, literal, sizeof(literal) - 1)

/* Names are compared in lower case, values come without the blanks around them. */
static void test_headers_get(void **state)
{
	struct http_headers h = {0};

	assert_int_equal(ADD(&h, "ETag: \"abc\"\r\n"), 0);
	assert_int_equal(ADD(&h, "X-Amz-Meta-CamelCase:\t a b \r\n"), 0);
	assert_int_equal(ADD(&h, "Empty:\r\n"), 0);
	assert_int_equal(ADD(&h, "etag: second\r\n"), 0);
	assert_string_equal(http_headers_get(&h, "etag"), "\"abc\"");
	assert_string_equal(http_headers_get(&h, "x-amz-meta-camelcase"), "a b");
	assert_string_equal(http_headers_get(&h, "empty"), "");
	assert_null(http_headers_get(&h, "eta"));
	http_headers_release(&h);
}

/* All are stepped through in their order, those with the same name too. */
static void test_headers_next(void **state)
{
	struct http_headers h = {0};
	struct http_header it = {0};

	assert_false(http_headers_next(&h, &it));
	ADD(&h, "a: 1\r\n");
	ADD(&h, "a:\r\n");
	ADD(&h, "b: 3\r\n");
	assert_true(http_headers_next(&h, &it));
	assert_string_equal(it.value, "1");
	assert_true(http_headers_next(&h, &it));
	assert_string_equal(it.name, "a");
	assert_string_equal(it.value, "");
	assert_true(http_headers_next(&h, &it));
	assert_string_equal(it.name, "b");
	assert_false(http_headers_next(&h, &it));
	http_headers_release(&h);
}

/* What is no header is left out; what is hostile ends the answer. */
static void test_headers_refused(void **state)
{
	struct http_headers h = {0};
	char *large = calloc(1, HTTP_HEADERS_MAX_BYTES + 1);

	assert_int_equal(ADD(&h, "\r\n"), 0);
	assert_int_equal(ADD(&h, "no colon\r\n"), 0);
	assert_int_equal(ADD(&h, ": no name\r\n"), 0);
	assert_int_equal(h.count, 0);
	assert_int_equal(ADD(&h, "a: b\0c\r\n"), -EIO);

	memset(large, 'x', HTTP_HEADERS_MAX_BYTES + 1);
	large[1] = ':';
	assert_int_equal(http_headers_add_line(&h, large, HTTP_HEADERS_MAX_BYTES + 1), -EIO);
	for (int i = 0; i < HTTP_HEADERS_MAX_COUNT; i++)
		assert_int_equal(ADD(&h, "a: b\r\n"), 0);
	assert_int_equal(ADD(&h, "a: b\r\n"), -EIO);
	free(large);
	http_headers_release(&h);
}

/* Content-Range is taken in its one proper form. */
static void test_content_range(void **state)
{
	static const char *const bad[] = {
		"",
		"bytes",
		"bytes 0-9",
		"bytes 0-9/*",
		"bytes */10",
		"bytes 9-0/10",
		"bytes 0-10/10",
		"bytes 0-9/10 ",
		"bytes  0-9/10",
		"bytes -1-9/10",
		"items 0-9/10",
		"bytes 0-9/10x",
		"bytes 0x0-9/10",
		"bytes 1000-999/1000",
		"bytes 0-9/18446744073709551616",
	};
	uint64_t first, last, total;

	assert_int_equal(http_content_range_parse("bytes 5-9/10", &first, &last, &total), 0);
	assert_int_equal(first, 5);
	assert_int_equal(last, 9);
	assert_int_equal(total, 10);
	assert_int_equal(http_content_range_parse("Bytes 0-0/1", &first, &last, &total), 0);
	assert_int_equal(
		http_content_range_parse("bytes 0-18446744073709551614/18446744073709551615",
					 &first, &last, &total),
		0);
	assert_int_equal(total, UINT64_MAX);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (http_content_range_parse(bad[i], &first, &last, &total) != -EINVAL)
			fail_msg("taken: \"%s\"", bad[i]);
	}
}

/* Numbers are digits only, and fit. */
static void test_number(void **state)
{
	uint64_t n = 7;

	assert_int_equal(http_number_parse("0", &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(http_number_parse("18446744073709551615", &n), 0);
	assert_int_equal(n, UINT64_MAX);
	assert_int_equal(http_number_parse("18446744073709551616", &n), -ERANGE);
	assert_int_equal(http_number_parse("", &n), -EINVAL);
	assert_int_equal(http_number_parse("-1", &n), -EINVAL);
	assert_int_equal(http_number_parse(" 1", &n), -EINVAL);
	assert_int_equal(http_number_parse("1k", &n), -EINVAL);
}

/* HTTP's date, and nothing that only looks like it. */
static void test_http_date(void **state)
{
	int64_t ns;

	assert_int_equal(http_date_parse("Wed, 21 Oct 2015 07:28:00 GMT", &ns), 0);
	assert_int_equal(ns, 1445412480LL * NSEC_PER_SEC);
	assert_int_equal(http_date_parse("Wed, 21 Oct 2015 07:28:00 UTC", &ns), -EINVAL);
	assert_int_equal(http_date_parse("Wed, 21 ctN 2015 07:28:00 GMT", &ns), -EINVAL);
	assert_int_equal(http_date_parse("Wed, 41 Oct 2015 07:28:00 GMT", &ns), -EINVAL);
	assert_int_equal(http_date_parse("Wed, 21 Oct 2015 07:28:00 GMT+1", &ns), -EINVAL);
	assert_int_equal(http_date_parse("2015-10-21", &ns), -EINVAL);
}

/* XML's date, with and without a fraction. */
static void test_iso8601(void **state)
{
	int64_t ns;

	assert_int_equal(iso8601_parse("2015-10-21T07:28:00Z", &ns), 0);
	assert_int_equal(ns, 1445412480LL * NSEC_PER_SEC);
	assert_int_equal(iso8601_parse("2015-10-21T07:28:00.250Z", &ns), 0);
	assert_int_equal(ns, 1445412480LL * NSEC_PER_SEC + 250 * NSEC_PER_MSEC);
	assert_int_equal(iso8601_parse("2015-10-21T07:28:00.123456789012Z", &ns), 0);
	assert_int_equal(ns % NSEC_PER_SEC, 123456789);
	assert_int_equal(iso8601_parse("2015-10-21T07:28:00", &ns), -EINVAL);
	assert_int_equal(iso8601_parse("2015-13-21T07:28:00Z", &ns), -EINVAL);
	assert_int_equal(iso8601_parse("", &ns), -EINVAL);
}

/* Retry-After is seconds or a date, and never more than an hour. */
static void test_retry_after(void **state)
{
	const int64_t now = 1445412480LL * NSEC_PER_SEC;

	assert_int_equal(http_retry_after("3", now), 3 * NSEC_PER_SEC);
	assert_int_equal(http_retry_after("0", now), 0);
	assert_int_equal(http_retry_after("99999999999", now), 3600 * NSEC_PER_SEC);
	assert_int_equal(http_retry_after("Wed, 21 Oct 2015 07:28:05 GMT", now), 5 * NSEC_PER_SEC);
	assert_int_equal(http_retry_after("Wed, 21 Oct 2015 07:27:00 GMT", now), 0);
	assert_int_equal(http_retry_after("Wed, 21 Oct 2099 07:28:00 GMT", now),
			 3600 * NSEC_PER_SEC);
	assert_int_equal(http_retry_after("soon", now), 0);
}

static void check_decode(const char *in, bool plus, const char *wanted, size_t wanted_len)
{
	char text[64];
	size_t len = strlen(in);

	memcpy(text, in, len + 1);
	len = url_decode(text, len, plus);
	assert_int_equal(len, wanted_len);
	assert_memory_equal(text, wanted, len);
}

/* Decoding undoes what servers encode, keeps what is no escape, and may bring a NUL. */
static void test_url_decode(void **state)
{
	check_decode("a%2Fb%2fc", true, "a/b/c", 5);
	check_decode("a+b%2B", true, "a b+", 4);
	check_decode("a+b", false, "a+b", 3);
	check_decode("%", true, "%", 1);
	check_decode("%4", true, "%4", 2);
	check_decode("%zz%41", true, "%zzA", 4);
	check_decode("a%00b", true, "a\0b", 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_headers_get),	cmocka_unit_test(test_headers_next),
		cmocka_unit_test(test_headers_refused), cmocka_unit_test(test_content_range),
		cmocka_unit_test(test_number),		cmocka_unit_test(test_http_date),
		cmocka_unit_test(test_iso8601),		cmocka_unit_test(test_retry_after),
		cmocka_unit_test(test_url_decode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
