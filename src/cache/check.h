/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checking a cache against what it says of itself: a cache directory that nobody uses (check_dir)
 * and a running cache, beside its load (cache_check). Both tell each thing that is wrong once.
 *
 * What is looked at			offline	online
 *	FORMAT, lock			x	(the daemon has them)
 *	state				x	x
 *	journal: records, torn, damaged	x	damaged
 *	staging/ against the journal	x	bodies that an entry names
 *	objects/: names, records, bytes	x	x, and the RAM tier's
 *	partial/, open/			x
 *	the store (CHECK_COLD)			x
 *
 * What repair does. A *clean* copy, which a store gave or took (its record names the store's
 * version), is dropped: the next read has it from the store. All else is bytes that may be
 * nowhere else: offline they are moved to aside/ in the directory where they were; in a running
 * cache they stay, a link to them goes to aside/, and reads of the object fail with EIO until it is
 * written or deleted. The drainer never uploads bytes that are not the ones that were closed.
 */
#ifndef CACHE_CHECK_H
#define CACHE_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"

struct cache;

enum check_flags {
	CHECK_REPAIR = 1 << 0,
	CHECK_COLD = 1 << 1,	   /* the store's names and records */
	CHECK_COLD_BYTES = 1 << 2, /* and the bytes of each object, by reading it */
};

enum check_outcome {
	CHECK_REPAIRED,
	CHECK_LEFT,  /* it is still wrong */
	CHECK_NOTED, /* worth knowing, and not wrong */
};

struct check_finding {
	const char *path; /* a key, or a file below the cache directory; hostile */
	const char *tier; /* "warm", "journal", "cold", ... */
	const char *what;
	const char *action; /* what was done; where it is left: what would help */
	enum check_outcome outcome;
};

struct check_totals {
	uint64_t files, bytes; /* bodies that were read */
	uint64_t expected;     /* bodies that there are, as far as that is known; 0: it is not */
	uint64_t entries;      /* of the journal */
	uint64_t cold;	       /* objects in the store */
	uint64_t unsafe_keys;  /* in the store */
	uint64_t unverified;   /* bodies without a checksum */
	uint64_t repaired, left, noted;
};

struct check {
	unsigned int flags; /* enum check_flags */
	/* All are called on the calling thread. progress and cancelled may be NULL. */
	void (*found)(void *arg, const struct check_finding *finding);
	void (*progress)(void *arg, const struct check_totals *done);
	bool (*cancelled)(void *arg);
	void *arg;
	struct check_totals totals;
};

/*
 * A cache directory that is not in use. disk: the disk tier's name and path, where that is another
 * directory; NULL: "disk", the same. -EBUSY: err names who uses it; -EPROTO: it is none, or another
 * version's; else what stopped the check. Findings are no errors.
 */
struct check_place {
	const char *dir, *disk_name, *disk_path;
};
int check_dir(struct check *ck, const struct check_place *place, struct err *err);

/* The running cache. Blocks: a worker of control only. -EBUSY: one check is under way. */
int cache_check(struct cache *c, struct check *ck, struct err *err);

#endif
