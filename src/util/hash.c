/* SPDX-License-Identifier: Apache-2.0 */
/* XXH3 over buffers, files and streams. */
#include "util/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "util/cleanup.h"
#include "util/fsutil.h"

#define READ_CHUNK (256 * 1024)

struct xxh3_stream {
	XXH3_state_t *state;
};

uint64_t hash64(const void *buf, size_t len)
{
	return XXH3_64bits(buf, len);
}

static struct xxh3 from_native(XXH128_hash_t native)
{
	XXH128_canonical_t canonical;
	struct xxh3 h;

	XXH128_canonicalFromHash(&canonical, native);
	memcpy(h.b, canonical.digest, sizeof(h.b));
	return h;
}

struct xxh3 xxh3_of(const void *buf, size_t len)
{
	return from_native(XXH3_128bits(buf, len));
}

static int hash_fd(struct xxh3_stream *s, void *buf, int fd, uint64_t size)
{
	for (uint64_t off = 0; off < size;) {
		size_t want = size - off < READ_CHUNK ? (size_t)(size - off) : READ_CHUNK;
		ssize_t got = fs_pread_full(fd, buf, want, (off_t)off);

		if (got < 0)
			return (int)got;
		if ((size_t)got < want)
			return -EIO;
		xxh3_stream_update(s, buf, want);
		off += want;
	}
	return 0;
}

int xxh3_of_fd(int fd, uint64_t size, struct xxh3 *ret)
{
	CLEANUP_FREE void *buf = malloc(READ_CHUNK);
	struct xxh3_stream *s = xxh3_stream_new();
	int r = -ENOMEM;

	if (buf && s)
		r = hash_fd(s, buf, fd, size);
	if (r == 0)
		*ret = xxh3_stream_digest(s);
	xxh3_stream_free(s);
	return r;
}

bool xxh3_known(const struct xxh3 *h)
{
	static const struct xxh3 unknown;

	return memcmp(h->b, unknown.b, sizeof(h->b)) != 0;
}

bool xxh3_equal(const struct xxh3 *a, const struct xxh3 *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

void xxh3_hex(const struct xxh3 *h, char out[XXH3_HEX_LEN + 1])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < sizeof(h->b); i++) {
		out[2 * i] = digits[h->b[i] >> 4];
		out[2 * i + 1] = digits[h->b[i] & 15];
	}
	out[XXH3_HEX_LEN] = '\0';
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int xxh3_parse(const char *s, struct xxh3 *ret)
{
	struct xxh3 h;

	if (strnlen(s, XXH3_HEX_LEN + 1) != XXH3_HEX_LEN)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(h.b); i++) {
		int high = hex_digit(s[2 * i]), low = hex_digit(s[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EINVAL;
		h.b[i] = (uint8_t)(high << 4 | low);
	}
	*ret = h;
	return 0;
}

struct xxh3_stream *xxh3_stream_new(void)
{
	struct xxh3_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->state = XXH3_createState();
	if (!s->state) {
		free(s);
		return NULL;
	}
	XXH3_128bits_reset(s->state);
	return s;
}

void xxh3_stream_update(struct xxh3_stream *s, const void *buf, size_t len)
{
	XXH3_128bits_update(s->state, buf, len);
}

struct xxh3 xxh3_stream_digest(const struct xxh3_stream *s)
{
	return from_native(XXH3_128bits_digest(s->state));
}

void xxh3_stream_free(struct xxh3_stream *s)
{
	if (!s)
		return;
	XXH3_freeState(s->state);
	free(s);
}
