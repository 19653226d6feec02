/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names below a root directory. Each path is resolved by the kernel in one openat2(2) that refuses
 * links and every way out; what openat2 cannot do (rename, link, unlink) is done on the last part
 * alone, below a parent that was resolved so.
 */
#include "util/fsutil.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/cleanup.h"

/* Somebody may prune an empty directory between our making it and our using it. */
#define RACE_TRIES 16

static bool flags_create(int flags)
{
	return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
}

int fs_open_beneath(int dirfd, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned int)(flags | O_CLOEXEC),
		.mode = flags_create(flags) ? mode & 07777 : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
	};
	long fd;

	do {
		fd = syscall(SYS_openat2, dirfd, path[0] ? path : ".", &how, sizeof(how));
	} while (fd < 0 && (errno == EINTR || errno == EAGAIN));
	return fd < 0 ? -errno : (int)fd;
}

static int open_dir(int dirfd, const char *path)
{
	return fs_open_beneath(dirfd, path, O_RDONLY | O_DIRECTORY, 0);
}

/* Copies the first len bytes of path, which becomes a path of its own. */
static int path_head(const char *path, size_t len, char head[PATH_MAX])
{
	if (len >= PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(head, path, len);
	head[len] = '\0';
	return 0;
}

/* The parts that the *at() calls would take for something else than a name in the directory. */
static bool part_is_name(const char *part)
{
	return part[0] && strcmp(part, ".") != 0 && strcmp(part, "..") != 0;
}

int fs_open_parent(int dirfd, const char *path, bool make, const char **ret_base)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash ? slash + 1 : path;
	char parent[PATH_MAX];
	int fd, r;

	if (!part_is_name(base))
		return -EINVAL;
	r = path_head(path, slash ? (size_t)(slash - path) : 0, parent);
	if (r)
		return r;
	fd = open_dir(dirfd, parent);
	for (int i = 0; fd == -ENOENT && make && i < RACE_TRIES; i++) {
		r = fs_mkdirs(dirfd, parent, 0700);
		if (r && r != -ENOENT)
			return r;
		fd = open_dir(dirfd, parent);
	}
	if (fd >= 0)
		*ret_base = base;
	return fd;
}

int fs_stat_beneath(int dirfd, const char *path, struct stat *ret)
{
	CLEANUP_CLOSE int fd = fs_open_beneath(dirfd, path, O_PATH | O_NOFOLLOW, 0);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	*ret = st;
	return 0;
}

/* Opens the directory `part` of dirfd, which is made where it is missing. */
static int enter_dir(int dirfd, const char *part, mode_t mode)
{
	int fd;

	if (!part_is_name(part))
		return -EINVAL;
	fd = open_dir(dirfd, part);
	if (fd != -ENOENT)
		return fd;
	if (mkdirat(dirfd, part, mode) < 0 && errno != EEXIST)
		return -errno;
	return open_dir(dirfd, part);
}

int fs_mkdirs(int dirfd, const char *path, mode_t mode)
{
	CLEANUP_CLOSE int at = open_dir(dirfd, "");
	char part[NAME_MAX + 1];

	if (at < 0)
		return at;
	while (*path) {
		size_t len = strcspn(path, "/");
		int next;

		if (len > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(part, path, len);
		part[len] = '\0';
		next = enter_dir(at, part, mode);
		if (next < 0)
			return next;
		close(at);
		at = next;
		path += len + (path[len] == '/');
	}
	return 0;
}

static int remove_beneath(int dirfd, const char *path, int flags)
{
	const char *base;
	CLEANUP_CLOSE int parent = fs_open_parent(dirfd, path, false, &base);

	if (parent < 0)
		return parent;
	return unlinkat(parent, base, flags) < 0 ? -errno : 0;
}

int fs_unlink_beneath(int dirfd, const char *path)
{
	return remove_beneath(dirfd, path, 0);
}

void fs_prune_parents(int dirfd, const char *path)
{
	char parent[PATH_MAX];
	char *slash;
	int r;

	if (path_head(path, strlen(path), parent))
		return;
	while ((slash = strrchr(parent, '/'))) {
		*slash = '\0';
		r = remove_beneath(dirfd, parent, AT_REMOVEDIR);
		if (r && r != -ENOENT)
			return;
	}
}

typedef int pair_fn(int from_parent, const char *from, int to_parent, const char *to);

/*
 * Calls fn on both names below their resolved parents. ENOENT is tried again as long as the source
 * is there: then it was the destination's parent that somebody pruned.
 */
static int with_parents(pair_fn *fn, int from_dirfd, const char *from, int to_dirfd, const char *to)
{
	int r = -ENOENT;

	for (int i = 0; i < RACE_TRIES && r == -ENOENT; i++) {
		const char *from_base, *to_base = NULL;
		struct stat st;
		CLEANUP_CLOSE int from_parent = fs_open_parent(from_dirfd, from, false, &from_base);
		CLEANUP_CLOSE int to_parent = -1;

		if (from_parent < 0)
			return from_parent;
		if (fstatat(from_parent, from_base, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
		to_parent = fs_open_parent(to_dirfd, to, true, &to_base);
		if (to_parent < 0 && to_parent != -ENOENT)
			return to_parent;
		if (to_parent >= 0)
			r = fn(from_parent, from_base, to_parent, to_base);
	}
	return r;
}

static int do_rename(int from_parent, const char *from, int to_parent, const char *to)
{
	return renameat(from_parent, from, to_parent, to) < 0 ? -errno : 0;
}

int fs_rename_beneath(int from_dirfd, const char *from, int to_dirfd, const char *to)
{
	return with_parents(do_rename, from_dirfd, from, to_dirfd, to);
}

int fs_tmp_name(char out[FS_TMP_NAME_LEN + 1])
{
	uint64_t id;
	ssize_t n;

	do {
		n = getrandom(&id, sizeof(id), 0);
	} while (n < 0 && errno == EINTR);
	if (n != sizeof(id))
		return n < 0 ? -errno : -EIO;
	snprintf(out, FS_TMP_NAME_LEN + 1, FS_TMP_PREFIX "%016llx", (unsigned long long)id);
	return 0;
}

bool fs_is_tmp_name(const char *name)
{
	size_t prefix = sizeof(FS_TMP_PREFIX) - 1;

	return strncmp(name, FS_TMP_PREFIX, prefix) == 0 && strlen(name) == FS_TMP_NAME_LEN &&
	       strspn(name + prefix, "0123456789abcdef") == FS_TMP_NAME_LEN - prefix;
}

/*
 * link(2) does not replace, so a second name is made aside and renamed over the first. rename(2) of
 * two names of one inode does nothing at all, hence the unlink in every case.
 */
static int link_over(int from_parent, const char *from, int to_parent, const char *to)
{
	char tmp[FS_TMP_NAME_LEN + 1];
	int r;

	r = fs_tmp_name(tmp);
	if (r)
		return r;
	if (linkat(from_parent, from, to_parent, tmp, 0) < 0)
		return -errno;
	r = do_rename(to_parent, tmp, to_parent, to);
	unlinkat(to_parent, tmp, 0);
	return r;
}

static int do_link(int from_parent, const char *from, int to_parent, const char *to)
{
	if (linkat(from_parent, from, to_parent, to, 0) == 0)
		return 0;
	return errno == EEXIST ? link_over(from_parent, from, to_parent, to) : -errno;
}

int fs_link_beneath(int from_dirfd, const char *from, int to_dirfd, const char *to)
{
	return with_parents(do_link, from_dirfd, from, to_dirfd, to);
}
