/* SPDX-License-Identifier: Apache-2.0 */
/* Path patterns matched in the plainest way, to compare src/model/pattern*.c with. */
#ifndef NAIVE_PATTERN_H
#define NAIVE_PATTERN_H

#include <stdbool.h>
#include <stdint.h>

#include "model/pattern.h"

/* As pattern_match, from the text, by trying everything. For patterns without \ only. */
bool naive_pattern_match(const char *pattern, const char *key,
			 struct pattern_span spans[PATTERN_NAMES_MAX]);

/* A random pattern and a random key of few letters, so that they often match. */
struct naive_random {
	uint64_t state;
};

unsigned int naive_below(struct naive_random *rnd, unsigned int n);
void naive_random_pattern(struct naive_random *rnd, char out[256]);
void naive_random_key(struct naive_random *rnd, char out[256]);

#endif
