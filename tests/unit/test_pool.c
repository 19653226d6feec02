/* SPDX-License-Identifier: Apache-2.0 */
/* The worker pool: order, the foreground's part, the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "util/cleanup.h"
#include "util/list.h"
#include "util/pool.h"

/* A door that jobs wait at, so that a test decides who runs when. */
struct gate {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool open;
	unsigned int waiting;
	size_t ran;
	int order[64];
};

struct test_job {
	struct pool_job job;
	struct gate *gate;
	int id;
	bool waits;
	struct pool *resubmit;
	int times;
};

static void gate_init(struct gate *g)
{
	*g = (struct gate){.ran = 0};
	pthread_mutex_init(&g->lock, NULL);
	pthread_cond_init(&g->changed, NULL);
}

static void gate_release(struct gate *g)
{
	pthread_cond_destroy(&g->changed);
	pthread_mutex_destroy(&g->lock);
}

static void gate_open(struct gate *g)
{
	SCOPE_LOCK(&g->lock);
	g->open = true;
	pthread_cond_broadcast(&g->changed);
}

/* Until n jobs stand at the gate; false where they have not come after a while. */
static bool gate_await(struct gate *g, unsigned int n, int seconds)
{
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += seconds;
	SCOPE_LOCK(&g->lock);
	while (g->waiting < n && r == 0)
		r = pthread_cond_timedwait(&g->changed, &g->lock, &until);
	return g->waiting >= n;
}

static void run_test_job(struct pool_job *job)
{
	struct test_job *t = list_entry(job, struct test_job, job);
	struct gate *g = t->gate;

	SCOPE_LOCK(&g->lock);
	if (t->waits) {
		g->waiting++;
		pthread_cond_broadcast(&g->changed);
		while (!g->open)
			pthread_cond_wait(&g->changed, &g->lock);
		g->waiting--;
	}
	if (g->ran < sizeof(g->order) / sizeof(g->order[0]))
		g->order[g->ran] = t->id;
	g->ran++;
	if (t->times-- > 0)
		pool_submit(t->resubmit, POOL_BACKGROUND, &t->job);
}

static struct test_job make_job(struct gate *g, int id, bool waits)
{
	return (struct test_job){.job.run = run_test_job, .gate = g, .id = id, .waits = waits};
}

/* A number of threads that makes no sense is refused. */
static void test_refuses_sizes(void **state)
{
	struct pool *pool = NULL;

	assert_int_equal(pool_new("none", 0, &pool), -EINVAL);
	assert_int_equal(pool_new("many", 1025, &pool), -EINVAL);
	assert_null(pool);
	pool_free(NULL);
}

/* Queued jobs run by priority, and in the order of their coming within one. */
static void test_priorities(void **state)
{
	struct test_job blocker, jobs[6];
	struct pool *pool;
	struct gate g;

	gate_init(&g);
	assert_int_equal(pool_new("one", 1, &pool), 0);
	blocker = make_job(&g, 99, true);
	pool_submit(pool, POOL_FOREGROUND, &blocker.job);
	assert_true(gate_await(&g, 1, 10));
	for (int i = 0; i < 6; i++) {
		jobs[i] = make_job(&g, i, false);
		pool_submit(pool, (enum pool_prio)(POOL_BACKGROUND - i / 2), &jobs[i].job);
	}
	gate_open(&g);
	pool_quiesce(pool);
	assert_int_equal(g.ran, 7);
	assert_memory_equal(g.order, ((int[]){99, 4, 5, 2, 3, 0, 1}), 7 * sizeof(int));
	pool_free(pool);
	gate_release(&g);
}

/* However much background work waits, a quarter of the threads is left for the foreground. */
static void test_foreground_share(void **state)
{
	struct test_job low[16], high[2];
	struct pool *pool;
	struct gate g;

	gate_init(&g);
	assert_int_equal(pool_new("share", 8, &pool), 0);
	for (int i = 0; i < 16; i++) {
		low[i] = make_job(&g, i, true);
		pool_submit(pool, i % 2 ? POOL_DRAIN : POOL_BACKGROUND, &low[i].job);
	}
	assert_true(gate_await(&g, 6, 10));
	assert_false(gate_await(&g, 7, 1));
	for (int i = 0; i < 2; i++) {
		high[i] = make_job(&g, 100 + i, true);
		pool_submit(pool, POOL_FOREGROUND, &high[i].job);
	}
	assert_true(gate_await(&g, 8, 10));
	gate_open(&g);
	pool_quiesce(pool);
	assert_int_equal(g.ran, 18);
	pool_free(pool);
	gate_release(&g);
}

/* The foreground may take all threads. */
static void test_foreground_takes_all(void **state)
{
	struct test_job jobs[8];
	struct pool *pool;
	struct gate g;

	gate_init(&g);
	assert_int_equal(pool_new("all", 8, &pool), 0);
	for (int i = 0; i < 8; i++) {
		jobs[i] = make_job(&g, i, true);
		pool_submit(pool, POOL_FOREGROUND, &jobs[i].job);
	}
	assert_true(gate_await(&g, 8, 10));
	gate_open(&g);
	pool_free(pool);
	gate_release(&g);
}

/* A pool of one still does background work. */
static void test_single_thread_serves_background(void **state)
{
	struct test_job job;
	struct pool *pool;
	struct gate g;

	gate_init(&g);
	assert_int_equal(pool_new("single", 1, &pool), 0);
	job = make_job(&g, 1, false);
	pool_submit(pool, POOL_BACKGROUND, &job.job);
	pool_quiesce(pool);
	assert_int_equal(g.ran, 1);
	pool_free(pool);
	gate_release(&g);
}

/* pool_free runs all that is queued, and what those jobs submit in turn. */
static void test_free_runs_everything(void **state)
{
	struct test_job jobs[20];
	struct pool *pool;
	struct gate g;

	gate_init(&g);
	assert_int_equal(pool_new("end", 3, &pool), 0);
	for (int i = 0; i < 20; i++) {
		jobs[i] = make_job(&g, i, false);
		jobs[i].resubmit = pool;
		jobs[i].times = 4;
		pool_submit(pool, POOL_BACKGROUND, &jobs[i].job);
	}
	pool_free(pool);
	assert_int_equal(g.ran, 100);
	gate_release(&g);
}

/* Workers leave signals to the main thread, and have a name. */
static void check_thread(struct pool_job *job)
{
	struct test_job *t = list_entry(job, struct test_job, job);
	sigset_t blocked;
	char name[16];

	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	/* The name is given by the thread that starts it, perhaps after we run. */
	for (int i = 0; i < 1000; i++) {
		pthread_getname_np(pthread_self(), name, sizeof(name));
		if (strncmp(name, "workers", 7) == 0)
			break;
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	SCOPE_LOCK(&t->gate->lock);
	t->id = sigismember(&blocked, SIGTERM) && strncmp(name, "workers-", 8) == 0;
}

static void test_threads_of_their_own(void **state)
{
	struct test_job job;
	struct pool *pool;
	struct gate g;

	gate_init(&g);
	assert_int_equal(pool_new("workers", 2, &pool), 0);
	job = (struct test_job){.job.run = check_thread, .gate = &g};
	pool_submit(pool, POOL_DRAIN, &job.job);
	pool_quiesce(pool);
	assert_true(job.id);
	pool_free(pool);
	gate_release(&g);
}

struct storm {
	struct pool *pool;
	struct gate *gate;
	struct test_job jobs[500];
};

static void *submit_storm(void *arg)
{
	struct storm *s = arg;

	for (int i = 0; i < 500; i++) {
		s->jobs[i] = make_job(s->gate, i, false);
		pool_submit(s->pool, (enum pool_prio)(i % POOL_PRIO_COUNT), &s->jobs[i].job);
	}
	return NULL;
}

/* Nothing is lost where many threads submit at the same time, in several rounds. */
static void test_concurrent_submit(void **state)
{
	static struct storm storms[4];
	pthread_t threads[4];
	struct pool *pool;
	struct gate g;

	gate_init(&g);
	assert_int_equal(pool_new("storm", 8, &pool), 0);
	for (size_t round = 1; round <= 5; round++) {
		for (int i = 0; i < 4; i++) {
			storms[i].pool = pool;
			storms[i].gate = &g;
			assert_int_equal(
				pthread_create(&threads[i], NULL, submit_storm, &storms[i]), 0);
		}
		for (int i = 0; i < 4; i++)
			pthread_join(threads[i], NULL);
		pool_quiesce(pool);
		assert_int_equal(g.ran, round * 2000);
	}
	pool_free(pool);
	gate_release(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refuses_sizes),
		cmocka_unit_test(test_priorities),
		cmocka_unit_test(test_foreground_share),
		cmocka_unit_test(test_foreground_takes_all),
		cmocka_unit_test(test_single_thread_serves_background),
		cmocka_unit_test(test_free_runs_everything),
		cmocka_unit_test(test_threads_of_their_own),
		cmocka_unit_test(test_concurrent_submit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
