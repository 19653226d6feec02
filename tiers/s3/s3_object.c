/* SPDX-License-Identifier: Apache-2.0 */
/* Reading: probe, head and get. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tiers/s3/s3.h"

/* A page of one name: it needs bucket, credentials and the right to list, as a mount does. */
int s3_probe(struct tier *t, struct tier_call *call)
{
	struct s3 *s3 = s3_of(t);
	CLEANUP_RESPONSE struct http_response response = {0};
	CLEANUP_S3_REQUEST struct s3_request rq = {
		.op = "ListObjectsV2", .method = "GET", .about_bucket = true};
	struct s3_page page;
	int rc;

	s3_param_add(&rq, "list-type", "2");
	s3_param_add(&rq, "max-keys", "1");
	s3_param_add(&rq, "prefix", s3->prefix);
	rc = s3_send(s3, call, &rq, &response);
	if (rc == 0)
		rc = s3_bad_answer(s3, &rq, &response,
				   s3_xml_page(&response.body, &page, &call->err), call);
	if (rc < 0)
		return err_wrap(&call->err, rc, "bucket %s at %s", s3->bucket, s3->endpoint.origin);
	s3_page_release(&page);
	s3_sweep_start(s3);
	return 0;
}

/* --- head --- */

static int read_length(const struct http_response *response, uint64_t *ret, struct err *err)
{
	const char *length = http_headers_get(&response->headers, "content-length");

	if (!length || http_number_parse(length, ret) < 0)
		return err_set(err, -EIO, "the answer does not say how large the object is");
	return 0;
}

/* Of a 206: [*ret_first, *ret_last] of *ret_total. */
static int read_range(const struct http_response *response, uint64_t *ret_first, uint64_t *ret_last,
		      uint64_t *ret_total, struct err *err)
{
	const char *range = http_headers_get(&response->headers, "content-range");

	if (!range || http_content_range_parse(range, ret_first, ret_last, ret_total) < 0)
		return err_set(err, -EIO, "206 without a proper Content-Range");
	return 0;
}

static int drop_body(void *arg, const void *data, size_t len)
{
	return 0;
}

/*
 * HEAD has no body, so its refusal does not say what was refused: a 404 is also what an unknown
 * access key or a missing bucket gets. One byte of the object brings the store's own word.
 */
static int head_by_get(struct s3 *s3, struct tier_call *call, const char *key, bool marker,
		       struct record *ret_rec)
{
	CLEANUP_RESPONSE struct http_response response = {0};
	CLEANUP_S3_REQUEST struct s3_request rq = {.op = "GetObject",
						   .method = "GET",
						   .key = key,
						   .marker = marker,
						   .on_body = drop_body};
	uint64_t first, last, size = 0;
	int rc = s3_header_add(&rq, "range", "bytes=0-0");

	if (rc == 0)
		rc = s3_send(s3, call, &rq, &response);
	if (rc < 0 && response.status == 416) {
		call->transient = true;
		return err_set(&call->err, -EIO, "an empty object appeared just now");
	}
	if (rc == 0)
		rc = response.status == 206
			     ? read_range(&response, &first, &last, &size, &call->err)
			     : read_length(&response, &size, &call->err);
	return rc < 0 ? rc : s3_record_read(&response, size, ret_rec, &call->err);
}

static bool refusal_is_clear(const struct s3 *s3, const struct http_response *response)
{
	if (response->status == 404)
		return s3_is_proven(s3) && http_headers_get(&response->headers, "x-amz-request-id");
	/* 400, 403 and redirects: their reason is worth a request. 5xx: there is none. */
	return response->status < 300 || response->status >= 500;
}

static int head_once(struct s3 *s3, struct tier_call *call, const char *key, bool marker,
		     struct record *ret_rec)
{
	CLEANUP_RESPONSE struct http_response response = {0};
	CLEANUP_S3_REQUEST struct s3_request rq = {
		.op = "HeadObject", .method = "HEAD", .key = key, .marker = marker};
	uint64_t size;
	int rc = s3_send(s3, call, &rq, &response);

	if (rc < 0 && response.status && !refusal_is_clear(s3, &response))
		return head_by_get(s3, call, key, marker, ret_rec);
	if (rc < 0 && response.status == 404) {
		call->transient = false;
		return err_set(&call->err, -ENOENT, "HeadObject: 404");
	}
	if (rc == 0)
		rc = read_length(&response, &size, &call->err);
	return rc < 0 ? rc : s3_record_read(&response, size, ret_rec, &call->err);
}

int s3_head_version(struct s3 *s3, struct tier_call *call, const char *key, bool marker,
		    const char *etag, struct record *ret_rec)
{
	struct record rec;
	int rc;

	record_init(&rec);
	rc = head_once(s3, call, key, marker, &rec);
	if (rc == 0 && etag && strcmp(etag, rec.etag) != 0)
		rc = err_set(&call->err, -ESTALE, "HeadObject: the version is %s now", rec.etag);
	if (rc == 0 && ret_rec)
		*ret_rec = rec;
	else
		record_release(&rec);
	return rc;
}

int s3_look_before(struct s3 *s3, struct tier_call *call, const char *key,
		   const struct tier_pre *pre)
{
	const char *etag = pre->cond == TIER_IF_MATCH ? pre->etag : NULL;
	int rc;

	if (pre->cond == TIER_ANY)
		return 0;
	rc = s3_head_version(s3, call, key, false, etag, NULL);
	if (pre->cond == TIER_IF_MATCH)
		return rc == -ENOENT ? err_set(&call->err, -ESTALE, "there is no object now") : rc;
	if (rc == -ENOENT)
		return 0;
	return rc < 0 ? rc : err_set(&call->err, -EEXIST, "there is an object now");
}

int s3_head(struct tier *t, struct tier_call *call, const char *key, struct record *ret_rec)
{
	return s3_head_version(s3_of(t), call, key, false, NULL, ret_rec);
}

/* --- get --- */

struct get {
	struct s3 *s3;
	struct tier_call *call;
	struct tier_sink *sink;
	uint64_t off, end; /* what is wanted; end is clipped once the size is known */
	uint64_t at;	   /* of the answer's next byte in the object */
	const char *etag;  /* of the version; NULL = any */
	bool sink_ended;
	bool enough; /* the answer goes on behind what is wanted, and was cut off */
	int sink_code;
};

static int sink_result(struct get *g, int code)
{
	g->sink_ended = code != 0;
	g->sink_code = code;
	return code;
}

static int get_begin(struct get *g, const struct record *rec)
{
	if (g->end > rec->size)
		g->end = rec->size;
	if (g->end < g->off)
		g->end = g->off;
	return sink_result(g, g->sink->begin(g->sink, rec));
}

/* Where the answer begins and how large the object is. A 200: the server knows no ranges. */
static int get_place(struct get *g, const struct http_response *response, uint64_t *ret_size)
{
	struct err *err = &g->call->err;
	uint64_t first, last, end;
	int rc;

	if (response->status != 206) {
		g->at = 0;
		return read_length(response, ret_size, err);
	}
	rc = read_range(response, &first, &last, ret_size, err);
	if (rc < 0)
		return rc;
	end = g->end < *ret_size ? g->end : *ret_size;
	if (first != g->off || last + 1 != end)
		return err_set(err, -EIO,
			       "asked for bytes %" PRIu64 "-%" PRIu64 ", got %" PRIu64 "-%" PRIu64,
			       g->off, end - 1, first, last);
	g->at = first;
	return 0;
}

static int get_head(void *arg, const struct http_response *response)
{
	struct get *g = arg;
	struct record rec;
	uint64_t size = 0;
	int rc;

	record_init(&rec);
	rc = get_place(g, response, &size);
	if (rc == 0)
		rc = s3_record_read(response, size, &rec, &g->call->err);
	if (rc == 0 && g->etag && strcmp(g->etag, rec.etag) != 0)
		rc = err_set(&g->call->err, -ESTALE, "the version is %s now", rec.etag);
	if (rc == 0)
		rc = get_begin(g, &rec);
	record_release(&rec);
	return rc;
}

/* Hands on what is wanted of the answer, which is all of it but for a server without ranges. */
static int get_body(void *arg, const void *data, size_t len)
{
	struct get *g = arg;
	const char *from = data;
	uint64_t skip = g->off > g->at ? g->off - g->at : 0;
	size_t take;
	int rc;

	if (skip >= len) {
		g->at += len;
		return 0;
	}
	from += skip;
	len -= (size_t)skip;
	g->at += skip;
	take = len < g->end - g->at ? len : (size_t)(g->end - g->at);
	if (take) {
		rc = sink_result(g, g->sink->write(g->sink, from, take, g->at));
		if (rc)
			return rc;
		g->at += take;
	}
	g->enough = take < len;
	return g->enough ? -ECANCELED : 0;
}

static int add_range(struct s3_request *rq, uint64_t off, uint64_t len)
{
	char range[64];

	if (off == 0 && len == UINT64_MAX)
		return 0;
	if (len > UINT64_MAX - off)
		snprintf(range, sizeof(range), "bytes=%" PRIu64 "-", off);
	else
		snprintf(range, sizeof(range), "bytes=%" PRIu64 "-%" PRIu64, off, off + len - 1);
	return s3_header_add(rq, "range", range);
}

/* Nothing to read, or nothing there to read: the record comes from a HEAD. */
static int get_nothing(struct get *g, const char *key, bool past_end)
{
	struct record rec;
	int rc;

	record_init(&rec);
	rc = s3_head_version(g->s3, g->call, key, false, g->etag, &rec);
	if (rc == 0 && past_end && rec.size > g->off) {
		g->call->transient = true;
		rc = err_set(&g->call->err, -EIO, "the object changed between two requests");
	}
	if (rc == 0)
		rc = get_begin(g, &rec);
	record_release(&rec);
	return rc;
}

static int get_bytes(struct get *g, const char *key, uint64_t len, int *ret_status)
{
	CLEANUP_RESPONSE struct http_response response = {0};
	CLEANUP_S3_REQUEST struct s3_request rq = {.op = "GetObject",
						   .method = "GET",
						   .key = key,
						   .on_head = get_head,
						   .on_body = get_body,
						   .arg = g,
						   .expected = len};
	int rc = add_range(&rq, g->off, len);

	/* One condition a request, with the etag as it came: lists and weak ones match nowhere. */
	if (rc == 0 && g->etag)
		rc = s3_header_add(&rq, "if-match", g->etag);
	if (rc == 0)
		rc = s3_send(g->s3, g->call, &rq, &response);
	*ret_status = response.status;
	return rc;
}

int s3_get(struct tier *t, struct tier_call *call, const char *key, uint64_t off, uint64_t len,
	   const char *etag, struct tier_sink *sink)
{
	struct get g = {.s3 = s3_of(t), .call = call, .sink = sink, .off = off, .etag = etag};
	int rc, status = 0;

	g.end = len > UINT64_MAX - off ? UINT64_MAX : off + len;
	if (len == 0)
		return get_nothing(&g, key, false);
	rc = get_bytes(&g, key, len, &status);
	if (g.sink_ended)
		return g.sink_code;
	if (g.enough)
		return 0;
	if (status == 416)
		return get_nothing(&g, key, true);
	if (rc == 0 && g.end > g.off && g.at < g.end) {
		call->transient = true;
		rc = err_set(&call->err, -EIO, "GetObject: ended at byte %" PRIu64 " of %" PRIu64,
			     g.at, g.end);
	}
	return rc;
}
