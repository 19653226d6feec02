/* SPDX-License-Identifier: Apache-2.0 */
/* The record's life, and the user xattrs in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "model/record.h"
#include "random_record.h"

/* An xattr comes back as the bytes that it was set to, NUL included; a second set replaces it. */
static void test_set_and_get(void **state)
{
	const struct record_xattr *x;
	struct record rec;

	record_init(&rec);
	assert_null(record_user_get(&rec, "a"));
	assert_int_equal(record_user_set(&rec, "a", "x\0y", 3, 0), 0);
	x = record_user_get(&rec, "a");
	assert_int_equal(x->value_len, 3);
	assert_memory_equal(x->value, "x\0y", 3);
	assert_int_equal(record_user_set(&rec, "a", "", 0, 0), 0);
	assert_int_equal(record_user_get(&rec, "a")->value_len, 0);
	assert_null(rec.user->next);
	record_release(&rec);
}

/* XATTR_CREATE and XATTR_REPLACE mean what setxattr(2) says. */
static void test_flags(void **state)
{
	struct record rec;

	record_init(&rec);
	assert_int_equal(record_user_set(&rec, "a", "1", 1, XATTR_REPLACE), -ENODATA);
	assert_int_equal(record_user_set(&rec, "a", "1", 1, XATTR_CREATE), 0);
	assert_int_equal(record_user_set(&rec, "a", "2", 1, XATTR_CREATE), -EEXIST);
	assert_int_equal(record_user_set(&rec, "a", "3", 1, XATTR_REPLACE), 0);
	assert_memory_equal(record_user_get(&rec, "a")->value, "3", 1);
	assert_int_equal(record_user_remove(&rec, "a"), 0);
	assert_int_equal(record_user_remove(&rec, "a"), -ENODATA);
	record_release(&rec);
}

/* Names that no kernel would pass on are refused here as well. */
static void test_names(void **state)
{
	struct record rec;
	char name[252];

	record_init(&rec);
	memset(name, 'n', sizeof(name));
	name[251] = '\0';
	assert_int_equal(record_user_set(&rec, "", "1", 1, 0), -EINVAL);
	assert_int_equal(record_user_set(&rec, name, "1", 1, 0), -EINVAL);
	name[250] = '\0';
	assert_int_equal(record_user_set(&rec, name, "1", 1, 0), 0);
	record_release(&rec);
}

/* The list is in the order of the names, however they came. */
static void test_order(void **state)
{
	struct record rec;

	record_init(&rec);
	record_user_set(&rec, "b", "", 0, 0);
	record_user_set(&rec, "c", "", 0, 0);
	record_user_set(&rec, "a", "", 0, 0);
	assert_string_equal(rec.user->name, "a");
	assert_string_equal(rec.user->next->name, "b");
	assert_string_equal(rec.user->next->next->name, "c");
	record_release(&rec);
}

/* What a store could not take is refused when it is set, and the old value stays. */
static void test_too_big(void **state)
{
	char value[META_MAX + 1];
	struct record rec;

	record_init(&rec);
	memset(value, 'v', sizeof(value));
	assert_int_equal(record_user_set(&rec, "a", "old", 3, 0), 0);
	assert_int_equal(record_user_set(&rec, "a", value, META_MAX, 0), -E2BIG);
	assert_int_equal(record_user_set(&rec, "a", value, sizeof(value), 0), -E2BIG);
	assert_int_equal(record_user_set(&rec, "b", value, META_MAX, 0), -E2BIG);
	assert_int_equal(record_user_get(&rec, "a")->value_len, 3);
	assert_null(record_user_get(&rec, "b"));
	record_release(&rec);
}

/* What was accepted fits a store with the whole record, our own fields at their longest. */
static void test_accepted_means_storable(void **state)
{
	struct meta_list list;
	char value[64], name[16];
	struct record rec;
	int r = 0;

	record_init(&rec);
	memset(value, 'v', sizeof(value));
	for (int i = 0; r == 0; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		r = record_user_set(&rec, name, value, (size_t)(i % 2 ? 64 : 3), 0);
	}
	assert_int_equal(r, -E2BIG);
	/* Now by single bytes, up to the last one that is taken. */
	for (size_t len = 1; record_user_set(&rec, "z", value, len, 0) == 0; len++)
		assert_true(len < sizeof(value));
	rec.known = REC_ALL;
	rec.mode = S_IFLNK | 07777;
	rec.uid = rec.gid = UINT32_MAX;
	rec.mtime_ns = rec.created_ns = INT64_MIN + 1;
	rec.expires_at = rec.ttl = INT64_MIN;
	rec.xxh3 = xxh3_of("", 0);
	assert_int_equal(record_to_meta(&rec, &list), 0);
	meta_list_release(&list);
	record_release(&rec);
}

/* A foreign record above the limit may be made smaller, and no larger. */
static void test_shrinking_a_large_one(void **state)
{
	char value[META_MAX + 100];
	struct meta_list list = {0};
	struct record rec;

	record_init(&rec);
	memset(value, 'v', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	assert_int_equal(meta_list_add(&list, "big", value), 0);
	assert_int_equal(record_from_meta(&rec, &list), 0);
	meta_list_release(&list);
	assert_int_equal(record_user_set(&rec, "more", "x", 1, 0), -E2BIG);
	assert_int_equal(record_user_set(&rec, "big", value, META_MAX - 50, 0), 0);
	assert_int_equal(record_user_set(&rec, "big", value, 10, 0), 0);
	assert_int_equal(record_user_set(&rec, "more", "x", 1, 0), 0);
	record_release(&rec);
}

/* A copy is equal and shares nothing. */
static void test_copy(void **state)
{
	uint64_t rng = random_seed();

	for (int i = 0; i < 500; i++) {
		struct record rec, copy;

		record_init(&rec);
		record_init(&copy);
		random_record(&rng, &rec);
		assert_int_equal(record_copy(&copy, &rec), 0);
		assert_records_equal(&rec, &copy, REC_ALL);
		if (rec.user)
			assert_ptr_not_equal(rec.user, copy.user);
		record_release(&rec);
		record_release(&copy);
		record_release(&copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set_and_get),
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_too_big),
		cmocka_unit_test(test_accepted_means_storable),
		cmocka_unit_test(test_shrinking_a_large_one),
		cmocka_unit_test(test_copy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
