/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache.h: the cache as the driver sees it: a tree of objects, open files, and calls that never
 * wait.
 *
 * Waiting
 *   A function that takes a struct cache_wait never blocks on the network, on fsync or on room.
 *   It returns
 *     0 or -errno    it is done;
 *     CACHE_PENDING  it has to wait: w->done(w, err) is called exactly once, later, from another
 *                    thread and without locks, perhaps before this call has returned: w belongs
 *                    to the cache from the call until done. err 0: call the same function again
 *                    with the same arguments and the same w, and it will have got further;
 *                    err < 0: that is the answer.
 *   The deadline is set when w is first used (cache_wait_init clears it) and covers all rounds:
 *   -ETIMEDOUT. cache_cancel(w) ends a wait with -EINTR, the present one or the next one; what
 *   needs no wait is still done.
 *   Functions without a cache_wait are done when they return; they may do local file system
 *   calls.
 *
 * References
 *   struct obj is one name in the tree. Whoever keeps a pointer holds a reference. An obj stays
 *   the same through renames, versions, eviction and refill; after unlink it is an orphan until
 *   the last reference goes.
 *
 * Versions and epochs
 *   obj_epoch() changes when a kernel inode that knows this obj may not be used for a further
 *   open: another remote version, or a fill that was completed (from now on: passthrough). The
 *   driver then gives the obj a new node id.
 *
 * Restart
 *   Every open file keeps what a new process needs in a struct cfile_state that the *driver*
 *   provides (in memory that outlives the process) and the cache updates before each effect.
 *   After a restart the driver calls cache_restore() for each, then cache_start().
 *
 * Threads: everything here may be called from any thread, but for cache_new, cache_start,
 * cache_free.
 */
#ifndef CACHE_CACHE_H
#define CACHE_CACHE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>

#include "model/config.h"
#include "model/record.h"
#include "util/clock.h"
#include "util/counters.h"
#include "util/err.h"
#include "util/list.h"

struct cache;
struct obj;
struct cfile;
struct cdir;

#define CACHE_PENDING 1

struct cache_wait {
	void (*done)(struct cache_wait *w, int err);
	/* the cache's: */
	dl_t deadline;
	struct list on_flight; /* whoever will wake it */
	struct list on_clock;  /* waits ordered by deadline */
	int state;
	bool cold;	    /* an open that had to bring bytes from a store */
	bool synced;	    /* an fsync that is done */
	bool cancelled;	    /* it may not wait any more */
	bool begun;	    /* a writer's session was made for it, and counts it */
	struct obj *begins; /* whose; begun: a reference */
	unsigned int stale; /* how often the version that an open waited for was replaced */
};

void cache_wait_init(struct cache_wait *w, void (*done)(struct cache_wait *w, int err));
/*
 * Ends the wait with -EINTR if it is waiting: true, and done was called. False: its next wait ends
 * at once.
 */
bool cache_cancel(struct cache *c, struct cache_wait *w);

/*
 * What the kernel must be told; called without locks from a worker. The driver queues it for a
 * thread of its own.
 */
enum cache_event {
	CACHE_EV_ATTR,	  /* attributes changed behind the kernel's back */
	CACHE_EV_CONTENT, /* bytes changed: another version */
	CACHE_EV_NAME,	  /* the name is gone or now means something else: dir and name */
};
struct cache_events {
	void (*changed)(void *arg, enum cache_event ev, struct obj *obj, struct obj *dir,
			const char *name);
	void *arg;
};

/* What an open file needs to live through a restart. Plain data in the driver's memory. */
enum cfile_kind { CFILE_NONE, CFILE_BODY, CFILE_FILL, CFILE_OPEN_ID, CFILE_WRITE };
struct cfile_state {
	uint32_t kind;	  /* enum cfile_kind; CFILE_NONE: slot is free */
	uint32_t flags;	  /* of open(2) */
	uint32_t tier;	  /* enum local_kind of the body */
	uint32_t created; /* this open made the object, and it was never released */
	uint64_t id;	  /* open/<id> or staging/<id> */
	uint64_t size;	  /* of the version */
	int64_t look_mtime_ns, look_ctime_ns; /* what the last flush saw */
	uint64_t look_size;
	uint64_t put_seq;    /* journal entry of the last flush, 0 = none */
	char etag[ETAG_MAX]; /* version */
};

struct cache_conf {
	const struct config
		*config; /* stays the caller's and may change live values (config_apply_live) */
	const struct clock *clock;
	struct counters *counters;
	struct cache_events events;
	const char *mountpoint; /* for the lock file */
	int lock_fd;		/* the supervisor's lock on the cache directory, or -1: take it */
	int ram_fd;		/* the supervisor's tmpfs for the ram tier, or -1: make one */
	bool restart; /* a supervised restart: open files of the last process will be restored */
	bool strict;  /* an unreachable store is an error */
};

/*
 * Opens the cache directory, replays the journal, makes the tiers and tries the store
 * (deadlines.mount_ms). -EACCES, -ENOENT from the store, -EBUSY for the lock ... with one line
 * for people in err. An unreachable store is no error unless strict: the cache begins degraded.
 */
int cache_new(const struct cache_conf *conf, struct cache **ret_cache, struct err *err);
/* Why it began degraded, or NULL: it did not. Valid as long as c. */
const char *cache_degraded(const struct cache *c);
/*
 * After all cache_restore(): decides what becomes of unfinished writes, starts drainer, scan and
 * clean-up.
 */
int cache_start(struct cache *c, struct err *err);
/*
 * Stops: drains for at most drain_ns (progress goes to fn, may be NULL, with what is left),
 * writes a clean checkpoint, frees everything. All objs and files must have been put. Returns the
 * number of entries left in the journal.
 */
uint64_t cache_free(struct cache *c, int64_t drain_ns,
		    void (*fn)(void *arg, uint64_t entries, uint64_t bytes), void *arg);

/* Frees a cache that was not started; nothing is drained, the journal keeps what it has. */
void cache_destroy(struct cache *c);

/*
 * The configuration's live values have changed (config_apply_live): takes over those that were
 * copied.
 */
void cache_reconfigure(struct cache *c);

/* --- objects --- */
struct obj *cache_root(struct cache *c); /* a new reference */
struct obj *obj_ref(struct obj *o);
void obj_unref(struct cache *c, struct obj *o);
uint32_t obj_epoch(struct cache *c, struct obj *o);
bool obj_is_orphan(struct cache *c, struct obj *o);
/* The driver's own number on an obj (its present node id); the cache only keeps it. */
uint64_t obj_node(const struct obj *o);
void obj_set_node(struct obj *o, uint64_t node);
/* malloc'ed key; "" for the root; NULL: no memory. An orphan's key is the one that it had. */
char *obj_key(struct cache *c, struct obj *o);

struct cache_attr {
	struct stat st; /* st_ino: a stable hash of the key; st_blocks: what the bytes would take */
	/* how long attributes and name may be believed (never past the object's life) */
	int64_t valid_ns;
	uint32_t epoch;
	bool provisional; /* from a listing: mode, owner and mtime are guesses */
};

/*
 * The child of dir. -ENOENT: absent for sure, or expired, with *ret_neg_ns for how long that may
 * be believed. ret_obj is a new reference. With the store unreachable a name that is not known
 * here is -EIO or -ETIMEDOUT; but -ENOENT, not to be believed any longer, where its directory was
 * listed completely before.
 */
int cache_lookup(struct cache *c, struct obj *dir, const char *name, struct cache_wait *w,
		 struct obj **ret_obj, struct cache_attr *ret_attr, int64_t *ret_neg_ns);
/* The key's obj from the root down, by cache_lookup; for the driver's restart. */
int cache_resolve(struct cache *c, const char *key, struct cache_wait *w, struct obj **ret_obj);
int cache_getattr(struct cache *c, struct obj *o, struct cache_wait *w,
		  struct cache_attr *ret_attr);

enum cache_set {
	CACHE_SET_MODE = 1 << 0,
	CACHE_SET_UID = 1 << 1,
	CACHE_SET_GID = 1 << 2,
	CACHE_SET_SIZE = 1 << 3,
	CACHE_SET_MTIME = 1 << 4,
	CACHE_SET_MTIME_NOW = 1 << 5, /* with ATIME_NOW: a touch, which moves recency only */
	CACHE_SET_ATIME = 1 << 6,
	CACHE_SET_ATIME_NOW = 1 << 7,
	CACHE_SET_KILL_PRIV = 1 << 8, /* clear suid and sgid */
};
/* f: the open file the call came through, or NULL. */
int cache_setattr(struct cache *c, struct obj *o, struct cfile *f, const struct stat *st,
		  unsigned int set, struct cache_wait *w, struct cache_attr *ret_attr);

int cache_readlink(struct cache *c, struct obj *o, struct cache_wait *w,
		   char **ret_target); /* malloc'ed */
int cache_mkdir(struct cache *c, struct obj *dir, const char *name, mode_t mode, uid_t uid,
		gid_t gid, struct obj **ret_obj, struct cache_attr *ret_attr);
int cache_symlink(struct cache *c, struct obj *dir, const char *name, const char *target, uid_t uid,
		  gid_t gid, struct obj **ret_obj, struct cache_attr *ret_attr);
/*
 * These take a wait for one reason: what they name may not be known here yet. They send nothing
 * themselves.
 */
int cache_unlink(struct cache *c, struct obj *dir, const char *name, struct cache_wait *w);
int cache_rmdir(struct cache *c, struct obj *dir, const char *name, struct cache_wait *w);
/* flags: RENAME_NOREPLACE; others -EINVAL. */
int cache_rename(struct cache *c, struct obj *from_dir, const char *from, struct obj *to_dir,
		 const char *to, unsigned int flags, struct cache_wait *w);

/*
 * Names with their namespace ("user.x", "user.cogfs.ttl", "security.capability"). size 0 asks for
 * the length.
 */
int cache_getxattr(struct cache *c, struct obj *o, const char *name, void *buf, size_t size,
		   struct cache_wait *w, size_t *ret_len);
int cache_listxattr(struct cache *c, struct obj *o, void *buf, size_t size,
		    size_t *ret_len); /* no network */
int cache_setxattr(struct cache *c, struct obj *o, const char *name, const void *value, size_t len,
		   int flags, struct cache_wait *w);
int cache_removexattr(struct cache *c, struct obj *o, const char *name, struct cache_wait *w);

/* --- directories --- */
/*
 * A snapshot of dir: complete, or (store unreachable) what is known here, and then cdir_error()
 * says why.
 */
int cache_opendir(struct cache *c, struct obj *dir, struct cache_wait *w, struct cdir **ret_cdir);
size_t cdir_count(const struct cdir *d);
/*
 * Entry i, "." and ".." not among them. *ret_obj is d's reference. false: it went away meanwhile.
 * attr: as in cache_attr, or attr->st.st_mode == 0 where a lookup must be made first (nothing but
 * the name may be shown).
 */
bool cdir_get(struct cache *c, struct cdir *d, size_t i, const char **ret_name,
	      struct obj **ret_obj, struct cache_attr *ret_attr);
int cdir_error(const struct cdir *d); /* 0, or the -errno to end the listing with */
void cdir_free(struct cache *c, struct cdir *d);

/* --- files --- */
/*
 * Opens by flags (O_ACCMODE, O_TRUNC, O_APPEND count). Small objects are filled here; a large one
 * comes back filling. For writing, everything that the version needs is here when it returns.
 * slot: zeroed memory that outlives the process, or NULL.
 */
int cache_open(struct cache *c, struct obj *o, int flags, struct cache_wait *w,
	       struct cfile_state *slot, struct cfile **ret_file);
/* -EEXIST with O_EXCL; an existing object is opened as by cache_open. */
int cache_create(struct cache *c, struct obj *dir, const char *name, mode_t mode, uid_t uid,
		 gid_t gid, int flags, struct cache_wait *w, struct cfile_state *slot,
		 struct obj **ret_obj, struct cache_attr *ret_attr, struct cfile **ret_file);

struct obj *cfile_obj(const struct cfile *f);
int cfile_flags(const struct cfile *f);
/*
 * A complete body that may be handed to the kernel: its descriptor (f's), else -1. The inode tells
 * equal bodies.
 */
int cfile_body_fd(const struct cfile *f, uint64_t *ret_ino);
/* The inode of the local file that f reads and writes, also while somebody writes it; 0: none. */
uint64_t cfile_ino(const struct cfile *f);

/*
 * What a read yields: either a descriptor to read from, or bytes. len is clipped at the end of the
 * object.
 */
struct cache_data {
	int fd; /* f's; valid until the file is released; -1: buf */
	off_t off;
	size_t len;
	void *buf; /* malloc'ed, the caller frees; NULL with fd */
};
int cache_read(struct cache *c, struct cfile *f, off_t off, size_t len, struct cache_wait *w,
	       struct cache_data *ret_data);
/*
 * All of len or -errno. Waits while max_dirty or the disk is full. off is the kernel's (also for
 * O_APPEND). kill_priv: clear suid, sgid
 */
int cache_write(struct cache *c, struct cfile *f, const void *buf, size_t len, off_t off,
		bool kill_priv, struct cache_wait *w);
int cache_fallocate(struct cache *c, struct cfile *f, int mode, off_t off, off_t len,
		    struct cache_wait *w);
int cache_lseek(struct cache *c, struct cfile *f, off_t off, int whence,
		off_t *ret_off); /* SEEK_DATA, SEEK_HOLE */
enum cache_flush_flags {
	CACHE_FLUSH_KILLED = 1 << 0, /* the caller is dying from a signal */
	/* the caller is not the process that opened f: a forked child, most likely */
	CACHE_FLUSH_OTHER = 1 << 1,
	/* the process that opened f has no descriptor of it left: what it wrote is complete */
	CACHE_FLUSH_LAST = 1 << 2,
};
/*
 * Makes what was written survive kill -9. write: through waits for the store, unless FLUSH_OTHER.
 * An empty file survives with FLUSH_LAST only: a shell closes one before its command writes.
 */
int cache_flush(struct cache *c, struct cfile *f, unsigned int flags, struct cache_wait *w);
/* f writes, and its file is empty so far: only then does FLUSH_LAST make a difference. */
bool cfile_is_blank(const struct cfile *f);
/* Makes it survive power loss. */
int cache_fsync(struct cache *c, struct cfile *f, struct cache_wait *w);
/* The last one of an object publishes. Frees f; clears its slot last. */
void cache_release(struct cache *c, struct cfile *f);
/*
 * A writable mapping of the body may outlive f (it was opened while passthrough was on): watch it
 * and commit later.
 */
void cache_release_mapped(struct cache *c, struct cfile *f);

/*
 * For a file that is open when the connection is gone. Where its last flush saw everything, it was
 * closed, and the kernel's RELEASE got lost on the way: it is published now. Else it is dropped as
 * by a crash: what its last flush journalled is kept, and no more.
 */
void cache_abandon(struct cache *c, struct cfile *f);

/*
 * Makes slot's open file live again, without any network. key: its present name, or NULL where
 * that is gone (then *ret_obj is a new orphan). -ESTALE: its version can no longer be had; the
 * driver keeps the handle and answers ESTALE.
 */
int cache_restore(struct cache *c, const char *key, struct cfile_state *slot, struct obj **ret_obj,
		  struct cfile **ret_file);

/* fsync of a directory: names that were acknowledged survive power loss. */
int cache_fsyncdir(struct cache *c, struct obj *dir, struct cache_wait *w);
/* o: of whom the size is asked; NULL: of all. A tenant's is its quota. */
int cache_statfs(struct cache *c, const struct obj *o, struct statvfs *ret);

/* --- for control and observe --- */
struct cache_tier_stats {
	const char *name, *type;
	uint64_t bytes, max_bytes, objects, evictions;
	int state; /* 0 up, 1 degraded (breaker half open), 2 down */
};
/* The background verification. */
struct cache_scrub_stats {
	bool running;		 /* a pass is under way */
	uint64_t objects, bytes; /* of this pass, or of the last one */
	uint64_t passes;	 /* that were ended, restarts included */
	int64_t last_s;		 /* since the last one ended; 0 = none */
};
struct cache_stats {
	uint64_t objects_known; /* in memory */
	uint64_t dirty_objects, dirty_bytes, held_objects;
	int64_t oldest_dirty_s; /* age, 0 = none dirty */
	uint64_t fills, waits;	/* under way now */
	uint64_t open_files;
	bool degraded, scanning;
	struct cache_scrub_stats scrub;
	struct cache_tier_stats tiers[4];
	unsigned int n_tiers;
};
void cache_stats(struct cache *c, struct cache_stats *ret);
/*
 * What was counted since this process began, for each class and, in it, each type of its objects:
 * what {artifact} stands for in their paths; "" without one. Bytes and files are those here.
 */
struct cache_class_stats {
	char name[64], type[64];
	uint64_t hits, misses, sets, deletes, evictions, expirations;
	uint64_t bytes, files;
};
/* The caller frees *ret_stats. -ENOMEM */
int cache_class_stats(struct cache *c, struct cache_class_stats **ret_stats, size_t *ret_n);

/* A tenant, as this host knows it. */
struct cache_tenant {
	char *name;
	uid_t uid;		     /* owner of its directory; -1: it has none */
	uint64_t bytes, objects;     /* plain bytes, each object once */
	uint64_t quota, max_objects; /* UINT64_MAX: none */
	bool partial;		     /* not all of its directories were listed yet */
	uint64_t hits, misses, sets, deletes;
	uint64_t refused; /* EDQUOT */
};
/* All of them, by name. 0 or -ENOMEM */
int cache_tenants(struct cache *c, struct cache_tenant **ret, size_t *ret_n);
void cache_tenants_free(struct cache_tenant *v, size_t n);
/* Whether path lies in a tenant whose directory is that user's. */
bool cache_tenant_owns(struct cache *c, const char *path, uid_t uid);

struct counters *cache_counters(struct cache *c);
const struct config *cache_config(struct cache *c);

/*
 * Blocks (worker threads of control only): see drain_flush(). path "" = all. held: files below
 * path still open for writing.
 */
int cache_flush_all(struct cache *c, const char *path, dl_t deadline, const atomic_bool *cancel,
		    void (*progress)(void *arg, uint64_t entries, uint64_t bytes), void *arg,
		    uint64_t *ret_held);

/*
 * The last errors, newest first, one malloc'ed text line each: "2026-11-21T10:00:00Z key: tier:
 * cause".
 */
char *cache_errors(struct cache *c);

#endif
