/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another host was there: the store does not have the version that our write began from. Equal
 * bytes are no conflict; that is also what a put looks like whose answer was lost. Else as
 * `write.conflict` says:
 *
 *  last_writer		ours replaces theirs. Still conditional, on the version that was looked at:
 *			nobody is overwritten unseen
 *  first_writer	theirs stays, ours is given up
 *  keep_both		theirs stays, ours goes beside it as NAME.conflict-HOST-TIME
 *
 * What was deleted by another host stands in nobody's way: ours is put as new.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cache/drain_priv.h"
#include "model/key.h"
#include "util/cleanup.h"

int drain_head(struct drain_try *t, const char *key, struct record *ret)
{
	int r;

	record_init(ret);
	r = tier_head(t->d->conf.store, drain_call(t, 0), key, ret);
	if (r)
		record_release(ret);
	return r;
}

static mode_t type_of(const struct record *rec)
{
	return rec->known & REC_MODE ? rec->mode & S_IFMT : S_IFREG;
}

bool drain_same_bytes(const struct record *a, const struct record *b)
{
	if (type_of(a) != type_of(b))
		return false;
	if (S_ISLNK(type_of(a)))
		return a->symlink && b->symlink && strcmp(a->symlink, b->symlink) == 0;
	return (a->known & b->known & REC_XXH3) && xxh3_known(&a->xxh3) &&
	       xxh3_equal(&a->xxh3, &b->xxh3);
}

/* NUL-terminated, fit for a name. */
static void host_name(char *buf, size_t size)
{
	if (gethostname(buf, size))
		buf[0] = '\0';
	buf[size - 1] = '\0';
	for (char *p = buf; *p; p++) {
		if (*p == '/')
			*p = '-';
	}
	if (!buf[0])
		snprintf(buf, size, "host");
}

/*
 * How much of name, a part of a key, stays where suffix comes behind it: never half a character
 * of UTF-8.
 */
static size_t keep_len(const char *key, const char *name, size_t suffix)
{
	size_t len = strlen(name), room = KEY_PART_MAX - suffix, before = (size_t)(name - key);

	if (KEY_MAX - suffix < before + room)
		room = KEY_MAX - suffix > before ? KEY_MAX - suffix - before : 0;
	if (len <= room)
		return len;
	len = room;
	while (len > 0 && ((unsigned char)name[len] & 0xc0) == 0x80)
		len--;
	return len;
}

char *drain_beside(const struct jent *e, const char *key, unsigned int n)
{
	const char *slash = strrchr(key, '/'), *name = slash ? slash + 1 : key;
	time_t when = (time_t)(e->appended_ns / NSEC_PER_SEC);
	char host[64], stamp[32], suffix[128], *beside;
	struct tm tm;
	int len;

	host_name(host, sizeof(host));
	gmtime_r(&when, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
	len = snprintf(suffix, sizeof(suffix), ".conflict-%s-%s", host, stamp);
	if (n > 0)
		snprintf(suffix + len, sizeof(suffix) - (size_t)len, "-%u", n + 1);
	if (asprintf(&beside, "%.*s%.*s%s", (int)(name - key), key,
		     (int)keep_len(key, name, strlen(suffix)), name, suffix) < 0)
		return NULL;
	return beside;
}

static int put_beside(struct drain_try *t, const struct tier_source *src, const struct record *rec)
{
	int r = -EEXIST;

	for (unsigned int n = 0; n < DRAIN_BESIDE_MAX && r == -EEXIST; n++) {
		CLEANUP_FREE char *key = drain_beside(t->e, t->e->key, n);
		struct record there;

		if (!key)
			return -ENOMEM;
		r = drain_put_once(t, key, src, rec, TIER_IF_ABSENT, NULL);
		if (r != -EEXIST || drain_head(t, key, &there))
			continue;
		if (drain_same_bytes(&there, rec))
			r = 0;
		record_release(&there);
	}
	return r;
}

/* Theirs stays. */
static int yield(struct drain_try *t, const struct tier_source *src, const struct record *rec)
{
	int r = 0;

	t->conflict = true;
	if (t->d->conf.conflict == CONFLICT_KEEP_BOTH)
		r = put_beside(t, src, rec);
	t->given_up = r == 0;
	return r;
}

static int over_theirs(struct drain_try *t, const struct tier_source *src, const struct record *rec,
		       const struct record *theirs, bool *counted)
{
	if (t->d->conf.conflict != CONFLICT_LAST_WRITER)
		return yield(t, src, rec);
	if (!*counted)
		count_one(t->d->conf.counters, COUNTER_conflicts);
	*counted = true;
	return drain_put_once(t, t->e->key, src, rec, TIER_IF_MATCH, theirs->etag);
}

int drain_put_conflict(struct drain_try *t, const struct tier_source *src, const struct record *rec)
{
	bool counted = false;
	int r = -ESTALE;

	for (int i = 0; i < DRAIN_CHASE_MAX && drain_is_conflict(r); i++) {
		struct record theirs;

		r = drain_head(t, t->e->key, &theirs);
		if (r == -ENOENT) {
			r = drain_put_once(t, t->e->key, src, rec, TIER_IF_ABSENT, NULL);
			continue;
		}
		if (r)
			return r;
		if (drain_same_bytes(&theirs, rec))
			memcpy(t->etag, theirs.etag, sizeof(t->etag));
		else
			r = over_theirs(t, src, rec, &theirs, &counted);
		record_release(&theirs);
	}
	if (drain_is_conflict(r))
		r = err_set(&t->call.err, -EAGAIN, "put %s: other hosts keep changing it",
			    t->e->key);
	return r;
}
