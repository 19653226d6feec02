/* SPDX-License-Identifier: Apache-2.0 */
/* The drainer between a journal and the store in memory; see the header. */
#include "drain_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/hash.h"

static void on_done(void *arg, const struct jent *e, const char *etag, bool conflict)
{
	struct drain_fixture *w = arg;
	SCOPE_LOCK(&w->lock);
	size_t len = strlen(w->order);

	w->done++;
	w->conflicts += conflict;
	if (len + strlen(e->key) + 2 < sizeof(w->order))
		jf_text(w->order + len, sizeof(w->order) - len, "%s%s", len ? " " : "", e->key);
	jf_text(w->etag, sizeof(w->etag), "%s", etag);
}

static void on_failed(void *arg, const struct jent *e, int error, const char *text)
{
	struct drain_fixture *w = arg;
	SCOPE_LOCK(&w->lock);

	assert_true(text[0] != '\0');
	w->failed++;
	w->last_error = error;
}

static void on_moved(void *arg, const char *from, const char *to, const char *old_etag,
		     const char *etag)
{
	struct drain_fixture *w = arg;
	SCOPE_LOCK(&w->lock);

	assert_true(from[0] && to[0] && old_etag[0] && etag[0]);
	w->moved++;
}

void df_start(struct drain_fixture *w)
{
	w->conf.journal = w->f.j;
	w->conf.store = w->store;
	assert_int_equal(drain_start(&w->conf, &w->d), 0);
}

void df_stop(struct drain_fixture *w)
{
	drain_stop(w->d, 10 * NSEC_PER_SEC);
	w->d = NULL;
}

/* As after kill -9: nothing in memory stays. */
void df_restart(struct drain_fixture *w)
{
	drain_stop(w->d, 0);
	jf_reopen(&w->f);
	df_start(w);
}

int df_setup(void **state)
{
	struct drain_fixture *w = calloc(1, sizeof(*w));
	struct tier_env env;

	assert_non_null(w);
	jf_setup(&w->f);
	w->f.clock = clock_system;
	jf_open(&w->f);
	env = (struct tier_env){.clock = &clock_system, .counters = &w->counters};
	assert_int_equal(mem_create(&env, "cold", &w->mem), 0);
	assert_int_equal(fault_create(w->mem, &w->store), 0);
	assert_int_equal(pool_new("test", 4, &w->pool), 0);
	pthread_mutex_init(&w->lock, NULL);
	w->conf = (struct drain_conf){
		.pool = w->pool,
		.clock = &clock_system,
		.counters = &w->counters,
		.staging_dirfd = w->f.staging_fd,
		.retry_min_ns = 2 * NSEC_PER_MSEC,
		.try_deadline_ns = 10 * NSEC_PER_SEC,
		.events = {.done = on_done, .failed = on_failed, .moved = on_moved, .arg = w},
	};
	*state = w;
	return 0;
}

int df_teardown(void **state)
{
	struct drain_fixture *w = *state;

	drain_stop(w->d, 10 * NSEC_PER_SEC);
	pool_free(w->pool);
	jf_teardown(&w->f);
	tier_close(w->store);
	pthread_mutex_destroy(&w->lock);
	free(w);
	return 0;
}

void df_flush(struct drain_fixture *w)
{
	int r = drain_flush(w->d, "", clock_mono(&clock_system) + 30 * NSEC_PER_SEC, NULL, NULL,
			    NULL);

	if (r) {
		char *line = jf_line(w->f.j);

		fail_msg("flush: %d, last error %d, left: %s", r, w->last_error, line);
	}
}

void df_fault(struct drain_fixture *w, struct fault_plan plan)
{
	fault_arm(w->store, &plan);
}

/* --- the store, as others see it --- */

struct tier_call df_call_now(void)
{
	return (struct tier_call){.deadline = clock_mono(&clock_system) + 10 * NSEC_PER_SEC};
}

struct text_sink {
	struct tier_sink sink;
	char buf[256];
	size_t len;
};

static int text_begin(struct tier_sink *sink, const struct record *rec)
{
	return rec->size < sizeof(((struct text_sink *)sink)->buf) ? 0 : -EFBIG;
}

static int text_write(struct tier_sink *sink, const void *buf, size_t len, uint64_t off)
{
	struct text_sink *t = (struct text_sink *)sink;

	memcpy(t->buf + off, buf, len);
	t->len = off + len;
	return 0;
}

void df_expect_stored(struct drain_fixture *w, const char *key, const char *text)
{
	struct text_sink sink = {.sink = {.begin = text_begin, .write = text_write}};
	struct tier_call call = df_call_now();
	int r = tier_get(w->mem, &call, key, 0, UINT64_MAX, NULL, &sink.sink);

	if (!text) {
		assert_int_equal(r, -ENOENT);
		return;
	}
	if (r)
		fail_msg("%s: %d", key, r);
	assert_string_equal(sink.buf, text);
}

struct record df_stored_record(struct drain_fixture *w, const char *key)
{
	struct tier_call call = df_call_now();
	struct record rec;

	record_init(&rec);
	assert_int_equal(tier_head(w->mem, &call, key, &rec), 0);
	return rec;
}

/* Puts an object as another host does; its etag to etag[ETAG_MAX]. */
void df_theirs(struct drain_fixture *w, const char *key, const char *text, char *etag)
{
	struct tier_call call = df_call_now();
	CLEANUP_CLOSE int fd = openat(w->f.dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	struct tier_source src = {
		.fd = fd, .size = strlen(text), .xxh3 = xxh3_of(text, strlen(text))};
	struct record rec;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	record_init(&rec);
	rec.mode = S_IFREG | 0644;
	rec.xxh3 = src.xxh3;
	rec.known = REC_MODE | REC_XXH3;
	assert_int_equal(tier_put(w->mem, &call, key, &src, &rec, NULL, etag), 0);
}

static int count_name(void *arg, const struct tier_entry *entry)
{
	(*(unsigned int *)arg)++;
	return 0;
}

unsigned int df_count_below(struct drain_fixture *w, const char *prefix)
{
	char *token = NULL;
	unsigned int n = 0;

	do {
		struct tier_list_req req = {.prefix = prefix, .token = token};
		struct tier_call call = df_call_now();
		char *next = NULL;

		assert_int_equal(tier_list(w->mem, &call, &req, count_name, &n, &next), 0);
		free(token);
		token = next;
	} while (token);
	return n;
}

uint64_t df_conflicts(struct drain_fixture *w)
{
	return count_get(&w->counters, COUNTER_conflicts);
}
