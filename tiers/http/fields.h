/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fields of HTTP answers: a list of headers, and values that need parsing. All of it is hostile.
 */
#ifndef TIERS_HTTP_FIELDS_H
#define TIERS_HTTP_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiers/http/buf.h"

/* Above either the answer is refused; S3 itself sends about 1 KiB, plus 2 KiB of user metadata. */
#define HTTP_HEADERS_MAX_BYTES (64 * 1024)
#define HTTP_HEADERS_MAX_COUNT 256

/* Zero-initialise. name NUL value NUL name NUL ..., names in lower case, in order of arrival. */
struct http_headers {
	struct buf text;
	size_t count;
};

/*
 * Adds one line as it came ("Name: value\r\n"). Lines without a colon or with an empty name are
 * left out. -EIO above the limits or with a NUL inside, -ENOMEM.
 */
int http_headers_add_line(struct http_headers *headers, const char *line, size_t len);
void http_headers_reset(struct http_headers *headers);
void http_headers_release(struct http_headers *headers);

/* The first value of a name (in lower case), or NULL. */
const char *http_headers_get(const struct http_headers *headers, const char *name);

struct http_header {
	const char *name, *value;
};

/* Steps through all; *it is zeroed before the first call. False at the end. */
bool http_headers_next(const struct http_headers *headers, struct http_header *it);

/* "bytes 0-99/1234". -EINVAL for anything else, also where the total is unknown or smaller. */
int http_content_range_parse(const char *value, uint64_t *ret_first, uint64_t *ret_last,
			     uint64_t *ret_total);

/* Decimal digits only. -EINVAL, -ERANGE. */
int http_number_parse(const char *value, uint64_t *ret);

/* "Wed, 21 Oct 2015 07:28:00 GMT" and "2015-10-21T07:28:00[.123]Z" as wall nanoseconds. -EINVAL. */
int http_date_parse(const char *value, int64_t *ret_ns);
int iso8601_parse(const char *value, int64_t *ret_ns);

/* Retry-After: seconds or a date. What is malformed or in the past counts as 0; at most an hour. */
int64_t http_retry_after(const char *value, int64_t wall_now_ns);

/* In place: %XX, and '+' as a space where plus is set. What is no escape stays. The new length. */
size_t url_decode(char *s, size_t len, bool plus);

/* Unreserved characters as they are, '/' too where keep_slash is set, all else as %XX. */
void url_encode(struct buf *out, const char *s, size_t len, bool keep_slash);

#endif
