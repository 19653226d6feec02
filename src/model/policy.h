/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policies: what holds for each class, for each class in each tier, and for each tenant, resolved
 * when the configuration is loaded, so that looking it up is indexing an array.
 *
 * A policy_set is immutable and counted. A configuration has one in its policy_box; SIGHUP puts a
 * new one there (config_apply_live), and whoever holds the old one goes on with it: nothing is
 * dropped. Classes may then have other numbers. Who remembers a class by its number keeps the set's
 * generation beside it and matches the key again where that differs.
 *
 * What a class does not say is as in `defaults`, what that does not say as in the tier or in
 * `write`. In a tier, the tier's entry in the class's `tiers` comes first.
 */
#ifndef MODEL_POLICY_H
#define MODEL_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/class.h"
#include "model/config.h"
#include "model/keymap.h"

#define POLICY_NONE UINT64_MAX /* limits: there is none */
#define POLICY_MODE_NONE ((mode_t)-1)
#define POLICY_ID_NONE ((uid_t)-1)

/* A class in a tier. */
struct tier_policy {
	bool in;			/* its objects may be there */
	int64_t ttl_s;			/* longest life of a copy there; CONF_NEVER */
	uint64_t max_size, max_objects; /* the class's part of the tier; POLICY_NONE */
	uint64_t max_object;		/* largest object; POLICY_NONE */
	enum eviction eviction;
	enum on_evict on_evict;
	enum admit_policy admission;
	struct conf_compression compression; /* level 0 but in stores */
	const char *storage_class;	     /* NULL: the bucket's */
};

struct class_policy {
	const char *name; /* "default": the class of what matches nothing */
	unsigned int index;
	uint32_t tiers;	  /* 1 << conf_tier.index */
	bool is_volatile; /* neither a disk nor a store holds it: gone with the host */
	bool after_siblings;
	bool pinned;
	int64_t ttl_s;	 /* CONF_NEVER */
	int64_t stale_s; /* a copy may be served that long past its tier's ttl */
	unsigned int priority;
	enum write_mode write;
	enum foreign_life foreign;
	uint64_t readahead;	       /* 0: as the reading shows */
	mode_t mode;		       /* POLICY_MODE_NONE */
	const char *sidecar;	       /* ".meta"; NULL */
	const struct conf_class *conf; /* NULL: the default class */
};

struct tenant_policy {
	const char *name; /* "*" where only that matched */
	unsigned int index;
	bool declared; /* has an entry of its own: its directory is there from the mount on */
	uid_t uid;     /* POLICY_ID_NONE: who makes it */
	gid_t gid;
	mode_t mode;
	uint64_t quota, max_objects;	/* POLICY_NONE */
	uint64_t share[CONF_TIERS_MAX]; /* bytes of each tier; POLICY_NONE */
};

struct policy_set;
struct policy_box;

/* --- the box; any thread --- */

int policy_box_new(const struct config *config, struct policy_box **ret_box, struct err *err);
/* Puts a set made from config into the box. On failure the old one stays. */
int policy_box_renew(struct policy_box *box, const struct config *config, struct err *err);
void policy_box_free(struct policy_box *box); /* accepts NULL */
/* The set that holds now, with a reference for the caller. */
struct policy_set *policy_box_get(struct policy_box *box);
/* How often the box was renewed, without a lock: whether a set that was kept is still the one. */
uint32_t policy_box_generation(const struct policy_box *box);

/* --- a set; all of it constant --- */

/*
 * config, its tiers and its strings must outlive the set: config_apply_live keeps what it replaces.
 * -EINVAL with what is wrong: a tier that is not there, a key template that cannot be inverted.
 */
int policy_set_new(const struct config *config, struct policy_set **ret_set, struct err *err);
struct policy_set *policy_set_ref(struct policy_set *set);
void policy_set_unref(struct policy_set *set); /* accepts NULL */

uint32_t policy_set_generation(const struct policy_set *set);
const struct class_set *policy_classes_matcher(const struct policy_set *set);
unsigned int policy_n_classes(const struct policy_set *set); /* with the default class, the last */

/* class: from class_hit, or policy_n_classes() - 1. tier: conf_tier.index. */
const struct class_policy *policy_class(const struct policy_set *set, unsigned int class);
const struct tier_policy *policy_of(const struct policy_set *set, unsigned int class,
				    unsigned int tier);
/* class_match and policy_class in one: never NULL. ret_hit, which may be NULL, has pattern NULL
 * where no class matched. */
const struct class_policy *policy_match(const struct policy_set *set, const char *key, size_t len,
					struct class_hit *ret_hit);

/*
 * Whether key is the sidecar of another object: it ends as the class of the key without that ending
 * says (`sidecar: .meta`). *ret_len is the length of the other's key, *ret_class its class, which
 * the sidecar follows.
 */
bool policy_sidecar_of(const struct policy_set *set, const char *key, size_t len, size_t *ret_len,
		       const struct class_policy **ret_class);

/* The store keys of a tier; NULL for tiers that are no stores. */
const struct keymap *policy_keymap(const struct policy_set *set, unsigned int tier);

/*
 * The tenant that a path is in, or whose directory it is: by {tenant} of the pattern that matched
 * (hit, may be NULL), else by the form in which the classes write it. False: it is in none.
 */
bool policy_tenant_name(const struct policy_set *set, const char *key, size_t len,
			const struct class_hit *hit, const char **ret_name, size_t *ret_len);
/* The entry of its name, else "*", else NULL: nothing is said, and only root may make it. */
const struct tenant_policy *policy_tenant(const struct policy_set *set, const char *name,
					  size_t len);
unsigned int policy_n_tenants(const struct policy_set *set);
const struct tenant_policy *policy_tenant_at(const struct policy_set *set, unsigned int i);
/* The path of a tenant's directory: "tenant_acme". malloc'ed; NULL: no memory, or none fits. */
char *policy_tenant_dir(const struct policy_set *set, const char *name);

#endif
