/* SPDX-License-Identifier: Apache-2.0 */
/* Percent-encoding of what keys put into paths, there and back. */
#include <string.h>

#include "model/seedkey_internal.h"

void seed_text_init(struct seed_text *t, char *buf, size_t size)
{
	*t = (struct seed_text){.buf = buf, .size = size};
	buf[0] = '\0';
}

void seed_put(struct seed_text *t, const char *s, size_t len)
{
	if (len >= t->size - t->len) {
		t->cut = true;
		return;
	}
	memcpy(t->buf + t->len, s, len);
	t->len += len;
	t->buf[t->len] = '\0';
}

void seed_puts(struct seed_text *t, const char *s)
{
	seed_put(t, s, strlen(s));
}

static void put_hex(struct seed_text *t, char c)
{
	static const char digits[] = "0123456789ABCDEF";
	const unsigned char u = (unsigned char)c;
	const char hex[] = {'%', digits[u >> 4], digits[u & 15]};

	seed_put(t, hex, sizeof(hex));
}

static bool is_special(char c, const char *also)
{
	return (unsigned char)c < 0x20 || c == 0x7f || strchr("/:%", c) || strchr(also, c);
}

void seed_put_encoded(struct seed_text *t, struct seed_span v, const char *also)
{
	for (size_t i = 0; i < v.len; i++) {
		if (is_special(v.s[i], also))
			put_hex(t, v.s[i]);
		else
			seed_put(t, v.s + i, 1);
	}
}

void seed_put_part(struct seed_text *t, struct seed_span v, const char *const *reserved)
{
	bool taken = seed_is(v, ".") || seed_is(v, "..");

	for (; !taken && *reserved; reserved++)
		taken = seed_is(v, *reserved);
	if (taken) {
		put_hex(t, *v.s);
		v.s++;
		v.len--;
	}
	seed_put_encoded(t, v, "");
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool seed_put_decoded(struct seed_text *t, struct seed_span v)
{
	for (size_t i = 0; i < v.len; i++) {
		int high, low;
		char c = v.s[i];

		if (c == '%') {
			high = v.len - i > 2 ? hex_digit(v.s[i + 1]) : -1;
			low = high >= 0 ? hex_digit(v.s[i + 2]) : -1;
			if (low < 0 || (high == 0 && low == 0))
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		}
		seed_put(t, &c, 1);
	}
	return true;
}

bool seed_is(struct seed_span v, const char *s)
{
	return v.len == strlen(s) && memcmp(v.s, s, v.len) == 0;
}
