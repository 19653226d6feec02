/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the layers have in common: a tier that stands in front of another one, looks like it, and
 * hands on what it has no opinion about. layer_pass_* are for the ops tables; a layer's own
 * function calls the tier_* wrappers on t->inner.
 *
 * The order that the cache stacks them in, from outside: zstd, manifest, breaker, retry, trace,
 * (fault,) store. What is packed is packed once, and manifests note packed objects. The breaker is
 * outside of retry, so that an open one answers at once instead of being tried again.
 */
#ifndef TIERS_LAYER_H
#define TIERS_LAYER_H

#include "tiers/tier.h"

/* Fills the base after inner's likeness: name, capabilities, clock and counters. 0 or as tier_init.
 */
int layer_init(struct tier *t, const struct tier_ops *ops, struct tier *inner);
/* Closes inner and releases the base; the layer's own memory is the layer's to free. */
void layer_release(struct tier *t);

/* Sleeps ns, or up to the call's deadline or its cancellation. 0, -ETIMEDOUT or -ECANCELED. */
int layer_sleep(const struct tier *t, const struct tier_call *call, int64_t ns);

int layer_pass_probe(struct tier *t, struct tier_call *call);
int layer_pass_del(struct tier *t, struct tier_call *call, const char *key, bool marker,
		   const char *etag);
int layer_pass_del_many(struct tier *t, struct tier_call *call, const char *const *keys, size_t n,
			int *ret_codes);
int layer_pass_share(struct tier *t, struct tier_call *call, const char *key, const char *etag,
		     int dst_dirfd, const char *name, struct record *ret_rec);

#endif
