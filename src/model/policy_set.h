/* SPDX-License-Identifier: Apache-2.0 */
/* What a policy_set is made of: policy_resolve.c fills it, policy.c looks things up in it. */
#ifndef MODEL_POLICY_SET_H
#define MODEL_POLICY_SET_H

#include <stdatomic.h>

#include "model/policy.h"

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
	const char **sidecars; /* the different endings */
	unsigned int n_sidecars;
};

/* -EINVAL with what is wrong with the configuration, -ENOMEM; set is then half filled. */
int policy_resolve(struct policy_set *set, const struct config *config, struct err *err);

#endif
