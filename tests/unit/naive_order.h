/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of the journal's order, read naively. */
#ifndef TESTS_NAIVE_ORDER_H
#define TESTS_NAIVE_ORDER_H

#include "cache/journal.h"

/*
 * Asserts that taken (NULL: none), which was taken just now where all that is QUEUED was due, is
 * the first one in line that may go.
 */
void naive_order_check(struct journal *j, const struct jent *taken);

#endif
