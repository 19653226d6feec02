/* SPDX-License-Identifier: Apache-2.0 */
/* Packing a file into another one. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "tiers/zstd_codec.h"
#include "util/cleanup.h"
#include "util/fsutil.h"

#define CHUNK (128U * 1024)
#define PROBE (1ULL << 20) /* after that many bytes without a gain there will be none */
#define GAIN 16		   /* a sixteenth must be saved, else readers unpack for nothing */
/*
 * The highest level whose window is 8 MiB at most, which is what unpacking a stream may cost
 * (WINDOW_LOG_MAX in zstd_unpack.c).
 */
#define LEVEL_MAX 19

static void free_cctx(ZSTD_CCtx **ctx)
{
	ZSTD_freeCCtx(*ctx);
}

static void free_stream(struct xxh3_stream **stream)
{
	xxh3_stream_free(*stream);
}

struct packing {
	const struct tier_source *src;
	ZSTD_CCtx *ctx;
	struct xxh3_stream *plain, *packed;
	int fd;
	uint64_t read, written;
	bool always;
	char in[CHUNK], out[CHUNK];
};

/* On a file system without O_TMPFILE the file has a name for a moment. */
static int temp_file(int dirfd)
{
	char name[FS_TMP_NAME_LEN + 1];
	int fd, r;

	if (dirfd < 0)
		fd = memfd_create("cogfs-pack", MFD_CLOEXEC);
	else
		fd = openat(dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0 || dirfd < 0 || (errno != EOPNOTSUPP && errno != EISDIR))
		return fd < 0 ? -errno : fd;
	r = fs_tmp_name(name);
	if (r)
		return r;
	fd = openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	unlinkat(dirfd, name, 0);
	return fd;
}

static int set_up(ZSTD_CCtx *ctx, const struct tier_source *src)
{
	ZSTD_bounds bounds = ZSTD_cParam_getBounds(ZSTD_c_compressionLevel);
	int level = src->packing.level;

	if (level > LEVEL_MAX)
		level = LEVEL_MAX;
	if (level < bounds.lowerBound)
		level = bounds.lowerBound;
	if (ZSTD_isError(ZSTD_CCtx_setParameter(ctx, ZSTD_c_compressionLevel, level)) ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(ctx, ZSTD_c_checksumFlag, 1)) ||
	    ZSTD_isError(ZSTD_CCtx_setPledgedSrcSize(ctx, src->size)))
		return -EIO;
	return 0;
}

static bool is_worth_it(const struct packing *p)
{
	uint64_t saved = p->read > p->written ? p->read - p->written : 0;

	return p->always || saved > p->read / GAIN;
}

static int write_out(struct packing *p, size_t len)
{
	int r = len ? fs_pwrite_full(p->fd, p->out, len, (off_t)p->written) : 0;

	xxh3_stream_update(p->packed, p->out, len);
	p->written += len;
	return r;
}

static int pack_chunk(struct packing *p, size_t len, bool last)
{
	ZSTD_inBuffer in = {.src = p->in, .size = len};
	size_t left;
	int r;

	do {
		ZSTD_outBuffer out = {.dst = p->out, .size = sizeof(p->out)};

		left = ZSTD_compressStream2(p->ctx, &out, &in, last ? ZSTD_e_end : ZSTD_e_continue);
		if (ZSTD_isError(left))
			return ZSTD_getErrorCode(left) == ZSTD_error_memory_allocation ? -ENOMEM
										       : -EIO;
		r = write_out(p, out.pos);
	} while (r == 0 && (last ? left != 0 : in.pos < in.size));
	return r;
}

/* *ret_worth: false where it was given up. */
static int pack_all(struct packing *p, const struct tier *t, struct tier_call *call,
		    bool *ret_worth)
{
	*ret_worth = true;
	while (p->read < p->src->size) {
		uint64_t left = p->src->size - p->read;
		size_t want = left < CHUNK ? (size_t)left : CHUNK;
		ssize_t got = fs_pread_full(p->src->fd, p->in, want, (off_t)p->read);
		int r = tier_call_check(t, call);

		if (got < 0 || r)
			return r ? r : (int)got;
		if ((size_t)got != want)
			return err_set(&call->err, -EIO, "the body is shorter than it was");
		xxh3_stream_update(p->plain, p->in, want);
		p->read += want;
		r = pack_chunk(p, want, want == left);
		if (r)
			return r;
		if (p->read >= PROBE && !is_worth_it(p))
			break;
	}
	*ret_worth = is_worth_it(p) && p->read == p->src->size;
	return 0;
}

static int check_plain(const struct packing *p, struct tier_call *call, const struct xxh3 *plain)
{
	if (!xxh3_known(&p->src->xxh3) || xxh3_equal(&p->src->xxh3, plain))
		return 0;
	call->transient = true;
	return err_set(&call->err, -EIO, "the body changed since its checksum was made");
}

int zstd_pack(const struct tier *t, struct tier_call *call, const struct tier_source *src,
	      int dirfd, bool always, struct packed *ret)
{
	__attribute__((cleanup(free_stream))) struct xxh3_stream *plain = xxh3_stream_new();
	__attribute__((cleanup(free_stream))) struct xxh3_stream *packed = xxh3_stream_new();
	__attribute__((cleanup(free_cctx))) ZSTD_CCtx *ctx = ZSTD_createCCtx();
	CLEANUP_FREE struct packing *p = calloc(1, sizeof(*p));
	CLEANUP_CLOSE int fd = temp_file(dirfd);
	struct packed done = {.fd = -1};
	bool worth;
	int r;

	if (fd < 0)
		return err_set(&call->err, fd, "a file to pack into: %s", strerror(-fd));
	if (!p || !ctx || !plain || !packed)
		return -ENOMEM;
	p->src = src;
	p->ctx = ctx;
	p->plain = plain;
	p->packed = packed;
	p->fd = fd;
	p->always = always;
	r = set_up(ctx, src);
	if (r == 0)
		r = pack_all(p, t, call, &worth);
	if (r)
		return r;
	if (worth) {
		done.size = p->written;
		done.xxh3 = xxh3_stream_digest(packed);
		done.plain = xxh3_stream_digest(plain);
		r = check_plain(p, call, &done.plain);
		if (r)
			return r;
		done.fd = steal_fd(&fd);
	}
	*ret = done;
	return 0;
}
