/* SPDX-License-Identifier: Apache-2.0 */
/* The directory store: once with copies and reflinks, once with hard links. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "conformance.h"
#include "tiers/stores.h"

struct place {
	char path[64];
	bool link;
	struct counters counters;
};

static struct tier *make(void *arg)
{
	struct place *place = arg;
	const struct tier_env env = {.clock = &clock_system, .counters = &place->counters};
	const struct dir_conf conf = {.name = "dir", .path = place->path, .link = place->link};
	struct err err = {{0}};
	struct tier *t = NULL;

	if (dir_create(&env, &conf, &t, &err))
		fprintf(stderr, "%s\n", err.text);
	return t;
}

static int run(const char *name, bool link)
{
	struct place place = {.path = "/tmp/cogfs-dir-XXXXXX", .link = link};
	const struct conformance conf = {.name = name, .make = make, .arg = &place};
	char command[96];
	int failed;

	if (!mkdtemp(place.path))
		return 1;
	failed = conformance_run(&conf);
	snprintf(command, sizeof(command), "rm -rf '%s'", place.path);
	return system(command) ? 1 : failed;
}

int main(void)
{
	int failed = run("dir", false);

	return failed + run("dir with links", true);
}
