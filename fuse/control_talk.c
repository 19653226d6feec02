/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One open `.cogfs/control`. Whoever works on the answer must not be made to write to the kernel,
 * so news of it wakes the notify thread, which answers the reads that wait.
 *
 * Locks: a reply's lock may be held when the talk's is taken, never the other way round.
 */
#include "fuse/control_talk.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "control/control.h"
#include "fuse/driver.h"
#include "fuse/proc.h"
#include "util/cleanup.h"
#include "util/list.h"

#define REQUEST_MAX (64u << 10)
#define READ_MAX 16384u

struct control_talk {
	struct driver *drv;
	struct notify_job job;
	struct control_reply *reply; /* NULL: nothing was asked. Changed by writes, one at a time */
	atomic_bool over;	     /* its end was read */
	pthread_mutex_t lock;	     /* of all below */
	unsigned int refs;	     /* the handle's, and the queued job's */
	unsigned int n_news;	     /* how often there was something new to read */
	bool queued;
	struct list parked; /* struct waiting_read */
	unsigned int n_parked;
};

/* A READ. Whoever takes it off the list answers it. */
struct waiting_read {
	struct list on_talk;
	struct control_talk *talk;
	fuse_req_t req;
	size_t size;
	bool interrupted; /* under the talk's lock */
};

static void talk_unref(struct control_talk *t)
{
	unsigned int left;

	{
		SCOPE_LOCK(&t->lock);
		left = --t->refs;
	}
	if (left)
		return;
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static void unpark_locked(struct control_talk *t, struct waiting_read *r)
{
	list_del(&r->on_talk);
	t->n_parked--;
}

/* libfuse holds the request's lock; who answers the read otherwise waits for it in finish(). */
static void interrupted(fuse_req_t req, void *data)
{
	struct waiting_read *r = data;
	bool waits;

	if (!proc_signal_ends_call(fuse_req_ctx(req)->pid))
		return;
	{
		SCOPE_LOCK(&r->talk->lock);

		r->interrupted = true;
		waits = !list_empty(&r->on_talk);
		if (waits)
			unpark_locked(r->talk, r);
	}
	if (!waits)
		return;
	fuse_reply_err(req, EINTR);
	free(r);
}

static void finish(struct waiting_read *r, const char *buf, ssize_t n)
{
	fuse_req_interrupt_func(r->req, NULL, NULL);
	if (n < 0)
		fuse_reply_err(r->req, (int)-n);
	else
		fuse_reply_buf(r->req, buf, (size_t)n);
	free(r);
}

static unsigned int news_of(struct control_talk *t)
{
	SCOPE_LOCK(&t->lock);

	return t->n_news;
}

/* True: r waits. False: there may be news since `seen`, or r was interrupted. */
static bool park(struct control_talk *t, struct waiting_read *r, unsigned int seen)
{
	SCOPE_LOCK(&t->lock);

	if (r->interrupted || t->n_news != seen)
		return false;
	list_add_tail(&t->parked, &r->on_talk);
	t->n_parked++;
	return true;
}

static void serve(struct control_talk *t, struct waiting_read *r)
{
	size_t size = r->size < READ_MAX ? r->size : READ_MAX;
	char buf[READ_MAX];
	ssize_t n;

	do {
		unsigned int seen = news_of(t);

		n = t->reply && !t->over ? control_reply_read(t->reply, buf, size) : 0;
		if (n != -EAGAIN) {
			t->over |= n == 0;
			finish(r, buf, n);
			return;
		}
		if (park(t, r, seen))
			return;
	} while (!r->interrupted);
	finish(r, NULL, -EINTR);
}

static struct waiting_read *take_parked(struct control_talk *t)
{
	struct waiting_read *r;
	SCOPE_LOCK(&t->lock);

	if (list_empty(&t->parked))
		return NULL;
	r = list_entry(t->parked.next, struct waiting_read, on_talk);
	unpark_locked(t, r);
	return r;
}

static void run_job(struct notify_job *job)
{
	struct control_talk *t = container_of(job, struct control_talk, job);
	struct waiting_read *r;
	unsigned int n;

	{
		SCOPE_LOCK(&t->lock);

		t->queued = false;
		n = t->n_parked;
	}
	while (n-- > 0 && (r = take_parked(t)))
		serve(t, r);
	talk_unref(t);
}

/* control_reply's: with its lock held. */
static void wake(void *arg)
{
	struct control_talk *t = arg;
	SCOPE_LOCK(&t->lock);

	t->n_news++;
	if (t->queued)
		return;
	t->queued = true;
	t->refs++;
	notify_submit(t->drv->notify, &t->job);
}

int control_talk_new(struct driver *d, struct control_talk **ret_talk)
{
	struct control_talk *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->drv = d;
	t->job.run = run_job;
	t->refs = 1;
	list_init(&t->parked);
	pthread_mutex_init(&t->lock, NULL);
	*ret_talk = t;
	return 0;
}

static void drop_reply(struct control_talk *t, bool never_given)
{
	struct control_reply *reply = STEAL_PTR(t->reply);

	if (reply)
		control_reply_close(reply, never_given);
}

void control_talk_free(struct control_talk *t)
{
	if (!t)
		return;
	drop_reply(t, false);
	talk_unref(t);
}

int control_talk_write(struct control_talk *t, const struct fuse_ctx *ctx, const char *buf,
		       size_t size)
{
	CLEANUP_FREE char *json = NULL;
	int rc;

	if (size > REQUEST_MAX)
		return -EFBIG;
	if (t->reply && !t->over)
		return -EBUSY;
	drop_reply(t, false);
	json = strndup(buf, size);
	t->reply = json ? control_reply_new(wake, t) : NULL;
	if (!t->reply)
		return -ENOMEM;
	t->over = false;
	rc = t->drv->control->request(t->drv->control_arg, json, ctx->uid, ctx->gid, ctx->pid,
				      t->reply);
	if (rc)
		drop_reply(t, true);
	return rc;
}

void control_talk_read(struct control_talk *t, fuse_req_t req, size_t size)
{
	struct waiting_read *r = calloc(1, sizeof(*r));

	if (!r) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	list_init(&r->on_talk);
	r->talk = t;
	r->req = req;
	r->size = size;
	fuse_req_interrupt_func(req, interrupted, r);
	serve(t, r);
}
