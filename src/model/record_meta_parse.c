/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encoding 2, reading. The metadata may be ours, s3fs's, rclone's, a seed's or anybody's, so
 * nothing here fails but memory: a value that means nothing to us is kept as the user xattr of that
 * name.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "model/meta_internal.h"
#include "model/meta_text.h"
#include "model/record_internal.h"
#include "util/cleanup.h"
#include "util/clock.h"

#define TTL_MAX 1000000000 /* above, a lone ttl is a point in time: seed 002 writes those */

/* What only makes sense together, until all pairs were seen. The texts are the list's. */
struct parse {
	struct record *rec;
	const char *uid, *gid, *ttl, *plain;
	bool expires;
	int64_t ttl_s;
};

static int keep_as_xattr(struct record *rec, const char *name, const char *text)
{
	CLEANUP_FREE char *value = NULL;
	size_t len;

	if (name[0] == '\0' || strlen(name) > XATTR_NAME_LEN_MAX)
		return 0;
	/* Our own namespace below user. is not for a store to fill. */
	if (strcmp(name, "cogfs") == 0 || strncmp(name, "cogfs.", 6) == 0)
		return 0;
	value = meta_percent_decode(text, &len);
	return value ? record_user_put(rec, name, value, len) : -ENOMEM;
}

/* --- one function a name: 0, -EINVAL where the value means nothing to us, -ENOMEM --- */

static bool known_type(uint64_t mode)
{
	return S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode);
}

/*
 * s3fs writes st_mode in decimal, rclone in octal, both with the file's type: what has a type in
 * decimal is no octal number with one. Bare permissions are octal, as people write them.
 */
static int parse_mode(struct parse *p, const char *text)
{
	uint64_t mode;

	if (text[0] == '0' || meta_parse_uint(text, 10, 0xffff, &mode) || !known_type(mode)) {
		if (meta_parse_uint(text, 8, 0xffff, &mode))
			return -EINVAL;
		if (!(mode & S_IFMT))
			mode |= S_IFREG;
		if (!known_type(mode))
			return -EINVAL;
	}
	p->rec->mode = (mode_t)mode;
	p->rec->known |= REC_MODE;
	return 0;
}

static int parse_uid(struct parse *p, const char *text)
{
	p->uid = text;
	return 0;
}

static int parse_gid(struct parse *p, const char *text)
{
	p->gid = text;
	return 0;
}

static int parse_mtime(struct parse *p, const char *text)
{
	int r = meta_parse_time(text, &p->rec->mtime_ns);

	if (r == 0)
		p->rec->known |= REC_MTIME;
	return r;
}

static int parse_created(struct parse *p, const char *text)
{
	int r = meta_parse_time(text, &p->rec->created_ns);

	if (r == 0)
		p->rec->known |= REC_CREATED;
	return r;
}

static int parse_expires(struct parse *p, const char *text)
{
	uint64_t seconds;
	int64_t ns;

	if (strcmp(text, "never") == 0) {
		p->rec->expires_at = 0;
	} else if (meta_parse_uint(text, 10, INT64_MAX, &seconds) == 0) {
		p->rec->expires_at = (int64_t)seconds;
	} else {
		if (meta_parse_time(text, &ns) || ns < 0)
			return -EINVAL;
		p->rec->expires_at = ns / NSEC_PER_SEC;
	}
	p->expires = true;
	return 0;
}

static int parse_ttl(struct parse *p, const char *text)
{
	uint64_t seconds = 0;

	if (strcmp(text, "never") != 0 && meta_parse_uint(text, 10, INT64_MAX, &seconds))
		return -EINVAL;
	p->ttl = text;
	p->ttl_s = (int64_t)seconds;
	return 0;
}

static int parse_xxh3(struct parse *p, const char *text)
{
	int r = xxh3_parse(text, &p->rec->xxh3);

	if (r == 0)
		p->rec->known |= REC_XXH3;
	return r;
}

static int parse_string(const char *text, size_t max, char **string)
{
	char *value;
	size_t len;

	value = meta_percent_decode(text, &len);
	if (!value)
		return -ENOMEM;
	if (len == 0 || len > max || memchr(value, '\0', len)) {
		free(value);
		return -EINVAL;
	}
	free(*string);
	*string = value;
	return 0;
}

static int parse_format(struct parse *p, const char *text)
{
	return parse_string(text, META_MAX, &p->rec->format);
}

static int parse_cache_key(struct parse *p, const char *text)
{
	return parse_string(text, META_MAX, &p->rec->cache_key);
}

static int parse_symlink(struct parse *p, const char *text)
{
	return parse_string(text, PATH_MAX - 1, &p->rec->symlink);
}

/* UINT64_MAX is no size. */
static int parse_plain_size(struct parse *p, const char *text)
{
	int r = meta_parse_uint(text, 10, UINT64_MAX - 1, &p->rec->plain_size);

	if (r == 0)
		p->plain = text;
	return r;
}

static int take_odd(struct record *rec, const struct record_xattr *list)
{
	int r = 0;

	for (; list && r == 0; list = list->next)
		if (strcmp(list->name, "cogfs") != 0 && strncmp(list->name, "cogfs.", 6) != 0)
			r = record_user_put(rec, list->name, list->value, list->value_len);
	return r;
}

static int parse_odd(struct parse *p, const char *text)
{
	struct record_xattr *list = NULL;
	CLEANUP_FREE void *data = NULL;
	struct codec_in in;
	size_t len;
	int r;

	r = meta_base64_decode(text, &data, &len);
	if (r)
		return r;
	in = (struct codec_in){.at = data, .left = len};
	r = codec_get_xattrs(&in, &list);
	if (r == 0)
		r = in.left ? -EBADMSG : take_odd(p->rec, list);
	record_xattrs_free(list);
	return r == -EBADMSG ? -EINVAL : r;
}

static const struct {
	const char *name;
	int (*parse)(struct parse *p, const char *text);
} names[] = {
	{"mode", parse_mode},
	{"uid", parse_uid},
	{"gid", parse_gid},
	{"mtime", parse_mtime},
	{"created_at", parse_created},
	{"expires_at", parse_expires},
	{"ttl", parse_ttl},
	{"xxh3", parse_xxh3},
	{"format", parse_format},
	{"cache_key", parse_cache_key},
	{"symlink", parse_symlink},
	{"plain_size", parse_plain_size},
	{META_NAME_ODD, parse_odd},
};

#define NAME_COUNT (sizeof(names) / sizeof(names[0]))

bool meta_name_reserved(const char *name)
{
	for (size_t i = 0; i < NAME_COUNT; i++)
		if (strcmp(names[i].name, name) == 0)
			return true;
	return false;
}

static int parse_pair(struct parse *p, const struct meta_pair *pair)
{
	int r = -EINVAL;

	for (size_t i = 0; i < NAME_COUNT; i++)
		if (strcmp(names[i].name, pair->name) == 0)
			r = names[i].parse(p, pair->value);
	return r == -EINVAL ? keep_as_xattr(p->rec, pair->name, pair->value) : r;
}

/* --- what takes more than one pair --- */

static int finish_owner(struct parse *p)
{
	uint64_t uid, gid;
	int r = 0;

	if (p->uid && p->gid && meta_parse_uint(p->uid, 10, UINT32_MAX, &uid) == 0 &&
	    meta_parse_uint(p->gid, 10, UINT32_MAX, &gid) == 0) {
		p->rec->uid = (uid_t)uid;
		p->rec->gid = (gid_t)gid;
		p->rec->known |= REC_OWNER;
		return 0;
	}
	if (p->uid)
		r = keep_as_xattr(p->rec, "uid", p->uid);
	if (r == 0 && p->gid)
		r = keep_as_xattr(p->rec, "gid", p->gid);
	return r;
}

/*
 * The list is all that the object has, so its life is known in any case: what says nothing, or a
 * ttl without the time that it counts from, lives for ever.
 */
static int finish_expiry(struct parse *p)
{
	struct record *rec = p->rec;
	int64_t created_s = rec->created_ns / NSEC_PER_SEC;

	rec->known |= REC_EXPIRES;
	if (!p->expires) {
		rec->expires_at = 0;
		rec->ttl = 0;
	}
	if (!p->ttl)
		return 0;
	if (p->expires) {
		rec->ttl = p->ttl_s;
	} else if (p->ttl_s > TTL_MAX) {
		rec->expires_at = p->ttl_s;
		if ((rec->known & REC_CREATED) && p->ttl_s > created_s)
			rec->ttl = p->ttl_s - created_s;
	} else if ((rec->known & REC_CREATED) && created_s + p->ttl_s > 0) {
		rec->ttl = p->ttl_s;
		rec->expires_at = p->ttl_s ? created_s + p->ttl_s : 0;
	} else if (p->ttl_s) {
		return keep_as_xattr(rec, "ttl", p->ttl);
	}
	return 0;
}

/*
 * A link without a target (s3fs keeps it in the object's bytes) is shown as the file that it is in
 * the store; a target without a link is anybody's.
 */
static int finish_symlink(struct parse *p)
{
	struct record *rec = p->rec;
	bool link = (rec->known & REC_MODE) && S_ISLNK(rec->mode);
	int r;

	if (link && !rec->symlink)
		rec->mode = S_IFREG | 0644;
	if (link || !rec->symlink)
		return 0;
	r = record_user_put(rec, "symlink", rec->symlink, strlen(rec->symlink));
	free(rec->symlink);
	rec->symlink = NULL;
	return r;
}

/* A size of plain bytes where the bytes are plain is anybody's. */
static int finish_encoding(struct parse *p)
{
	struct record *rec = p->rec;

	if (!(rec->known & REC_ENCODING))
		rec->encoding[0] = '\0';
	rec->known |= REC_ENCODING;
	if (rec->encoding[0] && p->plain)
		return 0;
	rec->plain_size = PLAIN_SIZE_UNKNOWN;
	return p->plain ? keep_as_xattr(rec, "plain_size", p->plain) : 0;
}

int record_from_meta(struct record *rec, const struct meta_list *list)
{
	struct parse p = {.rec = rec};
	int r = 0;

	for (size_t i = 0; i < list->n && r == 0; i++)
		r = parse_pair(&p, &list->v[i]);
	if (r == 0)
		r = finish_owner(&p);
	if (r == 0)
		r = finish_expiry(&p);
	if (r == 0)
		r = finish_symlink(&p);
	if (r == 0)
		r = finish_encoding(&p);
	if (r == 0)
		rec->known |= REC_USER;
	return r;
}
