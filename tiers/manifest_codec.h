/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A manifest: what one host knows of the records of objects in one directory, as an object of the
 * store (layer_manifest.c says what for). Little-endian, without gaps:
 *
 *	bytes
 *	8	"COGFSMAN"
 *	1	version, 1
 *	1, n	the writer's host id: length, text
 *	2, n	the directory's key: length, text; "" is the root
 *	4	number of entries
 *		entries, by name, each name once:
 *	1, n	  name: length, text; one part of a key
 *	8	  stamp: wall clock in ns when the write had ended, never less than one seen before
 *	4	  how long the write took, in s
 *	2, n	  record: length, blob (model/record_internal.h), with the etag that it is valid for
 *	8	XXH3-64 of all before
 *
 * Binary and not JSON: the record's own encoding is there, is fuzzed, and carries every field that
 * a record ever gets; an entry takes a third of what it would as text, and a torn or foreign object
 * is told by its hash. What is read is hostile.
 */
#ifndef TIERS_MANIFEST_CODEC_H
#define TIERS_MANIFEST_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/key.h"
#include "model/record.h"

#define MANIFEST_MAX (1U << 20) /* bytes of one manifest */
#define MANIFEST_ENTRY_MAX 3000 /* bytes of a record; of larger ones a HEAD tells */
#define MANIFEST_HOST_MAX 64	/* bytes of a host id; [A-Za-z0-9_.-] and none of it special */

struct manifest_entry {
	const char *name; /* not NUL-terminated */
	const void *record;
	int64_t stamp;
	uint32_t took_s;
	uint16_t record_len;
	uint8_t name_len;
};

/* Entries point into buf, or to where their owner has them. */
struct manifest {
	char *buf;
	size_t len;
	char host[MANIFEST_HOST_MAX + 1];
	char dir[KEY_MAX + 1];
	struct manifest_entry *v; /* by name */
	size_t n;
};

bool manifest_is_host(const char *s, size_t len);

/* Takes buf (malloc'ed) in any case. -EBADMSG, -ENOMEM. */
int manifest_decode(char *buf, size_t len, struct manifest **ret);
void manifest_free(struct manifest *m); /* accepts NULL */

/* What n entries take, whatever the host. */
size_t manifest_size(const char *dir, const struct manifest_entry *v, size_t n);
/* malloc'ed. The entries are sorted, and manifest_size() of them is at most MANIFEST_MAX. */
int manifest_encode(const char *host, const char *dir, const struct manifest_entry *v, size_t n,
		    char **ret_buf, size_t *ret_len);

/* -1, 0, 1: order of names. */
int manifest_compare(const struct manifest_entry *e, const char *name, size_t len);
/* The place of name in sorted entries, or where it belongs. */
size_t manifest_find(const struct manifest_entry *v, size_t n, const char *name, size_t len,
		     bool *ret_found);

/*
 * rec as it is kept: of the version etag, without its size, which a listing tells. malloc'ed;
 * -E2BIG above MANIFEST_ENTRY_MAX, -ENOMEM.
 */
int manifest_record_encode(const struct record *rec, const char *etag, void **ret, size_t *ret_len);
/*
 * Back, into an initialised record. -EBADMSG: no record of an object, or one that no store could
 * have said.
 */
int manifest_record_decode(const struct manifest_entry *e, struct record *ret);

#endif
