/* SPDX-License-Identifier: Apache-2.0 */
/* The table of verbs, and the walk over their options. */
#include "cli/cli.h"

#include <getopt.h>
#include <stdarg.h>
#include <string.h>

#include "util/nearest.h"

#define OPTIONS_MAX 16

const struct cli_verb cli_verbs[] = {
	{
		.name = "mount",
		.args = "[SOURCE] DIR",
		.text = "mount the cache on a directory",
		.more = "SOURCE is the store: s3://BUCKET/PREFIX, dir:/PATH or /PATH. Without it, "
			"or with the "
			"word cogfs, the configuration says what is mounted; without a "
			"configuration, RAM, "
			"disk and a store in the cache directory. The command returns when the "
			"mount answers; "
			"it then exits as mount(8) does: 0 mounted, 1 used wrongly, 2 system "
			"error, 32 mount "
			"failed.",
		.options = cmd_mount_options,
		.run = cmd_mount,
	},
	{
		.name = "umount",
		.args = "DIR",
		.text = "unmount, and wait until everything is in the stores",
		.more = "Where the mount is in use, those who hold it are named: process, command "
			"and path. "
			"What could not be brought to the stores in time stays in the cache "
			"directory's "
			"journal, and the next mount goes on with it.",
		.options = cmd_umount_options,
		.run = cmd_umount,
	},
	{
		.name = "stats",
		.args = "[DIR]",
		.text = "show what the cache holds and does",
		.more = "DIR may be any path in a mount; without it, the only mount there is.",
		.options = cmd_stats_options,
		.run = cmd_stats,
	},
	{
		.name = "flush",
		.args = "[PATH]",
		.text = "wait until changes are in the stores",
		.more = "PATH is a file or a directory in a mount; without it, all of the only "
			"mount there is.",
		.options = cmd_flush_options,
		.run = cmd_flush,
	},
	{
		.name = "explain",
		.args = "PATH",
		.text = "tell why a file is where it is, and what a read would do",
		.more = "Its class, the pattern that matched and what its placeholders stand for; "
			"the tiers that its class has, those that have it, and since when; when it "
			"expires; why it is kept here or not; and what a read would do now. PATH "
			"need not be there.",
		.options = cmd_explain_options,
		.run = cmd_explain,
	},
	{
		.name = "fsck",
		.args = "[DIR]",
		.text = "check a cache against itself, and repair it",
		.more = "DIR is any path in a mount, which is checked beside its load, or a cache "
			"directory that nobody uses; without it, the configuration's cache "
			"directory. Each finding is a line: path, tier, what is wrong, and what "
			"was done or what would help. Bodies are compared with their checksums, "
			"files on their way to the store with the journal, and the journal with "
			"itself. Without --repair nothing is changed. What no store has yet is "
			"never dropped: it is kept in aside/ beside objects/. It exits as fsck(8) "
			"does: 0 nothing is wrong, 1 all was repaired, 4 something is left, 8 it "
			"could not be checked, 16 used wrongly.",
		.options = cmd_fsck_options,
		.run = cmd_fsck,
	},
	{
		.name = "import",
		.args = "DIR",
		.text = "adopt the files of a directory",
		.more = "Each file below DIR becomes an object with its owner, mode, time and user "
			"xattrs, and goes to the store like a write. Where the filesystem can, no "
			"byte is copied: a reflink, or a hard link to a file that nobody has open "
			"for writing. Who goes on writing to DIR's files in place wants --copy. "
			"Sidecars count where their class says so. What is in the cache is never "
			"replaced: a second run passes over what is there and equal, and tells "
			"what differs. Without a mount, --config says which cache to fill.",
		.options = cmd_import_options,
		.run = cmd_import,
	},
	{
		.name = "config",
		.args = "check|show|init [FILE]",
		.text = "check or show the configuration, or begin one",
		.more = "check reads FILE, or what a mount would read, and complains with line and "
			"column. "
			"show prints what holds when files, environment and options are put "
			"together; "
			"secrets are not shown. init prints a commented file to begin with, or "
			"writes it to "
			"FILE if that does not exist.",
		.options = cmd_config_options,
		.run = cmd_config,
	},
	{
		.name = "path",
		.args = "KEY | --embedding MODEL TEXT | --search QUERY --strategy STRATEGY",
		.text = "show where the object of a key is, from the root of the mount",
		.more = "KEY is a colon key: of grammar 003 [PROFILE:]video:VIDEO:ARTIFACT[:...] "
			"or "
			"embedding:MODEL:HASH, of 004 any a:b:c. Without a profile the path begins "
			"with default/; a key of no such form is misc/KEY. What a name cannot hold "
			"is "
			"percent-encoded. Parameters (model=base) are not in the path: the file "
			"can "
			"have the whole key as its xattr user.cogfs.cache_key. With --json, "
			"complete "
			"says whether the path alone leads back to the key. A query's results are "
			"search_results/HASH/STRATEGY.json: with --filters the hash is over query, "
			"filters and strategy.",
		.options = cmd_path_options,
		.run = cmd_path,
	},
	{
		.name = "key",
		.args = "PATH",
		.text = "show the key of an object",
		.more = "PATH is in a mount, or is a path from a mount's root. The xattr "
			"user.cogfs.cache_key comes first; without it the key is what the path "
			"says, "
			"which has no parameters.",
		.options = cmd_key_options,
		.run = cmd_key,
	},
	{
		.name = "version",
		.args = "",
		.text = "show the version, and what this build and this kernel can do",
		.options = cmd_version_options,
		.run = cmd_version,
	},
	{
		.name = "help",
		.args = "[VERB]",
		.text = "explain a verb",
		.options = cmd_help_options,
		.run = cmd_help,
	},
	{.name = NULL},
};

void cli_error(const char *fmt, ...)
{
	va_list ap;

	fputs("cogfs: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

const struct cli_verb *cli_verb_find(const char *name)
{
	for (const struct cli_verb *v = cli_verbs; v->name; v++)
		if (strcmp(v->name, name) == 0)
			return v;
	return NULL;
}

/* --- options --- */

static int complain(const struct cli_args *args, const char *what, const char *option)
{
	cli_error("%s: %s %s (see `cogfs help %s`)", args->verb->name, what, option,
		  args->verb->name);
	return -1;
}

static int unknown_option(const struct cli_args *args)
{
	const char *given = args->argv[optind - 1];
	char letter[3] = {'-', (char)optopt, '\0'};
	struct nearest near;

	if (optopt || strncmp(given, "--", 2) != 0)
		return complain(args, "there is no option", optopt ? letter : given);
	nearest_init(&near, given + 2);
	for (const struct cli_option *o = args->verb->options; o->id; o++)
		if (o->name)
			nearest_offer(&near, o->name);
	if (!nearest_get(&near))
		return complain(args, "there is no option", given);
	cli_error("%s: there is no option %s; did you mean --%s?", args->verb->name, given,
		  nearest_get(&near));
	return -1;
}

int cli_next(struct cli_args *args)
{
	struct option longs[OPTIONS_MAX + 1] = {{0}};
	char letters[OPTIONS_MAX * 2 + 2] = ":";
	size_t n = 0, l = 1;
	int id;

	for (const struct cli_option *o = args->verb->options; o->id && n < OPTIONS_MAX; o++) {
		if (o->name)
			longs[n++] = (struct option){o->name, o->value != NULL, NULL, o->id};
		if (o->letter)
			letters[l++] = o->id;
		if (o->letter && o->value)
			letters[l++] = ':';
	}
	if (!args->rest)
		optind = 0;
	opterr = 0;
	optopt = 0;
	id = getopt_long(args->argc, args->argv, letters, longs, NULL);
	args->rest = args->argv + optind;
	args->n_rest = args->argc - optind;
	args->value = optarg;
	if (id == ':')
		return complain(args, "a value is needed after", args->argv[optind - 1]);
	if (id == '?')
		return unknown_option(args);
	return id < 0 ? 0 : id;
}

bool cli_count(const struct cli_args *args, int min, int max)
{
	if (args->n_rest >= min && args->n_rest <= max)
		return true;
	cli_error("%s: usage: cogfs %s %s", args->verb->name, args->verb->name, args->verb->args);
	return false;
}

/* --- dispatch --- */

static int no_such_verb(const char *name)
{
	struct nearest near;
	const char *best;

	nearest_init(&near, name);
	for (const struct cli_verb *v = cli_verbs; v->name; v++)
		nearest_offer(&near, v->name);
	best = nearest_get(&near);
	if (best)
		cli_error("there is no verb %s; did you mean %s?", name, best);
	else
		cli_error("there is no verb %s (see `cogfs help`)", name);
	return CLI_FAILED;
}

static bool asks_for_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return true;
	return false;
}

static int run_verb(const struct cli_verb *verb, int argc, char **argv)
{
	int status;

	if (asks_for_help(argc, argv)) {
		help_print_verb(verb, stdout);
		return CLI_OK;
	}
	status = verb->run(verb, argc, argv);
	/* A full disk under `cogfs stats > file` is a failure. */
	if (fflush(stdout) != 0 && status == CLI_OK) {
		cli_error("%s: the output could not be written", verb->name);
		return CLI_FAILED;
	}
	return status;
}

int cli_main(int argc, char **argv)
{
	static const struct {
		const char *option, *verb;
	} spellings[] = {
		{"--version", "version"}, {"-V", "version"}, {"--help", "help"}, {"-h", "help"}};
	const char *name = argc > 0 ? strrchr(argv[0], '/') : NULL;
	const struct cli_verb *verb;

	name = name ? name + 1 : argc > 0 ? argv[0] : "cogfs";
	if (strcmp(name, "mount.cogfs") == 0 || strcmp(name, "mount.fuse.cogfs") == 0)
		return cmd_mount_helper(argc, argv);
	if (argc < 2) {
		help_print(stderr);
		return CLI_FAILED;
	}
	name = argv[1];
	for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++)
		if (strcmp(name, spellings[i].option) == 0)
			name = spellings[i].verb;
	verb = cli_verb_find(name);
	return verb ? run_verb(verb, argc - 1, argv + 1) : no_such_verb(name);
}
