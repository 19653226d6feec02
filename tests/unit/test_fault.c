/* SPDX-License-Identifier: Apache-2.0 */
/* Fault injection itself: tests that rest on it must be able to. */
#include <errno.h>
#include <string.h>

#include "layer_fixture.h"

static void without_a_plan_all_passes(void **state)
{
	struct stack s;

	stack_init(&s);
	assert_int_equal(stack_put(&s, s.top, "k", "text", NULL), 0);
	assert_int_equal(stack_head(&s, s.top, "k"), 0);
	assert_int_equal(fault_calls(s.fault, FAULT_PUT), 1);
	assert_int_equal(fault_calls(s.fault, FAULT_HEAD), 1);
	assert_int_equal(fault_calls(s.fault, FAULT_GET), 0);
	assert_int_equal(fault_calls(s.fault, FAULT_ANY), 2);
	stack_release(&s);
}

static void the_nth_call_of_a_kind_is_hit(void **state)
{
	struct stack s;

	stack_init(&s);
	assert_int_equal(stack_put(&s, s.top, "k", "text", NULL), 0);
	fault_arm(s.fault,
		  &(struct fault_plan){.op = FAULT_HEAD, .after = 2, .times = 1, .code = -EACCES});
	assert_int_equal(stack_head(&s, s.top, "k"), 0);
	assert_int_equal(stack_put(&s, s.top, "k", "text", NULL), 0); /* another kind */
	assert_int_equal(stack_head(&s, s.top, "k"), 0);
	assert_int_equal(stack_head(&s, s.top, "k"), -EACCES);
	assert_false(s.call.transient);
	assert_int_equal(stack_head(&s, s.top, "k"), 0);
	stack_release(&s);
}

static void a_new_plan_counts_from_its_own_start(void **state)
{
	struct stack s;

	stack_init(&s);
	assert_int_equal(stack_put(&s, s.top, "k", "text", NULL), 0);
	fault_arm(s.fault, &(struct fault_plan){.code = -EIO});
	assert_int_equal(stack_head(&s, s.top, "k"), -EIO);
	fault_arm(s.fault, &(struct fault_plan){.after = 1, .code = -EIO});
	assert_int_equal(stack_head(&s, s.top, "k"), 0);
	assert_int_equal(stack_head(&s, s.top, "k"), -EIO);
	stack_release(&s);
}

static void a_failure_is_before_the_effect(void **state)
{
	struct stack s;

	stack_init(&s);
	fault_arm(s.fault, &(struct fault_plan){.op = FAULT_PUT, .code = -EIO, .transient = true});
	assert_int_equal(stack_put(&s, s.top, "k", "text", NULL), -EIO);
	assert_true(s.call.transient);
	assert_int_equal(stack_head(&s, s.store, "k"), -ENOENT);
	stack_release(&s);
}

static void or_after_it(void **state)
{
	struct stack s;

	stack_init(&s);
	fault_arm(s.fault,
		  &(struct fault_plan){.op = FAULT_PUT, .code = -EIO, .after_effect = true});
	assert_int_equal(stack_put(&s, s.top, "k", "text", NULL), -EIO);
	assert_int_equal(stack_head(&s, s.store, "k"), 0);
	stack_release(&s);
}

static void a_delay_passes_in_simulated_time(void **state)
{
	struct stack s;

	stack_init(&s);
	assert_int_equal(stack_put(&s, s.top, "k", "text", NULL), 0);
	fault_arm(s.fault, &(struct fault_plan){.delay_ns = 5 * NSEC_PER_SEC});
	assert_int_equal(stack_head(&s, s.top, "k"), 0);
	assert_int_equal(s.sim.slept, 5 * NSEC_PER_SEC);
	stack_release(&s);
}

static void a_delay_ends_at_the_deadline(void **state)
{
	struct stack s;

	stack_init(&s);
	fault_arm(s.fault, &(struct fault_plan){.delay_ns = 60 * NSEC_PER_SEC});
	s.call.deadline = s.sim.now + 2 * NSEC_PER_SEC;
	assert_int_equal(stack_head(&s, s.top, "k"), -ETIMEDOUT);
	assert_int_equal(s.sim.slept, 2 * NSEC_PER_SEC);
	stack_release(&s);
}

static void a_get_is_cut_after_that_many_bytes(void **state)
{
	struct reading got;
	struct stack s;

	stack_init(&s);
	assert_int_equal(stack_put(&s, s.top, "k", "0123456789", NULL), 0);
	fault_arm(s.fault, &(struct fault_plan){.op = FAULT_GET, .times = 1, .cut_after = 4});
	assert_int_equal(stack_get(&s, s.top, "k", 0, &got), -EIO);
	assert_string_equal(got.text, "0123");
	assert_true(s.call.transient);
	assert_int_equal(stack_get(&s, s.top, "k", 0, &got), 0);
	fault_arm(s.fault, &(struct fault_plan){.op = FAULT_GET, .cut_after = 10});
	assert_int_equal(stack_get(&s, s.top, "k", 0, &got), 0); /* nothing left to cut */
	stack_release(&s);
}

static void each_key_of_a_deletion_tells_of_the_failure(void **state)
{
	const char *keys[] = {"k", "l"};
	int codes[2] = {0, 0};
	struct stack s;

	stack_init(&s);
	assert_int_equal(stack_put(&s, s.top, "k", "text", NULL), 0);
	fault_arm(s.fault,
		  &(struct fault_plan){.op = FAULT_DEL, .code = -EIO, .after_effect = true});
	assert_int_equal(tier_del_many(s.top, &s.call, keys, 2, codes), -EIO);
	assert_int_equal(codes[0], -EIO);
	assert_int_equal(codes[1], -EIO);
	assert_int_equal(stack_head(&s, s.store, "k"), -ENOENT);
	stack_release(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_plan_all_passes),
		cmocka_unit_test(the_nth_call_of_a_kind_is_hit),
		cmocka_unit_test(a_new_plan_counts_from_its_own_start),
		cmocka_unit_test(a_failure_is_before_the_effect),
		cmocka_unit_test(or_after_it),
		cmocka_unit_test(a_delay_passes_in_simulated_time),
		cmocka_unit_test(a_delay_ends_at_the_deadline),
		cmocka_unit_test(a_get_is_cut_after_that_many_bytes),
		cmocka_unit_test(each_key_of_a_deletion_tells_of_the_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
