/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The drainer: one thread takes what may go from the journal, and jobs on the pool bring it to the
 * store.
 *
 *  up     entries are taken, at most `parallel` at a time. A failure that an outage could be the
 *	   cause of counts; a success counts back to nothing
 *  down   after FAILURES_MAX of them in a row nothing is taken: an entry that was tried cannot be
 *	   replaced or renamed any more, so an outage must not touch them all. The store is probed,
 *	   cheaply, until it answers; then all that failed is due at once, not after its own long
 *	   pause
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cache/drain_priv.h"
#include "model/key.h"
#include "util/cleanup.h"
#include "util/hash.h"

#define PARALLEL 4
#define TRY_DEADLINE_NS (60 * NSEC_PER_SEC)
#define SLOWEST 262144 /* bytes a second that an upload must make */
#define FAILURES_MAX 3
#define RETRY_MIN_NS (1 * NSEC_PER_SEC)
/* Times the first pause: the longest one, the same for what is stuck, and between two probes. */
#define RETRY_MAX 60
#define STUCK_MIN 60
#define STUCK_MAX 600
#define PROBE_MAX 5
#define PROBE_DEADLINE_NS (10 * NSEC_PER_SEC)
#define FLUSH_LOOK_NS (250 * NSEC_PER_MSEC)

struct tier_call *drain_call(struct drain_try *t, uint64_t size)
{
	const struct drain_conf *conf = &t->d->conf;
	int64_t extra = (int64_t)(size / SLOWEST) * NSEC_PER_SEC;

	t->call = (struct tier_call){
		.deadline = clock_mono(conf->clock) + conf->try_deadline_ns + extra,
		.cancel = &t->d->cancel,
		.storage_class = t->wish.storage_class,
	};
	return &t->call;
}

void drain_wish(struct drain_try *t, const char *key)
{
	const struct drain_conf *conf = &t->d->conf;

	t->wish = (struct drain_wish){.storage_class = NULL};
	if (conf->wish)
		conf->wish(conf->events.arg, key, &t->wish);
}

static int run_entry(struct drain_try *t)
{
	drain_wish(t, t->e->op == J_RENAME ? t->e->to : t->e->key);
	switch (t->e->op) {
	case J_PUT:
		return drain_put(t);
	case J_META:
		return drain_meta(t);
	case J_DELETE:
		return drain_delete(t);
	case J_RENAME:
		return t->e->dir ? drain_tree(t) : drain_rename(t);
	case J_MKDIR:
		return drain_mkdir(t);
	case J_RMDIR:
		return drain_rmdir(t);
	}
	return -EINVAL;
}

/* --- what becomes of a try --- */

/* No answer to be had by asking again soon. */
static bool is_stuck(int code)
{
	static const int codes[] = {-E2BIG,  -EFBIG,  -EINVAL,	-EACCES,     -EROFS, -ENAMETOOLONG,
				    -ENOSPC, -EDQUOT, -EREMOTE, -EOPNOTSUPP, -ENOENT};

	for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++) {
		if (code == codes[i])
			return true;
	}
	return false;
}

/*
 * Doubles with each try, and is spread by a quarter so that a crowd does not come back as one.
 */
static int64_t pause_of(const struct jent *e, int64_t min, int64_t max)
{
	int64_t pause = min;
	uint64_t salt[2] = {e->seq, e->tries};

	for (unsigned int i = 0; i < e->tries && pause < max; i++)
		pause *= 2;
	if (pause > max)
		pause = max;
	return pause - (int64_t)(hash64(salt, sizeof(salt)) % (uint64_t)(pause / 4));
}

static void note_failure(struct drain *d, bool outage)
{
	SCOPE_LOCK(&d->lock);

	if (!outage || ++d->failures < FAILURES_MAX || d->down)
		return;
	d->down = true;
	d->unreached = false;
	d->probe_pause_ns = d->conf.retry_min_ns;
	d->probe_ns = clock_mono(d->conf.clock);
}

static void note_success(struct drain *d)
{
	SCOPE_LOCK(&d->lock);
	d->failures = 0;
	d->unsynced = true;
}

/*
 * The bytes of a put that cannot be trusted any more go to no store, and must not stand in the way
 * of what replaces or deletes them. Takes key.
 */
static void drop_replaced(struct drain *d, char *key, uint64_t seq)
{
	struct jent newest;

	if (!key || journal_find(d->conf.journal, key, &newest)) {
		free(key);
		return;
	}
	if (newest.seq != seq && newest.state != J_HELD)
		(void)journal_drop(d->conf.journal, seq, true);
	jent_release(&newest);
	free(key);
}

static void try_failed(struct drain_try *t, int r)
{
	char *bad = r == -EBADMSG ? strdup(t->e->key) : NULL;
	uint64_t seq = t->e->seq;
	struct drain *d = t->d;
	bool outage = t->call.transient || r == -ETIMEDOUT;
	int64_t min = d->conf.retry_min_ns, pause = pause_of(t->e, min, min * RETRY_MAX);

	if (r == -ECANCELED) {
		journal_retry(d->conf.journal, t->e, r, 0);
		return;
	}
	if (is_stuck(r) && !t->call.transient)
		pause = pause_of(t->e, min * STUCK_MIN, min * STUCK_MAX);
	if (t->progress)
		pause = min;
	if (t->call.retry_after_ns > pause)
		pause = t->call.retry_after_ns;
	note_failure(d, outage);
	count_one(d->conf.counters, COUNTER_upload_errors);
	if (d->conf.events.failed)
		d->conf.events.failed(d->conf.events.arg, t->e, r, err_text(&t->call.err, r));
	journal_retry(d->conf.journal, t->e, r, pause);
	drop_replaced(d, bad, seq);
}

/* Under the names that the objects have now. */
static int tell_names(struct drain_try *t)
{
	const struct drain_events *ev = &t->d->conf.events;
	CLEANUP_FREE char *now = NULL;
	const char *etag = t->etag;
	struct jent told;
	int r;

	journal_look(t->d->conf.journal, t->e, &told);
	r = journal_name_now(t->d->conf.journal, t->e, told.op == J_RENAME ? told.to : told.key,
			     &now);
	if (r && r != -ENOENT)
		return r;
	if (r || t->given_up)
		etag = ""; /* not of what the owner has there */
	if (r == 0 && told.op == J_RENAME)
		told.to = now;
	else if (r == 0)
		told.key = now;
	if (ev->done)
		ev->done(ev->arg, &told, etag, t->conflict);
	return 0;
}

void drain_names(struct drain *d, bool hold)
{
	if (d->conf.events.names)
		d->conf.events.names(d->conf.events.arg, hold);
}

/* Tells the owner of the objects. */
static int tell_done(struct drain_try *t)
{
	int r;

	drain_names(t->d, true);
	r = tell_names(t);
	drain_names(t->d, false);
	return r;
}

/*
 * The owner hears of it first: a change that it makes in between still follows e and begins from
 * the right version, and a crash in between makes e happen again instead of unheard.
 */
static int try_done(struct drain_try *t)
{
	struct drain *d = t->d;
	int r = tell_done(t);

	if (r)
		return r;
	/* Counted before a flush can return. */
	if (t->e->op == J_PUT && !t->given_up) {
		count_one(d->conf.counters, COUNTER_uploads);
		count_add(d->conf.counters, COUNTER_drain_bytes, t->e->size);
	}
	r = journal_done(d->conf.journal, t->e, t->given_up ? NULL : t->etag, false);
	if (r)
		return err_set(&t->call.err, r, "journal: cannot note that %s is done", t->e->key);
	note_success(d);
	return 0;
}

static void job_ended(struct drain *d)
{
	SCOPE_LOCK(&d->lock);
	d->running--;
	d->changed = true;
	d->events++;
	pthread_cond_broadcast(&d->wake);
	pthread_cond_broadcast(&d->moved);
}

static void try_run(struct pool_job *job)
{
	struct drain_try *t = container_of(job, struct drain_try, job);
	struct drain *d = t->d;
	int r = run_entry(t);

	if (r == 0)
		r = try_done(t);
	if (r)
		try_failed(t, r);
	free(t);
	job_ended(d);
}

/* --- an outage --- */

static void probe_run(struct pool_job *job)
{
	struct drain *d = container_of(job, struct drain, probe_job);
	struct tier_call call = {.deadline = clock_mono(d->conf.clock) + PROBE_DEADLINE_NS,
				 .cancel = &d->cancel};
	int r = tier_probe(d->conf.store, &call);
	bool answered = r == 0 || !(call.transient || r == -ETIMEDOUT || r == -ECANCELED);
	bool back;

	{
		SCOPE_LOCK(&d->lock);
		back = answered && d->unreached;
		d->probing = false;
		if (answered) {
			d->down = false;
			d->failures = 0;
		} else {
			d->unreached = true;
			d->probe_ns = clock_mono(d->conf.clock) + d->probe_pause_ns;
			if (d->probe_pause_ns < d->conf.retry_min_ns * PROBE_MAX)
				d->probe_pause_ns += d->conf.retry_min_ns;
		}
	}
	if (back)
		journal_hurry_failed(d->conf.journal);
	job_ended(d);
}

/* --- the scheduler --- */

/* Starts one entry; false: there is none now. *ret_wake: when there may be. No lock held. */
static bool start_one(struct drain *d, int64_t *ret_wake)
{
	struct drain_try *t = calloc(1, sizeof(*t));

	*ret_wake = clock_mono(d->conf.clock) + NSEC_PER_SEC;
	if (!t)
		return false;
	t->d = d;
	t->e = journal_take(d->conf.journal, ret_wake);
	if (!t->e) {
		free(t);
		return false;
	}
	t->job.run = try_run;
	pool_submit(d->conf.pool, POOL_DRAIN, &t->job);
	return true;
}

/* With the lock held: what the scheduler should do next. */
enum next { NEXT_TAKE, NEXT_PROBE, NEXT_WAIT, NEXT_END };

static enum next next_step(struct drain *d, int64_t now, int64_t *wake)
{
	if (d->stopping)
		return NEXT_END;
	if (d->down) {
		if (d->probing)
			return NEXT_WAIT;
		if (now >= d->probe_ns)
			return NEXT_PROBE;
		*wake = d->probe_ns;
		return NEXT_WAIT;
	}
	if (d->running >= d->conf.parallel || (!d->changed && (*wake == 0 || now < *wake)))
		return NEXT_WAIT;
	return NEXT_TAKE;
}

static void wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t left_ns)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += left_ns / NSEC_PER_SEC;
	ts.tv_nsec += left_ns % NSEC_PER_SEC;
	if (ts.tv_nsec >= NSEC_PER_SEC) {
		ts.tv_sec++;
		ts.tv_nsec -= NSEC_PER_SEC;
	}
	pthread_cond_timedwait(cond, lock, &ts);
}

/* Nothing runs and nothing can: what is done should not come back after a loss of power. */
static bool should_sync(struct drain *d)
{
	bool yes = d->unsynced && d->running == 0;

	if (yes)
		d->unsynced = false;
	return yes;
}

static void take_some(struct drain *d, int64_t *wake)
{
	bool started;

	d->changed = false;
	d->running++;
	pthread_mutex_unlock(&d->lock);
	started = start_one(d, wake);
	pthread_mutex_lock(&d->lock);
	if (started)
		d->changed = true; /* there may be more */
	else
		d->running--;
}

static void *scheduler(void *arg)
{
	struct drain *d = arg;
	int64_t wake = 0;
	enum next next;

	pthread_mutex_lock(&d->lock);
	while ((next = next_step(d, clock_mono(d->conf.clock), &wake)) != NEXT_END) {
		if (next == NEXT_TAKE) {
			take_some(d, &wake);
		} else if (next == NEXT_PROBE) {
			d->probing = true;
			d->running++;
			d->probe_job.run = probe_run;
			pool_submit(d->conf.pool, POOL_DRAIN, &d->probe_job);
		} else if (should_sync(d)) {
			pthread_mutex_unlock(&d->lock);
			(void)journal_sync(d->conf.journal); /* whoever needs to know asks itself */
			pthread_mutex_lock(&d->lock);
		} else if (wake) {
			int64_t left = clock_left(d->conf.clock, wake);

			wait_until(&d->wake, &d->lock, left > 0 ? left : NSEC_PER_MSEC);
		} else {
			pthread_cond_wait(&d->wake, &d->lock);
		}
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

static void journal_changed(void *arg)
{
	struct drain *d = arg;
	SCOPE_LOCK(&d->lock);

	d->changed = true;
	d->events++;
	pthread_cond_signal(&d->wake);
	pthread_cond_broadcast(&d->moved);
}

/* --- start, stop, flush --- */

static void drain_free(struct drain *d)
{
	pthread_cond_destroy(&d->wake);
	pthread_cond_destroy(&d->moved);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

int drain_start(const struct drain_conf *conf, struct drain **ret_drain)
{
	struct drain *d = calloc(1, sizeof(*d));
	pthread_condattr_t attr;
	int r;

	if (!d)
		return -ENOMEM;
	d->conf = *conf;
	if (!d->conf.parallel)
		d->conf.parallel = PARALLEL;
	if (d->conf.try_deadline_ns <= 0)
		d->conf.try_deadline_ns = TRY_DEADLINE_NS;
	if (d->conf.retry_min_ns <= 0)
		d->conf.retry_min_ns = RETRY_MIN_NS;
	d->changed = true;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->wake, &attr);
	pthread_cond_init(&d->moved, &attr);
	pthread_condattr_destroy(&attr);
	r = -pthread_create(&d->thread, NULL, scheduler, d);
	if (r) {
		drain_free(d);
		return r;
	}
	journal_on_change(conf->journal, journal_changed, d);
	*ret_drain = d;
	return 0;
}

/* Jobs end by themselves, or soon after they are cancelled: a store's calls heed that. */
static void await_jobs(struct drain *d, int64_t grace_ns)
{
	SCOPE_LOCK(&d->lock);
	int64_t until = clock_mono(&clock_system) + grace_ns;

	while (d->running > 0) {
		int64_t left = until - clock_mono(&clock_system);

		if (left <= 0) {
			atomic_store(&d->cancel, true);
			pthread_cond_wait(&d->moved, &d->lock);
		} else {
			wait_until(&d->moved, &d->lock, left);
		}
	}
}

void drain_stop(struct drain *d, int64_t grace_ns)
{
	if (!d)
		return;
	{
		SCOPE_LOCK(&d->lock);
		d->stopping = true;
		pthread_cond_broadcast(&d->wake);
	}
	pthread_join(d->thread, NULL);
	await_jobs(d, grace_ns);
	journal_on_change(d->conf.journal, NULL, d);
	drain_free(d);
}

struct left {
	const char *path;
	uint64_t entries, bytes, held;
};

static int count_left(void *arg, const struct jent *e)
{
	struct left *left = arg;

	if (!key_below(e->key, left->path) && !(e->to && key_below(e->to, left->path)))
		return 0;
	if (e->state == J_HELD) {
		left->held++;
		return 0;
	}
	left->entries++;
	left->bytes += e->op == J_PUT ? e->size : 0;
	return 0;
}

static uint64_t events_seen(struct drain *d)
{
	SCOPE_LOCK(&d->lock);
	return d->events;
}

/*
 * Until something changed since `seen`, or left_ns are over. To look costs time under the
 * journal's lock where much is left, so it is not done for more than a tenth of the time.
 */
static void await_change(struct drain *d, uint64_t seen, int64_t look_ns, int64_t left_ns)
{
	int64_t until = clock_mono(&clock_system) +
			(left_ns < FLUSH_LOOK_NS ? left_ns : FLUSH_LOOK_NS);
	int64_t rest = look_ns * 10 < left_ns ? look_ns * 10 : left_ns;

	if (rest > NSEC_PER_MSEC)
		clock_system.sleep_until(&clock_system, clock_mono(&clock_system) + rest);
	SCOPE_LOCK(&d->lock);
	while (d->events == seen) {
		left_ns = until - clock_mono(&clock_system);
		if (left_ns <= 0)
			return;
		wait_until(&d->moved, &d->lock, left_ns);
	}
}

int drain_flush(struct drain *d, const char *path, dl_t deadline, const atomic_bool *cancel,
		void (*progress)(void *arg, uint64_t entries, uint64_t bytes), void *arg)
{
	uint64_t upto = journal_last_seq(d->conf.journal);
	int64_t told = 0;

	journal_hurry(d->conf.journal, path);
	for (;;) {
		int64_t now = clock_mono(&clock_system), left = clock_left(d->conf.clock, deadline);
		uint64_t seen = events_seen(d);

		if (!journal_pending(d->conf.journal, path, upto))
			return 0;
		if (cancel && atomic_load(cancel))
			return -ECANCELED;
		if (left <= 0)
			return -ETIMEDOUT;
		if (progress && now - told >= FLUSH_LOOK_NS) {
			struct left count = {.path = path};

			journal_foreach(d->conf.journal, count_left, &count);
			progress(arg, count.entries, count.bytes);
			told = now;
		}
		await_change(d, seen, clock_mono(&clock_system) - now, left);
	}
}

uint64_t drain_held(struct drain *d, const char *path)
{
	struct left count = {.path = path};

	journal_foreach(d->conf.journal, count_left, &count);
	return count.held;
}
