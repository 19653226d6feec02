/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies inside the store. S3 replaces metadata only by copying an object onto itself. CopyObject
 * takes up to 5 GiB, which we learn from its refusal: asking for the size first would cost every
 * other copy a request. No server heeds a condition on the destination, so that is looked at just
 * before.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "tiers/s3/s3.h"

static const struct tier_pre pre_any = {.cond = TIER_ANY};

/* "/bucket/prefix/key", encoded as x-amz-copy-source wants it. */
static int copy_source(const struct s3 *s3, const char *from, struct buf *ret)
{
	buf_addc(ret, '/');
	url_encode(ret, s3->bucket, strlen(s3->bucket), false);
	buf_addc(ret, '/');
	url_encode(ret, s3->prefix, strlen(s3->prefix), true);
	url_encode(ret, from, strlen(from), true);
	return buf_str(ret) ? 0 : -ENOMEM;
}

static int copy_headers(const struct s3 *s3, const struct tier_call *call, struct s3_request *rq,
			const char *source, const char *etag, const struct record *rec)
{
	int rc = s3_header_add(rq, "x-amz-copy-source", source);

	if (rc == 0 && etag)
		rc = s3_header_add(rq, "x-amz-copy-source-if-match", etag);
	if (rc == 0)
		rc = s3_header_add(rq, "x-amz-metadata-directive", rec ? "REPLACE" : "COPY");
	if (rc == 0 && rec)
		rc = s3_record_add(s3, call, rq, rec);
	else if (rc == 0)
		rc = s3_class_add(s3, call, rq);
	return rc;
}

/*
 * *ret_large: refused for its size, as far as the answer tells: AWS says InvalidRequest to that, as
 * to much else.
 */
static int copy_object(struct s3 *s3, struct tier_call *call, const char *source, const char *etag,
		       const char *to, const struct record *rec, char *ret_etag, bool *ret_large)
{
	CLEANUP_RESPONSE struct http_response response = {0};
	CLEANUP_S3_REQUEST struct s3_request rq = {.op = "CopyObject",
						   .method = "PUT",
						   .key = to,
						   .body = HTTP_BODY_MEM,
						   .mem = "",
						   .patient = true};
	int rc = copy_headers(s3, call, &rq, source, etag, rec);

	if (rc == 0)
		rc = s3_send(s3, call, &rq, &response);
	*ret_large = rc == -EFBIG || (rc == -EIO && response.status == 400 && !call->transient);
	if (rc < 0)
		return rc;
	return s3_bad_answer(s3, &rq, &response, s3_xml_etag(&response.body, ret_etag, &call->err),
			     call);
}

/* Parts take no metadata from the source: it is read first, with the size. */
static int copy_large(struct s3 *s3, struct tier_call *call, const char *from, const char *source,
		      const char *etag, const char *to, const struct record *rec,
		      const struct tier_pre *pre, char *ret_etag, int refusal)
{
	struct record present;
	int rc;

	record_init(&present);
	rc = s3_head_version(s3, call, from, false, etag, &present);
	if (rc == 0 && present.size <= S3_MAX_SINGLE) {
		rc = refusal;
	} else if (rc == 0) {
		rc = s3_multipart_copy(s3, call, source, present.etag, present.size, to,
				       rec ? rec : &present, pre, ret_etag);
	}
	record_release(&present);
	return rc;
}

static int copy_bytes(struct s3 *s3, struct tier_call *call, const char *from, const char *etag,
		      const char *to, const struct record *rec, const struct tier_pre *pre,
		      char *ret_etag)
{
	CLEANUP_BUF struct buf source = {0};
	bool large;
	int rc = copy_source(s3, from, &source);

	if (rc < 0)
		return rc;
	rc = copy_object(s3, call, source.data, etag, to, rec, ret_etag, &large);
	if (!large)
		return rc;
	return copy_large(s3, call, from, source.data, etag, to, rec, pre, ret_etag, rc);
}

int s3_copy(struct tier *t, struct tier_call *call, const char *from, const char *etag,
	    const char *to, const struct record *rec, const struct tier_pre *pre, char *ret_etag)
{
	struct s3 *s3 = s3_of(t);
	int rc;

	if (s3->read_only)
		return -EROFS;
	/* A marker has no bytes to copy, and versitygw refuses to. */
	if (rec_is_dir(rec))
		return s3_put_empty(s3, call, to, true, rec, pre, ret_etag);
	rc = s3_look_before(s3, call, to, pre);
	return rc < 0 ? rc : copy_bytes(s3, call, from, etag, to, rec, pre, ret_etag);
}

int s3_set_meta(struct tier *t, struct tier_call *call, const char *key, const char *etag,
		const struct record *rec, char *ret_etag)
{
	const struct tier_pre same = {.cond = TIER_IF_MATCH, .etag = etag};
	struct s3 *s3 = s3_of(t);

	if (s3->read_only)
		return -EROFS;
	if (rec_is_dir(rec))
		return s3_put_empty(s3, call, key, true, rec, etag ? &same : &pre_any, ret_etag);
	return copy_bytes(s3, call, key, etag, key, rec, &pre_any, ret_etag);
}
