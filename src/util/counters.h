/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters and gauges as one table with their prose: statistics, metrics page and documentation
 * come from the same rows. A counter is one relaxed atomic add. Names are those of `stats.json`
 * and, with "cogfs_" in front (and _total behind a counter), of Prometheus.
 */
#ifndef UTIL_COUNTERS_H
#define UTIL_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

/* X(name, kind, unit, text) */
#define COUNTER_TABLE(X)                                                                           \
	X(hits_ram, COUNTER, "", "opens for reading whose bytes were in the RAM tier")             \
	X(hits_disk, COUNTER, "", "opens for reading whose bytes were in the disk tier")           \
	X(hits_store, COUNTER, "", "opens for reading whose bytes came from a store")              \
	X(misses, COUNTER, "", "lookups of a name that is absent everywhere")                      \
	X(sets, COUNTER, "", "commits that changed an object's bytes")                             \
	X(deletes, COUNTER, "", "objects unlinked")                                                \
	X(evictions, COUNTER, "", "local copies dropped for room")                                 \
	X(promotions, COUNTER, "", "bodies on disk that got a copy in RAM")                        \
	X(demotions, COUNTER, "", "copies in RAM that the disk took over as they left")            \
	X(expirations, COUNTER, "", "objects that reached the end of their life")                  \
	X(copy_expirations, COUNTER, "", "local copies dropped at the end of their tier's ttl")    \
	X(corruptions, COUNTER, "", "local copies whose checksum was wrong")                       \
	X(conflicts, COUNTER, "", "drains that met another host's version")                        \
	X(dropped_drains, COUNTER, "", "drains to a cache-only tier that were given up")           \
	X(unsafe_keys, COUNTER, "", "keys in a store that are no safe path and are not shown")     \
	X(passthrough_opens, COUNTER, "", "opens answered with a backing file")                    \
	X(fill_bytes, COUNTER, "bytes", "bytes brought from stores into bodies")                   \
	X(drain_bytes, COUNTER, "bytes", "bytes brought from bodies to stores")                    \
	X(stream_bytes, COUNTER, "bytes", "bytes served without being kept, for want of room")     \
	X(store_requests, COUNTER, "", "requests sent to stores")                                  \
	X(store_errors, COUNTER, "", "requests to stores that failed")                             \
	X(store_retries, COUNTER, "", "requests to stores that were sent again")                   \
	X(breaker_opens, COUNTER, "", "times a store's circuit breaker opened")                    \
	X(uploads, COUNTER, "", "objects brought to a store")                                      \
	X(upload_errors, COUNTER, "", "drains that failed and wait to be tried again")             \
	X(interrupts, COUNTER, "", "calls that a signal took back")                                \
	X(timeouts, COUNTER, "", "calls that ended at their deadline")                             \
	X(worker_restarts, COUNTER, "", "times the supervisor replaced a dead worker")

enum counter_id {
#define X(name, kind, unit, text) COUNTER_##name,
	COUNTER_TABLE(X)
#undef X
		COUNTER_COUNT
};

/* A gauge goes both ways. */
enum counter_kind { COUNTER_KIND_COUNTER, COUNTER_KIND_GAUGE };

/* One row of the table, for those who print it. */
struct counter_info {
	const char *name;
	enum counter_kind kind;
	const char *unit; /* "" or "bytes" */
	const char *text; /* one sentence without a full stop */
};

/* Static; id must be below COUNTER_COUNT. */
const struct counter_info *counter_info(enum counter_id id);

struct counters {
	_Atomic uint64_t v[COUNTER_COUNT];
};

/* c may be NULL: then nothing is counted. */
static inline void count_add(struct counters *c, enum counter_id id, uint64_t n)
{
	if (c)
		atomic_fetch_add_explicit(&c->v[id], n, memory_order_relaxed);
}

static inline void count_one(struct counters *c, enum counter_id id)
{
	count_add(c, id, 1);
}

static inline uint64_t count_get(struct counters *c, enum counter_id id)
{
	return atomic_load_explicit(&c->v[id], memory_order_relaxed);
}

#endif
