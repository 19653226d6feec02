/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log read back at start: the newest segment whose head is whole, record by record. What a
 * crash left behind is put in order on the way; damage in the middle ends the log there, is
 * reported, and the damaged file is kept for people.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "cache/journal_priv.h"
#include "tiers/local.h"

/* --- one record --- */

/* A snapshot's entry goes in as it is: it meets nobody. */
static int apply_entry(struct journal *j, const struct jrec *rec)
{
	struct jcur c = {.p = rec->payload, .left = rec->len};
	unsigned int flags;
	struct jent parsed;
	struct jnode *from, *to;
	struct ent *e;
	int r = jcode_parse_entry(&c, &parsed, &flags);

	if (r)
		return r;
	e = jn_by_seq(j, rec->seq) || jn_reserve(j, 1) ? NULL : jn_ent_new(&parsed);
	from = jtree_get(j, parsed.key);
	to = parsed.to ? jtree_get(j, parsed.to) : NULL;
	if (e && from && (to || !parsed.to)) {
		e->pub.seq = e->first_seq = rec->seq;
		e->tried = flags & JF_TRIED;
		e->chained = flags & JF_CHAINED;
		jn_enter(j, e);
		if (!(flags & JF_HELD))
			jn_set_state(j, e, J_QUEUED);
	} else {
		if (e)
			jn_ent_free(e);
		r = -EBADMSG;
	}
	jtree_put(j, from);
	jtree_put(j, to);
	jent_release(&parsed);
	return r;
}

static int apply_append(struct journal *j, const struct jrec *rec)
{
	struct jcur c = {.p = rec->payload, .left = rec->len};
	unsigned int flags;
	struct jent parsed;
	uint64_t seq;
	int r = jcode_parse_entry(&c, &parsed, &flags);

	if (r)
		return r;
	if (jn_by_seq(j, rec->seq))
		r = -EBADMSG;
	else
		r = jn_append(j, &parsed, flags & JF_HELD, rec->seq, &seq);
	jent_release(&parsed);
	return r;
}

static int apply_release(struct journal *j, struct ent *e, struct jcur *c)
{
	bool has_rec = jcur_u8(c);
	struct record rec;
	int r = 0;

	record_init(&rec);
	if (has_rec)
		r = record_from_bytes(&rec, c->p, c->left);
	if (r == 0 && e->pub.state == J_HELD)
		r = jn_release(j, e, has_rec ? &rec : NULL);
	record_release(&rec);
	return r;
}

static int apply_done(struct journal *j, struct ent *e, struct jcur *c)
{
	bool ours = jcur_u8(c);
	char etag[ETAG_MAX];

	jcur_str(c, etag, sizeof(etag));
	return c->bad ? -EBADMSG : jn_done(j, e, ours ? etag : NULL);
}

static int apply_moved(struct journal *j, struct ent *e, struct jcur *c)
{
	char to[KEY_MAX + 1], before[ETAG_MAX], now[ETAG_MAX];

	jcur_str(c, to, sizeof(to));
	jcur_str(c, before, sizeof(before));
	jcur_str(c, now, sizeof(now));
	if (c->bad || !now[0] || e->pub.op != J_RENAME || !key_below(to, e->pub.to))
		return -EBADMSG;
	return jn_moved(j, e, to, before, now);
}

/* A step of an entry. One that is not there any more was replaced: nothing to do. */
static int apply_step(struct journal *j, const struct jrec *rec)
{
	struct jcur c = {.p = rec->payload, .left = rec->len};
	struct ent *e = jn_by_seq(j, rec->seq);
	uint64_t id;

	if (!e)
		return 0;
	switch (rec->type) {
	case JREC_RELEASE:
		return apply_release(j, e, &c);
	case JREC_DROP:
		return jn_drop(j, e, true);
	case JREC_REBODY:
		id = jcur_u64(&c);
		return c.bad || e->pub.op != J_PUT ? -EBADMSG : jn_rebody(j, e, id);
	case JREC_TAKE:
		return e->pub.state == J_HELD ? -EBADMSG : jn_take(j, e);
	case JREC_DONE:
		return apply_done(j, e, &c);
	case JREC_MOVED:
		return apply_moved(j, e, &c);
	default:
		return -EBADMSG;
	}
}

int jreplay_apply(struct journal *j, const struct jrec *rec)
{
	int r;

	switch (rec->type) {
	case JREC_ENTRY:
		r = apply_entry(j, rec);
		break;
	case JREC_APPEND:
		r = apply_append(j, rec);
		break;
	default:
		r = apply_step(j, rec);
		break;
	}
	if (rec->seq >= j->next_seq && rec->seq < UINT64_MAX)
		j->next_seq = rec->seq + 1;
	/*
	 * What died meanwhile leaves its file to the sweep: a later record may name the same
	 * one.
	 */
	list_for_each_safe(it, &j->dead) {
		struct ent *e = list_entry(it, struct ent, order);

		list_del(&e->order);
		jn_ent_free(e);
	}
	return r;
}

/* --- one segment --- */

struct image {
	const uint8_t *p;
	size_t len;
};

static void image_release(struct image *im)
{
	if (im->len)
		munmap((void *)im->p, im->len);
}

static int image_open(int fd, struct image *ret)
{
	struct stat st;
	void *p;

	if (fstat(fd, &st))
		return -errno;
	if (st.st_size == 0)
		return 0;
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	*ret = (struct image){.p = p, .len = (size_t)st.st_size};
	return 0;
}

/* -ENODATA: this is no segment, or another than its name says. */
static int read_head(const struct image *im, uint64_t number, size_t *off, struct jrec *ret)
{
	struct jcur c;

	if (jrec_next(im->p, im->len, off, ret) != 1 || ret->type != JREC_SEGMENT)
		return -ENODATA;
	c = (struct jcur){.p = ret->payload, .left = ret->len};
	if (jcur_u8(&c) != JREC_VERSION)
		return -EPROTO;
	return jcur_u64(&c) == number && !c.bad ? 0 : -ENODATA;
}

/*
 * Applies all records; *ret_end is where the last whole one ended. 1: the log ends there and
 * should not.
 */
static int apply_all(struct journal *j, const struct image *im, size_t off, size_t *ret_end)
{
	struct jrec rec;
	int r;

	for (;;) {
		*ret_end = off;
		r = jrec_next(im->p, im->len, &off, &rec);
		if (r == 0)
			return 0;
		if (r < 0)
			return jrec_any(im->p, im->len, *ret_end + 1);
		r = jreplay_apply(j, &rec);
		if (r)
			return r == -EBADMSG ? 1 : r;
	}
}

/*
 * *ret_bad: damaged in the middle. -ENODATA: it has no head. -EPROTO: another version wrote it.
 */
static int segment_replay(struct journal *j, uint64_t number, struct journal_report *report,
			  bool *ret_bad)
{
	__attribute__((cleanup(image_release))) struct image im = {.len = 0};
	CLEANUP_CLOSE int fd = -1;
	char name[JLOG_NAME_MAX];
	size_t off = 0, end = 0;
	struct jrec head;
	int r;

	jlog_name("log", number, name);
	fd = openat(j->log.dirfd, name, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	r = image_open(fd, &im);
	if (r == 0)
		r = read_head(&im, number, &off, &head);
	if (r)
		return r;
	j->next_seq = head.seq;
	r = apply_all(j, &im, off, &end);
	if (r < 0)
		return r;
	*ret_bad = r > 0;
	if (r == 0 && end < im.len) {
		report->torn++;
		if (ftruncate(fd, (off_t)end))
			return -errno;
	}
	j->log.number = number;
	j->log.size = j->log.reserved = j->log.end = end;
	j->log.fd = steal_fd(&fd);
	return 0;
}

/* --- the directory --- */

struct numbers {
	uint64_t *v;
	size_t n, cap;
};

static int numbers_add(struct numbers *list, uint64_t number)
{
	if (list->n == list->cap) {
		size_t cap = list->cap ? list->cap * 2 : 8;
		uint64_t *v = reallocarray(list->v, cap, sizeof(*v));

		if (!v)
			return -ENOMEM;
		list->v = v;
		list->cap = cap;
	}
	list->v[list->n++] = number;
	return 0;
}

static int descending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x > y ? -1 : x < y;
}

static bool parse_name(const char *name, const char *prefix, uint64_t *ret)
{
	size_t len = strlen(prefix);
	char *end;

	if (strncmp(name, prefix, len) != 0 || name[len] != '.')
		return false;
	errno = 0;
	*ret = strtoull(name + len + 1, &end, 16);
	return errno == 0 && *end == '\0' && end != name + len + 1;
}

/* Segments, newest first. Leftovers of compactions go. */
static int find_segments(int dirfd, struct numbers *ret)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *de;

	if (!dir) {
		r = -errno;
		if (fd >= 0)
			close(fd);
		return r;
	}
	while (r == 0 && (de = readdir(dir))) {
		uint64_t number;

		if (parse_name(de->d_name, "new", &number))
			unlinkat(dirfd, de->d_name, 0);
		else if (parse_name(de->d_name, "log", &number))
			r = numbers_add(ret, number);
	}
	closedir(dir);
	if (r == 0 && ret->n > 1)
		qsort(ret->v, ret->n, sizeof(*ret->v), descending);
	return r;
}

/* Under a second name: the first one goes when there is a new segment, and not before. */
static void keep_bad(struct journal *j, uint64_t number, struct err *err)
{
	char from[JLOG_NAME_MAX], to[JLOG_NAME_MAX];

	jlog_name("log", number, from);
	jlog_name("bad", number, to);
	if (linkat(j->log.dirfd, from, j->log.dirfd, to, 0) && errno != EEXIST)
		err_set(err, -EBADMSG, "journal: %s is damaged; what could be read of it is used",
			from);
	else
		err_set(err, -EBADMSG,
			"journal: %s is damaged; what could be read is used, and it is kept as %s",
			from, to);
}

/*
 * A put whose bytes are not there any more: only a loss of power does that, to what nobody
 * synced.
 */
static void drop_lost(struct journal *j, struct journal_report *report)
{
	list_for_each_safe(it, &j->order) {
		struct ent *e = list_entry(it, struct ent, order);
		char name[LOCAL_ID_LEN + 1];
		struct stat st;

		if (e->pub.op != J_PUT || !e->pub.staging_id)
			continue;
		local_id_name(e->pub.staging_id, name);
		if (fstatat(j->conf.staging_dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
			/* One that is held may have been cut by its writer since. */
			if ((uint64_t)st.st_size >= e->pub.size || e->pub.state == J_HELD)
				continue;
		} else if (errno != ENOENT) {
			continue;
		}
		if (jn_drop(j, e, false) == 0)
			report->lost_bodies++;
	}
}

static int replay_newest(struct journal *j, const struct numbers *list,
			 struct journal_report *report, struct err *err, bool *ret_bad)
{
	char name[JLOG_NAME_MAX];
	int r = -ENODATA;
	size_t i;

	for (i = 0; i < list->n && r == -ENODATA; i++) {
		r = segment_replay(j, list->v[i], report, ret_bad);
		if (r == -ENODATA || *ret_bad)
			keep_bad(j, list->v[i], err);
	}
	if (r && r != -ENODATA) {
		jlog_name("log", list->v[i - 1], name);
		return err_set(err, r, "journal: %s: %s", name, err_text(NULL, r));
	}
	return 0;
}

/* Older segments, and newer ones that are none: after this only the log in use is left. */
static void remove_others(struct journal *j, const struct numbers *list)
{
	char name[JLOG_NAME_MAX];

	for (size_t i = 0; i < list->n; i++) {
		jlog_name("log", list->v[i], name);
		if (list->v[i] != j->log.number)
			unlinkat(j->log.dirfd, name, 0);
	}
}

int jreplay(struct journal *j, struct journal_report *report, struct err *err)
{
	struct numbers list = {.n = 0};
	bool bad = false;
	int r = find_segments(j->log.dirfd, &list);

	j->replaying = true;
	if (r == 0)
		r = replay_newest(j, &list, report, err, &bad);
	else
		err_set(err, r, "journal: cannot list its directory: %s", err_text(NULL, r));
	j->replaying = false;
	if (r == 0 && (j->log.fd < 0 || bad || list.v[0] != j->log.number)) {
		j->log.number = list.n ? list.v[0] : 0;
		r = jlog_compact(j);
		if (r)
			err_set(err, r, "journal: cannot begin a log: %s", err_text(NULL, r));
	}
	if (r == 0)
		remove_others(j, &list);
	free(list.v);
	if (r)
		return r;
	pthread_mutex_lock(&j->lock);
	drop_lost(j, report);
	report->live = j->entries;
	report->bytes = j->bytes;
	jn_unlock(j);
	return 0;
}
