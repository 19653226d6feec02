/* SPDX-License-Identifier: Apache-2.0 */
/* One request to the bucket: put together, signed, sent, and its failure explained. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/http/digest.h"
#include "tiers/http/sigv4.h"
#include "tiers/s3/s3.h"
#include "util/cleanup.h"

/* A connection on which nothing moves for so long is given up, whatever the deadline. */
#define STALL_NS (30 * NSEC_PER_SEC)
#define PROOF_NS (5 * NSEC_PER_SEC)
#define PAUSE_LOOK_NS (50 * NSEC_PER_MSEC)
#define SIGNING_FIELDS 5

void s3_request_release(struct s3_request *rq)
{
	meta_list_release(&rq->headers);
}

void s3_param_add(struct s3_request *rq, const char *name, const char *value)
{
	assert(rq->n_params < S3_PARAMS_MAX);
	rq->params[rq->n_params++] = (struct s3_param){name, value};
}

int s3_header_add(struct s3_request *rq, const char *name, const char *value)
{
	return meta_list_add(&rq->headers, name, value);
}

int s3_pre_add(struct s3_request *rq, const struct tier_pre *pre)
{
	rq->cond = pre->cond;
	switch (pre->cond) {
	case TIER_IF_ABSENT:
		return s3_header_add(rq, "if-none-match", "*");
	case TIER_IF_MATCH:
		return s3_header_add(rq, "if-match", pre->etag);
	case TIER_ANY:
		break;
	}
	return 0;
}

void s3_proven(struct s3 *s3)
{
	atomic_store_explicit(&s3->proven_at, clock_mono(s3->base.clock), memory_order_relaxed);
}

bool s3_is_proven(const struct s3 *s3)
{
	int64_t at = atomic_load_explicit(&s3->proven_at, memory_order_relaxed);

	return at && clock_mono(s3->base.clock) - at < PROOF_NS;
}

int s3_pause(const struct s3 *s3, const struct tier_call *call, const atomic_bool *stop, int64_t ns)
{
	const struct clock *clock = s3->base.clock;
	int64_t until = clock_mono(clock) + ns;

	for (;;) {
		int64_t now = clock_mono(clock);
		int rc = tier_call_check(&s3->base, call);

		if (rc == 0 && stop && atomic_load_explicit(stop, memory_order_relaxed))
			rc = -ECANCELED;
		if (rc < 0 || now >= until)
			return rc;
		clock->sleep_until(clock,
				   until - now < PAUSE_LOOK_NS ? until : now + PAUSE_LOOK_NS);
	}
}

/* --- what one try is made of --- */

struct attempt {
	struct buf path, query, url, authorization;
	char date[SIGV4_DATE_SIZE];
	char sha256[SHA256_HEX_SIZE];
	struct sigv4_field *fields; /* sorted */
	size_t n_fields;
	char **lines; /* as transport takes headers; NULL-terminated */
};

static void attempt_release(struct attempt *a)
{
	buf_release(&a->path);
	buf_release(&a->query);
	buf_release(&a->url);
	buf_release(&a->authorization);
	free(a->fields);
	for (size_t i = 0; a->lines && a->lines[i]; i++)
		free(a->lines[i]);
	free(a->lines);
}

static int param_cmp(const void *a, const void *b)
{
	return strcmp(((const struct s3_param *)a)->name, ((const struct s3_param *)b)->name);
}

static int field_cmp(const void *a, const void *b)
{
	return strcmp(((const struct sigv4_field *)a)->name, ((const struct sigv4_field *)b)->name);
}

static void add_path(const struct s3 *s3, const struct s3_request *rq, struct buf *path)
{
	buf_adds(path, s3->endpoint.path);
	if (rq->key) {
		buf_addc(path, '/');
		url_encode(path, s3->prefix, strlen(s3->prefix), true);
		url_encode(path, rq->key, strlen(rq->key), true);
		if (rq->marker)
			buf_addc(path, '/');
	} else if (path->len == 0) {
		buf_addc(path, '/');
	}
}

static void add_query(const struct s3_request *rq, struct buf *query)
{
	struct s3_param sorted[S3_PARAMS_MAX];

	memcpy(sorted, rq->params, sizeof(sorted));
	qsort(sorted, rq->n_params, sizeof(*sorted), param_cmp);
	for (size_t i = 0; i < rq->n_params; i++) {
		buf_addf(query, "%s%s=", i ? "&" : "", sorted[i].name);
		url_encode(query, sorted[i].value, strlen(sorted[i].value), false);
	}
}

static int attempt_address(const struct s3 *s3, const struct s3_request *rq, struct attempt *a)
{
	add_path(s3, rq, &a->path);
	add_query(rq, &a->query);
	buf_adds(&a->url, s3->endpoint.origin);
	buf_add(&a->url, a->path.data, a->path.len);
	if (a->query.len) {
		buf_addc(&a->url, '?');
		buf_add(&a->url, a->query.data, a->query.len);
	}
	return buf_str(&a->path) && buf_str(&a->query) && buf_str(&a->url) ? 0 : -ENOMEM;
}

/* Every body is signed, never UNSIGNED-PAYLOAD: so the server can tell a torn one. */
static int attempt_hash(const struct s3_request *rq, struct attempt *a)
{
	if (rq->body == HTTP_BODY_FD) {
		assert(rq->sha256);
		memcpy(a->sha256, rq->sha256, SHA256_HEX_SIZE);
		return 0;
	}
	if (rq->body == HTTP_BODY_NONE || !rq->len) {
		memcpy(a->sha256, SHA256_EMPTY_HEX, SHA256_HEX_SIZE);
		return 0;
	}
	return sha256_hex_of(rq->mem, rq->len, a->sha256);
}

static void field_add(struct attempt *a, const char *name, const char *value)
{
	a->fields[a->n_fields++] = (struct sigv4_field){name, value};
}

static int attempt_sign(const struct s3 *s3, const struct s3_request *rq, const struct cred *cred,
			struct attempt *a)
{
	a->fields = calloc(rq->headers.n + SIGNING_FIELDS, sizeof(*a->fields));
	if (!a->fields)
		return -ENOMEM;
	for (size_t i = 0; i < rq->headers.n; i++)
		field_add(a, rq->headers.v[i].name, rq->headers.v[i].value);
	field_add(a, "host", s3->endpoint.host);
	if (!cred->access_key)
		return 0;
	sigv4_date(clock_wall(s3->base.clock), a->date);
	field_add(a, "x-amz-date", a->date);
	field_add(a, "x-amz-content-sha256", a->sha256);
	if (cred->session_token)
		field_add(a, "x-amz-security-token", cred->session_token);
	qsort(a->fields, a->n_fields, sizeof(*a->fields), field_cmp);

	struct sigv4_input in = {
		.method = rq->method,
		.path = a->path.data,
		.query = buf_str(&a->query),
		.fields = a->fields,
		.n_fields = a->n_fields,
		.payload_hash = a->sha256,
		.region = s3->endpoint.region,
		.service = "s3",
		.date = a->date,
	};
	int rc = sigv4_authorization(cred, &in, &a->authorization);

	if (rc == 0)
		field_add(a, "authorization", a->authorization.data);
	return rc;
}

static int attempt_lines(struct attempt *a)
{
	a->lines = calloc(a->n_fields + 1, sizeof(*a->lines));
	if (!a->lines)
		return -ENOMEM;
	for (size_t i = 0; i < a->n_fields; i++) {
		const struct sigv4_field *f = &a->fields[i];

		/* "name:" would tell libcurl to leave the header out. */
		if (asprintf(&a->lines[i], "%s%s%s", f->name, *f->value ? ": " : ";", f->value) <
		    0) {
			a->lines[i] = NULL;
			return -ENOMEM;
		}
	}
	return 0;
}

static int attempt_prepare(const struct s3 *s3, const struct s3_request *rq,
			   const struct cred *cred, struct attempt *a)
{
	int rc = attempt_address(s3, rq, a);

	if (rc == 0)
		rc = attempt_hash(rq, a);
	if (rc == 0)
		rc = attempt_sign(s3, rq, cred, a);
	if (rc == 0)
		rc = attempt_lines(a);
	return rc;
}

/* What goes onto the wire. 0 whatever the answer's status is. */
static int attempt_send(struct s3 *s3, struct tier_call *call, const struct s3_request *rq,
			const struct cred *cred, struct http_response *response)
{
	struct attempt a = {0};
	int rc = attempt_prepare(s3, rq, cred, &a);

	if (rc == 0) {
		struct http_request http = {
			.method = rq->method,
			.url = a.url.data,
			.headers = (const char *const *)a.lines,
			.body = rq->body,
			.mem = rq->mem,
			.fd = rq->fd,
			.off = rq->off,
			.len = rq->len,
			.on_body = rq->on_body,
			.on_head = rq->on_head,
			.arg = rq->arg,
			.body_max = S3_XML_MAX,
			.expected = rq->expected,
			.deadline = call->deadline,
			.stall_ns = rq->patient ? 0 : STALL_NS,
			.cancel = {call->cancel, rq->stop},
		};

		rc = transport_perform(s3->transport, &http, response, &call->err);
		call->transient = rc && response->transient;
	}
	attempt_release(&a);
	return rc;
}

/* A text that came from outside may hold what we sent; ours must not hold secrets. */
static void hide_secrets(struct s3_fault *fault, const struct cred *cred)
{
	if ((cred->secret_key && *cred->secret_key && strstr(fault->message, cred->secret_key)) ||
	    (cred->session_token && strstr(fault->message, cred->session_token)))
		fault->message[0] = '\0';
}

/* One try; *ret_renew: the store did not like the credentials. */
static int send_once(struct s3 *s3, struct tier_call *call, const struct s3_request *rq,
		     const struct cred *cred, struct http_response *response, bool *ret_renew)
{
	struct s3_fault fault;
	int rc = attempt_send(s3, call, rq, cred, response);

	*ret_renew = false;
	if (rc)
		return err_wrap(&call->err, rc, "%s", rq->op);
	if (response->status >= 200 && response->status < 300) {
		s3_proven(s3);
		return 0;
	}
	s3_fault_read(rq, response, &fault);
	hide_secrets(&fault, cred);
	if (fault.code == -ENOENT && fault.name[0] && !rq->about_bucket)
		s3_proven(s3);
	*ret_renew = fault.renew;
	return s3_fault_report(s3, rq, response, &fault, call);
}

int s3_send(struct s3 *s3, struct tier_call *call, const struct s3_request *rq,
	    struct http_response *response)
{
	for (int tries = 0;; tries++) {
		CLEANUP_CRED struct cred *cred = NULL;
		bool renew;
		int rc = cred_provider_get(s3->creds, &cred, &call->err);

		if (rc == -ENOMEM)
			return rc;
		if (rc < 0)
			return err_wrap(&call->err, -EACCES, "%s", rq->op);
		rc = send_once(s3, call, rq, cred, response, &renew);
		if (!renew || tries || !cred_provider_renew(s3->creds, cred))
			return rc;
	}
}
