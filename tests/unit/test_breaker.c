/* SPDX-License-Identifier: Apache-2.0 */
/* The circuit breaker, in simulated time. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "layer_fixture.h"

#define FOR_NS (30 * NSEC_PER_SEC)

static const struct breaker_conf conf = {.after = 3, .for_ns = FOR_NS};

static void build(struct stack *s)
{
	stack_init(s);
	assert_int_equal(breaker_create(&conf, s->fault, &s->top), 0);
	assert_int_equal(stack_put(s, s->store, "k", "text", NULL), 0);
}

static void fail_all(struct stack *s, int code, bool transient)
{
	fault_arm(s->fault, &(struct fault_plan){.code = code, .transient = transient});
}

static void recover(struct stack *s)
{
	/* A plan that hits no call. */
	fault_arm(s->fault, &(struct fault_plan){.after = 1000000});
}

static void must_be(struct stack *s, enum breaker_state state)
{
	assert_int_equal(breaker_state_get(s->top), state);
}

static void open_it(struct stack *s)
{
	fail_all(s, -EIO, true);
	for (unsigned int i = 0; i < conf.after; i++)
		assert_int_equal(stack_head(s, s->top, "k"), -EIO);
	must_be(s, BREAKER_OPEN);
}

static void closed_it_is_not_noticed(void **state)
{
	struct reading got;
	struct stack s;

	build(&s);
	assert_int_equal(stack_get(&s, s.top, "k", 0, &got), 0);
	assert_string_equal(got.text, "text");
	must_be(&s, BREAKER_CLOSED);
	stack_release(&s);
}

static void unknowns_in_a_row_open_it(void **state)
{
	struct stack s;

	build(&s);
	fail_all(&s, -EIO, true);
	assert_int_equal(stack_head(&s, s.top, "k"), -EIO);
	assert_int_equal(stack_head(&s, s.top, "k"), -EIO);
	must_be(&s, BREAKER_CLOSED);
	assert_int_equal(stack_head(&s, s.top, "k"), -EIO);
	must_be(&s, BREAKER_OPEN);
	assert_int_equal(count_get(&s.counters, COUNTER_breaker_opens), 1);
	stack_release(&s);
}

static void an_answer_between_them_starts_the_row_anew(void **state)
{
	struct stack s;

	build(&s);
	for (int i = 0; i < 5; i++) {
		fail_all(&s, -EIO, true);
		assert_int_equal(stack_head(&s, s.top, "k"), -EIO);
		assert_int_equal(stack_head(&s, s.top, "k"), -EIO);
		recover(&s);
		assert_int_equal(stack_head(&s, s.top, "nothing"), -ENOENT); /* which is one */
	}
	must_be(&s, BREAKER_CLOSED);
	stack_release(&s);
}

static void definite_failures_are_answers(void **state)
{
	struct stack s;

	build(&s);
	fail_all(&s, -EACCES, false);
	for (int i = 0; i < 10; i++)
		assert_int_equal(stack_head(&s, s.top, "k"), -EACCES);
	must_be(&s, BREAKER_CLOSED);
	stack_release(&s);
}

static void time_outs_open_it(void **state)
{
	struct stack s;

	build(&s);
	fault_arm(s.fault, &(struct fault_plan){.delay_ns = 60 * NSEC_PER_SEC});
	for (unsigned int i = 0; i < conf.after; i++) {
		s.call.deadline = s.sim.now + NSEC_PER_SEC;
		assert_int_equal(stack_head(&s, s.top, "k"), -ETIMEDOUT);
	}
	must_be(&s, BREAKER_OPEN);
	stack_release(&s);
}

static void a_caller_without_time_says_nothing_of_the_store(void **state)
{
	struct stack s;

	build(&s);
	for (unsigned int i = 0; i < 10; i++) {
		s.call.deadline = s.sim.now - 1;
		assert_int_equal(stack_head(&s, s.top, "k"), -ETIMEDOUT);
	}
	must_be(&s, BREAKER_CLOSED);
	stack_release(&s);
}

static void open_it_refuses_without_asking(void **state)
{
	uint64_t before;
	struct stack s;

	build(&s);
	open_it(&s);
	before = fault_calls(s.fault, FAULT_ANY);
	assert_int_equal(stack_head(&s, s.top, "k"), -EIO);
	assert_int_equal(stack_put(&s, s.top, "k", "x", NULL), -EIO);
	assert_int_equal(fault_calls(s.fault, FAULT_ANY), before);
	assert_true(s.call.transient);
	assert_int_equal(s.call.retry_after_ns, FOR_NS);
	assert_int_equal(s.sim.slept, 0);
	stack_release(&s);
}

static void open_it_says_who_since_when_and_why(void **state)
{
	struct stack s;

	build(&s);
	open_it(&s);
	assert_int_equal(stack_head(&s, s.top, "k"), -EIO);
	assert_non_null(strstr(s.call.err.text, "cold"));
	assert_non_null(strstr(s.call.err.text, "since 2023-11-14T22:30:00Z"));
	assert_non_null(strstr(s.call.err.text, "injected"));
	stack_release(&s);
}

/* By the real clock: below 10 ms is the promise, and this is a thousand of them. */
static void open_it_answers_at_once(void **state)
{
	struct timespec start, end;
	struct stack s;

	build(&s);
	open_it(&s);
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(stack_head(&s, s.top, "k"), -EIO);
	clock_gettime(CLOCK_MONOTONIC, &end);
	assert_true(end.tv_sec - start.tv_sec < 2);
	stack_release(&s);
}

static void many_deletions_are_refused_one_by_one(void **state)
{
	const char *keys[] = {"a", "b"};
	int codes[2] = {0, 0};
	struct stack s;

	build(&s);
	open_it(&s);
	assert_int_equal(tier_del_many(s.top, &s.call, keys, 2, codes), -EIO);
	assert_int_equal(codes[0], -EIO);
	assert_int_equal(codes[1], -EIO);
	stack_release(&s);
}

static void after_its_time_an_answer_closes_it(void **state)
{
	struct stack s;

	build(&s);
	open_it(&s);
	recover(&s);
	s.sim.now += FOR_NS - 1;
	assert_int_equal(stack_head(&s, s.top, "k"), -EIO);
	s.sim.now += 1;
	assert_int_equal(stack_head(&s, s.top, "k"), 0);
	must_be(&s, BREAKER_CLOSED);
	/* And the row begins anew. */
	fail_all(&s, -EIO, true);
	assert_int_equal(stack_head(&s, s.top, "k"), -EIO);
	must_be(&s, BREAKER_CLOSED);
	stack_release(&s);
}

static void after_its_time_silence_opens_it_again(void **state)
{
	struct stack s;

	build(&s);
	open_it(&s);
	s.sim.now += FOR_NS;
	assert_int_equal(stack_head(&s, s.top, "k"), -EIO);
	must_be(&s, BREAKER_OPEN);
	recover(&s);
	s.sim.now += FOR_NS - 1;
	assert_int_equal(stack_head(&s, s.top, "k"), -EIO);
	s.sim.now += 1;
	assert_int_equal(stack_head(&s, s.top, "k"), 0);
	assert_int_equal(count_get(&s.counters, COUNTER_breaker_opens), 1);
	stack_release(&s);
}

static void a_probe_passes_and_closes_it(void **state)
{
	struct stack s;

	build(&s);
	open_it(&s);
	recover(&s);
	s.call.probe = true;
	assert_int_equal(tier_probe(s.top, &s.call), 0);
	must_be(&s, BREAKER_CLOSED);
	s.call.probe = false;
	assert_int_equal(stack_head(&s, s.top, "k"), 0);
	stack_release(&s);
}

static void a_probe_without_answer_leaves_it_open(void **state)
{
	struct stack s;

	build(&s);
	open_it(&s);
	s.call.probe = true;
	assert_int_equal(tier_probe(s.top, &s.call), -EIO);
	must_be(&s, BREAKER_OPEN);
	stack_release(&s);
}

/* --- calls that overlap: the second one is made while the first is inside --- */

struct inside {
	struct stack *s;
	int (*then)(struct inside *in);
	int seen; /* what the call from inside got */
	enum breaker_state state;
	bool done;
};

static int from_inside(void *arg, struct tier_call *call)
{
	struct inside *in = arg;

	if (in->done)
		return 0;
	in->done = true;
	return in->then(in);
}

/* Over the store: a recorder that calls back, and the breaker. */
static void build_with_inside(struct stack *s, struct inside *in)
{
	struct recorder_conf recorder = {.name = "r", .on_head = from_inside, .arg = in};

	stack_init(s);
	s->top = recorder_new(&recorder, s->fault);
	assert_int_equal(breaker_create(&conf, s->top, &s->top), 0);
	assert_int_equal(stack_put(s, s->store, "k", "text", NULL), 0);
	in->s = s;
	in->done = true;
}

static int call_again(struct inside *in)
{
	struct tier_call call = {0};
	struct record rec;

	record_init(&rec);
	in->state = breaker_state_get(in->s->top);
	in->seen = tier_head(in->s->top, &call, "k", &rec);
	record_release(&rec);
	return 0;
}

static void one_call_is_on_trial_and_the_others_wait(void **state)
{
	struct inside in = {.then = call_again};
	struct stack s;

	build_with_inside(&s, &in);
	open_it(&s);
	recover(&s);
	s.sim.now += FOR_NS;
	in.done = false;
	assert_int_equal(stack_head(&s, s.top, "k"), 0);
	assert_int_equal(in.state, BREAKER_HALF_OPEN);
	assert_int_equal(in.seen, -EIO);
	must_be(&s, BREAKER_CLOSED);
	stack_release(&s);
}

static int open_from_inside(struct inside *in)
{
	fail_all(in->s, -EIO, true);
	for (unsigned int i = 0; i < conf.after; i++)
		call_again(in);
	recover(in->s);
	return 0;
}

static void a_late_answer_from_before_does_not_close_it(void **state)
{
	struct inside in = {.then = open_from_inside};
	struct stack s;

	build_with_inside(&s, &in);
	in.done = false;
	assert_int_equal(stack_head(&s, s.top, "k"), 0);
	must_be(&s, BREAKER_OPEN);
	stack_release(&s);
}

static int cancelled(struct inside *in)
{
	return -ECANCELED;
}

static void a_trial_that_is_taken_back_leaves_room_for_the_next(void **state)
{
	struct inside in = {.then = cancelled};
	struct stack s;

	build_with_inside(&s, &in);
	open_it(&s);
	recover(&s);
	s.sim.now += FOR_NS;
	in.done = false;
	assert_int_equal(stack_head(&s, s.top, "k"), -ECANCELED);
	must_be(&s, BREAKER_OPEN);
	assert_int_equal(stack_head(&s, s.top, "k"), 0);
	must_be(&s, BREAKER_CLOSED);
	stack_release(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(closed_it_is_not_noticed),
		cmocka_unit_test(unknowns_in_a_row_open_it),
		cmocka_unit_test(an_answer_between_them_starts_the_row_anew),
		cmocka_unit_test(definite_failures_are_answers),
		cmocka_unit_test(time_outs_open_it),
		cmocka_unit_test(a_caller_without_time_says_nothing_of_the_store),
		cmocka_unit_test(open_it_refuses_without_asking),
		cmocka_unit_test(open_it_says_who_since_when_and_why),
		cmocka_unit_test(open_it_answers_at_once),
		cmocka_unit_test(many_deletions_are_refused_one_by_one),
		cmocka_unit_test(after_its_time_an_answer_closes_it),
		cmocka_unit_test(after_its_time_silence_opens_it_again),
		cmocka_unit_test(a_probe_passes_and_closes_it),
		cmocka_unit_test(a_probe_without_answer_leaves_it_open),
		cmocka_unit_test(one_call_is_on_trial_and_the_others_wait),
		cmocka_unit_test(a_late_answer_from_before_does_not_close_it),
		cmocka_unit_test(a_trial_that_is_taken_back_leaves_room_for_the_next),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
