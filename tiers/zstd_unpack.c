/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unpacking a stream. What comes in is hostile: memory is bounded by the window that a frame may
 * ask for, and time by the size that the caller has bounded; the first byte above it ends all.
 */
#include <errno.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "tiers/zstd_codec.h"
#include "util/cleanup.h"

#define CHUNK (128U * 1024)
#define WINDOW_LOG_MAX 23 /* 8 MiB; zstd_pack.c asks for no more */

struct unpack {
	ZSTD_DCtx *ctx;
	struct unpack_conf conf;
	struct xxh3_stream *hash; /* NULL: nothing to compare with */
	uint64_t at;		  /* bytes unpacked so far */
	bool in_frame;
	const char *reason;
	char buf[CHUNK];
};

static struct unpack *alloc(void)
{
	struct unpack *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->ctx = ZSTD_createDCtx();
	if (u->ctx &&
	    !ZSTD_isError(ZSTD_DCtx_setParameter(u->ctx, ZSTD_d_windowLogMax, WINDOW_LOG_MAX)))
		return u;
	unpack_free(u);
	return NULL;
}

int unpack_new(const struct unpack_conf *conf, struct unpack **ret)
{
	struct unpack *u = alloc();

	if (!u)
		return -ENOMEM;
	u->conf = *conf;
	if (u->conf.end > conf->size)
		u->conf.end = conf->size;
	if (xxh3_known(&conf->want) && u->conf.end == conf->size) {
		u->hash = xxh3_stream_new();
		if (!u->hash) {
			unpack_free(u);
			return -ENOMEM;
		}
	}
	*ret = u;
	return 0;
}

void unpack_free(struct unpack *u)
{
	if (!u)
		return;
	ZSTD_freeDCtx(u->ctx);
	xxh3_stream_free(u->hash);
	free(u);
}

static int broken(struct unpack *u, const char *reason)
{
	u->reason = reason;
	return -EIO;
}

/* len bytes of the plain object at u->at are in u->buf. */
static int take(struct unpack *u, size_t len, bool *ret_by_sink)
{
	uint64_t from = u->at, to = u->at + len;
	int r;

	if (len > u->conf.size - u->at)
		return broken(u, "it unpacks to more than it says");
	if (u->hash)
		xxh3_stream_update(u->hash, u->buf, len);
	u->at = to;
	if (from < u->conf.off)
		from = u->conf.off;
	if (to > u->conf.end)
		to = u->conf.end;
	if (from >= to)
		return 0;
	r = u->conf.out->write(u->conf.out, u->buf + (from - (u->at - len)), (size_t)(to - from),
			       from);
	*ret_by_sink = r != 0;
	return r;
}

static int failed(struct unpack *u, size_t code)
{
	switch (ZSTD_getErrorCode(code)) {
	case ZSTD_error_memory_allocation:
		return -ENOMEM;
	case ZSTD_error_frameParameter_windowTooLarge:
		return broken(u, "it asks for too much memory to unpack");
	default:
		return broken(u, ZSTD_getErrorName(code));
	}
}

int unpack_feed(struct unpack *u, const void *data, size_t len, bool *ret_by_sink)
{
	ZSTD_inBuffer in = {.src = data, .size = len};
	bool full = false;

	while (in.pos < in.size || full) {
		ZSTD_outBuffer out = {.dst = u->buf, .size = sizeof(u->buf)};
		size_t left = ZSTD_decompressStream(u->ctx, &out, &in);
		int r = tier_call_check(u->conf.t, u->conf.call);

		if (r)
			return r;
		if (ZSTD_isError(left))
			return failed(u, left);
		u->in_frame = left != 0;
		full = left != 0 && out.pos == out.size;
		r = take(u, out.pos, ret_by_sink);
		if (r)
			return r;
		if (u->at >= u->conf.end && u->conf.end < u->conf.size)
			return UNPACK_ENOUGH;
	}
	return 0;
}

int unpack_end(const struct unpack *u)
{
	struct xxh3 seen;

	if (u->in_frame || u->at != u->conf.size)
		return -EIO;
	if (!u->hash)
		return 0;
	seen = xxh3_stream_digest(u->hash);
	return xxh3_equal(&seen, &u->conf.want) ? 0 : -EIO;
}

const char *unpack_reason(const struct unpack *u)
{
	if (u->reason)
		return u->reason;
	if (u->in_frame || u->at != u->conf.size)
		return "it ends before it has unpacked to what it says";
	return "its bytes are not those that were stored (XXH3 differs)";
}
