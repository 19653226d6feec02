/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Daemonises. The pipe between the two carries one zero byte ("it answers") and perhaps a text (why
 * it is degraded), or only a text (why the mount failed), or nothing (the child died).
 */
#include "cli/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/mountpoint.h"
#include "cli/mounts.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/log.h"

/* Beyond deadlines.mount, which the child keeps itself. */
#define GRACE_MS 5000

static void leave_terminal(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	if (chdir("/") < 0)
		log_warn("chdir /: %s", strerror(errno));
	for (int fd = 0; null >= 0 && fd <= 2; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
}

static void serve(const struct mount_args *args, int ready_fd)
{
	/* The driver closes its end; this one is for the text. */
	int text_fd = fcntl(ready_fd, F_DUPFD_CLOEXEC, 3);
	struct err err = {0};
	int r;

	leave_terminal();
	log_setup(LOG_TARGET_SYSLOG, args->config->log.level, args->config->log.format);
	r = cogfs_mount_run(args, ready_fd, &err);
	if (r >= 0)
		exit(0);
	log_error("mount %s: %s", args->mountpoint, err_text(&err, r));
	/* Once the mount answered, the parent is gone and this fails: fine. */
	if (text_fd >= 0 && write(text_fd, err_text(&err, r), strlen(err_text(&err, r))) < 0)
		log_debug("nobody waits for the mount any more");
	exit(1);
}

/* --- the parent --- */

/* Waits for the pipe, or for the child's end. Negative: neither came in time. */
static int wait_for_word(int ready_fd, int pidfd, int64_t ms)
{
	struct pollfd fds[] = {{.fd = ready_fd, .events = POLLIN}, {.fd = pidfd, .events = POLLIN}};
	int64_t until = clock_mono(&clock_system) + ms * NSEC_PER_MSEC;

	for (;;) {
		int64_t left = clock_left(&clock_system, until);
		int n = poll(fds, 2, (int)(left / NSEC_PER_MSEC) + 1);

		if (n > 0)
			return 0;
		if (n == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

static int how_it_died(pid_t child, struct err *err)
{
	int status;

	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return err_set(err, -EIO, "the daemon is gone");
	if (WIFSIGNALED(status))
		return err_set(err, -EIO, "the daemon died: %s", strsignal(WTERMSIG(status)));
	return err_set(err, -EIO, "the daemon left with status %d and said nothing",
		       WEXITSTATUS(status));
}

/* The child is ended, and what it may have mounted is taken away. */
static int give_up(pid_t child, const struct mount_args *args, struct err *err)
{
	struct mount_table table;
	int status;

	/* It leads a session: whatever it started goes with it. */
	kill(-child, SIGKILL);
	kill(child, SIGKILL);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (mount_table_load(&table, NULL) == 0) {
		const struct mount_entry *m = mount_at(&table, args->mountpoint);

		if (m && mount_is_cogfs(m))
			mountpoint_unmount(args->mountpoint, true, NULL);
		mount_table_release(&table);
	}
	return err_set(err, -ETIMEDOUT, "it did not come up within %lld s",
		       (long long)(args->config->deadlines.mount_ms + GRACE_MS) / 1000);
}

static int wait_until_ready(pid_t child, int ready_fd, const struct mount_args *args,
			    struct err *err)
{
	CLEANUP_CLOSE int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
	char text[1 + sizeof(err->text)];
	size_t len = 0;
	ssize_t n;

	if (wait_for_word(ready_fd, pidfd, args->config->deadlines.mount_ms + GRACE_MS) < 0)
		return give_up(child, args, err);
	/* What a child wrote before it died is still there. */
	fcntl(ready_fd, F_SETFL, O_NONBLOCK);
	while (len + 1 < sizeof(text) &&
	       (n = read(ready_fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	if (len && !text[0])
		return err_set(err, 0, "%s", text + 1);
	return len ? err_set(err, -EIO, "%s", text) : how_it_died(child, err);
}

int daemon_mount(const struct mount_args *args, struct err *err)
{
	CLEANUP_CLOSE int read_end = -1;
	int ends[2], r;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set(err, -errno, "pipe: %s", strerror(errno));
	read_end = ends[0];
	fflush(NULL);
	child = fork();
	if (child == 0) {
		close(steal_fd(&read_end));
		serve(args, ends[1]);
	}
	r = child < 0 ? -errno : 0;
	close(ends[1]);
	if (r < 0)
		return err_set(err, r, "fork: %s", strerror(-r));
	return wait_until_ready(child, read_end, args, err);
}
