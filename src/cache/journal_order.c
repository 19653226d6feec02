/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What may go next.
 *
 * Two entries conflict where one's key (or to) equals or contains the other's, but for mkdir: a
 * marker has nothing to do with what lies below it. An entry waits for every older one that it
 * conflicts with, and one with after_siblings for every older one below its directory. To keep
 * this cheap with many live entries, the two directions are kept apart:
 *
 *  above   an older entry at the same path or at one that contains it: found by walking up, one of
 *	    them remembered as `blocker`; when that one goes, the entry looks again
 *  below   older entries strictly below: only counted (`waits`), as there may be many. An entry
 *  that
 *	    goes walks up once and takes itself off the counts of the younger ones that it meets
 *
 * Both only ever wait for what is older, so there is always one that can go. What waits for
 * nothing is in one of two heaps: `later` by due time, `ready` by place in line.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "cache/journal_priv.h"
#include "cogfs_version.h"

/* --- heaps --- */

static bool heap_before(const struct heap *h, const struct journal *j, const struct ent *a,
			const struct ent *b)
{
	if (h == &j->later && a->pub.due_ns != b->pub.due_ns)
		return a->pub.due_ns < b->pub.due_ns;
	return a->pos < b->pos;
}

static void heap_set(struct heap *h, size_t at, struct ent *e)
{
	h->v[at] = e;
	e->heap_at = at;
}

static void heap_up(struct journal *j, struct heap *h, size_t at)
{
	struct ent *e = h->v[at];

	while (at > 0 && heap_before(h, j, e, h->v[(at - 1) / 2])) {
		heap_set(h, at, h->v[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	heap_set(h, at, e);
}

static void heap_down(struct journal *j, struct heap *h, size_t at)
{
	struct ent *e = h->v[at];

	for (;;) {
		size_t child = 2 * at + 1;

		if (child + 1 < h->n && heap_before(h, j, h->v[child + 1], h->v[child]))
			child++;
		if (child >= h->n || !heap_before(h, j, h->v[child], e))
			break;
		heap_set(h, at, h->v[child]);
		at = child;
	}
	heap_set(h, at, e);
}

static struct heap *heap_of(struct journal *j, enum heap_id id)
{
	return id == HEAP_LATER ? &j->later : &j->ready;
}

static void heap_add(struct journal *j, enum heap_id id, struct ent *e)
{
	struct heap *h = heap_of(j, id);

	assert(e->heap == HEAP_NONE && h->n < h->cap);
	e->heap = (uint8_t)id;
	heap_set(h, h->n++, e);
	heap_up(j, h, h->n - 1);
}

static void heap_remove(struct journal *j, struct ent *e)
{
	struct heap *h = heap_of(j, (enum heap_id)e->heap);
	size_t at = e->heap_at;

	if (e->heap == HEAP_NONE)
		return;
	e->heap = HEAP_NONE;
	if (at == --h->n)
		return;
	heap_set(h, at, h->v[h->n]);
	heap_down(j, h, at);
	heap_up(j, h, at);
}

/* --- what is in the way --- */

static struct ent *older_at(const struct jnode *n, const struct ent *e, bool deep_only)
{
	list_for_each(it, &n->entries) {
		struct ent *other = list_entry(it, struct jplace, link)->ent;

		if (other->pos >= e->pos)
			break;
		if (!deep_only || other->deep)
			return other;
	}
	return NULL;
}

static struct ent *find_blocker(const struct ent *e)
{
	for (int i = 0; i < PLACE_COUNT; i++) {
		const struct jnode *n = e->place[i].node;
		struct ent *found = n ? older_at(n, e, false) : NULL;

		while (!found && n && (n = n->parent))
			found = older_at(n, e, true);
		if (found)
			return found;
	}
	return NULL;
}

static void forget_blocker(struct ent *e)
{
	list_del(&e->waiting);
	e->blocker = NULL;
}

void jorder_update(struct journal *j, struct ent *e)
{
	heap_remove(j, e);
	if (e->pub.state != J_QUEUED || e->waits > 0 || e->blocker)
		return;
	e->blocker = find_blocker(e);
	if (e->blocker) {
		list_add_tail(&e->blocker->waiters, &e->waiting);
		return;
	}
	heap_add(j, HEAP_LATER, e);
	j->changed = true;
}

void jorder_hurry(struct journal *j, struct ent *e)
{
	for (; e; e = e->blocker) {
		if (e->pub.due_ns == 0 || e->pub.state != J_QUEUED)
			continue;
		e->pub.due_ns = 0;
		if (e->heap != HEAP_NONE)
			jorder_update(j, e);
	}
}

/* --- in and out of the tree --- */

static void wait_more(struct journal *j, struct ent *e)
{
	e->waits++;
	heap_remove(j, e);
}

static void wait_less(struct journal *j, struct ent *e)
{
	assert(e->waits > 0);
	if (--e->waits == 0)
		jorder_update(j, e);
}

/*
 * Tells all that stand above n and are younger than e that there is one more (or less) below
 * them.
 */
static void tell_above(struct journal *j, const struct ent *e, struct jnode *n,
		       void (*tell)(struct journal *j, struct ent *e), int64_t count)
{
	while ((n = n->parent)) {
		n->below = (uint64_t)((int64_t)n->below + count);
		list_for_each(it, &n->entries) {
			struct ent *other = list_entry(it, struct jplace, link)->ent;

			if (other->deep && other->pos > e->pos)
				tell(j, other);
		}
		list_for_each(it, &n->watchers) {
			struct ent *other = list_entry(it, struct jplace, link)->ent;

			if (other->pos > e->pos)
				tell(j, other);
		}
	}
}

/* Lists of a node are short and new entries come last: from the end it is one look. */
static void insert_by_pos(struct list *head, struct jplace *p)
{
	struct list *at = head;

	while (at->prev != head &&
	       list_entry(at->prev, struct jplace, link)->ent->pos > p->ent->pos)
		at = at->prev;
	list_add_before(at, &p->link);
}

/*
 * Older places below n. All are, unless e is put into an older place: then its caller saw that
 * none is younger.
 */
static uint64_t older_below(const struct jnode *n)
{
	return n->below;
}

static void place_at(struct journal *j, struct ent *e, int which, const char *key)
{
	struct jplace *p = &e->place[which];

	p->node = jtree_get(j, key);
	assert(p->node); /* the plan made it */
	insert_by_pos(&p->node->entries, p);
	if (e->deep)
		e->waits += older_below(p->node);
	tell_above(j, e, p->node, wait_more, 1);
}

/* The name that appears when e is done. */
static const char *name_of(const struct ent *e)
{
	return e->pub.op == J_RENAME ? e->pub.to : e->pub.key;
}

void jorder_place(struct journal *j, struct ent *e)
{
	struct jnode *dir = NULL;

	e->waits = 0;
	e->blocker = NULL;
	if (e->pub.after_siblings) {
		dir = jtree_find(j, name_of(e))->parent;
		e->waits += older_below(dir);
	}
	place_at(j, e, PLACE_KEY, e->pub.key);
	if (e->pub.op == J_RENAME)
		place_at(j, e, PLACE_TO, e->pub.to);
	if (dir) {
		e->watch.node = dir;
		dir->refs++;
		insert_by_pos(&dir->watchers, &e->watch);
	}
	jorder_update(j, e);
}

static void unplace_at(struct journal *j, struct ent *e, struct jplace *p)
{
	struct jnode *n = p->node;

	if (!n)
		return;
	list_del(&p->link);
	p->node = NULL;
	tell_above(j, e, n, wait_less, -1);
	jtree_put(j, n);
}

void jorder_unplace(struct journal *j, struct ent *e)
{
	struct jnode *dir = e->watch.node;

	heap_remove(j, e);
	forget_blocker(e);
	if (dir) {
		list_del(&e->watch.link);
		e->watch.node = NULL;
		jtree_put(j, dir);
	}
	for (int i = 0; i < PLACE_COUNT; i++)
		unplace_at(j, e, &e->place[i]);
	while (!list_empty(&e->waiters)) {
		struct ent *w = list_entry(e->waiters.next, struct ent, waiting);

		forget_blocker(w);
		jorder_update(j, w);
	}
}

struct ent *jorder_next(struct journal *j, int64_t now, int64_t *ret_wake)
{
	*ret_wake = 0;
	while (j->later.n > 0 && j->later.v[0]->pub.due_ns <= now) {
		struct ent *e = j->later.v[0];

		heap_remove(j, e);
		heap_add(j, HEAP_READY, e);
	}
	if (j->ready.n > 0)
		return j->ready.v[0];
	if (j->later.n > 0)
		*ret_wake = j->later.v[0]->pub.due_ns;
	return NULL;
}

/* --- the invariants --- */

#if COGFS_DEBUG_CHECKS
#define CHECK_MAX 100 /* it looks at all pairs */

static bool strictly_below(const struct ent *e, const char *dir)
{
	return key_below(e->pub.key, dir) && strcmp(e->pub.key, dir) != 0;
}

static uint64_t places_below(const struct ent *e, const char *dir)
{
	uint64_t n = strictly_below(e, dir);

	if (e->pub.op == J_RENAME && key_below(e->pub.to, dir) && strcmp(e->pub.to, dir) != 0)
		n++;
	return n;
}

static uint64_t siblings_below(const struct ent *e, const struct ent *other)
{
	char dir[KEY_MAX + 1];
	char *slash;

	if (!e->pub.after_siblings)
		return 0;
	memcpy(dir, name_of(e), strlen(name_of(e)) + 1);
	slash = strrchr(dir, '/');
	*(slash ? slash : dir) = '\0';
	return places_below(other, dir);
}

static void check_one(struct journal *j, const struct ent *e)
{
	uint64_t waits = 0;

	list_for_each(it, &j->order) {
		const struct ent *other = list_entry(it, struct ent, order);

		if (other->pos >= e->pos)
			break;
		if (e->deep)
			waits += places_below(other, e->pub.key);
		if (e->deep && e->pub.op == J_RENAME)
			waits += places_below(other, e->pub.to);
		waits += siblings_below(e, other);
	}
	assert(waits == e->waits);
	assert(!e->blocker || e->blocker->pos < e->pos);
	assert(jn_by_seq(j, e->pub.seq) == e);
	if (e->pub.state == J_QUEUED && waits == 0 && !find_blocker(e))
		assert(e->heap != HEAP_NONE);
	else
		assert(e->heap == HEAP_NONE);
}

void jn_check(struct journal *j)
{
	uint64_t pos = 0, n = 0;

	if (j->entries > CHECK_MAX)
		return;
	list_for_each(it, &j->order) {
		const struct ent *e = list_entry(it, struct ent, order);

		assert(n == 0 || e->pos > pos);
		pos = e->pos;
		n++;
		check_one(j, e);
	}
	assert(n == j->entries);
}
#else
void jn_check(struct journal *j)
{
	(void)j;
}
#endif
