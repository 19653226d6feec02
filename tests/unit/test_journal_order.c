/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random changes to a small tree, as a cache makes them, with a store that gets them from the
 * journal: some answers get lost, some tries fail, renames are interrupted, the process
 * restarts. At each take the order is compared with a naive reading of the rules; no
 * precondition may ever fail, as there is no other host; and when all is drained, the store
 * holds the tree.
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

#include "journal_world.h"
#include "model/key.h"
#include "naive_order.h"

/* --- the tree --- */

static struct node *node_add(struct world *w, const char *key, bool dir)
{
	for (int i = 0; i < NODES_MAX; i++) {
		if (w->tree[i].used)
			continue;
		w->tree[i] = (struct node){
			.dir = dir, .used = true, .mode = dir ? S_IFDIR | 0755 : S_IFREG | 0644};
		jf_text(w->tree[i].key, sizeof(w->tree[i].key), "%s", key);
		return &w->tree[i];
	}
	return NULL;
}

static bool has_children(struct world *w, const char *key)
{
	for (int i = 0; i < NODES_MAX; i++) {
		if (w->tree[i].used && strcmp(w->tree[i].key, key) != 0 &&
		    key_below(w->tree[i].key, key))
			return true;
	}
	return false;
}

/* A name in a directory that is there, or at the root. */
static void random_name(struct world *w, char *out, size_t size)
{
	static const char *const names[] = {"a", "b", "c", "m", "x.tmp"};
	const char *name = names[world_pick(w, 5)];
	struct node *n = &w->tree[world_pick(w, NODES_MAX)];

	if (n->used && n->dir && strlen(n->key) < 8 && world_pick(w, 3))
		jf_text(out, size, "%s/%s", n->key, name);
	else
		jf_text(out, size, "%s", name);
}

static struct node *random_node(struct world *w, bool dir)
{
	for (int i = 0; i < 40; i++) {
		struct node *n = &w->tree[world_pick(w, NODES_MAX)];

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
	struct jent e = {
		.op = J_PUT, .key = n->key, .staging_id = id, .size = 1, .base = base_of(n)};
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
	n = world_node_find(w, key);
	if (n && (n->dir || n->held))
		return;
	if (!n)
		n = node_add(w, key, false);
	if (!n)
		return;
	n->content = ++w->contents;
	do_put(w, n, stage(w, n->content), world_pick(w, 3) == 0);
}

/* The writer of a held file goes on, or closes it. */
static void op_held(struct world *w)
{
	struct node *n = random_node(w, false);

	if (!n || !n->held)
		return;
	if (world_pick(w, 2)) {
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
	n->mode = S_IFREG | (mode_t)world_pick(w, 0777);
	jf_meta(&w->f, n->key, n->mode, base_of(n));
}

static void op_mkdir(struct world *w)
{
	char key[128];
	struct node *n;

	random_name(w, key, sizeof(key));
	if (world_node_find(w, key) || !(n = node_add(w, key, true)))
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
	struct node *n = random_node(w, world_pick(w, 3) == 0), *over;
	struct jent e = {.op = J_RENAME};
	char to[128];
	uint64_t seq;

	random_name(w, to, sizeof(to));
	if (!n || key_below(to, n->key) || key_below(n->key, to))
		return;
	over = world_node_find(w, to);
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

/* --- draining --- */

/* What the cache learns, before the journal forgets e. */
static void tell(struct world *w, struct jent *e, const char *etag)
{
	const char *key = e->op == J_RENAME ? e->to : e->key;
	char *now = NULL;
	struct node *n = journal_name_now(w->f.j, e, key, &now) ? NULL : world_node_find(w, now);

	if (n && !n->dir && etag[0])
		jf_text(n->etag, sizeof(n->etag), "%s", etag);
	free(now);
}

static void settle(struct world *w, int slot, bool smoothly)
{
	struct jent *e = w->inflight[slot];
	unsigned int luck = smoothly ? 0 : world_pick(w, 10);
	char *etag = w->told[slot];

	if (!w->is_told[slot]) {
		if (luck == 9 || !world_apply(w, e, !smoothly, etag) || luck >= 7) {
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
	int slot = (int)world_pick(w, INFLIGHT_MAX);
	struct jent *e;

	if (w->inflight[slot]) {
		settle(w, slot, false);
		return;
	}
	e = jf_take(&w->f);
	naive_order_check(w->f.j, e);
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

	if (world_pick(w, 2))
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
	static void (*const ops[])(struct world * w) = {
		op_write,  op_write,  op_write, op_write, op_held,  op_delete, op_meta,	 op_mkdir,
		op_rename, op_rename, op_drain, op_drain, op_drain, op_drain,  op_rmdir, op_rebody,
	};

	if (world_pick(w, 60) == 0)
		op_restart(w);
	else
		ops[world_pick(w, sizeof(ops) / sizeof(*ops))](w);
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
	naive_order_check(w->f.j, NULL);
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
		const struct stored *s = n->used ? world_stored_find(w, n->key, n->dir) : NULL;

		if (!n->used)
			continue;
		files++;
		if (!s)
			fail_msg("%s is not in the store", n->key);
		if (!n->dir && (s->content != n->content || s->mode != n->mode))
			fail_msg("%s: %u %o in the store, %u %o in the tree", n->key, s->content,
				 s->mode, n->content, n->mode);
		if (!n->dir && strcmp(n->etag, s->etag) != 0)
			fail_msg("%s: %s in the store, the cache knows %s", n->key, s->etag,
				 n->etag);
	}
	for (int i = 0; i < NODES_MAX * 2; i++) {
		const struct stored *s = &w->store[i];
		const struct node *n = s->used ? world_node_find(w, s->key) : NULL;

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
		if (i % 100 == 99 && world_pick(w, 3) == 0) {
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
