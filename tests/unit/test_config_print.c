/* SPDX-License-Identifier: Apache-2.0 */
/* Printing a configuration, the file to start from, and what SIGHUP takes over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "config_fixture.h"
#include "util/cleanup.h"

static const char full[] = "cache_dir: /c\n"
			   "mount: {uid: 7, mode: \"0700\", list_ttl: 90s}\n"
			   "write: {mode: through, max_dirty: 1500000}\n"
			   "network: {retry: {tries: 5}, ca_file: \"/etc/a \\\"b\\\".pem\"}\n"
			   "defaults: {ttl: 36h}\n"
			   "tiers:\n"
			   "  - {type: ram, max_size: 64MiB, admit: always}\n"
			   "  - {type: disk, max_size: 3GiB, min_free: 2.5%}\n"
			   "  - {name: cold, type: s3, bucket: bkt, prefix: \"$${a}\", access_key: "
			   "k, secret_key: hidden}\n"
			   "classes:\n"
			   "  - {name: done, match: [\"a/{b}/c\", \"x/**\"], after: siblings}\n";

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

/* What is printed loads again and prints the same. */
static void test_round_trip(void **state)
{
	struct config *first = config_fixture_text(*state, full), *second;
	CLEANUP_FREE char *once = NULL, *twice = NULL;

	assert_non_null(first);
	once = config_fixture_print(first, false);
	second = config_fixture_text(*state, once);
	assert_non_null(second);
	twice = config_fixture_print(second, false);
	assert_string_equal(once, twice);
	assert_string_equal(config_tier(second, TIER_TYPE_S3)->prefix, "${a}");
	assert_string_equal(second->network.ca_file, "/etc/a \"b\".pem");
	config_free(first);
	config_free(second);
}

/* Secrets are never printed. */
static void test_secrets(void **state)
{
	struct config *c = config_fixture_text(*state, full);
	CLEANUP_FREE char *text = NULL;

	assert_non_null(c);
	text = config_fixture_print(c, true);
	assert_null(strstr(text, "hidden"));
	assert_non_null(strstr(text, "secret_key: \"***\""));
	config_free(c);
}

/* Behind each value stands where it came from. */
static void test_origins(void **state)
{
	static const char *const overrides[] = {"mount.gid", "9", NULL};
	struct config_fixture *f = *state;
	CLEANUP_FREE char *text = NULL;
	struct config *c;

	config_fixture_write(f, "cogfs.yaml", full);
	setenv("COGFS_LOG_LEVEL", "warn", 1);
	c = config_fixture_load(f, "cogfs.yaml", overrides);
	unsetenv("COGFS_LOG_LEVEL");
	assert_non_null(c);
	text = config_fixture_print(c, true);
	assert_non_null(strstr(text, "gid: 9  # from command line\n"));
	assert_non_null(strstr(text, "level: warn  # from environment COGFS_LOG_LEVEL\n"));
	assert_non_null(strstr(text, "/cogfs.yaml:2\n"));
	assert_non_null(strstr(text, "negative_ttl: 5s  # from default\n"));
	config_free(c);
}

static char *template_text(void)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	assert_int_equal(config_print_template(out), 0);
	assert_int_equal(fclose(out), 0);
	return text;
}

/* The file to start from is good as it is. */
static void test_template_loads(void **state)
{
	CLEANUP_FREE char *text = template_text();
	struct config *c = config_fixture_text(*state, text);

	assert_non_null(c);
	config_free(c);
}

/* Uncommented, its sections are good too: each default that it shows may be written. */
static void test_template_uncommented(void **state)
{
	CLEANUP_FREE char *text = template_text(), *plain = calloc(1, strlen(text) + 1);
	char *save, *line, *to = plain;
	struct config *c;

	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (strncmp(line, "#tiers", 6) == 0)
			break;
		if (line[0] == '#' && line[1] != ' ' && !strstr(line, "...") &&
		    !strstr(line, "include"))
			line++;
		to += snprintf(to, strlen(line) + 2, "%s\n", line);
	}
	c = config_fixture_text(*state, plain);
	if (!c)
		fail_msg("%s", ((struct config_fixture *)*state)->err.text);
	config_free(c);
}

/* etc/cogfs.yaml is what `cogfs config init` prints. */
static void test_shipped_file(void **state)
{
	const char *source = getenv("COGFS_TEST_SOURCE");
	CLEANUP_FREE char *text = template_text(), *shipped = calloc(1, 65536);
	CLEANUP_FCLOSE FILE *in = NULL;
	char path[512];

	if (!source)
		skip();
	snprintf(path, sizeof(path), "%s/etc/cogfs.yaml", source);
	in = fopen(path, "r");
	assert_non_null(in);
	assert_true(fread(shipped, 1, 65535, in) > 0);
	assert_string_equal(shipped, text);
}

/* SIGHUP changes what may change, and names what has to wait. */
static void test_apply_live(void **state)
{
	struct config *live = config_fixture_text(*state, full), *fresh;
	struct err err = {0};

	assert_non_null(live);
	fresh = config_fixture_text(*state,
				    "cache_dir: /other\n"
				    "mount: {uid: 7, mode: \"0700\", list_ttl: 5s}\n"
				    "write: {mode: through, max_dirty: 2GiB}\n"
				    "network: {retry: {tries: 6}}\n"
				    "log: {level: debug}\n"
				    "tiers:\n"
				    "  - {type: ram, max_size: 32MiB, admit: always}\n"
				    "  - {type: disk, max_size: 4GiB, min_free: 1GiB, path: /c}\n"
				    "  - {name: cold, type: s3, bucket: bkt}\n");
	assert_non_null(fresh);
	assert_true(config_apply_live(live, fresh, &err) > 0);
	assert_int_equal(live->mount.list_ttl_ms, 5000);
	assert_int_equal(live->write.max_dirty, 2ULL << 30);
	assert_int_equal(live->log.level, LOG_LEVEL_DEBUG);
	assert_int_equal(config_tier(live, TIER_TYPE_RAM)->max_size, 32 << 20);
	assert_int_equal(config_tier(live, TIER_TYPE_DISK)->min_free, 1 << 30);
	assert_true(config_tier(live, TIER_TYPE_DISK)->min_free_ratio == 0);
	assert_int_equal(live->network.tries, 5);
	assert_string_equal(live->cache_dir, "/c");
	assert_non_null(strstr(err.text, "cache_dir"));
	assert_non_null(strstr(err.text, "network.retry.tries"));
	assert_non_null(strstr(err.text, "tiers.cold.secret_key"));
	assert_null(strstr(err.text, "classes"));
	assert_null(live->classes);
	assert_null(strstr(err.text, "list_ttl"));
	config_free(live);
	config_free(fresh);
}

/* The same configuration again changes nothing. */
static void test_apply_same(void **state)
{
	struct config *live = config_fixture_text(*state, full),
		      *fresh = config_fixture_text(*state, full);
	struct err err = {0};

	assert_non_null(live);
	assert_non_null(fresh);
	assert_int_equal(config_apply_live(live, fresh, &err), 0);
	assert_string_equal(err.text, "");
	config_free(live);
	config_free(fresh);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
		cmocka_unit_test_setup_teardown(test_secrets, setup, teardown),
		cmocka_unit_test_setup_teardown(test_origins, setup, teardown),
		cmocka_unit_test_setup_teardown(test_template_loads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_template_uncommented, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shipped_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_apply_live, setup, teardown),
		cmocka_unit_test_setup_teardown(test_apply_same, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
