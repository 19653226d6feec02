/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of the journal as bytes: the frame around each, and an entry as the payload of one.
 * Reading takes hostile input (fuzzed): a log that another program damaged must not do more than
 * end early.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "cache/journal_priv.h"
#include "util/hash.h"

/* --- bytes out --- */

void jbuf_release(struct jbuf *b)
{
	free(b->p);
	*b = (struct jbuf){.p = NULL};
}

void jbuf_put(struct jbuf *b, const void *data, size_t len)
{
	if (b->len + len > b->cap) {
		size_t cap = b->cap ? b->cap : 512;
		uint8_t *p;

		while (cap < b->len + len)
			cap *= 2;
		p = b->oom ? NULL : realloc(b->p, cap);
		if (!p) {
			b->oom = true;
			return;
		}
		b->p = p;
		b->cap = cap;
	}
	if (len > 0)
		memcpy(b->p + b->len, data, len);
	b->len += len;
}

void jbuf_u8(struct jbuf *b, uint8_t v)
{
	jbuf_put(b, &v, sizeof(v));
}

static void jbuf_u16(struct jbuf *b, uint16_t v)
{
	v = htole16(v);
	jbuf_put(b, &v, sizeof(v));
}

static void jbuf_u32(struct jbuf *b, uint32_t v)
{
	v = htole32(v);
	jbuf_put(b, &v, sizeof(v));
}

void jbuf_u64(struct jbuf *b, uint64_t v)
{
	v = htole64(v);
	jbuf_put(b, &v, sizeof(v));
}

void jbuf_str(struct jbuf *b, const char *s)
{
	size_t len = strlen(s);

	jbuf_u16(b, (uint16_t)len);
	jbuf_put(b, s, len);
}

/* --- bytes in --- */

static const uint8_t *jcur_take(struct jcur *c, size_t len)
{
	const uint8_t *p = c->p;

	if (c->bad || len > c->left) {
		c->bad = true;
		return NULL;
	}
	c->p += len;
	c->left -= len;
	return p;
}

uint8_t jcur_u8(struct jcur *c)
{
	const uint8_t *p = jcur_take(c, 1);

	return p ? *p : 0;
}

static uint16_t jcur_u16(struct jcur *c)
{
	const uint8_t *p = jcur_take(c, 2);

	return p ? (uint16_t)(p[0] | p[1] << 8) : 0;
}

static uint32_t get_u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static uint64_t get_u64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

uint64_t jcur_u64(struct jcur *c)
{
	const uint8_t *p = jcur_take(c, 8);

	return p ? get_u64(p) : 0;
}

void jcur_str(struct jcur *c, char *buf, size_t size)
{
	size_t len = jcur_u16(c);
	const uint8_t *p = jcur_take(c, len);

	if (!p || len >= size || memchr(p, '\0', len)) {
		c->bad = true;
		buf[0] = '\0';
		return;
	}
	memcpy(buf, p, len);
	buf[len] = '\0';
}

/* --- frames --- */

size_t jrec_begin(struct jbuf *b, enum jrec_type type, uint64_t seq)
{
	size_t start = b->len;

	jbuf_u32(b, JREC_MAGIC);
	jbuf_u32(b, 0); /* the length: jrec_end knows */
	jbuf_u16(b, (uint16_t)type);
	jbuf_u16(b, 0);
	jbuf_u64(b, seq);
	return start;
}

int jrec_end(struct jbuf *b, size_t start)
{
	size_t len = b->len - start - JREC_HEAD;
	uint32_t len_le = htole32((uint32_t)len);
	int r = 0;

	if (!b->oom && len > JREC_PAYLOAD_MAX)
		r = -E2BIG;
	if (!b->oom && r == 0) {
		memcpy(b->p + start + 4, &len_le, sizeof(len_le));
		jbuf_u64(b, hash64(b->p + start, JREC_HEAD + len));
	}
	if (b->oom)
		r = -ENOMEM;
	if (r) {
		b->len = start;
		b->oom = false;
	}
	return r;
}

int jrec_next(const uint8_t *buf, size_t len, size_t *off, struct jrec *ret)
{
	const uint8_t *p = buf + *off;
	size_t left = len - *off, payload;

	if (left == 0)
		return 0;
	if (left < JREC_HEAD + JREC_TAIL || get_u32(p) != JREC_MAGIC)
		return -EBADMSG;
	payload = get_u32(p + 4);
	if (payload > JREC_PAYLOAD_MAX || payload > left - JREC_HEAD - JREC_TAIL ||
	    get_u64(p + JREC_HEAD + payload) != hash64(p, JREC_HEAD + payload))
		return -EBADMSG;
	*ret = (struct jrec){.type = (enum jrec_type)(p[8] | p[9] << 8),
			     .seq = get_u64(p + 12),
			     .payload = p + JREC_HEAD,
			     .len = payload};
	*off += JREC_HEAD + payload + JREC_TAIL;
	return 1;
}

bool jrec_any(const uint8_t *buf, size_t len, size_t off)
{
	const uint32_t magic = htole32(JREC_MAGIC);
	struct jrec rec;

	while (off < len) {
		const uint8_t *p = memmem(buf + off, len - off, &magic, sizeof(magic));

		if (!p)
			return false;
		off = (size_t)(p - buf);
		if (jrec_next(buf, len, &off, &rec) == 1)
			return true;
		off++;
	}
	return false;
}

/* --- an entry --- */

void jent_init(struct jent *e)
{
	memset(e, 0, sizeof(*e));
	record_init(&e->rec);
}

void jent_release(struct jent *e)
{
	free(e->key);
	free(e->to);
	record_release(&e->rec);
	jent_init(e);
}

int jent_copy(struct jent *dst, const struct jent *src)
{
	*dst = *src;
	record_init(&dst->rec);
	dst->key = strdup(src->key);
	dst->to = src->to ? strdup(src->to) : NULL;
	if (dst->key && (dst->to || !src->to) && record_copy(&dst->rec, &src->rec) == 0)
		return 0;
	jent_release(dst);
	return -ENOMEM;
}

int jcode_entry(struct jbuf *b, const struct jent *e, unsigned int flags)
{
	CLEANUP_FREE void *rec = NULL;
	size_t rec_len = 0;
	int r = record_to_bytes(&e->rec, &rec, &rec_len);

	if (r)
		return r;
	jbuf_u8(b, (uint8_t)e->op);
	jbuf_u8(b, (uint8_t)flags);
	jbuf_u8(b, (uint8_t)e->base.cond);
	jbuf_u64(b, e->staging_id);
	jbuf_u64(b, e->size);
	jbuf_u64(b, (uint64_t)e->appended_ns);
	jbuf_str(b, e->key);
	jbuf_str(b, e->to ? e->to : "");
	jbuf_str(b, e->base.etag);
	jbuf_put(b, rec, rec_len);
	return 0;
}

static bool key_ok(const char *key)
{
	return key_check(key, strlen(key)) == 0;
}

/* A rename into itself could never be done: it would wait for itself. */
static bool names_ok(const struct jent *e, const char *key, const char *to)
{
	if (!key_ok(key))
		return false;
	if (e->op != J_RENAME)
		return to[0] == '\0';
	return key_ok(to) && !key_below(to, key) && !key_below(key, to);
}

static bool base_ok(const struct jbase *base)
{
	return base->cond == TIER_ANY || base->cond == TIER_IF_ABSENT ||
	       (base->cond == TIER_IF_MATCH && base->etag[0]);
}

int jcode_parse_entry(struct jcur *c, struct jent *ret, unsigned int *ret_flags)
{
	char key[KEY_MAX + 1], to[KEY_MAX + 1];
	unsigned int flags;
	int r = -EBADMSG;

	jent_init(ret);
	ret->op = (enum jop)jcur_u8(c);
	flags = jcur_u8(c);
	ret->base.cond = (enum tier_cond)jcur_u8(c);
	ret->staging_id = jcur_u64(c);
	ret->size = jcur_u64(c);
	ret->appended_ns = (int64_t)jcur_u64(c);
	jcur_str(c, key, sizeof(key));
	jcur_str(c, to, sizeof(to));
	jcur_str(c, ret->base.etag, sizeof(ret->base.etag));
	if (!c->bad && ret->op >= J_PUT && ret->op <= J_RMDIR && !(flags & ~(unsigned int)JF_ALL) &&
	    names_ok(ret, key, to) && base_ok(&ret->base))
		r = record_from_bytes(&ret->rec, c->p, c->left);
	if (r == 0) {
		ret->key = strdup(key);
		ret->to = ret->op == J_RENAME ? strdup(to) : NULL;
		if (!ret->key || (ret->op == J_RENAME && !ret->to))
			r = -ENOMEM;
	}
	if (r) {
		jent_release(ret);
		return r;
	}
	ret->dir = flags & JF_DIR;
	ret->after_siblings = flags & JF_AFTER_SIBLINGS;
	ret->store_has_from = flags & JF_STORE_HAS_FROM;
	*ret_flags = flags;
	return 0;
}
