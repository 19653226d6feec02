/* SPDX-License-Identifier: Apache-2.0 */
/* Formats: what the bytes prove, what the name says, and who wins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/format.h"

#define HEAD(text) text, sizeof(text) - 1

static const struct {
	const char *name, *head;
	size_t n;
	const char *format;
} rows[] = {
	/* the bytes prove it, whatever the name is */
	{"frame_1.jpg", HEAD("\xff\xd8\xff\xe0\0\x10JFIF"), "jpg"},
	{"frame_1.jpg", HEAD("\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), "png"},
	{"frame", HEAD("GIF89a"), "gif"},
	{"a.bin", HEAD("RIFF\x24\0\0\0WEBPVP8 "), "webp"},
	{"a", HEAD("RIFF\x24\0\0\0WAVEfmt "), "wav"},
	{"a.tmp",
	 HEAD("\0\0\0\x20"
	      "ftypisom\0\0\2\0"),
	 "mp4"},
	{"x.npy", HEAD("\x93NUMPY\1\0v\0{'descr'"), "npy"},
	{".x.npy.Zk3f2a", HEAD("\x93NUMPY\1\0v\0{'descr'"), "npy"},
	{"a.json", HEAD("\x1f\x8b\x08\0"), "gz"},
	/* containers that names tell apart */
	{"emb.npz", HEAD("PK\x03\x04\x14\0"), "npz"},
	{"emb.zip", HEAD("PK\x03\x04\x14\0"), "zip"},
	{"emb", HEAD("PK\x03\x04\x14\0"), "zip"},
	{"emb.npz", HEAD("PK\x05\x06\0\0"), "npz"},
	{"v.webm", HEAD("\x1a\x45\xdf\xa3\x9f"), "webm"},
	{"v.mkv", HEAD("\x1a\x45\xdf\xa3\x9f"), "mkv"},
	{"model.pt", HEAD("PK\x03\x04"), "pt"},
	{"emb.npz", HEAD("\x93NUMPY\1\0"), "npy"},
	/* pickles */
	{"abc.pkl", HEAD("\x80\x04\x95\x0b\0\0\0\0\0\0\0}\x94."), "pickle"},
	{"abc", HEAD("\x80\x04\x95\x0b\0\0\0\0\0\0\0}\x94."), "pickle"},
	{"abc.json", HEAD("\x80\x05\x95\x0b\0\0\0\0\0\0\0}\x94."), "pickle"},
	{"abc", HEAD("\x80\x04K\1."), "pickle"},
	{"abc", HEAD("\x80\x02}q\0."), "pickle"},
	{"abc.pickle", HEAD("x"), "pickle"},
	{"abc.pkl", HEAD(""), "pickle"},
	/* no mark: the name */
	{"m.msgpack",
	 HEAD("\x82\xa1"
	      "a\1\xa1"
	      "b\2"),
	 "msgpack"},
	{"meta.json", HEAD("{\"a\": 1}"), "json"},
	{"rows.jsonl", HEAD("{\"a\": 1}\n"), "jsonl"},
	{"t.csv", HEAD("a,b\n1,2\n"), "csv"},
	{"photo.JPEG", HEAD("no picture"), "jpg"},
	{"t.txt", HEAD("{\"a\": 1}"), "txt"},
	{"t.yml", HEAD(""), "yaml"},
	/* neither */
	{"abc", HEAD(" {\n \"a\": 1}"), "json"},
	{"abc", HEAD("[1, 2]"), "json"},
	{"abc", HEAD("[{}]"), "json"},
	{"abc", HEAD("{}"), "json"},
	{"abc", HEAD("[]"), "json"},
	{"abc", HEAD("[section]\n"), "txt"},
	{"abc", HEAD("{{ template }}"), "txt"},
	{"abc",
	 HEAD("gr\xc3\xb6\xc3\x9f"
	      "er\n"),
	 "txt"},
	{".x.txt.kL9", HEAD("words"), "txt"},
	{"abc", HEAD("\0\1\2\3"), ""},
	{"abc", HEAD("\x80\x09\x95"), ""},
	{"abc", HEAD(""), ""},
	{"abc.zzz", HEAD("\0\1"), ""},
	{".json", HEAD(""), ""}, /* a hidden file, not an ending */
};

static void test_rows(void **state)
{
	char format[FORMAT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		format_of(rows[i].name, rows[i].head, rows[i].n, format);
		if (strcmp(format, rows[i].format) != 0)
			fail_msg("row %zu, %s: \"%s\"", i, rows[i].name, format);
	}
}

/* An object keeps its record when it is renamed. */
static void test_shown(void **state)
{
	static const struct {
		const char *name, *told, *shown;
	} names[] = {
		{"a.npz", "zip", "npz"},     {"a.npz", "npz", "npz"},
		{"a.csv", "txt", "csv"},     {"a.jsonl", "json", "jsonl"},
		{"a.pkl", "json", "pickle"}, {"a", "json", "json"},
		{"a.jpg", "png", "png"},     {"a.jpg", "binary", "binary"},
		{"a.jpg", NULL, "jpg"},	     {"a.zzz", NULL, "zzz"},
		{"a.zzz", "txt", "txt"},     {"a", NULL, ""},
		{"a.b c", NULL, ""},	     {"a.", NULL, ""},
	};
	char format[FORMAT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		format_shown(names[i].name, names[i].told, format, sizeof(format));
		assert_string_equal(format, names[i].shown);
	}
}

/* Every length of every head, and random bytes: a word comes out, and nothing is read past the end.
 */
static void test_short_and_random(void **state)
{
	char format[FORMAT_MAX];

	(void)state;
	srand(4);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t n = 0; n <= rows[i].n; n++) {
			char *head = malloc(n + 1);

			memcpy(head, rows[i].head, n);
			format_of("f", head, n, format);
			assert_int_equal(strspn(format, "abcdefghijklmnopqrstuvwxyz0123456789"),
					 strlen(format));
			free(head);
		}
	}
	for (unsigned int i = 0; i < 20000; i++) {
		uint8_t head[FORMAT_HEAD];

		for (size_t k = 0; k < sizeof(head); k++)
			head[k] = (uint8_t)rand();
		format_of("f.dat", head, (size_t)rand() % (sizeof(head) + 1), format);
		assert_true(strlen(format) < FORMAT_MAX);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_shown),
		cmocka_unit_test(test_short_and_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
