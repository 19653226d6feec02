/* SPDX-License-Identifier: Apache-2.0 */
/*
 * breaker: stops asking a store that does not answer, so that callers learn in microseconds what
 * they would else learn at their deadline.
 *
 *	CLOSED		calls pass. `after` unknowns in a row open it; any answer starts the count
 *			anew
 *	OPEN		calls are refused with -EIO (transient) until for_ns is over;
 *			tier_call.probe passes
 *	HALF_OPEN	one call is on trial, the others are refused
 *
 *	CLOSED -> OPEN		the unknown that makes the row complete
 *	OPEN -> HALF_OPEN	the first call after for_ns, and a probe at any time
 *	HALF_OPEN -> CLOSED	the call on trial got an answer
 *	HALF_OPEN -> OPEN	it got none (for_ns begins anew), or was cancelled (the next one may
 *				try)
 *
 * An unknown is a transient failure or a time-out. A definite answer, -ENOENT and -EACCES too,
 * shows that the store is there. What was sent before the breaker opened and comes back later
 * changes nothing: only the trial does.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tiers/layer.h"
#include "tiers/stores.h"
#include "util/cleanup.h"

struct breaker {
	struct tier base;
	struct breaker_conf conf;
	pthread_mutex_t mtx; /* protects all below */
	enum breaker_state state;
	unsigned int row;     /* CLOSED: unknowns since the last answer */
	int64_t closed_again; /* OPEN: monotonic time from which a call may try */
	int64_t since_wall;   /* not CLOSED: when it opened, for people */
	struct err last;      /* not CLOSED: the failure that opened it */
};

static const struct tier_ops breaker_ops;

static struct breaker *breaker_of(const struct tier *t)
{
	assert(t->ops == &breaker_ops);
	return (struct breaker *)t;
}

static int refuse(struct breaker *b, struct tier_call *call, int64_t now)
{
	time_t since = (time_t)(b->since_wall / NSEC_PER_SEC);
	struct tm tm;
	char when[32];

	gmtime_r(&since, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	call->transient = true;
	if (b->state == BREAKER_OPEN)
		call->retry_after_ns = b->closed_again - now;
	return err_set(&call->err, -EIO, "%s: no answer since %s, not asked now (last: %.300s)",
		       b->base.name, when, b->last.text);
}

/* 0: the call may pass; *ret_trial: its result decides. */
static int admit(struct breaker *b, struct tier_call *call, bool *ret_trial)
{
	SCOPE_LOCK(&b->mtx);
	int64_t now = clock_mono(b->base.clock);

	*ret_trial = false;
	if (b->state == BREAKER_CLOSED)
		return 0;
	if (!call->probe && (b->state == BREAKER_HALF_OPEN || now < b->closed_again))
		return refuse(b, call, now);
	*ret_trial = true;
	b->state = BREAKER_HALF_OPEN;
	return 0;
}

static void open_now(struct breaker *b, const struct tier_call *call, int code)
{
	bool anew = b->state == BREAKER_CLOSED;

	b->state = BREAKER_OPEN;
	b->closed_again = clock_mono(b->base.clock) + b->conf.for_ns;
	err_set(&b->last, code, "%s", err_text(&call->err, code));
	if (!anew)
		return;
	b->since_wall = clock_wall(b->base.clock);
	count_one(b->base.counters, COUNTER_breaker_opens);
}

static int settle(struct breaker *b, const struct tier_call *call, bool trial, int code)
{
	bool unknown = code && call->transient;
	/* The caller ran out of time or patience before the store could say anything. */
	bool silent = !unknown && (code == -ECANCELED || code == -ETIMEDOUT);

	SCOPE_LOCK(&b->mtx);
	if (trial && silent) {
		/* Where a second trial, a probe, has decided in between, that holds. */
		if (b->state == BREAKER_HALF_OPEN)
			b->state = BREAKER_OPEN;
	} else if (trial && unknown) {
		open_now(b, call, code);
	} else if (trial) {
		b->state = BREAKER_CLOSED;
		b->row = 0;
	} else if (b->state == BREAKER_CLOSED && unknown) {
		if (++b->row >= b->conf.after)
			open_now(b, call, code);
	} else if (b->state == BREAKER_CLOSED && !silent) {
		b->row = 0;
	}
	return code;
}

/* Sends one call through, where it may pass. */
#define THROUGH(t, call, sent)                                                                     \
	({                                                                                         \
		struct breaker *b_ = breaker_of(t);                                                \
		bool trial_;                                                                       \
		int r_ = admit(b_, call, &trial_);                                                 \
		r_ ? r_ : settle(b_, call, trial_, sent);                                          \
	})

static int breaker_probe(struct tier *t, struct tier_call *call)
{
	return THROUGH(t, call, tier_probe(t->inner, call));
}

static int breaker_head(struct tier *t, struct tier_call *call, const char *key,
			struct record *ret_rec)
{
	return THROUGH(t, call, tier_head(t->inner, call, key, ret_rec));
}

static int breaker_get(struct tier *t, struct tier_call *call, const char *key, uint64_t off,
		       uint64_t len, const char *etag, struct tier_sink *sink)
{
	return THROUGH(t, call, tier_get(t->inner, call, key, off, len, etag, sink));
}

static int breaker_put(struct tier *t, struct tier_call *call, const char *key,
		       const struct tier_source *src, const struct record *rec,
		       const struct tier_pre *pre, char *ret_etag)
{
	return THROUGH(t, call, tier_put(t->inner, call, key, src, rec, pre, ret_etag));
}

static int breaker_del(struct tier *t, struct tier_call *call, const char *key, bool marker,
		       const char *etag)
{
	return THROUGH(t, call, tier_del(t->inner, call, key, marker, etag));
}

static int breaker_del_many(struct tier *t, struct tier_call *call, const char *const *keys,
			    size_t n, int *ret_codes)
{
	/* For the keys of a batch that is refused. */
	for (size_t i = 0; i < n; i++)
		ret_codes[i] = -EIO;
	return THROUGH(t, call, tier_del_many(t->inner, call, keys, n, ret_codes));
}

static int breaker_list(struct tier *t, struct tier_call *call, const struct tier_list_req *req,
			tier_entry_fn *fn, void *arg, char **ret_token)
{
	return THROUGH(t, call, tier_list(t->inner, call, req, fn, arg, ret_token));
}

static int breaker_copy(struct tier *t, struct tier_call *call, const char *from, const char *etag,
			const char *to, const struct record *rec, const struct tier_pre *pre,
			char *ret_etag)
{
	return THROUGH(t, call, tier_copy(t->inner, call, from, etag, to, rec, pre, ret_etag));
}

static int breaker_set_meta(struct tier *t, struct tier_call *call, const char *key,
			    const char *etag, const struct record *rec, char *ret_etag)
{
	return THROUGH(t, call, tier_set_meta(t->inner, call, key, etag, rec, ret_etag));
}

static int breaker_share(struct tier *t, struct tier_call *call, const char *key, const char *etag,
			 int dst_dirfd, const char *name, struct record *ret_rec)
{
	return THROUGH(t, call, tier_share(t->inner, call, key, etag, dst_dirfd, name, ret_rec));
}

static void breaker_close(struct tier *t)
{
	struct breaker *b = breaker_of(t);

	layer_release(t);
	pthread_mutex_destroy(&b->mtx);
	free(b);
}

static const struct tier_ops breaker_ops = {
	.type = "breaker",
	.probe = breaker_probe,
	.head = breaker_head,
	.get = breaker_get,
	.put = breaker_put,
	.del = breaker_del,
	.del_many = breaker_del_many,
	.list = breaker_list,
	.copy = breaker_copy,
	.set_meta = breaker_set_meta,
	.share = breaker_share,
	.close = breaker_close,
};

enum breaker_state breaker_state_get(const struct tier *t)
{
	struct breaker *b = breaker_of(t);

	SCOPE_LOCK(&b->mtx);
	return b->state;
}

int breaker_create(const struct breaker_conf *conf, struct tier *inner, struct tier **ret_tier)
{
	struct breaker *b;
	int r;

	if (conf->after == 0 || conf->for_ns <= 0)
		return -EINVAL;
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->conf = *conf;
	r = layer_init(&b->base, &breaker_ops, inner);
	if (r) {
		free(b);
		return r;
	}
	pthread_mutex_init(&b->mtx, NULL);
	*ret_tier = &b->base;
	return 0;
}
