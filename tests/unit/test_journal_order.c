/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random changes to a small tree, as a cache makes them, with a store that gets them from the journal: some
 * answers get lost, some tries fail, renames are interrupted, the process restarts. At each take the order is
 * compared with a naive reading of the rules; no precondition may ever fail, as there is no other host;
 * and when all is drained, the store holds the tree.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "journal_fixture.h"
#include "model/key.h"

#define NODES_MAX 64
#define BODIES_MAX 20000
#define INFLIGHT_MAX 3

struct node { /* a file or directory of the tree */
	char key[128];
	bool dir;
	unsigned int content;
	mode_t mode;
	char etag[ETAG_MAX]; /* what the cache knows of the store; "" nothing */
	uint64_t held; /* seq */
	uint64_t held_id;
	bool used;
};

struct stored {
	char key[128];
	unsigned int content;
	mode_t mode;
	char etag[ETAG_MAX];
	bool marker, used;
};

struct world {
	struct journal_fixture f;
	struct node tree[NODES_MAX];
	struct stored store[NODES_MAX * 2];
	unsigned int body[BODIES_MAX]; /* content of a staging file */
	struct jent *inflight[INFLIGHT_MAX];
	char told[INFLIGHT_MAX][ETAG_MAX]; /* the outcome that the cache knows and the journal does not */
	bool is_told[INFLIGHT_MAX];
	unsigned int contents, etags;
	uint64_t rng;
	uint64_t uploads, puts, overtaken;
};

static unsigned int pick(struct world *w, unsigned int n)
{
	return (unsigned int)(jf_random(&w->rng) >> 33) % n;
}

/* --- the tree --- */

static struct node *node_find(struct world *w, const char *key)
{
	for (int i = 0; i < NODES_MAX; i++) {
		if (w->tree[i].used && strcmp(w->tree[i].key, key) == 0)
			return &w->tree[i];
	}
	return NULL;
}

static struct node *node_add(struct world *w, const char *key, bool dir)
{
	for (int i = 0; i < NODES_MAX; i++) {
		if (w->tree[i].used)
			continue;
		w->tree[i] = (struct node){.dir = dir, .used = true, .mode = dir ? S_IFDIR | 0755 : S_IFREG | 0644};
		jf_text(w->tree[i].key, sizeof(w->tree[i].key), "%s", key);
		return &w->tree[i];
	}
	return NULL;
}

static bool has_children(struct world *w, const char *key)
{
	for (int i = 0; i < NODES_MAX; i++) {
		if (w->tree[i].used && strcmp(w->tree[i].key, key) != 0 && key_below(w->tree[i].key, key))
			return true;
	}
	return false;
}

/* A name in a directory that is there, or at the root. */
static void random_name(struct world *w, char *out, size_t size)
{
	static const char *const names[] = {"a", "b", "c", "m", "x.tmp"};
	const char *name = names[pick(w, 5)];
	struct node *n = &w->tree[pick(w, NODES_MAX)];

	if (n->used && n->dir && strlen(n->key) < 8 && pick(w, 3))
		jf_text(out, size, "%s/%s", n->key, name);
	else
		jf_text(out, size, "%s", name);
}

static struct node *random_node(struct world *w, bool dir)
{
	for (int i = 0; i < 40; i++) {
		struct node *n = &w->tree[pick(w, NODES_MAX)];

		if (n->used && n->dir == dir)
			return n;
	}
	return NULL;
}

static struct jbase base_of(const struct node *n)
{
	return n && n->etag[0] ? jf_match(n->etag) : jf_absent();
}

/* --- changes --- */

static uint64_t stage(struct world *w, unsigned int content)
{
	uint64_t id = jf_stage(&w->f, "x");

	assert_true(id < BODIES_MAX);
	w->body[id] = content;
	return id;
}

static void do_put(struct world *w, struct node *n, uint64_t id, bool hold)
{
	struct jent e = {.op = J_PUT, .key = n->key, .staging_id = id, .size = 1, .base = base_of(n)};
	const char *slash = strrchr(n->key, '/');
	uint64_t seq;

	e.after_siblings = strcmp(slash ? slash + 1 : n->key, "m") == 0;
	record_init(&e.rec);
	e.rec.mode = n->mode;
	e.rec.known = REC_MODE;
	assert_int_equal(journal_append(w->f.j, &e, hold, &seq), 0);
	n->held = hold ? seq : 0;
	n->held_id = hold ? id : 0;
	w->puts += !hold;
}

static void op_write(struct world *w)
{
	char key[128];
	struct node *n;

	random_name(w, key, sizeof(key));
	n = node_find(w, key);
	if (n && (n->dir || n->held))
		return;
	if (!n)
		n = node_add(w, key, false);
	if (!n)
		return;
	n->content = ++w->contents;
	do_put(w, n, stage(w, n->content), pick(w, 3) == 0);
}

/* The writer of a held file goes on, or closes it. */
static void op_held(struct world *w)
{
	struct node *n = random_node(w, false);

	if (!n || !n->held)
		return;
	if (pick(w, 2)) {
		n->content = ++w->contents;
		w->body[n->held_id] = n->content;
		do_put(w, n, n->held_id, true);
	} else {
		assert_int_equal(journal_release(w->f.j, n->held, NULL), 0);
		n->held = 0;
		w->puts++;
	}
}

static void op_delete(struct world *w)
{
	struct node *n = random_node(w, false);

	if (!n)
		return;
	jf_change(&w->f, J_DELETE, n->key, base_of(n));
	n->used = false;
}

static void op_meta(struct world *w)
{
	struct node *n = random_node(w, false);

	if (!n)
		return;
	n->mode = S_IFREG | (mode_t)pick(w, 0777);
	jf_meta(&w->f, n->key, n->mode, base_of(n));
}

static void op_mkdir(struct world *w)
{
	char key[128];
	struct node *n;

	random_name(w, key, sizeof(key));
	if (node_find(w, key) || !(n = node_add(w, key, true)))
		return;
	jf_change(&w->f, J_MKDIR, key, jf_absent());
}

static void op_rmdir(struct world *w)
{
	struct node *n = random_node(w, true);

	if (!n || has_children(w, n->key))
		return;
	jf_change(&w->f, J_RMDIR, n->key, (struct jbase){.cond = TIER_ANY});
	n->used = false;
}

static void rekey_tree(struct world *w, const char *from, const char *to)
{
	char old[128];

	jf_text(old, sizeof(old), "%s", from);
	for (int i = 0; i < NODES_MAX; i++) {
		struct node *n = &w->tree[i];
		char key[128];

		if (!n->used || !key_below(n->key, old))
			continue;
		jf_text(key, sizeof(key), "%s%s", to, n->key + strlen(old));
		memcpy(n->key, key, sizeof(key));
	}
}

static void op_rename(struct world *w)
{
	struct node *n = random_node(w, pick(w, 3) == 0), *over;
	struct jent e = {.op = J_RENAME};
	char to[128];
	uint64_t seq;

	random_name(w, to, sizeof(to));
	if (!n || key_below(to, n->key) || key_below(n->key, to))
		return;
	over = node_find(w, to);
	if (over && (over->dir != n->dir || (over->dir && has_children(w, to))))
		return;
	e.key = n->key;
	e.to = to;
	e.dir = n->dir;
	e.store_has_from = n->dir || n->etag[0];
	e.base = base_of(over);
	record_init(&e.rec);
	assert_int_equal(journal_append(w->f.j, &e, false, &seq), 0);
	if (over)
		over->used = false;
	rekey_tree(w, n->key, to);
}

/* --- the store --- */

static struct stored *stored_find(struct world *w, const char *key, bool marker)
{
	for (int i = 0; i < NODES_MAX * 2; i++) {
		struct stored *s = &w->store[i];

		if (s->used && s->marker == marker && strcmp(s->key, key) == 0)
			return s;
	}
	return NULL;
}

static struct stored *store_set(struct world *w, const char *key, bool marker, unsigned int content, mode_t mode)
{
	struct stored *s = stored_find(w, key, marker);

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
		 (unsigned long long)e->seq, e->base.cond, e->base.etag, s ? s->etag : "(nothing)", line);
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
	struct stored *s = stored_find(w, e->key, false);

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
	struct stored *s = stored_find(w, e->key, false);

	if (!s || (!base_holds(&e->base, s) && s->mode != e->rec.mode))
		unexpected(w, e, s);
	s = store_set(w, e->key, false, s->content, e->rec.mode);
	jf_text(etag, ETAG_MAX, "%s", s->etag);
}

static void apply_delete(struct world *w, const struct jent *e)
{
	struct stored *s = stored_find(w, e->key, false);

	if (s && !base_holds(&e->base, s))
		unexpected(w, e, s);
	if (s)
		s->used = false;
}

static void tell_moved(struct world *w, const struct jent *e, const char *to, const char *etag)
{
	char *now = NULL;
	struct node *n = journal_name_now(w->f.j, e, to, &now) ? NULL : node_find(w, now);

	if (n && !n->dir)
		jf_text(n->etag, sizeof(n->etag), "%s", etag);
	free(now);
}

/* Copies one object and deletes it; without the second step where half. */
static void move_one(struct world *w, struct jent *e, struct stored *s, const struct jbase *base, bool half,
		     char *etag)
{
	struct stored *over, from = *s;
	char to[128], before[ETAG_MAX];
	bool copied;

	jf_text(to, sizeof(to), "%s%s", e->to, from.key + strlen(e->key));
	over = stored_find(w, to, from.marker);
	jf_text(before, sizeof(before), "%s", over && base->cond == TIER_IF_MATCH ? over->etag : "");
	copied = !from.marker && over && over->content == from.content && base->cond != TIER_IF_MATCH;

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
static void apply_rename(struct world *w, struct jent *e, bool interrupt, bool *ret_part, char *etag)
{
	const struct jbase absent = jf_absent();

	etag[0] = '\0';
	*ret_part = false;
	for (int i = 0; i < NODES_MAX * 2; i++) {
		struct stored *s = &w->store[i];
		bool half;

		if (!s->used || !(e->dir ? key_below(s->key, e->key) : !s->marker && strcmp(s->key, e->key) == 0))
			continue;
		half = interrupt && pick(w, 2);
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

static bool apply(struct world *w, struct jent *e, bool interrupt, char *etag)
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
		s = stored_find(w, e->key, true);
		if (s)
			s->used = false;
		break;
	}
	return !part;
}

/* --- the order, read naively --- */

struct seen {
	struct jent e[256];
	size_t n;
};

static int see(void *arg, const struct jent *e)
{
	struct seen *s = arg;

	assert_true(s->n < 256);
	s->e[s->n++] = *e; /* shares its strings: valid while nothing changes */
	return 0;
}

static bool touches(const char *a, const char *b)
{
	return key_below(a, b) || key_below(b, a);
}

static bool marker_conflict(const struct jent *mkdir, const struct jent *other)
{
	if (strcmp(mkdir->key, other->key) == 0 || (other->to && strcmp(mkdir->key, other->to) == 0))
		return true;
	if (other->op == J_MKDIR)
		return false;
	return key_below(mkdir->key, other->key) || (other->to && key_below(mkdir->key, other->to));
}

static bool conflict(const struct jent *a, const struct jent *b)
{
	if (a->op == J_MKDIR)
		return marker_conflict(a, b);
	if (b->op == J_MKDIR)
		return marker_conflict(b, a);
	return touches(a->key, b->key) || (a->to && touches(a->to, b->key)) ||
	       (b->to && touches(a->key, b->to)) || (a->to && b->to && touches(a->to, b->to));
}

static bool is_sibling(const struct jent *mark, const struct jent *other)
{
	const char *name = mark->op == J_RENAME ? mark->to : mark->key;
	char dir[128];
	char *slash;

	if (!mark->after_siblings)
		return false;
	jf_text(dir, sizeof(dir), "%s", name);
	slash = strrchr(dir, '/');
	*(slash ? slash : dir) = '\0';
	return (key_below(other->key, dir) && strcmp(other->key, dir) != 0) ||
	       (other->to && key_below(other->to, dir) && strcmp(other->to, dir) != 0);
}

static bool may_go(const struct seen *s, size_t i)
{
	for (size_t k = 0; k < i; k++) {
		if (conflict(&s->e[k], &s->e[i]) || is_sibling(&s->e[i], &s->e[k]))
			return false;
	}
	return s->e[i].state != J_HELD;
}

static void check_order(struct world *w, const struct jent *taken)
{
	struct seen s = {.n = 0};

	journal_foreach(w->f.j, see, &s);
	for (size_t i = 0; i < s.n; i++) {
		if (taken && s.e[i].seq == taken->seq)
			assert_true(may_go(&s, i));
		if (s.e[i].state != J_QUEUED || (taken && s.e[i].seq == taken->seq))
			continue;
		/* The oldest that may go is the one that was taken. */
		if (may_go(&s, i)) {
			bool older = false;

			for (size_t k = 0; taken && k < i; k++)
				older |= s.e[k].seq == taken->seq;
			if (!older)
				fail_msg("seq %llu may go and was not taken:\n%s",
					 (unsigned long long)s.e[i].seq, jf_dump(w->f.j, false));
			return;
		}
	}
}

/* --- draining --- */

/* What the cache learns, before the journal forgets e. */
static void tell(struct world *w, struct jent *e, const char *etag)
{
	const char *key = e->op == J_RENAME ? e->to : e->key;
	char *now = NULL;
	struct node *n = journal_name_now(w->f.j, e, key, &now) ? NULL : node_find(w, now);

	if (n && !n->dir && etag[0])
		jf_text(n->etag, sizeof(n->etag), "%s", etag);
	free(now);
}

static void settle(struct world *w, int slot, bool smoothly)
{
	struct jent *e = w->inflight[slot];
	unsigned int luck = smoothly ? 0 : pick(w, 10);
	char *etag = w->told[slot];

	if (!w->is_told[slot]) {
		if (luck == 9 || !apply(w, e, !smoothly, etag) || luck >= 7) {
			w->inflight[slot] = NULL;
			journal_retry(w->f.j, e, -EIO, 0); /* it failed, or its answer got lost */
			return;
		}
		tell(w, e, etag);
		w->is_told[slot] = true;
		if (luck >= 4)
			return;
	}
	w->inflight[slot] = NULL;
	w->is_told[slot] = false;
	assert_int_equal(journal_done(w->f.j, e, etag, false), 0);
}

static void op_drain(struct world *w)
{
	int slot = (int)pick(w, INFLIGHT_MAX);
	struct jent *e;

	if (w->inflight[slot]) {
		settle(w, slot, false);
		return;
	}
	e = jf_take(&w->f);
	check_order(w, e);
	w->inflight[slot] = e;
}

static void op_rebody(struct world *w)
{
	struct node *n = random_node(w, false);
	struct jent e;

	if (!n || n->held || journal_find(w->f.j, n->key, &e))
		return;
	if (e.op == J_PUT && e.state != J_HELD)
		assert_int_equal(journal_rebody(w->f.j, e.seq, stage(w, w->body[e.staging_id])), 0);
	jent_release(&e);
}

static void op_restart(struct world *w)
{
	char *before = jf_dump(w->f.j, true), *after;

	if (pick(w, 2))
		assert_int_equal(journal_compact(w->f.j), 0);
	jf_reopen(&w->f);
	after = jf_dump(w->f.j, true);
	assert_string_equal(before, after);
	assert_int_equal(w->f.report.torn, 0);
	assert_int_equal(w->f.report.lost_bodies, 0);
	free(before);
	free(after);
	memset(w->inflight, 0, sizeof(w->inflight));
	memset(w->is_told, 0, sizeof(w->is_told));
}

static void step(struct world *w)
{
	static void (*const ops[])(struct world *w) = {
		op_write,  op_write, op_write, op_write, op_held,  op_delete, op_meta,	op_mkdir,
		op_rename, op_rename, op_drain, op_drain, op_drain, op_drain,  op_rmdir, op_rebody,
	};

	if (pick(w, 60) == 0)
		op_restart(w);
	else
		ops[pick(w, sizeof(ops) / sizeof(*ops))](w);
}

/* --- the end --- */

static void drain_all(struct world *w)
{
	struct journal_stats stats;

	for (int i = 0; i < NODES_MAX; i++) {
		if (w->tree[i].used && w->tree[i].held)
			assert_int_equal(journal_release(w->f.j, w->tree[i].held, NULL), 0);
		w->tree[i].held = 0;
	}
	for (int i = 0; i < INFLIGHT_MAX; i++) {
		if (w->inflight[i])
			settle(w, i, true);
	}
	while ((w->inflight[0] = jf_take(&w->f)))
		settle(w, 0, true);
	check_order(w, NULL);
	journal_stats(w->f.j, &stats);
	assert_int_equal(stats.entries, 0);
	assert_int_equal(stats.bytes, 0);
	assert_int_equal(stats.held + stats.inflight, 0);
}

static void compare(struct world *w)
{
	unsigned int files = 0, stored = 0;

	for (int i = 0; i < NODES_MAX; i++) {
		const struct node *n = &w->tree[i];
		const struct stored *s = n->used ? stored_find(w, n->key, n->dir) : NULL;

		if (!n->used)
			continue;
		files++;
		if (!s)
			fail_msg("%s is not in the store", n->key);
		if (!n->dir && (s->content != n->content || s->mode != n->mode))
			fail_msg("%s: %u %o in the store, %u %o in the tree", n->key, s->content, s->mode,
				 n->content, n->mode);
		if (!n->dir && strcmp(n->etag, s->etag) != 0)
			fail_msg("%s: %s in the store, the cache knows %s", n->key, s->etag, n->etag);
	}
	for (int i = 0; i < NODES_MAX * 2; i++) {
		const struct stored *s = &w->store[i];
		const struct node *n = s->used ? node_find(w, s->key) : NULL;

		stored += s->used;
		if (s->used && (!n || n->dir != s->marker))
			fail_msg("%s%s is in the store only", s->key, s->marker ? "/" : "");
	}
	assert_int_equal(files, stored);
}

static void run_world(uint64_t seed, int steps, struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->rng = seed;
	jf_setup(&w->f);
	w->f.conf.segment_size = 16384;
	jf_open(&w->f);
	for (int i = 0; i < steps; i++) {
		step(w);
		if (i % 100 == 99 && pick(w, 3) == 0) {
			drain_all(w);
			compare(w);
		}
	}
	drain_all(w);
	compare(w);
	jf_teardown(&w->f);
}

static void test_store_ends_as_the_tree(void **state)
{
	const char *env = getenv("COGFS_TEST_SEED"), *rounds = getenv("COGFS_TEST_ROUNDS");
	struct world *w = malloc(sizeof(*w));
	uint64_t first = env ? strtoull(env, NULL, 0) : 1;
	uint64_t n = rounds ? strtoull(rounds, NULL, 0) : 60;

	(void)state;
	assert_non_null(w);
	for (uint64_t seed = first; seed < first + n; seed++) {
		print_message("seed %llu\n", (unsigned long long)seed);
		run_world(seed * 0x9e3779b97f4a7c15u, 600, w);
	}
	free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_store_ends_as_the_tree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
