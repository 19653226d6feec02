/* SPDX-License-Identifier: Apache-2.0 */
/* A sample as stats.json. */
#include "observe/stats.h"

#include <stdlib.h>
#include <string.h>

#include "cogfs_version.h"
#include "util/cleanup.h"

json_t *stats_text(const char *text)
{
	json_t *json = json_string(text);
	CLEANUP_FREE char *ascii = json ? NULL : strdup(text);

	if (json || !ascii)
		return json;
	for (char *c = ascii; *c; c++)
		if ((unsigned char)*c > 0x7f)
			*c = '?';
	return json_string(ascii);
}

/* json_object_set_new frees the value also where it fails, and so does it with NULL. */
static int set_number(json_t *object, const char *name, uint64_t value)
{
	return json_object_set_new(object, name, json_integer((json_int_t)value));
}

static int set_text(json_t *object, const char *name, const char *text)
{
	return json_object_set_new(object, name, text ? stats_text(text) : json_null());
}

static int set_rates(json_t *object, uint64_t hits, uint64_t misses)
{
	int bad = set_number(object, "hits", hits);

	bad |= set_number(object, "misses", misses);
	bad |= set_number(object, "total_requests", hits + misses);
	bad |= json_object_set_new(object, "hit_rate", json_real(sample_rate(hits, misses)));
	bad |= json_object_set_new(object, "miss_rate", json_real(sample_rate(misses, hits)));
	return bad;
}

static int set_counters(json_t *manager, const struct sample *s)
{
	json_t *counters = json_object();
	int bad = json_object_set_new(manager, "counters", counters);

	for (unsigned int i = 0; !bad && i < COUNTER_COUNT; i++)
		bad = set_number(counters, counter_info((enum counter_id)i)->name, s->counters[i]);
	return bad;
}

static int set_gauges(json_t *manager, const struct sample *s)
{
	int bad = 0;

	for (unsigned int i = 0; !bad && i < GAUGE_COUNT; i++) {
		const struct gauge_info *g = gauge_info((enum gauge_id)i);
		uint64_t value = g->value(s);

		bad = g->kind == GAUGE_FLAG
			      ? json_object_set_new(manager, g->name, json_boolean(value))
			      : set_number(manager, g->name, value);
	}
	return bad;
}

/* What is here, each object once: a RAM copy has its body in the disk tier too, where there is one.
 */
static int set_sizes(json_t *manager, const struct sample *s)
{
	uint64_t bytes = 0, objects = 0;

	for (unsigned int i = 0; i < s->cache.n_tiers; i++) {
		struct tier_sample t = sample_tier(s, i);

		if (t.bodies && t.stats->bytes >= bytes) {
			bytes = t.stats->bytes;
			objects = t.stats->objects;
		}
	}
	return set_number(manager, "size_bytes", bytes) |
	       set_number(manager, "total_files", objects);
}

static json_t *manager_json(const struct sample *s)
{
	json_t *m = json_object();
	int bad = set_text(m, "version", COGFS_VERSION);

	bad |= set_number(m, "pid", (uint64_t)s->pid);
	bad |= set_text(m, "mountpoint", s->of->mountpoint);
	bad |= set_text(m, "cache_dir", cache_config(s->of->cache)->cache_dir);
	bad |= set_rates(m, s->hits, s->counters[COUNTER_misses]);
	bad |= set_number(m, "sets", s->counters[COUNTER_sets]);
	bad |= set_number(m, "deletes", s->counters[COUNTER_deletes]);
	bad |= set_number(m, "evictions", s->counters[COUNTER_evictions]);
	bad |= set_number(m, "expirations", s->counters[COUNTER_expirations]);
	bad |= set_sizes(m, s);
	bad |= set_gauges(m, s);
	bad |= set_counters(m, s);
	if (!bad)
		return m;
	json_decref(m);
	return NULL;
}

static json_t *backend_json(const struct sample *s, unsigned int i)
{
	struct tier_sample t = sample_tier(s, i);
	json_t *b = json_object();
	int bad = set_text(b, "type", t.stats->type);

	bad |= set_text(b, "state", t.state);
	bad |= set_rates(b, t.hits, t.misses);
	/* How much a store holds is not known without listing all of it. */
	if (t.bodies) {
		bad |= set_number(b, "size_bytes", t.stats->bytes);
		bad |= set_number(b, "max_bytes", t.stats->max_bytes);
		bad |= set_number(b, "total_files", t.stats->objects);
		bad |= set_number(b, "evictions", t.stats->evictions);
	}
	if (!bad)
		return b;
	json_decref(b);
	return NULL;
}

/* --- classes, and the types of their objects --- */

static void add_class(struct cache_class_stats *sum, const struct cache_class_stats *s)
{
	sum->hits += s->hits;
	sum->misses += s->misses;
	sum->sets += s->sets;
	sum->deletes += s->deletes;
	sum->evictions += s->evictions;
	sum->expirations += s->expirations;
	sum->bytes += s->bytes;
	sum->files += s->files;
}

static json_t *class_json(const struct cache_class_stats *s)
{
	json_t *json = json_object();
	int bad = set_rates(json, s->hits, s->misses);

	bad |= set_number(json, "sets", s->sets);
	bad |= set_number(json, "deletes", s->deletes);
	bad |= set_number(json, "evictions", s->evictions);
	bad |= set_number(json, "expirations", s->expirations);
	bad |= set_number(json, "size_bytes", s->bytes);
	bad |= set_number(json, "total_files", s->files);
	if (!bad)
		return json;
	json_decref(json);
	return NULL;
}

static const char *class_group(const struct cache_class_stats *s, bool by_type)
{
	return by_type ? s->type : s->name;
}

/* One row a class, or a type: the sum of those that have it in common. */
static json_t *groups_json(const struct cache_class_stats *v, size_t n, bool by_type)
{
	json_t *groups = json_object();

	for (size_t i = 0; i < n; i++) {
		const char *name = class_group(&v[i], by_type);
		struct cache_class_stats sum = v[i];

		if (!*name || json_object_get(groups, name))
			continue;
		for (size_t k = i + 1; k < n; k++)
			if (!strcmp(class_group(&v[k], by_type), name))
				add_class(&sum, &v[k]);
		/* a type is a piece of a path: what is no UTF-8 is left out */
		(void)json_object_set_new(groups, name, class_json(&sum));
	}
	return groups;
}

static int set_classes(json_t *root, const struct sample *s)
{
	CLEANUP_FREE struct cache_class_stats *v = NULL;
	size_t n;
	int bad = cache_class_stats(s->of->cache, &v, &n);

	if (!bad)
		bad = json_object_set_new(root, "classes", groups_json(v, n, false));
	if (!bad)
		bad = json_object_set_new(root, "key_types", groups_json(v, n, true));
	return bad;
}

json_t *stats_json(const struct sample *s)
{
	json_t *root = json_object(), *backends = json_object();
	int bad = json_object_set_new(root, "manager", manager_json(s));

	for (unsigned int i = 0; i < s->cache.n_tiers; i++)
		bad |= json_object_set_new(backends, s->cache.tiers[i].name, backend_json(s, i));
	bad |= json_object_set_new(root, "backends", backends);
	bad |= set_classes(root, s);
	if (!bad)
		return root;
	json_decref(root);
	return NULL;
}
