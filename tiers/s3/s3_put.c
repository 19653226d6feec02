/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Put: markers and symlinks from memory, small bodies in one request, large ones in parts.
 *
 * A body is read once before it is sent, for its SHA-256, which the signature covers: so a body
 * that changes while it is sent is refused by the server. SHA-256 and no x-amz-checksum-*, because
 * every server checks it, none refuses the header, and it costs as little (1.8 GB/s a core with SHA
 * extensions). The same pass checks the XXH3 that goes into the metadata: bytes that changed before
 * the pass would otherwise be stored under a checksum that is not theirs.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "tiers/http/digest.h"
#include "tiers/s3/s3.h"

#define REFUSALS 3
#define REFUSAL_PAUSE (20 * NSEC_PER_MSEC)

static void cleanup_stream_freep(struct xxh3_stream **stream)
{
	xxh3_stream_free(*stream);
}

/* The SHA-256 of a body that is sent whole. */
static int body_digest(const struct tier_source *src, char sha256[SHA256_HEX_SIZE],
		       struct tier_call *call)
{
	__attribute__((cleanup(cleanup_stream_freep))) struct xxh3_stream *stream = NULL;
	struct xxh3 seen;
	int rc;

	if (xxh3_known(&src->xxh3)) {
		stream = xxh3_stream_new();
		if (!stream)
			return -ENOMEM;
	}
	rc = sha256_hex_of_fd(src->fd, 0, src->size, stream, sha256);
	if (rc < 0)
		return err_set(&call->err, rc, "reading the body: %s", strerror(-rc));
	if (!stream)
		return 0;
	seen = xxh3_stream_digest(stream);
	if (xxh3_equal(&seen, &src->xxh3))
		return 0;
	call->transient = true;
	return err_set(&call->err, -EIO, "the body changed since its checksum was made");
}

bool s3_refusal_again(struct s3 *s3, struct tier_call *call, int code, int tries)
{
	return code == -EINVAL && tries + 1 < REFUSALS &&
	       s3_pause(s3, call, NULL, REFUSAL_PAUSE) == 0;
}

/* Fills and sends a PutObject whose body is set already. */
static int put_object(struct s3 *s3, struct tier_call *call, struct s3_request *rq,
		      const struct record *rec, const struct tier_pre *pre, char *ret_etag)
{
	CLEANUP_RESPONSE struct http_response response = {0};
	int rc;

	rq->op = "PutObject";
	rq->method = "PUT";
	rc = s3_record_add(s3, call, rq, rec);
	if (rc == 0)
		rc = s3_pre_add(rq, pre);
	if (rc < 0)
		return rc;
	for (int tries = 0;; tries++) {
		rc = s3_send(s3, call, rq, &response);
		if (!s3_refusal_again(s3, call, rc, tries))
			break;
	}
	return rc < 0 ? rc : s3_etag_of(&response, ret_etag, &call->err);
}

static bool is_symlink(const struct record *rec)
{
	return (rec->known & REC_MODE) && S_ISLNK(rec->mode);
}

int s3_put_empty(struct s3 *s3, struct tier_call *call, const char *key, bool marker,
		 const struct record *rec, const struct tier_pre *pre, char *ret_etag)
{
	CLEANUP_S3_REQUEST struct s3_request rq = {
		.key = key, .marker = marker, .body = HTTP_BODY_MEM, .mem = "", .len = 0};

	if (is_symlink(rec)) {
		rq.mem = TIER_SYMLINK_BODY;
		rq.len = TIER_SYMLINK_SIZE;
	}
	return put_object(s3, call, &rq, rec, pre, ret_etag);
}

int s3_put(struct tier *t, struct tier_call *call, const char *key, const struct tier_source *src,
	   const struct record *rec, const struct tier_pre *pre, char *ret_etag)
{
	struct s3 *s3 = s3_of(t);
	char sha256[SHA256_HEX_SIZE];
	CLEANUP_S3_REQUEST struct s3_request rq = {.key = key, .body = HTTP_BODY_FD};
	int rc;

	if (s3->read_only)
		return -EROFS;
	if (src->size == 0)
		return s3_put_empty(s3, call, key, rec_is_dir(rec), rec, pre, ret_etag);
	if (src->size > s3->threshold)
		return s3_multipart_put(s3, call, key, src, rec, pre, ret_etag);
	rc = body_digest(src, sha256, call);
	rq.fd = src->fd;
	rq.len = src->size;
	rq.sha256 = sha256;
	return rc < 0 ? rc : put_object(s3, call, &rq, rec, pre, ret_etag);
}
