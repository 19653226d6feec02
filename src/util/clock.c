/* SPDX-License-Identifier: Apache-2.0 */
/* The system's clock. Tests bring their own. */
#include "util/clock.h"

#include <errno.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

static int64_t system_mono(const struct clock *clk)
{
	return read_clock(CLOCK_MONOTONIC);
}

static int64_t system_wall(const struct clock *clk)
{
	return read_clock(CLOCK_REALTIME);
}

static void system_sleep_until(const struct clock *clk, int64_t mono_ns)
{
	struct timespec ts = {
		.tv_sec = mono_ns / NSEC_PER_SEC,
		.tv_nsec = mono_ns % NSEC_PER_SEC,
	};

	if (mono_ns <= 0)
		return;
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

const struct clock clock_system = {
	.mono_ns = system_mono,
	.wall_ns = system_wall,
	.sleep_until = system_sleep_until,
};

int64_t clock_left(const struct clock *clk, dl_t dl)
{
	int64_t now;

	if (dl == 0)
		return INT64_MAX;
	now = clock_mono(clk);
	return dl > now ? dl - now : 0;
}
