/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cache without a driver, on real directories with a real dir store, and the calls that a driver
 * would make.
 */
#ifndef TESTS_CACHE_FIXTURE_H
#define TESTS_CACHE_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache/cache.h"
#include "util/cleanup.h"

struct host {
	char dir[64], cache_dir[96], store[96];
	struct config *config;
	struct counters counters;
	struct cache *cache;
	const struct clock *clock; /* NULL: the system's */
	int ram;		   /* a tmpfs that outlives the cache, 0: none */
	const char *yaml;	   /* a configuration that lists tiers, classes ...; NULL: none */
};

/* The system's clock, so far ahead as a test says. */
struct ahead {
	struct clock clock;
	_Atomic int64_t by;
};

void ahead_init(struct ahead *a);

/* A wait that a test blocks on. */
struct twait {
	struct cache_wait w;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
	int err;
};

void twait_init(struct twait *t);
int twait_block(struct twait *t);

/* Runs a call until it is through: what the driver does with its requests. */
#define CALL(t, expr)                                                                              \
	({                                                                                         \
		int call_r;                                                                        \
		twait_init(t);                                                                     \
		while ((call_r = (expr)) == CACHE_PENDING) {                                       \
			call_r = twait_block(t);                                                   \
			if (call_r)                                                                \
				break;                                                             \
		}                                                                                  \
		call_r;                                                                            \
	})

/* extra: more configuration, NULL-name-terminated, or NULL. store NULL: none but the disk. */
void host_open_with(struct host *h, const char *store, const struct conf_override *extra,
		    bool restart);
void host_open(struct host *h, const char *store);
void host_close(struct host *h); /* expects that nothing is left in the journal */
int host_setup(void **state);
int host_teardown(void **state);

/* 0 or -errno; ret is a reference. */
int host_lookup(struct host *h, const char *key, struct obj **ret);
struct obj *host_mkdir(struct host *h, const char *name);
/* An open file of a new name in the root; released by the caller with host_done(). */
struct cfile *host_create(struct host *h, const char *name, struct cfile_state *slot);
void host_write(struct host *h, struct cfile *f, const void *buf, size_t len, off_t off);
void host_done(struct host *h, struct cfile *f); /* flush and release */
void host_put(struct host *h, const char *name, const void *buf, size_t len);
/* Bytes read from offset 0, or -errno. */
ssize_t host_get(struct host *h, const char *key, void *buf, size_t len);
/* An empty host b on h's store; clock NULL: the system's. */
void host_open_other(struct host *h, struct host *b, const struct conf_override *extra,
		     const struct clock *clock);
/* len bytes that depend on the name, and whether they are what can be read. */
void host_put_sized(struct host *h, const char *name, size_t len);
bool host_reads_back(struct host *h, const char *name, size_t len);
/* user.cogfs.NAME, valid until the next call; "" where it has none. */
const char *host_xattr(struct host *h, const char *key, const char *name);
int host_flush(struct host *h);
bool host_stored(struct host *h, const char *key); /* the dir store has it */

#define HOST_TEST(f) cmocka_unit_test_setup_teardown(f, host_setup, host_teardown)

#endif
