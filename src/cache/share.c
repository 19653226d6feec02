/* SPDX-License-Identifier: Apache-2.0 */
/* The shares of classes in the body tiers, and the places of bodies in their queues. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cache/internal.h"
#include "cache/share.h"

/* --- limits --- */

static struct share *share_at(const struct cache *c, unsigned int class, const struct local *l)
{
	return &c->shares[class]->share[l->kind];
}

/* What a body's key is made of where its use was not seen as it was: to the second. */
static struct queue_use use_then(struct cache *c, const struct obj *o)
{
	int64_t now = clock_mono(c->clock),
		came = now - (clock_wall(c->clock) / NSEC_PER_SEC - o->filled_s) * NSEC_PER_SEC;
	int64_t opened = o->opened_s * NSEC_PER_SEC;

	return (struct queue_use){opened > came ? opened : came, o->expires_at};
}

struct use_arg {
	struct cache *c;
	const struct local *l;
};

static struct queue_use use_of_body(void *arg, const struct body *b)
{
	const struct use_arg *u = arg;

	return use_then(u->c, body_obj_of(u->c, (struct body *)b, u->l));
}

static uint64_t limit_of(const struct tier_policy *p, uint64_t limit)
{
	return !p->in || limit == POLICY_NONE ? 0 : limit;
}

static void take(struct cache *c, unsigned int class, struct share *s, enum local_kind kind)
{
	unsigned int tier = kind == LOCAL_DISK ? c->disk_tier : c->ram_tier;
	struct use_arg u = {c, kind == LOCAL_DISK ? c->disk : c->ram};
	const struct tier_policy *p;

	if (!s->queue.state)
		queue_init(&s->queue, &c->queues[kind], EVICTION_LRU);
	if (tier == NO_TIER)
		return;
	p = policy_of(c->policy, class, tier);
	queue_set_policy(&s->queue, p->eviction, use_of_body, &u);
	s->priority = policy_class(c->policy, class)->priority;
	s->on_evict = p->on_evict;
	atomic_store(&s->max_size, limit_of(p, p->max_size));
	atomic_store(&s->max_objects, limit_of(p, p->max_objects));
}

/* The number of the shares of a class of that name, made where missing; -ENOMEM. */
static int shares_get(struct cache *c, const char *name)
{
	struct class_shares **v, *s;

	for (unsigned int i = 0; i < c->n_shares; i++)
		if (!strcmp(c->shares[i]->name, name))
			return (int)i;
	v = realloc(c->shares, (c->n_shares + 1) * sizeof(struct class_shares *));
	if (!v)
		return -ENOMEM;
	c->shares = v;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->name = strdup(name);
	if (!s->name) {
		free(s);
		return -ENOMEM;
	}
	v[c->n_shares] = s;
	return (int)c->n_shares++;
}

int shares_take(struct cache *c)
{
	unsigned int n = policy_n_classes(c->policy);
	uint16_t *numbers = calloc(n, sizeof(*numbers));

	if (!numbers)
		return -ENOMEM;
	for (unsigned int i = 0; i < n; i++) {
		int at = shares_get(c, policy_class(c->policy, i)->name);

		if (at < 0 || at > UINT16_MAX) {
			free(numbers);
			return -ENOMEM;
		}
		numbers[i] = (uint16_t)at;
	}
	for (unsigned int i = 0; i < n; i++) {
		take(c, i, &c->shares[numbers[i]]->share[LOCAL_DISK], LOCAL_DISK);
		take(c, i, &c->shares[numbers[i]]->share[LOCAL_RAM], LOCAL_RAM);
	}
	free(c->share_numbers);
	c->share_numbers = numbers;
	c->n_share_numbers = n;
	return 0;
}

void shares_release(struct cache *c)
{
	for (unsigned int i = 0; i < c->n_shares; i++) {
		queue_free(&c->shares[i]->share[LOCAL_DISK].queue);
		queue_free(&c->shares[i]->share[LOCAL_RAM].queue);
		free(c->shares[i]->name);
		free(c->shares[i]);
	}
	free(c->shares);
	free(c->share_numbers);
}

uint64_t shares_evictions(struct cache *c, const struct local *l)
{
	uint64_t n = 0;

	SCOPE_LOCK(&c->lock);
	for (unsigned int i = 0; i < c->n_shares; i++)
		n += atomic_load(&share_at(c, i, l)->evictions);
	return n;
}

static uint16_t number_of(struct cache *c, struct obj *o)
{
	unsigned int class = obj_slot(c, o)->index;

	/* beyond: there was no memory for what the configuration has added */
	return class < c->n_share_numbers ? c->share_numbers[class] : 0;
}

struct share *share_of(struct cache *c, struct obj *o, const struct local *l)
{
	return share_at(c, number_of(c, o), l);
}

void share_add(struct share *s, int64_t bytes, int objects)
{
	if (!s)
		return;
	atomic_fetch_add(&s->used, bytes);
	atomic_fetch_add(&s->objects, objects);
}

bool share_admit(struct share *s, uint64_t bytes, bool object)
{
	if (!local_admit(&s->objects, object, atomic_load(&s->max_objects)))
		return false;
	if (local_admit(&s->used, bytes, atomic_load(&s->max_size)))
		return true;
	atomic_fetch_sub(&s->objects, object);
	return false;
}

static bool beyond(int64_t have, uint64_t max, unsigned int parts)
{
	return max && have > 0 && (uint64_t)have > max - (parts ? max / parts : 0);
}

bool share_is_over(const struct share *s)
{
	return share_is_tight(s, 0);
}

bool share_is_tight(const struct share *s, unsigned int parts)
{
	return beyond(atomic_load(&s->used), atomic_load(&s->max_size), parts) ||
	       beyond(atomic_load(&s->objects), atomic_load(&s->max_objects), parts);
}

/* --- bodies --- */

static struct body *body_in(struct obj *o, const struct local *l)
{
	return l->kind == LOCAL_DISK ? &o->disk : &o->ram;
}

struct obj *body_obj_of(const struct cache *c, struct body *b, const struct local *l)
{
	return l == c->disk ? container_of(b, struct obj, disk) : container_of(b, struct obj, ram);
}

static struct queue_use use_now(struct cache *c, const struct obj *o)
{
	return (struct queue_use){clock_mono(c->clock), o->expires_at};
}

void body_enqueue(struct cache *c, struct obj *o, struct local *l)
{
	struct queue_use use = use_now(c, o);
	struct body *b = body_in(o, l);
	struct share *s = share_of(c, o, l);

	b->class = number_of(c, o);
	share_add(s, (int64_t)b->cost, 1);
	tenant_holds(o->tenant, l->kind, (int64_t)b->cost);
	(void)queue_add(&s->queue, b, &use); /* no memory: when it is used next */
}

void body_dequeue(struct cache *c, struct obj *o, struct local *l)
{
	struct body *b = body_in(o, l);
	struct share *s = share_at(c, b->class, l);

	share_add(s, -(int64_t)b->cost, -1);
	tenant_holds(o->tenant, l->kind, -(int64_t)b->cost);
	queue_remove(&s->queue, b);
}

void body_weighs(struct cache *c, struct obj *o, struct local *l, uint64_t cost)
{
	struct body *b = body_in(o, l);

	share_add(share_at(c, b->class, l), (int64_t)cost - (int64_t)b->cost, 0);
	tenant_holds(o->tenant, l->kind, (int64_t)cost - (int64_t)b->cost);
	b->cost = cost;
}

static void touch(struct cache *c, struct obj *o, struct local *l)
{
	struct queue_use use = use_now(c, o);
	struct body *b = body_in(o, l);

	queue_touch(&share_at(c, b->class, l)->queue, b, &use);
}

void bodies_touch(struct cache *c, struct obj *o)
{
	if (o->flags & OBJ_RES_DISK)
		touch(c, o, c->disk);
	if (o->flags & OBJ_RES_RAM)
		touch(c, o, c->ram);
}

/* To the share of the class that it has by now. */
static void reclass(struct cache *c, struct obj *o, struct local *l)
{
	struct queue_use use = use_then(c, o);
	struct body *b = body_in(o, l);
	struct share *s = share_of(c, o, l);

	body_dequeue(c, o, l);
	b->class = number_of(c, o);
	share_add(s, (int64_t)b->cost, 1);
	tenant_holds(o->tenant, l->kind, (int64_t)b->cost);
	(void)queue_move(&s->queue, b, &use);
}

static void follow(struct cache *c, struct obj *o, struct local *l)
{
	struct queue_use use = use_now(c, o);
	struct body *b = body_in(o, l);

	if (number_of(c, o) != b->class)
		reclass(c, o, l);
	queue_life(&share_at(c, b->class, l)->queue, b, &use);
	if (queue_is_parked(b) && body_may_leave(c, o, l))
		(void)queue_unpark(&share_at(c, b->class, l)->queue, b);
}

void bodies_follow(struct cache *c, struct obj *o)
{
	if (o->flags & OBJ_RES_DISK)
		follow(c, o, c->disk);
	if (o->flags & OBJ_RES_RAM)
		follow(c, o, c->ram);
}
