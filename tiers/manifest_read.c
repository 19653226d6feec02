/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading manifests: all of a directory's are its shelf. A manifest object never changes, so what
 * was read once is good as long as the store lists it with the same etag: a shelf costs one LIST,
 * and a GET for each object that is new. Shelves are bounded in number of bytes, all of them and
 * each; beyond it the newest manifests count.
 */
#include <errno.h>
#include <string.h>

#include "tiers/manifest_internal.h"
#include "util/cleanup.h"

#define SHELF_MAX 1000		      /* objects */
#define SHELF_BYTES_MAX (32U << 20)   /* of a directory */
#define STALE_MAX 3		      /* compactions that may come in between LIST and GET */
#define FUTURE_NS (60 * NSEC_PER_SEC) /* a stamp further ahead is not believed */
#define SKEW_NS (60 * NSEC_PER_SEC)   /* by which clocks of hosts and store may differ */

/* --- references --- */

static void fetched_put(struct fetched *f)
{
	if (!f || atomic_fetch_sub(&f->refs, 1) != 1)
		return;
	manifest_free(f->m);
	free(f);
}

static void shelf_free(struct shelf *s)
{
	for (size_t i = 0; i < s->n; i++)
		fetched_put(s->v[i]);
	free(s->v);
	free(s->dir);
	free(s);
}

void manifest_shelf_put(struct manifest_layer *ml, struct shelf *s)
{
	(void)ml;
	if (s && atomic_fetch_sub(&s->refs, 1) == 1)
		shelf_free(s);
}

/* Lock held. */
static void uncache(struct manifest_layer *ml, struct shelf *s)
{
	list_del(&s->node);
	s->cached = false;
	ml->shelf_bytes -= s->bytes;
	manifest_shelf_put(ml, s);
}

void manifest_shelves_free(struct manifest_layer *ml)
{
	while (!list_empty(&ml->shelves))
		uncache(ml, list_entry(ml->shelves.next, struct shelf, node));
}

/* A reference, or NULL. */
static struct shelf *cached(struct manifest_layer *ml, const char *dir)
{
	SCOPE_LOCK(&ml->mtx);

	list_for_each(it, &ml->shelves) {
		struct shelf *s = list_entry(it, struct shelf, node);

		if (strcmp(s->dir, dir) != 0)
			continue;
		list_del(&s->node);
		list_add_head(&ml->shelves, &s->node);
		atomic_fetch_add(&s->refs, 1);
		return s;
	}
	return NULL;
}

static void learn_stamps(struct manifest_layer *ml, const struct shelf *s)
{
	int64_t wall = clock_wall(ml->base.clock);

	for (size_t i = 0; i < s->n; i++) {
		const struct manifest *m = s->v[i]->m;

		for (size_t k = 0; m && k < m->n; k++)
			if (m->v[k].stamp > ml->last_stamp && m->v[k].stamp - wall < FUTURE_NS)
				ml->last_stamp = m->v[k].stamp;
	}
}

/* In the place of an older one of that directory. */
static void keep(struct manifest_layer *ml, struct shelf *s, struct shelf *old)
{
	SCOPE_LOCK(&ml->mtx);

	learn_stamps(ml, s);
	if (old && old->cached)
		uncache(ml, old);
	if (s->bytes > ml->conf.cache_max)
		return;
	atomic_fetch_add(&s->refs, 1);
	s->cached = true;
	list_add_head(&ml->shelves, &s->node);
	ml->shelf_bytes += s->bytes;
	while (ml->shelf_bytes > ml->conf.cache_max && ml->shelves.prev != &s->node)
		uncache(ml, list_entry(ml->shelves.prev, struct shelf, node));
}

/* --- what there is --- */

struct found {
	char key[MANIFEST_KEY_MAX];
	char etag[ETAG_MAX];
};

/* The latest SHELF_MAX, as a ring. */
struct finds {
	struct found *v;
	size_t n; /* seen in all */
};

static int take_find(void *arg, const struct tier_entry *e)
{
	struct finds *finds = arg;
	struct found *f = &finds->v[finds->n % SHELF_MAX];

	if (e->prefix || e->marker || e->key_len >= MANIFEST_KEY_MAX ||
	    memchr(e->key, '\0', e->key_len) || !(e->rec->known & REC_ETAG) ||
	    !(e->rec->known & REC_SIZE) || e->rec->size > MANIFEST_MAX)
		return 0;
	memcpy(f->key, e->key, e->key_len);
	f->key[e->key_len] = '\0';
	memcpy(f->etag, e->rec->etag, ETAG_MAX);
	finds->n++;
	return 0;
}

static int find_all(struct manifest_layer *ml, struct tier_call *call, const char *dir,
		    struct finds *finds)
{
	char prefix[MANIFEST_KEY_MAX];
	CLEANUP_FREE char *token = NULL;
	int r;

	manifest_dir_prefix(dir, prefix);
	finds->n = 0;
	do {
		const struct tier_list_req req = {
			.prefix = prefix, .delimiter = true, .token = token};
		char *next = NULL;

		call->control = true;
		r = tier_list(ml->base.inner, call, &req, take_find, finds, &next);
		if (r)
			return r;
		free(token);
		token = next;
	} while (token);
	return 0;
}

/* --- one object --- */

struct buffer {
	struct tier_sink sink;
	char *buf;
	size_t len, room;
};

static int buffer_begin(struct tier_sink *sink, const struct record *rec)
{
	struct buffer *b = container_of(sink, struct buffer, sink);

	if (rec->size > MANIFEST_MAX)
		return -EFBIG;
	b->room = (size_t)rec->size;
	free(b->buf);
	b->len = 0;
	b->buf = malloc(b->room + 1);
	return b->buf ? 0 : -ENOMEM;
}

static int buffer_write(struct tier_sink *sink, const void *data, size_t len, uint64_t off)
{
	struct buffer *b = container_of(sink, struct buffer, sink);

	(void)off;
	if (len > b->room - b->len)
		return -EIO;
	memcpy(b->buf + b->len, data, len);
	b->len += len;
	return 0;
}

/* What is no manifest of dir is remembered as that, and not read again. */
static int parse(struct manifest_layer *ml, const char *dir, char *buf, size_t len,
		 struct fetched *f)
{
	int r = manifest_decode(buf, len, &f->m);

	if (r == 0 && strcmp(f->m->dir, dir) != 0) {
		manifest_free(f->m);
		f->m = NULL;
		r = -EBADMSG;
	}
	SCOPE_LOCK(&ml->mtx);
	ml->stats.fetched++;
	ml->stats.broken += r == -EBADMSG;
	return r == -EBADMSG ? 0 : r;
}

static int fetch(struct manifest_layer *ml, struct tier_call *call, const char *dir,
		 const struct found *found, struct fetched **ret)
{
	struct buffer b = {.sink = {.begin = buffer_begin, .write = buffer_write}};
	struct fetched *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	atomic_init(&f->refs, 1);
	memcpy(f->key, found->key, sizeof(f->key));
	memcpy(f->etag, found->etag, sizeof(f->etag));
	call->control = true;
	r = tier_get(ml->base.inner, call, found->key, 0, UINT64_MAX, found->etag, &b.sink);
	if (r == 0)
		r = parse(ml, dir, STEAL_PTR(b.buf), b.len, f);
	free(b.buf);
	if (r)
		fetched_put(f);
	else
		*ret = f;
	return r;
}

/* --- a shelf --- */

/* What the older shelf has of it, with a reference; NULL: nothing. */
static struct fetched *known(const struct shelf *old, const struct found *found)
{
	for (size_t i = 0; old && i < old->n; i++) {
		struct fetched *f = old->v[i];

		if (strcmp(f->key, found->key) == 0 && strcmp(f->etag, found->etag) == 0) {
			atomic_fetch_add(&f->refs, 1);
			return f;
		}
	}
	return NULL;
}

static struct shelf *shelf_new(const char *dir, size_t n)
{
	struct shelf *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	atomic_init(&s->refs, 1);
	list_init(&s->node);
	s->dir = strdup(dir);
	s->v = calloc(n ? n : 1, sizeof(*s->v));
	s->bytes = sizeof(*s) + strlen(dir);
	if (s->dir && s->v)
		return s;
	shelf_free(s);
	return NULL;
}

static void shelf_add(struct shelf *s, struct fetched *f)
{
	s->v[s->n++] = f;
	s->bytes += sizeof(*f);
	if (!f->m)
		return;
	s->bytes += sizeof(*f->m) + f->m->len + f->m->n * sizeof(*f->m->v);
	s->entries += f->m->n;
	s->manifests++;
}

/* -ESTALE: a manifest went away meanwhile, as its entries are in another one now. */
static int fill(struct manifest_layer *ml, struct tier_call *call, const struct finds *finds,
		const struct shelf *old, struct shelf *s)
{
	size_t n = finds->n < SHELF_MAX ? finds->n : SHELF_MAX;

	for (size_t i = 0; i < n && s->bytes < SHELF_BYTES_MAX; i++) {
		/* Newest first: of too many these are worth most. */
		const struct found *found = &finds->v[(finds->n - 1 - i) % SHELF_MAX];
		struct fetched *f = known(old, found);
		int r = f ? 0 : fetch(ml, call, s->dir, found, &f);

		if (r)
			return r == -ENOENT ? -ESTALE : r;
		shelf_add(s, f);
	}
	return 0;
}

static int load_once(struct manifest_layer *ml, struct tier_call *call, const char *dir,
		     struct finds *finds, const struct shelf *old, struct shelf **ret)
{
	int r = find_all(ml, call, dir, finds);
	struct shelf *s;

	if (r)
		return r;
	s = shelf_new(dir, finds->n < SHELF_MAX ? finds->n : SHELF_MAX);
	if (!s)
		return -ENOMEM;
	r = fill(ml, call, finds, old, s);
	if (r)
		shelf_free(s);
	else
		*ret = s;
	return r;
}

int manifest_load(struct manifest_layer *ml, struct tier_call *call, const char *dir, bool fresh,
		  struct shelf **ret)
{
	struct shelf *old = cached(ml, dir), *s = NULL;
	struct finds finds = {0};
	int r = -ESTALE;

	if (old && !fresh) {
		*ret = old;
		return 0;
	}
	finds.v = calloc(SHELF_MAX, sizeof(*finds.v));
	for (int i = 0; finds.v && i < STALE_MAX && r == -ESTALE; i++)
		r = load_once(ml, call, dir, &finds, old, &s);
	if (!finds.v)
		r = -ENOMEM;
	free(finds.v);
	if (r == 0) {
		keep(ml, s, old);
		*ret = s;
	}
	manifest_shelf_put(ml, old);
	return r;
}

/* --- merging --- */

/*
 * The same bytes may have been written again by somebody who knows nothing of manifests, or by a
 * host that could not write its own: then the store says another time than the entry does. What a
 * listing calls the time of a version lies between the write's begin and its end (S3 takes the
 * begin of a multipart upload).
 */
static bool is_of_that_time(const struct manifest_entry *e, const struct record *listed)
{
	int64_t at = listed->mtime_ns, end = e->stamp;
	int64_t begin = end - (int64_t)e->took_s * NSEC_PER_SEC;

	return !at || (at >= begin - NSEC_PER_SEC - SKEW_NS && at <= end + SKEW_NS);
}

static bool is_of_version(const struct manifest_entry *e, const struct record *listed,
			  struct record *ret)
{
	bool link;

	if (!is_of_that_time(e, listed) || manifest_record_decode(e, ret))
		return false;
	link = ret->symlink != NULL;
	if (strcmp(ret->etag, listed->etag) == 0 && (!link || listed->size == TIER_SYMLINK_SIZE))
		return true;
	record_release(ret);
	return false;
}

/* Of two hosts' entries with the same stamp every reader takes the same. */
static bool is_newer(const struct manifest *am, const struct manifest_entry *a,
		     const struct manifest *bm, const struct manifest_entry *b)
{
	if (a->stamp != b->stamp)
		return a->stamp > b->stamp;
	return strcmp(am->host, bm->host) > 0;
}

bool manifest_merge(const struct shelf *s, const char *name, size_t len,
		    const struct record *listed, struct record *ret)
{
	const struct manifest_entry *best = NULL;
	const struct manifest *best_in = NULL;
	struct record rec;

	if (!(listed->known & REC_ETAG) || !(listed->known & REC_SIZE))
		return false;
	record_init(&rec);
	for (size_t i = 0; i < s->n; i++) {
		const struct manifest *m = s->v[i]->m;
		bool found = false;
		size_t at = m ? manifest_find(m->v, m->n, name, len, &found) : 0;

		if (!found || (best && !is_newer(m, &m->v[at], best_in, best)))
			continue;
		if (!is_of_version(&m->v[at], listed, &rec))
			continue;
		record_release(ret);
		*ret = rec;
		record_init(&rec);
		best = &m->v[at];
		best_in = m;
	}
	if (!best)
		return false;
	ret->size = listed->size;
	ret->known |= REC_SIZE;
	if (!(ret->known & REC_MTIME))
		ret->mtime_ns = listed->mtime_ns;
	return true;
}
