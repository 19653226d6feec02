/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes and encodings that the clouds' protocols are made of, on openssl. */
#ifndef TIERS_HTTP_DIGEST_H
#define TIERS_HTTP_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "util/hash.h"

#define SHA256_LEN 32
#define SHA256_HEX_SIZE (2 * SHA256_LEN + 1)
#define SHA256_EMPTY_HEX "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* All return 0 or -EIO where the library refuses (a policy without that algorithm). */
int sha256_of(const void *data, size_t len, uint8_t out[SHA256_LEN]);
int sha256_hex_of(const void *data, size_t len, char out[SHA256_HEX_SIZE]);
int hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
		uint8_t out[SHA256_LEN]);
/* 24 characters of base64, as Content-MD5 wants it. */
int md5_base64_of(const void *data, size_t len, char out[25]);
/* 44 characters of base64, as x-amz-checksum-sha256 wants it. */
int sha256_base64_of(const void *data, size_t len, char out[45]);

/*
 * SHA-256 of bytes [off, off + len) of fd as hex. Where xxh is not NULL the bytes are added to it
 * as well: one pass over the file serves both. -EIO where the file is shorter, else pread's errno.
 */
int sha256_hex_of_fd(int fd, uint64_t off, uint64_t len, struct xxh3_stream *xxh,
		     char out[SHA256_HEX_SIZE]);

void hex_encode(const uint8_t *data, size_t len, char *out /* 2 * len + 1 */);

#endif
