/* SPDX-License-Identifier: Apache-2.0 */
/* What tenants have, what they count, and where they end. */
#include <stdio.h>
#include <sys/statvfs.h>

#include "cache_fixture.h"

#define KIB 1024u

static const char tenants[] = "version: 1\n"
			      "tiers:\n"
			      "  - {name: ram, type: ram, max_size: 16MiB}\n"
			      "  - {name: warm, type: disk, max_size: 1GiB}\n"
			      "  - {name: cold, type: dir, path: /nowhere}\n"
			      "tenants:\n"
			      "  acme: {uid: 7, gid: 8, mode: \"0700\", quota: 100KiB}\n"
			      "  few: {max_objects: 3}\n";

static const char open_to_all[] = "version: 1\n"
				  "tiers:\n"
				  "  - {name: warm, type: disk, max_size: 1GiB}\n"
				  "  - {name: cold, type: dir, path: /nowhere}\n"
				  "classes:\n"
				  "  - {name: all, match: \"org/{tenant}/**\"}\n"
				  "tenants:\n"
				  "  \"*\": {mode: \"0710\", quota: 50KiB}\n"
				  "  acme: {quota: 200KiB}\n";

static void begin(struct host *h)
{
	host_close(h);
	h->yaml = tenants;
	host_open(h, h->store);
}

static struct obj *dir_of(struct host *h, const char *key)
{
	struct obj *o;

	assert_int_equal(host_lookup(h, key, &o), 0);
	return o;
}

/* Writes size bytes to a file, which is made; what the first call that fails says. */
static int put(struct host *h, const char *dir, const char *name, size_t size)
{
	CLEANUP_FREE char *buf = calloc(1, size + 1);
	struct obj *d = dir_of(h, dir), *o;
	struct cache_attr attr;
	struct cfile *f;
	struct twait t;
	int r = CALL(&t, cache_create(h->cache, d, name, 0600, 1, 1, O_WRONLY | O_TRUNC, &t.w, NULL,
				      &o, &attr, &f));

	obj_unref(h->cache, d);
	if (r)
		return r;
	if (size)
		r = CALL(&t, cache_write(h->cache, f, buf, size, 0, false, &t.w));
	host_done(h, f);
	obj_unref(h->cache, o);
	return r;
}

static struct cache_tenant told(struct host *h, const char *name)
{
	struct cache_tenant *v, found = {.uid = 12345};
	size_t n;

	assert_int_equal(cache_tenants(h->cache, &v, &n), 0);
	for (size_t i = 0; i < n; i++)
		if (!strcmp(v[i].name, name))
			found = v[i];
	cache_tenants_free(v, n);
	return found;
}

static int rename_from(struct host *h, const char *dir, const char *name, const char *to_dir,
		       const char *to)
{
	struct obj *d = dir_of(h, dir), *e = dir_of(h, to_dir);
	struct twait t;
	int r = CALL(&t, cache_rename(h->cache, d, name, e, to, 0, &t.w));

	obj_unref(h->cache, d);
	obj_unref(h->cache, e);
	return r;
}

static int remove_from(struct host *h, const char *dir, const char *name)
{
	struct obj *d = dir_of(h, dir);
	struct twait t;
	int r = CALL(&t, cache_unlink(h->cache, d, name, &t.w));

	obj_unref(h->cache, d);
	return r;
}

static void declared_directories_are_there(void **state)
{
	struct host *h = *state;
	struct cache_attr attr;
	struct twait t;
	struct obj *o, *root;

	begin(h);
	o = dir_of(h, "tenant_acme");
	assert_int_equal(CALL(&t, cache_getattr(h->cache, o, &t.w, &attr)), 0);
	assert_int_equal(attr.st.st_mode, S_IFDIR | 0700);
	assert_int_equal(attr.st.st_uid, 7);
	assert_int_equal(attr.st.st_gid, 8);
	attr.st.st_mode = 0777;
	assert_int_equal(
		CALL(&t, cache_setattr(h->cache, o, NULL, &attr.st, CACHE_SET_MODE, &t.w, &attr)),
		-EPERM);
	root = cache_root(h->cache);
	assert_int_equal(CALL(&t, cache_rmdir(h->cache, root, "tenant_acme", &t.w)), -EBUSY);
	obj_unref(h->cache, root);
	obj_unref(h->cache, o);
}

static void only_root_makes_what_is_not_declared(void **state)
{
	struct host *h = *state;
	struct cache_attr attr;
	struct obj *root, *o;

	begin(h);
	root = cache_root(h->cache);
	assert_int_equal(cache_mkdir(h->cache, root, "tenant_x", 0755, 5, 5, &o, &attr), -EACCES);
	assert_int_equal(cache_mkdir(h->cache, root, "tenant_x", 0755, 0, 0, &o, &attr), 0);
	obj_unref(h->cache, o);
	assert_int_equal(cache_mkdir(h->cache, root, "other", 0755, 5, 5, &o, &attr), 0);
	obj_unref(h->cache, o);
	obj_unref(h->cache, root);
}

static void the_quota_is_charged_and_given_back(void **state)
{
	struct host *h = *state;

	begin(h);
	assert_int_equal(put(h, "tenant_acme", "a", 60 * KIB), 0);
	assert_int_equal(put(h, "tenant_acme", "b", 41 * KIB), -EDQUOT);
	assert_int_equal(told(h, "acme").bytes, 60 * KIB);
	assert_int_equal(told(h, "acme").objects, 2);
	assert_int_equal(told(h, "acme").refused, 1);
	assert_int_equal(put(h, "tenant_acme", "b", 40 * KIB), 0);
	assert_int_equal(put(h, "tenant_acme", "a", 10 * KIB), 0); /* over it: less */
	assert_int_equal(told(h, "acme").bytes, 50 * KIB);
	assert_int_equal(remove_from(h, "tenant_acme", "b"), 0);
	assert_int_equal(told(h, "acme").bytes, 10 * KIB);
	assert_int_equal(host_flush(h), 0);
	assert_int_equal(told(h, "acme").bytes, 10 * KIB); /* uploaded or not */
	host_close(h);
	host_open(h, h->store);
	for (int n = 0; n < 1000 && told(h, "acme").partial && !told(h, "acme").bytes; n++)
		usleep(2000); /* what is on the disk is found by the scan */
	assert_int_equal(put(h, "tenant_acme", "c", 91 * KIB), -EDQUOT);
	assert_int_equal(put(h, "tenant_acme", "c", 90 * KIB), 0);
	assert_int_equal(told(h, "acme").bytes, 100 * KIB);
}

static void objects_are_counted(void **state)
{
	struct host *h = *state;
	struct cache_attr attr;
	struct obj *d, *o;

	begin(h);
	for (int i = 0; i < 3; i++)
		assert_int_equal(put(h, "tenant_few", (char[]){(char)('a' + i), 0}, 1), 0);
	assert_int_equal(put(h, "tenant_few", "d", 1), -EDQUOT);
	assert_int_equal(put(h, "tenant_few", "a", 10), 0); /* it is there already */
	d = dir_of(h, "tenant_few");
	assert_int_equal(cache_symlink(h->cache, d, "l", "x", 1, 1, &o, &attr), -EDQUOT);
	assert_int_equal(remove_from(h, "tenant_few", "a"), 0);
	assert_int_equal(cache_symlink(h->cache, d, "l", "x", 1, 1, &o, &attr), 0);
	obj_unref(h->cache, o);
	obj_unref(h->cache, d);
	assert_int_equal(told(h, "few").objects, 3);
}

static void renames_stay_in_their_tenant(void **state)
{
	struct host *h = *state;

	begin(h);
	assert_int_equal(put(h, "tenant_acme", "a", 60 * KIB), 0);
	assert_int_equal(rename_from(h, "tenant_acme", "a", "tenant_few", "a"), -EXDEV);
	assert_int_equal(rename_from(h, "", "tenant_acme", "", "other"), -EXDEV);
	obj_unref(h->cache, host_mkdir(h, "d"));
	assert_int_equal(rename_from(h, "", "d", "", "tenant_d"), -EXDEV);
	assert_int_equal(put(h, "d", "x", 50 * KIB), 0);
	assert_int_equal(rename_from(h, "", "d", "tenant_acme", "d"), -EDQUOT);
	assert_int_equal(rename_from(h, "d", "x", "tenant_acme", "x"), -EDQUOT);
	assert_int_equal(put(h, "d", "x", 40 * KIB), 0);
	assert_int_equal(rename_from(h, "", "d", "tenant_acme", "d"), 0);
	assert_int_equal(told(h, "acme").bytes, 100 * KIB);
	assert_int_equal(told(h, "acme").objects, 2);
	assert_int_equal(rename_from(h, "tenant_acme", "d", "", "d"), 0);
	assert_int_equal(told(h, "acme").bytes, 60 * KIB);
}

static void the_size_of_a_tenant_is_its_quota(void **state)
{
	struct host *h = *state;
	struct statvfs vfs;
	struct obj *o;

	begin(h);
	assert_int_equal(put(h, "tenant_acme", "a", 60 * KIB), 0);
	o = dir_of(h, "tenant_acme/a");
	assert_int_equal(cache_statfs(h->cache, o, &vfs), 0);
	assert_int_equal(vfs.f_blocks * vfs.f_frsize, 100 * KIB);
	assert_int_equal(vfs.f_bavail * vfs.f_frsize, 40 * KIB);
	obj_unref(h->cache, o);
	assert_int_equal(cache_statfs(h->cache, NULL, &vfs), 0);
	assert_true(vfs.f_blocks * vfs.f_frsize > 100 * KIB);
}

/* As SIGHUP does. */
static void reload(struct host *h, const char *yaml)
{
	char path[128], source[128];
	struct conf_load_args args = {.file = path, .source = source};
	struct err err = {{0}};
	struct config *fresh;
	FILE *f;

	snprintf(path, sizeof(path), "%s.new.yaml", h->cache_dir);
	snprintf(source, sizeof(source), "dir:%s", h->store);
	f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fputs(yaml, f) >= 0 && !fclose(f));
	if (config_load(&args, &fresh, &err))
		fail_msg("%s", err.text);
	assert_true(config_apply_live(h->config, fresh, &err) >= 0);
	cache_reconfigure(h->cache);
	config_free(fresh);
}

static void reloads_move_tenants(void **state)
{
	struct host *h = *state;
	struct cache_attr attr;
	struct obj *org, *o;
	struct twait t;

	begin(h);
	assert_int_equal(put(h, "tenant_acme", "a", 60 * KIB), 0);
	reload(h, open_to_all); /* tenants are elsewhere now */
	assert_int_equal(told(h, "acme").bytes, 0);
	assert_int_equal(told(h, "acme").quota, 200 * KIB);
	assert_int_equal(put(h, "org/acme", "a", 70 * KIB), 0);
	assert_int_equal(told(h, "acme").bytes, 70 * KIB);
	org = dir_of(h, "org");
	assert_int_equal(cache_mkdir(h->cache, org, "new", 0777, 5, 6, &o, &attr), 0);
	assert_int_equal(attr.st.st_mode, S_IFDIR | 0710);
	assert_int_equal(attr.st.st_uid, 5);
	obj_unref(h->cache, o);
	obj_unref(h->cache, org);
	assert_int_equal(put(h, "org/new", "x", 51 * KIB), -EDQUOT);
	reload(h, tenants);
	assert_int_equal(told(h, "acme").bytes, 60 * KIB);
	assert_int_equal(put(h, "org/new", "x", 51 * KIB), 0);
	o = cache_root(h->cache);
	assert_int_equal(CALL(&t, cache_rmdir(h->cache, o, "tenant_few", &t.w)), -EBUSY);
	obj_unref(h->cache, o);
}

struct writer {
	struct host *h;
	int number;
};

static void *writes(void *arg)
{
	const struct writer *w = arg;

	for (int i = 0; i < 40; i++) {
		char name[16];

		snprintf(name, sizeof(name), "%d-%d", w->number, i % 3);
		(void)put(w->h, "tenant_acme", name, (size_t)(i % 7) * 8 * KIB);
		if (i % 4 == 0)
			(void)remove_from(w->h, "tenant_acme", name);
	}
	return NULL;
}

static void parallel_writers_never_exceed(void **state)
{
	struct host *h = *state;
	struct writer w[4];
	pthread_t threads[4];

	begin(h);
	for (int i = 0; i < 4; i++) {
		w[i] = (struct writer){h, i};
		assert_int_equal(pthread_create(&threads[i], NULL, writes, &w[i]), 0);
	}
	for (int i = 0; i < 500; i++, usleep(500))
		assert_true(told(h, "acme").bytes <= 100 * KIB);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 12; i++) {
		char name[16];

		snprintf(name, sizeof(name), "%d-%d", i / 3, i % 3);
		(void)remove_from(h, "tenant_acme", name);
	}
	assert_int_equal(told(h, "acme").bytes, 0);
	assert_int_equal(told(h, "acme").objects, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HOST_TEST(declared_directories_are_there),
		HOST_TEST(only_root_makes_what_is_not_declared),
		HOST_TEST(the_quota_is_charged_and_given_back),
		HOST_TEST(objects_are_counted),
		HOST_TEST(renames_stay_in_their_tenant),
		HOST_TEST(the_size_of_a_tenant_is_its_quota),
		HOST_TEST(reloads_move_tenants),
		HOST_TEST(parallel_writers_never_exceed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
