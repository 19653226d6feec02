/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory moves in the store: its prefix is listed page by page, and each page's objects are
 * moved by some jobs at a time. Nothing is noted on the way: after a crash or a failure it
 * begins again and finds less.
 *
 * Helpers are jobs of the same pool, which may have no thread for them; so the job that needs
 * them works too, and waits only for helpers that have begun. One that begins late finds nothing
 * and lets go.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cache/drain_priv.h"
#include "model/key.h"
#include "util/cleanup.h"

#define HELPERS 7

struct item {
	char *key;
	bool marker;
	struct record rec;
};

struct page {
	struct item *v;
	size_t n, cap;
};

static void page_clear(struct page *page)
{
	for (size_t i = 0; i < page->n; i++) {
		free(page->v[i].key);
		record_release(&page->v[i].rec);
	}
	page->n = 0;
}

/*
 * Names that are no safe path are not shown in the tree, so they are not part of what was
 * renamed.
 */
static int page_add(void *arg, const struct tier_entry *entry)
{
	struct page *page = arg;
	struct item *it;

	if (entry->prefix || key_check(entry->key, entry->key_len))
		return 0;
	if (page->n == page->cap) {
		size_t cap = page->cap ? page->cap * 2 : 256;

		it = reallocarray(page->v, cap, sizeof(*it));
		if (!it)
			return -ENOMEM;
		page->v = it;
		page->cap = cap;
	}
	it = &page->v[page->n];
	*it = (struct item){.marker = entry->marker, .key = strndup(entry->key, entry->key_len)};
	record_init(&it->rec);
	if (!it->key || record_copy(&it->rec, entry->rec)) {
		free(it->key);
		record_release(&it->rec);
		return -ENOMEM;
	}
	page->n++;
	return 0;
}

/* --- one item --- */

/* A marker has no bytes to copy: it is put anew, with its attributes. */
static int move_marker(struct drain_try *t, struct item *it, const char *to)
{
	const struct tier_source empty = {.fd = -1};
	struct tier *store = t->d->conf.store;
	CLEANUP_FREE char *name = NULL;
	int r = 0;

	if (!(it->rec.known & REC_MODE)) {
		if (asprintf(&name, "%s/", it->key) < 0)
			return -ENOMEM;
		record_release(&it->rec);
		r = tier_head(store, drain_call(t, 0), name, &it->rec);
	}
	if (r)
		return r == -ENOENT ? 0 : r;
	if (!(it->rec.known & REC_MODE) || !S_ISDIR(it->rec.mode)) {
		it->rec.mode = S_IFDIR | 0755;
		it->rec.known |= REC_MODE;
	}
	r = drain_put_once(t, to, &empty, &it->rec, TIER_ANY, NULL);
	if (r == 0)
		r = tier_del(store, drain_call(t, 0), it->key, true, NULL);
	if (r == 0)
		t->progress = true;
	return r;
}

static int move_item(struct drain_try *t, struct item *it)
{
	const struct jent *e = t->e;
	CLEANUP_FREE char *to = NULL;

	if (asprintf(&to, "%s%s", e->to, it->key + strlen(e->key)) < 0)
		return -ENOMEM;
	if (it->marker)
		return move_marker(t, it, to);
	return drain_move(t, it->key, &it->rec, to, TIER_IF_ABSENT, NULL);
}

/* --- a page, by many --- */

struct helper {
	struct pool_job job;
	struct crew *crew;
};

struct crew {
	struct drain_try *t; /* the owner's; NULL: it has left */
	struct page *page;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	size_t next;	   /* item to take; page->n: none is left */
	unsigned int busy; /* who is at an item */
	unsigned int refs;
	int error; /* the first */
	struct helper helpers[HELPERS];
};

static void crew_unref(struct crew *c)
{
	bool last;

	pthread_mutex_lock(&c->lock);
	last = --c->refs == 0;
	pthread_mutex_unlock(&c->lock);
	if (!last)
		return;
	pthread_mutex_destroy(&c->lock);
	pthread_cond_destroy(&c->cond);
	free(c);
}

/* The next item, counted as being worked on; NULL: none, or it is over. */
static struct item *crew_next(struct crew *c)
{
	SCOPE_LOCK(&c->lock);

	if (!c->t || c->error || c->next >= c->page->n)
		return NULL;
	c->busy++;
	return &c->page->v[c->next++];
}

static void crew_ended(struct crew *c, const struct drain_try *own, int r)
{
	SCOPE_LOCK(&c->lock);

	if (r && !c->error) {
		c->error = r;
		c->t->call = own->call;
	}
	c->t->progress |= own->progress;
	c->t->conflict |= own->conflict;
	if (--c->busy == 0)
		pthread_cond_broadcast(&c->cond);
}

static void crew_work(struct crew *c)
{
	struct item *it;

	while ((it = crew_next(c))) {
		struct drain_try own = {.d = c->t->d, .e = c->t->e};
		int r = move_item(&own, it);

		crew_ended(c, &own, r);
	}
}

static void helper_run(struct pool_job *job)
{
	struct crew *c = container_of(job, struct helper, job)->crew;

	crew_work(c);
	crew_unref(c);
}

static struct crew *crew_new(struct drain_try *t, struct page *page)
{
	struct crew *c = calloc(1, sizeof(*c));
	size_t helpers = page->n > HELPERS ? HELPERS : page->n - 1;

	if (!c)
		return NULL;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->cond, NULL);
	c->t = t;
	c->page = page;
	c->refs = (unsigned int)(1 + helpers);
	for (size_t i = 0; i < helpers; i++) {
		c->helpers[i] = (struct helper){.job.run = helper_run, .crew = c};
		pool_submit(t->d->conf.pool, POOL_DRAIN, &c->helpers[i].job);
	}
	return c;
}

static int move_page(struct drain_try *t, struct page *page)
{
	struct crew *c = page->n ? crew_new(t, page) : NULL;
	int r;

	if (!c)
		return page->n ? -ENOMEM : 0;
	crew_work(c);
	{
		SCOPE_LOCK(&c->lock);
		while (c->busy > 0)
			pthread_cond_wait(&c->cond, &c->lock);
		c->t = NULL;
		r = c->error;
	}
	crew_unref(c);
	return r;
}

/* --- the whole tree --- */

int drain_tree(struct drain_try *t)
{
	CLEANUP_FREE char *prefix = NULL;
	CLEANUP_FREE char *token = NULL;
	struct page page = {.v = NULL};
	int r = 0;

	if (asprintf(&prefix, "%s/", t->e->key) < 0)
		return -ENOMEM;
	do {
		const struct tier_list_req req = {.prefix = prefix, .token = token};
		char *next = NULL;

		page_clear(&page);
		r = tier_list(t->d->conf.store, drain_call(t, 0), &req, page_add, &page, &next);
		if (r == 0) {
			free(token);
			token = next;
			r = move_page(t, &page);
		}
	} while (r == 0 && token);
	page_clear(&page);
	free(page.v);
	return r;
}
