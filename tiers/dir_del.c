/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deleting from a directory store. A deletion is durable when it returns, so each costs an fsync of
 * its directory; of many, one a directory. Directories that nobody made on purpose go with the last
 * name in them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tiers/dir_internal.h"
#include "util/cleanup.h"
#include "util/fsutil.h"

/* What makes it sure that there is no such object. */
static bool nothing_there(int code)
{
	return code == -ENOENT || code == -ENOTDIR || code == -ELOOP || code == -EXDEV;
}

int dir_sync_parent(const struct dir *d, const char *key)
{
	const char *base;
	CLEANUP_CLOSE int fd = fs_open_parent(d->root_fd, key, false, &base);

	if (fd < 0)
		return nothing_there(fd) ? 0 : fd;
	return fsync(fd) < 0 ? -errno : 0;
}

/* Removes the directory path where it is empty and no marker. */
static bool remove_implied(struct dir *d, const struct tier_call *given, const char *path)
{
	CLEANUP_DIR_LOCK struct dir_lock lock = {0};
	struct tier_call call = {.deadline = given->deadline, .cancel = given->cancel};
	CLEANUP_CLOSE int fd = -1;
	CLEANUP_CLOSE int parent = -1;
	const char *base;
	struct record rec;
	struct stat st;
	int r;

	if (dir_lock(d, &call, path, &lock))
		return false;
	fd = dir_open_directory(d, path, &st);
	if (fd < 0)
		return fd == -ENOENT;
	record_init(&rec);
	r = dir_record_read(d, fd, &st, &rec);
	record_release(&rec);
	if (r != -ENOENT)
		return false;
	parent = fs_open_parent(d->root_fd, path, false, &base);
	return parent >= 0 && unlinkat(parent, base, AT_REMOVEDIR) == 0;
}

/* From path upwards. What cannot be removed stays: it lists as an empty directory. */
static void prune(struct dir *d, const struct tier_call *call, const char *path)
{
	CLEANUP_FREE char *at = strdup(path);

	while (at && at[0] && remove_implied(d, call, at)) {
		char *slash = strrchr(at, '/');

		*(slash ? slash : at) = '\0';
	}
}

static void prune_above(struct dir *d, const struct tier_call *call, const char *key)
{
	const char *slash = strrchr(key, '/');
	CLEANUP_FREE char *parent = slash ? strndup(key, (size_t)(slash - key)) : NULL;

	if (parent)
		prune(d, call, parent);
}

static int check_version(struct dir *d, struct tier_call *call, const char *key, const char *etag)
{
	struct record rec;
	int fd;

	record_init(&rec);
	fd = dir_open_version(d, call, key, etag, &rec);
	record_release(&rec);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

/* Removes an object's name; neither durable nor pruned yet. What is no object stays. */
static int remove_file(struct dir *d, struct tier_call *call, const char *key, const char *etag)
{
	CLEANUP_DIR_LOCK struct dir_lock lock = {0};
	CLEANUP_CLOSE int parent = -1;
	const char *base;
	struct stat st;
	int r = dir_lock(d, call, key, &lock);

	if (r)
		return r;
	if (etag) {
		r = check_version(d, call, key, etag);
		if (r)
			return r == -ENOENT ? 0 : r;
	}
	parent = fs_open_parent(d->root_fd, key, false, &base);
	if (parent < 0)
		return nothing_there(parent) ? 0 : dir_fail(call, parent, "open directory");
	if (fstatat(parent, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : dir_fail(call, -errno, "stat");
	if (!S_ISREG(st.st_mode))
		return 0;
	if (unlinkat(parent, base, 0) < 0 && errno != ENOENT)
		return dir_fail(call, -errno, "unlink");
	return 0;
}

static int remove_marker(struct dir *d, struct tier_call *call, const char *key, const char *etag)
{
	CLEANUP_DIR_LOCK struct dir_lock lock = {0};
	CLEANUP_CLOSE int fd = -1;
	struct record rec;
	struct stat st;
	bool other;
	int r = dir_lock(d, call, key, &lock);

	if (r)
		return r;
	fd = dir_open_directory(d, key, &st);
	if (fd < 0)
		return fd == -ENOENT ? 0 : dir_fail(call, fd, "open directory");
	record_init(&rec);
	r = dir_record_read(d, fd, &st, &rec);
	other = r == 0 && etag && strcmp(rec.etag, etag) != 0;
	record_release(&rec);
	if (other)
		return err_set(&call->err, -ESTALE, "another version is there");
	if (r == 0)
		r = dir_record_clear(d, fd);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	return r && r != -ENOENT ? dir_fail(call, r, "remove metadata") : 0;
}

/* Without xattrs each directory counts as made on purpose, so only this removes one. */
static int remove_plain_directory(struct dir *d, struct tier_call *call, const char *key)
{
	const char *base;
	CLEANUP_CLOSE int parent = fs_open_parent(d->root_fd, key, false, &base);

	if (parent < 0)
		return nothing_there(parent) ? 0 : dir_fail(call, parent, "open directory");
	if (unlinkat(parent, base, AT_REMOVEDIR) < 0 && errno != ENOENT && errno != ENOTEMPTY &&
	    errno != ENOTDIR)
		return dir_fail(call, -errno, "remove directory");
	return 0;
}

int dir_del(struct tier *t, struct tier_call *call, const char *key, bool marker, const char *etag)
{
	struct dir *d = dir_of(t);
	int r;

	if (d->read_only)
		return err_set(&call->err, -EROFS, "this tier is read-only");
	r = marker ? remove_marker(d, call, key, etag) : remove_file(d, call, key, etag);
	if (r)
		return r;
	if (marker && !d->xattrs)
		r = remove_plain_directory(d, call, key);
	else if (marker)
		prune(d, call, key);
	if (r)
		return r;
	r = dir_sync_parent(d, key);
	if (r)
		return dir_fail(call, r, "make the directory durable");
	prune_above(d, call, key);
	return 0;
}

static bool same_directory(const char *a, const char *b)
{
	const char *a_end = strrchr(a, '/'), *b_end = strrchr(b, '/');
	size_t a_len = a_end ? (size_t)(a_end - a) : 0, b_len = b_end ? (size_t)(b_end - b) : 0;

	return a_len == b_len && memcmp(a, b, a_len) == 0;
}

/* keys[0..n) are of one directory. */
static int delete_in(struct dir *d, struct tier_call *call, const char *const *keys, size_t n,
		     int *ret_codes)
{
	struct tier_call failed = *call;
	int first = 0, r;

	for (size_t i = 0; i < n; i++) {
		r = tier_call_check(&d->base, call);
		ret_codes[i] = r ? dir_fail(call, r, "delete")
				 : remove_file(d, call, keys[i], NULL);
		if (ret_codes[i] && first == 0) {
			first = ret_codes[i];
			failed = *call;
		}
	}
	r = dir_sync_parent(d, keys[0]);
	for (size_t i = 0; i < n && r; i++)
		ret_codes[i] = r;
	if (r)
		return dir_fail(call, r, "make the directory durable");
	prune_above(d, call, keys[0]);
	*call = failed;
	return first;
}

int dir_del_many(struct tier *t, struct tier_call *call, const char *const *keys, size_t n,
		 int *ret_codes)
{
	struct dir *d = dir_of(t);
	struct tier_call failed = *call;
	int first = 0;

	for (size_t i = 0; i < n && d->read_only; i++)
		ret_codes[i] = -EROFS;
	if (d->read_only)
		return err_set(&call->err, -EROFS, "this tier is read-only");
	for (size_t at = 0, end; at < n; at = end) {
		int r;

		for (end = at + 1; end < n && same_directory(keys[at], keys[end]); end++)
			;
		r = delete_in(d, call, keys + at, end - at, ret_codes + at);
		if (r && first == 0) {
			first = r;
			failed = *call;
		}
	}
	*call = failed;
	return first;
}
