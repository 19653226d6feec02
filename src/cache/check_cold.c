/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store against itself, and against the copies that are here: every name, every record, and,
 * where that is asked for, every byte.
 *
 * Unsafe keys are no damage: somebody else's objects, which are not shown. They are told, once
 * each.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "cache/check_priv.h"
#include "cache/internal.h"

#define CONTROL_PREFIX CONTROL_DIR "/"

/* One name of a page. */
struct cold_name {
	char *key;
	char etag[ETAG_MAX];
};

struct cold {
	struct cache *c;
	struct check *ck;
	struct cold_name *page;
	size_t n, cap;
	/* The objects that the last key begins with, longest last: in byte order no others can be
	 * directories of what follows. */
	char **above;
	size_t n_above, above_cap;
};

/* --- names --- */

static void tell_unsafe(struct cold *cold, const struct tier_entry *entry)
{
	CLEANUP_FREE char *shown = strndup(entry->key, entry->key_len);

	cold->ck->totals.unsafe_keys++;
	check_tell(cold->ck, shown ? shown : "", cold->c->store->name, CHECK_NOTED,
		   "the key is no safe path", "it is not shown");
}

static int above_push(struct cold *cold, const char *key)
{
	if (cold->n_above == cold->above_cap) {
		size_t cap = cold->above_cap ? cold->above_cap * 2 : 16;
		char **v = reallocarray(cold->above, cap, sizeof(*v));

		if (!v)
			return -ENOMEM;
		cold->above = v;
		cold->above_cap = cap;
	}
	cold->above[cold->n_above] = strdup(key);
	return cold->above[cold->n_above] ? (cold->n_above++, 0) : -ENOMEM;
}

static void above_pop(struct cold *cold)
{
	free(cold->above[--cold->n_above]);
}

/* An object that stands where another one's directory is. */
static int check_above(struct cold *cold, const char *key)
{
	while (cold->n_above) {
		const char *top = cold->above[cold->n_above - 1];
		size_t len = strlen(top);

		if (strncmp(top, key, len) == 0)
			break;
		above_pop(cold);
	}
	for (size_t i = 0; i < cold->n_above; i++) {
		const char *at = cold->above[i];

		if (key_below(key, at) && strcmp(key, at) != 0)
			check_tell(cold->ck, at, cold->c->store->name, CHECK_LEFT,
				   "it is an object and a directory at once",
				   "rename or delete one of them in the store");
	}
	return above_push(cold, key);
}

static int page_add(struct cold *cold, const struct tier_entry *entry)
{
	struct cold_name *name;

	if (cold->n == cold->cap) {
		size_t cap = cold->cap ? cold->cap * 2 : 256;
		struct cold_name *v = reallocarray(cold->page, cap, sizeof(*v));

		if (!v)
			return -ENOMEM;
		cold->page = v;
		cold->cap = cap;
	}
	name = &cold->page[cold->n];
	*name = (struct cold_name){.key = strndup(entry->key, entry->key_len)};
	if (!name->key)
		return -ENOMEM;
	cold->n++;
	if (entry->rec->known & REC_ETAG)
		memcpy(name->etag, entry->rec->etag, sizeof(name->etag));
	return 0;
}

static int take_entry(void *arg, const struct tier_entry *entry)
{
	struct cold *cold = arg;
	size_t ours = strlen(CONTROL_PREFIX);

	if (entry->key_len >= ours && memcmp(entry->key, CONTROL_PREFIX, ours) == 0)
		return 0;
	if (key_check(entry->key, entry->key_len)) {
		tell_unsafe(cold, entry);
		return 0;
	}
	if (entry->prefix || entry->marker)
		return 0;
	return page_add(cold, entry);
}

/* --- bytes --- */

struct cold_sink {
	struct tier_sink sink; /* first */
	struct record *rec;
	struct xxh3_stream *stream;
	uint64_t bytes;
};

static int sink_begin(struct tier_sink *sink, const struct record *rec)
{
	return record_copy(((struct cold_sink *)sink)->rec, rec);
}

static int sink_write(struct tier_sink *sink, const void *buf, size_t len, uint64_t off)
{
	struct cold_sink *s = (struct cold_sink *)sink;

	xxh3_stream_update(s->stream, buf, len);
	s->bytes += len;
	return 0;
}

/* 0; -EBADMSG: they are not what the record says; else as tier_get(). */
static int read_object(struct cold *cold, struct tier_call *call, const struct cold_name *name,
		       struct record *rec)
{
	struct cold_sink s = {.sink = {.begin = sink_begin, .write = sink_write},
			      .rec = rec,
			      .stream = xxh3_stream_new()};
	struct xxh3 got;
	int r;

	if (!s.stream)
		return -ENOMEM;
	r = tier_get(cold->c->store, call, name->key, 0, UINT64_MAX, name->etag, &s.sink);
	got = xxh3_stream_digest(s.stream);
	xxh3_stream_free(s.stream);
	if (r)
		return r;
	cold->ck->totals.bytes += s.bytes;
	if (rec->size != s.bytes)
		return -EBADMSG;
	return rec->known & REC_XXH3 && xxh3_known(&rec->xxh3) && !xxh3_equal(&got, &rec->xxh3)
		       ? -EBADMSG
		       : 0;
}

/*
 * The copy here of this version, if its bytes are those of the store's record: a descriptor, or
 * -ENOENT.
 */
static int good_copy(struct cold *cold, const struct cold_name *name, const struct record *rec)
{
	CLEANUP_CLOSE int fd = cold->c->disk ? local_body_open(cold->c->disk, name->key, O_RDONLY)
					     : -1;
	enum body_fault fault = BODY_NO_RECORD;
	struct record here;
	bool good;

	if (fd < 0)
		return -ENOENT;
	record_init(&here);
	good = !body_look(fd, NULL, &here, &fault) && fault == BODY_GOOD &&
	       here.size == rec->size && !strcmp(here.etag, name->etag) &&
	       xxh3_equal(&here.xxh3, &rec->xxh3);
	record_release(&here);
	return good ? steal_fd(&fd) : -ENOENT;
}

/* Puts the copy that is here in the place of the store's, which went bad. */
static bool restore(struct cold *cold, const struct cold_name *name, const struct record *rec)
{
	CLEANUP_CLOSE int fd = rec->known & REC_XXH3 ? good_copy(cold, name, rec) : -1;
	struct tier_source src = {.fd = fd, .size = rec->size, .xxh3 = rec->xxh3};
	struct tier_pre pre = {.cond = TIER_IF_MATCH, .etag = name->etag};
	struct tier_call call = {.deadline = deadline_in(cold->c, 10 * 60 * 1000)};

	return fd >= 0 && !tier_put(cold->c->store, &call, name->key, &src, rec, &pre, NULL);
}

static void tell_bad(struct cold *cold, const struct cold_name *name, const struct record *rec)
{
	const char *tier = cold->c->store->name;
	bool here = false, put = false;

	if (check_repairs(cold->ck))
		put = restore(cold, name, rec);
	if (!put) {
		CLEANUP_CLOSE int fd = good_copy(cold, name, rec);

		here = fd >= 0;
	}
	check_tell(cold->ck, name->key, tier, put ? CHECK_REPAIRED : CHECK_LEFT,
		   "the store's bytes do not have their checksum",
		   put	  ? "put there again from the copy on disk"
		   : here ? "--repair puts it there again from the copy on disk"
			  : "no good copy is here: reads fail; write it again");
}

/* --- one object --- */

static int check_object(struct cold *cold, const struct cold_name *name)
{
	bool bytes = cold->ck->flags & CHECK_COLD_BYTES;
	struct tier_call call = {.deadline = bytes ? deadline_in(cold->c, 10 * 60 * 1000) : 0};
	const char *tier = cold->c->store->name;
	struct record rec;
	int r;

	cold->ck->totals.cold++;
	record_init(&rec);
	r = bytes ? read_object(cold, &call, name, &rec)
		  : tier_head(cold->c->store, &call, name->key, &rec);
	if (r == -EBADMSG)
		tell_bad(cold, name, &rec);
	else if (r == -EREMOTE)
		check_tell(cold->ck, name->key, tier, CHECK_NOTED, "it is archived",
			   "it cannot be read now");
	else if (r == -EIO && !call.transient)
		check_tell(cold->ck, name->key, tier, CHECK_LEFT, err_text(&call.err, r),
			   "write it again");
	else if (!r && !(rec.known & REC_XXH3))
		cold->ck->totals.unverified++;
	record_release(&rec);
	if (r == -EBADMSG || r == -EREMOTE || r == -ENOENT || r == -ESTALE ||
	    (r == -EIO && !call.transient))
		r = 0;
	return r;
}

static int check_page(struct cold *cold)
{
	int r = 0;

	for (size_t i = 0; !r && i < cold->n; i++) {
		r = check_above(cold, cold->page[i].key);
		if (!r)
			r = check_object(cold, &cold->page[i]);
		check_progress(cold->ck);
		if (!r && check_is_cancelled(cold->ck))
			r = -ECANCELED;
	}
	return r;
}

static void page_clear(struct cold *cold)
{
	for (size_t i = 0; i < cold->n; i++)
		free(cold->page[i].key);
	cold->n = 0;
}

int check_cold(struct cache *c, struct check *ck, struct err *err)
{
	struct cold cold = {.c = c, .ck = ck};
	CLEANUP_FREE char *token = NULL;
	int r;

	do {
		struct tier_call call = {0};
		struct tier_list_req req = {.prefix = "", .token = token};
		char *next = NULL;

		r = tier_list(c->store, &call, &req, take_entry, &cold, &next);
		if (r)
			err_set(err, r, "%s", err_text(&call.err, r));
		else
			r = check_page(&cold);
		page_clear(&cold);
		free(token);
		token = next;
	} while (!r && token);
	while (cold.n_above)
		above_pop(&cold);
	free(cold.above);
	free(cold.page);
	return r;
}
