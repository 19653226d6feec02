/* SPDX-License-Identifier: Apache-2.0 */
/* Constructors of all stores and layers. Strings in a conf are copied. */
#ifndef TIERS_STORES_H
#define TIERS_STORES_H

#include "tiers/tier.h"

/* What every constructor needs. */
struct tier_env {
	const struct clock *clock;
	struct counters *counters; /* may be NULL */
};

/* --- stores --- */

/* mem: the reference, in memory. For the conformance suite, the model and simulated time. */
int mem_create(const struct tier_env *env, const char *name, struct tier **ret_tier);

struct dir_conf {
	const char *name;
	const char *path; /* must exist, or its parent must (then it is made, 0700) */
	bool read_only;
	bool link; /* hard-link immutable sources and shared bodies where there is no reflink */
};
int dir_create(const struct tier_env *env, const struct dir_conf *conf, struct tier **ret_tier,
	       struct err *err);

struct s3_conf {
	const char *name;
	const char *bucket;
	const char *prefix;   /* "" or "a/b"; joined with exactly one '/' */
	const char *endpoint; /* NULL: https://s3.REGION.amazonaws.com */
	const char *region;   /* NULL: environment, shared config, else us-east-1 */
	bool path_style;      /* what any endpoint but AWS's wants */
	bool virtual_host;    /* the opposite, said outright; neither of the two: the default */
	const char *storage_class; /* NULL: the bucket's */
	const char *credentials;   /* auto, env, anonymous, file:PROFILE; static: the next three */
	const char *access_key;
	const char *secret_key; /* never logged; wiped on close */
	const char *session_token;
	bool read_only;
	uint64_t part_size;	    /* multipart part and threshold in bytes, 0 = 16 MiB / 32 MiB */
	unsigned int part_parallel; /* parts of one upload at the same time, 0 = 4 */
	const char *ca_file;	    /* NULL: the system's */
	const char *proxy;	    /* "env" (default), "none" or a URL */
};
int s3_create(const struct tier_env *env, const struct s3_conf *conf, struct tier **ret_tier,
	      struct err *err);

/*
 * --- layers; each owns inner from success on --- The order, from outside: zstd, manifest, breaker,
 * retry, trace, fault, store. A breaker inside a retry would be asked again where it ought to
 * answer at once.
 */

struct retry_conf {
	unsigned int tries; /* in all, >= 1 */
	int64_t min_ns;	    /* first pause; doubles, with full jitter, up to max */
	int64_t max_ns;
};
int retry_create(const struct retry_conf *conf, struct tier *inner, struct tier **ret_tier);

struct breaker_conf {
	unsigned int after; /* consecutive unknowns (transient failures, time-outs) that open it */
	int64_t for_ns;	    /* open that long, then one call goes through as a probe */
};
enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };
int breaker_create(const struct breaker_conf *conf, struct tier *inner, struct tier **ret_tier);
/* t must be a breaker (asserted). */
enum breaker_state breaker_state_get(const struct tier *t);

/*
 * zstd: packs objects on their way into a store where the put's source asks for it, and unpacks
 * all that were packed so, whoever asks. It stands outside of retry, which sends packed bytes again
 * and does not pack again. Stack it on every store that another host may pack for.
 */
#define ZSTD_PLAIN_MAX (1ULL << 30) /* what claims to be larger is neither packed nor unpacked */

struct zstd_conf {
	int tmp_dirfd;	   /* packed bytes wait there for their upload; borrowed. -1: in memory */
	uint64_t max_size; /* larger objects are stored as they are; 0 = ZSTD_PLAIN_MAX */
	bool always;	   /* also what gets no smaller by it (tests) */
	/*
	 * Whether the object may be a packed one, for listings that do not tell: then its size is
	 * not known. NULL: any may. It runs on the listing's thread.
	 */
	bool (*may_be_packed)(void *arg, const char *key, size_t key_len);
	void *arg;
};
int zstd_create(const struct zstd_conf *conf, struct tier *inner, struct tier **ret_tier);

/*
 * manifest: lets a listing of a store that tells names, sizes and versions only tell whole records,
 * of what was written through this layer on any host (layer_manifest.c). It stands between zstd and
 * breaker. Not for stores with TIER_CAP_LIST_RECORDS: -EINVAL.
 */
struct manifest_conf {
	const char *host; /* who we are among the store's users: [A-Za-z0-9_.-]{1,64}; copied */
	int64_t flush_ns; /* a record waits no longer for others of its directory; 0 = 5 s */
	int64_t close_ns; /* what closing waits for the store; 0 = 5 s */
	size_t cache_max; /* bytes of other hosts' manifests kept in memory; 0 = 64 MiB */
	bool read_only;	  /* nothing is written, what there is is read */
	bool manual;	  /* no thread: tests flush and compact themselves */
};
int manifest_create(const struct manifest_conf *conf, struct tier *inner, struct tier **ret_tier);
/* Writes what waits; t must be a manifest layer (asserted). The first failure, or 0. */
int manifest_flush(struct tier *t, struct tier_call *call);
/*
 * Rewrites the manifests of dir ("" is the root) as few, without what is not there any more. Any
 * number of hosts may do so at the same time.
 */
int manifest_compact(struct tier *t, struct tier_call *call, const char *dir);
struct manifest_stats {
	uint64_t pending; /* records that wait */
	uint64_t written; /* manifests */
	uint64_t dropped; /* records given up, as the store did not take them for long */
	uint64_t fetched; /* manifests read */
	uint64_t merged;  /* names that a listing told whole */
	uint64_t compactions;
	uint64_t broken; /* objects that are no manifests */
};
void manifest_stats(struct tier *t, struct manifest_stats *ret);

/* Logs each call at debug level with its time and result. */
int trace_create(struct tier *inner, struct tier **ret_tier);

/* Fault injection for tests: fails, delays or cuts the n-th call of a kind. */
enum fault_op {
	FAULT_ANY,
	FAULT_HEAD,
	FAULT_GET,
	FAULT_PUT,
	FAULT_DEL,
	FAULT_LIST,
	FAULT_COPY,
	FAULT_OP_COUNT
};
struct fault_plan {
	enum fault_op op;
	unsigned int after; /* calls of that kind that pass first */
	unsigned int times; /* calls that are hit then; 0 = all */
	int code;	    /* negative errno to fail with; 0 = only delay or cut */
	bool transient;
	bool throttled;		/* with transient: the store asked for less, ... */
	int64_t retry_after_ns; /* ... and for that much time */
	int64_t delay_ns;	/* before the call, heeding its deadline */
	uint64_t cut_after; /* get: fail with -EIO, transient, after that many bytes; 0 = no cut */
	bool after_effect;  /* do the call, then fail: the answer was lost */
};
int fault_create(struct tier *inner, struct tier **ret_tier);
void fault_arm(struct tier *t, const struct fault_plan *plan); /* replaces the present plan */
uint64_t fault_calls(const struct tier *t, enum fault_op op);  /* seen so far */

#endif
