/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials: the shared files, the environment, the chain, and what happens when they change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tiers/http/credentials.h"
#include "tiers/http/profile.h"
#include "util/cleanup.h"

static const char *const variables[] = {
	"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
	"AWS_PROFILE",	     "AWS_DEFAULT_PROFILE",   "AWS_REGION",
};

struct fixture {
	char dir[64];
	char credentials[96], config[96];
};

/* Each test sees two files of its own, and nothing of the caller's environment. */
static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
		unsetenv(variables[i]);
	snprintf(f->dir, sizeof(f->dir), "/tmp/cogfs-cred.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->credentials, sizeof(f->credentials), "%s/credentials", f->dir);
	snprintf(f->config, sizeof(f->config), "%s/config", f->dir);
	setenv("AWS_SHARED_CREDENTIALS_FILE", f->credentials, 1);
	setenv("AWS_CONFIG_FILE", f->config, 1);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	unlink(f->credentials);
	unlink(f->config);
	rmdir(f->dir);
	free(f);
	return 0;
}

static void write_text(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static struct cred_provider *provider(const char *spec)
{
	const struct cred_conf conf = {.spec = spec};
	struct cred_provider *p = NULL;
	struct err err = {0};

	assert_int_equal(cred_provider_new(&conf, &p, &err), 0);
	return p;
}

static void check_get(struct cred_provider *p, const char *access_key, const char *secret_key,
		      const char *token)
{
	CLEANUP_CRED struct cred *cred = NULL;
	struct err err = {0};

	assert_int_equal(cred_provider_get(p, &cred, &err), 0);
	assert_string_equal(cred->access_key, access_key);
	assert_string_equal(cred->secret_key, secret_key);
	if (token)
		assert_string_equal(cred->session_token, token);
	else
		assert_null(cred->session_token);
}

static void check_none(struct cred_provider *p, int code)
{
	CLEANUP_CRED struct cred *cred = NULL;
	struct err err = {0};

	assert_int_equal(cred_provider_get(p, &cred, &err), code);
	assert_null(cred);
	assert_true(err.text[0]);
}

/* A profile's section is read, other sections, nested settings and comments are not. */
static void test_profile_parse(void **state)
{
	static const char text[] = "# aws_access_key_id = no\n"
				   "[other]\n"
				   "aws_access_key_id = no\r\n"
				   "[ work ]\n"
				   "aws_access_key_id=AK1\r\n"
				   "  aws_secret_access_key = nested\n"
				   "aws_secret_access_key = S/K+1= \n"
				   "; aws_session_token = no\n"
				   "unknown = x\n"
				   "[last]\n"
				   "aws_session_token = no";
	struct aws_profile p = {0};

	assert_int_equal(aws_profile_parse(&p, AWS_CREDENTIALS_FILE, "work", text, strlen(text)),
			 0);
	assert_true(p.found);
	assert_string_equal(p.access_key, "AK1");
	assert_string_equal(p.secret_key, "S/K+1=");
	assert_null(p.session_token);
	aws_profile_release(&p);
}

/* In the config file a section is "[profile x]", but for the default. */
static void test_profile_config_names(void **state)
{
	static const char text[] = "[work]\nregion = wrong\n"
				   "[profile work]\nregion = eu-west-1\n"
				   "[default]\nregion = us-west-2\n";
	struct aws_profile work = {0}, fallback = {0}, none = {0};

	aws_profile_parse(&work, AWS_CONFIG_FILE, "work", text, strlen(text));
	aws_profile_parse(&fallback, AWS_CONFIG_FILE, "default", text, strlen(text));
	aws_profile_parse(&none, AWS_CONFIG_FILE, "none", text, strlen(text));
	assert_string_equal(work.region, "eu-west-1");
	assert_string_equal(fallback.region, "us-west-2");
	assert_false(none.found);
	aws_profile_release(&work);
	aws_profile_release(&fallback);
	aws_profile_release(&none);
}

/* The credentials file's word counts before the config file's. */
static void test_profile_precedence(void **state)
{
	struct fixture *f = *state;
	struct aws_profile p = {0};
	struct err err = {0};

	write_text(f->credentials, "[default]\naws_access_key_id = A\n");
	write_text(f->config,
		   "[default]\naws_access_key_id = B\nregion = r\nendpoint_url = http://h\n");
	assert_int_equal(aws_profile_read("default", &p, &err), 0);
	assert_string_equal(p.access_key, "A");
	assert_string_equal(p.region, "r");
	assert_string_equal(p.endpoint_url, "http://h");
	aws_profile_release(&p);
}

/* Only a whole pair counts. */
static void test_env(void **state)
{
	const struct cred_conf conf = {.spec = "env"};
	struct cred_provider *p = NULL;
	struct err err = {0};

	assert_int_equal(cred_provider_new(&conf, &p, &err), -EINVAL);
	setenv("AWS_ACCESS_KEY_ID", "AK", 1);
	assert_int_equal(cred_provider_new(&conf, &p, &err), -EINVAL);
	setenv("AWS_SECRET_ACCESS_KEY", "SK", 1);
	setenv("AWS_SESSION_TOKEN", "TK", 1);
	p = provider("env");
	check_get(p, "AK", "SK", "TK");
	cred_provider_free(p);
}

/* auto: configured ones, then the environment's, then the files'. */
static void test_auto_order(void **state)
{
	const struct cred_conf conf = {.spec = "auto", .access_key = "C1", .secret_key = "C2"};
	struct fixture *f = *state;
	struct cred_provider *p = NULL;
	struct err err = {0};

	p = provider("auto");
	check_none(p, -ENODATA);
	cred_provider_free(p);

	write_text(f->credentials,
		   "[default]\naws_access_key_id = F1\naws_secret_access_key = F2\n");
	p = provider("auto");
	check_get(p, "F1", "F2", NULL);
	cred_provider_free(p);

	setenv("AWS_ACCESS_KEY_ID", "E1", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "E2", 1);
	p = provider("auto");
	check_get(p, "E1", "E2", NULL);
	cred_provider_free(p);

	assert_int_equal(cred_provider_new(&conf, &p, &err), 0);
	check_get(p, "C1", "C2", NULL);
	cred_provider_free(p);
}

/* A profile that needs what we cannot do says so, instead of "no credentials". */
static void test_unsupported_source(void **state)
{
	struct fixture *f = *state;
	struct cred_provider *p;
	CLEANUP_CRED struct cred *cred = NULL;
	struct err err = {0};

	write_text(f->config, "[profile role]\nrole_arn = arn:aws:iam::1:role/x\n");
	p = provider("file:role");
	assert_int_equal(cred_provider_get(p, &cred, &err), -EINVAL);
	assert_non_null(strstr(err.text, "role_arn"));
	cred_provider_free(p);
}

/* A rewritten file is taken up when the store refuses the old keys; what is held stays valid. */
static void test_file_renew(void **state)
{
	struct fixture *f = *state;
	struct cred_provider *p;
	struct cred *old = NULL;
	struct err err = {0};

	setenv("AWS_PROFILE", "p", 1);
	write_text(f->credentials, "[p]\naws_access_key_id = A1\naws_secret_access_key = S1\n");
	p = provider("file");
	assert_int_equal(cred_provider_get(p, &old, &err), 0);
	assert_false(cred_provider_renew(p, old));

	write_text(f->credentials, "[p]\naws_access_key_id = A22\naws_secret_access_key = S22\n"
				   "aws_session_token = T\n");
	assert_true(cred_provider_renew(p, old));
	check_get(p, "A22", "S22", "T");
	assert_string_equal(old->secret_key, "S1");
	cred_unref(old);

	/* A file that is gone for a moment does not take the keys away. */
	unlink(f->credentials);
	check_get(p, "A22", "S22", "T");
	cred_provider_free(p);
}

/* Anonymous signs nothing; a word that is none is refused with the list of words. */
static void test_specs(void **state)
{
	const struct cred_conf typo = {.spec = "anonymus"},
			       half = {.spec = "static", .access_key = "A"};
	CLEANUP_CRED struct cred *cred = NULL;
	struct cred_provider *p = provider("anonymous");
	struct err err = {0};

	assert_int_equal(cred_provider_get(p, &cred, &err), 0);
	assert_null(cred->access_key);
	cred_provider_free(p);
	assert_int_equal(cred_provider_new(&typo, &p, &err), -EINVAL);
	assert_non_null(strstr(err.text, "anonymous"));
	assert_int_equal(cred_provider_new(&half, &p, &err), -EINVAL);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_profile_parse),      TEST(test_profile_config_names),
		TEST(test_profile_precedence), TEST(test_env),
		TEST(test_auto_order),	       TEST(test_unsupported_source),
		TEST(test_file_renew),	       TEST(test_specs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
