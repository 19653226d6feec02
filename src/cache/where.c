/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a store has an object. A rename is done here at once and in the store later, object by
 * object, so until then it may be asked for by several names. An answer is worth what the names
 * were worth while it was given: "absent" is sure where every name was asked, in the order in which
 * the object moves, and no rename was made here meanwhile.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cache/where.h"

#define ASK_TRIES 4

bool name_pending_gone(struct cache *c, const char *key)
{
	struct jnames names;
	int r = journal_names(c->journal, key, &names);

	jnames_release(&names);
	return r == -ENOENT;
}

bool name_pending(struct cache *c, const char *key)
{
	struct jnames names;
	bool pending = journal_names(c->journal, key, &names) != 0;

	for (size_t i = 0; i < names.n && !pending; i++)
		pending = journal_pending(c->journal, names.v[i], UINT64_MAX);
	jnames_release(&names);
	return pending;
}

bool names_lead(struct cache *c, const char *key, size_t left)
{
	struct jnames names;
	bool lead;

	if (left <= 1)
		return true;
	lead = !journal_names(c->journal, key, &names) && names.n >= left;
	jnames_release(&names);
	return lead;
}

uint32_t obj_moved(struct cache *c, struct obj *o)
{
	SCOPE_LOCK(&c->lock);
	return o->moved;
}

/* By each of the names. Without by_name another version is another object, to be passed over. */
static int ask_names(struct cache *c, const char *key, const struct jnames *names, ask_fn *ask,
		     void *arg, bool by_name)
{
	int r = -ENOENT, other = -ENOENT;

	for (size_t i = 0; i < names->n && r == -ENOENT; i++) {
		r = ask(c, names->v[i], arg);
		if (!r && by_name && !names_lead(c, key, names->n - i))
			return -EAGAIN;
		if (r == -ESTALE && !by_name)
			other = r;
		r = r == other ? -ENOENT : r;
	}
	return r == -ENOENT ? other : r;
}

int store_ask_key(struct cache *c, const char *key, ask_fn *ask, void *arg, bool by_name)
{
	struct jnames names;
	int r = journal_names(c->journal, key, &names);

	if (r == -ENOENT && !by_name)
		return ask(c, key, arg); /* deleted here, and who has it open still reads it */
	if (!r)
		r = ask_names(c, key, &names, ask, arg, by_name);
	jnames_release(&names);
	return r;
}

int store_ask(struct cache *c, struct obj *o, ask_fn *ask, void *arg, bool by_name)
{
	for (int tries = 0; tries < ASK_TRIES; tries++) {
		uint32_t moved = obj_moved(c, o);
		CLEANUP_FREE char *key = obj_key(c, o);
		int r = key ? store_ask_key(c, key, ask, arg, by_name) : -ENOMEM;
		bool by_key = r == -ENOENT || (!r && by_name);

		if (r != -EAGAIN && !(by_key && obj_moved(c, o) != moved))
			return r;
	}
	return -EAGAIN;
}

int fill_ask(struct cache *c, struct fill *f, ask_fn *ask, void *arg)
{
	CLEANUP_FREE char *key = NULL;
	struct obj *o;
	int r;

	{
		SCOPE_LOCK(&c->lock);
		o = f->obj;
		if (o)
			obj_get(o);
		else
			key = strdup(f->key);
	}
	if (!o)
		return key ? store_ask_key(c, key, ask, arg, false) : -ENOMEM;
	r = store_ask(c, o, ask, arg, false);
	obj_unref(c, o);
	return r;
}
