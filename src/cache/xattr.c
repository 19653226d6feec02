/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes: what the user set (user.*), and what cogfs tells of an object
 * (user.cogfs.*), from one table.
 *
 * Setting a read-only user.cogfs.* name succeeds and does nothing: rsync -X and cp -a copy what
 * they listed. Names of other namespaces do not exist here.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

#include "cache/internal.h"
#include "cache/sidecar.h"
#include "model/format.h"

#define OWN "user.cogfs."
#define USER "user."
#define VALUE_MAX 4096

/* Prints into a buffer of VALUE_MAX; returns the length. */
static int sprintf_n(char *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int sprintf_n(char *buf, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf, VALUE_MAX, fmt, ap);
	va_end(ap);
	return n < VALUE_MAX ? n : VALUE_MAX - 1;
}

/* A value printed into buf (VALUE_MAX); -ENODATA where the name does not apply. Lock held */
typedef int show_fn(struct cache *c, struct obj *o, char *buf);

static int show_ttl(struct cache *c, struct obj *o, char *buf)
{
	int64_t left = o->expires_at - clock_wall(c->clock) / NSEC_PER_SEC;

	if (obj_is_dir(o) && !dir_says_life(o))
		return -ENODATA;
	if (obj_is_dir(o) && o->ttl)
		return sprintf_n(buf, "%" PRIu32, o->ttl);
	if (!o->expires_at || o->expires_at == LIFE_NEVER)
		return sprintf_n(buf, "never");
	return sprintf_n(buf, "%" PRId64, left > 0 ? left : 0);
}

static int show_expires_at(struct cache *c, struct obj *o, char *buf)
{
	(void)c;
	if (obj_is_dir(o) && (!dir_says_life(o) || o->ttl))
		return -ENODATA;
	return o->expires_at && o->expires_at != LIFE_NEVER
		       ? sprintf_n(buf, "%" PRId64, o->expires_at)
		       : sprintf_n(buf, "never");
}

static int show_created_at(struct cache *c, struct obj *o, char *buf)
{
	(void)c;
	return o->known & REC_CREATED
		       ? sprintf_n(buf, "%" PRId64, (int64_t)(o->created_ns / NSEC_PER_SEC))
		       : -ENODATA;
}

static const char *tier_of_read(struct cache *c, struct obj *o)
{
	const struct local *body = body_next(c, o);

	if (body)
		return body->name;
	if (o->wr || (o->exist == EX_LOCAL && !o->etag))
		return c->disk && obj_home(c, o) == c->disk ? c->disk->name : "staging";
	return has_store(c) ? c->store->name : NULL;
}

static int show_tier(struct cache *c, struct obj *o, char *buf)
{
	const char *name = obj_is_dir(o) ? NULL : tier_of_read(c, o);

	return name ? sprintf_n(buf, "%s", name) : -ENODATA;
}

static int show_tiers(struct cache *c, struct obj *o, char *buf)
{
	const char *names[3];
	int n = 0, len = 0;

	if (obj_is_dir(o))
		return -ENODATA;
	if (o->flags & OBJ_RES_RAM)
		names[n++] = c->ram->name;
	if (o->flags & OBJ_RES_DISK || (o->wr && c->disk && obj_home(c, o) == c->disk))
		names[n++] = c->disk->name;
	if (has_store(c) && o->etag)
		names[n++] = c->store->name;
	buf[0] = '\0';
	for (int i = 0; i < n; i++)
		len += snprintf(buf + len, VALUE_MAX - len, "%s%s", i ? "," : "", names[i]);
	return len;
}

const char *obj_state(struct cache *c, struct obj *o)
{
	if (o->flags & OBJ_ARCHIVED)
		return "archived";
	if ((o->wr || o->flags & OBJ_ALONE) && S_ISREG(o->mode) && obj_volatile(c, o))
		return "volatile";
	if (o->wr || (o->exist == EX_LOCAL && has_store(c) && !(o->flags & OBJ_ALONE)))
		return "dirty";
	return o->fill ? "filling" : "clean";
}

static int show_state(struct cache *c, struct obj *o, char *buf)
{
	return sprintf_n(buf, "%s", obj_state(c, o));
}

static int show_key(struct cache *c, struct obj *o, char *buf)
{
	CLEANUP_FREE char *key = obj_key_locked(o);

	(void)c;
	return key ? sprintf_n(buf, "%s", key) : -ENOMEM;
}

static int show_etag(struct cache *c, struct obj *o, char *buf)
{
	(void)c;
	return o->etag ? sprintf_n(buf, "%s", o->etag) : -ENODATA;
}

static int show_xxh3(struct cache *c, struct obj *o, char *buf)
{
	(void)c;
	if (!(o->known & REC_XXH3) || o->wr)
		return -ENODATA;
	xxh3_hex(&o->xxh3, buf);
	return XXH3_HEX_LEN;
}

static int show_size(struct cache *c, struct obj *o, char *buf)
{
	(void)c;
	return obj_is_dir(o) ? -ENODATA : sprintf_n(buf, "%" PRIu64, o->wr ? o->wr->size : o->size);
}

static int show_format(struct cache *c, struct obj *o, char *buf)
{
	(void)c;
	if (obj_is_dir(o))
		return -ENODATA;
	format_shown(o->name, o->extra ? o->extra->format : NULL, buf, VALUE_MAX);
	return *buf ? (int)strlen(buf) : -ENODATA;
}

static int show_cache_key(struct cache *c, struct obj *o, char *buf)
{
	(void)c;
	return o->extra && o->extra->cache_key ? sprintf_n(buf, "%s", o->extra->cache_key)
					       : -ENODATA;
}

static int show_hits(struct cache *c, struct obj *o, char *buf)
{
	(void)c;
	return obj_is_dir(o) ? -ENODATA : sprintf_n(buf, "%" PRIu32, o->hits);
}

static int show_last_access(struct cache *c, struct obj *o, char *buf)
{
	int64_t ago = clock_mono(c->clock) / NSEC_PER_SEC - o->opened_s;

	return o->opened_s ? sprintf_n(buf, "%" PRId64,
				       (int64_t)(clock_wall(c->clock) / NSEC_PER_SEC - ago))
			   : -ENODATA;
}

static int show_pinned(struct cache *c, struct obj *o, char *buf)
{
	if (obj_is_dir(o))
		return obj_pin_said(o) ? sprintf_n(buf, "%s", obj_pin_said(o)) : -ENODATA;
	return sprintf_n(buf, "%d", obj_pinned(c, o));
}

static int show_class(struct cache *c, struct obj *o, char *buf)
{
	return obj_is_dir(o) ? -ENODATA : sprintf_n(buf, "%s", obj_class(c, o)->name);
}

/* --- placeholders of the pattern that matched --- */

/* What is at the pattern's names in o's key; *ret_key is malloc'ed. Lock held */
static bool match_names(struct cache *c, struct obj *o, struct class_hit *ret_hit, char **ret_key)
{
	char *key = obj_is_dir(o) ? NULL : obj_key_locked(o);
	const struct class_policy *class;
	size_t len;

	if (key && !policy_sidecar_of(c->policy, key, strlen(key), &len, &class))
		len = strlen(key);
	if (key)
		(void)policy_match(c->policy, key, len, ret_hit);
	if (!key || !ret_hit->pattern) {
		free(key);
		return false;
	}
	*ret_key = key;
	return true;
}

static int show_placeholder(struct cache *c, struct obj *o, const char *name, char *buf)
{
	CLEANUP_FREE char *key = NULL;
	struct class_hit hit;
	const char *text;
	size_t len;

	if (match_names(c, o, &hit, &key) && class_hit_get(&hit, key, name, &text, &len))
		return sprintf_n(buf, "%.*s", (int)len, text);
	if (o->tenant && !strcmp(name, "tenant")) /* no pattern has to say so */
		return sprintf_n(buf, "%s", o->tenant->name);
	return -ENODATA;
}

static void list_placeholders(struct cache *c, struct obj *o, FILE *out)
{
	CLEANUP_FREE char *key = NULL;
	bool told = !o->tenant;
	struct class_hit hit;

	if (match_names(c, o, &hit, &key)) {
		for (unsigned int i = 0; i < hit.pattern->n_names; i++) {
			fprintf(out, OWN "%s%c", hit.pattern->names[i], 0);
			told |= !strcmp(hit.pattern->names[i], "tenant");
		}
	}
	if (!told)
		fprintf(out, OWN "tenant%c", 0);
}

/* --- what can be set --- */

/* The user's attributes, through the record that knows their limits. Lock held */
static int change_user(struct obj *o, const char *name, const void *value, size_t len, int flags,
		       bool remove)
{
	struct record rec;
	int r;

	record_init(&rec);
	r = obj_to_record(o, &rec);
	if (!r)
		r = remove ? record_user_remove(&rec, name)
			   : record_user_set(&rec, name, value, len, flags);
	rec.known = REC_USER;
	if (!r)
		r = obj_set_record(o, &rec);
	record_release(&rec);
	return r;
}

int obj_set_pinned(struct obj *o, const char *value)
{
	int r = value ? change_user(o, PIN_XATTR, value, 1, 0, false)
		      : change_user(o, PIN_XATTR, NULL, 0, 0, true);

	return r == -ENODATA ? 0 : r;
}

static int parse_seconds(const char *text, int64_t *ret)
{
	int64_t ms;
	int r;

	if (!strcmp(text, "never") || !strcmp(text, "0")) {
		*ret = 0;
		return 0;
	}
	r = conf_parse_duration_ms(text, &ms);
	if (r || ms < 0)
		return -EINVAL;
	*ret = strspn(text, "0123456789") == strlen(text) ? strtoll(text, NULL, 10)
							  : (ms + 999) / 1000;
	return 0;
}

static void life_changed(struct cache *c, struct obj *o)
{
	o->known |= REC_EXPIRES;
	if (o->wr)
		o->wr->life_set = true;
	if (!obj_is_dir(o))
		obj_limit_life(c, o);
}

static int store_ttl(struct cache *c, struct obj *o, const char *text)
{
	int64_t s;
	int r = parse_seconds(text, &s);

	if (r)
		return r;
	o->ttl = ttl_fits(s);
	o->expires_at = s ? clock_wall(c->clock) / NSEC_PER_SEC + s : 0;
	if (obj_is_dir(o))
		o->expires_at = s ? 0 : LIFE_NEVER;
	life_changed(c, o);
	bodies_follow(c, o);
	return 0;
}

static int store_expires_at(struct cache *c, struct obj *o, const char *text)
{
	char *end;
	int64_t at = strcmp(text, "never") ? strtoll(text, &end, 10) : 0;
	int64_t now = clock_wall(c->clock) / NSEC_PER_SEC;

	if (strcmp(text, "never") && (*end || end == text || at < 0))
		return -EINVAL;
	o->expires_at = at;
	o->ttl = at > now ? ttl_fits(at - now) : at ? 1 : 0;
	if (obj_is_dir(o)) {
		o->expires_at = at ? at : LIFE_NEVER;
		o->ttl = 0;
	}
	life_changed(c, o);
	bodies_follow(c, o);
	return 0;
}

static int store_pinned(struct cache *c, struct obj *o, const char *text)
{
	(void)c;
	if (strcmp(text, "0") && strcmp(text, "1"))
		return -EINVAL;
	return obj_set_pinned(o, text);
}

static int store_cache_key(struct cache *c, struct obj *o, const char *text)
{
	const struct sidecar said = {.has = SIDECAR_KEY, .key = (char *)text};
	struct record rec;
	int r;

	(void)c;
	record_init(&rec);
	r = obj_to_record(o, &rec);
	if (!r)
		r = sidecar_apply(&said, 0, &rec);
	if (!r && (!rec.cache_key || strcmp(rec.cache_key, text) != 0))
		r = -E2BIG; /* it was left out: the store's metadata has no room for it */
	rec.known = REC_USER;
	if (!r)
		r = obj_set_record(o, &rec);
	record_release(&rec);
	return r;
}

struct own_xattr {
	const char *name; /* behind user.cogfs. */
	show_fn *show;
	int (*store)(struct cache *c, struct obj *o, const char *text); /* NULL: read-only */
};

static const struct own_xattr own_xattrs[] = {
	{"ttl", show_ttl, store_ttl},
	{"expires_at", show_expires_at, store_expires_at},
	{"created_at", show_created_at, NULL},
	{"tier", show_tier, NULL},
	{"tiers", show_tiers, NULL},
	{"state", show_state, NULL},
	{"key", show_key, NULL},
	{"class", show_class, NULL},
	{"etag", show_etag, NULL},
	{"xxh3", show_xxh3, NULL},
	{"size_bytes", show_size, NULL},
	{"format", show_format, NULL},
	{"cache_key", show_cache_key, store_cache_key},
	{"hits", show_hits, NULL},
	{"last_access", show_last_access, NULL},
	{"pinned", show_pinned, store_pinned},
};

#define N_OWN (sizeof(own_xattrs) / sizeof(own_xattrs[0]))

static const struct own_xattr *find_own(const char *name)
{
	if (strncmp(name, OWN, strlen(OWN)) != 0)
		return NULL;
	for (size_t i = 0; i < N_OWN; i++)
		if (!strcmp(name + strlen(OWN), own_xattrs[i].name))
			return &own_xattrs[i];
	return NULL;
}

static bool is_user(const char *name)
{
	return !strncmp(name, USER, strlen(USER)) && name[strlen(USER)];
}

/* What is told by another name. */
static bool is_hidden(const char *name)
{
	return !strcmp(name, USER PIN_XATTR);
}

/* --- the calls --- */

static int give(const void *value, size_t len, void *buf, size_t size, size_t *ret_len)
{
	*ret_len = len;
	if (!size)
		return 0;
	if (size < len)
		return -ERANGE;
	memcpy(buf, value, len);
	return 0;
}

int cache_getxattr(struct cache *c, struct obj *o, const char *name, void *buf, size_t size,
		   struct cache_wait *w, size_t *ret_len)
{
	const struct own_xattr *own = find_own(name);
	char value[VALUE_MAX];
	int r;

	if (!is_user(name) || is_hidden(name))
		return -ENODATA;
	SCOPE_LOCK(&c->lock);
	if (own) {
		r = own->show(c, o, value);
		return r < 0 ? r : give(value, r, buf, size, ret_len);
	}
	if (!strncmp(name, OWN, strlen(OWN))) {
		r = show_placeholder(c, o, name + strlen(OWN), value);
		return r < 0 ? r : give(value, r, buf, size, ret_len);
	}
	if (!(o->flags & OBJ_ORPHAN) && !obj_is_dir(o) && !(o->known & REC_USER)) {
		r = obj_refresh(c, o, true, w);
		if (r)
			return r;
	}
	for (struct record_xattr *x = o->extra ? o->extra->user : NULL; x; x = x->next)
		if (!strcmp(x->name, name + strlen(USER)))
			return give(x->value, x->value_len, buf, size, ret_len);
	return -ENODATA;
}

int cache_listxattr(struct cache *c, struct obj *o, void *buf, size_t size, size_t *ret_len)
{
	CLEANUP_FREE char *names = NULL;
	char value[VALUE_MAX];
	size_t len = 0;
	FILE *out = open_memstream(&names, &len);

	if (!out)
		return -ENOMEM;
	SCOPE_LOCK(&c->lock);
	/* Nobody may read user.* of a symlink: Linux says ENODATA before it asks us. */
	for (size_t i = 0; i < N_OWN && !S_ISLNK(o->mode); i++)
		if (own_xattrs[i].show(c, o, value) >= 0)
			fprintf(out, OWN "%s%c", own_xattrs[i].name, 0);
	if (!S_ISLNK(o->mode))
		list_placeholders(c, o, out);
	for (struct record_xattr *x = o->extra ? o->extra->user : NULL; x; x = x->next)
		if (strcmp(x->name, PIN_XATTR) != 0)
			fprintf(out, USER "%s%c", x->name, 0);
	fclose(out);
	return give(names, len, buf, size, ret_len);
}

static int change_own(struct cache *c, struct obj *o, const struct own_xattr *own,
		      const void *value, size_t len)
{
	char text[VALUE_MAX];

	if (len >= sizeof(text))
		return -ERANGE;
	memcpy(text, value, len);
	text[len] = '\0';
	if (strlen(text) != len)
		return -EINVAL;
	return own->store(c, o, text);
}

/* A directory says nothing any more of what is made below it. Lock held */
static int unsay(struct obj *dir, const struct own_xattr *own)
{
	if (own->store == store_pinned)
		return obj_set_pinned(dir, NULL);
	if (own->store == store_ttl || own->store == store_expires_at)
		dir->expires_at = dir->ttl = 0;
	return 0;
}

static int set_locked(struct cache *c, struct obj *o, const char *name, const void *value,
		      size_t len, int flags, bool remove, struct cache_wait *w)
{
	const struct own_xattr *own = find_own(name);
	int r = 0;

	SCOPE_LOCK(&c->lock);
	if (!(o->flags & OBJ_ORPHAN))
		r = obj_refresh(c, o, true, w);
	if (r)
		return r;
	if (!(o->flags & OBJ_ORPHAN) && !obj_live(o))
		return -ENOENT;
	if (own && remove) /* rsync -X removes what its source has not */
		r = obj_is_dir(o) ? unsay(o, own) : 0;
	else if (own)
		r = change_own(c, o, own, value, len);
	else
		r = change_user(o, name + strlen(USER), value, len, flags, remove);
	if (!r)
		o->ctime_ns = clock_wall(c->clock);
	return r;
}

static int change_xattr(struct cache *c, struct obj *o, const char *name, const void *value,
			size_t len, int flags, bool remove, struct cache_wait *w)
{
	const struct own_xattr *own = find_own(name);
	int r;

	if (!is_user(name))
		return -EOPNOTSUPP;
	if (c->config->mount.read_only)
		return -EROFS;
	if (is_hidden(name) || (!strncmp(name, OWN, strlen(OWN)) && (!own || !own->store)))
		return 0; /* copied along with a file that was listed here */
	r = set_locked(c, o, name, value, len, flags, remove, w);
	if (r)
		return r;
	r = obj_save_meta(c, o);
	if (!r && own)
		obj_emit(c, CACHE_EV_ATTR, o);
	if (!r && own && own->store != store_pinned && own->store != store_cache_key)
		obj_emit(c, CACHE_EV_NAME,
			 o); /* the kernel must not believe in it for longer than its life */
	if (!r && own && own->store != store_pinned && own->store != store_cache_key)
		sidecar_follow(c, o);
	return r;
}

int cache_setxattr(struct cache *c, struct obj *o, const char *name, const void *value, size_t len,
		   int flags, struct cache_wait *w)
{
	return change_xattr(c, o, name, value, len, flags, false, w);
}

int cache_removexattr(struct cache *c, struct obj *o, const char *name, struct cache_wait *w)
{
	return change_xattr(c, o, name, NULL, 0, 0, true, w);
}
