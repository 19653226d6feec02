/* SPDX-License-Identifier: Apache-2.0 */
/* Reading from a directory store: head, get, share. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tiers/dir_internal.h"
#include "util/cleanup.h"
#include "util/fsutil.h"

#define GET_CHUNK (256 * 1024)

static int is_stale(struct tier_call *call)
{
	return err_set(&call->err, -ESTALE, "another version is there");
}

int dir_open_version(struct dir *d, struct tier_call *call, const char *key, const char *etag,
		     struct record *ret_rec)
{
	CLEANUP_CLOSE int fd = -1;
	struct record rec;
	struct stat st;
	int r;

	fd = dir_open(d, key, &st);
	if (fd == -EISDIR || fd == -ELOOP)
		return err_set(&call->err, -ENOENT, "not an object, but a %s",
			       fd == -EISDIR ? "directory" : "link or a special file");
	if (fd < 0)
		return dir_fail(call, fd, "open");
	record_init(&rec);
	r = dir_record_read(d, fd, &st, &rec);
	if (r == 0 && etag && strcmp(etag, rec.etag) != 0) {
		record_release(&rec);
		return is_stale(call);
	}
	if (r)
		return dir_fail(call, r, "read metadata");
	record_release(ret_rec);
	*ret_rec = rec;
	return steal_fd(&fd);
}

static int head_marker(struct dir *d, struct tier_call *call, const char *key,
		       struct record *ret_rec)
{
	CLEANUP_FREE char *path = strndup(key, strlen(key) - 1);
	CLEANUP_CLOSE int fd = -1;
	struct stat st;
	int r;

	if (!path)
		return -ENOMEM;
	fd = dir_open_directory(d, path, &st);
	r = fd < 0 ? fd : dir_record_read(d, fd, &st, ret_rec);
	return r ? dir_fail(call, r, "directory") : 0;
}

int dir_head(struct tier *t, struct tier_call *call, const char *key, struct record *ret_rec)
{
	struct dir *d = dir_of(t);
	int fd;

	if (key[strlen(key) - 1] == '/')
		return head_marker(d, call, key, ret_rec);
	fd = dir_open_version(d, call, key, NULL, ret_rec);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

int dir_check_version(const struct dir *d, struct tier_call *call, int fd, const char *etag)
{
	struct record now;
	struct stat st;
	bool same;
	int r;

	if (fstat(fd, &st) < 0)
		return dir_fail(call, -errno, "fstat");
	record_init(&now);
	r = dir_record_read(d, fd, &st, &now);
	same = r == 0 && strcmp(now.etag, etag) == 0;
	record_release(&now);
	if (r)
		return dir_fail(call, r, "read metadata");
	return same ? 0 : is_stale(call);
}

static int send_range(struct dir *d, struct tier_call *call, int fd, uint64_t off, uint64_t end,
		      struct tier_sink *sink)
{
	CLEANUP_FREE void *buf = malloc(GET_CHUNK);

	if (!buf)
		return -ENOMEM;
	while (off < end) {
		size_t want = end - off < GET_CHUNK ? (size_t)(end - off) : GET_CHUNK;
		int r = tier_call_check(&d->base, call);
		ssize_t got;

		if (r)
			return dir_fail(call, r, "reading");
		got = fs_pread_full(fd, buf, want, (off_t)off);
		if (got < 0)
			return dir_fail(call, (int)got, "read");
		if ((size_t)got < want)
			return is_stale(call);
		r = sink->write(sink, buf, want, off);
		if (r)
			return r;
		off += want;
	}
	return 0;
}

int dir_get(struct tier *t, struct tier_call *call, const char *key, uint64_t off, uint64_t len,
	    const char *etag, struct tier_sink *sink)
{
	struct dir *d = dir_of(t);
	CLEANUP_CLOSE int fd = -1;
	char version[ETAG_MAX];
	struct record rec;
	uint64_t size;
	int r;

	record_init(&rec);
	fd = dir_open_version(d, call, key, etag, &rec);
	if (fd < 0)
		return fd;
	r = sink->begin(sink, &rec);
	size = rec.size;
	memcpy(version, rec.etag, sizeof(version));
	record_release(&rec);
	if (r || off >= size)
		return r;
	r = send_range(d, call, fd, off, len < size - off ? off + len : size, sink);
	return r ? r : dir_check_version(d, call, fd, version);
}

int dir_link_fd(int fd, int dst_dirfd, const char *name)
{
	char path[32];

	if (linkat(fd, "", dst_dirfd, name, AT_EMPTY_PATH) == 0)
		return 0;
	/* Without CAP_DAC_READ_SEARCH that is ENOENT, and so is a file whose last name went. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, path, dst_dirfd, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

int dir_reflink(struct dir *d, int from_fd, int to_fd)
{
	int r;

	if (atomic_load(&d->no_reflink))
		return -EOPNOTSUPP;
	r = ioctl(to_fd, FICLONE, from_fd) < 0 ? -errno : 0;
	if (r == -EOPNOTSUPP || r == -ENOTTY)
		atomic_store(&d->no_reflink, true);
	return r == -ENOTTY || r == -EINVAL ? -EOPNOTSUPP : r;
}

static int share_reflink(struct dir *d, int fd, int dst_dirfd, const char *name)
{
	CLEANUP_CLOSE int to = openat(dst_dirfd, name,
				      O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r = to < 0 ? -errno : dir_reflink(d, fd, to);

	if (r && to >= 0)
		unlinkat(dst_dirfd, name, 0);
	return r;
}

/* Into a store that is not ours to change goes no link: the cache would write its records there. */
static int share_link(struct dir *d, int fd, int dst_dirfd, const char *name, const char *etag)
{
	int r = dir_record_pin(d, fd, etag);

	return r ? r : dir_link_fd(fd, dst_dirfd, name);
}

int dir_share(struct tier *t, struct tier_call *call, const char *key, const char *etag,
	      int dst_dirfd, const char *name, struct record *ret_rec)
{
	struct dir *d = dir_of(t);
	CLEANUP_CLOSE int fd = -1;
	struct record rec;
	int r;

	record_init(&rec);
	fd = dir_open_version(d, call, key, etag, &rec);
	if (fd < 0)
		return fd;
	r = share_reflink(d, fd, dst_dirfd, name);
	if ((r == -EOPNOTSUPP || r == -EXDEV) && d->link && !d->read_only)
		r = share_link(d, fd, dst_dirfd, name, rec.etag);
	if (r == -ENOENT)
		r = is_stale(call);
	else if (r)
		r = dir_fail(call, r, "share");
	else
		r = dir_check_version(d, call, fd, rec.etag);
	if (r == -ESTALE)
		unlinkat(dst_dirfd, name, 0);
	if (r == 0)
		r = record_copy(ret_rec, &rec);
	record_release(&rec);
	return r;
}
