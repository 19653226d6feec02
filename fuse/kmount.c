/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount(2) for root: options in two kinds, those of every mount (a bit each) and FUSE's own
 * (text).
 */
#include "fuse/kmount.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/cleanup.h"

static const struct {
	const char *name;
	unsigned long set, clear;
} bits[] = {
	{"ro", MS_RDONLY, 0},	      {"rw", 0, MS_RDONLY},
	{"suid", 0, MS_NOSUID},	      {"nosuid", MS_NOSUID, 0},
	{"dev", 0, MS_NODEV},	      {"nodev", MS_NODEV, 0},
	{"exec", 0, MS_NOEXEC},	      {"noexec", MS_NOEXEC, 0},
	{"async", 0, MS_SYNCHRONOUS}, {"sync", MS_SYNCHRONOUS, 0},
	{"dirsync", MS_DIRSYNC, 0},   {"atime", 0, MS_NOATIME},
	{"noatime", MS_NOATIME, 0},   {"nodiratime", MS_NODIRATIME, 0},
	{"relatime", MS_RELATIME, 0}, {"strictatime", MS_STRICTATIME, 0},
};

/* What the kernel's FUSE takes besides what we always give. */
static const char *const texts[] = {
	"max_read=", "context=", "fscontext=", "defcontext=", "rootcontext="};

int kmount_device(struct err *err)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	if (errno == ENOENT || errno == ENODEV)
		return err_set(
			err, -errno,
			"/dev/fuse is missing: modprobe fuse; in a container: --device /dev/fuse "
			"--cap-add SYS_ADMIN");
	return err_set(err, -errno, "/dev/fuse: %s", strerror(errno));
}

static bool take_bit(const char *option, unsigned long *flags)
{
	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
		if (strcmp(bits[i].name, option) != 0)
			continue;
		*flags = (*flags | bits[i].set) & ~bits[i].clear;
		return true;
	}
	return false;
}

static bool is_text(const char *option)
{
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (!strncmp(option, texts[i], strlen(texts[i])))
			return true;
	}
	return false;
}

/* The next option of *rest, which is cut up; a backslash takes a comma's meaning away. */
static char *next_option(char **rest)
{
	char *begin = *rest, *end = begin;

	if (!begin)
		return NULL;
	while (*end && *end != ',')
		end += end[0] == '\\' && end[1] ? 2 : 1;
	*rest = *end ? end + 1 : NULL;
	*end = '\0';
	return begin;
}

/* What is neither (fsname=, allow_other, x-...) was looked at by others. */
static int parse(const struct mount_args *args, unsigned long *flags, FILE *data)
{
	CLEANUP_FREE char *copy = strdup(args->fuse_opts ? args->fuse_opts : "");
	char *rest = copy, *option;

	if (!copy)
		return -ENOMEM;
	while ((option = next_option(&rest))) {
		if (!take_bit(option, flags) && is_text(option))
			fprintf(data, ",%s", option);
	}
	if (args->config->mount.read_only)
		*flags |= MS_RDONLY;
	return 0;
}

static int mount_failed(const char *mountpoint, struct err *err)
{
	int code = -errno;

	if (code == -EPERM)
		return err_set(err, code,
			       "mount(2) is not permitted; in a container: --device /dev/fuse "
			       "--cap-add SYS_ADMIN");
	if (code == -ENODEV)
		return err_set(err, code, "this kernel has no FUSE: modprobe fuse");
	return err_set(err, code, "mount(2) on %s: %s", mountpoint, strerror(-code));
}

int kmount(const struct mount_args *args, int dev_fd, struct err *err)
{
	/*
	 * Nobody is kept out where root mounts, unless the configuration says so: permissions
	 * decide.
	 */
	bool others = args->config->mount.allow_other != CONF_OFF;
	unsigned long flags = MS_NOSUID | MS_NODEV;
	CLEANUP_FREE char *data = NULL;
	size_t len;
	FILE *f = open_memstream(&data, &len);
	int rc;

	if (!f)
		return err_set(err, -ENOMEM, "no memory");
	fprintf(f, "fd=%d,rootmode=%o,user_id=%u,group_id=%u,default_permissions%s", dev_fd,
		(unsigned int)S_IFDIR, geteuid(), getegid(), others ? ",allow_other" : "");
	rc = parse(args, &flags, f);
	if (fclose(f) || rc)
		return err_set(err, -ENOMEM, "no memory");
	if (mount(args->source, args->mountpoint, "fuse.cogfs", flags, data))
		return mount_failed(args->mountpoint, err);
	return 0;
}

int kmount_end(const char *mountpoint, enum kmount_how how)
{
	static const int flags[] = {
		[KMOUNT_TRY] = 0,
		[KMOUNT_ABORT] = MNT_FORCE | MNT_DETACH,
	};

	return umount2(mountpoint, flags[how] | UMOUNT_NOFOLLOW) ? -errno : 0;
}
