/* SPDX-License-Identifier: Apache-2.0 */
/* tiers:, classes: and tenants:, mappings that are merged by name. */
#include <errno.h>
#include <string.h>

#include "model/config_yaml.h"
#include "model/key.h"

/* Sets all keys of map from table. kind: "tiers", "classes" or "tenants"; type: tier's or -1. */
static int read_item(const struct conf_reader *rd, const char *kind,
		     const struct conf_option *table, int type, void *base, const char *base_name,
		     yaml_node_t *map)
{
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top;
	     p++) {
		const struct conf_option *opt;
		struct nearest near;
		char name[CONF_NAME_LEN];
		const char *key;
		int r = reader_pair_key(rd, map, p, &key);

		if (r < 0)
			return r;
		opt = conf_option_find(table, key);
		if (opt && type >= 0 && !(opt->types & (1u << type)))
			return err_set(rd->err, -EINVAL, "%s:%zu:%zu: a tier of type %s has no %s",
				       rd->file, reader_node(rd, p->key)->start_mark.line + 1,
				       reader_node(rd, p->key)->start_mark.column + 1,
				       conf_tier_type_names[type], key);
		if (!opt) {
			nearest_init(&near, key);
			for (const struct conf_option *o = table; o->name; o++)
				if (type < 0 || o->types & (1u << type))
					nearest_offer(&near, o->name);
			snprintf(name, sizeof(name), "%.*s %.100s",
				 (int)strlen(kind) - (strcmp(kind, "classes") == 0 ? 2 : 1), kind,
				 base_name);
			return reader_unknown(rd, reader_node(rd, p->key), name, &near);
		}
		snprintf(name, sizeof(name), "%s.%.100s.%s", kind, base_name, key);
		r = reader_set_option(rd, opt, base, name, reader_node(rd, p->value));
		if (r < 0)
			return r;
	}
	return 0;
}

static int item_name(const struct conf_reader *rd, const yaml_node_t *map, const char *fallback,
		     char ret[64])
{
	const yaml_node_t *node = reader_map_get(rd, map, "name");
	const char *text = node ? node_text(node) : fallback;

	if (!text || !*text)
		return reader_complain(rd, node ? node : map, "it needs a name");
	if (strlen(text) >= 64 ||
	    strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") !=
		    strlen(text))
		return reader_complain(
			rd, node ? node : map,
			"a name is made of letters, digits, - and _, up to 63 of them");
	memcpy(ret, text, strlen(text) + 1);
	return 0;
}

static int read_tier(const struct conf_reader *rd, yaml_node_t *map)
{
	const struct conf_option *type_opt = conf_option_find(conf_tier_options, "type");
	const yaml_node_t *type;
	struct conf_tier probe = {0}, *tier;
	char name[64];
	int r;

	if (map->type != YAML_MAPPING_NODE)
		return reader_complain(rd, map, "a tier is a mapping: {name: ..., type: ...}");
	type = reader_map_get(rd, map, "type");
	if (type && !node_text(type))
		return reader_complain(rd, type, "a type is a word");
	if (type && conf_value_set(type_opt, &probe, node_text(type), rd->err) < 0)
		return reader_place(rd, type, -EINVAL);
	r = item_name(rd, map, type ? node_text(type) : NULL, name);
	if (r < 0)
		return r;
	tier = conf_tier_named(rd->config, name);
	if (tier && type && tier->type != probe.type)
		return reader_complain(rd, type, "a tier of this name has another type already");
	if (!tier && !type)
		return reader_complain(rd, map, "a tier needs a type: ram, disk, dir or s3");
	if (!tier && conf_tier_add(rd->config, probe.type, name, &tier) < 0)
		return err_set(rd->err, -ENOMEM, "no memory");
	return read_item(rd, "tiers", conf_tier_options, (int)tier->type, tier, name, map);
}

int reader_tiers(const struct conf_reader *rd, yaml_node_t *list)
{
	if (list->type != YAML_SEQUENCE_NODE)
		return reader_complain(rd, list, "tiers is a list: - {name: ..., type: ...}");
	*rd->tiers = true;
	for (yaml_node_item_t *i = list->data.sequence.items.start;
	     i < list->data.sequence.items.top; i++) {
		int r = read_tier(rd, reader_node(rd, *i));

		if (r < 0)
			return r;
	}
	return 0;
}

static int read_class(const struct conf_reader *rd, yaml_node_t *map)
{
	struct conf_class *class;
	char name[64];
	int r;

	if (map->type != YAML_MAPPING_NODE)
		return reader_complain(rd, map, "a class is a mapping: {name: ..., match: ...}");
	r = item_name(rd, map, NULL, name);
	if (r < 0)
		return r;
	for (class = rd->config->classes; class; class = class->next)
		if (strcmp(class->name, name) == 0)
			break;
	if (!class && conf_class_add(rd->config, name, &class) < 0)
		return err_set(rd->err, -ENOMEM, "no memory");
	r = read_item(rd, "classes", conf_class_options, -1, class, name, map);
	if (r == 0 && !class->match)
		return reader_complain(rd, map,
				       "a class needs a match: a pattern or a list of them");
	return r;
}

int reader_classes(const struct conf_reader *rd, yaml_node_t *list)
{
	if (list->type != YAML_SEQUENCE_NODE)
		return reader_complain(rd, list, "classes is a list: - {name: ..., match: ...}");
	for (yaml_node_item_t *i = list->data.sequence.items.start;
	     i < list->data.sequence.items.top; i++) {
		int r = read_class(rd, reader_node(rd, *i));

		if (r < 0)
			return r;
	}
	return 0;
}

static int read_tenant(const struct conf_reader *rd, const yaml_node_t *key, const char *name,
		       yaml_node_t *map)
{
	bool others = strcmp(name, "*") == 0;
	struct conf_tenant *tenant;

	if (!others && key_part_check(name, strlen(name), true) < 0)
		return reader_complain(rd, key, "a tenant's name is \"*\" or part of a path");
	if (map->type != YAML_MAPPING_NODE && !node_is_null(map))
		return reader_complain(rd, map, "a tenant is a mapping: {uid: ..., quota: ...}");
	for (tenant = rd->config->tenants; tenant; tenant = tenant->next)
		if (strcmp(tenant->name, name) == 0)
			break;
	if (!tenant && conf_tenant_add(rd->config, name, &tenant) < 0)
		return err_set(rd->err, -ENOMEM, "no memory");
	if (node_is_null(map))
		return 0;
	return read_item(rd, "tenants", conf_tenant_options, -1, tenant, name, map);
}

int reader_tenants(const struct conf_reader *rd, yaml_node_t *map)
{
	if (map->type != YAML_MAPPING_NODE)
		return reader_complain(rd, map, "tenants is a mapping: {NAME: {quota: ...}}");
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top;
	     p++) {
		const char *name;
		int r = reader_pair_key(rd, map, p, &name);

		if (r == 0)
			r = read_tenant(rd, reader_node(rd, p->key), name,
					reader_node(rd, p->value));
		if (r < 0)
			return r;
	}
	return 0;
}
