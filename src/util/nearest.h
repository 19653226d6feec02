/* SPDX-License-Identifier: Apache-2.0 */
/* The nearest of the words that would have been right, for "did you mean". */
#ifndef UTIL_NEAREST_H
#define UTIL_NEAREST_H

#define NEAREST_MAX 64 /* longer words get no suggestion */

struct nearest {
	const char *word;
	unsigned int distance;
	char best[NEAREST_MAX];
};

/* word must outlive n. */
void nearest_init(struct nearest *n, const char *word);
/* Remembers candidate where it is nearer than what was offered before. */
void nearest_offer(struct nearest *n, const char *candidate);
/* The best candidate, or NULL where none is near enough to be what was meant. */
const char *nearest_get(const struct nearest *n);

#endif
