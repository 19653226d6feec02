/* SPDX-License-Identifier: Apache-2.0 */
/* A layer that writes down what passes it (layer_fixture.h). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layer_fixture.h"
#include "tiers/layer.h"

struct recorder {
	struct tier base;
	struct recorder_conf conf;
};

static struct recorder *note(struct tier *t, const char *op, const char *key)
{
	struct recorder *rec = (struct recorder *)t;
	struct tape *tape = rec->conf.tape;

	if (tape)
		tape->len += (size_t)snprintf(tape->text + tape->len,
					      sizeof(tape->text) - tape->len, "%s %s %s\n",
					      rec->conf.name, op, key);
	return rec;
}

static int rec_probe(struct tier *t, struct tier_call *call)
{
	note(t, "probe", "-");
	return tier_probe(t->inner, call);
}

static int rec_head(struct tier *t, struct tier_call *call, const char *key, struct record *ret_rec)
{
	struct recorder *rec = note(t, "head", key);
	int r = rec->conf.on_head ? rec->conf.on_head(rec->conf.arg, call) : 0;

	return r ? r : tier_head(t->inner, call, key, ret_rec);
}

static int rec_get(struct tier *t, struct tier_call *call, const char *key, uint64_t off,
		   uint64_t len, const char *etag, struct tier_sink *sink)
{
	note(t, "get", key);
	return tier_get(t->inner, call, key, off, len, etag, sink);
}

static int rec_put(struct tier *t, struct tier_call *call, const char *key,
		   const struct tier_source *src, const struct record *rec,
		   const struct tier_pre *pre, char *ret_etag)
{
	note(t, "put", key);
	return tier_put(t->inner, call, key, src, rec, pre, ret_etag);
}

static int rec_del(struct tier *t, struct tier_call *call, const char *key, bool marker,
		   const char *etag)
{
	note(t, "del", key);
	return tier_del(t->inner, call, key, marker, etag);
}

static int rec_del_many(struct tier *t, struct tier_call *call, const char *const *keys, size_t n,
			int *ret_codes)
{
	struct recorder *rec = (struct recorder *)t;
	int r = 0;

	for (size_t i = 0; i < n; i++) {
		note(t, "del_many", keys[i]);
		if (rec->conf.refuse_once && strcmp(keys[i], rec->conf.refuse_once) == 0) {
			rec->conf.refuse_once = NULL;
			r = ret_codes[i] = -EIO;
			continue;
		}
		ret_codes[i] = tier_del(t->inner, call, keys[i], false, NULL);
	}
	call->transient = r != 0;
	return r;
}

static int rec_list(struct tier *t, struct tier_call *call, const struct tier_list_req *req,
		    tier_entry_fn *fn, void *arg, char **ret_token)
{
	note(t, "list", req->prefix);
	return tier_list(t->inner, call, req, fn, arg, ret_token);
}

static int rec_copy(struct tier *t, struct tier_call *call, const char *from, const char *etag,
		    const char *to, const struct record *rec, const struct tier_pre *pre,
		    char *ret_etag)
{
	note(t, "copy", from);
	return tier_copy(t->inner, call, from, etag, to, rec, pre, ret_etag);
}

static int rec_set_meta(struct tier *t, struct tier_call *call, const char *key, const char *etag,
			const struct record *rec, char *ret_etag)
{
	note(t, "set_meta", key);
	return tier_set_meta(t->inner, call, key, etag, rec, ret_etag);
}

static int rec_share(struct tier *t, struct tier_call *call, const char *key, const char *etag,
		     int dst_dirfd, const char *name, struct record *ret_rec)
{
	note(t, "share", key);
	return tier_share(t->inner, call, key, etag, dst_dirfd, name, ret_rec);
}

static void rec_close(struct tier *t)
{
	note(t, "close", "-");
	layer_release(t);
	free(t);
}

static const struct tier_ops recorder_ops = {
	.type = "recorder",
	.probe = rec_probe,
	.head = rec_head,
	.get = rec_get,
	.put = rec_put,
	.del = rec_del,
	.del_many = rec_del_many,
	.list = rec_list,
	.copy = rec_copy,
	.set_meta = rec_set_meta,
	.share = rec_share,
	.close = rec_close,
};

struct tier *recorder_new(const struct recorder_conf *conf, struct tier *inner)
{
	struct recorder *rec = calloc(1, sizeof(*rec));

	assert_non_null(rec);
	rec->conf = *conf;
	assert_int_equal(layer_init(&rec->base, &recorder_ops, inner), 0);
	return &rec->base;
}
