/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal's calls, and the tables that its entries stand in. How changes meet is in
 * journal_change.c and journal_rename.c, what may go next in journal_order.c.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "cache/journal_priv.h"
#include "tiers/local.h"

#define SEQS_MIN 64
#define SEGMENT_SIZE (4u << 20)

/* --- entries --- */

struct ent *jn_ent_new(const struct jent *src)
{
	struct ent *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	if (jent_copy(&e->pub, src)) {
		free(e);
		return NULL;
	}
	e->pub.state = J_HELD;
	e->pub.due_ns = 0;
	e->pub.tries = 0;
	e->pub.last_error = 0;
	e->deep = src->op != J_MKDIR;
	list_init(&e->order);
	list_init(&e->waiters);
	list_init(&e->waiting);
	for (int i = 0; i < PLACE_COUNT; i++) {
		e->place[i].ent = e;
		list_init(&e->place[i].link);
	}
	e->watch.ent = e;
	list_init(&e->watch.link);
	return e;
}

void jn_ent_free(struct ent *e)
{
	jent_release(&e->pub);
	free(e);
}

static struct ent **seq_slot(struct journal *j, uint64_t seq)
{
	return &j->seqs[seq & (j->seqs_size - 1)];
}

struct ent *jn_by_seq(struct journal *j, uint64_t seq)
{
	struct ent *e = *seq_slot(j, seq);

	while (e && e->pub.seq != seq)
		e = e->seq_next;
	return e;
}

/* Harmless where it is not in the table. */
static void seq_remove(struct journal *j, struct ent *e)
{
	struct ent **at = seq_slot(j, e->pub.seq);

	while (*at && *at != e)
		at = &(*at)->seq_next;
	if (*at)
		*at = e->seq_next;
}

void jn_set_seq(struct journal *j, struct ent *e, uint64_t seq)
{
	struct ent **slot;

	seq_remove(j, e);
	e->pub.seq = seq;
	slot = seq_slot(j, seq);
	e->seq_next = *slot;
	*slot = e;
}

static int seqs_grow(struct journal *j)
{
	size_t size = j->seqs_size ? j->seqs_size * 2 : SEQS_MIN;
	struct ent **old = j->seqs;
	size_t old_size = j->seqs_size;

	j->seqs = calloc(size, sizeof(*j->seqs));
	if (!j->seqs) {
		j->seqs = old;
		return -ENOMEM;
	}
	j->seqs_size = size;
	for (size_t i = 0; i < old_size; i++) {
		struct ent *next;

		for (struct ent *e = old[i]; e; e = next) {
			struct ent **slot = seq_slot(j, e->pub.seq);

			next = e->seq_next;
			e->seq_next = *slot;
			*slot = e;
		}
	}
	free(old);
	return 0;
}

static int heap_reserve(struct heap *h, size_t n)
{
	size_t cap = h->cap ? h->cap : SEQS_MIN;
	struct ent **v;

	if (n <= h->cap)
		return 0;
	while (cap < n)
		cap *= 2;
	v = reallocarray(h->v, cap, sizeof(*v));
	if (!v)
		return -ENOMEM;
	h->v = v;
	h->cap = cap;
	return 0;
}

int jn_reserve(struct journal *j, size_t more)
{
	size_t n = j->entries + more;
	int r = 0;

	if (n > j->seqs_size && seqs_grow(j) && j->seqs_size == 0)
		r = -ENOMEM;
	if (r == 0)
		r = heap_reserve(&j->later, n);
	return r ? r : heap_reserve(&j->ready, n);
}

void jn_count(struct journal *j, const struct ent *e)
{
	j->bytes += e->pub.staging_id ? e->pub.size : 0;
}

void jn_uncount(struct journal *j, const struct ent *e)
{
	j->bytes -= e->pub.staging_id ? e->pub.size : 0;
}

void jn_enter(struct journal *j, struct ent *e)
{
	e->pos = j->next_pos++;
	e->pub.state = J_HELD;
	j->entries++;
	j->held++;
	jn_count(j, e);
	list_add_tail(&j->order, &e->order);
	jn_set_seq(j, e, e->pub.seq);
	jorder_place(j, e);
}

void jn_move_last(struct journal *j, struct ent *e)
{
	jorder_unplace(j, e);
	list_del(&e->order);
	list_add_tail(&j->order, &e->order);
	e->pos = j->next_pos++;
	jorder_place(j, e);
}

void jn_set_state(struct journal *j, struct ent *e, enum jstate state)
{
	j->held -= e->pub.state == J_HELD;
	j->inflight -= e->pub.state == J_INFLIGHT;
	if (state == J_QUEUED && e->pub.state == J_HELD && !j->replaying)
		e->pub.due_ns = clock_mono(j->conf.clock) + j->conf.upload_delay_ns;
	e->pub.state = state;
	j->held += state == J_HELD;
	j->inflight += state == J_INFLIGHT;
	jorder_update(j, e);
}

void jn_kill(struct journal *j, struct ent *e)
{
	if (e->place[PLACE_KEY].node) {
		jorder_unplace(j, e);
		seq_remove(j, e);
		j->entries--;
		j->held -= e->pub.state == J_HELD;
		j->inflight -= e->pub.state == J_INFLIGHT;
		jn_uncount(j, e);
		j->changed = true;
	}
	list_del(&e->order);
	list_add_tail(&j->dead, &e->order);
}

/* --- the end of a locked section --- */

static void bury(struct journal *j, struct list *dead)
{
	list_for_each_safe(it, dead) {
		struct ent *e = list_entry(it, struct ent, order);

		if (e->pub.op == J_PUT && e->pub.staging_id && j->conf.staging_dirfd >= 0)
			local_unlink_id(j->conf.staging_dirfd, e->pub.staging_id);
		jn_ent_free(e);
	}
}

void jn_unlock(struct journal *j)
{
	const struct jwatcher *watchers = j->changed ? j->watchers : NULL;
	struct list dead;

	jn_check(j);
	list_init(&dead);
	list_splice_tail(&dead, &j->dead);
	j->changed = false;
	j->notifying += watchers != NULL;
	if (jlog_wants_compaction(j))
		pthread_cond_signal(&j->work);
	pthread_mutex_unlock(&j->lock);

	bury(j, &dead);
	if (!watchers)
		return;
	for (const struct jwatcher *w = watchers; w; w = w->next)
		w->fn(w->arg);
	pthread_mutex_lock(&j->lock);
	if (--j->notifying == 0)
		pthread_cond_broadcast(&j->notified);
	pthread_mutex_unlock(&j->lock);
}

void journal_on_change(struct journal *j, void (*fn)(void *arg), void *arg)
{
	struct jwatcher *w = fn ? calloc(1, sizeof(*w)) : NULL;
	SCOPE_LOCK(&j->lock);

	if (w) {
		*w = (struct jwatcher){.next = j->watchers, .fn = fn, .arg = arg};
		j->watchers = w;
		return;
	}
	while (j->notifying > 0)
		pthread_cond_wait(&j->notified, &j->lock);
	for (struct jwatcher **at = &j->watchers; *at;) {
		w = *at;
		if (w->arg == arg) {
			*at = w->next;
			free(w);
		} else {
			at = &w->next;
		}
	}
}

/* --- making and freeing --- */

struct journal *jn_new(const struct journal_conf *conf)
{
	struct journal *j = calloc(1, sizeof(*j));
	pthread_condattr_t attr;

	if (!j)
		return NULL;
	pthread_mutex_init(&j->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&j->work, &attr);
	pthread_cond_init(&j->notified, NULL);
	pthread_cond_init(&j->log.cond, NULL);
	pthread_condattr_destroy(&attr);
	j->conf = *conf;
	if (!j->conf.segment_size)
		j->conf.segment_size = SEGMENT_SIZE;
	j->log.dirfd = conf->dirfd;
	j->log.fd = -1;
	j->next_seq = j->next_pos = 1;
	list_init(&j->order);
	list_init(&j->dead);
	if (jtree_init(j) || jn_reserve(j, 1)) {
		jn_free(j);
		return NULL;
	}
	return j;
}

/* Nothing is unlinked: what is on disk stays. */
static void free_entries(struct journal *j)
{
	list_for_each_safe(it, &j->order)
		jn_kill(j, list_entry(it, struct ent, order));
	list_for_each_safe(it, &j->dead)
		jn_ent_free(list_entry(it, struct ent, order));
}

void jn_free(struct journal *j)
{
	if (j->nodes && j->root)
		free_entries(j);
	while (j->watchers) {
		struct jwatcher *w = j->watchers;

		j->watchers = w->next;
		free(w);
	}
	if (j->log.fd >= 0)
		close(j->log.fd);
	jbuf_release(&j->log.buf);
	jbuf_release(&j->log.tail);
	jtree_release(j);
	free(j->seqs);
	free(j->later.v);
	free(j->ready.v);
	pthread_mutex_destroy(&j->lock);
	pthread_cond_destroy(&j->work);
	pthread_cond_destroy(&j->notified);
	pthread_cond_destroy(&j->log.cond);
	free(j);
}

/* Compacts when the log asks for it. After a failure it waits: the disk may be full. */
static void *compactor(void *arg)
{
	struct journal *j = arg;

	pthread_mutex_lock(&j->lock);
	while (!j->stop) {
		struct timespec until;

		if (!jlog_wants_compaction(j)) {
			pthread_cond_wait(&j->work, &j->lock);
			continue;
		}
		pthread_mutex_unlock(&j->lock);
		if (jlog_compact(j) == 0) {
			pthread_mutex_lock(&j->lock);
			continue;
		}
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec++;
		pthread_mutex_lock(&j->lock);
		while (!j->stop && pthread_cond_timedwait(&j->work, &j->lock, &until) == 0)
			;
	}
	pthread_mutex_unlock(&j->lock);
	return NULL;
}

int journal_open(const struct journal_conf *conf, struct journal **ret_journal,
		 struct journal_report *ret_report, struct err *err)
{
	struct journal *j = jn_new(conf);
	struct journal_report report = {0};
	int r;

	if (!j)
		return err_set(err, -ENOMEM, "journal: no memory");
	r = jreplay(j, &report, err);
	if (r == 0) {
		r = -pthread_create(&j->thread, NULL, compactor, j);
		if (r)
			err_set(err, r, "journal: thread");
	}
	if (r) {
		jn_free(j);
		return r;
	}
	j->running = true;
	*ret_report = report;
	*ret_journal = j;
	return 0;
}

void journal_close(struct journal *j)
{
	if (!j)
		return;
	pthread_mutex_lock(&j->lock);
	j->stop = true;
	pthread_cond_signal(&j->work);
	pthread_mutex_unlock(&j->lock);
	if (j->running)
		pthread_join(j->thread, NULL);
	jlog_sync(j);
	jn_free(j);
}

/* --- calls that change --- */

static int check_change(const struct jent *change)
{
	int r = key_check(change->key, strlen(change->key));

	if (r || change->op != J_RENAME)
		return r;
	r = key_check(change->to, strlen(change->to));
	if (r == 0 && (key_below(change->to, change->key) || key_below(change->key, change->to)))
		r = -EINVAL;
	return r;
}

int journal_append(struct journal *j, const struct jent *change, bool hold, uint64_t *ret_seq)
{
	struct jent dated = *change;
	uint64_t seq = 0;
	int r = check_change(change);

	if (r)
		return r;
	if (dated.op != J_RENAME)
		dated.to = NULL;
	if (dated.base.cond == TIER_IF_MATCH && !dated.base.etag[0])
		dated.base.cond = TIER_ANY;
	if (!dated.appended_ns)
		dated.appended_ns = clock_wall(j->conf.clock);
	pthread_mutex_lock(&j->lock);
	r = jn_append(j, &dated, hold, j->next_seq, &seq);
	if (r == 0) {
		j->next_seq++;
		*ret_seq = seq;
	}
	jn_unlock(j);
	return r;
}

int journal_release(struct journal *j, uint64_t seq, const struct record *rec)
{
	struct ent *e;
	int r;

	pthread_mutex_lock(&j->lock);
	e = jn_by_seq(j, seq);
	if (!e)
		r = -ENOENT;
	else
		r = e->pub.state == J_HELD ? jn_release(j, e, rec) : 0;
	jn_unlock(j);
	return r;
}

int journal_drop(struct journal *j, uint64_t seq, bool unlink_body)
{
	struct ent *e;
	int r;

	pthread_mutex_lock(&j->lock);
	e = jn_by_seq(j, seq);
	if (!e)
		r = -ENOENT;
	else
		r = e->pub.state == J_INFLIGHT ? -EBUSY : jn_drop(j, e, unlink_body);
	jn_unlock(j);
	return r;
}

static int rebody(struct journal *j, uint64_t seq, uint64_t new_staging_id, bool inflight)
{
	struct ent *e;
	int r;

	pthread_mutex_lock(&j->lock);
	e = jn_by_seq(j, seq);
	if (!e || e->pub.op != J_PUT || !e->pub.staging_id)
		r = -ENOENT;
	else if (e->pub.state == J_INFLIGHT && !inflight)
		r = -EBUSY;
	else
		r = jn_rebody(j, e, new_staging_id);
	jn_unlock(j);
	return r;
}

int journal_rebody(struct journal *j, uint64_t seq, uint64_t new_staging_id)
{
	return rebody(j, seq, new_staging_id, true);
}

int journal_rebody_idle(struct journal *j, uint64_t seq, uint64_t new_staging_id)
{
	return rebody(j, seq, new_staging_id, false);
}

int journal_sync(struct journal *j)
{
	return jlog_sync(j);
}

int journal_compact(struct journal *j)
{
	return jlog_compact(j);
}

/* --- the drainer's side --- */

struct jent *journal_take(struct journal *j, int64_t *ret_wake)
{
	int64_t now = clock_mono(j->conf.clock);
	struct ent *e;

	pthread_mutex_lock(&j->lock);
	e = jorder_next(j, now, ret_wake);
	if (e && jn_take(j, e)) {
		/* What cannot be noted must not begin. Room may come, so ask again soon. */
		*ret_wake = now + NSEC_PER_SEC;
		e = NULL;
	}
	jn_unlock(j);
	return e ? &e->pub : NULL;
}

static struct ent *taken(struct jent *e)
{
	assert(e->state == J_INFLIGHT);
	return container_of(e, struct ent, pub);
}

int journal_done(struct journal *j, struct jent *e, const char *etag, bool keep_body)
{
	struct ent *ent = taken(e);
	int r;

	pthread_mutex_lock(&j->lock);
	r = jn_done(j, ent, etag);
	if (r == 0 && keep_body)
		e->staging_id = 0; /* dead, not buried yet */
	jn_unlock(j);
	return r;
}

void journal_retry(struct journal *j, struct jent *e, int error, int64_t delay_ns)
{
	struct ent *ent = taken(e);

	pthread_mutex_lock(&j->lock);
	e->tries++;
	e->last_error = error;
	e->due_ns = clock_mono(j->conf.clock) + delay_ns;
	jn_set_state(j, ent, J_QUEUED);
	jn_unlock(j);
}

int journal_moved(struct journal *j, struct jent *rename, const char *to, const char *from_etag,
		  const char *etag)
{
	int r;

	pthread_mutex_lock(&j->lock);
	r = jn_moved(j, taken(rename), to, from_etag, etag);
	jn_unlock(j);
	return r;
}

int journal_name_now(struct journal *j, const struct jent *e, const char *key, char **ret_name)
{
	SCOPE_LOCK(&j->lock);
	return jn_name_now(j, key, container_of(e, struct ent, pub)->pos, ret_name);
}

void journal_hashed(struct journal *j, struct jent *e, const struct xxh3 *xxh3)
{
	SCOPE_LOCK(&j->lock);
	e->rec.xxh3 = *xxh3;
	e->rec.known |= REC_XXH3;
}

uint64_t journal_staging_id(struct journal *j, const struct jent *e)
{
	SCOPE_LOCK(&j->lock);
	return e->staging_id;
}

void journal_look(struct journal *j, const struct jent *e, struct jent *ret)
{
	SCOPE_LOCK(&j->lock);
	*ret = *e;
}
