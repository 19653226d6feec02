/* SPDX-License-Identifier: Apache-2.0 */
/* cogfs version: what was built, and what this kernel gives. */
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cogfs_version.h"
#include "util/cleanup.h"

const struct cli_option cmd_version_options[] = {
	{'s', false, "short", NULL, "only the number"},
	{0},
};

/* What depends on the kernel's version. */
static const struct {
	unsigned int major_no, minor_no;
	bool built;
	const char *name, *why_not;
} features[] = {
	{6, 9, COGFS_HAVE_PASSTHROUGH, "passthrough", "libfuse is older than 3.17"},
	{6, 9, true, "supervised restart", ""},
	{6, 14, COGFS_HAVE_IO_URING, "io_uring", "libfuse is older than 3.18"},
};

static const char *uring_switch(void)
{
	CLEANUP_CLOSE int fd = open("/sys/module/fuse/parameters/enable_uring",
				    O_RDONLY | O_CLOEXEC);
	char c = 0;

	if (fd < 0 || read(fd, &c, 1) != 1)
		return NULL;
	return c == 'Y' || c == '1' ? NULL : "switched off: fuse.enable_uring is N";
}

static void print_feature(size_t i, unsigned long major_no, unsigned long minor_no)
{
	bool kernel = major_no > features[i].major_no ||
		      (major_no == features[i].major_no && minor_no >= features[i].minor_no);
	const char *off = NULL;

	printf("  %-20s", features[i].name);
	if (!features[i].built)
		printf("no: %s\n", features[i].why_not);
	else if (!kernel)
		printf("no: Linux is older than %u.%u\n", features[i].major_no,
		       features[i].minor_no);
	else if (strcmp(features[i].name, "io_uring") == 0 && (off = uring_switch()))
		printf("no: %s\n", off);
	else if (strcmp(features[i].name, "passthrough") == 0 && geteuid() != 0)
		printf("no: only where root mounts\n");
	else
		printf("yes\n");
}

int cmd_version(const struct cli_verb *verb, int argc, char **argv)
{
	struct cli_args args = {.verb = verb, .argc = argc, .argv = argv};
	unsigned long major_no, minor_no = 0;
	bool brief = false;
	struct utsname host;
	char *end;
	int id;

	while ((id = cli_next(&args)) > 0)
		brief = true;
	if (id < 0 || !cli_count(&args, 0, 0))
		return CLI_FAILED;
	if (brief) {
		puts(COGFS_VERSION);
		return CLI_OK;
	}
	printf("cogfs %s", COGFS_VERSION);
	if (strcmp(COGFS_BUILD_KIND, "plain") != 0)
		printf(" (%s build)", COGFS_BUILD_KIND);
	printf("\nlibfuse %s (built with %s)\n", fuse_pkgversion(), COGFS_LIBFUSE_VERSION);
	if (uname(&host) < 0)
		return CLI_OK;
	/* "6.18.44-1": what follows the second number does not count. */
	major_no = strtoul(host.release, &end, 10);
	if (*end == '.')
		minor_no = strtoul(end + 1, NULL, 10);
	printf("Linux %s\n", host.release);
	for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++)
		print_feature(i, major_no, minor_no);
	return CLI_OK;
}
