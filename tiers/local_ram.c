/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the RAM tier lives: a private tmpfs without a mount point, which goes with its last
 * descriptor, or, for a process that may not mount, a directory on a tmpfs of the system.
 *
 * Such a directory would outlive a killed process and keep its memory. So its owner holds a lock on
 * it, and whoever makes the next one removes those that nobody holds.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tiers/local_internal.h"
#include "util/cleanup.h"
#include "util/fsutil.h"

#define RAM_DIR_PREFIX "cogfs-ram-"

/* nr_inodes=0: the number of objects is limited by the tier's budget, not by half of the pages. */
static int configure_tmpfs(int fs_fd, uint64_t size)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)size);
	if (fsconfig(fs_fd, FSCONFIG_SET_STRING, "source", "cogfs", 0) < 0 ||
	    fsconfig(fs_fd, FSCONFIG_SET_STRING, "size", text, 0) < 0 ||
	    fsconfig(fs_fd, FSCONFIG_SET_STRING, "mode", "0700", 0) < 0 ||
	    fsconfig(fs_fd, FSCONFIG_SET_STRING, "nr_inodes", "0", 0) < 0 ||
	    fsconfig(fs_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	return 0;
}

int local_tmpfs(uint64_t size)
{
	CLEANUP_CLOSE int fs_fd = fsopen("tmpfs", FSOPEN_CLOEXEC);
	int fd, r;

	if (fs_fd < 0)
		return -errno;
	r = configure_tmpfs(fs_fd, size);
	if (r)
		return r;
	fd = fsmount(fs_fd, FSMOUNT_CLOEXEC,
		     MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	return fd < 0 ? -errno : fd;
}

static void remove_ram_dir(int parent_fd, const char *name, int fd)
{
	local_empty_tree(fd);
	unlinkat(parent_fd, name, AT_REMOVEDIR);
}

/* Removes name where its owner is gone: nobody holds the lock. */
static void sweep_one(int parent_fd, const char *name)
{
	CLEANUP_CLOSE int fd = fs_open_beneath(parent_fd, name, O_RDONLY | O_DIRECTORY, 0);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_uid != geteuid())
		return;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		remove_ram_dir(parent_fd, name, fd);
}

static void sweep(int parent_fd)
{
	int error;
	DIR *dir = local_opendir(parent_fd, "", &error);
	struct dirent *de;

	if (!dir)
		return;
	while ((de = local_nextdir(dir, &error))) {
		if (strncmp(de->d_name, RAM_DIR_PREFIX, strlen(RAM_DIR_PREFIX)) == 0)
			sweep_one(parent_fd, de->d_name);
	}
	closedir(dir);
}

/*
 * Makes a locked directory in parent. Another process may sweep it between mkdir and flock: it is
 * empty then, and gone from its name.
 */
static int make_ram_dir(int parent_fd, char **ret_name)
{
	for (int i = 0; i < 16; i++) {
		char tmp[FS_TMP_NAME_LEN + 1];
		CLEANUP_FREE char *name = NULL;
		CLEANUP_CLOSE int fd = -1;
		struct stat st;
		int r = fs_tmp_name(tmp);

		if (r)
			return r;
		if (asprintf(&name, RAM_DIR_PREFIX "%s", tmp + strlen(FS_TMP_PREFIX)) < 0) {
			name = NULL;
			return -ENOMEM;
		}
		if (mkdirat(parent_fd, name, 0700) < 0)
			return -errno;
		fd = fs_open_beneath(parent_fd, name, O_RDONLY | O_DIRECTORY, 0);
		if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &st) < 0 ||
		    st.st_nlink == 0)
			continue;
		*ret_name = STEAL_PTR(name);
		return steal_fd(&fd);
	}
	return -EAGAIN;
}

static int ram_dir_below(struct local *l, const char *path)
{
	CLEANUP_CLOSE int parent = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd;

	if (parent < 0)
		return -errno;
	sweep(parent);
	fd = make_ram_dir(parent, &l->ram_dir);
	if (fd < 0)
		return fd;
	l->root_fd = fd;
	l->ram_parent_fd = steal_fd(&parent);
	return 0;
}

int local_ram_root(struct local *l, const struct local_conf *conf, struct err *err)
{
	const char *const paths[] = {conf->path, "/dev/shm", getenv("XDG_RUNTIME_DIR")};
	int fd, mount_error, r = -ENOENT;

	fd = conf->ram_fd >= 0 ? fcntl(conf->ram_fd, F_DUPFD_CLOEXEC, 0)
			       : local_tmpfs(conf->max_size);
	if (fd >= 0) {
		l->root_fd = fd;
		return 0;
	}
	if (conf->ram_fd >= 0)
		return err_set(err, -errno, "%s: the tmpfs that was handed over: %s", l->name,
			       strerror(errno));
	mount_error = fd;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		if (!paths[i])
			continue;
		r = ram_dir_below(l, paths[i]);
		if (r == 0)
			return 0;
	}
	return err_set(err, r, "%s: no tmpfs (%s), and no runtime directory to take instead (%s)",
		       l->name, strerror(-mount_error), strerror(-r));
}

void local_ram_remove(struct local *l)
{
	remove_ram_dir(l->ram_parent_fd, l->ram_dir, l->root_fd);
	close(l->ram_parent_fd);
	free(l->ram_dir);
}
