/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conformance suite: every store, and every stack of layers over a store, passes the same
 * cases, through the wrappers of tiers/tier.h and nothing else. A driver (test_<store>.c) says how
 * a store is made and emptied:
 *
 *	int main(void)
 *	{
 *		const struct conformance conf = {.name = "mem", .make = make};
 *
 *		return conformance_run(&conf);
 *	}
 *
 * A driver without its server returns CONFORMANCE_SKIP, which ctest knows.
 */
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

#include "tiers/tier.h"

#define CONFORMANCE_SKIP 77

/* What a server behind a store is known to do differently from the service it stands for. */
enum conformance_quirk {
	/* keys with control characters are not listed as they are */
	QUIRK_NO_CONTROL_KEYS = 1 << 0,
	QUIRK_NO_TWIN_MARKER = 1 << 1, /* the marker "a/" and the object "a" exclude each other */
	QUIRK_DELETES_ANYWAY = 1 << 2, /* a conditional delete has no condition */
	QUIRK_NO_LONG_PARTS = 1 << 3,  /* parts of 255 bytes are refused */
	QUIRK_NO_LISTED_SIZE = 1 << 4, /* objects are packed, and the listing tells no plain size */
	QUIRK_HINTS = 1 << 5,	       /* a listing may tell whole records, or not */
};

struct conformance {
	const char *name;
	/* The store, on what the last call of reset left; called once. NULL ends the run. */
	struct tier *(*make)(void *arg);
	/* Empties what is behind the store, before each case; NULL: by list and delete. */
	void (*reset)(void *arg, struct tier *t);
	void *arg;
	unsigned int quirks; /* enum conformance_quirk */
};

/* Runs all cases. 0, or the number of those that failed. */
int conformance_run(const struct conformance *conf);

#endif
