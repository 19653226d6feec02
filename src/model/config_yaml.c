/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a YAML file and what it includes into a configuration. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/config_yaml.h"
#include "util/cleanup.h"

#define FILE_MAX (1 << 20)
#define INCLUDE_DEPTH_MAX 8

static int load_file(struct config *config, const char *file, unsigned int depth, bool *ret_tiers,
		     struct err *err);

/* --- sections --- */

typedef int structured_fn(const struct conf_reader *rd, yaml_node_t *node);

static structured_fn read_include;

static const struct {
	const char *name;
	structured_fn *read;
} structured[] = {
	{"include", read_include},
	{"tiers", reader_tiers},
	{"classes", reader_classes},
	{"tenants", reader_tenants},
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
	char part[CONF_NAME_LEN];

	for (const struct conf_option *o = conf_options; o->name; o++) {
		if (strncmp(o->name, prefix, len) != 0)
			continue;
		snprintf(part, sizeof(part), "%.*s", (int)strcspn(o->name + len, "."),
			 o->name + len);
		nearest_offer(near, part);
	}
	for (size_t i = 0; !len && i < sizeof(structured) / sizeof(structured[0]); i++)
		nearest_offer(near, structured[i].name);
}

static int read_section(const struct conf_reader *rd, const char *prefix, yaml_node_t *map);

static int read_subsection(const struct conf_reader *rd, const char *name, yaml_node_t *node)
{
	char prefix[CONF_NAME_LEN + 1];

	if (node_is_null(node))
		return 0;
	for (const struct conf_section *s = conf_sections; s->name; s++)
		if (s->scalar && strcmp(s->name, name) == 0 && node_text(node))
			return reader_set_option(rd, conf_option_find(conf_options, s->scalar),
						 rd->config, s->scalar, node);
	if (node->type != YAML_MAPPING_NODE)
		return reader_complain(rd, node, "a section with keys of its own is expected here");
	snprintf(prefix, sizeof(prefix), "%s.", name);
	return read_section(rd, prefix, node);
}

static int read_pair(const struct conf_reader *rd, const char *prefix, const char *key,
		     const yaml_node_pair_t *pair)
{
	yaml_node_t *value = reader_node(rd, pair->value);
	const struct conf_option *opt;
	struct nearest near;
	char name[CONF_NAME_LEN];

	snprintf(name, sizeof(name), "%s%.100s", prefix, key);
	for (size_t i = 0; !*prefix && i < sizeof(structured) / sizeof(structured[0]); i++)
		if (strcmp(structured[i].name, key) == 0)
			return node_is_null(value) ? 0 : structured[i].read(rd, value);
	opt = strchr(key, '.') ? NULL : conf_option_find(conf_options, name);
	if (opt)
		return reader_set_option(rd, opt, rd->config, name, value);
	if (!strchr(key, '.') && is_section(name))
		return read_subsection(rd, name, value);
	nearest_init(&near, key);
	offer_names(&near, prefix);
	snprintf(name, sizeof(name), "%.*s", (int)strlen(prefix) - 1, prefix);
	return reader_unknown(rd, reader_node(rd, pair->key), *prefix ? name : "the configuration",
			      &near);
}

static int read_section(const struct conf_reader *rd, const char *prefix, yaml_node_t *map)
{
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top;
	     p++) {
		const char *key;
		int r = reader_pair_key(rd, map, p, &key);

		if (r == 0)
			r = read_pair(rd, prefix, key, p);
		if (r < 0)
			return r;
	}
	return 0;
}

/* --- include --- */

static int include_glob(const struct conf_reader *rd, const yaml_node_t *node)
{
	CLEANUP_FREE char *expanded = NULL, *pattern = NULL;
	glob_t found = {0};
	int r;

	if (!node_text(node) || node_is_null(node))
		return reader_complain(rd, node, "a file or a pattern of files is expected here");
	r = conf_expand(node_text(node), &expanded, rd->err);
	if (r == 0)
		r = conf_expand_path(expanded, rd->dir, &pattern, rd->err);
	if (r < 0)
		return reader_place(rd, node, r);
	if (rd->depth >= INCLUDE_DEPTH_MAX)
		return reader_complain(rd, node, "files include one another too deeply");
	if (glob(pattern, GLOB_ERR, NULL, &found) == GLOB_NOSPACE)
		return err_set(rd->err, -ENOMEM, "no memory");
	/* A pattern may match nothing; a file that is named must be there. */
	if (!found.gl_pathc && !strpbrk(pattern, "*?["))
		r = reader_complain(rd, node, "there is no such file");
	for (size_t i = 0; r == 0 && i < found.gl_pathc; i++)
		r = load_file(rd->config, found.gl_pathv[i], rd->depth + 1, rd->tiers, rd->err);
	globfree(&found);
	return r;
}

/* Included files are read after the rest of this one and win over it: see read_document. */
static int read_include(const struct conf_reader *rd, yaml_node_t *node)
{
	(void)rd;
	(void)node;
	return 0;
}

static int read_includes(const struct conf_reader *rd, const yaml_node_t *root)
{
	const yaml_node_t *node = reader_map_get(rd, root, "include");

	if (!node || node_is_null(node))
		return 0;
	if (node->type != YAML_SEQUENCE_NODE)
		return include_glob(rd, node);
	for (yaml_node_item_t *i = node->data.sequence.items.start;
	     i < node->data.sequence.items.top; i++) {
		int r = include_glob(rd, reader_node(rd, *i));

		if (r < 0)
			return r;
	}
	return 0;
}

/* --- files --- */

static int read_document(const struct conf_reader *rd)
{
	yaml_node_t *root = yaml_document_get_root_node(rd->doc);
	int r;

	if (!root || node_is_null(root))
		return 0;
	if (root->type != YAML_MAPPING_NODE)
		return reader_complain(rd, root, "a mapping of sections is expected here");
	r = read_section(rd, "", root);
	return r < 0 ? r : read_includes(rd, root);
}

static int parser_error(const struct conf_reader *rd, const yaml_parser_t *parser)
{
	return err_set(rd->err, -EINVAL, "%s:%zu:%zu: %s%s%s", rd->file,
		       parser->problem_mark.line + 1, parser->problem_mark.column + 1,
		       parser->problem ? parser->problem : "not YAML", parser->context ? ", " : "",
		       parser->context ? parser->context : "");
}

static int parse_text(struct conf_reader *rd, const char *text, size_t len)
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
	rd->doc = NULL;
	yaml_document_delete(&doc);
	if (r == 0 && !yaml_parser_load(&parser, &doc)) {
		r = parser_error(rd, &parser);
	} else if (r == 0) {
		if (yaml_document_get_root_node(&doc))
			r = err_set(rd->err, -EINVAL, "%s:%zu:1: one file holds one document",
				    rd->file, doc.start_mark.line + 1);
		yaml_document_delete(&doc);
	}
	yaml_parser_delete(&parser);
	return r;
}

/* The whole file. An administrator chose it: links in its path are his. */
static int slurp(const struct conf_reader *rd, char **ret_text, size_t *ret_len,
		 bool *ret_others_read)
{
	CLEANUP_FREE char *text = malloc(FILE_MAX + 1);
	/* What a pattern of includes finds must not make us wait: a fifo would. */
	CLEANUP_CLOSE int fd = open(rd->file, O_RDONLY | O_CLOEXEC | (rd->depth ? O_NONBLOCK : 0));
	struct stat st;
	size_t len = 0;
	ssize_t n;

	if (!text)
		return err_set(rd->err, -ENOMEM, "no memory");
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(rd->err, -errno, "%s: %s", rd->file, strerror(errno));
	if (rd->depth && !S_ISREG(st.st_mode))
		return err_set(rd->err, -EINVAL, "%s: not a file", rd->file);
	while ((n = read(fd, text + len, FILE_MAX + 1 - len)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(rd->err, -errno, "%s: %s", rd->file, strerror(errno));
		len += (size_t)n;
		if (len > FILE_MAX)
			return err_set(rd->err, -EFBIG, "%s: larger than 1 MiB", rd->file);
	}
	*ret_text = STEAL_PTR(text);
	*ret_len = len;
	*ret_others_read = st.st_mode & S_IROTH;
	return 0;
}

static int load_file(struct config *config, const char *file, unsigned int depth, bool *ret_tiers,
		     struct err *err)
{
	struct conf_reader rd = {
		.config = config, .file = file, .depth = depth, .tiers = ret_tiers, .err = err};
	CLEANUP_FREE char *dir = realpath(file, NULL);
	CLEANUP_FREE char *text = NULL;
	size_t len;
	int r;

	if (!dir)
		return err_set(err, -errno, "%s: %s", file, strerror(errno));
	r = slurp(&rd, &text, &len, &rd.others_read);
	if (r < 0)
		return r;
	dirname(dir);
	rd.dir = dir;
	r = parse_text(&rd, text, len);
	explicit_bzero(text, len);
	return r;
}

int conf_yaml_load(struct config *config, const char *file, bool *ret_tiers, struct err *err)
{
	return load_file(config, file, 0, ret_tiers, err);
}

int conf_yaml_parse(struct config *config, const char *text, size_t len, bool *ret_tiers,
		    struct err *err)
{
	/* As deep as includes go: a text in memory includes nothing. */
	struct conf_reader rd = {.config = config,
				 .file = "text",
				 .dir = "/",
				 .depth = INCLUDE_DEPTH_MAX,
				 .tiers = ret_tiers,
				 .err = err};

	return parse_text(&rd, text, len);
}
