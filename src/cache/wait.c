/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting without a thread: a call that cannot go on leaves its struct cache_wait on the list of
 * whatever will wake it, and on the clock. Exactly one of waker, clock and cancel takes it off
 * both lists (under cache.lock) and then, without the lock, calls done().
 */
#include <errno.h>

#include "cache/internal.h"

enum { WAIT_IDLE, WAIT_WAITING, WAIT_WOKEN };

void cache_wait_init(struct cache_wait *w, void (*done)(struct cache_wait *w, int err))
{
	w->done = done;
	w->deadline = 0;
	w->state = WAIT_IDLE;
	w->cold = w->synced = w->cancelled = w->begun = false;
	w->begins = NULL;
	w->stale = 0;
	list_init(&w->on_flight);
	list_init(&w->on_clock);
}

dl_t deadline_in(struct cache *c, int64_t ms)
{
	return clock_mono(c->clock) + ms * NSEC_PER_MSEC;
}

/* Nearly always the newest deadline is the latest one, so that looking from the end is one step. */
static void clock_insert(struct cache *c, struct cache_wait *w)
{
	struct list *pos = &c->waits;

	while (pos->prev != &c->waits &&
	       list_entry(pos->prev, struct cache_wait, on_clock)->deadline > w->deadline)
		pos = pos->prev;
	list_add_before(pos, &w->on_clock);
	/* It need not hear of waits that end after it wakes anyway. */
	if (!c->clock_wakes || w->deadline < c->clock_wakes)
		pthread_cond_signal(&c->clock_cond);
}

int wait_on(struct cache *c, struct list *waits, struct cache_wait *w, int64_t deadline_ms)
{
	if (!w)
		return -EAGAIN; /* a caller that cannot wait */
	assert(w->state != WAIT_WAITING);
	if (w->cancelled)
		return -EINTR;
	if (!w->deadline)
		w->deadline = deadline_in(c, deadline_ms);
	if (clock_mono(c->clock) >= w->deadline) {
		count_one(c->counters, COUNTER_timeouts);
		return -ETIMEDOUT;
	}
	w->state = WAIT_WAITING;
	list_add_tail(waits, &w->on_flight);
	clock_insert(c, w);
	c->n_waits++;
	return CACHE_PENDING;
}

static void wait_take(struct cache *c, struct cache_wait *w)
{
	assert(w->state == WAIT_WAITING);
	list_del(&w->on_flight);
	list_del(&w->on_clock);
	w->state = WAIT_WOKEN;
	c->n_waits--;
}

void wake_collect(struct cache *c, struct list *waits, struct list *out)
{
	while (!list_empty(waits)) {
		struct cache_wait *w = list_entry(waits->next, struct cache_wait, on_flight);

		wait_take(c, w);
		list_add_tail(out, &w->on_flight);
	}
}

void wake_all(struct list *out, int err)
{
	while (!list_empty(out)) {
		struct cache_wait *w = list_entry(out->next, struct cache_wait, on_flight);

		list_del(&w->on_flight);
		w->done(w, err);
	}
}

bool cache_cancel(struct cache *c, struct cache_wait *w)
{
	{
		SCOPE_LOCK(&c->lock);
		w->cancelled = true;
		if (w->state != WAIT_WAITING)
			return false;
		wait_take(c, w);
	}
	count_one(c->counters, COUNTER_interrupts);
	w->done(w, -EINTR);
	return true;
}

void flight_init(struct flight *f)
{
	list_init(&f->waits);
	f->running = false;
}

static void expire_waits(struct cache *c, struct list *out)
{
	int64_t now = clock_mono(c->clock);

	while (!list_empty(&c->waits)) {
		struct cache_wait *w = list_entry(c->waits.next, struct cache_wait, on_clock);

		if (w->deadline > now)
			return;
		wait_take(c, w);
		list_add_tail(out, &w->on_flight);
		count_one(c->counters, COUNTER_timeouts);
	}
}

static void clock_sleep(struct cache *c)
{
	struct timespec ts;
	dl_t dl;

	if (list_empty(&c->waits)) {
		c->clock_wakes = 0;
		pthread_cond_wait(&c->clock_cond, &c->lock);
		return;
	}
	dl = list_entry(c->waits.next, struct cache_wait, on_clock)->deadline;
	c->clock_wakes = dl;
	ts.tv_sec = dl / NSEC_PER_SEC;
	ts.tv_nsec = dl % NSEC_PER_SEC;
	pthread_cond_timedwait(&c->clock_cond, &c->lock, &ts);
}

static void *clock_main(void *arg)
{
	struct cache *c = arg;

	pthread_mutex_lock(&c->lock);
	while (c->clock_running) {
		struct list out;

		list_init(&out);
		expire_waits(c, &out);
		if (list_empty(&out)) {
			clock_sleep(c);
			continue;
		}
		pthread_mutex_unlock(&c->lock);
		wake_all(&out, -ETIMEDOUT);
		pthread_mutex_lock(&c->lock);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

int clock_start(struct cache *c)
{
	int r;

	c->clock_running = true;
	r = -pthread_create(&c->clock_thread, NULL, clock_main, c);
	if (r)
		c->clock_running = false;
	return r;
}

void clock_stop(struct cache *c)
{
	{
		SCOPE_LOCK(&c->lock);
		if (!c->clock_running)
			return;
		c->clock_running = false;
		pthread_cond_signal(&c->clock_cond);
	}
	pthread_join(c->clock_thread, NULL);
}
