/* SPDX-License-Identifier: Apache-2.0 */
/* A layer over that of zstd: every put asks to be packed. Owns inner from success on. */
#ifndef TESTS_LAYERS_PACKER_H
#define TESTS_LAYERS_PACKER_H

#include "tiers/tier.h"

int packer_create(struct tier *inner, struct tier **ret_tier);

#endif
