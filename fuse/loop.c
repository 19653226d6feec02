/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The read loop. libfuse's own hides the number of a request, which says whether the kernel sends
 * it again; so the threads read /dev/fuse themselves and hand each request to libfuse. There is
 * one descriptor for all: what was read from a cloned one dies with its worker.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuse/request.h"
#include "fuse/session.h"
#include "util/clock.h"
#include "util/log.h"

#define THREADS_MIN 2
#define THREADS_MAX 8
/* The largest WRITE and its head: libfuse's max_write, and room as it counts it itself. */
#define BUF_SIZE ((1u << 20) + 4096)

static void announce(int fd)
{
	const uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) < 0)
		log_error("eventfd: %s", strerror(errno));
}

void session_answered(struct session *s)
{
	if (!atomic_exchange(&s->answered, true))
		announce(s->answered_fd);
}

static void end(struct session *s, int why)
{
	int none = 0;

	(void)atomic_compare_exchange_strong(&s->end, &none, why);
	/* libfuse stops complaining about answers that nobody takes any more. */
	fuse_session_exit(s->fuse);
	announce(s->done_fd);
}

static void process(struct session *s, struct iobuf *buf, size_t len)
{
	const struct fuse_in_header *in = (const struct fuse_in_header *)buf->mem;
	struct fuse_buf fb = {.size = len, .mem = buf->mem};
	struct request_context *context = request_context();
	bool init = in->opcode == FUSE_INIT;

	context->unique = in->unique & ~KABI_UNIQUE_RESEND;
	context->resent = in->unique & KABI_UNIQUE_RESEND;
	context->buf = buf;
	fuse_session_process_buf(s->fuse, &fb);
	if (init)
		session_answered(s);
}

/* A buffer that nobody else reads: the same again, unless a WRITE waits in it. */
static struct iobuf *own_buf(struct iobuf *buf)
{
	if (buf && atomic_load(&buf->refs) == 1)
		return buf;
	iobuf_unref(buf);
	while (!(buf = iobuf_new(BUF_SIZE)))
		clock_system.sleep_until(&clock_system,
					 clock_mono(&clock_system) + 10 * NSEC_PER_MSEC);
	return buf;
}

/* Errors that end nothing: a signal, and a request that was interrupted before it was read. */
static bool passing_error(int error)
{
	return error == EINTR || error == EAGAIN || error == ENOENT;
}

static void *loop_main(void *arg)
{
	struct session *s = arg;
	struct iobuf *buf = NULL;

	while (!atomic_load(&s->end)) {
		ssize_t n;

		buf = own_buf(buf);
		n = read(s->dev_fd, buf->mem, BUF_SIZE);
		if (n >= (ssize_t)sizeof(struct fuse_in_header))
			process(s, buf, (size_t)n);
		else if (n >= 0)
			end(s, -EIO);
		else if (!passing_error(errno))
			end(s, -errno);
	}
	iobuf_unref(buf);
	return NULL;
}

int session_start(struct session *s)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned int n = cpus < THREADS_MIN   ? THREADS_MIN
			 : cpus > THREADS_MAX ? THREADS_MAX
					      : (unsigned int)cpus;
	int rc = 0;

	s->threads = calloc(n, sizeof(*s->threads));
	if (!s->threads)
		return -ENOMEM;
	while (s->n_threads < n && !rc) {
		rc = -pthread_create(&s->threads[s->n_threads], NULL, loop_main, s);
		s->n_threads += !rc;
	}
	return s->n_threads ? 0 : rc;
}

int session_join(struct session *s)
{
	for (unsigned int i = 0; i < s->n_threads; i++)
		pthread_join(s->threads[i], NULL);
	s->n_threads = 0;
	return atomic_load(&s->end);
}
