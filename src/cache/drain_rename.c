/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One object moves in the store: copy, note what follows from it, delete. Each step can be the
 * last one before a crash; begun again, it finds its own copy and goes on, or finds nothing and
 * is done.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cache/drain_priv.h"
#include "util/cleanup.h"
#include "util/fsutil.h"

/* --- through us, where the store cannot copy --- */

struct to_file {
	struct tier_sink sink;
	int fd;
	struct record rec;
};

static int file_begin(struct tier_sink *sink, const struct record *rec)
{
	return record_copy(&container_of(sink, struct to_file, sink)->rec, rec);
}

static int file_write(struct tier_sink *sink, const void *buf, size_t len, uint64_t off)
{
	return fs_pwrite_full(container_of(sink, struct to_file, sink)->fd, buf, len, (off_t)off);
}

/*
 * A file without a name; nothing to clean up after a crash that the sweep of staging/ does not.
 */
static int temp_file(struct drain_try *t)
{
	int dirfd = t->d->conf.staging_dirfd, fd;
	char name[64];

	fd = openat(dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
		return fd < 0 ? -errno : fd;
	snprintf(name, sizeof(name), "copy.%llx.%p", (unsigned long long)t->e->seq, (void *)t);
	fd = openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	unlinkat(dirfd, name, 0);
	return fd;
}

static int copy_through(struct drain_try *t, const char *from, const struct record *src,
			const char *to, const struct tier_pre *pre)
{
	CLEANUP_CLOSE int fd = temp_file(t);
	struct to_file out = {.sink = {.begin = file_begin, .write = file_write}, .fd = fd};
	struct tier *store = t->d->conf.store;
	int r = fd < 0 ? fd : 0;

	record_init(&out.rec);
	if (r == 0)
		r = tier_get(store, drain_call(t, src->size), from, 0, UINT64_MAX, src->etag,
			     &out.sink);
	if (r == 0) {
		bool link = (out.rec.known & REC_MODE) && S_ISLNK(out.rec.mode);
		const struct tier_source body = {.fd = fd,
						 .size = link ? 0 : out.rec.size,
						 .xxh3 = out.rec.xxh3,
						 .packing = t->wish.packing};

		r = tier_put(store, drain_call(t, body.size), to, &body, &out.rec, pre, t->etag);
	}
	record_release(&out.rec);
	return r;
}

static int copy_object(struct drain_try *t, const char *from, const struct record *src,
		       const char *to, enum tier_cond cond, const char *etag)
{
	const struct tier_pre pre = {.cond = cond, .etag = etag};
	struct tier *store = t->d->conf.store;
	int r = -EOPNOTSUPP;

	if (tier_can(store, TIER_CAP_COPY))
		r = tier_copy(store, drain_call(t, src->size), from, src->etag, to, NULL, &pre,
			      t->etag);
	if (r == -EOPNOTSUPP || r == -EFBIG)
		r = copy_through(t, from, src, to, &pre);
	return r;
}

/* --- one move --- */

struct move {
	const char *from, *to;
	struct record src;
	enum tier_cond cond; /* what the target should be */
	char etag[ETAG_MAX];
	bool any; /* nobody knows what it should be, so nothing is a conflict */
	bool counted;
};

/* As far as can be told without reading: foreign objects have no checksum of ours. */
static bool is_copy(const struct record *a, const struct record *b)
{
	if (a->known & b->known & REC_XXH3)
		return drain_same_bytes(a, b);
	return drain_same_bytes(a, b) || (a->size == b->size && strcmp(a->etag, b->etag) == 0);
}

static int copy_beside(struct drain_try *t, const struct move *m)
{
	int r = -EEXIST;

	for (unsigned int n = 0; n < DRAIN_BESIDE_MAX && r == -EEXIST; n++) {
		CLEANUP_FREE char *key = drain_beside(t->e, m->to, n);
		struct record there;

		if (!key)
			return -ENOMEM;
		r = copy_object(t, m->from, &m->src, key, TIER_IF_ABSENT, NULL);
		if (r != -EEXIST || drain_head(t, key, &there))
			continue;
		if (is_copy(&there, &m->src))
			r = 0;
		record_release(&there);
	}
	return r;
}

/*
 * Another host's object is at the target. By first_writer both stay where they are: nothing is
 * lost.
 */
static int over_theirs(struct drain_try *t, struct move *m, const struct record *theirs)
{
	int r = 0;

	if (m->any || t->d->conf.conflict == CONFLICT_LAST_WRITER) {
		if (!m->counted && !m->any)
			count_one(t->d->conf.counters, COUNTER_conflicts);
		m->counted = true;
		m->cond = TIER_IF_MATCH;
		memcpy(m->etag, theirs->etag, sizeof(m->etag));
		return -ESTALE; /* again, over this one */
	}
	t->conflict = true;
	if (t->d->conf.conflict == CONFLICT_KEEP_BOTH)
		r = copy_beside(t, m);
	t->given_up = r == 0;
	return r;
}

/*
 * The copy was refused. 0: it is there after all, or given up; a conflict: try again with what m
 * says now.
 */
static int look_again(struct drain_try *t, struct move *m)
{
	struct record theirs;
	int r = drain_head(t, m->to, &theirs);

	if (r == -ENOENT) {
		m->cond = TIER_IF_ABSENT;
		return -ESTALE;
	}
	if (r)
		return r;
	if (is_copy(&theirs, &m->src)) {
		memcpy(t->etag, theirs.etag, sizeof(t->etag));
	} else if (m->cond == TIER_IF_MATCH && strcmp(m->etag, theirs.etag) == 0) {
		r = -ESTALE; /* it was the source that changed */
	} else {
		r = over_theirs(t, m, &theirs);
	}
	record_release(&theirs);
	return r;
}

/* The owner learns of one object of many; of a single one with the end of the rename. */
static void tell_moved(struct drain_try *t, const struct move *m)
{
	const struct drain_events *ev = &t->d->conf.events;
	CLEANUP_FREE char *now = NULL;

	if (!ev->moved || !t->e->dir)
		return;
	/* Where it fails the owner finds another version there. */
	drain_names(t->d, true);
	if (journal_name_now(t->d->conf.journal, t->e, m->to, &now) == 0)
		ev->moved(ev->arg, m->from, now, m->src.etag, t->etag);
	drain_names(t->d, false);
}

/* The copy is there: who waits for it learns its version before the source goes. */
static int note(struct drain_try *t, struct move *m)
{
	struct journal *j = t->d->conf.journal;
	int r = 0;

	if (m->cond == TIER_IF_MATCH) /* what was there may have been our own earlier copy */
		r = journal_moved(j, t->e, m->to, m->etag, t->etag);
	if (r == 0)
		r = journal_moved(j, t->e, m->to, m->src.etag, t->etag);
	if (r == 0)
		tell_moved(t, m);
	return r;
}

static int finish(struct drain_try *t, struct move *m)
{
	const struct drain_conf *conf = &t->d->conf;
	int r = 0;

	if (t->given_up && conf->conflict == CONFLICT_FIRST_WRITER)
		return 0;
	if (!t->given_up)
		r = note(t, m);
	if (r)
		return r;
	r = tier_del(conf->store, drain_call(t, 0), m->from, false, m->src.etag);
	if (r == -ESTALE &&
	    !t->given_up) { /* the source changed since: the newer one over our copy */
		m->cond = TIER_IF_MATCH;
		memcpy(m->etag, t->etag, sizeof(m->etag));
	}
	if (r == 0)
		t->progress = true;
	return r == -ESTALE && t->given_up ? 0 : r;
}

static int move_once(struct drain_try *t, struct move *m)
{
	int r = copy_object(t, m->from, &m->src, m->to, m->cond, m->etag);

	if (r == -EEXIST || r == -ESTALE || (r == -ENOENT && m->cond == TIER_IF_MATCH))
		r = look_again(t, m);
	if (r == -ENOENT)
		r = -ESTALE; /* gone: the next look at the source says so */
	return r ? r : finish(t, m);
}

int drain_move(struct drain_try *t, const char *from, const struct record *src, const char *to,
	       enum tier_cond cond, const char *etag)
{
	struct move m = {.from = from, .to = to, .cond = cond, .any = cond == TIER_ANY};
	bool known = src && (src->known & REC_ETAG);
	int r = -ESTALE;

	drain_wish(t, to);
	snprintf(m.etag, sizeof(m.etag), "%s", etag ? etag : "");
	if (m.any) /* an earlier try's own copy must not be copied again: it has its followers */
		m.cond = TIER_IF_ABSENT;
	record_init(&m.src);
	if (known && record_copy(&m.src, src))
		return -ENOMEM;
	for (int i = 0; i < DRAIN_CHASE_MAX && r == -ESTALE; i++) {
		if (!known || i > 0) {
			record_release(&m.src);
			r = drain_head(t, from, &m.src);
		} else {
			r = 0;
		}
		if (r == -ENOENT) {
			t->etag[0] = '\0';
			r = 0;
			break;
		}
		if (r == 0)
			r = move_once(t, &m);
	}
	record_release(&m.src);
	if (r == -ESTALE)
		r = err_set(&t->call.err, -EAGAIN, "rename %s: other hosts keep changing it", from);
	return r;
}

int drain_rename(struct drain_try *t)
{
	const struct jent *e = t->e;
	int r = drain_move(t, e->key, NULL, e->to, e->base.cond, e->base.etag);

	if (r == 0 && !t->given_up && !t->etag[0] && (e->rec.known & REC_ETAG))
		memcpy(t->etag, e->base.etag, sizeof(t->etag)); /* an earlier try moved it */
	return r;
}
