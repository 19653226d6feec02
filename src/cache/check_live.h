/* SPDX-License-Identifier: Apache-2.0 */
/* What the cache core asks of checking. */
#ifndef CACHE_CHECK_LIVE_H
#define CACHE_CHECK_LIVE_H

struct cache;
struct jent;
struct local;
struct obj;

/*
 * drain_events.failed: as drain_failed(), and where the bytes of a change turned out to be others
 * than those that were closed (-EBADMSG), nobody gets to read them either.
 */
void check_drain_failed(void *arg, const struct jent *e, int error, const char *text);

/*
 * The copy of o in l turned out not to be what it should be: dropped where it can be
 * had again, else kept from its readers. ns held, lock not
 */
void check_distrust(struct cache *c, struct obj *o, struct local *l);

#endif
