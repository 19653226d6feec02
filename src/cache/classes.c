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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/classes.h"
#include "cache/internal.h"

#define SLOTS_MAX UINT16_MAX
#define TYPES_MAX 64
#define TYPE_LEN_MAX 63 /* longer ones are none */

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

static void slot_free(struct class_slot *s)
{
	free(s->name);
	free(s->type);
	free(s);
}

static struct class_slot *slot_new(struct cache *c, unsigned int index, const char *type,
				   size_t len)
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
	s->type = strndup(type, len);
	if (!s->name || !s->type) {
		slot_free(s);
		return NULL;
	}
	s->index = index;
	s->number = (uint16_t)c->n_slots;
	v[c->n_slots++] = s;
	return s;
}

static bool slot_is(const struct class_slot *s, unsigned int index, const char *name,
		    const char *type, size_t len)
{
	return s->index == index && !strncmp(s->type, type, len) && !s->type[len] &&
	       !strcmp(s->name, name);
}

static bool type_is_met(const struct cache *c, const char *type, size_t len)
{
	for (unsigned int i = 0; i < c->n_slots; i++)
		if (!strncmp(c->slots[i]->type, type, len) && !c->slots[i]->type[len])
			return true;
	return false;
}

static struct class_slot *slot_find(struct cache *c, unsigned int index, const char *type,
				    size_t len)
{
	const char *name = policy_class(c->policy, index)->name;

	for (unsigned int i = 0; i < c->n_slots; i++)
		if (slot_is(c->slots[i], index, name, type, len))
			return c->slots[i];
	return NULL;
}

/*
 * Of a class of the present set; where there is no memory for it, the first: the default class's.
 * Types come from paths, so that they are limited.
 */
static struct class_slot *slot_get(struct cache *c, unsigned int index, const char *type,
				   size_t len)
{
	struct class_slot *s = slot_find(c, index, type, len);
	bool met = s || !len || type_is_met(c, type, len);

	if (!met && (len > TYPE_LEN_MAX || c->n_types >= TYPES_MAX))
		return slot_get(c, index, "", 0);
	if (!s && c->n_slots < SLOTS_MAX) {
		s = slot_new(c, index, type, len);
		c->n_types += s && !met;
	}
	return s ? s : c->slots[0];
}

static struct class_slot *slot_of_key(struct cache *c, const char *key)
{
	struct class_hit hit;
	const struct class_policy *class = policy_match(c->policy, key, strlen(key), &hit);
	const char *type = "";
	size_t len = 0;

	if (hit.pattern && !class_hit_get(&hit, key, "artifact", &type, &len))
		len = 0;
	return slot_get(c, class->index, type, len);
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

/* What o has here. */
static bool has_bytes(const struct obj *o, uint64_t *ret_bytes)
{
	*ret_bytes = o->flags & OBJ_RES_DISK ? o->disk.cost : o->ram.cost;
	return o->flags & (OBJ_RES_DISK | OBJ_RES_RAM);
}

void class_uncharge(struct cache *c, const struct obj *o)
{
	struct class_slot *s = c->slots[o->class];
	uint64_t bytes;

	if (!has_bytes(o, &bytes))
		return;
	s->bytes -= bytes;
	s->files--;
}

void class_charge(struct cache *c, const struct obj *o)
{
	struct class_slot *s = c->slots[o->class];
	uint64_t bytes;

	if (!has_bytes(o, &bytes))
		return;
	s->bytes += bytes;
	s->files++;
}

static void classify(struct cache *c, struct obj *o)
{
	CLEANUP_FREE char *key = o->parent ? obj_key_locked(o) : NULL;

	if (key) {
		class_uncharge(c, o);
		o->class = slot_of_key(c, key)->number;
		class_charge(c, o);
	}
	if (key || !o->parent) /* an orphan stays what it was */
		o->class_gen = c->policy_gen;
}

struct class_slot *obj_slot(struct cache *c, struct obj *o)
{
	if (o->class_gen != c->policy_gen)
		classify(c, o);
	return c->slots[o->class];
}

void class_count(struct cache *c, struct obj *o, enum class_counter counter)
{
	obj_slot(c, o)->counts[counter]++;
}

void class_count_name(struct cache *c, const struct obj *dir, const char *name,
		      enum class_counter counter)
{
	CLEANUP_FREE char *above = obj_key_locked(dir);
	CLEANUP_FREE char *key = above ? key_join(above, name) : NULL;

	if (key)
		slot_of_key(c, key)->counts[counter]++;
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
	CLEANUP_FREE char *form = tenants_form(c);
	struct policy_set *old = c->policy;

	c->policy = policy_box_get(c->config->policy);
	c->policy_gen = policy_set_generation(c->policy);
	take_tiers(c);
	c->copies_end = copies_end(c);
	tenants_take(c, form);
	policy_set_unref(old);
	for (unsigned int i = 0; i < c->n_slots; i++)
		c->slots[i]->index = index_of(c->policy, c->slots[i]->name);
	if (shares_take(c))
		return -ENOMEM;
	if (!c->n_slots && !slot_new(c, policy_n_classes(c->policy) - 1, "", 0))
		return -ENOMEM;
	return 0;
}

void classes_release(struct cache *c)
{
	for (unsigned int i = 0; i < c->n_slots; i++)
		slot_free(c->slots[i]);
	free(c->slots);
	shares_release(c);
	policy_set_unref(c->policy);
}

/* --- statistics --- */

static void copy_stats(const struct class_slot *s, struct cache_class_stats *ret)
{
	snprintf(ret->name, sizeof(ret->name), "%s", s->name);
	snprintf(ret->type, sizeof(ret->type), "%s", s->type);
	ret->hits = s->counts[CLASS_HITS];
	ret->misses = s->counts[CLASS_MISSES];
	ret->sets = s->counts[CLASS_SETS];
	ret->deletes = s->counts[CLASS_DELETES];
	ret->evictions = s->counts[CLASS_EVICTIONS];
	ret->expirations = s->counts[CLASS_EXPIRATIONS];
	ret->bytes = s->bytes;
	ret->files = s->files;
}

int cache_class_stats(struct cache *c, struct cache_class_stats **ret_stats, size_t *ret_n)
{
	SCOPE_LOCK(&c->lock);
	struct cache_class_stats *v = calloc(c->n_slots, sizeof(*v));

	if (!v)
		return -ENOMEM;
	for (unsigned int i = 0; i < c->n_slots; i++)
		copy_stats(c->slots[i], &v[i]);
	*ret_stats = v;
	*ret_n = c->n_slots;
	return 0;
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
