/* SPDX-License-Identifier: Apache-2.0 */
/* Statistics as a user may see them: the totals, and of the tenants his own. */
#include <errno.h>
#include <stdlib.h>

#include "control/verbs.h"
#include "observe/stats.h"

static int set_number(json_t *json, const char *name, uint64_t value)
{
	return json_object_set_new(json, name, json_integer((json_int_t)value));
}

static int set_limit(json_t *json, const char *name, uint64_t value)
{
	return json_object_set_new(
		json, name, value == UINT64_MAX ? json_null() : json_integer((json_int_t)value));
}

static json_t *tenant_json(const struct cache_tenant *t)
{
	json_t *json = json_object();
	int bad = set_number(json, "size_bytes", t->bytes);

	bad |= set_limit(json, "quota_bytes", t->quota);
	bad |= set_number(json, "total_files", t->objects);
	bad |= set_limit(json, "max_objects", t->max_objects);
	bad |= json_object_set_new(json, "usage", json_string(t->partial ? "partial" : "complete"));
	bad |= set_number(json, "hits", t->hits);
	bad |= set_number(json, "misses", t->misses);
	bad |= json_object_set_new(json, "hit_rate", json_real(sample_rate(t->hits, t->misses)));
	bad |= set_number(json, "sets", t->sets);
	bad |= set_number(json, "deletes", t->deletes);
	bad |= set_number(json, "refused", t->refused);
	if (!bad)
		return json;
	json_decref(json);
	return NULL;
}

/* Names are paths' parts: what is no UTF-8 cannot be a key here, and is left out. */
static json_t *tenants_json(struct control *c, uid_t uid)
{
	bool all = control_is_master(c, uid);
	json_t *json = json_object();
	struct cache_tenant *v;
	size_t n;

	if (!json || cache_tenants(c->observed.cache, &v, &n)) {
		json_decref(json);
		return NULL;
	}
	for (size_t i = 0; i < n; i++)
		if (all || v[i].uid == uid)
			(void)json_object_set_new(json, v[i].name, tenant_json(&v[i]));
	cache_tenants_free(v, n);
	return json;
}

json_t *control_stats(struct control *c, uid_t uid)
{
	struct sample sample;
	json_t *json;

	sample_take(&c->observed, &sample);
	json = stats_json(&sample);
	if (json && json_object_set_new(json, "tenants", tenants_json(c, uid))) {
		json_decref(json);
		return NULL;
	}
	return json;
}
