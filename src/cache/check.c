/* SPDX-License-Identifier: Apache-2.0 */
/* What all checks need: telling, a body against its record, and the place for what is kept. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "cache/check_priv.h"
#include "model/key.h"
#include "util/cleanup.h"
#include "util/fsutil.h"

#define PIECE (256u << 10)
#define ASIDE "aside"
#define ASIDE_TRIES 1000
/* Since Linux 6.14; headers may not have it. */
#ifndef RWF_DONTCACHE
#define RWF_DONTCACHE 0x00000080
#endif

/* --- telling --- */

void check_tell(struct check *ck, const char *path, const char *tier, enum check_outcome outcome,
		const char *what, const char *action)
{
	const struct check_finding finding = {
		.path = path, .tier = tier, .what = what, .action = action, .outcome = outcome};

	if (outcome == CHECK_REPAIRED)
		ck->totals.repaired++;
	else if (outcome == CHECK_LEFT)
		ck->totals.left++;
	else
		ck->totals.noted++;
	ck->found(ck->arg, &finding);
}

bool check_repairs(const struct check *ck)
{
	return ck->flags & CHECK_REPAIR;
}

bool check_is_cancelled(struct check *ck)
{
	return ck->cancelled && ck->cancelled(ck->arg);
}

void check_progress(struct check *ck)
{
	if (ck->progress)
		ck->progress(ck->arg, &ck->totals);
}

/* --- bytes --- */

/*
 * What is read only to be checked must not drive out what is used; kernels and filesystems that
 * cannot do that read as ever.
 */
static ssize_t read_piece(int fd, void *buf, size_t len, off_t off, int *flags)
{
	struct iovec iov = {.iov_base = buf, .iov_len = len};
	ssize_t n;

	do
		n = preadv2(fd, &iov, 1, off, *flags);
	while (n < 0 && errno == EINTR);
	if (n < 0 && *flags && (errno == EOPNOTSUPP || errno == EINVAL || errno == ENOSYS)) {
		*flags = 0;
		return read_piece(fd, buf, len, off, flags);
	}
	return n < 0 ? -errno : n;
}

static int hash_all(int fd, uint64_t size, struct check_pace *pace, void *buf,
		    struct xxh3_stream *stream)
{
	int flags = RWF_DONTCACHE, r = 0;

	for (uint64_t off = 0; !r && off < size;) {
		size_t want = size - off < PIECE ? (size_t)(size - off) : PIECE;
		ssize_t n = read_piece(fd, buf, want, (off_t)off, &flags);

		if (n <= 0)
			return -EIO;
		xxh3_stream_update(stream, buf, (size_t)n);
		off += (uint64_t)n;
		r = pace ? pace->step(pace, (uint64_t)n) : 0;
	}
	return r;
}

int check_hash(int fd, uint64_t size, struct check_pace *pace, struct xxh3 *ret)
{
	struct xxh3_stream *stream = xxh3_stream_new();
	CLEANUP_FREE void *buf = malloc(size && size < PIECE ? (size_t)size : PIECE);
	int r = stream && buf ? hash_all(fd, size, pace, buf, stream) : -ENOMEM;

	if (!r)
		*ret = xxh3_stream_digest(stream);
	if (stream)
		xxh3_stream_free(stream);
	return r;
}

/* --- a body --- */

int body_look(int fd, struct check_pace *pace, struct record *rec, enum body_fault *ret_fault)
{
	int r = record_from_fd(rec, fd);
	struct xxh3 got;

	if (r == -ENOMEM)
		return r;
	*ret_fault = r == -ENODATA ? BODY_NO_RECORD : r ? BODY_BAD_RECORD : BODY_GOOD;
	if (r)
		return 0;
	if (rec->known & REC_MODE && !S_ISREG(rec->mode)) {
		*ret_fault = BODY_BAD_TYPE;
		return 0;
	}
	if (!(rec->known & REC_XXH3) || !xxh3_known(&rec->xxh3)) {
		*ret_fault = BODY_UNKNOWN;
		return 0;
	}
	r = check_hash(fd, rec->size, pace, &got);
	if (r == -EIO) {
		*ret_fault = BODY_UNREADABLE;
		return 0;
	}
	if (!r && !xxh3_equal(&got, &rec->xxh3))
		*ret_fault = BODY_BAD_BYTES;
	return r;
}

const char *body_fault_text(enum body_fault fault)
{
	static const char *const texts[] = {
		[BODY_GOOD] = "good",
		[BODY_UNKNOWN] = "it has no checksum",
		[BODY_NO_RECORD] = "it has no record: nothing says what it is",
		[BODY_BAD_RECORD] = "its record is damaged",
		[BODY_BAD_TYPE] = "its record is not a file's",
		[BODY_BAD_BYTES] = "its bytes do not have its checksum",
		[BODY_UNREADABLE] = "it cannot be read whole",
	};

	return texts[fault];
}

bool record_is_clean(const struct record *rec)
{
	return rec->known & REC_ETAG && rec->etag[0];
}

/* --- what is kept --- */

/* aside/PATH, aside/PATH~1, ...; what no path can be made of gets its inode's number. */
static int aside_name(int root_fd, const char *path, const struct stat *st, char *buf, size_t size)
{
	bool safe = !key_check(path, strlen(path)) && strlen(path) + 16 < KEY_MAX;
	struct stat there;

	for (int i = 0; i < ASIDE_TRIES; i++) {
		int n = safe ? snprintf(buf, size, ASIDE "/%s", path)
			     : snprintf(buf, size, ASIDE "/inode-%llu",
					(unsigned long long)st->st_ino);
		int r;

		if (i)
			snprintf(buf + n, size - (size_t)n, "~%d", i);
		r = fs_stat_beneath(root_fd, buf, &there);
		if (r == -ENOENT)
			return 0;
		if (r == 0 && there.st_ino == st->st_ino && there.st_dev == st->st_dev)
			return -EEXIST; /* it was kept before */
		if (r && r != -ENOTDIR)
			return r;
		safe = safe && r != -ENOTDIR;
	}
	return -ENOSPC;
}

int aside_put(int root_fd, int dirfd, const char *name, const char *path, bool link)
{
	char to[KEY_MAX + 64];
	struct stat st;
	int r = fs_stat_beneath(dirfd, name, &st);

	if (r)
		return r;
	r = aside_name(root_fd, path, &st, to, sizeof(to));
	if (r == -EEXIST)
		return link ? 0 : fs_unlink_beneath(dirfd, name);
	if (r)
		return r;
	return link ? fs_link_beneath(dirfd, name, root_fd, to)
		    : fs_rename_beneath(dirfd, name, root_fd, to);
}
