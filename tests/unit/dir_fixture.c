/* SPDX-License-Identifier: Apache-2.0 */
/* A directory store, and hands that reach past it (dir_fixture.h). */
#include "dir_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void place_open(struct place *p, bool link, bool read_only)
{
	const struct tier_env env = {.clock = &clock_system};
	struct dir_conf conf = {.name = "nas", .link = link, .read_only = read_only};
	char path[80];
	struct err err = {{0}};
	int r;

	snprintf(path, sizeof(path), "%s/store", p->dir);
	conf.path = path;
	memset(&p->s, 0, sizeof(p->s));
	r = dir_create(&env, &conf, &p->s.store, &err);
	if (r)
		fail_msg("%s", err.text);
	p->s.top = p->s.store;
}

int setup_place(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	snprintf(p->dir, sizeof(p->dir), "/tmp/cogfs-unit-dir-XXXXXX");
	if (!mkdtemp(p->dir))
		return -1;
	*state = p;
	place_open(p, false, false);
	return 0;
}

int teardown_place(void **state)
{
	struct place *p = *state;
	char command[96];

	tier_close(p->s.top);
	snprintf(command, sizeof(command), "rm -rf '%s'", p->dir);
	free(p);
	return system(command);
}

void place_reopen(struct place *p, bool link, bool read_only)
{
	tier_close(p->s.top);
	place_open(p, link, read_only);
}

int place_put(struct place *p, const char *key, const char *text)
{
	return stack_put(&p->s, p->s.top, key, text, NULL);
}

int place_head(struct place *p, const char *key)
{
	return stack_head(&p->s, p->s.top, key);
}

int place_open_path(struct place *p, const char *path, int flags)
{
	char full[256];

	snprintf(full, sizeof(full), "%s/store/%s", p->dir, path);
	return open(full, flags | O_CLOEXEC, 0644);
}

void place_write(struct place *p, const char *path, const char *text)
{
	int fd = place_open_path(p, path, O_WRONLY | O_CREAT | O_TRUNC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

bool place_exists(struct place *p, const char *path)
{
	struct stat st;
	char full[256];

	snprintf(full, sizeof(full), "%s/store/%s", p->dir, path);
	return lstat(full, &st) == 0;
}

struct stat place_stat(struct place *p, const char *path)
{
	struct stat st;
	char full[256];

	snprintf(full, sizeof(full), "%s/store/%s", p->dir, path);
	assert_int_equal(lstat(full, &st), 0);
	return st;
}

unsigned int place_count(struct place *p, const char *path)
{
	char command[128], line[32] = "";
	FILE *out;

	snprintf(command, sizeof(command), "find '%s/store/%s' -mindepth 1 | wc -l", p->dir, path);
	out = popen(command, "r");
	assert_non_null(fgets(line, sizeof(line), out));
	pclose(out);
	return (unsigned int)strtoul(line, NULL, 10);
}
