/* SPDX-License-Identifier: Apache-2.0 */
/* The file to start from: every option as a comment, and classes for the canonical layout. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/config_table.h"
#include "util/cleanup.h"

static const char template_head[] =
	"# The configuration of cogfs. Everything that is commented out shows the default: "
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
	"#    key: tenants/{tenant}/{rest}      # where tenants' objects are; default {key}, the "
	"path\n"
	"#\n"
	"# What a tier may have:\n";

static const char template_classes[] =
	"\n"
	"# Classes give objects whose path matches a policy; the first match holds, and what a "
	"class "
	"leaves\n"
	"# out is as in defaults. {name} is a piece of one part of the path and becomes an xattr, "
	"{name:[0-9]+}\n"
	"# is one of these characters only, {name:a|b} one of these words; * is any piece, ** any "
	"number of\n"
	"# parts, \\ stands before a {, }, * or \\ that is meant itself.\n"
	"#\n"
	"# The canonical layout is PROFILE/ARTIFACT/VIDEO/...; etc/examples has those of other "
	"pipelines. Where\n"
	"# their lifetimes differ (embeddings: 24 hours, 7 days or for ever) this file takes: "
	"embeddings never\n"
	"# expire, artifacts of a video live 7 days, search results one hour, the rest never "
	"expires.\n"
	"classes:\n"
	"  - name: embeddings\n"
	"    match:\n"
	"      - "
	"\"{profile}/{artifact:embeddings}/{model}/{hash:[0-9a-f]+}.{ending:pkl|json|msgpack|npz}\""
	"\n"
	"      - \"{profile}/{artifact:embeddings}/{model}/**\"\n"
	"    ttl: never\n"
	"  - name: keyframes\n"
	"    match:\n"
	"      - \"{profile}/{artifact:keyframes}/{video_id}/frame_{timestamp}.jpg\"\n"
	"      - \"{profile}/{artifact:keyframes}/{video_id}/**\"\n"
	"    ttl: 7d\n"
	"  - name: segments\n"
	"    match:\n"
	"      - \"{profile}/{artifact:segments}/{video_id}/"
	"segment_{segment_id}_start_{start_time}_end_{end_time}/frame_{n}.jpg\"\n"
	"      - \"{profile}/{artifact:segments}/{video_id}/**\"\n"
	"    ttl: 7d\n"
	"  - name: texts\n"
	"    match:\n"
	"      - \"{profile}/{artifact:transcripts|descriptions|audio}/"
	"{video_id}.{ending:json|pkl|msgpack|txt|wav}\"\n"
	"      - \"{profile}/{artifact:transcripts|descriptions|audio}/{video_id}/**\"\n"
	"    ttl: 7d\n"
	"  - name: search\n"
	"    match: \"{profile}/{artifact:search_results}/{query_hash}/{strategy}.json\"\n"
	"    ttl: 1h\n"
	"\n"
	"# What a class may have:\n";

static const char template_shares[] = "#\n"
				      "# What a class may have in one tier:\n";

static const char template_tenants[] =
	"\n"
	"# Tenants, by what {tenant} in a class's pattern stands for. \"*\" holds for all others, "
	"and for "
	"what\n"
	"# an entry leaves out; without it only root makes the directory of a tenant that is not "
	"listed.\n"
	"#tenants:\n"
	"#  \"*\": {mode: \"0750\", quota: 10GiB}\n"
	"#  acme: {uid: 1001, gid: 1001, quota: 50GiB, max_objects: 1000000, shares: {ram: 25%}}\n"
	"#\n"
	"# What a tenant may have:\n";

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
		key = conf_print_heads(out, before, o->name, indent, sizeof(indent), "#");
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
	fputs(template_shares, out);
	template_table(out, conf_share_options);
	fputs(template_tenants, out);
	template_table(out, conf_tenant_options);
	return ferror(out) ? -EIO : 0;
}
