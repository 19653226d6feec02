/* SPDX-License-Identifier: Apache-2.0 */
/* A layer that asks for all that is put to be packed, as a cache's policy would. */
#include "packer.h"

#include <errno.h>
#include <stdlib.h>

#include "tiers/layer.h"

static int packer_head(struct tier *t, struct tier_call *call, const char *key,
		       struct record *ret_rec)
{
	return tier_head(t->inner, call, key, ret_rec);
}

static int packer_get(struct tier *t, struct tier_call *call, const char *key, uint64_t off,
		      uint64_t len, const char *etag, struct tier_sink *sink)
{
	return tier_get(t->inner, call, key, off, len, etag, sink);
}

static int packer_put(struct tier *t, struct tier_call *call, const char *key,
		      const struct tier_source *src, const struct record *rec,
		      const struct tier_pre *pre, char *ret_etag)
{
	struct tier_source packing = *src;

	packing.packing = (struct tier_packing){.zstd = true, .level = 1};
	return tier_put(t->inner, call, key, &packing, rec, pre, ret_etag);
}

static int packer_list(struct tier *t, struct tier_call *call, const struct tier_list_req *req,
		       tier_entry_fn *fn, void *arg, char **ret_token)
{
	return tier_list(t->inner, call, req, fn, arg, ret_token);
}

static int packer_copy(struct tier *t, struct tier_call *call, const char *from, const char *etag,
		       const char *to, const struct record *rec, const struct tier_pre *pre,
		       char *ret_etag)
{
	return tier_copy(t->inner, call, from, etag, to, rec, pre, ret_etag);
}

static int packer_set_meta(struct tier *t, struct tier_call *call, const char *key,
			   const char *etag, const struct record *rec, char *ret_etag)
{
	return tier_set_meta(t->inner, call, key, etag, rec, ret_etag);
}

static void packer_close(struct tier *t)
{
	layer_release(t);
	free(t);
}

static const struct tier_ops packer_ops = {
	.type = "packer",
	.probe = layer_pass_probe,
	.head = packer_head,
	.get = packer_get,
	.put = packer_put,
	.del = layer_pass_del,
	.del_many = layer_pass_del_many,
	.list = packer_list,
	.copy = packer_copy,
	.set_meta = packer_set_meta,
	.share = layer_pass_share,
	.close = packer_close,
};

int packer_create(struct tier *inner, struct tier **ret_tier)
{
	struct tier *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	r = layer_init(t, &packer_ops, inner);
	if (r) {
		free(t);
		return r;
	}
	*ret_tier = t;
	return 0;
}
