/* SPDX-License-Identifier: Apache-2.0 */
/* What a running mount takes over from a configuration that was read again. */
#include <string.h>

#include "model/config_table.h"
#include "model/policy.h"
#include "util/cleanup.h"

/* The names that wait for the next mount, as far as they fit. */
struct waiting {
	struct err *err;
	int n;
};

static void wait_for_mount(struct waiting *w, const char *name)
{
	size_t len;

	w->n++;
	if (!w->err)
		return;
	len = strlen(w->err->text);
	snprintf(w->err->text + len, sizeof(w->err->text) - len, "%s%s", len ? ", " : "", name);
}

/* Policies are taken over as a whole: apply_policies. */
static void apply_table(const struct conf_option *table, void *live, const void *fresh,
			const char *prefix, struct waiting *w, bool *changed)
{
	char name[128];

	for (const struct conf_option *o = table; o->name; o++) {
		if (o->kind == CONF_LATER || o->given || conf_value_equal(o, live, fresh))
			continue;
		if (o->live) {
			conf_value_copy(o, live, fresh);
			*changed = true;
			continue;
		}
		snprintf(name, sizeof(name), "%s%s", prefix, o->name);
		wait_for_mount(w, name);
	}
}

static void apply_tiers(struct config *live, const struct config *fresh, struct waiting *w,
			bool *changed)
{
	for (struct conf_tier *t = live->tiers; t; t = t->next) {
		const struct conf_tier *f = conf_tier_named(fresh, t->name);
		char prefix[96];

		snprintf(prefix, sizeof(prefix), "tiers.%s.", t->name);
		if (f && f->type == t->type)
			apply_table(conf_tier_options, t, f, prefix, w, changed);
		else
			wait_for_mount(w, prefix);
	}
	for (const struct conf_tier *f = fresh->tiers; f; f = f->next)
		if (!conf_tier_named(live, f->name))
			wait_for_mount(w, f->name);
}

/* --- classes, tenants, defaults --- */

/* One generation of them, after a newer one came. */
struct conf_retired {
	struct conf_retired *next;
	struct conf_policy defaults;
	struct conf_class *classes;
	struct conf_tenant *tenants;
};

void conf_retired_free(struct conf_retired *retired)
{
	while (retired) {
		struct conf_retired *r = retired;

		retired = r->next;
		conf_policy_release(&r->defaults);
		conf_classes_free(r->classes);
		conf_tenants_free(r->tenants);
		free(r);
	}
}

static void print_policies(const struct config *config, FILE *out)
{
	for (const struct conf_option *o = conf_options; o->name; o++) {
		CLEANUP_FREE char *text = o->given ? conf_value_format(o, config) : NULL;

		fprintf(out, "%s\n", text ? text : "");
	}
	for (const struct conf_class *c = config->classes; c; c = c->next) {
		for (char **m = c->match; m && *m; m++)
			fprintf(out, "%s\n", *m);
		for (const struct conf_option *o = conf_class_options; o->name; o++) {
			CLEANUP_FREE char *text = conf_value_format(o, c);

			fprintf(out, "%s\n", text ? text : "");
		}
	}
	for (const struct conf_tenant *t = config->tenants; t; t = t->next) {
		fprintf(out, "%s\n", t->name);
		for (const struct conf_option *o = conf_tenant_options; o->name; o++) {
			CLEANUP_FREE char *text = conf_value_format(o, t);

			fprintf(out, "%s\n", text ? text : "");
		}
	}
}

static char *policies_text(const struct config *config)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	print_policies(config, out);
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

/* What stood in live goes to the retired ones, what stands in fresh to live. */
static void take_policies(struct config *live, struct config *fresh, struct conf_retired *old)
{
	old->defaults = live->defaults;
	old->classes = live->classes;
	old->tenants = live->tenants;
	old->next = live->retired;
	live->retired = old;
	live->defaults = fresh->defaults;
	live->classes = fresh->classes;
	live->tenants = fresh->tenants;
	memset(&fresh->defaults, 0, sizeof(fresh->defaults));
	fresh->classes = NULL;
	fresh->tenants = NULL;
}

static void give_back(struct config *live, struct config *fresh)
{
	struct conf_retired *old = live->retired;

	fresh->defaults = live->defaults;
	fresh->classes = live->classes;
	fresh->tenants = live->tenants;
	live->defaults = old->defaults;
	live->classes = old->classes;
	live->tenants = old->tenants;
	live->retired = old->next;
	free(old);
}

/*
 * The new set is made from live's own tiers: a class that names a tier which is not mounted makes
 * all of this wait.
 */
static void apply_policies(struct config *live, struct config *fresh, bool limits,
			   struct waiting *w)
{
	CLEANUP_FREE char *before = policies_text(live), *after = policies_text(fresh);
	struct conf_retired *old = NULL;

	if (!limits && before && after && strcmp(before, after) == 0)
		return;
	old = calloc(1, sizeof(*old));
	if (!old) {
		wait_for_mount(w, "classes");
		return;
	}
	take_policies(live, fresh, old);
	if (policy_box_renew(live->policy, live, NULL) == 0)
		return;
	give_back(live, fresh);
	wait_for_mount(w, "classes");
}

int config_apply_live(struct config *live, struct config *fresh, struct err *err)
{
	struct waiting w = {.err = err};
	bool limits = false;

	if (err)
		err->text[0] = '\0';
	apply_table(conf_options, live, fresh, "", &w, &limits);
	limits = false;
	apply_tiers(live, fresh, &w, &limits);
	apply_policies(live, fresh, limits, &w);
	return w.n;
}
