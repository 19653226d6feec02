/* SPDX-License-Identifier: Apache-2.0 */
/* Three layers of one kind over a store: each call passes all of them, from outside in, once. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "layer_fixture.h"

static void build(struct stack *s, struct tape *tape)
{
	stack_init(s);
	memset(tape, 0, sizeof(*tape));
	s->top = recorder_new(&(struct recorder_conf){.name = "inner", .tape = tape}, s->top);
	s->top = recorder_new(&(struct recorder_conf){.name = "middle", .tape = tape}, s->top);
	s->top = recorder_new(&(struct recorder_conf){.name = "outer", .tape = tape}, s->top);
}

static void must_show(struct tape *tape, const char *op, const char *key)
{
	char want[256];

	snprintf(want, sizeof(want), "outer %s %s\nmiddle %s %s\ninner %s %s\n", op, key, op, key,
		 op, key);
	assert_string_equal(tape->text, want);
	memset(tape, 0, sizeof(*tape));
}

static void calls_go_from_outside_in(void **state)
{
	struct tape tape;
	struct reading got;
	unsigned int entries;
	struct stack s;

	build(&s, &tape);
	assert_int_equal(tier_probe(s.top, &s.call), 0);
	must_show(&tape, "probe", "-");
	assert_int_equal(stack_put(&s, s.top, "k", "text", NULL), 0);
	must_show(&tape, "put", "k");
	assert_int_equal(stack_head(&s, s.top, "k"), 0);
	must_show(&tape, "head", "k");
	assert_int_equal(stack_get(&s, s.top, "k", 0, &got), 0);
	must_show(&tape, "get", "k");
	assert_int_equal(stack_list(&s, s.top, &entries), 0);
	must_show(&tape, "list", "");
	assert_int_equal(tier_copy(s.top, &s.call, "k", NULL, "l", NULL, NULL, NULL), 0);
	must_show(&tape, "copy", "k");
	assert_int_equal(tier_del(s.top, &s.call, "l", false, NULL), 0);
	must_show(&tape, "del", "l");
	stack_release(&s);
	must_show(&tape, "close", "-");
}

static void a_layer_looks_like_what_it_stands_before(void **state)
{
	struct tape tape;
	struct stack s;

	build(&s, &tape);
	assert_string_equal(s.top->name, "cold");
	assert_int_equal(s.top->caps.flags, s.store->caps.flags);
	assert_int_equal(s.top->caps.max_key, s.store->caps.max_key);
	assert_true(tier_can(s.top, TIER_CAP_COND_PUT));
	stack_release(&s);
}

static void a_failure_is_named_once(void **state)
{
	const char *first, *second;
	struct tape tape;
	struct stack s;

	build(&s, &tape);
	assert_int_equal(stack_head(&s, s.top, "nothing"), -ENOENT);
	first = strstr(s.call.err.text, "cold: head nothing");
	assert_non_null(first);
	second = strstr(first + 1, "cold");
	assert_null(second);
	assert_int_equal(count_get(&s.counters, COUNTER_store_requests), 1);
	stack_release(&s);
}

static void no_layer_asks_for_what_is_refused_before(void **state)
{
	struct tape tape;
	struct stack s;

	build(&s, &tape);
	assert_int_equal(stack_head(&s, s.top, "../etc/passwd"), -EINVAL);
	assert_int_equal(stack_head(&s, s.top, ".cogfs/lock"), -EINVAL);
	assert_string_equal(tape.text, "");
	stack_release(&s);
}

static int no_probe(struct tier *t, struct tier_call *call)
{
	return 0;
}

static void a_table_with_a_hole_is_refused(void **state)
{
	const struct tier_caps caps = {.delete_batch = 1};
	const struct tier_ops holes = {.type = "holes", .probe = no_probe};
	struct tier t;

	assert_int_equal(tier_init(&t, &holes, "x", &caps, &clock_system, NULL), -EINVAL);
}

static void deletions_are_split_into_what_a_store_takes(void **state)
{
	const char *keys[5] = {"a", "b", "c", "d", "e"};
	int codes[5] = {1, 1, 1, 1, 1};
	struct stack s;

	stack_init(&s);
	for (int i = 0; i < 5; i++)
		assert_int_equal(stack_put(&s, s.store, keys[i], "x", NULL), 0);
	s.top->caps.delete_batch = 2;
	fault_arm(s.fault,
		  &(struct fault_plan){.op = FAULT_DEL, .after = 1, .times = 1, .code = -EIO});
	assert_int_equal(tier_del_many(s.top, &s.call, keys, 5, codes), -EIO);
	assert_int_equal(fault_calls(s.fault, FAULT_DEL), 3);
	for (int i = 0; i < 5; i++)
		assert_int_equal(codes[i], i == 2 || i == 3 ? -EIO : 0);
	stack_release(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_go_from_outside_in),
		cmocka_unit_test(a_layer_looks_like_what_it_stands_before),
		cmocka_unit_test(a_failure_is_named_once),
		cmocka_unit_test(no_layer_asks_for_what_is_refused_before),
		cmocka_unit_test(a_table_with_a_hole_is_refused),
		cmocka_unit_test(deletions_are_split_into_what_a_store_takes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
