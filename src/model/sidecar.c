/* SPDX-License-Identifier: Apache-2.0 */
/* Seed 003's metadata files. */
#include "model/sidecar.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "model/meta_text.h"
#include "model/record_internal.h"
#include "model/seedkey.h"
#include "util/cleanup.h"
#include "util/clock.h"

#define SECONDS_MAX (INT64_MAX / NSEC_PER_SEC - 1)
#define FORMAT_TEXT_MAX 64

/* Seconds as a number, or a time as text; false: neither. */
static bool get_time(const json_t *v, int64_t *ret_ns)
{
	double seconds;

	if (json_is_integer(v)) {
		json_int_t n = json_integer_value(v);

		if (n > SECONDS_MAX || n < -SECONDS_MAX)
			return false;
		*ret_ns = n * NSEC_PER_SEC;
		return true;
	}
	if (json_is_string(v))
		return meta_parse_time(json_string_value(v), ret_ns) == 0;
	if (!json_is_real(v))
		return false;
	seconds = json_real_value(v);
	if (!(seconds < (double)SECONDS_MAX && seconds > -(double)SECONDS_MAX))
		return false;
	/* Apart, as a double has no room for today's nanoseconds. */
	*ret_ns = (int64_t)seconds * NSEC_PER_SEC +
		  (int64_t)((seconds - (double)(int64_t)seconds) * (double)NSEC_PER_SEC);
	return true;
}

static int64_t floor_seconds(int64_t ns)
{
	return ns / NSEC_PER_SEC - (ns % NSEC_PER_SEC < 0);
}

static void take_created(struct sidecar *s, const json_t *v)
{
	if (get_time(v, &s->created_ns))
		s->has |= SIDECAR_CREATED;
}

static void take_expires(struct sidecar *s, const json_t *v)
{
	int64_t ns;

	if (json_is_null(v))
		s->expires_at = 0;
	else if (get_time(v, &ns)) /* 0 would be never */
		s->expires_at = floor_seconds(ns) > 0 ? floor_seconds(ns) : 1;
	else
		return;
	s->has |= SIDECAR_EXPIRES;
}

static void take_ttl(struct sidecar *s, const json_t *v)
{
	int64_t ns;

	if (json_is_null(v))
		s->ttl = 0;
	else if (json_is_number(v) && get_time(v, &ns))
		s->ttl = floor_seconds(ns);
	else
		return;
	s->has |= SIDECAR_TTL;
}

/* *ret stays NULL where v is no text, or a longer one than max. */
static int get_text(const json_t *v, size_t max, char **ret)
{
	size_t len = json_string_length(v);

	if (!json_is_string(v) || !len || len > max)
		return 0;
	*ret = strdup(json_string_value(v));
	return *ret ? 0 : -ENOMEM;
}

static int take_members(struct sidecar *s, const json_t *json)
{
	int r;

	take_created(s, json_object_get(json, "created_at"));
	take_expires(s, json_object_get(json, "expires_at"));
	take_ttl(s, json_object_get(json, "ttl"));
	r = get_text(json_object_get(json, "key"), SEED_KEY_MAX, &s->key);
	if (r == 0)
		r = get_text(json_object_get(json, "format"), FORMAT_TEXT_MAX, &s->format);
	s->has |= s->key ? SIDECAR_KEY : 0;
	s->has |= s->format ? SIDECAR_FORMAT : 0;
	return r;
}

int sidecar_parse(const char *text, size_t len, struct sidecar *ret, struct err *err)
{
	struct sidecar s = {0};
	json_error_t where;
	json_t *json;
	int r;

	if (len > SIDECAR_MAX)
		return err_set(err, -EINVAL, "it has more than %u bytes", SIDECAR_MAX);
	json = json_loadb(text, len, 0, &where);
	if (!json)
		return err_set(err, -EINVAL, "line %d, column %d: %s", where.line, where.column,
			       where.text);
	r = json_is_object(json) ? take_members(&s, json)
				 : err_set(err, -EINVAL, "it is no JSON object");
	json_decref(json);
	if (r)
		sidecar_release(&s);
	else
		*ret = s;
	return r;
}

void sidecar_release(struct sidecar *s)
{
	free(s->key);
	free(s->format);
	*s = (struct sidecar){0};
}

/* Replaces *text, unless the metadata would be too long with it. */
static int replace(struct record *rec, char **text, const char *by)
{
	CLEANUP_FREE char *copy = strdup(by);
	char *old = *text;
	size_t bytes;
	int r = copy ? 0 : -ENOMEM;

	if (r)
		return r;
	*text = copy;
	r = record_meta_user_bytes(rec, &bytes);
	if (r || bytes > META_MAX - META_OWN_MAX) {
		*text = old;
		return r;
	}
	copy = old;
	rec->known |= REC_USER;
	return 0;
}

static void apply_life(const struct sidecar *s, int64_t now_s, struct record *rec)
{
	int64_t from = s->has & SIDECAR_CREATED ? floor_seconds(s->created_ns) : now_s;

	if (!(s->has & (SIDECAR_EXPIRES | SIDECAR_TTL)))
		return;
	rec->known |= REC_EXPIRES;
	if (s->has & SIDECAR_EXPIRES)
		rec->expires_at = s->expires_at;
	else
		rec->expires_at = !s->ttl ? 0 : from + s->ttl > 0 ? from + s->ttl : 1;
	rec->ttl = s->has & SIDECAR_TTL ? s->ttl : rec->expires_at - from;
	if (!rec->expires_at)
		rec->ttl = 0;
	else if (rec->ttl <= 0)
		rec->ttl = 1;
}

int sidecar_apply(const struct sidecar *s, int64_t now_s, struct record *rec)
{
	int r = 0;

	apply_life(s, now_s, rec);
	if (s->has & SIDECAR_CREATED) {
		rec->created_ns = s->created_ns;
		rec->known |= REC_CREATED;
	}
	if (s->has & SIDECAR_KEY)
		r = replace(rec, &rec->cache_key, s->key);
	if (!r && s->has & SIDECAR_FORMAT)
		r = replace(rec, &rec->format, s->format);
	return r;
}
