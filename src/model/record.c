/* SPDX-License-Identifier: Apache-2.0 */
/* The record itself: its life, and the user xattrs, a list in the order of their names. */
#include "model/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "model/record_internal.h"

void record_init(struct record *rec)
{
	*rec = (struct record){.known = 0};
}

void record_xattrs_free(struct record_xattr *list)
{
	while (list) {
		struct record_xattr *next = list->next;

		free(list);
		list = next;
	}
}

void record_release(struct record *rec)
{
	free(rec->format);
	free(rec->cache_key);
	free(rec->symlink);
	record_xattrs_free(rec->user);
	record_init(rec);
}

struct record_xattr *record_xattr_new(const char *name, size_t name_len, const void *value,
				      size_t len)
{
	struct record_xattr *xattr = malloc(sizeof(*xattr) + name_len + 1 + len);

	if (!xattr)
		return NULL;
	xattr->next = NULL;
	memcpy(xattr->name, name, name_len);
	xattr->name[name_len] = '\0';
	xattr->value = xattr->name + name_len + 1;
	xattr->value_len = len;
	if (len)
		memcpy(xattr->value, value, len);
	return xattr;
}

static int copy_string(char **dst, const char *src)
{
	if (!src)
		return 0;
	*dst = strdup(src);
	return *dst ? 0 : -ENOMEM;
}

static int copy_xattrs(struct record_xattr **dst, const struct record_xattr *src)
{
	for (; src; src = src->next) {
		*dst = record_xattr_new(src->name, strlen(src->name), src->value, src->value_len);
		if (!*dst)
			return -ENOMEM;
		dst = &(*dst)->next;
	}
	return 0;
}

int record_copy(struct record *dst, const struct record *src)
{
	struct record copy = *src;
	int r;

	copy.format = copy.cache_key = copy.symlink = NULL;
	copy.user = NULL;
	r = copy_string(&copy.format, src->format);
	if (r == 0)
		r = copy_string(&copy.cache_key, src->cache_key);
	if (r == 0)
		r = copy_string(&copy.symlink, src->symlink);
	if (r == 0)
		r = copy_xattrs(&copy.user, src->user);
	if (r) {
		record_release(&copy);
		return r;
	}
	*dst = copy;
	return 0;
}

/* The link that holds the xattr of that name, or into which it belongs. */
static struct record_xattr **find_link(struct record *rec, const char *name, bool *ret_found)
{
	struct record_xattr **link = &rec->user;
	int order = 1;

	while (*link && (order = strcmp((*link)->name, name)) < 0)
		link = &(*link)->next;
	*ret_found = *link && order == 0;
	return link;
}

const struct record_xattr *record_user_get(const struct record *rec, const char *name)
{
	for (const struct record_xattr *x = rec->user; x; x = x->next)
		if (strcmp(x->name, name) == 0)
			return x;
	return NULL;
}

/* Puts xattr into its place and returns the one that it replaces, or NULL. */
static struct record_xattr *exchange(struct record *rec, struct record_xattr *xattr)
{
	struct record_xattr **link, *old = NULL;
	bool found;

	link = find_link(rec, xattr->name, &found);
	if (found) {
		old = *link;
		*link = old->next;
		old->next = NULL;
	}
	xattr->next = *link;
	*link = xattr;
	return old;
}

int record_user_put(struct record *rec, const char *name, const void *value, size_t len)
{
	struct record_xattr *xattr = record_xattr_new(name, strlen(name), value, len);

	if (!xattr)
		return -ENOMEM;
	free(exchange(rec, xattr));
	return 0;
}

static struct record_xattr *unlink_xattr(struct record *rec, const char *name)
{
	struct record_xattr **link, *xattr;
	bool found;

	link = find_link(rec, name, &found);
	if (!found)
		return NULL;
	xattr = *link;
	*link = xattr->next;
	xattr->next = NULL;
	return xattr;
}

/*
 * Exchanges first and looks then, as only the encoder knows what a value takes. A record that came
 * in above the limit may still be made smaller.
 */
static int set_within_limit(struct record *rec, struct record_xattr *xattr)
{
	struct record_xattr *old;
	size_t before, after;
	int r;

	r = record_meta_user_bytes(rec, &before);
	if (r) {
		free(xattr);
		return r;
	}
	old = exchange(rec, xattr);
	r = record_meta_user_bytes(rec, &after);
	if (r == 0 && after > META_MAX - META_OWN_MAX && after > before)
		r = -E2BIG;
	if (r == 0) {
		free(old);
		return 0;
	}
	free(unlink_xattr(rec, xattr->name));
	if (old)
		exchange(rec, old);
	return r;
}

int record_user_set(struct record *rec, const char *name, const void *value, size_t len, int flags)
{
	bool exists = record_user_get(rec, name) != NULL;
	struct record_xattr *xattr;
	int r;

	if (name[0] == '\0' || strlen(name) > XATTR_NAME_LEN_MAX)
		return -EINVAL;
	if (exists && (flags & XATTR_CREATE))
		return -EEXIST;
	if (!exists && (flags & XATTR_REPLACE))
		return -ENODATA;
	if (len > META_MAX)
		return -E2BIG;
	xattr = record_xattr_new(name, strlen(name), value, len);
	if (!xattr)
		return -ENOMEM;
	r = set_within_limit(rec, xattr);
	if (r == 0)
		rec->known |= REC_USER;
	return r;
}

int record_user_remove(struct record *rec, const char *name)
{
	struct record_xattr *xattr = unlink_xattr(rec, name);

	if (!xattr)
		return -ENODATA;
	free(xattr);
	return 0;
}
