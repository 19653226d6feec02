/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Worker threads. All of them are alike: the part that is kept for the foreground is a limit on how
 * many other jobs run at the same time, so no thread idles while there is a job that it may take.
 *
 * Invariants, under the mutex
 *	started <= max, idle <= started, low_running <= low_max, low_running <= running
 *	a sleeping thread has found nothing that it may take, or a signal to it is under way
 */
#include "util/pool.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"

#define STACK_SIZE (256 * 1024)
#define THREADS_MAX 1024
#define THREAD_NAME_MAX 16 /* the kernel's, with the NUL */

struct queue {
	struct pool_job *head;
	struct pool_job **tail;
};

struct pool {
	pthread_mutex_t lock; /* protects everything below it */
	pthread_cond_t work;  /* a job that may be taken, or the end */
	pthread_cond_t calm;  /* nothing is queued or running */
	struct queue queues[POOL_PRIO_COUNT];
	size_t queued;
	unsigned int running;
	unsigned int low_running; /* of these, not foreground */
	unsigned int low_max;
	unsigned int idle;
	unsigned int started;
	unsigned int max;
	bool stopping;
	char name[THREAD_NAME_MAX];
	pthread_t threads[];
};

static void queue_put(struct queue *q, struct pool_job *job)
{
	job->next = NULL;
	*q->tail = job;
	q->tail = &job->next;
}

static struct pool_job *queue_take(struct queue *q)
{
	struct pool_job *job = q->head;

	q->head = job->next;
	if (!q->head)
		q->tail = &q->head;
	return job;
}

/* The priority of the job that may be taken now, or POOL_PRIO_COUNT. The lock is held. */
static enum pool_prio next_prio(const struct pool *pool)
{
	if (pool->queues[POOL_FOREGROUND].head)
		return POOL_FOREGROUND;
	if (pool->low_running == pool->low_max)
		return POOL_PRIO_COUNT;
	for (enum pool_prio prio = POOL_DRAIN; prio < POOL_PRIO_COUNT; prio++)
		if (pool->queues[prio].head)
			return prio;
	return POOL_PRIO_COUNT;
}

/* Takes and runs one job. The lock is held on entry and on return, not meanwhile. */
static void run_one(struct pool *pool, enum pool_prio prio)
{
	struct pool_job *job = queue_take(&pool->queues[prio]);
	bool low = prio != POOL_FOREGROUND;

	pool->queued--;
	pool->running++;
	pool->low_running += low;
	/* One signal can be spent on a job that another thread took: pass it on while there is
	 * work. */
	if (pool->idle && next_prio(pool) != POOL_PRIO_COUNT)
		pthread_cond_signal(&pool->work);
	pthread_mutex_unlock(&pool->lock);

	job->run(job);

	pthread_mutex_lock(&pool->lock);
	pool->running--;
	pool->low_running -= low;
	if (!pool->running && !pool->queued) {
		pthread_cond_broadcast(&pool->calm);
		if (pool->stopping)
			pthread_cond_broadcast(&pool->work);
	}
}

static void *thread_main(void *arg)
{
	struct pool *pool = arg;

	SCOPE_LOCK(&pool->lock);
	for (;;) {
		enum pool_prio prio = next_prio(pool);

		if (prio != POOL_PRIO_COUNT) {
			run_one(pool, prio);
			continue;
		}
		/* A running job may still submit others, also at the end. */
		if (pool->stopping && !pool->queued && !pool->running)
			return NULL;
		pool->idle++;
		pthread_cond_wait(&pool->work, &pool->lock);
		pool->idle--;
	}
}

/* Signals are the main thread's: a worker is born with all of them blocked. The lock is held. */
static int start_thread(struct pool *pool)
{
	char name[THREAD_NAME_MAX];
	sigset_t all, old;
	pthread_attr_t attr;
	int r;

	r = pthread_attr_init(&attr);
	if (r)
		return -r;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_attr_setstacksize(&attr, STACK_SIZE);
	if (!r)
		r = pthread_create(&pool->threads[pool->started], &attr, thread_main, pool);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (r)
		return -r;
	snprintf(name, sizeof(name), "%.10s-%u", pool->name, pool->started);
	pthread_setname_np(pool->threads[pool->started], name);
	pool->started++;
	return 0;
}

static int pool_init(struct pool *pool, const char *name, unsigned int threads)
{
	int r;

	pool->max = threads;
	/* A single thread cannot keep a quarter of itself. */
	pool->low_max = threads == 1 ? 1 : threads - (threads + 3) / 4;
	snprintf(pool->name, sizeof(pool->name), "%s", name);
	for (int i = 0; i < POOL_PRIO_COUNT; i++)
		pool->queues[i].tail = &pool->queues[i].head;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->work, NULL);
	pthread_cond_init(&pool->calm, NULL);

	/* The first one at once: pool_submit must not fail, later threads may. */
	pthread_mutex_lock(&pool->lock);
	r = start_thread(pool);
	pthread_mutex_unlock(&pool->lock);
	return r;
}

static void pool_destroy(struct pool *pool)
{
	pthread_cond_destroy(&pool->calm);
	pthread_cond_destroy(&pool->work);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

int pool_new(const char *name, unsigned int threads, struct pool **ret_pool)
{
	struct pool *pool;
	int r;

	if (threads == 0 || threads > THREADS_MAX)
		return -EINVAL;
	pool = calloc(1, sizeof(*pool) + threads * sizeof(pool->threads[0]));
	if (!pool)
		return -ENOMEM;
	r = pool_init(pool, name, threads);
	if (r) {
		pool_destroy(pool);
		return r;
	}
	*ret_pool = pool;
	return 0;
}

void pool_free(struct pool *pool)
{
	unsigned int started;

	if (!pool)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->stopping = true;
	started = pool->started;
	pthread_cond_broadcast(&pool->work);
	pthread_mutex_unlock(&pool->lock);

	for (unsigned int i = 0; i < started; i++)
		pthread_join(pool->threads[i], NULL);
	assert(!pool->queued && !pool->running);
	pool_destroy(pool);
}

void pool_submit(struct pool *pool, enum pool_prio prio, struct pool_job *job)
{
	assert(prio < POOL_PRIO_COUNT);
	{
		SCOPE_LOCK(&pool->lock);
		queue_put(&pool->queues[prio], job);
		pool->queued++;
		/*
		 * More threads where those that sleep are all spoken for; not at the end, when they
		 * are being joined. One that cannot be started is no failure: the first one gets
		 * there.
		 */
		if (pool->queued > pool->idle && pool->started < pool->max && !pool->stopping)
			(void)start_thread(pool);
	}
	/* Not under the lock: it is the first thing that a woken thread wants. */
	pthread_cond_signal(&pool->work);
}

void pool_quiesce(struct pool *pool)
{
	SCOPE_LOCK(&pool->lock);

	while (pool->queued || pool->running)
		pthread_cond_wait(&pool->calm, &pool->lock);
}
