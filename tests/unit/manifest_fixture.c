/* SPDX-License-Identifier: Apache-2.0 */
/* Two hosts over one store (manifest_fixture.h). */
#include "manifest_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "blind_list.h"

static int shared_hook(struct tier *t)
{
	struct shared *s = (struct shared *)t;
	int (*hook)(void *arg) = s->before_put;

	s->before_put = NULL;
	return hook ? hook(s->arg) : 0;
}

#define PASS(name, args, call)                                                                     \
	static int shared_##name args                                                              \
	{                                                                                          \
		return tier_##name call;                                                           \
	}

PASS(probe, (struct tier * t, struct tier_call *c), (t->inner, c))
PASS(head, (struct tier * t, struct tier_call *c, const char *k, struct record *r),
     (t->inner, c, k, r))
PASS(get,
     (struct tier * t, struct tier_call *c, const char *k, uint64_t off, uint64_t len,
      const char *e, struct tier_sink *s),
     (t->inner, c, k, off, len, e, s))
PASS(list,
     (struct tier * t, struct tier_call *c, const struct tier_list_req *q, tier_entry_fn *f,
      void *a, char **n),
     (t->inner, c, q, f, a, n))
PASS(copy,
     (struct tier * t, struct tier_call *c, const char *k, const char *e, const char *to,
      const struct record *r, const struct tier_pre *p, char *n),
     (t->inner, c, k, e, to, r, p, n))
PASS(set_meta,
     (struct tier * t, struct tier_call *c, const char *k, const char *e, const struct record *r,
      char *n),
     (t->inner, c, k, e, r, n))

static int shared_put(struct tier *t, struct tier_call *c, const char *k,
		      const struct tier_source *src, const struct record *r,
		      const struct tier_pre *p, char *e)
{
	int code = shared_hook(t);

	return code ? code : tier_put(t->inner, c, k, src, r, p, e);
}

static void shared_close(struct tier *t)
{
	tier_release(t);
	free(t);
}

static const struct tier_ops shared_ops = {
	.type = "shared",
	.probe = shared_probe,
	.head = shared_head,
	.get = shared_get,
	.put = shared_put,
	.del = layer_pass_del,
	.del_many = layer_pass_del_many,
	.list = shared_list,
	.copy = shared_copy,
	.set_meta = shared_set_meta,
	.share = layer_pass_share,
	.close = shared_close,
};

void peer_init(struct world *w, const char *name, struct host *h)
{
	const struct manifest_conf conf = {.host = name, .manual = true};
	struct tier *t;

	h->shared = calloc(1, sizeof(*h->shared));
	assert_non_null(h->shared);
	t = &h->shared->base;
	assert_int_equal(layer_init(t, &shared_ops, w->s.store), 0);
	assert_int_equal(blind_list_create(t, &t), 0);
	assert_int_equal(fault_create(t, &h->fault), 0);
	assert_int_equal(manifest_create(&conf, h->fault, &h->top), 0);
}

void world_init(struct world *w)
{
	stack_init(&w->s);
	peer_init(w, "alpha", &w->a);
	peer_init(w, "beta", &w->b);
}

void world_release(struct world *w)
{
	tier_close(w->a.top);
	tier_close(w->b.top);
	stack_release(&w->s);
}

/* --- verbs --- */

void peer_flush(struct host *h)
{
	struct tier_call call = {0};

	assert_int_equal(manifest_flush(h->top, &call), 0);
}

void peer_put(struct world *w, struct host *h, const char *key, mode_t mode)
{
	struct record rec = {.known = REC_MODE | REC_OWNER | REC_MTIME | REC_EXPIRES,
			     .mode = S_IFREG | mode,
			     .uid = 1000,
			     .gid = 100,
			     .mtime_ns = 1600000000LL * NSEC_PER_SEC,
			     .expires_at = 1900000000,
			     .ttl = 60};

	w->s.sim.now += NSEC_PER_SEC;
	assert_int_equal(stack_put_record(&w->s, h->top, key, &rec, NULL), 0);
}

static int see(void *arg, const struct tier_entry *entry)
{
	struct seen *seen = arg;

	seen->n++;
	seen->whole += (entry->rec->known & REC_MODE) != 0;
	return seen->key && strcmp(entry->key, seen->key) == 0 ? record_copy(&seen->rec, entry->rec)
							       : 0;
}

struct seen peer_list(struct host *h, const char *prefix, const char *key)
{
	struct tier_list_req req = {.prefix = prefix, .delimiter = true};
	struct seen seen = {.key = key};
	char *token = NULL;

	record_init(&seen.rec);
	do {
		struct tier_call call = {0};
		char *next = NULL;

		req.token = token;
		assert_int_equal(tier_list(h->top, &call, &req, see, &seen, &next), 0);
		free(token);
		token = next;
	} while (token);
	return seen;
}

mode_t listed_mode(struct host *h, const char *prefix, const char *key)
{
	struct seen seen = peer_list(h, prefix, key);
	mode_t mode = seen.rec.known & REC_MODE ? seen.rec.mode & 07777 : 0;

	record_release(&seen.rec);
	return mode;
}

static int count(void *arg, const struct tier_entry *entry)
{
	++*(unsigned int *)arg;
	return strncmp(entry->key, MANIFEST_PREFIX, strlen(MANIFEST_PREFIX)) ? -EBADMSG : 0;
}

unsigned int manifests_count(struct world *w)
{
	const struct tier_list_req req = {.prefix = ".cogfs/"};
	struct tier_call call = {0};
	unsigned int n = 0;
	char *token = NULL;

	assert_int_equal(tier_list(w->s.store, &call, &req, count, &n, &token), 0);
	assert_null(token);
	return n;
}
