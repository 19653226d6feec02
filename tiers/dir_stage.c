/* SPDX-License-Identifier: Apache-2.0 */
/* The long step of a put into a directory store: a file below .cogfs/tmp, whole and durable. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "tiers/dir_internal.h"
#include "util/cleanup.h"
#include "util/fsutil.h"

#define COPY_RANGE_MAX (16 * 1024 * 1024) /* between two looks at deadline and cancellation */
#define COPY_CHUNK (256 * 1024)

void dir_staged_release(struct dir_staged *s)
{
	/*
	 * Also after a rename: rename(2) of a file onto another name of the same inode does
	 * nothing, and leaves both.
	 */
	if (s->name[0])
		unlinkat(s->d->tmp_fd, s->name, 0);
	if (s->fd >= 0 && !s->linked)
		close(s->fd);
	*s = (struct dir_staged){.d = s->d, .fd = -1};
}

static int draw_name(struct dir_staged *s)
{
	uint64_t id;

	if (getrandom(&id, sizeof(id), 0) != sizeof(id))
		return -EIO;
	snprintf(s->name, sizeof(s->name), "%016" PRIx64, id);
	return 0;
}

static int copy_by_hand(struct dir *d, const struct tier_call *call, int from_fd, int to_fd,
			uint64_t off, uint64_t size)
{
	CLEANUP_FREE void *buf = malloc(COPY_CHUNK);

	if (!buf)
		return -ENOMEM;
	while (off < size) {
		size_t want = size - off < COPY_CHUNK ? (size_t)(size - off) : COPY_CHUNK;
		int r = tier_call_check(&d->base, call);
		ssize_t got = r ? r : fs_pread_full(from_fd, buf, want, (off_t)off);

		if (got < 0)
			return (int)got;
		if ((size_t)got < want)
			return -EIO;
		r = fs_pwrite_full(to_fd, buf, want, (off_t)off);
		if (r)
			return r;
		off += want;
	}
	return 0;
}

static int copy_bytes(struct dir *d, const struct tier_call *call, int from_fd, int to_fd,
		      uint64_t size)
{
	uint64_t off = 0;

	while (off < size) {
		size_t want = size - off < COPY_RANGE_MAX ? (size_t)(size - off) : COPY_RANGE_MAX;
		off_t in = (off_t)off, out = (off_t)off;
		int r = tier_call_check(&d->base, call);
		ssize_t n;

		if (r)
			return r;
		n = copy_file_range(from_fd, &in, to_fd, &out, want, 0);
		if (n < 0 && errno != EINTR)
			break;
		if (n == 0)
			return -EIO;
		off += n > 0 ? (uint64_t)n : 0;
	}
	/* Whatever kept the kernel from it, the plain way succeeds or says why not. */
	return off < size ? copy_by_hand(d, call, from_fd, to_fd, off, size) : 0;
}

static int stage_link(struct dir_staged *s, const struct tier_source *src)
{
	int r = draw_name(s);

	if (r == 0)
		r = dir_link_fd(src->fd, s->d->tmp_fd, s->name);
	if (r) {
		s->name[0] = '\0';
		return r;
	}
	s->fd = src->fd;
	s->linked = true;
	return 0;
}

static int stage_new(struct dir_staged *s)
{
	int r = draw_name(s);

	if (r == 0) {
		s->fd = openat(s->d->tmp_fd, s->name,
			       O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		r = s->fd < 0 ? -errno : 0;
	}
	if (r)
		s->name[0] = '\0';
	return r;
}

int dir_stage_bytes(struct dir_staged *s, const struct tier_call *call,
		    const struct tier_source *src)
{
	bool whole = false; /* the source file has these bytes and no more */
	struct stat st;
	int r;

	if (src->size > 0) {
		if (fstat(src->fd, &st) < 0)
			return -errno;
		whole = (uint64_t)st.st_size == src->size;
	}
	r = stage_new(s);
	if (r || src->size == 0)
		return r;
	if (whole && dir_reflink(s->d, src->fd, s->fd) == 0)
		return 0;
	if (whole && s->d->link && src->immutable) {
		dir_staged_release(s);
		if (stage_link(s, src) == 0)
			return 0;
		r = stage_new(s);
	}
	return r ? r : copy_bytes(s->d, call, src->fd, s->fd, src->size);
}

int dir_stage_record(struct dir_staged *s, const struct record *rec, const struct xxh3 *xxh3,
		     char *ret_etag)
{
	int r = dir_record_write(s->d, s->fd, rec, xxh3, s->linked ? STAMP_LINKED : STAMP_NEW,
				 ret_etag);

	if (r == 0 && fsync(s->fd) < 0)
		r = -errno;
	return r;
}
