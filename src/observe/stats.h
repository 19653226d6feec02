/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats.json: {"manager": {...}, "backends": {TIER: {...}}, "classes": {CLASS: {...}},
 * "key_types": {TYPE: {...}}}. The first two are the keys that readers of a
 * CacheManager's get_stats() know, with their names below: hits, misses, hit_rate, sets, deletes,
 * size_bytes, total_files. What they do not know stands beside it.
 *
 *	hit	  an open for reading, counted for the tier that had the bytes (the store too)
 *	miss	  a lookup of a name that is absent everywhere; the kernel answers repeats itself
 *		  within mount.negative_ttl
 *	set	  a commit that changed an object's bytes
 *	evictions local copies dropped for room; what expired is in expirations
 */
#ifndef OBSERVE_STATS_H
#define OBSERVE_STATS_H

#include <jansson.h>

#include "observe/sample.h"

/* The caller's reference; NULL: no memory. */
json_t *stats_json(const struct sample *s);

/* A string of any bytes as JSON: what is no UTF-8 is shown with '?' for each byte above 0x7f. */
json_t *stats_text(const char *text);

#endif
