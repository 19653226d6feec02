/* SPDX-License-Identifier: Apache-2.0 */
/* Root directories: the one place where a path is followed as the configuration gives it. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/fsutil.h"

static int make_dir(const char *path, mode_t mode)
{
	return mkdir(path, mode) < 0 && errno != EEXIST ? -errno : 0;
}

int fs_open_root(const char *path, mode_t mode)
{
	CLEANUP_FREE char *copy = strdup(path);
	int fd, r;

	if (!copy)
		return -ENOMEM;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0 || errno != ENOENT)
		return fd >= 0 ? fd : -errno;
	for (char *p = copy + 1; *p; p++) {
		if (*p != '/' || p[1] == '/' || p[1] == '\0')
			continue;
		*p = '\0';
		r = make_dir(copy, 0755);
		if (r && r != -EROFS && r != -EACCES)
			return r;
		*p = '/';
	}
	r = make_dir(copy, mode);
	if (r)
		return r;
	fd = open(copy, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}
