/* SPDX-License-Identifier: Apache-2.0 */
/* A clock that moves only when somebody sleeps. */
#include "sim_clock.h"

#include <string.h>

#define WALL_AHEAD (1700000000 * NSEC_PER_SEC)

static struct sim_clock *sim_of(const struct clock *clk)
{
	return clk->arg;
}

static int64_t sim_mono(const struct clock *clk)
{
	return sim_of(clk)->now;
}

static int64_t sim_wall(const struct clock *clk)
{
	return sim_of(clk)->now + WALL_AHEAD;
}

static void sim_sleep_until(const struct clock *clk, int64_t mono_ns)
{
	struct sim_clock *sim = sim_of(clk);

	if (mono_ns > sim->now) {
		sim->slept += mono_ns - sim->now;
		sim->now = mono_ns;
	}
	if (sim->on_sleep)
		sim->on_sleep(sim->arg);
}

void sim_clock_init(struct sim_clock *sim)
{
	memset(sim, 0, sizeof(*sim));
	sim->now = SIM_START;
	sim->clk = (struct clock){.mono_ns = sim_mono,
				  .wall_ns = sim_wall,
				  .sleep_until = sim_sleep_until,
				  .arg = sim};
}
