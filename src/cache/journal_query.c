/* SPDX-License-Identifier: Apache-2.0 */
/* The journal's calls that only ask, or make something due. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cache/journal_priv.h"

void journal_stats(struct journal *j, struct journal_stats *ret)
{
	SCOPE_LOCK(&j->lock);
	*ret = (struct journal_stats){
		.entries = j->entries, .bytes = j->bytes, .held = j->held, .inflight = j->inflight};
	if (!list_empty(&j->order))
		ret->oldest_ns = list_entry(j->order.next, struct ent, order)->pub.appended_ns;
}

uint64_t journal_last_seq(struct journal *j)
{
	SCOPE_LOCK(&j->lock);
	return j->next_seq - 1;
}

static bool is_pending(const struct ent *e, uint64_t upto)
{
	return e->pub.state != J_HELD && e->first_seq <= upto;
}

/* A rename of a directory above path holds everything below it. */
static bool renamed_above(struct journal *j, const char *path, uint64_t upto)
{
	for (const struct jnode *n = jtree_deepest(j, path); n; n = n->parent) {
		list_for_each(it, &n->entries) {
			const struct ent *e = list_entry(it, struct jplace, link)->ent;

			if (e->pub.op == J_RENAME && is_pending(e, upto))
				return true;
		}
	}
	return false;
}

bool journal_pending(struct journal *j, const char *path, uint64_t upto)
{
	SCOPE_LOCK(&j->lock);
	struct jnode *top = jtree_find(j, path);

	if (j->entries == j->held)
		return false;
	for (struct jnode *n = NULL; top && (n = jtree_walk(top, n));) {
		list_for_each(it, &n->entries) {
			if (is_pending(list_entry(it, struct jplace, link)->ent, upto))
				return true;
		}
	}
	return renamed_above(j, path, upto);
}

static void hurry_below(struct journal *j, struct jnode *top)
{
	for (struct jnode *n = NULL; (n = jtree_walk(top, n));) {
		list_for_each(it, &n->entries)
			jorder_hurry(j, list_entry(it, struct jplace, link)->ent);
	}
}

void journal_set_upload_delay(struct journal *j, int64_t upload_delay_ns)
{
	SCOPE_LOCK(&j->lock);
	j->conf.upload_delay_ns = upload_delay_ns;
}

/* Also what those below path wait for elsewhere: siblings, and both ends of a rename. */
void journal_hurry(struct journal *j, const char *path)
{
	struct jnode *top;

	pthread_mutex_lock(&j->lock);
	top = jtree_find(j, path);
	for (struct jnode *n = NULL; top && (n = jtree_walk(top, n));) {
		list_for_each(it, &n->entries) {
			const struct ent *e = list_entry(it, struct jplace, link)->ent;

			if (e->waits > 0 && e->watch.node && n == top)
				hurry_below(j, e->watch.node);
			for (int i = 0; i < PLACE_COUNT && e->waits > 0; i++) {
				if (e->place[i].node && e->place[i].node != n)
					hurry_below(j, e->place[i].node);
			}
			jorder_hurry(j, list_entry(it, struct jplace, link)->ent);
		}
	}
	for (struct jnode *n = jtree_deepest(j, path); n; n = n->parent) {
		list_for_each(it, &n->entries) {
			struct ent *e = list_entry(it, struct jplace, link)->ent;

			if (e->pub.op == J_RENAME)
				jorder_hurry(j, e);
		}
	}
	jn_unlock(j);
}

void journal_hurry_failed(struct journal *j)
{
	pthread_mutex_lock(&j->lock);
	list_for_each(it, &j->order) {
		struct ent *e = list_entry(it, struct ent, order);

		if (e->pub.last_error && e->pub.state == J_QUEUED)
			jorder_hurry(j, e);
	}
	jn_unlock(j);
}

int journal_foreach(struct journal *j, int (*fn)(void *arg, const struct jent *e), void *arg)
{
	int r = 0;
	SCOPE_LOCK(&j->lock);

	list_for_each(it, &j->order) {
		r = fn(arg, &list_entry(it, struct ent, order)->pub);
		if (r)
			break;
	}
	return r;
}

int journal_find(struct journal *j, const char *key, struct jent *ret)
{
	SCOPE_LOCK(&j->lock);
	struct jnode *n = jtree_find(j, key);

	for (struct list *it = n ? n->entries.prev : NULL; n && it != &n->entries; it = it->prev) {
		const struct jplace *p = list_entry(it, struct jplace, link);

		if (p->ent->pub.op != J_RENAME || p == &p->ent->place[PLACE_TO])
			return jent_copy(ret, &p->ent->pub);
	}
	return -ENOENT;
}

/*
 * The youngest rename before pos in line that key, or a directory above it, takes part in; NULL:
 * none.
 */
static struct jplace *last_rename(struct journal *j, const char *key, uint64_t pos)
{
	struct jplace *best = NULL;

	for (struct jnode *n = jtree_deepest(j, key); n; n = n->parent) {
		list_for_each(it, &n->entries) {
			struct jplace *p = list_entry(it, struct jplace, link);
			size_t len = strlen(p == &p->ent->place[PLACE_TO] ? p->ent->pub.to
									  : p->ent->pub.key);

			if (p->ent->pub.op != J_RENAME || p->ent->pos >= pos ||
			    (!p->ent->pub.dir && key[len] != '\0'))
				continue;
			if (!best || p->ent->pos > best->ent->pos)
				best = p;
		}
	}
	return best;
}

/*
 * The newest change of exactly this name that stands in line between `after` (may be NULL) and
 * before; of its bytes only, where asked for.
 */
static const struct ent *last_change(struct journal *j, const char *key, const struct ent *after,
				     uint64_t before, bool bytes)
{
	const struct jnode *n = jtree_find(j, key);

	for (struct list *it = n ? n->entries.prev : NULL; n && it != &n->entries; it = it->prev) {
		const struct ent *e = list_entry(it, struct jplace, link)->ent;

		if (after && e->pos <= after->pos)
			break;
		if (e->pos < before && e->pub.op != J_RENAME &&
		    !(bytes && (e->pub.op == J_META || e->pub.op == J_MKDIR)))
			return e;
	}
	return NULL;
}

static bool takes_away(const struct ent *e)
{
	return e->pub.op == J_DELETE || e->pub.op == J_RMDIR;
}

/* The name that what is called name had before that rename. */
static char *name_before(const struct jent *rename, const char *name)
{
	char *before;

	return asprintf(&before, "%s%s", rename->key, name + strlen(rename->to)) < 0 ? NULL
										     : before;
}

uint64_t journal_bytes(struct journal *j, const char *key, uint64_t *ret_seq)
{
	CLEANUP_FREE char *at = strdup(key);
	uint64_t pos = UINT64_MAX;
	SCOPE_LOCK(&j->lock);

	while (at) {
		struct jplace *p = last_rename(j, at, pos);
		const struct ent *e = last_change(j, at, p ? p->ent : NULL, pos, true);
		char *before;

		if (e && e->pub.op == J_PUT) {
			if (ret_seq)
				*ret_seq = e->pub.seq;
			return e->pub.staging_id;
		}
		if (e || !p || p == &p->ent->place[PLACE_KEY])
			break;
		before = name_before(&p->ent->pub, at);
		free(at);
		at = before;
		pos = p->ent->pos;
	}
	return 0;
}

static int names_add(struct jnames *names, char *name)
{
	char **v = name ? reallocarray(names->v, names->n + 1, sizeof(*v)) : NULL;

	if (!v) {
		free(name);
		return -ENOMEM;
	}
	names->v = v;
	names->v[names->n++] = name;
	return 0;
}

static void names_reverse(struct jnames *names)
{
	for (size_t i = 0; i < names->n / 2; i++) {
		char *name = names->v[i];

		names->v[i] = names->v[names->n - 1 - i];
		names->v[names->n - 1 - i] = name;
	}
}

/*
 * Steps back through the renames, up to where something was taken away; -ENOENT: nothing came since
 * then.
 */
static int names_walk(struct journal *j, const char *key, struct jnames *names)
{
	uint64_t pos = UINT64_MAX;
	struct jplace *p = NULL;
	bool came = false;

	do {
		const char *last = names->n ? names->v[names->n - 1] : NULL;
		char *at = last ? name_before(&p->ent->pub, last) : strdup(key);
		const struct ent *e;
		int r = names_add(names, at);

		if (r)
			return r;
		p = last_rename(j, at, pos);
		e = last_change(j, at, p ? p->ent : NULL, pos, false);
		if (e ? takes_away(e) : p && p == &p->ent->place[PLACE_KEY])
			return came ? 0 : -ENOENT;
		came |= e != NULL;
		pos = p ? p->ent->pos : 0;
	} while (p && p != &p->ent->place[PLACE_KEY]);
	return 0;
}

int journal_names(struct journal *j, const char *key, struct jnames *ret)
{
	int r;

	*ret = (struct jnames){.n = 0};
	{
		SCOPE_LOCK(&j->lock);
		r = names_walk(j, key, ret);
	}
	if (r)
		jnames_release(ret);
	names_reverse(ret);
	return r;
}

void jnames_release(struct jnames *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->v[i]);
	free(names->v);
	*names = (struct jnames){.n = 0};
}
