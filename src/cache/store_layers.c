/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layers over a store, outermost first: packing, manifests where its listings are blind, and
 * what makes it reliable.
 */
#include "cache/store_layers.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "model/policy.h"
#include "util/fsutil.h"

/*
 * Packed bytes wait in the staging directory, beside the budget: so much of it at most for each
 * upload.
 */
#define PACK_MAX (256ULL << 20)

/*
 * Outermost first: breaker, retry, trace. An open breaker answers at once, without any retry.
 */
static int stack_reliable(struct cache *c)
{
	const struct config *conf = c->config;
	struct retry_conf rc = {.tries = conf->network.tries,
				.min_ns = conf->network.retry_min_ms * NSEC_PER_MSEC,
				.max_ns = conf->network.retry_max_ms * NSEC_PER_MSEC};
	struct breaker_conf bc = {.after = conf->network.breaker_after,
				  .for_ns = conf->network.breaker_for_ms * NSEC_PER_MSEC};
	int r = 0;

	if (conf->log.level == LOG_LEVEL_DEBUG)
		r = trace_create(c->store, &c->store);
	if (!r)
		r = retry_create(&rc, c->store, &c->store);
	if (!r)
		r = breaker_create(&bc, c->store, &c->store);
	if (!r)
		c->breaker = c->store;
	return r;
}

/* Who we are among the store's users: the cache directory's UUID, the second word of FORMAT. */
static int read_host(const struct cache *c, char host[64])
{
	CLEANUP_FREE char *text = NULL;
	size_t len;
	int r = fs_read_file(c->dir.fd, "FORMAT", 4096, &text, &len);

	if (r)
		return r;
	return sscanf(text, "%*s %*u %63s", host) == 1 ? 0 : -EPROTO;
}

static int stack_manifest(struct cache *c, const struct conf_tier *t)
{
	char host[64];
	struct manifest_conf conf = {.host = host, .read_only = t->read_only};
	int r;

	if (tier_can(c->store, TIER_CAP_LIST_RECORDS))
		return 0;
	r = read_host(c, host);
	if (!r)
		r = manifest_create(&conf, c->store, &c->store);
	if (!r)
		c->manifest = c->store;
	return r;
}

/* By the class of the name, as this host's configuration has it. */
static bool may_be_packed(void *arg, const char *key, size_t len)
{
	const struct cache *c = arg;
	struct policy_set *set = c->config->policy ? policy_box_get(c->config->policy) : NULL;
	const struct class_policy *class;
	bool packed = false;

	if (!set)
		return false;
	class = policy_match(set, key, len, NULL);
	packed = policy_of(set, class->index, c->store_tier)->compression.level > 0;
	policy_set_unref(set);
	return packed;
}

int store_stack_layers(struct cache *c, const struct conf_tier *t)
{
	const struct zstd_conf conf = {.tmp_dirfd = c->dir.staging_fd,
				       .max_size = PACK_MAX,
				       .may_be_packed = may_be_packed,
				       .arg = c};
	int r = stack_reliable(c);

	if (!r)
		r = stack_manifest(c, t);
	return r ? r : zstd_create(&conf, c->store, &c->store);
}

void store_flush_manifests(struct cache *c, dl_t deadline, const atomic_bool *cancel)
{
	struct tier_call call = {.deadline = deadline, .cancel = cancel};

	if (c->manifest)
		(void)manifest_flush(c->manifest, &call);
}
