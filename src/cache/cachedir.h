/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache directory (DESIGN rule 9): locked, versioned, self-describing.
 *
 *	FORMAT	"cogfs-cache 1\n", a UUID, "cogfs VERSION". Another number is refused, with the
 *		version that wrote it
 *	lock	flock'ed by the one process that uses the directory; holds its pid and mount point
 *	state	a checkpoint, replaced atomically: clean or not, boot id, totals, when everything
 *		was last synced
 *	journal/ staging/ objects/ partial/ open/	see journal.h and tiers/local.h
 */
#ifndef CACHE_CACHEDIR_H
#define CACHE_CACHEDIR_H

#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"

struct cachedir {
	int fd;
	int lock_fd; /* -1 while a supervisor keeps the lock */
	int journal_fd;
	int staging_fd;
	/*
	 * Staging, partial and open ids. Each opening begins a block of 2^40 that no earlier one
	 * can have touched, crashes included: count it up, nothing else is needed.
	 */
	uint64_t next_id;
};

/* What the last user of the directory left. */
struct cachedir_state {
	bool clean;	   /* unmounted in order */
	bool same_boot;	   /* no power loss can lie between: page cache and files agree */
	int64_t synced_ns; /* wall time up to which bodies are known to be on the platter */
	uint64_t disk_bytes, disk_objects; /* totals for the budget until the scan is through */
	uint64_t next_id;
};

/*
 * Makes or opens path, takes the lock (non-blocking) unless locked_fd >= 0 (inherited from the
 * supervisor). -EBUSY: err names the holder's pid and mount point; -EPROTO: another format;
 * -EACCES, -EROFS, ...
 */
int cachedir_open(const char *path, int locked_fd, const char *mountpoint, struct cachedir *ret_dir,
		  struct cachedir_state *ret_state, struct err *err);
/*
 * Looks at a directory without changing it: *ret_fd is it, *ret_state_good whether its checkpoint
 * is whole. -EPROTO: it is no cache, or has another format.
 */
int cachedir_inspect(const char *path, int *ret_fd, bool *ret_state_good, struct err *err);
/*
 * Takes the lock alone, for a supervisor that hands it to its workers: the descriptor
 * (close-on-exec), or -EBUSY as above. It is held as long as any process has the descriptor open.
 */
int cachedir_lock(const char *path, const char *mountpoint, struct err *err);
void cachedir_release(struct cachedir *dir);

/* Atomically writes a checkpoint; sync: durable when it returns. The lock's owner only. */
int cachedir_checkpoint(struct cachedir *dir, const struct cachedir_state *state, bool sync);

#endif
