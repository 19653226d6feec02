/* SPDX-License-Identifier: Apache-2.0 */
/* A layer for the suite: every put below it asks to be packed. Owns inner from success on. */
#ifndef CONFORMANCE_PACKER_H
#define CONFORMANCE_PACKER_H

#include "tiers/tier.h"

int packer_create(struct tier *inner, struct tier **ret_tier);

#endif
