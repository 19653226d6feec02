/* SPDX-License-Identifier: Apache-2.0 */
/* Waits for the cache on the calling thread. */
#include "cache/blocking.h"

#include "util/cleanup.h"

static void wake(struct cache_wait *w, int err)
{
	struct blocking *b = (struct blocking *)w;
	SCOPE_LOCK(&b->lock);

	b->done = true;
	b->err = err;
	pthread_cond_signal(&b->cond);
}

void blocking_init(struct blocking *b)
{
	*b = (struct blocking){.done = false};
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->cond, NULL);
	blocking_again(b);
}

void blocking_release(struct blocking *b)
{
	pthread_mutex_destroy(&b->lock);
	pthread_cond_destroy(&b->cond);
}

void blocking_again(struct blocking *b)
{
	cache_wait_init(&b->w, wake);
}

int blocking_wait(struct blocking *b)
{
	SCOPE_LOCK(&b->lock);

	while (!b->done)
		pthread_cond_wait(&b->cond, &b->lock);
	b->done = false;
	return b->err;
}
