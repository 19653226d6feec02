/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line's frame: verbs and their options are tables with prose, from which the parser,
 * --help, the manual and the shell completion are made.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stdio.h>

#include "util/err.h"

/* What cogfs exits with; the mount verb follows mount(8) instead. */
enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1,	  /* or used wrongly */
	CLI_DEGRADED = 2, /* it works, and a store does not answer */
	CLI_DIRTY = 3,	  /* changes are journalled and not yet in the stores */
	CLI_BUSY = 4,
};
enum cli_mount_exit {
	MOUNT_OK = 0,
	MOUNT_USAGE = 1,
	MOUNT_SYSTEM = 2,
	MOUNT_FAILED = 32,
};

struct cli_option {
	char id;	  /* the letter: -c; what cli_next returns */
	bool letter;	  /* whether the letter is an option too, or only the id */
	const char *name; /* --config, without the dashes; NULL: only a letter. id 0 ends a table */
	const char *value; /* "FILE"; NULL: takes none */
	const char *text;
};

struct cli_verb {
	const char *name;
	const char *args; /* "[SOURCE] DIR" */
	const char *text; /* one line */
	const char *more; /* paragraphs of the help, may be NULL */
	const struct cli_option *options;
	int (*run)(const struct cli_verb *verb, int argc, char **argv);
};

/* Walks over a verb's arguments; argv[0] is the verb. */
struct cli_args {
	const struct cli_verb *verb;
	int argc;
	char **argv;
	const char *value; /* of the option that cli_next returned */
	char **rest;	   /* after the last option: what is no option, NULL-terminated */
	int n_rest;
};

extern const struct cli_verb cli_verbs[]; /* name NULL ends it */

/* The id of the next option, 0 when there is none left, -1 after a complaint on stderr. */
int cli_next(struct cli_args *args);
/* Complains unless min <= n_rest <= max. */
bool cli_count(const struct cli_args *args, int min, int max);

/* "cogfs: text" on stderr. */
void cli_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

const struct cli_verb *cli_verb_find(const char *name);
/* All of cogfs: argv[0] decides between cogfs and mount.cogfs. */
int cli_main(int argc, char **argv);

/* --- verbs, one file each --- */
int cmd_mount(const struct cli_verb *verb, int argc, char **argv);
/* mount.cogfs SOURCE DIR [-o ...], as mount(8) calls it. */
int cmd_mount_helper(int argc, char **argv);
int cmd_umount(const struct cli_verb *verb, int argc, char **argv);
int cmd_config(const struct cli_verb *verb, int argc, char **argv);
int cmd_stats(const struct cli_verb *verb, int argc, char **argv);
int cmd_flush(const struct cli_verb *verb, int argc, char **argv);
int cmd_path(const struct cli_verb *verb, int argc, char **argv);
int cmd_key(const struct cli_verb *verb, int argc, char **argv);
int cmd_explain(const struct cli_verb *verb, int argc, char **argv);
int cmd_fsck(const struct cli_verb *verb, int argc, char **argv);
int cmd_import(const struct cli_verb *verb, int argc, char **argv);
int cmd_help(const struct cli_verb *verb, int argc, char **argv);
int cmd_version(const struct cli_verb *verb, int argc, char **argv);

extern const struct cli_option cmd_mount_options[];
extern const struct cli_option cmd_umount_options[];
extern const struct cli_option cmd_config_options[];
extern const struct cli_option cmd_stats_options[];
extern const struct cli_option cmd_flush_options[];
extern const struct cli_option cmd_path_options[];
extern const struct cli_option cmd_key_options[];
extern const struct cli_option cmd_explain_options[];
extern const struct cli_option cmd_fsck_options[];
extern const struct cli_option cmd_import_options[];
extern const struct cli_option cmd_help_options[];
extern const struct cli_option cmd_version_options[];

/* --- made from the tables (help.c, manual.c) --- */
void help_print(FILE *out);
void help_print_verb(const struct cli_verb *verb, FILE *out);
void manual_print(FILE *out);
void completion_print(FILE *out);

#endif
