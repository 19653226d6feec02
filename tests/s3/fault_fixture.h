/* SPDX-License-Identifier: Apache-2.0 */
/* A stub and a tier on it for each test, and calls with five seconds of time. */
#ifndef TESTS_S3_FAULT_FIXTURE_H
#define TESTS_S3_FAULT_FIXTURE_H

#include "s3_io.h"
#include "s3_server.h"

struct fault_fixture {
	struct s3_server server;
	struct tier *tier;
};

int fault_setup(void **state);
int fault_teardown(void **state);

#define FAULT_TEST(f) cmocka_unit_test_setup_teardown(f, fault_setup, fault_teardown)

struct CMUnitTest;
/* Runs the tests on one stub, emptied before each. What main returns. */
int fault_run(struct CMUnitTest *tests, size_t n);

int fault_head(struct fault_fixture *f, struct tier_call *call, const char *key);
int fault_get(struct fault_fixture *f, struct tier_call *call, const char *key); /* 100 bytes */
/* "body" */
int fault_put(struct fault_fixture *f, struct tier_call *call, const char *key,
	      const struct tier_pre *pre);

/* A thread that sets the atomic_bool arg after 100 ms. */
void *cancel_soon(void *arg);

#endif
