/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AWS Signature Version 4 in the Authorization header. Ours, because libcurl 7.88's has known bugs
 * and cannot sign what it does not see (query order, session tokens, payload hashes of ranges).
 * What is signed is what is sent: callers encode path and query once, with url_encode().
 */
#ifndef TIERS_HTTP_SIGV4_H
#define TIERS_HTTP_SIGV4_H

#include <stddef.h>
#include <stdint.h>

#include "tiers/http/buf.h"
#include "tiers/http/credentials.h"

/* One field; names in lower case. Values: no runs of blanks, none at the ends. */
struct sigv4_field {
	const char *name, *value;
};

struct sigv4_input {
	const char *method;
	const char *path;  /* encoded, as sent, with a leading '/' */
	const char *query; /* encoded, as sent: sorted, "a=1&b=" ; "" = none */
	/* All that are signed, sorted by name; host is one of them. */
	const struct sigv4_field *fields;
	size_t n_fields;
	const char *payload_hash; /* hex */
	const char *region, *service;
	const char *date; /* as x-amz-date */
};

#define SIGV4_DATE_SIZE 17

/* "20150830T123600Z" */
void sigv4_date(int64_t wall_ns, char out[SIGV4_DATE_SIZE]);

/* Appends the Authorization header's value. 0, -EIO, -ENOMEM. */
int sigv4_authorization(const struct cred *cred, const struct sigv4_input *in, struct buf *ret);

#endif
