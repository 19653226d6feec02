/* SPDX-License-Identifier: Apache-2.0 */
/* Looks at a mount point before the mount, and takes mounts away. */
#include "cli/mountpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/mounts.h"
#include "util/cleanup.h"

/* --- unmounting --- */

/* fusermount3 may unmount what its caller mounted. Its words go to *said. */
static int run_fusermount(const char *dir, bool lazy, char *said, size_t size)
{
	char *argv[] = {"fusermount3", "-u", lazy ? "-z" : "-q", "--", (char *)dir, NULL};
	posix_spawn_file_actions_t actions;
	int ends[2], status, r;
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
	r = -posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(ends[1]);
	while (r == 0 && len + 1 < size && (n = read(ends[0], said + len, size - 1 - len)) > 0)
		len += (size_t)n;
	said[len] = '\0';
	said[strcspn(said, "\n")] = '\0';
	close(ends[0]);
	if (r < 0)
		return r;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EPERM;
}

static int unmount_as_user(const char *dir, bool lazy, struct err *err)
{
	char said[256] = "";
	int r = run_fusermount(dir, lazy, said, sizeof(said));

	if (r == -ENOENT)
		return err_set(err, -EPERM,
			       "only root may unmount it: fusermount3 is not installed");
	if (r < 0 && strstr(said, strerror(EBUSY)))
		return err_set(err, -EBUSY, "it is in use");
	return r < 0 ? err_set(err, r, "%s", *said ? said : "fusermount3 failed") : 0;
}

int mountpoint_unmount(const char *dir, bool lazy, struct err *err)
{
	if (umount2(dir, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0)
		return 0;
	if (errno == EPERM)
		return unmount_as_user(dir, lazy, err);
	return err_set(err, -errno, "%s", errno == EBUSY ? "it is in use" : strerror(errno));
}

/* --- before the mount --- */

/*
 * A cogfs whose processes are gone answers ENOTCONN: to statfs(2) always, to stat(2) not as long
 * as the kernel has the attributes. Others' mounts are not ours to take away.
 */
static int clear_dead_mount(const struct mount_table *table, const char *dir, struct err *err)
{
	const struct mount_entry *m = mount_at(table, dir);
	struct statvfs vfs;
	int r;

	if (!m || !mount_is_cogfs(m))
		return 0;
	if (statvfs(dir, &vfs) == 0 || (errno != ENOTCONN && errno != ECONNABORTED))
		return err_set(err, -EBUSY, "it is mounted already (cogfs umount %s)", dir);
	r = mountpoint_unmount(dir, true, err);
	return r < 0 ? err_wrap(err, r, "a dead mount is on it and cannot be taken away") : 0;
}

static int check_empty(const char *dir, struct err *err)
{
	DIR *d = opendir(dir);
	const struct dirent *e;
	char name[256] = "";

	if (!d)
		return err_set(err, -errno, "%s", strerror(errno));
	while (!*name && (e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			snprintf(name, sizeof(name), "%s", e->d_name);
	closedir(d);
	if (!*name)
		return 0;
	return err_set(err, -ENOTEMPTY,
		       "it is not empty (%.60s...): take an empty directory, move the files away, "
		       "or hide them "
		       "with --over",
		       name);
}

static bool below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return strncmp(path, dir, len) == 0 &&
	       (!path[len] || path[len] == '/' || strcmp(dir, "/") == 0);
}

/* A cache that keeps its files in its own mount would wait for itself. */
static int check_apart(const char *dir, const char *what, const char *path, struct err *err)
{
	CLEANUP_FREE char *real = path ? realpath(path, NULL) : NULL;
	const char *other = real ? real : path;

	if (!path)
		return 0;
	if (below(other, dir))
		return err_set(err, -EINVAL, "%s (%s) lies in the mount point", what, other);
	if (below(dir, other))
		return err_set(err, -EINVAL, "it lies in %s (%s)", what, other);
	return 0;
}

static int check_config(const char *dir, const struct config *config, struct err *err)
{
	int r = check_apart(dir, "cache_dir", config->cache_dir, err);

	for (const struct conf_tier *t = config->tiers; r == 0 && t; t = t->next)
		if (t->enabled)
			r = check_apart(dir, t->name, t->path, err);
	return r;
}

static int check_directory(const char *dir, struct err *err)
{
	struct stat st;

	if (stat(dir, &st) < 0)
		return err_set(err, -errno, "%s", strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return err_set(err, -ENOTDIR, "it is not a directory");
	return 0;
}

int mountpoint_prepare(const char *dir, bool over, const struct config *config, char **ret_dir,
		       struct err *err)
{
	CLEANUP_FREE char *real = NULL;
	struct mount_table table;
	int r = mount_table_load(&table, err);

	if (r < 0)
		return r;
	real = mount_realpath(&table, dir);
	if (!real)
		r = err_set(err, -errno, "%s%s%s", strerror(errno),
			    errno == ENOENT ? ": mkdir -p " : "", errno == ENOENT ? dir : "");
	if (r == 0)
		r = clear_dead_mount(&table, real, err);
	mount_table_release(&table);
	if (r == 0)
		r = check_directory(real, err);
	if (r == 0)
		r = check_config(real, config, err);
	if (r == 0 && !over)
		r = check_empty(real, err);
	if (r == 0)
		*ret_dir = STEAL_PTR(real);
	return r;
}
