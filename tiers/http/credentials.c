/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials: the counted set, the providers that hold a fixed one, and the chain. */
#include "tiers/http/credentials.h"

#include <assert.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/http/profile.h"
#include "util/cleanup.h"

#define CHAIN_MAX 4

static void free_secret(char *s)
{
	if (s)
		OPENSSL_cleanse(s, strlen(s));
	free(s);
}

static bool dup_to(char **ret, const char *s)
{
	*ret = s ? strdup(s) : NULL;
	return *ret || !s;
}

struct cred *cred_new(const char *access_key, const char *secret_key, const char *token)
{
	struct cred *cred = calloc(1, sizeof(*cred));

	if (!cred)
		return NULL;
	atomic_init(&cred->refs, 1);
	if (!dup_to(&cred->access_key, access_key) || !dup_to(&cred->secret_key, secret_key) ||
	    !dup_to(&cred->session_token, token && *token ? token : NULL)) {
		cred_unref(cred);
		return NULL;
	}
	return cred;
}

struct cred *cred_ref(struct cred *cred)
{
	atomic_fetch_add_explicit(&cred->refs, 1, memory_order_relaxed);
	return cred;
}

void cred_unref(struct cred *cred)
{
	if (!cred || atomic_fetch_sub_explicit(&cred->refs, 1, memory_order_acq_rel) != 1)
		return;
	free_secret(cred->access_key);
	free_secret(cred->secret_key);
	free_secret(cred->session_token);
	free(cred);
}

static bool text_equal(const char *a, const char *b)
{
	if (!a || !b)
		return a == b;
	return strcmp(a, b) == 0;
}

bool cred_equal(const struct cred *a, const struct cred *b)
{
	return text_equal(a->access_key, b->access_key) &&
	       text_equal(a->secret_key, b->secret_key) &&
	       text_equal(a->session_token, b->session_token);
}

/* --- one fixed set: static, env, anonymous --- */

struct fixed {
	struct cred_provider base;
	struct cred *cred;
};

static int fixed_get(struct cred_provider *p, struct cred **ret, struct err *err)
{
	*ret = cred_ref(((struct fixed *)p)->cred);
	return 0;
}

static bool fixed_renew(struct cred_provider *p, const struct cred *refused)
{
	return false;
}

static void fixed_free(struct cred_provider *p)
{
	cred_unref(((struct fixed *)p)->cred);
	free(p);
}

static const struct cred_ops fixed_ops = {
	.name = "static",
	.get = fixed_get,
	.renew = fixed_renew,
	.free = fixed_free,
};

int cred_static_new(struct cred *cred, struct cred_provider **ret)
{
	struct fixed *fixed = calloc(1, sizeof(*fixed));

	if (!fixed)
		return -ENOMEM;
	fixed->base.ops = &fixed_ops;
	fixed->cred = cred_ref(cred);
	*ret = &fixed->base;
	return 0;
}

static int fixed_from(const char *access_key, const char *secret_key, const char *token,
		      struct cred_provider **ret)
{
	CLEANUP_CRED struct cred *cred = cred_new(access_key, secret_key, token);

	return cred ? cred_static_new(cred, ret) : -ENOMEM;
}

static bool present(const char *s)
{
	return s && *s;
}

/* -ENODATA where the environment has none. A key without its secret is a mistake. */
static int env_new(struct cred_provider **ret, struct err *err)
{
	const char *access_key = getenv("AWS_ACCESS_KEY_ID");
	const char *secret_key = getenv("AWS_SECRET_ACCESS_KEY");

	if (!present(access_key))
		return err_set(err, -ENODATA, "AWS_ACCESS_KEY_ID is not set");
	if (!present(secret_key))
		return err_set(err, -EINVAL,
			       "AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not");
	return fixed_from(access_key, secret_key, getenv("AWS_SESSION_TOKEN"), ret);
}

static int static_new(const struct cred_conf *conf, struct cred_provider **ret, struct err *err)
{
	if (!present(conf->access_key) || !present(conf->secret_key))
		return err_set(err, -EINVAL, "credentials: static needs access_key and secret_key");
	return fixed_from(conf->access_key, conf->secret_key, conf->session_token, ret);
}

/* --- the chain of "auto": the first that has any --- */

struct chain {
	struct cred_provider base;
	struct cred_provider *links[CHAIN_MAX];
	size_t n;
};

static int chain_get(struct cred_provider *p, struct cred **ret, struct err *err)
{
	struct chain *chain = (struct chain *)p;

	for (size_t i = 0; i < chain->n; i++) {
		int rc = cred_provider_get(chain->links[i], ret, err);

		if (rc != -ENODATA)
			return rc;
	}
	return err_set(err, -ENODATA,
		       "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, make "
		       "~/.aws/credentials, or configure `credentials: anonymous`");
}

static bool chain_renew(struct cred_provider *p, const struct cred *refused)
{
	struct chain *chain = (struct chain *)p;
	bool renewed = false;

	for (size_t i = 0; i < chain->n; i++)
		renewed |= cred_provider_renew(chain->links[i], refused);
	return renewed;
}

static void chain_free(struct cred_provider *p)
{
	struct chain *chain = (struct chain *)p;

	for (size_t i = 0; i < chain->n; i++)
		cred_provider_free(chain->links[i]);
	free(chain);
}

static const struct cred_ops chain_ops = {
	.name = "auto",
	.get = chain_get,
	.renew = chain_renew,
	.free = chain_free,
};

static int chain_fill(struct chain *chain, const struct cred_conf *conf, struct err *err)
{
	int rc;

	if (present(conf->access_key)) {
		rc = static_new(conf, &chain->links[chain->n], err);
		if (rc < 0)
			return rc;
		chain->n++;
	}
	rc = env_new(&chain->links[chain->n], err);
	if (rc == 0)
		chain->n++;
	else if (rc != -ENODATA)
		return rc;
	rc = cred_file_new(NULL, &chain->links[chain->n]);
	if (rc == 0)
		chain->n++;
	return rc;
}

static int chain_new(const struct cred_conf *conf, struct cred_provider **ret, struct err *err)
{
	struct chain *chain = calloc(1, sizeof(*chain));
	int rc;

	if (!chain)
		return -ENOMEM;
	chain->base.ops = &chain_ops;
	rc = chain_fill(chain, conf, err);
	if (rc < 0) {
		chain_free(&chain->base);
		return rc;
	}
	*ret = &chain->base;
	return 0;
}

int cred_provider_new(const struct cred_conf *conf, struct cred_provider **ret, struct err *err)
{
	const char *spec = conf->spec ? conf->spec : "auto";

	if (strcmp(spec, "auto") == 0)
		return chain_new(conf, ret, err);
	if (strcmp(spec, "static") == 0)
		return static_new(conf, ret, err);
	if (strcmp(spec, "anonymous") == 0)
		return fixed_from(NULL, NULL, NULL, ret);
	if (strcmp(spec, "file") == 0)
		return cred_file_new(NULL, ret);
	if (strncmp(spec, "file:", 5) == 0 && spec[5])
		return cred_file_new(spec + 5, ret);
	if (strcmp(spec, "env") == 0) {
		int rc = env_new(ret, err);

		return rc == -ENODATA ? -EINVAL : rc;
	}
	return err_set(err, -EINVAL,
		       "credentials: \"%s\" is none of auto, static, env, file, file:PROFILE and "
		       "anonymous",
		       spec);
}

int cred_provider_get(struct cred_provider *p, struct cred **ret, struct err *err)
{
	int rc = p->ops->get(p, ret, err);

	assert(rc <= 0);
	assert(rc < 0 || !(*ret)->access_key == !(*ret)->secret_key);
	return rc;
}

bool cred_provider_renew(struct cred_provider *p, const struct cred *refused)
{
	return p->ops->renew(p, refused);
}

void cred_provider_free(struct cred_provider *p)
{
	if (p)
		p->ops->free(p);
}
