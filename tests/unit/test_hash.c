/* SPDX-License-Identifier: Apache-2.0 */
/* XXH3 over buffers, files and streams. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/fsutil.h"
#include "util/hash.h"

/* The digits are those that xxhsum -H2 and every other XXH3-128 prints. */
static void test_known_value(void **state)
{
	struct xxh3 h = xxh3_of("", 0);
	char hex[XXH3_HEX_LEN + 1];

	xxh3_hex(&h, hex);
	assert_string_equal(hex, "99aa06d3014798d86001c324468d497f");
}

/* Digits of either case come back as the hash that they were. */
static void test_hex_round_trip(void **state)
{
	struct xxh3 h = xxh3_of("cogfs", 5), back;
	char hex[XXH3_HEX_LEN + 1];

	xxh3_hex(&h, hex);
	assert_int_equal(xxh3_parse(hex, &back), 0);
	assert_true(xxh3_equal(&h, &back));
	assert_int_equal(xxh3_parse("99AA06D3014798D86001C324468D497F", &back), 0);
	assert_true(xxh3_equal(&back,
			       &(struct xxh3){{0x99, 0xaa, 0x06, 0xd3, 0x01, 0x47, 0x98, 0xd8, 0x60,
					       0x01, 0xc3, 0x24, 0x46, 0x8d, 0x49, 0x7f}}));
}

/* What is not exactly 32 digits is refused, and the result left alone. */
static void test_parse_refuses(void **state)
{
	static const char *const bad[] = {
		"",
		"99aa",
		"99aa06d3014798d86001c324468d497",
		"99aa06d3014798d86001c324468d497f0",
		"99aa06d3014798d86001c324468d497g",
		" 9aa06d3014798d86001c324468d497f",
	};
	struct xxh3 h = xxh3_of("x", 1), before = h;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(xxh3_parse(bad[i], &h), -EINVAL);
	assert_true(xxh3_equal(&h, &before));
}

/* All zero says "not known"; the hash of nothing is known. */
static void test_unknown(void **state)
{
	struct xxh3 none = {{0}}, empty = xxh3_of("", 0);

	assert_false(xxh3_known(&none));
	assert_true(xxh3_known(&empty));
}

/* A buffer, a file and a stream in uneven pieces have one hash. */
static void test_three_ways(void **state)
{
	const size_t len = 3 * 256 * 1024 + 17;
	CLEANUP_FREE unsigned char *buf = malloc(len);
	CLEANUP_CLOSE int fd = memfd_create("hash", MFD_CLOEXEC);
	struct xxh3_stream *s = xxh3_stream_new();
	struct xxh3 whole, file, stream;

	assert_non_null(buf);
	assert_non_null(s);
	for (size_t i = 0; i < len; i++)
		buf[i] = (unsigned char)(i * 31 + (i >> 8));
	assert_int_equal(fs_pwrite_full(fd, buf, len, 0), 0);
	for (size_t off = 0, n = 1; off < len; off += n, n = n * 3 + 1)
		xxh3_stream_update(s, buf + off, n < len - off ? n : len - off);

	whole = xxh3_of(buf, len);
	assert_int_equal(xxh3_of_fd(fd, len, &file), 0);
	stream = xxh3_stream_digest(s);
	assert_true(xxh3_equal(&whole, &file));
	assert_true(xxh3_equal(&whole, &stream));
	xxh3_stream_free(s);
}

/* A file that is shorter than the caller believes is an error, never the hash of less. */
static void test_short_file(void **state)
{
	CLEANUP_CLOSE int fd = memfd_create("hash", MFD_CLOEXEC);
	struct xxh3 h;

	assert_int_equal(fs_pwrite_full(fd, "abc", 3, 0), 0);
	assert_int_equal(xxh3_of_fd(fd, 4, &h), -EIO);
	assert_int_equal(xxh3_of_fd(-1, 4, &h), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_value),   cmocka_unit_test(test_hex_round_trip),
		cmocka_unit_test(test_parse_refuses), cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_three_ways),    cmocka_unit_test(test_short_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
