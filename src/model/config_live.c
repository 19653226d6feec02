/* SPDX-License-Identifier: Apache-2.0 */
/* What a running mount takes over from a configuration that was read again. */
#include <string.h>

#include "model/config_table.h"

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

static void apply_table(const struct conf_option *table, void *live, const void *fresh,
			const char *prefix, struct waiting *w)
{
	char name[128];

	for (const struct conf_option *o = table; o->name; o++) {
		if (o->kind == CONF_LATER || o->kind == CONF_PATTERNS ||
		    conf_value_equal(o, live, fresh))
			continue;
		if (o->live) {
			conf_value_copy(o, live, fresh);
			continue;
		}
		snprintf(name, sizeof(name), "%s%s", prefix, o->name);
		wait_for_mount(w, name);
	}
}

static void apply_tiers(struct config *live, const struct config *fresh, struct waiting *w)
{
	for (struct conf_tier *t = live->tiers; t; t = t->next) {
		const struct conf_tier *f = conf_tier_named(fresh, t->name);
		char prefix[96];

		snprintf(prefix, sizeof(prefix), "tiers.%s.", t->name);
		if (f && f->type == t->type)
			apply_table(conf_tier_options, t, f, prefix, w);
		else
			wait_for_mount(w, prefix);
	}
	for (const struct conf_tier *f = fresh->tiers; f; f = f->next)
		if (!conf_tier_named(live, f->name))
			wait_for_mount(w, f->name);
}

static bool patterns_equal(char *const *a, char *const *b)
{
	for (; a && b && *a && *b; a++, b++)
		if (strcmp(*a, *b) != 0)
			return false;
	return (!a || !*a) && (!b || !*b);
}

static bool classes_equal(const struct conf_class *a, const struct conf_class *b)
{
	for (; a && b; a = a->next, b = b->next)
		if (strcmp(a->name, b->name) != 0 || a->after_siblings != b->after_siblings ||
		    !patterns_equal(a->match, b->match))
			return false;
	return a == b;
}

int config_apply_live(struct config *live, const struct config *fresh, struct err *err)
{
	struct waiting w = {.err = err};

	if (err)
		err->text[0] = '\0';
	apply_table(conf_options, live, fresh, "", &w);
	apply_tiers(live, fresh, &w);
	if (!classes_equal(live->classes, fresh->classes))
		wait_for_mount(&w, "classes");
	return w.n;
}
