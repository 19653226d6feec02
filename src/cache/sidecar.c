/* SPDX-License-Identifier: Apache-2.0 */
/* Sidecars of objects, and what else an object's record takes from bytes: its format. */
#include "cache/sidecar.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cache/internal.h"
#include "cache/session.h"
#include "model/format.h"
#include "util/fsutil.h"

/* --- pairs. Lock held --- */

static const char *ending_of(struct cache *c, struct obj *o)
{
	return o->parent && !(o->flags & OBJ_ORPHAN) && !obj_is_dir(o) ? obj_class(c, o)->sidecar
								       : NULL;
}

/* The length of N's name where o is N.meta; else 0. */
static size_t base_len(const struct obj *o, const char *ending)
{
	size_t len = strlen(o->name), n = strlen(ending);

	return len > n && strcmp(o->name + len - n, ending) == 0 ? len - n : 0;
}

static bool is_there(struct cache *c, const struct obj *o)
{
	return o && obj_live(o) && !obj_is_dir(o) && !obj_expired(c, o);
}

/* N of o, which is N.meta; borrowed, NULL where there is none in memory. */
static struct obj *owner_peek(struct cache *c, struct obj *o)
{
	const char *ending = ending_of(c, o);
	char name[KEY_PART_MAX + 1];
	size_t len = ending ? base_len(o, ending) : 0;
	struct obj *n;

	if (!len)
		return NULL;
	snprintf(name, sizeof(name), "%.*s", (int)len, o->name);
	n = tree_find(c, o->parent, name);
	return is_there(c, n) ? n : NULL;
}

/* False: o can have none. */
static bool sidecar_name(struct cache *c, struct obj *o, char name[KEY_PART_MAX + 1])
{
	const char *ending = ending_of(c, o);

	return ending && !base_len(o, ending) &&
	       snprintf(name, KEY_PART_MAX + 1, "%s%s", o->name, ending) <= KEY_PART_MAX;
}

struct obj *sidecar_peek(struct cache *c, struct obj *o)
{
	char name[KEY_PART_MAX + 1];
	struct obj *s = sidecar_name(c, o, name) ? tree_find(c, o->parent, name) : NULL;

	return is_there(c, s) ? s : NULL;
}

static bool is_sidecar(struct cache *c, struct obj *o)
{
	const char *ending = ending_of(c, o);

	return ending && base_len(o, ending);
}

/* --- what a sidecar says --- */

/*
 * What fd says is in ret; an empty file, which somebody is about to write, says nothing. whole: the
 * writing is over, so that what cannot be read is an error.
 */
static void read_sidecar(struct cache *c, struct obj *s, int fd, bool whole, struct sidecar *ret)
{
	CLEANUP_FREE char *text = malloc(SIDECAR_MAX + 1);
	struct err err = {0};
	ssize_t len = text ? fs_pread_full(fd, text, SIDECAR_MAX + 1, 0) : -ENOMEM;
	int r = len < 0 ? (int)len : 0;

	if (len > 0)
		r = sidecar_parse(text, (size_t)len, ret, &err);
	if (r && whole) {
		err_wrap(&err, r, "what it says of the file beside it is ignored");
		obj_note_error(c, s, r, err_text(&err, r));
	}
}

/* The same of a body; false: it has none here. Lock held, dropped in between */
static bool read_body(struct cache *c, struct obj *s, struct sidecar *ret)
{
	CLEANUP_CLOSE int fd = -1;
	struct local *tier;

	if (s->wr) /* its close comes */
		return false;
	obj_get(s);
	fd = body_open_locked(c, s, &tier);
	pthread_mutex_unlock(&c->lock);
	if (fd >= 0)
		read_sidecar(c, s, fd, true, ret);
	pthread_mutex_lock(&c->lock);
	obj_put_locked(c, s);
	return fd >= 0 && ret->has;
}

static bool same_text(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

/* True where something changed. Lock held */
static bool take(struct cache *c, struct obj *n, const struct sidecar *said)
{
	int64_t now = clock_wall(c->clock) / NSEC_PER_SEC;
	struct record rec;
	bool changed = false;

	record_init(&rec);
	if (!obj_to_record(n, &rec) && !sidecar_apply(said, now, &rec)) {
		const struct obj_extra *x = n->extra;

		changed = rec.expires_at != n->expires_at || rec.created_ns != n->created_ns ||
			  !same_text(rec.cache_key, x ? x->cache_key : NULL) ||
			  !same_text(rec.format, x ? x->format : NULL);
		rec.known &= REC_EXPIRES | REC_CREATED | REC_USER;
		if (changed && obj_set_record(n, &rec))
			changed = false;
	}
	record_release(&rec);
	if (!changed)
		return false;
	if (n->wr && said->has & (SIDECAR_EXPIRES | SIDECAR_TTL))
		n->wr->life_set = true;
	obj_limit_life(c, n);
	n->ctime_ns = clock_wall(c->clock);
	return true;
}

/* Journalled, and the kernel told. No lock held */
static void save(struct cache *c, struct obj *o)
{
	if (obj_save_meta(c, o))
		return;
	obj_emit(c, CACHE_EV_ATTR, o);
	obj_emit(c, CACHE_EV_NAME, o); /* it must not be believed in for longer than its life */
}

/* s gets n's life; true where it had another. Lock held */
static bool take_life(struct obj *s, const struct obj *n)
{
	if (s->known & REC_EXPIRES && s->expires_at == n->expires_at && s->ttl == n->ttl)
		return false;
	s->expires_at = n->expires_at;
	s->ttl = n->ttl;
	s->known |= REC_EXPIRES;
	if (s->wr)
		s->wr->life_set = true;
	return true;
}

/* --- publishing --- */

/* Where the name says it too, nothing is kept of it. Lock held */
static void take_format(struct obj *o, const char *format)
{
	char named[FORMAT_MAX];
	char *copy = NULL;

	format_shown(o->name, NULL, named, sizeof(named));
	if (*format && strcmp(format, named) != 0) {
		copy = strdup(format);
		if (copy && !o->extra)
			o->extra = calloc(1, sizeof(*o->extra));
		if (!copy || !o->extra) {
			free(copy);
			return;
		}
	}
	if (!o->extra)
		return;
	free(o->extra->format);
	o->extra->format = copy;
}

static void look_at_format(struct cache *c, struct obj *o)
{
	char head[FORMAT_HEAD], format[FORMAT_MAX];
	ssize_t n = fs_pread_full(o->wr->fd, head, sizeof(head), 0);

	if (n < 0)
		return;
	SCOPE_LOCK(&c->lock);
	format_of(o->name, head, (size_t)n, format);
	take_format(o, format);
}

/* N.meta lives as long as N, which is going to have the life that is said. Lock held */
static void life_of_sidecar(struct cache *c, struct obj *s, const struct sidecar *said)
{
	const struct sidecar life = {.has = said->has &
					    (SIDECAR_EXPIRES | SIDECAR_TTL | SIDECAR_CREATED),
				     .created_ns = said->created_ns,
				     .expires_at = said->expires_at,
				     .ttl = said->ttl};
	struct obj *n = owner_peek(c, s);
	struct record rec;

	s->wr->life_set = true;
	if (!(life.has & (SIDECAR_EXPIRES | SIDECAR_TTL))) {
		if (n)
			(void)take_life(s, n);
		return;
	}
	record_init(&rec);
	(void)sidecar_apply(&life, clock_wall(c->clock) / NSEC_PER_SEC, &rec);
	rec.known &= REC_EXPIRES;
	(void)obj_set_record(s, &rec);
	obj_limit_life(c, s);
}

/* N is published, and there is an N.meta from before. */
static void take_present(struct cache *c, struct obj *n)
{
	struct sidecar said = {0};
	struct obj *s;

	{
		SCOPE_LOCK(&c->lock);
		s = sidecar_peek(c, n);
		if (s && read_body(c, s, &said))
			(void)take(c, n, &said);
	}
	sidecar_release(&said);
}

static void look(struct cache *c, struct obj *o, bool whole, struct sidecar *ret)
{
	bool changed, sidecar;

	*ret = (struct sidecar){0};
	{
		SCOPE_LOCK(&c->lock);
		changed = (o->wr->dirtied || o->wr->created) && !o->wr->killed &&
			  !(o->flags & OBJ_ORPHAN);
		sidecar = is_sidecar(c, o);
		/* The last flush looked at it. A sidecar is read again: now it is whole. */
		if (whole && !sidecar && o->wr->put_seq && !o->wr->changed)
			changed = false;
	}
	if (!changed)
		return;
	look_at_format(c, o);
	if (!sidecar) {
		take_present(c, o);
		return;
	}
	read_sidecar(c, o, o->wr->fd, whole, ret);
	SCOPE_LOCK(&c->lock);
	life_of_sidecar(c, o, ret);
}

void sidecar_flush(struct cache *c, struct obj *o, struct sidecar *ret)
{
	look(c, o, false, ret);
}

void sidecar_publish(struct cache *c, struct obj *o, struct sidecar *ret)
{
	look(c, o, true, ret);
}

/* What the sidecar s says becomes N's. No lock held */
static void tell_owner(struct cache *c, struct obj *s, const struct sidecar *said)
{
	struct obj *n;

	if (!said->has)
		return;
	{
		SCOPE_LOCK(&c->lock);
		n = owner_peek(c, s);
		if (!n || !obj_told_whole(n) || !take(c, n, said))
			return;
		obj_get(n);
	}
	save(c, n);
	obj_unref(c, n);
}

void sidecar_noted(struct cache *c, struct obj *o, struct sidecar *said)
{
	tell_owner(c, o, said);
	sidecar_release(said);
	sidecar_follow(c, o);
}

/* --- names and lives --- */

void sidecar_moved(struct cache *c, struct obj *o)
{
	struct sidecar said = {0};
	bool sidecar, changed = false;
	struct obj *s;

	{
		SCOPE_LOCK(&c->lock);
		sidecar = is_sidecar(c, o);
		s = sidecar ? o : sidecar_peek(c, o);
		if (s && obj_told_whole(o) && read_body(c, s, &said) && !sidecar)
			changed = take(c, o, &said);
	}
	if (sidecar)
		tell_owner(c, o, &said);
	else if (changed)
		save(c, o);
	sidecar_release(&said);
	if (sidecar) {
		SCOPE_LOCK(&c->lock);
		s = owner_peek(c, o);
		changed = s && obj_told_whole(o) && take_life(o, s);
	}
	if (sidecar && changed)
		save(c, o);
}

void sidecar_follow(struct cache *c, struct obj *o)
{
	struct obj *s;

	{
		SCOPE_LOCK(&c->lock);
		s = sidecar_peek(c, o);
		if (!s || !obj_told_whole(s) || !take_life(s, o))
			return;
		obj_get(s);
	}
	save(c, s);
	obj_unref(c, s);
}

int sidecar_get(struct cache *c, struct obj *o, struct cache_wait *w, struct obj **ret)
{
	char name[KEY_PART_MAX + 1];
	int r;

	*ret = NULL;
	if (!sidecar_name(c, o, name))
		return 0;
	r = child_get(c, o->parent, name, w, ret);
	if (!r)
		r = obj_refresh(c, *ret, true, w);
	if (!r && !obj_is_dir(*ret))
		return 0;
	if (*ret)
		obj_put_locked(c, *ret);
	*ret = NULL;
	return r == CACHE_PENDING ? r : 0; /* a store that is away keeps nobody from unlinking */
}

void sidecar_end(struct cache *c, struct obj *s)
{
	int64_t end = clock_wall(c->clock) / NSEC_PER_SEC + SIDECAR_GRACE_S;
	bool ends = false;

	if (!s)
		return;
	{
		SCOPE_LOCK(&c->lock);
		if (is_there(c, s) && !(s->flags & OBJ_ORPHAN) && !s->wr &&
		    (!s->expires_at || s->expires_at > end)) {
			s->expires_at = end;
			s->ttl = SIDECAR_GRACE_S;
			s->known |= REC_EXPIRES;
			ends = true;
		}
	}
	if (ends)
		save(c, s);
	obj_unref(c, s);
}
