/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of policies: made, counted, looked up in, and swapped in their box. */
#include "model/policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/policy_set.h"
#include "util/cleanup.h"

/* --- sets --- */

int policy_set_new(const struct config *config, struct policy_set **ret_set, struct err *err)
{
	struct policy_set *set = calloc(1, sizeof(*set));
	int r;

	if (!set)
		return err_set(err, -ENOMEM, "no memory");
	atomic_init(&set->refs, 1);
	r = policy_resolve(set, config, err);
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
	free(set->sidecars);
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

bool policy_sidecar_of(const struct policy_set *set, const char *key, size_t len, size_t *ret_len,
		       const struct class_policy **ret_class)
{
	for (unsigned int i = 0; i < set->n_sidecars; i++) {
		size_t n = strlen(set->sidecars[i]);
		const struct class_policy *class;

		if (len <= n || memcmp(key + len - n, set->sidecars[i], n) != 0 ||
		    key[len - n - 1] == '/')
			continue;
		class = policy_match(set, key, len - n, NULL);
		if (!class->sidecar || strcmp(class->sidecar, set->sidecars[i]) != 0)
			continue;
		*ret_len = len - n;
		*ret_class = class;
		return true;
	}
	return false;
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
