/* SPDX-License-Identifier: Apache-2.0 */
/* What holds for every call: deadline, cancellation, counting, the probe. */
#include "cases.h"

#include <pthread.h>

#include "util/list.h"

static void the_store_answers_a_probe(struct fixture *f)
{
	struct tier_call call = {0};

	assert_int_equal(tier_probe(f->t, &call), 0);
}

static int no_entry(void *arg, const struct tier_entry *entry)
{
	return -EBADMSG;
}

/* Each operation with a call that is over before it begins. */
static void must_end_with(struct fixture *f, const struct tier_call *over, int code)
{
	struct tier_source src = source_of("new", 3);
	struct tier_list_req req = {.prefix = ""};
	const char *keys[] = {"k"};
	struct tier_call call;
	struct record rec;
	char *token = NULL;
	int codes[1] = {0};
	struct got g;

	plain_record(&rec);
	got_init(&g);
#define MUST_END(what)                                                                             \
	do {                                                                                       \
		call = *over;                                                                      \
		assert_int_equal(what, code);                                                      \
		assert_true(call.err.text[0] != '\0');                                             \
		assert_int_equal(call.deadline, over->deadline);                                   \
	} while (0)
	MUST_END(tier_probe(f->t, &call));
	MUST_END(tier_head(f->t, &call, "k", &rec));
	MUST_END(tier_get(f->t, &call, "k", 0, UINT64_MAX, NULL, &g.sink));
	MUST_END(tier_put(f->t, &call, "k", &src, &rec, NULL, NULL));
	MUST_END(tier_del(f->t, &call, "k", false, NULL));
	MUST_END(tier_del_many(f->t, &call, keys, 1, codes));
	MUST_END(tier_list(f->t, &call, &req, no_entry, NULL, &token));
	MUST_END(tier_copy(f->t, &call, "k", NULL, "l", NULL, NULL, NULL));
	MUST_END(tier_set_meta(f->t, &call, "k", NULL, &rec, NULL));
	MUST_END(tier_share(f->t, &call, "k", NULL, f->scratch_fd, "body", &rec));
#undef MUST_END
	assert_int_equal(codes[0], code);
	assert_null(token);
	assert_int_equal(g.begins, 0);
	close(src.fd);
	record_release(&rec);
	got_release(&g);
}

static void too_late_is_a_time_out_and_changes_nothing(struct fixture *f)
{
	struct tier_call over = {.deadline = clock_mono(f->t->clock) - 1};

	must_put(f, "k", "bytes");
	must_end_with(f, &over, -ETIMEDOUT);
	must_have(f, "k", "bytes");
	MUST_LIST(f, "", false, 0, "k");
}

static void cancelled_is_cancelled_and_changes_nothing(struct fixture *f)
{
	const atomic_bool yes = true;
	struct tier_call over = {.cancel = &yes};

	must_put(f, "k", "bytes");
	must_end_with(f, &over, -ECANCELED);
	must_have(f, "k", "bytes");
	MUST_LIST(f, "", false, 0, "k");
}

static void a_call_leaves_its_deadline_as_it_was(struct fixture *f)
{
	struct tier_call call = {0};
	struct record rec;

	must_put(f, "k", "bytes");
	record_init(&rec);
	assert_int_equal(tier_head(f->t, &call, "k", &rec), 0);
	assert_int_equal(call.deadline, 0);
	call.deadline = clock_mono(f->t->clock) + 60 * NSEC_PER_SEC;
	assert_int_equal(tier_head(f->t, &call, "k", &rec), 0);
	record_release(&rec);
}

/* A sink that takes the call back at its first bytes. */
struct canceller {
	struct tier_sink sink;
	atomic_bool cancel;
	uint64_t bytes;
};

static int cancel_begin(struct tier_sink *sink, const struct record *rec)
{
	return 0;
}

static int cancel_write(struct tier_sink *sink, const void *buf, size_t len, uint64_t off)
{
	struct canceller *c = container_of(sink, struct canceller, sink);

	c->bytes += len;
	atomic_store(&c->cancel, true);
	return 0;
}

static void a_get_that_is_taken_back_ends_soon(struct fixture *f)
{
	struct canceller c = {.sink = {.begin = cancel_begin, .write = cancel_write}};
	struct tier_call call = {.cancel = &c.cancel};
	size_t len = 8 * 1024 * 1024;
	char *data = calloc(1, len);
	int r;

	assert_non_null(data);
	assert_int_equal(put_bytes(f, "large", data, len, NULL, NULL), 0);
	free(data);
	r = tier_get(f->t, &call, "large", 0, UINT64_MAX, NULL, &c.sink);
	/* A store may have all of it in its hands already. */
	assert_true(r == -ECANCELED || (r == 0 && c.bytes == len));
	if (tier_can(f->t, TIER_CAP_LOCAL))
		assert_int_equal(r, -ECANCELED);
}

static void requests_are_counted_once(struct fixture *f)
{
	struct tier_call call = {0};
	uint64_t requests, errors;

	if (!f->t->counters)
		return;
	must_put(f, "k", "bytes");
	requests = count_get(f->t->counters, COUNTER_store_requests);
	errors = count_get(f->t->counters, COUNTER_store_errors);
	assert_int_equal(head_code(f, "k"), 0);
	assert_int_equal(head_code(f, "nothing"), -ENOENT); /* an answer, not an error */
	assert_int_equal(tier_probe(f->t, &call), 0);
	assert_int_equal(head_code(f, "a//b"), -EINVAL); /* never sent */
	assert_int_equal(count_get(f->t->counters, COUNTER_store_requests), requests + 3);
	assert_int_equal(count_get(f->t->counters, COUNTER_store_errors), errors);
}

/* --- many threads, each with keys of its own --- */

struct worker {
	struct tier *t;
	unsigned int id;
	int code;
};

static int work_once(struct worker *w, const char *key, const char *text)
{
	struct fixture f = {.t = w->t};
	char etag[ETAG_MAX];
	struct got g;
	int r = put_text(&f, key, text, NULL, etag);

	got_init(&g);
	if (r == 0)
		r = get_range(&f, key, 0, UINT64_MAX, etag, &g);
	if (r == 0 && (!g.buf || strcmp(g.buf, text) != 0))
		r = -EBADMSG;
	got_release(&g);
	return r ? r : del_key(&f, key, false, etag);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	char key[64], text[96];

	for (int i = 0; i < 20 && w->code == 0; i++) {
		snprintf(key, sizeof(key), "w%u/%d", w->id % 4, (int)w->id * 100 + i);
		snprintf(text, sizeof(text), "text of %s", key);
		w->code = work_once(w, key, text);
	}
	return NULL;
}

static void any_number_of_calls_run_at_once(struct fixture *f)
{
	struct worker workers[16];
	pthread_t threads[16];

	for (unsigned int i = 0; i < 16; i++) {
		workers[i] = (struct worker){.t = f->t, .id = i};
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (unsigned int i = 0; i < 16; i++)
		pthread_join(threads[i], NULL);
	for (unsigned int i = 0; i < 16; i++)
		assert_int_equal(workers[i].code, 0);
}

const struct conformance_case cases_call[] = {
	{"the store answers a probe", the_store_answers_a_probe},
	{"too late is a time-out and changes nothing", too_late_is_a_time_out_and_changes_nothing},
	{"cancelled is cancelled and changes nothing", cancelled_is_cancelled_and_changes_nothing},
	{"a call leaves its deadline as it was", a_call_leaves_its_deadline_as_it_was},
	{"a get that is taken back ends soon", a_get_that_is_taken_back_ends_soon},
	{"requests are counted once", requests_are_counted_once},
	{"any number of calls run at once", any_number_of_calls_run_at_once},
	{NULL, NULL},
};
