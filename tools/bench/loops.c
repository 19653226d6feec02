/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inner loops of the benchmarks, where Python would measure itself. Each prints nanoseconds.
 *
 *	loops small LIST ROUNDS		 open, read to the end and close each file of LIST: a file
 *	loops random FILE COUNT SIZE	 COUNT reads of SIZE bytes at random places: a read
 *	loops sequential FILE SIZE	 read FILE once, SIZE bytes at a time: all of it
 *	loops readers THREADS LIST	 read the files of LIST once, shared out: all of it
 *	loops http THREADS PORT LIST	 GET the paths of LIST from 127.0.0.1, each thread over one
 *					 connection that is kept: all of it
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BUF (1 << 20)

struct lines {
	char **v;
	size_t n;
};

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void *allocate(size_t size)
{
	void *p = malloc(size);

	if (!p)
		err(1, "malloc");
	return p;
}

static struct lines read_lines(const char *path)
{
	struct lines ret = {0};
	FILE *f = fopen(path, "r");
	char *line = NULL;
	size_t size = 0;
	ssize_t n;

	if (!f)
		err(1, "%s", path);
	while ((n = getline(&line, &size, f)) > 0) {
		line[n - 1] = '\0';
		ret.v = realloc(ret.v, (ret.n + 1) * sizeof(*ret.v));
		if (!ret.v)
			err(1, "realloc");
		ret.v[ret.n++] = line;
		line = NULL;
	}
	free(line);
	fclose(f);
	return ret;
}

static unsigned long number(const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*end || !n)
		errx(1, "\"%s\" is no number", text);
	return n;
}

static int open_file(const char *path)
{
	int fd = open(path, O_RDONLY);

	if (fd < 0)
		err(1, "%s", path);
	return fd;
}

static void read_whole(const char *path, char *buf, size_t size)
{
	int fd = open_file(path);
	ssize_t n;

	while ((n = read(fd, buf, size)) > 0)
		;
	if (n < 0)
		err(1, "%s", path);
	close(fd);
}

static void run_small(char **argv)
{
	struct lines files = read_lines(argv[0]);
	unsigned long rounds = number(argv[1]);
	char *buf = allocate(BUF);
	int64_t begin = now_ns();

	for (unsigned long r = 0; r < rounds; r++)
		for (size_t i = 0; i < files.n; i++)
			read_whole(files.v[i], buf, BUF);
	printf("%lld\n", (long long)((now_ns() - begin) / (int64_t)(rounds * files.n)));
}

static void run_random(char **argv)
{
	unsigned long count = number(argv[1]), size = number(argv[2]);
	int fd = open_file(argv[0]);
	uint64_t state = 88172645463325252u;
	char *buf = allocate(size);
	struct stat st;
	int64_t begin;

	if (fstat(fd, &st) || (unsigned long)st.st_size < size)
		err(1, "%s", argv[0]);
	begin = now_ns();
	for (unsigned long i = 0; i < count; i++) {
		uint64_t block;

		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		block = state % ((uint64_t)st.st_size / size);
		if (pread(fd, buf, size, (off_t)(block * size)) != (ssize_t)size)
			err(1, "%s", argv[0]);
	}
	printf("%lld\n", (long long)((now_ns() - begin) / (int64_t)count));
}

static void run_sequential(char **argv)
{
	unsigned long size = number(argv[1]);
	char *buf = allocate(size);
	int64_t begin = now_ns();

	read_whole(argv[0], buf, size);
	printf("%lld\n", (long long)(now_ns() - begin));
}

/* --- several threads that take lines from one list --- */

struct crowd {
	struct lines lines;
	atomic_size_t next;
	int port;
};

static const char *take(struct crowd *c)
{
	size_t i = atomic_fetch_add(&c->next, 1);

	return i < c->lines.n ? c->lines.v[i] : NULL;
}

static void run_crowd(struct crowd *c, unsigned long n, void *(*run)(void *))
{
	pthread_t *threads = allocate(n * sizeof(*threads));
	int64_t begin = now_ns();

	for (unsigned long i = 0; i < n; i++)
		if (pthread_create(&threads[i], NULL, run, c))
			errx(1, "pthread_create");
	for (unsigned long i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	printf("%lld\n", (long long)(now_ns() - begin));
}

static void *file_reader(void *arg)
{
	char *buf = allocate(BUF);
	const char *path;

	while ((path = take(arg)))
		read_whole(path, buf, BUF);
	return NULL;
}

static void run_readers(char **argv)
{
	struct crowd c = {.lines = read_lines(argv[1])};

	run_crowd(&c, number(argv[0]), file_reader);
}

static int connect_to(int port)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)))
		err(1, "connect to port %d", port);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

/* Reads one answer with a Content-Length to its end. */
static void read_answer(int fd, char *buf, const char *path)
{
	size_t have = 0, want = SIZE_MAX;

	while (have < want) {
		ssize_t n = read(fd, buf + have, BUF - 1 - have);
		const char *end, *length;

		if (n <= 0)
			errx(1, "%s: the connection ended", path);
		have += (size_t)n;
		buf[have] = '\0';
		end = strstr(buf, "\r\n\r\n");
		if (want != SIZE_MAX || !end)
			continue;
		length = strcasestr(buf, "\r\nContent-Length:");
		if (strncmp(buf, "HTTP/1.1 200", 12) != 0 || !length)
			errx(1, "%s: %.60s", path, buf);
		want = (size_t)(end + 4 - buf) + strtoul(length + 17, NULL, 10);
	}
}

static void *http_reader(void *arg)
{
	struct crowd *c = arg;
	char *buf = allocate(BUF), request[2048];
	int fd = connect_to(c->port);
	const char *path;

	while ((path = take(c))) {
		int n = snprintf(request, sizeof(request),
				 "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n", path, c->port);

		if (n >= (int)sizeof(request) || write(fd, request, (size_t)n) != n)
			errx(1, "%s: the request was not sent", path);
		read_answer(fd, buf, path);
	}
	return NULL;
}

static void run_http(char **argv)
{
	struct crowd c = {.lines = read_lines(argv[2]), .port = (int)number(argv[1])};

	run_crowd(&c, number(argv[0]), http_reader);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int args;
		void (*run)(char **argv);
	} verbs[] = {
		{"small", 2, run_small},
		{"random", 3, run_random},
		{"sequential", 2, run_sequential},
		{"readers", 2, run_readers},
		{"http", 3, run_http},
	};

	for (size_t i = 0; argc > 1 && i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(verbs[i].name, argv[1]) != 0 || verbs[i].args != argc - 2)
			continue;
		verbs[i].run(argv + 2);
		return 0;
	}
	errx(1, "see the head of loops.c");
}
