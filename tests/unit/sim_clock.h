/* SPDX-License-Identifier: Apache-2.0 */
/* A clock that moves only when somebody sleeps. */
#ifndef TESTS_UNIT_SIM_CLOCK_H
#define TESTS_UNIT_SIM_CLOCK_H

#include <stddef.h>

#include "util/clock.h"

#define SIM_START (1000 * NSEC_PER_SEC)

struct sim_clock {
	struct clock clk; /* &sim->clk goes where a clock is wanted */
	int64_t now;	  /* monotonic; the wall clock is 1.7e9 s ahead */
	int64_t slept;	  /* since the start */
	/* Called in each sleep, after the clock has moved; may be NULL. */
	void (*on_sleep)(void *arg);
	void *arg;
};

void sim_clock_init(struct sim_clock *sim);

#endif
