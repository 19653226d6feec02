/* SPDX-License-Identifier: Apache-2.0 */
/* A body tier in a directory of its own, for the tests of tiers/local*.c. */
#ifndef TESTS_UNIT_LOCAL_FIXTURE_H
#define TESTS_UNIT_LOCAL_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tiers/local.h"

#define MIB (1024u * 1024u)

struct fixture {
	char dir[64];
	struct local *l;
	uint64_t next_id;
};

/* For cmocka_unit_test_setup_teardown(). */
int setup_disk(void **state);
int setup_ram(void **state);
int teardown_local(void **state);

#define DISK(fn) cmocka_unit_test_setup_teardown(fn, setup_disk, teardown_local)
#define RAM(fn) cmocka_unit_test_setup_teardown(fn, setup_ram, teardown_local)

/* A tier of 16 MiB in f's directory, or on a tmpfs. */
struct local *open_tier(struct fixture *f, enum local_kind kind, bool keep_open);

/* A file in partial/; its number. */
uint64_t make_body(struct fixture *f, const char *text);
/* Publishes <dirfd>/<id> with a file's record. */
int publish_id(struct fixture *f, int dirfd, uint64_t id, const char *key, bool link);
/* Makes and publishes a body; must succeed. */
void publish(struct fixture *f, const char *key, const char *text);
void expect_body(struct local *l, const char *key, const char *text);
void expect_absent(struct local *l, const char *key);
bool in_mirror(struct local *l, const char *key);
/* mkdir, as the cache does it. */
int make_dir(struct local *l, const char *key);

#endif
