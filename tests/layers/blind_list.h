/* SPDX-License-Identifier: Apache-2.0 */
/* A layer whose listing tells what S3's tells and no more: names, stored sizes and versions. */
#ifndef TESTS_LAYERS_BLIND_LIST_H
#define TESTS_LAYERS_BLIND_LIST_H

#include "tiers/tier.h"

int blind_list_create(struct tier *inner, struct tier **ret_tier);

#endif
