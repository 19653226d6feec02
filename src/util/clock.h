/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time comes in through this struct, so that tests run in simulated time. Deadlines are absolute
 * monotonic nanoseconds (dl_t); 0 means none. Wall time is nanoseconds since the epoch and is used
 * for what leaves the process only: expiry, timestamps, signatures.
 */
#ifndef UTIL_CLOCK_H
#define UTIL_CLOCK_H

#include <stdint.h>

#define NSEC_PER_SEC 1000000000LL
#define NSEC_PER_MSEC 1000000LL

typedef int64_t dl_t;

struct clock {
	int64_t (*mono_ns)(const struct clock *clk);
	int64_t (*wall_ns)(const struct clock *clk);
	/* Sleeps until the monotonic time, or returns at once in simulated time. */
	void (*sleep_until)(const struct clock *clk, int64_t mono_ns);
	void *arg;
};

/* The system's clock: CLOCK_MONOTONIC and CLOCK_REALTIME. Static, never released. */
extern const struct clock clock_system;

static inline int64_t clock_mono(const struct clock *clk)
{
	return clk->mono_ns(clk);
}

static inline int64_t clock_wall(const struct clock *clk)
{
	return clk->wall_ns(clk);
}

/* Nanoseconds left until dl: INT64_MAX where dl is 0, never negative. */
int64_t clock_left(const struct clock *clk, dl_t dl);

#endif
