/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How opens are answered. The kernel's rules are data here, as they were measured: what is held,
 * what is wanted, and whether the kernel refuses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <string.h>

#include "fuse/io_mode.h"

struct rule {
	enum io_mode held, wanted;
	bool same_body;
	bool allowed;
};

/* Linux 6.18, one open file held while a second one is opened. */
static const struct rule rules[] = {
	{IO_CACHED, IO_CACHED, false, true},
	{IO_CACHED, IO_DIRECT, false, true},
	{IO_CACHED, IO_PASS, true, false},
	{IO_CACHED, IO_PASS_DIRECT, true, false},
	{IO_CACHED, IO_PASS, false, false},
	{IO_DIRECT, IO_CACHED, false, true},
	{IO_DIRECT, IO_DIRECT, false, true},
	{IO_DIRECT, IO_PASS, true, true},
	{IO_DIRECT, IO_PASS_DIRECT, true, true},
	{IO_DIRECT, IO_PASS, false, true},
	{IO_PASS, IO_CACHED, true, false},
	{IO_PASS, IO_DIRECT, true, false},
	{IO_PASS, IO_PASS, true, true},
	{IO_PASS, IO_PASS_DIRECT, true, true},
	{IO_PASS, IO_PASS, false, false},
	{IO_PASS_DIRECT, IO_CACHED, true, false},
	{IO_PASS_DIRECT, IO_DIRECT, true, false},
	{IO_PASS_DIRECT, IO_PASS, true, true},
	{IO_PASS_DIRECT, IO_PASS_DIRECT, true, true},
	{IO_PASS_DIRECT, IO_PASS, false, false},
};

static struct io_held hold(enum io_mode mode, bool writer)
{
	struct io_held held = {.writers = writer};

	held.n[mode] = 1;
	return held;
}

static void the_kernels_rules_are_the_measured_ones(void **state)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		struct io_held held = hold(rules[i].held, false);

		assert_int_equal(io_kernel_allows(&held, rules[i].wanted, rules[i].same_body),
				 rules[i].allowed);
	}
}

/* All of what can be wanted, as the bits of a number. */
#define WANTS (3 << 4)

static struct io_want want_of(int bits)
{
	static const int accmodes[] = {O_RDONLY, O_WRONLY, O_RDWR};

	return (struct io_want){
		.accmode = accmodes[bits >> 4],
		.body = bits & 1,
		.same_body = bits & 2,
		.other_epoch = bits & 4,
		.asked_before = bits & 8,
	};
}

/* Adds what was decided, as the driver counts it. */
static void add(struct io_held *held, enum io_mode mode, int accmode)
{
	held->n[mode]++;
	held->writers += accmode != O_RDONLY;
}

/* Every sequence of up to `depth` opens; *seen counts decisions. */
static void try_all(const struct io_held *held, int depth, unsigned int *seen)
{
	for (int bits = 0; bits < WANTS; bits++) {
		struct io_want want = want_of(bits);
		bool pass = held->n[IO_PASS] || held->n[IO_PASS_DIRECT];
		struct io_held next = *held;
		enum io_mode mode;

		/* Only a node with a backing id can have the same body. */
		if (want.same_body && !pass)
			continue;
		mode = io_decide(held, &want);
		(*seen)++;
		if (mode == IO_ANOTHER_NODE)
			continue;
		/* A writer beside another body's passthrough takes that body's id. */
		assert_true(
			io_kernel_allows(held, mode, want.same_body || want.accmode == O_WRONLY));
		add(&next, mode, want.accmode);
		if (depth > 1)
			try_all(&next, depth - 1, seen);
	}
}

static void no_sequence_of_opens_ends_in_what_the_kernel_refuses(void **state)
{
	struct io_held none = {0};
	unsigned int seen = 0;

	try_all(&none, 4, &seen);
	assert_true(seen > 10000);
}

static void a_readable_handle_is_never_direct(void **state)
{
	for (int mode = 0; mode < IO_MODES; mode++) {
		for (int bits = 0; bits < WANTS; bits++) {
			struct io_held held = hold((enum io_mode)mode, false);
			struct io_want want = want_of(bits);

			if (want.accmode != O_WRONLY)
				assert_int_not_equal(io_decide(&held, &want), IO_DIRECT);
		}
	}
}

static enum io_mode decide(struct io_held held, int accmode, bool body)
{
	struct io_want want = {.accmode = accmode, .body = body, .same_body = body};

	return io_decide(&held, &want);
}

static void what_is_not_open_is_answered_by_its_access_mode(void **state)
{
	const struct io_held none = {0};

	assert_int_equal(decide(none, O_RDONLY, true), IO_PASS);
	assert_int_equal(decide(none, O_RDONLY, false), IO_CACHED);
	assert_int_equal(decide(none, O_WRONLY, true), IO_DIRECT);
	assert_int_equal(decide(none, O_RDWR, true), IO_CACHED);
}

static void beside_passthrough_everything_keeps_the_backing_id(void **state)
{
	struct io_held held = hold(IO_PASS, false);

	assert_int_equal(decide(held, O_RDONLY, true), IO_PASS);
	assert_int_equal(decide(held, O_WRONLY, true), IO_PASS_DIRECT);
	assert_int_equal(decide(held, O_RDWR, true), IO_PASS_DIRECT);
}

static void another_version_beside_passthrough_gets_another_node(void **state)
{
	struct io_held held = hold(IO_PASS, false);

	assert_int_equal(decide(held, O_RDONLY, false), IO_ANOTHER_NODE);
	assert_int_equal(decide(held, O_RDWR, false), IO_ANOTHER_NODE);
}

static void a_reader_leaves_those_that_read_while_it_was_filled(void **state)
{
	struct io_held held = hold(IO_CACHED, false);
	struct io_want want = {.accmode = O_RDONLY, .body = true};

	assert_int_equal(io_decide(&held, &want), IO_ANOTHER_NODE);
	/* The kernel came back with the same node: better slow than not at all. */
	want.asked_before = true;
	assert_int_equal(io_decide(&held, &want), IO_CACHED);
}

static void a_reader_stays_with_a_writer(void **state)
{
	assert_int_equal(decide(hold(IO_CACHED, true), O_RDONLY, true), IO_CACHED);
}

static void next_to_a_fresh_direct_open_only_cached_is_safe(void **state)
{
	struct io_held held = hold(IO_DIRECT, true);

	held.unsettled = 1;
	assert_int_equal(decide(held, O_RDONLY, true), IO_CACHED);
	held.unsettled = 0;
	assert_int_equal(decide(held, O_RDONLY, true), IO_PASS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_kernels_rules_are_the_measured_ones),
		cmocka_unit_test(no_sequence_of_opens_ends_in_what_the_kernel_refuses),
		cmocka_unit_test(a_readable_handle_is_never_direct),
		cmocka_unit_test(what_is_not_open_is_answered_by_its_access_mode),
		cmocka_unit_test(beside_passthrough_everything_keeps_the_backing_id),
		cmocka_unit_test(another_version_beside_passthrough_gets_another_node),
		cmocka_unit_test(a_reader_leaves_those_that_read_while_it_was_filled),
		cmocka_unit_test(a_reader_stays_with_a_writer),
		cmocka_unit_test(next_to_a_fresh_direct_open_only_cached_is_safe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
