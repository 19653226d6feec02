/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree of paths that the journal's entries lie on: a hash table of (parent, name), so that
 * finding a key costs one probe a part, and its ancestors are a walk up.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cache/journal_priv.h"
#include "util/hash.h"

#define NODES_MIN 64

static uint32_t hash_of(const struct jnode *parent, const char *name, size_t len)
{
	return (uint32_t)(hash64(name, len) ^ ((uintptr_t)parent * 0x9e3779b97f4a7c15u >> 16));
}

static struct jnode **slot_of(struct journal *j, uint32_t hash)
{
	return &j->nodes[hash & (j->nodes_size - 1)];
}

static struct jnode *child_find(struct journal *j, const struct jnode *parent, const char *name,
				size_t len)
{
	uint32_t hash = hash_of(parent, name, len);
	struct jnode *n = *slot_of(j, hash);

	while (n && !(n->hash == hash && n->parent == parent && n->len == len &&
		      memcmp(n->name, name, len) == 0))
		n = n->hash_next;
	return n;
}

/* Without memory the table stays as it is: slower, not wrong. */
static void grow(struct journal *j)
{
	size_t size = j->nodes_size * 2;
	struct jnode **nodes = calloc(size, sizeof(*nodes));

	if (!nodes)
		return;
	for (size_t i = 0; i < j->nodes_size; i++) {
		struct jnode *next;

		for (struct jnode *n = j->nodes[i]; n; n = next) {
			struct jnode **slot = &nodes[n->hash & (size - 1)];

			next = n->hash_next;
			n->hash_next = *slot;
			*slot = n;
		}
	}
	free(j->nodes);
	j->nodes = nodes;
	j->nodes_size = size;
}

static struct jnode *node_new(const char *name, size_t len)
{
	struct jnode *n = calloc(1, sizeof(*n) + len + 1);

	if (!n)
		return NULL;
	memcpy(n->name, name, len);
	n->len = (unsigned int)len;
	list_init(&n->children);
	list_init(&n->sibling);
	list_init(&n->entries);
	list_init(&n->watchers);
	return n;
}

/* The new child holds a reference to its parent. */
static struct jnode *child_new(struct journal *j, struct jnode *parent, const char *name,
			       size_t len)
{
	struct jnode *n = node_new(name, len);
	struct jnode **slot;

	if (!n)
		return NULL;
	if (j->n_nodes >= j->nodes_size)
		grow(j);
	n->hash = hash_of(parent, name, len);
	slot = slot_of(j, n->hash);
	n->hash_next = *slot;
	*slot = n;
	n->parent = parent;
	parent->refs++;
	list_add_tail(&parent->children, &n->sibling);
	j->n_nodes++;
	return n;
}

static void node_free(struct journal *j, struct jnode *n)
{
	struct jnode **at = slot_of(j, n->hash);

	while (*at != n)
		at = &(*at)->hash_next;
	*at = n->hash_next;
	list_del(&n->sibling);
	j->n_nodes--;
	free(n);
}

/* Length of key's first part; *rest becomes what follows its slash, or NULL. */
static size_t split(const char *key, const char **rest)
{
	const char *slash = strchr(key, '/');

	*rest = slash ? slash + 1 : NULL;
	return slash ? (size_t)(slash - key) : strlen(key);
}

struct jnode *jtree_deepest(struct journal *j, const char *key)
{
	struct jnode *n = j->root;
	const char *rest = key[0] ? key : NULL;

	while (rest) {
		const char *part = rest;
		struct jnode *child = child_find(j, n, part, split(part, &rest));

		if (!child)
			break;
		n = child;
	}
	return n;
}

struct jnode *jtree_find(struct journal *j, const char *key)
{
	struct jnode *n = j->root;
	const char *rest = key[0] ? key : NULL;

	while (n && rest) {
		const char *part = rest;

		n = child_find(j, n, part, split(part, &rest));
	}
	return n;
}

struct jnode *jtree_get(struct journal *j, const char *key)
{
	struct jnode *n = j->root;
	const char *rest = key[0] ? key : NULL;

	n->refs++;
	while (rest) {
		const char *part = rest;
		size_t len = split(part, &rest);
		struct jnode *child = child_find(j, n, part, len);

		if (!child)
			child = child_new(j, n, part, len);
		if (child)
			child->refs++;
		jtree_put(j, n);
		if (!child)
			return NULL;
		n = child;
	}
	return n;
}

void jtree_put(struct journal *j, struct jnode *n)
{
	while (n && --n->refs == 0) {
		struct jnode *parent = n->parent;

		node_free(j, n);
		n = parent;
	}
}

struct jnode *jtree_walk(struct jnode *top, struct jnode *at)
{
	if (!at)
		return top;
	if (!list_empty(&at->children))
		return list_entry(at->children.next, struct jnode, sibling);
	while (at != top) {
		if (at->sibling.next != &at->parent->children)
			return list_entry(at->sibling.next, struct jnode, sibling);
		at = at->parent;
	}
	return NULL;
}

int jtree_init(struct journal *j)
{
	j->nodes_size = NODES_MIN;
	j->nodes = calloc(j->nodes_size, sizeof(*j->nodes));
	j->root = node_new("", 0);
	if (!j->nodes || !j->root)
		return -ENOMEM;
	j->root->refs = 1;
	return 0;
}

void jtree_release(struct journal *j)
{
	free(j->nodes);
	free(j->root);
}
