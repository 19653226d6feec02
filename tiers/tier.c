/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wrappers around a tier's operations: what the contract (tier.h) promises to a store and to a
 * caller alike is checked, prepared and counted here, once for all tiers. A layer calls its inner
 * tier through them as well; what must happen once a request (counting, the message's first words)
 * happens where inner is NULL.
 */
#include "tiers/tier.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "model/key.h"
#include "util/list.h"

#define DEFAULT_DEADLINE_NS (30 * NSEC_PER_SEC)

/* One call under way through a wrapper. */
struct passage {
	struct tier *t;
	struct tier_call *call;
	const char *op;
	const char *key;
	dl_t given;	/* the deadline as the caller set it */
	bool by_caller; /* the caller's own callback ended the call */
};

static bool ops_complete(const struct tier_ops *ops)
{
	return ops->type && ops->probe && ops->head && ops->get && ops->put && ops->del &&
	       ops->del_many && ops->list && ops->copy && ops->set_meta && ops->share && ops->close;
}

int tier_init(struct tier *t, const struct tier_ops *ops, const char *name,
	      const struct tier_caps *caps, const struct clock *clock, struct counters *counters)
{
	char *copy;

	if (!ops_complete(ops) || caps->delete_batch == 0)
		return -EINVAL;
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	t->magic = TIER_MAGIC;
	t->ops = ops;
	t->inner = NULL;
	t->name = copy;
	t->caps = *caps;
	t->clock = clock;
	t->counters = counters;
	return 0;
}

void tier_release(struct tier *t)
{
	free((char *)t->name);
	t->name = NULL;
	t->magic = 0;
}

int tier_call_check(const struct tier *t, const struct tier_call *call)
{
	if (call->cancel && atomic_load_explicit(call->cancel, memory_order_relaxed))
		return -ECANCELED;
	if (call->deadline && clock_mono(t->clock) >= call->deadline)
		return -ETIMEDOUT;
	return 0;
}

int tier_check_metadata(const struct record *rec)
{
	struct meta_list list = {0};
	int r = record_to_meta(rec, &list);

	meta_list_release(&list);
	return r;
}

enum key_kind { KEY_NONE, KEY_OBJECT, KEY_OR_MARKER };

/* What stands below our own directory is as safe as any key, and nothing else is meant. */
static int check_control(const char *key, size_t len)
{
	const size_t own = sizeof(CONTROL_DIR); /* with the slash */

	if (len <= own || memcmp(key, CONTROL_DIR "/", own) != 0)
		return -EINVAL;
	return key_check(key + own, len - own);
}

/* Refuses what no store may be asked for, with a text. */
static int check_key(const struct passage *p, const char *key, enum key_kind kind)
{
	size_t len = strlen(key);
	int r;

	if (kind == KEY_NONE)
		return 0;
	if (kind == KEY_OR_MARKER && len > 1 && key[len - 1] == '/')
		len--;
	r = p->call->control ? check_control(key, len) : key_check(key, len);
	if (r == 0 && len > p->t->caps.max_key)
		r = -ENAMETOOLONG;
	if (r)
		return err_set(&p->call->err, r, "%s: %s %s: %s", p->t->name, p->op, key,
			       r == -ENAMETOOLONG ? "name too long for this store"
						  : "not a name that a store may hold");
	return 0;
}

/* On failure nothing has begun: no leave() follows. */
static int enter(struct passage *p, struct tier *t, struct tier_call *call, const char *op,
		 const char *key, enum key_kind kind)
{
	int r;

	assert(t->magic == TIER_MAGIC);
	*p = (struct passage){.t = t, .call = call, .op = op, .key = key, .given = call->deadline};
	call->err.text[0] = '\0';
	call->transient = call->throttled = false;
	call->retry_after_ns = 0;
	r = tier_call_check(t, call);
	if (r)
		return err_set(&call->err, r, "%s: %s %s: %s", t->name, op, key,
			       r == -ECANCELED ? "cancelled" : "no time left");
	r = check_key(p, key, kind);
	if (r == 0 && !call->deadline)
		call->deadline = clock_mono(t->clock) + DEFAULT_DEADLINE_NS;
	return r;
}

/* Takes back an enter() whose call is refused after all. */
static int refuse(const struct passage *p, int code)
{
	p->call->deadline = p->given;
	return code;
}

/* What says that a request failed, and not only that the answer is no. */
static bool is_failure(int code)
{
	return code != -ENOENT && code != -ESTALE && code != -EEXIST && code != -ECANCELED &&
	       code != -EREMOTE;
}

static int leave(struct passage *p, int ret)
{
	struct tier_call *call = p->call;
	bool store = !p->t->inner;

	call->deadline = p->given;
	if (store)
		count_one(p->t->counters, COUNTER_store_requests);
	if (ret == 0 || p->by_caller) {
		call->transient = call->throttled = false;
		return ret;
	}
	assert(ret < 0);
	if (!store)
		return ret;
	if (ret == -ETIMEDOUT)
		call->transient = true;
	if (is_failure(ret))
		count_one(p->t->counters, COUNTER_store_errors);
	if (call->err.text[0] == '\0')
		err_set(&call->err, ret, "%s", err_text(NULL, ret));
	return err_wrap(&call->err, ret, "%s: %s %s", p->t->name, p->op, p->key);
}

int tier_probe(struct tier *t, struct tier_call *call)
{
	struct passage p;
	int r = enter(&p, t, call, "probe", "", KEY_NONE);

	return r ? r : leave(&p, t->ops->probe(t, call));
}

int tier_head(struct tier *t, struct tier_call *call, const char *key, struct record *ret_rec)
{
	struct passage p;
	int r = enter(&p, t, call, "head", key, KEY_OR_MARKER);

	if (r)
		return r;
	r = t->ops->head(t, call, key, ret_rec);
	assert(r || (ret_rec->known & (REC_SIZE | REC_ETAG)) == (REC_SIZE | REC_ETAG));
	return leave(&p, r);
}

/* --- get: the sink stands behind a guard that knows what may come next --- */

struct get_guard {
	struct tier_sink sink;
	struct tier_sink *out;
	uint64_t next; /* absolute offset of the next byte */
	uint64_t end;  /* of what was asked for, clipped at the object's end */
	bool begun;
	bool ended;
	int code; /* of the sink that ended it */
};

static int guard_end(struct get_guard *g, int code)
{
	g->ended = code != 0;
	g->code = code;
	return code;
}

static int guard_begin(struct tier_sink *sink, const struct record *rec)
{
	struct get_guard *g = container_of(sink, struct get_guard, sink);

	assert(!g->begun && !g->ended);
	assert((rec->known & REC_SIZE) && (rec->known & REC_ETAG));
	g->begun = true;
	if (g->end > rec->size)
		g->end = rec->size;
	return guard_end(g, g->out->begin(g->out, rec));
}

static int guard_write(struct tier_sink *sink, const void *buf, size_t len, uint64_t off)
{
	struct get_guard *g = container_of(sink, struct get_guard, sink);

	assert(g->begun && !g->ended);
	assert(len > 0 && off == g->next && len <= g->end - off);
	g->next += len;
	return guard_end(g, g->out->write(g->out, buf, len, off));
}

int tier_get(struct tier *t, struct tier_call *call, const char *key, uint64_t off, uint64_t len,
	     const char *etag, struct tier_sink *sink)
{
	struct get_guard g = {
		.sink = {.begin = guard_begin, .write = guard_write}, .out = sink, .next = off};
	struct passage p;
	int r = enter(&p, t, call, "get", key, KEY_OBJECT);

	assert(sink->begin && sink->write);
	g.end = len > UINT64_MAX - off ? UINT64_MAX : off + len;
	if (r)
		return r;
	r = t->ops->get(t, call, key, off, len, etag && etag[0] ? etag : NULL, &g.sink);
	p.by_caller = g.ended;
	assert(!g.ended || r == g.code);
	assert(r || (g.begun && g.next >= g.end));
	return leave(&p, r);
}

/* --- writes --- */

static const struct tier_pre pre_any = {.cond = TIER_ANY};

static const struct tier_pre *pre_checked(const struct tier_pre *pre)
{
	assert(!pre || pre->cond != TIER_IF_MATCH || (pre->etag && pre->etag[0]));
	return pre ? pre : &pre_any;
}

static void assert_source(const struct tier_source *src, const struct record *rec)
{
	mode_t type = rec->known & REC_MODE ? rec->mode & S_IFMT : S_IFREG;

	assert(src->fd >= 0 || src->size == 0);
	assert(type == S_IFREG || src->size == 0);
	assert(type == S_IFREG || type == S_IFDIR || (type == S_IFLNK && rec->symlink));
}

int tier_put(struct tier *t, struct tier_call *call, const char *key, const struct tier_source *src,
	     const struct record *rec, const struct tier_pre *pre, char *ret_etag)
{
	char etag[ETAG_MAX];
	struct passage p;
	int r = enter(&p, t, call, "put", key, KEY_OBJECT);

	assert_source(src, rec);
	if (r)
		return r;
	if (src->size > t->caps.max_size)
		return refuse(&p, err_set(&call->err, -EFBIG, "%s: put %s: larger than %llu bytes",
					  t->name, key, (unsigned long long)t->caps.max_size));
	return leave(&p, t->ops->put(t, call, key, src, rec, pre_checked(pre),
				     ret_etag ? ret_etag : etag));
}

int tier_del(struct tier *t, struct tier_call *call, const char *key, bool marker, const char *etag)
{
	struct passage p;
	int r = enter(&p, t, call, "del", key, KEY_OBJECT);

	if (r)
		return r;
	return leave(&p, t->ops->del(t, call, key, marker, etag && etag[0] ? etag : NULL));
}

/* One batch: no more keys than the store takes in a request, and none that it must not see. */
static int del_batch(struct tier *t, struct tier_call *call, const char *const *keys, size_t n,
		     int *ret_codes)
{
	struct passage p;
	int r = enter(&p, t, call, "delete", keys[0], KEY_OBJECT);
	bool entered = r == 0;

	for (size_t i = 1; i < n && r == 0; i++)
		r = check_key(&p, keys[i], KEY_OBJECT);
	if (r) {
		for (size_t i = 0; i < n; i++)
			ret_codes[i] = r;
		return entered ? refuse(&p, r) : r;
	}
	r = t->ops->del_many(t, call, keys, n, ret_codes);
	for (size_t i = 0; i < n; i++)
		assert(ret_codes[i] <= 0 && (r || ret_codes[i] == 0));
	return leave(&p, r);
}

int tier_del_many(struct tier *t, struct tier_call *call, const char *const *keys, size_t n,
		  int *ret_codes)
{
	size_t batch = t->caps.delete_batch;
	struct tier_call failed;
	int first = 0;

	assert(t->magic == TIER_MAGIC);
	for (size_t at = 0; at < n; at += batch) {
		int r = del_batch(t, call, keys + at, n - at < batch ? n - at : batch,
				  ret_codes + at);

		if (r && first == 0) {
			first = r;
			failed = *call;
		}
	}
	if (first)
		*call = failed;
	return first;
}

struct list_guard {
	tier_entry_fn *fn;
	void *arg;
	bool ended;
	int code;
};

static int guard_entry(void *arg, const struct tier_entry *entry)
{
	struct list_guard *g = arg;

	assert(!g->ended && entry->key && entry->rec && !(entry->prefix && entry->marker));
	g->code = g->fn(g->arg, entry);
	g->ended = g->code != 0;
	return g->code;
}

int tier_list(struct tier *t, struct tier_call *call, const struct tier_list_req *req,
	      tier_entry_fn *fn, void *arg, char **ret_token)
{
	struct list_guard g = {.fn = fn, .arg = arg};
	char *token = NULL;
	struct passage p;
	int r = enter(&p, t, call, "list", req->prefix, KEY_NONE);

	assert(!req->token || req->token[0]);
	if (r)
		return r;
	r = t->ops->list(t, call, req, guard_entry, &g, &token);
	p.by_caller = g.ended;
	assert(!g.ended || r == g.code);
	if (r)
		free(token);
	else
		*ret_token = token;
	return leave(&p, r);
}

int tier_copy(struct tier *t, struct tier_call *call, const char *from, const char *etag,
	      const char *to, const struct record *rec, const struct tier_pre *pre, char *ret_etag)
{
	char own[ETAG_MAX];
	struct passage p;
	int r = enter(&p, t, call, "copy", from, KEY_OBJECT);

	assert(rec || strcmp(from, to) != 0);
	if (r)
		return r;
	r = check_key(&p, to, KEY_OBJECT);
	if (r)
		return refuse(&p, r);
	return leave(&p, t->ops->copy(t, call, from, etag && etag[0] ? etag : NULL, to, rec,
				      pre_checked(pre), ret_etag ? ret_etag : own));
}

int tier_set_meta(struct tier *t, struct tier_call *call, const char *key, const char *etag,
		  const struct record *rec, char *ret_etag)
{
	char own[ETAG_MAX];
	struct passage p;
	int r = enter(&p, t, call, "set metadata of", key, KEY_OBJECT);

	if (r)
		return r;
	return leave(&p, t->ops->set_meta(t, call, key, etag && etag[0] ? etag : NULL, rec,
					  ret_etag ? ret_etag : own));
}

int tier_share(struct tier *t, struct tier_call *call, const char *key, const char *etag,
	       int dst_dirfd, const char *name, struct record *ret_rec)
{
	struct passage p;
	int r = enter(&p, t, call, "share", key, KEY_OBJECT);

	if (r)
		return r;
	return leave(&p, t->ops->share(t, call, key, etag && etag[0] ? etag : NULL, dst_dirfd, name,
				       ret_rec));
}

void tier_close(struct tier *t)
{
	if (!t)
		return;
	assert(t->magic == TIER_MAGIC);
	t->ops->close(t);
}

/* --- defaults --- */

int tier_default_del_many(struct tier *t, struct tier_call *call, const char *const *keys, size_t n,
			  int *ret_codes)
{
	struct err first_text = {{0}};
	int first = 0;

	for (size_t i = 0; i < n; i++) {
		int r = tier_call_check(t, call);

		if (r == 0)
			r = t->ops->del(t, call, keys[i], false, NULL);
		ret_codes[i] = r;
		if (r && first == 0) {
			first = r;
			first_text = call->err;
		}
	}
	call->err = first_text;
	return first;
}

int tier_default_copy(struct tier *t, struct tier_call *call, const char *from, const char *etag,
		      const char *to, const struct record *rec, const struct tier_pre *pre,
		      char *ret_etag)
{
	(void)t, (void)from, (void)etag, (void)to, (void)rec, (void)pre, (void)ret_etag;
	return err_set(&call->err, -EOPNOTSUPP, "this store has no copy");
}

int tier_default_share(struct tier *t, struct tier_call *call, const char *key, const char *etag,
		       int dst_dirfd, const char *name, struct record *ret_rec)
{
	(void)t, (void)key, (void)etag, (void)dst_dirfd, (void)name, (void)ret_rec;
	return err_set(&call->err, -EOPNOTSUPP, "this store does not share bodies");
}
