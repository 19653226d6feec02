/* SPDX-License-Identifier: Apache-2.0 */
/* Configurations from text, for the tests of src/model/config*.c. */
#ifndef CONFIG_FIXTURE_H
#define CONFIG_FIXTURE_H

#include "model/config.h"

/* A directory of its own, removed by _release; HOME and the XDG directories point into it. */
struct config_fixture {
	char dir[64];
	struct err err;
};

void config_fixture_init(struct config_fixture *f);
void config_fixture_release(struct config_fixture *f);

/* Writes dir/name with mode 0600. */
void config_fixture_write(const struct config_fixture *f, const char *name, const char *text);
/* Loads dir/name with overrides ("name", "value", ..., NULL); NULL: it failed, and err says why. */
struct config *config_fixture_load(struct config_fixture *f, const char *name,
				   const char *const *overrides);
/* Writes text and loads it. */
struct config *config_fixture_text(struct config_fixture *f, const char *text);
/* What config_print says, malloc'ed. */
char *config_fixture_print(const struct config *config, bool origin);

#endif
