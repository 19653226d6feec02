/* SPDX-License-Identifier: Apache-2.0 */
/* The seeds' keys: their own examples, what names may hold, and that no two keys share a path. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/seedkey.h"
#include "tiers/http/digest.h"

#define SEGMENT "segment_id=0:start_time=0.0:end_time=6.0"
#define QWEN "Qwen/Qwen2-VL-2B-Instruct"

/* back NULL: the path leads back to the key as it is. */
struct row {
	enum seed_grammar grammar;
	enum seed_format format;
	const char *key, *path, *back;
};

static const struct row seed_rows[] = {
	/* "Cache Key Examples", and "Path Mapping Examples" */
	{0, 0, "profile:video:abc123:keyframes", "profile/keyframes/abc123/metadata.pkl", NULL},
	{0, 0, "profile:video:abc123:keyframes:frame_42", "profile/keyframes/abc123/frame_42.jpg",
	 NULL},
	{0, 0, "profile:video:abc123:transcript:model=base:lang=auto",
	 "profile/transcripts/abc123.pkl", "profile:video:abc123:transcript"},
	{0, 0, "profile:video:abc123:segment_frames:" SEGMENT ":frame_1",
	 "profile/segments/abc123/segment_0_start_0.0_end_6.0/frame_1.jpg", NULL},
	/* the tree of "Structured Filesystem Layout" */
	{0, 0, "profile:video:abc123:segment_frames:" SEGMENT,
	 "profile/segments/abc123/segment_0_start_0.0_end_6.0/metadata.pkl", NULL},
	{0, 0, "profile:video:abc123:descriptions", "profile/descriptions/abc123.pkl", NULL},
	/* _generate_video_key without a profile, _generate_artifact_key */
	{0, 0, "video:abc123:keyframes", "default/keyframes/abc123/metadata.pkl", NULL},
	{0, 0, "video:robot_soccer:keyframes:max_frames=3000:strategy=similarity:threshold=0.999",
	 "default/keyframes/robot_soccer/metadata.pkl", "video:robot_soccer:keyframes"},
	{0, 0, "video_colpali_mv:video:robot_soccer:keyframes:strategy=fps:frame_7",
	 "video_colpali_mv/keyframes/robot_soccer/frame_7.jpg",
	 "video_colpali_mv:video:robot_soccer:keyframes:frame_7"},
	{0, 0, "p:video:a:descriptions:batch_size=500:model_name=" QWEN, "p/descriptions/a.pkl",
	 "p:video:a:descriptions"},
	/* sorted, as _generate_artifact_key does */
	{0, 0, "p:video:a:segment_frames:end_time=6.0:max_frames=12:segment_id=0:start_time=0.0",
	 "p/segments/a/segment_0_start_0.0_end_6.0/metadata.pkl",
	 "p:video:a:segment_frames:" SEGMENT},
	{0, 0, "embedding:colpali:a3f2e9d8", "embeddings/colpali/a3f2e9d8.pkl", NULL},
	{0, 0, "embedding:" QWEN ":00ff", "embeddings/Qwen%2FQwen2-VL-2B-Instruct/00ff.pkl", NULL},
	/* "Basic Cache Operations" */
	{0, 0, "test_key", "misc/test_key", NULL},
	/* serialization_format */
	{0, SEED_JSON, "p:video:a:keyframes", "p/keyframes/a/metadata.json", NULL},
	{0, SEED_MSGPACK, "p:video:a:transcript", "p/transcripts/a.msgpack", NULL},
	{0, SEED_JSON, "p:video:a:keyframes:frame_1", "p/keyframes/a/frame_1.jpg", NULL},
	{0, SEED_JSON, "embedding:m:0a", "embeddings/m/0a.json", NULL},
	/* GOOD_CACHE_KEYS of 004; in 003 they have no form */
	{SEED_004, 0, "static:system_config", "static/system_config", NULL},
	{SEED_004, 0, "user:session:u1", "user/session/u1", NULL},
	{SEED_004, 0, "video:metadata:v1", "video/metadata/v1", NULL},
	{SEED_004, 0, "api:response:search:0f3a", "api/response/search/0f3a", NULL},
	{SEED_004, 0, "user_session:user123", "user_session/user123", NULL},
	{SEED_004, 0, "randomkey123", "randomkey123", NULL},
	{0, 0, "video:metadata:v1", "misc/video%3Ametadata%3Av1", NULL},
};

static const struct row name_rows[] = {
	/* words in other places */
	{0, 0, "video:video:a:keyframes", "video/keyframes/a/metadata.pkl", NULL},
	{0, 0, "video:video:keyframes", "default/keyframes/video/metadata.pkl", NULL},
	{0, 0, "video:video:keyframes:keyframes", "video/keyframes/keyframes/metadata.pkl", NULL},
	{0, 0, "pipeline:video:transcripts:keyframes",
	 "pipeline/keyframes/transcripts/metadata.pkl", NULL},
	{0, 0, "misc:video:a:transcript", "misc/transcripts/a.pkl", NULL},
	{0, 0, "embedding:qwen2:7b:00ff", "embeddings/qwen2%3A7b/00ff.pkl", NULL},
	/* names that mean something in the root */
	{0, 0, "default:video:a:transcript", "%64efault/transcripts/a.pkl", NULL},
	{0, 0, "embeddings:video:a:transcript", "%65mbeddings/transcripts/a.pkl", NULL},
	{0, 0, ".cogfs:video:a:transcript", "%2Ecogfs/transcripts/a.pkl", NULL},
	{SEED_004, 0, ".cogfs:x", "%2Ecogfs/x", NULL},
	/* names that a path cannot have */
	{0, 0, "..:video:.:keyframes", "%2E./keyframes/%2E/metadata.pkl", NULL},
	{0, 0, "p:video:.:transcript", "p/transcripts/..pkl", NULL},
	{0, 0, "..", "misc/%2E.", NULL},
	{0, 0, "p:video:a/../b%2F:transcript", "p/transcripts/a%2F..%2Fb%252F.pkl", NULL},
	{0, 0, "p:video:a\n\x7f:transcript", "p/transcripts/a%0A%7F.pkl", NULL},
	{0, 0, "p:video:M\xc3\xbcnchen (1080p) \xff:transcript",
	 "p/transcripts/M\xc3\xbcnchen (1080p) \xff.pkl", NULL},
	{SEED_004, 0, "a:..:b/c", "a/%2E./b%2Fc", NULL},
	/* what would end a name too soon */
	{0, 0, "p:video:a.pkl:transcript", "p/transcripts/a.pkl.pkl", NULL},
	{0, 0, "p:video:a:segment_frames:segment_id=1_start_2:start_time=_:end_time=x",
	 "p/segments/a/segment_1%5Fstart%5F2_start_%5F_end_x/metadata.pkl", NULL},
	/* no grammar has it */
	{0, 0, "p:video:a:transcript:frame_1", "misc/p%3Avideo%3Aa%3Atranscript%3Aframe_1", NULL},
	{0, 0, "p:video::transcript", "misc/p%3Avideo%3A%3Atranscript", NULL},
	{0, 0, ":video:a:transcript", "misc/%3Avideo%3Aa%3Atranscript", NULL},
	{0, 0, "p:video:a:segment_frames", "misc/p%3Avideo%3Aa%3Asegment_frames", NULL},
	{0, 0, "p:video:a:keyframes:frame_", "misc/p%3Avideo%3Aa%3Akeyframes%3Aframe_", NULL},
	{0, 0, "embedding:m:xyz", "misc/embedding%3Am%3Axyz", NULL},
	{0, 0, "embedding:00ff", "misc/embedding%3A00ff", NULL},
	{0, 0, "embedding::00ff", "misc/embedding%3A%3A00ff", NULL},
	{0, 0, "misc/x", "misc/misc%2Fx", NULL},
	{SEED_004, 0, "a::b", "misc/a%3A%3Ab", NULL},
	{SEED_004, 0, ":", "misc/%3A", NULL},
	{SEED_004, 0, "misc:x", "misc/x", NULL},
	{SEED_004, 0, "misc:a%3A%3Ab", "misc/a%253A%253Ab", NULL},
};

static void check_row(const struct row *row)
{
	char path[KEY_MAX + 1], key[SEED_KEY_MAX + 1];
	struct err err = {0};

	if (seed_path_of(row->grammar, row->format, row->key, path, &err))
		fail_msg("%s", err.text);
	assert_string_equal(path, row->path);
	if (seed_key_of(row->grammar, path, key, &err))
		fail_msg("%s", err.text);
	assert_string_equal(key, row->back ? row->back : row->key);
}

static void test_seeds_examples(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(seed_rows) / sizeof(seed_rows[0]); i++)
		check_row(&seed_rows[i]);
}

static void test_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(name_rows) / sizeof(name_rows[0]); i++)
		check_row(&name_rows[i]);
}

/* The seed's base directory may be the mount, or a directory pipeline/ in it. */
static void test_below_pipeline(void **state)
{
	char key[SEED_KEY_MAX + 1];

	(void)state;
	assert_int_equal(seed_key_of(SEED_003, "pipeline/p/keyframes/a/frame_1.jpg", key, NULL), 0);
	assert_string_equal(key, "p:video:a:keyframes:frame_1");
	assert_int_equal(seed_key_of(SEED_004, "pipeline/p/a", key, NULL), 0);
	assert_string_equal(key, "pipeline:p:a");
}

static void test_no_key(void **state)
{
	static const char *const paths[] = {
		"",
		"a",
		"/misc/a",
		"p/other/a.pkl",
		"p/transcripts/a.jpg",
		"p/transcripts/.pkl",
		"p/transcripts/a.pkl.meta",
		"p/transcripts/a%zz.pkl",
		"p/transcripts/a%2f.pkl", /* no encoder writes small digits */
		"p/transcripts/a%00.pkl",
		"p/transcripts/a%41.pkl", /* nor what needs no encoding */
		"p/transcripts/a:b.pkl",
		"p/keyframes/a",
		"p/keyframes/a/frame_.jpg",
		"p/keyframes/a/frame_1.png",
		"p/segments/a/segment_0_start_0/metadata.pkl",
		"embeddings/m/xyz.pkl",
		"misc/p%3Avideo%3Aa%3Atranscript", /* this key has another path */
		"misc/a/b",
	};
	char key[SEED_KEY_MAX + 1] = "untouched";
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		err.text[0] = '\0';
		if (seed_key_of(SEED_003, paths[i], key, &err) != -EINVAL)
			fail_msg("%s has the key %s", paths[i], key);
		assert_string_equal(key, "untouched");
		assert_non_null(strstr(err.text, paths[i]));
	}
	assert_int_equal(seed_key_of(SEED_004, "a//b", key, NULL), -EINVAL);
	assert_int_equal(seed_key_of(SEED_004, "a:b/c", key, NULL), -EINVAL);
}

static void test_limits(void **state)
{
	char key[2 * SEED_KEY_MAX], path[KEY_MAX + 1] = "untouched";
	struct err err = {0};

	(void)state;
	assert_int_equal(seed_path_of(SEED_003, SEED_PKL, "", path, &err), -EINVAL);
	assert_string_equal(err.text, "the key is empty");
	memset(key, 'k', sizeof(key));
	key[KEY_PART_MAX] = '\0';
	assert_int_equal(seed_path_of(SEED_003, SEED_PKL, key, path, NULL), 0);
	key[KEY_PART_MAX] = 'k';
	key[KEY_PART_MAX + 1] = '\0';
	assert_int_equal(seed_path_of(SEED_003, SEED_PKL, key, path, &err), -ENAMETOOLONG);
	assert_non_null(strstr(err.text, "kkk"));
	key[KEY_PART_MAX + 1] = 'k';
	key[SEED_KEY_MAX + 1] = '\0';
	assert_int_equal(seed_path_of(SEED_003, SEED_PKL, key, path, &err), -ENAMETOOLONG);
}

/* What keys are made of, and what might be mistaken for it. */
/* clang-format off */
static const char *const pieces[] = {
	"video", "keyframes", "transcript", "segment_frames", "descriptions", "frame_",
	"frame_1", "segment_id=", "start_time=0", "end_time=_end_", ":", ":", ":", ":",
	"embedding", "00ff", "default", "embeddings", "misc", "pipeline", "/", "%", "%2F", ".",
	"..", ".pkl", ".jpg", "p", "segments", "transcripts", "=", "\n", "segment_id=0",
	"metadata", ".cogfs",
};
/* clang-format on */

/* Keys of pieces that are likely to collide: a key without parameters comes back as it was, so no
 * two of them share a path. */
static void test_random_keys(void **state)
{
	char key[SEED_KEY_MAX + 1], path[KEY_MAX + 1], back[SEED_KEY_MAX + 1], again[KEY_MAX + 1];

	(void)state;
	srand(4);
	for (unsigned int i = 0; i < 200000; i++) {
		enum seed_grammar grammar = i % 2 ? SEED_004 : SEED_003;
		enum seed_format format = (enum seed_format)(i % 3);

		size_t len = 0;

		for (int n = rand() % 9 + 1; n; n--)
			len += (size_t)snprintf(
				key + len, sizeof(key) - len, "%s",
				pieces[(size_t)rand() % (sizeof(pieces) / sizeof(pieces[0]))]);
		if (seed_path_of(grammar, format, key, path, NULL))
			fail_msg("%s has no path", key);
		assert_int_equal(key_check(path, strlen(path)), 0);
		if (seed_key_of(grammar, path, back, NULL))
			fail_msg("%s has the path %s, which has no key", key, path);
		assert_int_equal(seed_path_of(grammar, format, back, again, NULL), 0);
		assert_string_equal(again, path);
		if (strcmp(key, back) != 0 && !strchr(key, '='))
			fail_msg("%s and %s share the path %s", key, back, path);
	}
}

static void test_words(void **state)
{
	enum seed_grammar grammar;
	enum seed_format format;
	struct err err = {0};

	(void)state;
	assert_int_equal(seed_grammar_parse("004", &grammar, NULL), 0);
	assert_int_equal(grammar, SEED_004);
	assert_string_equal(seed_grammar_name(SEED_003), "003");
	assert_int_equal(seed_grammar_parse("4", &grammar, &err), -EINVAL);
	assert_string_equal(err.text, "grammar 4 is neither 003 nor 004");
	assert_int_equal(seed_format_parse("msgpack", &format, NULL), 0);
	assert_int_equal(format, SEED_MSGPACK);
	assert_int_equal(seed_format_parse("pickle", &format, &err), -EINVAL);
	assert_string_equal(err.text, "format pickle is none of pkl, json, msgpack");
}

/* --- hashes, computed by the S3 tier's functions --- */

static void expect_hash(const char *text, int digits, const char *fmt, const char *got)
{
	char hex[SHA256_HEX_SIZE], want[KEY_MAX + 1];

	assert_int_equal(sha256_hex_of(text, strlen(text), hex), 0);
	snprintf(want, sizeof(want), "%.*s", digits, hex);
	assert_non_null(strstr(got, want));
	assert_int_equal(strlen(got), strlen(fmt) - 2 + (size_t)digits);
	assert_memory_equal(got, fmt, strcspn(fmt, "%"));
}

static void test_embedding_keys(void **state)
{
	char key[SEED_KEY_MAX + 1], path[KEY_MAX + 1];
	char *name = calloc(1, 300);

	(void)state;
	assert_int_equal(
		seed_embedding_key("colpali", "Marie Curie radioactivity discovery", key, NULL), 0);
	expect_hash("colpali:Marie Curie radioactivity discovery", 16, "embedding:colpali:%s", key);
	assert_int_equal(seed_embedding_key("colpali", "", key, NULL), 0);
	expect_hash("colpali:", 16, "embedding:colpali:%s", key);
	assert_int_equal(seed_embedding_key(QWEN, "x:y", key, NULL), 0);
	expect_hash(QWEN ":x:y", 16, "embedding:" QWEN ":%s", key);
	assert_int_equal(seed_path_of(SEED_003, SEED_PKL, key, path, NULL), 0);
	assert_memory_equal(path, "embeddings/Qwen%2FQwen2-VL-2B-Instruct/", 39);
	assert_int_equal(seed_embedding_key("", "x", key, NULL), -EINVAL);
	memset(name, 'm', 299);
	assert_int_equal(seed_embedding_key(name, "x", key, NULL), -ENAMETOOLONG);
	free(name);
}

static void test_query_paths(void **state)
{
	static const struct {
		const char *filters, *text;
	} rows[] = {
		{"{}", "[\"robot soccer\",{},\"hybrid\"]"},
		{" { \"b\" : [1, 2.0, -0.5, 1e16, 1e15, 1e-5, 123.456],\"a\":null}",
		 "[\"robot soccer\",{\"a\":null,\"b\":[1,2.0,-0.5,1e+16,1000000000000000.0,1e-05,"
		 "123.456]},\"hybrid\"]"},
		{"{\"x\":{\"b\":true,\"a\":false},\"\\u00e9\":\"\\u001f\\n\\\"\\\\/\\u007f\"}",
		 "[\"robot soccer\",{\"x\":{\"a\":false,\"b\":true},"
		 "\"\xc3\xa9\":\"\\u001f\\n\\\"\\\\/\x7f\"},\"hybrid\"]"},
	};
	char path[KEY_MAX + 1];

	(void)state;
	assert_int_equal(seed_query_path("robot soccer", "hybrid", NULL, path, NULL), 0);
	expect_hash("robot soccer", 8, "search_results/%s/hybrid.json", path);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(
			seed_query_path("robot soccer", "hybrid", rows[i].filters, path, NULL), 0);
		expect_hash(rows[i].text, 16, "search_results/%s/hybrid.json", path);
	}
	assert_int_equal(seed_query_path("q", "a/b", NULL, path, NULL), 0);
	assert_non_null(strstr(path, "/a%2Fb.json"));
}

static void test_bad_queries(void **state)
{
	static const char *const filters[] = {
		"", "[]", "1", "{", "{\"a\":1,\"a\":2}", "{\"a\":1e999}"};
	char path[KEY_MAX + 1];
	struct err err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
		assert_int_equal(seed_query_path("q", "s", filters[i], path, &err), -EINVAL);
		assert_memory_equal(err.text, "filters: ", 9);
	}
	assert_int_equal(seed_query_path("q", "", NULL, path, &err), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_seeds_examples), cmocka_unit_test(test_names),
		cmocka_unit_test(test_below_pipeline), cmocka_unit_test(test_no_key),
		cmocka_unit_test(test_limits),	       cmocka_unit_test(test_random_keys),
		cmocka_unit_test(test_words),	       cmocka_unit_test(test_embedding_keys),
		cmocka_unit_test(test_query_paths),    cmocka_unit_test(test_bad_queries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
