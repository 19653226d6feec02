/* SPDX-License-Identifier: Apache-2.0 */
/* The log's lines, caught on a pipe that stands in for stderr. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util/log.h"

struct capture {
	int old, read;
	char text[32768];
};

static void capture_begin(struct capture *c)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	c->read = fds[0];
	c->old = dup(STDERR_FILENO);
	dup2(fds[1], STDERR_FILENO);
	close(fds[1]);
}

static void capture_end(struct capture *c)
{
	ssize_t n;

	dup2(c->old, STDERR_FILENO);
	close(c->old);
	n = read(c->read, c->text, sizeof(c->text) - 1);
	close(c->read);
	c->text[n > 0 ? n : 0] = '\0';
}

/* A message whatever it holds is one line, with its time and level in front. */
static void test_text_line(void **state)
{
	struct capture c;

	log_setup(LOG_TARGET_STDERR, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	capture_begin(&c);
	log_warn("key %s", "a\nb");
	capture_end(&c);
	assert_int_equal(strlen(c.text), strlen("2026-01-01T00:00:00.000Z warn key a\\nb\n"));
	assert_string_equal(c.text + 25, "warn key a\\nb\n");
	assert_int_equal(c.text[23], 'Z');
}

/* Nothing that a terminal would act on gets through: C0, DEL, C1, and bytes that are no UTF-8. */
static void test_escapes(void **state)
{
	struct capture c;

	log_setup(LOG_TARGET_STDERR, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	capture_begin(&c);
	log_info("%s", "\x1b[31m \x7f \xc2\x9b \xff \xc0\xaf \xed\xa0\x80 \xe2\x82");
	capture_end(&c);
	assert_string_equal(c.text + 25, "info \\x1b[31m \\x7f \\xc2\\x9b \\xff \\xc0\\xaf "
					 "\\xed\\xa0\\x80 \\xe2\\x82\n");
}

/* What people write is left as it is, in any script; a backslash is doubled, so that escapes are
 * clear. */
static void test_printable_text(void **state)
{
	struct capture c;

	log_setup(LOG_TARGET_STDERR, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	capture_begin(&c);
	log_info("%s", "\xc3\xa4 \xe6\x97\xa5 \xf0\x9f\x98\x80 \"q\" \\");
	capture_end(&c);
	assert_string_equal(c.text + 25,
			    "info \xc3\xa4 \xe6\x97\xa5 \xf0\x9f\x98\x80 \"q\" \\\\\n");
}

/* In JSON, quotes, backslashes and control characters are JSON's own escapes. */
static void test_json_line(void **state)
{
	static const char head[] = "{\"time\":\"2026-01-01T00:00:00.000Z\"";
	struct capture c;

	log_setup(LOG_TARGET_STDERR, LOG_LEVEL_INFO, LOG_FORMAT_JSON);
	capture_begin(&c);
	log_error("%s", "a\"b\\c\n\x01\xff");
	capture_end(&c);
	assert_memory_equal(c.text, head, 9);
	assert_string_equal(c.text + sizeof(head) - 1,
			    ",\"level\":\"error\",\"message\":\"a\\\"b\\\\c\\n\\u0001\\\\xff\"}\n");
}

/* What lies below the level is not written, and SIGHUP's change holds at once. */
static void test_level(void **state)
{
	struct capture c;

	log_setup(LOG_TARGET_STDERR, LOG_LEVEL_WARN, LOG_FORMAT_TEXT);
	capture_begin(&c);
	log_info("quiet");
	log_debug("quieter");
	log_setup(LOG_TARGET_STDERR, LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT);
	log_debug("loud");
	capture_end(&c);
	assert_string_equal(c.text + 25, "debug loud\n");
}

/* A message that is too long ends in three dots, and the line still ends. */
static void test_long_message(void **state)
{
	struct capture c;
	char big[10000];
	size_t len;

	memset(big, '\x01', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	log_setup(LOG_TARGET_STDERR, LOG_LEVEL_INFO, LOG_FORMAT_JSON);
	capture_begin(&c);
	log_info("%s", big);
	capture_end(&c);
	len = strlen(c.text);
	assert_true(len > 10000);
	assert_string_equal(c.text + len - 6, "...\"}\n");
}

/* Logging an error does not change it. */
static void test_keeps_errno(void **state)
{
	struct capture c;

	log_setup(LOG_TARGET_STDERR, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	capture_begin(&c);
	errno = ENOTTY;
	log_info("x");
	assert_int_equal(errno, ENOTTY);
	capture_end(&c);
}

/* The levels' names are those of the configuration. */
static void test_level_names(void **state)
{
	enum log_level level = LOG_LEVEL_ERROR;

	assert_int_equal(log_level_parse("debug", &level), 0);
	assert_int_equal(level, LOG_LEVEL_DEBUG);
	assert_int_equal(log_level_parse("Debug", &level), -EINVAL);
	assert_int_equal(log_level_parse("", &level), -EINVAL);
	assert_int_equal(level, LOG_LEVEL_DEBUG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_line),      cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_printable_text), cmocka_unit_test(test_json_line),
		cmocka_unit_test(test_level),	       cmocka_unit_test(test_long_message),
		cmocka_unit_test(test_keeps_errno),    cmocka_unit_test(test_level_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
