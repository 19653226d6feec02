/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tenants: whose an object is, what it counts, and what its tenant may still take.
 *
 * What is counted are plain bytes, each object once, wherever its bytes are: what this host holds
 * or has listed. An object's charge follows its state (tenant_settle), and nothing is written
 * before it is charged (tenant_admit): so the count is never above the quota by what was done here.
 * A store's listing may bring it there, and then nothing more is admitted.
 *
 * A tenant's own directory and what lies beside it belong to nobody's count; directories do not
 * count at all. All need cache.lock where nothing else is said.
 */
#ifndef CACHE_TENANTS_H
#define CACHE_TENANTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/statvfs.h>
#include <sys/types.h>

#include "tiers/local.h"

struct cache;
struct obj;
struct tenant_policy;

enum tenant_count {
	TENANT_HITS,
	TENANT_MISSES,
	TENANT_SETS,
	TENANT_DELETES,
	TENANT_REFUSED,
	TENANT_COUNTS
};

/* Lives as long as an object of it is known. */
struct tenant {
	const struct cache *cache;
	const struct tenant_policy *policy; /* of the present set; NULL: nothing is said of it */
	uint64_t refs;			    /* objects that name it */
	uint64_t bytes, objects;	    /* charged */
	uint64_t held[2];		    /* of each body tier, by enum local_kind */
	bool complete;			    /* all its directories were listed once */
	_Atomic uint64_t counts[TENANT_COUNTS];
	char name[];
};

/* What a rename brings into a tenant, from its admission to its end. */
struct tenant_claim {
	struct tenant *tenant; /* NULL: nothing */
	uint64_t bytes, objects;
};

struct tenants {
	struct tenant **v; /* by name */
	unsigned int n;
	struct tenant_claim moving; /* of the rename under way: cache.ns lets there be one */
};

/* --- membership --- */
struct tenant *tenant_find(const struct cache *c, const char *name, size_t len); /* NULL: none */
void tenant_enter(struct cache *c, struct obj *o);   /* o got its place in the tree */
void tenant_leave(struct cache *c, struct obj *o);   /* o is freed */
void tenant_reenter(struct cache *c, struct obj *o); /* o, or a directory above it, was renamed */
/* The policies were replaced; at the start and after each change. */
void tenants_take(struct cache *c, const char *old_form);
char *tenants_form(struct cache *c); /* what a tenant's directory is called: malloc'ed, or NULL */
void tenants_release(struct cache *c);

/* --- its directory --- */
/* A tenant's directory, borrowed; NULL: not known. */
struct obj *tenant_top(struct cache *c, const struct tenant *t);
bool tenant_is_top(const struct obj *o); /* a tenant's own directory, or a name for one */
/* The declared tenants' directories are there from here on. No lock held */
void tenants_make_dirs(struct cache *c);
/*
 * Somebody makes o, which may be a tenant's directory: then it gets what is configured. -EACCES:
 * only root and the mount's owner may.
 */
int tenant_made_dir(struct cache *c, struct obj *o, uid_t caller, mode_t *mode, uid_t *uid,
		    gid_t *gid);
/* What o, of which nobody has said anything, is shown with. */
void tenant_default_attr(struct obj *o, mode_t type);

/* --- limits --- */
/* o's charge becomes what its state says. */
void tenant_settle(struct obj *o);
/* An object more: 0, or -EDQUOT. The caller holds cache.ns until o is there. */
int tenant_admit_object(const struct cache *c, struct obj *o);
/*
 * What is written to o may reach up to end: 0, or -EDQUOT. Each call that returned 0 is answered by
 * a tenant_admitted() when it is written or given up. No lock held
 */
int tenant_admit(struct cache *c, struct obj *o, uint64_t end);
void tenant_admitted(struct obj *o);
/*
 * o is to be renamed to to_dir/to: -EXDEV from tenant to tenant, -EDQUOT; else claimed until
 * tenant_moved(). cache.ns held
 */
int tenant_move(struct cache *c, struct obj *o, struct obj *to_dir, const char *to);
void tenant_moved(struct cache *c);

void tenant_count(const struct obj *o, enum tenant_count what); /* any lock, or none */
/* --- shares of body tiers (tenant_share.c) --- */
/* A body of it came, went, or weighs more. t: may be NULL */
void tenant_holds(struct tenant *t, enum local_kind kind, int64_t bytes);
bool tenants_are_over(struct cache *c, const struct local *l); /* No lock held */
/*
 * Who has more than its share gives bodies; whether anybody did. evict: with cache.ns held, takes
 * the reference. No lock held
 */
bool tenants_relieve(struct cache *c, struct local *l,
		     void (*evict)(struct cache *c, struct obj *o, struct local *l));

/* A quota as the size of a file system; false: o's tenant has none. */
bool tenant_statfs(const struct obj *o, struct statvfs *ret);

#endif
