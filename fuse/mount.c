/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door between the command line and the driver: with a supervisor where we may mount
 * ourselves.
 */
#include "fuse/mount.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fuse/supervisor.h"
#include "fuse/worker.h"
#include "util/log.h"

/*
 * Keys and credentials are in our memory: it is not written to files, nor shown to other users'
 * debuggers.
 */
static void keep_memory_private(void)
{
	const struct rlimit none = {0, 0};

	if (setrlimit(RLIMIT_CORE, &none))
		log_warn("core dumps cannot be switched off: %s", strerror(errno));
		/*
		 * Without root /proc/self would be root's then, and the worker needs it. Leak
		 * checkers trace us.
		 */
#if !defined(__SANITIZE_ADDRESS__)
	if (geteuid() == 0 && prctl(PR_SET_DUMPABLE, 0))
		log_warn("prctl(PR_SET_DUMPABLE): %s", strerror(errno));
#endif
}

/* One descriptor for each object in use, and then some. */
static void raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int run_alone(const struct mount_args *args, int ready_fd, struct err *err)
{
	struct worker_conf conf = {
		.args = args,
		.dev_fd = -1,
		.lock_fd = -1,
		.ram_fd = -1,
		.link_fd = -1,
		.ready_fd = ready_fd,
	};
	struct shm shm;
	int rc = shm_init(&shm);

	if (rc)
		return err_set(err, rc, "shared memory: %s", strerror(-rc));
	log_info("not root: one process without passthrough; if it dies, the mount goes with it");
	conf.shm = &shm;
	rc = worker_run(&conf, err);
	shm_release(&shm);
	return rc;
}

int cogfs_mount_run(const struct mount_args *args, int ready_fd, struct err *err)
{
	keep_memory_private();
	raise_descriptors();
	return geteuid() == 0 ? supervisor_run(args, ready_fd, err)
			      : run_alone(args, ready_fd, err);
}
