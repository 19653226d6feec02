/* SPDX-License-Identifier: Apache-2.0 */
/* The record's binary form; record_internal.h describes it. What is decoded is hostile. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/record_internal.h"
#include "util/clock.h"

#define HEADER_LEN 5
#define CHECKED_FROM 3
#define SLOT_SHIFT 14
#define SLOT_MASK 3u

/*
 * Etag forms, the first byte of FIELD_ETAG. Below ETAG_MAX it is the length of a verbatim etag.
 * S3's etags are 32 hex digits in quotes, with "-parts" behind them after a multipart upload: those
 * take 17 or 18 bytes, so that the whole record fits a file's head.
 */
enum { ETAG_QUOTED_HEX = 0x80, ETAG_QUOTED_PARTS = 0x81, ETAG_HEX = 0x82 };

/* --- putting --- */

void codec_out_release(struct codec_out *out)
{
	free(out->buf);
	*out = (struct codec_out){.buf = NULL};
}

static void put(struct codec_out *out, const void *data, size_t len)
{
	if (!out->failed && len > out->size - out->len) {
		size_t size = out->size * 2 > out->len + len ? out->size * 2 : out->len + len + 64;
		uint8_t *grown = realloc(out->buf, size);

		if (grown) {
			out->buf = grown;
			out->size = size;
		} else {
			out->failed = true;
		}
	}
	if (out->failed || !len)
		return;
	memcpy(out->buf + out->len, data, len);
	out->len += len;
}

static void put_fixed(struct codec_out *out, uint64_t v, size_t bytes)
{
	uint8_t le[8];

	for (size_t i = 0; i < bytes; i++)
		le[i] = (uint8_t)(v >> (8 * i));
	put(out, le, bytes);
}

static void put_varint(struct codec_out *out, uint64_t v)
{
	uint8_t bytes[10];
	size_t n = 0;

	while (v >= 0x80) {
		bytes[n++] = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	bytes[n++] = (uint8_t)v;
	put(out, bytes, n);
}

/* v is a signed number in two's complement, so that differences may wrap around. */
static void put_zigzag(struct codec_out *out, uint64_t v)
{
	put_varint(out, v >> 63 ? ~(v << 1) : v << 1);
}

static void put_string(struct codec_out *out, const void *s, size_t len)
{
	put_varint(out, len);
	put(out, s, len);
}

/* --- getting: 0 or -EBADMSG; the value is set in either case --- */

static int get(struct codec_in *in, void *data, size_t len)
{
	if (len > in->left) {
		memset(data, 0, len);
		return -EBADMSG;
	}
	memcpy(data, in->at, len);
	in->at += len;
	in->left -= len;
	return 0;
}

static int get_fixed(struct codec_in *in, size_t bytes, uint64_t *ret)
{
	uint8_t le[8];
	int r = get(in, le, bytes);

	*ret = 0;
	for (size_t i = 0; i < bytes; i++)
		*ret |= (uint64_t)le[i] << (8 * i);
	return r;
}

static int get_varint(struct codec_in *in, uint64_t *ret)
{
	uint64_t v = 0;

	*ret = 0;
	for (unsigned int shift = 0; shift < 64; shift += 7) {
		uint8_t byte;

		if (get(in, &byte, 1))
			return -EBADMSG;
		if ((shift == 63 && byte > 1) || (shift > 0 && byte == 0))
			return -EBADMSG; /* above 64 bits; longer than it must be */
		v |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80) {
			*ret = v;
			return 0;
		}
	}
	return -EBADMSG;
}

static int get_zigzag(struct codec_in *in, uint64_t *ret)
{
	uint64_t v;
	int r = get_varint(in, &v);

	*ret = v & 1 ? ~(v >> 1) : v >> 1;
	return r;
}

/* *ret_s points into the input. */
static int get_bytes(struct codec_in *in, const char **ret_s, size_t *ret_len)
{
	uint64_t len;

	if (get_varint(in, &len) || len > in->left)
		return -EBADMSG;
	*ret_s = (const char *)in->at;
	*ret_len = (size_t)len;
	in->at += len;
	in->left -= (size_t)len;
	return 0;
}

static int get_string(struct codec_in *in, size_t max, char **ret_s)
{
	const char *s;
	size_t len;

	if (get_bytes(in, &s, &len) || len > max || memchr(s, '\0', len))
		return -EBADMSG;
	*ret_s = strndup(s, len);
	return *ret_s ? 0 : -ENOMEM;
}

/* --- etags --- */

/* The number behind "-parts", or 0 where it would not print the same again. */
static uint64_t etag_parts(const char *s, const char *end)
{
	uint64_t parts = 0;

	if (s == end || *s == '0' || end - s > 5)
		return 0;
	for (; s < end; s++) {
		if (*s < '0' || *s > '9')
			return 0;
		parts = parts * 10 + (uint64_t)(*s - '0');
	}
	return parts;
}

/* Lower-case only: an etag must come back exactly as it was. */
static bool etag_hex(const char *s, struct xxh3 *ret)
{
	char hex[XXH3_HEX_LEN + 1];

	memcpy(hex, s, XXH3_HEX_LEN);
	hex[XXH3_HEX_LEN] = '\0';
	return strspn(hex, "0123456789abcdef") == XXH3_HEX_LEN && xxh3_parse(hex, ret) == 0;
}

/* The form that etag is written in; below ETAG_MAX: verbatim, with that length. */
static unsigned int etag_form(const char *etag, struct xxh3 *ret_hash, uint64_t *ret_parts)
{
	size_t len = strnlen(etag, ETAG_MAX - 1);
	const char *tail = etag + 1 + XXH3_HEX_LEN;

	if (len == XXH3_HEX_LEN && etag_hex(etag, ret_hash))
		return ETAG_HEX;
	if (len < XXH3_HEX_LEN + 2 || etag[0] != '"' || etag[len - 1] != '"' ||
	    !etag_hex(etag + 1, ret_hash))
		return (unsigned int)len;
	if (len == XXH3_HEX_LEN + 2)
		return ETAG_QUOTED_HEX;
	*ret_parts = *tail == '-' ? etag_parts(tail + 1, etag + len - 1) : 0;
	return *ret_parts ? ETAG_QUOTED_PARTS : (unsigned int)len;
}

static void put_etag(struct codec_out *out, const char *etag)
{
	struct xxh3 hash;
	uint64_t parts;
	unsigned int form = etag_form(etag, &hash, &parts);

	put_fixed(out, form, 1);
	if (form < ETAG_MAX)
		return put(out, etag, form);
	put(out, hash.b, sizeof(hash.b));
	if (form == ETAG_QUOTED_PARTS)
		put_varint(out, parts);
}

/* One that has a shorter form is not written verbatim. */
static int get_verbatim_etag(struct codec_in *in, size_t len, char etag[ETAG_MAX])
{
	struct xxh3 hash;
	uint64_t parts;

	if (get(in, etag, len) || memchr(etag, '\0', len))
		return -EBADMSG;
	etag[len] = '\0';
	return etag_form(etag, &hash, &parts) == len ? 0 : -EBADMSG;
}

static int get_etag(struct codec_in *in, char etag[ETAG_MAX])
{
	char hex[XXH3_HEX_LEN + 1];
	uint64_t form, parts = 0;
	struct xxh3 hash;

	if (get_fixed(in, 1, &form))
		return -EBADMSG;
	if (form < ETAG_MAX)
		return get_verbatim_etag(in, (size_t)form, etag);
	if (form > ETAG_HEX || get(in, hash.b, sizeof(hash.b)))
		return -EBADMSG;
	if (form == ETAG_QUOTED_PARTS && (get_varint(in, &parts) || !parts || parts > 99999))
		return -EBADMSG;
	xxh3_hex(&hash, hex);
	if (form == ETAG_HEX)
		snprintf(etag, ETAG_MAX, "%s", hex);
	else if (form == ETAG_QUOTED_HEX)
		snprintf(etag, ETAG_MAX, "\"%s\"", hex);
	else
		snprintf(etag, ETAG_MAX, "\"%s-%u\"", hex, (unsigned int)parts);
	return 0;
}

/* --- user xattrs --- */

void codec_put_xattrs(struct codec_out *out, const struct record_xattr *list,
		      bool (*want)(const struct record_xattr *xattr))
{
	uint64_t count = 0;

	for (const struct record_xattr *x = list; x; x = x->next)
		count += !want || want(x);
	put_varint(out, count);
	for (const struct record_xattr *x = list; x; x = x->next) {
		if (want && !want(x))
			continue;
		put_string(out, x->name, strlen(x->name));
		put_string(out, x->value, x->value_len);
	}
}

static int get_xattr(struct codec_in *in, const char *after, struct record_xattr **ret_xattr)
{
	const char *name, *value;
	size_t name_len, value_len;
	struct record_xattr *xattr;

	if (get_bytes(in, &name, &name_len) || get_bytes(in, &value, &value_len))
		return -EBADMSG;
	if (!name_len || name_len > XATTR_NAME_LEN_MAX || memchr(name, '\0', name_len))
		return -EBADMSG;
	xattr = record_xattr_new(name, name_len, value, value_len);
	if (!xattr)
		return -ENOMEM;
	if (after && strcmp(after, xattr->name) >= 0) {
		free(xattr);
		return -EBADMSG;
	}
	*ret_xattr = xattr;
	return 0;
}

int codec_get_xattrs(struct codec_in *in, struct record_xattr **ret_list)
{
	struct record_xattr *list = NULL, **end = &list;
	const char *last = NULL;
	uint64_t count;
	int r;

	r = get_varint(in, &count);
	if (r == 0 && count == 0)
		r = -EBADMSG;
	for (; r == 0 && count; count--) {
		r = get_xattr(in, last, end);
		if (r)
			break;
		last = (*end)->name;
		end = &(*end)->next;
	}
	if (r) {
		record_xattrs_free(list);
		return r;
	}
	*ret_list = list;
	return 0;
}

/* --- what came later --- */

static uint64_t more_fields(const struct record *rec)
{
	return (rec->known & REC_ENCODING) && rec->encoding[0] ? FIELD_BIT(MORE_ENCODING) : 0;
}

static void put_more(struct codec_out *out, const struct record *rec)
{
	put_varint(out, more_fields(rec));
	put_string(out, rec->encoding, strlen(rec->encoding));
	put_varint(out, rec->plain_size);
}

static int get_more(struct codec_in *in, struct record *rec)
{
	uint64_t more, plain;
	const char *s;
	size_t len;

	if (get_varint(in, &more) || more != FIELD_BIT(MORE_ENCODING))
		return -EBADMSG;
	if (get_bytes(in, &s, &len) || get_varint(in, &plain))
		return -EBADMSG;
	if (!len || len >= ENCODING_MAX || memchr(s, '\0', len))
		return -EBADMSG;
	memcpy(rec->encoding, s, len);
	rec->encoding[len] = '\0';
	rec->plain_size = plain;
	return 0;
}

/* --- fields --- */

static uint64_t floor_seconds(int64_t ns)
{
	return (uint64_t)(ns / NSEC_PER_SEC - (ns % NSEC_PER_SEC < 0));
}

/* done: the fields of this blob so far. Sums wrap around, in the same way on both sides. */
static uint64_t expiry_base(const struct record *rec, uint32_t done)
{
	uint64_t created = done & FIELD_BIT(FIELD_CREATED) ? floor_seconds(rec->created_ns) : 0;

	return created + (uint64_t)rec->ttl;
}

static void put_field(struct codec_out *out, enum record_field field, const struct record *rec,
		      uint32_t done)
{
	switch (field) {
	case FIELD_MODE:
		return put_fixed(out, rec->mode, 2);
	case FIELD_OWNER:
		put_varint(out, rec->uid);
		return put_zigzag(out, (uint64_t)rec->gid - (uint64_t)rec->uid);
	case FIELD_XXH3:
		return put(out, rec->xxh3.b, sizeof(rec->xxh3.b));
	case FIELD_CREATED:
		return put_fixed(out, (uint64_t)rec->created_ns, 8);
	case FIELD_EXPIRES:
		put_zigzag(out, (uint64_t)rec->ttl);
		return put_zigzag(out, (uint64_t)rec->expires_at - expiry_base(rec, done));
	case FIELD_ETAG:
		return put_etag(out, rec->etag);
	case FIELD_FORMAT:
		return put_string(out, rec->format, strlen(rec->format));
	case FIELD_MTIME:
		return put_fixed(out, (uint64_t)rec->mtime_ns, 8);
	case FIELD_SIZE:
		return put_varint(out, rec->size);
	case FIELD_CACHE_KEY:
		return put_string(out, rec->cache_key, strlen(rec->cache_key));
	case FIELD_SYMLINK:
		return put_string(out, rec->symlink, strlen(rec->symlink));
	case FIELD_XATTRS:
		return codec_put_xattrs(out, rec->user, NULL);
	case FIELD_MORE:
		return put_more(out, rec);
	case FIELD_USER:
	case FIELD_COUNT:
		return;
	}
}

static int get_mode(struct codec_in *in, struct record *rec)
{
	uint64_t mode;
	int r = get_fixed(in, 2, &mode);

	rec->mode = (mode_t)mode;
	return r;
}

static int get_owner(struct codec_in *in, struct record *rec)
{
	uint64_t uid, delta;

	if (get_varint(in, &uid) || get_zigzag(in, &delta))
		return -EBADMSG;
	if (uid > UINT32_MAX || uid + delta > UINT32_MAX)
		return -EBADMSG;
	rec->uid = (uid_t)uid;
	rec->gid = (gid_t)(uid + delta);
	return 0;
}

static int get_time(struct codec_in *in, int64_t *ret_ns)
{
	uint64_t ns;
	int r = get_fixed(in, 8, &ns);

	*ret_ns = (int64_t)ns;
	return r;
}

static int get_expires(struct codec_in *in, struct record *rec, uint32_t done)
{
	uint64_t ttl, delta;

	if (get_zigzag(in, &ttl) || get_zigzag(in, &delta))
		return -EBADMSG;
	rec->ttl = (int64_t)ttl;
	rec->expires_at = (int64_t)(delta + expiry_base(rec, done));
	return 0;
}

static int get_field(struct codec_in *in, enum record_field field, struct record *rec,
		     uint32_t done)
{
	switch (field) {
	case FIELD_MODE:
		return get_mode(in, rec);
	case FIELD_OWNER:
		return get_owner(in, rec);
	case FIELD_XXH3:
		return get(in, rec->xxh3.b, sizeof(rec->xxh3.b));
	case FIELD_CREATED:
		return get_time(in, &rec->created_ns);
	case FIELD_EXPIRES:
		return get_expires(in, rec, done);
	case FIELD_ETAG:
		return get_etag(in, rec->etag);
	case FIELD_FORMAT:
		return get_string(in, META_MAX, &rec->format);
	case FIELD_MTIME:
		return get_time(in, &rec->mtime_ns);
	case FIELD_SIZE:
		return get_varint(in, &rec->size);
	case FIELD_CACHE_KEY:
		return get_string(in, META_MAX, &rec->cache_key);
	case FIELD_SYMLINK:
		return get_string(in, PATH_MAX - 1, &rec->symlink);
	case FIELD_XATTRS:
		return codec_get_xattrs(in, &rec->user);
	case FIELD_MORE:
		return get_more(in, rec);
	case FIELD_USER:
	case FIELD_COUNT:
		break;
	}
	return 0;
}

/* The bit of `known` that each field carries; 0: a part of what FIELD_USER or FIELD_MODE says. */
static const uint32_t field_known[FIELD_COUNT] = {
	[FIELD_MODE] = REC_MODE,       [FIELD_OWNER] = REC_OWNER,     [FIELD_XXH3] = REC_XXH3,
	[FIELD_CREATED] = REC_CREATED, [FIELD_EXPIRES] = REC_EXPIRES, [FIELD_ETAG] = REC_ETAG,
	[FIELD_MTIME] = REC_MTIME,     [FIELD_SIZE] = REC_SIZE,	      [FIELD_USER] = REC_USER,
	[FIELD_MORE] = REC_ENCODING,
};

uint32_t codec_fields(const struct record *rec)
{
	uint32_t fields = 0;

	for (int f = 0; f < FIELD_COUNT; f++)
		if (f != FIELD_MORE && (rec->known & field_known[f]))
			fields |= FIELD_BIT(f);
	fields |= rec->format ? FIELD_BIT(FIELD_FORMAT) : 0;
	fields |= rec->cache_key ? FIELD_BIT(FIELD_CACHE_KEY) : 0;
	fields |= rec->symlink ? FIELD_BIT(FIELD_SYMLINK) : 0;
	fields |= rec->user ? FIELD_BIT(FIELD_XATTRS) : 0;
	fields |= more_fields(rec) ? FIELD_BIT(FIELD_MORE) : 0;
	return fields;
}

static void store_le16(uint8_t *at, uint64_t v)
{
	at[0] = (uint8_t)v;
	at[1] = (uint8_t)(v >> 8);
}

int codec_encode(const struct record *rec, uint32_t fields, size_t room, unsigned int slot,
		 struct codec_out *out, uint32_t *ret_left)
{
	uint32_t done = 0, left;

	out->len = 0;
	put(out, (const uint8_t[HEADER_LEN]){CODEC_VERSION}, HEADER_LEN);
	for (int f = 0; f < FIELD_COUNT; f++) {
		size_t before = out->len;

		if (!(fields & FIELD_BIT(f)))
			continue;
		put_field(out, (enum record_field)f, rec, done);
		if (out->len > room)
			out->len = before;
		else
			done |= FIELD_BIT(f);
	}
	if (out->failed)
		return -ENOMEM;
	left = fields & ~done;
	store_le16(out->buf + CHECKED_FROM, done | (left ? slot : 0) << SLOT_SHIFT);
	store_le16(out->buf + 1, hash64(out->buf + CHECKED_FROM, out->len - CHECKED_FROM));
	*ret_left = left;
	return 0;
}

/* Takes the header off, and its word for what follows. */
static int get_header(struct codec_in *in, uint64_t *ret_mask)
{
	uint64_t version, check;

	if (get_fixed(in, 1, &version) || version != CODEC_VERSION || get_fixed(in, 2, &check))
		return -EBADMSG;
	if (check != (hash64(in->at, in->left) & 0xffff))
		return -EBADMSG;
	return get_fixed(in, 2, ret_mask);
}

int codec_decode(const void *buf, size_t len, struct record *rec, uint32_t *seen,
		 unsigned int *ret_slot)
{
	struct codec_in in = {.at = buf, .left = len};
	uint32_t fields, done = 0;
	uint64_t mask;

	if (get_header(&in, &mask))
		return -EBADMSG;
	fields = (uint32_t)mask & (FIELD_BIT(SLOT_SHIFT) - 1);
	if (fields >> FIELD_COUNT || fields & *seen)
		return -EBADMSG;
	for (int f = 0; f < FIELD_COUNT; f++) {
		int r;

		if (!(fields & FIELD_BIT(f)))
			continue;
		r = get_field(&in, (enum record_field)f, rec, done);
		if (r)
			return r;
		rec->known |= field_known[f];
		done |= FIELD_BIT(f);
	}
	if (in.left)
		return -EBADMSG;
	*seen |= fields;
	*ret_slot = (unsigned int)(mask >> SLOT_SHIFT) & SLOT_MASK;
	return 0;
}
