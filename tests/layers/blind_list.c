/* SPDX-License-Identifier: Apache-2.0 */
/* A layer whose listing tells what S3's tells (blind_list.h). */
#include "blind_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tiers/layer.h"

/* A store with such a listing keeps bytes for a link. */
static uint64_t stored_size(const struct record *rec)
{
	return (rec->known & REC_MODE) && S_ISLNK(rec->mode) ? TIER_SYMLINK_SIZE : rec->size;
}

static int blind_head(struct tier *t, struct tier_call *call, const char *key,
		      struct record *ret_rec)
{
	int r = tier_head(t->inner, call, key, ret_rec);

	if (r == 0)
		ret_rec->size = stored_size(ret_rec);
	return r;
}

static int blind_get(struct tier *t, struct tier_call *call, const char *key, uint64_t off,
		     uint64_t len, const char *etag, struct tier_sink *sink)
{
	return tier_get(t->inner, call, key, off, len, etag, sink);
}

static int blind_put(struct tier *t, struct tier_call *call, const char *key,
		     const struct tier_source *src, const struct record *rec,
		     const struct tier_pre *pre, char *ret_etag)
{
	return tier_put(t->inner, call, key, src, rec, pre, ret_etag);
}

struct telling {
	tier_entry_fn *fn;
	void *arg;
};

static int tell(void *arg, const struct tier_entry *entry)
{
	const struct telling *telling = arg;
	struct tier_entry blind = *entry;
	struct record rec;

	record_init(&rec);
	rec.known = entry->rec->known & (REC_SIZE | REC_ETAG);
	rec.size = stored_size(entry->rec);
	/* Not the time of the version, but of the record: S3 would not tell that. */
	rec.mtime_ns = 0;
	memcpy(rec.etag, entry->rec->etag, ETAG_MAX);
	blind.rec = &rec;
	return telling->fn(telling->arg, &blind);
}

static int blind_list(struct tier *t, struct tier_call *call, const struct tier_list_req *req,
		      tier_entry_fn *fn, void *arg, char **ret_token)
{
	struct telling telling = {.fn = fn, .arg = arg};

	return tier_list(t->inner, call, req, tell, &telling, ret_token);
}

static int blind_copy(struct tier *t, struct tier_call *call, const char *from, const char *etag,
		      const char *to, const struct record *rec, const struct tier_pre *pre,
		      char *ret_etag)
{
	return tier_copy(t->inner, call, from, etag, to, rec, pre, ret_etag);
}

static int blind_set_meta(struct tier *t, struct tier_call *call, const char *key, const char *etag,
			  const struct record *rec, char *ret_etag)
{
	return tier_set_meta(t->inner, call, key, etag, rec, ret_etag);
}

static void blind_close(struct tier *t)
{
	layer_release(t);
	free(t);
}

static const struct tier_ops blind_ops = {
	.type = "blind",
	.probe = layer_pass_probe,
	.head = blind_head,
	.get = blind_get,
	.put = blind_put,
	.del = layer_pass_del,
	.del_many = layer_pass_del_many,
	.list = blind_list,
	.copy = blind_copy,
	.set_meta = blind_set_meta,
	.share = layer_pass_share,
	.close = blind_close,
};

int blind_list_create(struct tier *inner, struct tier **ret_tier)
{
	struct tier *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	r = layer_init(t, &blind_ops, inner);
	if (r) {
		free(t);
		return r;
	}
	t->caps.flags &= ~(unsigned int)TIER_CAP_LIST_RECORDS;
	*ret_tier = t;
	return 0;
}
