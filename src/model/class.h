/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Class patterns: which objects a class holds. Literal text, {name} and * within a part of the
 * path ({name} wants at least one byte), ** as a whole part for any number of parts. First match
 * wins.
 */
#ifndef MODEL_CLASS_H
#define MODEL_CLASS_H

#include <stdbool.h>

#include "model/config.h"

/* True where the whole key matches. Input is hostile: bounded by O(pattern * key) steps. */
bool class_pattern_match(const char *pattern, const char *key);

/* The first class with a pattern that matches, or NULL. */
const struct conf_class *class_of(const struct config *config, const char *key);

#endif
