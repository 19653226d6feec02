/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log's lines. What comes from outside (keys, servers' texts) may hold anything, so a message
 * is taken as untrusted bytes: whatever could end the line, drive a terminal or break the JSON is
 * written as an escape. A line is one write(2), so lines of several threads do not mix.
 */
#include "util/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE_MAX 2048 /* bytes as formatted; what is longer ends in "..." */
#define LINE_MAX_LEN (6 * MESSAGE_MAX + 128)

static const struct {
	const char *name;
	int syslog;
} levels[] = {
	[LOG_LEVEL_ERROR] = {"error", LOG_ERR},
	[LOG_LEVEL_WARN] = {"warn", LOG_WARNING},
	[LOG_LEVEL_INFO] = {"info", LOG_INFO},
	[LOG_LEVEL_DEBUG] = {"debug", LOG_DEBUG},
};

#define LEVEL_COUNT (sizeof(levels) / sizeof(levels[0]))

/* The one global of cogfs (log.h says so): three words that any thread may read at any time. */
static _Atomic enum log_target log_target = LOG_TARGET_STDERR;
static _Atomic enum log_level log_level = LOG_LEVEL_INFO;
static _Atomic enum log_format log_format = LOG_FORMAT_TEXT;

void log_setup(enum log_target target, enum log_level level, enum log_format format)
{
	if (target == LOG_TARGET_SYSLOG)
		openlog("cogfs", LOG_PID, LOG_DAEMON);
	atomic_store_explicit(&log_level, level, memory_order_relaxed);
	atomic_store_explicit(&log_format, format, memory_order_relaxed);
	atomic_store_explicit(&log_target, target, memory_order_relaxed);
}

enum log_level log_level_get(void)
{
	return atomic_load_explicit(&log_level, memory_order_relaxed);
}

int log_level_parse(const char *name, enum log_level *ret)
{
	for (size_t i = 0; i < LEVEL_COUNT; i++) {
		if (strcmp(levels[i].name, name) == 0) {
			*ret = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* A string that is appended to and never overruns: what does not fit is left out whole. */
struct line {
	size_t len;
	char text[LINE_MAX_LEN];
};

static void line_put(struct line *line, const char *s, size_t len)
{
	if (len >= sizeof(line->text) - line->len)
		return;
	memcpy(line->text + line->len, s, len);
	line->len += len;
	line->text[line->len] = '\0';
}

static void line_puts(struct line *line, const char *s)
{
	line_put(line, s, strlen(s));
}

static size_t sequence_len(unsigned char first)
{
	if (first >= 0xf8)
		return 0;
	if (first >= 0xf0)
		return 4;
	if (first >= 0xe0)
		return 3;
	return first >= 0xc0 ? 2 : 0;
}

/*
 * Length of the valid, printable UTF-8 sequence at s, or 0: control characters (C0, DEL, C1), bytes
 * that are no UTF-8, overlong forms, surrogates.
 */
static size_t printable_len(const unsigned char *s, size_t left)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	uint32_t c;
	size_t n;

	if (s[0] < 0x80)
		return s[0] >= 0x20 && s[0] != 0x7f;
	n = sequence_len(s[0]);
	if (n == 0 || n > left)
		return 0;
	c = s[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < least[n] || c < 0xa0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 0;
	return n;
}

static void put_escape(struct line *line, unsigned char c, enum log_format format)
{
	char text[8];

	if (c == '\n')
		snprintf(text, sizeof(text), "\\n");
	else if (c == '\t')
		snprintf(text, sizeof(text), "\\t");
	else if (format == LOG_FORMAT_TEXT)
		snprintf(text, sizeof(text), "\\x%02x", c);
	else if (c < 0x80)
		snprintf(text, sizeof(text), "\\u%04x", c);
	else
		snprintf(text, sizeof(text), "\\\\x%02x",
			 c); /* no character: shown as text has it */
	line_puts(line, text);
}

static void put_message(struct line *line, const char *message, enum log_format format)
{
	const unsigned char *s = (const unsigned char *)message;
	size_t left = strlen(message);

	while (left) {
		size_t n = printable_len(s, left);

		if (n == 0)
			put_escape(line, s[0], format);
		else if (s[0] == '\\' || (s[0] == '"' && format == LOG_FORMAT_JSON))
			line_put(line, (const char[]){'\\', (char)s[0]}, 2);
		else
			line_put(line, (const char *)s, n);
		s += n ? n : 1;
		left -= n ? n : 1;
	}
}

static void put_time(struct line *line)
{
	char day[32], text[48];
	struct timespec ts;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, sizeof(text), "%s.%03ldZ", day, ts.tv_nsec / 1000000);
	line_puts(line, text);
}

static void put_text_line(struct line *line, enum log_level level, const char *message)
{
	put_time(line);
	line_puts(line, " ");
	line_puts(line, levels[level].name);
	line_puts(line, " ");
	put_message(line, message, LOG_FORMAT_TEXT);
}

static void put_json_line(struct line *line, enum log_level level, const char *message)
{
	line_puts(line, "{\"time\":\"");
	put_time(line);
	line_puts(line, "\",\"level\":\"");
	line_puts(line, levels[level].name);
	line_puts(line, "\",\"message\":\"");
	put_message(line, message, LOG_FORMAT_JSON);
	line_puts(line, "\"}");
}

static void write_stderr(struct line *line)
{
	const char *s = line->text;
	size_t left;

	line_puts(line, "\n");
	left = line->len;
	while (left) {
		ssize_t n = write(STDERR_FILENO, s, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* nowhere to complain to */
		s += n;
		left -= (size_t)n;
	}
}

__attribute__((format(printf, 2, 0))) static void format_message(char message[MESSAGE_MAX],
								 const char *fmt, va_list ap)
{
	int n = vsnprintf(message, MESSAGE_MAX, fmt, ap);

	if (n < 0)
		message[0] = '\0';
	else if (n >= MESSAGE_MAX)
		memcpy(message + MESSAGE_MAX - 4, "...", 4);
}

void log_write(enum log_level level, const char *fmt, ...)
{
	enum log_target target = atomic_load_explicit(&log_target, memory_order_relaxed);
	enum log_format format = atomic_load_explicit(&log_format, memory_order_relaxed);
	char message[MESSAGE_MAX];
	struct line line;
	int saved = errno;
	va_list ap;

	if (level > log_level_get())
		return;
	va_start(ap, fmt);
	format_message(message, fmt, ap);
	va_end(ap);

	line.len = 0;
	line.text[0] = '\0';
	/* syslog brings its own time and level. */
	if (format == LOG_FORMAT_JSON)
		put_json_line(&line, level, message);
	else if (target == LOG_TARGET_SYSLOG)
		put_message(&line, message, LOG_FORMAT_TEXT);
	else
		put_text_line(&line, level, message);

	if (target == LOG_TARGET_SYSLOG)
		syslog(levels[level].syslog, "%s", line.text);
	else
		write_stderr(&line);
	errno = saved;
}
