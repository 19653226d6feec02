/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault: fails, delays or cuts the n-th call of a kind, as the plan says that a test has armed. The
 * count of a plan begins when it is armed. copy and set_meta are one kind, and so are get and
 * share, head and probe.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "tiers/layer.h"
#include "tiers/stores.h"
#include "util/cleanup.h"
#include "util/list.h"

struct fault {
	struct tier base;
	pthread_mutex_t mtx; /* protects all below */
	struct fault_plan plan;
	bool armed;
	uint64_t matched; /* calls that the plan has seen */
	uint64_t calls[FAULT_OP_COUNT];
};

static const struct tier_ops fault_ops;

static struct fault *fault_of(const struct tier *t)
{
	assert(t->ops == &fault_ops);
	return (struct fault *)t;
}

/* Counts the call; true where the plan, copied to *ret_plan, hits it. */
static bool is_hit(struct fault *f, enum fault_op op, struct fault_plan *ret_plan)
{
	SCOPE_LOCK(&f->mtx);
	uint64_t nth;

	f->calls[op]++;
	f->calls[FAULT_ANY]++;
	if (!f->armed || (f->plan.op != FAULT_ANY && f->plan.op != op))
		return false;
	nth = f->matched++;
	*ret_plan = f->plan;
	return nth >= f->plan.after && (f->plan.times == 0 || nth - f->plan.after < f->plan.times);
}

static int fail(struct tier_call *call, const struct fault_plan *plan)
{
	call->transient = plan->transient;
	call->throttled = plan->throttled;
	call->retry_after_ns = plan->retry_after_ns;
	return err_set(&call->err, plan->code, "injected%s",
		       plan->after_effect ? " after the effect" : "");
}

/* Before the call: delay, and failure without effect. plan is {0} where nothing hits. */
static int before(struct tier *t, struct tier_call *call, enum fault_op op, struct fault_plan *plan)
{
	int r = 0;

	*plan = (struct fault_plan){0};
	if (!is_hit(fault_of(t), op, plan)) {
		*plan = (struct fault_plan){0};
		return 0;
	}
	if (plan->delay_ns)
		r = layer_sleep(t, call, plan->delay_ns);
	if (r) {
		call->transient = r == -ETIMEDOUT;
		return err_set(&call->err, r, "injected delay");
	}
	return plan->code && !plan->after_effect ? fail(call, plan) : 0;
}

static int after(struct tier_call *call, const struct fault_plan *plan, int r)
{
	return r == 0 && plan->code && plan->after_effect ? fail(call, plan) : r;
}

#define THROUGH(t, call, op, sent)                                                                 \
	({                                                                                         \
		struct fault_plan plan_;                                                           \
		int r_ = before(t, call, op, &plan_);                                              \
		r_ ? r_ : after(call, &plan_, sent);                                               \
	})

static int fault_probe(struct tier *t, struct tier_call *call)
{
	return THROUGH(t, call, FAULT_HEAD, tier_probe(t->inner, call));
}

static int fault_head(struct tier *t, struct tier_call *call, const char *key,
		      struct record *ret_rec)
{
	struct record rec;
	int r;

	record_init(&rec);
	r = THROUGH(t, call, FAULT_HEAD, tier_head(t->inner, call, key, &rec));
	if (r == 0)
		r = record_copy(ret_rec, &rec);
	record_release(&rec);
	return r;
}

struct cut_sink {
	struct tier_sink sink;
	struct tier_sink *out;
	uint64_t left; /* bytes that pass */
	bool cut;
};

static int cut_begin(struct tier_sink *sink, const struct record *rec)
{
	struct cut_sink *cs = container_of(sink, struct cut_sink, sink);

	return cs->out->begin(cs->out, rec);
}

static int cut_write(struct tier_sink *sink, const void *buf, size_t len, uint64_t off)
{
	struct cut_sink *cs = container_of(sink, struct cut_sink, sink);
	size_t pass = len < cs->left ? len : (size_t)cs->left;
	int r = pass > 0 ? cs->out->write(cs->out, buf, pass, off) : 0;

	cs->left -= pass;
	if (r || pass == len)
		return r;
	cs->cut = true;
	return -EIO;
}

static int fault_get(struct tier *t, struct tier_call *call, const char *key, uint64_t off,
		     uint64_t len, const char *etag, struct tier_sink *sink)
{
	struct cut_sink cs = {.sink = {.begin = cut_begin, .write = cut_write}, .out = sink};
	struct fault_plan plan;
	int r = before(t, call, FAULT_GET, &plan);

	if (r)
		return r;
	cs.left = plan.cut_after ? plan.cut_after : UINT64_MAX;
	r = tier_get(t->inner, call, key, off, len, etag, &cs.sink);
	if (!cs.cut)
		return after(call, &plan, r);
	call->transient = true;
	return err_set(&call->err, r, "injected cut");
}

static int fault_put(struct tier *t, struct tier_call *call, const char *key,
		     const struct tier_source *src, const struct record *rec,
		     const struct tier_pre *pre, char *ret_etag)
{
	return THROUGH(t, call, FAULT_PUT, tier_put(t->inner, call, key, src, rec, pre, ret_etag));
}

static int fault_del(struct tier *t, struct tier_call *call, const char *key, bool marker,
		     const char *etag)
{
	return THROUGH(t, call, FAULT_DEL, tier_del(t->inner, call, key, marker, etag));
}

static int fault_del_many(struct tier *t, struct tier_call *call, const char *const *keys, size_t n,
			  int *ret_codes)
{
	struct fault_plan plan;
	int r = before(t, call, FAULT_DEL, &plan);
	bool reached = r == 0;
	int sent = r;

	if (reached) {
		sent = tier_del_many(t->inner, call, keys, n, ret_codes);
		r = after(call, &plan, sent);
	}
	/* The answer tells of each key; a failure of ours is one of them all. */
	for (size_t i = 0; i < n && (!reached || r != sent); i++)
		ret_codes[i] = r;
	return r;
}

static int fault_list(struct tier *t, struct tier_call *call, const struct tier_list_req *req,
		      tier_entry_fn *fn, void *arg, char **ret_token)
{
	char *token = NULL;
	int r = THROUGH(t, call, FAULT_LIST, tier_list(t->inner, call, req, fn, arg, &token));

	if (r)
		free(token);
	else
		*ret_token = token;
	return r;
}

static int fault_copy(struct tier *t, struct tier_call *call, const char *from, const char *etag,
		      const char *to, const struct record *rec, const struct tier_pre *pre,
		      char *ret_etag)
{
	return THROUGH(t, call, FAULT_COPY,
		       tier_copy(t->inner, call, from, etag, to, rec, pre, ret_etag));
}

static int fault_set_meta(struct tier *t, struct tier_call *call, const char *key, const char *etag,
			  const struct record *rec, char *ret_etag)
{
	return THROUGH(t, call, FAULT_COPY,
		       tier_set_meta(t->inner, call, key, etag, rec, ret_etag));
}

static int fault_share(struct tier *t, struct tier_call *call, const char *key, const char *etag,
		       int dst_dirfd, const char *name, struct record *ret_rec)
{
	return THROUGH(t, call, FAULT_GET,
		       tier_share(t->inner, call, key, etag, dst_dirfd, name, ret_rec));
}

static void fault_close(struct tier *t)
{
	struct fault *f = fault_of(t);

	layer_release(t);
	pthread_mutex_destroy(&f->mtx);
	free(f);
}

static const struct tier_ops fault_ops = {
	.type = "fault",
	.probe = fault_probe,
	.head = fault_head,
	.get = fault_get,
	.put = fault_put,
	.del = fault_del,
	.del_many = fault_del_many,
	.list = fault_list,
	.copy = fault_copy,
	.set_meta = fault_set_meta,
	.share = fault_share,
	.close = fault_close,
};

void fault_arm(struct tier *t, const struct fault_plan *plan)
{
	struct fault *f = fault_of(t);

	assert(plan->op < FAULT_OP_COUNT && plan->code <= 0);
	SCOPE_LOCK(&f->mtx);
	f->plan = *plan;
	f->armed = true;
	f->matched = 0;
}

uint64_t fault_calls(const struct tier *t, enum fault_op op)
{
	struct fault *f = fault_of(t);

	SCOPE_LOCK(&f->mtx);
	return f->calls[op];
}

int fault_create(struct tier *inner, struct tier **ret_tier)
{
	struct fault *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	r = layer_init(&f->base, &fault_ops, inner);
	if (r) {
		free(f);
		return r;
	}
	pthread_mutex_init(&f->mtx, NULL);
	*ret_tier = &f->base;
	return 0;
}
