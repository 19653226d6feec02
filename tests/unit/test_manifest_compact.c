/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests: how many there are of a directory, and what becomes of them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "manifest_fixture.h"
#include "util/cleanup.h"

/* --- many --- */

static void a_directory_written_bit_by_bit_has_one_manifest(void **state)
{
	struct world w;
	char key[32];

	world_init(&w);
	for (int i = 0; i < 50; i++) {
		snprintf(key, sizeof(key), "d/%d", i);
		peer_put(&w, &w.a, key, 0640);
		peer_flush(&w.a);
	}
	assert_int_equal(manifests_count(&w), 1);
	assert_int_equal(peer_list(&w.b, "d/", NULL).whole, 50);
	world_release(&w);
}

static void a_large_directory_has_several_of_bounded_size(void **state)
{
	struct world w;
	struct seen seen;
	char key[32];

	world_init(&w);
	for (int i = 0; i < 20000; i++) {
		snprintf(key, sizeof(key), "d/%05d", i);
		peer_put(&w, &w.a, key, 0640);
		if (i % 1000 == 999)
			peer_flush(&w.a);
	}
	assert_true(manifests_count(&w) >= 2 && manifests_count(&w) <= 8);
	seen = peer_list(&w.b, "d/", NULL);
	assert_int_equal(seen.n, 20000);
	assert_int_equal(seen.whole, 20000);
	assert_int_equal(fault_calls(w.b.fault, FAULT_GET), manifests_count(&w));
	world_release(&w);
}

/* --- compaction --- */

/* n objects, each with a manifest of its own: as of a host that started anew each time. */
static void scatter(struct world *w, const char *dir, int from, int n)
{
	for (int i = from; i < from + n; i++) {
		char host[32], key[32];
		struct host h;

		snprintf(host, sizeof(host), "host%d", i);
		snprintf(key, sizeof(key), "%s/%03d", dir, i);
		peer_init(w, host, &h);
		peer_put(w, &h, key, 0640);
		tier_close(h.top); /* writes what waits */
	}
}

static void compaction_keeps_what_is_there_and_nothing_else(void **state)
{
	struct tier_call call = {0};
	struct world w;

	world_init(&w);
	scatter(&w, "d", 0, 20);
	scatter(&w, "e", 0, 1);
	assert_int_equal(manifests_count(&w), 21);
	assert_int_equal(stack_list(&w.s, w.a.top, &(unsigned int){0}), 0);
	assert_int_equal(tier_del(w.s.store, &call, "d/003", false, NULL), 0);
	w.s.sim.now += 3600 * NSEC_PER_SEC;
	assert_int_equal(manifest_compact(w.a.top, &call, "d"), 0);
	assert_int_equal(manifests_count(&w), 2);
	assert_int_equal(peer_list(&w.b, "d/", NULL).n, 19);
	assert_int_equal(peer_list(&w.b, "d/", NULL).whole, 19);
	world_release(&w);
}

static int beta_compacts(void *arg)
{
	struct world *w = arg;
	struct tier_call call = {0};

	return manifest_compact(w->b.top, &call, "d");
}

static int beta_adds_and_compacts(void *arg)
{
	struct world *w = arg;

	scatter(w, "d", 100, 1);
	return beta_compacts(w);
}

/* Another host compacts too, after ours has read and before it writes. */
static void two_that_compact_at_once_lose_nothing(void **state)
{
	int (*const hooks[])(void *arg) = {beta_compacts, beta_adds_and_compacts};

	for (unsigned int i = 0; i < 2; i++) {
		struct tier_call call = {0};
		struct world w;

		world_init(&w);
		scatter(&w, "d", 0, 20);
		w.s.sim.now += 3600 * NSEC_PER_SEC;
		w.a.shared->before_put = hooks[i];
		w.a.shared->arg = &w;
		assert_int_equal(manifest_compact(w.a.top, &call, "d"), 0);
		assert_null(w.a.shared->before_put);
		assert_int_equal(manifests_count(&w), 2);
		assert_int_equal(peer_list(&w.b, "d/", NULL).whole, 20 + i);
		assert_int_equal(peer_list(&w.a, "d/", NULL).whole, 20 + i);
		assert_int_equal(manifest_compact(w.a.top, &call, "d"), 0);
		assert_int_equal(manifests_count(&w), 1);
		assert_int_equal(peer_list(&w.b, "d/", NULL).whole, 20 + i);
		world_release(&w);
	}
}

/* A reader that has listed manifests which are compacted before it gets them. */
static void a_reader_that_comes_too_late_looks_again(void **state)
{
	struct world w;

	world_init(&w);
	scatter(&w, "d", 0, 5);
	fault_arm(w.a.fault,
		  &(struct fault_plan){.op = FAULT_GET, .after = 2, .times = 1, .code = -ENOENT});
	assert_int_equal(peer_list(&w.a, "d/", NULL).whole, 5);
	assert_int_equal(fault_calls(w.a.fault, FAULT_LIST), 3);
	world_release(&w);
}

/* Each step of a compaction can be the last one. */
static void a_compaction_that_ends_half_way_loses_nothing(void **state)
{
	static const enum fault_op ops[] = {FAULT_PUT, FAULT_DEL, FAULT_LIST, FAULT_GET};

	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		for (unsigned int after = 0; after < 4; after++) {
			struct tier_call call = {0};
			struct world w;

			world_init(&w);
			scatter(&w, "d", 0, 12);
			w.s.sim.now += 3600 * NSEC_PER_SEC;
			fault_arm(w.a.fault,
				  &(struct fault_plan){
					  .op = ops[i], .after = after, .times = 1, .code = -EIO});
			(void)manifest_compact(w.a.top, &call, "d");
			assert_int_equal(peer_list(&w.b, "d/", NULL).whole, 12);
			fault_arm(w.a.fault, &(struct fault_plan){.op = FAULT_COPY, .times = 1});
			call = (struct tier_call){0};
			assert_int_equal(manifest_compact(w.a.top, &call, "d"), 0);
			assert_int_equal(manifests_count(&w), 1);
			assert_int_equal(peer_list(&w.b, "d/", NULL).whole, 12);
			world_release(&w);
		}
	}
}

static void a_record_that_is_being_written_is_not_compacted_away(void **state)
{
	struct tier_call call = {0};
	struct world w;

	world_init(&w);
	scatter(&w, "d", 0, 3);
	/* Its listing does not have it yet, as far as the compactor can tell. */
	assert_int_equal(tier_del(w.s.store, &call, "d/001", false, NULL), 0);
	assert_int_equal(manifest_compact(w.a.top, &call, "d"), 0);
	{
		struct shelf *s;

		assert_int_equal(manifest_load(manifest_layer_of(w.b.top), &call, "d", true, &s),
				 0);
		assert_int_equal(s->entries, 3);
		manifest_shelf_put(manifest_layer_of(w.b.top), s);
	}
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_directory_written_bit_by_bit_has_one_manifest),
		cmocka_unit_test(a_large_directory_has_several_of_bounded_size),
		cmocka_unit_test(compaction_keeps_what_is_there_and_nothing_else),
		cmocka_unit_test(two_that_compact_at_once_lose_nothing),
		cmocka_unit_test(a_reader_that_comes_too_late_looks_again),
		cmocka_unit_test(a_compaction_that_ends_half_way_loses_nothing),
		cmocka_unit_test(a_record_that_is_being_written_is_not_compacted_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
