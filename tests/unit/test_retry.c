/* SPDX-License-Identifier: Apache-2.0 */
/* The retry layer, in simulated time. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "layer_fixture.h"

static const struct tier_pre if_absent = {.cond = TIER_IF_ABSENT};

static void build(struct stack *s, unsigned int tries)
{
	const struct retry_conf conf = {
		.tries = tries, .min_ns = NSEC_PER_SEC, .max_ns = 10 * NSEC_PER_SEC};

	stack_init(s);
	assert_int_equal(retry_create(&conf, s->fault, &s->top), 0);
	s->call.deadline = SIM_START + 1000 * NSEC_PER_SEC;
}

static void fail_in_passing(struct stack *s, enum fault_op op, unsigned int times)
{
	fault_arm(s->fault,
		  &(struct fault_plan){.op = op, .times = times, .code = -EIO, .transient = true});
}

/* The effect takes place, the answer is lost. */
static void lose_answers(struct stack *s, enum fault_op op, unsigned int times)
{
	fault_arm(s->fault, &(struct fault_plan){.op = op,
						 .times = times,
						 .code = -EIO,
						 .transient = true,
						 .after_effect = true});
}

static void success_is_not_repeated(void **state)
{
	struct stack s;

	build(&s, 3);
	assert_int_equal(stack_put(&s, s.top, "k", "text", NULL), 0);
	assert_int_equal(stack_head(&s, s.top, "k"), 0);
	assert_int_equal(fault_calls(s.fault, FAULT_ANY), 2);
	assert_int_equal(s.sim.slept, 0);
	stack_release(&s);
}

static void what_fails_in_passing_is_sent_again(void **state)
{
	struct stack s;

	build(&s, 3);
	assert_int_equal(stack_put(&s, s.store, "k", "text", NULL), 0);
	fail_in_passing(&s, FAULT_HEAD, 2);
	assert_int_equal(stack_head(&s, s.top, "k"), 0);
	assert_int_equal(fault_calls(s.fault, FAULT_HEAD), 3);
	assert_true(s.sim.slept <= 3 * NSEC_PER_SEC);
	assert_int_equal(count_get(&s.counters, COUNTER_store_retries), 2);
	stack_release(&s);
}

static void after_the_last_try_the_failure_is_the_answer(void **state)
{
	struct stack s;

	build(&s, 3);
	fail_in_passing(&s, FAULT_HEAD, 0);
	assert_int_equal(stack_head(&s, s.top, "k"), -EIO);
	assert_true(s.call.transient);
	assert_non_null(strstr(s.call.err.text, "try 3 of 3"));
	assert_int_equal(fault_calls(s.fault, FAULT_HEAD), 3);
	stack_release(&s);
}

static void a_definite_answer_is_not_asked_for_again(void **state)
{
	struct stack s;

	build(&s, 3);
	assert_int_equal(stack_head(&s, s.top, "nothing"), -ENOENT);
	fault_arm(s.fault, &(struct fault_plan){.op = FAULT_HEAD, .code = -EACCES});
	assert_int_equal(stack_head(&s, s.top, "k"), -EACCES);
	assert_int_equal(fault_calls(s.fault, FAULT_HEAD), 2);
	stack_release(&s);
}

/* Full jitter: between nothing and the bound, which doubles from 1 s and ends at 10 s. */
static void pauses_double_up_to_the_limit(void **state)
{
	int64_t longest = 0, bound = (1 + 2 + 4 + 8 + 10 + 10) * NSEC_PER_SEC;
	struct stack s;

	build(&s, 7);
	fail_in_passing(&s, FAULT_HEAD, 0);
	for (int i = 0; i < 300; i++) {
		s.sim.slept = 0;
		s.call.deadline = s.sim.now + 1000 * NSEC_PER_SEC;
		assert_int_equal(stack_head(&s, s.top, "k"), -EIO);
		assert_true(s.sim.slept <= bound);
		if (s.sim.slept > longest)
			longest = s.sim.slept;
	}
	assert_true(longest > bound / 2);
	stack_release(&s);
}

static void a_store_that_asks_for_less_gets_time(void **state)
{
	struct stack s;

	build(&s, 3);
	fault_arm(s.fault,
		  &(struct fault_plan){
			  .op = FAULT_HEAD, .code = -EIO, .transient = true, .throttled = true});
	for (int i = 0; i < 50; i++) {
		s.sim.slept = 0;
		s.call.deadline = 0;
		assert_int_equal(stack_head(&s, s.top, "k"), -EIO);
		assert_true(s.sim.slept >= (NSEC_PER_SEC + 2 * NSEC_PER_SEC) / 2);
	}
	stack_release(&s);
}

static void the_stores_own_wish_is_heeded(void **state)
{
	struct stack s;

	build(&s, 2);
	fault_arm(s.fault, &(struct fault_plan){.op = FAULT_HEAD,
						.code = -EIO,
						.transient = true,
						.retry_after_ns = 20 * NSEC_PER_SEC});
	assert_int_equal(stack_head(&s, s.top, "k"), -EIO);
	assert_int_equal(s.sim.slept, 20 * NSEC_PER_SEC);
	stack_release(&s);
}

static void a_pause_that_does_not_fit_is_not_begun(void **state)
{
	struct stack s;

	build(&s, 3);
	s.call.deadline = SIM_START + 5 * NSEC_PER_SEC;
	fault_arm(s.fault, &(struct fault_plan){.op = FAULT_HEAD,
						.code = -EIO,
						.transient = true,
						.retry_after_ns = 20 * NSEC_PER_SEC});
	assert_int_equal(stack_head(&s, s.top, "k"), -EIO);
	assert_int_equal(s.sim.slept, 0);
	assert_int_equal(fault_calls(s.fault, FAULT_HEAD), 1);
	stack_release(&s);
}

static void cancel_now(void *arg)
{
	atomic_store((atomic_bool *)arg, true);
}

static void a_pause_can_be_cancelled(void **state)
{
	atomic_bool cancel = false;
	struct stack s;

	build(&s, 3);
	fault_arm(s.fault, &(struct fault_plan){.op = FAULT_HEAD,
						.code = -EIO,
						.transient = true,
						.retry_after_ns = 20 * NSEC_PER_SEC});
	s.call.cancel = &cancel;
	s.sim.on_sleep = cancel_now;
	s.sim.arg = &cancel;
	assert_int_equal(stack_head(&s, s.top, "k"), -ECANCELED);
	assert_true(s.sim.slept < NSEC_PER_SEC);
	stack_release(&s);
}

static void a_health_probe_is_sent_once(void **state)
{
	struct stack s;

	build(&s, 3);
	fail_in_passing(&s, FAULT_HEAD, 0);
	s.call.probe = true;
	assert_int_equal(tier_probe(s.top, &s.call), -EIO);
	assert_int_equal(fault_calls(s.fault, FAULT_HEAD), 1);
	stack_release(&s);
}

/* --- get --- */

static void a_get_is_sent_again_before_its_first_byte(void **state)
{
	struct reading got;
	struct stack s;

	build(&s, 3);
	assert_int_equal(stack_put(&s, s.store, "k", "text", NULL), 0);
	fail_in_passing(&s, FAULT_GET, 2);
	assert_int_equal(stack_get(&s, s.top, "k", 0, &got), 0);
	assert_string_equal(got.text, "text");
	assert_int_equal(got.begins, 1);
	stack_release(&s);
}

static void a_get_is_not_sent_again_after_its_first_byte(void **state)
{
	struct reading got;
	struct stack s;

	build(&s, 3);
	assert_int_equal(stack_put(&s, s.store, "k", "text", NULL), 0);
	fault_arm(s.fault, &(struct fault_plan){.op = FAULT_GET, .times = 1, .cut_after = 2});
	assert_int_equal(stack_get(&s, s.top, "k", 0, &got), -EIO);
	assert_true(s.call.transient);
	assert_string_equal(got.text, "te");
	assert_int_equal(fault_calls(s.fault, FAULT_GET), 1);
	stack_release(&s);
}

/* A range behind the end begins and writes nothing: a break there is one before the first byte. */
static void the_sink_begins_once_over_all_tries(void **state)
{
	struct reading got;
	struct stack s;

	build(&s, 3);
	assert_int_equal(stack_put(&s, s.store, "k", "text", NULL), 0);
	lose_answers(&s, FAULT_GET, 1);
	assert_int_equal(stack_get(&s, s.top, "k", 100, &got), 0);
	assert_int_equal(got.begins, 1);
	assert_int_equal(fault_calls(s.fault, FAULT_GET), 2);
	stack_release(&s);
}

static void replace_object(void *arg)
{
	struct stack *s = arg;

	s->sim.on_sleep = NULL;
	assert_int_equal(stack_put(s, s->store, "k", "another", NULL), 0);
}

static void a_version_that_changes_between_tries_is_stale(void **state)
{
	struct reading got;
	struct stack s;

	build(&s, 3);
	assert_int_equal(stack_put(&s, s.store, "k", "text", NULL), 0);
	lose_answers(&s, FAULT_GET, 1);
	s.sim.on_sleep = replace_object;
	s.sim.arg = &s;
	assert_int_equal(stack_get(&s, s.top, "k", 100, &got), -ESTALE);
	assert_int_equal(got.begins, 1);
	stack_release(&s);
}

/* --- put --- */

static void an_unconditional_put_is_not_sent_again(void **state)
{
	struct stack s;

	build(&s, 3);
	lose_answers(&s, FAULT_PUT, 1);
	assert_int_equal(stack_put(&s, s.top, "k", "text", NULL), -EIO);
	assert_true(s.call.transient);
	assert_int_equal(fault_calls(s.fault, FAULT_PUT), 1);
	stack_release(&s);
}

static void an_unconditional_put_that_was_refused_is_sent_again(void **state)
{
	struct stack s;

	build(&s, 3);
	fault_arm(s.fault, &(struct fault_plan){.op = FAULT_PUT,
						.times = 1,
						.code = -EIO,
						.transient = true,
						.throttled = true});
	assert_int_equal(stack_put(&s, s.top, "k", "text", NULL), 0);
	assert_int_equal(fault_calls(s.fault, FAULT_PUT), 2);
	stack_release(&s);
}

static void a_put_that_took_effect_unheard_has_succeeded(void **state)
{
	char etag[ETAG_MAX];
	struct stack s;

	build(&s, 3);
	lose_answers(&s, FAULT_PUT, 1);
	assert_int_equal(stack_put(&s, s.top, "k", "text", &if_absent), 0);
	memcpy(etag, s.etag, sizeof(etag));
	assert_int_equal(stack_head(&s, s.store, "k"), 0);
	assert_string_equal(s.etag, etag);
	stack_release(&s);
}

static void a_replacement_that_took_effect_unheard_has_succeeded(void **state)
{
	struct tier_pre pre = {.cond = TIER_IF_MATCH};
	char old[ETAG_MAX];
	struct stack s;

	build(&s, 3);
	assert_int_equal(stack_put(&s, s.store, "k", "old", NULL), 0);
	memcpy(old, s.etag, sizeof(old));
	pre.etag = old;
	lose_answers(&s, FAULT_PUT, 2);
	assert_int_equal(stack_put(&s, s.top, "k", "text", &pre), 0);
	assert_string_not_equal(s.etag, old);
	stack_release(&s);
}

static void a_put_that_somebody_forestalled_has_failed(void **state)
{
	struct stack s;

	build(&s, 3);
	fail_in_passing(&s, FAULT_PUT, 1);
	s.sim.on_sleep = replace_object;
	s.sim.arg = &s;
	assert_int_equal(stack_put(&s, s.top, "k", "text", &if_absent), -EEXIST);
	assert_false(s.call.transient);
	stack_release(&s);
}

static void without_a_lost_answer_a_refusal_is_taken_at_its_word(void **state)
{
	struct stack s;

	build(&s, 3);
	assert_int_equal(stack_put(&s, s.store, "k", "text", NULL), 0);
	assert_int_equal(stack_put(&s, s.top, "k", "text", &if_absent), -EEXIST);
	assert_int_equal(fault_calls(s.fault, FAULT_HEAD), 0);
	stack_release(&s);
}

static void markers_and_links_are_recognised_too(void **state)
{
	struct record rec;
	struct stack s;

	build(&s, 3);
	record_init(&rec);
	rec.known = REC_MODE;
	rec.mode = S_IFDIR | 0755;
	lose_answers(&s, FAULT_PUT, 1);
	assert_int_equal(stack_put_record(&s, s.top, "d", &rec, &if_absent), 0);
	rec.mode = S_IFLNK | 0777;
	rec.symlink = strdup("target");
	lose_answers(&s, FAULT_PUT, 1);
	assert_int_equal(stack_put_record(&s, s.top, "l", &rec, &if_absent), 0);
	/* Another target is another's link. */
	free(rec.symlink);
	rec.symlink = strdup("elsewhere");
	fail_in_passing(&s, FAULT_PUT, 1);
	assert_int_equal(stack_put_record(&s, s.top, "l", &rec, &if_absent), -EEXIST);
	record_release(&rec);
	stack_release(&s);
}

/* --- copy, metadata --- */

static void a_copy_that_took_effect_unheard_has_succeeded(void **state)
{
	char etag[ETAG_MAX] = "";
	struct stack s;

	build(&s, 3);
	assert_int_equal(stack_put(&s, s.store, "from", "text", NULL), 0);
	lose_answers(&s, FAULT_COPY, 1);
	assert_int_equal(tier_copy(s.top, &s.call, "from", NULL, "to", NULL, &if_absent, etag), 0);
	assert_int_equal(stack_head(&s, s.store, "to"), 0);
	assert_string_equal(s.etag, etag);
	stack_release(&s);
}

static int set_note(struct stack *s, const char *etag, const char *note)
{
	struct record rec;
	int r;

	record_init(&rec);
	rec.known = REC_MODE | REC_USER | REC_XXH3;
	rec.mode = S_IFREG | 0600;
	rec.xxh3 = xxh3_of("text", 4);
	assert_int_equal(record_user_set(&rec, "note", note, strlen(note), 0), 0);
	r = tier_set_meta(s->top, &s->call, "k", etag, &rec, s->etag);
	record_release(&rec);
	return r;
}

static void metadata_that_took_effect_unheard_has_succeeded(void **state)
{
	char old[ETAG_MAX];
	struct stack s;

	build(&s, 3);
	assert_int_equal(stack_put(&s, s.store, "k", "text", NULL), 0);
	memcpy(old, s.etag, sizeof(old));
	lose_answers(&s, FAULT_COPY, 1);
	assert_int_equal(set_note(&s, old, "mine"), 0);
	assert_string_not_equal(s.etag, old);
	stack_release(&s);
}

static void metadata_that_somebody_else_set_is_stale(void **state)
{
	char old[ETAG_MAX];
	struct stack s;

	build(&s, 3);
	assert_int_equal(stack_put(&s, s.store, "k", "text", NULL), 0);
	memcpy(old, s.etag, sizeof(old));
	fail_in_passing(&s, FAULT_COPY, 1);
	s.sim.on_sleep = replace_object;
	s.sim.arg = &s;
	assert_int_equal(set_note(&s, old, "mine"), -ESTALE);
	stack_release(&s);
}

/* --- del, list --- */

static void only_keys_that_failed_are_deleted_again(void **state)
{
	const char *keys[] = {"a", "b", "c"};
	int codes[3] = {1, 1, 1};
	struct tape tape = {.len = 0};
	struct recorder_conf recorder = {.name = "r", .tape = &tape, .refuse_once = "b"};
	const struct retry_conf conf = {.tries = 3, .max_ns = NSEC_PER_SEC};
	struct stack s;

	stack_init(&s);
	s.top = recorder_new(&recorder, s.fault);
	assert_int_equal(retry_create(&conf, s.top, &s.top), 0);
	assert_int_equal(tier_del_many(s.top, &s.call, keys, 3, codes), 0);
	assert_string_equal(tape.text, "r del_many a\nr del_many b\nr del_many c\nr del_many b\n");
	for (int i = 0; i < 3; i++)
		assert_int_equal(codes[i], 0);
	stack_release(&s);
}

static void a_listing_is_sent_again_before_its_first_entry_only(void **state)
{
	unsigned int entries;
	struct stack s;

	build(&s, 3);
	assert_int_equal(stack_put(&s, s.store, "k", "text", NULL), 0);
	fail_in_passing(&s, FAULT_LIST, 2);
	assert_int_equal(stack_list(&s, s.top, &entries), 0);
	assert_int_equal(entries, 1);
	lose_answers(&s, FAULT_LIST, 1);
	assert_int_equal(stack_list(&s, s.top, &entries), -EIO);
	assert_int_equal(entries, 1);
	assert_int_equal(fault_calls(s.fault, FAULT_LIST), 4);
	stack_release(&s);
}

static void a_deletion_is_sent_again(void **state)
{
	struct stack s;

	build(&s, 3);
	assert_int_equal(stack_put(&s, s.store, "k", "text", NULL), 0);
	lose_answers(&s, FAULT_DEL, 2);
	assert_int_equal(tier_del(s.top, &s.call, "k", false, s.etag), 0);
	assert_int_equal(fault_calls(s.fault, FAULT_DEL), 3);
	stack_release(&s);
}

static void a_layer_that_makes_no_sense_is_not_made(void **state)
{
	const struct retry_conf none = {.tries = 0, .max_ns = 1};
	const struct retry_conf backward = {.tries = 1, .min_ns = 2, .max_ns = 1};
	struct tier *t = NULL;
	struct stack s;

	stack_init(&s);
	assert_int_equal(retry_create(&none, s.fault, &t), -EINVAL);
	assert_int_equal(retry_create(&backward, s.fault, &t), -EINVAL);
	assert_null(t);
	stack_release(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(success_is_not_repeated),
		cmocka_unit_test(what_fails_in_passing_is_sent_again),
		cmocka_unit_test(after_the_last_try_the_failure_is_the_answer),
		cmocka_unit_test(a_definite_answer_is_not_asked_for_again),
		cmocka_unit_test(pauses_double_up_to_the_limit),
		cmocka_unit_test(a_store_that_asks_for_less_gets_time),
		cmocka_unit_test(the_stores_own_wish_is_heeded),
		cmocka_unit_test(a_pause_that_does_not_fit_is_not_begun),
		cmocka_unit_test(a_pause_can_be_cancelled),
		cmocka_unit_test(a_health_probe_is_sent_once),
		cmocka_unit_test(a_get_is_sent_again_before_its_first_byte),
		cmocka_unit_test(a_get_is_not_sent_again_after_its_first_byte),
		cmocka_unit_test(the_sink_begins_once_over_all_tries),
		cmocka_unit_test(a_version_that_changes_between_tries_is_stale),
		cmocka_unit_test(an_unconditional_put_is_not_sent_again),
		cmocka_unit_test(an_unconditional_put_that_was_refused_is_sent_again),
		cmocka_unit_test(a_put_that_took_effect_unheard_has_succeeded),
		cmocka_unit_test(a_replacement_that_took_effect_unheard_has_succeeded),
		cmocka_unit_test(a_put_that_somebody_forestalled_has_failed),
		cmocka_unit_test(without_a_lost_answer_a_refusal_is_taken_at_its_word),
		cmocka_unit_test(markers_and_links_are_recognised_too),
		cmocka_unit_test(a_copy_that_took_effect_unheard_has_succeeded),
		cmocka_unit_test(metadata_that_took_effect_unheard_has_succeeded),
		cmocka_unit_test(metadata_that_somebody_else_set_is_stale),
		cmocka_unit_test(only_keys_that_failed_are_deleted_again),
		cmocka_unit_test(a_listing_is_sent_again_before_its_first_entry_only),
		cmocka_unit_test(a_deletion_is_sent_again),
		cmocka_unit_test(a_layer_that_makes_no_sense_is_not_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
