/* SPDX-License-Identifier: Apache-2.0 */
/* What no single option decides: values that follow from others or from the host, and rules across
 * options. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "model/class_check.h"
#include "model/config_table.h"
#include "model/policy.h"
#include "util/cleanup.h"

#define DEFAULT_CACHE_DIR "/var/lib/cogfs"
#define DISK_DEFAULT_MAX (100ULL << 30)
#define RAM_DEFAULT_MAX (1ULL << 30)

static const char *origin_of(const struct config *config, const struct conf_tier *tier,
			     const char *option)
{
	char name[128];

	snprintf(name, sizeof(name), "tiers.%.63s.%s", tier->name, option);
	return conf_origin_get(config, name);
}

static int complete_cache_dir(struct config *config, struct err *err)
{
	const char *cache = getenv("XDG_CACHE_HOME");
	CLEANUP_FREE char *text = NULL;

	if (config->cache_dir)
		return 0;
	if (geteuid() == 0)
		text = strdup(DEFAULT_CACHE_DIR);
	else if (asprintf(&text, "%s/cogfs", cache && *cache == '/' ? cache : "~/.cache") < 0)
		text = NULL;
	if (!text)
		return err_set(err, -ENOMEM, "no memory");
	return conf_expand_path(text, NULL, &config->cache_dir, err);
}

/*
 * Half of the filesystem that holds path or will hold it. Not half of what is free: a cache that
 * fills would find a smaller limit at each mount and evict what it has.
 */
static uint64_t half_of_filesystem(const char *path)
{
	CLEANUP_FREE char *dir = strdup(path);
	struct statvfs vfs;

	while (dir && *dir) {
		if (statvfs(dir, &vfs) == 0)
			return (uint64_t)vfs.f_blocks * vfs.f_frsize / 2;
		char *slash = strrchr(dir, '/');

		if (!slash)
			break;
		slash[slash == dir && slash[1]] = '\0';
	}
	return UINT64_MAX;
}

static uint64_t quarter_of_memory(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);

	return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size / 4 : UINT64_MAX;
}

static uint64_t capped(uint64_t value, uint64_t cap)
{
	const uint64_t unit = 1 << 20;

	value = value < cap ? value : cap;
	return value < unit ? unit : value - value % unit;
}

static int complete_path(const struct config *config, struct conf_tier *tier)
{
	if (tier->path)
		return 0;
	if (tier->type == TIER_TYPE_DISK)
		tier->path = strdup(config->cache_dir);
	else if (asprintf(&tier->path, "%s/store", config->cache_dir) < 0)
		tier->path = NULL;
	return tier->path ? 0 : -ENOMEM;
}

static int complete_tier(const struct config *config, struct conf_tier *tier, struct err *err)
{
	bool embedded = strcmp(origin_of(config, tier, "type"), "default") == 0;

	if ((tier->type == TIER_TYPE_DISK || (tier->type == TIER_TYPE_DIR && embedded)) &&
	    complete_path(config, tier) < 0)
		return err_set(err, -ENOMEM, "no memory");
	if (!tier->max_size && tier->type == TIER_TYPE_DISK)
		tier->max_size = capped(half_of_filesystem(tier->path), DISK_DEFAULT_MAX);
	if (!tier->max_size && tier->type == TIER_TYPE_RAM)
		tier->max_size = capped(quarter_of_memory(), RAM_DEFAULT_MAX);
	if (tier->type == TIER_TYPE_S3 && !tier->credentials) {
		tier->credentials = strdup(tier->access_key ? "static" : "auto");
		if (!tier->credentials)
			return err_set(err, -ENOMEM, "no memory");
	}
	return 0;
}

int conf_complete(struct config *config, struct err *err)
{
	int r = complete_cache_dir(config, err);
	unsigned int index = 0;

	for (struct conf_tier *t = config->tiers; r == 0 && t; t = t->next) {
		t->index = index++;
		r = index > CONF_TIERS_MAX
			    ? err_set(err, -EINVAL, "tiers: there are more than %d", CONF_TIERS_MAX)
			    : complete_tier(config, t, err);
	}
	return r;
}

/* --- rules --- */

static int check_types(struct config *config, struct err *err)
{
	const struct conf_tier *seen[sizeof(unsigned int) * 8] = {0}, *store = NULL;

	for (const struct conf_tier *t = config->tiers; t; t = t->next) {
		if (!t->enabled)
			continue;
		if (conf_tier_is_store(t) && store)
			return err_set(err, -EINVAL,
				       "tiers %s (%s) and %s (%s): several stores come in a later "
				       "version of cogfs; "
				       "set enabled: false on all but one",
				       store->name, origin_of(config, store, "type"), t->name,
				       origin_of(config, t, "type"));
		if (seen[t->type])
			return err_set(err, -EINVAL,
				       "tiers %s and %s: one tier of type %s is enough",
				       seen[t->type]->name, t->name, conf_tier_type_names[t->type]);
		seen[t->type] = t;
		if (conf_tier_is_store(t))
			store = t;
	}
	if (!seen[TIER_TYPE_DISK] && !seen[TIER_TYPE_RAM])
		return err_set(err, -EINVAL,
			       "tiers: one of type disk or ram is needed to hold bodies");
	if (!store &&
	    conf_warn(config, "tiers: without a store (type dir or s3) objects stay %s",
		      seen[TIER_TYPE_DISK] ? "on this host" : "in memory: they are volatile") < 0)
		return err_set(err, -ENOMEM, "no memory");
	return 0;
}

static int tier_wrong(const struct config *config, const struct conf_tier *tier, struct err *err,
		      const char *what)
{
	const char *where = origin_of(config, tier, "type");

	if (strcmp(where, "default") == 0)
		return err_set(err, -EINVAL, "tier %s: %s", tier->name, what);
	return err_set(err, -EINVAL, "%s: tier %s: %s", where, tier->name, what);
}

static bool is_http_url(const char *s)
{
	size_t scheme = strncmp(s, "http://", 7) == 0 ? 7 : strncmp(s, "https://", 8) == 0 ? 8 : 0;

	return scheme && s[scheme] && !strpbrk(s, " ?#");
}

static bool is_credentials(const char *s)
{
	static const char *const words[] = {"auto", "env", "anonymous", "static"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(s, words[i]) == 0)
			return true;
	return strncmp(s, "file:", 5) == 0 && s[5];
}

static int check_s3(const struct config *config, const struct conf_tier *t, struct err *err)
{
	if (!t->bucket)
		return tier_wrong(config, t, err, "it needs a bucket");
	if (strspn(t->bucket,
		   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") !=
		    strlen(t->bucket) ||
	    strlen(t->bucket) < 3 || strlen(t->bucket) > 255)
		return tier_wrong(config, t, err,
				  "this is no name of a bucket; what follows a / is the prefix");
	if (t->endpoint && !is_http_url(t->endpoint))
		return tier_wrong(config, t, err, "endpoint begins with https:// or http://");
	if (!is_credentials(t->credentials))
		return tier_wrong(config, t, err,
				  "credentials are auto, env, anonymous, file:PROFILE or static");
	if (!t->access_key != !t->secret_key)
		return tier_wrong(config, t, err, "access_key and secret_key go together");
	if (strcmp(t->credentials, "static") == 0 && !t->access_key)
		return tier_wrong(config, t, err,
				  "static credentials need access_key and secret_key");
	return 0;
}

static int check_tier(const struct config *config, const struct conf_tier *t, struct err *err)
{
	if (!t->enabled)
		return 0;
	if (t->type == TIER_TYPE_DIR && !t->path)
		return tier_wrong(config, t, err, "it needs a path");
	if (t->type == TIER_TYPE_DIR && strcmp(t->path, config->cache_dir) == 0)
		return tier_wrong(config, t, err,
				  "its path is cache_dir itself; take a directory of its own");
	return t->type == TIER_TYPE_S3 ? check_s3(config, t, err) : 0;
}

static int check_network(const struct config *config, struct err *err)
{
	const char *proxy = config->network.proxy;

	if (config->network.retry_min_ms > config->network.retry_max_ms)
		return err_set(err, -EINVAL, "network.retry: min is larger than max");
	if (strcmp(proxy, "env") != 0 && strcmp(proxy, "none") != 0 && !strstr(proxy, "://"))
		return err_set(err, -EINVAL, "network.proxy: \"%s\" is not env, none or a URL",
			       proxy);
	return 0;
}

/* --- classes --- */

static int warn_pattern(struct config *config, const struct class_set *set, unsigned int rule)
{
	const struct conf_class *class = config->classes, *other = config->classes;
	const struct pattern *pattern, *by_pattern;
	unsigned int index, by, by_index;
	enum class_reach reach;
	int r = class_set_reach(set, rule, &reach, &by);

	if (r < 0 || reach == CLASS_REACHED)
		return r;
	pattern = class_set_rule(set, rule, &index);
	while (index--)
		class = class->next;
	if (reach == CLASS_NO_KEY)
		return conf_warn(
			config, "class %s: pattern \"%.150s\" never matches: there is no such path",
			class->name, pattern->text);
	if (by == class_set_rules(set))
		return conf_warn(
			config,
			"class %s: pattern \"%.150s\" never matches: the patterns before it "
			"take all of its paths",
			class->name, pattern->text);
	by_pattern = class_set_rule(set, by, &by_index);
	while (by_index--)
		other = other->next;
	return conf_warn(config,
			 "class %s: pattern \"%.150s\" never matches: \"%.150s\" of class %s takes "
			 "all of its paths",
			 class->name, pattern->text, by_pattern->text, other->name);
}

/* What this version reads and checks, and does not do: nobody is to rely on it in silence. */
static int warn_idle(struct config *config, const struct policy_set *set)
{
	int r = 0;

	for (const struct conf_tier *t = config->tiers; r == 0 && t; t = t->next) {
		const struct keymap *map = t->enabled ? policy_keymap(set, t->index) : NULL;

		if (map && !keymap_is_identity(map))
			r = conf_warn(config,
				      "tier %s: key is not applied in this version: objects are "
				      "stored by their paths",
				      t->name);
	}
	for (unsigned int i = 0; r == 0 && i < policy_n_classes(set); i++) {
		const struct class_policy *class = policy_class(set, i);

		if (class->stale_s)
			r = conf_warn(config,
				      "class %s: stale_while_revalidate is not applied in this "
				      "version: a copy ends with its ttl",
				      class->name);
		if (r == 0 && class->foreign != FOREIGN_NEVER)
			r = conf_warn(config,
				      "class %s: foreign is not applied in this version: what "
				      "others stored does not expire",
				      class->name);
	}
	return r;
}

int conf_check_classes(struct config *config, struct err *err)
{
	struct policy_set *set = policy_box_get(config->policy);
	const struct class_set *matcher = policy_classes_matcher(set);
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < class_set_rules(matcher); i++)
		r = warn_pattern(config, matcher, i);
	for (unsigned int i = 0; r == 0 && i + 1 < policy_n_classes(set); i++) {
		const struct class_policy *class = policy_class(set, i);

		if (!class->tiers)
			r = conf_warn(config,
				      "class %s: all of its tiers are off: nothing of it is kept",
				      class->name);
		else if (class->is_volatile)
			r = conf_warn(
				config,
				"class %s: neither a disk nor a store holds it: its objects are "
				"volatile, gone with the mount",
				class->name);
	}
	if (r == 0)
		r = warn_idle(config, set);
	policy_set_unref(set);
	return r < 0 ? err_set(err, r, "no memory") : 0;
}

int conf_check(struct config *config, struct err *err)
{
	int r = check_network(config, err);

	if (r == 0)
		r = check_types(config, err);
	for (const struct conf_tier *t = config->tiers; r == 0 && t; t = t->next)
		r = check_tier(config, t, err);
	return r;
}
