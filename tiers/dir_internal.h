/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the directory store share. Nothing outside tiers/dir*.c includes it. */
#ifndef TIERS_DIR_INTERNAL_H
#define TIERS_DIR_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "tiers/tier.h"

#define DIR_LOCKS 64

struct dir_slot {
	pthread_mutex_t mtx; /* protects taken; never held across I/O */
	pthread_cond_t freed;
	bool taken;
	int fd; /* of the lock file, -1 until it is first needed; who has taken the slot */
};

struct dir {
	struct tier base;
	char *path;  /* as configured, for probe */
	int root_fd; /* all access is beneath it */
	int tmp_fd;  /* .cogfs/tmp; -1 where read-only */
	int lock_fd; /* .cogfs/lock; -1 where read-only */
	bool read_only;
	bool link;
	bool xattrs;		/* the filesystem has user xattrs */
	bool flock;		/* it has locks that other processes see */
	atomic_bool no_reflink; /* FICLONE was refused once and for all */
	struct dir_slot slots[DIR_LOCKS];
};

struct dir *dir_of(struct tier *t); /* asserts that t is one */

/*
 * Makes a failure of the operating system one that tier.h knows, says in call what failed and
 * whether it may pass, and returns it. code is a negative errno.
 */
int dir_fail(struct tier_call *call, int code, const char *what);

/*
 * Opens the file of key for reading. -ENOENT: nothing there; -EISDIR: a directory; -ELOOP: a
 * symbolic link or a special file, which is no object of this store and is never followed or
 * replaced.
 */
int dir_open(const struct dir *d, const char *key, struct stat *ret_st);
/* The same for the directory of key: -ENOENT also where it is anything else. */
int dir_open_directory(const struct dir *d, const char *key, struct stat *ret_st);

/* --- dir_record.c: versions and metadata of an open file or directory --- */

/* The record with etag. A directory without one is no marker: -ENOENT. */
int dir_record_read(const struct dir *d, int fd, const struct stat *st, struct record *ret_rec);
/* What can be told of a file that cannot be opened. */
void dir_record_from_stat(const struct stat *st, struct record *rec);
enum dir_stamp {
	STAMP_NEW,    /* a new version */
	STAMP_KEEP,   /* the same bytes: the version stays unless the mtime changes */
	STAMP_LINKED, /* the inode has other names: keep, and pin */
};
/*
 * Writes rec, a version for it and, for a file, its mtime. xxh3: of the bytes, may be unknown; it
 * counts where rec has none.
 */
int dir_record_write(const struct dir *d, int fd, const struct record *rec, const struct xxh3 *xxh3,
		     enum dir_stamp stamp, char *ret_etag);
/* From now on the version is told by an xattr of its own: others write the record of a linked
 * inode. */
int dir_record_pin(const struct dir *d, int fd, const char *etag);
/* Takes the record off a directory, which is no marker then. */
int dir_record_clear(const struct dir *d, int fd);

/* --- dir_lock.c --- */

int dir_locks_init(struct dir *d);
void dir_locks_release(struct dir *d);

struct dir_lock {
	struct dir *d;
	struct dir_slot *slot; /* NULL: not held */
};

/*
 * The right to change what key is, among all threads and processes that keep to it. Short: no
 * copying under it, and never two at a time. 0 or as tier_call_check; what fails is in call.
 */
int dir_lock(struct dir *d, struct tier_call *call, const char *key, struct dir_lock *ret_lock);
void dir_unlock(struct dir_lock *lock); /* accepts one that is not held */
#define CLEANUP_DIR_LOCK __attribute__((cleanup(dir_unlock)))

/* --- dir_stage.c --- */

/* A file below .cogfs/tmp on its way to its key. */
struct dir_staged {
	struct dir *d;
	char name[17]; /* "" while there is none */
	int fd;	       /* -1 while there is none */
	bool linked;   /* to the source: fd is the source's, and not ours to close */
};

/* Makes it, with the bytes of src. 0, -errno, or as tier_call_check. */
int dir_stage_bytes(struct dir_staged *s, const struct tier_call *call,
		    const struct tier_source *src);
/* Gives it its record and version, and makes it durable. */
int dir_stage_record(struct dir_staged *s, const struct record *rec, const struct xxh3 *xxh3,
		     char *ret_etag);
/* Removes what is left of it. */
void dir_staged_release(struct dir_staged *s);
#define CLEANUP_DIR_STAGED __attribute__((cleanup(dir_staged_release)))

/* --- operations --- */

/* dir_read.c */
int dir_head(struct tier *t, struct tier_call *call, const char *key, struct record *ret_rec);
int dir_get(struct tier *t, struct tier_call *call, const char *key, uint64_t off, uint64_t len,
	    const char *etag, struct tier_sink *sink);
int dir_share(struct tier *t, struct tier_call *call, const char *key, const char *etag,
	      int dst_dirfd, const char *name, struct record *ret_rec);
/* -ESTALE where the open file is not the version etag any more: another tool wrote into it. */
int dir_check_version(const struct dir *d, struct tier_call *call, int fd, const char *etag);
/* link(2) of an open file; -ENOENT where its last name is gone. */
int dir_link_fd(int fd, int dst_dirfd, const char *name);
/* FICLONE, and a memory for filesystems that do not have it. -EOPNOTSUPP, -EXDEV, ... */
int dir_reflink(struct dir *d, int from_fd, int to_fd);
/* Opens version etag (NULL: the present one) and reads its record; a descriptor or an errno of
 * tier.h. */
int dir_open_version(struct dir *d, struct tier_call *call, const char *key, const char *etag,
		     struct record *ret_rec);

/* dir_list.c */
int dir_list(struct tier *t, struct tier_call *call, const struct tier_list_req *req,
	     tier_entry_fn *fn, void *arg, char **ret_token);

/* dir_put.c */
int dir_put(struct tier *t, struct tier_call *call, const char *key, const struct tier_source *src,
	    const struct record *rec, const struct tier_pre *pre, char *ret_etag);
int dir_copy(struct tier *t, struct tier_call *call, const char *from, const char *etag,
	     const char *to, const struct record *rec, const struct tier_pre *pre, char *ret_etag);
int dir_set_meta(struct tier *t, struct tier_call *call, const char *key, const char *etag,
		 const struct record *rec, char *ret_etag);

/* dir_del.c */
/* fsync of the directory that key is in. */
int dir_sync_parent(const struct dir *d, const char *key);
int dir_del(struct tier *t, struct tier_call *call, const char *key, bool marker, const char *etag);
int dir_del_many(struct tier *t, struct tier_call *call, const char *const *keys, size_t n,
		 int *ret_codes);

#endif
