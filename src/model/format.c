/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Formats by their first bytes and by name. Some bytes are a proof (PNG), some are shared by
 * formats that only the name tells apart (a ZIP archive may be an npz), and some formats have no
 * mark at all (msgpack, text): there the name decides, unless the bytes prove something else.
 */
#include "model/format.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Bytes at an offset. */
struct mark {
	size_t off, len;
	const char *bytes;
	const char *format;
};

#define MARK(off, text, format)                                                                    \
	{                                                                                          \
		off, sizeof(text) - 1, text, format                                                \
	}

/* Nothing else begins so. */
static const struct mark marks[] = {
	MARK(0, "\x93NUMPY", "npy"),
	MARK(0, "\xff\xd8\xff", "jpg"),
	MARK(0, "\x89PNG\r\n\x1a\n", "png"),
	MARK(0, "GIF87a", "gif"),
	MARK(0, "GIF89a", "gif"),
	MARK(8, "WEBPVP8", "webp"),
	MARK(8, "WAVEfmt ", "wav"),
	MARK(8, "AVI LIST", "avi"),
	MARK(4, "ftypM4A ", "m4a"),
	MARK(4, "ftypqt  ", "mov"),
	MARK(4, "ftypavif", "avif"),
	MARK(4, "ftypheic", "heic"),
	MARK(4, "ftyp", "mp4"),
	MARK(0, "\x1a\x45\xdf\xa3", "mkv"),
	MARK(0, "OggS", "ogg"),
	MARK(0, "fLaC", "flac"),
	MARK(0, "%PDF-", "pdf"),
	MARK(0, "PAR1", "parquet"),
	MARK(0, "ARROW1\0\0", "arrow"),
	MARK(0, "\x89HDF\r\n\x1a\n", "hdf5"),
	MARK(0, "SQLite format 3\0", "sqlite"),
	MARK(0, "GGUF", "gguf"),
	MARK(0, "\x1f\x8b\x08", "gz"),
	MARK(0, "\x28\xb5\x2f\xfd", "zst"),
	MARK(0,
	     "\xfd"
	     "7zXZ\0",
	     "xz"),
	MARK(0, "PK\x03\x04", "zip"),
	MARK(0, "PK\x05\x06", "zip"), /* an empty one */
};

/* What the name may say of a container, and the bytes do not. */
static const struct {
	const char *bytes, *name;
} containers[] = {
	{"zip", "npz"}, {"zip", "pt"},	 {"zip", "docx"},      {"zip", "xlsx"}, {"zip", "pptx"},
	{"zip", "whl"}, {"zip", "jar"},	 {"zip", "epub"},      {"mkv", "webm"}, {"mp4", "m4v"},
	{"mp4", "mov"}, {"mp4", "m4a"},	 {"ogg", "opus"},      {"ogg", "oga"},	{"ogg", "ogv"},
	{"gz", "tgz"},	{"zst", "tzst"}, {"arrow", "feather"},
};

/* Formats that an ending of the same name stands for, beside those of marks and containers. */
static const char *const plain_endings[] = {
	"json", "jsonl", "csv", "tsv",	       "txt",  "md",  "html", "xml",   "yaml", "toml",
	"log",	"srt",	 "vtt", "msgpack",     "tiff", "bmp", "svg",  "mp3",   "aac",  "ts",
	"mpg",	"bz2",	 "tar", "safetensors", "onnx", "bin", "idx",  "faiss",
};

/* Endings of one format. */
static const struct {
	const char *ending, *format;
} aliases[] = {
	{"pkl", "pickle"}, {"pickle", "pickle"},   {"p", "pickle"},	{"jpeg", "jpg"},
	{"jpe", "jpg"},	   {"mpk", "msgpack"},	   {"text", "txt"},	{"htm", "html"},
	{"yml", "yaml"},   {"tif", "tiff"},	   {"h5", "hdf5"},	{"hdf", "hdf5"},
	{"mpeg", "mpg"},   {"wave", "wav"},	   {"markdown", "md"},	{"pth", "pt"},
	{"gzip", "gz"},	   {"jsonlines", "jsonl"}, {"ndjson", "jsonl"},
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void set(char ret[FORMAT_MAX], const char *format)
{
	snprintf(ret, FORMAT_MAX, "%s", format);
}

/* The ending in small letters; "" where it is no word of letters and digits. */
static void ending_of(const char *name, char ret[FORMAT_MAX])
{
	const char *dot = strrchr(name, '.');
	size_t n = 0;

	ret[0] = '\0';
	if (!dot || dot == name)
		return;
	for (dot++; *dot; dot++, n++) {
		char c = *dot >= 'A' && *dot <= 'Z' ? (char)(*dot - 'A' + 'a') : *dot;

		if (n + 1 == FORMAT_MAX || !((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))) {
			ret[0] = '\0';
			return;
		}
		ret[n] = c;
		ret[n + 1] = '\0';
	}
}

static bool is_known(const char *ending)
{
	for (size_t i = 0; i < COUNT(plain_endings); i++)
		if (strcmp(plain_endings[i], ending) == 0)
			return true;
	for (size_t i = 0; i < COUNT(marks); i++)
		if (strcmp(marks[i].format, ending) == 0)
			return true;
	for (size_t i = 0; i < COUNT(containers); i++)
		if (strcmp(containers[i].name, ending) == 0)
			return true;
	return false;
}

/* "" where the ending is none that is known. */
static void format_of_name(const char *name, char ret[FORMAT_MAX])
{
	ending_of(name, ret);
	for (size_t i = 0; i < COUNT(aliases); i++) {
		if (strcmp(ret, aliases[i].ending) == 0) {
			set(ret, aliases[i].format);
			return;
		}
	}
	if (!is_known(ret))
		ret[0] = '\0';
}

static const char *format_of_marks(const char *head, size_t n)
{
	for (size_t i = 0; i < COUNT(marks); i++)
		if (n >= marks[i].off + marks[i].len &&
		    memcmp(head + marks[i].off, marks[i].bytes, marks[i].len) == 0)
			return marks[i].format;
	return NULL;
}

/* PROTO of a protocol that is there; from 4 on a FRAME follows. */
static bool is_pickle(const uint8_t *head, size_t n)
{
	if (n < 3 || head[0] != 0x80 || head[1] < 2 || head[1] > 5)
		return false;
	return head[1] < 4 || head[2] == 0x95 || n < 32; /* short ones have none */
}

/* Text that begins as JSON does. A word such as "null" alone is left to the name. */
static bool is_json(const char *head, size_t n)
{
	static const char spaces[] = " \t\r\n";
	size_t i = 0;
	char first;

	while (i < n && head[i] && strchr(spaces, head[i]))
		i++;
	if (i == n || (head[i] != '{' && head[i] != '['))
		return false;
	first = head[i++];
	while (i < n && head[i] && strchr(spaces, head[i]))
		i++;
	if (i == n || !head[i])
		return false;
	return strchr(first == '{' ? "\"}" : "\"{[]-0123456789tfn", head[i]) != NULL;
}

/* The bytes behind the first one of a character in UTF-8; -1: it begins none. */
static int more_bytes(uint8_t first)
{
	if (first >= 0xc2 && first <= 0xdf)
		return 1;
	if (first >= 0xe0 && first <= 0xef)
		return 2;
	return first >= 0xf0 && first <= 0xf4 ? 3 : -1;
}

/* Printable UTF-8; the last character may be cut off. */
static bool is_text(const uint8_t *head, size_t n)
{
	int more = 0;

	for (size_t i = 0; i < n; i++) {
		if (more) {
			if ((head[i] & 0xc0) != 0x80)
				return false;
			more--;
		} else if (head[i] >= 0x80) {
			more = more_bytes(head[i]);
			if (more < 0)
				return false;
		} else if (head[i] == 0x7f || !head[i] ||
			   (head[i] < 0x20 && !strchr("\t\n\r\f\b\x1b", head[i]))) {
			return false;
		}
	}
	return true;
}

/* What has no sure mark, where the name does not say it either. */
static void guess(const uint8_t *head, size_t n, char ret[FORMAT_MAX])
{
	if (is_pickle(head, n)) {
		set(ret, "pickle");
		return;
	}
	if (is_json((const char *)head, n)) {
		set(ret, "json");
		return;
	}
	if (n && is_text(head, n))
		set(ret, "txt");
}

static bool may_be(const char *bytes, const char *name)
{
	for (size_t i = 0; i < COUNT(containers); i++)
		if (strcmp(containers[i].bytes, bytes) == 0 &&
		    strcmp(containers[i].name, name) == 0)
			return true;
	return false;
}

void format_of(const char *name, const void *head, size_t n, char ret_format[FORMAT_MAX])
{
	const char *marked = format_of_marks(head, n);

	format_of_name(name, ret_format);
	if (marked && !may_be(marked, ret_format))
		set(ret_format, marked);
	else if (!marked && !ret_format[0])
		guess(head, n, ret_format);
	/* A value that was pickled whatever its name says, as msgpack and JSON never begin so. */
	else if (!marked && is_pickle(head, n))
		set(ret_format, "pickle");
}

/* Looks alone told it: a name knows better. */
static bool is_soft(const char *told)
{
	return strcmp(told, "txt") == 0 || strcmp(told, "json") == 0;
}

void format_shown(const char *name, const char *told, char *ret_format, size_t ret_size)
{
	char named[FORMAT_MAX], raw[FORMAT_MAX];

	format_of_name(name, named);
	ending_of(name, raw);
	if (!told || !*told)
		told = named[0] ? named : raw;
	else if (named[0] && (is_soft(told) || may_be(told, named)))
		told = named;
	snprintf(ret_format, ret_size, "%s", told);
}
