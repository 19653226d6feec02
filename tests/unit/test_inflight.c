/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that may take effect only once, across the death of a worker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "fuse/inflight.h"

/* A worker's table on memory that outlives it. */
struct fixture {
	struct shm shm;
	struct inflight table;
};

static int begin(void **state)
{
	static struct fixture f;

	assert_int_equal(shm_init(&f.shm), 0);
	inflight_init(&f.table, &f.shm);
	*state = &f;
	return 0;
}

static int end(void **state)
{
	struct fixture *f = *state;

	inflight_release(&f->table);
	shm_release(&f->shm);
	return 0;
}

static void next_worker(struct fixture *f)
{
	inflight_release(&f->table);
	inflight_init(&f->table, &f->shm);
}

static void what_was_not_begun_is_new_when_it_is_sent_again(void **state)
{
	struct fixture *f = *state;
	struct shm_inflight *slot;

	next_worker(f);
	assert_int_equal(inflight_begin(&f->table, 8, true, &slot), INFLIGHT_NEW);
	assert_non_null(slot);
}

static void what_was_begun_is_executed_again_with_the_knowledge_of_it(void **state)
{
	struct fixture *f = *state;
	struct shm_inflight *slot;

	assert_int_equal(inflight_begin(&f->table, 8, false, &slot), INFLIGHT_NEW);
	next_worker(f);
	assert_int_equal(inflight_begin(&f->table, 8, true, &slot), INFLIGHT_AGAIN);
	/* And once more, if that one dies as well. */
	next_worker(f);
	assert_int_equal(inflight_begin(&f->table, 8, true, &slot), INFLIGHT_AGAIN);
}

static void what_was_done_is_answered_from_the_table(void **state)
{
	struct stat attr = {.st_size = 77};
	struct fixture *f = *state;
	struct shm_inflight *slot;

	inflight_begin(&f->table, 8, false, &slot);
	inflight_done(slot, -EEXIST, 5, 6, &attr, 7);
	next_worker(f);
	assert_int_equal(inflight_begin(&f->table, 8, true, &slot), INFLIGHT_ANSWER);
	assert_int_equal(slot->error, -EEXIST);
	assert_int_equal(slot->node, 5);
	assert_int_equal(slot->handle, 6);
	assert_int_equal(slot->valid_ns, 7);
	assert_int_equal(slot->attr.st_size, 77);
}

static void what_was_answered_is_forgotten(void **state)
{
	struct fixture *f = *state;
	struct shm_inflight *slot;

	inflight_begin(&f->table, 8, false, &slot);
	inflight_done(slot, 0, 0, 0, NULL, 0);
	inflight_end(&f->table, slot);
	next_worker(f);
	assert_int_equal(inflight_begin(&f->table, 8, true, &slot), INFLIGHT_NEW);
}

static void a_full_table_lets_requests_through(void **state)
{
	struct fixture *f = *state;
	struct shm_inflight *slot;

	for (uint64_t unique = 2; unique < 2 * SHM_INFLIGHT + 2; unique += 2) {
		inflight_begin(&f->table, unique, false, &slot);
		assert_non_null(slot);
	}
	assert_int_equal(inflight_begin(&f->table, 1 << 20, false, &slot), INFLIGHT_NEW);
	assert_null(slot);
	inflight_done(slot, 0, 0, 0, NULL, 0);
	inflight_end(&f->table, slot);
}

static void slots_of_a_dead_worker_are_taken_when_none_is_free(void **state)
{
	struct fixture *f = *state;
	struct shm_inflight *slot;

	for (uint64_t unique = 2; unique < 2 * SHM_INFLIGHT + 2; unique += 2)
		inflight_begin(&f->table, unique, false, &slot);
	next_worker(f);
	assert_int_equal(inflight_begin(&f->table, 1 << 20, false, &slot), INFLIGHT_NEW);
	assert_non_null(slot);
	inflight_end(&f->table, slot);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_was_not_begun_is_new_when_it_is_sent_again,
						begin, end),
		cmocka_unit_test_setup_teardown(
			what_was_begun_is_executed_again_with_the_knowledge_of_it, begin, end),
		cmocka_unit_test_setup_teardown(what_was_done_is_answered_from_the_table, begin,
						end),
		cmocka_unit_test_setup_teardown(what_was_answered_is_forgotten, begin, end),
		cmocka_unit_test_setup_teardown(a_full_table_lets_requests_through, begin, end),
		cmocka_unit_test_setup_teardown(slots_of_a_dead_worker_are_taken_when_none_is_free,
						begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
