/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a store's refusal means. The store's own word (<Code>) decides where there is one; a status
 * alone says little: a 404 without an S3 answer may come from any proxy, and must never count as
 * "absent".
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/s3/s3.h"

enum row_flag {
	AGAIN = 1 << 0,	    /* transient */
	SLOWER = 1 << 1,    /* transient, and throttled */
	RENEW = 1 << 2,	    /* look for newer credentials */
	CONDITION = 1 << 3, /* the precondition failed: -EEXIST or -ESTALE */
	BUCKET = 1 << 4,    /* about the bucket: -ENOENT for a probe, else unknown (-EIO) */
};

/* Sorted by name. fix: what a person should do about it. */
static const struct row {
	const char *name;
	int code;
	unsigned int flags;
	const char *fix;
} rows[] = {
	{"AccessDenied", -EACCES, 0, NULL},
	{"AccountProblem", -EACCES, 0, NULL},
	{"AllAccessDisabled", -EACCES, 0, NULL},
	{"AuthorizationHeaderMalformed", -EACCES, 0, NULL},
	{"BadDigest", -EIO, AGAIN, "the body changed while it was sent"},
	{"BandwidthLimitExceeded", -EIO, SLOWER, NULL},
	{"ConditionalRequestConflict", -EIO, CONDITION | AGAIN, NULL},
	{"EntityTooLarge", -EFBIG, 0, NULL},
	{"ErrDirectoryNotEmpty", -ENOTEMPTY, 0, NULL}, /* versitygw: see s3_del() */
	{"ExistingObjectIsDirectory", -EINVAL, 0,
	 "this store cannot hold a name and names below it"},
	{"ExpiredToken", -EACCES, RENEW, "the session token has expired"},
	{"IncompleteBody", -EIO, AGAIN, NULL},
	{"InternalError", -EIO, AGAIN, NULL},
	{"InvalidAccessKeyId", -EACCES, RENEW, "the store does not know this access key"},
	{"InvalidBucketName", -EINVAL, BUCKET, "check `bucket`"},
	{"InvalidDigest", -EIO, AGAIN, NULL},
	{"InvalidObjectState", -EREMOTE, 0, "the object is archived"},
	{"InvalidToken", -EACCES, RENEW, "check the session token"},
	{"InvalidURI", -EINVAL, 0, NULL},
	{"KeyTooLongError", -ENAMETOOLONG, 0, NULL},
	{"MetadataTooLarge", -E2BIG, 0, NULL},
	{"NoSuchBucket", -ENOENT, BUCKET, "create it, or check `bucket` and `endpoint`"},
	{"NoSuchKey", -ENOENT, 0, NULL},
	{"NoSuchUpload", -EIO, AGAIN, "the upload was aborted by somebody"},
	{"NotImplemented", -EOPNOTSUPP, 0, NULL},
	{"ObjectParentIsFile", -EINVAL, 0, "this store cannot hold a name and names below it"},
	{"OperationAborted", -EIO, AGAIN, NULL},
	{"PermanentRedirect", -EACCES, 0, NULL},
	{"PreconditionFailed", -ESTALE, CONDITION, NULL},
	{"QuotaExceeded", -EDQUOT, 0, NULL},
	{"RequestLimitExceeded", -EIO, SLOWER, NULL},
	{"RequestTimeTooSkewed", -EACCES, 0, "set this machine's clock"},
	{"RequestTimeout", -EIO, AGAIN, NULL},
	{"ServiceUnavailable", -EIO, SLOWER, NULL},
	{"SignatureDoesNotMatch", -EACCES, RENEW, "check the secret key"},
	{"SlowDown", -EIO, SLOWER, NULL},
	{"TemporaryRedirect", -EIO, AGAIN, NULL},
	{"ThrottlingException", -EIO, SLOWER, NULL},
	{"TokenRefreshRequired", -EACCES, RENEW, NULL},
	{"TooManyRequests", -EIO, SLOWER, NULL},
	{"XAdminUserNotFound", -EACCES, RENEW, "the store does not know this access key"},
	{"XAmzContentChecksumMismatch", -EIO, AGAIN, "the body changed while it was sent"},
	{"XAmzContentSHA256Mismatch", -EIO, AGAIN, "the body changed while it was sent"},
	{"XMinioAdminBucketQuotaExceeded", -EDQUOT, 0, NULL},
	{"XMinioInvalidObjectName", -EINVAL, 0, NULL},
	{"XMinioInvalidResourceName", -EINVAL, 0, NULL},
	{"XMinioStorageFull", -ENOSPC, 0, NULL},
};

static int row_cmp(const void *name, const void *row)
{
	return strcmp(name, ((const struct row *)row)->name);
}

static const struct row *row_find(const char *name)
{
	return bsearch(name, rows, sizeof(rows) / sizeof(rows[0]), sizeof(rows[0]), row_cmp);
}

int s3_error_errno(const char *name)
{
	const struct row *row = row_find(name);

	if (!row || (row->flags & BUCKET))
		return -EIO;
	return row->code;
}

static void fault_from_row(const struct s3_request *rq, const struct row *row,
			   struct s3_fault *fault)
{
	fault->code = row->code;
	fault->throttled = row->flags & SLOWER;
	fault->transient = row->flags & (AGAIN | SLOWER);
	fault->renew = row->flags & RENEW;
	if ((row->flags & CONDITION) && rq->cond != TIER_ANY) {
		fault->code = rq->cond == TIER_IF_ABSENT ? -EEXIST : -ESTALE;
		fault->transient = false;
	}
	if ((row->flags & BUCKET) && !rq->about_bucket)
		fault->code = -EIO;
	/* If-Match on what is gone: the version that was named is not there any more. */
	if (fault->code == -ENOENT && rq->cond == TIER_IF_MATCH)
		fault->code = -ESTALE;
}

/* Without a word of the store's: by the status alone. */
static void fault_from_status(const struct s3_request *rq, int status, struct s3_fault *fault)
{
	fault->code = -EIO;
	switch (status) {
	case 401:
	case 403:
		fault->code = -EACCES;
		fault->renew = true;
		break;
	case 409:
	case 412:
		if (rq->cond == TIER_IF_ABSENT)
			fault->code = -EEXIST;
		else if (rq->cond == TIER_IF_MATCH || status == 412)
			fault->code = -ESTALE;
		else
			fault->transient = true;
		break;
	case 413:
		fault->code = -EFBIG;
		break;
	case 429:
	case 503:
		fault->throttled = fault->transient = true;
		break;
	case 501:
		fault->code = -EOPNOTSUPP;
		break;
	case 507:
		fault->code = -ENOSPC;
		break;
	default:
		/* Captive portals redirect, broken proxies answer pages of their own: both pass. */
		fault->transient = status >= 500 || status < 400 || status == 404 || status == 408;
	}
}

static void copy_text(char *out, size_t size, const char *text)
{
	snprintf(out, size, "%s", text);
}

void s3_fault_read(const struct s3_request *rq, const struct http_response *response,
		   struct s3_fault *ret)
{
	const char *region = http_headers_get(&response->headers, "x-amz-bucket-region");
	const struct row *row = NULL;

	*ret = (struct s3_fault){0};
	if (s3_xml_error(&response->body, ret))
		row = row_find(ret->name);
	else
		ret->name[0] = ret->message[0] = ret->region[0] = '\0';
	if (region)
		copy_text(ret->region, sizeof(ret->region), region);

	/* An <Error> behind a 200 is the server's trouble in the middle of its work. */
	if (row)
		fault_from_row(rq, row, ret);
	else if (response->status < 300)
		*ret = (struct s3_fault){.code = -EIO, .transient = true};
	else
		fault_from_status(rq, response->status, ret);
	/* A 404 that the store did not explain proves nothing; for HEAD see s3_head_version(). */
	if (response->status == 404 && !ret->name[0])
		ret->code = -EIO;
}

/* "; set `region: eu-west-1`" and the like, or "". */
static void add_fix(const struct s3 *s3, const struct http_response *response,
		    const struct s3_fault *fault, char *out, size_t size)
{
	const struct row *row = fault->name[0] ? row_find(fault->name) : NULL;

	out[0] = '\0';
	if (fault->region[0] && strcmp(fault->region, s3->endpoint.region) != 0 &&
	    fault->code != -ENOENT)
		snprintf(out, size, "; the bucket is in another region: set `region: %s`",
			 fault->region);
	else if (row && row->fix)
		snprintf(out, size, "; %s", row->fix);
	else if (!fault->name[0] && response->status >= 300 && response->status < 400)
		snprintf(out, size,
			 "; a redirect, which is not followed: check `endpoint` and `region`");
	else if (!fault->name[0] && response->status == 404)
		snprintf(out, size, "; not an S3 answer: check `endpoint`");
}

int s3_fault_report(const struct s3 *s3, const struct s3_request *rq,
		    const struct http_response *response, const struct s3_fault *fault,
		    struct tier_call *call)
{
	const char *id = http_headers_get(&response->headers, "x-amz-request-id");
	const char *after = http_headers_get(&response->headers, "retry-after");
	char fix[160];

	assert(fault->code < 0);
	call->transient = fault->transient;
	call->throttled = fault->throttled;
	if (after && fault->transient)
		call->retry_after_ns = http_retry_after(after, clock_wall(s3->base.clock));
	add_fix(s3, response, fault, fix, sizeof(fix));
	return err_set(&call->err, fault->code, "%s: %d%s%s%s%.200s%s%s%.64s%s", rq->op,
		       response->status, fault->name[0] ? " " : "", fault->name,
		       fault->message[0] ? ": " : "", fault->message, fix,
		       id ? " (request id " : "", id ? id : "", id ? ")" : "");
}

int s3_bad_answer(const struct s3 *s3, const struct s3_request *rq,
		  const struct http_response *response, int rc, struct tier_call *call)
{
	struct s3_fault fault;

	if (rc != -EBADMSG)
		return rc;
	s3_fault_read(rq, response, &fault);
	if (fault.name[0])
		return s3_fault_report(s3, rq, response, &fault, call);
	call->transient = true;
	return err_wrap(&call->err, -EIO, "%s", rq->op);
}
