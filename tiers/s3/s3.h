/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The S3 store's inside. Public is only s3_create (tiers/stores.h).
 *
 *	s3.c		creation, the table of operations, close
 *	s3_endpoint.c	where requests go: region, endpoint, addressing style
 *	s3_request.c	one request: URL, signature, sending, renewing credentials
 *	s3_error.c	answers that are no success -> errno, text, transient, throttled
 *	s3_xml.c	the dialect: what the XML answers say
 *	s3_record.c	headers <-> metadata record
 *	s3_object.c	probe, head, get
 *	s3_put.c	put, and what a body's digest is for
 *	s3_upload.c	the requests of a multipart upload
 *	s3_multipart.c	large puts and copies in parallel parts
 *	s3_copy.c	copy, set_meta
 *	s3_delete.c	del, del_many
 *	s3_list.c	list
 *	s3_sweep.c	aborts uploads that somebody left behind
 *
 * A store key is the tier's prefix and the key; a marker's ends in '/'. Nothing in struct s3
 * changes after creation but the atomics.
 */
#ifndef TIERS_S3_S3_H
#define TIERS_S3_S3_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "model/record.h"
#include "tiers/http/credentials.h"
#include "tiers/http/transport.h"
#include "tiers/stores.h"
#include "tiers/tier.h"
#include "util/pool.h"

#define S3_MAX_KEY 1024
#define S3_MAX_PARTS 10000
#define S3_MIN_PART (5ULL << 20)   /* AWS's: only the last part may be smaller */
#define S3_MAX_SINGLE (5ULL << 30) /* bytes that one PUT or CopyObject takes */
#define S3_MAX_OBJECT (5ULL << 40)
#define S3_DELETE_BATCH 1000
#define S3_XML_MAX (16U << 20) /* of an answer; a full list page of the longest names is 4 MiB */

struct s3_endpoint {
	char *region;
	char *origin; /* "https://host:9000" */
	char *host;   /* as the Host header says it */
	char *path;   /* encoded, in front of "/key": "/bucket", or "" in virtual-host style */
};

struct s3 {
	struct tier base;
	struct s3_endpoint endpoint;
	char *bucket;
	char *prefix;	     /* "" or "a/b/" */
	char *storage_class; /* NULL: the bucket's */
	bool read_only;
	uint64_t part_size;
	uint64_t threshold; /* larger bodies go in parts */
	unsigned int part_parallel;
	struct transport *transport;
	struct cred_provider *creds;
	struct pool *pool; /* parts of uploads, and the sweep */

	/*
	 * When an answer last proved that bucket and credentials are known to the server;
	 * monotonic, 0 = never. A HEAD answered 404 has no body that tells a missing object from an
	 * unknown access key (versitygw says 404 to both): it counts only soon after a proof.
	 */
	_Atomic int64_t proven_at;

	struct pool_job sweep;
	_Atomic int64_t swept_at; /* monotonic, 0 = never */
	atomic_bool closing;
};

static inline struct s3 *s3_of(struct tier *t)
{
	return (struct s3 *)t;
}

static inline bool rec_is_dir(const struct record *rec)
{
	return rec && (rec->known & REC_MODE) && S_ISDIR(rec->mode);
}

/* --- s3_endpoint.c --- */
/* Takes what conf does not say from the environment and the AWS tools' files. */
int s3_endpoint_init(struct s3_endpoint *ep, const struct s3_conf *conf, struct err *err);
void s3_endpoint_release(struct s3_endpoint *ep);

/* --- s3_request.c --- */
#define S3_PARAMS_MAX 6

struct s3_param {
	const char *name, *value;
};

struct s3_request {
	const char *op; /* what the message says: "PutObject" */
	const char *method;
	const char *key; /* without the prefix; NULL = the bucket */
	bool marker;	 /* the key with a '/' behind it */
	struct s3_param params[S3_PARAMS_MAX];
	size_t n_params;
	struct meta_list headers; /* lower case; beyond what signing adds */

	enum http_body body;
	const void *mem;
	int fd;
	uint64_t off, len;
	const char *sha256; /* HTTP_BODY_FD: hex, of exactly these bytes */

	int (*on_body)(void *arg, const void *data, size_t len);
	int (*on_head)(void *arg, const struct http_response *response);
	void *arg;
	uint64_t expected; /* bytes of the answer, roughly */

	bool patient;		 /* the server may work for long before it says anything */
	const atomic_bool *stop; /* beside the call's own cancel flag; NULL = none */
	enum tier_cond cond;	 /* what a failed precondition is: -EEXIST or -ESTALE */
	bool about_bucket;	 /* probe: "no such bucket" is an answer, not a failure */
};

void s3_request_release(struct s3_request *rq); /* its headers */
#define CLEANUP_S3_REQUEST __attribute__((cleanup(s3_request_release)))

void s3_param_add(struct s3_request *rq, const char *name, const char *value);
int s3_header_add(struct s3_request *rq, const char *name, const char *value);
/* If-None-Match: * or If-Match, and how to report their failure. */
int s3_pre_add(struct s3_request *rq, const struct tier_pre *pre);

/* 0 for a 2xx answer; else the tier's errno, with call's error fields set. */
int s3_send(struct s3 *s3, struct tier_call *call, const struct s3_request *rq,
	    struct http_response *response);

void s3_proven(struct s3 *s3);
bool s3_is_proven(const struct s3 *s3);

/* Pauses, heeding deadline, cancel and stop: 0, or why there is no time to pause. */
int s3_pause(const struct s3 *s3, const struct tier_call *call, const atomic_bool *stop,
	     int64_t ns);

/* --- s3_error.c --- */
struct s3_fault {
	int code; /* errno, negative */
	bool transient, throttled;
	bool renew;    /* newer credentials may be what it takes */
	char name[64]; /* the store's word: "NoSuchKey"; "" = it said none */
	char message[256];
	char region[64]; /* where the bucket is, as far as it said */
};

/* Reads an answer that is no success. body: XML as it came, maybe of a 200. */
void s3_fault_read(const struct s3_request *rq, const struct http_response *response,
		   struct s3_fault *ret);
/* Fills call's error fields, with a text that says what to do if we know. Returns fault->code. */
int s3_fault_report(const struct s3 *s3, const struct s3_request *rq,
		    const struct http_response *response, const struct s3_fault *fault,
		    struct tier_call *call);
/*
 * An answer of 200 that makes no sense, or is an <Error> after all: -EIO and its like, call's
 * fields set. rc: what the reader of the answer said.
 */
int s3_bad_answer(const struct s3 *s3, const struct s3_request *rq,
		  const struct http_response *response, int rc, struct tier_call *call);
/* The errno for one name of an <Error> in a DeleteResult. */
int s3_error_errno(const char *name);

/* --- s3_record.c --- */
/* Copies an etag, adding the quotes that some servers leave out. -EIO: empty or too long. */
int s3_etag_copy(char out[ETAG_MAX], const char *etag);
/* The answer's ETag header. -EIO with a text where there is none. */
int s3_etag_of(const struct http_response *response, char out[ETAG_MAX], struct err *err);
/* The whole record of an object of that size; ret is initialised, and untouched on failure. */
int s3_record_read(const struct http_response *response, uint64_t size, struct record *ret,
		   struct err *err);
/* x-amz-meta-*, and the storage class. */
int s3_record_add(const struct s3 *s3, const struct tier_call *call, struct s3_request *rq,
		  const struct record *rec);
/* The storage class alone: the call's, else the store's, if it has one. */
int s3_class_add(const struct s3 *s3, const struct tier_call *call, struct s3_request *rq);

/* --- s3_xml.c --- */
struct s3_listed {
	char *key; /* the store's whole key, decoded; a prefix keeps its '/' */
	size_t key_len;
	bool prefix;
	bool sized; /* while it is read */
	/* an ETag was there, perhaps an empty one (versitygw: a file that it did not store) */
	bool tagged;
	uint64_t size;
	int64_t modified_ns;
	char etag[ETAG_MAX];
};

struct s3_page {
	struct s3_listed *v;
	size_t n, cap;
	char *token; /* continuation; NULL at the end */
};

struct s3_upload {
	char *key, *id;
	int64_t initiated_ns;
};

struct s3_uploads {
	struct s3_upload *v;
	size_t n, cap;
	bool truncated;
	char *next_key, *next_id;
};

/* All: -EBADMSG where the text is no such answer, -ENOMEM. What a failed one built is released. */
int s3_xml_page(const struct buf *text, struct s3_page *ret, struct err *err); /* sorted */
void s3_page_release(struct s3_page *page);
int s3_xml_upload_id(const struct buf *text, char **ret, struct err *err);
/* The answers to CompleteMultipartUpload, CopyObject and UploadPartCopy. */
int s3_xml_etag(const struct buf *text, char ret[ETAG_MAX], struct err *err);
int s3_xml_uploads(const struct buf *text, struct s3_uploads *ret, struct err *err);
void s3_uploads_release(struct s3_uploads *uploads);
/* fn for each key: name is NULL where it was deleted, else the error's. */
typedef int s3_deleted_fn(void *arg, const char *key, const char *name);
int s3_xml_deleted(const struct buf *text, s3_deleted_fn *fn, void *arg, struct err *err);
/* False where text is no <Error> document. Fills name, message and region. */
bool s3_xml_error(const struct buf *text, struct s3_fault *fault);

/* --- operations --- */
int s3_probe(struct tier *t, struct tier_call *call);
int s3_head(struct tier *t, struct tier_call *call, const char *key, struct record *ret_rec);
int s3_get(struct tier *t, struct tier_call *call, const char *key, uint64_t off, uint64_t len,
	   const char *etag, struct tier_sink *sink);
int s3_put(struct tier *t, struct tier_call *call, const char *key, const struct tier_source *src,
	   const struct record *rec, const struct tier_pre *pre, char *ret_etag);
int s3_del(struct tier *t, struct tier_call *call, const char *key, bool marker, const char *etag);
int s3_del_many(struct tier *t, struct tier_call *call, const char *const *keys, size_t n,
		int *ret_codes);
int s3_list(struct tier *t, struct tier_call *call, const struct tier_list_req *req,
	    tier_entry_fn *fn, void *arg, char **ret_token);
int s3_copy(struct tier *t, struct tier_call *call, const char *from, const char *etag,
	    const char *to, const struct record *rec, const struct tier_pre *pre, char *ret_etag);
int s3_set_meta(struct tier *t, struct tier_call *call, const char *key, const char *etag,
		const struct record *rec, char *ret_etag);

/* --- what operations share --- */
/* etag: NULL, or the version it must be (-ESTALE). ret_rec may be NULL. */
int s3_head_version(struct s3 *s3, struct tier_call *call, const char *key, bool marker,
		    const char *etag, struct record *ret_rec);
/* Whether key is as pre wants it, a moment ago: 0, -EEXIST, -ESTALE. */
int s3_look_before(struct s3 *s3, struct tier_call *call, const char *key,
		   const struct tier_pre *pre);
/*
 * A name that is refused is asked for three times before that is believed: versitygw says "is a
 * directory" also when another call removes the directory above at the same moment. Pauses shortly.
 */
bool s3_refusal_again(struct s3 *s3, struct tier_call *call, int code, int tries);
/* What has no bytes of its own: an empty file, a marker, a symlink. */
int s3_put_empty(struct s3 *s3, struct tier_call *call, const char *key, bool marker,
		 const struct record *rec, const struct tier_pre *pre, char *ret_etag);
int s3_multipart_put(struct s3 *s3, struct tier_call *call, const char *key,
		     const struct tier_source *src, const struct record *rec,
		     const struct tier_pre *pre, char *ret_etag);
/* source: as x-amz-copy-source says it; size: the source's. */
int s3_multipart_copy(struct s3 *s3, struct tier_call *call, const char *source, const char *etag,
		      uint64_t size, const char *to, const struct record *rec,
		      const struct tier_pre *pre, char *ret_etag);

/* --- s3_upload.c: the requests of a multipart upload --- */
struct s3_part {
	uint64_t off, len;
	char sha256[65]; /* of a part from a file */
	char etag[ETAG_MAX];
};

int s3_upload_create(struct s3 *s3, struct tier_call *call, const char *key,
		     const struct record *rec, char **ret_id);
/* number from 1; stop ends it beside the call's cancel flag. Both fill part->etag. */
int s3_upload_part(struct s3 *s3, struct tier_call *call, const char *key, const char *id,
		   unsigned int number, struct s3_part *part, int fd, const atomic_bool *stop);
int s3_upload_copy(struct s3 *s3, struct tier_call *call, const char *key, const char *id,
		   unsigned int number, struct s3_part *part, const char *source, const char *etag,
		   const atomic_bool *stop);
int s3_upload_complete(struct s3 *s3, struct tier_call *call, const char *key, const char *id,
		       const struct s3_part *parts, size_t n, const struct tier_pre *pre,
		       char *ret_etag);
int s3_upload_abort(struct s3 *s3, struct tier_call *call, const char *key, const char *id);

/* --- s3_sweep.c --- */
/* Starts the sweep behind, at most once a day. */
void s3_sweep_start(struct s3 *s3);

#endif
