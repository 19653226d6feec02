/* SPDX-License-Identifier: Apache-2.0 */
/*
 * retry: sends a call again that failed in passing, after a pause that doubles, with jitter, and is
 * never shorter than what the store asked for. A pause that the deadline does not leave room for is
 * not begun: the last failure is the answer then, at once.
 *
 * What makes a call safe to send again, when the answer of the last try may have been lost:
 *
 *	probe, head		always
 *	get			until the first byte reached the sink. A begin that went through is
 *				not repeated: the next try is pinned to that version
 *	list			until the first entry was told
 *	del, del_many		always: what is gone stays gone, and only failed keys are sent again
 *	put, copy, set_meta	with a precondition that the store holds atomically. Without one, a
 *				second try could overwrite what another host wrote after our first
 *				took effect; then only a refusal (throttled) is tried again
 *	share			never: it works on the local disk
 *
 * The precondition brings its own riddle: the second try of a put that took effect answers -EEXIST
 * or -ESTALE, because of our own version. So after a lost answer such a refusal is looked into:
 * where the version that is there now has the bytes that we put, it is ours, and the put has
 * succeeded.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "tiers/layer.h"
#include "tiers/stores.h"
#include "util/cleanup.h"
#include "util/list.h"

struct retry {
	struct tier base;
	struct retry_conf conf;
	uint64_t seed;
	_Atomic uint64_t draws; /* of random numbers */
};

/* One call's tries. */
struct tries {
	struct retry *retry;
	struct tier_call *call;
	unsigned int made;
	bool lost; /* a try failed whose effect is not known */
};

static struct tries tries_begin(struct tier *t, struct tier_call *call)
{
	return (struct tries){.retry = (struct retry *)t, .call = call};
}

/* A number of [0, top]. */
static int64_t draw(struct retry *rt, int64_t top)
{
	uint64_t in[2] = {rt->seed, atomic_fetch_add(&rt->draws, 1)};

	return (int64_t)(hash64(in, sizeof(in)) % ((uint64_t)top + 1));
}

static int64_t pause_ns(struct tries *s)
{
	const struct retry_conf *conf = &s->retry->conf;
	int64_t top = conf->min_ns, pause;

	for (unsigned int i = 1; i < s->made && top < conf->max_ns; i++)
		top *= 2;
	if (top > conf->max_ns)
		top = conf->max_ns;
	/* A store that asked for less is not asked again at once by luck of the draw. */
	pause = s->call->throttled ? top / 2 + draw(s->retry, top - top / 2) : draw(s->retry, top);
	return pause > s->call->retry_after_ns ? pause : s->call->retry_after_ns;
}

/*
 * After a try that returned *r: true where the call is to be sent again, the pause being over.
 * safe: a second try does no harm even if the first one took effect.
 */
static bool again(struct tries *s, bool safe, int *r)
{
	const struct tier *t = &s->retry->base;
	struct tier_call *call = s->call;
	int64_t pause;
	int slept;

	s->made++;
	if (*r == 0 || !call->transient || call->probe || s->made >= s->retry->conf.tries)
		return false;
	if (!call->throttled)
		s->lost = true;
	if (!safe && !call->throttled)
		return false;
	pause = pause_ns(s);
	if (pause >= clock_left(t->clock, call->deadline))
		return false;
	slept = layer_sleep(t, call, pause);
	if (slept == -ECANCELED)
		*r = err_set(&call->err, slept, "%s: cancelled between two tries", t->name);
	if (slept)
		return false;
	count_one(t->counters, COUNTER_store_retries);
	return true;
}

static int finish(const struct tries *s, int r)
{
	if (r && s->made > 1)
		err_wrap(&s->call->err, r, "try %u of %u", s->made, s->retry->conf.tries);
	return r;
}

static int retry_probe(struct tier *t, struct tier_call *call)
{
	struct tries s = tries_begin(t, call);
	int r;

	do {
		r = tier_probe(t->inner, call);
	} while (again(&s, true, &r));
	return finish(&s, r);
}

static int retry_head(struct tier *t, struct tier_call *call, const char *key,
		      struct record *ret_rec)
{
	struct tries s = tries_begin(t, call);
	int r;

	do {
		r = tier_head(t->inner, call, key, ret_rec);
	} while (again(&s, true, &r));
	return finish(&s, r);
}

/* --- get --- */

struct retry_sink {
	struct tier_sink sink;
	struct tier_sink *out;
	char etag[ETAG_MAX]; /* of the begin that went through, "" before */
	bool wrote;
};

static int sink_begin(struct tier_sink *sink, const struct record *rec)
{
	struct retry_sink *rs = container_of(sink, struct retry_sink, sink);

	if (rs->etag[0])
		return strcmp(rs->etag, rec->etag) == 0 ? 0 : -ESTALE;
	memcpy(rs->etag, rec->etag, ETAG_MAX);
	return rs->out->begin(rs->out, rec);
}

static int sink_write(struct tier_sink *sink, const void *buf, size_t len, uint64_t off)
{
	struct retry_sink *rs = container_of(sink, struct retry_sink, sink);

	rs->wrote = true;
	return rs->out->write(rs->out, buf, len, off);
}

static int retry_get(struct tier *t, struct tier_call *call, const char *key, uint64_t off,
		     uint64_t len, const char *etag, struct tier_sink *sink)
{
	struct retry_sink rs = {.sink = {.begin = sink_begin, .write = sink_write}, .out = sink};
	struct tries s = tries_begin(t, call);
	int r;

	do {
		r = tier_get(t->inner, call, key, off, len, rs.etag[0] ? rs.etag : etag, &rs.sink);
	} while (!rs.wrote && again(&s, true, &r));
	return finish(&s, r);
}

/* --- put and copy: was it us? --- */

/* True where the version now has the bytes of src, as far as both can tell. */
static bool has_bytes(const struct record *now, const struct tier_source *src,
		      const struct record *rec)
{
	/* Of packed bytes the record has the plain ones' hash, and so has what is there now. */
	struct xxh3 want = rec->known & REC_XXH3 ? rec->xxh3 : src->xxh3;
	mode_t type = rec->known & REC_MODE ? rec->mode & S_IFMT : S_IFREG;

	if (type != S_IFREG && (!(now->known & REC_MODE) || (now->mode & S_IFMT) != type))
		return false;
	if (type == S_IFLNK)
		return now->symlink && strcmp(now->symlink, rec->symlink) == 0;
	if (now->size != src->size)
		return false;
	if (src->size == 0)
		return true;
	if (!xxh3_known(&want) && xxh3_of_fd(src->fd, src->size, &want))
		return false;
	return (now->known & REC_XXH3) && xxh3_equal(&now->xxh3, &want);
}

static int is_ours(struct record *now, char *ret_etag)
{
	memcpy(ret_etag, now->etag, ETAG_MAX);
	return 0;
}

static int is_not_ours(struct tier_call *call, int code)
{
	return err_set(&call->err, code, "%s after an answer was lost; the version is not ours",
		       code == -EEXIST ? "exists" : "changed");
}

static bool refused(int r)
{
	return r == -EEXIST || r == -ESTALE;
}

/* After a lost answer the store refused with code: 0 where what is there now is what we put. */
static int settle_put(struct tier *t, struct tier_call *call, const char *key,
		      const struct tier_source *src, const struct record *rec, int code,
		      char *ret_etag)
{
	bool marker = (rec->known & REC_MODE) && S_ISDIR(rec->mode);
	CLEANUP_FREE char *name = NULL;
	struct record now;
	int r;

	if (asprintf(&name, "%s%s", key, marker ? "/" : "") < 0) {
		name = NULL;
		return -ENOMEM;
	}
	record_init(&now);
	r = tier_head(t->inner, call, name, &now);
	if (r == 0)
		r = has_bytes(&now, src, rec) ? is_ours(&now, ret_etag) : is_not_ours(call, code);
	else if (r == -ENOENT)
		r = is_not_ours(call, code);
	record_release(&now);
	return r;
}

/* A precondition that the store checks in the same moment in which it writes. */
static bool guarded(const struct tier *t, const struct tier_pre *pre)
{
	return pre->cond != TIER_ANY && tier_can(t, TIER_CAP_COND_PUT);
}

static int retry_put(struct tier *t, struct tier_call *call, const char *key,
		     const struct tier_source *src, const struct record *rec,
		     const struct tier_pre *pre, char *ret_etag)
{
	struct tries s = tries_begin(t, call);
	bool safe = guarded(t, pre);
	int r;

	do {
		r = tier_put(t->inner, call, key, src, rec, pre, ret_etag);
		if (s.lost && refused(r))
			r = settle_put(t, call, key, src, rec, r, ret_etag);
	} while (again(&s, safe, &r));
	return finish(&s, r);
}

/* True where all that want says is in the metadata of now. */
static bool has_meta(const struct record *now, const struct record *want)
{
	struct meta_list a = {0}, b = {0};
	bool same = record_to_meta(want, &a) == 0 && record_to_meta(now, &b) == 0;

	for (size_t i = 0; i < a.n && same; i++) {
		const char *value = meta_list_get(&b, a.v[i].name);

		same = value && strcmp(value, a.v[i].value) == 0;
	}
	meta_list_release(&a);
	meta_list_release(&b);
	return same;
}

/* The same for a copy, whose bytes are those of from, and for metadata, where from is key. */
static int settle_copy(struct tier *t, struct tier_call *call, const char *from, const char *to,
		       const struct record *rec, int code, char *ret_etag)
{
	struct record now, old;
	int r;

	record_init(&now);
	record_init(&old);
	r = tier_head(t->inner, call, to, &now);
	if (r == 0 && strcmp(from, to) != 0)
		r = tier_head(t->inner, call, from, &old);
	else if (r == 0)
		r = record_copy(&old, rec);
	if (r == 0)
		r = (now.known & old.known & REC_XXH3) && xxh3_equal(&now.xxh3, &old.xxh3) &&
				    has_meta(&now, rec ? rec : &old)
			    ? is_ours(&now, ret_etag)
			    : is_not_ours(call, code);
	else if (r == -ENOENT)
		r = is_not_ours(call, code);
	record_release(&now);
	record_release(&old);
	return r;
}

static int retry_copy(struct tier *t, struct tier_call *call, const char *from, const char *etag,
		      const char *to, const struct record *rec, const struct tier_pre *pre,
		      char *ret_etag)
{
	struct tries s = tries_begin(t, call);
	bool safe = guarded(t, pre) || (etag && strcmp(from, to) == 0);
	int r;

	do {
		r = tier_copy(t->inner, call, from, etag, to, rec, pre, ret_etag);
		if (s.lost && refused(r))
			r = settle_copy(t, call, from, to, rec, r, ret_etag);
	} while (again(&s, safe, &r));
	return finish(&s, r);
}

static int retry_set_meta(struct tier *t, struct tier_call *call, const char *key, const char *etag,
			  const struct record *rec, char *ret_etag)
{
	struct tries s = tries_begin(t, call);
	int r;

	do {
		r = tier_set_meta(t->inner, call, key, etag, rec, ret_etag);
		if (s.lost && refused(r))
			r = settle_copy(t, call, key, key, rec, r, ret_etag);
	} while (again(&s, etag != NULL, &r));
	return finish(&s, r);
}

/* --- del --- */

static int retry_del(struct tier *t, struct tier_call *call, const char *key, bool marker,
		     const char *etag)
{
	struct tries s = tries_begin(t, call);
	int r;

	do {
		r = tier_del(t->inner, call, key, marker, etag);
	} while (again(&s, true, &r));
	return finish(&s, r);
}

/* What is left of a deletion of many: keys[i] is the caller's at[i]. */
struct rest {
	const char **keys;
	size_t *at;
	int *codes;
	size_t n;
};

static int rest_init(struct rest *rest, const char *const *keys, size_t n)
{
	rest->keys = calloc(n, sizeof(*rest->keys));
	rest->at = calloc(n, sizeof(*rest->at));
	rest->codes = calloc(n, sizeof(*rest->codes));
	if (!rest->keys || !rest->at || !rest->codes)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		rest->keys[i] = keys[i];
		rest->at[i] = i;
	}
	rest->n = n;
	return 0;
}

static void rest_release(struct rest *rest)
{
	free(rest->keys);
	free(rest->at);
	free(rest->codes);
}

/* Notes the codes, and keeps the keys that failed. */
static void rest_settle(struct rest *rest, int *ret_codes)
{
	size_t kept = 0;

	for (size_t i = 0; i < rest->n; i++) {
		ret_codes[rest->at[i]] = rest->codes[i];
		if (rest->codes[i] == 0)
			continue;
		rest->keys[kept] = rest->keys[i];
		rest->at[kept++] = rest->at[i];
	}
	rest->n = kept;
}

static int retry_del_many(struct tier *t, struct tier_call *call, const char *const *keys, size_t n,
			  int *ret_codes)
{
	__attribute__((cleanup(rest_release))) struct rest rest = {0};
	struct tries s = tries_begin(t, call);
	int r = rest_init(&rest, keys, n);

	if (r) {
		for (size_t i = 0; i < n; i++)
			ret_codes[i] = r;
		return r;
	}
	do {
		r = tier_del_many(t->inner, call, rest.keys, rest.n, rest.codes);
		rest_settle(&rest, ret_codes);
	} while (again(&s, true, &r));
	return finish(&s, r);
}

/* --- list --- */

struct telling {
	tier_entry_fn *fn;
	void *arg;
	bool told;
};

static int tell(void *arg, const struct tier_entry *entry)
{
	struct telling *telling = arg;

	telling->told = true;
	return telling->fn(telling->arg, entry);
}

static int retry_list(struct tier *t, struct tier_call *call, const struct tier_list_req *req,
		      tier_entry_fn *fn, void *arg, char **ret_token)
{
	struct telling telling = {.fn = fn, .arg = arg};
	struct tries s = tries_begin(t, call);
	int r;

	do {
		r = tier_list(t->inner, call, req, tell, &telling, ret_token);
	} while (!telling.told && again(&s, true, &r));
	return finish(&s, r);
}

static void retry_close(struct tier *t)
{
	layer_release(t);
	free(t);
}

static const struct tier_ops retry_ops = {
	.type = "retry",
	.probe = retry_probe,
	.head = retry_head,
	.get = retry_get,
	.put = retry_put,
	.del = retry_del,
	.del_many = retry_del_many,
	.list = retry_list,
	.copy = retry_copy,
	.set_meta = retry_set_meta,
	.share = layer_pass_share,
	.close = retry_close,
};

int retry_create(const struct retry_conf *conf, struct tier *inner, struct tier **ret_tier)
{
	struct retry *rt;
	int r;

	if (conf->tries == 0 || conf->min_ns < 0 || conf->max_ns < conf->min_ns)
		return -EINVAL;
	rt = calloc(1, sizeof(*rt));
	if (!rt)
		return -ENOMEM;
	rt->conf = *conf;
	if (getrandom(&rt->seed, sizeof(rt->seed), 0) != sizeof(rt->seed))
		rt->seed = (uint64_t)clock_mono(inner->clock);
	r = layer_init(&rt->base, &retry_ops, inner);
	if (r) {
		free(rt);
		return r;
	}
	*ret_tier = &rt->base;
	return 0;
}
