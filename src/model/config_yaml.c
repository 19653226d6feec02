/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a YAML file into a configuration. Every complaint begins with file:line:column. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <yaml.h>

#include "model/config_table.h"
#include "util/cleanup.h"
#include "util/fsutil.h"
#include "util/nearest.h"

#define FILE_MAX (1 << 20)
#define INCLUDE_DEPTH_MAX 8
#define NAME_LEN 256

/* One file being read. */
struct reader {
	struct config *config;
	const char *file;
	char *dir; /* of file, for what is relative in it */
	unsigned int depth;
	bool others_read; /* users besides owner and group may read the file */
	bool *tiers;	  /* becomes true where tiers are listed */
	yaml_document_t *doc;
	struct err *err;
};

static int load_file(struct config *config, const char *file, unsigned int depth, bool *ret_tiers, struct err *err);

/* --- nodes --- */

static int complain(const struct reader *rd, const yaml_node_t *node, const char *text)
{
	return err_set(rd->err, -EINVAL, "%s:%zu:%zu: %s", rd->file, node->start_mark.line + 1,
		       node->start_mark.column + 1, text);
}

/* Puts the place in front of what a function below has said. */
static int place(const struct reader *rd, const yaml_node_t *node, int code)
{
	return err_wrap(rd->err, code, "%s:%zu:%zu", rd->file, node->start_mark.line + 1,
			node->start_mark.column + 1);
}

static yaml_node_t *node_at(const struct reader *rd, yaml_node_item_t item)
{
	return yaml_document_get_node(rd->doc, item);
}

/* The text of a scalar without NUL bytes, or NULL. */
static const char *scalar_text(const yaml_node_t *node)
{
	const char *text;

	if (node->type != YAML_SCALAR_NODE)
		return NULL;
	text = (const char *)node->data.scalar.value;
	return strlen(text) == node->data.scalar.length ? text : NULL;
}

static bool is_null(const yaml_node_t *node)
{
	const char *text = scalar_text(node);

	return text && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       (!*text || strcmp(text, "~") == 0 || strcmp(text, "null") == 0 || strcmp(text, "Null") == 0 ||
		strcmp(text, "NULL") == 0);
}

/* --- values --- */

static int note_origin(const struct reader *rd, const char *name, const yaml_node_t *node)
{
	char where[512];

	snprintf(where, sizeof(where), "%s:%zu", rd->file, node->start_mark.line + 1);
	return conf_origin_set(rd->config, name, where);
}

/* A scalar with its variables expanded, and made absolute where it is a path. */
static int expand_scalar(const struct reader *rd, const struct conf_option *opt, const char *text, char **ret)
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

static int set_scalar(const struct reader *rd, const struct conf_option *opt, void *base, const char *name,
		      yaml_node_t *node)
{
	bool duration = opt->kind == CONF_MS || opt->kind == CONF_SECONDS;
	char *text = NULL;
	int r;

	if (is_null(node) && !duration)
		return complain(rd, node, "there is no value; quote it if this is meant as text");
	r = expand_scalar(rd, opt, is_null(node) ? "never" : scalar_text(node), &text);
	if (r == 0)
		r = conf_value_set(opt, base, text, rd->err);
	if (opt->kind == CONF_SECRET) {
		if (text)
			explicit_bzero(text, strlen(text));
		explicit_bzero(node->data.scalar.value, node->data.scalar.length);
		if (r == 0 && rd->others_read)
			r = conf_warn(rd->config, "%s: it holds a secret and every user can read it: chmod o-r %s",
				      rd->file, rd->file);
	}
	free(text);
	return r < 0 ? place(rd, node, err_wrap(rd->err, r, "%s", name)) : 0;
}

static int set_patterns(const struct reader *rd, const struct conf_option *opt, void *base, yaml_node_t *node)
{
	conf_value_release(opt, base);
	for (yaml_node_item_t *i = node->data.sequence.items.start; i < node->data.sequence.items.top; i++) {
		yaml_node_t *item = node_at(rd, *i);
		int r;

		if (!scalar_text(item) || is_null(item))
			return complain(rd, item, "a pattern is a text");
		r = conf_patterns_add((char ***)((char *)base + opt->offset), scalar_text(item), rd->err);
		if (r < 0)
			return place(rd, item, r);
	}
	return 0;
}

static int set_option(const struct reader *rd, const struct conf_option *opt, void *base, const char *name,
		      yaml_node_t *node)
{
	int r;

	if (opt->kind == CONF_PATTERNS && node->type == YAML_SEQUENCE_NODE)
		r = set_patterns(rd, opt, base, node);
	else if (scalar_text(node))
		r = set_scalar(rd, opt, base, name, node);
	else if (opt->kind == CONF_LATER)
		r = place(rd, node, err_set(rd->err, -EINVAL, "%s: not in this version of cogfs (%s)", name, opt->text));
	else
		r = complain(rd, node, "one value is expected here");
	return r < 0 ? r : note_origin(rd, name, node);
}

/* --- names --- */

static int unknown(const struct reader *rd, const yaml_node_t *node, const char *where, const struct nearest *near)
{
	const char *best = nearest_get(near);

	return err_set(rd->err, -EINVAL, "%s:%zu:%zu: unknown key \"%.100s\" in %s%s%s%s", rd->file,
		       node->start_mark.line + 1, node->start_mark.column + 1, near->word, where,
		       best ? "; did you mean \"" : "", best ? best : "", best ? "\"?" : "");
}

/* The key of a pair, checked to be a text that stands there once. */
static int pair_key(const struct reader *rd, const yaml_node_t *map, const yaml_node_pair_t *pair,
		    const char **ret_key)
{
	const yaml_node_t *key = node_at(rd, pair->key);
	const char *text = scalar_text(key);

	if (!text)
		return complain(rd, key, "a key is a plain word");
	for (const yaml_node_pair_t *p = map->data.mapping.pairs.start; p < pair; p++) {
		const char *other = scalar_text(node_at(rd, p->key));

		if (other && strcmp(other, text) == 0)
			return err_set(rd->err, -EINVAL, "%s:%zu:%zu: \"%.100s\" is given twice", rd->file,
				       key->start_mark.line + 1, key->start_mark.column + 1, text);
	}
	*ret_key = text;
	return 0;
}

/* --- sections --- */

typedef int structured_fn(const struct reader *rd, yaml_node_t *node);

static structured_fn read_include, read_tiers, read_classes;

static const struct {
	const char *name;
	structured_fn *read;
} structured[] = {
	{"include", read_include},
	{"tiers", read_tiers},
	{"classes", read_classes},
};

static bool is_section(const char *name)
{
	size_t len = strlen(name);

	for (const struct conf_option *o = conf_options; o->name; o++)
		if (strncmp(o->name, name, len) == 0 && o->name[len] == '.')
			return true;
	return false;
}

/* Offers what may stand at this level: the parts behind prefix ("" or "network."). */
static void offer_names(struct nearest *near, const char *prefix)
{
	size_t len = strlen(prefix);
	char part[NAME_LEN];

	for (const struct conf_option *o = conf_options; o->name; o++) {
		if (strncmp(o->name, prefix, len) != 0)
			continue;
		snprintf(part, sizeof(part), "%.*s", (int)strcspn(o->name + len, "."), o->name + len);
		nearest_offer(near, part);
	}
	for (size_t i = 0; !len && i < sizeof(structured) / sizeof(structured[0]); i++)
		nearest_offer(near, structured[i].name);
}

static int read_section(const struct reader *rd, const char *prefix, yaml_node_t *map);

static int read_subsection(const struct reader *rd, const char *name, yaml_node_t *node)
{
	char prefix[NAME_LEN];

	if (is_null(node))
		return 0;
	for (const struct conf_section *s = conf_sections; s->name; s++)
		if (s->scalar && strcmp(s->name, name) == 0 && scalar_text(node))
			return set_option(rd, conf_option_find(conf_options, s->scalar), rd->config, s->scalar,
					  node);
	if (node->type != YAML_MAPPING_NODE)
		return complain(rd, node, "a section with keys of its own is expected here");
	snprintf(prefix, sizeof(prefix), "%s.", name);
	return read_section(rd, prefix, node);
}

static int read_pair(const struct reader *rd, const char *prefix, const char *key, const yaml_node_pair_t *pair)
{
	yaml_node_t *value = node_at(rd, pair->value);
	const struct conf_option *opt;
	struct nearest near;
	char name[NAME_LEN];

	snprintf(name, sizeof(name), "%s%.100s", prefix, key);
	for (size_t i = 0; !*prefix && i < sizeof(structured) / sizeof(structured[0]); i++)
		if (strcmp(structured[i].name, key) == 0)
			return is_null(value) ? 0 : structured[i].read(rd, value);
	opt = strchr(key, '.') ? NULL : conf_option_find(conf_options, name);
	if (opt)
		return set_option(rd, opt, rd->config, name, value);
	if (!strchr(key, '.') && is_section(name))
		return read_subsection(rd, name, value);
	nearest_init(&near, key);
	offer_names(&near, prefix);
	snprintf(name, sizeof(name), "%.*s", (int)strlen(prefix) - 1, prefix);
	return unknown(rd, node_at(rd, pair->key), *prefix ? name : "the configuration", &near);
}

static int read_section(const struct reader *rd, const char *prefix, yaml_node_t *map)
{
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
		const char *key;
		int r = pair_key(rd, map, p, &key);

		if (r == 0)
			r = read_pair(rd, prefix, key, p);
		if (r < 0)
			return r;
	}
	return 0;
}

/* --- tiers and classes: lists of mappings that are merged by name --- */

static const yaml_node_t *map_get(const struct reader *rd, const yaml_node_t *map, const char *key)
{
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
		const char *text = scalar_text(node_at(rd, p->key));

		if (text && strcmp(text, key) == 0)
			return node_at(rd, p->value);
	}
	return NULL;
}

/* Sets every key of map from table. kind is "tiers" or "classes", type the tier's or -1. */
static int read_item(const struct reader *rd, const char *kind, const struct conf_option *table, int type,
		     void *base, const char *base_name, yaml_node_t *map)
{
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
		const struct conf_option *opt;
		struct nearest near;
		char name[NAME_LEN];
		const char *key;
		int r = pair_key(rd, map, p, &key);

		if (r < 0)
			return r;
		opt = conf_option_find(table, key);
		if (opt && type >= 0 && !(opt->types & (1u << type)))
			return err_set(rd->err, -EINVAL, "%s:%zu:%zu: a tier of type %s has no %s", rd->file,
				       node_at(rd, p->key)->start_mark.line + 1,
				       node_at(rd, p->key)->start_mark.column + 1, conf_tier_type_names[type], key);
		if (!opt) {
			nearest_init(&near, key);
			for (const struct conf_option *o = table; o->name; o++)
				if (type < 0 || o->types & (1u << type))
					nearest_offer(&near, o->name);
			snprintf(name, sizeof(name), "%s %.100s", type < 0 ? "class" : "tier", base_name);
			return unknown(rd, node_at(rd, p->key), name, &near);
		}
		snprintf(name, sizeof(name), "%s.%.100s.%s", kind, base_name, key);
		r = set_option(rd, opt, base, name, node_at(rd, p->value));
		if (r < 0)
			return r;
	}
	return 0;
}

static int item_name(const struct reader *rd, const yaml_node_t *map, const char *fallback, char ret[64])
{
	const yaml_node_t *node = map_get(rd, map, "name");
	const char *text = node ? scalar_text(node) : fallback;

	if (!text || !*text)
		return complain(rd, node ? node : map, "it needs a name");
	if (strlen(text) >= 64 || strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") !=
					  strlen(text))
		return complain(rd, node ? node : map, "a name is made of letters, digits, - and _, up to 63 of them");
	memcpy(ret, text, strlen(text) + 1);
	return 0;
}

static int read_tier(const struct reader *rd, yaml_node_t *map)
{
	const struct conf_option *type_opt = conf_option_find(conf_tier_options, "type");
	const yaml_node_t *type;
	struct conf_tier probe = {0}, *tier;
	char name[64];
	int r;

	if (map->type != YAML_MAPPING_NODE)
		return complain(rd, map, "a tier is a mapping: {name: ..., type: ...}");
	type = map_get(rd, map, "type");
	if (type && !scalar_text(type))
		return complain(rd, type, "a type is a word");
	if (type && conf_value_set(type_opt, &probe, scalar_text(type), rd->err) < 0)
		return place(rd, type, -EINVAL);
	r = item_name(rd, map, type ? scalar_text(type) : NULL, name);
	if (r < 0)
		return r;
	tier = conf_tier_named(rd->config, name);
	if (tier && type && tier->type != probe.type)
		return complain(rd, type, "a tier of this name has another type already");
	if (!tier && !type)
		return complain(rd, map, "a tier needs a type: ram, disk, dir or s3");
	if (!tier && conf_tier_add(rd->config, probe.type, name, &tier) < 0)
		return err_set(rd->err, -ENOMEM, "no memory");
	return read_item(rd, "tiers", conf_tier_options, (int)tier->type, tier, name, map);
}

static int read_tiers(const struct reader *rd, yaml_node_t *list)
{
	if (list->type != YAML_SEQUENCE_NODE)
		return complain(rd, list, "tiers is a list: - {name: ..., type: ...}");
	*rd->tiers = true;
	for (yaml_node_item_t *i = list->data.sequence.items.start; i < list->data.sequence.items.top; i++) {
		int r = read_tier(rd, node_at(rd, *i));

		if (r < 0)
			return r;
	}
	return 0;
}

static int read_class(const struct reader *rd, yaml_node_t *map)
{
	struct conf_class *class;
	char name[64];
	int r;

	if (map->type != YAML_MAPPING_NODE)
		return complain(rd, map, "a class is a mapping: {name: ..., match: ...}");
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
		return complain(rd, map, "a class needs a match: a pattern or a list of them");
	return r;
}

static int read_classes(const struct reader *rd, yaml_node_t *list)
{
	if (list->type != YAML_SEQUENCE_NODE)
		return complain(rd, list, "classes is a list: - {name: ..., match: ...}");
	for (yaml_node_item_t *i = list->data.sequence.items.start; i < list->data.sequence.items.top; i++) {
		int r = read_class(rd, node_at(rd, *i));

		if (r < 0)
			return r;
	}
	return 0;
}

/* --- include --- */

static int include_glob(const struct reader *rd, const yaml_node_t *node)
{
	CLEANUP_FREE char *expanded = NULL, *pattern = NULL;
	glob_t found = {0};
	int r;

	if (!scalar_text(node) || is_null(node))
		return complain(rd, node, "a file or a pattern of files is expected here");
	r = conf_expand(scalar_text(node), &expanded, rd->err);
	if (r == 0)
		r = conf_expand_path(expanded, rd->dir, &pattern, rd->err);
	if (r < 0)
		return place(rd, node, r);
	if (rd->depth >= INCLUDE_DEPTH_MAX)
		return complain(rd, node, "files include one another too deeply");
	if (glob(pattern, GLOB_ERR, NULL, &found) == GLOB_NOSPACE)
		return err_set(rd->err, -ENOMEM, "no memory");
	/* A pattern may match nothing; a file that is named must be there. */
	if (!found.gl_pathc && !strpbrk(pattern, "*?["))
		r = complain(rd, node, "there is no such file");
	for (size_t i = 0; r == 0 && i < found.gl_pathc; i++)
		r = load_file(rd->config, found.gl_pathv[i], rd->depth + 1, rd->tiers, rd->err);
	globfree(&found);
	return r;
}

/* Included files are read after the rest of this one and win over it: see read_document. */
static int read_include(const struct reader *rd, yaml_node_t *node)
{
	(void)rd;
	(void)node;
	return 0;
}

static int read_includes(const struct reader *rd, const yaml_node_t *root)
{
	const yaml_node_t *node = map_get(rd, root, "include");

	if (!node || is_null(node))
		return 0;
	if (node->type != YAML_SEQUENCE_NODE)
		return include_glob(rd, node);
	for (yaml_node_item_t *i = node->data.sequence.items.start; i < node->data.sequence.items.top; i++) {
		int r = include_glob(rd, node_at(rd, *i));

		if (r < 0)
			return r;
	}
	return 0;
}

/* --- files --- */

static int read_document(const struct reader *rd)
{
	yaml_node_t *root = yaml_document_get_root_node(rd->doc);
	int r;

	if (!root || is_null(root))
		return 0;
	if (root->type != YAML_MAPPING_NODE)
		return complain(rd, root, "a mapping of sections is expected here");
	r = read_section(rd, "", root);
	return r < 0 ? r : read_includes(rd, root);
}

static int parser_error(const struct reader *rd, const yaml_parser_t *parser)
{
	return err_set(rd->err, -EINVAL, "%s:%zu:%zu: %s%s%s", rd->file, parser->problem_mark.line + 1,
		       parser->problem_mark.column + 1, parser->problem ? parser->problem : "not YAML",
		       parser->context ? ", " : "", parser->context ? parser->context : "");
}

static int parse_text(struct reader *rd, const char *text, size_t len)
{
	yaml_parser_t parser;
	yaml_document_t doc;
	int r;

	if (!yaml_parser_initialize(&parser))
		return err_set(rd->err, -ENOMEM, "no memory");
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	if (!yaml_parser_load(&parser, &doc)) {
		r = parser_error(rd, &parser);
		yaml_parser_delete(&parser);
		return r;
	}
	rd->doc = &doc;
	r = read_document(rd);
	yaml_document_delete(&doc);
	if (r == 0 && !yaml_parser_load(&parser, &doc)) {
		r = parser_error(rd, &parser);
	} else if (r == 0) {
		if (yaml_document_get_root_node(&doc))
			r = err_set(rd->err, -EINVAL, "%s:%zu:1: one file holds one document", rd->file,
				    doc.start_mark.line + 1);
		yaml_document_delete(&doc);
	}
	yaml_parser_delete(&parser);
	return r;
}

/* The whole file. An absolute path that an administrator chose: links in it are his. */
static int slurp(const char *file, char **ret_text, size_t *ret_len, bool *ret_others_read, struct err *err)
{
	CLEANUP_FREE char *text = malloc(FILE_MAX + 1);
	CLEANUP_CLOSE int fd = open(file, O_RDONLY | O_CLOEXEC);
	struct stat st;
	size_t len = 0;
	ssize_t n;

	if (!text)
		return err_set(err, -ENOMEM, "no memory");
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, -errno, "%s: %s", file, strerror(errno));
	while ((n = read(fd, text + len, FILE_MAX + 1 - len)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, -errno, "%s: %s", file, strerror(errno));
		len += (size_t)n;
		if (len > FILE_MAX)
			return err_set(err, -EFBIG, "%s: larger than 1 MiB", file);
	}
	*ret_text = STEAL_PTR(text);
	*ret_len = len;
	*ret_others_read = st.st_mode & S_IROTH;
	return 0;
}

static int load_file(struct config *config, const char *file, unsigned int depth, bool *ret_tiers, struct err *err)
{
	struct reader rd = {.config = config, .file = file, .depth = depth, .tiers = ret_tiers, .err = err};
	CLEANUP_FREE char *absolute = realpath(file, NULL);
	CLEANUP_FREE char *text = NULL;
	size_t len;
	int r;

	if (!absolute)
		return err_set(err, -errno, "%s: %s", file, strerror(errno));
	r = slurp(file, &text, &len, &rd.others_read, err);
	if (r < 0)
		return r;
	*strrchr(absolute, '/') = '\0';
	rd.dir = *absolute ? absolute : (char *)"/";
	r = parse_text(&rd, text, len);
	explicit_bzero(text, len);
	return r;
}

int conf_yaml_load(struct config *config, const char *file, bool *ret_tiers, struct err *err)
{
	return load_file(config, file, 0, ret_tiers, err);
}
