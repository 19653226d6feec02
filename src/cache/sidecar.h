/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sidecars: where N's class says `sidecar: .meta`, N.meta beside N tells what N is (seed 003).
 *
 * When N.meta is closed, or renamed to that name, N takes what it says; when N is, what an N.meta
 * says that was there before. N.meta has N's class (classes.c) and N's life, and goes with N: where
 * N expires or is evicted, so does it, and when N is unlinked N.meta's life ends SIDECAR_GRACE_S
 * later, so that those who remove both find both.
 *
 * What is not known in memory is not asked for: an N that only the store has takes its sidecar
 * when it is written again, and an N.meta whose bytes are only in the store is left alone.
 */
#ifndef CACHE_SIDECAR_H
#define CACHE_SIDECAR_H

#include <stddef.h>

#include "model/sidecar.h"

struct cache;
struct cache_wait;
struct obj;

#define SIDECAR_GRACE_S 3

/*
 * o's written file is about to be journalled at a flush, or published: its format is told from its
 * bytes; N takes its sidecar, N.meta N's life. ret gets what N.meta says, for sidecar_noted(),
 * which releases it. A flush may come in the middle of the writing: what cannot be read then is not
 * complained about. No lock held
 */
void sidecar_flush(struct cache *c, struct obj *o, struct sidecar *ret);
void sidecar_publish(struct cache *c, struct obj *o, struct sidecar *ret);
/* The change of o is in the journal: N learns what N.meta said. No lock held */
void sidecar_noted(struct cache *c, struct obj *o, struct sidecar *said);

/* o has its name from now on. No lock held */
void sidecar_moved(struct cache *c, struct obj *o);
/* o's life was changed by hand: N.meta's is the same. No lock held */
void sidecar_follow(struct cache *c, struct obj *o);

/*
 * The sidecar of o, which is about to be unlinked: a new reference, or NULL. 0 or CACHE_PENDING.
 * Lock held, dropped in between
 */
int sidecar_get(struct cache *c, struct obj *o, struct cache_wait *w, struct obj **ret);
/* Its N was unlinked. Takes the reference; NULL is fine. No lock held */
void sidecar_end(struct cache *c, struct obj *s);
/* The sidecar of o among the objects in memory, borrowed; or NULL. Lock held */
struct obj *sidecar_peek(struct cache *c, struct obj *o);

#endif
