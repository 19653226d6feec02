/* SPDX-License-Identifier: Apache-2.0 */
/* The growing byte buffer of buf.h. */
#include "tiers/http/buf.h"

#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUF_MIN 128

/*
 * Room for len more bytes and a NUL. Buffers hold tokens and signatures, so what is outgrown is
 * wiped: no realloc, which may leave a copy behind.
 */
static bool buf_grow(struct buf *b, size_t len)
{
	size_t cap = b->cap ? b->cap : BUF_MIN;
	char *data;

	if (b->failed)
		return false;
	if (b->data && b->cap - b->len > len)
		return true;
	while (cap - b->len <= len) {
		if (cap > SIZE_MAX / 4) {
			b->failed = true;
			return false;
		}
		cap *= 2;
	}
	data = malloc(cap);
	if (!data) {
		b->failed = true;
		return false;
	}
	if (b->data) {
		memcpy(data, b->data, b->len);
		OPENSSL_cleanse(b->data, b->cap);
		free(b->data);
	}
	b->data = data;
	b->cap = cap;
	b->data[b->len] = '\0';
	return true;
}

void buf_add(struct buf *b, const void *data, size_t len)
{
	if (!buf_grow(b, len))
		return;
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void buf_adds(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_addc(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (len < 0) {
		b->failed = true;
		return;
	}
	if (!buf_grow(b, (size_t)len))
		return;
	va_start(ap, fmt);
	vsnprintf(b->data + b->len, (size_t)len + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)len;
}

const char *buf_str(const struct buf *b)
{
	if (b->failed)
		return NULL;
	return b->data ? b->data : "";
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	b->failed = false;
	if (b->data)
		b->data[0] = '\0';
}

void buf_release(struct buf *b)
{
	if (b->data)
		OPENSSL_cleanse(b->data, b->cap);
	free(b->data);
	*b = (struct buf){0};
}
