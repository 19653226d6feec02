/* SPDX-License-Identifier: Apache-2.0 */
/* cogfs(1) as roff, and the completion for bash, from the same tables as --help. */
#include <string.h>

#include "cli/cli.h"
#include "cli/help.h"
#include "cli/options.h"
#include "cogfs_version.h"

/* Text that roff takes as it is: no line begins with a dot or a quote, and a '-' stays one. */
static void roff_text(FILE *out, const char *s)
{
	if (*s == '.' || *s == '\'')
		fputs("\\&", out);
	for (; *s; s++) {
		if (*s == '\\')
			fputs("\\e", out);
		else if (*s == '-')
			fputs("\\-", out);
		else
			fputc(*s, out);
	}
	fputc('\n', out);
}

/* A tagged paragraph. */
static void roff_row(FILE *out, const char *tag, const char *text)
{
	fputs(".TP\n.B ", out);
	roff_text(out, tag);
	roff_text(out, text);
}

static void roff_heading(FILE *out, const char *heading)
{
	fprintf(out, ".SH %s\n", heading);
}

static void print_verbs(FILE *out)
{
	char name[96];

	roff_heading(out, "VERBS");
	for (const struct cli_verb *v = cli_verbs; v->name; v++) {
		fprintf(out, ".SS \"cogfs %s %s\"\n", v->name, v->args);
		snprintf(name, sizeof(name), "%c%s.", v->text[0] - 'a' + 'A', v->text + 1);
		roff_text(out, name);
		if (v->more)
			roff_text(out, v->more);
		for (const struct cli_option *o = v->options; o->id; o++) {
			help_option_name(o, name, sizeof(name));
			roff_row(out, name, o->text);
		}
	}
}

static void print_mount_options(FILE *out)
{
	char name[96];

	roff_heading(out, "MOUNT OPTIONS");
	roff_text(out, "Behind -o, separated by commas. A dash and an underscore are the same; a "
		       "backslash stands "
		       "before a comma that belongs to a value. Options of mount(8) that mean "
		       "nothing here are "
		       "ignored.");
	for (const struct mount_option_row *r = mount_option_rows; r->name; r++) {
		if (!r->text)
			continue;
		snprintf(name, sizeof(name), "%s%s", r->name, r->value ? "" : "=...");
		roff_row(out, name, r->text);
	}
}

static void print_configuration(FILE *out)
{
	char name[96];

	roff_heading(out, "CONFIGURATION");
	roff_text(out, "A YAML file, see `cogfs config init`. Each option can be given behind -o "
		       "by its name, and "
		       "in the environment: COGFS_NETWORK_RETRY_TRIES is network.retry.tries. The "
		       "command line wins "
		       "over the environment, the environment over the file.");
	for (const struct conf_option *o = conf_options; o->name; o++) {
		if (o->kind == CONF_LATER)
			continue;
		snprintf(name, sizeof(name), "%s (%s)", o->name,
			 o->def && *o->def ? o->def : "no default");
		roff_row(out, name, o->text);
	}
	fputs(".SS Tiers\n", out);
	for (const struct conf_option *o = conf_tier_options; o->name; o++)
		if (o->kind != CONF_LATER)
			roff_row(out, o->name, o->text);
	fputs(".SS Classes\n", out);
	for (const struct conf_option *o = conf_class_options; o->name; o++)
		if (o->kind != CONF_LATER)
			roff_row(out, o->name, o->text);
	fputs(".SS Classes in one tier\n", out);
	for (const struct conf_option *o = conf_share_options; o->name; o++)
		roff_row(out, o->name, o->text);
	fputs(".SS Tenants\n", out);
	for (const struct conf_option *o = conf_tenant_options; o->name; o++)
		roff_row(out, o->name, o->text);
}

static void print_files(FILE *out)
{
	roff_heading(out, "FILES");
	roff_row(out, "/etc/cogfs/cogfs.yaml, ~/.config/cogfs/cogfs.yaml",
		 "the configuration; the second for a user who is not root, and before the first");
	roff_row(out, "/var/lib/cogfs", "cache directory: journal, staging, disk tier");
	roff_row(out, "DIR/.cogfs/",
		 "control directory of a mount: stats.json, metrics, errors, control");
	roff_heading(out, "EXAMPLES");
	roff_row(out, "cogfs mount s3://bucket/prefix /var/cache/cogniverse",
		 "mounts a bucket, with credentials from the environment");
	roff_row(out, "s3://bucket/prefix /var/cache/cogniverse cogfs _netdev,nofail 0 0",
		 "the same as a line of fstab(5)");
}

void manual_print(FILE *out)
{
	char name[16];

	fputs(".\\\" SPDX-License-Identifier: Apache-2.0\n"
	      ".\\\" Made by `cogfs help --man`.\n",
	      out);
	fprintf(out, ".TH COGFS 1 \"\" \"cogfs %s\"\n", COGFS_VERSION);
	roff_heading(out, "NAME");
	roff_text(out, "cogfs - the Cogniverse cache as a mounted tree");
	roff_heading(out, "SYNOPSIS");
	fputs(".B cogfs\n.I VERB\n[\n.I OPTION\n]... [\n.I ARGUMENT\n]...\n", out);
	roff_heading(out, "DESCRIPTION");
	roff_text(out, "Presents a cache of artifacts as a directory tree. Behind it an object "
		       "lives in RAM, on the "
		       "local disk, and in an object store or a plain directory; tools read and "
		       "write it as files.");
	print_verbs(out);
	print_mount_options(out);
	print_configuration(out);
	roff_heading(out, "EXIT STATUS");
	for (const struct help_status *s = help_statuses; s->text; s++) {
		snprintf(name, sizeof(name), "%d", s->status);
		roff_row(out, name, s->text);
	}
	print_files(out);
}

/* --- completion --- */

static void print_words_of_verb(const struct cli_verb *verb, FILE *out)
{
	fprintf(out, "\t%s) words='", verb->name);
	for (const struct cli_option *o = verb->options; o->id; o++)
		if (o->name)
			fprintf(out, "--%s ", o->name);
	if (strcmp(verb->name, "config") == 0)
		fputs("check show init ", out);
	for (const struct cli_verb *v = cli_verbs; strcmp(verb->name, "help") == 0 && v->name; v++)
		fprintf(out, "%s ", v->name);
	fputs("--help' ;;\n", out);
}

static void print_mount_words(FILE *out)
{
	char name[96];

	for (const struct mount_option_row *r = mount_option_rows; r->name; r++)
		if (r->text)
			fprintf(out, "%s%s ", r->name, r->value ? "" : "=");
	for (const struct conf_option *o = conf_options; o->name; o++) {
		if (o->kind == CONF_LATER)
			continue;
		help_config_name(o, name, sizeof(name));
		fprintf(out, "%.*s= ", (int)strcspn(name, "="), name);
	}
}

void completion_print(FILE *out)
{
	fputs("# SPDX-License-Identifier: Apache-2.0\n"
	      "# bash completion for cogfs, made by `cogfs help --bash-completion`.\n"
	      "_cogfs()\n{\n"
	      "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words\n"
	      "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n\t\tCOMPREPLY=($(compgen -W '",
	      out);
	for (const struct cli_verb *v = cli_verbs; v->name; v++)
		fprintf(out, "%s ", v->name);
	fputs("--version --help' -- \"$cur\"))\n\t\treturn\n\tfi\n"
	      "\tif [ \"$prev\" = -o ] || [ \"$prev\" = --options ]; then\n"
	      "\t\tlocal before=\n"
	      "\t\tcase $cur in *,*) before=${cur%,*}, ;; esac\n"
	      "\t\tcompopt -o nospace\n"
	      "\t\tCOMPREPLY=($(compgen -P \"$before\" -W '",
	      out);
	print_mount_words(out);
	fputs("' -- \"${cur##*,}\"))\n\t\treturn\n\tfi\n\tcase ${COMP_WORDS[1]} in\n", out);
	for (const struct cli_verb *v = cli_verbs; v->name; v++)
		print_words_of_verb(v, out);
	fputs("\tesac\n\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\") $(compgen -f -- "
	      "\"$cur\"))\n}\n"
	      "complete -o filenames -F _cogfs cogfs\n",
	      out);
}
