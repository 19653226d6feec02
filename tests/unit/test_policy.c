/* SPDX-License-Identifier: Apache-2.0 */
/* What comes of classes, defaults and tenants, and how a running mount takes over new ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config_fixture.h"
#include "model/policy.h"

static const char text[] =
	"cache_dir: /c\n"
	"defaults: {ttl: 30d, compression: {zstd: 5, min_size: 4KiB}, write: through}\n"
	"tiers:\n"
	"  - {name: ram, type: ram, max_size: 1GiB, admit: second_hit, ttl: 1h, on_evict: demote}\n"
	"  - {name: warm, type: disk, max_size: 10GiB, eviction: fifo, max_object: 1GiB}\n"
	"  - {name: cold, type: dir, path: /x, key: \"tenants/{tenant}/{rest}\"}\n"
	"classes:\n"
	"  - name: search\n"
	"    match: \"tenant_{tenant}/search_results/{query_hash}/{strategy}.json\"\n"
	"    tiers: {ram: {ttl: 30m, max_objects: 1000, eviction: lfu}}\n"
	"    ttl: 1h\n"
	"    write: back\n"
	"  - {name: frames, match: \"tenant_{tenant}/frames/**\", tiers: [ram, warm, cold], ttl: "
	"never,\n"
	"     eviction: ttl, priority: 10, max_size: 1GiB, compression: none, after: siblings,\n"
	"     stale_while_revalidate: 30s, mode: \"0640\", readahead: 8MiB}\n"
	"  - {name: static, match: \"static/**\", pinned: true, sidecar: .meta,\n"
	"     foreign: last_modified, tiers: {cold: {compression: zstd}, warm: }}\n"
	"tenants:\n"
	"  \"*\": {mode: \"0700\", quota: 10GiB, shares: {ram: 10%}}\n"
	"  acme: {uid: 1001, gid: 1002, quota: 50GiB, max_objects: 1000, shares: {warm: 2GiB}}\n"
	"  zeta: {}\n";

static const struct class_policy *policy_at(const struct policy_set *set, const char *key)
{
	return policy_match(set, key, strlen(key), NULL);
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

static struct config *load(struct config_fixture *f, const char *yaml)
{
	struct config *c = config_fixture_text(f, yaml);

	if (!c)
		fail_msg("%s", f->err.text);
	return c;
}

/* A class in a tier: its own entry, then the class, then defaults, then the tier. */
static void values_come_from_the_nearest(void **state)
{
	struct config *c = load(*state, text);
	struct policy_set *set = policy_box_get(c->policy);
	const struct class_policy *search = policy_at(set, "tenant_acme/search_results/q/s.json");
	const struct class_policy *frames = policy_at(set, "tenant_acme/frames/v/f.jpg");
	const struct tier_policy *cell;

	assert_string_equal(search->name, "search");
	assert_int_equal(search->ttl_s, 3600);
	assert_int_equal(search->write, WRITE_BACK);
	assert_true(search->is_volatile);
	cell = policy_of(set, search->index, 0);
	assert_true(cell->in);
	assert_int_equal(cell->ttl_s, 1800);
	assert_int_equal(cell->max_objects, 1000);
	assert_int_equal(cell->eviction, EVICTION_LFU);
	assert_int_equal(cell->admission, ADMIT_SECOND_HIT);
	assert_int_equal(cell->on_evict, ON_EVICT_DEMOTE);
	assert_true(cell->max_size == POLICY_NONE);
	assert_false(policy_of(set, search->index, 1)->in);

	assert_string_equal(frames->name, "frames");
	assert_int_equal(frames->ttl_s, CONF_NEVER);
	assert_int_equal(frames->stale_s, 30);
	assert_int_equal(frames->write, WRITE_THROUGH);
	assert_int_equal(frames->priority, 10);
	assert_int_equal(frames->mode, 0640);
	assert_int_equal(frames->readahead, 8 << 20);
	assert_true(frames->after_siblings && !frames->is_volatile);
	assert_int_equal(frames->tiers, 7);
	cell = policy_of(set, frames->index, 1);
	assert_int_equal(cell->eviction, EVICTION_TTL);
	assert_int_equal(cell->max_size, 1 << 30);
	assert_int_equal(cell->max_object, 1 << 30);
	assert_int_equal(policy_of(set, frames->index, 0)->ttl_s, 3600);
	assert_int_equal(policy_of(set, frames->index, 2)->compression.level, 0);
	policy_set_unref(set);
	config_free(c);
}

/* What no class matches, and what a class leaves out, is as in defaults. */
static void defaults_are_the_class_of_the_rest(void **state)
{
	struct config *c = load(*state, text);
	struct policy_set *set = policy_box_get(c->policy);
	const struct class_policy *rest = policy_at(set, "a/b"),
				  *fixed = policy_at(set, "static/x");

	assert_string_equal(rest->name, "default");
	assert_null(rest->conf);
	assert_int_equal(rest->index, policy_n_classes(set) - 1);
	assert_int_equal(rest->ttl_s, 30 * 86400);
	assert_int_equal(rest->tiers, 7);
	assert_int_equal(policy_of(set, rest->index, 2)->compression.level, 5);
	assert_int_equal(policy_of(set, rest->index, 2)->compression.min_size, 4096);
	assert_int_equal(policy_of(set, rest->index, 1)->compression.level, 0);
	assert_true(rest->mode == POLICY_MODE_NONE);

	assert_string_equal(fixed->name, "static");
	assert_int_equal(fixed->ttl_s, 30 * 86400);
	assert_true(fixed->pinned);
	assert_string_equal(fixed->sidecar, ".meta");
	assert_int_equal(fixed->foreign, FOREIGN_LAST_MODIFIED);
	assert_int_equal(fixed->tiers, 6);
	assert_int_equal(policy_of(set, fixed->index, 2)->compression.level, 3);
	policy_set_unref(set);
	config_free(c);
}

/* A tenant's entry, what it leaves out from "*", and nobody's without it. */
static void tenants_are_found_by_name(void **state)
{
	struct config *c = load(*state, text);
	struct policy_set *set = policy_box_get(c->policy);
	const struct tenant_policy *acme = policy_tenant(set, "acmeX", 4);
	const struct tenant_policy *other = policy_tenant(set, "other", 5);
	static const char path[] = "tenant_acme/nothing/x";
	const char *name;
	char *dir;
	size_t len;

	assert_true(acme->declared && acme->uid == 1001 && acme->gid == 1002);
	assert_int_equal(acme->mode, 0700);
	assert_int_equal(acme->quota, 50ULL << 30);
	assert_int_equal(acme->max_objects, 1000);
	assert_int_equal(acme->share[1], 2ULL << 30);
	assert_true(acme->share[0] == POLICY_NONE);
	assert_false(other->declared);
	assert_true(other->uid == POLICY_ID_NONE && other->max_objects == POLICY_NONE);
	assert_int_equal(other->share[0], (1ULL << 30) / 10);
	assert_int_equal(policy_tenant(set, "zeta", 4)->quota, 10ULL << 30);
	assert_true(policy_tenant_name(set, path, strlen(path), NULL, &name, &len));
	assert_int_equal(len, 4);
	assert_memory_equal(name, "acme", 4);
	assert_false(policy_tenant_name(set, "static/x", 8, NULL, &name, &len));
	dir = policy_tenant_dir(set, "acme");
	assert_string_equal(dir, "tenant_acme");
	free(dir);
	assert_null(policy_tenant_dir(set, "a/b"));
	assert_non_null(policy_keymap(set, 2));
	assert_null(policy_keymap(set, 1));
	policy_set_unref(set);
	config_free(c);
}

/* What is printed loads again, to the same. */
static void policies_print_and_load(void **state)
{
	struct config *c = load(*state, text), *again;
	char *first = config_fixture_print(c, false), *second;

	again = load(*state, first);
	second = config_fixture_print(again, false);
	assert_string_equal(first, second);
	assert_non_null(
		strstr(first, "tiers: {ram: {ttl: 30m, max_objects: 1000, eviction: lfu}}\n"));
	assert_non_null(strstr(first, "compression: {zstd: 5, min_size: 4KiB}\n"));
	assert_non_null(strstr(first, "shares: {ram: 10%}\n"));
	free(first);
	free(second);
	config_free(again);
	config_free(c);
}

/* Classes and tenants come, change and go while somebody still uses what was there. */
static void policies_change_live(void **state)
{
	struct config *live = load(*state, text), *fresh;
	struct policy_set *before = policy_box_get(live->policy), *after;
	struct err err = {0};

	fresh = load(*state,
		     "cache_dir: /c\n"
		     "tiers:\n"
		     "  - {name: ram, type: ram, max_size: 2GiB, admit: second_hit, ttl: 2h, "
		     "on_evict: demote}\n"
		     "  - {name: warm, type: disk, max_size: 10GiB, max_object: 1GiB}\n"
		     "  - {name: cold, type: dir, path: /x, key: \"tenants/{tenant}/{rest}\"}\n"
		     "classes: [{name: new, match: \"tenant_{tenant}/**\", ttl: 5m}]\n"
		     "tenants: {acme: {quota: 1GiB}, beta: {shares: {ram: 50%}}}\n");
	assert_int_equal(config_apply_live(live, fresh, &err), 0);
	config_free(fresh);
	after = policy_box_get(live->policy);
	assert_true(before != after);
	assert_int_equal(policy_set_generation(after), policy_set_generation(before) + 1);
	assert_int_equal(policy_box_generation(live->policy), policy_set_generation(after));

	assert_string_equal(policy_at(before, "tenant_acme/frames/f")->name, "frames");
	assert_string_equal(policy_at(before, "tenant_acme/frames/f")->conf->name, "frames");
	assert_string_equal(policy_at(after, "tenant_acme/frames/f")->name, "new");
	assert_int_equal(policy_of(after, 0, 0)->ttl_s, 7200);
	assert_int_equal(policy_tenant(before, "acme", 4)->quota, 50ULL << 30);
	assert_int_equal(policy_tenant(after, "acme", 4)->quota, 1ULL << 30);
	assert_int_equal(policy_tenant(after, "beta", 4)->share[0], 1ULL << 30);
	assert_null(policy_tenant(after, "zeta", 4));
	assert_string_equal(class_of(live, "tenant_acme/frames/f")->name, "new");
	policy_set_unref(before);
	policy_set_unref(after);
	config_free(live);
}

/* Classes that need a tier which is not mounted wait, all of them. */
static void policies_that_do_not_fit_wait(void **state)
{
	struct config *live = load(*state, text), *fresh;
	uint32_t generation = policy_box_generation(live->policy);
	struct err err = {0};

	fresh = load(*state, "cache_dir: /c\n"
			     "tiers: [{name: other, type: disk, max_size: 10GiB}]\n"
			     "classes: [{name: new, match: \"x/**\", tiers: [other]}]\n");
	assert_true(config_apply_live(live, fresh, &err) > 0);
	assert_non_null(strstr(err.text, "classes"));
	assert_int_equal(policy_box_generation(live->policy), generation);
	assert_string_equal(live->classes->name, "search");
	assert_string_equal(fresh->classes->name, "new");
	config_free(fresh);
	config_free(live);
}

/* A file beside another is of its class, where that class says so. */
static void sidecars_follow_their_object(void **state)
{
	struct config *c = load(*state, text);
	struct policy_set *set = policy_box_get(c->policy);
	const struct class_policy *class;
	size_t len;

	assert_true(policy_sidecar_of(set, "static/a.pkl.meta", 17, &len, &class));
	assert_int_equal(len, 12);
	assert_string_equal(class->name, "static");
	assert_false(policy_sidecar_of(set, "static/.meta", 12, &len, &class));
	assert_false(policy_sidecar_of(set, "other/a.meta", 12, &len, &class));
	assert_false(policy_sidecar_of(set, ".meta", 5, &len, &class));
	policy_set_unref(set);
	config_free(c);
}

/* tiers and compression can be said in one word, in the environment too. */
static void one_word_is_enough(void **state)
{
	static const char *const overrides[] = {"defaults.tiers", "ram, warm",
						"defaults.compression", "zstd:9", NULL};
	struct config_fixture *f = *state;
	struct policy_set *set;
	struct config *c;

	config_fixture_write(f, "cogfs.yaml", text);
	c = config_fixture_load(f, "cogfs.yaml", overrides);
	assert_non_null(c);
	set = policy_box_get(c->policy);
	assert_int_equal(policy_at(set, "a/b")->tiers, 3);
	assert_int_equal(c->defaults.compression.level, 9);
	policy_set_unref(set);
	config_free(c);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(values_come_from_the_nearest), TEST(defaults_are_the_class_of_the_rest),
		TEST(tenants_are_found_by_name),    TEST(policies_print_and_load),
		TEST(policies_change_live),	    TEST(policies_that_do_not_fit_wait),
		TEST(one_word_is_enough),	    TEST(sidecars_follow_their_object),
	};

	return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
