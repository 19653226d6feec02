/* SPDX-License-Identifier: Apache-2.0 */
/* The store in memory. */
#include "conformance.h"
#include "tiers/stores.h"

static struct tier *make(void *arg)
{
	const struct tier_env env = {.clock = &clock_system, .counters = arg};
	struct tier *t = NULL;

	return mem_create(&env, "mem", &t) == 0 ? t : NULL;
}

int main(void)
{
	struct counters counters = {0};
	const struct conformance conf = {.name = "mem", .make = make, .arg = &counters};

	return conformance_run(&conf);
}
