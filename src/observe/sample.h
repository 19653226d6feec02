/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One look at a running cache: all numbers that statistics and metrics show, taken once, so that
 * both render from the same values. Gauges are rows with their prose, as counters are in
 * util/counters.h; names say the unit (*_bytes, *_s).
 */
#ifndef OBSERVE_SAMPLE_H
#define OBSERVE_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cache/cache.h"

/* Who is looked at. All strings stay the caller's. */
struct observed {
	struct cache *cache;
	const char *mountpoint;
	int64_t start_ns; /* monotonic, of clock_system */
};

struct sample {
	const struct observed *of;
	struct cache_stats cache;
	uint64_t counters[COUNTER_COUNT];
	uint64_t hits; /* of all tiers */
	uint64_t rss_bytes;
	uint64_t uptime_s;
	pid_t pid;
};

/* Takes locks for moments, and never waits for a store. */
void sample_take(const struct observed *of, struct sample *ret);

/* part / (part + rest); 0 where there is nothing. */
double sample_rate(uint64_t part, uint64_t rest);

/* X(name, kind, value of s, text) */
#define GAUGE_TABLE(X)                                                                             \
	X(degraded, FLAG, s->cache.degraded, "whether a store does not answer")                    \
	X(scanning, FLAG, s->cache.scanning, "whether the disk tier is still being counted")       \
	X(dirty_objects, NUMBER, s->cache.dirty_objects, "changes that no store has yet")          \
	X(dirty_bytes, NUMBER, s->cache.dirty_bytes, "bytes of these changes")                     \
	X(oldest_dirty_s, NUMBER, (uint64_t)s->cache.oldest_dirty_s, "age of the oldest of them")  \
	X(held_objects, NUMBER, s->cache.held_objects,                                             \
	  "changes that wait for a file's last close")                                             \
	X(open_files, NUMBER, s->cache.open_files, "files that are open")                          \
	X(fills, NUMBER, s->cache.fills, "objects that are being brought from a store")            \
	X(waits, NUMBER, s->cache.waits, "calls that wait for a store, the disk or room")          \
	X(objects_known, NUMBER, s->cache.objects_known, "names that are kept in memory")          \
	X(scrubbing, FLAG, s->cache.scrub.running, "whether bodies are being verified")            \
	X(scrub_objects, NUMBER, s->cache.scrub.objects,                                           \
	  "bodies verified in this pass, or in the last one")                                      \
	X(scrub_bytes, NUMBER, s->cache.scrub.bytes, "their bytes")                                \
	X(scrub_passes, NUMBER, s->cache.scrub.passes, "passes over all bodies that were ended")   \
	X(scrub_last_s, NUMBER, (uint64_t)s->cache.scrub.last_s, "time since the last one ended")  \
	X(rss_bytes, NUMBER, s->rss_bytes, "memory of the daemon, without the RAM tier's files")   \
	X(uptime_s, NUMBER, s->uptime_s, "time since this worker began")

enum gauge_kind { GAUGE_NUMBER, GAUGE_FLAG };

enum gauge_id {
#define X(name, kind, value, text) GAUGE_##name,
	GAUGE_TABLE(X)
#undef X
		GAUGE_COUNT
};

struct gauge_info {
	const char *name;
	enum gauge_kind kind;
	const char *text; /* one sentence without a full stop */
	uint64_t (*value)(const struct sample *s);
};

/* Static; id must be below GAUGE_COUNT. */
const struct gauge_info *gauge_info(enum gauge_id id);

/* One tier of a sample, with what follows from the tiers above it. */
struct tier_sample {
	const struct cache_tier_stats *stats;
	bool bodies;	   /* it holds bodies: its sizes are known */
	const char *state; /* "up", "degraded", "down" */
	uint64_t hits;	   /* opens for reading that were served from here */
	uint64_t misses;   /* those that asked here, so to say, and had to go on to the next one */
};

/* i < s->cache.n_tiers */
struct tier_sample sample_tier(const struct sample *s, unsigned int i);

#endif
