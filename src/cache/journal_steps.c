/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps of one entry's life after its append, each with its record: written first, then done
 * in memory. Replay comes through here too, without the writing.
 */
#include <errno.h>
#include <string.h>

#include "cache/journal_priv.h"

int jn_log_append(struct journal *j, const struct jent *change, bool hold, uint64_t seq)
{
	struct jbuf *b = &j->log.buf;
	unsigned int flags = 0;
	size_t start;
	int r;

	if (j->replaying)
		return 0;
	if (hold)
		flags |= JF_HELD;
	if (change->dir)
		flags |= JF_DIR;
	if (change->after_siblings)
		flags |= JF_AFTER_SIBLINGS;
	if (change->store_has_from)
		flags |= JF_STORE_HAS_FROM;
	start = jrec_begin(b, JREC_APPEND, seq);
	r = jcode_entry(b, change, flags);
	if (r)
		b->len = start;
	else
		r = jrec_end(b, start);
	return r ? r : jlog_write(j, false);
}

int jn_log_release(struct journal *j, const struct ent *e, const struct record *rec)
{
	struct jbuf *b = &j->log.buf;
	CLEANUP_FREE void *bytes = NULL;
	size_t len = 0, start;
	int r = 0;

	if (j->replaying)
		return 0;
	if (rec)
		r = record_to_bytes(rec, &bytes, &len);
	if (r)
		return r;
	start = jrec_begin(b, JREC_RELEASE, e->pub.seq);
	jbuf_u8(b, rec != NULL);
	jbuf_put(b, bytes, len);
	r = jrec_end(b, start);
	return r ? r : jlog_write(j, false);
}

/* A record of a few bytes. These make room, so they may use the room that is kept for them. */
static int log_small(struct journal *j, enum jrec_type type, uint64_t seq, const void *payload,
		     size_t len)
{
	struct jbuf *b = &j->log.buf;
	size_t start;
	int r;

	if (j->replaying)
		return 0;
	start = jrec_begin(b, type, seq);
	jbuf_put(b, payload, len);
	r = jrec_end(b, start);
	return r ? r : jlog_write(j, true);
}

int jn_drop(struct journal *j, struct ent *e, bool unlink_body)
{
	int r = log_small(j, JREC_DROP, e->pub.seq, NULL, 0);

	if (r)
		return r;
	jn_base_dropped(j, e);
	if (!unlink_body) {
		jn_uncount(j, e);
		e->pub.staging_id = 0;
		jn_count(j, e);
	}
	jn_kill(j, e);
	return 0;
}

int jn_rebody(struct journal *j, struct ent *e, uint64_t id)
{
	struct jbuf payload = {.p = NULL};
	int r;

	jbuf_u64(&payload, id);
	r = payload.oom ? -ENOMEM : log_small(j, JREC_REBODY, e->pub.seq, payload.p, payload.len);
	jbuf_release(&payload);
	if (r == 0)
		e->pub.staging_id = id;
	return r;
}

int jn_take(struct journal *j, struct ent *e)
{
	int r = e->tried ? 0 : log_small(j, JREC_TAKE, e->pub.seq, NULL, 0);

	if (r)
		return r;
	e->tried = true;
	if (!j->replaying)
		jn_set_state(j, e, J_INFLIGHT);
	return 0;
}

int jn_done(struct journal *j, struct ent *e, const char *etag)
{
	struct jbuf payload = {.p = NULL};
	int r;

	jbuf_u8(&payload, etag != NULL);
	jbuf_str(&payload, etag ? etag : "");
	r = payload.oom ? -ENOMEM : log_small(j, JREC_DONE, e->pub.seq, payload.p, payload.len);
	jbuf_release(&payload);
	if (r)
		return r;
	jn_base_done(j, e, etag);
	jn_kill(j, e);
	return 0;
}

/*
 * A file's rename remembers what it moved: begun again, it may find nothing to move, and those
 * who begin from the version that it had before still have to learn the new one.
 */
int jn_moved(struct journal *j, struct ent *e, const char *to, const char *from_etag,
	     const char *etag)
{
	struct ent *f = jn_moved_follower(j, e, to, from_etag);
	struct jbuf payload = {.p = NULL};
	int r;

	if (e->pub.dir && !f)
		return 0;
	jbuf_str(&payload, to);
	jbuf_str(&payload, from_etag);
	jbuf_str(&payload, etag);
	r = payload.oom ? -ENOMEM : log_small(j, JREC_MOVED, e->pub.seq, payload.p, payload.len);
	jbuf_release(&payload);
	if (r)
		return r;
	if (f) {
		jn_set_base(f, TIER_IF_MATCH, etag);
		f->chained = false;
	}
	if (!e->pub.dir) {
		jn_set_base(e, TIER_IF_MATCH, etag);
		memcpy(e->pub.rec.etag, from_etag, strlen(from_etag) + 1);
		e->pub.rec.known |= REC_ETAG;
	}
	return 0;
}
