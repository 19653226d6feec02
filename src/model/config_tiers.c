/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration's tiers and classes as lists, and the store that the command line names. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/config_table.h"
#include "util/cleanup.h"

static void options_release(const struct conf_option *table, void *base)
{
	for (const struct conf_option *o = table; o->name; o++)
		conf_value_release(o, base);
}

void conf_tier_free(struct conf_tier *tier)
{
	if (!tier)
		return;
	options_release(conf_tier_options, tier);
	free(tier);
}

bool conf_tier_is_store(const struct conf_tier *tier)
{
	return tier->type == TIER_TYPE_DIR || tier->type == TIER_TYPE_S3;
}

struct conf_tier *conf_tier_named(const struct config *config, const char *name)
{
	for (struct conf_tier *t = config->tiers; t; t = t->next)
		if (strcmp(t->name, name) == 0)
			return t;
	return NULL;
}

static int tier_defaults(struct conf_tier *tier)
{
	for (const struct conf_option *o = conf_tier_options; o->name; o++) {
		int r;

		if (!o->def || o->kind == CONF_LATER)
			continue;
		r = conf_value_set(o, tier, o->def, NULL);
		if (r < 0)
			return r;
	}
	return 0;
}

int conf_tier_add(struct config *config, enum tier_type type, const char *name,
		  struct conf_tier **ret_tier)
{
	struct conf_tier *tier = calloc(1, sizeof(*tier)), **end = &config->tiers;

	if (!tier)
		return -ENOMEM;
	tier->type = type;
	tier->name = strdup(name);
	if (!tier->name || tier_defaults(tier) < 0) {
		conf_tier_free(tier);
		return -ENOMEM;
	}
	while (*end)
		end = &(*end)->next;
	*end = tier;
	*ret_tier = tier;
	return 0;
}

int conf_tiers_embedded(struct config *config)
{
	struct conf_tier *tier;
	int r = conf_tier_add(config, TIER_TYPE_RAM, "ram", &tier);

	if (r == 0)
		r = conf_tier_add(config, TIER_TYPE_DISK, "warm", &tier);
	if (r == 0)
		r = conf_tier_add(config, TIER_TYPE_DIR, "cold", &tier);
	return r;
}

/* Takes every store but keep out of the list. */
static void drop_other_stores(struct config *config, const struct conf_tier *keep)
{
	for (struct conf_tier **p = &config->tiers; *p;) {
		struct conf_tier *t = *p;

		if (t == keep || !conf_tier_is_store(t)) {
			p = &t->next;
			continue;
		}
		*p = t->next;
		conf_tier_free(t);
	}
}

/* The configured store of that type keeps its endpoint and credentials; any other store goes. */
static int only_store(struct config *config, enum tier_type type, struct conf_tier **ret_tier)
{
	struct conf_tier *tier = (struct conf_tier *)config_tier(config, type);

	drop_other_stores(config, tier);
	if (tier) {
		*ret_tier = tier;
		return 0;
	}
	return conf_tier_add(config, type, conf_tier_named(config, "cold") ? "store" : "cold",
			     ret_tier);
}

static int set_named(struct config *config, struct conf_tier *tier, const char *option,
		     const char *value, struct err *err)
{
	char name[256];
	int r = conf_value_set(conf_option_find(conf_tier_options, option), tier, value, err);

	if (r < 0)
		return r;
	snprintf(name, sizeof(name), "tiers.%s.%s", tier->name, option);
	return conf_origin_set(config, name, "command line");
}

static int source_s3(struct config *config, const char *rest, struct err *err)
{
	CLEANUP_FREE char *bucket = strdup(rest);
	struct conf_tier *tier;
	char *prefix;
	size_t len;
	int r;

	if (!bucket)
		return -ENOMEM;
	prefix = strchr(bucket, '/');
	if (prefix)
		*prefix++ = '\0';
	if (!*bucket)
		return err_set(err, -EINVAL, "s3://%s: write s3://BUCKET or s3://BUCKET/PREFIX",
			       rest);
	for (len = prefix ? strlen(prefix) : 0; len && prefix[len - 1] == '/'; len--)
		prefix[len - 1] = '\0';
	r = only_store(config, TIER_TYPE_S3, &tier);
	if (r < 0)
		return r;
	r = set_named(config, tier, "bucket", bucket, err);
	return r < 0 ? r : set_named(config, tier, "prefix", prefix ? prefix : "", err);
}

static int source_dir(struct config *config, const char *path, struct err *err)
{
	CLEANUP_FREE char *absolute = NULL;
	struct conf_tier *tier;
	int r;

	if (!*path)
		return err_set(err, -EINVAL, "dir:: write dir:/PATH");
	r = conf_expand_path(path, NULL, &absolute, err);
	if (r < 0)
		return r;
	r = only_store(config, TIER_TYPE_DIR, &tier);
	return r < 0 ? r : set_named(config, tier, "path", absolute, err);
}

int conf_tiers_source(struct config *config, const char *source, struct err *err)
{
	static const char *const later[] = {"gs://",	"gcs://",   "az://",
					    "azure://", "redis://", "rediss://"};

	if (strncmp(source, "s3://", 5) == 0)
		return source_s3(config, source + 5, err);
	if (strncmp(source, "dir:", 4) == 0)
		return source_dir(config, source + 4, err);
	if (source[0] == '/')
		return source_dir(config, source, err);
	for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++)
		if (strncmp(source, later[i], strlen(later[i])) == 0)
			return err_set(err, -EINVAL,
				       "%s is not in this version of cogfs; s3:// and dir: are",
				       later[i]);
	return err_set(err, -EINVAL,
		       "\"%s\" is no source: write s3://BUCKET/PREFIX, dir:/PATH or /PATH", source);
}
