/* SPDX-License-Identifier: Apache-2.0 */
/*
 * internal.h: what the files of the cache core do for each other; types.h has what they share and
 * the order of its locks. Nothing outside src/cache includes it.
 */
#ifndef CACHE_INTERNAL_H
#define CACHE_INTERNAL_H

#include "cache/types.h"

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
 * Admits bytes to l and to a class's share s of it (NULL: to none), evicting as needed; what is
 * given back to l is given back to s with share_add(). No lock held. 0 or -ENOSPC
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
 * The tier whose copy the next open gets: the one that is open already, as an inode has one
 * backing file, else RAM. NULL: none. Lock held
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
 * While a rename is under way keys mean nothing: waits for its end. Lock held, dropped in
 * between; ns not, but by who renames
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
 * Waiting for room that there was none of: CACHE_PENDING; -EAGAIN: the last that was on its way
 * out is gone by now, look again; -ENOSPC where nothing was, as `coming` said before. Lock held
 */
int room_wait(struct cache *c, struct cache_wait *w, bool coming);

/*
 * o came to a class that stores where its own did not, or the other way, and its bytes are not
 * where they belong: they are brought there as if they were written again. No lock held
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
 * Which of o's copies are over by the ttl of their tier and may go (RETIRED_*). A copy in RAM
 * lives no longer than the one on disk that it was made of. Kept all the same: what is open,
 * dirty or pinned, and the last copy while the store does not answer. Lock held
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
 * Copies `size` bytes of a file to partial/<id> of the RAM tier, with room admitted first.
 * -EBADMSG: not those that `want` says, if it is known. No lock held
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
 * The disk takes over what RAM has alone, where RAM's policy says so and o's class has room
 * there. In a background job. No lock held
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
