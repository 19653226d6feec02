/* SPDX-License-Identifier: Apache-2.0 */
/* What a change does in the store; see the header. */
#include "journal_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "model/key.h"

unsigned int world_pick(struct world *w, unsigned int n)
{
	return (unsigned int)(jf_random(&w->rng) >> 33) % n;
}

struct node *world_node_find(struct world *w, const char *key)
{
	for (int i = 0; i < NODES_MAX; i++) {
		if (w->tree[i].used && strcmp(w->tree[i].key, key) == 0)
			return &w->tree[i];
	}
	return NULL;
}

/* --- the store --- */

struct stored *world_stored_find(struct world *w, const char *key, bool marker)
{
	for (int i = 0; i < NODES_MAX * 2; i++) {
		struct stored *s = &w->store[i];

		if (s->used && s->marker == marker && strcmp(s->key, key) == 0)
			return s;
	}
	return NULL;
}

static struct stored *store_set(struct world *w, const char *key, bool marker, unsigned int content,
				mode_t mode)
{
	struct stored *s = world_stored_find(w, key, marker);

	for (int i = 0; !s && i < NODES_MAX * 2; i++) {
		if (!w->store[i].used)
			s = &w->store[i];
	}
	assert_non_null(s);
	*s = (struct stored){.content = content, .mode = mode, .marker = marker, .used = true};
	jf_text(s->key, sizeof(s->key), "%s", key);
	jf_text(s->etag, sizeof(s->etag), "e%u", ++w->etags);
	return s;
}

static void unexpected(struct world *w, const struct jent *e, const struct stored *s)
{
	char *line = jf_dump(w->f.j, false);

	fail_msg("op %d %s seq %llu: base %d \"%s\", but the store has \"%s\"\n%s", e->op, e->key,
		 (unsigned long long)e->seq, e->base.cond, e->base.etag, s ? s->etag : "(nothing)",
		 line);
}

/* Whether the base holds for what the store has at key. */
static bool base_holds(const struct jbase *base, const struct stored *s)
{
	if (base->cond == TIER_IF_ABSENT)
		return !s;
	return base->cond == TIER_ANY || (s && strcmp(s->etag, base->etag) == 0);
}

static void apply_put(struct world *w, const struct jent *e, char *etag)
{
	unsigned int content = w->body[e->staging_id];
	struct stored *s = world_stored_find(w, e->key, false);

	if (!base_holds(&e->base, s)) {
		if (!s || s->content != content)
			unexpected(w, e, s);
	} else {
		s = store_set(w, e->key, false, content, e->rec.mode);
		w->uploads++;
	}
	jf_text(etag, ETAG_MAX, "%s", s->etag);
}

static void apply_meta(struct world *w, const struct jent *e, char *etag)
{
	struct stored *s = world_stored_find(w, e->key, false);

	if (!s || (!base_holds(&e->base, s) && s->mode != e->rec.mode))
		unexpected(w, e, s);
	s = store_set(w, e->key, false, s->content, e->rec.mode);
	jf_text(etag, ETAG_MAX, "%s", s->etag);
}

static void apply_delete(struct world *w, const struct jent *e)
{
	struct stored *s = world_stored_find(w, e->key, false);

	if (s && !base_holds(&e->base, s))
		unexpected(w, e, s);
	if (s)
		s->used = false;
}

static void tell_moved(struct world *w, const struct jent *e, const char *to, const char *etag)
{
	char *now = NULL;
	struct node *n = journal_name_now(w->f.j, e, to, &now) ? NULL : world_node_find(w, now);

	if (n && !n->dir)
		jf_text(n->etag, sizeof(n->etag), "%s", etag);
	free(now);
}

/* Copies one object and deletes it; without the second step where half. */
static void move_one(struct world *w, struct jent *e, struct stored *s, const struct jbase *base,
		     bool half, char *etag)
{
	struct stored *over, from = *s;
	char to[128], before[ETAG_MAX];
	bool copied;

	jf_text(to, sizeof(to), "%s%s", e->to, from.key + strlen(e->key));
	over = world_stored_find(w, to, from.marker);
	jf_text(before, sizeof(before), "%s",
		over && base->cond == TIER_IF_MATCH ? over->etag : "");
	copied = !from.marker && over && over->content == from.content &&
		 base->cond != TIER_IF_MATCH;

	if (!from.marker && !base_holds(base, over) && !(over && over->content == from.content))
		unexpected(w, e, over);
	if (from.marker || (base_holds(base, over) && !copied)) /* else it is our own copy */
		over = store_set(w, to, from.marker, from.content, from.mode);
	if (!from.marker && before[0])
		assert_int_equal(journal_moved(w->f.j, e, to, before, over->etag), 0);
	if (!from.marker)
		assert_int_equal(journal_moved(w->f.j, e, to, from.etag, over->etag), 0);
	if (!half)
		s->used = false;
	jf_text(etag, ETAG_MAX, "%s", over->etag);
	if (!from.marker && e->dir)
		tell_moved(w, e, to, over->etag);
}

/* *ret_part: the rename was interrupted. */
static void apply_rename(struct world *w, struct jent *e, bool interrupt, bool *ret_part,
			 char *etag)
{
	const struct jbase absent = jf_absent();

	etag[0] = '\0';
	*ret_part = false;
	for (int i = 0; i < NODES_MAX * 2; i++) {
		struct stored *s = &w->store[i];
		bool half;

		if (!s->used || !(e->dir ? key_below(s->key, e->key)
					 : !s->marker && strcmp(s->key, e->key) == 0))
			continue;
		half = interrupt && world_pick(w, 2);
		move_one(w, e, s, e->dir ? &absent : &e->base, half, etag);
		if (half) {
			*ret_part = true;
			return;
		}
	}
	if (e->dir)
		etag[0] = '\0';
	else if (!etag[0] && (e->rec.known & REC_ETAG))
		jf_text(etag, ETAG_MAX, "%s", e->base.etag); /* an earlier try moved it */
}

bool world_apply(struct world *w, struct jent *e, bool interrupt, char *etag)
{
	bool part = false;
	struct stored *s;

	etag[0] = '\0';
	switch (e->op) {
	case J_PUT:
		apply_put(w, e, etag);
		break;
	case J_META:
		apply_meta(w, e, etag);
		break;
	case J_DELETE:
		apply_delete(w, e);
		break;
	case J_RENAME:
		apply_rename(w, e, interrupt, &part, etag);
		break;
	case J_MKDIR:
		store_set(w, e->key, true, 0, e->rec.mode);
		break;
	case J_RMDIR:
		s = world_stored_find(w, e->key, true);
		if (s)
			s->used = false;
		break;
	}
	return !part;
}
