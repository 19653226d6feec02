/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace: logs each call at debug level, with its time and its result. The one layer that logs: that
 * is what it is for, and it is stacked only where somebody asked to see the calls.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "tiers/layer.h"
#include "tiers/stores.h"
#include "util/log.h"

#define TRACE(t, call, sent, fmt, ...)                                                             \
	({                                                                                         \
		int64_t start_ = clock_mono((t)->clock);                                           \
		int r_ = (sent);                                                                   \
		double ms_ = (double)(clock_mono((t)->clock) - start_) / NSEC_PER_MSEC;            \
		log_debug("%s: " fmt ": %s (%.3f ms)%s%s", (t)->name, __VA_ARGS__,                 \
			  r_ ? err_text(&(call)->err, r_) : "ok", ms_,                             \
			  (call)->transient ? " transient" : "",                                   \
			  (call)->throttled ? " throttled" : "");                                  \
		r_;                                                                                \
	})

static const char *or_dash(const char *s)
{
	return s && s[0] ? s : "-";
}

static const char *cond_text(const struct tier_pre *pre)
{
	switch (pre->cond) {
	case TIER_IF_ABSENT:
		return "absent";
	case TIER_IF_MATCH:
		return pre->etag;
	case TIER_ANY:
		break;
	}
	return "-";
}

static int trace_probe(struct tier *t, struct tier_call *call)
{
	return TRACE(t, call, tier_probe(t->inner, call), "%s", "probe");
}

static int trace_head(struct tier *t, struct tier_call *call, const char *key,
		      struct record *ret_rec)
{
	return TRACE(t, call, tier_head(t->inner, call, key, ret_rec), "head %s", key);
}

static int trace_get(struct tier *t, struct tier_call *call, const char *key, uint64_t off,
		     uint64_t len, const char *etag, struct tier_sink *sink)
{
	return TRACE(t, call, tier_get(t->inner, call, key, off, len, etag, sink),
		     "get %s off=%" PRIu64 " len=%" PRIu64 " etag=%s", key, off, len,
		     or_dash(etag));
}

static int trace_put(struct tier *t, struct tier_call *call, const char *key,
		     const struct tier_source *src, const struct record *rec,
		     const struct tier_pre *pre, char *ret_etag)
{
	return TRACE(t, call, tier_put(t->inner, call, key, src, rec, pre, ret_etag),
		     "put %s size=%" PRIu64 " if=%s", key, src->size, cond_text(pre));
}

static int trace_del(struct tier *t, struct tier_call *call, const char *key, bool marker,
		     const char *etag)
{
	return TRACE(t, call, tier_del(t->inner, call, key, marker, etag), "del %s%s etag=%s", key,
		     marker ? "/" : "", or_dash(etag));
}

static int trace_del_many(struct tier *t, struct tier_call *call, const char *const *keys, size_t n,
			  int *ret_codes)
{
	return TRACE(t, call, tier_del_many(t->inner, call, keys, n, ret_codes), "del_many %s +%zu",
		     keys[0], n - 1);
}

static int trace_list(struct tier *t, struct tier_call *call, const struct tier_list_req *req,
		      tier_entry_fn *fn, void *arg, char **ret_token)
{
	return TRACE(t, call, tier_list(t->inner, call, req, fn, arg, ret_token),
		     "list prefix=%s%s after=%s", or_dash(req->prefix), req->delimiter ? " /" : "",
		     or_dash(req->token));
}

static int trace_copy(struct tier *t, struct tier_call *call, const char *from, const char *etag,
		      const char *to, const struct record *rec, const struct tier_pre *pre,
		      char *ret_etag)
{
	return TRACE(t, call, tier_copy(t->inner, call, from, etag, to, rec, pre, ret_etag),
		     "copy %s etag=%s to %s%s if=%s", from, or_dash(etag), to,
		     rec ? " with metadata" : "", cond_text(pre));
}

static int trace_set_meta(struct tier *t, struct tier_call *call, const char *key, const char *etag,
			  const struct record *rec, char *ret_etag)
{
	return TRACE(t, call, tier_set_meta(t->inner, call, key, etag, rec, ret_etag),
		     "set_meta %s etag=%s", key, or_dash(etag));
}

static int trace_share(struct tier *t, struct tier_call *call, const char *key, const char *etag,
		       int dst_dirfd, const char *name, struct record *ret_rec)
{
	return TRACE(t, call, tier_share(t->inner, call, key, etag, dst_dirfd, name, ret_rec),
		     "share %s etag=%s as %s", key, or_dash(etag), name);
}

static void trace_close(struct tier *t)
{
	layer_release(t);
	free(t);
}

static const struct tier_ops trace_ops = {
	.type = "trace",
	.probe = trace_probe,
	.head = trace_head,
	.get = trace_get,
	.put = trace_put,
	.del = trace_del,
	.del_many = trace_del_many,
	.list = trace_list,
	.copy = trace_copy,
	.set_meta = trace_set_meta,
	.share = trace_share,
	.close = trace_close,
};

int trace_create(struct tier *inner, struct tier **ret_tier)
{
	struct tier *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	r = layer_init(t, &trace_ops, inner);
	if (r) {
		free(t);
		return r;
	}
	*ret_tier = t;
	return 0;
}
