/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes to the store: a staged body, a symlink, a directory's marker. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "cache/drain_priv.h"
#include "tiers/local.h"
#include "util/cleanup.h"

#define REBODIED_MAX 3

int drain_put_once(struct drain_try *t, const char *key, const struct tier_source *src,
		   const struct record *rec, enum tier_cond cond, const char *etag)
{
	const struct tier_pre pre = {.cond = cond, .etag = etag};

	return tier_put(t->d->conf.store, drain_call(t, src->size), key, src, rec, &pre, t->etag);
}

/*
 * The bytes that the entry stands for. A longer file is one whose writer went on: what counts is
 * what was flushed.
 */
static int open_body(struct drain_try *t, uint64_t id, struct tier_source *ret)
{
	const struct drain_conf *conf = &t->d->conf;
	CLEANUP_CLOSE int fd = local_open_id(conf->staging_dirfd, id, O_RDONLY);
	struct stat st;

	if (fd < 0)
		return err_set(&t->call.err, fd == -ENOENT ? -EIO : fd,
			       "put %s: staging file %016llx: %s", t->e->key,
			       (unsigned long long)id, err_text(NULL, fd));
	if (fstat(fd, &st))
		return -errno;
	if ((uint64_t)st.st_size < t->e->size)
		return err_set(&t->call.err, -EIO,
			       "put %s: its staging file has %lld bytes instead of %llu", t->e->key,
			       (long long)st.st_size, (unsigned long long)t->e->size);
	*ret = (struct tier_source){
		.size = t->e->size, .immutable = conf->link_bodies, .packing = t->wish.packing};
	/* A link to a file that is longer than the object would be another object. */
	if ((uint64_t)st.st_size != t->e->size)
		ret->immutable = false;
	ret->fd = steal_fd(&fd);
	return 0;
}

/*
 * The checksum goes with the metadata, so it is computed before; a body that changes meanwhile
 * is refused. Where the last close left one, -EBADMSG: the bytes are not the ones that were closed
 * any more, and no store is to get them.
 */
static int hash_body(struct drain_try *t, struct tier_source *src)
{
	const struct record *rec = &t->e->rec;
	struct xxh3 h;
	int r = xxh3_of_fd(src->fd, src->size, &h);

	if (r)
		return err_set(&t->call.err, r, "put %s: cannot read its staging file", t->e->key);
	if (!(rec->known & REC_XXH3) || !xxh3_known(&rec->xxh3))
		journal_hashed(t->d->conf.journal, t->e, &h);
	else if (!xxh3_equal(&rec->xxh3, &h))
		return err_set(&t->call.err, -EBADMSG,
			       "put %s: its bytes do not have their checksum any more", t->e->key);
	src->xxh3 = t->e->rec.xxh3;
	return 0;
}

static int put_source(struct drain_try *t, const struct tier_source *src, const struct jbase *base)
{
	int r = drain_put_once(t, t->e->key, src, &t->e->rec, base->cond, base->etag);

	return drain_is_conflict(r) ? drain_put_conflict(t, src, &t->e->rec) : r;
}

/*
 * A writer may take the file away while it is uploaded (journal_rebody) and write to it. What
 * went up is then not known to be what was closed; the copy is.
 */
static int put_body(struct drain_try *t)
{
	struct jbase base = t->e->base;

	for (int i = 0; i < REBODIED_MAX; i++) {
		uint64_t id = journal_staging_id(t->d->conf.journal, t->e);
		struct tier_source src;
		int r = open_body(t, id, &src);

		if (r)
			return r;
		r = hash_body(t, &src);
		if (r == 0)
			r = put_source(t, &src, &base);
		close(src.fd);
		if (r == -EBADMSG && journal_staging_id(t->d->conf.journal, t->e) != id)
			continue; /* a writer has the file by now */
		if (r || t->given_up || journal_staging_id(t->d->conf.journal, t->e) == id)
			return r;
		base.cond = TIER_IF_MATCH;
		memcpy(base.etag, t->etag, sizeof(base.etag));
	}
	return err_set(&t->call.err, -EAGAIN, "put %s: it is being written", t->e->key);
}

int drain_put(struct drain_try *t)
{
	const struct tier_source empty = {.fd = -1};

	return t->e->staging_id ? put_body(t) : put_source(t, &empty, &t->e->base);
}

int drain_mkdir(struct drain_try *t)
{
	const struct tier_source empty = {.fd = -1};
	struct record rec = t->e->rec; /* shares its strings */

	if (!(rec.known & REC_MODE) || !S_ISDIR(rec.mode))
		rec.mode = S_IFDIR | 0755;
	rec.known |= REC_MODE;
	return drain_put_once(t, t->e->key, &empty, &rec, TIER_ANY, NULL);
}
