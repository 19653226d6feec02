/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies and directories in the mirror, objects/<key>.
 *
 * A crash leaves the old state or the new one: whatever becomes the body of a key has its record
 * before it gets the name, and gets the name by one rename(2). What a crash may leave over is a
 * body in partial/, open/ or staging/ without a meaning (their owners empty them), an empty
 * directory that was made for a publish that did not happen, and a temporary name (fs_is_tmp_name);
 * the scan meets both and the next prune or the tier's owner removes them.
 *
 * A directory with a record was made by mkdir and stays until it is removed; one without is implied
 * by what lies in it and goes with that.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "model/key.h"
#include "tiers/local_internal.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/fsutil.h"

/* Links and devices that somebody planted are no bodies. */
static int as_absent(int r)
{
	return r == -ELOOP || r == -EXDEV || r == -ENXIO ? -ENOENT : r;
}

int local_body_open(struct local *l, const char *key, int flags)
{
	CLEANUP_CLOSE int fd = -1;
	struct stat st;

	if (key_check(key, strlen(key)))
		return -ENOENT;
	fd = fs_open_beneath(l->objects_fd, key, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
	if (fd < 0)
		return as_absent(fd);
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	return S_ISREG(st.st_mode) ? steal_fd(&fd) : -ENOENT;
}

static bool has_record(int fd)
{
	return fgetxattr(fd, RECORD_XATTR, NULL, 0) > 0;
}

/* Removes the directories above key that are implied and empty. */
static void prune(struct local *l, const char *key)
{
	char dir[KEY_MAX + 1];
	size_t len = strlen(key);

	if (len > KEY_MAX)
		return;
	memcpy(dir, key, len + 1);
	for (char *slash; (slash = strrchr(dir, '/'));) {
		const char *base;
		CLEANUP_CLOSE int fd = -1, parent = -1;

		*slash = '\0';
		fd = fs_open_beneath(l->objects_fd, dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
		if (fd < 0 || has_record(fd))
			return;
		parent = fs_open_parent(l->objects_fd, dir, false, &base);
		if (parent < 0 || unlinkat(parent, base, AT_REMOVEDIR) < 0)
			return;
	}
}

/* Removes the file or empty directory at key, so that something of the other kind can have the
 * name. */
static int clear_name(struct local *l, const char *key, bool dir)
{
	const char *base;
	CLEANUP_CLOSE int parent = fs_open_parent(l->objects_fd, key, false, &base);

	if (parent < 0)
		return parent;
	return unlinkat(parent, base, dir ? AT_REMOVEDIR : 0) < 0 ? -errno : 0;
}

/*
 * Renames or links into the mirror. A directory that stands in a file's way goes if it is empty, a
 * file in a directory's way goes too.
 */
static int enter(struct local *l, int dirfd, const char *from, const char *key, bool link)
{
	int r;

	for (int i = 0; i < 2; i++) {
		r = link ? fs_link_beneath(dirfd, from, l->objects_fd, key)
			 : fs_rename_beneath(dirfd, from, l->objects_fd, key);
		if (i || (r != -EISDIR && r != -ENOTDIR))
			break;
		if (clear_name(l, key, r == -EISDIR))
			break;
	}
	return r;
}

static int set_mtime(int fd, int64_t mtime_ns)
{
	int64_t sec = mtime_ns / NSEC_PER_SEC, nsec = mtime_ns % NSEC_PER_SEC;
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};

	if (nsec < 0) {
		nsec += NSEC_PER_SEC;
		sec--;
	}
	times[1] = (struct timespec){.tv_sec = sec, .tv_nsec = nsec};
	return futimens(fd, times) < 0 ? -errno : 0;
}

static int write_record(struct local *l, int fd, const struct record *rec)
{
	int r = l->xattrs ? record_to_fd(rec, fd) : 0;

	if (r == 0 && (rec->known & REC_MTIME))
		r = set_mtime(fd, rec->mtime_ns);
	return r;
}

int local_body_publish_fd(struct local *l, int fd, int dirfd, uint64_t id, const char *key,
			  const struct record *rec, bool link)
{
	char name[LOCAL_ID_LEN + 1];
	struct stat st;
	int r = key_check(key, strlen(key));

	if (r)
		return r;
	if (fstat(fd, &st) < 0)
		return -errno;
	r = write_record(l, fd, rec);
	if (r)
		return r;
	local_id_name(id, name);
	r = enter(l, dirfd, name, key, link);
	/* rename(2) of two names of one inode does nothing: the number may still be there. */
	if (r == 0 && !link && st.st_nlink > 1)
		r = local_unlink_id(dirfd, id);
	return r;
}

int local_body_publish(struct local *l, int dirfd, uint64_t id, const char *key,
		       const struct record *rec, bool link)
{
	CLEANUP_CLOSE int fd = local_open_id(dirfd, id, O_RDONLY);

	return fd < 0 ? fd : local_body_publish_fd(l, fd, dirfd, id, key, rec, link);
}

int local_body_displace(struct local *l, const char *key, int dirfd, uint64_t id)
{
	char name[LOCAL_ID_LEN + 1];
	int r = key_check(key, strlen(key));

	if (r)
		return r;
	local_id_name(id, name);
	r = fs_rename_beneath(l->objects_fd, key, dirfd, name);
	if (r == 0)
		prune(l, key);
	return r;
}

int local_body_unlink(struct local *l, const char *key)
{
	int r = key_check(key, strlen(key));

	if (r)
		return r;
	r = fs_unlink_beneath(l->objects_fd, key);
	if (r == 0)
		prune(l, key);
	return r;
}

int local_body_rename(struct local *l, const char *from, const char *to)
{
	int r = key_check(from, strlen(from));

	if (r == 0)
		r = key_check(to, strlen(to));
	if (r)
		return r;
	r = enter(l, l->objects_fd, from, to, false);
	if (r == 0)
		prune(l, from);
	return r;
}

int local_dir_make(struct local *l, const char *key, const struct record *rec)
{
	CLEANUP_CLOSE int fd = -1;
	int r = key_check(key, strlen(key));

	if (r)
		return r;
	r = fs_mkdirs(l->objects_fd, key, 0700);
	if (r)
		return r;
	fd = fs_open_beneath(l->objects_fd, key, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0)
		return fd;
	return write_record(l, fd, rec);
}

int local_dir_remove(struct local *l, const char *key)
{
	int r = key_check(key, strlen(key));

	if (r)
		return r;
	r = clear_name(l, key, true);
	if (r == 0)
		prune(l, key);
	return r;
}
