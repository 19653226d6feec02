/* SPDX-License-Identifier: Apache-2.0 */
/* The answer to a control request: a buffer between a worker that adds lines and a reader. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "control/control.h"
#include "util/cleanup.h"

struct control_reply {
	pthread_mutex_t lock;	 /* of all below */
	void (*wake)(void *arg); /* NULL once the reader is gone */
	void *arg;
	char *buf;
	size_t begin, end, size; /* unread bytes are begin..end */
	bool lost, ended, closed;
};

struct control_reply *control_reply_new(void (*wake)(void *arg), void *arg)
{
	struct control_reply *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	pthread_mutex_init(&r->lock, NULL);
	r->wake = wake;
	r->arg = arg;
	return r;
}

static void reply_free(struct control_reply *r)
{
	pthread_mutex_destroy(&r->lock);
	free(r->buf);
	free(r);
}

static bool append(struct control_reply *r, const char *text, size_t len)
{
	if (r->end + len + 1 > r->size) {
		size_t size = (r->end + len + 1) * 2;
		char *more = realloc(r->buf, size);

		if (!more)
			return false;
		r->buf = more;
		r->size = size;
	}
	memcpy(r->buf + r->end, text, len);
	r->buf[r->end + len] = '\n';
	r->end += len + 1;
	return true;
}

void control_reply_line(struct control_reply *reply, const char *text)
{
	SCOPE_LOCK(&reply->lock);

	if (reply->closed)
		return;
	if (!append(reply, text, strlen(text)))
		reply->lost = true;
	reply->wake(reply->arg);
}

void control_reply_end(struct control_reply *reply)
{
	static const char lost[] = "{\"error\": \"out of memory\", \"errno\": 12}";
	bool last;

	{
		SCOPE_LOCK(&reply->lock);

		if (reply->lost)
			(void)append(reply, lost, sizeof(lost) - 1);
		reply->ended = true;
		last = reply->closed;
		if (!last)
			reply->wake(reply->arg);
	}
	if (last)
		reply_free(reply);
}

bool control_reply_cancelled(struct control_reply *reply)
{
	SCOPE_LOCK(&reply->lock);

	return reply->closed;
}

ssize_t control_reply_read(struct control_reply *reply, char *buf, size_t size)
{
	SCOPE_LOCK(&reply->lock);
	size_t n = reply->end - reply->begin;

	if (!n)
		return reply->ended ? 0 : -EAGAIN;
	if (n > size)
		n = size;
	memcpy(buf, reply->buf + reply->begin, n);
	reply->begin += n;
	if (reply->begin == reply->end)
		reply->begin = reply->end = 0;
	return (ssize_t)n;
}

void control_reply_close(struct control_reply *reply, bool never_given)
{
	bool last;

	{
		SCOPE_LOCK(&reply->lock);

		reply->closed = true;
		last = reply->ended || never_given;
	}
	if (last)
		reply_free(reply);
}
