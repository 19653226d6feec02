/* SPDX-License-Identifier: Apache-2.0 */
/* A page of a listing. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tiers/s3/s3.h"
#include "util/cleanup.h"

static int fetch_page(struct s3 *s3, struct tier_call *call, const struct tier_list_req *req,
		      const char *prefix, struct s3_page *ret)
{
	CLEANUP_RESPONSE struct http_response response = {0};
	CLEANUP_S3_REQUEST struct s3_request rq = {
		.op = "ListObjectsV2", .method = "GET", .expected = 1024 * 1024};
	char max[16];
	int rc;

	s3_param_add(&rq, "list-type", "2");
	s3_param_add(&rq, "prefix", prefix);
	s3_param_add(&rq, "encoding-type", "url");
	if (req->delimiter)
		s3_param_add(&rq, "delimiter", "/");
	if (req->token)
		s3_param_add(&rq, "continuation-token", req->token);
	if (req->max) {
		snprintf(max, sizeof(max), "%u", req->max);
		s3_param_add(&rq, "max-keys", max);
	}
	rc = s3_send(s3, call, &rq, &response);
	if (rc < 0)
		return rc;
	return s3_bad_answer(s3, &rq, &response, s3_xml_page(&response.body, ret, &call->err),
			     call);
}

/*
 * LIST tells size, etag and when the object was stored. That is not its mtime (ours is in its
 * metadata), so mtime_ns has it for the cache's provisional use, and REC_MTIME does not say that it
 * is known.
 */
static int hand_on(const struct s3 *s3, const struct s3_listed *listed, tier_entry_fn *fn,
		   void *arg)
{
	size_t prefix_len = strlen(s3->prefix);
	struct tier_entry entry = {.prefix = listed->prefix};
	struct record rec;
	char *key;

	/* The prefix's own marker stands for the root, which needs none. */
	if (listed->key_len <= prefix_len || memcmp(listed->key, s3->prefix, prefix_len) != 0)
		return 0;
	key = listed->key + prefix_len;
	entry.key_len = listed->key_len - prefix_len;
	/* "/" alone is left as it is: no safe key, and not the root. */
	if (entry.key_len > 1 && key[entry.key_len - 1] == '/') {
		entry.marker = !listed->prefix;
		key[--entry.key_len] = '\0';
	}
	record_init(&rec);
	if (!listed->prefix) {
		rec.known = REC_SIZE | (listed->etag[0] ? REC_ETAG : 0);
		rec.size = listed->size;
		rec.mtime_ns = listed->modified_ns;
		memcpy(rec.etag, listed->etag, sizeof(rec.etag));
	}
	entry.key = key;
	entry.rec = &rec;
	return fn(arg, &entry);
}

int s3_list(struct tier *t, struct tier_call *call, const struct tier_list_req *req,
	    tier_entry_fn *fn, void *arg, char **ret_token)
{
	struct s3 *s3 = s3_of(t);
	CLEANUP_BUF struct buf prefix = {0};
	struct s3_page page = {0};
	int rc;

	buf_adds(&prefix, s3->prefix);
	buf_adds(&prefix, req->prefix);
	if (!buf_str(&prefix))
		return -ENOMEM;
	rc = fetch_page(s3, call, req, buf_str(&prefix), &page);
	/* A server that gives the same page for ever must not keep us for ever. */
	if (rc == 0 && page.token && req->token && strcmp(page.token, req->token) == 0)
		rc = err_set(&call->err, -EIO, "ListObjectsV2: the continuation does not move on");
	for (size_t i = 0; rc == 0 && i < page.n; i++)
		rc = hand_on(s3, &page.v[i], fn, arg);
	if (rc == 0)
		*ret_token = STEAL_PTR(page.token);
	s3_page_release(&page);
	return rc;
}
