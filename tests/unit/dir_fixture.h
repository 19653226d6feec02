/* SPDX-License-Identifier: Apache-2.0 */
/* A directory store in a directory of its own, and hands that reach past it as other tools do. */
#ifndef TESTS_UNIT_DIR_FIXTURE_H
#define TESTS_UNIT_DIR_FIXTURE_H

#include <sys/stat.h>

#include "layer_fixture.h"

struct place {
	char dir[64];
	struct stack s; /* store and top are the directory store */
};

/* For cmocka_unit_test_setup_teardown(). */
int setup_place(void **state);
int teardown_place(void **state);
#define PLACE(fn) cmocka_unit_test_setup_teardown(fn, setup_place, teardown_place)

void place_open(struct place *p, bool link, bool read_only);
void place_reopen(struct place *p, bool link, bool read_only);

/* Through the store. */
int place_put(struct place *p, const char *key, const char *text);
int place_head(struct place *p, const char *key);

/* Past it; paths are below the store's root. */
int place_open_path(struct place *p, const char *path, int flags);
void place_write(struct place *p, const char *path, const char *text);
bool place_exists(struct place *p, const char *path);
struct stat place_stat(struct place *p, const char *path);
unsigned int place_count(struct place *p, const char *path);

#endif
