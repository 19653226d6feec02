/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compacting: what a directory's manifests say is written as few new ones, and then those that it
 * was read from are deleted, none else. Nothing is lost, however many hosts do it at the same time
 * and wherever one of them dies: an object goes only when all that it said is in another one, which
 * its reader has written itself. Twice the same is the worst, and the next time makes it once.
 */
#include <errno.h>
#include <string.h>

#include "tiers/manifest_internal.h"
#include "util/cleanup.h"

#define MANY 8			      /* objects of a directory that are worth the work */
#define TARGET (MANIFEST_MAX / 2)     /* bytes of a written one */
#define GRACE_NS (600 * NSEC_PER_SEC) /* names not listed yet may belong to writes under way */

void manifest_compact_soon(struct manifest_layer *ml, const struct shelf *s, size_t names)
{
	bool dead = names && s->entries > 2 * names + 1000;
	size_t few = s->bytes / TARGET + MANY;

	if (ml->conf.read_only || (s->manifests <= few && !dead))
		return;
	SCOPE_LOCK(&ml->mtx);
	if (ml->to_compact)
		return;
	ml->to_compact = strdup(s->dir);
	pthread_cond_signal(&ml->wake);
}

/* --- what is there --- */

struct names {
	uint64_t *v; /* hashes: one too many alike keeps an entry that could go */
	size_t n, room;
	size_t prefix_len;
};

static int take_name(void *arg, const struct tier_entry *e)
{
	struct names *names = arg;

	if (e->prefix || e->marker || e->key_len < names->prefix_len)
		return 0;
	if (names->n == names->room) {
		size_t room = names->room ? names->room * 2 : 1024;
		uint64_t *v = reallocarray(names->v, room, sizeof(*v));

		if (!v)
			return -ENOMEM;
		names->v = v;
		names->room = room;
	}
	names->v[names->n++] = hash64(e->key + names->prefix_len, e->key_len - names->prefix_len);
	return 0;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static int list_names(struct manifest_layer *ml, struct tier_call *call, const char *dir,
		      struct names *names)
{
	CLEANUP_FREE char *prefix = dir[0] ? key_join(dir, "") : strdup("");
	CLEANUP_FREE char *token = NULL;
	int r;

	if (!prefix)
		return -ENOMEM;
	names->prefix_len = strlen(prefix);
	do {
		const struct tier_list_req req = {
			.prefix = prefix, .delimiter = true, .token = token};
		char *next = NULL;

		r = tier_list(ml->base.inner, call, &req, take_name, names, &next);
		if (r)
			return r;
		free(token);
		token = next;
	} while (token);
	if (names->n)
		qsort(names->v, names->n, sizeof(*names->v), by_value);
	return 0;
}

static bool is_there(const struct names *names, const struct manifest_entry *e)
{
	uint64_t hash = hash64(e->name, e->name_len);

	return names->n && bsearch(&hash, names->v, names->n, sizeof(hash), by_value);
}

/* --- the newest of each name --- */

struct candidate {
	const struct manifest_entry *e;
	const char *host;
};

static int by_name_and_age(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	int order = manifest_compare(x->e, y->e->name, y->e->name_len);

	if (order)
		return order;
	if (x->e->stamp != y->e->stamp)
		return x->e->stamp > y->e->stamp ? -1 : 1;
	return -strcmp(x->host, y->host);
}

/* The entries that stay, by name; malloc'ed. They point into the shelf. */
static int survivors(const struct shelf *s, const struct names *names, int64_t before,
		     struct manifest_entry **ret, size_t *ret_n)
{
	CLEANUP_FREE struct candidate *all = calloc(s->entries + 1, sizeof(*all));
	struct manifest_entry *v = calloc(s->entries + 1, sizeof(*v));
	size_t n = 0, kept = 0;

	if (!all || !v) {
		free(v);
		return -ENOMEM;
	}
	for (size_t i = 0; i < s->n; i++)
		for (size_t k = 0; s->v[i]->m && k < s->v[i]->m->n; k++)
			all[n++] = (struct candidate){.e = &s->v[i]->m->v[k],
						      .host = s->v[i]->m->host};
	qsort(all, n, sizeof(*all), by_name_and_age);
	for (size_t i = 0; i < n; i++) {
		const struct manifest_entry *e = all[i].e;

		if (kept && manifest_compare(&v[kept - 1], e->name, e->name_len) == 0)
			continue;
		if (e->stamp >= before || is_there(names, e))
			v[kept++] = *e;
	}
	*ret = v;
	*ret_n = kept;
	return 0;
}

/* --- writing and deleting --- */

static int write_all(struct manifest_layer *ml, struct tier_call *call, const char *dir,
		     const struct manifest_entry *v, size_t n)
{
	int r = 0;

	for (size_t at = 0; at < n && r == 0;) {
		size_t bytes = manifest_size(dir, NULL, 0), end = at, len;
		CLEANUP_FREE char *buf = NULL;
		char key[MANIFEST_KEY_MAX];

		while (end < n && bytes < TARGET) {
			bytes += manifest_size("", &v[end], 1) - manifest_size("", NULL, 0);
			end++;
		}
		r = manifest_encode(ml->host, dir, v + at, end - at, &buf, &len);
		if (r == 0)
			r = manifest_put(ml, call, dir, buf, len, key);
		at = end;
	}
	return r;
}

static int delete_all(struct manifest_layer *ml, struct tier_call *call, const struct shelf *s)
{
	CLEANUP_FREE const char **keys = calloc(s->n + 1, sizeof(*keys));
	CLEANUP_FREE int *codes = calloc(s->n + 1, sizeof(*codes));
	size_t n = 0;

	if (!keys || !codes)
		return -ENOMEM;
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i]->m) /* what is no manifest is not ours to delete */
			keys[n++] = s->v[i]->key;
	call->control = true;
	return n ? tier_del_many(ml->base.inner, call, keys, n, codes) : 0;
}

static int compact(struct manifest_layer *ml, struct tier_call *call, const struct shelf *s,
		   const struct names *names, int64_t before)
{
	CLEANUP_FREE struct manifest_entry *v = NULL;
	size_t n;
	int r = survivors(s, names, before, &v, &n);

	if (r == 0)
		r = write_all(ml, call, s->dir, v, n);
	return r ? r : delete_all(ml, call, s);
}

int manifest_compact(struct tier *t, struct tier_call *call, const char *dir)
{
	struct manifest_layer *ml = manifest_layer_of(t);
	int64_t before = clock_wall(t->clock) - GRACE_NS;
	struct names names = {0};
	struct shelf *s = NULL;
	int r;

	if (ml->conf.read_only)
		return -EROFS;
	r = manifest_load(ml, call, dir, true, &s);
	call->control = false;
	if (r == 0)
		r = list_names(ml, call, dir, &names);
	if (r == 0)
		r = compact(ml, call, s, &names, before);
	if (r == 0) {
		SCOPE_LOCK(&ml->mtx);
		ml->stats.compactions++;
	}
	manifest_shelf_put(ml, s);
	free(names.v);
	call->control = false;
	return r;
}
