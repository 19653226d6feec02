/* SPDX-License-Identifier: Apache-2.0 */
/* The shipped configuration and the examples: each loads without a warning that was not meant, and
 * the paths of its seed are in the classes that they belong to, with their placeholders. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config_fixture.h"
#include "model/policy.h"

struct row {
	const char *path, *class;
	const char *placeholders; /* "tenant=acme video_id=v1" */
};

static const struct row shipped[] = {
	{"video_colpali/keyframes/v1/frame_42.jpg", "keyframes",
	 "profile=video_colpali artifact=keyframes video_id=v1 timestamp=42"},
	{"p/keyframes/v1/metadata.pkl", "keyframes", "profile=p artifact=keyframes video_id=v1"},
	{"p/transcripts/v1.json", "texts",
	 "profile=p artifact=transcripts video_id=v1 ending=json"},
	{"p/audio/v1/transcription.json", "texts", "profile=p artifact=audio video_id=v1"},
	{"p/segments/v1/segment_0_start_0.0_end_6.0/frame_1.jpg", "segments",
	 "profile=p artifact=segments video_id=v1 segment_id=0 start_time=0.0 end_time=6.0 n=1"},
	{"p/embeddings/colpali/a3f2e9d8c7b6a5f4.pkl", "embeddings",
	 "profile=p artifact=embeddings model=colpali hash=a3f2e9d8c7b6a5f4 ending=pkl"},
	{"profile_x/embeddings/clip/big.npz", "embeddings",
	 "profile=profile_x artifact=embeddings model=clip"},
	{"anything/else", "default", ""},
	{NULL, NULL, NULL},
};

static const struct row seed_000[] = {
	{"profile_x/videos/v1/metadata.json", "done", "profile=x video_id=v1"},
	{"profile_x/videos/v1/keyframes/frame_12.5.jpg", "keyframes",
	 "profile=x video_id=v1 artifact=keyframes timestamp=12.5"},
	{"profile_x/videos/v1/audio/transcription.json", "audio",
	 "profile=x video_id=v1 artifact=audio"},
	{"profile_x/videos/v1/descriptions/frame_3.json", "descriptions",
	 "profile=x video_id=v1 artifact=descriptions timestamp=3"},
	{"profile_x/videos/v1/embeddings/clip.npz", "embeddings",
	 "profile=x video_id=v1 artifact=embeddings model=clip"},
	{NULL, NULL, NULL},
};

static const struct row seed_001[] = {
	{"tenant_acme/embeddings/colpali/v1/chunk_0.npz", "embeddings",
	 "tenant=acme artifact=embeddings model=colpali video_id=v1 chunk_id=chunk_0"},
	{"tenant_acme/embeddings/colpali/v1/embeddings.npz", "embeddings",
	 "tenant=acme artifact=embeddings model=colpali video_id=v1 chunk_id=embeddings"},
	{"tenant_acme/embeddings/colpali/v1/metadata.json", "embeddings",
	 "tenant=acme artifact=embeddings model=colpali video_id=v1"},
	{"tenant_acme/frames/v1/frame_1.jpg", "frames",
	 "tenant=acme artifact=frames video_id=v1 timestamp=1"},
	{"tenant_acme/frames/v1/keyframes.json", "frames",
	 "tenant=acme artifact=frames video_id=v1"},
	{"tenant_acme/transcriptions/v1/transcription.json", "transcriptions",
	 "tenant=acme artifact=transcriptions video_id=v1"},
	{"tenant_acme/search_results/0a1b2c3d/hybrid.json", "search_results",
	 "tenant=acme artifact=search_results query_hash=0a1b2c3d strategy=hybrid"},
	{"tenant_acme/experiments/e7/results.json", "experiments",
	 "tenant=acme artifact=experiments experiment_id=e7"},
	{NULL, NULL, NULL},
};

static const struct row seed_002[] = {
	{"d864b5a8a94e837f", "embeddings", "hash=d864b5a8a94e837f"},
	{"d864b5a8a94e837f.pkl", "embeddings", "hash=d864b5a8a94e837f ending=pkl"},
	{"search_results/0a1b/hybrid.json", "queries",
	 "query_hash=0a1b strategy=hybrid ending=json"},
	{NULL, NULL, NULL},
};

static const struct row seed_003[] = {
	{"profile/keyframes/abc123/metadata.pkl", "keyframes",
	 "profile=profile artifact=keyframes video_id=abc123 ending=pkl"},
	{"profile/keyframes/abc123/frame_42.jpg", "keyframes",
	 "profile=profile artifact=keyframes video_id=abc123 frame=42"},
	{"pipeline/profile/keyframes/abc123/frame_42.jpg", "keyframes",
	 "profile=profile artifact=keyframes video_id=abc123 frame=42"},
	{"profile/transcripts/abc123.pkl", "texts",
	 "profile=profile artifact=transcripts video_id=abc123 ending=pkl"},
	{"pipeline/profile/descriptions/abc123.msgpack", "texts",
	 "profile=profile artifact=descriptions video_id=abc123 ending=msgpack"},
	{"profile/segments/abc123/segment_0_start_0.0_end_6.0/frame_1.jpg", "segments",
	 "profile=profile artifact=segments video_id=abc123 segment_id=0 start_time=0.0 "
	 "end_time=6.0 frame=1"},
	{"profile/segments/abc123/segment_0_start_0.0_end_6.0/metadata.pkl", "segments",
	 "profile=profile artifact=segments video_id=abc123 segment_id=0 start_time=0.0 "
	 "end_time=6.0 ending=pkl"},
	{"embeddings/colpali/a3f2e9d8.pkl", "embeddings",
	 "artifact=embeddings model=colpali hash=a3f2e9d8 ending=pkl"},
	{"embeddings/Qwen%2FQwen2-VL-2B-Instruct/a3f2e9d8c7b6a5f4.pkl", "embeddings",
	 "artifact=embeddings model=Qwen%2FQwen2-VL-2B-Instruct hash=a3f2e9d8c7b6a5f4 ending=pkl"},
	{"misc/test_key", "misc", "name=test_key"},
	{NULL, NULL, NULL},
};

static const struct row seed_004[] = {
	{"static/system_config", "static", ""},
	{"user/session/user123", "session", "user_id=user123"},
	{"user_session/user123", "session", "user_id=user123"},
	{"video/metadata/video456", "frequent", "video_id=video456"},
	{"video_metadata/video456", "frequent", "video_id=video456"},
	{"processing/status/job1", "temporary", "job_id=job1"},
	{"api/response/search/0a1b", "temporary", "endpoint=search params_hash=0a1b"},
	{NULL, NULL, NULL},
};

static struct config *load(struct config_fixture *f, const char *name)
{
	struct conf_load_args args = {0};
	struct config *config = NULL;
	char path[512];

	snprintf(path, sizeof(path), "%s/etc/%s", getenv("COGFS_TEST_SOURCE"), name);
	args.file = path;
	if (config_load(&args, &config, &f->err) < 0)
		fail_msg("%s", f->err.text);
	return config;
}

static void placeholders(const struct class_hit *hit, const char *key, char out[256])
{
	size_t len = 0;

	out[0] = '\0';
	for (unsigned int i = 0; hit->pattern && i < hit->pattern->n_names; i++)
		len += (size_t)snprintf(out + len, 256 - len, "%s%s=%.*s", i ? " " : "",
					hit->pattern->names[i], (int)hit->spans[i].len,
					key + hit->spans[i].off);
}

static void check(struct config_fixture *f, const char *name, const struct row *row)
{
	struct config *config = load(f, name);
	struct policy_set *set = policy_box_get(config->policy);

	for (; row->path; row++) {
		struct class_hit hit;
		char found[256];
		const struct class_policy *class = policy_match(set, row->path, strlen(row->path),
								&hit);

		placeholders(&hit, row->path, found);
		if (strcmp(class->name, row->class) != 0 || strcmp(found, row->placeholders) != 0)
			fail_msg("%s: %s is in %s, %s", name, row->path, class->name, found);
	}
	policy_set_unref(set);
	config_free(config);
}

/* Every path that a seed writes is in the class that it belongs to. */
static void seeds_paths_have_their_classes(void **state)
{
	check(*state, "cogfs.yaml", shipped);
	check(*state, "examples/000.yaml", seed_000);
	check(*state, "examples/001.yaml", seed_001);
	check(*state, "examples/002.yaml", seed_002);
	check(*state, "examples/003.yaml", seed_003);
	check(*state, "examples/004.yaml", seed_004);
}

static const struct class_policy *of(const struct policy_set *set, const char *path)
{
	return policy_match(set, path, strlen(path), NULL);
}

/* Seed 001: kinds differ in tiers and lifetime, and tenants' objects have their own keys in S3. */
static void seed_001_has_its_policies(void **state)
{
	struct config *config = load(*state, "examples/001.yaml");
	struct policy_set *set = policy_box_get(config->policy);
	static const char path[] = "tenant_acme/embeddings/colpali/v1/chunk_0.npz";
	char key[KEY_MAX + 1];

	assert_int_equal(of(set, path)->ttl_s, CONF_NEVER);
	assert_int_equal(of(set, path)->tiers, 6);
	assert_int_equal(of(set, "tenant_a/frames/v/frame_1.jpg")->ttl_s, 86400);
	assert_int_equal(of(set, "tenant_a/search_results/q/s.json")->ttl_s, 3600);
	assert_true(of(set, "tenant_a/search_results/q/s.json")->is_volatile);
	assert_true(keymap_expand(policy_keymap(set, 2), path, strlen(path), key) > 0);
	assert_string_equal(key, "tenants/acme/embeddings/colpali/v1/chunk_0.npz");
	policy_set_unref(set);
	config_free(config);
}

/* Seed 004: a lifetime and an eviction for each kind in each tier. */
static void seed_004_has_its_policies(void **state)
{
	static const struct {
		const char *path;
		int64_t memory, redis;
		uint64_t max_objects;
		enum eviction eviction;
	} kinds[] = {
		{"static/x", 86400, 604800, 500, EVICTION_LRU},
		{"video/metadata/x", 1800, 3600, 1000, EVICTION_LFU},
		{"processing/status/x", 300, 1800, 2000, EVICTION_TTL},
		{"user/session/x", 3600, 7200, POLICY_NONE, EVICTION_LRU},
	};
	struct config *config = load(*state, "examples/004.yaml");
	struct policy_set *set = policy_box_get(config->policy);

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		unsigned int class = of(set, kinds[i].path)->index;

		assert_int_equal(policy_of(set, class, 0)->ttl_s, kinds[i].memory);
		assert_int_equal(policy_of(set, class, 1)->ttl_s, kinds[i].redis);
		assert_true(policy_of(set, class, 0)->max_objects == kinds[i].max_objects);
		assert_int_equal(policy_of(set, class, 0)->eviction, kinds[i].eviction);
	}
	assert_true(of(set, "static/x")->pinned);
	assert_int_equal(of(set, "static/x")->ttl_s, CONF_NEVER);
	policy_set_unref(set);
	config_free(config);
}

static int setup(void **state)
{
	static struct config_fixture f;

	config_fixture_init(&f);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	config_fixture_release(*state);
	return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(seeds_paths_have_their_classes),
		TEST(seed_001_has_its_policies),
		TEST(seed_004_has_its_policies),
	};

	return cmocka_run_group_tests_name("examples", tests, NULL, NULL);
}
