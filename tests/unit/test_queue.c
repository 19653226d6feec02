/* SPDX-License-Identifier: Apache-2.0 */
/* Each eviction policy against a naive reading of it, on random traces in simulated time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache/queue.h"
#include "util/clock.h"

#define N 200
#define STEPS 40000

/* A body as the reference sees it. */
struct seen {
	bool here, parked;
	uint64_t came, used, uses, base; /* base: the age at its last use */
	int64_t expires_at;
};

struct world {
	struct queue_state state;
	struct queue q;
	struct body bodies[N];
	struct seen seen[N];
	uint64_t seed, now, age;
};

static uint32_t any(struct world *w, uint32_t n)
{
	w->seed = w->seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(w->seed >> 33) % n;
}

static struct queue_use use_of(struct world *w, int i)
{
	return (struct queue_use){(int64_t)w->now, w->seen[i].expires_at};
}

/* Whether a leaves before b. Equal: either may. */
static int before(const struct world *w, const struct seen *a, const struct seen *b)
{
	uint64_t x = a->used, y = b->used;

	switch (w->q.policy) {
	case EVICTION_FIFO:
		x = a->came, y = b->came;
		break;
	case EVICTION_TTL:
		if (a->expires_at || b->expires_at) {
			x = a->expires_at ? (uint64_t)a->expires_at : UINT64_MAX;
			y = b->expires_at ? (uint64_t)b->expires_at : UINT64_MAX;
		}
		break;
	case EVICTION_LFU:
		if (a->base + a->uses != b->base + b->uses) {
			x = a->base + a->uses, y = b->base + b->uses;
		} else {
			x = a->used / NSEC_PER_SEC, y = b->used / NSEC_PER_SEC;
		}
		break;
	default:
		break;
	}
	return x < y ? -1 : x > y;
}

static bool waits(const struct seen *s)
{
	return s->here && !s->parked;
}

static void add(struct world *w, int i)
{
	struct seen *s = &w->seen[i];
	struct queue_use use;

	*s = (struct seen){.here = true, .came = w->now, .used = w->now, .uses = 1, .base = w->age};
	s->expires_at = any(w, 3) ? 2000000000 + any(w, 100) : 0;
	use = use_of(w, i);
	assert_int_equal(queue_add(&w->q, &w->bodies[i], &use), 0);
}

static void touch(struct world *w, int i)
{
	struct seen *s = &w->seen[i];
	struct queue_use use = use_of(w, i);

	s->used = w->now;
	s->base = w->age;
	s->uses += s->uses < 255;
	queue_touch(&w->q, &w->bodies[i], &use);
}

static void live(struct world *w, int i)
{
	struct seen *s = &w->seen[i];
	bool had = s->expires_at;
	struct queue_use use;

	s->expires_at = any(w, 3) ? 2000000000 + any(w, 100) : 0;
	use = use_of(w, i);
	if (had && !s->expires_at)
		s->used = w->now; /* among those that never expire it is the last */
	queue_life(&w->q, &w->bodies[i], &use);
}

static void pop(struct world *w)
{
	struct body *b = queue_first(&w->q);
	const struct seen *best = NULL;
	size_t i;

	for (i = 0; i < N; i++)
		if (waits(&w->seen[i]) && (!best || before(w, &w->seen[i], best) < 0))
			best = &w->seen[i];
	if (!best) {
		assert_null(b);
		return;
	}
	assert_non_null(b);
	i = (size_t)(b - w->bodies);
	assert_true(waits(&w->seen[i]));
	assert_int_equal(before(w, &w->seen[i], best), 0);
	if (any(w, 4) == 0) {
		assert_int_equal(queue_park(&w->q, b), 0);
		w->seen[i].parked = true;
		return;
	}
	if (w->seen[i].base + w->seen[i].uses > w->age)
		w->age = w->seen[i].base + w->seen[i].uses;
	queue_left(&w->q, b);
	queue_remove(&w->q, b);
	w->seen[i].here = false;
}

static void step(struct world *w)
{
	int i = (int)any(w, N);
	struct seen *s = &w->seen[i];

	w->now += 1 + any(w, 300) * (NSEC_PER_SEC / 100);
	switch (any(w, 8)) {
	case 0:
	case 1:
		pop(w);
		break;
	case 2:
		if (s->here)
			queue_remove(&w->q, &w->bodies[i]);
		s->here = false;
		break;
	case 3:
		if (s->here && s->parked)
			assert_int_equal(queue_unpark(&w->q, &w->bodies[i]), 0);
		s->parked = false;
		break;
	case 4:
		if (s->here && w->q.policy == EVICTION_TTL)
			live(w, i);
		break;
	default:
		if (s->here)
			touch(w, i);
		else
			add(w, i);
	}
}

static void run(enum eviction policy)
{
	struct world w = {.seed = 7 + (uint64_t)policy, .now = 1000 * NSEC_PER_SEC};

	queue_init(&w.q, &w.state, policy);
	for (int i = 0; i < STEPS; i++)
		step(&w);
	queue_free(&w.q);
}

static void lru_is_by_use(void **state)
{
	(void)state;
	run(EVICTION_LRU);
}

static void lfu_is_by_uses_and_ages(void **state)
{
	(void)state;
	run(EVICTION_LFU);
}

static void fifo_is_by_arrival(void **state)
{
	(void)state;
	run(EVICTION_FIFO);
}

static void ttl_is_by_expiry(void **state)
{
	(void)state;
	run(EVICTION_TTL);
}

static void none_lets_nobody_go(void **state)
{
	struct queue_state qs = {0};
	struct queue_use use = {1, 0};
	struct body b = {.cost = 1};
	struct queue q;

	(void)state;
	queue_init(&q, &qs, EVICTION_NONE);
	assert_int_equal(queue_add(&q, &b, &use), 0);
	assert_null(queue_first(&q));
	queue_remove(&q, &b);
	queue_free(&q);
}

/* What was used often long ago leaves in the end, whatever comes now. */
static void old_fame_fades(void **state)
{
	struct world w = {.seed = 1, .now = NSEC_PER_SEC};
	bool gone = false;

	(void)state;
	queue_init(&w.q, &w.state, EVICTION_LFU);
	add(&w, 0);
	for (int i = 0; i < 100; i++)
		touch(&w, 0);
	for (int i = 1; i < 120 * 10 && !gone; i++) {
		int at = 1 + i % 10;
		struct body *b;

		w.now += NSEC_PER_SEC;
		if (!w.seen[at].here)
			add(&w, at);
		b = queue_first(&w.q);
		queue_left(&w.q, b);
		queue_remove(&w.q, b);
		w.seen[b - w.bodies].here = false;
		gone = b == &w.bodies[0];
	}
	assert_true(gone);
	queue_free(&w.q);
}

/* A body that comes to another class is not taken for a new one there. */
static void uses_count_in_another_queue(void **state)
{
	struct queue_use use = {NSEC_PER_SEC, 0};
	struct queue_state qs = {0};
	struct body often = {.cost = 1}, once = {.cost = 1};
	struct queue from, to;

	(void)state;
	queue_init(&from, &qs, EVICTION_LFU);
	queue_init(&to, &qs, EVICTION_LFU);
	assert_int_equal(queue_add(&from, &often, &use), 0);
	for (int i = 0; i < 10; i++)
		queue_touch(&from, &often, &use);
	queue_remove(&from, &often);
	use.mono_ns += NSEC_PER_SEC;
	assert_int_equal(queue_move(&to, &often, &use), 0);
	use.mono_ns += NSEC_PER_SEC;
	assert_int_equal(queue_add(&to, &once, &use), 0);
	assert_ptr_equal(queue_first(&to), &once);
	queue_free(&from);
	queue_free(&to);
}

static struct queue_use told(void *arg, const struct body *b)
{
	struct world *w = arg;

	return (struct queue_use){(int64_t)w->seen[b - w->bodies].used,
				  w->seen[b - w->bodies].expires_at};
}

static void another_policy_takes_over_what_is_there(void **state)
{
	struct world w = {.seed = 3, .now = NSEC_PER_SEC};
	uint64_t last = 0;

	(void)state;
	queue_init(&w.q, &w.state, EVICTION_TTL);
	for (int i = 0; i < N; i++, w.now += NSEC_PER_SEC)
		add(&w, i);
	for (int i = 0; i < N; i++, w.now += NSEC_PER_SEC)
		touch(&w, (int)any(&w, N));
	queue_set_policy(&w.q, EVICTION_LRU, told, &w);
	for (int i = 0; i < N; i++) {
		struct body *b = queue_first(&w.q);

		assert_true(w.seen[b - w.bodies].used >= last);
		last = w.seen[b - w.bodies].used;
		queue_remove(&w.q, b);
	}
	assert_null(queue_first(&w.q));
	queue_free(&w.q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lru_is_by_use),
		cmocka_unit_test(lfu_is_by_uses_and_ages),
		cmocka_unit_test(fifo_is_by_arrival),
		cmocka_unit_test(ttl_is_by_expiry),
		cmocka_unit_test(none_lets_nobody_go),
		cmocka_unit_test(old_fame_fades),
		cmocka_unit_test(uses_count_in_another_queue),
		cmocka_unit_test(another_policy_takes_over_what_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
