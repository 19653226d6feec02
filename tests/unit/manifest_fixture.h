/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two hosts, alpha and beta, with manifests over one store in memory whose listing is as blind as
 * S3's, in simulated time. Nothing is written behind their back: tests flush and compact.
 */
#ifndef TESTS_UNIT_MANIFEST_FIXTURE_H
#define TESTS_UNIT_MANIFEST_FIXTURE_H

#include "layer_fixture.h"
#include "tiers/manifest_internal.h"

/* Lets several stacks stand on one store: closes nothing. */
struct shared {
	struct tier base;
	int (*before_put)(void *arg); /* once */
	void *arg;
};

/* A host's stack over the store that all have. */
struct host {
	struct shared *shared;
	struct tier *fault;
	struct tier *top;
};

struct world {
	struct stack s; /* the store */
	struct host a, b;
};

void world_init(struct world *w);
void world_release(struct world *w);
/* One host more; closing its top writes what waits. */
void peer_init(struct world *w, const char *name, struct host *h);

void peer_flush(struct host *h);
/* A second later: an object with these permissions and a whole record. */
void peer_put(struct world *w, struct host *h, const char *key, mode_t mode);

struct seen {
	unsigned int n, whole;
	struct record rec; /* of key */
	const char *key;
};

/* Lists a directory; key may be NULL. */
struct seen peer_list(struct host *h, const char *prefix, const char *key);
/* The permissions that host sees in a listing, 0 where they are not told. */
mode_t listed_mode(struct host *h, const char *prefix, const char *key);
/* Objects below ".cogfs/", which must all be where manifests are. */
unsigned int manifests_count(struct world *w);

#endif
