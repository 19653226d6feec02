/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rename meets the older changes: puts, metas and mkdirs that the store was not asked for yet
 * just get the new name. What is left to do in the store is one of
 *
 *	nothing	it has nothing under the old name: so a temporary name never reaches it
 *	delete	a file whose new bytes are on their way to the new name: the old name only has to
 *		go
 *	move	copy and delete in the store. What was re-keyed comes after it
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/journal_priv.h"

enum left { LEFT_NOTHING, LEFT_DELETE, LEFT_MOVE };

struct move {
	struct ent *e;
	char *key;	    /* its new one */
	struct jnode *node; /* a reference, so that placing it cannot fail */
};

struct plan {
	struct ent *e;		 /* the rename's own entry */
	struct jnode *from, *to; /* references */
	struct move *moves;
	size_t n, cap;
	enum left left;
	struct jbase from_base; /* LEFT_DELETE */
};

static void plan_release(struct journal *j, struct plan *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->moves[i].key);
		jtree_put(j, p->moves[i].node);
	}
	free(p->moves);
	jtree_put(j, p->from);
	jtree_put(j, p->to);
	if (p->e)
		jn_ent_free(p->e);
}

static int plan_move(struct journal *j, struct plan *p, struct ent *e, const struct jent *change)
{
	const char *rest = e->pub.key + strlen(change->key);
	struct move *m;

	if (strlen(change->to) + strlen(rest) > KEY_MAX)
		return -ENAMETOOLONG;
	if (p->n == p->cap) {
		size_t cap = p->cap ? p->cap * 2 : 16;

		m = reallocarray(p->moves, cap, sizeof(*m));
		if (!m)
			return -ENOMEM;
		p->moves = m;
		p->cap = cap;
	}
	m = &p->moves[p->n++];
	*m = (struct move){.e = e};
	if (asprintf(&m->key, "%s%s", change->to, rest) < 0) {
		m->key = NULL;
		return -ENOMEM;
	}
	m->node = jtree_get(j, m->key);
	return m->node ? 0 : -ENOMEM;
}

static bool from_store(const struct ent *e)
{
	return e->pub.op == J_META ||
	       (e->pub.op == J_PUT && (e->chained || e->pub.base.cond == TIER_IF_MATCH));
}

/*
 * Collects what can be re-keyed at one node, from the youngest on. What is older than a delete
 * or another rename there belongs to an object that had the name before. p->left is raised by
 * what cannot be re-keyed and will be at the old name, or brings something there, once all
 * before the rename is done.
 */
static int plan_node(struct journal *j, struct plan *p, struct jnode *n, const struct jent *change)
{
	bool object = true, marker = true;
	int r = 0;

	for (struct list *it = n->entries.prev; it != &n->entries && r == 0; it = it->prev) {
		struct jplace *place = list_entry(it, struct jplace, link);
		struct ent *e = place->ent;

		if (e->pub.op == J_RENAME) {
			if (place == &e->place[PLACE_TO] && (object || marker))
				p->left = LEFT_MOVE;
			break;
		}
		object &= e->pub.op != J_DELETE;
		marker &= e->pub.op != J_RMDIR;
		if (!jn_is_write(e) || !(e->pub.op == J_MKDIR ? marker : object))
			continue;
		if (e->tried || (change->dir && from_store(e)))
			p->left = LEFT_MOVE;
		if (!e->tried)
			r = plan_move(j, p, e, change);
	}
	return r;
}

static int by_pos(const void *a, const void *b)
{
	const struct ent *x = ((const struct move *)a)->e, *y = ((const struct move *)b)->e;

	return x->pos < y->pos ? -1 : x->pos > y->pos;
}

/* What a single file's rename leaves to do; p->moves is sorted. */
static enum left file_left(struct journal *j, const struct plan *p, const struct jent *change)
{
	const struct ent *first = p->n ? p->moves[0].e : NULL;

	if (p->left == LEFT_MOVE || !first)
		return p->left == LEFT_MOVE || change->store_has_from ? LEFT_MOVE : LEFT_NOTHING;
	if (first->chained || first->pub.op != J_PUT)
		return LEFT_MOVE;
	switch (first->pub.base.cond) {
	case TIER_IF_ABSENT:
		return jn_is_brought(j, change->key, first->pos) ? LEFT_MOVE : LEFT_NOTHING;
	case TIER_ANY:
		if (!change->store_has_from)
			return LEFT_NOTHING;
		break;
	case TIER_IF_MATCH:
		break;
	}
	/*
	 * A put that is held may never come: then the store's version has to be at the new name.
	 */
	return first->pub.state == J_HELD ? LEFT_MOVE : LEFT_DELETE;
}

static int make_plan(struct journal *j, const struct jent *change, uint64_t seq, struct plan *p)
{
	int r = jn_reserve(j, 1);

	if (r)
		return r;
	p->e = jn_ent_new(change);
	p->from = jtree_get(j, change->key);
	p->to = jtree_get(j, change->to);
	if (!p->e || !p->from || !p->to)
		return -ENOMEM;
	p->e->pub.seq = p->e->first_seq = seq;
	p->left = change->dir && change->store_has_from ? LEFT_MOVE : LEFT_NOTHING;
	if (change->dir) {
		for (struct jnode *n = NULL; r == 0 && (n = jtree_walk(p->from, n));)
			r = plan_node(j, p, n, change);
	} else {
		r = plan_node(j, p, p->from, change);
	}
	/* A rename that waits may bring something there that the caller does not know of. */
	if ((p->n == 0 || change->dir) && jn_is_brought(j, change->key, UINT64_MAX))
		p->left = LEFT_MOVE;
	if (p->n > 0)
		qsort(p->moves, p->n, sizeof(*p->moves), by_pos);
	if (!change->dir)
		p->left = file_left(j, p, change);
	if (p->left == LEFT_DELETE)
		p->from_base = p->moves[0].e->pub.base;
	return r;
}

/* --- commit --- */

/*
 * Nothing at or around the new name is younger than what comes there: it may keep its place in
 * line.
 */
static bool quiet(const struct plan *p)
{
	uint64_t oldest = p->moves[0].e->pos;

	if (p->to->below > 0 || !list_empty(&p->to->entries))
		return false;
	for (const struct jnode *n = p->to->parent; n; n = n->parent) {
		list_for_each(it, &n->entries) {
			const struct ent *e = list_entry(it, struct jplace, link)->ent;

			if (e->deep && e->pos > oldest)
				return false;
		}
	}
	return true;
}

static void move_all(struct journal *j, struct plan *p, size_t first, bool last_in_line)
{
	for (size_t i = first; i < p->n; i++)
		jorder_unplace(j, p->moves[i].e);
	for (size_t i = first; i < p->n; i++) {
		struct ent *e = p->moves[i].e;

		free(e->pub.key);
		e->pub.key = STEAL_PTR(p->moves[i].key);
		if (last_in_line) {
			list_del(&e->order);
			list_add_tail(&j->order, &e->order);
			e->pos = j->next_pos++;
		}
		jorder_place(j, e);
	}
}

/* What comes to `to` begins from what was there, whose own changes are not needed any more. */
static void inherit(struct journal *j, struct plan *p, struct ent *e, const struct jent *change,
		    const struct ent *slot)
{
	struct jsquashed old = jn_squash(j, p->to, slot);

	e->pub.base = old.any ? old.base : change->base;
	e->chained = old.any && old.chained;
	if (!old.any)
		jn_chain(j, e, change->to);
}

/* None of them waits for siblings, under the old name or the new one. */
static bool is_plain(const struct plan *p, const struct jent *change)
{
	for (size_t i = 0; i < p->n; i++) {
		if (p->moves[i].e->pub.after_siblings)
			return false;
	}
	return !change->after_siblings;
}

/* The re-keyed put is all that the new name needs. */
static void commit_file(struct journal *j, struct plan *p, const struct jent *change)
{
	struct ent *slot, *first = p->moves[0].e;
	bool plain = is_plain(p, change), last;
	size_t at = 0;

	slot = jn_slot(j, p->to, false);
	if (slot && plain && !slot->pub.after_siblings) {
		enum jstate state = first->pub.state;

		inherit(j, p, slot, change, slot);
		jn_take_over(j, slot, first);
		jn_set_state(j, slot, state);
		at = 1;
	} else {
		inherit(j, p, first, change, NULL);
	}
	if (at == p->n)
		return;
	last = at > 0 || !plain || !quiet(p);
	for (size_t i = at; i < p->n; i++)
		p->moves[i].e->pub.after_siblings = change->after_siblings;
	move_all(j, p, at, last);
}

static void commit_move(struct journal *j, struct plan *p, const struct jent *change)
{
	struct ent *e = STEAL_PTR(p->e);

	if (!change->dir)
		inherit(j, p, e, change, NULL);
	jn_enter(j, e);
	jn_set_state(j, e, J_QUEUED);
	move_all(j, p, 0, true);
}

static void commit_delete(struct journal *j, struct plan *p)
{
	struct ent *e = STEAL_PTR(p->e);

	free(e->pub.to);
	e->pub.to = NULL;
	e->pub.op = J_DELETE;
	e->pub.base = p->from_base;
	e->pub.after_siblings = false;
	jn_enter(j, e);
	jn_set_state(j, e, J_QUEUED);
}

/*
 * An empty directory at the new name goes. The store may have its marker, so ours is not a new
 * one there.
 */
static void replace_marker(struct journal *j, struct plan *p, const struct jent *change)
{
	struct ent *marker = jn_slot(j, p->to, true);

	if (marker && marker->pub.op == J_MKDIR)
		jn_kill(j, marker);
	for (size_t i = 0; i < p->n; i++) {
		if (strcmp(p->moves[i].key, change->to) == 0)
			jn_set_base(p->moves[i].e, TIER_ANY, "");
	}
}

static void commit(struct journal *j, struct plan *p, const struct jent *change)
{
	if (change->dir)
		replace_marker(j, p, change);
	if (p->left == LEFT_MOVE) {
		commit_move(j, p, change);
		return;
	}
	if (p->n > 0 && change->dir)
		move_all(j, p, 0, !quiet(p));
	else if (p->n > 0)
		commit_file(j, p, change);
	if (p->left == LEFT_DELETE)
		commit_delete(j, p);
}

int jn_append_rename(struct journal *j, const struct jent *change, uint64_t seq, uint64_t *ret_seq)
{
	struct plan p = {.e = NULL};
	int r = make_plan(j, change, seq, &p);

	if (r == 0)
		r = jn_log_append(j, change, false, seq);
	if (r == 0) {
		commit(j, &p, change);
		*ret_seq = seq;
	}
	plan_release(j, &p);
	return r;
}
