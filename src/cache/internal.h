/* SPDX-License-Identifier: Apache-2.0 */
/*
 * internal.h: what the files of the cache core share. Nothing outside src/cache includes it.
 *
 * Existence of an object (enum exist), as this host knows it
 *
 *	UNKNOWN --head, list--> PRESENT | ABSENT        PRESENT, ABSENT age: after list_ttl /
 *	negative_ttl they are asked again
 *	any     --local change--> LOCAL                 authoritative: a live journal entry or an
 *	open writer stands behind it
 *	LOCAL   --drained-->     PRESENT
 *	any     --unlink-->      DELETED                        authoritative absence, until the
 *	delete is drained
 *	DELETED --drained-->     ABSENT
 *
 * Bytes of an object
 *	wr != NULL                      somebody writes: staging/<wr->id> is the body, and nothing
 *	else is
 *	OBJ_RES_DISK, OBJ_RES_RAM	objects/<key> of that tier is complete and checked
 *	fill != NULL			partial/<fill->id> is on its way
 *	none of them			cold
 *
 * Locks, outermost first
 *	cache.ns        serialises changes of names on the local disk (publish, unlink, rename,
 *	evict) with the tree;
 *			held across local metadata calls, never across the network, fsync or a copy
 *			of bytes
 *	cache.lock      everything in memory: tree, objects, fills, writers, waits. Held for memory
 *	work only
 */
#ifndef CACHE_INTERNAL_H
#define CACHE_INTERNAL_H

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
	 * the block that came last is BUSY, though it counts as present, until the checksum of all
	 * is known to be right: who reads all of it is told of wrong bytes
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
	int stream_error;
	bool stream;
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

/* --- wait.c --- */
/*
 * With the lock held: w waits on `waits`; its deadline is set at the first wait. Returns
 * CACHE_PENDING, or -ETIMEDOUT; -EAGAIN where w is NULL.
 */
int wait_on(struct cache *c, struct list *waits, struct cache_wait *w, int64_t deadline_ms);
/* Moves the waiters to `out`, marked as no longer waiting; call wake_all(out) without the lock. */
void wake_collect(struct cache *c, struct list *waits, struct list *out);
void wake_all(struct list *out, int err);
void flight_init(struct flight *f);
int clock_start(struct cache *c);
void clock_stop(struct cache *c);
dl_t deadline_in(struct cache *c, int64_t ms);

/* --- object.c: the tree. All need the lock --- */
struct obj *obj_new(struct cache *c, struct obj *parent, const char *name);
struct obj *tree_find(struct cache *c, const struct obj *dir, const char *name);
/* The child, made (UNKNOWN) where missing; a new reference. NULL: no memory */
struct obj *tree_get(struct cache *c, struct obj *dir, const char *name);
/* The obj of a key among those in memory, without making any; borrowed. */
struct obj *tree_peek(struct cache *c, const char *key);
/* The same, made down the path (parents become directories); a new reference. */
struct obj *tree_make(struct cache *c, const char *key);
void obj_destroy(struct cache *c, struct obj *o); /* at the end: whatever refers to it */
void tree_detach(struct cache *c, struct obj *o); /* loses its name: an orphan */
int tree_move(struct cache *c, struct obj *o, struct obj *to_dir, const char *name);
char *obj_key_locked(const struct obj *o);
void obj_get(struct obj *o);
void obj_put_locked(struct cache *c, struct obj *o);
void obj_set_exist(struct obj *o, enum exist ex);
bool obj_live(
	const struct obj *o); /* its state says that it is there; obj_expired() is asked apart */
bool obj_expired(const struct cache *c, const struct obj *o);
int obj_become_dir(struct cache *c, struct obj *o);
int obj_set_record(struct obj *o, const struct record *rec); /* takes what rec knows */
int obj_to_record(const struct obj *o, struct record *ret);
int obj_set_etag(struct obj *o, const char *etag);
void obj_default_attr(struct cache *c, struct obj *o, mode_t type);
bool obj_is_dir(const struct obj *o);
/*
 * Its own metadata was seen, not only its line in a listing. A foreign object may have none: no
 * mode, no owner.
 */
bool obj_told_whole(const struct obj *o);
int key_len_check(const struct cache *c, size_t len);	       /* 0, or -ENAMETOOLONG */
bool key_too_long(const struct cache *c, const struct obj *o); /* for the store, or for KEY_MAX */
void obj_extra_free(struct obj_extra *x);
uint32_t ttl_fits(int64_t ttl_s); /* as obj.ttl has it: 136 years are for ever enough */
void obj_limit_life(struct cache *c, struct obj *o); /* to its tiers' ttl */
int obj_save_meta(struct cache *c, struct obj *o);   /* journals metadata; no lock held */
void obj_touch(struct cache *c, struct obj *o);
void attr_fill(struct cache *c, struct obj *o, struct cache_attr *ret);
void obj_emit(struct cache *c, enum cache_event ev,
	      struct obj *o); /* without the lock; o is referenced by the caller */
int obj_flight_wait(struct cache *c, struct obj *o, struct cache_wait *w,
		    int64_t ms);				       /* lock held */
void obj_flight_end(struct cache *c, struct obj *o, struct list *out); /* lock held */

/* --- body.c, evict.c --- */
struct local *body_tier(struct cache *c); /* where a fill goes: disk, else RAM */
/* A body of o is complete in tier: into the budget's order. Lock held */
void body_added(struct cache *c, struct obj *o, struct local *tier, uint64_t cost);
void body_gone(struct cache *c, struct obj *o,
	       struct local *tier); /* lock held: flags, order, budget */
/*
 * The room of a file that only the journal names: given back once it is gone from staging/. Lock
 * held
 */
void room_until_gone(struct cache *c, uint64_t id, uint64_t cost);
void room_settle(struct cache *c); /* gives it back. Lock held */
void room_forget(struct cache *c); /* at the end */
/*
 * Admits bytes to l and to a class's share s of it (NULL: to none), evicting as needed; what is given
 * back to l is given back to s with share_add(). No lock held. 0 or -ENOSPC
 */
int make_room(struct cache *c, struct local *l, struct share *s, uint64_t bytes, bool object);
void evict_ahead(struct cache *c); /* starts the job if it is needed. No lock held */
/*
 * Drops o's local copies; what is open keeps its bytes. In two steps, so that nobody opens what
 * is about to go: body_retire() forgets them (lock held) and says what body_remove() has to do
 * (ns held over both, lock not).
 */
enum { RETIRED_DISK = 1, RETIRED_RAM = 2, RETIRED_DISK_OPEN = 4, RETIRED_RAM_OPEN = 8 };
unsigned int body_retire(struct cache *c, struct obj *o);
bool body_is_open(const struct obj *o, const struct local *l); /* lock held */
void body_remove(struct cache *c, struct obj *o, const char *key, unsigned int todo);
void body_drop(struct cache *c, struct obj *o); /* both; ns held */
/*
 * The tier whose copy the next open gets: the one that is open already, as an inode has one backing
 * file, else RAM. NULL: none. Lock held
 */
struct local *body_next(struct cache *c, const struct obj *o);
bool body_is_read(const struct obj *o); /* somebody has its file on the disk open. Lock held */
/* Opens o's complete body; -ENOENT: it has none (any more). No lock held */
int body_open(struct cache *c, struct obj *o, struct local **ret_tier);
/*
 * The same, for who holds the lock: dropped in between, but what is opened is o's body at the
 * return
 */
int body_open_locked(struct cache *c, struct obj *o, struct local **ret_tier);
/* The copy in `tier`, where there is one; else as above. Lock held, dropped in between */
int body_open_in(struct cache *c, struct obj *o, struct local *tier, struct local **ret_tier);
/*
 * While a rename is under way keys mean nothing: waits for its end. Lock held, dropped in between;
 * ns not, but by who renames
 */
void moves_await(struct cache *c);
/*
 * Looks whether the mirror has o's key; fills o. No lock held; 0, -ENOENT, or -EBADMSG: what is
 * there is no body of ours
 */
int body_probe(struct cache *c, struct obj *o);
bool body_verify(struct cache *c, struct obj *o, int fd);
int body_store_record(struct cache *c,
		      struct obj *o); /* the present record to the body's xattrs; ns held or not */
/* The record that was kept of the root, at the start. */
void root_take_record(struct cache *c);
int scan_start(struct cache *c);
void body_release_open_id(struct cache *c,
			  struct cfile *f); /* the last user of open/<id> goes. No lock held */
/* A background job of ours: counted, so that cache_free can wait for it. prio: enum pool_prio */
void job_run(struct cache *c, int prio, void (*fn)(struct cache *c, void *arg), void *arg);

static inline void local_adjust_if(struct local *l, int64_t delta)
{
	if (l)
		local_adjust(l, delta);
}

/* --- lookup.c --- */
/*
 * Makes sure that o's existence is known and fresh: 0, CACHE_PENDING or -errno (unknown). Lock
 * held on entry and exit, may be dropped in between. full: a provisional record is not enough.
 */
int obj_refresh(struct cache *c, struct obj *o, bool full, struct cache_wait *w);
/* The child for a change of names: known, live. A new reference. Lock held likewise. */
int child_get(struct cache *c, struct obj *dir, const char *name, struct cache_wait *w,
	      struct obj **ret);
/* What can be served although the store does not answer. Lock held */
bool obj_servable(const struct obj *o);
/* What a listing shows with the size of a symlink may be one: only a HEAD tells */
bool obj_is_vague(const struct obj *o);
int64_t ttl_ns(const struct cache *c);
/*
 * A store's word on o: its record, a directory, or absence (rec NULL). Another version retires
 * the old bodies: ns and lock held, *ret_todo is for body_remove(). Returns what the kernel must
 * be told: 0 nothing, 1 CACHE_EV_ATTR,
 * 2 CONTENT, 3 NAME.
 */
int obj_store_says(struct cache *c, struct obj *o, const struct record *rec, int64_t asked_ns,
		   unsigned int *ret_todo);
/*
 * The same with its locks, the removal and the kernel's notice; a directory takes along what is
 * below it. No lock held
 */
void obj_word(struct cache *c, struct obj *o, const struct record *rec, int64_t asked_ns);
/* A name of dir went here: if it was the last one, dir stays for a while. Lock held */
void dir_lost_name(struct cache *c, struct obj *dir);

/* --- outage.c: all need the lock --- */
void store_answered(struct cache *c, int r); /* a lookup or a listing ended with r */
bool store_is_away(struct cache *c);	     /* it did not answer a moment ago */
/* The store cannot be asked for o, and its directory did not have it when it was listed last */
bool absent_as_listed(struct cache *c, const struct obj *o);

/* --- listing.c --- */
/*
 * 0: dir's names are all in the tree; else CACHE_PENDING or -errno. Lock held, dropped in between
 */
int dir_load(struct cache *c, struct obj *dir, struct cache_wait *w);
int list_start(struct cache *c, struct obj *dir); /* lock held */
/*
 * The store does not have these names of dir: all, or those that its last listing did not show.
 * Gone, unless they are ours or were seen after asked_ns. No lock held
 */
void children_gone(struct cache *c, struct obj *dir, bool unseen, int64_t asked_ns);

/* --- fill.c --- */
/* o's fill, made where missing. Lock held; NULL with *err */
struct fill *fill_get(struct cache *c, struct obj *o, int *ret_err);
void fill_unuse(struct cache *c, struct fill *f); /* a file let go. Lock held */
/* Nobody needs it any more: it goes. Attached ones that nobody reads stay for a while. Lock held */
void fill_check(struct cache *c, struct fill *f);
/* Asks for [off, off+len) and ahead bytes more: 0 all present, 1 under way, -errno. Lock held */
int fill_want(struct cache *c, struct fill *f, uint64_t off, uint64_t len, uint64_t ahead);
void fill_abandon(struct cache *c, struct fill *f, int err,
		  struct list *out); /* another version, or deleted. Lock held */
/* o is another version now: its fill goes on alone, for those who have it open. Lock held */
void fill_detach(struct cache *c, struct obj *o);
#define SMALL_OBJECT (1u << 20)

/* --- fetch.c --- */
/* A request for blocks [first, first + n) of f, which are empty. Lock held; 0 or -ENOMEM */
int fetch_start(struct cache *c, struct fill *f, uint32_t first, uint32_t n);
/*
 * The whole fill of o, version rec, for a request that is under way: its bytes are written in
 * order, and the end gets what is missing. NULL: they are not to be kept. No lock held
 */
struct fetch *fetch_lend(struct cache *c, struct obj *o, const struct record *rec);
bool fetch_has_all(const struct fetch *ft); /* only its end is missing */
void fetch_lent_write(struct fetch *ft, const void *buf, size_t len, uint64_t off);
void fetch_lent_end(struct cache *c, struct fetch *ft);

/* --- ask.c --- */
/* Asks the store for o, unless somebody does already, and waits. Lock held */
int ask_wait(struct cache *c, struct obj *o, struct cache_wait *w);

/* --- commit.c: from file to journal to tree --- */
void drain_names_hold(void *arg, bool hold);
void drained_moved(void *arg, const char *from, const char *to, const char *old_etag,
		   const char *etag);
void drained(void *arg, const struct jent *e, const char *etag, bool conflict);
void drain_failed(void *arg, const struct jent *e, int error, const char *text);
void cache_note_error(struct cache *c, const char *key, int error, const char *text);
void obj_note_error(struct cache *c, struct obj *o, int error, const char *text);
/* Appends, and reports a disk that is full. change's strings stay the caller's */
int append_change(struct cache *c, struct jent *change, bool hold, uint64_t *ret_seq);
bool has_store(const struct cache *c);
/* The base of a change of o as it is now. Lock held */
struct jbase obj_base(const struct obj *o);
/* Wakes who waits for room: something was drained, evicted or released. No lock held */
void room_freed(struct cache *c);
bool room_coming(struct cache *c); /* something is on its way out. Any lock */
/*
 * Waiting for room that there was none of: CACHE_PENDING; -EAGAIN: the last that was on its way out
 * is gone by now, look again; -ENOSPC where nothing was, as `coming` said before. Lock held
 */
int room_wait(struct cache *c, struct cache_wait *w, bool coming);

/*
 * o came to a class that stores where its own did not, or the other way, and its bytes are not where
 * they belong: they are brought there as if they were written again. No lock held
 */
void obj_rehome(struct cache *c, struct obj *o);
bool obj_is_misplaced(struct cache *c, struct obj *o); /* lock held */

/* --- names.c --- */
/*
 * o loses its name: its bodies, its place in the tree, and, with journal, the store's copy. ns
 * held
 */
int name_drop(struct cache *c, struct obj *o, const char *key, bool journal);
/* An empty directory of the local mirrors goes. ns held */
void mirror_rmdir(struct cache *c, const char *key);

/* --- expire.c: the background round --- */
int round_start(struct cache *c);
void round_stop(struct cache *c);
int cache_checkpoint(struct cache *c, bool clean);
/* Ends the session of a mapping that is gone. No lock held */
void watch_mapping(struct cache *c, struct obj *o);
/*
 * Which of o's copies are over by the ttl of their tier and may go (RETIRED_*). A copy in RAM lives
 * no longer than the one on disk that it was made of. Kept all the same: what is open, dirty or
 * pinned, and the last copy while the store does not answer. Lock held
 */
unsigned int copies_over(struct cache *c, struct obj *o);
void copies_expire(struct cache *c, struct obj *o); /* they go. No lock held */
/* o's life is over: dropped here, deleted in the store. No lock held */
void obj_expire(struct cache *c, struct obj *o);

/* --- recover.c --- */
int recover_tree(struct cache *c);
int recover_held(struct cache *c);

/* --- promote.c: what enters RAM. Lock held --- */
/* Whether an object that is opened now may enter the RAM tier */
bool ram_admits(struct cache *c, struct obj *o);
/* f's bytes are streamed and not kept, if none came yet; or are kept after all */
void fill_decline(struct cache *c, struct fill *f, bool decline);
/* o is opened, or was filled: where admit says so, its body on disk gets a copy in RAM, later */
void promote_opened(struct cache *c, struct obj *o);
void promote_filled(struct cache *c, struct obj *o);

/*
 * Copies `size` bytes of a file to partial/<id> of the RAM tier, with room admitted first. -EBADMSG:
 * not those that `want` says, if it is known. No lock held
 */
int ram_copy_make(struct cache *c, int from, uint64_t size, const struct xxh3 *want,
		  struct ram_copy *copy);
/* It has got o's name: it is o's body. Lock held */
void ram_copy_taken(struct cache *c, struct obj *o, struct ram_copy *copy);
void ram_copy_drop(struct cache *c, struct ram_copy *copy); /* any lock; nothing where id is 0 */

/* --- xattr.c --- */
const char *obj_state(struct cache *c, struct obj *o); /* as user.cogfs.state. Lock held */

/* --- demote.c --- */
/*
 * The disk takes over what RAM has alone, where RAM's policy says so and o's class has room there.
 * In a background job. No lock held
 */
void demote(struct cache *c, struct obj *o);

/* --- defaults.c: what objects begin with. All need the lock --- */
#define LIFE_NEVER 253402300799	 /* a directory's expires_at: the last second of the year 9999 */
#define PIN_XATTR "cogfs_pinned" /* in records; users cannot set it by that name */
bool dir_says_life(const struct obj *dir);
const char *obj_pin_said(const struct obj *o);	      /* "1", "0"; NULL: nothing */
int obj_set_pinned(struct obj *o, const char *value); /* NULL: nothing is said. xattr.c */
void obj_begin(struct cache *c, struct obj *o);
/* Whether o's life is the one that its name gives it, and not set by hand. */
bool obj_life_is_given(struct cache *c, struct obj *o);
/* o's life becomes the one that its name gives it; whether it was another. */
bool obj_life_follow(struct cache *c, struct obj *o);

/* --- fill_end.c --- */
/* The last block arrived: verifies and publishes; who waited is moved to out. No lock held */
int fill_finish(struct cache *c, struct fill *f, struct list *out);
/* The same of a fill that is nobody's version any more: verifies only. */
int fill_finish_alone(struct cache *c, struct fill *f, struct list *out);
void fill_note_error(struct cache *c, struct fill *f, int r, const char *text);

/* --- file.c --- */
struct cfile *cfile_new(struct cache *c, struct obj *o, int flags,
			struct cfile_state *slot); /* lock held */
void cfile_put(struct cache *c, struct cfile *f);  /* lock held */
uint64_t id_next(struct cache *c);		   /* lock held */

#endif
