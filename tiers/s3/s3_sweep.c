/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Uploads that a killed process left behind cost storage until somebody aborts them. Below our
 * prefix, those that the store began more than a day ago (by its own clock) are aborted, behind, at
 * most once a day. Nothing depends on it: a failure ends it silently until the next day.
 */
#include <errno.h>
#include <string.h>

#include "tiers/s3/s3.h"
#include "util/list.h"

#define DAY_NS (24 * 3600 * NSEC_PER_SEC)
#define SWEEP_DEADLINE (30 * NSEC_PER_SEC) /* of one request */
#define PAGES_MAX 100

static void sweep_call(struct s3 *s3, struct tier_call *call)
{
	*call = (struct tier_call){
		.deadline = clock_mono(s3->base.clock) + SWEEP_DEADLINE,
		.cancel = &s3->closing,
	};
}

/* *ret_now: what the store takes for the present, 0 = it did not say. */
static int fetch_uploads(struct s3 *s3, const char *key_marker, const char *id_marker,
			 struct s3_uploads *ret, int64_t *ret_now)
{
	CLEANUP_RESPONSE struct http_response response = {0};
	CLEANUP_S3_REQUEST struct s3_request rq = {.op = "ListMultipartUploads", .method = "GET"};
	const char *date;
	struct tier_call call;
	int rc;

	sweep_call(s3, &call);
	s3_param_add(&rq, "uploads", "");
	s3_param_add(&rq, "prefix", s3->prefix);
	if (key_marker)
		s3_param_add(&rq, "key-marker", key_marker);
	if (key_marker && id_marker)
		s3_param_add(&rq, "upload-id-marker", id_marker);
	rc = s3_send(s3, &call, &rq, &response);
	if (rc < 0)
		return rc;
	date = http_headers_get(&response.headers, "date");
	if (!date || http_date_parse(date, ret_now) < 0)
		*ret_now = 0;
	return s3_xml_uploads(&response.body, ret, NULL);
}

static void abort_old(struct s3 *s3, const struct s3_uploads *uploads, int64_t now)
{
	size_t prefix_len = strlen(s3->prefix);

	for (size_t i = 0; i < uploads->n; i++) {
		const struct s3_upload *u = &uploads->v[i];
		struct tier_call call;

		if (!u->key || !u->id || !u->initiated_ns || now - u->initiated_ns < DAY_NS ||
		    strncmp(u->key, s3->prefix, prefix_len) != 0)
			continue;
		sweep_call(s3, &call);
		if (s3_upload_abort(s3, &call, u->key + prefix_len, u->id) == -ECANCELED)
			return;
	}
}

static void sweep_run(struct pool_job *job)
{
	struct s3 *s3 = container_of(job, struct s3, sweep);
	struct s3_uploads uploads = {0}, next;

	for (int pages = 0; pages < PAGES_MAX; pages++) {
		int64_t now;

		if (fetch_uploads(s3, uploads.next_key, uploads.next_id, &next, &now) < 0)
			break;
		s3_uploads_release(&uploads);
		uploads = next;
		abort_old(s3, &uploads, now);
		if (!uploads.truncated || !uploads.next_key)
			break;
	}
	s3_uploads_release(&uploads);
}

void s3_sweep_start(struct s3 *s3)
{
	int64_t now = clock_mono(s3->base.clock);
	int64_t last = atomic_load(&s3->swept_at);

	/* The exchange lets one caller through. No sweep lasts a day: the job is free again. */
	if (s3->read_only || (last && now - last < DAY_NS) ||
	    !atomic_compare_exchange_strong(&s3->swept_at, &last, now))
		return;
	s3->sweep.run = sweep_run;
	pool_submit(s3->pool, POOL_BACKGROUND, &s3->sweep);
}
