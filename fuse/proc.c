/* SPDX-License-Identifier: Apache-2.0 */
/* What /proc tells about the process behind a request. */
#include "fuse/proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/cleanup.h"

/* From the kernel's sched.h: stable for decades, and seen in field 9 of /proc/PID/stat. */
#define PF_EXITING 0x4u
#define PF_SIGNALED 0x400u

/* The file's first bytes, NUL-terminated. */
static bool read_proc(pid_t tid, const char *file, char *buf, size_t size)
{
	CLEANUP_CLOSE int fd = -1;
	char path[64];
	ssize_t n;

	if (tid <= 0)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/%s", (int)tid, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, buf, size - 1);
	if (n <= 0)
		return false;
	buf[n] = '\0';
	return true;
}

/* "Name:\tvalue" in base 10 or 16. */
static bool status_field(const char *status, const char *name, int base, uint64_t *ret)
{
	const char *p = strstr(status, name);

	if (!p)
		return false;
	*ret = strtoull(p + strlen(name), NULL, base);
	return true;
}

/*
 * /proc/PID/stat waits for an execve() of that process, and an execve() that closes a descriptor
 * waits for our answer to its FLUSH: only a process without memory of its own, on its way out,
 * may be asked for it. Its statm is free to read, and short, unlike its status.
 */
static bool is_leaving(pid_t tid)
{
	char buf[128];

	return read_proc(tid, "statm", buf, sizeof(buf)) && !strncmp(buf, "0 ", 2);
}

bool proc_dies_of_signal(pid_t tid)
{
	char buf[1024];
	unsigned int flags;
	const char *p;

	if (!is_leaving(tid) || !read_proc(tid, "stat", buf, sizeof(buf)))
		return false;
	/* The command's name may hold anything; the last parenthesis ends it. */
	p = strrchr(buf, ')');
	if (!p || sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %u", &flags) != 1)
		return false;
	return (flags & (PF_EXITING | PF_SIGNALED)) == (PF_EXITING | PF_SIGNALED);
}

static bool group_of(pid_t tid, uint64_t *ret)
{
	char buf[4096];

	return read_proc(tid, "status", buf, sizeof(buf)) && status_field(buf, "\nTgid:", 10, ret);
}

bool proc_same_process(pid_t tid, pid_t other)
{
	uint64_t group, other_group;

	if (tid == other || tid <= 0 || other <= 0 || !group_of(tid, &group))
		return true;
	if (group == (uint64_t)other)
		return true;
	/* Its thread may have ended; then the leader's number would have been the likelier one. */
	return group_of(other, &other_group) && group == other_group;
}

bool proc_holds(pid_t tid, uint64_t ino)
{
	char path[64];
	struct dirent *de;
	bool found = false;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)tid);
	d = tid > 0 ? opendir(path) : NULL;
	if (!d)
		return true;
	while (!found && (de = readdir(d))) {
		struct statx st;

		if (de->d_name[0] == '.')
			continue;
		/* As the kernel knows it: while we answer, we must not be asked. */
		if (!statx(dirfd(d), de->d_name, AT_STATX_DONT_SYNC, STATX_INO, &st))
			found = st.stx_ino == ino;
		else
			found = errno != ENOENT;
	}
	closedir(d);
	return found;
}

static uint64_t bit(int sig)
{
	return 1ULL << (sig - 1);
}

bool proc_signal_ends_call(pid_t tid)
{
	const uint64_t asks = bit(SIGINT) | bit(SIGTERM) | bit(SIGHUP) | bit(SIGQUIT);
	const uint64_t harmless = bit(SIGCHLD) | bit(SIGURG) | bit(SIGWINCH) | bit(SIGCONT) |
				  bit(SIGSTOP) | bit(SIGTSTP) | bit(SIGTTIN) | bit(SIGTTOU);
	uint64_t pending, shared, blocked, ignored, caught, kills;
	char buf[4096];

	if (!read_proc(tid, "status", buf, sizeof(buf)) ||
	    !status_field(buf, "\nSigPnd:", 16, &pending) ||
	    !status_field(buf, "\nShdPnd:", 16, &shared) ||
	    !status_field(buf, "\nSigBlk:", 16, &blocked) ||
	    !status_field(buf, "\nSigIgn:", 16, &ignored) ||
	    !status_field(buf, "\nSigCgt:", 16, &caught))
		return true;
	pending = (pending | shared) & ~blocked & ~ignored;
	kills = pending & ~caught & ~harmless;
	return kills || (pending & asks);
}
