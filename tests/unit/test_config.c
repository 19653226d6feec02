/* SPDX-License-Identifier: Apache-2.0 */
/* Loading a configuration: what holds, and where it comes from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "config_fixture.h"

static int setup(void **state)
{
	static struct config_fixture fixture;

	config_fixture_init(&fixture);
	*state = &fixture;
	return 0;
}

static int teardown(void **state)
{
	config_fixture_release(*state);
	return 0;
}

/* Without tiers there are RAM, disk and a directory below the cache directory. */
static void test_embedded_default(void **state)
{
	struct config *c = config_fixture_text(*state, "cache_dir: /c\n");

	assert_non_null(c);
	assert_string_equal(config_tier(c, TIER_TYPE_DISK)->path, "/c");
	assert_string_equal(config_tier(c, TIER_TYPE_DIR)->path, "/c/store");
	assert_true(config_tier(c, TIER_TYPE_RAM)->max_size > 0);
	assert_true(config_tier(c, TIER_TYPE_RAM)->max_size <= 1ULL << 30);
	assert_true(config_tier(c, TIER_TYPE_DISK)->max_size <= 100ULL << 30);
	assert_null(config_tier(c, TIER_TYPE_S3));
	assert_int_equal(c->mount.passthrough, CONF_AUTO);
	assert_int_equal(c->mount.list_ttl_ms, 60000);
	assert_int_equal(c->network.tries, 3);
	assert_int_equal(c->defaults.ttl_s, CONF_NEVER);
	assert_null(c->warnings);
	config_free(c);
}

/* An empty file is a good one. */
static void test_empty_file(void **state)
{
	struct config *c = config_fixture_text(*state, "# nothing\n");

	assert_non_null(c);
	config_free(c);
}

/* Every kind of value arrives in its field. */
static void test_values(void **state)
{
	struct config *c = config_fixture_text(
		*state,
		"version: 1\n"
		"mount: {uid: 1001, gid: 1002, mode: \"0750\", allow_other: off, read_only: yes,\n"
		"        passthrough: on, io_uring: auto, list_ttl: 1.5s, negative_ttl: 0}\n"
		"write: {upload_delay: 250ms, max_dirty: 2GB, conflict: keep_both, on_kill: keep}\n"
		"network:\n"
		"  retry: {tries: 5}\n"
		"  breaker: {after: 2, for: 1m}\n"
		"  parallel: 12\n"
		"log: {level: debug, format: json}\n"
		"defaults: {ttl: 7d, tiers: all, compression: none}\n");

	assert_non_null(c);
	assert_int_equal(c->mount.uid, 1001);
	assert_int_equal(c->mount.gid, 1002);
	assert_int_equal(c->mount.mode, 0750);
	assert_int_equal(c->mount.allow_other, CONF_OFF);
	assert_true(c->mount.read_only);
	assert_int_equal(c->mount.passthrough, CONF_ON);
	assert_int_equal(c->mount.list_ttl_ms, 1500);
	assert_int_equal(c->mount.negative_ttl_ms, 0);
	assert_int_equal(c->write.upload_delay_ms, 250);
	assert_int_equal(c->write.max_dirty, 2000000000);
	assert_int_equal(c->write.conflict, CONFLICT_KEEP_BOTH);
	assert_int_equal(c->write.on_kill, ON_KILL_KEEP);
	assert_int_equal(c->network.tries, 5);
	assert_int_equal(c->network.breaker_after, 2);
	assert_int_equal(c->network.breaker_for_ms, 60000);
	assert_int_equal(c->network.parallel, 12);
	assert_int_equal(c->log.level, LOG_LEVEL_DEBUG);
	assert_int_equal(c->log.format, LOG_FORMAT_JSON);
	assert_int_equal(c->defaults.ttl_s, 7 * 86400);
	config_free(c);
}

/* `write: through` is short for its mode. */
static void test_scalar_section(void **state)
{
	struct config *c = config_fixture_text(*state, "write: through\n");

	assert_non_null(c);
	assert_int_equal(c->write.mode, WRITE_THROUGH);
	config_free(c);
}

/* Tiers keep the file's order, and only what is enabled is found. */
static void test_tiers(void **state)
{
	struct config *c = config_fixture_text(
		*state,
		"tiers:\n"
		"  - {type: disk, path: data, max_size: 3GiB, min_free: 7.5%, max_objects: 10, "
		"ttl: 1d}\n"
		"  - {name: off, type: dir, path: /x, enabled: false}\n"
		"  - {name: cold, type: s3, bucket: bkt, prefix: a/b, path_style: on, read_only: "
		"on,\n"
		"     endpoint: \"http://127.0.0.1:7070\", access_key: k, secret_key: s}\n");
	const struct conf_tier *disk, *s3;

	assert_non_null(c);
	disk = config_tier(c, TIER_TYPE_DISK);
	s3 = config_tier(c, TIER_TYPE_S3);
	assert_string_equal(disk->name, "disk");
	assert_int_equal(disk->max_size, 3ULL << 30);
	assert_int_equal(disk->max_objects, 10);
	assert_int_equal(disk->ttl_s, 86400);
	assert_true(disk->min_free_ratio > 0.0749 && disk->min_free_ratio < 0.0751);
	assert_non_null(strstr(disk->path, "/tmp/cogfs-config-"));
	assert_string_equal(s3->bucket, "bkt");
	assert_string_equal(s3->prefix, "a/b");
	assert_string_equal(s3->credentials, "static");
	assert_int_equal(s3->path_style, CONF_ON);
	assert_true(s3->read_only);
	assert_null(config_tier(c, TIER_TYPE_DIR));
	assert_null(config_tier(c, TIER_TYPE_RAM));
	config_free(c);
}

/* A match may be one pattern or a list. */
static void test_classes(void **state)
{
	struct config *c = config_fixture_text(
		*state, "classes:\n"
			"  - {name: done, match: \"p/{id}/metadata.json\", after: siblings}\n"
			"  - {name: rest, match: [\"a/**\", \"b/*\"]}\n");

	assert_non_null(c);
	assert_string_equal(c->classes->name, "done");
	assert_true(c->classes->after_siblings);
	assert_string_equal(c->classes->match[0], "p/{id}/metadata.json");
	assert_null(c->classes->match[1]);
	assert_string_equal(c->classes->next->match[1], "b/*");
	assert_false(c->classes->next->after_siblings);
	config_free(c);
}

/* Included files come later, add tiers, and change those of the same name. */
static void test_include(void **state)
{
	struct config_fixture *f = *state;
	char sub[128];
	struct config *c;

	snprintf(sub, sizeof(sub), "%s/conf.d", f->dir);
	assert_int_equal(mkdir(sub, 0700), 0);
	config_fixture_write(f, "conf.d/10.yaml",
			     "mount: {mode: \"0700\"}\ntiers: [{name: cold, region: r1}]\n");
	config_fixture_write(f, "conf.d/20.yaml",
			     "tiers: [{name: cold, region: r2}, {type: ram}]\n");
	c = config_fixture_text(f, "include: [conf.d/*.yaml, none.d/*.yaml]\n"
				   "mount: {mode: \"0755\"}\n"
				   "tiers: [{type: disk}, {name: cold, type: s3, bucket: bkt}]\n");
	assert_non_null(c);
	assert_int_equal(c->mount.mode, 0700);
	assert_string_equal(config_tier(c, TIER_TYPE_S3)->region, "r2");
	assert_non_null(config_tier(c, TIER_TYPE_RAM));
	config_free(c);
}

/* Files that include one another end in an error. */
static void test_include_circle(void **state)
{
	struct config_fixture *f = *state;

	assert_null(config_fixture_text(f, "include: cogfs.yaml\n"));
	assert_non_null(strstr(f->err.text, "too deeply"));
}

/* ~ and ${VAR} expand, with a default, and $${ stands for itself. */
static void test_expansion(void **state)
{
	struct config_fixture *f = *state;
	char want[128];
	struct config *c;

	setenv("TEST_BUCKET", "from-env", 1);
	unsetenv("TEST_NOTHING");
	c = config_fixture_text(f, "cache_dir: ~/cache\n"
				   "tiers:\n"
				   "  - {type: disk}\n"
				   "  - {type: s3, bucket: \"${TEST_BUCKET}\", prefix: \"$${x}\",\n"
				   "     region: \"${TEST_NOTHING:-eu}-1\"}\n");
	assert_non_null(c);
	snprintf(want, sizeof(want), "%s/cache", f->dir);
	assert_string_equal(c->cache_dir, want);
	assert_string_equal(config_tier(c, TIER_TYPE_S3)->bucket, "from-env");
	assert_string_equal(config_tier(c, TIER_TYPE_S3)->prefix, "${x}");
	assert_string_equal(config_tier(c, TIER_TYPE_S3)->region, "eu-1");
	config_free(c);
}

/* Command line over environment over file over default. */
static void test_precedence(void **state)
{
	static const char *const overrides[] = {"network.retry.tries", "9", NULL};
	struct config_fixture *f = *state;
	struct config *c;

	config_fixture_write(f, "cogfs.yaml",
			     "network: {retry: {tries: 4, max: 20s}, breaker: {after: 7}}\n");
	setenv("COGFS_NETWORK_RETRY_TRIES", "6", 1);
	setenv("COGFS_NETWORK_RETRY_MAX", "30s", 1);
	setenv("COGFS_DISK_MAX_SIZE", "3GiB", 1);
	c = config_fixture_load(f, "cogfs.yaml", overrides);
	unsetenv("COGFS_NETWORK_RETRY_TRIES");
	unsetenv("COGFS_NETWORK_RETRY_MAX");
	unsetenv("COGFS_DISK_MAX_SIZE");
	assert_non_null(c);
	assert_int_equal(c->network.tries, 9);
	assert_int_equal(c->network.retry_max_ms, 30000);
	assert_int_equal(c->network.breaker_after, 7);
	assert_int_equal(c->network.retry_min_ms, 1000);
	assert_int_equal(config_tier(c, TIER_TYPE_DISK)->max_size, 3ULL << 30);
	config_free(c);
}

/* A variable that means an option and misses it is an error; others are not ours. */
static void test_environment_typing_error(void **state)
{
	struct config_fixture *f = *state;
	struct config *c;

	setenv("COGFS_MOUNT_PASTHROUGH", "off", 1);
	assert_null(config_fixture_text(f, ""));
	unsetenv("COGFS_MOUNT_PASTHROUGH");
	assert_non_null(strstr(f->err.text, "COGFS_MOUNT_PASTHROUGH"));
	setenv("COGFS_SOMETHING_ELSE", "1", 1);
	c = config_fixture_text(f, "");
	unsetenv("COGFS_SOMETHING_ELSE");
	assert_non_null(c);
	config_free(c);
}

/* A secret on the command line would show in ps. */
static void test_no_secret_in_override(void **state)
{
	static const char *const overrides[] = {"store.secret_key", "s", NULL};
	struct config_fixture *f = *state;

	config_fixture_write(f, "cogfs.yaml", "tiers: [{type: disk}, {type: s3, bucket: bkt}]\n");
	assert_null(config_fixture_load(f, "cogfs.yaml", overrides));
	assert_non_null(strstr(f->err.text, "ps would show it"));
}

/* A secret in a file that all can read is told. */
static void test_readable_secret(void **state)
{
	struct config_fixture *f = *state;
	char path[128];
	struct config *c;

	config_fixture_write(
		f, "cogfs.yaml",
		"tiers: [{type: disk}, {type: s3, bucket: bkt, access_key: a, secret_key: b}]\n");
	snprintf(path, sizeof(path), "%s/cogfs.yaml", f->dir);
	assert_int_equal(chmod(path, 0644), 0);
	c = config_fixture_load(f, "cogfs.yaml", NULL);
	assert_non_null(c);
	assert_non_null(c->warnings);
	assert_non_null(strstr(c->warnings[0], "every user can read it"));
	assert_null(c->warnings[1]);
	config_free(c);
}

/* What is read and has no effect is told. */
static void test_idle_options(void **state)
{
	struct config *c = config_fixture_text(
		*state,
		"tiers: [{type: disk}, {type: s3, bucket: bkt, key: \"t/{tenant}/{rest}\"}]\n"
		"classes: [{name: a, match: \"tenant_{tenant}/**\", foreign: last_modified,\n"
		"           stale_while_revalidate: 5s}]\n");

	assert_non_null(c);
	assert_non_null(c->warnings);
	assert_non_null(strstr(c->warnings[0], "key is not applied"));
	assert_non_null(strstr(c->warnings[1], "class a: stale_while_revalidate is not applied"));
	assert_non_null(strstr(c->warnings[2], "class a: foreign is not applied"));
	assert_null(c->warnings[3]);
	config_free(c);
}

static struct config *load_source(struct config_fixture *f, const char *text, const char *source)
{
	struct conf_load_args args = {.source = source};
	struct config *c = NULL;
	char path[128];

	config_fixture_write(f, "cogfs.yaml", text);
	snprintf(path, sizeof(path), "%s/cogfs.yaml", f->dir);
	args.file = path;
	return config_load(&args, &c, &f->err) < 0 ? NULL : c;
}

/* A source takes the place of the store. */
static void test_source(void **state)
{
	struct config *c = load_source(*state, "", "s3://bkt/some/prefix/");

	assert_non_null(c);
	assert_null(config_tier(c, TIER_TYPE_DIR));
	assert_string_equal(config_tier(c, TIER_TYPE_S3)->bucket, "bkt");
	assert_string_equal(config_tier(c, TIER_TYPE_S3)->prefix, "some/prefix");
	config_free(c);
	c = load_source(*state, "", "dir:/mnt/nas");
	assert_non_null(c);
	assert_string_equal(config_tier(c, TIER_TYPE_DIR)->path, "/mnt/nas");
	config_free(c);
}

/* A configured store of the source's type keeps its endpoint and its name. */
static void test_source_keeps_store(void **state)
{
	struct config *c = load_source(*state,
				       "tiers: [{type: disk}, {name: mine, type: s3, bucket: other,"
				       " endpoint: \"http://h:1\"}]\n",
				       "s3://bkt");
	const struct conf_tier *s3;

	assert_non_null(c);
	s3 = config_tier(c, TIER_TYPE_S3);
	assert_string_equal(s3->name, "mine");
	assert_string_equal(s3->bucket, "bkt");
	assert_string_equal(s3->prefix, "");
	assert_string_equal(s3->endpoint, "http://h:1");
	config_free(c);
}

/* What is no source is refused with what one looks like. */
static void test_wrong_source(void **state)
{
	struct config_fixture *f = *state;

	assert_null(load_source(f, "", "ftp://x"));
	assert_non_null(strstr(f->err.text, "s3://BUCKET/PREFIX"));
	assert_null(load_source(f, "", "gs://x"));
	assert_non_null(strstr(f->err.text, "not in this version"));
	assert_null(load_source(f, "", "s3:///x"));
}

/* A named file must be there. */
static void test_missing_file(void **state)
{
	struct config_fixture *f = *state;

	assert_null(config_fixture_load(f, "nothing.yaml", NULL));
	assert_non_null(strstr(f->err.text, "nothing.yaml"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_embedded_default, setup, teardown),
		cmocka_unit_test_setup_teardown(test_empty_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_values, setup, teardown),
		cmocka_unit_test_setup_teardown(test_scalar_section, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tiers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_classes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_include, setup, teardown),
		cmocka_unit_test_setup_teardown(test_include_circle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_expansion, setup, teardown),
		cmocka_unit_test_setup_teardown(test_precedence, setup, teardown),
		cmocka_unit_test_setup_teardown(test_environment_typing_error, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_secret_in_override, setup, teardown),
		cmocka_unit_test_setup_teardown(test_readable_secret, setup, teardown),
		cmocka_unit_test_setup_teardown(test_idle_options, setup, teardown),
		cmocka_unit_test_setup_teardown(test_source, setup, teardown),
		cmocka_unit_test_setup_teardown(test_source_keeps_store, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_source, setup, teardown),
		cmocka_unit_test_setup_teardown(test_missing_file, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
