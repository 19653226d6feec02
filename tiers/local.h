/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Body tiers: where the local files live that the kernel reads. `disk` is a directory, `ram` a
 * private tmpfs (the same code, another root): both keep a readable mirror of the tree below
 * objects/, with each object's record in its xattrs.
 *
 * Below a body tier's root
 *	objects/<key>	complete, checked bodies, and directories; never a partial one
 *	partial/<id>	bodies that are being filled; emptied at start
 *	open/<id>	complete bodies that lost their name (unlinked, replaced) while open;
 *			emptied at a fresh start
 *	staging/<id>	disk only: bodies that are written or not yet drained
 *
 * Budget. Bytes are counted as st_blocks * 512 and admitted *before* they are used: local_reserve()
 * first, then write. The tier knows totals and limits; which body has to go decides the cache.
 *
 * Concurrency: all functions may be called from any thread; the budget is atomic. Names in the
 * mirror (publish, displace, unlink, rename, dir_make, dir_remove) are changed by one thread of a
 * tier at a time (the cache's rule: its lock for names). Readers and the scan need no lock.
 *
 * Keys are checked (model/key.h) by every function that changes names; a link that somebody planted
 * below the root is never followed, and counts as absent.
 */
#ifndef TIERS_LOCAL_H
#define TIERS_LOCAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "model/record.h"
#include "util/err.h"

enum local_kind { LOCAL_RAM, LOCAL_DISK };

struct local_conf {
	enum local_kind kind;
	const char *name;     /* "warm" */
	const char *path;     /* disk: made (0700) where missing. ram: for the fall-back, or NULL */
	int ram_fd;	      /* ram: root of an existing tmpfs that a supervisor keeps, or -1 */
	uint64_t max_size;    /* bytes; 0 = no limit of ours */
	uint64_t max_objects; /* 0 = no limit */
	uint64_t min_free;    /* bytes of the filesystem that our writes leave alone */
	double min_free_ratio; /* the same as a part of the filesystem; the larger counts */
	bool keep_open;	       /* a supervised restart: open/ is in use, keep it */
};

struct local {
	enum local_kind kind;
	char *name;
	int root_fd;	/* the directory that holds the four below */
	int objects_fd; /* O_PATH descriptors for fs_*_beneath */
	int partial_fd;
	int open_fd;
	int staging_fd; /* -1 in ram */
	_Atomic uint64_t max_size;
	_Atomic uint64_t max_objects;
	uint64_t min_free;	   /* bytes, resolved */
	_Atomic int64_t used;	   /* bytes reserved, in flight included */
	_Atomic int64_t objects;   /* files */
	_Atomic int64_t unwritten; /* bytes reserved that the filesystem does not know of yet */
	bool xattrs;		   /* user xattrs work here (checked at start); always in disk */
	char *ram_dir;		   /* the directory that stands in for a tmpfs, or NULL */
	int ram_parent_fd;	   /* where that is */
};

/*
 * Makes or opens the tier. -EOPNOTSUPP where the disk's filesystem has no user xattrs, with the way
 * out in err; -EPROTO where there is an objects/ that is not ours.
 */
int local_open(const struct local_conf *conf, struct local **ret_local, struct err *err);
void local_close(struct local *l); /* accepts NULL; a tmpfs goes with its last descriptor */

/*
 * A private tmpfs of that size that has no mount point (fsopen, fsmount), for LOCAL_RAM. Returns
 * its root descriptor, or -errno where this process may not mount: then the tier is a directory
 * below path on /dev/shm or $XDG_RUNTIME_DIR with the limit kept by the budget alone.
 */
int local_tmpfs(uint64_t size);

/*
 * Admits bytes (rounded up to 4 KiB) and one object where object. 0, or -ENOSPC: over max_size or
 * max_objects, or the filesystem would fall below min_free. Nothing is admitted then: evict and ask
 * again.
 */
int local_reserve(struct local *l, uint64_t bytes, bool object);
void local_unreserve(struct local *l, uint64_t bytes, bool object);
/* Adds n to a total of the cache's own unless that goes over max (0 = no limit). */
bool local_admit(_Atomic int64_t *total, uint64_t n, uint64_t max);
/* What bytes count as: whole units. */
uint64_t local_round(uint64_t bytes);
/* Less than 1/parts of max_size or max_objects is left; of min_free on top of it, where free. */
bool local_is_tight(struct local *l, unsigned int parts, bool free);
/*
 * min_free is measured on the filesystem, which does not know of bytes that are admitted and not
 * written yet. A reservation that is written at once needs nothing; one that fills over time is
 * announced: +bytes after local_reserve(), and the same bytes back, in parts or at once, as they
 * are written or given up.
 */
void local_unwritten(struct local *l, int64_t delta_bytes);
/* Corrects a reservation to what the file really takes (after it is complete). */
void local_adjust(struct local *l, int64_t delta_bytes);
/* What a file of fd takes, as the budget counts. */
uint64_t local_cost(int fd);

/* --- named files: <id> is 16 lower-case hex digits --- */
#define LOCAL_ID_LEN 16
void local_id_name(uint64_t id, char out[LOCAL_ID_LEN + 1]);

/* A new empty file (0600, O_RDWR) partial/<id> or staging/<id> (dirfd says which), or -errno. */
int local_create(int dirfd, uint64_t id);
int local_open_id(int dirfd, uint64_t id, int flags);
int local_unlink_id(int dirfd, uint64_t id); /* 0 also where absent */

/* --- bodies --- */
/* Opens objects/<key>, regular files only (O_NOFOLLOW, beneath). -ENOENT, -EISDIR. */
int local_body_open(struct local *l, const char *key, int flags);
/*
 * Makes <dirfd>/<id> the body of key: record to xattrs, then rename (link: hard link, the id
 * stays). Parents are made; the file's mtime becomes the record's where that is known. What was
 * there before is replaced, an empty directory too.
 */
int local_body_publish(struct local *l, int dirfd, uint64_t id, const char *key,
		       const struct record *rec, bool link);
/* The same where the file is open: fd is it. */
int local_body_publish_fd(struct local *l, int fd, int dirfd, uint64_t id, const char *key,
			  const struct record *rec, bool link);
/* Moves the body away: to <dirfd>/<id>. Prunes as unlink does. */
int local_body_displace(struct local *l, const char *key, int dirfd, uint64_t id);
/* Unlinks, and prunes directories above that hold nothing (those with a record stay). */
int local_body_unlink(struct local *l, const char *key);
/* Renames a body or a whole directory; an existing file or empty directory at `to` goes. */
int local_body_rename(struct local *l, const char *from, const char *to);
/* A directory that somebody made (mkdir): exists in the mirror with a record. */
int local_dir_make(struct local *l, const char *key, const struct record *rec);
int local_dir_remove(struct local *l, const char *key);

/* --- the scan behind the mount --- */
struct local_found {
	const char *key;
	int fd; /* O_RDONLY of the file or directory, the callee's for the call */
	bool dir;
	uint64_t cost;	 /* bytes as the budget counts; 0 for a directory */
	int64_t used_ns; /* when it was last used (atime), for the eviction order */
};
/* Walks objects/; fn's non-zero return ends it. Counts nothing itself. Blocks: a background job. */
int local_scan(struct local *l, int (*fn)(void *arg, const struct local_found *found), void *arg);
/* Names in one directory of the mirror ("" = root): key part and d_type. */
int local_readdir(struct local *l, const char *dir,
		  int (*fn)(void *arg, const char *name, unsigned char d_type), void *arg);

#endif
