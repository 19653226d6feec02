/* SPDX-License-Identifier: Apache-2.0 */
/* The layers over a store (store_layers.c). */
#ifndef CACHE_STORE_LAYERS_H
#define CACHE_STORE_LAYERS_H

#include "cache/internal.h"

/* Stacks them on c->store; t is its tier. */
int store_stack_layers(struct cache *c, const struct conf_tier *t);
/* What was drained is in listings of other hosts from now on. A hint: it fails in silence. */
void store_flush_manifests(struct cache *c, dl_t deadline, const atomic_bool *cancel);

#endif
