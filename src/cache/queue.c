/* SPDX-License-Identifier: Apache-2.0 */
/* The order in which bodies leave: a heap, and what each policy makes its keys of. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "cache/queue.h"
#include "util/clock.h"

#define PLACE (QUEUE_PARKED - 1)
#define USES_MAX 255	       /* what is used more often is not worth more: ages stay small */
#define TTL_NEVER (1ull << 63) /* and then by use */

/* --- policies: what a body's key is when it comes, and when it is used --- */

struct policy_ops {
	uint64_t (*key)(struct queue_state *s, const struct body *b, const struct queue_use *use);
	bool used; /* a use makes another key */
};

/* Later than whatever came before. */
static uint64_t key_by_time(struct queue_state *s, const struct body *b,
			    const struct queue_use *use)
{
	uint64_t ns = use->mono_ns > 0 ? (uint64_t)use->mono_ns : 0;

	(void)b;
	s->now = ns > s->now ? ns : s->now + 1;
	return s->now;
}

/* What is worth the same leaves by the second of its last use. */
static uint64_t key_by_uses(struct queue_state *s, const struct body *b,
			    const struct queue_use *use)
{
	return (s->age + b->uses) << 32 | (uint32_t)(use->mono_ns / NSEC_PER_SEC);
}

static uint64_t key_by_end(struct queue_state *s, const struct body *b, const struct queue_use *use)
{
	if (use->expires_at <= 0)
		return TTL_NEVER | key_by_time(s, b, use);
	return (uint64_t)use->expires_at;
}

static const struct policy_ops policies[] = {
	[EVICTION_LRU] = {key_by_time, true},	[EVICTION_LFU] = {key_by_uses, true},
	[EVICTION_FIFO] = {key_by_time, false}, [EVICTION_TTL] = {key_by_end, true},
	[EVICTION_NONE] = {key_by_time, false},
};

/* --- vectors --- */

static struct queue_vec *vec_of(struct queue *q, const struct body *b)
{
	return b->at & QUEUE_PARKED ? &q->parked : &q->heap;
}

static int vec_reserve(struct queue_vec *v)
{
	uint32_t room = v->room ? v->room * 2 : 16;
	struct queue_entry *more;

	if (v->n < v->room)
		return 0;
	if (room > PLACE)
		return -ENOMEM;
	more = realloc(v->v, room * sizeof(*more));
	if (!more)
		return -ENOMEM;
	v->v = more;
	v->room = room;
	return 0;
}

/* Gives back what a queue that has shrunk does not need. */
static void vec_trim(struct queue_vec *v)
{
	struct queue_entry *less;

	if (v->room <= 1024 || v->n > v->room / 4)
		return;
	less = realloc(v->v, v->room / 2 * sizeof(*less));
	if (!less)
		return;
	v->v = less;
	v->room /= 2;
}

static void place(struct queue_vec *v, uint32_t i, struct queue_entry e, uint32_t flag)
{
	v->v[i] = e;
	e.body->at = (i + 1) | flag;
}

/* --- the heap --- */

static void sift_up(struct queue_vec *v, uint32_t i)
{
	struct queue_entry e = v->v[i];

	for (; i && e.key < v->v[(i - 1) / 2].key; i = (i - 1) / 2)
		place(v, i, v->v[(i - 1) / 2], 0);
	place(v, i, e, 0);
}

static void sift_down(struct queue_vec *v, uint32_t i)
{
	struct queue_entry e = v->v[i];

	for (;;) {
		uint32_t least = 2 * i + 1;

		if (least >= v->n)
			break;
		if (least + 1 < v->n && v->v[least + 1].key < v->v[least].key)
			least++;
		if (e.key <= v->v[least].key)
			break;
		place(v, i, v->v[least], 0);
		i = least;
	}
	place(v, i, e, 0);
}

static int heap_push(struct queue *q, struct body *b)
{
	int r = vec_reserve(&q->heap);

	if (r)
		return r;
	place(&q->heap, q->heap.n++, (struct queue_entry){b->key, b}, 0);
	sift_up(&q->heap, q->heap.n - 1);
	return 0;
}

/* --- the queue --- */

void queue_init(struct queue *q, struct queue_state *state, enum eviction policy)
{
	*q = (struct queue){.policy = policy, .state = state};
}

void queue_free(struct queue *q)
{
	free(q->heap.v);
	free(q->parked.v);
}

int queue_move(struct queue *q, struct body *b, const struct queue_use *use)
{
	b->key = policies[q->policy].key(q->state, b, use);
	return heap_push(q, b);
}

int queue_add(struct queue *q, struct body *b, const struct queue_use *use)
{
	b->uses = 1;
	return queue_move(q, b, use);
}

void queue_remove(struct queue *q, struct body *b)
{
	struct queue_vec *v = vec_of(q, b);
	uint32_t i = (b->at & PLACE) - 1, flag = b->at & QUEUE_PARKED;

	if (!b->at)
		return;
	assert(i < v->n && v->v[i].body == b);
	b->at = 0;
	if (i != --v->n) {
		place(v, i, v->v[v->n], flag);
		if (!flag) {
			sift_down(v, i);
			sift_up(v, i);
		}
	}
	vec_trim(v);
}

void queue_touch(struct queue *q, struct body *b, const struct queue_use *use)
{
	if (!b->at) {
		(void)queue_add(q, b, use); /* there was no memory for it when it came */
		return;
	}
	b->uses += b->uses < USES_MAX;
	if (policies[q->policy].used)
		b->key = policies[q->policy].key(q->state, b, use);
}

void queue_life(struct queue *q, struct body *b, const struct queue_use *use)
{
	uint64_t key;

	if (q->policy != EVICTION_TTL || !b->at)
		return;
	if (use->expires_at <= 0 && b->key & TTL_NEVER)
		return;
	key = policies[q->policy].key(q->state, b, use);
	b->key = key;
	if (b->at & QUEUE_PARKED || key >= q->heap.v[b->at - 1].key)
		return;
	q->heap.v[b->at - 1].key = key;
	sift_up(&q->heap, b->at - 1);
}

struct body *queue_first(struct queue *q)
{
	struct queue_vec *v = &q->heap;

	if (q->policy == EVICTION_NONE)
		return NULL;
	while (v->n) {
		struct queue_entry *e = v->v;

		if (e->key == e->body->key)
			return e->body;
		e->key = e->body->key; /* used since: further back */
		sift_down(v, 0);
	}
	return NULL;
}

void queue_left(struct queue *q, const struct body *b)
{
	if (q->policy == EVICTION_LFU && b->key >> 32 > q->state->age)
		q->state->age = b->key >> 32;
}

int queue_park(struct queue *q, struct body *b)
{
	int r = vec_reserve(&q->parked);

	if (r)
		return r;
	queue_remove(q, b);
	place(&q->parked, q->parked.n++, (struct queue_entry){b->key, b}, QUEUE_PARKED);
	return 0;
}

int queue_unpark(struct queue *q, struct body *b)
{
	int r = vec_reserve(&q->heap);

	if (r)
		return r;
	queue_remove(q, b);
	return heap_push(q, b);
}

bool queue_is_parked(const struct body *b)
{
	return b->at & QUEUE_PARKED;
}

struct body *queue_next_parked(struct queue *q)
{
	if (q->policy == EVICTION_NONE || !q->parked.n)
		return NULL;
	if (q->next_parked >= q->parked.n)
		q->next_parked = 0;
	return q->parked.v[q->next_parked++].body;
}

void queue_set_policy(struct queue *q, enum eviction policy,
		      struct queue_use (*use)(void *arg, const struct body *b), void *arg)
{
	struct queue_state old = *q->state;

	if (q->policy == policy)
		return;
	q->policy = policy;
	for (uint32_t i = 0; i < q->heap.n + q->parked.n; i++) {
		struct queue_entry *e = i < q->heap.n ? &q->heap.v[i] : &q->parked.v[i - q->heap.n];
		struct queue_use u = use(arg, e->body);

		q->state->now = 0; /* as it was then, not as of now */
		e->key = e->body->key = policies[policy].key(q->state, e->body, &u);
	}
	*q->state = old;
	for (uint32_t i = q->heap.n / 2; i-- > 0;)
		sift_down(&q->heap, i);
}
