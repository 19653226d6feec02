/* SPDX-License-Identifier: Apache-2.0 */
/*
 * types.h: what the cache is made of: objects, directories, fills, open files, and the cache.
 *
 * Existence of an object (enum exist), as this host knows it
 *
 *	UNKNOWN --head, list--> PRESENT | ABSENT   these age: after list_ttl, negative_ttl they are
 *	                                           asked again
 *	any     --local change--> LOCAL            a journal entry or an open writer stands behind
 *	LOCAL   --drained--> PRESENT
 *	any     --unlink--> DELETED                absent for sure, until the delete is drained
 *	DELETED --drained--> ABSENT
 *
 * Bytes of an object
 *
 *	wr is set                    somebody writes: staging/<wr->id> is the body, nothing else is
 *	OBJ_RES_DISK, OBJ_RES_RAM    objects/<key> of that tier is complete and checked
 *	fill is set                  partial/<fill->id> is on its way
 *	none of them                 cold
 *
 * Locks, outermost first
 *
 *	cache.ns      names on the local disk (publish, unlink, rename, evict) together with the
 *	              tree; held across local metadata calls, never across the network, fsync or a
 *	              copy of bytes
 *	cache.lock    everything in memory: tree, objects, fills, writers, waits; never across I/O
 */
#ifndef CACHE_TYPES_H
#define CACHE_TYPES_H

#include <assert.h>
#include <pthread.h>

#include "cache/cache.h"
#include "cache/cachedir.h"
#include "cache/classes.h"
#include "cache/drain.h"
#include "cache/journal.h"
#include "cache/share.h"
#include "cache/tenants.h"
#include "model/key.h"
#include "tiers/local.h"
#include "tiers/stores.h"
#include "tiers/tier.h"
#include "util/cleanup.h"
#include "util/list.h"
#include "util/pool.h"

enum exist { EX_UNKNOWN, EX_ABSENT, EX_PRESENT, EX_LOCAL, EX_DELETED };

enum obj_flags {
	OBJ_RES_DISK = 1 << 0,
	OBJ_RES_RAM = 1 << 1,
	OBJ_ORPHAN = 1 << 2, /* has no name any more */
	OBJ_PROBED = 1 << 3, /* the local mirror was asked */
	OBJ_PINNED = 1 << 4,
	OBJ_ARCHIVED = 1 << 5,
	OBJ_OWN_DIR = 1 << 6, /* a directory that somebody made: it stays when it is empty */
	OBJ_BUSY = 1 << 7, /* a publish or conversion runs without the lock: wait on the flight */
	/* a directory that mkdir made here and that was never anywhere else */
	OBJ_NEW_DIR = 1 << 9,
	OBJ_ALONE = 1 << 10, /* only this host has it: its class had no store when it was written */
	OBJ_PROMOTING = 1 << 11, /* a copy of its body is on its way to RAM */
	OBJ_SUSPECT = 1 << 8, /* filled shortly before a crash of the machine: verify before use */
	/* its bytes came with the answer to a lookup, and nobody has opened it since */
	OBJ_BROUGHT = 1 << 12,
	/* its only bytes are not the ones that were closed: nobody gets to read them */
	OBJ_CORRUPT = 1 << 13,
	OBJ_CHARGED = 1 << 14,	  /* its tenant's count has it */
	OBJ_TENANT_DIR = 1 << 15, /* of a declared tenant: it is always there */
	/* its last copy made room: for others of its class, or of its tier */
	OBJ_LEFT_SHARE = 1 << 16,
	OBJ_LEFT_TIER = 1 << 17,
};

/* Rare parts of a record. */
struct obj_extra {
	char *format, *cache_key, *symlink;
	struct record_xattr *user;
};

/* A call to a store that others may join: all who wait for its end. */
struct flight {
	struct list waits;
	bool running;
};

/* A directory's listing. */
struct dirinfo {
	struct list children; /* obj.sibling */
	struct flight flight;
	int64_t listed_ns; /* monotonic; 0 = never completely */
	uint32_t round;	   /* of listing; objects carry the one they were last seen in */
	int error;	   /* of the last listing, 0 */
	bool big;	   /* more than one page: single names are asked for apart */
	bool mirror_read;  /* names of the local mirror are in the tree */
	/* monotonic: when the last name below went here; rm -r still needs the directory a while */
	int64_t emptied_ns;
	unsigned int misses; /* names asked for one by one since the last listing */
	unsigned int n_live; /* children that are there (for rmdir and for implied directories) */
};

/* A file on its way into RAM: partial/<id> there, and the room that it has. id 0: none. */
struct ram_copy {
	uint64_t id, reserved;
	struct share *share; /* set by who makes it */
};

/* Somebody writes the object. Life: first writable open to publish. */
struct wsession {
	uint64_t id; /* staging/<id> */
	int fd;
	unsigned int writers; /* open handles that may write */
	bool created;	      /* no version existed: dropped when nothing was ever closed */
	/* began with a truncation: the old body stays at objects/<key> until the publish */
	bool replaced;
	bool changed;  /* since the last flush */
	bool dirtied;  /* ever */
	bool killed;   /* its writer was killed, and on_kill says discard */
	bool closed;   /* by the process that opened it, though its RELEASE has not come yet */
	bool meta;     /* mode, owner, attributes changed: journalled with the bytes */
	bool life_set; /* by hand, while it was written */
	/* a mapping may outlive the handles (one of writers): watched by the background round */
	bool mapped;
	bool counted;	  /* as an object in the disk's budget, while it has no body there */
	bool holes;	  /* the file may take less than its size: see write.c */
	uint64_t put_seq; /* entry of the last flush, */
	/*
	 * the same where it is HELD and names this file; 0: it names another link (write:
	 * through)
	 */
	uint64_t put_own;
	uint64_t drained_seq; /* the last entry of the key that the store got meanwhile */
	struct jbase base;
	uint64_t size;	    /* of the file */
	uint64_t size_max;  /* that any tier of its class takes */
	uint64_t reserved;  /* bytes admitted for it, */
	uint64_t pending;   /* of which these are not written yet, */
	uint64_t claimed;   /* and up to where they reach, unless there are holes */
	uint64_t uncounted; /* in cache.written for this session */
	/* writes that its tenant's quota let pass and that are under way, and their furthest end */
	uint64_t admitted_end;
	unsigned int n_admitted;
	uint64_t old_cost; /* replaced: of the old body, which is still there */
	int64_t look_mtime_ns, look_ctime_ns;
	uint64_t look_size;
	struct share *share;	   /* of the disk, its class's; NULL: there is no disk */
	uint64_t shared;	   /* bytes of it that are charged there, */
	bool share_counted;	   /* and an object */
	struct ram_copy copy;	   /* made before it is published, where RAM is its home */
	pthread_mutex_t hash_lock; /* for the next two */
	struct xxh3_stream *hash;  /* of [0, hash_off); NULL once a write was not in order */
	uint64_t hash_off;
};

struct obj {
	struct obj *parent; /* a reference; NULL: root or orphan */
	struct obj *hash_next;
	struct list sibling;
	struct dirinfo *dir; /* directories only */
	struct wsession *wr;
	struct fill *fill;
	struct flight *flight; /* whoever waits for this obj: HEAD (then running), publish, copy */
	struct obj_extra *extra;
	char *etag;	      /* NULL: none */
	struct list files;    /* cfile.on_obj */
	struct list negative; /* cache.negatives: an absent name that nobody refers to */
	struct body disk, ram;
	struct tenant *tenant; /* whose it is; NULL: nobody's */
	uint64_t charged;      /* OBJ_CHARGED: bytes in its count */
	uint64_t node, ino, size;
	int64_t mtime_ns, created_ns, expires_at;
	/* wall time: when name, attributes or xattrs changed here; st_ctime is it or mtime */
	int64_t ctime_ns;
	int64_t checked_ns; /* monotonic: when a store last said so; 0 = not in this life */
	int64_t tried_ns;   /* monotonic: when a store last gave no answer */
	struct xxh3 xxh3;
	_Atomic unsigned int refs;
	uint32_t flags, epoch, round, hits;
	uint32_t moved;	   /* steps whenever it, or a directory above, is renamed */
	uint32_t body_gen; /* steps whenever a local copy comes, goes or moves */
	uint32_t opened_s; /* monotonic seconds of the last open */
	/* wall seconds: when its local bytes came from a store or were written; and into RAM */
	uint32_t filled_s, ram_s;
	uint32_t ttl;	    /* seconds, 0 = for ever */
	uint32_t class_gen; /* of the policies that class was matched by; 0: it was not */
	mode_t mode;
	uid_t uid;
	gid_t gid;
	uint32_t known:12; /* enum record_known */
	uint32_t exist:4;  /* enum exist */
	uint32_t class:16; /* class_slot.number; ask obj_class() */
	char *name;	   /* name_buf, or malloc'ed once it was renamed */
	char name_buf[];
};

#define FILL_BLOCK (128u << 10)

/*
 * A body on its way. Life: first read of a cold object until complete, failed, or evicted while
 * nobody has it open.
 */
struct fill {
	struct obj *obj; /* not a reference; NULL once the obj has its body or another version */
	struct cache *cache;
	struct local *tier;
	char *key; /* at the start; a rename on the way is followed through obj */
	uint64_t id;
	int fd;
	uint64_t size;
	char etag[ETAG_MAX];
	struct xxh3 xxh3; /* expected, or unknown */
	struct xxh3 got;  /* of the bytes that came, where they are one block; else unknown */
	uint32_t n_blocks, n_present;
	/*
	 * the block that came last is BUSY, though it counts as present, until the checksum of
	 * all is known to be right: who reads all of it is told of wrong bytes
	 */
	uint32_t withheld;
	bool withholds;
	uint8_t *state; /* a block: BLOCK_* */
	struct list waits;
	struct list idle;   /* cache.idle_fills while no file uses it */
	unsigned int files; /* open files reading from it */
	unsigned int flights;
	struct share *share;
	uint64_t reserved; /* bytes admitted */
	bool counted;	   /* as an object */
	bool finishing;	   /* a request found all blocks present, and publishes */
	bool published;	   /* the file has the object's name */
	int error;	   /* != 0: failed for good */
	int fail;	   /* of the last request that failed, */
	int64_t failed_ns; /* monotonic */
	bool share_tried;
	bool declined;	/* RAM does not admit it yet: its readers are streamed to */
	bool had_files; /* a kernel inode may have pages of it: completion changes the epoch */
};

enum { BLOCK_EMPTY, BLOCK_BUSY, BLOCK_PRESENT, BLOCK_FAILED };

struct cfile {
	struct obj *obj;
	struct cache *cache;
	struct list on_obj;
	struct cfile_state *slot; /* never NULL: own if the driver gave none */
	struct cfile_state own;
	int flags;
	int fd;	      /* of a complete body, or of the writer's file; -1 while filling */
	uint64_t ino; /* of that body */
	bool writer;
	struct fill *fill; /* counted in fill->files */
	/* read-ahead */
	uint64_t next_off, window;
	/* streaming: bytes that are not kept */
	struct flight stream_flight;
	void *stream_buf;
	uint64_t stream_off, stream_len;
	unsigned int refs; /* the driver's one, and one for each job that uses it */
};

struct cdir {
	size_t n;
	int error;
	struct obj **v;
	char name[KEY_PART_MAX + 1]; /* of the last cdir_get */
};

#define N_ERRORS 64

struct cache {
	const struct config *config;
	const struct clock *clock;
	struct counters *counters;
	struct cache_events events;
	struct cachedir dir;
	struct cachedir_state last;
	struct local *disk, *ram;		      /* NULL: none */
	unsigned int disk_tier, ram_tier, store_tier; /* conf_tier.index; NO_TIER: none */
	struct tier *store;			      /* outermost layer; NULL: none */
	struct tier *breaker;			      /* the breaker in it, for its state */
	struct journal *journal;
	struct drain *drain;
	struct pool *pool;
	int staging_fd;
	struct tier *manifest; /* the store's layer of manifests; NULL: none */

	pthread_mutex_t ns;
	pthread_mutex_t lock;
	/* below: under lock */
	struct policy_set *policy; /* a reference */
	uint32_t policy_gen;	   /* its generation */
	bool copies_end; /* some copies end before their objects do, or are not to be here */
	struct class_slot **slots;     /* the first is the default class's */
	unsigned int n_slots, n_types; /* types: that slots have, without "" */
	struct tenants tenants;
	bool has_tenants; /* names can tell of them */
	struct obj *root;
	struct obj **table; /* (parent, name) -> obj */
	size_t table_size, n_objs;
	struct class_shares **shares; /* by body.class */
	unsigned int n_shares, n_share_numbers;
	uint16_t *share_numbers;      /* by class_policy.index */
	struct queue_state queues[2]; /* by enum local_kind */
	bool evicting;		      /* the job that makes room ahead of need runs */
	int64_t evict_after_ns;	      /* monotonic: the last one found nobody; not again before */
	struct list idle_fills;
	struct list negatives; /* oldest first, at most MAX_NEGATIVES */
	size_t n_negatives;
	struct list waits; /* all that wait, oldest first: deadlines of one length each */
	struct list room_waits;
	uint64_t next_id;
	uint64_t moves; /* steps at each rename: a key computed before may mean another file now */
	uint64_t scan_found_bytes,
		/* bodies that were there at the start, as far as they were met */
		scan_found_objects;
	uint64_t written; /* bytes in sessions that no journal entry counts yet */
	struct loose
		*loose; /* files in staging/ that have room of their own until they are drained */
	/*
	 * a rename is between journal, local disk and tree: what is found by key is not to be
	 * trusted
	 */
	bool moving;
	bool checking;	     /* fsck is under way */
	struct scrub *scrub; /* NULL: not started */
	bool scanned;	     /* the scan is through: what is found later is counted at once */
	/* the tmpfs was handed over, and the scan is not through: there may be bodies in it, */
	bool ram_left;
	uint64_t ram_left_bytes; /* which count so much until they are met */
	uint64_t open_files, n_fills, n_waits;
	/* monotonic: the last call of a lookup or listing had no answer; 0: it had one */
	int64_t unanswered_ns;
	unsigned int n_promotions; /* jobs */
	char *errors[N_ERRORS];
	unsigned int errors_next;
	bool started, stopping, scanning, degraded;
	struct err unreached; /* degraded: why the store did not answer at the start */
	pthread_t round_thread;
	pthread_cond_t round_cond;
	bool round_running;
	pthread_t clock_thread;
	pthread_cond_t clock_cond;
	bool clock_running;
	dl_t clock_wakes;	   /* when it wakes by itself; 0: it sleeps until it is told */
	pthread_mutex_t jobs_lock; /* for the next two; a leaf */
	unsigned int jobs;	   /* of ours, queued or running */
	pthread_cond_t jobs_cond;
	/* staging ids of restored writers whose name is gone; until the start is through */
	uint64_t *orphans;
	size_t n_orphans;
	/*
	 * the machine went down under the last mount: bodies newer than last.synced_ns are
	 * suspect
	 */
	bool crashed;
};

#endif
