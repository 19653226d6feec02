/* SPDX-License-Identifier: Apache-2.0 */
/* Edit distance with transpositions (optimal string alignment), over three rolling rows. */
#include "util/nearest.h"

#include <limits.h>
#include <string.h>

static unsigned int min_of(unsigned int a, unsigned int b)
{
	return a < b ? a : b;
}

static unsigned int distance(const char *a, size_t la, const char *b, size_t lb)
{
	unsigned int rows[3][NEAREST_MAX + 1];
	unsigned int *before = rows[0], *last = rows[1], *now = rows[2];

	for (size_t j = 0; j <= lb; j++)
		last[j] = (unsigned int)j;
	for (size_t i = 1; i <= la; i++) {
		now[0] = (unsigned int)i;
		for (size_t j = 1; j <= lb; j++) {
			unsigned int d = last[j - 1] + (a[i - 1] != b[j - 1]);

			d = min_of(d, min_of(last[j], now[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				d = min_of(d, before[j - 2] + 1);
			now[j] = d;
		}
		unsigned int *oldest = before;

		before = last;
		last = now;
		now = oldest;
	}
	return last[lb];
}

void nearest_init(struct nearest *n, const char *word)
{
	n->word = word;
	n->distance = UINT_MAX;
	n->best[0] = '\0';
}

void nearest_offer(struct nearest *n, const char *candidate)
{
	size_t lw = strlen(n->word), lc = strlen(candidate);

	if (lw >= NEAREST_MAX || lc >= NEAREST_MAX)
		return;
	unsigned int d = distance(n->word, lw, candidate, lc);

	/* "max" for "max_size": what was begun and not finished is meant as often as a slip. */
	if (lw >= 3 && lc > lw && strncmp(n->word, candidate, lw) == 0)
		d = min_of(d, 2);
	if (d < n->distance) {
		n->distance = d;
		memcpy(n->best, candidate, lc + 1);
	}
}

const char *nearest_get(const struct nearest *n)
{
	size_t len = strlen(n->word);
	unsigned int near_enough = len <= 2 ? 1 : len <= 5 ? 2 : 3;

	return n->distance <= near_enough ? n->best : NULL;
}
