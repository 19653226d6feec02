/* SPDX-License-Identifier: Apache-2.0 */
/* Whose an object is, and what its tenant has and may have. */
#include "cache/tenants.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cache/internal.h"

/* --- the tenants that are known --- */

/* Where name is, or would be. */
static unsigned int place_of(const struct tenants *ts, const char *name, size_t len,
			     bool *ret_found)
{
	unsigned int from = 0, to = ts->n;

	*ret_found = false;
	while (from < to) {
		unsigned int mid = (from + to) / 2;
		int r = strncmp(ts->v[mid]->name, name, len);

		if (!r)
			r = ts->v[mid]->name[len] != '\0';
		if (!r) {
			*ret_found = true;
			return mid;
		}
		if (r < 0)
			from = mid + 1;
		else
			to = mid;
	}
	return from;
}

struct tenant *tenant_find(const struct cache *c, const char *name, size_t len)
{
	bool found;
	unsigned int at = place_of(&c->tenants, name, len, &found);

	return found ? c->tenants.v[at] : NULL;
}

static struct tenant *tenant_get(struct cache *c, const char *name, size_t len)
{
	struct tenants *ts = &c->tenants;
	struct tenant **v, *t;
	unsigned int at;
	bool found;

	at = place_of(ts, name, len, &found);
	if (found)
		return ts->v[at];
	v = realloc(ts->v, (ts->n + 1) * sizeof(struct tenant *));
	if (!v)
		return NULL;
	ts->v = v;
	t = calloc(1, sizeof(*t) + len + 1);
	if (!t)
		return NULL;
	memcpy(t->name, name, len);
	t->policy = policy_tenant(c->policy, name, len);
	t->cache = c;
	memmove(v + at + 1, v + at, (ts->n - at) * sizeof(struct tenant *));
	v[at] = t;
	ts->n++;
	return t;
}

static void tenant_put(struct cache *c, struct tenant *t)
{
	struct tenants *ts = &c->tenants;
	unsigned int at;
	bool found;

	if (--t->refs)
		return;
	at = place_of(ts, t->name, strlen(t->name), &found);
	ts->n--;
	memmove(ts->v + at, ts->v + at + 1, (ts->n - at) * sizeof(struct tenant *));
	free(t);
}

/* The tenant of a key that is in no tenant's directory, but may be one. NULL: none */
static struct tenant *tenant_of_key(struct cache *c, const char *key)
{
	const char *name;
	size_t len;

	if (!key || !policy_tenant_name(c->policy, key, strlen(key), NULL, &name, &len))
		return NULL;
	return tenant_get(c, name, len);
}

static struct tenant *tenant_of(struct cache *c, const struct obj *o)
{
	CLEANUP_FREE char *key = NULL;

	if (!o->parent)
		return NULL;
	if (o->parent->tenant)
		return o->parent->tenant;
	key = c->has_tenants ? obj_key_locked(o) : NULL;
	return tenant_of_key(c, key);
}

void tenant_enter(struct cache *c, struct obj *o)
{
	o->tenant = tenant_of(c, o);
	if (o->tenant)
		o->tenant->refs++;
}

/* --- what is charged --- */

bool tenant_is_top(const struct obj *o)
{
	return o->tenant && o->parent && o->parent->tenant != o->tenant;
}

/* What is still written counts until it is closed, though its name is gone. */
static bool is_charged_for(const struct obj *o)
{
	if (!o->tenant)
		return false;
	if (o->wr && o->flags & OBJ_CHARGED)
		return true;
	return o->parent && o->parent->tenant == o->tenant && obj_live(o) && !obj_is_dir(o) &&
	       (o->wr || !obj_expired(o->tenant->cache, o));
}

static uint64_t bytes_of(const struct obj *o)
{
	const struct wsession *wr = o->wr;

	if (!wr)
		return o->size;
	return wr->n_admitted && wr->admitted_end > wr->size ? wr->admitted_end : wr->size;
}

static void uncharge(struct obj *o)
{
	if (!(o->flags & OBJ_CHARGED))
		return;
	o->tenant->bytes -= o->charged;
	o->tenant->objects--;
	o->charged = 0;
	o->flags &= ~OBJ_CHARGED;
}

void tenant_settle(struct obj *o)
{
	uint64_t now;

	if (!o->tenant)
		return;
	if (!is_charged_for(o)) {
		uncharge(o);
		return;
	}
	now = bytes_of(o);
	o->tenant->bytes += now - o->charged;
	o->tenant->objects += !(o->flags & OBJ_CHARGED);
	o->charged = now;
	o->flags |= OBJ_CHARGED;
}

void tenant_leave(struct cache *c, struct obj *o)
{
	struct tenant *t = o->tenant;

	if (!t)
		return;
	uncharge(o);
	o->tenant = NULL;
	tenant_put(c, t);
}

/* What it has in the body tiers is the other's now. */
static void take_bodies(const struct obj *o, struct tenant *from, struct tenant *to)
{
	int64_t disk = o->flags & OBJ_RES_DISK ? (int64_t)o->disk.cost : 0;
	int64_t ram = o->flags & OBJ_RES_RAM ? (int64_t)o->ram.cost : 0;

	tenant_holds(from, LOCAL_DISK, -disk);
	tenant_holds(from, LOCAL_RAM, -ram);
	tenant_holds(to, LOCAL_DISK, disk);
	tenant_holds(to, LOCAL_RAM, ram);
}

void tenant_reenter(struct cache *c, struct obj *o)
{
	struct tenant *old = o->tenant, *now = tenant_of(c, o);

	if (now != old) {
		if (now)
			now->refs++;
		if (old)
			uncharge(o);
		take_bodies(o, old, now);
		o->tenant = now;
		if (old)
			tenant_put(c, old);
	}
	tenant_settle(o);
}

/* --- the policies --- */

char *tenants_form(struct cache *c)
{
	return c->policy ? policy_tenant_dir(c->policy, "x") : NULL;
}

static void reenter_below(struct cache *c, struct obj *dir)
{
	if (!dir->dir)
		return;
	list_for_each(it, &dir->dir->children) {
		struct obj *o = list_entry(it, struct obj, sibling);

		tenant_reenter(c, o);
		reenter_below(c, o);
	}
}

void tenants_take(struct cache *c, const char *old_form)
{
	CLEANUP_FREE char *form = tenants_form(c);

	c->has_tenants = form;
	for (unsigned int i = 0; i < c->tenants.n; i++) {
		struct tenant *t = c->tenants.v[i];

		t->policy = policy_tenant(c->policy, t->name, strlen(t->name));
	}
	if (c->root && strcmp(form ? form : "", old_form ? old_form : ""))
		reenter_below(c, c->root);
}

void tenants_release(struct cache *c)
{
	for (unsigned int i = 0; i < c->tenants.n; i++)
		free(c->tenants.v[i]);
	free(c->tenants.v);
}

/* --- directories --- */

/* What is configured holds, whatever a record says. */
static bool dir_attr(struct cache *c, struct obj *o, const struct tenant_policy *p)
{
	uid_t uid = p->uid != POLICY_ID_NONE ? p->uid : c->config->mount.uid;
	gid_t gid = p->gid != (gid_t)POLICY_ID_NONE ? p->gid : c->config->mount.gid;
	mode_t mode = S_IFDIR | (p->mode & 07777);
	bool same = o->uid == uid && o->gid == gid && o->mode == mode;

	o->uid = uid;
	o->gid = gid;
	o->mode = mode;
	o->known |= REC_MODE | REC_OWNER;
	return !same;
}

/* The directory of a declared tenant, with those above it. NULL: no memory, or a file is there */
static struct obj *make_dir(struct cache *c, const struct tenant_policy *p, bool *ret_news)
{
	CLEANUP_FREE char *key = policy_tenant_dir(c->policy, p->name);
	struct obj *o = key ? tree_make(c, key) : NULL;

	if (!o)
		return NULL;
	if ((obj_live(o) && !obj_is_dir(o)) || obj_become_dir(c, o)) {
		obj_put_locked(c, o);
		return NULL;
	}
	for (struct obj *up = o->parent; up != c->root; up = up->parent)
		if (!obj_live(up))
			obj_set_exist(up, EX_LOCAL);
	*ret_news = dir_attr(c, o, p) || !obj_live(o);
	if (!o->created_ns)
		o->created_ns = o->mtime_ns;
	o->flags |= OBJ_TENANT_DIR | OBJ_OWN_DIR | OBJ_PROBED;
	obj_set_exist(o, EX_LOCAL);
	return o;
}

/* A directory of a tenant that is declared no more is one that somebody made. */
static void release_dirs(struct cache *c)
{
	for (unsigned int i = 0; i < c->tenants.n; i++) {
		const struct tenant *t = c->tenants.v[i];
		CLEANUP_FREE char *key = policy_tenant_dir(c->policy, t->name);
		struct obj *o = key ? tree_peek(c, key) : NULL;

		if (o && !(t->policy && t->policy->declared))
			o->flags &= ~OBJ_TENANT_DIR;
	}
}

void tenants_make_dirs(struct cache *c)
{
	for (unsigned int i = 0;; i++) {
		const struct tenant_policy *p;
		struct obj *o = NULL;
		bool news = false;

		{
			SCOPE_LOCK(&c->lock);
			if (!i)
				release_dirs(c);
			if (i >= policy_n_tenants(c->policy))
				return;
			p = policy_tenant_at(c->policy, i);
			if (p->declared)
				o = make_dir(c, p, &news);
		}
		if (o && news && c->started) {
			obj_emit(c, CACHE_EV_NAME, o);
			obj_emit(c, CACHE_EV_ATTR, o);
		}
		if (o)
			obj_unref(c, o);
	}
}

int tenant_made_dir(struct cache *c, struct obj *o, uid_t caller, mode_t *mode, uid_t *uid,
		    gid_t *gid)
{
	const struct tenant_policy *p;

	if (!tenant_is_top(o) || !policy_n_tenants(c->policy))
		return 0;
	p = o->tenant->policy;
	if (!p)
		return caller && caller != c->config->mount.uid ? -EACCES : 0;
	*mode = p->mode;
	if (p->uid != POLICY_ID_NONE)
		*uid = p->uid;
	if (p->gid != (gid_t)POLICY_ID_NONE)
		*gid = p->gid;
	return 0;
}

void tenant_default_attr(struct obj *o, mode_t type)
{
	const struct tenant_policy *p = o->tenant ? o->tenant->policy : NULL;

	if (!p || (tenant_is_top(o) && type != S_IFDIR))
		return;
	if (p->uid != POLICY_ID_NONE)
		o->uid = p->uid;
	if (p->gid != (gid_t)POLICY_ID_NONE)
		o->gid = p->gid;
	if (tenant_is_top(o))
		o->mode = S_IFDIR | (p->mode & 07777);
}

/* --- limits --- */

static bool over(uint64_t have, uint64_t more, uint64_t limit)
{
	return limit != POLICY_NONE && more && (have > limit || more > limit - have);
}

/* Whether a tenant may take that much more. */
static int allow(const struct cache *c, struct tenant *t, uint64_t bytes, uint64_t objects)
{
	const struct tenant_claim *m = &c->tenants.moving;
	bool claims = m->tenant == t;

	if (!t->policy ||
	    (!over(t->bytes + (claims ? m->bytes : 0), bytes, t->policy->quota) &&
	     !over(t->objects + (claims ? m->objects : 0), objects, t->policy->max_objects)))
		return 0;
	t->counts[TENANT_REFUSED]++;
	return -EDQUOT;
}

int tenant_admit_object(const struct cache *c, struct obj *o)
{
	if (!o->tenant || tenant_is_top(o) || !o->parent || o->flags & OBJ_CHARGED)
		return 0;
	return allow(c, o->tenant, S_ISLNK(o->mode) ? o->size : 0, 1);
}

int tenant_admit(struct cache *c, struct obj *o, uint64_t end)
{
	SCOPE_LOCK(&c->lock);
	struct wsession *wr = o->wr;
	int r;

	if (is_charged_for(o) && end > o->charged) {
		r = allow(c, o->tenant, end - o->charged, 0);
		if (r)
			return r;
	}
	wr->n_admitted++;
	if (end > wr->admitted_end)
		wr->admitted_end = end;
	tenant_settle(o);
	return 0;
}

void tenant_admitted(struct obj *o)
{
	if (!--o->wr->n_admitted)
		o->wr->admitted_end = 0;
	tenant_settle(o);
}

/* --- renames --- */

static void sum_below(const struct obj *o, struct tenant_claim *sum)
{
	if (!obj_is_dir(o)) {
		sum->bytes += obj_live(o) ? bytes_of(o) : 0;
		sum->objects += obj_live(o);
		return;
	}
	if (!o->dir)
		return;
	list_for_each(it, &o->dir->children)
		sum_below(list_entry(it, struct obj, sibling), sum);
}

/* The tenant whose directory to_dir/to would be. */
static int would_be_top(struct cache *c, struct obj *to_dir, const char *to, bool *ret_top)
{
	CLEANUP_FREE char *dir_key = NULL;
	CLEANUP_FREE char *key = NULL;
	const char *name;
	size_t len;

	*ret_top = false;
	if (to_dir->tenant || !c->has_tenants)
		return 0;
	dir_key = obj_key_locked(to_dir);
	key = dir_key ? key_join(dir_key, to) : NULL;
	if (!key)
		return -ENOMEM;
	*ret_top = policy_tenant_name(c->policy, key, strlen(key), NULL, &name, &len);
	return 0;
}

int tenant_move(struct cache *c, struct obj *o, struct obj *to_dir, const char *to)
{
	struct tenant *from = o->parent ? o->parent->tenant : NULL, *into = to_dir->tenant;
	struct tenant_claim claim = {.tenant = into};
	bool top = false;
	int r = obj_is_dir(o) ? would_be_top(c, to_dir, to, &top) : 0;

	if (r)
		return r;
	if (top || (obj_is_dir(o) && tenant_is_top(o)) || (from && into && from != into))
		return -EXDEV;
	if (!into || from == into)
		return 0;
	sum_below(o, &claim);
	r = allow(c, into, claim.bytes, claim.objects);
	if (!r)
		c->tenants.moving = claim;
	return r;
}

void tenant_moved(struct cache *c)
{
	c->tenants.moving = (struct tenant_claim){0};
}
