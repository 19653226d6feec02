/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the class of a key. */
#include "model/class.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/class_set.h"
#include "model/key.h"
#include "model/policy.h"

/* Bytes before the key in a search's copy, so that the last eight of any part can be loaded. */
#define PAD 8

struct search {
	const char *key, *end; /* between paddings */
	unsigned int best;
};

static int compile_rule(struct class_set *set, const struct conf_class *class, unsigned int index,
			const char *text, struct err *err)
{
	struct class_rule *grown = reallocarray(set->rules, set->n_rules + 1U, sizeof(*set->rules));
	int r;

	if (!grown)
		return err_set(err, -ENOMEM, "no memory");
	set->rules = grown;
	r = pattern_compile(text, &grown[set->n_rules].pattern, err);
	if (r < 0)
		return err_wrap(err, r, "class %s", class->name);
	grown[set->n_rules++].class = index;
	return 0;
}

int class_set_new(const struct conf_class *classes, struct class_set **ret_set, struct err *err)
{
	struct class_set *set = calloc(1, sizeof(*set));
	unsigned int index = 0;
	int r = 0;

	if (!set)
		return err_set(err, -ENOMEM, "no memory");
	for (const struct conf_class *c = classes; r == 0 && c; c = c->next, index++)
		for (char **m = c->match; r == 0 && m && *m; m++)
			r = compile_rule(set, c, index, *m, err);
	if (r == 0 && class_tree_build(set) < 0)
		r = err_set(err, -ENOMEM, "no memory");
	if (r < 0) {
		class_set_free(set);
		return r;
	}
	*ret_set = set;
	return 0;
}

void class_set_free(struct class_set *set)
{
	if (!set)
		return;
	class_tree_free(set);
	for (unsigned int i = 0; i < set->n_rules; i++)
		pattern_free(set->rules[i].pattern);
	free(set->rules);
	free(set);
}

unsigned int class_set_rules(const struct class_set *set)
{
	return set->n_rules;
}

const struct pattern *class_set_rule(const struct class_set *set, unsigned int rule,
				     unsigned int *ret_class)
{
	if (ret_class)
		*ret_class = set->rules[rule].class;
	return set->rules[rule].pattern;
}

/* Whether the text that stops at end ends so. It may be shorter: then this is only a first look. */
static bool ends_so(const struct class_ending *ending, const char *end)
{
	uint64_t bytes;

	memcpy(&bytes, end - PAD, sizeof(bytes));
	return (le64toh(bytes) & ending->mask) == ending->bytes;
}

static void visit(struct search *s, const struct class_node *node, const char *at);

static void visit_tails(struct search *s, const struct class_node *node, const char *at)
{
	size_t len = (size_t)(s->end - s->key);

	for (unsigned int i = 0; i < node->n_tails; i++) {
		const struct class_tail *t = &node->tails[i];

		if (t->rule >= s->best)
			return;
		if (t->first + 1 < t->pattern->n_parts &&
		    (!ends_so(&t->ending, s->end) ||
		     !pattern_match_from(t->pattern, t->first, s->key, len, (size_t)(at - s->key))))
			continue;
		s->best = t->rule;
		return;
	}
}

/* Worth the look at the key's part only where it saves several. */
#define PAIRS_FROM 4

static bool has_pairs(const struct class_pairs *have, const struct class_pairs *need)
{
	return !((need->bits[0] & ~have->bits[0]) | (need->bits[1] & ~have->bits[1]));
}

/* The wild parts that begin like the key's part does. */
static void visit_wilds(struct search *s, const struct class_node *node,
			const struct class_entry *entry, const char *at, const char *part_end)
{
	size_t len = (size_t)(part_end - at);
	struct class_pairs have = {{0}};

	if (entry->to - entry->from >= PAIRS_FROM)
		class_pairs_add(&have, at, len);
	else
		memset(&have, 0xff, sizeof(have));
	for (unsigned int i = entry->from; i < entry->to; i++) {
		const struct class_wild *w = &node->wilds[i];

		if (w->node->best >= s->best)
			return;
		if (len >= w->part->min_len && ends_so(&w->ending, part_end) &&
		    (w->plain ||
		     (has_pairs(&have, &w->pairs) && pattern_part_match(w->part, at, len))))
			visit(s, w->node, part_end + 1);
	}
}

/* at is where the next part begins; behind the last one it is end + 1. */
static void visit(struct search *s, const struct class_node *node, const char *at)
{
	const char *part_end;
	const struct class_entry *entry;
	size_t len;

	if (node->best >= s->best)
		return;
	visit_tails(s, node, at);
	if (at > s->end) {
		if (node->rule < s->best)
			s->best = node->rule;
		return;
	}
	part_end = memchr(at, '/', (size_t)(s->end - at));
	if (!part_end)
		part_end = s->end;
	len = (size_t)(part_end - at);
	if (len > KEY_PART_MAX)
		return;
	if (node->n_literals) {
		entry = class_entry_find(node, at, len, false);
		if (entry)
			visit(s, entry->node, part_end + 1);
	}
	if (node->any.to)
		visit_wilds(s, node, &node->any, at, part_end);
	for (unsigned int i = 0; i < node->n_prefix_lens && node->prefix_lens[i] <= len; i++) {
		entry = class_entry_find(node, at, node->prefix_lens[i], true);
		if (entry)
			visit_wilds(s, node, entry, at, part_end);
	}
}

bool class_match(const struct class_set *set, const char *key, size_t len,
		 struct class_hit *ret_hit)
{
	char copy[PAD + KEY_MAX + 1];
	struct search s = {.key = copy + PAD, .end = copy + PAD + len, .best = set->n_rules};
	const struct class_rule *rule;

	if (!len || len > KEY_MAX)
		return false;
	memset(copy, 0, PAD);
	memcpy(copy + PAD, key, len);
	visit(&s, set->root, s.key);
	if (s.best == set->n_rules)
		return false;
	if (!ret_hit)
		return true;
	rule = &set->rules[s.best];
	ret_hit->class = rule->class;
	ret_hit->rule = s.best;
	ret_hit->pattern = rule->pattern;
	if (rule->pattern->n_names)
		pattern_match(rule->pattern, key, len, ret_hit->spans);
	return true;
}

bool class_hit_get(const struct class_hit *hit, const char *key, const char *name,
		   const char **ret_text, size_t *ret_len)
{
	for (unsigned int i = 0; i < hit->pattern->n_names; i++) {
		if (strcmp(hit->pattern->names[i], name) != 0)
			continue;
		*ret_text = key + hit->spans[i].off;
		*ret_len = hit->spans[i].len;
		return true;
	}
	return false;
}

const struct conf_class *class_of(const struct config *config, const char *key)
{
	struct policy_set *set = policy_box_get(config->policy);
	const struct conf_class *class = policy_match(set, key, strlen(key), NULL)->conf;

	/* The configuration keeps its classes, also those that it replaces. */
	policy_set_unref(set);
	return class;
}
