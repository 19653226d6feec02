/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes and durations as people write them: a number, perhaps with a fraction, and a unit. */
#include "model/config.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

struct unit {
	const char *name;
	uint64_t factor;
};

/* GB is 10^9 and GiB 2^30; the bare letters are binary, as in size= of tmpfs. */
static const struct unit size_units[] = {
	{"", 1},
	{"B", 1},
	{"K", 1ULL << 10},
	{"KiB", 1ULL << 10},
	{"KB", 1000ULL},
	{"M", 1ULL << 20},
	{"MiB", 1ULL << 20},
	{"MB", 1000000ULL},
	{"G", 1ULL << 30},
	{"GiB", 1ULL << 30},
	{"GB", 1000000000ULL},
	{"T", 1ULL << 40},
	{"TiB", 1ULL << 40},
	{"TB", 1000000000000ULL},
	{"P", 1ULL << 50},
	{"PiB", 1ULL << 50},
	{"PB", 1000000000000000ULL},
	{NULL, 0},
};

/* In milliseconds; a number without a unit is seconds. */
static const struct unit duration_units[] = {
	{"", 1000},	{"ms", 1},	 {"s", 1000},	      {"m", 60000},	     {"min", 60000},
	{"h", 3600000}, {"d", 86400000}, {"w", 604800000ULL}, {"y", 31536000000ULL}, {NULL, 0},
};

/* "12.5" as 125 and scale 10. Nothing but digits and one point; *ret_end is behind it. */
static int parse_decimal(const char *s, unsigned __int128 *ret_digits, uint64_t *ret_scale,
			 const char **ret_end)
{
	unsigned __int128 digits = 0;
	uint64_t scale = 1;
	bool point = false, any = false;

	for (; isdigit((unsigned char)*s) || (*s == '.' && !point); s++) {
		if (*s == '.') {
			point = true;
			continue;
		}
		if (scale >= 1000000000ULL || digits > UINT64_MAX)
			return -ERANGE;
		digits = digits * 10 + (unsigned int)(*s - '0');
		scale *= point ? 10 : 1;
		any = true;
	}
	if (!any)
		return -EINVAL;
	*ret_digits = digits;
	*ret_scale = scale;
	*ret_end = s;
	return 0;
}

static int parse_with_unit(const char *text, const struct unit *units, bool any_case, uint64_t max,
			   uint64_t *ret)
{
	unsigned __int128 value;
	uint64_t scale;
	const char *end;
	int r = parse_decimal(text, &value, &scale, &end);

	if (r < 0)
		return r;
	while (*end == ' ')
		end++;
	for (const struct unit *u = units; u->name; u++) {
		if ((any_case ? strcasecmp(u->name, end) : strcmp(u->name, end)) != 0)
			continue;
		value *= u->factor;
		if (value / scale > max)
			return -ERANGE;
		*ret = (uint64_t)(value / scale);
		return 0;
	}
	return -EINVAL;
}

int conf_parse_size(const char *text, uint64_t *ret_bytes)
{
	return parse_with_unit(text, size_units, true, INT64_MAX, ret_bytes);
}

int conf_parse_duration_ms(const char *text, int64_t *ret_ms)
{
	uint64_t ms;
	int r;

	if (strcasecmp(text, "never") == 0) {
		*ret_ms = CONF_NEVER;
		return 0;
	}
	/* Small enough to become nanoseconds without an overflow. */
	r = parse_with_unit(text, duration_units, false, INT64_MAX / 1000000, &ms);
	if (r < 0)
		return r;
	*ret_ms = (int64_t)ms;
	return 0;
}
