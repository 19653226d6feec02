/* SPDX-License-Identifier: Apache-2.0 */
/* Percent-encoding, base64 and numbers of metadata values. */
#include "model/meta_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"

static const char base64_digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static bool must_encode(const unsigned char *s, size_t i, size_t len)
{
	if (s[i] < 0x20 || s[i] > 0x7e || s[i] == '%')
		return true;
	if (s[i] == ' ')
		return i == 0 || i == len - 1 || s[i - 1] == ' ';
	return s[i] == '=' && i == 0;
}

char *meta_percent_encode(const void *value, size_t len)
{
	const unsigned char *s = value;
	char *text = malloc(3 * len + 1), *at = text;

	if (!text)
		return NULL;
	for (size_t i = 0; i < len; i++) {
		if (must_encode(s, i, len)) {
			snprintf(at, 4, "%%%02X", s[i]);
			at += 3;
		} else {
			*at++ = (char)s[i];
		}
	}
	*at = '\0';
	return text;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

char *meta_percent_decode(const char *text, size_t *ret_len)
{
	char *value = malloc(strlen(text) + 1), *at = value;

	if (!value)
		return NULL;
	while (*text) {
		int high = text[0] == '%' ? hex_value(text[1]) : -1;
		int low = high >= 0 ? hex_value(text[2]) : -1;

		if (low >= 0) {
			*at++ = (char)(high << 4 | low);
			text += 3;
		} else {
			*at++ = *text++;
		}
	}
	*at = '\0';
	*ret_len = (size_t)(at - value);
	return value;
}

char *meta_base64_encode(const void *data, size_t len)
{
	const unsigned char *s = data;
	char *text = malloc((len + 2) / 3 * 4 + 1), *at = text;

	if (!text)
		return NULL;
	for (; len; len -= len < 3 ? len : 3, s += 3) {
		unsigned int bits = (unsigned int)s[0] << 16;

		bits |= len > 1 ? (unsigned int)s[1] << 8 : 0;
		bits |= len > 2 ? s[2] : 0;
		*at++ = base64_digits[bits >> 18];
		*at++ = base64_digits[bits >> 12 & 63];
		*at++ = len > 1 ? base64_digits[bits >> 6 & 63] : '=';
		*at++ = len > 2 ? base64_digits[bits & 63] : '=';
	}
	*at = '\0';
	return text;
}

/* Four digits to up to three bytes; returns how many, 0 where they are none. */
static size_t base64_group(const char *text, bool last, unsigned char out[3])
{
	size_t digits = last && text[3] == '=' ? (text[2] == '=' ? 2 : 3) : 4;
	unsigned int bits = 0;

	for (size_t i = 0; i < 4; i++) {
		const char *digit = i < digits ? strchr(base64_digits, text[i]) : base64_digits;

		if (!digit || (i < digits && !text[i]))
			return 0;
		bits = bits << 6 | (unsigned int)(digit - base64_digits);
	}
	out[0] = (unsigned char)(bits >> 16);
	out[1] = (unsigned char)(bits >> 8);
	out[2] = (unsigned char)bits;
	return digits - 1;
}

int meta_base64_decode(const char *text, void **ret_data, size_t *ret_len)
{
	size_t len = strlen(text), used = 0;
	CLEANUP_FREE unsigned char *data = NULL;

	if (len % 4)
		return -EINVAL;
	data = malloc(len / 4 * 3 + 1);
	if (!data)
		return -ENOMEM;
	for (size_t i = 0; i < len; i += 4) {
		unsigned char group[3];
		size_t n = base64_group(text + i, i + 4 == len, group);

		if (!n)
			return -EINVAL;
		memcpy(data + used, group, n);
		used += n;
	}
	*ret_data = STEAL_PTR(data);
	*ret_len = used;
	return 0;
}

int meta_parse_uint(const char *text, int base, uint64_t max, uint64_t *ret)
{
	unsigned long long v;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	v = strtoull(text, &end, base);
	if (errno || *end || v > max)
		return -EINVAL;
	*ret = v;
	return 0;
}
