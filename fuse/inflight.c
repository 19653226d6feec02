/* SPDX-License-Identifier: Apache-2.0 */
/* Exactly once: the table of requests that may take effect only once. */
#include "fuse/inflight.h"

#include <string.h>

#include "util/cleanup.h"

void inflight_init(struct inflight *t, struct shm *shm)
{
	memset(t, 0, sizeof(*t));
	t->shm = shm;
	pthread_mutex_init(&t->lock, NULL);
	for (uint32_t at = SHM_INFLIGHT; at-- > 0;) {
		if (shm->inflight[at].unique)
			t->old[t->n_old++] = (uint16_t)at;
		else
			t->free[t->n_free++] = (uint16_t)at;
	}
}

void inflight_release(struct inflight *t)
{
	pthread_mutex_destroy(&t->lock);
}

/* Takes the slot that another worker left for this request out of the list of those. */
static struct shm_inflight *claim_old(struct inflight *t, uint64_t unique)
{
	SCOPE_LOCK(&t->lock);

	for (uint32_t i = 0; i < t->n_old; i++) {
		struct shm_inflight *slot = &t->shm->inflight[t->old[i]];

		if (slot->unique == unique) {
			t->old[i] = t->old[--t->n_old];
			return slot;
		}
	}
	return NULL;
}

static struct shm_inflight *claim_free(struct inflight *t)
{
	SCOPE_LOCK(&t->lock);

	if (t->n_free)
		return &t->shm->inflight[t->free[--t->n_free]];
	if (t->n_old)
		return &t->shm->inflight[t->old[--t->n_old]];
	return NULL;
}

enum inflight_found inflight_begin(struct inflight *t, uint64_t unique, bool resent,
				   struct shm_inflight **ret_slot)
{
	struct shm_inflight *slot = resent ? claim_old(t, unique) : NULL;

	*ret_slot = slot;
	if (slot)
		return slot->state == INFLIGHT_DONE ? INFLIGHT_ANSWER : INFLIGHT_AGAIN;
	slot = claim_free(t);
	if (!slot)
		return INFLIGHT_NEW;
	atomic_store(&slot->unique, 0);
	slot->state = INFLIGHT_BEGUN;
	atomic_store_explicit(&slot->unique, unique, memory_order_release);
	*ret_slot = slot;
	return INFLIGHT_NEW;
}

void inflight_done(struct shm_inflight *slot, int error, uint64_t node, uint64_t handle,
		   const struct stat *attr, int64_t valid_ns)
{
	if (!slot)
		return;
	slot->error = error;
	slot->node = node;
	slot->handle = handle;
	slot->valid_ns = valid_ns;
	if (attr)
		slot->attr = *attr;
	atomic_store_explicit(&slot->state, INFLIGHT_DONE, memory_order_release);
}

void inflight_end(struct inflight *t, struct shm_inflight *slot)
{
	if (!slot)
		return;
	atomic_store_explicit(&slot->unique, 0, memory_order_release);
	SCOPE_LOCK(&t->lock);
	t->free[t->n_free++] = (uint16_t)(slot - t->shm->inflight);
}
