/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compaction: a new segment with what lives, while the journal goes on. In order:
 *
 *  1. under the lock, the snapshot is written to new.<n+1>; from here on records go to the old
 *     segment and to a tail in memory
 *  2. fdatasync without the lock: the bulk
 *  3. syncs are held off; the tail so far is written and fdatasync'ed: now the new segment is on
 *     the platter as far as any sync was ever answered
 *  4. under the lock, the rest of the tail is written, new.<n+1> is renamed to log.<n+1>, and
 *     records go there
 *  5. fsync of the directory, the old segment is unlinked, syncs go on
 *
 * journal_log.c says what a crash at each of these points leaves.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "cache/journal_priv.h"

#define CHUNK (256u << 10)

struct fresh {
	int fd;
	uint64_t number;
	uint64_t size;
	uint64_t base;	 /* size of the snapshot */
	uint64_t synced; /* position in the log that is on the platter with it */
	uint64_t breaks; /* of the log, at the snapshot: it heals those */
	char tmp[JLOG_NAME_MAX], name[JLOG_NAME_MAX];
};

static int flush_buf(struct fresh *f, struct jbuf *b)
{
	int r = b->oom ? -ENOMEM : jlog_write_all(f->fd, b->p, b->len);

	f->size += b->len;
	b->len = 0;
	return r;
}

static unsigned int flags_of(const struct ent *e)
{
	return (e->pub.state == J_HELD ? JF_HELD : 0) | (e->pub.dir ? JF_DIR : 0) |
	       (e->pub.after_siblings ? JF_AFTER_SIBLINGS : 0) |
	       (e->pub.store_has_from ? JF_STORE_HAS_FROM : 0) | (e->tried ? JF_TRIED : 0) |
	       (e->chained ? JF_CHAINED : 0);
}

static int put_head(struct journal *j, struct fresh *f, struct jbuf *b)
{
	size_t start = jrec_begin(b, JREC_SEGMENT, j->next_seq);

	jbuf_u8(b, JREC_VERSION);
	jbuf_u64(b, f->number);
	return jrec_end(b, start);
}

/* Step 1, with the lock held. */
static int snapshot(struct journal *j, struct fresh *f)
{
	struct jbuf b = {.p = NULL};
	int r = put_head(j, f, &b);

	list_for_each(it, &j->order) {
		const struct ent *e = list_entry(it, struct ent, order);
		size_t start = jrec_begin(&b, JREC_ENTRY, e->pub.seq);

		if (r == 0)
			r = jcode_entry(&b, &e->pub, flags_of(e));
		if (r == 0)
			r = jrec_end(&b, start);
		if (r == 0 && b.len >= CHUNK)
			r = flush_buf(f, &b);
		if (r)
			break;
	}
	if (r == 0)
		r = flush_buf(f, &b);
	f->base = f->size;
	jbuf_release(&b);
	return r;
}

static int begin(struct journal *j, struct fresh *f)
{
	SCOPE_LOCK(&j->lock);
	struct jlog *log = &j->log;

	f->number = log->number + 1;
	jlog_name("new", f->number, f->tmp);
	jlog_name("log", f->number, f->name);
	f->fd = openat(log->dirfd, f->tmp, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (f->fd < 0)
		return -errno;
	f->breaks = log->breaks;
	log->tail.len = 0;
	log->tail.oom = false;
	return snapshot(j, f);
}

static int sync_fd(int fd)
{
	return fdatasync(fd) ? -errno : 0;
}

/* Step 3. */
static int catch_up(struct journal *j, struct fresh *f)
{
	struct jbuf tail;
	int r;

	pthread_mutex_lock(&j->lock);
	j->log.held_off = true;
	while (j->log.syncing)
		pthread_cond_wait(&j->log.cond, &j->lock);
	tail = j->log.tail;
	j->log.tail = (struct jbuf){.p = NULL};
	f->synced = j->log.end;
	pthread_mutex_unlock(&j->lock);

	r = flush_buf(f, &tail);
	jbuf_release(&tail);
	return r ? r : sync_fd(f->fd);
}

/* Step 4: from here on f's descriptor is the log's. *ret_old is the caller's. */
static int swap(struct journal *j, struct fresh *f, int *ret_old)
{
	SCOPE_LOCK(&j->lock);
	struct jlog *log = &j->log;
	int r = log->breaks != f->breaks ? -EIO : flush_buf(f, &log->tail);

	if (r == 0 && renameat(log->dirfd, f->tmp, log->dirfd, f->name))
		r = -errno;
	if (r)
		return r;
	*ret_old = log->fd;
	log->fd = steal_fd(&f->fd);
	log->number = f->number;
	log->size = f->size;
	log->reserved = f->size;
	log->base = f->base;
	log->broken = false;
	return 0;
}

/* Step 5. */
static int settle(struct journal *j, const struct fresh *f, bool had_old)
{
	char old[JLOG_NAME_MAX];
	int r = fsync(j->log.dirfd) ? -errno : 0;

	if (r == 0 && had_old) {
		jlog_name("log", f->number - 1, old);
		unlinkat(j->log.dirfd, old, 0);
	}
	SCOPE_LOCK(&j->lock);
	if (r)
		jlog_break(&j->log); /* the new name may be lost with the power: try again */
	else if (f->synced > j->log.synced)
		j->log.synced = f->synced;
	return r;
}

static int compact(struct journal *j)
{
	struct fresh f = {.fd = -1};
	CLEANUP_CLOSE int old = -1;
	bool swapped = false;
	int r = begin(j, &f);

	if (r == 0)
		r = sync_fd(f.fd);
	if (r == 0)
		r = catch_up(j, &f);
	if (r == 0) {
		r = swap(j, &f, &old);
		swapped = r == 0;
	}
	if (swapped)
		return settle(j, &f, old >= 0);
	if (f.fd >= 0) {
		close(f.fd);
		unlinkat(j->log.dirfd, f.tmp, 0);
	}
	return r;
}

int jlog_compact(struct journal *j)
{
	struct jlog *log = &j->log;
	int r;

	pthread_mutex_lock(&j->lock);
	while (log->compacting)
		pthread_cond_wait(&log->cond, &j->lock);
	log->compacting = true;
	pthread_mutex_unlock(&j->lock);

	r = compact(j);

	pthread_mutex_lock(&j->lock);
	log->compacting = log->held_off = false;
	jbuf_release(&log->tail);
	pthread_cond_broadcast(&log->cond);
	pthread_mutex_unlock(&j->lock);
	return r;
}
