/* SPDX-License-Identifier: Apache-2.0 */
/* The record as a store's user metadata: ours, s3fs's, rclone's, the seeds', and anybody's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "model/record.h"
#include "random_record.h"

/* Everything that metadata carries; size and etag are the store's own. */
#define CARRIED (REC_ALL & ~(uint32_t)(REC_SIZE | REC_ETAG))

/* A record from one pair, or from two. */
static void parse(struct record *rec, const char *name, const char *value, const char *name2,
		  const char *value2)
{
	struct meta_list list = {0};

	record_init(rec);
	assert_int_equal(meta_list_add(&list, name, value), 0);
	if (name2)
		assert_int_equal(meta_list_add(&list, name2, value2), 0);
	assert_int_equal(record_from_meta(rec, &list), 0);
	meta_list_release(&list);
}

static void assert_user(const struct record *rec, const char *name, const char *value)
{
	const struct record_xattr *x = record_user_get(rec, name);

	assert_non_null(x);
	assert_int_equal(x->value_len, strlen(value));
	assert_memory_equal(x->value, value, x->value_len);
}

/* Any record comes back equal from another host's point of view. */
static void test_random_round_trips(void **state)
{
	uint64_t rng = random_seed();

	for (int i = 0; i < 5000; i++) {
		struct record rec, back;
		struct meta_list list;

		record_init(&rec);
		record_init(&back);
		random_record(&rng, &rec);
		assert_int_equal(record_to_meta(&rec, &list), 0);
		assert_int_equal(record_from_meta(&back, &list), 0);
		meta_list_release(&list);
		if (!(rec.known & REC_EXPIRES))
			rec.expires_at = rec.ttl = 0;
		rec.known |= REC_EXPIRES | REC_USER;
		assert_records_equal(&rec, &back, CARRIED);
		record_release(&rec);
		record_release(&back);
	}
}

/* Every name and value that we write can be an HTTP header as it is. */
static void test_header_safe(void **state)
{
	uint64_t rng = random_seed();

	for (int i = 0; i < 2000; i++) {
		struct meta_list list;
		struct record rec;

		record_init(&rec);
		random_record(&rng, &rec);
		assert_int_equal(record_to_meta(&rec, &list), 0);
		for (size_t k = 0; k < list.n; k++) {
			const char *name = list.v[k].name, *value = list.v[k].value;

			assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-"),
					 strlen(name));
			assert_true(value[0] != '\0' && value[0] != ' ');
			assert_true(value[strlen(value) - 1] != ' ');
			assert_null(strstr(value, "  "));
			for (const char *c = value; *c; c++)
				assert_in_range((unsigned char)*c, 0x20, 0x7e);
		}
		meta_list_release(&list);
		record_release(&rec);
	}
}

/* The names and forms are fixed: other programs read them. */
static void test_written_forms(void **state)
{
	struct record rec = {
		.known = REC_ALL,
		.mode = S_IFREG | 0644,
		.uid = 1000,
		.gid = 100,
		.mtime_ns = 1772366400123456789,
		.created_ns = 1772366400000000000,
		.expires_at = 1772370000,
		.ttl = 3600,
		.xxh3 = xxh3_of("", 0),
	};
	struct meta_list list;

	rec.cache_key = strdup("video:100%: a  b ");
	assert_int_equal(record_user_set(&rec, "colour", "blue", 4, 0), 0);
	assert_int_equal(record_to_meta(&rec, &list), 0);
	assert_string_equal(meta_list_get(&list, "mode"), "33188");
	assert_string_equal(meta_list_get(&list, "uid"), "1000");
	assert_string_equal(meta_list_get(&list, "gid"), "100");
	assert_string_equal(meta_list_get(&list, "mtime"), "1772366400.123456789");
	assert_string_equal(meta_list_get(&list, "created_at"), "2026-03-01T12:00:00Z");
	assert_string_equal(meta_list_get(&list, "expires_at"), "1772370000");
	assert_string_equal(meta_list_get(&list, "ttl"), "3600");
	assert_string_equal(meta_list_get(&list, "xxh3"), "99aa06d3014798d86001c324468d497f");
	assert_string_equal(meta_list_get(&list, "cache_key"), "video:100%25: a %20b%20");
	assert_string_equal(meta_list_get(&list, "colour"), "blue");
	assert_null(meta_list_get(&list, "cogfs_x"));
	assert_null(meta_list_get(&list, "symlink"));
	meta_list_release(&list);
	record_release(&rec);
}

/* s3fs writes the mode in decimal, rclone in octal; both mean the same file. */
static void test_modes(void **state)
{
	static const struct {
		const char *text;
		mode_t mode;
	} modes[] = {
		{"33188", S_IFREG | 0644},  {"33206", S_IFREG | 0666},	 {"16877", S_IFDIR | 0755},
		{"100644", S_IFREG | 0644}, {"0100644", S_IFREG | 0644}, {"040755", S_IFDIR | 0755},
		{"40755", S_IFDIR | 0755},  {"0644", S_IFREG | 0644},	 {"755", S_IFREG | 0755},
	};

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		struct record rec;

		parse(&rec, "mode", modes[i].text, NULL, NULL);
		assert_true(rec.known & REC_MODE);
		assert_int_equal(rec.mode, modes[i].mode);
		assert_null(rec.user);
		record_release(&rec);
	}
}

/* mtime in every form that is out there. */
static void test_mtimes(void **state)
{
	static const struct {
		const char *text;
		int64_t ns;
	} times[] = {
		{"1772366400", 1772366400000000000},
		{"1772366400.5", 1772366400500000000},
		{"1772366400.123456789", 1772366400123456789},
		{"1772366400.1234567899", 1772366400123456789},
		{"-1.5", -1500000000},
		{"0", 0},
		{"2026-03-01T12:00:00Z", 1772366400000000000},
		{"2026-03-01T12:00:00", 1772366400000000000},
		{"2026-03-01 12:00:00.25", 1772366400250000000},
		{"2026-03-01T13:30:00+01:30", 1772366400000000000},
		{"2026-03-01T04:00:00.000000001-0800", 1772366400000000001},
		{"1969-12-31T23:59:59.5Z", -500000000},
	};

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		struct record rec;

		parse(&rec, "mtime", times[i].text, NULL, NULL);
		assert_true(rec.known & REC_MTIME);
		assert_int_equal(rec.mtime_ns, times[i].ns);
		record_release(&rec);
	}
}

/* What a known name cannot mean is kept as the user's own xattr, and the field stays unknown. */
static void test_malformed_values(void **state)
{
	static const struct {
		const char *name, *value;
	} bad[] = {
		{"mode", "rw-r--r--"},
		{"mode", ""},
		{"mode", "99999999"},
		{"mode", "-1"},
		{"mode", "010644"},
		{"uid", "1000"},
		{"gid", "x"},
		{"mtime", "yesterday"},
		{"mtime", "1e9"},
		{"mtime", "1."},
		{"mtime", "99999999999"},
		{"mtime", "2026-02-31T00:00:00Z"},
		{"mtime", "2026-13-01T00:00:00Z"},
		{"mtime", "2026-03-01T12:00:00+1"},
		{"mtime", "2026-03-01T25:00:00Z"},
		{"created_at", "now"},
		{"expires_at", "-1"},
		{"expires_at", "soon"},
		{"ttl", "1h"},
		{"ttl", "-5"},
		{"ttl", "3600"},
		{"ttl", "99999999999999999999"},
		{"xxh3", "abc"},
		{"cogfs_x", "###="},
		{"cogfs_x", "AQ=="},
		{"cogfs_x", "A"},
		{"symlink", "target"},
		{"format", "%00"},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct record rec;

		parse(&rec, bad[i].name, bad[i].value, NULL, NULL);
		assert_int_equal(rec.known & REC_ALL, REC_EXPIRES | REC_USER);
		assert_int_equal(rec.expires_at, 0);
		assert_int_equal(rec.ttl, 0);
		assert_null(rec.symlink);
		assert_null(rec.format);
		assert_non_null(record_user_get(&rec, bad[i].name));
		record_release(&rec);
	}
}

/* An owner is a pair. */
static void test_owner(void **state)
{
	struct record rec;

	parse(&rec, "uid", "4294967295", "gid", "0");
	assert_true(rec.known & REC_OWNER);
	assert_int_equal(rec.uid, UINT32_MAX);
	record_release(&rec);
	parse(&rec, "uid", "4294967296", "gid", "0");
	assert_false(rec.known & REC_OWNER);
	assert_user(&rec, "uid", "4294967296");
	assert_user(&rec, "gid", "0");
	record_release(&rec);
}

/* Unknown names are the user's xattrs, dashes and all, and go back to where they came from. */
static void test_foreign_names(void **state)
{
	struct meta_list list;
	struct record rec;

	parse(&rec, "md5-chksum", "Kx%3D", "tenant_id", "acme");
	assert_user(&rec, "md5-chksum", "Kx=");
	assert_user(&rec, "tenant_id", "acme");
	assert_int_equal(record_to_meta(&rec, &list), 0);
	assert_string_equal(meta_list_get(&list, "md5-chksum"), "Kx=");
	assert_string_equal(meta_list_get(&list, "tenant_id"), "acme");
	meta_list_release(&list);
	record_release(&rec);
}

/* A store cannot fill our own namespace, nor make an xattr that no kernel would name. */
static void test_hostile_names(void **state)
{
	struct record rec;
	char longer[300];

	memset(longer, 'n', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	parse(&rec, "cogfs.ttl", "1", "cogfs", "x");
	assert_null(rec.user);
	record_release(&rec);
	parse(&rec, "", "1", longer, "x");
	assert_null(rec.user);
	record_release(&rec);
	/* base64 of one xattr "cogfs.a" = "x" */
	parse(&rec, "cogfs_x", "AQdjb2dmcy5hAXg=", NULL, NULL);
	assert_null(rec.user);
	record_release(&rec);
}

/* xattrs that no header can carry survive: names with odd letters, our own words, any bytes. */
static void test_odd_xattrs(void **state)
{
	struct record rec, back;
	struct meta_list list;

	record_init(&rec);
	record_init(&back);
	assert_int_equal(record_user_set(&rec, "Mixed.Case", "a", 1, 0), 0);
	assert_int_equal(record_user_set(&rec, "mode", "mine", 4, 0), 0);
	assert_int_equal(record_user_set(&rec, "binary", "\0\xff\n", 3, 0), 0);
	assert_int_equal(record_user_set(&rec, "empty", "", 0, 0), 0);
	assert_int_equal(record_to_meta(&rec, &list), 0);
	assert_int_equal(list.n, 1);
	assert_string_equal(list.v[0].name, "cogfs_x");
	assert_int_equal(record_from_meta(&back, &list), 0);
	assert_records_equal(&rec, &back, REC_USER);
	assert_false(back.known & REC_MODE);
	meta_list_release(&list);
	record_release(&rec);
	record_release(&back);
}

/* An object that says nothing about its life never expires, and that is known. */
static void test_foreign_never_expires(void **state)
{
	struct record rec;

	parse(&rec, "colour", "blue", NULL, NULL);
	assert_true(rec.known & REC_EXPIRES);
	assert_int_equal(rec.expires_at, 0);
	assert_false(rec.known & REC_CREATED);
	record_release(&rec);
}

/* Seed 002 writes the end of the life as "ttl". */
static void test_absolute_ttl(void **state)
{
	struct record rec;

	parse(&rec, "ttl", "1772370000", "created_at", "2026-03-01T12:00:00.000000");
	assert_int_equal(rec.expires_at, 1772370000);
	assert_int_equal(rec.ttl, 3600);
	record_release(&rec);
	parse(&rec, "ttl", "1772370000", NULL, NULL);
	assert_int_equal(rec.expires_at, 1772370000);
	assert_int_equal(rec.ttl, 0);
	record_release(&rec);
}

/* A duration counts from the creation; expires_at, where there is one, is what holds. */
static void test_relative_ttl(void **state)
{
	struct record rec;

	parse(&rec, "created_at", "2026-03-01T12:00:00Z", "ttl", "3600");
	assert_int_equal(rec.expires_at, 1772370000);
	assert_int_equal(rec.ttl, 3600);
	record_release(&rec);
	parse(&rec, "ttl", "60", "expires_at", "2026-03-01T13:00:00Z");
	assert_int_equal(rec.expires_at, 1772370000);
	assert_int_equal(rec.ttl, 60);
	record_release(&rec);
	parse(&rec, "ttl", "never", "expires_at", "never");
	assert_int_equal(rec.expires_at, 0);
	assert_null(rec.user);
	record_release(&rec);
}

/* A link has its target; s3fs's, which keeps it in the bytes, is shown as the file of them. */
static void test_symlinks(void **state)
{
	struct record rec;

	parse(&rec, "mode", "41471", "symlink", "../a%20b");
	assert_int_equal(rec.mode, S_IFLNK | 0777);
	assert_string_equal(rec.symlink, "../a b");
	record_release(&rec);
	parse(&rec, "symlink", "x", "mode", "41471");
	assert_string_equal(rec.symlink, "x");
	record_release(&rec);
	parse(&rec, "mode", "41471", NULL, NULL);
	assert_int_equal(rec.mode, S_IFREG | 0644);
	record_release(&rec);
}

/* A record that is too large for S3 is refused before it is sent, and nothing is handed out. */
static void test_too_big(void **state)
{
	struct record rec = {.known = REC_MODE, .mode = S_IFLNK | 0777};
	struct meta_list list = {0};

	rec.symlink = malloc(META_MAX + 1);
	assert_non_null(rec.symlink);
	memset(rec.symlink, 'x', META_MAX);
	rec.symlink[META_MAX] = '\0';
	assert_int_equal(record_to_meta(&rec, &list), -E2BIG);
	assert_null(list.v);
	record_release(&rec);
}

/* Size, etag and a time that the metadata does not mention are the caller's, and stay. */
static void test_leaves_what_is_not_told(void **state)
{
	struct record rec = {
		.known = REC_SIZE | REC_ETAG | REC_MTIME,
		.size = 7,
		.mtime_ns = 5,
		.etag = "\"e\"",
	};
	struct meta_list none = {0};

	assert_int_equal(record_from_meta(&rec, &none), 0);
	assert_int_equal(rec.known & REC_ALL,
			 REC_SIZE | REC_ETAG | REC_MTIME | REC_EXPIRES | REC_USER);
	assert_int_equal(rec.size, 7);
	assert_int_equal(rec.mtime_ns, 5);
	assert_string_equal(rec.etag, "\"e\"");
}

/* The plain size goes with the encoding, which is a header of its own; alone it is anybody's. */
static void test_encoding(void **state)
{
	struct record rec = {.known = REC_ENCODING, .encoding = "zstd", .plain_size = 1234}, back;
	struct meta_list list;

	assert_int_equal(record_to_meta(&rec, &list), 0);
	assert_string_equal(meta_list_get(&list, "plain_size"), "1234");
	record_init(&back);
	back.known = REC_ENCODING;
	memcpy(back.encoding, "zstd", 5);
	assert_int_equal(record_from_meta(&back, &list), 0);
	assert_true(back.plain_size == 1234 && !back.user);
	record_release(&back);
	assert_int_equal(record_from_meta(&back, &list), 0);
	assert_true(back.known & REC_ENCODING);
	assert_true(back.plain_size == PLAIN_SIZE_UNKNOWN);
	assert_user(&back, "plain_size", "1234");
	meta_list_release(&list);
	record_release(&back);
	parse(&back, "plain_size", "18446744073709551615", NULL, NULL);
	assert_true(back.plain_size == PLAIN_SIZE_UNKNOWN);
	record_release(&back);
	rec.encoding[0] = '\0';
	assert_int_equal(record_to_meta(&rec, &list), 0);
	assert_int_equal(list.n, 0);
	meta_list_release(&list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_round_trips),
		cmocka_unit_test(test_header_safe),
		cmocka_unit_test(test_written_forms),
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_mtimes),
		cmocka_unit_test(test_malformed_values),
		cmocka_unit_test(test_owner),
		cmocka_unit_test(test_foreign_names),
		cmocka_unit_test(test_hostile_names),
		cmocka_unit_test(test_odd_xattrs),
		cmocka_unit_test(test_foreign_never_expires),
		cmocka_unit_test(test_absolute_ttl),
		cmocka_unit_test(test_relative_ttl),
		cmocka_unit_test(test_symlinks),
		cmocka_unit_test(test_too_big),
		cmocka_unit_test(test_leaves_what_is_not_told),
		cmocka_unit_test(test_encoding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
