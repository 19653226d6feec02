/* SPDX-License-Identifier: Apache-2.0 */
/* Names of nodes: an allocator by size whose only truth is which records the nodes point at. */
#include "names.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/hash.h"

#define UNITS_BITS 8
#define UNITS_SHIFT 32

static uint32_t link_at(uint64_t link)
{
	return (uint32_t)link;
}

static uint32_t link_units(uint64_t link)
{
	return (uint32_t)(link >> UNITS_SHIFT) & ((1u << UNITS_BITS) - 1);
}

static uint64_t link_make(uint32_t at, uint32_t units, uint32_t hash)
{
	return at | (uint64_t)units << UNITS_SHIFT | (uint64_t)hash << (64 - NAMES_HASH_BITS);
}

static char *unit_ptr(const struct names *n, uint32_t at)
{
	return n->shm->heap + (size_t)at * SHM_HEAP_UNIT;
}

/* A free record's first bytes hold the next free one of its size. */
static void push_free(struct names *n, uint32_t at, uint32_t units)
{
	memcpy(unit_ptr(n, at), &n->free[units - 1], sizeof(uint32_t));
	n->free[units - 1] = at;
}

static uint32_t pop_free(struct names *n, uint32_t units)
{
	uint32_t at = n->free[units - 1];

	if (at)
		memcpy(&n->free[units - 1], unit_ptr(n, at), sizeof(uint32_t));
	return at;
}

int names_init(struct names *n, struct shm *shm)
{
	memset(n, 0, sizeof(*n));
	n->shm = shm;
	n->used_units = atomic_load(&shm->hdr->heap_units);
	n->used = calloc(n->used_units / 64 + 1, sizeof(uint64_t));
	return n->used ? 0 : -ENOMEM;
}

void names_mark(struct names *n, uint64_t link)
{
	uint32_t at = link_at(link), end = at + link_units(link);

	assert(n->used && end <= n->used_units);
	for (; at < end; at++)
		n->used[at / 64] |= 1ULL << (at % 64);
}

static bool unit_used(const struct names *n, uint32_t at)
{
	return n->used[at / 64] >> (at % 64) & 1;
}

void names_sweep(struct names *n)
{
	uint32_t at = 1, run;

	while (at < n->used_units) {
		if (unit_used(n, at)) {
			at++;
			continue;
		}
		for (run = 1; run < NAMES_CLASSES && at + run < n->used_units; run++) {
			if (unit_used(n, at + run))
				break;
		}
		push_free(n, at, run);
		at += run;
	}
	free(n->used);
	n->used = NULL;
}

void names_release(struct names *n)
{
	free(n->used);
	n->used = NULL;
}

uint32_t names_hash(uint64_t parent, const char *name, size_t len)
{
	uint64_t h = hash64(name, len) ^ parent * 0x9e3779b97f4a7c15ULL;

	h ^= h >> 32;
	return (uint32_t)(h * 0xd6e8feb86659fd93ULL >> (64 - NAMES_HASH_BITS));
}

static uint32_t bump(struct names *n, uint32_t units)
{
	uint32_t at = atomic_load_explicit(&n->shm->hdr->heap_units, memory_order_relaxed);

	if (at + units > SHM_HEAP_UNITS)
		return 0;
	atomic_store(&n->shm->hdr->heap_units, at + units);
	return at;
}

/* Of the right size, else new, else the head of a longer one. */
static uint32_t alloc_units(struct names *n, uint32_t units)
{
	uint32_t at = pop_free(n, units);

	if (!at)
		at = bump(n, units);
	for (uint32_t longer = units + 1; !at && longer <= NAMES_CLASSES; longer++) {
		at = pop_free(n, longer);
		if (at)
			push_free(n, at + units, longer - units);
	}
	return at;
}

int names_put(struct names *n, uint64_t parent, const char *name, uint64_t *ret_link)
{
	size_t len = strlen(name);
	struct name_rec *rec;
	uint32_t units, at;

	if (len > UINT8_MAX)
		return -ENAMETOOLONG;
	units = (uint32_t)((offsetof(struct name_rec, s) + len + SHM_HEAP_UNIT) / SHM_HEAP_UNIT);
	at = alloc_units(n, units);
	if (!at)
		return -ENOSPC;
	rec = (struct name_rec *)unit_ptr(n, at);
	rec->parent = parent;
	rec->len = (uint8_t)len;
	memcpy(rec->s, name, len + 1);
	*ret_link = link_make(at, units, names_hash(parent, name, len));
	return 0;
}

void names_free(struct names *n, uint64_t link)
{
	push_free(n, link_at(link), link_units(link));
}

const struct name_rec *names_get(const struct names *n, uint64_t link)
{
	return (const struct name_rec *)unit_ptr(n, link_at(link));
}
