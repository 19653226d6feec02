/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of tenants: their counts, their sizes as file systems, and whose they are. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cache/internal.h"

void tenant_count(const struct obj *o, enum tenant_count what)
{
	if (o->tenant)
		o->tenant->counts[what]++;
}

bool tenant_statfs(const struct obj *o, struct statvfs *ret)
{
	const struct tenant *t = o ? o->tenant : NULL;
	const struct tenant_policy *p = t ? t->policy : NULL;

	if (!p || (p->quota == POLICY_NONE && p->max_objects == POLICY_NONE))
		return false;
	if (p->quota != POLICY_NONE) {
		uint64_t left = p->quota > t->bytes ? p->quota - t->bytes : 0;

		ret->f_blocks = p->quota / ret->f_frsize;
		ret->f_bfree = ret->f_bavail = left / ret->f_frsize;
	}
	if (p->max_objects != POLICY_NONE) {
		ret->f_files = p->max_objects;
		ret->f_ffree = ret->f_favail = p->max_objects > t->objects
						       ? p->max_objects - t->objects
						       : 0;
	}
	return true;
}

/* Whether all directories below were listed, so that nothing is there that is not counted. */
static bool is_listed(const struct obj *o)
{
	if (!obj_is_dir(o) || !obj_live(o) || o->flags & OBJ_NEW_DIR)
		return true;
	if (!o->dir || !o->dir->listed_ns)
		return false;
	list_for_each(it, &o->dir->children)
		if (!is_listed(list_entry(it, struct obj, sibling)))
			return false;
	return true;
}

struct obj *tenant_top(struct cache *c, const struct tenant *t)
{
	CLEANUP_FREE char *key = policy_tenant_dir(c->policy, t->name);

	return key ? tree_peek(c, key) : NULL;
}

static void tell(struct cache *c, struct tenant *t, struct cache_tenant *ret)
{
	const struct tenant_policy *p = t->policy;
	const struct obj *top = tenant_top(c, t);

	if (!has_store(c))
		t->complete = !c->scanning;
	else if (!t->complete && top && is_listed(top))
		t->complete = true;
	*ret = (struct cache_tenant){
		.bytes = t->bytes,
		.objects = t->objects,
		.quota = p ? p->quota : POLICY_NONE,
		.max_objects = p ? p->max_objects : POLICY_NONE,
		.partial = !t->complete,
		.uid = top && obj_live(top) && obj_is_dir(top) ? top->uid : POLICY_ID_NONE,
		.hits = t->counts[TENANT_HITS],
		.misses = t->counts[TENANT_MISSES],
		.sets = t->counts[TENANT_SETS],
		.deletes = t->counts[TENANT_DELETES],
		.refused = t->counts[TENANT_REFUSED],
	};
	ret->name = strdup(t->name);
}

/* A name that was only asked for is no tenant. */
static bool is_there(struct cache *c, const struct tenant *t)
{
	const struct obj *top = tenant_top(c, t);

	return (top && obj_live(top) && obj_is_dir(top)) || t->objects;
}

int cache_tenants(struct cache *c, struct cache_tenant **ret, size_t *ret_n)
{
	SCOPE_LOCK(&c->lock);
	struct cache_tenant *v = calloc(c->tenants.n + 1U, sizeof(*v));
	size_t n = 0;

	if (!v)
		return -ENOMEM;
	for (unsigned int i = 0; i < c->tenants.n; i++) {
		if (!is_there(c, c->tenants.v[i]))
			continue;
		tell(c, c->tenants.v[i], &v[n]);
		if (v[n].name)
			n++;
	}
	*ret = v;
	*ret_n = n;
	return 0;
}

void cache_tenants_free(struct cache_tenant *v, size_t n)
{
	for (size_t i = 0; v && i < n; i++)
		free(v[i].name);
	free(v);
}

bool cache_tenant_owns(struct cache *c, const char *path, uid_t uid)
{
	SCOPE_LOCK(&c->lock);
	const struct tenant *t;
	const struct obj *top;
	const char *name;
	size_t len;

	if (!policy_tenant_name(c->policy, path, strlen(path), NULL, &name, &len))
		return false;
	t = tenant_find(c, name, len);
	top = t ? tenant_top(c, t) : NULL;
	return top && obj_live(top) && obj_is_dir(top) && top->uid == uid;
}
