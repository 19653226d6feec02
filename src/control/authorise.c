/* SPDX-License-Identifier: Apache-2.0 */
/* Looks a path up as the driver would, and waits for it. */
#include "control/authorise.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "util/cleanup.h"

struct blocking_wait {
	struct cache_wait w; /* first */
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
	int err;
};

static void wake(struct cache_wait *w, int err)
{
	struct blocking_wait *b = (struct blocking_wait *)w;
	SCOPE_LOCK(&b->lock);

	b->done = true;
	b->err = err;
	pthread_cond_signal(&b->cond);
}

/* 0: call again; negative: that is the answer. */
static int block(struct blocking_wait *b)
{
	SCOPE_LOCK(&b->lock);

	while (!b->done)
		pthread_cond_wait(&b->cond, &b->lock);
	b->done = false;
	return b->err;
}

static int look(struct cache *cache, const char *path, struct blocking_wait *b,
		struct obj **ret_obj, struct cache_attr *ret_attr)
{
	struct obj *obj = NULL;
	int r;

	while ((r = cache_resolve(cache, path, &b->w, &obj)) == CACHE_PENDING) {
		r = block(b);
		if (r)
			return r;
	}
	if (r)
		return r;
	cache_wait_init(&b->w, wake);
	while ((r = cache_getattr(cache, obj, &b->w, ret_attr)) == CACHE_PENDING) {
		r = block(b);
		if (r)
			break;
	}
	if (r)
		obj_unref(cache, obj);
	else
		*ret_obj = obj;
	return r;
}

int lookup_blocking(struct cache *cache, const char *path, struct obj **ret_obj,
		    struct cache_attr *ret_attr)
{
	struct blocking_wait b = {.lock = PTHREAD_MUTEX_INITIALIZER,
				  .cond = PTHREAD_COND_INITIALIZER};
	int r;

	cache_wait_init(&b.w, wake);
	r = look(cache, path, &b, ret_obj, ret_attr);
	pthread_mutex_destroy(&b.lock);
	pthread_cond_destroy(&b.cond);
	return r;
}

int authorise_owner(struct cache *cache, const char *path, uid_t uid, struct err *err)
{
	struct cache_attr attr;
	struct obj *obj;
	int r = lookup_blocking(cache, path, &obj, &attr);

	if (r && r != -ENOENT && r != -ENOTDIR)
		return err_set(err, r, "%s: %s", path, strerror(-r));
	if (!r)
		obj_unref(cache, obj);
	if (r || (attr.st.st_uid != uid && !cache_tenant_owns(cache, path, uid)))
		return err_set(err, -EACCES,
			       "%s: not yours; root and the mount's owner may do this anywhere",
			       *path ? path : "/");
	return 0;
}
