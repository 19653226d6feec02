/* SPDX-License-Identifier: Apache-2.0 */
/* What a wrong configuration is told, as a table: the text, and what the complaint must hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "config_fixture.h"

struct wrong {
	const char *text;
	const char *says[3];
};

static const struct wrong unknown_keys[] = {
	{"mount:\n  pasthrough: off\n",
	 {":2:3: ", "unknown key \"pasthrough\" in mount", "\"passthrough\"?"}},
	{"mnt: {}\n", {":1:1: ", "unknown key \"mnt\"", "\"mount\"?"}},
	{"network: {retry: {trys: 3}}\n", {":1:19: ", "in network.retry", "\"tries\"?"}},
	{"tiers:\n- {type: disk, max_sise: 1}\n", {":2:16: ", "in tier disk", "\"max_size\"?"}},
	{"classes: [{name: a, match: x, mach: y}]\n", {"in class a", "\"match\"?"}},
	{"network.parallel: 3\n", {"unknown key"}},
};

static const struct wrong later[] = {
	{"prefetch: on\n", {"prefetch", "not in this version"}},
	{"network: {up: 1MB}\n", {"network.up", "only \"0\""}},
	{"tiers: [{name: hot, type: redis}]\n", {":1:27: ", "\"redis\" is not in this version"}},
	{"classes: [{name: a, match: x, prefetch: on}]\n",
	 {"classes.a.prefetch", "not in this version"}},
	{"tiers: [{type: dir, path: /x, role: mirror}]\n",
	 {"tiers.dir.role", "not in this version"}},
	{"version: 2\n", {"version", "only \"1\""}},
};

static const struct wrong values[] = {
	{"mount: {list_ttl: soon}\n", {":1:19: ", "mount.list_ttl", "\"soon\" is not a duration"}},
	{"mount: {list_ttl: never}\n", {"\"never\" is no limit"}},
	{"mount: {mode: 0999}\n", {"octal"}},
	{"mount: {uid: nobody-of-that-name}\n", {"there is no user"}},
	{"mount: {passthrough: maybe}\n", {"auto, on or off"}},
	{"mount: {read_only: 2}\n", {"on or off"}},
	{"mount: {uid: ~}\n", {"no value"}},
	{"mount: 3\n", {"a section"}},
	{"mount: {uid: [1]}\n", {"one value is expected"}},
	{"write: sideways\n", {"none of: back, through"}},
	{"memory: {max: 3}\n", {"too small"}},
	{"memory: {max: -3}\n", {"not a size"}},
	{"memory: {max: 999999999999PiB}\n", {"not a size"}},
	{"network: {retry: {tries: 0}}\n", {"too small"}},
	{"network: {parallel: 5000}\n", {"too large"}},
	{"network: {retry: {min: 5s, max: 1s}}\n", {"min is larger"}},
	{"network: {proxy: host}\n", {"network.proxy"}},
	{"cleanup: {interval: 1500ms}\n", {"finer than a second"}},
	{"cache_dir: ${TEST_UNSET_VARIABLE}\n", {"TEST_UNSET_VARIABLE"}},
	{"cache_dir: \"${UNCLOSED\"\n", {"without"}},
	{"cache_dir: ~someone/x\n", {"~USER"}},
	{"tiers: [{type: disk, min_free: 100%}]\n", {"percentage"}},
	{"classes: [{name: a, match: \"{a\"}]\n", {":1:28: ", "without a \"}\""}},
	{"classes: [{name: a, match: [x, \"{ttl}\"]}]\n", {":1:32: ", "user.cogfs.ttl"}},
	{"classes: [{name: a, match: /a}]\n", {"below the mount"}},
	{"classes: [{name: a}]\n", {"needs a match"}},
	{"classes: [{match: a}]\n", {"needs a name"}},
};

static const struct wrong shapes[] = {
	{"a: [\n", {":2:1: "}},
	{"\tx: 1\n", {":1:"}},
	{"- a\n", {"a mapping of sections"}},
	{"mount: {uid: 1, uid: 2}\n", {":1:17: ", "given twice"}},
	{"? [a]\n: b\n", {"a key is"}},
	{"version: 1\n---\nversion: 1\n", {"one document"}},
	{"tiers: {type: ram}\n", {"a list"}},
	{"tiers: [ram]\n", {"a mapping"}},
	{"tiers: [{name: x}]\n", {"needs a type"}},
	{"tiers: [{name: \"a b\", type: ram}]\n", {"a name is made of"}},
	{"tiers: [{name: x, type: ram}, {name: x, type: disk}]\n", {"another type"}},
	{"tiers: [{type: ram, bucket: x}]\n", {"type ram has no bucket"}},
	{"include: missing.yaml\n", {":1:10: ", "no such file"}},
	{"include: {a: b}\n", {"a file"}},
};

static const struct wrong policies[] = {
	{"classes: [{name: a, match: x, tiers: [rma]}]\n",
	 {"class a", "no tier \"rma\"", "\"ram\"?"}},
	{"defaults: {tiers: {ram: {ttl: soon}}}\n", {":1:31: ", "defaults.tiers.ram.ttl"}},
	{"classes: [{name: a, match: x, tiers: {ram: {tll: 1}}}]\n",
	 {"in classes.a.tiers.ram", "\"ttl\"?"}},
	{"classes: [{name: a, match: x, tiers: [ram, ram]}]\n", {":1:44: ", "given twice"}},
	{"classes: [{name: a, match: x, tiers: []}]\n", {"needs a tier"}},
	{"classes: [{name: a, match: x, compression: gzip}]\n", {"none, zstd, or zstd:LEVEL"}},
	{"classes: [{name: a, match: x, compression: {zstd: 20}}]\n", {"too large"}},
	{"classes: [{name: a, match: x, compression: {min_size: 1}}]\n", {"lacks a level"}},
	{"classes: [{name: a, match: x, eviction: mru}]\n", {"none of: lru, lfu"}},
	{"tenants: [acme]\n", {":1:10: ", "a mapping"}},
	{"tenants: {a/b: {}}\n", {":1:11: ", "part of a path"}},
	{"tenants: {acme: {qota: 1}}\n", {"in tenant acme", "\"quota\"?"}},
	{"tenants: {acme: {shares: {ram: 0}}}\n", {":1:32: ", "percentage"}},
	{"tenants: {acme: {shares: {hot: 1GiB}}}\n", {"tenant acme", "no tier \"hot\""}},
	{"tiers: [{type: disk}, {type: dir, path: /x, key: \"{rest}\"}]\n",
	 {"tier dir", "{rest} without {tenant}"}},
	{"tiers: [{type: disk}, {type: dir, path: /x, key: \"{tenant}{rest}\"}]\n",
	 {"no text between"}},
	{"tiers: [{type: disk}, {type: dir, path: /x, key: \"{tenant}/{rest}\"}]\n"
	 "classes: [{name: a, match: \"{tenant}/x/**\"}, {name: b, match: \"t_{tenant}/**\"}]\n",
	 {"class b", "one form"}},
	{"tiers: [{type: disk}, {type: dir, path: /x, key: \"{tenant}/{rest}\"}]\n"
	 "classes: [{name: a, match: \"{region}/{tenant}/**\"}]\n",
	 {"class a", "behind literal text"}},
};

static const struct wrong rules[] = {
	{"tiers: [{type: disk}, {type: dir, path: /x}, {type: s3, bucket: bkt}]\n",
	 {"several stores", "later"}},
	{"tiers: [{name: a, type: disk}, {name: b, type: disk}]\n", {"one tier of type disk"}},
	{"tiers: [{type: dir, path: /x}]\n", {"to hold bodies"}},
	{"tiers: [{type: disk}, {type: dir}]\n", {"needs a path"}},
	{"cache_dir: /c\ntiers: [{type: disk}, {type: dir, path: /c}]\n", {"cache_dir itself"}},
	{"tiers: [{type: disk}, {type: s3}]\n", {"needs a bucket"}},
	{"tiers: [{type: disk}, {type: s3, bucket: a/b}]\n", {"no name of a bucket"}},
	{"tiers: [{type: disk}, {type: s3, bucket: bkt, endpoint: host}]\n", {"https://"}},
	{"tiers: [{type: disk}, {type: s3, bucket: bkt, access_key: k}]\n", {"go together"}},
	{"tiers: [{type: disk}, {type: s3, bucket: bkt, credentials: static}]\n",
	 {"need access_key"}},
	{"tiers: [{type: disk}, {type: s3, bucket: bkt, credentials: magic}]\n",
	 {"credentials are"}},
};

static void check(struct config_fixture *f, const struct wrong *w)
{
	struct config *c = config_fixture_text(f, w->text);

	if (c)
		fail_msg("taken: %s", w->text);
	for (size_t i = 0; i < 3 && w->says[i]; i++)
		if (!strstr(f->err.text, w->says[i]))
			fail_msg("%s is told \"%s\", without \"%s\"", w->text, f->err.text,
				 w->says[i]);
}

static void check_all(const struct wrong *table, size_t n)
{
	struct config_fixture f;

	config_fixture_init(&f);
	for (size_t i = 0; i < n; i++)
		check(&f, &table[i]);
	config_fixture_release(&f);
}

#define CHECK_ALL(table) check_all(table, sizeof(table) / sizeof((table)[0]))

/* An unknown key is told with its place and the nearest name. */
static void test_unknown_keys(void **state)
{
	CHECK_ALL(unknown_keys);
}

/* Policies that cannot be kept are refused. */
static void test_policies(void **state)
{
	CHECK_ALL(policies);
}

/* Options of later versions are refused by name, never ignored. */
static void test_later(void **state)
{
	CHECK_ALL(later);
}

/* A wrong value is told with what a right one looks like. */
static void test_values(void **state)
{
	CHECK_ALL(values);
}

/* What is not shaped like a configuration is told where. */
static void test_shapes(void **state)
{
	CHECK_ALL(shapes);
}

/* Rules over several options. */
static void test_rules(void **state)
{
	CHECK_ALL(rules);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unknown_keys), cmocka_unit_test(test_later),
		cmocka_unit_test(test_policies),     cmocka_unit_test(test_values),
		cmocka_unit_test(test_shapes),	     cmocka_unit_test(test_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
