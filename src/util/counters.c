/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of the counters' table as data, for those who print them. */
#include "util/counters.h"

#include <assert.h>
#include <stddef.h>

static const struct counter_info infos[COUNTER_COUNT] = {
#define X(n, k, u, t) [COUNTER_##n] = {.name = #n, .kind = COUNTER_KIND_##k, .unit = u, .text = t},
	COUNTER_TABLE(X)
#undef X
};

const struct counter_info *counter_info(enum counter_id id)
{
	assert(id < COUNTER_COUNT);
	return &infos[id];
}
