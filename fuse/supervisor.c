/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor: holds /dev/fuse, the mount, the lock on the cache directory, the RAM tier's
 * tmpfs and the memory that outlives a worker; starts a worker, and another one when it dies. It
 * has one thread (a fork must not copy another's locks) and reads nothing that comes from
 * outside.
 *
 *	STARTING --READY, mount(2), GO--> SERVING --LEFT--> over
 *	   |  ^                              |
 *	   |  +-----------died, resend-------+
 *	   +-- first one FAILED: over
 *
 * Told to leave (SIGTERM, SIGINT) it unmounts; the worker then sees the end of the connection,
 * drains and says LEFT.
 */
#include "fuse/supervisor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache/cachedir.h"
#include "fuse/kmount.h"
#include "fuse/link.h"
#include "fuse/shm.h"
#include "fuse/worker.h"
#include "tiers/local.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/log.h"

/* How long a busy mount's users get to leave once we were told to. */
#define LEAVE_NS (10 * NSEC_PER_SEC)
#define LEAVE_STEP_NS (200 * NSEC_PER_MSEC)
/* A worker that has served so long did not die of what it took over. */
#define HEALTHY_NS (100 * NSEC_PER_MSEC)
#define BACKOFF_MIN_NS (100 * NSEC_PER_MSEC)
#define BACKOFF_MAX_NS (5 * NSEC_PER_SEC)
/* So many workers in a row that cannot even begin, and it is over. */
#define FAILURES_MAX 10

struct supervisor {
	const struct mount_args *args;
	struct err *err;
	struct shm shm;
	int dev_fd, lock_fd, ram_fd, signal_fd, ready_fd;

	pid_t worker; /* 0: none */
	int worker_fd, link_fd;
	int64_t serving_ns;  /* since when it serves, 0: not yet */
	int64_t start_at_ns; /* when to start the next one, 0: not */
	unsigned int deaths; /* in a row, none of them healthy */
	unsigned int failures;
	bool mounted, served;

	unsigned int told;   /* to leave, so often */
	int64_t leave_by_ns; /* of a busy mount, 0: not waiting */
	bool over;
	int result;
};

static int64_t now(void)
{
	return clock_mono(&clock_system);
}

/* --- a worker --- */

static void close_worker(struct supervisor *s)
{
	if (s->worker_fd >= 0)
		close(steal_fd(&s->worker_fd));
	if (s->link_fd >= 0)
		close(steal_fd(&s->link_fd));
	s->worker = 0;
}

/* The child's whole life. */
static void worker_main(struct supervisor *s, int link_fd, pid_t parent)
{
	const struct worker_conf conf = {
		.args = s->args,
		.shm = &s->shm,
		.dev_fd = s->dev_fd,
		.lock_fd = s->lock_fd,
		.ram_fd = s->ram_fd,
		.link_fd = link_fd,
		.ready_fd = -1,
		.restart = s->mounted,
	};
	struct link_msg msg = {.type = LINK_FAILED};

	/*
	 * A killed supervisor takes us along: nothing may go on without the one who holds the
	 * mount.
	 */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
		_exit(1);
	prctl(PR_SET_NAME, "cogfs-worker");
	close(s->signal_fd);
	if (s->ready_fd >= 0)
		close(s->ready_fd);
	msg.code = worker_run(&conf, &msg.err);
	if (msg.code < 0)
		(void)link_send(link_fd, &msg);
	exit(0);
}

static int start_worker(struct supervisor *s)
{
	pid_t parent = getpid(), child;
	int ends[2], rc = link_pair(ends);

	if (rc)
		return rc;
	child = fork();
	if (child == 0) {
		close(ends[0]);
		worker_main(s, ends[1], parent);
	}
	rc = child < 0 ? -errno : 0;
	close(ends[1]);
	s->link_fd = ends[0];
	s->worker = child < 0 ? 0 : child;
	s->worker_fd = rc ? -1 : (int)syscall(SYS_pidfd_open, child, 0);
	if (!rc && s->worker_fd < 0)
		rc = -errno;
	if (rc)
		close_worker(s);
	s->serving_ns = 0;
	s->start_at_ns = 0;
	atomic_fetch_add(&s->shm.hdr->starts, 1);
	return rc;
}

static void finish(struct supervisor *s, int result)
{
	s->over = true;
	s->result = result;
}

/* Can the kernel send again what a worker had read and not answered? It says so in INIT. */
static bool can_resend(const struct supervisor *s)
{
	const struct shm_header *hdr = s->shm.hdr;
	struct fuse_init_in in;

	if (atomic_load(&hdr->init_len) < sizeof(struct fuse_in_header) + sizeof(in))
		return false;
	memcpy(&in, hdr->init + sizeof(struct fuse_in_header), sizeof(in));
	return in.flags & FUSE_INIT_EXT && (uint64_t)in.flags2 << 32 & KABI_HAS_RESEND;
}

static void give_up(struct supervisor *s, const char *why)
{
	kmount_end(s->args->mountpoint, KMOUNT_ABORT);
	finish(s, err_set(s->err, -EIO,
			  "%s: unmounted; nothing that was acknowledged is lost, mount "
			  "it again",
			  why));
}

static void plan_next(struct supervisor *s)
{
	int64_t pause = 0;

	if (s->serving_ns && now() - s->serving_ns > HEALTHY_NS)
		s->deaths = 0;
	/* The first one is replaced at once: its callers wait. */
	if (s->deaths > 0) {
		unsigned int doublings = s->deaths - 1 < 8 ? s->deaths - 1 : 8;

		pause = BACKOFF_MIN_NS << doublings;
		if (pause > BACKOFF_MAX_NS)
			pause = BACKOFF_MAX_NS;
	}
	s->deaths++;
	s->start_at_ns = now() + pause;
}

static void describe_death(int status, char *buf, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(buf, size, "killed by signal %d, %s", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		snprintf(buf, size, "left with status %d", WEXITSTATUS(status));
}

/* Without a last word. */
static void worker_died(struct supervisor *s, int status)
{
	char how[96];

	describe_death(status, how, sizeof(how));
	if (!s->mounted) {
		finish(s, err_set(s->err, -EIO, "the worker could not start: %s", how));
		return;
	}
	if (s->told > 2) {
		finish(s, 1);
		return;
	}
	log_error("worker %d is gone (%s): it is replaced", (int)s->worker, how);
	count_one(&s->shm.hdr->counters, COUNTER_worker_restarts);
	if (!can_resend(s)) {
		give_up(s, "the worker died, and a kernel before Linux 6.9 cannot repeat the calls "
			   "that it had taken");
		return;
	}
	plan_next(s);
}

/* --- its messages --- */

static void mount_and_go(struct supervisor *s)
{
	struct link_msg msg = {.type = LINK_GO};
	int rc = s->mounted ? 0 : kmount(s->args, s->dev_fd, s->err);

	if (rc) {
		finish(s, rc);
		return;
	}
	s->mounted = true;
	s->failures = 0;
	(void)link_send(s->link_fd, &msg);
}

static void serving(struct supervisor *s, const struct link_msg *msg)
{
	log_info("serving %s%s", s->args->mountpoint, s->served ? " again" : "");
	s->served = true;
	s->serving_ns = now();
	worker_serves(s->args, &s->ready_fd, &msg->err);
}

static void failed(struct supervisor *s, const struct link_msg *msg)
{
	if (!s->mounted) {
		*s->err = msg->err;
		finish(s, msg->code);
		return;
	}
	log_error("a new worker cannot begin: %s", err_text(&msg->err, msg->code));
	if (++s->failures >= FAILURES_MAX)
		give_up(s, "no worker can begin");
}

static void left(struct supervisor *s, const struct link_msg *msg)
{
	worker_say_left(s->args, msg->entries);
	finish(s, msg->entries ? 1 : 0);
}

static void take_message(struct supervisor *s)
{
	struct link_msg msg;

	if (link_receive(s->link_fd, &msg)) {
		close(steal_fd(&s->link_fd)); /* its end is told by the pidfd */
		return;
	}
	switch (msg.type) {
	case LINK_READY:
		mount_and_go(s);
		break;
	case LINK_FAILED:
		failed(s, &msg);
		break;
	case LINK_SERVING:
		serving(s, &msg);
		break;
	case LINK_LEFT:
		left(s, &msg);
		break;
	case LINK_GO:
		break;
	}
}

/* It is gone; what it said last comes first. */
static void reap_worker(struct supervisor *s)
{
	struct pollfd p = {.fd = s->link_fd, .events = POLLIN};
	int status = 0;

	while (s->link_fd >= 0 && poll(&p, 1, 0) > 0) {
		take_message(s);
		p.fd = s->link_fd;
	}
	while (waitpid(s->worker, &status, 0) < 0 && errno == EINTR)
		;
	if (!s->over)
		worker_died(s, status);
	close_worker(s);
}

/* --- signals --- */

static void try_unmount(struct supervisor *s)
{
	int rc = kmount_end(s->args->mountpoint, KMOUNT_TRY);

	if (rc != -EBUSY) {
		s->leave_by_ns = 0;
		return;
	}
	if (!s->leave_by_ns) {
		s->leave_by_ns = now() + LEAVE_NS;
		log_warn("%s is in use: its users have %d s to leave, then they get errors (cogfs "
			 "umount names them)",
			 s->args->mountpoint, (int)(LEAVE_NS / NSEC_PER_SEC));
	} else if (now() > s->leave_by_ns) {
		s->leave_by_ns = 0;
		kmount_end(s->args->mountpoint, KMOUNT_ABORT);
	}
}

static void told_to_leave(struct supervisor *s)
{
	s->told++;
	if (!s->mounted) {
		finish(s, err_set(s->err, -EINTR, "it was told to end before it was mounted"));
	} else if (s->told == 1) {
		log_info("told to end: unmounting %s", s->args->mountpoint);
		try_unmount(s);
	} else if (s->told == 2) {
		log_warn("told to end again: whoever uses %s gets errors now", s->args->mountpoint);
		s->leave_by_ns = 0;
		kmount_end(s->args->mountpoint, KMOUNT_ABORT);
	} else {
		log_warn("told to end a third time: the drain stops; the rest is in the journal");
		if (s->worker)
			kill(s->worker, SIGKILL);
		else
			finish(s, 1);
	}
}

static void take_signal(struct supervisor *s)
{
	struct signalfd_siginfo info;

	if (read(s->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo != SIGHUP) {
		told_to_leave(s);
		return;
	}
	atomic_fetch_add(&s->shm.hdr->reloads, 1);
	if (s->worker)
		kill(s->worker, SIGHUP);
}

/* --- the life of it --- */

static int timeout_ms(const struct supervisor *s)
{
	int64_t ns = -1;

	if (s->start_at_ns)
		ns = s->start_at_ns - now();
	if (s->leave_by_ns && (ns < 0 || ns > LEAVE_STEP_NS))
		ns = LEAVE_STEP_NS;
	if (!s->start_at_ns && !s->leave_by_ns)
		return -1;
	return ns <= 0 ? 0 : (int)(ns / NSEC_PER_MSEC) + 1;
}

static void turn(struct supervisor *s)
{
	struct pollfd fds[] = {
		{.fd = s->signal_fd, .events = POLLIN},
		{.fd = s->link_fd, .events = POLLIN},
		{.fd = s->worker_fd, .events = POLLIN},
	};

	if (poll(fds, 3, timeout_ms(s)) < 0)
		return;
	if (fds[0].revents)
		take_signal(s);
	if (!s->over && fds[1].revents)
		take_message(s);
	if (!s->over && fds[2].revents)
		reap_worker(s);
	if (!s->over && s->leave_by_ns)
		try_unmount(s);
	if (!s->over && s->start_at_ns && now() >= s->start_at_ns && start_worker(s))
		plan_next(s);
}

/* LEFT and FAILED are followed by the worker's exit; everything else ends it. */
static void end_worker(struct supervisor *s)
{
	int status;

	if (!s->worker)
		return;
	if (!s->mounted && s->link_fd >= 0)
		close(steal_fd(&s->link_fd)); /* it waits for GO, and sees that none will come */
	while (waitpid(s->worker, &status, 0) < 0 && errno == EINTR)
		;
	close_worker(s);
}

static int open_all(struct supervisor *s)
{
	const struct conf_tier *ram = config_tier(s->args->config, TIER_TYPE_RAM);
	sigset_t signals = worker_signals();
	int rc = shm_init(&s->shm);

	if (rc)
		return err_set(s->err, rc, "shared memory: %s", strerror(-rc));
	sigprocmask(SIG_BLOCK, &signals, NULL);
	s->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);
	if (s->signal_fd < 0)
		return err_set(s->err, -errno, "signalfd: %s", strerror(errno));
	s->dev_fd = kmount_device(s->err);
	if (s->dev_fd < 0)
		return s->dev_fd;
	s->lock_fd = cachedir_lock(s->args->config->cache_dir, s->args->mountpoint, s->err);
	if (s->lock_fd < 0)
		return s->lock_fd;
	/* Where it may not be had, the worker falls back to a directory. */
	s->ram_fd = ram ? local_tmpfs(ram->max_size) : -1;
	if (s->ram_fd < 0)
		s->ram_fd = -1;
	rc = start_worker(s);
	return rc ? err_set(s->err, rc, "start the worker: %s", strerror(-rc)) : 0;
}

static void close_all(struct supervisor *s)
{
	const int fds[] = {s->dev_fd, s->lock_fd, s->ram_fd, s->signal_fd};

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
	worker_never_serves(&s->ready_fd);
	shm_release(&s->shm);
}

int supervisor_run(const struct mount_args *args, int ready_fd, struct err *err)
{
	struct supervisor s = {
		.args = args,
		.err = err,
		.ready_fd = ready_fd,
		.dev_fd = -1,
		.lock_fd = -1,
		.ram_fd = -1,
		.signal_fd = -1,
		.worker_fd = -1,
		.link_fd = -1,
		.shm = {.fd = -1},
	};
	int rc = open_all(&s);

	while (!rc && !s.over)
		turn(&s);
	end_worker(&s);
	close_all(&s);
	return rc ? rc : s.result;
}
