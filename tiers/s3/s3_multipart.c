/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Large bodies in parts that are sent in parallel.
 *
 * An upload goes: create it at the store; hash the parts one after the other, while those that are
 * hashed are sent; complete it, or abort it. The caller's thread hashes, then sends parts too;
 * helpers from the tier's pool only send. So an upload moves on even where the pool is busy with
 * others, and the hash (one pass, together with the whole body's XXH3) is ahead of what is sent
 * from the page cache.
 *
 * That order is also why no torn body is ever published: each part is refused by the server unless
 * it is what was hashed, and what was hashed is completed only if it is the body that the metadata
 * names.
 *
 * State, under the lock
 *	next <= ready <= n	parts handed out, parts that may be sent, all
 *	code			the first failure; from then on stop is set, and nothing is handed
 *				out
 *	running			threads inside a part; the caller waits until there is none
 *
 * A helper may be started late, when the upload is over and its caller gone: it holds a reference
 * to the struct, finds `over`, and touches nothing else.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/http/digest.h"
#include "tiers/s3/s3.h"
#include "util/cleanup.h"
#include "util/list.h"

#define COPY_PART (512ULL << 20)
#define MIB (1ULL << 20)
#define TRIES 3
#define PAUSE_NS (500 * NSEC_PER_MSEC)
#define ABORT_DEADLINE (10 * NSEC_PER_SEC)

struct upload;

struct helper {
	struct pool_job job;
	struct upload *upload;
};

struct upload {
	struct s3 *s3;
	struct tier_call *call; /* the caller's */
	const char *key;
	char *id;
	int fd;		    /* of a put */
	const char *source; /* of a copy; else NULL */
	const char *etag;   /* the source's version */
	struct s3_part *parts;
	size_t n;

	atomic_bool stop;
	pthread_mutex_t lock;
	pthread_cond_t change;
	size_t next, ready;
	int code;
	struct tier_call failure; /* the failed part's, for its texts */
	unsigned int running;
	unsigned int refs;
	bool over;
	struct helper helpers[];
};

/* --- life --- */

static size_t parts_cut(uint64_t size, uint64_t part_size, uint64_t *ret_part)
{
	uint64_t least = (size + S3_MAX_PARTS - 1) / S3_MAX_PARTS;

	if (part_size < least)
		part_size = (least + MIB - 1) / MIB * MIB;
	*ret_part = part_size;
	return (size_t)((size + part_size - 1) / part_size);
}

static struct upload *upload_new(struct s3 *s3, struct tier_call *call, const char *key,
				 uint64_t size, uint64_t part_size)
{
	size_t helpers = s3->part_parallel - 1;
	struct upload *u = calloc(1, sizeof(*u) + helpers * sizeof(u->helpers[0]));

	if (!u)
		return NULL;
	u->s3 = s3;
	u->call = call;
	u->key = key;
	u->fd = -1;
	u->n = parts_cut(size, part_size, &part_size);
	u->parts = calloc(u->n, sizeof(*u->parts));
	if (!u->parts) {
		free(u);
		return NULL;
	}
	for (size_t i = 0; i < u->n; i++) {
		u->parts[i].off = i * part_size;
		u->parts[i].len = i + 1 < u->n ? part_size : size - i * part_size;
	}
	pthread_mutex_init(&u->lock, NULL);
	pthread_cond_init(&u->change, NULL);
	u->refs = 1;
	return u;
}

static void upload_unref(struct upload *u)
{
	bool last;
	{
		SCOPE_LOCK(&u->lock);
		last = --u->refs == 0;
	}
	if (!last)
		return;
	pthread_cond_destroy(&u->change);
	pthread_mutex_destroy(&u->lock);
	free(u->id);
	free(u->parts);
	free(u);
}

static void upload_fail(struct upload *u, int code, const struct tier_call *call)
{
	SCOPE_LOCK(&u->lock);
	if (u->code == 0) {
		u->code = code;
		u->failure = *call;
	}
	atomic_store(&u->stop, true);
	pthread_cond_broadcast(&u->change);
}

/* --- sending parts: any thread --- */

static int part_send(struct upload *u, size_t i, struct tier_call *call)
{
	struct s3_part *part = &u->parts[i];
	unsigned int number = (unsigned int)i + 1;

	if (u->source)
		return s3_upload_copy(u->s3, call, u->key, u->id, number, part, u->source, u->etag,
				      &u->stop);
	return s3_upload_part(u->s3, call, u->key, u->id, number, part, u->fd, &u->stop);
}

/* Worth a pause and another try? Also pauses. */
static bool try_again(struct upload *u, struct tier_call *call, int tries)
{
	int64_t pause = PAUSE_NS << tries;

	if (!call->transient || tries + 1 >= TRIES)
		return false;
	if (call->retry_after_ns > pause)
		pause = call->retry_after_ns;
	return s3_pause(u->s3, call, &u->stop, pause) == 0;
}

/* A part's failure must not cost the parts that are there: it is tried again here. */
static int part_run(struct upload *u, size_t i, struct tier_call *call)
{
	for (int tries = 0;; tries++) {
		int rc;

		*call = (struct tier_call){.deadline = u->call->deadline,
					   .cancel = u->call->cancel};
		rc = part_send(u, i, call);
		if (rc == 0 || !try_again(u, call, tries))
			return rc;
	}
}

/* The next part to send, waiting until it is hashed. False: there is none left, or no point. */
static bool part_take(struct upload *u, size_t *ret)
{
	SCOPE_LOCK(&u->lock);
	while (u->next == u->ready && u->ready < u->n && u->code == 0 && !u->over)
		pthread_cond_wait(&u->change, &u->lock);
	if (u->next == u->ready || u->code || u->over)
		return false;
	*ret = u->next++;
	u->running++;
	return true;
}

static void part_done(struct upload *u)
{
	SCOPE_LOCK(&u->lock);
	u->running--;
	pthread_cond_broadcast(&u->change);
}

static void send_parts(struct upload *u)
{
	struct tier_call call;
	size_t i;

	while (part_take(u, &i)) {
		int rc = part_run(u, i, &call);

		if (rc < 0)
			upload_fail(u, rc, &call);
		part_done(u);
	}
}

static void helper_run(struct pool_job *job)
{
	struct upload *u = container_of(job, struct helper, job)->upload;

	send_parts(u);
	upload_unref(u);
}

static void helpers_start(struct upload *u)
{
	size_t n = u->s3->part_parallel - 1;

	if (n > u->n - 1)
		n = u->n - 1;
	{
		SCOPE_LOCK(&u->lock);
		u->refs += (unsigned int)n;
	}
	for (size_t i = 0; i < n; i++) {
		u->helpers[i].upload = u;
		u->helpers[i].job.run = helper_run;
		pool_submit(u->s3->pool, POOL_FOREGROUND, &u->helpers[i].job);
	}
}

/* --- the caller's side --- */

static bool parts_ready(struct upload *u, size_t n)
{
	SCOPE_LOCK(&u->lock);
	u->ready = n;
	pthread_cond_broadcast(&u->change);
	return u->code == 0;
}

/* Hashes all parts, lets each be sent, and compares the whole with its checksum. */
static int parts_hash(struct upload *u, const struct tier_source *src)
{
	struct xxh3_stream *stream = NULL;
	int rc = 0;

	if (xxh3_known(&src->xxh3)) {
		stream = xxh3_stream_new();
		if (!stream)
			return -ENOMEM;
	}
	for (size_t i = 0; rc == 0 && i < u->n; i++) {
		struct s3_part *part = &u->parts[i];

		rc = sha256_hex_of_fd(src->fd, part->off, part->len, stream, part->sha256);
		if (rc == 0)
			rc = tier_call_check(&u->s3->base, u->call);
		if (rc < 0)
			err_set(&u->call->err, rc, "reading the body: %s", strerror(-rc));
		else if (!parts_ready(u, i + 1))
			break; /* a part failed: that is the result */
		else if (i + 1 == u->n && stream) {
			struct xxh3 seen = xxh3_stream_digest(stream);

			if (!xxh3_equal(&seen, &src->xxh3)) {
				u->call->transient = true;
				rc = err_set(&u->call->err, -EIO,
					     "the body changed since its checksum was made");
			}
		}
	}
	xxh3_stream_free(stream);
	return rc;
}

/* No thread is inside a part any more, and none will be. The result of all. */
static int parts_join(struct upload *u)
{
	SCOPE_LOCK(&u->lock);
	while (u->running)
		pthread_cond_wait(&u->change, &u->lock);
	u->over = true;
	pthread_cond_broadcast(&u->change);
	if (u->code == 0)
		return 0;
	u->call->err = u->failure.err;
	u->call->transient = u->failure.transient;
	u->call->throttled = u->failure.throttled;
	u->call->retry_after_ns = u->failure.retry_after_ns;
	return u->code;
}

/* Completing again is harmless; not knowing whether it worked is not. */
static int upload_complete(struct upload *u, const struct tier_pre *pre, char *ret_etag)
{
	for (int tries = 0;; tries++) {
		int rc;

		u->call->transient = u->call->throttled = false;
		rc = s3_upload_complete(u->s3, u->call, u->key, u->id, u->parts, u->n, pre,
					ret_etag);
		if (rc == 0 ||
		    (!s3_refusal_again(u->s3, u->call, rc, tries) && !try_again(u, u->call, tries)))
			return rc;
	}
}

/* In a call of its own: the caller's may be cancelled or out of time. */
static void upload_abort(struct upload *u)
{
	struct tier_call call = {.deadline = clock_mono(u->s3->base.clock) + ABORT_DEADLINE};

	s3_upload_abort(u->s3, &call, u->key, u->id);
}

static int upload_run(struct upload *u, const struct tier_source *src, const struct record *rec,
		      const struct tier_pre *pre, char *ret_etag)
{
	int rc = s3_upload_create(u->s3, u->call, u->key, rec, &u->id);
	int joined;

	if (rc < 0)
		return rc;
	helpers_start(u);
	if (src)
		rc = parts_hash(u, src);
	else
		parts_ready(u, u->n);
	if (rc < 0)
		upload_fail(u, rc, u->call);
	send_parts(u);
	joined = parts_join(u);
	if (joined == 0)
		joined = upload_complete(u, pre, ret_etag);
	if (joined < 0)
		upload_abort(u);
	return joined;
}

int s3_multipart_put(struct s3 *s3, struct tier_call *call, const char *key,
		     const struct tier_source *src, const struct record *rec,
		     const struct tier_pre *pre, char *ret_etag)
{
	struct upload *u;
	int rc;

	/* The condition is checked at the end; a look now may save sending all in vain. */
	rc = s3_look_before(s3, call, key, pre);
	if (rc < 0)
		return rc;
	u = upload_new(s3, call, key, src->size, s3->part_size);
	if (!u)
		return -ENOMEM;
	u->fd = src->fd;
	rc = upload_run(u, src, rec, pre, ret_etag);
	upload_unref(u);
	return rc;
}

int s3_multipart_copy(struct s3 *s3, struct tier_call *call, const char *source, const char *etag,
		      uint64_t size, const char *to, const struct record *rec,
		      const struct tier_pre *pre, char *ret_etag)
{
	struct upload *u = upload_new(s3, call, to, size, COPY_PART);
	int rc;

	if (!u)
		return -ENOMEM;
	u->source = source;
	u->etag = etag;
	rc = upload_run(u, NULL, rec, pre, ret_etag);
	upload_unref(u);
	return rc;
}
