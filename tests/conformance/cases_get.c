/* SPDX-License-Identifier: Apache-2.0 */
/* get: ranges, the sink, and the version that a read is pinned to. */
#include "cases.h"

#include "util/list.h"

static void must_read(struct fixture *f, uint64_t off, uint64_t len, const char *want)
{
	struct got g;

	got_init(&g);
	assert_int_equal(get_range(f, "digits", off, len, NULL, &g), 0);
	assert_int_equal(g.begins, 1);
	assert_int_equal(g.rec.size, 10);
	assert_string_equal(g.buf ? g.buf : "", want);
	if (want[0])
		assert_int_equal(g.first, off);
	else
		assert_int_equal(g.writes, 0);
	got_release(&g);
}

static void a_range_is_what_it_says(struct fixture *f)
{
	must_put(f, "digits", "0123456789");
	must_read(f, 0, 10, "0123456789");
	must_read(f, 0, 1, "0");
	must_read(f, 3, 4, "3456");
	must_read(f, 9, 1, "9");
	must_read(f, 4, UINT64_MAX, "456789");
}

static void a_range_is_clipped_at_the_end(struct fixture *f)
{
	must_put(f, "digits", "0123456789");
	must_read(f, 8, 100, "89");
	must_read(f, 0, 11, "0123456789");
	must_read(f, 1, UINT64_MAX - 1, "123456789");
}

static void a_range_behind_the_end_begins_and_writes_nothing(struct fixture *f)
{
	must_put(f, "digits", "0123456789");
	must_read(f, 10, 1, "");
	must_read(f, 10, UINT64_MAX, "");
	must_read(f, 1000000, 5, "");
}

static void a_range_of_nothing_begins_and_writes_nothing(struct fixture *f)
{
	must_put(f, "digits", "0123456789");
	must_read(f, 0, 0, "");
	must_read(f, 5, 0, "");
}

static void ranges_of_an_empty_object_are_empty(struct fixture *f)
{
	const uint64_t ranges[][2] = {{0, 0}, {0, 1}, {0, UINT64_MAX}, {7, 7}};
	struct got g;

	must_put(f, "empty", "");
	got_init(&g);
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		assert_int_equal(get_range(f, "empty", ranges[i][0], ranges[i][1], NULL, &g), 0);
		assert_int_equal(g.begins, 1);
		assert_int_equal(g.writes, 0);
		assert_int_equal(g.rec.size, 0);
	}
	got_release(&g);
}

static void a_pinned_read_sees_that_version_or_none(struct fixture *f)
{
	char v1[ETAG_MAX], v2[ETAG_MAX];
	struct got g;

	got_init(&g);
	assert_int_equal(put_text(f, "k", "one", NULL, v1), 0);
	assert_int_equal(get_range(f, "k", 0, UINT64_MAX, v1, &g), 0);
	assert_string_equal(g.buf, "one");
	assert_string_equal(g.rec.etag, v1);
	assert_int_equal(put_text(f, "k", "two", NULL, v2), 0);
	assert_int_equal(get_range(f, "k", 0, UINT64_MAX, v1, &g), -ESTALE);
	assert_int_equal(g.begins, 0);
	assert_int_equal(get_range(f, "k", 1, 1, v1, &g), -ESTALE);
	assert_int_equal(get_range(f, "k", 0, UINT64_MAX, v2, &g), 0);
	assert_int_equal(del_key(f, "k", false, NULL), 0);
	assert_int_equal(get_range(f, "k", 0, UINT64_MAX, v2, &g), -ENOENT);
	got_release(&g);
}

static void an_empty_etag_is_the_present_version(struct fixture *f)
{
	struct got g;

	got_init(&g);
	must_put(f, "k", "one");
	assert_int_equal(get_range(f, "k", 0, UINT64_MAX, "", &g), 0);
	assert_string_equal(g.buf, "one");
	got_release(&g);
}

/* A sink that ends the get when it is told to. */
struct stopper {
	struct tier_sink sink;
	int begin_code, write_code;
	unsigned int writes;
};

static int stop_begin(struct tier_sink *sink, const struct record *rec)
{
	return container_of(sink, struct stopper, sink)->begin_code;
}

static int stop_write(struct tier_sink *sink, const void *buf, size_t len, uint64_t off)
{
	struct stopper *s = container_of(sink, struct stopper, sink);

	s->writes++;
	return s->write_code;
}

static void the_sink_ends_the_get_with_its_value(struct fixture *f)
{
	struct stopper s = {.sink = {.begin = stop_begin, .write = stop_write},
			    .begin_code = -ENOSPC};
	struct tier_call call = {0};

	must_put(f, "k", "bytes");
	assert_int_equal(tier_get(f->t, &call, "k", 0, UINT64_MAX, NULL, &s.sink), -ENOSPC);
	assert_int_equal(s.writes, 0);
	assert_false(call.transient);
	s.begin_code = 0;
	s.write_code = 42;
	assert_int_equal(tier_get(f->t, &call, "k", 0, UINT64_MAX, NULL, &s.sink), 42);
	assert_int_equal(s.writes, 1);
	assert_false(call.transient);
	must_have(f, "k", "bytes"); /* and the store is none the worse for it */
}

const struct conformance_case cases_get[] = {
	{"a range is what it says", a_range_is_what_it_says},
	{"a range is clipped at the end", a_range_is_clipped_at_the_end},
	{"a range behind the end begins and writes nothing",
	 a_range_behind_the_end_begins_and_writes_nothing},
	{"a range of nothing begins and writes nothing",
	 a_range_of_nothing_begins_and_writes_nothing},
	{"ranges of an empty object are empty", ranges_of_an_empty_object_are_empty},
	{"a pinned read sees that version or none", a_pinned_read_sees_that_version_or_none},
	{"an empty etag is the present version", an_empty_etag_is_the_present_version},
	{"the sink ends the get with its value", the_sink_ends_the_get_with_its_value},
	{NULL, NULL},
};
