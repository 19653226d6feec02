/* SPDX-License-Identifier: Apache-2.0 */
/* What the layers have in common (layer.h). */
#include "tiers/layer.h"

#define SLEEP_SLICE_NS (20 * NSEC_PER_MSEC) /* how late a cancellation is heard */

int layer_init(struct tier *t, const struct tier_ops *ops, struct tier *inner)
{
	int r = tier_init(t, ops, inner->name, &inner->caps, inner->clock, inner->counters);

	if (r == 0)
		t->inner = inner;
	return r;
}

void layer_release(struct tier *t)
{
	tier_close(t->inner);
	tier_release(t);
}

int layer_sleep(const struct tier *t, const struct tier_call *call, int64_t ns)
{
	int64_t now = clock_mono(t->clock);
	int64_t end = now + ns;

	if (call->deadline && end > call->deadline)
		end = call->deadline;
	/* Counted in slices, not by the clock: a simulated one need not move while we sleep. */
	while (now < end) {
		int r = tier_call_check(t, call);

		if (r)
			return r;
		now = end - now > SLEEP_SLICE_NS ? now + SLEEP_SLICE_NS : end;
		t->clock->sleep_until(t->clock, now);
	}
	return tier_call_check(t, call);
}

int layer_pass_probe(struct tier *t, struct tier_call *call)
{
	return tier_probe(t->inner, call);
}

int layer_pass_share(struct tier *t, struct tier_call *call, const char *key, const char *etag,
		     int dst_dirfd, const char *name, struct record *ret_rec)
{
	return tier_share(t->inner, call, key, etag, dst_dirfd, name, ret_rec);
}

int layer_pass_del(struct tier *t, struct tier_call *call, const char *key, bool marker,
		   const char *etag)
{
	return tier_del(t->inner, call, key, marker, etag);
}

int layer_pass_del_many(struct tier *t, struct tier_call *call, const char *const *keys, size_t n,
			int *ret_codes)
{
	return tier_del_many(t->inner, call, keys, n, ret_codes);
}
