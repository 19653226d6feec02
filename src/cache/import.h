/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adopting a directory tree: each file becomes an object with its owner, mode, mtime and user.*
 * xattrs, journalled for the store like a write. Where it can be, no byte is copied: a reflink,
 * else (share) a hard link to a file that nobody has open for writing, else a copy.
 *
 * Nothing that is in the cache is replaced: what is there and equal is passed over, so that an
 * import that was cut off can be run again; what is there and differs is told. Names that are no
 * safe path, links and devices are told and left out. The source is only read.
 */
#ifndef CACHE_IMPORT_H
#define CACHE_IMPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "cache/cache.h"

enum import_outcome {
	IMPORT_DONE,
	IMPORT_THERE,	/* it was there, and is equal */
	IMPORT_DIFFERS, /* something else has the name */
	IMPORT_SKIPPED, /* no object can be made of it */
	IMPORT_FAILED,
};

struct import_totals {
	uint64_t files, bytes; /* seen */
	uint64_t expected;     /* files that there are */
	uint64_t imported, there, differs, skipped, failed;
	uint64_t shared, copied; /* of those that were imported */
};

struct import {
	const char *source; /* absolute */
	const char *into;   /* key of a directory, made where it is missing; "" */
	bool share;
	bool dry_run;
	/* All on the calling thread; found is called for what is not imported, but for THERE. */
	void (*found)(void *arg, const char *path, enum import_outcome outcome, const char *why);
	void (*progress)(void *arg, const struct import_totals *done); /* may be NULL */
	bool (*cancelled)(void *arg);				       /* may be NULL */
	void *arg;
	struct import_totals totals;
};

/* Blocks. 0, also where files were left out; -errno: what stopped it. */
int cache_import(struct cache *c, struct import *im, struct err *err);

/*
 * f, a writer of a new file, holds the first size bytes of fd from now on. *ret_shared: no byte was
 * copied. As cache_write().
 */
int cache_adopt(struct cache *c, struct cfile *f, int fd, uint64_t size, bool share,
		struct cache_wait *w, bool *ret_shared);

#endif
