/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of nodes, in the heap of the shared memory. A record holds the parent's node id and one
 * name; a node points at it with a *link*: place, length and a hash packed into one word, so that
 * a rename is one store and a restart needs to read no record.
 *
 * Records are rounded up to units of 16 bytes and reused from free lists by size. The lists are
 * this process's: after a restart names_mark() is called for each live link and names_sweep()
 * finds what lies between them.
 *
 * Not thread-safe: the node table's lock covers it.
 */
#ifndef FUSE_NAMES_H
#define FUSE_NAMES_H

#include <stdint.h>

#include "shm.h"

struct name_rec {
	uint64_t parent;
	uint8_t len;
	char s[]; /* NUL-terminated */
};

#define NAMES_CLASSES 17 /* units of the longest: 8 + 1 + 255 + 1 bytes */
#define NAMES_HASH_BITS 24

struct names {
	struct shm *shm;
	uint32_t free[NAMES_CLASSES]; /* first free record of n + 1 units, 0: none */
	uint64_t *used;		      /* one bit a unit; between names_init and names_sweep only */
	uint32_t used_units;
};

/* Begins a scan where the heap has been used before. -ENOMEM. */
int names_init(struct names *n, struct shm *shm);
void names_mark(struct names *n, uint64_t link);
void names_sweep(struct names *n);
void names_release(struct names *n);

uint32_t names_hash(uint64_t parent, const char *name, size_t len);
/* -ENAMETOOLONG, -ENOSPC where the heap is full. */
int names_put(struct names *n, uint64_t parent, const char *name, uint64_t *ret_link);
void names_free(struct names *n, uint64_t link);
const struct name_rec *names_get(const struct names *n, uint64_t link);

static inline uint32_t names_link_hash(uint64_t link)
{
	return (uint32_t)(link >> (64 - NAMES_HASH_BITS));
}

#endif
