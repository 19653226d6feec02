/* SPDX-License-Identifier: Apache-2.0 */
/* Reasons for people. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "util/err.h"

/* err_set answers with the code that it was given, so that it can stand behind return. */
static void test_set_returns_code(void **state)
{
	struct err e = {""};

	assert_int_equal(err_set(&e, -EIO, "disk %d", 7), -EIO);
	assert_string_equal(err_text(&e, -EIO), "disk 7");
}

/* Nobody who does not want a text has to bring one. */
static void test_null_is_fine(void **state)
{
	assert_int_equal(err_set(NULL, -EIO, "x"), -EIO);
	assert_int_equal(err_wrap(NULL, -EIO, "x"), -EIO);
	assert_string_equal(err_text(NULL, -ENOENT), "No such file or directory");
}

/* Each layer puts itself in front of what it was told. */
static void test_wrap_puts_in_front(void **state)
{
	struct err e = {""};

	err_set(&e, -EIO, "certificate has expired");
	err_wrap(&e, -EIO, "GET");
	assert_int_equal(err_wrap(&e, -EIO, "fill %s", "a/b"), -EIO);
	assert_string_equal(e.text, "fill a/b: GET: certificate has expired");
}

/* A layer that wraps an error without a text gets the errno's. */
static void test_wrap_of_nothing(void **state)
{
	struct err e = {""};

	err_wrap(&e, -EACCES, "open x");
	assert_string_equal(e.text, "open x: Permission denied");
}

/* The text may be an argument of its own replacement. */
static void test_text_as_argument(void **state)
{
	struct err e = {"first"};

	err_set(&e, -EIO, "<%s>", e.text);
	assert_string_equal(e.text, "<first>");
	err_wrap(&e, -EIO, "%s", e.text);
	assert_string_equal(e.text, "<first>: <first>");
}

/* What is too long is cut off at its end and still ends. */
static void test_long_text(void **state)
{
	char longer[2 * sizeof(((struct err *)NULL)->text)];
	struct err e = {""};

	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	err_set(&e, -EIO, "%s", longer);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
	err_wrap(&e, -EIO, "front");
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
	assert_memory_equal(e.text, "front: xxx", 10);
	err_wrap(&e, -EIO, "%s", longer);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
}

/* A code that no errno has still yields a text. */
static void test_unknown_code(void **state)
{
	assert_string_equal(err_text(NULL, -99999), "Unknown error");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set_returns_code),   cmocka_unit_test(test_null_is_fine),
		cmocka_unit_test(test_wrap_puts_in_front), cmocka_unit_test(test_wrap_of_nothing),
		cmocka_unit_test(test_text_as_argument),   cmocka_unit_test(test_long_text),
		cmocka_unit_test(test_unknown_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
