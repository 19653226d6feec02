/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sidecars: seed 003 keeps beside N a file N.meta with JSON that says what N is:
 *	{"key": ..., "created_at": 1696723200.0, "expires_at": 1697328000.0, "ttl": 604800,
 *	 "size_bytes": 15234, "format": "pickle"}
 * Times are seconds since the epoch or ISO 8601 (without a zone: UTC), null is never. size_bytes is
 * N's own matter and is not taken from here.
 */
#ifndef MODEL_SIDECAR_H
#define MODEL_SIDECAR_H

#include <stdint.h>

#include "model/record.h"

#define SIDECAR_MAX (64u << 10) /* bytes; what is larger is no sidecar */

enum sidecar_has {
	SIDECAR_KEY = 1 << 0,
	SIDECAR_CREATED = 1 << 1,
	SIDECAR_EXPIRES = 1 << 2,
	SIDECAR_TTL = 1 << 3,
	SIDECAR_FORMAT = 1 << 4,
};

/* What a sidecar wants changed of a record. */
struct sidecar {
	unsigned int has; /* enum sidecar_has */
	int64_t created_ns;
	int64_t expires_at; /* seconds; 0: never */
	int64_t ttl;	    /* seconds; 0: none */
	char *key, *format; /* ours */
};

/*
 * -EINVAL with what is wrong: no JSON object. Members that are missing or make no sense are left
 * out, others are ignored. Input is hostile. -ENOMEM.
 */
int sidecar_parse(const char *text, size_t len, struct sidecar *ret, struct err *err);
void sidecar_release(struct sidecar *s);

/*
 * Changes rec as s says. What says only one of expires_at and ttl gets the other: from created_at,
 * else from now_s. A key or format for which the store's metadata has no room is left out. -ENOMEM.
 */
int sidecar_apply(const struct sidecar *s, int64_t now_s, struct record *rec);

#endif
