/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zstd: packs objects on their way into a store, and unpacks them on their way out. A packed object
 * has Content-Encoding zstd and, in its metadata, plain_size and the XXH3 of the plain bytes; size
 * and bytes that go up from here are the plain ones. What somebody else encoded has no plain_size
 * and goes up as the bytes that it is.
 *
 *  - A get does not know what it will meet. Where begin tells of a packed object and the answer is
 *    not all of it, the get is ended and sent again for the whole of that version; it is unpacked
 *    from the beginning up to the last byte that is wanted. So readers had better read all at once
 *    (record.packed says so), and objects above ZSTD_PLAIN_MAX are not packed.
 *  - What unpacks to another size than the metadata says, asks for a window above 8 MiB, or, read
 *    to its end, has another XXH3, is -EIO. Bytes before that point may have reached the sink, as
 *    with any get that fails.
 *  - New metadata replaces the encoding in a store as well, so set_meta and a copy with a record
 *    look at what is there first: a request more.
 *  - A listing that does not tell the encoding does not tell the plain size either: REC_SIZE is
 *    taken from what may_be_packed says yes to.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <zstd.h>

#include "tiers/layer.h"
#include "tiers/stores.h"
#include "tiers/zstd_codec.h"
#include "util/cleanup.h"
#include "util/list.h"

#define CHASE_MAX 3 /* versions that may come in between the two requests of a get */

struct zstd_layer {
	struct tier base;
	struct zstd_conf conf;
};

static struct zstd_layer *layer_of(struct tier *t);

/* --- what goes up --- */

static bool is_packed(const struct record *rec)
{
	return (rec->known & REC_ENCODING) && strcmp(rec->encoding, ENCODING_ZSTD) == 0 &&
	       rec->plain_size != PLAIN_SIZE_UNKNOWN;
}

/* In place: as those see it who know of no encoding. */
static void show_plain(struct record *rec)
{
	rec->packed = is_packed(rec);
	if (rec->packed) {
		rec->size = rec->plain_size;
		rec->known |= REC_SIZE;
	}
	rec->encoding[0] = '\0';
	rec->plain_size = 0;
	rec->known &= ~(uint32_t)REC_ENCODING;
}

static int zl_head(struct tier *t, struct tier_call *call, const char *key, struct record *ret_rec)
{
	int r = tier_head(t->inner, call, key, ret_rec);

	if (r == 0)
		show_plain(ret_rec);
	return r;
}

/* --- get --- */

enum get_mode {
	GET_PLAIN,   /* bytes go through as they are */
	GET_UNPACK,  /* the answer is the whole packed object */
	GET_WHOLE,   /* the answer is a part of one: all of version is to be asked for */
	GET_DONE,    /* nothing of the object is wanted */
	GET_REFUSED, /* and why is in reason */
};

#define GET_STOP 1 /* what ends the inner get where the sink above did not */

struct unpacking {
	struct tier_sink sink;
	struct tier_sink *out;
	const struct tier *t;
	const struct tier_call *call;
	uint64_t off, end;
	enum get_mode mode;
	bool asked_whole; /* the inner get is for all bytes that there are */
	bool begun;	  /* out was told */
	bool by_sink;	  /* out ended it */
	bool broken;	  /* the packed bytes did */
	bool passing;	  /* GET_REFUSED: may succeed if it is sent again */
	struct unpack *unpack;
	char version[ETAG_MAX];
	const char *reason;
};

static const char *refusal(const struct record *rec)
{
	if (rec->plain_size > ZSTD_PLAIN_MAX)
		return "it says that it unpacks to more than is taken";
	if (rec->size > ZSTD_compressBound((size_t)rec->plain_size))
		return "it is larger than what it says that it unpacks to";
	return NULL;
}

static int begin_out(struct unpacking *g, const struct record *shown)
{
	int r = g->out->begin(g->out, shown);

	g->begun = true;
	g->by_sink = r != 0;
	return r;
}

static int refuse(struct unpacking *g, const char *reason)
{
	g->mode = GET_REFUSED;
	g->reason = reason;
	return GET_STOP;
}

static int begin_packed(struct unpacking *g, const struct record *rec)
{
	struct record shown = *rec; /* shares its strings */
	int r;

	memcpy(g->version, rec->etag, ETAG_MAX);
	if (refusal(rec))
		return refuse(g, refusal(rec));
	show_plain(&shown);
	if (g->off >= shown.size || g->end <= g->off)
		g->mode = GET_DONE;
	else if (g->asked_whole || (g->off == 0 && g->end >= rec->size))
		g->mode = GET_UNPACK;
	else
		g->mode = GET_WHOLE;
	if (g->mode == GET_WHOLE)
		return GET_STOP;
	if (g->mode == GET_UNPACK) {
		const struct unpack_conf conf = {
			.t = g->t,
			.call = g->call,
			.size = shown.size,
			.off = g->off,
			.end = g->end,
			.want = shown.known & REC_XXH3 ? shown.xxh3 : (struct xxh3){{0}},
			.out = g->out};

		r = unpack_new(&conf, &g->unpack);
		if (r)
			return r;
	}
	r = begin_out(g, &shown);
	return r == 0 && g->mode == GET_DONE ? GET_STOP : r;
}

static int get_begin(struct tier_sink *sink, const struct record *rec)
{
	struct unpacking *g = container_of(sink, struct unpacking, sink);
	struct record shown = *rec;

	if (is_packed(rec))
		return begin_packed(g, rec);
	if (g->asked_whole) {
		g->passing = true;
		return refuse(g, "it is none any more");
	}
	g->mode = GET_PLAIN;
	show_plain(&shown);
	return begin_out(g, &shown);
}

static int get_write(struct tier_sink *sink, const void *buf, size_t len, uint64_t off)
{
	struct unpacking *g = container_of(sink, struct unpacking, sink);
	int r;

	if (g->mode == GET_UNPACK) {
		r = unpack_feed(g->unpack, buf, len, &g->by_sink);
		g->broken = r == -EIO && !g->by_sink;
		return r;
	}
	r = g->out->write(g->out, buf, len, off);
	g->by_sink = r != 0;
	return r;
}

/* What the inner get's end means for ours. *ret_reason: why it is -EIO, where that is our word. */
static int get_ended(const struct unpacking *g, int r, const char **ret_reason)
{
	if (g->by_sink || g->mode == GET_PLAIN || g->mode == GET_WHOLE)
		return r;
	if (g->mode == GET_DONE)
		return r == GET_STOP ? 0 : r;
	if (g->mode == GET_REFUSED) {
		*ret_reason = g->reason;
		return -EIO;
	}
	if (r == UNPACK_ENOUGH)
		return 0;
	if (r == 0)
		r = unpack_end(g->unpack);
	else if (!g->broken)
		return r;
	if (r)
		*ret_reason = unpack_reason(g->unpack);
	return r;
}

static int get_once(struct tier *t, struct tier_call *call, const char *key, uint64_t len,
		    const char *etag, struct unpacking *g)
{
	const char *reason = NULL;
	int r = tier_get(t->inner, call, key, g->off, len, etag, &g->sink);

	if (g->mode == GET_WHOLE && r == GET_STOP) {
		g->asked_whole = true;
		r = tier_get(t->inner, call, key, 0, UINT64_MAX, g->version, &g->sink);
	}
	r = get_ended(g, r, &reason);
	if (reason) {
		call->transient = g->passing;
		err_set(&call->err, r, "%s: get %s: packed object: %s", t->name, key, reason);
	}
	return r;
}

static int zl_get(struct tier *t, struct tier_call *call, const char *key, uint64_t off,
		  uint64_t len, const char *etag, struct tier_sink *sink)
{
	uint64_t end = len > UINT64_MAX - off ? UINT64_MAX : off + len;
	int r = -ESTALE;

	for (int i = 0; i < CHASE_MAX && r == -ESTALE; i++) {
		struct unpacking g = {.sink = {.begin = get_begin, .write = get_write},
				      .out = sink,
				      .t = t,
				      .call = call,
				      .off = off,
				      .end = end};

		r = get_once(t, call, key, len, etag, &g);
		unpack_free(g.unpack);
		if (etag || g.begun)
			return r;
	}
	if (r == -ESTALE) {
		call->transient = true;
		r = err_set(&call->err, -EIO, "%s: get %s: it keeps changing", t->name, key);
	}
	return r;
}

/* --- put --- */

static bool is_wanted(const struct zstd_layer *zl, const struct tier_source *src,
		      const struct record *rec)
{
	bool regular = !(rec->known & REC_MODE) || S_ISREG(rec->mode);

	return regular && src->packing.zstd && src->size > 0 &&
	       src->size >= src->packing.min_size && src->size <= zl->conf.max_size;
}

/* Bytes as they are: an encoding that came with a record from elsewhere is not theirs. */
static int put_plain(struct tier *t, struct tier_call *call, const char *key,
		     const struct tier_source *src, const struct record *rec,
		     const struct tier_pre *pre, char *ret_etag)
{
	struct record plain = *rec;

	plain.encoding[0] = '\0';
	plain.known |= REC_ENCODING;
	return tier_put(t->inner, call, key, src, &plain, pre, ret_etag);
}

static int put_packed(struct tier *t, struct tier_call *call, const char *key,
		      const struct packed *packed, uint64_t size, const struct record *rec,
		      const struct tier_pre *pre, char *ret_etag)
{
	const struct tier_source src = {
		.fd = packed->fd, .size = packed->size, .xxh3 = packed->xxh3};
	struct record out = *rec;

	memcpy(out.encoding, ENCODING_ZSTD, sizeof(ENCODING_ZSTD));
	out.plain_size = size;
	out.xxh3 = packed->plain;
	out.known |= REC_ENCODING | REC_XXH3;
	return tier_put(t->inner, call, key, &src, &out, pre, ret_etag);
}

static int zl_put(struct tier *t, struct tier_call *call, const char *key,
		  const struct tier_source *src, const struct record *rec,
		  const struct tier_pre *pre, char *ret_etag)
{
	const struct zstd_layer *zl = layer_of(t);
	struct packed packed;
	int r;

	if (!is_wanted(zl, src, rec))
		return put_plain(t, call, key, src, rec, pre, ret_etag);
	r = zstd_pack(t, call, src, zl->conf.tmp_dirfd, zl->conf.always, &packed);
	if (r)
		return err_wrap(&call->err, r, "%s: pack %s", t->name, key);
	if (packed.fd < 0)
		return put_plain(t, call, key, src, rec, pre, ret_etag);
	r = put_packed(t, call, key, &packed, src->size, rec, pre, ret_etag);
	close(packed.fd);
	return r;
}

/* --- metadata --- */

/* rec with the encoding of the version that is there, whose etag is copied. -ESTALE, -ENOENT. */
static int with_encoding(struct tier *t, struct tier_call *call, const char *key, const char *etag,
			 const struct record *rec, struct record *ret, char ret_etag[ETAG_MAX])
{
	struct record now;
	int r;

	record_init(&now);
	r = tier_head(t->inner, call, key, &now);
	if (r == 0 && etag && strcmp(etag, now.etag) != 0)
		r = err_set(&call->err, -ESTALE, "%s: the version of %s is %s now", t->name, key,
			    now.etag);
	if (r == 0) {
		*ret = *rec; /* shares its strings */
		memcpy(ret->encoding, now.encoding, ENCODING_MAX);
		ret->plain_size = now.plain_size;
		ret->known |= now.known & REC_ENCODING;
		memcpy(ret_etag, now.etag, ETAG_MAX);
	}
	record_release(&now);
	return r;
}

static bool is_dir(const struct record *rec)
{
	return (rec->known & REC_MODE) && S_ISDIR(rec->mode);
}

static int zl_copy(struct tier *t, struct tier_call *call, const char *from, const char *etag,
		   const char *to, const struct record *rec, const struct tier_pre *pre,
		   char *ret_etag)
{
	char now[ETAG_MAX];
	struct record out;
	int r = -ESTALE;

	if (!rec || is_dir(rec))
		return tier_copy(t->inner, call, from, etag, to, rec, pre, ret_etag);
	for (int i = 0; i < CHASE_MAX && r == -ESTALE; i++) {
		r = with_encoding(t, call, from, etag, rec, &out, now);
		if (r == 0)
			r = tier_copy(t->inner, call, from, now, to, &out, pre, ret_etag);
		if (etag || pre->cond == TIER_IF_MATCH)
			break;
	}
	return r;
}

static int zl_set_meta(struct tier *t, struct tier_call *call, const char *key, const char *etag,
		       const struct record *rec, char *ret_etag)
{
	char now[ETAG_MAX];
	struct record out;
	int r = -ESTALE;

	if (is_dir(rec))
		return tier_set_meta(t->inner, call, key, etag, rec, ret_etag);
	for (int i = 0; i < CHASE_MAX && r == -ESTALE; i++) {
		r = with_encoding(t, call, key, etag, rec, &out, now);
		if (r == 0)
			r = tier_set_meta(t->inner, call, key, now, &out, ret_etag);
		if (etag)
			break;
	}
	return r;
}

/* --- list, share --- */

struct listing {
	const struct zstd_layer *zl;
	tier_entry_fn *fn;
	void *arg;
};

static bool may_be_packed(const struct zstd_layer *zl, const struct tier_entry *entry)
{
	return !zl->conf.may_be_packed ||
	       zl->conf.may_be_packed(zl->conf.arg, entry->key, entry->key_len);
}

static int tell(void *arg, const struct tier_entry *entry)
{
	const struct listing *l = arg;
	struct tier_entry shown = *entry;
	struct record rec = *entry->rec; /* shares its strings */

	if (entry->prefix || entry->marker)
		return l->fn(l->arg, entry);
	if (!(rec.known & REC_ENCODING) && may_be_packed(l->zl, entry))
		rec.known &= ~(uint32_t)REC_SIZE;
	show_plain(&rec);
	shown.rec = &rec;
	return l->fn(l->arg, &shown);
}

static int zl_list(struct tier *t, struct tier_call *call, const struct tier_list_req *req,
		   tier_entry_fn *fn, void *arg, char **ret_token)
{
	struct listing l = {.zl = layer_of(t), .fn = fn, .arg = arg};

	return tier_list(t->inner, call, req, tell, &l, ret_token);
}

/* The body that would be shared is the packed one. */
static int zl_share(struct tier *t, struct tier_call *call, const char *key, const char *etag,
		    int dst_dirfd, const char *name, struct record *ret_rec)
{
	int r = tier_share(t->inner, call, key, etag, dst_dirfd, name, ret_rec);

	if (r)
		return r;
	if (!is_packed(ret_rec)) {
		show_plain(ret_rec);
		return 0;
	}
	record_release(ret_rec);
	if (unlinkat(dst_dirfd, name, 0) < 0)
		return -errno;
	return err_set(&call->err, -EOPNOTSUPP, "%s: share %s: it is packed", t->name, key);
}

static void zl_close(struct tier *t)
{
	struct zstd_layer *zl = layer_of(t);

	layer_release(t);
	free(zl);
}

static const struct tier_ops zstd_ops = {
	.type = "zstd",
	.probe = layer_pass_probe,
	.head = zl_head,
	.get = zl_get,
	.put = zl_put,
	.del = layer_pass_del,
	.del_many = layer_pass_del_many,
	.list = zl_list,
	.copy = zl_copy,
	.set_meta = zl_set_meta,
	.share = zl_share,
	.close = zl_close,
};

static struct zstd_layer *layer_of(struct tier *t)
{
	assert(t->ops == &zstd_ops);
	return (struct zstd_layer *)t;
}

int zstd_create(const struct zstd_conf *conf, struct tier *inner, struct tier **ret_tier)
{
	struct zstd_layer *zl = calloc(1, sizeof(*zl));
	int r;

	if (!zl)
		return -ENOMEM;
	zl->conf = *conf;
	if (!zl->conf.max_size || zl->conf.max_size > ZSTD_PLAIN_MAX)
		zl->conf.max_size = ZSTD_PLAIN_MAX;
	r = layer_init(&zl->base, &zstd_ops, inner);
	if (r) {
		free(zl);
		return r;
	}
	*ret_tier = &zl->base;
	return 0;
}
