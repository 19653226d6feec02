/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a request's credentials come from. A provider is asked before every request and answers
 * from memory; what it hands out is immutable and counted, so a request that is under way keeps
 * what it was signed with while a newer set takes over. Secrets are wiped when the last reference
 * goes, and no text of this part ever holds one.
 */
#ifndef TIERS_HTTP_CREDENTIALS_H
#define TIERS_HTTP_CREDENTIALS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "util/err.h"

struct cred {
	atomic_uint refs;
	char *access_key; /* NULL: anonymous, requests are not signed */
	char *secret_key;
	char *session_token; /* NULL = none */
};

/* One reference. token may be NULL; access_key NULL: anonymous. NULL: no memory. */
struct cred *cred_new(const char *access_key, const char *secret_key, const char *token);
struct cred *cred_ref(struct cred *cred);
void cred_unref(struct cred *cred); /* accepts NULL */
bool cred_equal(const struct cred *a, const struct cred *b);

static inline void cleanup_cred_unrefp(struct cred **cred)
{
	cred_unref(*cred);
}

#define CLEANUP_CRED __attribute__((cleanup(cleanup_cred_unrefp)))

struct cred_provider;

struct cred_ops {
	const char *name; /* "env", "profile default", ... for messages */

	/*
	 * The present credentials, with a reference for the caller. -ENODATA: this provider has
	 * none (the next one of a chain is asked); other errors say in err what is wrong with what
	 * it found.
	 */
	int (*get)(struct cred_provider *p, struct cred **ret, struct err *err);

	/* The store refused them as unknown or expired. True where get has others now. */
	bool (*renew)(struct cred_provider *p, const struct cred *refused);

	void (*free)(struct cred_provider *p);
};

struct cred_provider {
	const struct cred_ops *ops;
};

struct cred_conf {
	/* "auto" (also NULL), "static", "env", "anonymous", "file", "file:PROFILE" */
	const char *spec;
	const char *access_key, *secret_key, *session_token; /* of "static", and first in "auto" */
};

/* -EINVAL where spec is not known or incomplete. */
int cred_provider_new(const struct cred_conf *conf, struct cred_provider **ret, struct err *err);

/* --- the thin wrappers that callers use; any thread --- */
int cred_provider_get(struct cred_provider *p, struct cred **ret, struct err *err);
bool cred_provider_renew(struct cred_provider *p, const struct cred *refused);
void cred_provider_free(struct cred_provider *p); /* accepts NULL */

/* --- the providers; cred_provider_new puts them together --- */
/* Takes a reference of its own. */
int cred_static_new(struct cred *cred, struct cred_provider **ret);
int cred_file_new(const char *profile, struct cred_provider **ret);

#endif
