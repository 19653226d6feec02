/* SPDX-License-Identifier: Apache-2.0 */
/* The client of the control files: one JSON request line, JSON lines back until the end. */
#include "cli/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/clock.h"

#define CONTROL "control"
#define ANSWER_MAX (16 << 20)
#define STATS_MS 5000

static char *control_path(const char *dir, const char *name)
{
	char *path;

	return asprintf(&path, "%s/.cogfs/%s", strcmp(dir, "/") == 0 ? "" : dir, name) < 0 ? NULL
											   : path;
}

static int open_failed(const char *dir, struct err *err)
{
	int code = -errno;

	if (code == -ENOTCONN)
		return err_set(err, code, "%s: the mount is dead: cogfs umount --lazy %s", dir,
			       dir);
	return err_set(err, code, "%s: the mount does not answer: %s", dir, strerror(-code));
}

/* --- reading a file, with a way out --- */

/* The child's part: the file to the pipe, then the errno as the exit status. */
static void pump(const char *path, int out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char buf[65536];
	ssize_t n = 0;

	while (fd >= 0 && (n = read(fd, buf, sizeof(buf))) > 0)
		if (write(out, buf, (size_t)n) != n)
			_exit(EPIPE);
	_exit(fd < 0 || n < 0 ? errno : 0);
}

static int64_t now_ms(void)
{
	return clock_mono(&clock_system) / NSEC_PER_MSEC;
}

/* Everything from fd until its end or the time. */
static int collect(int fd, int64_t until, char **ret_text)
{
	CLEANUP_FREE char *text = NULL;
	size_t len = 0;

	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int64_t left = until - now_ms();
		char *grown;
		ssize_t n;

		if (left <= 0 || poll(&p, 1, (int)left) == 0)
			return -ETIMEDOUT;
		grown = realloc(text, len + 65536 + 1);
		if (!grown)
			return -ENOMEM;
		text = grown;
		n = read(fd, text + len, 65536);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		len += (size_t)n;
		text[len] = '\0';
		if (n == 0) {
			*ret_text = STEAL_PTR(text);
			return 0;
		}
		if (len > ANSWER_MAX)
			return -EFBIG;
	}
}

/* A process of its own reads, as a read from a server that hangs cannot be given up in this one. */
int client_read(const char *dir, const char *name, int ms, char **ret_text, struct err *err)
{
	CLEANUP_FREE char *path = control_path(dir, name), *text = NULL;
	int ends[2], status = 0, r;
	pid_t child;

	if (!path)
		return err_set(err, -ENOMEM, "no memory");
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set(err, -errno, "pipe: %s", strerror(errno));
	child = fork();
	if (child == 0)
		pump(path, ends[1]);
	close(ends[1]);
	r = child < 0 ? -errno : collect(ends[0], now_ms() + ms, &text);
	close(ends[0]);
	/* A killed reader may still have to wait for the server: not with us. */
	if (child > 0 && r < 0)
		kill(child, SIGKILL);
	while (child > 0 && waitpid(child, &status, r < 0 ? WNOHANG : 0) < 0 && errno == EINTR)
		;
	if (r == 0 && WIFEXITED(status) && WEXITSTATUS(status)) {
		errno = WEXITSTATUS(status);
		return open_failed(dir, err);
	}
	if (r < 0)
		return err_set(err, r, "%s: the mount does not answer: %s", dir, strerror(-r));
	*ret_text = STEAL_PTR(text);
	return 0;
}

int client_stats(const char *dir, json_t **ret_json, struct err *err)
{
	CLEANUP_FREE char *text = NULL;
	json_error_t wrong;
	json_t *json;
	int r = client_read(dir, "stats.json", STATS_MS, &text, err);

	if (r < 0)
		return r;
	json = json_loads(text, JSON_REJECT_DUPLICATES, &wrong);
	if (!json)
		return err_set(err, -EPROTO, "%s/.cogfs/stats.json: %s", dir, wrong.text);
	*ret_json = json;
	return 0;
}

/* --- a request --- */

/* What is known of the answer so far. */
struct answer {
	client_progress_fn *fn;
	void *arg;
	json_t *done;
};

static int take_line(struct answer *a, const char *line, struct err *err)
{
	json_error_t wrong;
	json_t *json = json_loads(line, 0, &wrong);
	const json_t *error, *progress;

	if (!json)
		return err_set(err, -EPROTO, "the answer makes no sense: %s", wrong.text);
	error = json_object_get(json, "error");
	progress = json_object_get(json, "progress");
	if (error) {
		int code = (int)json_integer_value(json_object_get(json, "errno"));

		err_set(err, -EIO, "%s",
			json_is_string(error) ? json_string_value(error) : strerror(code));
		json_decref(json);
		return code > 0 ? -code : -EIO;
	}
	if (progress) {
		if (a->fn)
			a->fn(a->arg, progress);
		json_decref(json);
		return 0;
	}
	json_decref(a->done);
	a->done = json;
	return 0;
}

static int read_answer(int fd, struct answer *a, struct err *err)
{
	CLEANUP_FREE char *buf = malloc(ANSWER_MAX + 1);
	size_t len = 0;
	ssize_t n;

	if (!buf)
		return err_set(err, -ENOMEM, "no memory");
	while ((n = read(fd, buf + len, ANSWER_MAX - len)) != 0) {
		char *line = buf, *end;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, -errno, "no answer: %s", strerror(errno));
		len += (size_t)n;
		buf[len] = '\0';
		while ((end = strchr(line, '\n'))) {
			int r;

			*end = '\0';
			r = *line ? take_line(a, line, err) : 0;
			if (r < 0)
				return r;
			line = end + 1;
		}
		len -= (size_t)(line - buf);
		memmove(buf, line, len + 1);
		if (len == ANSWER_MAX)
			return err_set(err, -EFBIG, "the answer has no end");
	}
	return len ? take_line(a, buf, err) : 0;
}

static int write_line(int fd, const json_t *request)
{
	CLEANUP_FREE char *text = json_dumps(request, JSON_COMPACT), *line = NULL;
	int len;

	if (!text)
		return -ENOMEM;
	len = asprintf(&line, "%s\n", text);
	if (len < 0) {
		line = NULL;
		return -ENOMEM;
	}
	/* One write is one request. */
	return write(fd, line, (size_t)len) == len ? 0 : errno ? -errno : -EIO;
}

int client_request(const char *dir, const json_t *request, client_progress_fn *fn, void *arg,
		   json_t **ret_done, struct err *err)
{
	CLEANUP_FREE char *path = control_path(dir, CONTROL);
	CLEANUP_CLOSE int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	struct answer answer = {.fn = fn, .arg = arg};
	int r;

	if (!path)
		return err_set(err, -ENOMEM, "no memory");
	if (fd < 0)
		return open_failed(dir, err);
	errno = 0;
	r = write_line(fd, request);
	if (r < 0)
		return err_set(err, r, "%s: the request was refused: %s", dir, strerror(-r));
	r = read_answer(fd, &answer, err);
	if (r == 0 && !answer.done)
		r = err_set(err, -EPROTO, "%s: the answer ended too soon", dir);
	if (r < 0) {
		json_decref(answer.done);
		return r;
	}
	*ret_done = answer.done;
	return 0;
}

uint64_t client_number(const json_t *object, const char *name)
{
	json_int_t v = json_integer_value(json_object_get(object, name));

	return v > 0 ? (uint64_t)v : 0;
}

void client_print(const json_t *json)
{
	json_dumpf(json, stdout, JSON_COMPACT);
	putchar('\n');
}
