/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The class of an object, and what its policy says about it.
 *
 * An object remembers a slot, not a class's place in the configuration: slots keep their numbers
 * for the cache's life, so that what was counted for a class goes on being counted for it when the
 * configuration is read again and classes get other places. What an object remembers holds as long
 * as the set of policies is the one that it was matched by, and its name the one that was matched.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cache/classes.h"
#include "cache/internal.h"

#define SLOTS_MAX UINT16_MAX

/* The policy of a class in a tier that is not there. */
static const struct tier_policy nowhere = {
	.ttl_s = CONF_NEVER, .max_size = 0, .max_objects = 0, .max_object = 0};

/* --- slots --- */

/* A class that is configured no more: what it held is as what no class holds. */
static unsigned int index_of(const struct policy_set *set, const char *name)
{
	unsigned int n = policy_n_classes(set);

	for (unsigned int i = 0; i < n; i++)
		if (!strcmp(policy_class(set, i)->name, name))
			return i;
	return n - 1;
}

static struct class_slot *slot_new(struct cache *c, unsigned int index)
{
	struct class_slot **v = realloc(c->slots, (c->n_slots + 1) * sizeof(struct class_slot *));
	struct class_slot *s;

	if (!v)
		return NULL;
	c->slots = v;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->name = strdup(policy_class(c->policy, index)->name);
	if (!s->name) {
		free(s);
		return NULL;
	}
	s->index = index;
	s->number = (uint16_t)c->n_slots;
	v[c->n_slots++] = s;
	return s;
}

/* Of a class of the present set; where there is no memory for it, the first: the default class's */
static struct class_slot *slot_get(struct cache *c, unsigned int index)
{
	const char *name = policy_class(c->policy, index)->name;
	struct class_slot *s;

	for (unsigned int i = 0; i < c->n_slots; i++)
		if (c->slots[i]->index == index && !strcmp(c->slots[i]->name, name))
			return c->slots[i];
	s = c->n_slots < SLOTS_MAX ? slot_new(c, index) : NULL;
	return s ? s : c->slots[0];
}

/* --- objects --- */

/* A sidecar has the class of what it is beside. */
static unsigned int class_of_key(struct cache *c, const char *key)
{
	const struct class_policy *class;
	size_t len;

	if (!policy_sidecar_of(c->policy, key, strlen(key), &len, &class))
		class = policy_match(c->policy, key, strlen(key), NULL);
	return class->index;
}

static void classify(struct cache *c, struct obj *o)
{
	CLEANUP_FREE char *key = o->parent ? obj_key_locked(o) : NULL;

	if (key)
		o->class = slot_get(c, class_of_key(c, key))->number;
	if (key || !o->parent) /* an orphan stays what it was */
		o->class_gen = c->policy_gen;
}

struct class_slot *obj_slot(struct cache *c, struct obj *o)
{
	if (o->class_gen != c->policy_gen)
		classify(c, o);
	return c->slots[o->class];
}

const struct class_policy *obj_class(struct cache *c, struct obj *o)
{
	return policy_class(c->policy, obj_slot(c, o)->index);
}

const struct tier_policy *obj_policy(struct cache *c, struct obj *o, unsigned int tier)
{
	return tier == NO_TIER ? &nowhere : policy_of(c->policy, obj_slot(c, o)->index, tier);
}

/* --- the sets --- */

static unsigned int tier_index(const struct conf_tier *t)
{
	return t ? t->index : NO_TIER;
}

static void take_tiers(struct cache *c)
{
	const struct conf_tier *store = config_tier(c->config, TIER_TYPE_S3);

	if (!store)
		store = config_tier(c->config, TIER_TYPE_DIR);
	c->disk_tier = tier_index(config_tier(c->config, TIER_TYPE_DISK));
	c->ram_tier = tier_index(config_tier(c->config, TIER_TYPE_RAM));
	c->store_tier = tier_index(store);
}

/* Whether the round has to look for copies that are to go before room is needed. */
static bool ends_copies(const struct tier_policy *p)
{
	return !p->in || p->ttl_s != CONF_NEVER || p->max_object != POLICY_NONE;
}

static bool copies_end(const struct cache *c)
{
	unsigned int n = policy_n_classes(c->policy);

	for (unsigned int i = 0; i < n; i++)
		if ((c->disk_tier != NO_TIER &&
		     ends_copies(policy_of(c->policy, i, c->disk_tier))) ||
		    (c->ram_tier != NO_TIER && ends_copies(policy_of(c->policy, i, c->ram_tier))))
			return true;
	return false;
}

int classes_take(struct cache *c)
{
	struct policy_set *old = c->policy;

	c->policy = policy_box_get(c->config->policy);
	c->policy_gen = policy_set_generation(c->policy);
	take_tiers(c);
	c->copies_end = copies_end(c);
	policy_set_unref(old);
	for (unsigned int i = 0; i < c->n_slots; i++)
		c->slots[i]->index = index_of(c->policy, c->slots[i]->name);
	if (!c->n_slots && !slot_new(c, policy_n_classes(c->policy) - 1))
		return -ENOMEM;
	return 0;
}

void classes_release(struct cache *c)
{
	for (unsigned int i = 0; i < c->n_slots; i++) {
		free(c->slots[i]->name);
		free(c->slots[i]);
	}
	free(c->slots);
	policy_set_unref(c->policy);
}

/* --- what is said of uploads --- */

void class_wish(void *arg, const char *key, struct drain_wish *ret)
{
	struct cache *c = arg;
	const struct tier_policy *p;

	SCOPE_LOCK(&c->lock);
	if (c->store_tier == NO_TIER)
		return;
	p = policy_of(c->policy, class_of_key(c, key), c->store_tier);
	ret->storage_class = p->storage_class;
	ret->packing.zstd = p->compression.level;
	ret->packing.level = (int)p->compression.level;
	ret->packing.min_size = p->compression.min_size;
}
