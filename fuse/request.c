/* SPDX-License-Identifier: Apache-2.0 */
/* A request on its way through the cache: waiting, interrupts, the end. */
#include "fuse/request.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fuse/proc.h"
#include "util/cleanup.h"
#include "util/log.h"

struct iobuf *iobuf_new(size_t size)
{
	struct iobuf *b = malloc(sizeof(*b));

	if (!b)
		return NULL;
	b->mem = malloc(size);
	if (!b->mem) {
		free(b);
		return NULL;
	}
	atomic_init(&b->refs, 1);
	return b;
}

struct iobuf *iobuf_ref(struct iobuf *b)
{
	atomic_fetch_add(&b->refs, 1);
	return b;
}

void iobuf_unref(struct iobuf *b)
{
	if (!b || atomic_fetch_sub(&b->refs, 1) > 1)
		return;
	free(b->mem);
	free(b);
}

/*
 * libfuse calls handlers on the thread that read the request, with no way to pass anything along.
 */
struct request_context *request_context(void)
{
	static _Thread_local struct request_context context;

	return &context;
}

void freq_no_memory(fuse_req_t req)
{
	fuse_reply_err(req, ENOMEM);
}

static void freq_free(struct freq *f)
{
	struct driver *d = f->drv;
	struct cache *c = d->cache;

	if (f->obj)
		obj_unref(c, f->obj);
	if (f->obj2)
		obj_unref(c, f->obj2);
	if (f->ret_obj)
		obj_unref(c, f->ret_obj);
	free(f->text);
	free(f);
	atomic_fetch_sub(&d->requests, 1);
}

/*
 * A handler must not outlive f: taking it back waits for one that runs. Not where it runs on this
 * very thread, below fuse_req_interrupt_func()'s lock: then it is our caller.
 */
static void interrupts_off(struct freq *f)
{
	if (atomic_load(&f->canceller) != request_context())
		fuse_req_interrupt_func(f->req, NULL, NULL);
}

static void freq_finish(struct freq *f, int rc)
{
	struct inflight *inflight = &f->drv->inflight;
	struct shm_inflight *slot = f->slot;

	interrupts_off(f);
	if (rc && rc != -ENOENT && rc != -ENODATA)
		log_debug("%s: node %llu %s: %s", f->op->name, (unsigned long long)f->ino,
			  f->name ? f->name : "", strerror(-rc));
	if (rc)
		fuse_reply_err(f->req, -rc);
	else
		f->op->reply(f);
	inflight_end(inflight, slot);
	if (f->op->clean)
		f->op->clean(f);
	freq_free(f);
}

static void freq_go(struct freq *f)
{
	int rc = f->op->run(f);

	if (rc != CACHE_PENDING)
		freq_finish(f, rc);
}

static void freq_woken(struct cache_wait *w, int err)
{
	struct freq *f = container_of(w, struct freq, wait);

	if (err)
		freq_finish(f, err);
	else
		freq_go(f);
}

/*
 * FUSE_INTERRUPT. libfuse holds the request's lock. Only a signal that means to end the call or the
 * process does: on other file systems no read() is ended by a profiler's or a timer's signal.
 */
static void freq_interrupted(fuse_req_t req, void *data)
{
	struct freq *f = data;
	struct cache *c = f->drv->cache;

	if (!proc_signal_ends_call(fuse_req_ctx(req)->pid))
		return;
	atomic_store(&f->canceller, request_context());
	/* Where it was waiting, f is answered and freed now. */
	if (!cache_cancel(c, &f->wait))
		atomic_store(&f->canceller, NULL);
}

struct freq *freq_new(fuse_req_t req, const struct freq_op *op, uint64_t ino, const char *name,
		      const char *name2)
{
	size_t len = name ? strlen(name) + 1 : 0, len2 = name2 ? strlen(name2) + 1 : 0;
	struct freq *f = calloc(1, sizeof(*f) + len + len2);
	const struct request_context *context = request_context();

	if (!f) {
		freq_no_memory(req);
		return NULL;
	}
	cache_wait_init(&f->wait, freq_woken);
	f->op = op;
	f->drv = fuse_req_userdata(req);
	atomic_fetch_add(&f->drv->requests, 1);
	f->req = req;
	f->unique = context->unique;
	f->resent = context->resent;
	f->ino = ino;
	if (name)
		f->name = memcpy(f->tail, name, len);
	if (name2)
		f->name2 = memcpy(f->tail + len, name2, len2);
	return f;
}

void freq_start(struct freq *f)
{
	fuse_req_interrupt_func(f->req, freq_interrupted, f);
	freq_go(f);
}

void freq_start_once(struct freq *f)
{
	f->found = inflight_begin(&f->drv->inflight, f->unique, f->resent, &f->slot);
	freq_start(f);
}

int freq_obj(struct freq *f, uint64_t ino, struct obj **ret_obj)
{
	CLEANUP_FREE char *key = NULL;
	struct obj *obj;
	int rc;

	if (*ret_obj)
		return 0;
	rc = nodes_obj(&f->drv->nodes, ino, ret_obj, &key);
	if (rc != NODES_UNRESOLVED)
		return rc;
	rc = cache_resolve(f->drv->cache, key, &f->wait, &obj);
	if (rc)
		return rc == -ENOENT || rc == -ENOTDIR ? -ESTALE : rc;
	nodes_attach(&f->drv->nodes, ino, obj);
	*ret_obj = obj;
	return 0;
}

void freq_reply_ok(struct freq *f)
{
	fuse_reply_err(f->req, 0);
}

void freq_reply_entry(struct freq *f)
{
	struct fuse_entry_param e = {.ino = f->node};

	if (f->node) {
		e.attr = f->attr.st;
		e.entry_timeout = driver_seconds(f->attr.valid_ns);
		/* Who stats a single name is told the truth, not what a listing guessed. */
		e.attr_timeout = f->attr.provisional ? 0 : e.entry_timeout;
	} else {
		e.entry_timeout = driver_seconds(f->neg_ns);
	}
	if (fuse_reply_entry(f->req, &e) == -ENOENT && f->node)
		nodes_forget(&f->drv->nodes, f->node, 1);
}

void freq_reply_attr(struct freq *f)
{
	fuse_reply_attr(f->req, &f->attr.st, driver_seconds(f->attr.valid_ns));
}
