/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the store in memory share. Nothing outside tiers/mem*.c includes it. */
#ifndef TIERS_MEM_INTERNAL_H
#define TIERS_MEM_INTERNAL_H

#include <pthread.h>

#include "tiers/tier.h"

/* The bytes; versions that differ in metadata only have them in common. */
struct blob {
	_Atomic unsigned int refs;
	size_t size;
	unsigned char data[];
};

struct version {
	_Atomic unsigned int refs;
	struct record rec;
	struct blob *blob;
};

struct slot {
	char *name; /* the key, or "key/" of a marker */
	struct version *version;
};

struct mem {
	struct tier base;
	pthread_mutex_t mtx; /* protects all below */
	struct slot *slots;  /* sorted by name */
	size_t n, room;
	uint64_t last_etag;
};

/* The first place whose name is not below name. m->mtx is held. */
size_t mem_lower_bound(const struct mem *m, const char *name);
void mem_version_unref(struct version *v); /* accepts NULL */

int mem_list(struct tier *t, struct tier_call *call, const struct tier_list_req *req,
	     tier_entry_fn *fn, void *arg, char **ret_token);

#endif
