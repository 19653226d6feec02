/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree behind class_match. A node stands for the parts of a pattern so far; patterns that
 * begin alike share nodes, whatever their placeholders are called. An edge is
 *
 *   literal	the part is this text: one lookup in the node's table
 *   wild	the part has wildcards: a lookup in the same table for each length of literal text
 *		that the node's wild parts begin with, then a look at the part's last bytes
 *   tail	the rest of the pattern begins with **: matched as a whole, where its last bytes fit
 *
 * Rules are numbered in the order of the configuration, each edge knows the lowest number behind
 * it, and a search leaves out what is behind a better match. No node is visited twice for one key.
 */
#ifndef MODEL_CLASS_SET_H
#define MODEL_CLASS_SET_H

#include "model/class.h"

#define NO_RULE (~0u)

/* Up to eight bytes that a part ends with, as class_match loads them. */
struct class_ending {
	uint64_t bytes, mask;
};

/*
 * Which pairs of bytes a text has, by a hash: a part whose literals have a pair that the key's part
 * has not is not looked at.
 */
struct class_pairs {
	uint64_t bits[2];
};

struct class_wild {
	const struct pattern_part *part;
	struct class_node *node;
	struct class_ending ending;
	struct class_pairs pairs; /* of the literals between */
	bool plain;	     /* beginning and ending decide: {name} or * between short literals */
	uint16_t prefix_len; /* of the literal that it begins with */
};

struct class_tail {
	const struct pattern *pattern;
	unsigned int rule, first; /* first: the part that is ** */
	struct class_ending ending;
};

/* One entry of a node's table: a literal part, or the wild parts that begin with one text. */
struct class_entry {
	uint64_t hash;
	const char *text; /* NULL: an empty slot */
	uint16_t len;
	bool prefix;
	struct class_node *node; /* literal */
	unsigned int from, to;	 /* prefix: of the node's wild edges */
};

struct class_node {
	unsigned int best;		 /* lowest rule at or behind this node */
	unsigned int rule;		 /* that ends here, or NO_RULE */
	struct class_node **literals;	 /* while building, in the order of rules */
	const struct pattern_part *part; /* what leads here */
	struct class_wild *wilds;	 /* once built, those of one prefix together */
	struct class_tail *tails;
	unsigned int n_literals, n_wilds, n_tails;
	struct class_entry *table;
	unsigned int table_mask;
	struct class_entry any;	    /* the wild parts that begin with no literal */
	uint16_t *prefix_lens;	    /* the different ones, shortest first */
	unsigned int n_prefix_lens; /* without 0 */
	struct class_node *next;    /* of all nodes, to free them */
};

struct class_rule {
	struct pattern *pattern;
	unsigned int class;
};

struct class_set {
	struct class_rule *rules;
	unsigned int n_rules;
	struct class_node *root, *nodes;
};

/* class_tree.c: puts the rules into the tree. -ENOMEM. */
int class_tree_build(struct class_set *set);
void class_tree_free(struct class_set *set);

static inline void class_pairs_add(struct class_pairs *pairs, const char *text, size_t len)
{
	for (size_t i = 0; i + 1 < len; i++) {
		unsigned int pair = (unsigned char)text[i] << 8 | (unsigned char)text[i + 1];
		unsigned int bit = pair * 40503U >> 9 & 127;

		pairs->bits[bit >> 6] |= 1ULL << (bit & 63);
	}
}

/* One entry of the node's table, or NULL. */
const struct class_entry *class_entry_find(const struct class_node *node, const char *text,
					   size_t len, bool prefix);

#endif
