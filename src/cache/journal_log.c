/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log on disk.
 *
 *	journal/log.<n>	 the segment: the one with the highest n that begins with its own head
 *	journal/new.<n>	 one that is being written by a compaction; removed at start
 *	journal/bad.<n>	 one that was damaged in the middle: for people, never read again
 *
 * A segment is a head record, a snapshot (one record an entry, in their order) and then one record
 * a change, each appended with one write(2). Memory changes only after its record was written
 * whole, and a call returns only after both. Replay applies the records in order, with the code
 * that made the changes.
 *
 * What a crash of the process (kill -9) leaves, at each point
 *
 *  before the write	the change never happened, and nobody was told that it did
 *  within the write	a record cut off at the end: the checksum says so, and replay cuts it off.
 *			Nobody was told of that change either
 *  after the write	the change, told or not: the page cache outlives the process
 *  a put's body	was written to staging/<id> before the append: no record names what is not
 *			there
 *  before an unlink	a staging file that no entry names: its owner sweeps these at start
 *  taking an entry	"take" is on record before the store is asked: later changes follow it, and
 *			never replace it
 *  before "done"	the store has it and the entry is there again: it is put again, its
 *			precondition fails, the store's checksum is ours, so it is done
 *  a rename's copy	"moved" is on record before the source is deleted; the job begins again and
 *			finds less
 *  compaction, before the rename
 *			log.<n> has everything, as appends went there until then; new.<n+1> is
 *			removed
 *  after the rename	log.<n+1> has everything: the snapshot, and what was appended since, which
 *			was copied under the lock
 *  before the unlink	both: the higher one counts, the lower one is removed
 *
 * What a loss of power leaves: a prefix of the records that reaches at least to the last
 * journal_sync(). A new segment is on the platter as far as the old one was, under its name,
 * before the old one goes and before a sync is answered again. A failed fdatasync may have lost
 * pages for good: the log is then written anew from memory, and the sync succeeds or fails with
 * that.
 *
 * A write that fails half-way (disk full) is taken back with ftruncate; where that fails too, the
 * log is broken and refuses records until a compaction has made a new one. Space is promised ahead
 * (fallocate), and the last part of it is kept for records that make room: an entry that is done
 * must never fail for want of space.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "cache/journal_priv.h"

#define RESERVE_STEP (256u << 10)
#define RESERVE_KEPT (64u << 10)

void jlog_name(const char *prefix, uint64_t number, char out[JLOG_NAME_MAX])
{
	snprintf(out, JLOG_NAME_MAX, "%s.%" PRIx64, prefix, number);
}

int jlog_write_all(int fd, const void *buf, size_t len)
{
	const char *p = buf;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

bool jlog_wants_compaction(const struct journal *j)
{
	const struct jlog *log = &j->log;

	if (log->fd < 0 || log->compacting)
		return false;
	return log->broken || (log->size > j->conf.segment_size && log->size > 2 * log->base);
}

/* Filesystems that cannot promise room have none kept back either. */
static int reserve(struct jlog *log, size_t len, bool vital)
{
	uint64_t need = log->size + len + (vital ? 0 : RESERVE_KEPT);

	while (log->reserved < need) {
		if (fallocate(log->fd, FALLOC_FL_KEEP_SIZE, (off_t)log->reserved, RESERVE_STEP) ==
		    0)
			log->reserved += RESERVE_STEP;
		else if (errno == ENOSPC || errno == EDQUOT)
			return vital ? 0 : -errno;
		else if (errno != EINTR)
			return 0;
	}
	return 0;
}

void jlog_break(struct jlog *log)
{
	log->broken = true;
	log->breaks++;
}

static int append(struct jlog *log, bool vital)
{
	int r = log->broken ? -EIO : reserve(log, log->buf.len, vital);

	if (r)
		return r;
	r = jlog_write_all(log->fd, log->buf.p, log->buf.len);
	if (r && ftruncate(log->fd, (off_t)log->size))
		jlog_break(log);
	return r;
}

int jlog_write(struct journal *j, bool vital)
{
	struct jlog *log = &j->log;
	int r;

	if (log->fd < 0) {
		log->buf.len = 0;
		return 0;
	}
	r = append(log, vital);
	if (r == 0) {
		log->size += log->buf.len;
		log->end += log->buf.len;
		if (log->compacting)
			jbuf_put(&log->tail, log->buf.p, log->buf.len);
	}
	log->buf.len = 0;
	return r;
}

/* Like a sync, but by a new segment: whatever the old one lost is in memory. */
static int recover(struct journal *j, uint64_t want)
{
	int r = jlog_compact(j);
	SCOPE_LOCK(&j->lock);

	return j->log.synced >= want ? 0 : r ? r : -EIO;
}

/* One caller's fdatasync serves all that wait. With the lock held; dropped in between. */
static void sync_once(struct journal *j)
{
	struct jlog *log = &j->log;
	uint64_t upto = log->end;
	int fd = log->fd;
	bool ok;

	log->syncing = true;
	pthread_mutex_unlock(&j->lock);
	ok = fdatasync(fd) == 0;
	pthread_mutex_lock(&j->lock);
	log->syncing = false;
	if (!ok)
		jlog_break(log);
	else if (upto > log->synced)
		log->synced = upto;
	pthread_cond_broadcast(&log->cond);
}

int jlog_sync(struct journal *j)
{
	struct jlog *log = &j->log;
	uint64_t want;
	bool broken = false;

	pthread_mutex_lock(&j->lock);
	want = log->fd < 0 ? 0 : log->end;
	while (log->synced < want && !broken) {
		if (log->syncing || log->held_off)
			pthread_cond_wait(&log->cond, &j->lock);
		else if (log->broken)
			broken = true;
		else
			sync_once(j);
	}
	pthread_mutex_unlock(&j->lock);
	return broken ? recover(j, want) : 0;
}
