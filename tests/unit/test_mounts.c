/* SPDX-License-Identifier: Apache-2.0 */
/* Reading mountinfo, and numbers for people. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "cli/human.h"
#include "cli/mounts.h"

static const char sample[] = "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
			     "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
			     "not a line\n"
			     "40 27 0:50 / /mnt/a\\040b rw,nosuid shared:1 master:2 - fuse.cogfs "
			     "s3://bkt/x rw,user_id=0\n"
			     "41 27 0:51 / /mnt/cache rw - fuse.cogfs cogfs rw\n"
			     "42 41 0:52 / /mnt/cache/sub rw - tmpfs tmpfs rw\n"
			     "43 27 0:51 /part /srv/part rw - fuse.cogfs cogfs rw\n";

static int setup(void **state)
{
	static struct mount_table table;
	FILE *in = fmemopen((char *)sample, sizeof(sample) - 1, "r");

	assert_non_null(in);
	assert_int_equal(mount_table_parse(in, &table), 0);
	fclose(in);
	*state = &table;
	return 0;
}

static int teardown(void **state)
{
	mount_table_release(*state);
	return 0;
}

/* Fields, octal escapes and optional tags are understood; what is no line is left out. */
static void test_parse(void **state)
{
	const struct mount_table *t = *state;

	assert_int_equal(t->n, 6);
	assert_string_equal(t->entries[2].dir, "/mnt/a b");
	assert_string_equal(t->entries[2].source, "s3://bkt/x");
	assert_int_equal(t->entries[2].id, 40);
	assert_int_equal(t->entries[2].dev, makedev(0, 50));
	assert_true(mount_is_cogfs(&t->entries[2]));
	assert_false(mount_is_cogfs(&t->entries[0]));
	assert_string_equal(t->entries[5].root, "/part");
}

/* A path belongs to the innermost mount, by whole names. */
static void test_mount_of(void **state)
{
	const struct mount_table *t = *state;

	assert_int_equal(mount_of(t, "/mnt/cache/x/y")->id, 41);
	assert_int_equal(mount_of(t, "/mnt/cache")->id, 41);
	assert_int_equal(mount_of(t, "/mnt/cache/sub/z")->id, 42);
	assert_int_equal(mount_of(t, "/mnt/cached")->id, 27);
	assert_int_equal(mount_of(t, "/")->id, 27);
	assert_null(mount_at(t, "/mnt/cache/x"));
	assert_int_equal(mount_at(t, "/mnt/cache")->id, 41);
}

static void test_human(void **state)
{
	char buf[32];

	assert_string_equal(human_size(17, buf, sizeof(buf)), "17 bytes");
	assert_string_equal(human_size(1536, buf, sizeof(buf)), "1.5 KiB");
	assert_string_equal(human_size((1 << 20) - 1, buf, sizeof(buf)), "1.0 MiB");
	assert_string_equal(human_size(UINT64_MAX, buf, sizeof(buf)), "16.0 EiB");
	assert_string_equal(human_seconds(59, buf, sizeof(buf)), "59s");
	assert_string_equal(human_seconds(3661, buf, sizeof(buf)), "1h 1m");
	assert_string_equal(human_seconds(90000, buf, sizeof(buf)), "1d 1h");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_mount_of),
		cmocka_unit_test(test_human),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
