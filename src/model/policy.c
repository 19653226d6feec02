/* SPDX-License-Identifier: Apache-2.0 */
/* Resolves a configuration into a policy_set, and looks things up in it. */
#include "model/policy.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "model/config_table.h"
#include "util/cleanup.h"
#include "util/nearest.h"

#define TENANT_MODE 0750

struct policy_set {
	atomic_uint refs;
	uint32_t generation;
	struct class_set *matcher;
	unsigned int n_classes, n_tiers, n_tenants; /* n_classes: with the default one */
	struct class_policy *classes;
	struct tier_policy *cells;     /* class * n_tiers + tier */
	struct tenant_policy *tenants; /* sorted by name; the one called "*" is others */
	const struct tenant_policy *others;
	struct tenant_form form; /* empty: no class has a {tenant}, or they differ */
	struct keymap **keymaps;
};

/* --- a class in a tier --- */

/* A value that was given, from the nearest of the three that say something. */
#define PICK(bit, share, own, defaults, member, otherwise)                                         \
	((share) && (share)->given & 1u << (bit) ? (share)->member                                 \
	 : (own)->given & 1u << (bit)		 ? (own)->member                                   \
	 : (defaults)->given & 1u << (bit)	 ? (defaults)->member                              \
						 : (otherwise))

static uint64_t limit(uint64_t value)
{
	return value ? value : POLICY_NONE;
}

static int64_t shorter(int64_t a, int64_t b)
{
	return a == CONF_NEVER ? b : b == CONF_NEVER ? a : a < b ? a : b;
}

static void resolve_cell(struct tier_policy *cell, const struct conf_tier *tier,
			 const struct conf_share *share, const struct conf_policy *own,
			 const struct conf_policy *defaults)
{
	bool store = conf_tier_is_store(tier);
	bool has_ttl = share && share->given & 1u << POLICY_TTL;

	cell->in = true;
	/* The tier's own is the longest life there, whatever a class says. */
	cell->ttl_s = has_ttl ? shorter(share->ttl_s, tier->ttl_s) : tier->ttl_s;
	cell->max_size = POLICY_NONE;
	cell->max_objects = POLICY_NONE;
	if (!store) {
		cell->max_size = limit(PICK(POLICY_MAX_SIZE, share, own, defaults, max_size, 0));
		cell->max_objects = limit(
			PICK(POLICY_MAX_OBJECTS, share, own, defaults, max_objects, 0));
	}
	cell->max_object = limit(
		PICK(POLICY_MAX_OBJECT, share, own, defaults, max_object, tier->max_object));
	if (tier->max_object && cell->max_object > tier->max_object)
		cell->max_object = tier->max_object;
	cell->eviction = PICK(POLICY_EVICTION, share, own, defaults, eviction, tier->eviction);
	cell->on_evict = tier->on_evict;
	cell->admission = PICK(POLICY_ADMISSION, share, own, defaults, admission, tier->admit);
	if (store) {
		cell->compression = PICK(POLICY_COMPRESSION, share, own, defaults, compression,
					 (struct conf_compression){0});
		cell->storage_class = PICK(POLICY_STORAGE_CLASS, share, own, defaults,
					   storage_class, tier->storage_class);
	}
}

static const struct conf_share *find_share(const struct conf_share *list, const char *name)
{
	for (; list; list = list->next)
		if (strcmp(list->name, name) == 0)
			return list;
	return NULL;
}

/* Every tier that is named is there, though it may be off. */
static int check_tiers(const struct config *config, const struct conf_share *list, const char *who,
		       const char *name, struct err *err)
{
	struct nearest near;
	const char *best;

	for (; list; list = list->next) {
		if (conf_tier_named(config, list->name))
			continue;
		nearest_init(&near, list->name);
		for (const struct conf_tier *t = config->tiers; t; t = t->next)
			nearest_offer(&near, t->name);
		best = nearest_get(&near);
		return err_set(err, -EINVAL, "%s%s: there is no tier \"%.63s\"%s%s%s", who, name,
			       list->name, best ? "; did you mean \"" : "", best ? best : "",
			       best ? "\"?" : "");
	}
	return 0;
}

static int resolve_tiers(const struct policy_set *set, const struct config *config,
			 struct class_policy *class, const struct conf_policy *own, struct err *err)
{
	bool given = own->given & 1u << POLICY_TIERS;
	const struct conf_share *list = given ? own->tiers : config->defaults.tiers;
	bool safe = false;
	int r = check_tiers(config, list, class->conf ? "class " : "",
			    class->conf ? class->name : "defaults", err);

	if (r < 0)
		return r;
	for (const struct conf_tier *t = config->tiers; t; t = t->next) {
		const struct conf_share *share = find_share(list, t->name);

		if (!t->enabled || (list && !share))
			continue;
		resolve_cell(&set->cells[class->index * set->n_tiers + t->index], t, share, own,
			     &config->defaults);
		class->tiers |= 1u << t->index;
		safe |= t->type != TIER_TYPE_RAM;
	}
	class->is_volatile = !safe;
	return 0;
}

static int resolve_class(struct policy_set *set, const struct config *config, unsigned int index,
			 const struct conf_class *conf, struct err *err)
{
	const struct conf_policy *defaults = &config->defaults;
	const struct conf_policy *own = conf ? &conf->policy : defaults;
	const struct conf_policy *none = NULL;
	struct class_policy *class = &set->classes[index];

	*class = (struct class_policy){
		.name = conf ? conf->name : "default",
		.index = index,
		.conf = conf,
		.after_siblings = conf && conf->after_siblings,
		.ttl_s = PICK(POLICY_TTL, none, own, defaults, ttl_s, CONF_NEVER),
		.stale_s = PICK(POLICY_STALE, none, own, defaults, stale_s, 0),
		.priority = PICK(POLICY_PRIORITY, none, own, defaults, priority, 50),
		.write = PICK(POLICY_WRITE, none, own, defaults, write, config->write.mode),
		.foreign = PICK(POLICY_FOREIGN, none, own, defaults, foreign, FOREIGN_NEVER),
		.readahead = PICK(POLICY_READAHEAD, none, own, defaults, readahead, 0),
		.mode = PICK(POLICY_MODE, none, own, defaults, mode, POLICY_MODE_NONE),
		.pinned = PICK(POLICY_PINNED, none, own, defaults, pinned, false),
		.sidecar = PICK(POLICY_SIDECAR, none, own, defaults, sidecar, NULL),
	};
	return resolve_tiers(set, config, class, own, err);
}

static int resolve_classes(struct policy_set *set, const struct config *config, struct err *err)
{
	unsigned int i = 0;
	int r = class_set_new(config->classes, &set->matcher, err);

	if (r < 0)
		return r;
	for (const struct conf_class *c = config->classes; c; c = c->next)
		set->n_classes++;
	set->n_classes++;
	for (const struct conf_tier *t = config->tiers; t; t = t->next)
		set->n_tiers++;
	set->classes = calloc(set->n_classes, sizeof(*set->classes));
	set->cells = calloc((size_t)set->n_classes * set->n_tiers + 1, sizeof(*set->cells));
	if (!set->classes || !set->cells)
		return err_set(err, -ENOMEM, "no memory");
	for (const struct conf_class *c = config->classes; r == 0 && c; c = c->next, i++)
		r = resolve_class(set, config, i, c, err);
	return r < 0 ? r : resolve_class(set, config, i, NULL, err);
}

/* --- tenants --- */

static int resolve_shares(struct tenant_policy *tenant, const struct config *config,
			  const struct conf_part *list, struct err *err)
{
	for (; list; list = list->next) {
		const struct conf_tier *t = conf_tier_named(config, list->name);

		if (!t)
			return err_set(err, -EINVAL,
				       "tenant %.100s: shares: there is no tier \"%.63s\"",
				       tenant->name, list->name);
		if (conf_tier_is_store(t))
			return err_set(
				err, -EINVAL,
				"tenant %.100s: shares: tier %s holds no bodies; its limit is "
				"the quota",
				tenant->name, t->name);
		tenant->share[t->index] = list->ratio > 0
						  ? (uint64_t)((double)t->max_size * list->ratio)
						  : list->bytes;
	}
	return 0;
}

static int resolve_tenant(struct tenant_policy *tenant, const struct config *config,
			  const struct conf_tenant *own, const struct conf_tenant *others,
			  struct err *err)
{
	static const struct conf_tenant nobody;
	const struct conf_tenant *none = NULL;

	others = others ? others : &nobody;
	*tenant = (struct tenant_policy){
		.name = own->name,
		.declared = strcmp(own->name, "*") != 0,
		.uid = PICK(POLICY_UID, none, own, others, uid, POLICY_ID_NONE),
		.gid = PICK(POLICY_GID, none, own, others, gid, (gid_t)POLICY_ID_NONE),
		.mode = PICK(POLICY_MODE, none, own, others, mode, TENANT_MODE),
		.quota = limit(PICK(POLICY_QUOTA, none, own, others, quota, 0)),
		.max_objects = limit(PICK(POLICY_MAX_OBJECTS, none, own, others, max_objects, 0)),
	};
	for (unsigned int i = 0; i < CONF_TIERS_MAX; i++)
		tenant->share[i] = POLICY_NONE;
	return resolve_shares(tenant, config, PICK(POLICY_SHARES, none, own, others, shares, NULL),
			      err);
}

static int compare_tenants(const void *a, const void *b)
{
	const struct tenant_policy *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int resolve_tenants(struct policy_set *set, const struct config *config, struct err *err)
{
	const struct conf_tenant *others = NULL;
	int r = 0;

	for (const struct conf_tenant *t = config->tenants; t; t = t->next) {
		set->n_tenants++;
		if (strcmp(t->name, "*") == 0)
			others = t;
	}
	set->tenants = calloc(set->n_tenants + 1U, sizeof(*set->tenants));
	if (!set->tenants)
		return err_set(err, -ENOMEM, "no memory");
	set->n_tenants = 0;
	for (const struct conf_tenant *t = config->tenants; r == 0 && t; t = t->next)
		r = resolve_tenant(&set->tenants[set->n_tenants++], config, t, others, err);
	qsort(set->tenants, set->n_tenants, sizeof(*set->tenants), compare_tenants);
	for (unsigned int i = 0; i < set->n_tenants; i++) {
		set->tenants[i].index = i;
		if (!set->tenants[i].declared)
			set->others = &set->tenants[i];
	}
	return r;
}

/* --- how paths hold the tenant, and what stores make of it --- */

static bool template_has_tenant(const struct config *config)
{
	for (const struct conf_tier *t = config->tiers; t; t = t->next)
		if (t->enabled && conf_tier_is_store(t) && strstr(t->key, "{tenant}"))
			return true;
	return false;
}

/* One more pattern with a {tenant}: the first gives the form, the others have it too. */
static int add_form(struct policy_set *set, const char *class, const char *pattern, struct err *err)
{
	struct tenant_form form;
	int r = tenant_form_of(pattern, &form, err);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return err_wrap(err, r, "class %s", class);
	if (!set->form.pattern) {
		set->form = form;
		return 0;
	}
	if (!tenant_form_equal(&set->form, &form))
		r = err_set(err, -EINVAL,
			    "class %s: pattern \"%.150s\" holds {tenant} otherwise than \"%.150s\" "
			    "does; a key template needs one form",
			    class, pattern, set->form.pattern->text);
	tenant_form_release(&form);
	return r;
}

/*
 * Where no template needs the form, classes may write the tenant as they like, and the form is
 * there for what no class matches.
 */
static int resolve_form(struct policy_set *set, const struct config *config, struct err *err)
{
	bool needed = template_has_tenant(config);
	int r = 0;

	for (const struct conf_class *c = config->classes; c; c = c->next) {
		for (char **m = c->match; r == 0 && *m; m++)
			r = add_form(set, c->name, *m, needed ? err : NULL);
		if (r == -ENOMEM || (r < 0 && needed))
			return r;
		if (r < 0) {
			tenant_form_release(&set->form);
			return 0;
		}
	}
	if (!set->form.pattern && (needed || config->tenants))
		r = tenant_form_of("tenant_{tenant}/**", &set->form, err);
	return r;
}

static int resolve_keymaps(struct policy_set *set, const struct config *config, struct err *err)
{
	int r = 0;

	set->keymaps = calloc(set->n_tiers + 1U, sizeof(struct keymap *));
	if (!set->keymaps)
		return err_set(err, -ENOMEM, "no memory");
	for (const struct conf_tier *t = config->tiers; r == 0 && t; t = t->next) {
		if (!conf_tier_is_store(t))
			continue;
		r = keymap_new(t->key, set->form.pattern ? &set->form : NULL,
			       &set->keymaps[t->index], err);
		if (r < 0)
			return err_wrap(err, r, "tier %s", t->name);
	}
	return r;
}

/* --- sets --- */

int policy_set_new(const struct config *config, struct policy_set **ret_set, struct err *err)
{
	struct policy_set *set = calloc(1, sizeof(*set));
	int r;

	if (!set)
		return err_set(err, -ENOMEM, "no memory");
	atomic_init(&set->refs, 1);
	r = resolve_classes(set, config, err);
	if (r == 0)
		r = resolve_tenants(set, config, err);
	if (r == 0)
		r = resolve_form(set, config, err);
	if (r == 0)
		r = resolve_keymaps(set, config, err);
	if (r < 0) {
		policy_set_unref(set);
		return r;
	}
	*ret_set = set;
	return 0;
}

struct policy_set *policy_set_ref(struct policy_set *set)
{
	atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
	return set;
}

void policy_set_unref(struct policy_set *set)
{
	if (!set || atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (unsigned int i = 0; set->keymaps && i < set->n_tiers; i++)
		keymap_free(set->keymaps[i]);
	free(set->keymaps);
	tenant_form_release(&set->form);
	class_set_free(set->matcher);
	free(set->classes);
	free(set->cells);
	free(set->tenants);
	free(set);
}

uint32_t policy_set_generation(const struct policy_set *set)
{
	return set->generation;
}

const struct class_set *policy_classes_matcher(const struct policy_set *set)
{
	return set->matcher;
}

unsigned int policy_n_classes(const struct policy_set *set)
{
	return set->n_classes;
}

unsigned int policy_n_tiers(const struct policy_set *set)
{
	return set->n_tiers;
}

const struct class_policy *policy_class(const struct policy_set *set, unsigned int class)
{
	return &set->classes[class];
}

const struct tier_policy *policy_of(const struct policy_set *set, unsigned int class,
				    unsigned int tier)
{
	return &set->cells[class * set->n_tiers + tier];
}

const struct class_policy *policy_match(const struct policy_set *set, const char *key, size_t len,
					struct class_hit *ret_hit)
{
	struct class_hit hit;
	struct class_hit *to = ret_hit ? ret_hit : &hit;

	if (class_match(set->matcher, key, len, to))
		return &set->classes[to->class];
	to->pattern = NULL;
	to->class = set->n_classes - 1;
	to->rule = class_set_rules(set->matcher);
	return &set->classes[to->class];
}

const struct keymap *policy_keymap(const struct policy_set *set, unsigned int tier)
{
	return set->keymaps[tier];
}

bool policy_tenant_name(const struct policy_set *set, const char *key, size_t len,
			const struct class_hit *hit, const char **ret_name, size_t *ret_len)
{
	struct pattern_span span;
	size_t rest;

	if (hit && hit->pattern && class_hit_get(hit, key, "tenant", ret_name, ret_len))
		return true;
	if (!set->form.pattern || !tenant_form_match(&set->form, key, len, &span, &rest))
		return false;
	*ret_name = key + span.off;
	*ret_len = span.len;
	return true;
}

const struct tenant_policy *policy_tenant(const struct policy_set *set, const char *name,
					  size_t len)
{
	unsigned int from = 0, to = set->n_tenants;

	while (from < to) {
		unsigned int mid = (from + to) / 2;
		const char *at = set->tenants[mid].name;
		int r = strncmp(at, name, len);

		if (r == 0)
			r = at[len] != '\0';
		if (r == 0)
			return &set->tenants[mid];
		if (r < 0)
			from = mid + 1;
		else
			to = mid;
	}
	return set->others;
}

unsigned int policy_n_tenants(const struct policy_set *set)
{
	return set->n_tenants;
}

const struct tenant_policy *policy_tenant_at(const struct policy_set *set, unsigned int i)
{
	return &set->tenants[i];
}

char *policy_tenant_dir(const struct policy_set *set, const char *name)
{
	char path[KEY_MAX + 1];

	if (!set->form.pattern || tenant_form_expand(&set->form, name, strlen(name), path) < 0)
		return NULL;
	return strdup(path);
}

/* --- boxes --- */

struct policy_box {
	pthread_mutex_t lock;
	struct policy_set *set; /* Under lock */
	atomic_uint generation;
};

int policy_box_renew(struct policy_box *box, const struct config *config, struct err *err)
{
	struct policy_set *set, *old;
	int r = policy_set_new(config, &set, err);

	if (r < 0)
		return r;
	{
		SCOPE_LOCK(&box->lock);
		old = box->set;
		set->generation = old ? old->generation + 1 : 1;
		box->set = set;
		atomic_store_explicit(&box->generation, set->generation, memory_order_release);
	}
	policy_set_unref(old);
	return 0;
}

int policy_box_new(const struct config *config, struct policy_box **ret_box, struct err *err)
{
	struct policy_box *box = calloc(1, sizeof(*box));
	int r;

	if (!box)
		return err_set(err, -ENOMEM, "no memory");
	pthread_mutex_init(&box->lock, NULL);
	r = policy_box_renew(box, config, err);
	if (r < 0) {
		policy_box_free(box);
		return r;
	}
	*ret_box = box;
	return 0;
}

void policy_box_free(struct policy_box *box)
{
	if (!box)
		return;
	policy_set_unref(box->set);
	pthread_mutex_destroy(&box->lock);
	free(box);
}

struct policy_set *policy_box_get(struct policy_box *box)
{
	SCOPE_LOCK(&box->lock);
	return policy_set_ref(box->set);
}

uint32_t policy_box_generation(const struct policy_box *box)
{
	return atomic_load_explicit(&box->generation, memory_order_acquire);
}
