/* SPDX-License-Identifier: Apache-2.0 */
/* Makes the memory that outlives a worker: one sparse memfd, cut into tables. */
#include "shm.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SHM_ALIGN 4096u

struct layout {
	size_t header, nodes, handles, backings, inflight, heap, size;
};

static size_t take(size_t *at, size_t size)
{
	size_t begin = *at;

	*at = (begin + size + SHM_ALIGN - 1) & ~(size_t)(SHM_ALIGN - 1);
	return begin;
}

static struct layout layout_make(void)
{
	struct layout l;
	size_t at = 0;

	l.header = take(&at, sizeof(struct shm_header));
	l.nodes = take(&at, (size_t)SHM_NODES * sizeof(struct shm_node));
	l.handles = take(&at, (size_t)SHM_HANDLES * sizeof(struct shm_handle));
	l.backings = take(&at, (size_t)SHM_BACKINGS * sizeof(struct shm_backing));
	l.inflight = take(&at, (size_t)SHM_INFLIGHT * sizeof(struct shm_inflight));
	l.heap = take(&at, (size_t)SHM_HEAP_UNITS * SHM_HEAP_UNIT);
	l.size = at;
	return l;
}

int shm_init(struct shm *shm)
{
	const struct layout l = layout_make();
	char *base;

	memset(shm, 0, sizeof(*shm));
	shm->fd = memfd_create("cogfs-state", MFD_CLOEXEC);
	if (shm->fd < 0)
		return -errno;
	base = ftruncate(shm->fd, (off_t)l.size) ? MAP_FAILED
						 : mmap(NULL, l.size, PROT_READ | PROT_WRITE,
							MAP_SHARED | MAP_NORESERVE, shm->fd, 0);
	if (base == MAP_FAILED) {
		int err = -errno;

		close(shm->fd);
		shm->fd = -1;
		return err;
	}
	shm->size = l.size;
	shm->hdr = (struct shm_header *)(base + l.header);
	shm->nodes = (struct shm_node *)(base + l.nodes);
	shm->handles = (struct shm_handle *)(base + l.handles);
	shm->backings = (struct shm_backing *)(base + l.backings);
	shm->inflight = (struct shm_inflight *)(base + l.inflight);
	shm->heap = base + l.heap;
	/* Index 0 means "none" everywhere. */
	atomic_store(&shm->hdr->nodes, 1);
	atomic_store(&shm->hdr->handles, 1);
	atomic_store(&shm->hdr->backings, 1);
	atomic_store(&shm->hdr->heap_units, 1);
	return 0;
}

void shm_release(struct shm *shm)
{
	if (shm->hdr)
		munmap(shm->hdr, shm->size);
	if (shm->fd >= 0)
		close(shm->fd);
	memset(shm, 0, sizeof(*shm));
	shm->fd = -1;
}

uint32_t shm_grow(_Atomic uint32_t *mark, uint32_t max)
{
	uint32_t at = atomic_load_explicit(mark, memory_order_relaxed);

	while (at < max) {
		if (atomic_compare_exchange_weak(mark, &at, at + 1))
			return at;
	}
	return 0;
}
