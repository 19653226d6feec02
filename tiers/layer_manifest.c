/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifest: S3's LIST tells names, stored sizes and versions, and nothing of the metadata that each
 * object has. What is written through this layer is noted in small objects below ".cogfs/dirs/", in
 * batches and behind the writes' back, and a listing of a directory merges what all hosts noted
 * there. They are hints: without them, or with less of them, a listing tells less, and the caller
 * asks for the object's head. They are never believed against the store:
 *
 *  - An entry counts for the version that it names (etag), and where the listing tells about the
 *    time of that version, for that time. Of several, the newest by its stamp; then by host id.
 *  - An upload is acknowledged before its entry is written, and whether it is or not.
 *  - Reading has a small deadline of its own, and a failure is none of the listing's.
 *
 *	manifest_codec.c	the form of one
 *	manifest_write.c	notes, and batches of them
 *	manifest_read.c		a directory's, kept in memory, and merging
 *	manifest_compact.c	few out of many
 *
 * What is below ".cogfs/" is hidden from listings but for calls that are about it (call.control).
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "tiers/manifest_internal.h"
#include "util/cleanup.h"

#define FLUSH_NS (5 * NSEC_PER_SEC)
#define CLOSE_NS (5 * NSEC_PER_SEC)
#define CACHE_MAX (64U << 20)
#define LOAD_NS (5 * NSEC_PER_SEC)   /* at most; and half of what the listing has */
#define WRITE_NS (30 * NSEC_PER_SEC) /* one manifest */
#define COMPACT_NS (300 * NSEC_PER_SEC)
#define FEW 16 /* who asks for less names than that wants no records */

size_t manifest_split(const char *key, const char **ret_name)
{
	const char *slash = strrchr(key, '/');

	*ret_name = slash ? slash + 1 : key;
	return slash ? (size_t)(slash - key) : 0;
}

void manifest_dir_prefix(const char *dir, char out[MANIFEST_KEY_MAX])
{
	struct xxh3 hash = xxh3_of(dir, strlen(dir));

	memcpy(out, MANIFEST_PREFIX, sizeof(MANIFEST_PREFIX));
	xxh3_hex(&hash, out + sizeof(MANIFEST_PREFIX) - 1);
	memcpy(out + sizeof(MANIFEST_PREFIX) - 1 + XXH3_HEX_LEN, "/", 2);
}

/* --- writes --- */

static int ml_head(struct tier *t, struct tier_call *call, const char *key, struct record *ret_rec)
{
	return tier_head(t->inner, call, key, ret_rec);
}

static int ml_get(struct tier *t, struct tier_call *call, const char *key, uint64_t off,
		  uint64_t len, const char *etag, struct tier_sink *sink)
{
	return tier_get(t->inner, call, key, off, len, etag, sink);
}

static int ml_put(struct tier *t, struct tier_call *call, const char *key,
		  const struct tier_source *src, const struct record *rec,
		  const struct tier_pre *pre, char *ret_etag)
{
	int64_t began = clock_mono(t->clock);
	struct record noted = *rec; /* shares its strings */
	int r = tier_put(t->inner, call, key, src, rec, pre, ret_etag);

	if (r || call->control)
		return r;
	if (!(noted.known & REC_XXH3) && xxh3_known(&src->xxh3)) {
		noted.xxh3 = src->xxh3;
		noted.known |= REC_XXH3;
	}
	manifest_note(manifest_layer_of(t), key, &noted, ret_etag, began);
	return 0;
}

static int ml_del(struct tier *t, struct tier_call *call, const char *key, bool marker,
		  const char *etag)
{
	int r = tier_del(t->inner, call, key, marker, etag);

	if (r == 0 && !marker && !call->control)
		manifest_forget(manifest_layer_of(t), key);
	return r;
}

static int ml_del_many(struct tier *t, struct tier_call *call, const char *const *keys, size_t n,
		       int *ret_codes)
{
	int r = tier_del_many(t->inner, call, keys, n, ret_codes);

	for (size_t i = 0; i < n && !call->control; i++)
		if (ret_codes[i] == 0)
			manifest_forget(manifest_layer_of(t), keys[i]);
	return r;
}

static int ml_copy(struct tier *t, struct tier_call *call, const char *from, const char *etag,
		   const char *to, const struct record *rec, const struct tier_pre *pre,
		   char *ret_etag)
{
	struct manifest_layer *ml = manifest_layer_of(t);
	int64_t began = clock_mono(t->clock);
	int r = tier_copy(t->inner, call, from, etag, to, rec, pre, ret_etag);

	if (r || call->control)
		return r;
	if (rec)
		manifest_note(ml, to, rec, ret_etag, began);
	else
		manifest_note_copy(ml, from, etag, to, ret_etag, began);
	return 0;
}

static int ml_set_meta(struct tier *t, struct tier_call *call, const char *key, const char *etag,
		       const struct record *rec, char *ret_etag)
{
	int64_t began = clock_mono(t->clock);
	int r = tier_set_meta(t->inner, call, key, etag, rec, ret_etag);

	if (r == 0 && !call->control)
		manifest_note(manifest_layer_of(t), key, rec, ret_etag, began);
	return r;
}

/* --- list --- */

struct listing {
	const struct shelf *shelf; /* NULL: nothing to merge */
	size_t prefix_len;
	tier_entry_fn *fn;
	void *arg;
	size_t told, hidden; /* of this page */
	size_t names, merged;
};

static bool is_ours(const struct tier_entry *e)
{
	size_t len = sizeof(CONTROL_DIR) - 1;

	return e->key_len >= len && memcmp(e->key, CONTROL_DIR, len) == 0 &&
	       (e->key_len == len || e->key[len] == '/');
}

static int tell_merged(struct listing *l, const struct tier_entry *entry)
{
	struct tier_entry whole = *entry;
	struct record rec;
	int r;

	record_init(&rec);
	l->names++;
	if (manifest_merge(l->shelf, entry->key + l->prefix_len, entry->key_len - l->prefix_len,
			   entry->rec, &rec)) {
		whole.rec = &rec;
		l->merged++;
	}
	r = l->fn(l->arg, &whole);
	record_release(&rec);
	return r;
}

static int tell(void *arg, const struct tier_entry *entry)
{
	struct listing *l = arg;

	if (is_ours(entry)) {
		l->hidden++;
		return 0;
	}
	l->told++;
	if (!l->shelf || entry->prefix || entry->marker || entry->key_len <= l->prefix_len)
		return l->fn(l->arg, entry);
	return tell_merged(l, entry);
}

/* malloc'ed: the directory whose names the listing tells one by one; NULL: there is none. */
static char *listed_dir(const struct tier_list_req *req)
{
	size_t len = strlen(req->prefix);

	if (!req->delimiter || (req->max && req->max < FEW))
		return NULL;
	if (len == 0)
		return strdup("");
	if (req->prefix[len - 1] != '/' || key_check(req->prefix, len - 1))
		return NULL;
	return strndup(req->prefix, len - 1);
}

/* NULL where there is none to be had soon. */
static struct shelf *shelf_for(struct manifest_layer *ml, const struct tier_call *call,
			       const struct tier_list_req *req)
{
	int64_t left = clock_left(ml->base.clock, call->deadline) / 2;
	struct tier_call own = {.cancel = call->cancel,
				.deadline = clock_mono(ml->base.clock) +
					    (left < LOAD_NS ? left : LOAD_NS)};
	CLEANUP_FREE char *dir = listed_dir(req);
	struct shelf *s = NULL;

	if (dir)
		(void)manifest_load(ml, &own, dir, !req->token, &s);
	return s;
}

/* A page that lost names of ours is filled up: who asks for a name gets one where there is one. */
static int list_full_page(struct tier *t, struct tier_call *call, const struct tier_list_req *req,
			  struct listing *l, char **ret_token)
{
	struct tier_list_req rest = *req;
	char *token = NULL;
	int r;

	do {
		char *next = NULL;

		l->hidden = 0;
		rest.token = token ? token : req->token;
		rest.max = req->max ? req->max - (unsigned int)l->told : 0;
		r = tier_list(t->inner, call, &rest, tell, l, &next);
		free(token);
		token = next;
	} while (r == 0 && token && l->hidden && req->max && l->told < req->max);
	if (r == 0)
		*ret_token = token;
	return r;
}

static int ml_list(struct tier *t, struct tier_call *call, const struct tier_list_req *req,
		   tier_entry_fn *fn, void *arg, char **ret_token)
{
	struct manifest_layer *ml = manifest_layer_of(t);
	struct listing l = {.prefix_len = strlen(req->prefix), .fn = fn, .arg = arg};
	struct shelf *s;
	int r;

	if (call->control)
		return tier_list(t->inner, call, req, fn, arg, ret_token);
	s = shelf_for(ml, call, req);
	l.shelf = s;
	r = list_full_page(t, call, req, &l, ret_token);
	if (s && r == 0)
		manifest_compact_soon(ml, s, req->token || *ret_token ? 0 : l.names);
	manifest_shelf_put(ml, s);
	SCOPE_LOCK(&ml->mtx);
	ml->stats.merged += l.merged;
	return r;
}

/* --- the thread --- */

/* Lock held, dropped in between. */
static void sleep_until(struct manifest_layer *ml, int64_t next)
{
	struct timespec ts = {.tv_sec = next / NSEC_PER_SEC, .tv_nsec = next % NSEC_PER_SEC};

	if (next == INT64_MAX)
		pthread_cond_wait(&ml->wake, &ml->mtx);
	else
		pthread_cond_timedwait(&ml->wake, &ml->mtx, &ts);
}

/* malloc'ed: what is to be compacted; NULL: something is to be written, or *ret_stop. */
static char *wait_for_work(struct manifest_layer *ml, bool *ret_stop)
{
	int64_t next;

	SCOPE_LOCK(&ml->mtx);
	while (!ml->stopping && !ml->to_compact &&
	       clock_mono(ml->base.clock) < (next = manifest_next_due(ml)))
		sleep_until(ml, next);
	*ret_stop = ml->stopping;
	return STEAL_PTR(ml->to_compact);
}

static void *thread_main(void *arg)
{
	struct manifest_layer *ml = arg;
	const struct clock *clock = ml->base.clock;
	bool stop = false;

	while (!stop) {
		struct tier_call call = {.cancel = &ml->cancel,
					 .deadline = clock_mono(clock) + WRITE_NS};
		CLEANUP_FREE char *dir = NULL;

		(void)manifest_write_due(ml, &call, clock_mono(clock));
		dir = wait_for_work(ml, &stop);
		call = (struct tier_call){.cancel = &ml->cancel,
					  .deadline = clock_mono(clock) + COMPACT_NS};
		if (dir && !stop)
			(void)manifest_compact(&ml->base, &call, dir);
	}
	return NULL;
}

int manifest_flush(struct tier *t, struct tier_call *call)
{
	int r = manifest_write_due(manifest_layer_of(t), call, INT64_MAX);

	call->control = false;
	return r;
}

void manifest_stats(struct tier *t, struct manifest_stats *ret)
{
	struct manifest_layer *ml = manifest_layer_of(t);

	SCOPE_LOCK(&ml->mtx);
	*ret = ml->stats;
	ret->pending = 0;
	list_for_each(it, &ml->outboxes)
		ret->pending += list_entry(it, struct outbox, node)->waiting;
}

/* --- life --- */

static void stop_thread(struct manifest_layer *ml)
{
	if (!ml->has_thread)
		return;
	atomic_store(&ml->cancel, true);
	{
		SCOPE_LOCK(&ml->mtx);
		ml->stopping = true;
		pthread_cond_signal(&ml->wake);
	}
	pthread_join(ml->thread, NULL);
}

static void release(struct manifest_layer *ml)
{
	manifest_outboxes_free(ml);
	manifest_shelves_free(ml);
	free(ml->to_compact);
	pthread_cond_destroy(&ml->written);
	pthread_cond_destroy(&ml->wake);
	pthread_mutex_destroy(&ml->mtx);
	free(ml);
}

static void ml_close(struct tier *t)
{
	struct manifest_layer *ml = manifest_layer_of(t);
	struct tier_call call = {.deadline = clock_mono(t->clock) + ml->conf.close_ns};

	stop_thread(ml);
	(void)manifest_flush(t, &call);
	layer_release(t);
	release(ml);
}

static const struct tier_ops manifest_ops = {
	.type = "manifest",
	.probe = layer_pass_probe,
	.head = ml_head,
	.get = ml_get,
	.put = ml_put,
	.del = ml_del,
	.del_many = ml_del_many,
	.list = ml_list,
	.copy = ml_copy,
	.set_meta = ml_set_meta,
	.share = layer_pass_share,
	.close = ml_close,
};

struct manifest_layer *manifest_layer_of(struct tier *t)
{
	assert(t->ops == &manifest_ops);
	return (struct manifest_layer *)t;
}

static struct manifest_layer *alloc(const struct manifest_conf *conf)
{
	struct manifest_layer *ml = calloc(1, sizeof(*ml));
	pthread_condattr_t attr;

	if (!ml)
		return NULL;
	ml->conf = *conf;
	ml->conf.host = memcpy(ml->host, conf->host, strlen(conf->host) + 1);
	ml->conf.flush_ns = conf->flush_ns ? conf->flush_ns : FLUSH_NS;
	ml->conf.close_ns = conf->close_ns ? conf->close_ns : CLOSE_NS;
	ml->conf.cache_max = conf->cache_max ? conf->cache_max : CACHE_MAX;
	list_init(&ml->outboxes);
	list_init(&ml->shelves);
	pthread_mutex_init(&ml->mtx, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&ml->wake, &attr);
	pthread_condattr_destroy(&attr);
	pthread_cond_init(&ml->written, NULL);
	return ml;
}

int manifest_create(const struct manifest_conf *conf, struct tier *inner, struct tier **ret_tier)
{
	struct manifest_layer *ml;
	int r;

	if (tier_can(inner, TIER_CAP_LIST_RECORDS) ||
	    !manifest_is_host(conf->host, strlen(conf->host)))
		return -EINVAL;
	ml = alloc(conf);
	if (!ml)
		return -ENOMEM;
	r = layer_init(&ml->base, &manifest_ops, inner);
	if (r == 0 && !conf->manual && !conf->read_only) {
		r = -pthread_create(&ml->thread, NULL, thread_main, ml);
		ml->has_thread = r == 0;
		if (r)
			tier_release(&ml->base);
	}
	if (r) {
		release(ml);
		return r;
	}
	*ret_tier = &ml->base;
	return 0;
}
