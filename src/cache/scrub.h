/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scrub: a thread that reads all bodies that are here, again and again and slowly
 * (integrity.scrub, integrity.rate), and compares them with their checksums.
 */
#ifndef CACHE_SCRUB_H
#define CACHE_SCRUB_H

#include "cache/cache.h"

int scrub_start(struct cache *c);
/* Ends it where it is; the next start goes on there. */
void scrub_stop(struct cache *c);
void scrub_stats(struct cache *c, struct cache_scrub_stats *ret);

#endif
