/* SPDX-License-Identifier: Apache-2.0 */
/* The transport's contexts: see transport.h for what they are for. Private to the transport. */
#ifndef TIERS_HTTP_TRANSPORT_POOL_H
#define TIERS_HTTP_TRANSPORT_POOL_H

#include <curl/curl.h>
#include <pthread.h>
#include <stdint.h>

#include "util/clock.h"
#include "util/list.h"

struct http_context {
	struct list node;
	CURL *easy;
	CURLM *multi;
	int64_t idle_since;
};

struct http_pool {
	pthread_mutex_t lock; /* protects idle */
	struct list idle;     /* used last at the head */
	const struct clock *clock;
};

void http_pool_init(struct http_pool *pool, const struct clock *clock);
void http_pool_release(struct http_pool *pool); /* all contexts were put back */

struct http_context *http_pool_take(struct http_pool *pool); /* NULL: no memory */
/* Also frees one context that was idle for long. */
void http_pool_put(struct http_pool *pool, struct http_context *context);

#endif
