/* SPDX-License-Identifier: Apache-2.0 */
/* Sources, sinks and short calls: see s3_io.h. */
#include "s3_io.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util/fsutil.h"
#include "util/list.h"

static int mem_begin(struct tier_sink *sink, const struct record *rec)
{
	struct mem_sink *s = container_of(sink, struct mem_sink, sink);

	assert(!s->begun);
	s->begun = true;
	s->size = rec->size;
	memcpy(s->etag, rec->etag, sizeof(s->etag));
	return 0;
}

static int mem_write(struct tier_sink *sink, const void *data, size_t len, uint64_t off)
{
	struct mem_sink *s = container_of(sink, struct mem_sink, sink);
	char *grown = realloc(s->data, s->len + len);

	assert(s->begun && grown);
	if (s->len == 0)
		s->off = off;
	assert(off == s->off + s->len);
	memcpy(grown + s->len, data, len);
	s->data = grown;
	s->len += len;
	return 0;
}

void mem_sink_init(struct mem_sink *s)
{
	*s = (struct mem_sink){.sink = {.begin = mem_begin, .write = mem_write}};
}

void mem_sink_release(struct mem_sink *s)
{
	free(s->data);
	mem_sink_init(s);
}

struct tier_source source_of(const void *data, size_t len)
{
	int fd = memfd_create("source", MFD_CLOEXEC);

	assert(fd >= 0);
	assert(fs_pwrite_full(fd, data, len, 0) == 0);
	return (struct tier_source){.fd = fd, .size = len, .xxh3 = xxh3_of(data, len)};
}

void random_bytes(char *data, size_t len, unsigned int seed)
{
	uint64_t x = seed * 2654435761u + 88172645463325252ULL;

	for (size_t i = 0; i < len; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		data[i] = (char)x;
	}
}

struct tier_source source_random(size_t len, unsigned int seed)
{
	char *data = malloc(len ? len : 1);
	struct tier_source src;

	assert(data);
	random_bytes(data, len, seed);
	src = source_of(data, len);
	free(data);
	return src;
}

struct tier_call call_within(int64_t ms)
{
	return (struct tier_call){.deadline = clock_mono(&clock_system) + ms * NSEC_PER_MSEC};
}

const char *put_text(struct tier *t, const char *key, const char *text, char etag[ETAG_MAX])
{
	struct tier_source src = source_of(text, strlen(text));
	struct tier_call call = call_within(10000);
	struct record rec;
	int rc;

	record_init(&rec);
	rc = tier_put(t, &call, key, &src, &rec, NULL, etag);
	if (rc < 0)
		fprintf(stderr, "put %s: %s\n", key, err_text(&call.err, rc));
	assert(rc == 0);
	close(src.fd);
	return etag;
}

int get_text(struct tier *t, struct tier_call *call, const char *key, uint64_t off, uint64_t len,
	     const char *etag, struct mem_sink *ret)
{
	mem_sink_init(ret);
	return tier_get(t, call, key, off, len, etag, &ret->sink);
}
