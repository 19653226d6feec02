/* SPDX-License-Identifier: Apache-2.0 */
/* A store, its faults and verbs for the tests of layers (layer_fixture.h). */
#include "layer_fixture.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/fsutil.h"
#include "util/list.h"

void stack_init(struct stack *s)
{
	struct tier_env env = {.clock = &s->sim.clk, .counters = &s->counters};

	memset(s, 0, sizeof(*s));
	sim_clock_init(&s->sim);
	assert_int_equal(mem_create(&env, "cold", &s->store), 0);
	assert_int_equal(fault_create(s->store, &s->fault), 0);
	s->top = s->fault;
}

void stack_release(struct stack *s)
{
	tier_close(s->top);
}

static int put(struct stack *s, struct tier *t, const char *key, const char *text,
	       const struct record *rec, const struct tier_pre *pre)
{
	size_t len = strlen(text);
	struct tier_source src = {.size = len, .xxh3 = xxh3_of(text, len)};
	char etag[ETAG_MAX] = "";
	int r;

	src.fd = memfd_create("source", MFD_CLOEXEC);
	assert_true(src.fd >= 0);
	assert_int_equal(fs_pwrite_full(src.fd, text, len, 0), 0);
	r = tier_put(t, &s->call, key, &src, rec, pre, etag);
	close(src.fd);
	if (r == 0)
		memcpy(s->etag, etag, sizeof(etag));
	return r;
}

int stack_put(struct stack *s, struct tier *t, const char *key, const char *text,
	      const struct tier_pre *pre)
{
	struct record rec;
	int r;

	record_init(&rec);
	rec.mode = S_IFREG | 0644;
	rec.known = REC_MODE;
	r = put(s, t, key, text, &rec, pre);
	record_release(&rec);
	return r;
}

int stack_put_record(struct stack *s, struct tier *t, const char *key, const struct record *rec,
		     const struct tier_pre *pre)
{
	return put(s, t, key, "", rec, pre);
}

int stack_head(struct stack *s, struct tier *t, const char *key)
{
	struct record rec;
	int r;

	record_init(&rec);
	r = tier_head(t, &s->call, key, &rec);
	if (r == 0)
		memcpy(s->etag, rec.etag, sizeof(s->etag));
	record_release(&rec);
	return r;
}

struct reading_sink {
	struct tier_sink sink;
	struct reading *into;
};

static int reading_begin(struct tier_sink *sink, const struct record *rec)
{
	container_of(sink, struct reading_sink, sink)->into->begins++;
	return 0;
}

static int reading_write(struct tier_sink *sink, const void *buf, size_t len, uint64_t off)
{
	struct reading *r = container_of(sink, struct reading_sink, sink)->into;

	assert_true(r->len + len < sizeof(r->text));
	memcpy(r->text + r->len, buf, len);
	r->len += len;
	r->writes++;
	return 0;
}

int stack_get(struct stack *s, struct tier *t, const char *key, uint64_t off, struct reading *ret)
{
	struct reading_sink rs = {.sink = {.begin = reading_begin, .write = reading_write},
				  .into = ret};

	memset(ret, 0, sizeof(*ret));
	return tier_get(t, &s->call, key, off, UINT64_MAX, NULL, &rs.sink);
}

static int count_entry(void *arg, const struct tier_entry *entry)
{
	++*(unsigned int *)arg;
	return 0;
}

int stack_list(struct stack *s, struct tier *t, unsigned int *ret_entries)
{
	struct tier_list_req req = {.prefix = ""};
	char *token = NULL;

	*ret_entries = 0;
	return tier_list(t, &s->call, &req, count_entry, ret_entries, &token);
}
