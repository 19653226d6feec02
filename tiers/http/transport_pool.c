/* SPDX-License-Identifier: Apache-2.0 */
/* Contexts in a last-in-first-out list; those at its end grow old and are freed. */
#include "tiers/http/transport_pool.h"

#include <stdlib.h>

#include "util/cleanup.h"

/* Servers close idle connections after 5 to 120 s: an older one is not worth its descriptor. */
#define IDLE_MAX (90 * NSEC_PER_SEC)

static void context_free(struct http_context *context)
{
	if (!context)
		return;
	if (context->easy)
		curl_easy_cleanup(context->easy);
	if (context->multi)
		curl_multi_cleanup(context->multi);
	free(context);
}

static struct http_context *context_new(void)
{
	struct http_context *context = calloc(1, sizeof(*context));

	if (!context)
		return NULL;
	list_init(&context->node);
	context->easy = curl_easy_init();
	context->multi = curl_multi_init();
	if (!context->easy || !context->multi) {
		context_free(context);
		return NULL;
	}
	/* One call at a time, so one connection (the proxy's, or the server's). */
	curl_multi_setopt(context->multi, CURLMOPT_MAXCONNECTS, 1L);
	return context;
}

void http_pool_init(struct http_pool *pool, const struct clock *clock)
{
	pthread_mutex_init(&pool->lock, NULL);
	list_init(&pool->idle);
	pool->clock = clock;
}

void http_pool_release(struct http_pool *pool)
{
	list_for_each_safe(it, &pool->idle)
		context_free(list_entry(it, struct http_context, node));
	pthread_mutex_destroy(&pool->lock);
}

struct http_context *http_pool_take(struct http_pool *pool)
{
	{
		SCOPE_LOCK(&pool->lock);
		if (!list_empty(&pool->idle)) {
			struct list *first = pool->idle.next;

			list_del(first);
			return list_entry(first, struct http_context, node);
		}
	}
	return context_new();
}

void http_pool_put(struct http_pool *pool, struct http_context *context)
{
	struct http_context *old = NULL;

	context->idle_since = clock_mono(pool->clock);
	{
		SCOPE_LOCK(&pool->lock);
		list_add_head(&pool->idle, &context->node);
		old = list_entry(pool->idle.prev, struct http_context, node);
		if (context->idle_since - old->idle_since > IDLE_MAX)
			list_del(&old->node);
		else
			old = NULL;
	}
	context_free(old);
}
