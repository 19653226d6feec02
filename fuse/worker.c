/* SPDX-License-Identifier: Apache-2.0 */
/* A worker: from the cache's opening to its last drained entry. */
#include "fuse/worker.h"

#include <errno.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuse/link.h"
#include "fuse/session.h"
#include "util/cleanup.h"
#include "util/log.h"

#define WATCH_MS 60000

struct worker {
	const struct worker_conf *conf;
	struct driver drv;
	struct session session;
	int signal_fd;
	int ready_fd;
	struct err warning; /* why it begins degraded, or "" */
	bool leaving;	    /* a signal said so */
	int64_t next_line;  /* of the drain's progress */
};

sigset_t worker_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	return set;
}

/* --- SIGHUP --- */

static void reload(struct worker *w)
{
	const struct mount_args *args = w->conf->args;
	enum log_target target = args->foreground ? LOG_TARGET_STDERR : LOG_TARGET_SYSLOG;
	struct config *fresh;
	struct err err = {0};
	int rc = config_load(args->reload, &fresh, &err);

	if (rc) {
		log_error("reload: %s; everything stays as it was", err_text(&err, rc));
		return;
	}
	rc = config_apply_live(args->config, fresh, &err);
	cache_reconfigure(w->drv.cache);
	log_setup(target, args->config->log.level, args->config->log.format);
	if (rc > 0)
		log_warn("reload: done; these wait for the next mount: %s", err.text);
	else
		log_info("reload: done");
	config_free(fresh);
}

/* --- what nobody else watches --- */

static long read_number(const char *path)
{
	CLEANUP_FCLOSE FILE *f = fopen(path, "re");
	long n = 0;

	return f && fscanf(f, "%ld", &n) == 1 ? n : 0;
}

/* With such a timeout the kernel aborts the whole mount for one slow answer. */
static void watch_timeouts(void)
{
	static const char *const paths[] = {
		"/proc/sys/fs/fuse/default_request_timeout",
		"/proc/sys/fs/fuse/max_request_timeout",
	};

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		long seconds = read_number(paths[i]);

		if (seconds > 0)
			log_warn("%s is %ld: one answer that takes longer ends every mount that is "
				 "made from now on; set it to 0",
				 paths[i], seconds);
	}
}

/* --- the end --- */

static void show_drain(void *arg, uint64_t entries, uint64_t bytes)
{
	struct worker *w = arg;
	int64_t now = clock_mono(&clock_system);

	if (!entries || now < w->next_line)
		return;
	w->next_line = now + 5 * NSEC_PER_SEC;
	log_info("unmount: %llu changes (%llu MiB) are on their way to the store",
		 (unsigned long long)entries, (unsigned long long)(bytes >> 20));
}

static int fusermount(const char *mountpoint, const char *flag)
{
	char *argv[] = {"fusermount3", "-u", (char *)flag, "--", (char *)mountpoint, NULL};
	int status = 0;
	pid_t pid;

	if (posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ))
		return -1;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

/* Alone: told to leave. A second signal does not wait for those who have files open. */
static void unmount(struct worker *w)
{
	const char *mountpoint = w->conf->args->mountpoint;

	if (w->leaving || fusermount(mountpoint, "-q") != 0) {
		log_warn("%s is in use: it goes away when the last file is closed", mountpoint);
		(void)fusermount(mountpoint, "-z");
	}
	w->leaving = true;
}

static void take_signal(struct worker *w)
{
	struct signalfd_siginfo info;

	if (read(w->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGHUP)
		reload(w);
	else
		unmount(w);
}

/* --- serving --- */

void worker_serves(const struct mount_args *args, int *ready_fd, const struct err *warning)
{
	char word[1 + sizeof(warning->text)] = ""; /* the zero byte, then the warning */
	size_t len = strlen(warning->text);

	if (len)
		log_warn("the store is unreachable: %s; %s is mounted degraded", warning->text,
			 args->mountpoint);
	if (*ready_fd < 0)
		return;
	memcpy(word + 1, warning->text, len);
	if (write(*ready_fd, word, 1 + len) < 0)
		log_debug("nobody waits for the mount");
	close(steal_fd(ready_fd));
}

void worker_never_serves(int *ready_fd)
{
	if (*ready_fd >= 0)
		close(steal_fd(ready_fd));
}

/* It answers: whoever waits for the mount may go on. */
static void tell_serving(struct worker *w)
{
	const struct link_msg msg = {.type = LINK_SERVING, .err = w->warning};
	uint64_t count;

	if (read(w->session.answered_fd, &count, sizeof(count)) < 0)
		return;
	if (w->conf->link_fd >= 0) {
		(void)link_send(w->conf->link_fd, &msg);
	} else {
		log_info("serving %s", w->conf->args->mountpoint);
		worker_serves(w->conf->args, &w->ready_fd, &w->warning);
	}
}

static void serve(struct worker *w)
{
	struct pollfd fds[] = {
		{.fd = w->session.done_fd, .events = POLLIN},
		{.fd = w->signal_fd, .events = POLLIN},
		{.fd = w->session.answered_fd, .events = POLLIN},
	};

	watch_timeouts();
	for (;;) {
		int n = poll(fds, 3, WATCH_MS);

		if (n == 0)
			watch_timeouts();
		if (n <= 0)
			continue;
		if (fds[2].revents)
			tell_serving(w);
		if (fds[1].revents)
			take_signal(w);
		if (fds[0].revents)
			return;
	}
}

/* --- the beginning --- */

/* For fusermount3: what kmount() gives the kernel itself. */
static char *fusermount_options(const struct mount_args *args)
{
	bool others = args->config->mount.allow_other == CONF_ON;
	const char *more = args->fuse_opts;
	char *options;

	return asprintf(&options, "subtype=cogfs,default_permissions%s%s%s%s",
			others ? ",allow_other" : "", args->config->mount.read_only ? ",ro" : "",
			more ? "," : "", more ? more : "") < 0
		       ? NULL
		       : options;
}

static int open_driver(struct worker *w, struct err *err)
{
	const struct worker_conf *conf = w->conf;
	const struct driver_conf driver_conf = {
		.config = conf->args->config,
		.shm = conf->shm,
		.mountpoint = conf->args->mountpoint,
		.restart = conf->restart,
		.strict = conf->args->strict && !conf->restart,
		.lock_fd = conf->lock_fd,
		.ram_fd = conf->ram_fd,
	};
	CLEANUP_FREE char *options = fusermount_options(conf->args);
	int rc;

	if (!options)
		return -ENOMEM;
	/* What was loaded at the start is not what held when the last worker died. */
	if (conf->restart && atomic_load(&conf->shm->hdr->reloads))
		reload(w);
	rc = driver_open(&w->drv, &driver_conf, err);
	if (!rc && cache_degraded(w->drv.cache))
		err_set(&w->warning, 0, "%s", cache_degraded(w->drv.cache));
	if (!rc)
		rc = session_open(&w->session, &w->drv, conf->dev_fd, conf->args->mountpoint,
				  options, err);
	return rc;
}

/* Nothing may be read from /dev/fuse before it is mounted. */
static int wait_for_go(struct worker *w)
{
	struct link_msg msg = {.type = LINK_READY};
	int rc;

	if (w->conf->link_fd < 0)
		return 0;
	rc = link_send(w->conf->link_fd, &msg);
	if (!rc)
		rc = link_receive(w->conf->link_fd, &msg);
	return rc ? rc : msg.type == LINK_GO ? 0 : -EPROTO;
}

static int begin(struct worker *w, struct err *err)
{
	sigset_t mine = worker_signals(), all = mine;
	int rc;

	/* Below a supervisor Ctrl-C is its business. */
	if (w->conf->link_fd >= 0) {
		sigdelset(&mine, SIGTERM);
		sigdelset(&mine, SIGINT);
	}
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	w->signal_fd = signalfd(-1, &mine, SFD_CLOEXEC);
	if (w->signal_fd < 0)
		return err_set(err, -errno, "signalfd: %s", strerror(errno));
	rc = open_driver(w, err);
	if (rc)
		return rc;
	rc = wait_for_go(w);
	if (!rc && w->conf->restart)
		rc = session_take_over(&w->session);
	if (!rc)
		rc = session_start(&w->session);
	return rc ? err_set(err, rc, "begin to serve: %s", strerror(-rc)) : 0;
}

static uint64_t finish(struct worker *w, bool served)
{
	const struct config *config = w->conf->args->config;
	int64_t drain_ns = served ? config->write.drain_deadline_ms * NSEC_PER_MSEC : 0;
	uint64_t left = driver_close(&w->drv, drain_ns, show_drain, w);

	session_close(&w->session);
	if (w->signal_fd >= 0)
		close(w->signal_fd);
	return left;
}

void worker_say_left(const struct mount_args *args, uint64_t entries)
{
	if (entries)
		log_warn("unmounted; %llu changes are left in the journal of %s: they go up at the "
			 "next "
			 "mount",
			 (unsigned long long)entries, args->config->cache_dir);
	else
		log_info("unmounted; nothing is left to drain");
}

int worker_run(const struct worker_conf *conf, struct err *err)
{
	struct link_msg msg = {.type = LINK_LEFT};
	struct worker *w = calloc(1, sizeof(*w));
	int rc;

	if (!w)
		return err_set(err, -ENOMEM, "no memory");
	w->conf = conf;
	w->ready_fd = conf->ready_fd;
	w->signal_fd = w->session.done_fd = w->session.answered_fd = -1;
	rc = begin(w, err);
	if (!rc) {
		serve(w);
		msg.code = session_join(&w->session);
	}
	worker_never_serves(&w->ready_fd);
	msg.entries = finish(w, rc == 0);
	if (!rc && msg.code != -ENODEV)
		rc = err_set(err, msg.code, "the connection to the kernel broke: %s",
			     strerror(-msg.code));
	if (!rc && conf->link_fd >= 0)
		(void)link_send(conf->link_fd, &msg);
	else if (!rc)
		worker_say_left(conf->args, msg.entries);
	free(w);
	return rc ? rc : msg.entries ? 1 : 0;
}
