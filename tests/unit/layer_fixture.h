/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the tests of layers: a store in memory in simulated time, a fault layer over it, and verbs
 * that write and read a few bytes. `recorder` is a layer that writes down what passes it.
 */
#ifndef TESTS_UNIT_LAYER_FIXTURE_H
#define TESTS_UNIT_LAYER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sim_clock.h"
#include "tiers/stores.h"

struct stack {
	struct sim_clock sim;
	struct counters counters;
	struct tier *store;    /* mem */
	struct tier *fault;    /* over the store */
	struct tier *top;      /* what is tested; closes the rest */
	struct tier_call call; /* of the last verb */
	char etag[ETAG_MAX];   /* of the last put, copy or set_meta that succeeded */
};

/* store and fault; top is fault until a test puts a layer on it. */
void stack_init(struct stack *s);
void stack_release(struct stack *s);

/* All verbs go to t, which may be s->store to work behind the layers' back. Deadline: none. */
int stack_put(struct stack *s, struct tier *t, const char *key, const char *text,
	      const struct tier_pre *pre);
int stack_put_record(struct stack *s, struct tier *t, const char *key, const struct record *rec,
		     const struct tier_pre *pre);
int stack_head(struct stack *s, struct tier *t, const char *key);
/* Reads [off, ...) into a buffer of 256 bytes and counts what the sink is told. */
struct reading {
	unsigned int begins, writes;
	char text[256];
	size_t len;
};
int stack_get(struct stack *s, struct tier *t, const char *key, uint64_t off, struct reading *ret);
/* Counts the entries. */
int stack_list(struct stack *s, struct tier *t, unsigned int *ret_entries);

/* --- recorder --- */

/* Lines as they come: "<name> <op> <key>". */
struct tape {
	char text[4096];
	size_t len;
};

struct recorder_conf {
	const char *name;
	struct tape *tape;
	const char *refuse_once; /* del_many: this key fails the first time, in passing */
	/* Called in head before it goes on; may be NULL. A code other than 0 is the answer. */
	int (*on_head)(void *arg, struct tier_call *call);
	void *arg;
};

struct tier *recorder_new(const struct recorder_conf *conf, struct tier *inner);

#endif
