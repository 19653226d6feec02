/* SPDX-License-Identifier: Apache-2.0 */
/* The requests of a multipart upload; who sends them when is s3_multipart.c's. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tiers/http/xml.h"
#include "tiers/s3/s3.h"

int s3_upload_create(struct s3 *s3, struct tier_call *call, const char *key,
		     const struct record *rec, char **ret_id)
{
	CLEANUP_RESPONSE struct http_response response = {0};
	CLEANUP_S3_REQUEST struct s3_request rq = {.op = "CreateMultipartUpload",
						   .method = "POST",
						   .key = key,
						   .body = HTTP_BODY_MEM,
						   .mem = ""};
	int rc = s3_record_add(s3, call, &rq, rec);

	s3_param_add(&rq, "uploads", "");
	if (rc == 0)
		rc = s3_send(s3, call, &rq, &response);
	if (rc < 0)
		return rc;
	return s3_bad_answer(s3, &rq, &response,
			     s3_xml_upload_id(&response.body, ret_id, &call->err), call);
}

int s3_upload_part(struct s3 *s3, struct tier_call *call, const char *key, const char *id,
		   unsigned int number, struct s3_part *part, int fd, const atomic_bool *stop)
{
	CLEANUP_RESPONSE struct http_response response = {0};
	CLEANUP_S3_REQUEST struct s3_request rq = {.op = "UploadPart",
						   .method = "PUT",
						   .key = key,
						   .body = HTTP_BODY_FD,
						   .fd = fd,
						   .off = part->off,
						   .len = part->len,
						   .sha256 = part->sha256,
						   .stop = stop};
	char text[16];
	int rc;

	snprintf(text, sizeof(text), "%u", number);
	s3_param_add(&rq, "partNumber", text);
	s3_param_add(&rq, "uploadId", id);
	rc = s3_send(s3, call, &rq, &response);
	return rc < 0 ? rc : s3_etag_of(&response, part->etag, &call->err);
}

int s3_upload_copy(struct s3 *s3, struct tier_call *call, const char *key, const char *id,
		   unsigned int number, struct s3_part *part, const char *source, const char *etag,
		   const atomic_bool *stop)
{
	CLEANUP_RESPONSE struct http_response response = {0};
	CLEANUP_S3_REQUEST struct s3_request rq = {.op = "UploadPartCopy",
						   .method = "PUT",
						   .key = key,
						   .body = HTTP_BODY_MEM,
						   .mem = "",
						   .patient = true,
						   .stop = stop};
	char text[16], range[64];
	int rc;

	snprintf(text, sizeof(text), "%u", number);
	snprintf(range, sizeof(range), "bytes=%" PRIu64 "-%" PRIu64, part->off,
		 part->off + part->len - 1);
	s3_param_add(&rq, "partNumber", text);
	s3_param_add(&rq, "uploadId", id);
	rc = s3_header_add(&rq, "x-amz-copy-source", source);
	if (rc == 0)
		rc = s3_header_add(&rq, "x-amz-copy-source-if-match", etag);
	if (rc == 0)
		rc = s3_header_add(&rq, "x-amz-copy-source-range", range);
	if (rc == 0)
		rc = s3_send(s3, call, &rq, &response);
	if (rc < 0)
		return rc;
	return s3_bad_answer(s3, &rq, &response,
			     s3_xml_etag(&response.body, part->etag, &call->err), call);
}

static int complete_body(const struct s3_part *parts, size_t n, struct buf *body)
{
	buf_adds(body, "<CompleteMultipartUpload "
		       "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
	for (size_t i = 0; i < n; i++) {
		buf_addf(body, "<Part><PartNumber>%zu</PartNumber><ETag>", i + 1);
		xml_escape(body, parts[i].etag, strlen(parts[i].etag));
		buf_adds(body, "</ETag></Part>");
	}
	buf_adds(body, "</CompleteMultipartUpload>");
	return buf_str(body) ? 0 : -ENOMEM;
}

/* The server says 200 before it has finished, and may say <Error> after that. */
int s3_upload_complete(struct s3 *s3, struct tier_call *call, const char *key, const char *id,
		       const struct s3_part *parts, size_t n, const struct tier_pre *pre,
		       char *ret_etag)
{
	CLEANUP_RESPONSE struct http_response response = {0};
	CLEANUP_BUF struct buf body = {0};
	CLEANUP_S3_REQUEST struct s3_request rq = {.op = "CompleteMultipartUpload",
						   .method = "POST",
						   .key = key,
						   .body = HTTP_BODY_MEM,
						   .patient = true};
	int rc = complete_body(parts, n, &body);

	rq.mem = body.data;
	rq.len = body.len;
	s3_param_add(&rq, "uploadId", id);
	if (rc == 0)
		rc = s3_header_add(&rq, "content-type", "application/xml");
	if (rc == 0)
		rc = s3_pre_add(&rq, pre);
	if (rc == 0)
		rc = s3_send(s3, call, &rq, &response);
	if (rc < 0)
		return rc;
	return s3_bad_answer(s3, &rq, &response, s3_xml_etag(&response.body, ret_etag, &call->err),
			     call);
}

int s3_upload_abort(struct s3 *s3, struct tier_call *call, const char *key, const char *id)
{
	CLEANUP_RESPONSE struct http_response response = {0};
	CLEANUP_S3_REQUEST struct s3_request rq = {
		.op = "AbortMultipartUpload", .method = "DELETE", .key = key};

	s3_param_add(&rq, "uploadId", id);
	return s3_send(s3, call, &rq, &response);
}
