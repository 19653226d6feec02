/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text forms of values in a store's metadata: percent-encoding, base64, times. Readers take
 * every form that is in use out there, and say -EINVAL to the rest, *ret untouched.
 */
#ifndef MODEL_META_TEXT_H
#define MODEL_META_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A header's value survives proxies and signing only without leading, trailing and double spaces,
 * without control characters and what is no ASCII, and without a look of RFC 2047 ("=?"): those
 * bytes and '%' become %XX. malloc'ed; NULL: no memory.
 */
char *meta_percent_encode(const void *value, size_t len);
/* A '%' that no two hex digits follow stands for itself. malloc'ed, with a NUL behind it; NULL: no
 * memory. */
char *meta_percent_decode(const char *text, size_t *ret_len);

/* malloc'ed; NULL: no memory. */
char *meta_base64_encode(const void *data, size_t len);
/* Standard alphabet, padded. -EINVAL, -ENOMEM. */
int meta_base64_decode(const char *text, void **ret_data, size_t *ret_len);

#define META_TIME_MAX 40
/* "2026-03-01T12:00:00Z", with nine digits of a fraction where there is one. */
void meta_iso_time(int64_t ns, char out[META_TIME_MAX]);
/* "1772366400.123456789": what s3fs and rclone write as mtime. */
void meta_unix_time(int64_t ns, char out[META_TIME_MAX]);
/* Seconds since the epoch with or without a fraction; ISO 8601 with Z, an offset, or neither (UTC).
 */
int meta_parse_time(const char *text, int64_t *ret_ns);

/* The whole text must be a number in that base; no sign, no blanks. */
int meta_parse_uint(const char *text, int base, uint64_t max, uint64_t *ret);

#endif
