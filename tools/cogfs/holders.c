/* SPDX-License-Identifier: Apache-2.0 */
/* Walks /proc for what holds a mount. */
#include "cli/holders.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/cleanup.h"

#define PATHS_PER_PROCESS 5

/* The walk, and the process that it is at. */
struct walk {
	const struct mount_entry *m;
	FILE *out;
	const char *pid;
	int proc_fd; /* /proc/PID */
	char command[128];
	int of_process, total;
};

static void cleanup_closedirp(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

#define CLEANUP_DIR __attribute__((cleanup(cleanup_closedirp)))

static DIR *open_dir(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir && fd >= 0)
		close(fd);
	return dir;
}

static FILE *open_file(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_CLOEXEC);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "r");

	if (!file && fd >= 0)
		close(fd);
	return file;
}

/* The command line with its arguments, or the short name of what has none. */
static void read_command(struct walk *w)
{
	CLEANUP_FCLOSE FILE *in = open_file(w->proc_fd, "cmdline");
	size_t n = in ? fread(w->command, 1, sizeof(w->command) - 1, in) : 0;

	while (n && !w->command[n - 1])
		n--;
	w->command[n] = '\0';
	for (size_t i = 0; i < n; i++)
		if (!isprint((unsigned char)w->command[i]))
			w->command[i] = ' ';
	if (!n)
		snprintf(w->command, sizeof(w->command), "?");
}

static void report(struct walk *w, const char *how, const char *path)
{
	if (!w->of_process)
		read_command(w);
	w->total++;
	if (++w->of_process > PATHS_PER_PROCESS)
		return;
	fprintf(w->out, "  %s %s: %s %s\n", w->pid, w->command, how, path);
}

static void report_link(struct walk *w, const char *how, const char *name)
{
	char path[4096];
	ssize_t n = readlinkat(w->proc_fd, name, path, sizeof(path) - 1);

	path[n > 0 ? n : 0] = '\0';
	report(w, how, path);
}

/* The kernel says in fdinfo which mount a descriptor is of; a stat would ask the server. */
static bool fd_is_in(const struct walk *w, const char *fd)
{
	char name[300], line[128];
	CLEANUP_FCLOSE FILE *in = NULL;

	snprintf(name, sizeof(name), "fdinfo/%s", fd);
	in = open_file(w->proc_fd, name);
	while (in && fgets(line, sizeof(line), in))
		if (strncmp(line, "mnt_id:", 7) == 0)
			return strtol(line + 7, NULL, 10) == w->m->id;
	return false;
}

static void look_at_files(struct walk *w)
{
	CLEANUP_DIR DIR *dir = open_dir(w->proc_fd, "fdinfo");
	const struct dirent *e;
	char name[300];

	while (dir && (e = readdir(dir))) {
		if (!isdigit((unsigned char)e->d_name[0]) || !fd_is_in(w, e->d_name))
			continue;
		snprintf(name, sizeof(name), "fd/%s", e->d_name);
		report_link(w, "has open", name);
	}
}

static void look_at_link(struct walk *w, const char *name, const char *how)
{
	struct statx stx;

	/* DONT_SYNC: from what the kernel knows, without a word to the server. */
	if (statx(w->proc_fd, name, AT_STATX_DONT_SYNC, STATX_MNT_ID, &stx) == 0 &&
	    (stx.stx_mask & STATX_MNT_ID) && stx.stx_mnt_id == (unsigned int)w->m->id)
		report_link(w, how, name);
}

/* The field after n others, separated by single or more spaces; "" behind the last. */
static const char *field(const char *line, int n)
{
	for (; n > 0; n--) {
		line += strcspn(line, " ");
		line += strspn(line, " ");
	}
	return line;
}

/* "7f00-7f01 r--p 00000000 00:2e 17   /path": the device tells. */
static void look_at_maps(struct walk *w)
{
	CLEANUP_FCLOSE FILE *in = open_file(w->proc_fd, "maps");
	CLEANUP_FREE char *line = NULL, *last = NULL;
	size_t size = 0;

	while (in && getline(&line, &size, in) > 0) {
		const char *path;
		dev_t dev;

		line[strcspn(line, "\n")] = '\0';
		path = field(line, 5);
		if (!mount_parse_dev(field(line, 3), 16, &dev) || dev != w->m->dev || !*path)
			continue;
		if (last && strcmp(last, path) == 0)
			continue;
		free(last);
		last = strdup(path);
		report(w, "has mapped", path);
	}
}

static void look_at_process(struct walk *w)
{
	w->of_process = 0;
	look_at_link(w, "cwd", "works in");
	look_at_link(w, "root", "has its root at");
	look_at_link(w, "exe", "runs");
	look_at_files(w);
	/* What is mapped is most often open too. */
	if (!w->of_process)
		look_at_maps(w);
	if (w->of_process > PATHS_PER_PROCESS)
		fprintf(w->out, "  %s %s: and %d more\n", w->pid, w->command,
			w->of_process - PATHS_PER_PROCESS);
}

int holders_print(const struct mount_table *table, const struct mount_entry *m, FILE *out)
{
	CLEANUP_DIR DIR *proc = opendir("/proc");
	struct walk w = {.m = m, .out = out};
	const struct dirent *e;

	for (size_t i = 0; i < table->n; i++) {
		if (table->entries[i].parent != m->id)
			continue;
		fprintf(out, "  mounted on it: %s (%s)\n", table->entries[i].dir,
			table->entries[i].type);
		w.total++;
	}
	while (proc && (e = readdir(proc))) {
		CLEANUP_CLOSE int fd = -1;

		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		fd = openat(dirfd(proc), e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			continue;
		w.pid = e->d_name;
		w.proc_fd = fd;
		look_at_process(&w);
	}
	return w.total;
}
