/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing to a directory store: put, copy, set_meta.
 *
 * A put has two steps. The long one makes a file below .cogfs/tmp that is whole and durable: the
 * bytes by reflink, by a hard link of an immutable source where the configuration allows it, else
 * by copying; record, mtime, fsync. The short one, under the key's lock, looks at the precondition
 * and renames. The directory is made durable after that, without the lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tiers/dir_internal.h"
#include "util/cleanup.h"
#include "util/fsutil.h"

#define RACES_MAX 100 /* directories that were pruned while we made them */

/* --- the short step --- */

static int check_etag(struct dir *d, struct tier_call *call, int fd, const struct stat *st,
		      const struct tier_pre *pre)
{
	struct record rec;
	int r;

	if (pre->cond == TIER_ANY)
		return 0;
	if (pre->cond == TIER_IF_ABSENT)
		return err_set(&call->err, -EEXIST, "it is there");
	record_init(&rec);
	r = dir_record_read(d, fd, st, &rec);
	if (r == 0 && strcmp(rec.etag, pre->etag) != 0)
		r = err_set(&call->err, -ESTALE, "another version is there");
	else if (r)
		r = dir_fail(call, r, "read metadata");
	record_release(&rec);
	return r;
}

static int is_absent(struct tier_call *call, const struct tier_pre *pre)
{
	if (pre->cond != TIER_IF_MATCH)
		return 0;
	return err_set(&call->err, -ENOENT, "the version to replace is gone");
}

static int check_pre(struct dir *d, struct tier_call *call, const char *key,
		     const struct tier_pre *pre)
{
	CLEANUP_CLOSE int fd = -1;
	struct stat st;

	fd = dir_open(d, key, &st);
	if (fd >= 0)
		return check_etag(d, call, fd, &st, pre);
	if (fd == -ENOENT || fd == -EISDIR)
		return is_absent(call, pre);
	if (fd == -ELOOP)
		return err_set(&call->err, -EINVAL, "a link or a special file has that name");
	return dir_fail(call, fd, "open");
}

/* A directory is in the way: where it is empty and nobody made it on purpose, it goes. */
static bool clear_way(const struct dir *d, const char *key, int parent_fd, const char *base)
{
	CLEANUP_CLOSE int fd = -1;
	struct record rec;
	struct stat st;
	bool marker;

	fd = dir_open_directory(d, key, &st);
	if (fd < 0)
		return false;
	record_init(&rec);
	marker = dir_record_read(d, fd, &st, &rec) != -ENOENT;
	record_release(&rec);
	return !marker && unlinkat(parent_fd, base, AT_REMOVEDIR) == 0;
}

static bool is_directory(int parent_fd, const char *base)
{
	struct stat st;

	return fstatat(parent_fd, base, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static int rename_into(const struct dir_staged *s, int parent_fd, const char *base, bool absent)
{
	if (absent && renameat2(s->d->tmp_fd, s->name, parent_fd, base, RENAME_NOREPLACE) == 0)
		return 0;
	if (absent && errno != EINVAL) /* EINVAL: not on this filesystem, the lock must do */
		return -errno;
	return renameat(s->d->tmp_fd, s->name, parent_fd, base) < 0 ? -errno : 0;
}

/* The directory of key, made where it is missing: *ret_made. */
static int open_parent(const struct dir *d, const char *key, const char **ret_base, bool *ret_made)
{
	int fd = fs_open_parent(d->root_fd, key, false, ret_base);

	if (fd != -ENOENT)
		return fd;
	*ret_made = true;
	return fs_open_parent(d->root_fd, key, true, ret_base);
}

static int clashes(struct tier_call *call, int code)
{
	if (code == -ENOTDIR || code == -ELOOP)
		return err_set(&call->err, -EINVAL, "a file has the name of a directory above it");
	if (code == -EISDIR || code == -ENOTEMPTY)
		return err_set(&call->err, -EINVAL, "a directory has that name");
	return dir_fail(call, code, "rename");
}

/* Renames; the lock is held. *ret_parent_fd: the directory, to be made durable. */
static int move_in(struct dir_staged *s, struct tier_call *call, const char *key, bool absent,
		   int *ret_parent_fd, bool *ret_made)
{
	for (unsigned int races = 0;; races++) {
		const char *base;
		CLEANUP_CLOSE int fd = open_parent(s->d, key, &base, ret_made);
		int r = fd < 0 ? fd : rename_into(s, fd, base, absent);

		if (r == 0) {
			*ret_parent_fd = steal_fd(&fd);
			return 0;
		}
		if (races == RACES_MAX || (fd < 0 && r != -ENOENT))
			return clashes(call, r);
		if (r == -ENOENT)
			continue;
		if ((r == -EISDIR || r == -EEXIST) && clear_way(s->d, key, fd, base))
			continue;
		if (r == -EEXIST && is_directory(fd, base))
			r = -EISDIR;
		return r == -EEXIST ? err_set(&call->err, r, "it is there") : clashes(call, r);
	}
}

static int sync_above(const struct dir *d, const char *key)
{
	CLEANUP_FREE char *path = strdup(key);
	char *slash;
	int r = 0;

	if (!path)
		return -ENOMEM;
	while (r == 0 && (slash = strrchr(path, '/'))) {
		*slash = '\0';
		r = dir_sync_parent(d, path);
	}
	return r;
}

static int publish(struct dir_staged *s, struct tier_call *call, const char *key,
		   const struct tier_pre *pre)
{
	CLEANUP_CLOSE int parent_fd = -1;
	bool made = false;
	int r;

	{
		CLEANUP_DIR_LOCK struct dir_lock lock = {0};

		r = dir_lock(s->d, call, key, &lock);
		if (r == 0)
			r = check_pre(s->d, call, key, pre);
		if (r == 0)
			r = move_in(s, call, key, pre->cond == TIER_IF_ABSENT, &parent_fd, &made);
		if (r)
			return r;
	}
	if (fsync(parent_fd) < 0)
		r = -errno;
	if (r == 0 && made)
		r = sync_above(s->d, key);
	return r ? dir_fail(call, r, "make the directory durable") : 0;
}

/* --- operations --- */

/* The directory of key, made where it is missing: *ret_made. Its lock is held. */
static int open_or_make(struct dir *d, struct tier_call *call, const char *key, struct stat *ret_st,
			bool *ret_made)
{
	int fd = dir_open_directory(d, key, ret_st);

	*ret_made = fd == -ENOENT;
	for (unsigned int races = 0; fd == -ENOENT; races++) {
		int r = fs_mkdirs(d->root_fd, key, 0700);

		if (r && (r != -ENOENT || races == RACES_MAX))
			return clashes(call, r);
		fd = dir_open_directory(d, key, ret_st);
	}
	return fd < 0 ? dir_fail(call, fd, "open directory") : fd;
}

static int check_marker_pre(struct dir *d, struct tier_call *call, const char *key,
			    const struct tier_pre *pre)
{
	CLEANUP_CLOSE int fd = -1;
	struct record rec;
	struct stat st;
	int r;

	fd = dir_open_directory(d, key, &st);
	if (fd < 0)
		return fd == -ENOENT ? is_absent(call, pre) : dir_fail(call, fd, "open directory");
	record_init(&rec);
	r = dir_record_read(d, fd, &st, &rec);
	record_release(&rec);
	return r == -ENOENT ? is_absent(call, pre) : check_etag(d, call, fd, &st, pre);
}

static int put_marker(struct dir *d, struct tier_call *call, const char *key,
		      const struct record *rec, const struct tier_pre *pre, char *ret_etag)
{
	CLEANUP_DIR_LOCK struct dir_lock lock = {0};
	CLEANUP_CLOSE int fd = -1;
	struct stat st;
	bool made;
	int r = dir_lock(d, call, key, &lock);

	if (r == 0)
		r = check_marker_pre(d, call, key, pre);
	if (r)
		return r;
	fd = open_or_make(d, call, key, &st, &made);
	if (fd < 0)
		return fd;
	r = dir_record_write(d, fd, rec, &rec->xxh3, STAMP_NEW, ret_etag);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	dir_unlock(&lock);
	if (r == 0)
		r = dir_sync_parent(d, key);
	if (r == 0 && made)
		r = sync_above(d, key);
	return r ? dir_fail(call, r, "make directory") : 0;
}

static int is_read_only(struct tier_call *call)
{
	return err_set(&call->err, -EROFS, "this tier is read-only");
}

int dir_put(struct tier *t, struct tier_call *call, const char *key, const struct tier_source *src,
	    const struct record *rec, const struct tier_pre *pre, char *ret_etag)
{
	struct dir *d = dir_of(t);
	CLEANUP_DIR_STAGED struct dir_staged s = {.d = d, .fd = -1};
	char etag[ETAG_MAX];
	int r;

	if (d->read_only)
		return is_read_only(call);
	if ((rec->known & REC_MODE) && S_ISDIR(rec->mode))
		return put_marker(d, call, key, rec, pre, ret_etag);
	r = check_pre(d, call, key,
		      pre); /* before the work; what counts is the look under the lock */
	if (r)
		return r;
	r = dir_stage_bytes(&s, call, src);
	if (r == 0)
		r = dir_stage_record(&s, rec, &src->xxh3, etag);
	if (r)
		return dir_fail(call, r, "write");
	r = publish(&s, call, key, pre);
	if (r == 0)
		memcpy(ret_etag, etag, ETAG_MAX);
	return r;
}

static int copy_to(struct dir *d, struct tier_call *call, int fd, const struct record *old,
		   const char *to, const struct record *rec, const struct tier_pre *pre,
		   char *ret_etag)
{
	CLEANUP_DIR_STAGED struct dir_staged s = {.d = d, .fd = -1};
	const struct tier_source src = {.fd = fd, .size = old->size, .xxh3 = old->xxh3};
	char etag[ETAG_MAX];
	int r = check_pre(d, call, to, pre);

	if (r)
		return r;
	r = dir_stage_bytes(&s, call, &src);
	if (r == 0)
		r = dir_stage_record(&s, rec ? rec : old, &old->xxh3, etag);
	if (r)
		return dir_fail(call, r, "write");
	r = dir_check_version(d, call, fd, old->etag);
	if (r == 0)
		r = publish(&s, call, to, pre);
	if (r == 0)
		memcpy(ret_etag, etag, ETAG_MAX);
	return r;
}

/* Metadata in place: under the lock, so that two of them do not mix. */
static int replace_meta(struct dir *d, struct tier_call *call, const char *key, const char *etag,
			const struct record *rec, const struct tier_pre *pre, char *ret_etag)
{
	CLEANUP_DIR_LOCK struct dir_lock lock = {0};
	CLEANUP_CLOSE int fd = -1;
	struct record old;
	int r = dir_lock(d, call, key, &lock);

	if (r == 0)
		r = check_pre(d, call, key, pre);
	if (r)
		return r;
	record_init(&old);
	fd = dir_open_version(d, call, key, etag, &old);
	if (fd < 0)
		return fd;
	r = dir_record_write(d, fd, rec, &old.xxh3, STAMP_KEEP, ret_etag);
	record_release(&old);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	return r ? dir_fail(call, r, "write metadata") : 0;
}

int dir_copy(struct tier *t, struct tier_call *call, const char *from, const char *etag,
	     const char *to, const struct record *rec, const struct tier_pre *pre, char *ret_etag)
{
	struct dir *d = dir_of(t);
	CLEANUP_CLOSE int fd = -1;
	struct record old;
	int r;

	if (d->read_only)
		return is_read_only(call);
	if (strcmp(from, to) == 0)
		return replace_meta(d, call, to, etag, rec, pre, ret_etag);
	record_init(&old);
	fd = dir_open_version(d, call, from, etag, &old);
	if (fd < 0)
		return fd;
	r = copy_to(d, call, fd, &old, to, rec, pre, ret_etag);
	record_release(&old);
	return r;
}

int dir_set_meta(struct tier *t, struct tier_call *call, const char *key, const char *etag,
		 const struct record *rec, char *ret_etag)
{
	const struct tier_pre any = {.cond = TIER_ANY};
	struct dir *d = dir_of(t);

	if (d->read_only)
		return is_read_only(call);
	return replace_meta(d, call, key, etag, rec, &any, ret_etag);
}
