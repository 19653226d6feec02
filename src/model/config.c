/* SPDX-License-Identifier: Apache-2.0 */
/* Puts a configuration together: defaults, files, environment, command line; then completes and
 * checks it. */
#include "model/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/config_table.h"
#include "model/policy.h"
#include "util/cleanup.h"
#include "util/nearest.h"

#define SYSTEM_FILE "/etc/cogfs/cogfs.yaml"
#define NAME_LEN 256
#define COMMAND_LINE "command line"

static int set_defaults(struct config *config, struct err *err)
{
	for (const struct conf_option *o = conf_options; o->name; o++) {
		int r;

		if (!o->def || o->kind == CONF_LATER)
			continue;
		r = conf_value_set(o, config, o->def, err);
		if (r < 0)
			return err_wrap(err, r, "default of %s", o->name);
	}
	config->mount.uid = geteuid();
	config->mount.gid = getegid();
	return 0;
}

/* --- one value by name: "mount.uid", "tiers.cold.endpoint", "store.endpoint" --- */

/* "disk" and "ram" are the tier of that type, "store" is the one store, whatever their names. */
static struct conf_tier *tier_by_role(const struct config *config, const char *role)
{
	for (struct conf_tier *t = config->tiers; t; t = t->next) {
		if (!t->enabled)
			continue;
		if (strcmp(role, "store") == 0 ? conf_tier_is_store(t)
					       : strcmp(role, conf_tier_type_names[t->type]) == 0)
			return t;
	}
	return NULL;
}

static bool is_role(const char *word)
{
	for (size_t i = 0; conf_tier_type_names[i]; i++)
		if (strcmp(word, conf_tier_type_names[i]) == 0)
			return true;
	return strcmp(word, "store") == 0;
}

/* Where a name leads. */
struct target {
	const struct conf_option *opt;
	void *base;
	char name[NAME_LEN]; /* of the origin */
};

static int no_such(const char *name, const struct nearest *near, struct err *err)
{
	const char *best = nearest_get(near);

	return err_set(err, -EINVAL, "there is no option %.100s%s%s%s", name,
		       best ? "; did you mean " : "", best ? best : "", best ? "?" : "");
}

/* option of tier; full is what the user wrote. */
static int find_tier_option(struct conf_tier *tier, const char *option, const char *full,
			    struct target *ret, struct err *err)
{
	struct nearest near;

	ret->opt = conf_option_find(conf_tier_options, option);
	if (!ret->opt) {
		nearest_init(&near, option);
		for (const struct conf_option *o = conf_tier_options; o->name; o++)
			nearest_offer(&near, o->name);
		return no_such(full, &near, err);
	}
	if (!(ret->opt->types & (1u << tier->type)) || strcmp(option, "name") == 0 ||
	    strcmp(option, "type") == 0)
		return err_set(err, -EINVAL, "%s: tier %s (type %s) has no such option to set",
			       full, tier->name, conf_tier_type_names[tier->type]);
	ret->base = tier;
	snprintf(ret->name, sizeof(ret->name), "tiers.%s.%s", tier->name, option);
	return 0;
}

static int find_tier_target(const struct config *config, const char *name, struct target *ret,
			    struct err *err)
{
	bool by_name = strncmp(name, "tiers.", 6) == 0;
	const char *which = by_name ? name + 6 : name, *dot = strchr(which, '.');
	struct conf_tier *tier;
	char word[64];

	if (!dot || (size_t)(dot - which) >= sizeof(word))
		return err_set(err, -EINVAL, "%.100s: write tiers.NAME.OPTION", name);
	memcpy(word, which, (size_t)(dot - which));
	word[dot - which] = '\0';
	tier = by_name ? conf_tier_named(config, word) : tier_by_role(config, word);
	if (!tier)
		return err_set(err, -EINVAL, "%.100s: there is no such tier", name);
	return find_tier_option(tier, dot + 1, name, ret, err);
}

static int find_target(struct config *config, const char *name, struct target *ret, struct err *err)
{
	char first[NAME_LEN];
	struct nearest near;

	snprintf(first, sizeof(first), "%.*s", (int)strcspn(name, "."), name);
	if (strcmp(first, "tiers") == 0 || (name[strlen(first)] == '.' && is_role(first)))
		return find_tier_target(config, name, ret, err);
	ret->opt = conf_option_find(conf_options, name);
	for (const struct conf_section *s = conf_sections; !ret->opt && s->name; s++)
		if (s->scalar && strcmp(s->name, name) == 0)
			ret->opt = conf_option_find(conf_options, s->scalar);
	if (!ret->opt) {
		nearest_init(&near, name);
		for (const struct conf_option *o = conf_options; o->name; o++)
			nearest_offer(&near, o->name);
		return no_such(name, &near, err);
	}
	ret->base = config;
	snprintf(ret->name, sizeof(ret->name), "%s", ret->opt->name);
	return 0;
}

static int set_by_name(struct config *config, const char *name, const char *value,
		       const char *where, struct err *err)
{
	CLEANUP_FREE char *path = NULL;
	struct target target;
	int r = find_target(config, name, &target, err);

	if (r < 0)
		return r;
	if (target.opt->kind == CONF_SECRET && strcmp(where, COMMAND_LINE) == 0)
		return err_set(err, -EINVAL,
			       "%s: ps would show it; put it into the file or the environment",
			       name);
	if (target.opt->kind == CONF_PATH && *value) {
		r = conf_expand_path(value, NULL, &path, err);
		if (r < 0)
			return err_wrap(err, r, "%s", name);
		value = path;
	}
	r = conf_value_set(target.opt, target.base, value, err);
	if (r < 0)
		return err_wrap(err, r, "%s", name);
	return conf_origin_set(config, target.name, where);
}

/* --- environment --- */

/* Whether variable (without COGFS_) means option: COGFS_NETWORK_RETRY_TRIES is network.retry.tries.
 */
static bool env_matches(const char *variable, size_t len, const char *option)
{
	size_t i;

	for (i = 0; i < len && option[i]; i++) {
		char c = option[i] == '.' ? '_' : (char)toupper((unsigned char)option[i]);

		if (c != variable[i])
			return false;
	}
	return i == len && !option[i];
}

/* The option's name that a variable means, or an empty string. */
static void env_option(const struct config *config, const char *variable, size_t len,
		       char ret[NAME_LEN])
{
	static const char *const roles[] = {"ram", "disk", "store"};

	for (const struct conf_option *o = conf_options; o->name; o++) {
		if (env_matches(variable, len, o->name)) {
			snprintf(ret, NAME_LEN, "%s", o->name);
			return;
		}
	}
	for (const struct conf_option *o = conf_tier_options; o->name; o++) {
		for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
			snprintf(ret, NAME_LEN, "%s.%s", roles[i], o->name);
			if (env_matches(variable, len, ret))
				return;
		}
		for (const struct conf_tier *t = config->tiers; t; t = t->next) {
			snprintf(ret, NAME_LEN, "tiers.%s.%s", t->name, o->name);
			if (env_matches(variable, len, ret))
				return;
		}
	}
	ret[0] = '\0';
}

/* Whether a variable that means no option was meant to: it begins like one of a section. */
static bool env_looks_meant(const char *variable)
{
	for (const struct conf_section *s = conf_sections; s->name; s++) {
		size_t len = strlen(s->name);

		if (env_matches(variable, len, s->name) && variable[len] == '_')
			return true;
	}
	return strncmp(variable, "TIERS_", 6) == 0;
}

static int set_from_environment(struct config *config, struct err *err)
{
	static const char prefix[] = "COGFS_";

	for (char **e = environ; e && *e; e++) {
		const char *variable = *e + sizeof(prefix) - 1, *value = strchr(*e, '=');
		char name[NAME_LEN], where[NAME_LEN];
		int r;

		if (strncmp(*e, prefix, sizeof(prefix) - 1) != 0 || !value)
			continue;
		snprintf(where, sizeof(where), "environment %.*s", (int)(value - *e), *e);
		env_option(config, variable, (size_t)(value - variable), name);
		if (!*name && env_looks_meant(variable))
			return err_set(err, -EINVAL, "%s: there is no such option", where);
		if (!*name)
			continue;
		r = set_by_name(config, name, value + 1, where, err);
		if (r < 0)
			return err_wrap(err, r, "%s", where);
	}
	return 0;
}

/* --- all together --- */

static int user_file(char **ret_file, struct err *err)
{
	const char *xdg = getenv("XDG_CONFIG_HOME");
	CLEANUP_FREE char *text = NULL;

	if (asprintf(&text, "%s/cogfs/cogfs.yaml", xdg && *xdg == '/' ? xdg : "~/.config") < 0) {
		text = NULL;
		return err_set(err, -ENOMEM, "no memory");
	}
	return conf_expand_path(text, NULL, ret_file, err);
}

/* The file to read, or NULL: the named one, COGFS_CONFIG, the user's own, the system's. */
static int choose_file(const struct conf_load_args *args, char **ret_file, struct err *err)
{
	const char *named = args->file ? args->file : getenv("COGFS_CONFIG");
	CLEANUP_FREE char *own = NULL;

	*ret_file = NULL;
	if (named && *named)
		return conf_expand_path(named, NULL, ret_file, err);
	if (geteuid() != 0) {
		int r = user_file(&own, err);

		if (r < 0)
			return r;
		if (access(own, F_OK) == 0) {
			*ret_file = STEAL_PTR(own);
			return 0;
		}
	}
	/* The system's may hold root's secrets: what a user cannot read is not meant for him. */
	if (access(SYSTEM_FILE, geteuid() == 0 ? F_OK : R_OK) == 0) {
		*ret_file = strdup(SYSTEM_FILE);
		return *ret_file ? 0 : err_set(err, -ENOMEM, "no memory");
	}
	return 0;
}

static int load_into(struct config *config, const struct conf_load_args *args, struct err *err)
{
	bool tiers_listed = false;
	int r = set_defaults(config, err);

	if (r == 0)
		r = choose_file(args, &config->source, err);
	if (r == 0 && config->source)
		r = conf_yaml_load(config, config->source, &tiers_listed, err);
	if (r == 0 && !tiers_listed)
		r = conf_tiers_embedded(config);
	/* Twice: once so that the environment finds the tier that it speaks of, once to win over
	 * it. */
	if (r == 0 && args->source)
		r = conf_tiers_source(config, args->source, err);
	if (r == 0)
		r = set_from_environment(config, err);
	if (r == 0 && args->source)
		r = conf_tiers_source(config, args->source, err);
	for (size_t i = 0; r == 0 && i < args->n_overrides; i++)
		r = set_by_name(config, args->overrides[i].name, args->overrides[i].value,
				COMMAND_LINE, err);
	if (r == 0)
		r = conf_complete(config, err);
	if (r == 0)
		r = conf_check(config, err);
	if (r == 0)
		r = policy_box_new(config, &config->policy, err);
	return r < 0 ? r : conf_check_classes(config, err);
}

int config_load(const struct conf_load_args *args, struct config **ret_config, struct err *err)
{
	struct config *config = calloc(1, sizeof(*config));
	int r;

	if (!config)
		return err_set(err, -ENOMEM, "no memory");
	r = load_into(config, args, err);
	if (r < 0) {
		config_free(config);
		return r;
	}
	*ret_config = config;
	return 0;
}

void config_free(struct config *config)
{
	if (!config)
		return;
	for (const struct conf_option *o = conf_options; o->name; o++)
		conf_value_release(o, config);
	while (config->tiers) {
		struct conf_tier *tier = config->tiers;

		config->tiers = tier->next;
		conf_tier_free(tier);
	}
	policy_box_free(config->policy);
	conf_classes_free(config->classes);
	conf_tenants_free(config->tenants);
	conf_retired_free(config->retired);
	for (size_t i = 0; config->warnings && config->warnings[i]; i++)
		free(config->warnings[i]);
	free(config->warnings);
	conf_origins_free(config);
	free(config->source);
	free(config);
}

const struct conf_tier *config_tier(const struct config *config, enum tier_type type)
{
	if (!config)
		return NULL;
	for (const struct conf_tier *t = config->tiers; t; t = t->next)
		if (t->enabled && t->type == type)
			return t;
	return NULL;
}
