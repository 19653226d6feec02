/* SPDX-License-Identifier: Apache-2.0 */
/* Builds the tree that class_match walks. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/class_set.h"
#include "util/cleanup.h"
#include "util/hash.h"

static struct class_node *node_new(struct class_set *set, const struct pattern_part *part,
				   unsigned int rule)
{
	struct class_node *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	node->best = rule;
	node->rule = NO_RULE;
	node->part = part;
	node->next = set->nodes;
	set->nodes = node;
	return node;
}

/* One more element at the end of an array. */
static void *grow(void *array, unsigned int n, size_t size)
{
	/* Doubled at each power of two. */
	return n & (n - 1) ? array : reallocarray(array, n ? 2 * (size_t)n : 1, size);
}

static bool words_equal(const struct pattern_elem *a, const struct pattern_elem *b)
{
	if (a->n_words != b->n_words)
		return false;
	for (unsigned int i = 0; i < a->n_words; i++)
		if (a->words[i].len != b->words[i].len ||
		    memcmp(a->words[i].text, b->words[i].text, a->words[i].len) != 0)
			return false;
	return true;
}

/* Whether two parts match the same: names do not count. */
static bool parts_equal(const struct pattern_part *a, const struct pattern_part *b)
{
	if (a->n != b->n)
		return false;
	for (unsigned int i = 0; i < a->n; i++) {
		const struct pattern_elem *x = &a->elems[i], *y = &b->elems[i];

		if (x->kind != y->kind || x->many != y->many || x->min != y->min ||
		    memcmp(&x->set, &y->set, sizeof(x->set)) != 0 || !words_equal(x, y))
			return false;
	}
	return true;
}

static const struct pattern_word *literal_at(const struct pattern_part *part, unsigned int i)
{
	const struct pattern_elem *elem = &part->elems[i];

	return part->n && elem->kind == PATTERN_LITERAL ? elem->words : NULL;
}

/* The last bytes of what part matches, as far as they are sure. */
static struct class_ending part_ending(const struct pattern_part *part)
{
	const struct pattern_word *word = part->n ? literal_at(part, part->n - 1U) : NULL;
	struct class_ending e = {0};
	size_t n = !word ? 0 : word->len < 8 ? word->len : 8;

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)word->text[word->len - 1 - i];

		e.bytes |= (uint64_t)c << (8 * (7 - i));
		e.mask |= 0xffULL << (8 * (7 - i));
	}
	return e;
}

static struct class_pairs part_pairs(const struct pattern_part *part)
{
	struct class_pairs pairs = {{0}};

	for (unsigned int i = 0; i < part->n; i++)
		if (part->elems[i].kind == PATTERN_LITERAL)
			class_pairs_add(&pairs, part->elems[i].words->text,
					part->elems[i].words->len);
	return pairs;
}

static bool part_is_plain(const struct pattern_part *part)
{
	unsigned int first = literal_at(part, 0) != NULL;
	const struct pattern_word *end = literal_at(part, part->n - 1U);

	return part->n_wild == 1 && part->elems[first].kind == PATTERN_ANY &&
	       (!end || part->n == first + 1U || end->len <= 8);
}

static struct class_node *add_literal(struct class_set *set, struct class_node *node,
				      const struct pattern_part *part, unsigned int rule)
{
	struct class_node **grown, *child;

	for (unsigned int i = 0; i < node->n_literals; i++)
		if (parts_equal(node->literals[i]->part, part))
			return node->literals[i];
	grown = grow(node->literals, node->n_literals, sizeof(*grown));
	if (!grown)
		return NULL;
	node->literals = grown;
	child = node_new(set, part, rule);
	if (child)
		node->literals[node->n_literals++] = child;
	return child;
}

static struct class_node *add_wild(struct class_set *set, struct class_node *node,
				   const struct pattern_part *part, unsigned int rule)
{
	const struct pattern_word *prefix = literal_at(part, 0);
	struct class_wild *grown;
	struct class_node *child;

	for (unsigned int i = 0; i < node->n_wilds; i++)
		if (parts_equal(node->wilds[i].part, part))
			return node->wilds[i].node;
	grown = grow(node->wilds, node->n_wilds, sizeof(*grown));
	if (!grown)
		return NULL;
	node->wilds = grown;
	child = node_new(set, part, rule);
	if (child)
		node->wilds[node->n_wilds++] = (struct class_wild){
			.part = part,
			.node = child,
			.ending = part_ending(part),
			.pairs = part_pairs(part),
			.plain = part_is_plain(part),
			.prefix_len = prefix ? (uint16_t)prefix->len : 0};
	return child;
}

static int add_tail(struct class_node *node, const struct pattern *pattern, unsigned int first,
		    unsigned int rule)
{
	struct class_tail *grown = grow(node->tails, node->n_tails, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	node->tails = grown;
	node->tails[node->n_tails++] = (struct class_tail){
		pattern, rule, first, part_ending(&pattern->parts[pattern->n_parts - 1])};
	return 0;
}

static int add_rule(struct class_set *set, unsigned int rule)
{
	const struct pattern *pattern = set->rules[rule].pattern;
	struct class_node *node = set->root;

	for (unsigned int i = 0; i < pattern->n_parts; i++) {
		const struct pattern_part *part = &pattern->parts[i];

		if (part->rest)
			return add_tail(node, pattern, i, rule);
		node = part->n_wild ? add_wild(set, node, part, rule)
				    : add_literal(set, node, part, rule);
		if (!node)
			return -ENOMEM;
	}
	if (node->rule == NO_RULE)
		node->rule = rule;
	return 0;
}

/* --- tables --- */

static uint64_t entry_hash(const char *text, size_t len, bool prefix)
{
	return hash64(text, len) + prefix;
}

const struct class_entry *class_entry_find(const struct class_node *node, const char *text,
					   size_t len, bool prefix)
{
	uint64_t hash = entry_hash(text, len, prefix);

	for (unsigned int i = (unsigned int)hash & node->table_mask;;
	     i = (i + 1) & node->table_mask) {
		const struct class_entry *e = &node->table[i];

		if (!e->text)
			return NULL;
		if (e->hash == hash && e->len == len && e->prefix == prefix &&
		    memcmp(e->text, text, len) == 0)
			return e;
	}
}

static void add_entry(struct class_node *node, struct class_entry entry)
{
	unsigned int i;

	entry.hash = entry_hash(entry.text, entry.len, entry.prefix);
	for (i = (unsigned int)entry.hash & node->table_mask; node->table[i].text;)
		i = (i + 1) & node->table_mask;
	node->table[i] = entry;
}

static const char *wild_prefix(const struct class_wild *w)
{
	return w->prefix_len ? literal_at(w->part, 0)->text : "";
}

/* By prefix; within one, lowest rule first. */
static int compare_wilds(const void *a, const void *b)
{
	const struct class_wild *x = a, *y = b;
	int r;

	if (x->prefix_len != y->prefix_len)
		return x->prefix_len < y->prefix_len ? -1 : 1;
	r = memcmp(wild_prefix(x), wild_prefix(y), x->prefix_len);
	if (r)
		return r;
	return x->node->best < y->node->best ? -1 : x->node->best > y->node->best;
}

static void enter_prefix(struct class_node *node, unsigned int from, unsigned int to)
{
	const struct class_wild *w = &node->wilds[from];
	struct class_entry entry = {.text = wild_prefix(w),
				    .len = w->prefix_len,
				    .prefix = true,
				    .from = from,
				    .to = to};

	if (!w->prefix_len) {
		node->any = entry;
		return;
	}
	add_entry(node, entry);
	if (!node->n_prefix_lens || node->prefix_lens[node->n_prefix_lens - 1] != w->prefix_len)
		node->prefix_lens[node->n_prefix_lens++] = w->prefix_len;
}

/* Wild edges that begin alike become one entry. */
static void enter_wilds(struct class_node *node)
{
	unsigned int from = 0;

	for (unsigned int i = 1; i <= node->n_wilds; i++) {
		const struct class_wild *w = &node->wilds[from];

		if (i < node->n_wilds && node->wilds[i].prefix_len == w->prefix_len &&
		    memcmp(wild_prefix(&node->wilds[i]), wild_prefix(w), w->prefix_len) == 0)
			continue;
		enter_prefix(node, from, i);
		from = i;
	}
}

static int finish_node(struct class_node *node)
{
	unsigned int size = 2;

	while (size < 2 * (node->n_literals + node->n_wilds + 1))
		size *= 2;
	node->table = calloc(size, sizeof(*node->table));
	node->prefix_lens = calloc(node->n_wilds + 1, sizeof(*node->prefix_lens));
	if (!node->table || !node->prefix_lens)
		return -ENOMEM;
	node->table_mask = size - 1;
	for (unsigned int i = 0; i < node->n_literals; i++) {
		const struct pattern_word *word = node->literals[i]->part->elems->words;

		add_entry(node, (struct class_entry){.text = word->text,
						     .len = (uint16_t)word->len,
						     .node = node->literals[i]});
	}
	if (node->n_wilds)
		qsort(node->wilds, node->n_wilds, sizeof(*node->wilds), compare_wilds);
	enter_wilds(node);
	return 0;
}

int class_tree_build(struct class_set *set)
{
	int r = 0;

	set->root = node_new(set, NULL, 0);
	if (!set->root)
		return -ENOMEM;
	for (unsigned int i = 0; r == 0 && i < set->n_rules; i++)
		r = add_rule(set, i);
	for (struct class_node *n = set->nodes; r == 0 && n; n = n->next)
		r = finish_node(n);
	return r;
}

void class_tree_free(struct class_set *set)
{
	while (set->nodes) {
		struct class_node *node = set->nodes;

		set->nodes = node->next;
		free(node->literals);
		free(node->wilds);
		free(node->tails);
		free(node->table);
		free(node->prefix_lens);
		free(node);
	}
}
