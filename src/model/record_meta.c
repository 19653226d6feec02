/* SPDX-License-Identifier: Apache-2.0 */
/* Encoding 2, writing: a record as the user metadata of a store's object. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/meta_internal.h"
#include "model/meta_text.h"
#include "model/record_internal.h"
#include "util/cleanup.h"

#define PREFIX_LEN 11 /* "x-amz-meta-", which S3 servers count */

void meta_list_release(struct meta_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		free(list->v[i].name);
		free(list->v[i].value);
	}
	free(list->v);
	*list = (struct meta_list){.v = NULL};
}

int meta_list_add(struct meta_list *list, const char *name, const char *value)
{
	struct meta_pair *grown = reallocarray(list->v, list->n + 1, sizeof(*grown));
	struct meta_pair pair;

	if (!grown)
		return -ENOMEM;
	list->v = grown;
	pair.name = strdup(name);
	pair.value = strdup(value);
	if (!pair.name || !pair.value) {
		free(pair.name);
		free(pair.value);
		return -ENOMEM;
	}
	list->v[list->n++] = pair;
	return 0;
}

const char *meta_list_get(const struct meta_list *list, const char *name)
{
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->v[i].name, name) == 0)
			return list->v[i].value;
	return NULL;
}

static size_t list_bytes(const struct meta_list *list)
{
	size_t bytes = 0;

	for (size_t i = 0; i < list->n; i++)
		bytes += PREFIX_LEN + strlen(list->v[i].name) + strlen(list->v[i].value);
	return bytes;
}

__attribute__((format(printf, 3, 4))) static int add_format(struct meta_list *list,
							    const char *name, const char *fmt, ...)
{
	char value[64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	return meta_list_add(list, name, value);
}

static int add_encoded(struct meta_list *list, const char *name, const void *value, size_t len)
{
	CLEANUP_FREE char *text = meta_percent_encode(value, len);

	return text ? meta_list_add(list, name, text) : -ENOMEM;
}

static int add_owner(struct meta_list *list, const struct record *rec)
{
	int r = add_format(list, "uid", "%" PRIu32, rec->uid);

	return r ? r : add_format(list, "gid", "%" PRIu32, rec->gid);
}

/* "0" is said only where it is needed: an object that says nothing never expires. */
static int add_expiry(struct meta_list *list, const struct record *rec)
{
	int r = 0;

	if (rec->expires_at || rec->ttl)
		r = add_format(list, "expires_at", "%" PRId64, rec->expires_at);
	if (r == 0 && rec->ttl)
		r = add_format(list, "ttl", "%" PRId64, rec->ttl);
	return r;
}

/* The encoding itself is a header of its own. */
static int add_encoding(struct meta_list *list, const struct record *rec)
{
	if (!(rec->known & REC_ENCODING) || !rec->encoding[0] ||
	    rec->plain_size == PLAIN_SIZE_UNKNOWN)
		return 0;
	return add_format(list, "plain_size", "%" PRIu64, rec->plain_size);
}

static int add_own(struct meta_list *list, const struct record *rec)
{
	char text[META_TIME_MAX];
	int r = 0;

	if (rec->known & REC_MODE)
		r = add_format(list, "mode", "%u", (unsigned int)rec->mode & 0xffff);
	if (r == 0 && (rec->known & REC_OWNER))
		r = add_owner(list, rec);
	if (r == 0 && (rec->known & REC_MTIME)) {
		meta_unix_time(rec->mtime_ns, text);
		r = meta_list_add(list, "mtime", text);
	}
	if (r == 0 && (rec->known & REC_CREATED)) {
		meta_iso_time(rec->created_ns, text);
		r = meta_list_add(list, "created_at", text);
	}
	if (r == 0 && (rec->known & REC_EXPIRES))
		r = add_expiry(list, rec);
	if (r == 0 && (rec->known & REC_XXH3) && xxh3_known(&rec->xxh3)) {
		xxh3_hex(&rec->xxh3, text);
		r = meta_list_add(list, "xxh3", text);
	}
	return r;
}

/* --- what users decide --- */

/* '-' is no part of our own names, but foreign ones have it, and stay where their owners look for
 * them. */
static bool plain_name(const char *name)
{
	size_t len = strlen(name);

	return len >= 1 && len <= 64 && !meta_name_reserved(name) &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == len;
}

/* An empty header is dropped by some servers. */
static bool plain_value(const char *value, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (value[i] < 0x20 || value[i] > 0x7e)
			return false;
	return len > 0;
}

static bool is_plain(const struct record_xattr *x)
{
	return plain_name(x->name) && plain_value(x->value, x->value_len);
}

static bool is_odd(const struct record_xattr *x)
{
	return !is_plain(x);
}

static int add_odd_xattrs(struct meta_list *list, const struct record *rec)
{
	struct codec_out out = {.buf = NULL};
	CLEANUP_FREE char *text = NULL;

	codec_put_xattrs(&out, rec->user, is_odd);
	if (!out.failed)
		text = meta_base64_encode(out.buf, out.len);
	codec_out_release(&out);
	return text ? meta_list_add(list, META_NAME_ODD, text) : -ENOMEM;
}

static int add_xattrs(struct meta_list *list, const struct record *rec)
{
	bool odd = false;
	int r = 0;

	for (const struct record_xattr *x = rec->user; x && r == 0; x = x->next) {
		if (is_plain(x))
			r = add_encoded(list, x->name, x->value, x->value_len);
		else
			odd = true;
	}
	return r == 0 && odd ? add_odd_xattrs(list, rec) : r;
}

static int add_string(struct meta_list *list, const char *name, const char *value)
{
	return value && value[0] ? add_encoded(list, name, value, strlen(value)) : 0;
}

static int add_users(struct meta_list *list, const struct record *rec)
{
	int r = add_string(list, "format", rec->format);

	if (r == 0)
		r = add_string(list, "cache_key", rec->cache_key);
	if (r == 0)
		r = add_string(list, "symlink", rec->symlink);
	return r ? r : add_xattrs(list, rec);
}

int record_meta_user_bytes(const struct record *rec, size_t *ret_bytes)
{
	struct meta_list list = {.v = NULL};
	int r = add_users(&list, rec);

	if (r == 0)
		*ret_bytes = list_bytes(&list);
	meta_list_release(&list);
	return r;
}

int record_to_meta(const struct record *rec, struct meta_list *ret_list)
{
	struct meta_list list = {.v = NULL};
	int r = add_own(&list, rec);

	if (r == 0)
		r = add_users(&list, rec);
	if (r == 0 && list_bytes(&list) > META_MAX)
		r = -E2BIG;
	if (r == 0)
		r = add_encoding(&list, rec);
	if (r) {
		meta_list_release(&list);
		return r;
	}
	*ret_list = list;
	return 0;
}
