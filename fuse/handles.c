/* SPDX-License-Identifier: Apache-2.0 */
/* File handles: slots and their free list. */
#include "fuse/handles.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "util/cleanup.h"

/* Without memory the slot is lost to this worker and found free by the next. */
static void slot_give(struct handles *h, uint32_t at)
{
	if (h->n_free == h->max_free) {
		uint32_t max = h->max_free ? h->max_free * 2 : 256;
		uint32_t *more = realloc(h->free, max * sizeof(*more));

		if (!more)
			return;
		h->free = more;
		h->max_free = max;
	}
	h->free[h->n_free++] = at;
}

int handles_init(struct handles *h, struct shm *shm)
{
	memset(h, 0, sizeof(*h));
	h->shm = shm;
	pthread_mutex_init(&h->lock, NULL);
	h->rt = mmap(NULL, (size_t)SHM_HANDLES * sizeof(*h->rt), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (h->rt == MAP_FAILED) {
		h->rt = NULL;
		return -errno;
	}
	h->begin_end = atomic_load(&shm->hdr->handles);
	for (uint32_t at = h->begin_end - 1; at > 0; at--) {
		if (shm->handles[at].id)
			h->rt[at].slot = &shm->handles[at];
		else
			slot_give(h, at);
	}
	return 0;
}

void handles_release(struct handles *h)
{
	if (h->rt)
		munmap(h->rt, (size_t)SHM_HANDLES * sizeof(*h->rt));
	free(h->free);
	pthread_mutex_destroy(&h->lock);
	memset(h, 0, sizeof(*h));
}

struct handle *handle_new(struct handles *h)
{
	struct shm_handle *slot;
	uint32_t at;

	{
		SCOPE_LOCK(&h->lock);

		at = h->n_free ? h->free[--h->n_free]
			       : shm_grow(&h->shm->hdr->handles, SHM_HANDLES);
	}
	if (!at)
		return NULL;
	slot = &h->shm->handles[at];
	memset(&slot->file, 0, sizeof(slot->file));
	slot->mode = 0;
	slot->backing = 0;
	memset(&h->rt[at], 0, sizeof(h->rt[at]));
	h->rt[at].slot = slot;
	h->rt[at].index = at;
	return &h->rt[at];
}

uint64_t handle_publish(struct handle *fh, enum handle_kind kind, uint64_t node, int flags,
			uint64_t unique, pid_t pid)
{
	struct shm_handle *slot = fh->slot;
	uint64_t id;

	slot->kind = kind;
	slot->node = node;
	slot->flags = (uint32_t)flags;
	slot->pid = pid;
	slot->unique = unique;
	slot->generation++;
	id = shm_id(slot->generation, fh->index);
	atomic_store_explicit(&slot->id, id, memory_order_release);
	return id;
}

void handle_settled(struct handles *h, const struct handle *fh, uint64_t unique)
{
	/* By its place: the kernel has the answer, and may have closed and opened another one. */
	(void)atomic_compare_exchange_strong(&h->shm->handles[fh - h->rt].unique, &unique, 0);
}

void handle_free(struct handles *h, struct handle *fh)
{
	SCOPE_LOCK(&h->lock);
	uint32_t at = (uint32_t)(fh - h->rt);

	atomic_store_explicit(&fh->slot->id, 0, memory_order_release);
	slot_give(h, at);
}

struct handle *handle_get(struct handles *h, uint64_t fh)
{
	uint32_t at = shm_index(fh);

	if (!at || at >= SHM_HANDLES || !h->rt[at].slot)
		return NULL;
	return handle_id(&h->rt[at]) == fh ? &h->rt[at] : NULL;
}

struct handle *handle_of_unique(struct handles *h, uint64_t unique)
{
	for (uint32_t at = 1; at < h->begin_end; at++) {
		struct shm_handle *slot = &h->shm->handles[at];

		if (slot->id && slot->unique == unique)
			return &h->rt[at];
	}
	return NULL;
}

void handles_foreach(struct handles *h, void (*fn)(void *arg, struct handle *fh), void *arg)
{
	uint32_t end = atomic_load(&h->shm->hdr->handles);

	for (uint32_t at = 1; at < end; at++) {
		if (h->shm->handles[at].id)
			fn(arg, &h->rt[at]);
	}
}
