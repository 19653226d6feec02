/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listing the store in memory: a page is taken under the lock, and told without it. The token is
 * the name that was told last, a prefix with its slash.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/mem_internal.h"
#include "util/cleanup.h"

#define MEM_PAGE 1000

struct page {
	struct slot *v; /* version NULL: a prefix, without its slash */
	size_t n, max;
	bool more;
};

static void page_release(struct page *page)
{
	for (size_t i = 0; i < page->n; i++) {
		free(page->v[i].name);
		mem_version_unref(page->v[i].version);
	}
	free(page->v);
}

#define CLEANUP_PAGE __attribute__((cleanup(page_release)))

static int page_add(struct page *page, const char *name, size_t len, struct version *v)
{
	struct slot *s = &page->v[page->n];

	s->name = strndup(name, len);
	if (!s->name)
		return -ENOMEM;
	if (v)
		atomic_fetch_add(&v->refs, 1);
	s->version = v;
	page->n++;
	return 0;
}

/* Length of the common prefix that name stands behind in this listing, slash included; 0: none. */
static size_t rolled_up(const struct tier_list_req *req, const char *name)
{
	size_t base = strlen(req->prefix);
	const char *slash = req->delimiter ? strchr(name + base, '/') : NULL;

	return slash ? (size_t)(slash + 1 - name) : 0;
}

/* True where the page that ended with token has told of name. */
static bool told_before(const struct tier_list_req *req, const char *name)
{
	size_t len;

	if (!req->token)
		return false;
	if (strcmp(name, req->token) <= 0)
		return true;
	if (strncmp(req->token, req->prefix, strlen(req->prefix)) != 0)
		return false;
	len = rolled_up(req, req->token);
	return len > 0 && strncmp(name, req->token, len) == 0;
}

static int page_take(struct mem *m, const struct tier_list_req *req, struct page *page)
{
	SCOPE_LOCK(&m->mtx);
	size_t base = strlen(req->prefix), last_len = 0;
	const char *last = ""; /* prefix told last */
	int r = 0;

	for (size_t i = mem_lower_bound(m, req->prefix); i < m->n && r == 0; i++) {
		const char *name = m->slots[i].name;
		size_t len;

		if (strncmp(name, req->prefix, base) != 0)
			break;
		len = rolled_up(req, name);
		if (told_before(req, name) ||
		    (len > 0 && len == last_len && strncmp(name, last, len) == 0))
			continue;
		if (page->n == page->max) {
			page->more = true;
			break;
		}
		last = name;
		last_len = len;
		r = len > 0 ? page_add(page, name, len, NULL)
			    : page_add(page, name, strlen(name), m->slots[i].version);
	}
	return r;
}

static int page_tell(struct tier *t, struct tier_call *call, const struct page *page,
		     tier_entry_fn *fn, void *arg)
{
	struct record nothing;
	int r = 0;

	record_init(&nothing);
	for (size_t i = 0; i < page->n && r == 0; i++) {
		const struct slot *s = &page->v[i];
		CLEANUP_FREE char *key = strdup(s->name);
		size_t len = strlen(s->name);
		bool slash = len > 0 && s->name[len - 1] == '/';
		struct tier_entry entry = {
			.key = key,
			.key_len = len - slash,
			.prefix = !s->version,
			.marker = s->version && slash,
			.rec = s->version ? &s->version->rec : &nothing,
		};

		if (!key)
			return -ENOMEM;
		key[len - slash] = '\0';
		r = tier_call_check(t, call);
		if (r == 0)
			r = fn(arg, &entry);
	}
	return r;
}

int mem_list(struct tier *t, struct tier_call *call, const struct tier_list_req *req,
	     tier_entry_fn *fn, void *arg, char **ret_token)
{
	CLEANUP_PAGE struct page page = {.max = MEM_PAGE};
	char *token = NULL;
	int r;

	if (req->max && req->max < page.max)
		page.max = req->max;
	page.v = calloc(page.max, sizeof(*page.v));
	if (!page.v)
		return -ENOMEM;
	r = page_take((struct mem *)t, req, &page);
	if (r)
		return r;
	if (page.more) {
		token = strdup(page.v[page.n - 1].name);
		if (!token)
			return -ENOMEM;
	}
	r = page_tell(t, call, &page, fn, arg);
	if (r)
		free(token);
	else
		*ret_token = token;
	return r;
}
