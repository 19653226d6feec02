/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of the cache from a thread that may wait: workers of control, commands, never a driver. */
#ifndef CACHE_BLOCKING_H
#define CACHE_BLOCKING_H

#include <pthread.h>

#include "cache/cache.h"

struct blocking {
	struct cache_wait w; /* first */
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
	int err;
};

void blocking_init(struct blocking *b);
void blocking_release(struct blocking *b);
/* For the next call. */
void blocking_again(struct blocking *b);
/* Waits: 0, the call has to be made again; negative: that is the answer. */
int blocking_wait(struct blocking *b);

/* Makes a call that takes &b->w until it is through. */
#define BLOCKING(b, expr)                                                                          \
	({                                                                                         \
		int blocking_r;                                                                    \
		blocking_again(b);                                                                 \
		while ((blocking_r = (expr)) == CACHE_PENDING) {                                   \
			blocking_r = blocking_wait(b);                                             \
			if (blocking_r)                                                            \
				break;                                                             \
		}                                                                                  \
		blocking_r;                                                                        \
	})

#endif
