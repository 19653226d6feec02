/* SPDX-License-Identifier: Apache-2.0 */
/* Many at once on one key. Threads note what they saw; the case judges it afterwards. */
#include "cases.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define RACERS 16
#define ROUNDS 8
#define BODY (300 * 1024)

struct racer {
	struct tier *t;
	const struct tier_pre *pre;
	pthread_barrier_t *start;
	struct tier_source src;
	char etag[ETAG_MAX];
	int code;
};

static void *race(void *arg)
{
	struct racer *r = arg;
	struct tier_call call = {0};
	struct record rec;

	plain_record(&rec);
	pthread_barrier_wait(r->start);
	r->code = tier_put(r->t, &call, "race/k", &r->src, &rec, r->pre, r->etag);
	record_release(&rec);
	return NULL;
}

/* Lets all racers put a text of their own; exactly one may win, and its version is there. */
static void must_have_one_winner(struct fixture *f, const struct tier_pre *pre, int losers_code)
{
	char texts[RACERS][80], now[ETAG_MAX];
	struct racer racers[RACERS];
	pthread_t threads[RACERS];
	pthread_barrier_t start;
	int winner = -1;

	pthread_barrier_init(&start, NULL, RACERS);
	for (int i = 0; i < RACERS; i++) {
		/* Another text each round: an etag may be a digest. */
		snprintf(texts[i], sizeof(texts[i]), "racer %d after %.40s", i,
			 pre->cond == TIER_IF_MATCH ? pre->etag : "nothing");
		racers[i] = (struct racer){.t = f->t,
					   .pre = pre,
					   .start = &start,
					   .src = source_of(texts[i], strlen(texts[i]))};
		assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
	}
	for (int i = 0; i < RACERS; i++) {
		pthread_join(threads[i], NULL);
		close(racers[i].src.fd);
	}
	pthread_barrier_destroy(&start);
	for (int i = 0; i < RACERS; i++) {
		if (racers[i].code == 0) {
			assert_int_equal(winner, -1);
			winner = i;
		} else {
			assert_int_equal(racers[i].code, losers_code);
		}
	}
	assert_true(winner >= 0);
	must_have(f, "race/k", texts[winner]);
	must_head(f, "race/k", now);
	assert_string_equal(now, racers[winner].etag);
}

static void of_many_puts_if_absent_one_wins(struct fixture *f)
{
	const struct tier_pre pre = {.cond = TIER_IF_ABSENT};

	if (!tier_can(f->t, TIER_CAP_COND_PUT))
		return;
	for (int i = 0; i < ROUNDS; i++) {
		must_have_one_winner(f, &pre, -EEXIST);
		assert_int_equal(del_key(f, "race/k", false, NULL), 0);
	}
}

static void of_many_puts_if_match_one_wins(struct fixture *f)
{
	char etag[ETAG_MAX];

	if (!tier_can(f->t, TIER_CAP_COND_PUT))
		return;
	assert_int_equal(put_text(f, "race/k", "start", NULL, etag), 0);
	for (int i = 0; i < ROUNDS; i++) {
		const struct tier_pre pre = {.cond = TIER_IF_MATCH, .etag = etag};

		must_have_one_winner(f, &pre, -ESTALE);
		must_head(f, "race/k", etag);
	}
}

/* --- readers beside a writer --- */

struct watch {
	struct tier *t;
	atomic_bool stop;
	_Atomic unsigned int reads, torn, failed;
};

static bool uniform(const struct got *g)
{
	for (size_t i = 1; i < g->len; i++)
		if (g->buf[i] != g->buf[0])
			return false;
	return g->len == BODY;
}

static void *watch(void *arg)
{
	struct watch *w = arg;
	struct fixture f = {.t = w->t};
	struct got g;

	got_init(&g);
	while (!atomic_load(&w->stop)) {
		int r = get_range(&f, "race/k", 0, UINT64_MAX, NULL, &g);

		if (r)
			atomic_fetch_add(&w->failed, 1);
		else if (!uniform(&g))
			atomic_fetch_add(&w->torn, 1);
		atomic_fetch_add(&w->reads, 1);
	}
	got_release(&g);
	return NULL;
}

static void a_reader_sees_the_old_version_or_the_new(struct fixture *f)
{
	struct watch w = {.t = f->t};
	pthread_t threads[4];
	char *body = malloc(BODY);

	assert_non_null(body);
	memset(body, 'a', BODY);
	assert_int_equal(put_bytes(f, "race/k", body, BODY, NULL, NULL), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, watch, &w), 0);
	for (int i = 0; i < 40; i++) {
		memset(body, 'b' + i % 20, BODY);
		assert_int_equal(put_bytes(f, "race/k", body, BODY, NULL, NULL), 0);
	}
	atomic_store(&w.stop, true);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	free(body);
	assert_true(w.reads > 0);
	assert_int_equal(w.torn, 0);
	assert_int_equal(w.failed, 0);
}

/* --- names that come and go in one directory --- */

static void *come_and_go(void *arg)
{
	struct racer *r = arg;
	struct tier_call call = {0};
	struct record rec;
	char key[ETAG_MAX + 16];

	plain_record(&rec);
	snprintf(key, sizeof(key), "deep/er/%s", r->etag);
	pthread_barrier_wait(r->start);
	for (int i = 0; i < 30 && r->code == 0; i++) {
		r->code = tier_put(r->t, &call, key, &r->src, &rec, NULL, NULL);
		if (r->code == 0)
			r->code = tier_del(r->t, &call, key, false, NULL);
	}
	record_release(&rec);
	return NULL;
}

static void a_prefix_that_goes_hinders_nobody(struct fixture *f)
{
	struct racer racers[RACERS];
	pthread_t threads[RACERS];
	pthread_barrier_t start;
	struct names names;

	pthread_barrier_init(&start, NULL, RACERS);
	for (int i = 0; i < RACERS; i++) {
		racers[i] = (struct racer){.t = f->t, .start = &start, .src = source_of("x", 1)};
		snprintf(racers[i].etag, ETAG_MAX, "%d", i);
		assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &racers[i]), 0);
	}
	for (int i = 0; i < RACERS; i++) {
		pthread_join(threads[i], NULL);
		close(racers[i].src.fd);
	}
	pthread_barrier_destroy(&start);
	for (int i = 0; i < RACERS; i++)
		assert_int_equal(racers[i].code, 0);
	assert_int_equal(list_names(f, "", true, 0, &names), 0);
	assert_int_equal(names.n, 0);
	names_release(&names);
}

const struct conformance_case cases_race[] = {
	{"of many puts if absent one wins", of_many_puts_if_absent_one_wins},
	{"of many puts if match one wins", of_many_puts_if_match_one_wins},
	{"a reader sees the old version or the new", a_reader_sees_the_old_version_or_the_new},
	{"a prefix that goes hinders nobody", a_prefix_that_goes_hinders_nobody},
	{NULL, NULL},
};
