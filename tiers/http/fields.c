/* SPDX-License-Identifier: Apache-2.0 */
/* Header lists and the values in them. */
#include "tiers/http/fields.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "util/clock.h"

#define RETRY_AFTER_MAX (3600 * NSEC_PER_SEC)

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

int http_headers_add_line(struct http_headers *headers, const char *line, size_t len)
{
	const char *colon = memchr(line, ':', len);
	size_t name_len, start;

	if (memchr(line, '\0', len))
		return -EIO;
	if (!colon || colon == line)
		return 0;
	if (headers->count >= HTTP_HEADERS_MAX_COUNT ||
	    len > HTTP_HEADERS_MAX_BYTES - headers->text.len)
		return -EIO;

	name_len = (size_t)(colon - line);
	start = headers->text.len;
	buf_add(&headers->text, line, name_len + 1);
	if (headers->text.failed)
		return -ENOMEM;
	for (size_t i = 0; i < name_len; i++) {
		char *c = &headers->text.data[start + i];

		*c = (char)tolower((unsigned char)*c);
	}
	headers->text.data[start + name_len] = '\0';

	line += name_len + 1;
	len -= name_len + 1;
	while (len && is_blank(*line)) {
		line++;
		len--;
	}
	while (len && is_blank(line[len - 1]))
		len--;
	buf_add(&headers->text, line, len);
	buf_addc(&headers->text, '\0');
	if (headers->text.failed)
		return -ENOMEM;
	headers->count++;
	return 0;
}

void http_headers_reset(struct http_headers *headers)
{
	buf_reset(&headers->text);
	headers->count = 0;
}

void http_headers_release(struct http_headers *headers)
{
	buf_release(&headers->text);
	headers->count = 0;
}

bool http_headers_next(const struct http_headers *headers, struct http_header *it)
{
	const char *at = it->value ? it->value + strlen(it->value) + 1 : headers->text.data;

	if (!at || at >= headers->text.data + headers->text.len)
		return false;
	it->name = at;
	it->value = at + strlen(at) + 1;
	return true;
}

const char *http_headers_get(const struct http_headers *headers, const char *name)
{
	struct http_header it = {0};

	while (http_headers_next(headers, &it)) {
		if (strcmp(it.name, name) == 0)
			return it.value;
	}
	return NULL;
}

/* Takes digits off the front of *s. */
static int number_take(const char **s, uint64_t *ret)
{
	const char *p = *s;
	uint64_t n = 0;

	if (!isdigit((unsigned char)*p))
		return -EINVAL;
	for (; isdigit((unsigned char)*p); p++) {
		if (__builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*p - '0'), &n))
			return -ERANGE;
	}
	*s = p;
	*ret = n;
	return 0;
}

int http_number_parse(const char *value, uint64_t *ret)
{
	uint64_t n;
	int rc = number_take(&value, &n);

	if (rc < 0)
		return rc;
	if (*value)
		return -EINVAL;
	*ret = n;
	return 0;
}

int http_content_range_parse(const char *value, uint64_t *ret_first, uint64_t *ret_last,
			     uint64_t *ret_total)
{
	uint64_t first, last, total;

	if (strncasecmp(value, "bytes ", 6) != 0)
		return -EINVAL;
	value += 6;
	if (number_take(&value, &first) < 0 || *value++ != '-')
		return -EINVAL;
	if (number_take(&value, &last) < 0 || *value++ != '/')
		return -EINVAL;
	if (number_take(&value, &total) < 0 || *value)
		return -EINVAL;
	if (first > last || last >= total)
		return -EINVAL;
	*ret_first = first;
	*ret_last = last;
	*ret_total = total;
	return 0;
}

/* False where a field is outside its range: timegm would carry it over instead. */
static bool tm_to_ns(struct tm *tm, int64_t *ret_ns)
{
	time_t t;

	if (tm->tm_mon < 0 || tm->tm_mon > 11 || tm->tm_mday < 1 || tm->tm_mday > 31 ||
	    tm->tm_hour < 0 || tm->tm_hour > 23 || tm->tm_min < 0 || tm->tm_min > 59 ||
	    tm->tm_sec < 0 || tm->tm_sec > 60 || tm->tm_year < 0 || tm->tm_year > 299)
		return false;
	t = timegm(tm);
	*ret_ns = (int64_t)t * NSEC_PER_SEC;
	return true;
}

int http_date_parse(const char *value, int64_t *ret_ns)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct tm tm = {0};
	char month[4] = "", zone[4] = "";
	const char *at;
	int end = 0;

	/* The day's name is not looked at: it follows from the rest. */
	if (sscanf(value, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d %3[A-Z]%n", &tm.tm_mday,
		   month, &tm.tm_year, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, zone, &end) != 7)
		return -EINVAL;
	at = strstr(months, month);
	if (strlen(month) != 3 || !at || (at - months) % 3 || value[end] ||
	    strcmp(zone, "GMT") != 0)
		return -EINVAL;
	tm.tm_mon = (int)(at - months) / 3;
	tm.tm_year -= 1900;
	return tm_to_ns(&tm, ret_ns) ? 0 : -EINVAL;
}

int iso8601_parse(const char *value, int64_t *ret_ns)
{
	int64_t ns, unit = NSEC_PER_SEC / 10, fraction = 0;
	struct tm tm = {0};
	int end = 0;

	if (sscanf(value, "%4d-%2d-%2dT%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
		   &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &end) != 6)
		return -EINVAL;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	value += end;
	if (*value == '.') {
		for (value++; isdigit((unsigned char)*value); value++, unit /= 10)
			fraction += (*value - '0') * unit;
	}
	if (strcmp(value, "Z") != 0 || !tm_to_ns(&tm, &ns))
		return -EINVAL;
	*ret_ns = ns + fraction;
	return 0;
}

int64_t http_retry_after(const char *value, int64_t wall_now_ns)
{
	uint64_t seconds;
	int64_t at, left;

	if (http_number_parse(value, &seconds) == 0)
		left = seconds > 3600 ? RETRY_AFTER_MAX : (int64_t)seconds * NSEC_PER_SEC;
	else if (http_date_parse(value, &at) == 0)
		left = at - wall_now_ns;
	else
		return 0;
	if (left < 0)
		return 0;
	return left < RETRY_AFTER_MAX ? left : RETRY_AFTER_MAX;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

size_t url_decode(char *s, size_t len, bool plus)
{
	size_t out = 0;

	for (size_t i = 0; i < len; i++) {
		char c = s[i];

		if (c == '%' && len - i > 2 && hex_value(s[i + 1]) >= 0 &&
		    hex_value(s[i + 2]) >= 0) {
			c = (char)(hex_value(s[i + 1]) << 4 | hex_value(s[i + 2]));
			i += 2;
		} else if (c == '+' && plus) {
			c = ' ';
		}
		s[out++] = c;
	}
	return out;
}

void url_encode(struct buf *out, const char *s, size_t len, bool keep_slash)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];
		/* Not isalnum: that asks the locale. */
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			     (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' || c == '~';

		if (plain || (c == '/' && keep_slash)) {
			buf_addc(out, (char)c);
		} else {
			char escaped[3] = {'%', digits[c >> 4], digits[c & 15]};

			buf_add(out, escaped, sizeof(escaped));
		}
	}
}
