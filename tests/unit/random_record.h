/* SPDX-License-Identifier: Apache-2.0 */
/* Random records for round trips, and what it means that two are equal. */
#ifndef TESTS_RANDOM_RECORD_H
#define TESTS_RANDOM_RECORD_H

#include "model/record.h"

/* From COGFS_TEST_SEED, else from the clock; printed, so that a failure can be had again. */
uint64_t random_seed(void);
uint64_t random_next(uint64_t *rng);

/* Fills an initialised record; about half of what a record can have is there. */
void random_record(uint64_t *rng, struct record *rec);

/* Fails the test where what is known differs, or a field among `fields` (enum record_known). */
void assert_records_equal(const struct record *a, const struct record *b, uint32_t fields);

#endif
