/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks the inner automaton, state by state, together with the set of states in which the outer
 * one can be, and looks for a key that ends the first and not the second.
 */
#include "model/pattern_nfa.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/key.h"
#include "util/cleanup.h"
#include "util/hash.h"

#define STATES_MAX 16384
#define VISITS_MAX 20000 /* beyond it nothing is said */
#define NO_STATE (~0u)

/* A state eats a byte of its set; splits and the end eat none. */
struct state {
	enum { STATE_BYTES, STATE_SPLIT, STATE_END } kind;
	struct pattern_set set;
	unsigned int next, other;
};

struct nfa {
	struct state *states;
	unsigned int n;
	unsigned int *starts;
	unsigned int n_starts;
};

struct nfa *nfa_new(void)
{
	return calloc(1, sizeof(struct nfa));
}

void nfa_free(struct nfa *nfa)
{
	if (!nfa)
		return;
	free(nfa->states);
	free(nfa->starts);
	free(nfa);
}

/* --- from patterns; built from the end, so that what follows is known --- */

static unsigned int add_state(struct nfa *nfa, const struct state *state)
{
	struct state *grown = nfa->states;

	if (nfa->n == STATES_MAX)
		return NO_STATE;
	if ((nfa->n & (nfa->n - 1)) == 0)
		grown = reallocarray(grown, nfa->n ? 2 * (size_t)nfa->n : 1, sizeof(*grown));
	if (!grown)
		return NO_STATE;
	nfa->states = grown;
	grown[nfa->n] = *state;
	return nfa->n++;
}

static unsigned int add_split(struct nfa *nfa, unsigned int next, unsigned int other)
{
	const struct state s = {.kind = STATE_SPLIT, .next = next, .other = other};

	return add_state(nfa, &s);
}

/* What no key has within a part is taken out of the set. */
static unsigned int add_bytes(struct nfa *nfa, const struct pattern_set *set, unsigned int next)
{
	struct state s = {.kind = STATE_BYTES, .set = *set, .next = next};

	s.set.bits[0] &= ~(1ULL | 1ULL << '/');
	return add_state(nfa, &s);
}

static unsigned int add_byte(struct nfa *nfa, unsigned char c, unsigned int next)
{
	struct state s = {.kind = STATE_BYTES, .next = next};

	s.set.bits[c >> 6] = 1ULL << (c & 63);
	return add_state(nfa, &s);
}

static unsigned int add_text(struct nfa *nfa, const struct pattern_word *word, unsigned int next)
{
	for (size_t i = word->len; next != NO_STATE && i-- > 0;)
		next = add_byte(nfa, (unsigned char)word->text[i], next);
	return next;
}

/* Zero or more bytes of the set, then next. */
static unsigned int add_loop(struct nfa *nfa, const struct pattern_set *set, unsigned int next)
{
	unsigned int loop = add_split(nfa, 0, next), bytes = add_bytes(nfa, set, loop);

	if (loop == NO_STATE || bytes == NO_STATE)
		return NO_STATE;
	nfa->states[loop].next = bytes;
	return loop;
}

static unsigned int add_elem(struct nfa *nfa, const struct pattern_elem *elem, unsigned int next)
{
	unsigned int entry = NO_STATE;

	if (elem->kind == PATTERN_LITERAL)
		return add_text(nfa, elem->words, next);
	if (elem->kind != PATTERN_WORDS) {
		if (elem->many)
			next = add_loop(nfa, &elem->set, next);
		return elem->min && next != NO_STATE ? add_bytes(nfa, &elem->set, next) : next;
	}
	for (unsigned int i = 0; i < elem->n_words; i++) {
		unsigned int word = add_text(nfa, &elem->words[i], next);

		if (word == NO_STATE)
			return NO_STATE;
		entry = entry == NO_STATE ? word : add_split(nfa, word, entry);
		if (entry == NO_STATE)
			return NO_STATE;
	}
	return entry;
}

/*
 * ** before next, or at the end of the pattern. In front it is (part/)*, at the end (/part)*, alone
 * part(/part)*: never an empty key.
 */
static unsigned int add_rest(struct nfa *nfa, unsigned int next, bool last, bool first)
{
	static const struct pattern_set any = {{~0ULL, ~0ULL, ~0ULL, ~0ULL}};
	unsigned int entry = add_split(nfa, 0, next), slash, more, part;

	if (entry == NO_STATE)
		return NO_STATE;
	slash = add_byte(nfa, '/', last ? 0 : entry);
	more = add_loop(nfa, &any, last ? entry : slash);
	part = more == NO_STATE ? NO_STATE : add_bytes(nfa, &any, more);
	if (slash == NO_STATE || part == NO_STATE)
		return NO_STATE;
	if (last)
		nfa->states[slash].next = part;
	nfa->states[entry].next = last ? slash : part;
	return last && first ? part : entry;
}

static unsigned int add_part(struct nfa *nfa, const struct pattern_part *part, unsigned int next)
{
	for (unsigned int e = part->n; next != NO_STATE && e-- > 0;)
		next = add_elem(nfa, &part->elems[e], next);
	return next;
}

int nfa_add(struct nfa *nfa, const struct pattern *pattern)
{
	const struct state end = {.kind = STATE_END};
	unsigned int *grown = reallocarray(nfa->starts, nfa->n_starts + 1U, sizeof(*grown));
	unsigned int next = add_state(nfa, &end);
	bool slash = false; /* one stands before what follows */

	if (!grown)
		return -ENOMEM;
	nfa->starts = grown;
	for (unsigned int i = pattern->n_parts; next != NO_STATE && i-- > 0;) {
		const struct pattern_part *part = &pattern->parts[i];
		bool last = i + 1 == pattern->n_parts;

		/* ** and ** again is one. */
		if (part->rest && !last && part[1].rest)
			continue;
		if (part->rest) {
			bool first = i == 0;

			for (unsigned int b = i; b > 0 && pattern->parts[b - 1].rest; b--)
				first = b == 1;
			next = add_rest(nfa, next, last, first);
			slash = !last;
			continue;
		}
		if (slash)
			next = add_byte(nfa, '/', next);
		if (next != NO_STATE)
			next = add_part(nfa, part, next);
		slash = true;
	}
	if (next == NO_STATE)
		return -ENOMEM;
	nfa->starts[nfa->n_starts++] = next;
	return 0;
}

/* --- which keys are legal --- */

enum legal {
	LEGAL_FIRST, /* before the first part */
	LEGAL_PART,  /* before another one */
	LEGAL_OK,    /* in a part that may end here */
	LEGAL_DOT,   /* "." */
	LEGAL_DOTS,  /* ".." */
	LEGAL_DOT1,  /* "." of the first part; ".c" to ".cogf" follow */
	LEGAL_CONTROL = LEGAL_DOT1 + sizeof(CONTROL_DIR) - 2, /* ".cogfs" */
	LEGAL_NEVER,
};

static bool legal_end(unsigned int legal)
{
	return legal == LEGAL_OK || (legal > LEGAL_DOT1 && legal < LEGAL_CONTROL);
}

static unsigned int legal_next(unsigned int legal, unsigned char c)
{
	if (c == '/')
		return legal_end(legal) ? LEGAL_PART : LEGAL_NEVER;
	if (!c)
		return LEGAL_NEVER;
	if (legal == LEGAL_FIRST)
		return c == '.' ? LEGAL_DOT1 : LEGAL_OK;
	if (legal == LEGAL_PART)
		return c == '.' ? LEGAL_DOT : LEGAL_OK;
	if ((legal == LEGAL_DOT || legal == LEGAL_DOT1) && c == '.')
		return LEGAL_DOTS;
	if (legal >= LEGAL_DOT1 && legal < LEGAL_CONTROL &&
	    c == CONTROL_DIR[legal - LEGAL_DOT1 + 1])
		return legal + 1;
	return LEGAL_OK;
}

/* --- the walk --- */

/* A place in the walk: where inner is, what the key is so far, and where outer can be. */
struct place {
	unsigned int state, legal;
	uint64_t outer[];
};

struct walk {
	const struct nfa *inner, *outer;
	size_t words; /* of a place's outer */
	size_t size;  /* of a place */
	char *places; /* all that were found, in the order in which they are looked at */
	unsigned int n_places;
	unsigned int *table;	  /* hash to place + 1 */
	unsigned char bytes[256]; /* one of each group that no set tells apart */
	unsigned int n_bytes;
	struct place *next; /* being made */
	bool found, given_up;
};

#define TABLE_SIZE (4 * VISITS_MAX)

static struct place *place_at(const struct walk *w, unsigned int i)
{
	return (struct place *)(w->places + (size_t)i * w->size);
}

/* Into which groups the sets of nfa divide the bytes, beyond the groups that are there. */
static void refine(unsigned char group[256], unsigned int *n, const struct pattern_set *set)
{
	unsigned char split[256];
	bool in_seen[256] = {false}, out_seen[256] = {false};
	unsigned int count = *n;

	memset(split, 0, sizeof(split));
	for (unsigned int c = 0; c < 256; c++)
		*(pattern_set_has(set, (unsigned char)c) ? &in_seen[group[c]]
							 : &out_seen[group[c]]) = true;
	for (unsigned int g = 0; g < *n; g++)
		if (in_seen[g] && out_seen[g])
			split[g] = (unsigned char)count++;
	for (unsigned int c = 0; c < 256; c++)
		if (split[group[c]] && pattern_set_has(set, (unsigned char)c))
			group[c] = split[group[c]];
	*n = count;
}

static void find_groups(struct walk *w)
{
	static const char special[] = "/" CONTROL_DIR;
	const struct nfa *both[] = {w->inner, w->outer};
	unsigned char group[256] = {0};
	unsigned int n = 1;
	bool seen[256] = {false};

	for (size_t i = 0; i < sizeof(special); i++) {
		struct pattern_set one = {{0}};

		one.bits[special[i] >> 6] = 1ULL << (special[i] & 63);
		refine(group, &n, &one);
	}
	for (unsigned int b = 0; b < 2; b++)
		for (unsigned int i = 0; i < both[b]->n; i++)
			if (both[b]->states[i].kind == STATE_BYTES)
				refine(group, &n, &both[b]->states[i].set);
	for (unsigned int c = 0; c < 256; c++) {
		if (seen[group[c]])
			continue;
		seen[group[c]] = true;
		w->bytes[w->n_bytes++] = (unsigned char)c;
	}
}

/* Adds a state of outer and what it leads to without a byte. */
static void outer_add(const struct walk *w, uint64_t *set, unsigned int state)
{
	for (;;) {
		uint64_t *word = &set[state >> 6], bit = 1ULL << (state & 63);

		if (*word & bit)
			return;
		*word |= bit;
		if (w->outer->states[state].kind != STATE_SPLIT)
			return;
		outer_add(w, set, w->outer->states[state].other);
		state = w->outer->states[state].next;
	}
}

static bool outer_ends(const struct walk *w, const uint64_t *set)
{
	for (unsigned int i = 0; i < w->outer->n; i++)
		if (w->outer->states[i].kind == STATE_END && set[i >> 6] >> (i & 63) & 1)
			return true;
	return false;
}

static void outer_step(const struct walk *w, const uint64_t *from, unsigned char c, uint64_t *to)
{
	memset(to, 0, w->words * sizeof(*to));
	for (size_t i = 0; i < w->words; i++) {
		for (uint64_t bits = from[i]; bits; bits &= bits - 1) {
			unsigned int s = (unsigned int)(i * 64) +
					 (unsigned int)__builtin_ctzll(bits);
			const struct state *state = &w->outer->states[s];

			if (state->kind == STATE_BYTES && pattern_set_has(&state->set, c))
				outer_add(w, to, state->next);
		}
	}
}

/* Remembers w->next with another state of inner, unless it was there. */
static void visit(struct walk *w, unsigned int state)
{
	unsigned int slot;

	while (w->inner->states[state].kind == STATE_SPLIT) {
		visit(w, w->inner->states[state].other);
		state = w->inner->states[state].next;
	}
	w->next->state = state;
	if (w->inner->states[state].kind == STATE_END && legal_end(w->next->legal) &&
	    !outer_ends(w, w->next->outer))
		w->found = true;
	for (slot = (unsigned int)(hash64(w->next, w->size) % TABLE_SIZE); w->table[slot];
	     slot = (slot + 1) % TABLE_SIZE)
		if (memcmp(place_at(w, w->table[slot] - 1), w->next, w->size) == 0)
			return;
	if (w->n_places == VISITS_MAX) {
		w->given_up = true;
		return;
	}
	memcpy(place_at(w, w->n_places), w->next, w->size);
	w->table[slot] = ++w->n_places;
}

static void step(struct walk *w, const struct place *from)
{
	const struct state *state = &w->inner->states[from->state];

	for (unsigned int i = 0; state->kind == STATE_BYTES && i < w->n_bytes; i++) {
		unsigned char c = w->bytes[i];

		if (!pattern_set_has(&state->set, c))
			continue;
		w->next->legal = legal_next(from->legal, c);
		if (w->next->legal == LEGAL_NEVER)
			continue;
		outer_step(w, from->outer, c, w->next->outer);
		visit(w, state->next);
	}
}

static void walk_all(struct walk *w)
{
	memset(w->next, 0, w->size);
	w->next->legal = LEGAL_FIRST;
	for (unsigned int i = 0; i < w->outer->n_starts; i++)
		outer_add(w, w->next->outer, w->outer->starts[i]);
	for (unsigned int i = 0; i < w->inner->n_starts; i++)
		visit(w, w->inner->starts[i]);
	for (unsigned int i = 0; i < w->n_places && !w->found && !w->given_up; i++)
		step(w, place_at(w, i));
}

int nfa_within(const struct nfa *inner, const struct nfa *outer)
{
	struct walk w = {.inner = inner, .outer = outer, .words = outer->n / 64 + 1};
	CLEANUP_FREE char *places = NULL;
	CLEANUP_FREE unsigned int *table = calloc(TABLE_SIZE, sizeof(*table));
	CLEANUP_FREE struct place *next = NULL;

	w.size = sizeof(struct place) + w.words * sizeof(uint64_t);
	/* Only what is used of it becomes memory. */
	places = malloc(w.size * (VISITS_MAX + 1));
	next = malloc(w.size);
	if (!places || !table || !next)
		return -ENOMEM;
	w.places = places;
	w.table = table;
	w.next = next;
	find_groups(&w);
	walk_all(&w);
	return !w.found && !w.given_up;
}
