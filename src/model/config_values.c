/* SPDX-License-Identifier: Apache-2.0 */
/* YAML lists and mappings as values of one option: the tiers of a class, compression, shares. */
#include <errno.h>
#include <string.h>

#include "model/config_yaml.h"

/* Sets the keys of a mapping from a table of its own. */
static int read_map(const struct conf_reader *rd, const struct conf_option *table, void *base,
		    const char *name, yaml_node_t *map)
{
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top;
	     p++) {
		const struct conf_option *opt;
		char full[CONF_NAME_LEN];
		struct nearest near;
		const char *key;
		int r = reader_pair_key(rd, map, p, &key);

		if (r < 0)
			return r;
		opt = conf_option_find(table, key);
		if (!opt) {
			nearest_init(&near, key);
			for (const struct conf_option *o = table; o->name; o++)
				nearest_offer(&near, o->name);
			return reader_unknown(rd, reader_node(rd, p->key), name, &near);
		}
		snprintf(full, sizeof(full), "%.180s.%.60s", name, key);
		r = reader_set_option(rd, opt, base, full, reader_node(rd, p->value));
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_share(const struct conf_reader *rd, struct conf_share **list, const char *name,
		     const yaml_node_t *node, struct conf_share **ret_share)
{
	int r;

	if (!name || !*name)
		return reader_complain(rd, node, "the name of a tier is expected here");
	r = conf_share_add(list, name, ret_share, rd->err);
	return r < 0 ? reader_place(rd, node, r) : 0;
}

static int read_share(const struct conf_reader *rd, struct conf_share **list, const char *name,
		      yaml_node_t *map, const yaml_node_pair_t *pair)
{
	yaml_node_t *value = reader_node(rd, pair->value);
	struct conf_share *share;
	char full[CONF_NAME_LEN];
	const char *tier;
	int r = reader_pair_key(rd, map, pair, &tier);

	if (r == 0)
		r = add_share(rd, list, tier, reader_node(rd, pair->key), &share);
	if (r < 0 || node_is_null(value))
		return r;
	if (value->type != YAML_MAPPING_NODE)
		return reader_complain(rd, value, "what holds in a tier is a mapping: {ttl: 30m}");
	snprintf(full, sizeof(full), "%.180s.%.60s", name, tier);
	return read_map(rd, conf_share_options, share, full, value);
}

static int read_shares(const struct conf_reader *rd, struct conf_share **list, const char *name,
		       yaml_node_t *node)
{
	int r = 0;

	if (node->type == YAML_SEQUENCE_NODE) {
		for (yaml_node_item_t *i = node->data.sequence.items.start;
		     r == 0 && i < node->data.sequence.items.top; i++)
			r = add_share(rd, list, node_text(reader_node(rd, *i)), reader_node(rd, *i),
				      NULL);
	} else {
		for (yaml_node_pair_t *p = node->data.mapping.pairs.start;
		     r == 0 && p < node->data.mapping.pairs.top; p++)
			r = read_share(rd, list, name, node, p);
	}
	if (r == 0 && !*list)
		r = reader_complain(rd, node, "an object needs a tier to be in");
	return r;
}

static int set_tiers(const struct conf_reader *rd, struct conf_share **field, const char *name,
		     yaml_node_t *node)
{
	struct conf_share *list = NULL;
	int r = read_shares(rd, &list, name, node);

	if (r < 0) {
		conf_shares_free(list);
		return r;
	}
	conf_shares_free(*field);
	*field = list;
	return 0;
}

static int set_compression(const struct conf_reader *rd, struct conf_compression *field,
			   const char *name, yaml_node_t *node)
{
	struct conf_compression fresh = {0};
	int r;

	if (node->type != YAML_MAPPING_NODE)
		return reader_complain(rd, node, "write none, zstd, or {zstd: LEVEL}");
	r = read_map(rd, conf_compression_options, &fresh, name, node);
	if (r < 0)
		return r;
	if (!fresh.level)
		return reader_complain(rd, node, "it lacks a level: {zstd: 3, min_size: 4KiB}");
	*field = fresh;
	return 0;
}

static int set_parts(const struct conf_reader *rd, struct conf_part **field, yaml_node_t *map)
{
	struct conf_part *list = NULL;
	int r = 0;

	if (map->type != YAML_MAPPING_NODE)
		return reader_complain(rd, map, "shares is a mapping: {ram: 25%, warm: 20GiB}");
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start;
	     r == 0 && p < map->data.mapping.pairs.top; p++) {
		const yaml_node_t *value = reader_node(rd, p->value);
		const char *tier;

		r = reader_pair_key(rd, map, p, &tier);
		if (r == 0 && !node_text(value))
			r = reader_complain(rd, value, "a size or a percentage is expected here");
		if (r == 0 && conf_part_add(&list, tier, node_text(value), rd->err) < 0)
			r = reader_place(rd, value, -EINVAL);
	}
	if (r < 0) {
		conf_parts_free(list);
		return r;
	}
	conf_parts_free(*field);
	*field = list;
	return 0;
}

int reader_set_structure(const struct conf_reader *rd, const struct conf_option *opt, void *base,
			 const char *name, yaml_node_t *node)
{
	void *field = (char *)base + opt->offset;
	int r = opt->kind == CONF_TIERS		? set_tiers(rd, field, name, node)
		: opt->kind == CONF_COMPRESSION ? set_compression(rd, field, name, node)
						: set_parts(rd, field, node);

	if (r == 0)
		conf_value_note(opt, base);
	return r;
}
