/* SPDX-License-Identifier: Apache-2.0 */
/* Body tiers: opening one, its directories, and the files that have a number for a name. */
#include "tiers/local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tiers/local_internal.h"
#include "util/cleanup.h"
#include "util/fsutil.h"

void local_id_name(uint64_t id, char out[LOCAL_ID_LEN + 1])
{
	snprintf(out, LOCAL_ID_LEN + 1, "%016llx", (unsigned long long)id);
}

int local_create(int dirfd, uint64_t id)
{
	return local_open_id(dirfd, id, O_RDWR | O_CREAT | O_EXCL);
}

int local_open_id(int dirfd, uint64_t id, int flags)
{
	char name[LOCAL_ID_LEN + 1];

	local_id_name(id, name);
	return fs_open_beneath(dirfd, name, flags | O_NOFOLLOW, 0600);
}

int local_unlink_id(int dirfd, uint64_t id)
{
	char name[LOCAL_ID_LEN + 1];

	local_id_name(id, name);
	return unlinkat(dirfd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

/* Makes root/name where it is missing; *ret_fd is O_PATH. */
static int open_part(struct local *l, const char *name, int *ret_fd, struct err *err)
{
	int fd;

	if (mkdirat(l->root_fd, name, 0700) < 0 && errno != EEXIST)
		return err_set(err, -errno, "%s: cannot make %s/: %s", l->name, name,
			       strerror(errno));
	fd = fs_open_beneath(l->root_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0)
		return err_set(err, fd, "%s: cannot open %s/: %s", l->name, name, strerror(-fd));
	*ret_fd = fd;
	return 0;
}

/*
 * objects/ is made last: where it stands without partial/ beside it, it is somebody else's (a git
 * directory has one), and pruning and expiry must not touch it.
 */
static int check_foreign(struct local *l, struct err *err)
{
	struct stat st;

	if (fstatat(l->root_fd, "objects", &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fstatat(l->root_fd, "partial", &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	return err_set(err, -EPROTO,
		       "%s: the directory holds an objects/ that cogfs did not make; "
		       "give the tier a directory of its own",
		       l->name);
}

static int open_parts(struct local *l, struct err *err)
{
	int r = check_foreign(l, err);

	if (r == 0)
		r = open_part(l, "partial", &l->partial_fd, err);
	if (r == 0)
		r = open_part(l, "open", &l->open_fd, err);
	if (r == 0 && l->kind == LOCAL_DISK)
		r = open_part(l, "staging", &l->staging_fd, err);
	if (r == 0)
		r = open_part(l, "objects", &l->objects_fd, err);
	return r;
}

/* Asks by setting one. The directory is ours, so that nothing is left behind but for a crash. */
static int check_xattrs(struct local *l, struct err *err)
{
	CLEANUP_CLOSE int fd = fs_open_beneath(l->partial_fd, "", O_RDONLY | O_DIRECTORY, 0);

	if (fd < 0)
		return err_set(err, fd, "%s: cannot read partial/: %s", l->name, strerror(-fd));
	l->xattrs = fsetxattr(fd, "user.cogfs.probe", "1", 1, 0) == 0;
	if (l->xattrs) {
		fremovexattr(fd, "user.cogfs.probe");
		return 0;
	}
	if (l->kind == LOCAL_RAM)
		return 0;
	return err_set(err, -EOPNOTSUPP,
		       "%s: this filesystem keeps no user xattrs (%s); put the disk tier's path on "
		       "ext4, xfs or btrfs",
		       l->name, strerror(errno));
}

static int resolve_min_free(struct local *l, const struct local_conf *conf, struct err *err)
{
	struct statvfs vfs;
	uint64_t part;

	if (conf->min_free == 0 && conf->min_free_ratio <= 0)
		return 0;
	if (fstatvfs(l->root_fd, &vfs) < 0)
		return err_set(err, -errno, "%s: statfs: %s", l->name, strerror(errno));
	part = (uint64_t)((double)vfs.f_blocks * (double)vfs.f_frsize * conf->min_free_ratio);
	l->min_free = conf->min_free > part ? conf->min_free : part;
	return 0;
}

static int open_root(struct local *l, const struct local_conf *conf, struct err *err)
{
	int fd;

	if (l->kind == LOCAL_RAM)
		return local_ram_root(l, conf, err);
	fd = fs_open_root(conf->path, 0700);
	if (fd < 0)
		return err_set(err, fd, "%s: cannot open %s: %s", l->name, conf->path,
			       strerror(-fd));
	l->root_fd = fd;
	return 0;
}

static int setup(struct local *l, const struct local_conf *conf, struct err *err)
{
	int r = open_root(l, conf, err);

	if (r == 0)
		r = open_parts(l, err);
	if (r == 0)
		r = check_xattrs(l, err);
	if (r == 0)
		r = resolve_min_free(l, conf, err);
	if (r)
		return r;
	r = local_empty_dir(l->partial_fd);
	if (r == 0 && !conf->keep_open)
		r = local_empty_dir(l->open_fd);
	return r ? err_set(err, r, "%s: cannot remove what was left: %s", l->name, strerror(-r))
		 : 0;
}

int local_open(const struct local_conf *conf, struct local **ret_local, struct err *err)
{
	struct local *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return err_set(err, -ENOMEM, "no memory");
	l->root_fd = l->objects_fd = l->partial_fd = l->open_fd = l->staging_fd = l->ram_parent_fd =
		-1;
	l->kind = conf->kind;
	l->max_size = conf->max_size;
	l->max_objects = conf->max_objects;
	l->name = strdup(conf->name);
	r = l->name ? setup(l, conf, err) : err_set(err, -ENOMEM, "no memory");
	if (r) {
		local_close(l);
		return r;
	}
	*ret_local = l;
	return 0;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void local_close(struct local *l)
{
	if (!l)
		return;
	close_fd(l->objects_fd);
	close_fd(l->partial_fd);
	close_fd(l->open_fd);
	close_fd(l->staging_fd);
	if (l->ram_dir)
		local_ram_remove(l);
	close_fd(l->root_fd);
	free(l->name);
	free(l);
}
