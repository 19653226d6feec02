/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which version a change begins from. An entry behind another one of the same key cannot know
 * yet: it is chained, and gets its base from what the one before leaves behind. Renames in
 * between carry the version to another name, and the entry to look for with it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cache/journal_priv.h"

static bool is_object_change(const struct ent *e)
{
	return e->pub.op == J_PUT || e->pub.op == J_META || e->pub.op == J_DELETE;
}

/*
 * Whether e, found by its place p at key's node (exact) or above it, does something to the
 * object at key.
 */
static bool concerns(const struct jplace *p, bool exact)
{
	if (p->ent->pub.op == J_RENAME)
		return exact || p->ent->pub.dir;
	return exact && is_object_change(p->ent);
}

/*
 * The first place behind pos, or the last one before it, of an entry that does something to the
 * object at key; NULL.
 */
static struct jplace *nearest(struct journal *j, const char *key, uint64_t pos, bool behind)
{
	struct jnode *exact = jtree_find(j, key);
	struct jplace *best = NULL;

	for (struct jnode *n = jtree_deepest(j, key); n; n = n->parent) {
		list_for_each(it, &n->entries) {
			struct jplace *p = list_entry(it, struct jplace, link);
			uint64_t at = p->ent->pos;

			if (!concerns(p, n == exact) || (behind ? at <= pos : at >= pos))
				continue;
			if (!best || (behind ? at < best->ent->pos : at > best->ent->pos))
				best = p;
		}
	}
	return best;
}

/* A key on its way through renames. */
struct trail {
	char buf[2][KEY_MAX + 1];
	unsigned int use;
	const char *key;
};

/* key, which begins with `from`, begins with `to` now. false: too long to be anything. */
static bool trail_follow(struct trail *t, const char *from, const char *to)
{
	const char *rest = t->key + strlen(from);
	size_t head = strlen(to), tail = strlen(rest);
	char *buf = t->buf[t->use];

	if (head + tail > KEY_MAX)
		return false;
	memcpy(buf, to, head);
	memcpy(buf + head, rest, tail + 1);
	t->key = buf;
	t->use = !t->use;
	return true;
}

static bool is_from(const struct jplace *p)
{
	return p == &p->ent->place[PLACE_KEY];
}

struct ent *jn_follower(struct journal *j, const char *key, uint64_t pos)
{
	struct trail t = {.key = key};
	struct jplace *p;

	while ((p = nearest(j, t.key, pos, true)) && p->ent->pub.op == J_RENAME && is_from(p)) {
		if (!trail_follow(&t, p->ent->pub.key, p->ent->pub.to))
			return NULL;
		pos = p->ent->pos;
	}
	return p ? p->ent : NULL;
}

int jn_name_now(struct journal *j, const char *key, uint64_t pos, char **ret_name)
{
	struct trail t = {.key = key};
	struct jplace *p;

	while ((p = nearest(j, t.key, pos, true))) {
		if (p->ent->pub.op == J_DELETE || (p->ent->pub.op == J_RENAME && !is_from(p)))
			return -ENOENT;
		if (p->ent->pub.op == J_RENAME &&
		    !trail_follow(&t, p->ent->pub.key, p->ent->pub.to))
			return -ENOENT;
		pos = p->ent->pos;
	}
	*ret_name = strdup(t.key);
	return *ret_name ? 0 : -ENOMEM;
}

/*
 * Whether a change of key, behind everything, begins from what a live change leaves: renames are
 * followed backwards to the names that the object had. A name that was renamed away begins anew.
 */
static bool has_history(struct journal *j, const char *key)
{
	struct trail t = {.key = key};
	uint64_t pos = UINT64_MAX;
	struct jplace *p;

	while ((p = nearest(j, t.key, pos, false)) && p->ent->pub.op == J_RENAME) {
		if (is_from(p) || !trail_follow(&t, p->ent->pub.to, p->ent->pub.key))
			return false;
		pos = p->ent->pos;
	}
	return p != NULL;
}

/*
 * A renamed directory brings only what its owner knew, so what is new in it is new. A file's
 * rename may bring a file that an earlier one put there.
 */
bool jn_is_brought(struct journal *j, const char *key, uint64_t pos)
{
	struct trail t = {.key = key};
	struct jplace *p;

	while ((p = nearest(j, t.key, pos, false)) && p->ent->pub.op == J_RENAME) {
		if (is_from(p) || !trail_follow(&t, p->ent->pub.to, p->ent->pub.key))
			return false;
		if (!p->ent->pub.dir)
			return true;
		pos = p->ent->pos;
	}
	return p && pos != UINT64_MAX; /* a change under an older name */
}

void jn_chain(struct journal *j, struct ent *e, const char *key)
{
	if (!has_history(j, key))
		return;
	jn_set_base(e, TIER_ANY, "");
	e->chained = true;
}

void jn_set_base(struct ent *e, enum tier_cond cond, const char *etag)
{
	e->pub.base.cond = cond;
	snprintf(e->pub.base.etag, sizeof(e->pub.base.etag), "%s",
		 cond == TIER_IF_MATCH ? etag : "");
}

/* The entry behind e in the life of its object gets e's own base: e never happened. */
static void hand_back(struct journal *j, struct ent *e)
{
	struct ent *f = jn_follower(j, e->pub.key, e->pos);

	if (!f || !f->chained)
		return;
	f->pub.base = e->pub.base;
	f->chained = e->chained;
}

void jn_base_dropped(struct journal *j, struct ent *e)
{
	if (is_object_change(e))
		hand_back(j, e);
}

static bool begins_from(const struct ent *e, const char *etag)
{
	return !e->chained && e->pub.base.cond == TIER_IF_MATCH &&
	       strcmp(e->pub.base.etag, etag) == 0;
}

struct ent *jn_moved_follower(struct journal *j, const struct ent *rename, const char *to,
			      const char *from_etag)
{
	struct ent *f = jn_follower(j, to, rename->pos);

	return f && (f->chained || begins_from(f, from_etag)) ? f : NULL;
}

/*
 * A rename is done. Where it found nothing, whoever counted on a new file at `to` meets the old
 * one.
 */
static void rename_done(struct journal *j, struct ent *e, const char *etag)
{
	struct ent *f = e->pub.dir ? NULL : jn_follower(j, e->pub.to, e->pos);
	bool moved = etag && etag[0];

	if (!f)
		return;
	if (moved && (f->chained || begins_from(f, e->pub.rec.etag))) {
		jn_set_base(f, TIER_IF_MATCH, etag);
		f->chained = false;
	} else if (!moved && (f->chained || f->pub.base.cond == TIER_IF_ABSENT)) {
		f->pub.base = e->pub.base;
		f->chained = e->chained;
	}
}

void jn_base_done(struct journal *j, struct ent *e, const char *etag)
{
	struct ent *f;

	if (e->pub.op == J_RENAME) {
		rename_done(j, e, etag);
		return;
	}
	if (!is_object_change(e))
		return;
	f = jn_follower(j, e->pub.key, e->pos);
	if (!f || !f->chained)
		return;
	if (!etag) {
		hand_back(j, e);
		return;
	}
	if (etag[0])
		jn_set_base(f, TIER_IF_MATCH, etag);
	else
		jn_set_base(f, e->pub.op == J_DELETE ? TIER_IF_ABSENT : TIER_ANY, "");
	f->chained = false;
}
