/* SPDX-License-Identifier: Apache-2.0 */
/* Reading YAML nodes into a configuration: what the parts of the reader share. Every complaint
 * begins with file:line:column. */
#ifndef MODEL_CONFIG_YAML_H
#define MODEL_CONFIG_YAML_H

#include <stdbool.h>
#include <yaml.h>

#include "model/config_table.h"
#include "util/nearest.h"

#define CONF_NAME_LEN 256 /* "tiers.NAME.option", and more than any name that is right */

/* One file being read. */
struct conf_reader {
	struct config *config;
	const char *file;
	const char *dir; /* of file, for what is relative in it */
	unsigned int depth;
	bool others_read; /* users besides owner and group may read the file */
	bool *tiers;	  /* becomes true where tiers are listed */
	yaml_document_t *doc;
	struct err *err;
};

int reader_complain(const struct conf_reader *rd, const yaml_node_t *node, const char *text);
/* Puts the place in front of what a function below has said; returns code. */
int reader_place(const struct conf_reader *rd, const yaml_node_t *node, int code);

yaml_node_t *reader_node(const struct conf_reader *rd, yaml_node_item_t item);
/* The text of a scalar without NUL bytes, or NULL. */
const char *node_text(const yaml_node_t *node);
bool node_is_null(const yaml_node_t *node);
/* The value of a key that may be missing: NULL. */
const yaml_node_t *reader_map_get(const struct conf_reader *rd, const yaml_node_t *map,
				  const char *key);
/* The key of a pair, checked to be a text that stands there once. */
int reader_pair_key(const struct conf_reader *rd, const yaml_node_t *map,
		    const yaml_node_pair_t *pair, const char **ret_key);

/* Sets the row's field in base from node, and notes name's origin. */
int reader_set_option(const struct conf_reader *rd, const struct conf_option *opt, void *base,
		      const char *name, yaml_node_t *node);
/* "unknown key", with the nearest of the names that were offered. */
int reader_unknown(const struct conf_reader *rd, const yaml_node_t *node, const char *where,
		   const struct nearest *near);

/* The lists: mappings that are merged by name (config_lists.c). */
int reader_tiers(const struct conf_reader *rd, yaml_node_t *list);
int reader_classes(const struct conf_reader *rd, yaml_node_t *list);
int reader_tenants(const struct conf_reader *rd, yaml_node_t *map);

/* Values of options that are lists or mappings (config_values.c). */
int reader_set_structure(const struct conf_reader *rd, const struct conf_option *opt, void *base,
			 const char *name, yaml_node_t *node);

#endif
