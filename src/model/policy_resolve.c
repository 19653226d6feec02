/* SPDX-License-Identifier: Apache-2.0 */
/* What comes of a configuration's classes, tenants and key templates. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/config_table.h"
#include "model/policy_set.h"
#include "util/nearest.h"

#define TENANT_MODE 0750

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

static int resolve_sidecars(struct policy_set *set, struct err *err)
{
	set->sidecars = calloc(set->n_classes, sizeof(*set->sidecars));
	if (!set->sidecars)
		return err_set(err, -ENOMEM, "no memory");
	for (unsigned int c = 0; c < set->n_classes; c++) {
		const char *ending = set->classes[c].sidecar;
		unsigned int i = 0;

		if (!ending)
			continue;
		if (strchr(ending, '/'))
			return err_set(err, -EINVAL, "class %s: sidecar is an ending such as .meta",
				       set->classes[c].name);
		while (i < set->n_sidecars && strcmp(set->sidecars[i], ending) != 0)
			i++;
		set->sidecars[i] = ending;
		set->n_sidecars += i == set->n_sidecars;
	}
	return 0;
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

int policy_resolve(struct policy_set *set, const struct config *config, struct err *err)
{
	int r = resolve_classes(set, config, err);

	if (r == 0)
		r = resolve_sidecars(set, err);
	if (r == 0)
		r = resolve_tenants(set, config, err);
	if (r == 0)
		r = resolve_form(set, config, err);
	if (r == 0)
		r = resolve_keymaps(set, config, err);
	return r;
}
