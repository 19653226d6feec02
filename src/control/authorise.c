/* SPDX-License-Identifier: Apache-2.0 */
/* Looks a path up as the driver would, and waits for it. */
#include "control/authorise.h"

#include <errno.h>
#include <string.h>

#include "cache/blocking.h"

static int look(struct cache *cache, const char *path, struct blocking *b, struct obj **ret_obj,
		struct cache_attr *ret_attr)
{
	struct obj *obj = NULL;
	int r = BLOCKING(b, cache_resolve(cache, path, &b->w, &obj));

	if (r)
		return r;
	r = BLOCKING(b, cache_getattr(cache, obj, &b->w, ret_attr));
	if (r)
		obj_unref(cache, obj);
	else
		*ret_obj = obj;
	return r;
}

int lookup_blocking(struct cache *cache, const char *path, struct obj **ret_obj,
		    struct cache_attr *ret_attr)
{
	struct blocking b;
	int r;

	blocking_init(&b);
	r = look(cache, path, &b, ret_obj, ret_attr);
	blocking_release(&b);
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
