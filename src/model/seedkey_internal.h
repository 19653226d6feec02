/* SPDX-License-Identifier: Apache-2.0 */
/* Text put together for keys and paths. Only for src/model/seed*.c. */
#ifndef MODEL_SEEDKEY_INTERNAL_H
#define MODEL_SEEDKEY_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

/* A piece of somebody else's string. */
struct seed_span {
	const char *s;
	size_t len;
};

/* A buffer that remembers that it was too short; it always ends in a NUL. */
struct seed_text {
	char *buf;
	size_t len, size; /* size: with the NUL */
	bool cut;
};

void seed_text_init(struct seed_text *t, char *buf, size_t size);
void seed_put(struct seed_text *t, const char *s, size_t len);
void seed_puts(struct seed_text *t, const char *s);
/* Percent-encodes what no part of a path can hold, and the bytes of also ("" for none). */
void seed_put_encoded(struct seed_text *t, struct seed_span v, const char *also);
/* The same for a whole part: not ".", ".." nor one of the reserved names (NULL ends them). */
void seed_put_part(struct seed_text *t, struct seed_span v, const char *const *reserved);
/* False where v is not what an encoder wrote. */
bool seed_put_decoded(struct seed_text *t, struct seed_span v);

bool seed_is(struct seed_span v, const char *s);

#endif
