/* SPDX-License-Identifier: Apache-2.0 */
/* An object's headers as a metadata record, and back. */
#include <errno.h>
#include <string.h>

#include "tiers/http/buf.h"
#include "tiers/s3/s3.h"

#define META_PREFIX "x-amz-meta-"
#define META_PREFIX_LEN (sizeof(META_PREFIX) - 1)

int s3_etag_copy(char out[ETAG_MAX], const char *etag)
{
	size_t len = strlen(etag);
	bool bare = etag[0] != '"' && strncmp(etag, "W/", 2) != 0;

	if (len == 0 || len + (bare ? 2 : 0) >= ETAG_MAX)
		return -EIO;
	if (bare)
		*out++ = '"';
	memcpy(out, etag, len);
	out += len;
	if (bare)
		*out++ = '"';
	*out = '\0';
	return 0;
}

int s3_etag_of(const struct http_response *response, char out[ETAG_MAX], struct err *err)
{
	const char *etag = http_headers_get(&response->headers, "etag");

	if (!etag || s3_etag_copy(out, etag) < 0)
		return err_set(err, -EIO, "the answer has no usable ETag");
	return 0;
}

static int read_meta(const struct http_response *response, struct record *rec)
{
	struct meta_list list = {0};
	struct http_header it = {0};
	int rc = 0;

	while (rc == 0 && http_headers_next(&response->headers, &it)) {
		if (strncmp(it.name, META_PREFIX, META_PREFIX_LEN) == 0)
			rc = meta_list_add(&list, it.name + META_PREFIX_LEN, it.value);
	}
	if (rc == 0)
		rc = record_from_meta(rec, &list);
	meta_list_release(&list);
	return rc;
}

/* One that is too long to be kept is one that we do not know. */
static void read_encoding(const struct http_response *response, struct record *rec)
{
	const char *encoding = http_headers_get(&response->headers, "content-encoding");

	if (encoding && strlen(encoding) < ENCODING_MAX)
		memcpy(rec->encoding, encoding, strlen(encoding) + 1);
	rec->known |= REC_ENCODING;
}

int s3_record_read(const struct http_response *response, uint64_t size, struct record *ret,
		   struct err *err)
{
	const char *modified = http_headers_get(&response->headers, "last-modified");
	struct record rec;
	int rc;

	record_init(&rec);
	read_encoding(response, &rec);
	rc = s3_etag_of(response, rec.etag, err);
	if (rc == 0)
		rc = read_meta(response, &rec);
	if (rc < 0) {
		record_release(&rec);
		return rc;
	}
	rec.size = size;
	rec.known |= REC_SIZE | REC_ETAG;
	if (!(rec.known & REC_MTIME) && modified && http_date_parse(modified, &rec.mtime_ns) == 0)
		rec.known |= REC_MTIME;
	*ret = rec;
	return 0;
}

int s3_class_add(const struct s3 *s3, const struct tier_call *call, struct s3_request *rq)
{
	const char *class = call->storage_class ? call->storage_class : s3->storage_class;

	return class ? s3_header_add(rq, "x-amz-storage-class", class) : 0;
}

int s3_record_add(const struct s3 *s3, const struct tier_call *call, struct s3_request *rq,
		  const struct record *rec)
{
	CLEANUP_BUF struct buf name = {0};
	struct meta_list list = {0};
	int rc = record_to_meta(rec, &list);

	for (size_t i = 0; rc == 0 && i < list.n; i++) {
		buf_reset(&name);
		buf_adds(&name, META_PREFIX);
		buf_adds(&name, list.v[i].name);
		rc = buf_str(&name) ? s3_header_add(rq, name.data, list.v[i].value) : -ENOMEM;
	}
	meta_list_release(&list);
	if (rc == 0 && (rec->known & REC_ENCODING) && rec->encoding[0])
		rc = s3_header_add(rq, "content-encoding", rec->encoding);
	return rc == 0 ? s3_class_add(s3, call, rq) : rc;
}
