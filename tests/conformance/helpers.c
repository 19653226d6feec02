/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs for the cases (cases.h). */
#include "cases.h"

#include <stdio.h>
#include <sys/mman.h>

#include "util/cleanup.h"
#include "util/fsutil.h"
#include "util/list.h"

int source_fd(const void *data, size_t len)
{
	int fd = memfd_create("source", MFD_CLOEXEC);

	assert_true(fd >= 0);
	if (len > 0)
		assert_int_equal(fs_pwrite_full(fd, data, len, 0), 0);
	return fd;
}

struct tier_source source_of(const void *data, size_t len)
{
	return (struct tier_source){
		.fd = source_fd(data, len), .size = len, .xxh3 = xxh3_of(data, len)};
}

void plain_record(struct record *rec)
{
	record_init(rec);
	rec->mode = S_IFREG | 0644;
	rec->known = REC_MODE;
}

int put_bytes(struct fixture *f, const char *key, const void *data, size_t len,
	      const struct tier_pre *pre, char *etag)
{
	struct tier_source src = source_of(data, len);
	struct tier_call call = {0};
	struct record rec;
	int r;

	plain_record(&rec);
	r = tier_put(f->t, &call, key, &src, &rec, pre, etag);
	close(src.fd);
	record_release(&rec);
	return r;
}

int put_text(struct fixture *f, const char *key, const char *text, const struct tier_pre *pre,
	     char *etag)
{
	return put_bytes(f, key, text, strlen(text), pre, etag);
}

int put_empty(struct fixture *f, const char *key, const struct record *rec,
	      const struct tier_pre *pre, char *etag)
{
	struct tier_source src = source_of("", 0);
	struct tier_call call = {0};
	int r = tier_put(f->t, &call, key, &src, rec, pre, etag);

	close(src.fd);
	return r;
}

int put_marker(struct fixture *f, const char *key, const struct tier_pre *pre, char *etag)
{
	struct record rec;
	int r;

	record_init(&rec);
	rec.mode = S_IFDIR | 0755;
	rec.known = REC_MODE;
	r = put_empty(f, key, &rec, pre, etag);
	record_release(&rec);
	return r;
}

void must_put(struct fixture *f, const char *key, const char *text)
{
	int r = put_text(f, key, text, NULL, NULL);

	if (r)
		fail_msg("put %s: %s", key, err_text(NULL, r));
}

static int got_begin(struct tier_sink *sink, const struct record *rec)
{
	struct got *g = container_of(sink, struct got, sink);

	g->begins++;
	return record_copy(&g->rec, rec);
}

static int got_write(struct tier_sink *sink, const void *buf, size_t len, uint64_t off)
{
	struct got *g = container_of(sink, struct got, sink);
	char *more = realloc(g->buf, g->len + len + 1);

	if (!more)
		return -ENOMEM;
	if (g->writes++ == 0)
		g->first = off;
	g->buf = more;
	memcpy(g->buf + g->len, buf, len);
	g->len += len;
	g->buf[g->len] = '\0';
	return 0;
}

void got_init(struct got *g)
{
	memset(g, 0, sizeof(*g));
	g->sink.begin = got_begin;
	g->sink.write = got_write;
	record_init(&g->rec);
}

void got_release(struct got *g)
{
	record_release(&g->rec);
	free(g->buf);
	got_init(g);
}

int get_range(struct fixture *f, const char *key, uint64_t off, uint64_t len, const char *etag,
	      struct got *g)
{
	struct tier_call call = {0};

	got_release(g);
	return tier_get(f->t, &call, key, off, len, etag, &g->sink);
}

void must_have(struct fixture *f, const char *key, const char *text)
{
	struct got g;
	int r;

	got_init(&g);
	r = get_range(f, key, 0, UINT64_MAX, NULL, &g);
	if (r)
		fail_msg("get %s: %s", key, err_text(NULL, r));
	assert_string_equal(g.buf ? g.buf : "", text);
	assert_int_equal(g.rec.size, strlen(text));
	got_release(&g);
}

int head_code(struct fixture *f, const char *key)
{
	struct tier_call call = {0};
	struct record rec;
	int r;

	record_init(&rec);
	r = tier_head(f->t, &call, key, &rec);
	record_release(&rec);
	return r;
}

void must_head(struct fixture *f, const char *key, char *etag)
{
	struct tier_call call = {0};
	struct record rec;
	int r;

	record_init(&rec);
	r = tier_head(f->t, &call, key, &rec);
	if (r)
		fail_msg("head %s: %s", key, err_text(&call.err, r));
	memcpy(etag, rec.etag, ETAG_MAX);
	record_release(&rec);
}

int del_key(struct fixture *f, const char *key, bool marker, const char *etag)
{
	struct tier_call call = {0};

	return tier_del(f->t, &call, key, marker, etag);
}

/* --- listing --- */

static int collect(void *arg, const struct tier_entry *entry)
{
	struct names *names = arg;
	char **more = reallocarray(names->v, names->n + 1, sizeof(*more));
	char *name = NULL;

	if (!more)
		return -ENOMEM;
	names->v = more;
	if (asprintf(&name, "%s%s", entry->key,
		     entry->prefix   ? "/"
		     : entry->marker ? "/!"
				     : "") < 0)
		return -ENOMEM;
	names->v[names->n++] = name;
	return entry->key_len == strlen(entry->key) ? 0 : -EBADMSG;
}

int list_names(struct fixture *f, const char *prefix, bool delimiter, unsigned int max,
	       struct names *ret)
{
	struct tier_list_req req = {.prefix = prefix, .delimiter = delimiter, .max = max};
	char *token = NULL;
	int r;

	memset(ret, 0, sizeof(*ret));
	do {
		struct tier_call call = {0};
		size_t before = ret->n;
		char *next = NULL;

		req.token = token;
		r = tier_list(f->t, &call, &req, collect, ret, &next);
		free(token);
		token = next;
		ret->pages++;
		if (max)
			assert_true(ret->n - before <= max);
	} while (r == 0 && token);
	return r;
}

void names_release(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->v[i]);
	free(names->v);
	memset(names, 0, sizeof(*names));
}

void must_list(struct fixture *f, const char *prefix, bool delimiter, unsigned int max,
	       const char *const *want)
{
	struct names names;
	size_t n = 0;

	assert_int_equal(list_names(f, prefix, delimiter, max, &names), 0);
	for (; want[n]; n++) {
		if (n >= names.n)
			fail_msg("list \"%s\": %s is missing at the end", prefix, want[n]);
		assert_string_equal(names.v[n], want[n]);
	}
	if (n < names.n)
		fail_msg("list \"%s\": %s is one too many", prefix, names.v[n]);
	names_release(&names);
}
