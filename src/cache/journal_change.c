/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One change meets the older ones of its key.
 *
 * A newer change takes over the *place in line* of the older one where it can: so whoever waits
 * for the older one (a publish order, a directory) waits for the newer one now, and nothing has
 * to be counted again. It can where the older one is the last word on its key and the store has
 * not been asked for it yet (`tried`: then it may be there, and can only be followed).
 *
 * A put that is HELD stands beside the older put: that one was acknowledged by a close and this
 * one was not. It takes over when it is released.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "cache/journal_priv.h"

struct plan {
	struct jnode *node;
	struct ent *e;
	struct record held_rec; /* J_META: for the put that is held */
};

static void plan_release(struct journal *j, struct plan *p)
{
	jtree_put(j, p->node);
	if (p->e)
		jn_ent_free(p->e);
	record_release(&p->held_rec);
}

bool jn_is_write(const struct ent *e)
{
	return e->pub.op == J_PUT || e->pub.op == J_META || e->pub.op == J_MKDIR;
}

static bool is_marker(const struct ent *e)
{
	return e->pub.op == J_MKDIR || e->pub.op == J_RMDIR;
}

static bool is_held(const struct ent *e)
{
	return e->pub.state == J_HELD;
}

struct ent *jn_slot(struct journal *j, struct jnode *node, bool marker)
{
	struct ent *slot = NULL;

	for (struct list *it = node->entries.prev; it != &node->entries && !slot; it = it->prev) {
		struct ent *e = list_entry(it, struct jplace, link)->ent;

		if (!is_held(e))
			slot = e;
	}
	if (!slot || slot->tried || slot->pub.op == J_RENAME || is_marker(slot) != marker)
		return NULL;
	/*
	 * What is below and older goes first anyway. Marks count more than that: then it is not
	 * looked at closely.
	 */
	if (!marker && node->below > (slot->pub.after_siblings ? 0 : slot->waits))
		return NULL;
	for (struct jnode *n = node->parent; n; n = n->parent) {
		const struct ent *last;

		for (struct list *it = n->entries.prev; it != &n->entries; it = it->prev) {
			last = list_entry(it, struct jplace, link)->ent;
			if (last->deep && last->pos > slot->pos)
				return NULL;
		}
	}
	return slot;
}

/*
 * The newest put of node that is held, only of that staging file where id is not 0; NULL: none.
 */
static struct ent *held_at(const struct jnode *node, uint64_t id)
{
	for (struct list *it = node->entries.prev; it != &node->entries; it = it->prev) {
		struct ent *e = list_entry(it, struct jplace, link)->ent;

		if (is_held(e) && (!id || e->pub.staging_id == id))
			return e;
	}
	return NULL;
}

/* The staging file is the writer's, who goes on with it. */
static void kill_held(struct journal *j, struct ent *held)
{
	jn_uncount(j, held);
	held->pub.staging_id = 0;
	jn_kill(j, held);
}

static void swap_payload(struct jent *a, struct jent *b)
{
	struct jent old = *a;

	a->op = b->op;
	a->staging_id = b->staging_id;
	a->size = b->size;
	a->rec = b->rec;
	b->op = old.op;
	b->staging_id = old.staging_id;
	b->size = old.size;
	b->rec = old.rec;
}

void jn_take_over(struct journal *j, struct ent *slot, struct ent *e)
{
	bool entered = e->place[PLACE_KEY].node;
	uint64_t seq = e->pub.seq;

	jn_uncount(j, slot);
	if (entered)
		jn_uncount(j, e);
	swap_payload(&slot->pub, &e->pub);
	if (e->pub.staging_id == slot->pub.staging_id)
		e->pub.staging_id = 0;
	if (e->pub.appended_ns < slot->pub.appended_ns)
		slot->pub.appended_ns = e->pub.appended_ns;
	if (e->first_seq < slot->first_seq)
		slot->first_seq = e->first_seq;
	if (slot->pub.op == J_RMDIR)
		slot->deep = true;
	jn_count(j, slot);
	if (entered)
		jn_count(j, e);
	jn_kill(j, e);
	jn_set_seq(j, slot, seq);
}

/*
 * The place in line of the last rename of a directory above n: what is older is of another
 * object.
 */
static uint64_t last_rename_above(const struct jnode *n)
{
	uint64_t pos = 0;

	while ((n = n->parent)) {
		list_for_each(it, &n->entries) {
			const struct ent *e = list_entry(it, struct jplace, link)->ent;

			if (e->pub.op == J_RENAME && e->pos > pos)
				pos = e->pos;
		}
	}
	return pos;
}

struct jsquashed jn_squash(struct journal *j, struct jnode *node, const struct ent *keep)
{
	uint64_t began = last_rename_above(node);
	struct jsquashed ret = {.any = false};
	struct list *next;

	for (struct list *it = node->entries.prev; it != &node->entries; it = next) {
		struct ent *e = list_entry(it, struct jplace, link)->ent;

		next = it->prev;
		if (e->pub.op == J_RENAME || e->tried || e->pos < began)
			break;
		if (is_marker(e))
			continue;
		if (!ret.any || ret.chained) {
			ret.base = e->pub.base;
			ret.chained = e->chained;
		}
		ret.any = true;
		ret.pos = e->pos;
		if (is_held(e))
			kill_held(j, e);
		else if (e != keep)
			jn_kill(j, e);
	}
	return ret;
}

/* Somebody younger, other than `but`, waits for all below a directory, and e is among those. */
static bool is_watched(const struct ent *e, const struct ent *but)
{
	for (const struct jnode *n = e->place[PLACE_KEY].node->parent; n; n = n->parent) {
		for (const struct list *it = n->watchers.prev; it != &n->watchers; it = it->prev) {
			const struct ent *w = container_of(it, struct jplace, link)->ent;

			if (w != but && w->pos > e->pos)
				return true;
		}
	}
	return false;
}

/*
 * With after_siblings the newer one has to wait for more; a mkdir has less to wait for than a
 * rmdir.
 */
static bool keeps_place(const struct ent *slot, const struct ent *e)
{
	return !e->pub.after_siblings && !slot->pub.after_siblings && slot->deep == e->deep;
}

/* e, a put or the like, becomes QUEUED. */
static struct ent *queue_write(struct journal *j, struct ent *e, struct jnode *node)
{
	struct ent *slot = jn_slot(j, node, is_marker(e));
	bool entered = e->place[PLACE_KEY].node;

	if (slot && keeps_place(slot, e)) {
		jn_take_over(j, slot, e);
		return slot;
	}
	if (slot && !is_watched(slot, e)) {
		e->pub.base = slot->pub.base;
		e->chained = slot->chained;
		if (slot->pub.staging_id == e->pub.staging_id)
			slot->pub.staging_id = 0;
		jn_kill(j, slot);
	} else if (!entered && !is_marker(e)) {
		jn_chain(j, e, e->pub.key);
	}
	if (entered && e->pub.after_siblings)
		jn_move_last(j, e);
	if (!entered)
		jn_enter(j, e);
	jn_set_state(j, e, J_QUEUED);
	return e;
}

/* The metadata of meta; the bytes and what is known of them stay. to takes over the strings. */
static void merge_meta(struct record *to, struct record *meta)
{
	const uint32_t bytes = REC_SIZE | REC_XXH3 | REC_ETAG;
	struct record old = *to;

	*to = *meta;
	to->known = (meta->known & ~bytes) | (old.known & bytes);
	to->size = old.size;
	to->xxh3 = old.xxh3;
	memcpy(to->etag, old.etag, sizeof(to->etag));
	*meta = old;
}

static struct ent *commit_meta(struct journal *j, struct plan *p)
{
	struct ent *held = held_at(p->node, 0), *slot = jn_slot(j, p->node, false);

	if (held)
		merge_meta(&held->pub.rec, &p->held_rec);
	if (slot && slot->pub.op == J_PUT) {
		merge_meta(&slot->pub.rec, &p->e->pub.rec);
		jn_kill(j, STEAL_PTR(p->e));
		return slot;
	}
	if (slot && slot->pub.op == J_META)
		return queue_write(j, STEAL_PTR(p->e), p->node);
	jn_chain(j, p->e, p->e->pub.key);
	jn_enter(j, p->e);
	jn_set_state(j, p->e, J_QUEUED);
	return STEAL_PTR(p->e);
}

/* The same writer's next flush: the entry stays, and its base. */
static struct ent *refresh_held(struct journal *j, struct ent *held, struct ent *e)
{
	jn_uncount(j, held);
	swap_payload(&held->pub, &e->pub);
	jn_count(j, held);
	e->pub.staging_id = 0;
	jn_kill(j, e);
	return held;
}

static void absorb_metas(struct journal *j, const struct ent *put)
{
	list_for_each_safe(it, &put->place[PLACE_KEY].node->entries) {
		struct ent *e = list_entry(it, struct jplace, link)->ent;

		if (e->pub.op == J_META && !e->tried && e->pos > put->pos)
			jn_kill(j, e);
	}
}

static struct ent *commit_release(struct journal *j, struct ent *held)
{
	struct jnode *node = held->place[PLACE_KEY].node;
	struct ent *e;

	node->refs++;
	absorb_metas(j, held);
	e = queue_write(j, held, node);
	jtree_put(j, node);
	return e;
}

static struct ent *commit_put(struct journal *j, struct plan *p, bool hold)
{
	struct ent *e = STEAL_PTR(p->e);
	struct ent *held = e->pub.staging_id ? held_at(p->node, e->pub.staging_id) : NULL;

	if (held) {
		held = refresh_held(j, held, e);
		return hold ? held : commit_release(j, held);
	}
	if (hold) {
		jn_chain(j, e, e->pub.key);
		jn_enter(j, e);
		return e;
	}
	while ((held = held_at(p->node, 0))) { /* of the same object, and older */
		e->pub.base = held->pub.base;
		e->chained = held->chained;
		jn_base_dropped(j, held);
		kill_held(j, held);
	}
	return queue_write(j, e, p->node);
}

/* By its base the store has nothing of what lives from pos on. */
static bool never_stored(struct journal *j, const char *key, const struct jbase *base, bool chained,
			 uint64_t pos)
{
	return !chained && base->cond == TIER_IF_ABSENT && !jn_is_brought(j, key, pos);
}

/* What is deleted and was never in the store leaves nothing. NULL then. */
static struct ent *commit_delete(struct journal *j, struct plan *p)
{
	struct ent *e = STEAL_PTR(p->e), *slot = jn_slot(j, p->node, false);
	struct jsquashed old = jn_squash(j, p->node, slot);

	if (old.any && never_stored(j, e->pub.key, &old.base, old.chained, old.pos)) {
		if (slot)
			jn_kill(j, slot);
		jn_kill(j, e);
		return NULL;
	}
	if (slot) {
		slot->pub.base = old.base;
		slot->chained = old.chained;
		jn_take_over(j, slot, e);
		return slot;
	}
	if (old.any) {
		e->pub.base = old.base;
		e->chained = old.chained;
	} else {
		jn_chain(j, e, e->pub.key);
	}
	jn_enter(j, e);
	jn_set_state(j, e, J_QUEUED);
	return e;
}

static struct ent *commit_rmdir(struct journal *j, struct plan *p)
{
	struct ent *e = STEAL_PTR(p->e), *slot = jn_slot(j, p->node, true);

	if (slot && slot->pub.op == J_MKDIR &&
	    never_stored(j, e->pub.key, &slot->pub.base, false, slot->pos)) {
		jn_kill(j, slot);
		jn_kill(j, e);
		return NULL;
	}
	if (slot && p->node->below == 0) {
		jn_set_base(slot, TIER_ANY, "");
		jn_take_over(j, slot, e);
		return slot;
	}
	if (slot) /* what lies below has to go first */
		jn_kill(j, slot);
	jn_enter(j, e);
	jn_set_state(j, e, J_QUEUED);
	return e;
}

static struct ent *commit(struct journal *j, struct plan *p, bool hold)
{
	switch (p->e->pub.op) {
	case J_PUT:
		return commit_put(j, p, hold);
	case J_META:
		return commit_meta(j, p);
	case J_DELETE:
		return commit_delete(j, p);
	case J_MKDIR:
		return queue_write(j, STEAL_PTR(p->e), p->node);
	default:
		return commit_rmdir(j, p);
	}
}

static int make_plan(struct journal *j, const struct jent *change, uint64_t seq, struct plan *p)
{
	struct ent *held;
	int r = jn_reserve(j, 1);

	if (r)
		return r;
	p->node = jtree_get(j, change->key);
	p->e = jn_ent_new(change);
	if (!p->node || !p->e)
		return -ENOMEM;
	p->e->pub.seq = p->e->first_seq = seq;
	if (change->op == J_DELETE || change->op == J_RMDIR)
		p->e->pub.after_siblings = false; /* what goes completes nothing */
	if (change->op == J_META && (change->rec.known & REC_MODE) && S_ISDIR(change->rec.mode)) {
		p->e->pub.op = J_MKDIR; /* a directory's metadata is its marker */
		p->e->deep = false;
	}
	if (p->e->pub.op != change->op || change->op == J_RMDIR)
		jn_set_base(p->e, TIER_ANY, ""); /* of a marker only "new" matters */
	held = held_at(p->node, 0);
	if (p->e->pub.op == J_META && held)
		r = record_copy(&p->held_rec, &change->rec);
	return r;
}

int jn_append(struct journal *j, const struct jent *change, bool hold, uint64_t seq,
	      uint64_t *ret_seq)
{
	struct plan p = {.node = NULL};
	struct ent *e;
	int r;

	if (change->op == J_RENAME)
		return jn_append_rename(j, change, seq, ret_seq);
	record_init(&p.held_rec);
	r = make_plan(j, change, seq, &p);
	if (r == 0)
		r = jn_log_append(j, change, hold, seq);
	if (r == 0) {
		e = commit(j, &p, hold && change->op == J_PUT);
		*ret_seq = e ? e->pub.seq : seq;
	}
	plan_release(j, &p);
	return r;
}

int jn_release(struct journal *j, struct ent *e, const struct record *rec)
{
	struct record copy;
	int r;

	record_init(&copy);
	r = rec ? record_copy(&copy, rec) : 0;
	if (r == 0)
		r = jn_log_release(j, e, rec);
	if (r == 0 && rec) {
		struct record old = e->pub.rec;

		e->pub.rec = copy;
		copy = old;
	}
	if (r == 0)
		commit_release(j, e);
	record_release(&copy);
	return r;
}
