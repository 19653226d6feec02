/* SPDX-License-Identifier: Apache-2.0 */
/* Signature Version 4: canonical request, string to sign, derived key, signature. */
#include "tiers/http/sigv4.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tiers/http/digest.h"
#include "util/clock.h"

#define DAY_LEN 8 /* of "20150830" */

void sigv4_date(int64_t wall_ns, char out[SIGV4_DATE_SIZE])
{
	time_t t = (time_t)(wall_ns / NSEC_PER_SEC);
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(out, SIGV4_DATE_SIZE, "%Y%m%dT%H%M%SZ", &tm);
}

static void add_signed_names(struct buf *b, const struct sigv4_input *in)
{
	for (size_t i = 0; i < in->n_fields; i++) {
		if (i)
			buf_addc(b, ';');
		buf_adds(b, in->fields[i].name);
	}
}

static int canonical_hash(const struct sigv4_input *in, char out[SHA256_HEX_SIZE])
{
	CLEANUP_BUF struct buf b = {0};

	buf_addf(&b, "%s\n%s\n%s\n", in->method, in->path, in->query);
	for (size_t i = 0; i < in->n_fields; i++)
		buf_addf(&b, "%s:%s\n", in->fields[i].name, in->fields[i].value);
	buf_addc(&b, '\n');
	add_signed_names(&b, in);
	buf_addf(&b, "\n%s", in->payload_hash);
	if (!buf_str(&b))
		return -ENOMEM;
	return sha256_hex_of(b.data, b.len, out);
}

static void add_scope(struct buf *b, const struct sigv4_input *in)
{
	buf_addf(b, "%.*s/%s/%s/aws4_request", DAY_LEN, in->date, in->region, in->service);
}

/* key = HMAC(HMAC(HMAC(HMAC("AWS4" secret, day), region), service), "aws4_request") */
static int derive_key(const char *secret, const struct sigv4_input *in, uint8_t key[SHA256_LEN])
{
	const char *const steps[] = {in->region, in->service, "aws4_request"};
	CLEANUP_BUF struct buf first = {0};
	int rc;

	buf_adds(&first, "AWS4");
	buf_adds(&first, secret);
	if (!buf_str(&first))
		return -ENOMEM;
	rc = hmac_sha256(first.data, first.len, in->date, DAY_LEN, key);
	for (size_t i = 0; rc == 0 && i < sizeof(steps) / sizeof(steps[0]); i++)
		rc = hmac_sha256(key, SHA256_LEN, steps[i], strlen(steps[i]), key);
	return rc;
}

int sigv4_authorization(const struct cred *cred, const struct sigv4_input *in, struct buf *ret)
{
	CLEANUP_BUF struct buf text = {0};
	uint8_t key[SHA256_LEN], signature[SHA256_LEN];
	char hash[SHA256_HEX_SIZE], hex[SHA256_HEX_SIZE];
	int rc;

	rc = canonical_hash(in, hash);
	if (rc < 0)
		return rc;
	buf_addf(&text, "AWS4-HMAC-SHA256\n%s\n", in->date);
	add_scope(&text, in);
	buf_addf(&text, "\n%s", hash);
	if (!buf_str(&text))
		return -ENOMEM;

	rc = derive_key(cred->secret_key, in, key);
	if (rc == 0)
		rc = hmac_sha256(key, sizeof(key), text.data, text.len, signature);
	OPENSSL_cleanse(key, sizeof(key));
	if (rc < 0)
		return rc;
	hex_encode(signature, sizeof(signature), hex);

	buf_addf(ret, "AWS4-HMAC-SHA256 Credential=%s/", cred->access_key);
	add_scope(ret, in);
	buf_adds(ret, ",SignedHeaders=");
	add_signed_names(ret, in);
	buf_addf(ret, ",Signature=%s", hex);
	return buf_str(ret) ? 0 : -ENOMEM;
}
