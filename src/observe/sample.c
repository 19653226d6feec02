/* SPDX-License-Identifier: Apache-2.0 */
/* Collects the numbers, and what follows from them. */
#include "observe/sample.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util/cleanup.h"

#define X(name, kind, expression, text)                                                            \
	static uint64_t value_##name(const struct sample *s)                                       \
	{                                                                                          \
		return expression;                                                                 \
	}
GAUGE_TABLE(X)
#undef X

static const struct gauge_info gauges[GAUGE_COUNT] = {
#define X(n, k, v, t) [GAUGE_##n] = {.name = #n, .kind = GAUGE_##k, .text = t, .value = value_##n},
	GAUGE_TABLE(X)
#undef X
};

const struct gauge_info *gauge_info(enum gauge_id id)
{
	assert(id < GAUGE_COUNT);
	return &gauges[id];
}

static uint64_t own_rss(void)
{
	CLEANUP_FCLOSE FILE *f = fopen("/proc/self/statm", "re");
	unsigned long long pages;

	return f && fscanf(f, "%*u %llu", &pages) == 1 ? pages * (uint64_t)sysconf(_SC_PAGESIZE)
						       : 0;
}

void sample_take(const struct observed *of, struct sample *ret)
{
	struct counters *counters = cache_counters(of->cache);
	int64_t up_ns = clock_mono(&clock_system) - of->start_ns;

	memset(ret, 0, sizeof(*ret));
	ret->of = of;
	cache_stats(of->cache, &ret->cache);
	for (unsigned int i = 0; counters && i < COUNTER_COUNT; i++)
		ret->counters[i] = count_get(counters, (enum counter_id)i);
	ret->hits = ret->counters[COUNTER_hits_ram] + ret->counters[COUNTER_hits_disk] +
		    ret->counters[COUNTER_hits_store];
	ret->rss_bytes = own_rss();
	ret->uptime_s = up_ns > 0 ? (uint64_t)(up_ns / NSEC_PER_SEC) : 0;
	ret->pid = getpid();
}

double sample_rate(uint64_t part, uint64_t rest)
{
	return part + rest ? (double)part / (double)(part + rest) : 0;
}

struct tier_sample sample_tier(const struct sample *s, unsigned int i)
{
	static const char *const states[] = {"up", "degraded", "down"};
	const struct cache_tier_stats *t = &s->cache.tiers[i];
	const uint64_t *n = s->counters;
	struct tier_sample ret = {.stats = t, .misses = n[COUNTER_misses]};

	assert(i < s->cache.n_tiers && t->state >= 0 && t->state < 3);
	ret.state = states[t->state];
	if (strcmp(t->type, "ram") == 0) {
		ret.bodies = true;
		ret.hits = n[COUNTER_hits_ram];
		ret.misses += n[COUNTER_hits_disk] + n[COUNTER_hits_store];
	} else if (strcmp(t->type, "disk") == 0) {
		ret.bodies = true;
		ret.hits = n[COUNTER_hits_disk];
		ret.misses += n[COUNTER_hits_store];
	} else {
		ret.hits = n[COUNTER_hits_store];
	}
	return ret;
}
