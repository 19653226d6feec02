/* SPDX-License-Identifier: Apache-2.0 */
/* Whole transfers: reads and writes that do not stop halfway, copies, small files at once. */
#include "util/fsutil.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "util/cleanup.h"

#define COPY_CHUNK (256 * 1024)
#define COPY_RANGE_MAX (64 * 1024 * 1024) /* so that one call does not last for minutes */

ssize_t fs_pread_full(int fd, void *buf, size_t len, off_t off)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, (char *)buf + done, len - done, off + (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int fs_pwrite_full(int fd, const void *buf, size_t len, off_t off)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pwrite(fd, (const char *)buf + done, len - done, off + (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		done += (size_t)n;
	}
	return 0;
}

/* Copies in the kernel from *off on. 0 also where it gave up early: the caller reads and writes the
 * rest. */
static int copy_in_kernel(int from_fd, int to_fd, uint64_t size, uint64_t *off)
{
	while (*off < size) {
		uint64_t left = size - *off;
		off_t in = (off_t)*off, out = (off_t)*off;
		ssize_t n = copy_file_range(from_fd, &in, to_fd, &out,
					    left < COPY_RANGE_MAX ? (size_t)left : COPY_RANGE_MAX,
					    0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO || errno == EFBIG))
			return -errno;
		if (n <= 0)
			return 0;
		*off += (uint64_t)n;
	}
	return 0;
}

static int copy_by_hand(int from_fd, int to_fd, uint64_t size, uint64_t off)
{
	CLEANUP_FREE void *buf = NULL;
	int r;

	if (off == size)
		return 0;
	buf = malloc(COPY_CHUNK);
	if (!buf)
		return -ENOMEM;
	while (off < size) {
		size_t want = size - off < COPY_CHUNK ? (size_t)(size - off) : COPY_CHUNK;
		ssize_t got = fs_pread_full(from_fd, buf, want, (off_t)off);

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

/* A clone takes the whole source, and leaves what the target had behind it. */
static int cut_to(int fd, uint64_t size)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if ((uint64_t)st.st_size < size)
		return -EIO;
	if ((uint64_t)st.st_size > size && ftruncate(fd, (off_t)size) < 0)
		return -errno;
	return 0;
}

int fs_copy_fd(int from_fd, int to_fd, uint64_t size, bool *ret_cloned)
{
	bool cloned = ioctl(to_fd, FICLONE, from_fd) == 0;
	uint64_t off = 0;
	int r = 0;

	if (!cloned) {
		r = copy_in_kernel(from_fd, to_fd, size, &off);
		if (r == 0)
			r = copy_by_hand(from_fd, to_fd, size, off);
	}
	if (r == 0)
		r = cut_to(to_fd, size);
	if (r == 0 && ret_cloned)
		*ret_cloned = cloned;
	return r;
}

/* Opens for reading what must be a regular file; a FIFO that somebody planted does not block us. */
static int open_regular(int dirfd, const char *path, struct stat *ret_st)
{
	CLEANUP_CLOSE int fd = fs_open_beneath(dirfd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);

	if (fd < 0)
		return fd;
	if (fstat(fd, ret_st) < 0)
		return -errno;
	if (S_ISDIR(ret_st->st_mode))
		return -EISDIR;
	if (!S_ISREG(ret_st->st_mode))
		return -EINVAL;
	return steal_fd(&fd);
}

int fs_read_file(int dirfd, const char *path, size_t max, char **ret_buf, size_t *ret_len)
{
	struct stat st;
	CLEANUP_CLOSE int fd = open_regular(dirfd, path, &st);
	CLEANUP_FREE char *buf = NULL;
	ssize_t got;

	if (fd < 0)
		return fd;
	if ((uint64_t)st.st_size > max)
		return -EFBIG;
	buf = malloc((size_t)st.st_size + 1);
	if (!buf)
		return -ENOMEM;
	got = fs_pread_full(fd, buf, (size_t)st.st_size, 0);
	if (got < 0)
		return (int)got;
	buf[got] = '\0';
	*ret_buf = STEAL_PTR(buf);
	*ret_len = (size_t)got;
	return 0;
}

/* fchmod, because the umask had its say in the open. */
static int fill_new_file(int fd, const void *buf, size_t len, mode_t mode, bool sync)
{
	int r = fs_pwrite_full(fd, buf, len, 0);

	if (r)
		return r;
	if (fchmod(fd, mode) < 0)
		return -errno;
	return sync && fsync(fd) < 0 ? -errno : 0;
}

int fs_write_file_atomic(int dirfd, const char *path, const void *buf, size_t len, mode_t mode,
			 bool sync)
{
	const char *base;
	CLEANUP_CLOSE int parent = fs_open_parent(dirfd, path, false, &base);
	CLEANUP_CLOSE int fd = -1;
	char tmp[FS_TMP_NAME_LEN + 1];
	int r;

	if (parent < 0)
		return parent;
	r = fs_tmp_name(tmp);
	if (r)
		return r;
	fd = fs_open_beneath(parent, tmp, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		return fd;
	r = fill_new_file(fd, buf, len, mode, sync);
	if (r == 0 && renameat(parent, tmp, parent, base) < 0)
		r = -errno;
	if (r) {
		unlinkat(parent, tmp, 0);
		return r;
	}
	return sync && fsync(parent) < 0 ? -errno : 0;
}
