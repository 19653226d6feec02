/* SPDX-License-Identifier: Apache-2.0 */
/* The effective configuration as YAML that loads again. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/config_table.h"
#include "util/cleanup.h"

#define NAME_LEN 256

/* What is being written, and for which configuration. */
struct printer {
	const struct config *config;
	FILE *out;
	bool origin;
};

static bool is_plain(const char *s)
{
	if (!isalnum((unsigned char)s[0]) && s[0] != '/')
		return false;
	if (strcasecmp(s, "null") == 0)
		return false;
	return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./%+-") ==
	       strlen(s);
}

static void print_quoted(FILE *out, const char *s)
{
	fputc('"', out);
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		/* A literal "${" would be expanded when the text is read again. */
		if (c == '$' && s[1] == '{')
			fputs("$$", out);
		else if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			fprintf(out, "\\x%02x", c);
		else
			fputc(c, out);
	}
	fputc('"', out);
}

void conf_print_scalar(FILE *out, const char *s)
{
	if (is_plain(s))
		fputs(s, out);
	else
		print_quoted(out, s);
}

static void print_patterns(FILE *out, char *const *list)
{
	fputc('[', out);
	for (size_t i = 0; list && list[i]; i++) {
		fputs(i ? ", " : "", out);
		print_quoted(out, list[i]);
	}
	fputc(']', out);
}

/* "indent key: value  # from where". Nothing where the option is not set. name is the origin's. */
static void print_option(const struct printer *p, const struct conf_option *opt, const void *base,
			 const char *indent, const char *key, const char *name)
{
	CLEANUP_FREE char *text = conf_value_format(opt, base);

	if (opt->kind == CONF_LATER || (!text && opt->kind != CONF_PATTERNS))
		return;
	fprintf(p->out, "%s%s: ", indent, key);
	if (opt->kind == CONF_PATTERNS)
		print_patterns(p->out, *(char **const *)((const char *)base + opt->offset));
	else if (opt->kind == CONF_TIERS || opt->kind == CONF_COMPRESSION ||
		 opt->kind == CONF_PARTS)
		fputs(text, p->out);	 /* YAML already */
	else if (opt->kind == CONF_MODE) /* other readers of YAML would take 0755 for a number */
		print_quoted(p->out, text);
	else
		conf_print_scalar(p->out, text);
	if (p->origin)
		fprintf(p->out, "  # from %s", conf_origin_get(p->config, name));
	fputc('\n', p->out);
}

/*
 * The heads ("network:", "  retry:") that name needs and the name before it did not. Returns its
 * last part.
 */
const char *conf_print_heads(FILE *out, const char *before, const char *name, char *indent,
			     size_t size, const char *comment)
{
	const char *part = name, *dot;
	size_t depth = 0;

	indent[0] = '\0';
	for (; (dot = strchr(part, '.')); part = dot + 1) {
		size_t upto = (size_t)(dot - name) + 1;

		if (strncmp(before, name, upto) != 0)
			fprintf(out, "%s%s%.*s:\n", comment, indent, (int)(dot - part), part);
		depth++;
		snprintf(indent, size, "%*s", (int)depth * 2, "");
	}
	return part;
}

static void print_sections(const struct printer *p)
{
	const char *before = "";
	char indent[16];

	for (const struct conf_option *o = conf_options; o->name; o++) {
		const char *key;

		if (o->kind == CONF_LATER)
			continue;
		key = conf_print_heads(p->out, before, o->name, indent, sizeof(indent), "");
		print_option(p, o, p->config, indent, key, o->name);
		before = o->name;
	}
}

static void print_item(const struct printer *p, const char *kind, const struct conf_option *table,
		       int type, const void *base, const char *item)
{
	const char *indent = "  - ";
	char name[NAME_LEN];

	for (const struct conf_option *o = table; o->name; o++) {
		if (type >= 0 && !(o->types & (1u << type)))
			continue;
		snprintf(name, sizeof(name), "%s.%s.%s", kind, item, o->name);
		print_option(p, o, base, indent, o->name, name);
		indent = "    ";
	}
}

static void print_tenant(const struct printer *p, const struct conf_tenant *tenant)
{
	char name[NAME_LEN];

	fputs("  ", p->out);
	print_quoted(p->out, tenant->name);
	fputs(tenant->given ? ":\n" : ": {}\n", p->out);
	for (const struct conf_option *o = conf_tenant_options; o->name; o++) {
		snprintf(name, sizeof(name), "tenants.%.100s.%s", tenant->name, o->name);
		print_option(p, o, tenant, "    ", o->name, name);
	}
}

int config_print(const struct config *config, FILE *out, bool origin)
{
	const struct printer p = {config, out, origin};

	fputs("version: 1\n", out);
	print_sections(&p);
	fputs("tiers:\n", out);
	for (const struct conf_tier *t = config->tiers; t; t = t->next)
		print_item(&p, "tiers", conf_tier_options, (int)t->type, t, t->name);
	if (config->classes)
		fputs("classes:\n", out);
	for (const struct conf_class *c = config->classes; c; c = c->next)
		print_item(&p, "classes", conf_class_options, -1, c, c->name);
	if (config->tenants)
		fputs("tenants:\n", out);
	for (const struct conf_tenant *t = config->tenants; t; t = t->next)
		print_tenant(&p, t);
	return ferror(out) ? -EIO : 0;
}
