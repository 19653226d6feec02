/* SPDX-License-Identifier: Apache-2.0 */
/* YAML nodes as values of options. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/config_yaml.h"
#include "util/cleanup.h"

int reader_complain(const struct conf_reader *rd, const yaml_node_t *node, const char *text)
{
	return err_set(rd->err, -EINVAL, "%s:%zu:%zu: %s", rd->file, node->start_mark.line + 1,
		       node->start_mark.column + 1, text);
}

/* Puts the place in front of what a function below has said. */
int reader_place(const struct conf_reader *rd, const yaml_node_t *node, int code)
{
	return err_wrap(rd->err, code, "%s:%zu:%zu", rd->file, node->start_mark.line + 1,
			node->start_mark.column + 1);
}

yaml_node_t *reader_node(const struct conf_reader *rd, yaml_node_item_t item)
{
	return yaml_document_get_node(rd->doc, item);
}

/* The text of a scalar without NUL bytes, or NULL. */
const char *node_text(const yaml_node_t *node)
{
	const char *text;

	if (node->type != YAML_SCALAR_NODE)
		return NULL;
	text = (const char *)node->data.scalar.value;
	return strlen(text) == node->data.scalar.length ? text : NULL;
}

bool node_is_null(const yaml_node_t *node)
{
	const char *text = node_text(node);

	return text && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       (!*text || strcmp(text, "~") == 0 || strcmp(text, "null") == 0 ||
		strcmp(text, "Null") == 0 || strcmp(text, "NULL") == 0);
}

/* --- values --- */

static int note_origin(const struct conf_reader *rd, const char *name, const yaml_node_t *node)
{
	char where[512];

	snprintf(where, sizeof(where), "%s:%zu", rd->file, node->start_mark.line + 1);
	return conf_origin_set(rd->config, name, where);
}

/* A scalar with its variables expanded, and made absolute where it is a path. */
static int expand_scalar(const struct conf_reader *rd, const struct conf_option *opt,
			 const char *text, char **ret)
{
	CLEANUP_FREE char *expanded = NULL;
	int r = conf_expand(text, &expanded, rd->err);

	if (r < 0)
		return r;
	if (opt->kind == CONF_PATH && *expanded)
		return conf_expand_path(expanded, rd->dir, ret, rd->err);
	*ret = STEAL_PTR(expanded);
	return 0;
}

static int set_scalar(const struct conf_reader *rd, const struct conf_option *opt, void *base,
		      const char *name, yaml_node_t *node)
{
	bool duration = opt->kind == CONF_MS || opt->kind == CONF_SECONDS;
	char *text = NULL;
	int r;

	if (node_is_null(node) && !duration)
		return reader_complain(rd, node,
				       "there is no value; quote it if this is meant as text");
	r = expand_scalar(rd, opt, node_is_null(node) ? "never" : node_text(node), &text);
	if (r == 0)
		r = conf_value_set(opt, base, text, rd->err);
	if (opt->kind == CONF_SECRET) {
		if (text)
			explicit_bzero(text, strlen(text));
		explicit_bzero(node->data.scalar.value, node->data.scalar.length);
		if (r == 0 && rd->others_read)
			r = conf_warn(
				rd->config,
				"%s: it holds a secret and every user can read it: chmod o-r %s",
				rd->file, rd->file);
	}
	free(text);
	return r < 0 ? reader_place(rd, node, err_wrap(rd->err, r, "%s", name)) : 0;
}

static int set_patterns(const struct conf_reader *rd, const struct conf_option *opt, void *base,
			yaml_node_t *node)
{
	conf_value_release(opt, base);
	for (yaml_node_item_t *i = node->data.sequence.items.start;
	     i < node->data.sequence.items.top; i++) {
		yaml_node_t *item = reader_node(rd, *i);
		int r;

		if (!node_text(item) || node_is_null(item))
			return reader_complain(rd, item, "a pattern is a text");
		r = conf_patterns_add((char ***)((char *)base + opt->offset), node_text(item),
				      rd->err);
		if (r < 0)
			return reader_place(rd, item, r);
	}
	return 0;
}

int reader_set_option(const struct conf_reader *rd, const struct conf_option *opt, void *base,
		      const char *name, yaml_node_t *node)
{
	bool structure = opt->kind == CONF_TIERS || opt->kind == CONF_COMPRESSION ||
			 opt->kind == CONF_PARTS;
	int r;

	if (opt->kind == CONF_PATTERNS && node->type == YAML_SEQUENCE_NODE)
		r = set_patterns(rd, opt, base, node);
	else if (structure && !node_text(node))
		r = reader_set_structure(rd, opt, base, name, node);
	else if (node_text(node))
		r = set_scalar(rd, opt, base, name, node);
	else if (opt->kind == CONF_LATER)
		r = reader_place(rd, node,
				 err_set(rd->err, -EINVAL, "%s: not in this version of cogfs (%s)",
					 name, opt->text));
	else
		r = reader_complain(rd, node, "one value is expected here");
	return r < 0 ? r : note_origin(rd, name, node);
}

/* --- names --- */

int reader_unknown(const struct conf_reader *rd, const yaml_node_t *node, const char *where,
		   const struct nearest *near)
{
	const char *best = nearest_get(near);

	return err_set(rd->err, -EINVAL, "%s:%zu:%zu: unknown key \"%.100s\" in %s%s%s%s", rd->file,
		       node->start_mark.line + 1, node->start_mark.column + 1, near->word, where,
		       best ? "; did you mean \"" : "", best ? best : "", best ? "\"?" : "");
}

/* The key of a pair, checked to be a text that stands there once. */
int reader_pair_key(const struct conf_reader *rd, const yaml_node_t *map,
		    const yaml_node_pair_t *pair, const char **ret_key)
{
	const yaml_node_t *key = reader_node(rd, pair->key);
	const char *text = node_text(key);

	if (!text)
		return reader_complain(rd, key, "a key is a plain word");
	for (const yaml_node_pair_t *p = map->data.mapping.pairs.start; p < pair; p++) {
		const char *other = node_text(reader_node(rd, p->key));

		if (other && strcmp(other, text) == 0)
			return err_set(rd->err, -EINVAL, "%s:%zu:%zu: \"%.100s\" is given twice",
				       rd->file, key->start_mark.line + 1,
				       key->start_mark.column + 1, text);
	}
	*ret_key = text;
	return 0;
}

const yaml_node_t *reader_map_get(const struct conf_reader *rd, const yaml_node_t *map,
				  const char *key)
{
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top;
	     p++) {
		const char *text = node_text(reader_node(rd, p->key));

		if (text && strcmp(text, key) == 0)
			return reader_node(rd, p->value);
	}
	return NULL;
}
