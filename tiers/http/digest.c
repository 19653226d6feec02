/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes on openssl's EVP interface. */
#include "tiers/http/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

#include "util/cleanup.h"
#include "util/fsutil.h"

/* Large enough that a call costs nothing, small enough to stay in a core's second-level cache. */
#define READ_SIZE (256 * 1024)

static void cleanup_md_ctxp(EVP_MD_CTX **ctx)
{
	EVP_MD_CTX_free(*ctx);
}

void hex_encode(const uint8_t *data, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		out[2 * i] = digits[data[i] >> 4];
		out[2 * i + 1] = digits[data[i] & 15];
	}
	out[2 * len] = '\0';
}

int sha256_of(const void *data, size_t len, uint8_t out[SHA256_LEN])
{
	return EVP_Digest(data, len, out, NULL, EVP_sha256(), NULL) == 1 ? 0 : -EIO;
}

int sha256_hex_of(const void *data, size_t len, char out[SHA256_HEX_SIZE])
{
	uint8_t sum[SHA256_LEN];
	int rc = sha256_of(data, len, sum);

	if (rc == 0)
		hex_encode(sum, sizeof(sum), out);
	return rc;
}

int hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
		uint8_t out[SHA256_LEN])
{
	return HMAC(EVP_sha256(), key, (int)key_len, data, len, out, NULL) ? 0 : -EIO;
}

int md5_base64_of(const void *data, size_t len, char out[25])
{
	uint8_t sum[EVP_MAX_MD_SIZE];

	if (EVP_Digest(data, len, sum, NULL, EVP_md5(), NULL) != 1)
		return -EIO;
	EVP_EncodeBlock((unsigned char *)out, sum, 16);
	return 0;
}

int sha256_base64_of(const void *data, size_t len, char out[45])
{
	uint8_t sum[SHA256_LEN];
	int rc = sha256_of(data, len, sum);

	if (rc == 0)
		EVP_EncodeBlock((unsigned char *)out, sum, SHA256_LEN);
	return rc;
}

int sha256_hex_of_fd(int fd, uint64_t off, uint64_t len, struct xxh3_stream *xxh,
		     char out[SHA256_HEX_SIZE])
{
	__attribute__((cleanup(cleanup_md_ctxp))) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	CLEANUP_FREE char *chunk = malloc(READ_SIZE);
	uint8_t sum[SHA256_LEN];

	if (!ctx || !chunk)
		return -ENOMEM;
	if (EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1)
		return -EIO;
	while (len) {
		size_t want = len < READ_SIZE ? (size_t)len : READ_SIZE;
		ssize_t got = fs_pread_full(fd, chunk, want, (off_t)off);

		if (got < 0)
			return (int)got;
		if ((size_t)got < want)
			return -EIO;
		if (EVP_DigestUpdate(ctx, chunk, want) != 1)
			return -EIO;
		if (xxh)
			xxh3_stream_update(xxh, chunk, want);
		off += want;
		len -= want;
	}
	if (EVP_DigestFinal_ex(ctx, sum, NULL) != 1)
		return -EIO;
	hex_encode(sum, sizeof(sum), out);
	return 0;
}
