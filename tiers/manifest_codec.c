/* SPDX-License-Identifier: Apache-2.0 */
/* The form of a manifest (manifest_codec.h). */
#include "tiers/manifest_codec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "util/cleanup.h"
#include "util/hash.h"

#define MAGIC "COGFSMAN"
#define MAGIC_LEN 8
#define VERSION 1
#define HASH_LEN 8
#define ENTRY_FIXED (1 + 8 + 4 + 2)
#define HEADER_FIXED (MAGIC_LEN + 1 + 1 + 2 + 4)

/* --- writing --- */

struct out {
	char *at;
};

static void put(struct out *out, const void *data, size_t len)
{
	if (len)
		memcpy(out->at, data, len);
	out->at += len;
}

static void put_number(struct out *out, uint64_t v, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		*out->at++ = (char)(v >> (8 * i));
}

static void put_string(struct out *out, const void *s, size_t len, size_t len_bytes)
{
	put_number(out, len, len_bytes);
	put(out, s, len);
}

static size_t entry_size(const struct manifest_entry *e)
{
	return ENTRY_FIXED + e->name_len + e->record_len;
}

size_t manifest_size(const char *dir, const struct manifest_entry *v, size_t n)
{
	size_t size = HEADER_FIXED + MANIFEST_HOST_MAX + strlen(dir) + HASH_LEN;

	for (size_t i = 0; i < n; i++)
		size += entry_size(&v[i]);
	return size;
}

int manifest_encode(const char *host, const char *dir, const struct manifest_entry *v, size_t n,
		    char **ret_buf, size_t *ret_len)
{
	char *buf = malloc(manifest_size(dir, v, n));
	struct out out = {.at = buf};

	if (!buf)
		return -ENOMEM;
	put(&out, MAGIC, MAGIC_LEN);
	put_number(&out, VERSION, 1);
	put_string(&out, host, strlen(host), 1);
	put_string(&out, dir, strlen(dir), 2);
	put_number(&out, n, 4);
	for (size_t i = 0; i < n; i++) {
		put_string(&out, v[i].name, v[i].name_len, 1);
		put_number(&out, (uint64_t)v[i].stamp, 8);
		put_number(&out, v[i].took_s, 4);
		put_string(&out, v[i].record, v[i].record_len, 2);
	}
	put_number(&out, hash64(buf, (size_t)(out.at - buf)), HASH_LEN);
	*ret_buf = buf;
	*ret_len = (size_t)(out.at - buf);
	return 0;
}

/* --- reading --- */

struct in {
	const char *at;
	size_t left;
};

static int get_bytes(struct in *in, size_t len, const char **ret)
{
	if (len > in->left)
		return -EBADMSG;
	*ret = in->at;
	in->at += len;
	in->left -= len;
	return 0;
}

static int get_number(struct in *in, size_t bytes, uint64_t *ret)
{
	const char *at;
	uint64_t v = 0;

	if (get_bytes(in, bytes, &at))
		return -EBADMSG;
	for (size_t i = 0; i < bytes; i++)
		v |= (uint64_t)(unsigned char)at[i] << (8 * i);
	*ret = v;
	return 0;
}

static int get_string(struct in *in, size_t len_bytes, const char **ret, size_t *ret_len)
{
	uint64_t len;

	if (get_number(in, len_bytes, &len) || get_bytes(in, (size_t)len, ret))
		return -EBADMSG;
	*ret_len = (size_t)len;
	return 0;
}

bool manifest_is_host(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-",
			    s[i]) ||
		    !s[i])
			return false;
	return len > 0 && len <= MANIFEST_HOST_MAX;
}

static int get_header(struct in *in, struct manifest *m, uint64_t *ret_n)
{
	const char *magic, *host, *dir;
	size_t host_len, dir_len;
	uint64_t version;

	if (get_bytes(in, MAGIC_LEN, &magic) || memcmp(magic, MAGIC, MAGIC_LEN) != 0 ||
	    get_number(in, 1, &version) || version != VERSION ||
	    get_string(in, 1, &host, &host_len) || !manifest_is_host(host, host_len) ||
	    get_string(in, 2, &dir, &dir_len) || (dir_len && key_check(dir, dir_len)) ||
	    get_number(in, 4, ret_n))
		return -EBADMSG;
	/* So that the number alone asks for no more memory than the bytes do. */
	if (*ret_n > in->left / ENTRY_FIXED)
		return -EBADMSG;
	memcpy(m->host, host, host_len);
	memcpy(m->dir, dir, dir_len);
	return 0;
}

static int get_entry(struct in *in, bool at_root, const struct manifest_entry *last,
		     struct manifest_entry *ret)
{
	const char *record;
	size_t name_len, record_len;
	uint64_t stamp, took;

	if (get_string(in, 1, &ret->name, &name_len) ||
	    key_part_check(ret->name, name_len, at_root) || get_number(in, 8, &stamp) ||
	    stamp > INT64_MAX || get_number(in, 4, &took) ||
	    get_string(in, 2, &record, &record_len) || record_len > MANIFEST_ENTRY_MAX)
		return -EBADMSG;
	ret->name_len = (uint8_t)name_len;
	ret->stamp = (int64_t)stamp;
	ret->took_s = (uint32_t)took;
	ret->record = record;
	ret->record_len = (uint16_t)record_len;
	return last && manifest_compare(last, ret->name, name_len) >= 0 ? -EBADMSG : 0;
}

static int decode(struct manifest *m)
{
	struct in in = {.at = m->buf, .left = m->len}, tail;
	uint64_t n, hash;
	int r;

	if (m->len < HASH_LEN || m->len > MANIFEST_MAX)
		return -EBADMSG;
	in.left -= HASH_LEN;
	tail = (struct in){.at = m->buf + in.left, .left = HASH_LEN};
	if (get_number(&tail, HASH_LEN, &hash) || hash != hash64(m->buf, in.left))
		return -EBADMSG;
	r = get_header(&in, m, &n);
	if (r)
		return r;
	m->v = calloc(n ? n : 1, sizeof(*m->v));
	if (!m->v)
		return -ENOMEM;
	for (; m->n < n && r == 0; m->n++)
		r = get_entry(&in, m->dir[0] == '\0', m->n ? &m->v[m->n - 1] : NULL, &m->v[m->n]);
	return r == 0 && in.left ? -EBADMSG : r;
}

int manifest_decode(char *buf, size_t len, struct manifest **ret)
{
	struct manifest *m = calloc(1, sizeof(*m));
	int r;

	if (!m) {
		free(buf);
		return -ENOMEM;
	}
	m->buf = buf;
	m->len = len;
	r = decode(m);
	if (r)
		manifest_free(m);
	else
		*ret = m;
	return r;
}

void manifest_free(struct manifest *m)
{
	if (!m)
		return;
	free(m->buf);
	free(m->v);
	free(m);
}

/* --- entries --- */

int manifest_compare(const struct manifest_entry *e, const char *name, size_t len)
{
	int order = memcmp(e->name, name, e->name_len < len ? e->name_len : len);

	if (order)
		return order < 0 ? -1 : 1;
	return (e->name_len > len) - (e->name_len < len);
}

size_t manifest_find(const struct manifest_entry *v, size_t n, const char *name, size_t len,
		     bool *ret_found)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (manifest_compare(&v[mid], name, len) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*ret_found = lo < n && manifest_compare(&v[lo], name, len) == 0;
	return lo;
}

/* As a head of the object would say it: what is not in its metadata is known to be nothing. */
int manifest_record_encode(const struct record *rec, const char *etag, void **ret, size_t *ret_len)
{
	struct record kept = *rec; /* shares its strings */
	int r;

	if (!(rec->known & REC_EXPIRES))
		kept.expires_at = kept.ttl = 0;
	if (!(rec->known & REC_ENCODING))
		kept.encoding[0] = '\0';
	kept.known |= REC_EXPIRES | REC_USER | REC_ETAG | REC_ENCODING;
	kept.known &= ~(uint32_t)REC_SIZE;
	memcpy(kept.etag, etag, strlen(etag) + 1);
	r = record_to_bytes(&kept, ret, ret_len);
	if (r == 0 && *ret_len > MANIFEST_ENTRY_MAX) {
		free(*ret);
		r = -E2BIG;
	}
	return r;
}

/* Our own names below user. are not for a store to fill. */
static bool has_own_names(const struct record *rec)
{
	for (const struct record_xattr *x = rec->user; x; x = x->next)
		if (strcmp(x->name, "cogfs") == 0 || strncmp(x->name, "cogfs.", 6) == 0)
			return true;
	return false;
}

static bool makes_sense(const struct record *rec)
{
	bool link = (rec->known & REC_MODE) && S_ISLNK(rec->mode);

	if (!(rec->known & REC_ETAG) || !rec->etag[0] || (rec->known & REC_SIZE))
		return false;
	if ((rec->known & REC_MODE) && !S_ISREG(rec->mode) && !link)
		return false;
	if (link != (rec->symlink != NULL))
		return false;
	return rec->expires_at >= 0 && rec->ttl >= 0 && !has_own_names(rec);
}

int manifest_record_decode(const struct manifest_entry *e, struct record *ret)
{
	int r = record_from_bytes(ret, e->record, e->record_len);

	if (r)
		return r;
	ret->known |= REC_ENCODING; /* where none is named there is none */
	if (makes_sense(ret))
		return 0;
	record_release(ret);
	return -EBADMSG;
}
