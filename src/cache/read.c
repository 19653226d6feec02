/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading from an open file: from its body, from the part of it that is here, or, where the tier
 * has no room, through a buffer that is not kept.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cache/internal.h"
#include "cache/where.h"

#define WINDOW_MIN (1u << 20)
#define WINDOW_MAX (32u << 20)
#define STREAM_MIN (256u << 10)
#define STREAM_MAX (4u << 20)

/*
 * How far to fetch ahead of this read: grows while the reader goes on in order. The kernel's own
 * read-ahead may swap neighbours.
 */
static uint64_t read_ahead(struct cfile *f, uint64_t off, size_t len)
{
	uint64_t said = obj_class(f->cache, f->obj)->readahead;
	bool in_order = off <= f->next_off + (2u << 20) && off + (2u << 20) >= f->next_off &&
			(off || f->next_off);

	if (off == 0)
		in_order = true;
	if (!in_order)
		f->window = 0;
	else if (off + len > f->next_off)
		f->window = f->window ? (f->window * 2 < WINDOW_MAX ? f->window * 2 : WINDOW_MAX)
				      : WINDOW_MIN;
	if (!in_order || off + len > f->next_off)
		f->next_off = off + len;
	if (said && in_order)
		return f->window = said;
	return off == 0 && f->window == WINDOW_MIN ? 0 : f->window;
}

/* --- streaming --- */

struct stream_job {
	struct tier_sink sink; /* first */
	struct cache *c;
	struct cfile *f;
	char *buf;
	uint64_t off, len, got, size;
	char etag[ETAG_MAX];
};

static int stream_begin(struct tier_sink *sink, const struct record *rec)
{
	struct stream_job *s = (struct stream_job *)sink;

	if (rec->size != s->size || (s->etag[0] && strcmp(rec->etag, s->etag) != 0))
		return -ESTALE;
	memcpy(s->etag, rec->etag, sizeof(s->etag));
	return 0;
}

static int stream_write(struct tier_sink *sink, const void *buf, size_t len, uint64_t off)
{
	struct stream_job *s = (struct stream_job *)sink;

	if (off != s->off + s->got || s->got + len > s->len)
		return -EIO;
	memcpy(s->buf + s->got, buf, len);
	s->got += len;
	return 0;
}

struct stream_ask {
	struct stream_job *s;
	struct tier_call call;
};

static int stream_at(struct cache *c, const char *key, void *arg)
{
	struct stream_ask *ask = arg;
	struct stream_job *s = ask->s;

	return tier_get(c->store, &ask->call, key, s->off, s->len, s->etag, &s->sink);
}

static int stream_get(struct cache *c, struct stream_job *s)
{
	struct stream_ask ask = {.s = s,
				 .call.deadline = deadline_in(c, c->config->deadlines.read_ms)};
	int r = fill_ask(c, s->f->fill, stream_at, &ask);

	if (!r && s->got != s->len)
		r = -EIO;
	if (r == -ENOENT)
		r = -ESTALE;
	if (r == -EAGAIN)
		r = -EIO;
	if (r && r != -ESTALE)
		fill_note_error(c, s->f->fill, r, err_text(&ask.call.err, r));
	return r;
}

static void stream_job(struct cache *c, void *arg)
{
	struct stream_job *s = arg;
	struct cfile *f = s->f;
	struct list out;
	int r = stream_get(c, s);

	list_init(&out);
	count_add(c->counters, COUNTER_stream_bytes, s->got);
	{
		SCOPE_LOCK(&c->lock);
		free(f->stream_buf);
		f->stream_buf = r ? NULL : s->buf;
		f->stream_off = s->off;
		f->stream_len = r ? 0 : s->len;
		if (!r && !f->slot->etag[0])
			memcpy(f->slot->etag, s->etag, sizeof(s->etag));
		f->stream_flight.running = false;
		wake_collect(c, &f->stream_flight.waits, &out);
	}
	if (r)
		free(s->buf);
	wake_all(&out, r);
	SCOPE_LOCK(&c->lock);
	cfile_put(c, f);
	free(s);
}

static int stream_start(struct cache *c, struct cfile *f, uint64_t off, size_t len)
{
	uint64_t want = f->window ? STREAM_MAX : STREAM_MIN;
	struct stream_job *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	want = want > len ? want : len;
	s->sink.begin = stream_begin;
	s->sink.write = stream_write;
	s->c = c;
	s->f = f;
	s->off = off;
	s->size = f->fill->size;
	memcpy(s->etag, f->slot->etag, sizeof(s->etag));
	s->len = off + want < s->size ? want : s->size - off;
	s->buf = malloc(s->len);
	if (!s->buf) {
		free(s);
		return -ENOMEM;
	}
	f->refs++;
	f->stream_flight.running = true;
	job_run(c, POOL_FOREGROUND, stream_job, s);
	return 0;
}

static int read_stream(struct cache *c, struct cfile *f, uint64_t off, size_t len,
		       struct cache_wait *w, struct cache_data *ret)
{
	int r;

	if (f->stream_len && off >= f->stream_off && off + len <= f->stream_off + f->stream_len) {
		ret->buf = malloc(len);
		if (!ret->buf)
			return -ENOMEM;
		memcpy(ret->buf, (char *)f->stream_buf + (off - f->stream_off), len);
		ret->len = len;
		return 0;
	}
	if (!f->stream_flight.running) {
		r = stream_start(c, f, off, len);
		if (r)
			return r;
	}
	return wait_on(c, &f->stream_flight.waits, w, c->config->deadlines.read_ms);
}

/* --- the call --- */

static int read_fill(struct cache *c, struct cfile *f, off_t off, size_t len, struct cache_wait *w,
		     struct cache_data *ret)
{
	struct fill *fill = f->fill;
	int r;

	if ((uint64_t)off >= fill->size)
		return 0;
	if (off + len > fill->size)
		len = fill->size - off;
	r = fill_want(c, fill, off, len, w->deadline ? f->window : read_ahead(f, off, len));
	if (r == -ENOSPC)
		return read_stream(c, f, off, len, w, ret);
	if (r < 0)
		return r;
	if (r)
		return wait_on(c, &fill->waits, w, c->config->deadlines.read_ms);
	ret->fd = fill->fd;
	ret->off = off;
	ret->len = len;
	return 0;
}

int cache_read(struct cache *c, struct cfile *f, off_t off, size_t len, struct cache_wait *w,
	       struct cache_data *ret_data)
{
	*ret_data = (struct cache_data){.fd = -1};
	if (!f->fill) {
		ret_data->fd = f->fd;
		ret_data->off = off;
		ret_data->len = len;
		return 0;
	}
	SCOPE_LOCK(&c->lock);
	return read_fill(c, f, off, len, w, ret_data);
}

int cache_lseek(struct cache *c, struct cfile *f, off_t off, int whence, off_t *ret_off)
{
	off_t at;

	(void)c;
	if (f->fill) { /* a partial body's holes are not the object's */
		off_t size = f->fill->size;

		if (off < 0 || off >= size)
			return -ENXIO;
		*ret_off = whence == SEEK_DATA ? off : size;
		return 0;
	}
	at = lseek(f->fd, off, whence);
	if (at < 0)
		return -errno;
	*ret_off = at;
	return 0;
}
