/* SPDX-License-Identifier: Apache-2.0 */
/* The effective configuration as YAML that loads again, and the commented file to start from. */
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

static void print_scalar(FILE *out, const char *s)
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
	else if (opt->kind == CONF_MODE) /* other readers of YAML would take 0755 for a number */
		print_quoted(p->out, text);
	else
		print_scalar(p->out, text);
	if (p->origin)
		fprintf(p->out, "  # from %s", conf_origin_get(p->config, name));
	fputc('\n', p->out);
}

/*
 * The heads ("network:", "  retry:") that name needs and the name before it did not. Returns its
 * last part.
 */
static const char *print_heads(FILE *out, const char *before, const char *name, char *indent,
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
		key = print_heads(p->out, before, o->name, indent, sizeof(indent), "");
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
	return ferror(out) ? -EIO : 0;
}

/* --- the file to start from --- */

static const char template_head[] =
	"# The configuration of cogfs. Everything below is commented out and shows the default: "
	"cogfs runs\n"
	"# without this file. `cogfs config check` reads it, `cogfs config show --origin` says "
	"what holds and why.\n"
	"#\n"
	"# Sizes: GiB is 2^30, GB is 10^9. Durations: 250ms, 60s, 5m, 12h, 7d; never. ${VAR} and "
	"${VAR:-DEFAULT}\n"
	"# come from the environment, ~ is the home directory. COGFS_SECTION_NAME in the "
	"environment and\n"
	"# -o section.name=value win over this file. (live): changes at SIGHUP, the rest at the "
	"next mount.\n"
	"\n"
	"version: 1\n"
	"\n"
	"# Files that are read after this one and win over it; relative to this file.\n"
	"#include: [conf.d/*.yaml]\n";

static const char template_tiers[] =
	"\n"
	"# The tiers, fastest first: one disk tier, one store (type dir or s3), and ram if memory "
	"is to hold\n"
	"# bodies. Without this list: ram, disk in cache_dir, and a dir store in cache_dir/store.\n"
	"#tiers:\n"
	"#  - {name: ram, type: ram, max_size: 1GiB}\n"
	"#  - {name: warm, type: disk, max_size: 100GiB, min_free: 5%}\n"
	"#  - name: cold\n"
	"#    type: s3\n"
	"#    bucket: my-bucket\n"
	"#    prefix: cache\n"
	"#    region: us-east-1\n"
	"#    endpoint: https://s3.example.com   # for a server that is not AWS's\n"
	"#    access_key: ${MY_KEY}              # or credentials: auto (the default), env, "
	"file:PROFILE\n"
	"#    secret_key: ${MY_SECRET}\n"
	"#\n"
	"# What a tier may have:\n";

static const char template_classes[] =
	"\n"
	"# Classes give objects whose path matches a policy; the first match holds.\n"
	"#classes:\n"
	"#  - name: done\n"
	"#    match: \"profile_{profile}/videos/{video_id}/metadata.json\"\n"
	"#    after: siblings\n"
	"#\n"
	"# What a class may have:\n";

/* Text as comment lines behind lead, broken before column 100. */
static void print_wrapped(FILE *out, const char *lead, const char *text)
{
	const size_t room = 98 - strlen(lead);

	while (*text) {
		size_t len = strlen(text), cut = len;

		if (len > room)
			for (cut = room; cut > 1 && text[cut] != ' ';)
				cut--;
		fprintf(out, "%s%.*s\n", lead, (int)cut, text);
		text += cut;
		text += strspn(text, " ");
	}
}

/* The option's prose, with its words, its default where the caller does not show it, and (live). */
static void print_prose(FILE *out, const char *lead, const struct conf_option *opt,
			bool with_default)
{
	CLEANUP_FREE char *text = NULL;
	size_t size;
	FILE *mem = open_memstream(&text, &size);

	if (!mem)
		return;
	fputs(opt->text, mem);
	for (size_t i = 0; opt->kind == CONF_WORD && opt->words[i]; i++)
		fprintf(mem, "%s%s", i ? ", " : "; one of ", opt->words[i]);
	if (opt->kind == CONF_TRISTATE)
		fputs("; auto, on or off", mem);
	if (with_default && opt->def && *opt->def)
		fprintf(mem, "; default %s", opt->def);
	if (opt->live)
		fputs(" (live)", mem);
	if (fclose(mem) == 0)
		print_wrapped(out, lead, text);
}

static void template_section_head(FILE *out, const char *before, const char *name)
{
	if (!strchr(name, '.'))
		fputc('\n', out);
	for (const struct conf_section *s = conf_sections; s->name; s++) {
		size_t len = strlen(s->name);

		if (strncmp(name, s->name, len) == 0 && name[len] == '.' &&
		    strncmp(before, name, len + 1) != 0)
			fprintf(out, "\n# %s\n", s->text);
	}
}

static void template_sections(FILE *out)
{
	const char *before = "";
	char indent[16], lead[24];

	for (const struct conf_option *o = conf_options; o->name; o++) {
		const char *key;

		if (o->kind == CONF_LATER)
			continue;
		template_section_head(out, before, o->name);
		key = print_heads(out, before, o->name, indent, sizeof(indent), "#");
		snprintf(lead, sizeof(lead), "#%s# ", indent);
		print_prose(out, lead, o, false);
		fprintf(out, "#%s%s: %s\n", indent, key,
			!o->def		       ? "..."
			: o->kind == CONF_MODE ? "\"0755\""
					       : o->def);
		before = o->name;
	}
}

static void template_table(FILE *out, const struct conf_option *table)
{
	char lead[8] = "#     ";

	for (const struct conf_option *o = table; o->name; o++) {
		if (o->kind == CONF_LATER)
			continue;
		fprintf(out, "#   %s", o->name);
		for (unsigned int t = 0, n = 0; o->types && conf_tier_type_names[t]; t++)
			if (o->types & (1u << t))
				fprintf(out, "%s%s", n++ ? ", " : "  of ", conf_tier_type_names[t]);
		fputc('\n', out);
		print_prose(out, lead, o, true);
	}
}

int config_print_template(FILE *out)
{
	fputs(template_head, out);
	template_sections(out);
	fputs(template_tiers, out);
	template_table(out, conf_tier_options);
	fputs(template_classes, out);
	template_table(out, conf_class_options);
	return ferror(out) ? -EIO : 0;
}
