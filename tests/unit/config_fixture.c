/* SPDX-License-Identifier: Apache-2.0 */
/* Configurations from text, for the tests of src/model/config*.c. */
#include "config_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OVERRIDES_MAX 8

void config_fixture_init(struct config_fixture *f)
{
	memset(f, 0, sizeof(*f));
	snprintf(f->dir, sizeof(f->dir), "/tmp/cogfs-config-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	setenv("HOME", f->dir, 1);
	unsetenv("XDG_CACHE_HOME");
	unsetenv("XDG_CONFIG_HOME");
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

void config_fixture_release(struct config_fixture *f)
{
	nftw(f->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

void config_fixture_write(const struct config_fixture *f, const char *name, const char *text)
{
	char path[256];
	FILE *out;

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	out = fopen(path, "w");
	assert_non_null(out);
	fputs(text, out);
	assert_int_equal(fclose(out), 0);
	assert_int_equal(chmod(path, 0600), 0);
}

struct config *config_fixture_load(struct config_fixture *f, const char *name,
				   const char *const *overrides)
{
	struct conf_override list[OVERRIDES_MAX];
	struct conf_load_args args = {.overrides = list};
	struct config *config = NULL;
	char path[256];

	for (; overrides && overrides[0]; overrides += 2)
		list[args.n_overrides++] = (struct conf_override){overrides[0], overrides[1]};
	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	args.file = path;
	f->err.text[0] = '\0';
	if (config_load(&args, &config, &f->err) < 0)
		return NULL;
	return config;
}

struct config *config_fixture_text(struct config_fixture *f, const char *text)
{
	config_fixture_write(f, "cogfs.yaml", text);
	return config_fixture_load(f, "cogfs.yaml", NULL);
}

char *config_fixture_print(const struct config *config, bool origin)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	assert_int_equal(config_print(config, out, origin), 0);
	assert_int_equal(fclose(out), 0);
	return text;
}
