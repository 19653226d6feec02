/* SPDX-License-Identifier: Apache-2.0 */
/* cogfs umount: takes a mount away, names who keeps it, and waits for the daemon's drain. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/holders.h"
#include "cli/human.h"
#include "cli/mountpoint.h"
#include "cli/mounts.h"
#include "model/config.h"
#include "util/cleanup.h"
#include "util/clock.h"

#define POLL_NS (100 * NSEC_PER_MSEC)
#define DEFAULT_TIMEOUT_MS (10 * 60 * 1000)

const struct cli_option cmd_umount_options[] = {
	{'l', true, "lazy", NULL,
	 "take the mount away now, and end it when nobody uses it any more"},
	{'t', true, "timeout", "DURATION",
	 "how long to wait for the stores (10m); 0 does not wait"},
	{0},
};

/* What is known of the daemon behind a mount. */
struct daemon_info {
	pid_t pid;	 /* 0: not known */
	char *cache_dir; /* NULL: not known */
};

static void ask_daemon(const char *dir, struct daemon_info *ret)
{
	const json_t *manager;
	const char *cache_dir;
	json_t *stats;

	if (client_stats(dir, &stats, NULL) < 0)
		return;
	manager = json_object_get(stats, "manager");
	ret->pid = (pid_t)json_integer_value(json_object_get(manager, "pid"));
	cache_dir = json_string_value(json_object_get(manager, "cache_dir"));
	ret->cache_dir = cache_dir ? strdup(cache_dir) : NULL;
	json_decref(stats);
}

/* The lock on the cache directory ends with the daemon, also where its pid was taken by another. */
static bool daemon_lives(const struct daemon_info *daemon)
{
	CLEANUP_FREE char *path = NULL;
	CLEANUP_CLOSE int fd = -1;

	if (daemon->cache_dir && asprintf(&path, "%s/lock", daemon->cache_dir) < 0)
		path = NULL;
	if (path)
		fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		return flock(fd, LOCK_SH | LOCK_NB) < 0;
	return daemon->pid > 0 && (kill(daemon->pid, 0) == 0 || errno == EPERM);
}

/* Each change that waits has its bytes in staging/: the count of files there is what is left to
 * bring away. */
static uint64_t count_staged(const struct daemon_info *daemon)
{
	CLEANUP_FREE char *path = NULL;
	const struct dirent *e;
	uint64_t n = 0;
	DIR *dir;

	if (!daemon->cache_dir || asprintf(&path, "%s/staging", daemon->cache_dir) < 0) {
		path = NULL;
		return 0;
	}
	dir = opendir(path);
	while (dir && (e = readdir(dir)))
		n += e->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return n;
}

static int wait_for_end(const char *dir, const struct daemon_info *daemon, int64_t timeout_ms)
{
	const dl_t until = clock_mono(&clock_system) + timeout_ms * NSEC_PER_MSEC;
	struct progress progress = {.what = "drain"};
	bool lives;
	uint64_t left;

	while ((lives = daemon_lives(daemon)) && clock_left(&clock_system, until) > 0) {
		progress_show(&progress, count_staged(daemon), 0);
		clock_system.sleep_until(&clock_system, clock_mono(&clock_system) + POLL_NS);
	}
	progress_end(&progress);
	left = count_staged(daemon);
	if (lives && timeout_ms > 0)
		cli_error("umount %s: it is unmounted; the daemon goes on bringing changes to the "
			  "store",
			  dir);
	if (!left)
		return lives && timeout_ms > 0 ? CLI_DIRTY : CLI_OK;
	if (!lives)
		cli_error("umount %s: not in the store yet: %llu file%s; safe in %s until the next "
			  "mount",
			  dir, (unsigned long long)left, left == 1 ? "" : "s", daemon->cache_dir);
	return CLI_DIRTY;
}

static int say_busy(const struct mount_table *table, const struct mount_entry *m)
{
	cli_error("umount %s: it is in use:", m->dir);
	if (!holders_print(table, m, stderr))
		fputs("  by a process that cannot be seen from here\n", stderr);
	fprintf(stderr,
		"End them, or take the mount away under them with `cogfs umount --lazy %s`.\n",
		m->dir);
	return CLI_BUSY;
}

static int umount_entry(const struct mount_table *table, const struct mount_entry *m, bool lazy,
			int64_t timeout_ms)
{
	struct daemon_info daemon = {0};
	struct err err = {0};
	int r, status;

	ask_daemon(m->dir, &daemon);
	r = mountpoint_unmount(m->dir, lazy, &err);
	if (r == -EBUSY) {
		status = say_busy(table, m);
	} else if (r < 0) {
		cli_error("umount %s: %s", m->dir, err_text(&err, r));
		status = CLI_FAILED;
	} else {
		/* A lazy one ends when its last user does: that may be never. */
		status = lazy ? CLI_OK : wait_for_end(m->dir, &daemon, timeout_ms);
	}
	free(daemon.cache_dir);
	return status;
}

static int umount_path(const struct mount_table *table, const char *path, bool lazy,
		       int64_t timeout_ms)
{
	CLEANUP_FREE char *dir = mount_realpath(table, path);
	const struct mount_entry *m = dir ? mount_at(table, dir) : NULL;

	if (!dir) {
		cli_error("umount %s: %s", path, strerror(errno));
		return CLI_FAILED;
	}
	if (m && mount_is_cogfs(m))
		return umount_entry(table, m, lazy, timeout_ms);
	m = mount_of(table, dir);
	if (m && mount_is_cogfs(m))
		cli_error("umount %s: it lies in the mount %s", path, m->dir);
	else
		cli_error("umount %s: it is not a mount of cogfs", path);
	return CLI_FAILED;
}

int cmd_umount(const struct cli_verb *verb, int argc, char **argv)
{
	struct cli_args args = {.verb = verb, .argc = argc, .argv = argv};
	int64_t timeout_ms = DEFAULT_TIMEOUT_MS;
	struct mount_table table;
	struct err err = {0};
	bool lazy = false;
	int id, status;

	while ((id = cli_next(&args)) > 0) {
		if (id == 'l')
			lazy = true;
		if (id == 't' &&
		    (conf_parse_duration_ms(args.value, &timeout_ms) < 0 || timeout_ms < 0)) {
			cli_error("umount: \"%s\" is not a duration such as 60s", args.value);
			return CLI_FAILED;
		}
	}
	if (id < 0 || !cli_count(&args, 1, 1))
		return CLI_FAILED;
	if (mount_table_load(&table, &err) < 0) {
		cli_error("umount: %s", err.text);
		return CLI_FAILED;
	}
	status = umount_path(&table, args.rest[0], lazy, timeout_ms);
	mount_table_release(&table);
	return status;
}
