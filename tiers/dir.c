/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dir: a plain directory as a store (a NAS, a disk, the embedded default). An object is a file of
 * the same name with its bytes, readable by every tool; its record is in the file's xattrs.
 *
 * Below the root
 *	<key>			the object. A directory with a record of its own is the marker
 *				"key/"; one without is a prefix, and goes with the last object below
 *				it
 *	.cogfs/tmp/<random>	objects on their way, renamed into place when they are durable
 *	.cogfs/lock/00..3f	one lock for the keys of one hash (dir_lock.c)
 *
 * A crash leaves the old object or the new one, at worst a file in tmp, which is removed a day
 * later, or an empty directory, which lists as one.
 *
 * What differs from a bucket: "a" and "a/b" cannot both be, the later put is -EINVAL. A symbolic
 * link in the store is an empty file whose record names the target; real links and special files
 * that somebody else put there are not objects, are not listed, and are neither followed nor
 * replaced.
 *
 * Files that other tools write are objects without a record: size and mtime are known. A file of
 * ours that another tool changes is a new version, and its hash is forgotten (dir_record.c). Where
 * the filesystem has no user xattrs, that is all that is known of any file, symbolic links cannot
 * be stored, and each directory counts as made on purpose.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "model/key.h"
#include "tiers/dir_internal.h"
#include "tiers/stores.h"
#include "util/cleanup.h"
#include "util/fsutil.h"

#define HIDDEN_TMP CONTROL_DIR "/tmp"
#define HIDDEN_LOCK CONTROL_DIR "/lock"
#define TMP_AGE_S (24 * 60 * 60)

/* Errors that say nothing of the object: the next try may find the disk, or the NAS, in a better
 * mood. */
static bool passes(int code)
{
	switch (-code) {
	case EIO:
	case EAGAIN:
	case EBUSY:
	case EINTR:
	case EMFILE:
	case ENFILE:
	case ESTALE: /* NFS's, not ours */
	case ETIMEDOUT:
		return true;
	default:
		return false;
	}
}

int dir_fail(struct tier_call *call, int code, const char *what)
{
	call->transient = passes(code);
	err_set(&call->err, code, "%s: %s", what, err_text(NULL, code));
	switch (-code) {
	case ENOENT:
	case EACCES:
	case EINVAL:
	case EROFS:
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
	case E2BIG:
	case ENOMEM:
	case EXDEV:
	case EMLINK:
	case EEXIST:
	case ECANCELED:
	case ETIMEDOUT:
	case EOPNOTSUPP:
	case ENAMETOOLONG:
		return code;
	case EPERM:
		return -EACCES;
	default:
		return -EIO;
	}
}

int dir_open(const struct dir *d, const char *key, struct stat *ret_st)
{
	CLEANUP_CLOSE int fd = fs_open_beneath(d->root_fd, key,
					       O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);

	if (fd == -ENOTDIR)
		return -ENOENT;
	if (fd == -ENXIO || fd == -EXDEV) /* a socket, a FIFO; a link out of the root */
		return -ELOOP;
	if (fd < 0)
		return fd;
	if (fstat(fd, ret_st) < 0)
		return -errno;
	if (S_ISDIR(ret_st->st_mode))
		return -EISDIR;
	return S_ISREG(ret_st->st_mode) ? steal_fd(&fd) : -ELOOP;
}

int dir_open_directory(const struct dir *d, const char *key, struct stat *ret_st)
{
	CLEANUP_CLOSE int fd = fs_open_beneath(d->root_fd, key, O_RDONLY | O_NOFOLLOW | O_DIRECTORY,
					       0);

	if (fd == -ENOTDIR || fd == -ELOOP || fd == -EXDEV)
		return -ENOENT;
	if (fd >= 0 && fstat(fd, ret_st) < 0)
		return -errno;
	return steal_fd(&fd);
}

/* The root must be the directory that it was: a NAS that is gone leaves an empty mount point. */
static int dir_probe(struct tier *t, struct tier_call *call)
{
	struct dir *d = dir_of(t);
	struct stat now, then;

	if (stat(d->path, &now) < 0)
		return dir_fail(call, -errno, d->path);
	if (fstat(d->root_fd, &then) < 0)
		return dir_fail(call, -errno, d->path);
	if (now.st_dev != then.st_dev || now.st_ino != then.st_ino) {
		call->transient = true;
		return err_set(&call->err, -EIO, "%s: another directory is there now", d->path);
	}
	return 0;
}

static void dir_close(struct tier *t)
{
	struct dir *d = dir_of(t);

	dir_locks_release(d);
	cleanup_closep(&d->lock_fd);
	cleanup_closep(&d->tmp_fd);
	cleanup_closep(&d->root_fd);
	free(d->path);
	tier_release(&d->base);
	free(d);
}

static const struct tier_ops dir_ops = {
	.type = "dir",
	.probe = dir_probe,
	.head = dir_head,
	.get = dir_get,
	.put = dir_put,
	.del = dir_del,
	.del_many = dir_del_many,
	.list = dir_list,
	.copy = dir_copy,
	.set_meta = dir_set_meta,
	.share = dir_share,
	.close = dir_close,
};

struct dir *dir_of(struct tier *t)
{
	assert(t->ops == &dir_ops);
	return (struct dir *)t;
}

/* --- creation --- */

static int open_root(struct dir *d, struct err *err)
{
	if (!d->read_only && mkdir(d->path, 0700) < 0 && errno != EEXIST)
		return err_set(err, -errno, "%s: cannot be made: %s", d->path,
			       err_text(NULL, -errno));
	d->root_fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->root_fd < 0)
		return err_set(err, -errno, "%s: %s", d->path, err_text(NULL, -errno));
	/* Also told where nothing can be written. */
	d->xattrs = fgetxattr(d->root_fd, RECORD_XATTR, NULL, 0) >= 0 || errno == ENODATA;
	return 0;
}

/* Left by a writer that died. A live one changes its file, link or time, within a day. */
static void sweep_tmp(const struct dir *d)
{
	int fd = openat(d->tmp_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	time_t now = (time_t)(clock_wall(d->base.clock) / NSEC_PER_SEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;
	struct stat st;

	if (!dir) {
		cleanup_closep(&fd);
		return;
	}
	while ((de = readdir(dir))) {
		if (fstatat(d->tmp_fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    !S_ISDIR(st.st_mode) && now - st.st_ctim.tv_sec > TMP_AGE_S)
			unlinkat(d->tmp_fd, de->d_name, 0);
	}
	closedir(dir);
}

static int open_hidden(const struct dir *d, const char *path, struct err *err)
{
	int r = fs_mkdirs(d->root_fd, path, 0700);

	if (r == 0)
		r = fs_open_beneath(d->root_fd, path, O_RDONLY | O_DIRECTORY, 0);
	return r < 0 ? err_set(err, r, "%s/%s: %s", d->path, path, err_text(NULL, r)) : r;
}

static int open_work_dirs(struct dir *d, struct err *err)
{
	d->tmp_fd = open_hidden(d, HIDDEN_TMP, err);
	if (d->tmp_fd < 0)
		return d->tmp_fd;
	d->lock_fd = open_hidden(d, HIDDEN_LOCK, err);
	if (d->lock_fd < 0)
		return d->lock_fd;
	d->flock = flock(d->lock_fd, LOCK_SH | LOCK_NB) == 0 || errno == EWOULDBLOCK;
	flock(d->lock_fd, LOCK_UN);
	sweep_tmp(d);
	return 0;
}

static struct tier_caps caps_of(const struct dir *d)
{
	return (struct tier_caps){
		.flags = TIER_CAP_COPY | TIER_CAP_LIST_RECORDS | TIER_CAP_SHARE | TIER_CAP_LOCAL |
			 (d->flock ? TIER_CAP_COND_PUT | TIER_CAP_COND_DELETE : 0),
		.max_size = INT64_MAX,
		.max_metadata = META_MAX,
		.max_key = KEY_MAX,
		.delete_batch = 1000,
	};
}

int dir_create(const struct tier_env *env, const struct dir_conf *conf, struct tier **ret_tier,
	       struct err *err)
{
	const struct tier_caps no_caps = {.delete_batch = 1};
	struct dir *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return err_set(err, -ENOMEM, "no memory");
	r = dir_locks_init(d);
	if (r == 0)
		r = tier_init(&d->base, &dir_ops, conf->name, &no_caps, env->clock, env->counters);
	if (r) {
		free(d);
		return err_set(err, r, "%s", err_text(NULL, r));
	}
	d->root_fd = d->tmp_fd = d->lock_fd = -1;
	d->read_only = conf->read_only;
	d->link = conf->link;
	d->path = strdup(conf->path);
	r = d->path ? open_root(d, err) : err_set(err, -ENOMEM, "no memory");
	if (r == 0 && !d->read_only)
		r = open_work_dirs(d, err);
	if (r) {
		dir_close(&d->base);
		return r;
	}
	d->base.caps = caps_of(d);
	*ret_tier = &d->base;
	return 0;
}
