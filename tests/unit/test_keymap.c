/* SPDX-License-Identifier: Apache-2.0 */
/* Store keys by template, there and back. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "model/keymap.h"
#include "naive_pattern.h"

#define SEED_001 "tenant_{tenant}/**"
#define S3 "tenants/{tenant}/{rest}"
#define REDIS "{tenant}:{rest}"

/* A template and the form it needs. */
struct fixture {
	struct tenant_form form;
	struct keymap *map;
};

static void setup(struct fixture *f, const char *template, const char *pattern)
{
	struct err err = {0};

	memset(f, 0, sizeof(*f));
	assert_int_equal(tenant_form_of(pattern, &f->form, &err), 0);
	if (keymap_new(template, &f->form, &f->map, &err) < 0)
		fail_msg("%s", err.text);
}

static void teardown(struct fixture *f)
{
	keymap_free(f->map);
	tenant_form_release(&f->form);
}

static const struct {
	const char *template, *pattern, *path, *key; /* key NULL: refused */
} rows[] = {
	{"{key}", SEED_001, "tenant_acme/x", "tenant_acme/x"},
	{"v1/{key}", SEED_001, "a/b", "v1/a/b"},
	{S3, SEED_001, "tenant_acme/frames/v1.jpg", "tenants/acme/frames/v1.jpg"},
	{S3, SEED_001, "other/x", "other/x"},
	{S3, SEED_001, "tenant_acme", "tenant_acme"},
	{S3, SEED_001, "tenants/acme/x", NULL},
	{S3, SEED_001, "tenants/x", NULL},
	{S3, SEED_001, "tenants", NULL},
	{S3, SEED_001, "tenantsx/acme/x", "tenantsx/acme/x"},
	{S3, SEED_001, "tenant_a%b/x", "tenants/a%25b/x"},
	{REDIS, SEED_001, "tenant_acme/frames/v1.jpg", "acme:frames/v1.jpg"},
	{REDIS, SEED_001, "tenant_a:b/x:y", "a%3Ab:x:y"},
	{REDIS, SEED_001, "acme:x", NULL},
	{REDIS, SEED_001, "dir/acme:x", "dir/acme:x"},
	{"{tenant}/{key}", SEED_001, "tenant_a/x", "a/tenant_a/x"},
	{"{tenant}/{rest}", SEED_001, "misc/x", NULL},
	{"{tenant}/{rest}", SEED_001, "top", "top"},
	{"x/{tenant}/data/{rest}.bin", "pipeline/{tenant:[a-z]+}-t/**", "pipeline/ab-t/c/d",
	 "x/ab/data/c/d.bin"},
	{"x/{tenant}/data/{rest}.bin", "pipeline/{tenant:[a-z]+}-t/**", "pipeline/a1-t/c",
	 "pipeline/a1-t/c"},
};

/* Each path has the key that the table says, and the key leads back to it. */
static void the_table_holds(void **state)
{
	char key[KEY_MAX + 1], path[KEY_MAX + 1];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fixture f;
		int n;

		setup(&f, rows[i].template, rows[i].pattern);
		n = keymap_expand(f.map, rows[i].path, strlen(rows[i].path), key);
		if (!rows[i].key) {
			assert_int_equal(n, -EINVAL);
		} else {
			assert_true(n >= 0);
			assert_string_equal(key, rows[i].key);
			assert_true(keymap_invert(f.map, key, (size_t)n, path) >= 0);
			assert_string_equal(path, rows[i].path);
		}
		teardown(&f);
	}
}

/* Keys that no path of ours can have are hidden. */
static void foreign_keys_are_hidden(void **state)
{
	static const char *const foreign[] = {"tenant_acme/x",
					      "tenants/x",
					      "tenants/a%2Fb/x",
					      "tenants/a%41/x",
					      "tenants//x",
					      "a//b",
					      "../x",
					      ".cogfs/x",
					      "tenants/acme/",
					      "tenants/acme/../x"};
	char path[KEY_MAX + 1];
	struct fixture f;

	setup(&f, S3, SEED_001);
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
		if (keymap_invert(f.map, foreign[i], strlen(foreign[i]), path) >= 0)
			fail_msg("%s is shown as %s", foreign[i], path);
	teardown(&f);
}

static const struct {
	const char *template, *said;
} wrong[] = {
	{"", "needs {key} once"},
	{"{tenant}/x", "needs {key} once"},
	{"{key}{key}", "needs {key} once"},
	{"{rest}", "{rest} without {tenant}"},
	{"{tenant}{rest}", "no text between"},
	{"{rest}/{tenant}", "{tenant} stands before"},
	{"/{key}", "begins with no /"},
	{"{video}/{key}", "no {video}"},
	{"{key", "braces"},
	{"a}{key}", "braces"},
	{"{tenant}-{tenant}-{rest}", "needs {key} once"},
	{"{tenant}2{rest}", "or another mark"},
};

/* A template that could not be inverted is refused when it is made. */
static void wrong_templates_are_refused(void **state)
{
	struct tenant_form form;

	assert_int_equal(tenant_form_of(SEED_001, &form, NULL), 0);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct keymap *map = NULL;
		struct err err = {0};

		assert_int_equal(keymap_new(wrong[i].template, &form, &map, &err), -EINVAL);
		if (!strstr(err.text, wrong[i].said))
			fail_msg("%s: said \"%s\"", wrong[i].template, err.text);
	}
	tenant_form_release(&form);
}

static void check_list(const struct keymap *map, const char *dir, const char *first,
		       const char *second)
{
	struct keymap_prefixes list;

	assert_int_equal(keymap_list(map, dir, strlen(dir), &list), 0);
	assert_int_equal(list.n, second ? 2 : 1);
	assert_string_equal(list.text[0], first);
	if (second)
		assert_string_equal(list.text[1], second);
}

static void check_dir(const struct keymap *map, const char *prefix, const char *want)
{
	char path[KEY_MAX + 1];
	int n = keymap_invert_dir(map, prefix, strlen(prefix), path);

	if (!want) {
		assert_int_equal(n, -EINVAL);
		return;
	}
	assert_int_equal(n, strlen(want));
	assert_string_equal(path, want);
}

/* Listings ask the store for what may lie in the directory, and know it again. */
static void directories_are_listed(void **state)
{
	struct keymap_prefixes none;
	struct fixture f;

	setup(&f, S3, SEED_001);
	check_list(f.map, "", "", "tenants/");
	check_list(f.map, "tenant_acme", "tenants/acme/", NULL);
	check_list(f.map, "tenant_acme/frames", "tenants/acme/frames/", NULL);
	check_list(f.map, "other/x", "other/x/", NULL);
	assert_int_equal(keymap_list(f.map, "tenants", 7, &none), -EINVAL);
	check_dir(f.map, "tenants/acme", "tenant_acme");
	check_dir(f.map, "tenants/acme/frames", "tenant_acme/frames");
	check_dir(f.map, "other", "other");
	check_dir(f.map, "tenants", NULL);
	check_dir(f.map, "tenant_acme", NULL);
	check_dir(f.map, ".cogfs", NULL);
	teardown(&f);

	setup(&f, REDIS, SEED_001);
	check_list(f.map, "", "", NULL);
	check_list(f.map, "tenant_a:b/x", "a%3Ab:x/", NULL);
	check_dir(f.map, "acme:frames", "tenant_acme/frames");
	check_dir(f.map, "other", "other");
	teardown(&f);

	setup(&f, "x/{tenant}/data/{rest}", "pipeline/{tenant}/**");
	check_list(f.map, "", "", "x/");
	check_list(f.map, "pipeline", "pipeline/", "x/");
	check_list(f.map, "pipeline/acme", "x/acme/data/", NULL);
	check_dir(f.map, "x/acme", "pipeline/acme");
	check_dir(f.map, "x/acme/data", "pipeline/acme");
	check_dir(f.map, "x/acme/data/v", "pipeline/acme/v");
	check_dir(f.map, "x/acme/other", NULL);
	teardown(&f);

	setup(&f, "v1/{key}", SEED_001);
	check_list(f.map, "", "v1/", NULL);
	check_list(f.map, "a", "v1/a/", NULL);
	check_dir(f.map, "v1/a", "a");
	check_dir(f.map, "v2", NULL);
	teardown(&f);
}

static void random_text(struct naive_random *rnd, char out[64])
{
	static const char *const pieces[] = {"tenant_", "tenants", "/",	 "/",	 "a",
					     "b",	":",	   "%",	 "%25",	 "%3A",
					     "-t",	".",	   "x/", "acme", "data"};
	size_t len = 0;

	out[0] = '\0';
	for (unsigned int n = 1 + naive_below(rnd, 7); n > 0; n--)
		len += (size_t)snprintf(out + len, 64 - len, "%s",
					pieces[naive_below(rnd, sizeof(pieces) / sizeof(*pieces))]);
}

/* No two paths share a key, and what is shown of a store is what has that key. */
static void random_keys_go_both_ways(void **state)
{
	static const char *const templates[] = {
		S3,	   REDIS,   "{tenant}/{rest}", "{tenant}/{key}", "x/{tenant}/data/{rest}",
		"{key}.b", "a{key}"};
	struct naive_random rnd = {6};
	unsigned int there = 0, back = 0;

	for (size_t t = 0; t < sizeof(templates) / sizeof(templates[0]); t++) {
		struct fixture f;

		setup(&f, templates[t], SEED_001);
		for (unsigned int i = 0; i < 20000; i++) {
			char text[64], key[KEY_MAX + 1], path[KEY_MAX + 1];
			int n;

			random_text(&rnd, text);
			n = key_check(text, strlen(text));
			if (n == 0)
				n = keymap_expand(f.map, text, strlen(text), key);
			if (n > 0) {
				assert_true(keymap_invert(f.map, key, (size_t)n, path) > 0);
				assert_string_equal(path, text);
				there++;
			}
			n = keymap_invert(f.map, text, strlen(text), path);
			if (n > 0) {
				assert_true(keymap_expand(f.map, path, (size_t)n, key) > 0);
				assert_string_equal(key, text);
				back++;
			}
		}
		teardown(&f);
	}
	assert_true(there > 10000 && back > 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_holds),
		cmocka_unit_test(foreign_keys_are_hidden),
		cmocka_unit_test(wrong_templates_are_refused),
		cmocka_unit_test(directories_are_listed),
		cmocka_unit_test(random_keys_go_both_ways),
	};

	return cmocka_run_group_tests_name("keymap", tests, NULL, NULL);
}
