/* SPDX-License-Identifier: Apache-2.0 */
/* What -o means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "cli/options.h"

static struct mount_options parsed(const char *text)
{
	struct mount_options o = {0};
	struct err err = {0};

	if (mount_options_parse(&o, text, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	return o;
}

/* The last value that o gives name, or NULL. */
static const char *value_of(const struct mount_options *o, const char *name)
{
	for (size_t i = o->n_overrides; i > 0; i--)
		if (strcmp(o->overrides[i - 1].name, name) == 0)
			return o->overrides[i - 1].value;
	return NULL;
}

static void assert_refused(const char *text, const char *says)
{
	struct mount_options o = {0};
	struct err err = {0};

	assert_int_equal(mount_options_parse(&o, text, &err), -EINVAL);
	if (!strstr(err.text, says))
		fail_msg("%s is told \"%s\"", text, err.text);
	mount_options_release(&o);
}

/* fstab's words that mean nothing here are ignored. */
static void test_ignored(void **state)
{
	struct mount_options o = parsed(
		"defaults,_netdev,nofail,noauto,user,users,suid,dev,exec,relatime,"
		"x-systemd.automount,x-systemd.requires=a.service,X-mount.mkdir,comment=abc,,");

	assert_int_equal(o.n_overrides, 0);
	assert_null(o.fuse_opts);
	mount_options_release(&o);
}

/* The kernel's words are passed on as they were written. */
static void test_kernel(void **state)
{
	struct mount_options o = parsed("nodev,nosuid,noatime,context=a\\,b,default_permissions");

	assert_string_equal(o.fuse_opts, "nodev,nosuid,noatime,context=a\\,b,default_permissions");
	assert_int_equal(o.n_overrides, 0);
	mount_options_release(&o);
}

/* ro and allow_other are the kernel's and the configuration's. */
static void test_both(void **state)
{
	struct mount_options o = parsed("ro,allow_other");

	assert_string_equal(o.fuse_opts, "ro,allow_other");
	assert_string_equal(value_of(&o, "mount.read_only"), "on");
	assert_string_equal(value_of(&o, "mount.allow_other"), "on");
	mount_options_release(&o);
}

/* Any option of the configuration, by its whole name or a short one; '-' is '_'. */
static void test_config_names(void **state)
{
	struct mount_options o = parsed(
		"network.retry.tries=5,passthrough=off,list-ttl=5s,cache-dir=/c,read_only,"
		"write=through,endpoint=http://h:1,tiers.my-tier.max-size=1GiB,debug,ttl=7d");

	assert_string_equal(value_of(&o, "network.retry.tries"), "5");
	assert_string_equal(value_of(&o, "mount.passthrough"), "off");
	assert_string_equal(value_of(&o, "mount.list_ttl"), "5s");
	assert_string_equal(value_of(&o, "cache_dir"), "/c");
	assert_string_equal(value_of(&o, "mount.read_only"), "on");
	assert_string_equal(value_of(&o, "write"), "through");
	assert_string_equal(value_of(&o, "store.endpoint"), "http://h:1");
	assert_string_equal(value_of(&o, "tiers.my-tier.max_size"), "1GiB");
	assert_string_equal(value_of(&o, "log.level"), "debug");
	assert_string_equal(value_of(&o, "defaults.ttl"), "7d");
	mount_options_release(&o);
}

/* A backslash keeps a comma in a value; an '=' may stand in one. */
static void test_escapes(void **state)
{
	struct mount_options o = parsed("cache_dir=/a\\,b\\\\c=d,config=/x\\,y,fsname=s\\,t");

	assert_string_equal(value_of(&o, "cache_dir"), "/a,b\\c=d");
	assert_string_equal(o.config_file, "/x,y");
	assert_string_equal(o.fsname, "s,t");
	mount_options_release(&o);
}

/* A second -o adds to the first, and the last value holds. */
static void test_several(void **state)
{
	struct mount_options o = parsed("uid=1,nodev,config=a");
	struct err err = {0};

	assert_int_equal(mount_options_parse(&o, "uid=2,nosuid,config=b,strict,over", &err), 0);
	assert_string_equal(value_of(&o, "mount.uid"), "2");
	assert_string_equal(o.fuse_opts, "nodev,nosuid");
	assert_string_equal(o.config_file, "b");
	assert_true(o.strict);
	assert_true(o.over);
	mount_options_release(&o);
}

/* What is unknown is an error with the nearest name. */
static void test_unknown(void **state)
{
	assert_refused("pasthrough=off", "did you mean passthrough?");
	assert_refused("alow_other", "did you mean allow_other?");
	assert_refused("frobnicate", "there is no option frobnicate");
	assert_refused("=x", "there is no option");
}

/* An option that needs a value says so. */
static void test_missing_value(void **state)
{
	assert_refused("list_ttl", "needs a value");
	assert_refused("config", "needs a value");
	assert_refused("network.retry.tries", "needs a value");
}

/* mount -s ignores what is unknown. */
static void test_sloppy(void **state)
{
	struct mount_options o = {.sloppy = true};
	struct err err = {0};

	assert_int_equal(mount_options_parse(&o, "frobnicate,uid=3", &err), 0);
	assert_string_equal(value_of(&o, "mount.uid"), "3");
	mount_options_release(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ignored), cmocka_unit_test(test_kernel),
		cmocka_unit_test(test_both),	cmocka_unit_test(test_config_names),
		cmocka_unit_test(test_escapes), cmocka_unit_test(test_several),
		cmocka_unit_test(test_unknown), cmocka_unit_test(test_missing_value),
		cmocka_unit_test(test_sloppy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
