/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mem: a store in memory that keeps every word of the contract (tier.h). It is the reference that
 * the conformance suite is written against, what the model test compares with, and a store for
 * tests in simulated time. Its versions are numbered, so replacing metadata makes a new version as
 * Azure does.
 *
 * Objects stand in one array sorted by name, in which a marker is "key/": searching and listing are
 * both plain. A version never changes once it is in the array; readers hold a reference to it and
 * no lock, so a get goes on with the version it began with.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "model/key.h"
#include "tiers/mem_internal.h"
#include "tiers/stores.h"
#include "util/cleanup.h"
#include "util/fsutil.h"

#define MEM_CHUNK (256 * 1024)

static struct mem *mem_of(struct tier *t);

static void blob_unref(struct blob *b)
{
	if (b && atomic_fetch_sub(&b->refs, 1) == 1)
		free(b);
}

void mem_version_unref(struct version *v)
{
	if (!v || atomic_fetch_sub(&v->refs, 1) != 1)
		return;
	record_release(&v->rec);
	blob_unref(v->blob);
	free(v);
}

static void version_unrefp(struct version **v)
{
	mem_version_unref(*v);
}

static void blob_unrefp(struct blob **b)
{
	blob_unref(*b);
}

#define CLEANUP_VERSION __attribute__((cleanup(version_unrefp)))
#define CLEANUP_BLOB __attribute__((cleanup(blob_unrefp)))

/* A version of rec's metadata and blob's bytes, which gets a reference more. NULL: no memory. */
static struct version *version_new(const struct record *rec, struct blob *blob)
{
	struct version *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	record_init(&v->rec);
	if (record_copy(&v->rec, rec)) {
		record_release(&v->rec);
		free(v);
		return NULL;
	}
	atomic_init(&v->refs, 1);
	atomic_fetch_add(&blob->refs, 1);
	v->blob = blob;
	v->rec.size = blob->size;
	if (!(rec->known & REC_ENCODING))
		v->rec.encoding[0] = '\0';
	v->rec.known |= REC_SIZE | REC_ENCODING;
	return v;
}

/* The bytes' hash belongs to the record, whoever knows it. */
static void know_xxh3(struct version *v, const struct xxh3 *xxh3)
{
	if ((v->rec.known & REC_XXH3) || !xxh3_known(xxh3))
		return;
	v->rec.xxh3 = *xxh3;
	v->rec.known |= REC_XXH3;
}

static int blob_read(const struct tier_source *src, struct blob **ret_blob)
{
	CLEANUP_BLOB struct blob *b = malloc(sizeof(*b) + src->size);
	ssize_t got = 0;

	if (!b)
		return -ENOMEM;
	atomic_init(&b->refs, 1);
	b->size = src->size;
	if (src->size > 0)
		got = fs_pread_full(src->fd, b->data, src->size, 0);
	if (got < 0)
		return (int)got;
	if ((uint64_t)got != src->size)
		return -EIO;
	*ret_blob = STEAL_PTR(b);
	return 0;
}

/* --- the array; all with the lock held --- */

size_t mem_lower_bound(const struct mem *m, const char *name)
{
	size_t lo = 0, hi = m->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(m->slots[mid].name, name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct slot *find(const struct mem *m, const char *name)
{
	size_t at = mem_lower_bound(m, name);

	return at < m->n && strcmp(m->slots[at].name, name) == 0 ? &m->slots[at] : NULL;
}

static int check_etag(const struct slot *s, const char *etag)
{
	if (!s)
		return -ENOENT;
	return etag && strcmp(s->version->rec.etag, etag) != 0 ? -ESTALE : 0;
}

static int check_pre(const struct slot *s, const struct tier_pre *pre)
{
	if (pre->cond == TIER_IF_ABSENT && s)
		return -EEXIST;
	return pre->cond == TIER_IF_MATCH ? check_etag(s, pre->etag) : 0;
}

static int insert(struct mem *m, const char *name, struct version *v)
{
	size_t at = mem_lower_bound(m, name);
	char *copy = strdup(name);

	if (!copy)
		return -ENOMEM;
	if (m->n == m->room) {
		size_t room = m->room ? m->room * 2 : 64;
		struct slot *slots = reallocarray(m->slots, room, sizeof(*slots));

		if (!slots) {
			free(copy);
			return -ENOMEM;
		}
		m->slots = slots;
		m->room = room;
	}
	memmove(&m->slots[at + 1], &m->slots[at], (m->n - at) * sizeof(*m->slots));
	m->slots[at] = (struct slot){.name = copy, .version = v};
	m->n++;
	return 0;
}

/* Puts v, which it takes on success, in the place of what name is now, and numbers it. */
static int publish(struct mem *m, const char *name, struct version *v, char *ret_etag)
{
	struct slot *s = find(m, name);
	int r = 0;

	if (!(v->rec.known & REC_MTIME))
		v->rec.mtime_ns = clock_wall(m->base.clock);
	snprintf(v->rec.etag, sizeof(v->rec.etag), "\"m%llu\"", (unsigned long long)++m->last_etag);
	v->rec.known |= REC_ETAG | REC_MTIME;
	if (s) {
		mem_version_unref(s->version);
		s->version = v;
	} else {
		r = insert(m, name, v);
	}
	if (r == 0)
		memcpy(ret_etag, v->rec.etag, ETAG_MAX);
	return r;
}

static void remove_slot(struct mem *m, struct slot *s)
{
	size_t at = (size_t)(s - m->slots);

	free(s->name);
	mem_version_unref(s->version);
	memmove(s, s + 1, (m->n - at - 1) * sizeof(*s));
	m->n--;
}

/* A reference to the version etag (NULL: the present one) of name. */
static int take(struct mem *m, const char *name, const char *etag, struct version **ret_version)
{
	SCOPE_LOCK(&m->mtx);
	struct slot *s = find(m, name);
	int r = check_etag(s, etag);

	if (r)
		return r;
	atomic_fetch_add(&s->version->refs, 1);
	*ret_version = s->version;
	return 0;
}

/* --- operations --- */

static int mem_probe(struct tier *t, struct tier_call *call)
{
	return 0;
}

static int mem_head(struct tier *t, struct tier_call *call, const char *key, struct record *ret_rec)
{
	CLEANUP_VERSION struct version *v = NULL;
	int r = take(mem_of(t), key, NULL, &v);

	return r ? r : record_copy(ret_rec, &v->rec);
}

static int mem_get(struct tier *t, struct tier_call *call, const char *key, uint64_t off,
		   uint64_t len, const char *etag, struct tier_sink *sink)
{
	CLEANUP_VERSION struct version *v = NULL;
	int r = take(mem_of(t), key, etag, &v);

	if (r == 0)
		r = sink->begin(sink, &v->rec);
	if (r || off >= v->blob->size)
		return r;
	if (len > v->blob->size - off)
		len = v->blob->size - off;
	while (len > 0 && r == 0) {
		size_t part = len < MEM_CHUNK ? (size_t)len : MEM_CHUNK;

		r = tier_call_check(t, call);
		if (r == 0)
			r = sink->write(sink, v->blob->data + off, part, off);
		off += part;
		len -= part;
	}
	return r;
}

/* malloc'ed "key/". */
static char *marker_name(const char *key)
{
	char *name = NULL;

	return asprintf(&name, "%s/", key) < 0 ? NULL : name;
}

static bool is_marker(const struct record *rec)
{
	return (rec->known & REC_MODE) && S_ISDIR(rec->mode);
}

static int mem_put(struct tier *t, struct tier_call *call, const char *key,
		   const struct tier_source *src, const struct record *rec,
		   const struct tier_pre *pre, char *ret_etag)
{
	CLEANUP_FREE char *name = is_marker(rec) ? marker_name(key) : strdup(key);
	CLEANUP_VERSION struct version *v = NULL;
	CLEANUP_BLOB struct blob *blob = NULL;
	struct mem *m = mem_of(t);
	int r = tier_check_metadata(rec);

	if (r == 0)
		r = blob_read(src, &blob);
	if (r)
		return r;
	v = version_new(rec, blob);
	if (!name || !v)
		return -ENOMEM;
	know_xxh3(v, &src->xxh3);
	SCOPE_LOCK(&m->mtx);
	r = check_pre(find(m, name), pre);
	if (r == 0)
		r = publish(m, name, v, ret_etag);
	if (r == 0)
		v = NULL;
	return r;
}

static int mem_del(struct tier *t, struct tier_call *call, const char *key, bool marker,
		   const char *etag)
{
	CLEANUP_FREE char *name = marker ? marker_name(key) : strdup(key);
	struct mem *m = mem_of(t);
	struct slot *s;
	int r;

	if (!name)
		return -ENOMEM;
	SCOPE_LOCK(&m->mtx);
	s = find(m, name);
	if (!s)
		return 0;
	r = check_etag(s, etag);
	if (r == 0)
		remove_slot(m, s);
	return r;
}

static int mem_copy(struct tier *t, struct tier_call *call, const char *from, const char *etag,
		    const char *to, const struct record *rec, const struct tier_pre *pre,
		    char *ret_etag)
{
	CLEANUP_VERSION struct version *old = NULL;
	CLEANUP_VERSION struct version *v = NULL;
	struct mem *m = mem_of(t);
	int r = rec ? tier_check_metadata(rec) : 0;

	if (r == 0)
		r = take(m, from, etag, &old);
	if (r)
		return r;
	v = version_new(rec ? rec : &old->rec, old->blob);
	if (!v)
		return -ENOMEM;
	know_xxh3(v, &old->rec.xxh3);
	SCOPE_LOCK(&m->mtx);
	if (strcmp(from, to) == 0)
		r = check_etag(find(m, from), old->rec.etag);
	if (r == 0)
		r = check_pre(find(m, to), pre);
	if (r == 0)
		r = publish(m, to, v, ret_etag);
	if (r == 0)
		v = NULL;
	return r;
}

static int mem_set_meta(struct tier *t, struct tier_call *call, const char *key, const char *etag,
			const struct record *rec, char *ret_etag)
{
	const struct tier_pre any = {.cond = TIER_ANY};

	return mem_copy(t, call, key, etag, key, rec, &any, ret_etag);
}

static int mem_share(struct tier *t, struct tier_call *call, const char *key, const char *etag,
		     int dst_dirfd, const char *name, struct record *ret_rec)
{
	CLEANUP_VERSION struct version *v = NULL;
	CLEANUP_CLOSE int fd = -1;
	int r = take(mem_of(t), key, etag, &v);

	if (r)
		return r;
	fd = openat(dst_dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	r = fs_pwrite_full(fd, v->blob->data, v->blob->size, 0);
	if (r == 0)
		r = record_copy(ret_rec, &v->rec);
	if (r)
		unlinkat(dst_dirfd, name, 0);
	return r;
}

static void mem_close(struct tier *t)
{
	struct mem *m = mem_of(t);

	while (m->n > 0)
		remove_slot(m, &m->slots[m->n - 1]);
	free(m->slots);
	pthread_mutex_destroy(&m->mtx);
	tier_release(&m->base);
	free(m);
}

static const struct tier_ops mem_ops = {
	.type = "mem",
	.probe = mem_probe,
	.head = mem_head,
	.get = mem_get,
	.put = mem_put,
	.del = mem_del,
	.del_many = tier_default_del_many,
	.list = mem_list,
	.copy = mem_copy,
	.set_meta = mem_set_meta,
	.share = mem_share,
	.close = mem_close,
};

static struct mem *mem_of(struct tier *t)
{
	assert(t->ops == &mem_ops);
	return (struct mem *)t;
}

int mem_create(const struct tier_env *env, const char *name, struct tier **ret_tier)
{
	const struct tier_caps caps = {
		.flags = TIER_CAP_COND_PUT | TIER_CAP_COND_DELETE | TIER_CAP_COPY |
			 TIER_CAP_LIST_RECORDS | TIER_CAP_SHARE | TIER_CAP_LOCAL,
		.max_size = SIZE_MAX / 2,
		.max_metadata = META_MAX,
		.max_key = KEY_MAX,
		.delete_batch = 1000,
	};
	struct mem *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return -ENOMEM;
	r = tier_init(&m->base, &mem_ops, name, &caps, env->clock, env->counters);
	if (r) {
		free(m);
		return r;
	}
	pthread_mutex_init(&m->mtx, NULL);
	*ret_tier = &m->base;
	return 0;
}
