/* SPDX-License-Identifier: Apache-2.0 */
/* The drainer between a journal and the store in memory, with faults in front of it. */
#ifndef TESTS_DRAIN_FIXTURE_H
#define TESTS_DRAIN_FIXTURE_H

#include <pthread.h>

#include "cache/drain.h"
#include "journal_fixture.h"
#include "tiers/stores.h"

struct drain_fixture {
	struct journal_fixture f;
	struct counters counters;
	struct tier *mem;   /* what other hosts see */
	struct tier *store; /* what the drainer sees: faults in front */
	struct pool *pool;
	struct drain_conf conf;
	struct drain *d;
	pthread_mutex_t lock;
	unsigned int done, failed, conflicts, moved;
	int last_error;
	char order[4096];    /* keys as they were done */
	char etag[ETAG_MAX]; /* of the last one */
};

/* For cmocka: *state is a fixture with an open journal; the drainer is not started. */
int df_setup(void **state);
int df_teardown(void **state);

void df_start(struct drain_fixture *w); /* by w->conf */
void df_stop(struct drain_fixture *w);
void df_restart(struct drain_fixture *w); /* as after kill -9: nothing in memory stays */
void df_flush(struct drain_fixture *w);	  /* all; must succeed */
void df_fault(struct drain_fixture *w, struct fault_plan plan);

/* --- the store, as other hosts see it --- */
struct tier_call df_call_now(void);
void df_expect_stored(struct drain_fixture *w, const char *key,
		      const char *text);				  /* NULL: absent */
struct record df_stored_record(struct drain_fixture *w, const char *key); /* release it */
/* Puts an object as another host does; its etag to etag[ETAG_MAX]. */
void df_theirs(struct drain_fixture *w, const char *key, const char *text, char *etag);
unsigned int df_count_below(struct drain_fixture *w, const char *prefix);

uint64_t df_conflicts(struct drain_fixture *w); /* the counter */

#endif
