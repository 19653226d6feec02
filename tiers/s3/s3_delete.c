/* SPDX-License-Identifier: Apache-2.0 */
/* Deleting one version, and many names in one request. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/http/digest.h"
#include "tiers/http/xml.h"
#include "tiers/s3/s3.h"

/*
 * Nothing was there, or nothing of its own: versitygw says "not empty" to the deletion of a marker
 * that nobody put, where names below it exist.
 */
static bool was_absent(int code)
{
	return code == -ENOENT || code == -ENOTEMPTY;
}

static int delete_object(struct s3 *s3, struct tier_call *call, const char *key, bool marker,
			 const char *etag)
{
	CLEANUP_RESPONSE struct http_response response = {0};
	CLEANUP_S3_REQUEST struct s3_request rq = {
		.op = "DeleteObject", .method = "DELETE", .key = key, .marker = marker};
	int rc = etag ? s3_header_add(&rq, "if-match", etag) : 0;

	if (rc == 0)
		rc = s3_send(s3, call, &rq, &response);
	return was_absent(rc) ? 0 : rc;
}

/*
 * Some servers delete whatever If-Match says (MinIO), some refuse the header (501): so the version
 * is looked at just before in any case, and the condition closes the window where it is heeded.
 */
int s3_del(struct tier *t, struct tier_call *call, const char *key, bool marker, const char *etag)
{
	struct s3 *s3 = s3_of(t);
	int rc;

	if (s3->read_only)
		return -EROFS;
	if (!etag)
		return delete_object(s3, call, key, marker, NULL);
	rc = s3_head_version(s3, call, key, marker, etag, NULL);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	rc = delete_object(s3, call, key, marker, etag);
	if (rc == -EOPNOTSUPP)
		rc = delete_object(s3, call, key, marker, NULL);
	return rc;
}

/* --- DeleteObjects --- */

/* Everything is pending (1) until the answer names it; names come back in any order. */
#define PENDING 1

struct batch {
	const struct s3 *s3;
	const char *const *keys;
	size_t *order; /* indexes by key, for the way back */
	size_t n;
	int *codes;
	struct err *err;
};

static int order_cmp(const void *a, const void *b, void *arg)
{
	const struct batch *batch = arg;

	return strcmp(batch->keys[*(const size_t *)a], batch->keys[*(const size_t *)b]);
}

static int batch_deleted(void *arg, const char *key, const char *name)
{
	struct batch *b = arg;
	size_t prefix_len = strlen(b->s3->prefix), low = 0, high = b->n;
	int code = 0;

	if (strncmp(key, b->s3->prefix, prefix_len) != 0)
		return 0;
	key += prefix_len;
	if (name) {
		code = s3_error_errno(name);
		if (was_absent(code))
			code = 0;
		else
			err_set(b->err, code, "DeleteObjects: %.80s: %.60s", key, name);
	}
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (strcmp(b->keys[b->order[mid]], key) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	/* The same name may have been asked for twice. */
	for (; low < b->n && strcmp(b->keys[b->order[low]], key) == 0; low++)
		b->codes[b->order[low]] = code;
	return 0;
}

/* Names that XML cannot hold are not in it: they go one by one. */
static size_t batch_body(const struct batch *b, struct buf *body)
{
	size_t named = 0;

	buf_adds(body, "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
	for (size_t i = 0; i < b->n; i++) {
		const char *key = b->keys[i];

		if (!xml_can_hold(key, strlen(key)))
			continue;
		buf_adds(body, "<Object><Key>");
		xml_escape(body, b->s3->prefix, strlen(b->s3->prefix));
		xml_escape(body, key, strlen(key));
		buf_adds(body, "</Key></Object>");
		named++;
	}
	buf_adds(body, "</Delete>");
	return named;
}

/* The service demands a checksum: MD5, which all know, or the newer one where MD5 is forbidden. */
static int add_checksum(struct s3_request *rq)
{
	char text[64];

	if (md5_base64_of(rq->mem, rq->len, text) == 0)
		return s3_header_add(rq, "content-md5", text);
	if (sha256_base64_of(rq->mem, rq->len, text) == 0)
		return s3_header_add(rq, "x-amz-checksum-sha256", text);
	return -EIO;
}

static int batch_send(struct s3 *s3, struct tier_call *call, struct batch *b,
		      const struct buf *body)
{
	CLEANUP_RESPONSE struct http_response response = {0};
	CLEANUP_S3_REQUEST struct s3_request rq = {.op = "DeleteObjects",
						   .method = "POST",
						   .body = HTTP_BODY_MEM,
						   .mem = body->data,
						   .len = body->len,
						   .patient = true};
	int rc = add_checksum(&rq);

	s3_param_add(&rq, "delete", "");
	if (rc == 0)
		rc = s3_header_add(&rq, "content-type", "application/xml");
	if (rc == 0)
		rc = s3_send(s3, call, &rq, &response);
	if (rc < 0)
		return rc;
	return s3_bad_answer(s3, &rq, &response,
			     s3_xml_deleted(&response.body, batch_deleted, b, &call->err), call);
}

static int batch_order(struct batch *b)
{
	b->order = calloc(b->n, sizeof(*b->order));
	if (!b->order)
		return -ENOMEM;
	for (size_t i = 0; i < b->n; i++) {
		b->order[i] = i;
		b->codes[i] = PENDING;
	}
	qsort_r(b->order, b->n, sizeof(*b->order), order_cmp, b);
	return 0;
}

/* What the batch left out: names that XML cannot hold, and what the answer forgot. */
static int delete_pending(struct s3 *s3, struct tier_call *call, struct batch *b)
{
	int first = 0;

	for (size_t i = 0; i < b->n; i++) {
		if (b->codes[i] == PENDING)
			b->codes[i] = delete_object(s3, call, b->keys[i], false, NULL);
		if (first == 0)
			first = b->codes[i];
	}
	return first;
}

int s3_del_many(struct tier *t, struct tier_call *call, const char *const *keys, size_t n,
		int *ret_codes)
{
	struct s3 *s3 = s3_of(t);
	struct batch b = {.s3 = s3, .keys = keys, .n = n, .codes = ret_codes, .err = &call->err};
	CLEANUP_BUF struct buf body = {0};
	int rc = s3->read_only ? -EROFS : batch_order(&b);

	if (rc == 0 && batch_body(&b, &body) > 0)
		rc = buf_str(&body) ? batch_send(s3, call, &b, &body) : -ENOMEM;
	free(b.order);
	/* A store without DeleteObjects: one by one. */
	if (rc == 0 || rc == -EOPNOTSUPP)
		return delete_pending(s3, call, &b);
	for (size_t i = 0; i < n; i++)
		ret_codes[i] = rc;
	return rc;
}
