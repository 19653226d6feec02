/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns as automata over bytes, to ask whether one set of keys lies within another. Keys are
 * only the legal ones: non-empty parts, none of them "." or "..", the first not ".cogfs".
 */
#ifndef MODEL_PATTERN_NFA_H
#define MODEL_PATTERN_NFA_H

#include "model/pattern.h"

struct nfa;

struct nfa *nfa_new(void); /* matches nothing; NULL: no memory */
void nfa_free(struct nfa *nfa);
/* From here on nfa matches what pattern does too. -ENOMEM. */
int nfa_add(struct nfa *nfa, const struct pattern *pattern);

/* 1: each legal key that inner matches, outer matches too. 0: not so, or not found out. -ENOMEM. */
int nfa_within(const struct nfa *inner, const struct nfa *outer);

#endif
