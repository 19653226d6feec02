/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small tree, the store behind it, and the journal between them: for the random test of the
 * journal.
 */
#ifndef TESTS_JOURNAL_WORLD_H
#define TESTS_JOURNAL_WORLD_H

#include "journal_fixture.h"

#define NODES_MAX 64
#define BODIES_MAX 20000
#define INFLIGHT_MAX 3

struct node { /* a file or directory of the tree */
	char key[128];
	bool dir;
	unsigned int content;
	mode_t mode;
	char etag[ETAG_MAX]; /* what the cache knows of the store; "" nothing */
	uint64_t held;	     /* seq */
	uint64_t held_id;
	bool used;
};

struct stored {
	char key[128];
	unsigned int content;
	mode_t mode;
	char etag[ETAG_MAX];
	bool marker, used;
};

struct world {
	struct journal_fixture f;
	struct node tree[NODES_MAX];
	struct stored store[NODES_MAX * 2];
	unsigned int body[BODIES_MAX]; /* content of a staging file */
	struct jent *inflight[INFLIGHT_MAX];
	char told[INFLIGHT_MAX]
		 [ETAG_MAX]; /* the outcome that the cache knows and the journal does not */
	bool is_told[INFLIGHT_MAX];
	unsigned int contents, etags;
	uint64_t rng;
	uint64_t uploads, puts, overtaken;
};

unsigned int world_pick(struct world *w, unsigned int n); /* random, below n */
struct node *world_node_find(struct world *w, const char *key);
struct stored *world_stored_find(struct world *w, const char *key, bool marker);

/*
 * Does e in the store, as a drainer would; its precondition must hold, but for what an earlier try
 * did. The new version goes to etag[ETAG_MAX]. false: a rename that was interrupted, by the way.
 */
bool world_apply(struct world *w, struct jent *e, bool interrupt, char *etag);

#endif
