/* SPDX-License-Identifier: Apache-2.0 */
/* Times in metadata: seconds with a fraction (s3fs, rclone), ISO 8601 (rclone, Python). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "model/meta_text.h"
#include "util/clock.h"

#define SECONDS_MAX (INT64_MAX / NSEC_PER_SEC - 1)

void meta_iso_time(int64_t ns, char out[META_TIME_MAX])
{
	int64_t fraction = ns % NSEC_PER_SEC;
	time_t seconds = ns / NSEC_PER_SEC;
	size_t len;
	struct tm tm;

	if (fraction < 0) {
		fraction += NSEC_PER_SEC;
		seconds--;
	}
	gmtime_r(&seconds, &tm);
	len = strftime(out, META_TIME_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
	if (fraction)
		snprintf(out + len, META_TIME_MAX - len, ".%09" PRId64 "Z", fraction);
	else
		snprintf(out + len, META_TIME_MAX - len, "Z");
}

void meta_unix_time(int64_t ns, char out[META_TIME_MAX])
{
	/* Unsigned: the magnitude of INT64_MIN is no int64_t. */
	uint64_t magnitude = ns < 0 ? -(uint64_t)ns : (uint64_t)ns;
	uint64_t unit = NSEC_PER_SEC;

	snprintf(out, META_TIME_MAX, "%s%" PRIu64 ".%09" PRIu64, ns < 0 ? "-" : "",
		 magnitude / unit, magnitude % unit);
}

/* Exactly n digits at *s, which moves behind them. */
static int get_digits(const char **s, size_t n, int *ret)
{
	int v = 0;

	for (size_t i = 0; i < n; i++, (*s)++) {
		if (**s < '0' || **s > '9')
			return -EINVAL;
		v = v * 10 + (**s - '0');
	}
	*ret = v;
	return 0;
}

/* ".123": nanoseconds. Digits behind the ninth are read and mean nothing. No dot is a fraction of
 * 0. */
static int get_fraction(const char **s, int64_t *ret_ns)
{
	int64_t ns = 0, unit = NSEC_PER_SEC / 10;

	if (**s == '.') {
		if ((*s)[1] < '0' || (*s)[1] > '9')
			return -EINVAL;
		for ((*s)++; **s >= '0' && **s <= '9'; (*s)++, unit /= 10)
			ns += (**s - '0') * unit;
	}
	*ret_ns = ns;
	return 0;
}

static int parse_unix(const char *text, int64_t *ret_ns)
{
	bool negative = text[0] == '-';
	int64_t seconds = 0, fraction;
	const char *s = text + negative;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	for (; *s >= '0' && *s <= '9'; s++) {
		seconds = seconds * 10 + (*s - '0');
		if (seconds > SECONDS_MAX)
			return -EINVAL;
	}
	if (get_fraction(&s, &fraction) || *s)
		return -EINVAL;
	seconds = seconds * NSEC_PER_SEC + fraction;
	*ret_ns = negative ? -seconds : seconds;
	return 0;
}

static int get_char(const char **s, const char *accept)
{
	if (!**s || !strchr(accept, **s))
		return -EINVAL;
	(*s)++;
	return 0;
}

/* "2026-03-01T12:00:00", in seconds as if it were UTC. */
static int get_date(const char **s, int64_t *ret_seconds)
{
	struct tm tm = {.tm_sec = 0}, wanted;
	time_t seconds;

	if (get_digits(s, 4, &tm.tm_year) || get_char(s, "-") || get_digits(s, 2, &tm.tm_mon) ||
	    get_char(s, "-") || get_digits(s, 2, &tm.tm_mday) || get_char(s, "Tt ") ||
	    get_digits(s, 2, &tm.tm_hour) || get_char(s, ":") || get_digits(s, 2, &tm.tm_min) ||
	    get_char(s, ":") || get_digits(s, 2, &tm.tm_sec))
		return -EINVAL;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	wanted = tm;
	seconds = timegm(&tm);
	/* timegm puts 31 February right instead of refusing it. */
	if (tm.tm_mon != wanted.tm_mon || tm.tm_mday != wanted.tm_mday ||
	    tm.tm_hour != wanted.tm_hour || tm.tm_min != wanted.tm_min ||
	    tm.tm_sec != wanted.tm_sec)
		return -EINVAL;
	*ret_seconds = seconds;
	return 0;
}

/* "Z", "+01:00", "+0100" or nothing; seconds east of Greenwich. */
static int get_zone(const char **s, int64_t *ret_seconds)
{
	int sign, hours, minutes;

	*ret_seconds = 0;
	if (!**s || get_char(s, "Zz") == 0)
		return 0;
	sign = **s == '-' ? -1 : 1;
	if (get_char(s, "+-") || get_digits(s, 2, &hours))
		return -EINVAL;
	if (**s == ':')
		(*s)++;
	if (get_digits(s, 2, &minutes) || hours > 23 || minutes > 59)
		return -EINVAL;
	*ret_seconds = sign * (hours * 3600 + minutes * 60);
	return 0;
}

static int parse_iso(const char *text, int64_t *ret_ns)
{
	int64_t seconds, fraction, zone;
	const char *s = text;

	if (get_date(&s, &seconds) || get_fraction(&s, &fraction) || get_zone(&s, &zone) || *s)
		return -EINVAL;
	seconds -= zone;
	if (seconds > SECONDS_MAX || seconds < -SECONDS_MAX)
		return -EINVAL;
	*ret_ns = seconds * NSEC_PER_SEC + fraction;
	return 0;
}

int meta_parse_time(const char *text, int64_t *ret_ns)
{
	return parse_unix(text, ret_ns) == 0 ? 0 : parse_iso(text, ret_ns);
}
