/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that tells the kernel what changed. */
#include "fuse/notify.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/list.h"

#define QUEUE_MAX 65536u

enum kind { NEWS_ATTR, NEWS_CONTENT, NEWS_NAME };

struct news {
	struct list on_queue;
	enum kind kind;
	uint64_t node; /* of a name: its directory's */
	char name[];
};

struct notify {
	struct fuse_session *session;
	pthread_t thread;
	pthread_mutex_t lock; /* of all below */
	pthread_cond_t cond;
	struct list queue;
	unsigned int queued;
	struct notify_job *jobs, **jobs_end;
	bool stop;
};

static void send_name(struct fuse_session *se, uint64_t parent, const char *name)
{
	int rc = -ENOSYS;

	/* Expiring asks again at the next use; invalidating would throw away a whole tree. */
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
	rc = fuse_lowlevel_notify_expire_entry(se, parent, name, strlen(name));
#elif FUSE_VERSION >= FUSE_MAKE_VERSION(3, 14)
	rc = fuse_lowlevel_notify_expire_entry(se, parent, name, strlen(name), FUSE_LL_EXPIRE_ONLY);
#endif
	if (rc == -ENOSYS)
		(void)fuse_lowlevel_notify_inval_entry(se, parent, name, strlen(name));
}

/* ENOENT says that the kernel does not know it, which is as good. */
static void send_news(struct fuse_session *se, const struct news *news)
{
	switch (news->kind) {
	case NEWS_ATTR:
		(void)fuse_lowlevel_notify_inval_inode(se, news->node, -1, 0);
		break;
	case NEWS_CONTENT:
		(void)fuse_lowlevel_notify_inval_inode(se, news->node, 0, 0);
		break;
	case NEWS_NAME:
		send_name(se, news->node, news->name);
		break;
	}
}

static struct notify_job *take_jobs(struct notify *n)
{
	struct notify_job *jobs = n->jobs;

	n->jobs = NULL;
	n->jobs_end = &n->jobs;
	return jobs;
}

static void run_jobs(struct notify_job *job)
{
	for (struct notify_job *next; job; job = next) {
		next = job->next;
		job->run(job);
	}
}

static struct news *take_news(struct notify *n)
{
	struct news *news;

	if (list_empty(&n->queue))
		return NULL;
	news = list_entry(n->queue.next, struct news, on_queue);
	list_del(&news->on_queue);
	n->queued--;
	return news;
}

static void *notify_main(void *arg)
{
	struct notify *n = arg;
	bool stop = false;

	while (!stop) {
		struct notify_job *jobs;
		struct news *news;

		{
			SCOPE_LOCK(&n->lock);

			while (!n->stop && !n->jobs && list_empty(&n->queue))
				pthread_cond_wait(&n->cond, &n->lock);
			jobs = take_jobs(n);
			news = n->stop ? NULL : take_news(n);
			stop = n->stop;
		}
		run_jobs(jobs);
		if (news)
			send_news(n->session, news);
		free(news);
	}
	return NULL;
}

int notify_new(struct fuse_session *session, struct notify **ret_notify)
{
	struct notify *n = calloc(1, sizeof(*n));
	int rc;

	if (!n)
		return -ENOMEM;
	n->session = session;
	list_init(&n->queue);
	n->jobs_end = &n->jobs;
	pthread_mutex_init(&n->lock, NULL);
	pthread_cond_init(&n->cond, NULL);
	rc = -pthread_create(&n->thread, NULL, notify_main, n);
	if (rc) {
		free(n);
		return rc;
	}
	*ret_notify = n;
	return 0;
}

void notify_free(struct notify *n)
{
	if (!n)
		return;
	{
		SCOPE_LOCK(&n->lock);

		n->stop = true;
		pthread_cond_signal(&n->cond);
	}
	pthread_join(n->thread, NULL);
	run_jobs(take_jobs(n));
	list_for_each_safe(it, &n->queue)
		free(list_entry(it, struct news, on_queue));
	pthread_cond_destroy(&n->cond);
	pthread_mutex_destroy(&n->lock);
	free(n);
}

static void queue(struct notify *n, enum kind kind, uint64_t node, const char *name)
{
	size_t len = strlen(name) + 1;
	struct news *news = node ? malloc(sizeof(*news) + len) : NULL;

	if (!news)
		return;
	news->kind = kind;
	news->node = node;
	memcpy(news->name, name, len);
	SCOPE_LOCK(&n->lock);
	if (n->queued == QUEUE_MAX)
		free(take_news(n));
	list_add_tail(&n->queue, &news->on_queue);
	n->queued++;
	pthread_cond_signal(&n->cond);
}

void notify_attr(struct notify *n, uint64_t node)
{
	queue(n, NEWS_ATTR, node, "");
}

void notify_content(struct notify *n, uint64_t node)
{
	queue(n, NEWS_CONTENT, node, "");
}

void notify_name(struct notify *n, uint64_t parent, const char *name)
{
	queue(n, NEWS_NAME, parent, name);
}

void notify_submit(struct notify *n, struct notify_job *job)
{
	SCOPE_LOCK(&n->lock);

	job->next = NULL;
	*n->jobs_end = job;
	n->jobs_end = &job->next;
	pthread_cond_signal(&n->cond);
}
