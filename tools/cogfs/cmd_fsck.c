/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cogfs fsck: checks a mount through its control file, or a cache directory that nobody uses. It
 * exits as fsck(8) does.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/check.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/human.h"
#include "cli/mounts.h"
#include "model/config.h"
#include "observe/report.h"
#include "util/cleanup.h"

enum fsck_exit {
	FSCK_GOOD = 0,
	FSCK_REPAIRED = 1,
	FSCK_LEFT = 4,
	FSCK_FAILED = 8,
	FSCK_USAGE = 16,
};

const struct cli_option cmd_fsck_options[] = {
	{'r', true, "repair", NULL,
	 "drop copies that are bad and that the store has, remove what a crash left, move to "
	 "aside/ what may be nowhere else"},
	{'C', false, "cold", NULL, "of a mount: look at the store's objects too"},
	{'b', false, "bytes", NULL,
	 "with --cold: read each of them whole; with --repair too: put good copies back"},
	{'d', false, "cache-dir", "PATH", "the cache directory to check, which nobody may use"},
	{'c', true, "config", "FILE", "the configuration that says where the disk tier is"},
	{'j', false, "json", NULL, "print findings and the end as lines of JSON"},
	{0},
};

struct fsck {
	bool repair, cold, bytes, as_json;
	const char *cache_dir, *config_file;
	struct progress progress;
};

/* --- output --- */

static void print_finding(struct fsck *f, const json_t *finding)
{
	static const char *const names[] = {"path", "tier", "what", "action"};

	progress_end(&f->progress);
	if (f->as_json) {
		client_print(finding);
		return;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		human_text(json_string_value(json_object_get(finding, names[i])));
		fputs(i < 3 ? ": " : "\n", stdout);
	}
}

static void show_progress(void *arg, const json_t *line)
{
	const json_t *finding = json_object_get(line, "finding");
	uint64_t files = client_number(line, "files"), expected = client_number(line, "expected");
	struct fsck *f = arg;

	if (finding)
		print_finding(f, finding);
	else
		progress_show(&f->progress, expected > files ? expected - files : 0, 0);
}

static int print_end(struct fsck *f, const json_t *totals)
{
	uint64_t repaired = client_number(totals, "repaired"), left = client_number(totals, "left"),
		 cold = client_number(totals, "cold"),
		 unsafe = client_number(totals, "unsafe_keys");
	char size[32];

	progress_end(&f->progress);
	if (f->as_json) {
		client_print(totals);
	} else {
		printf("%" PRIu64 " bodies, %s, %" PRIu64 " changes that wait",
		       client_number(totals, "files"),
		       human_size(client_number(totals, "bytes"), size, sizeof(size)),
		       client_number(totals, "entries"));
		if (f->cold || f->bytes)
			printf(", %" PRIu64 " objects in the store, %" PRIu64 " unsafe keys", cold,
			       unsafe);
		printf(": %" PRIu64 " repaired, %" PRIu64 " left\n", repaired, left);
	}
	return left ? FSCK_LEFT : repaired ? FSCK_REPAIRED : FSCK_GOOD;
}

static int failed(struct fsck *f, const struct err *err, int r)
{
	progress_end(&f->progress);
	cli_error("fsck: %s", err_text(err, r));
	return FSCK_FAILED;
}

/* --- a mount --- */

static int check_mount(struct fsck *f, const struct mount_place *place)
{
	json_t *request = json_pack("{s:s, s:b, s:b, s:b}", "verb", "fsck", "repair", f->repair,
				    "cold", f->cold || f->bytes, "bytes", f->bytes),
	       *done;
	struct err err = {{0}};
	int r = client_request(place->dir, request, show_progress, f, &done, &err);

	json_decref(request);
	if (r < 0)
		return failed(f, &err, r);
	json_object_del(done, "done");
	r = print_end(f, done);
	json_decref(done);
	return r;
}

/* --- a directory --- */

static void found(void *arg, const struct check_finding *c)
{
	json_t *json = report_check_finding(c);

	if (json)
		print_finding(arg, json);
	json_decref(json);
}

static void count_up(void *arg, const struct check_totals *done)
{
	struct fsck *f = arg;

	if (done->files % 64 == 0)
		progress_show(&f->progress, done->files, done->bytes);
}

/* disk: the tier, where the configuration is this directory's; else NULL. */
static int check_directory(struct fsck *f, const char *dir, const struct conf_tier *disk)
{
	const struct check_place place = {.dir = dir,
					  .disk_name = disk ? disk->name : NULL,
					  .disk_path = disk ? disk->path : NULL};
	struct check ck = {.flags = f->repair ? CHECK_REPAIR : 0,
			   .found = found,
			   .progress = count_up,
			   .arg = f};
	struct err err = {{0}};
	json_t *totals;
	int r;

	f->progress.counts_up = true;
	if (f->cold || f->bytes) {
		cli_error("fsck: --cold and --bytes ask the store: mount the cache first");
		return FSCK_USAGE;
	}
	r = check_dir(&ck, &place, &err);
	if (r == -EBUSY)
		err_wrap(&err, r, "it is mounted: give the mount instead of the cache directory");
	if (r)
		return failed(f, &err, r);
	totals = report_check_totals(&ck.totals);
	r = print_end(f, totals);
	json_decref(totals);
	return r;
}

static bool same_dir(const char *a, const char *b)
{
	struct stat x, y;

	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

/* The configuration says where the disk tier of its cache directory is. */
static int check_offline(struct fsck *f, const char *dir)
{
	const struct conf_load_args args = {.file = f->config_file};
	struct config *config = NULL;
	struct err err = {{0}};
	int r = config_load(&args, &config, &err);

	if (r < 0 && (f->config_file || !dir))
		return failed(f, &err, r);
	if (!dir)
		dir = config->cache_dir;
	r = check_directory(f, dir,
			    config && same_dir(dir, config->cache_dir)
				    ? config_tier(config, TIER_TYPE_DISK)
				    : NULL);
	config_free(config);
	return r;
}

static bool is_cache_dir(const char *dir)
{
	CLEANUP_FREE char *path = NULL;

	if (asprintf(&path, "%s/FORMAT", dir) < 0)
		path = NULL;
	return path && access(path, F_OK) == 0;
}

static int fsck(struct fsck *f, const char *path)
{
	struct mount_place place;
	struct err err = {{0}};
	int r;

	if (f->cache_dir || !path)
		return check_offline(f, f->cache_dir);
	r = mount_place_find(path, &place, &err);
	if (r && is_cache_dir(path))
		return check_offline(f, path);
	if (r)
		return failed(f, &err, r);
	r = check_mount(f, &place);
	mount_place_release(&place);
	return r;
}

int cmd_fsck(const struct cli_verb *verb, int argc, char **argv)
{
	struct cli_args args = {.verb = verb, .argc = argc, .argv = argv};
	struct fsck f = {.progress = {.what = "fsck"}};
	int id;

	while ((id = cli_next(&args)) > 0) {
		f.repair |= id == 'r';
		f.cold |= id == 'C';
		f.bytes |= id == 'b';
		f.as_json |= id == 'j';
		if (id == 'd')
			f.cache_dir = args.value;
		if (id == 'c')
			f.config_file = args.value;
	}
	if (id < 0 || !cli_count(&args, 0, f.cache_dir ? 0 : 1))
		return FSCK_USAGE;
	return fsck(&f, args.rest[0]);
}
