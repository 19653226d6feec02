/* SPDX-License-Identifier: Apache-2.0 */
/* --help, from the tables. */
#include <string.h>

#include "cli/cli.h"
#include "cli/help.h"
#include "cli/options.h"
#include "model/config_table.h"

const struct help_status help_statuses[] = {
	{CLI_OK, "done"},
	{CLI_FAILED, "it failed, or was used wrongly"},
	{CLI_DEGRADED, "stats: it works, and a store does not answer"},
	{CLI_DIRTY, "umount, flush: changes are journalled on this host, and not yet in the store"},
	{CLI_BUSY, "umount: the mount is in use"},
	{8,
	 "fsck: it could not be checked (0: nothing is wrong, 1: all was repaired, 4: something is "
	 "left, 16: used wrongly), as fsck(8) says"},
	{MOUNT_FAILED, "mount: it failed (1: used wrongly, 2: system error), as mount(8) says"},
	{-1, NULL},
};

const struct cli_option cmd_help_options[] = {
	{'m', false, "man", NULL, "print the manual page cogfs(1) as roff"},
	{'b', false, "bash-completion", NULL, "print the completion for bash"},
	{0},
};

void help_wrap(FILE *out, const char *text, int column, int indent)
{
	int at = column;

	while (*text) {
		size_t len = strcspn(text, " ");

		if (at > indent && at + 1 + (int)len > HELP_WIDTH) {
			fprintf(out, "\n%*s", indent, "");
			at = indent;
		} else if (at > column || at > indent) {
			fputc(' ', out);
			at++;
		}
		fwrite(text, 1, len, out);
		at += (int)len;
		text += len;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

/* "  NAME       text", the text on a line of its own where the name is long. */
static void print_row(FILE *out, const char *name, const char *text)
{
	const int column = 28;

	fprintf(out, "  %-*s", column - 2, name);
	if ((int)strlen(name) + 3 > column)
		fprintf(out, "\n%*s", column, "");
	help_wrap(out, text, column, column);
}

void help_option_name(const struct cli_option *o, char *buf, size_t size)
{
	char letter[3] = {'-', o->id, '\0'};

	snprintf(buf, size, "%s%s%s%s%s%s", o->letter ? letter : "",
		 o->letter && o->name ? ", " : "", o->name ? "--" : "", o->name ? o->name : "",
		 o->value ? (o->name ? "=" : " ") : "", o->value ? o->value : "");
}

static void print_options(const struct cli_verb *verb, FILE *out)
{
	char name[64];

	fputs("\nOptions:\n", out);
	for (const struct cli_option *o = verb->options; o->id; o++) {
		help_option_name(o, name, sizeof(name));
		print_row(out, name, o->text);
	}
	print_row(out, "-h, --help", "show this");
}

void help_config_name(const struct conf_option *opt, char *buf, size_t size)
{
	bool is_mount = strncmp(opt->name, "mount.", 6) == 0;

	snprintf(buf, size, "%s=%s", is_mount ? opt->name + 6 : opt->name,
		 opt->def ? opt->def : "...");
}

static void print_mount_options(FILE *out)
{
	char name[96];

	fputs("\nMount options (-o; - and _ are one, \\ before a comma that belongs to a value):\n",
	      out);
	for (const struct mount_option_row *r = mount_option_rows; r->name; r++) {
		if (!r->text)
			continue;
		snprintf(name, sizeof(name), "%s%s", r->name, r->value ? "" : "=...");
		print_row(out, name, r->text);
	}
	fputs("\nand the configuration's, by name; those of mount: without the section:\n", out);
	for (const struct conf_option *o = conf_options; o->name; o++) {
		if (o->kind == CONF_LATER)
			continue;
		help_config_name(o, name, sizeof(name));
		print_row(out, name, o->text);
	}
	print_row(out, "ram.*, disk.*, store.*",
		  "options of the tiers; tiers.NAME.* where a tier is meant by name");
}

void help_print_verb(const struct cli_verb *verb, FILE *out)
{
	fprintf(out, "Usage: cogfs %s %s%s\n\n", verb->name,
		verb->options->id ? "[OPTION]... " : "", verb->args);
	fprintf(out, "cogfs %s: ", verb->name);
	help_wrap(out, verb->text, 0, 0);
	if (verb->more) {
		fputc('\n', out);
		help_wrap(out, verb->more, 0, 0);
	}
	print_options(verb, out);
	if (strcmp(verb->name, "mount") == 0)
		print_mount_options(out);
}

void help_print(FILE *out)
{
	char name[64];

	fputs("cogfs: the Cogniverse cache as a mounted tree\n\nUsage: cogfs VERB [OPTION]... "
	      "[ARGUMENT]...\n\n",
	      out);
	for (const struct cli_verb *v = cli_verbs; v->name; v++) {
		snprintf(name, sizeof(name), "%s %s", v->name, v->args);
		print_row(out, name, v->text);
	}
	fputs("\n`cogfs help VERB` says more. Exit status:\n", out);
	for (const struct help_status *s = help_statuses; s->text; s++) {
		snprintf(name, sizeof(name), "%d", s->status);
		print_row(out, name, s->text);
	}
}

int cmd_help(const struct cli_verb *verb, int argc, char **argv)
{
	struct cli_args args = {.verb = verb, .argc = argc, .argv = argv};
	const struct cli_verb *about;
	int id = cli_next(&args);

	if (id > 0) {
		(id == 'm' ? manual_print : completion_print)(stdout);
		return CLI_OK;
	}
	if (id < 0 || !cli_count(&args, 0, 1))
		return CLI_FAILED;
	if (!args.n_rest) {
		help_print(stdout);
		return CLI_OK;
	}
	about = cli_verb_find(args.rest[0]);
	if (!about) {
		cli_error("help: there is no verb %s", args.rest[0]);
		return CLI_FAILED;
	}
	help_print_verb(about, stdout);
	return CLI_OK;
}
