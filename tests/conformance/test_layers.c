/* SPDX-License-Identifier: Apache-2.0 */
/* All layers over the store in memory: a stack of tiers is a tier. */
#include "conformance.h"
#include "tiers/stores.h"

static struct tier *make(void *arg)
{
	const struct retry_conf retry = {.tries = 3, .min_ns = 1000, .max_ns = 1000000};
	const struct breaker_conf breaker = {.after = 5, .for_ns = NSEC_PER_SEC};
	const struct tier_env env = {.clock = &clock_system, .counters = arg};
	struct tier *t = NULL;

	if (mem_create(&env, "stack", &t) == 0 && fault_create(t, &t) == 0 &&
	    trace_create(t, &t) == 0 && retry_create(&retry, t, &t) == 0 &&
	    breaker_create(&breaker, t, &t) == 0)
		return t;
	tier_close(t);
	return NULL;
}

int main(void)
{
	struct counters counters = {0};
	const struct conformance conf = {.name = "layers", .make = make, .arg = &counters};

	return conformance_run(&conf);
}
