/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration (DESIGN 6): one table of options is the source of the parser, of `cogfs config
 * show --origin`, of the -o options and of the manual. Precedence: command line > environment
 * (COGFS_SECTION_NAME) > file > default. Unknown keys are errors with file, line, column and the
 * nearest name.
 */
#ifndef MODEL_CONFIG_H
#define MODEL_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "util/err.h"
#include "util/log.h"

enum conf_auto { CONF_AUTO = -1, CONF_OFF = 0, CONF_ON = 1 };
enum write_mode { WRITE_BACK, WRITE_THROUGH };
enum conflict_policy { CONFLICT_LAST_WRITER, CONFLICT_FIRST_WRITER, CONFLICT_KEEP_BOTH };
enum on_kill { ON_KILL_DISCARD, ON_KILL_KEEP };
enum tier_type { TIER_TYPE_RAM, TIER_TYPE_DISK, TIER_TYPE_DIR, TIER_TYPE_S3 };
enum admit_policy { ADMIT_AUTO, ADMIT_SECOND_HIT, ADMIT_ALWAYS };
/* What leaves first: least recently used, least often, oldest, nearest to its expiry; nothing. */
enum eviction { EVICTION_LRU, EVICTION_LFU, EVICTION_FIFO, EVICTION_TTL, EVICTION_NONE };
enum on_evict { ON_EVICT_DROP, ON_EVICT_DEMOTE };
enum verify_when { VERIFY_FILL, VERIFY_OPEN };
enum foreign_life { FOREIGN_NEVER, FOREIGN_LAST_MODIFIED };

#define CONF_NEVER (-1) /* durations: no limit */
#define CONF_TIERS_MAX 32

struct conf_tier {
	struct conf_tier *next; /* in the file's order */
	char *name;
	enum tier_type type;
	bool enabled;
	bool read_only;
	uint64_t max_size;	 /* ram, disk: bytes */
	uint64_t max_objects;	 /* ram, disk: 0 = no limit */
	uint64_t min_free;	 /* disk: bytes; or */
	double min_free_ratio;	 /* disk: part of the filesystem, 0 = min_free counts */
	int64_t ttl_s;		 /* longest life of a copy there; CONF_NEVER */
	enum admit_policy admit; /* ram */
	enum eviction eviction;	 /* ram, disk */
	enum on_evict on_evict;	 /* ram, disk */
	uint64_t max_object;	 /* largest object that is kept there, 0 = no limit */
	char *key;		 /* stores: template of their keys */
	unsigned int index;	 /* place in the list, from 0 */
	char *path;		 /* disk, dir */
	/* s3 */
	char *bucket, *prefix, *endpoint, *region, *credentials, *access_key, *secret_key,
		*session_token, *storage_class;
	enum conf_auto path_style;
	uint64_t part_size;
};

struct conf_compression {
	unsigned int level; /* zstd's; 0 = none */
	uint64_t min_size;  /* smaller objects are stored as they are */
};

/* One of a class's tiers, with what holds for the class there. */
struct conf_share {
	struct conf_share *next;
	char *name;	/* the tier's */
	uint32_t given; /* enum policy_bit of what the file says */
	int64_t ttl_s;
	uint64_t max_size, max_objects, max_object;
	enum eviction eviction;
	enum admit_policy admission;
	struct conf_compression compression;
	char *storage_class;
};

/* What holds for the objects of a class, as the file says it; policy.h has what comes of it. */
struct conf_policy {
	uint32_t given;		  /* enum policy_bit */
	struct conf_share *tiers; /* NULL: all */
	int64_t ttl_s;		  /* from the last write; CONF_NEVER */
	int64_t stale_s;
	enum eviction eviction;
	uint64_t max_size, max_objects, max_object;
	unsigned int priority;
	struct conf_compression compression;
	enum write_mode write;
	char *storage_class;
	enum admit_policy admission;
	uint64_t readahead;
	mode_t mode;
	bool pinned;
	char *sidecar;
	enum foreign_life foreign;
};

/* Which of its values a class, a share or a tenant was given. */
enum policy_bit {
	POLICY_TIERS = 1,
	POLICY_TTL,
	POLICY_STALE,
	POLICY_EVICTION,
	POLICY_MAX_SIZE,
	POLICY_MAX_OBJECTS,
	POLICY_MAX_OBJECT,
	POLICY_PRIORITY,
	POLICY_COMPRESSION,
	POLICY_WRITE,
	POLICY_STORAGE_CLASS,
	POLICY_ADMISSION,
	POLICY_READAHEAD,
	POLICY_MODE,
	POLICY_PINNED,
	POLICY_SIDECAR,
	POLICY_FOREIGN,
	POLICY_UID,
	POLICY_GID,
	POLICY_QUOTA,
	POLICY_SHARES,
};

struct conf_class {
	struct conf_class *next;
	char *name;
	char **match; /* NULL-terminated patterns, see pattern.h */
	bool after_siblings;
	struct conf_policy policy;
};

/* A tenant's part of one tier. */
struct conf_part {
	struct conf_part *next;
	char *name; /* the tier's */
	uint64_t bytes;
	double ratio; /* of the tier's max_size; 0 = bytes counts */
};

struct conf_tenant {
	struct conf_tenant *next;
	char *name; /* "*": those that have no entry of their own, and what an entry leaves out */
	uint32_t given;
	uid_t uid;
	gid_t gid;
	mode_t mode; /* of the tenant's directory */
	uint64_t quota, max_objects;
	struct conf_part *shares;
};

struct config {
	char *source; /* file that was read, NULL = built in */
	char *cache_dir;
	struct {
		uid_t uid;
		gid_t gid;
		mode_t mode;
		enum conf_auto allow_other, passthrough, io_uring;
		bool read_only;
		int64_t list_ttl_ms, negative_ttl_ms;
	} mount;
	struct {
		enum write_mode mode;
		int64_t upload_delay_ms, drain_deadline_ms;
		uint64_t max_dirty;
		enum conflict_policy conflict;
		enum on_kill on_kill;
	} write;
	struct {
		int64_t open_ms, read_ms, lookup_ms, list_ms, mount_ms;
	} deadlines;
	struct {
		unsigned int tries;
		int64_t retry_min_ms, retry_max_ms;
		unsigned int breaker_after;
		int64_t breaker_for_ms;
		unsigned int parallel; /* worker threads for foreground network calls; 0 = auto */
		char *proxy, *ca_file;
	} network;
	uint64_t memory_max;
	struct {
		bool on_startup;
		int64_t interval_s;
	} cleanup;
	struct {
		int64_t scrub_s; /* each resident body is verified as often; CONF_NEVER */
		uint64_t rate;	 /* bytes a second that this may read */
		enum verify_when verify;
	} integrity;
	struct {
		enum log_level level;
		enum log_format format;
	} log;
	struct conf_policy defaults; /* where no class matches, and what classes leave out */
	struct conf_tier *tiers;
	struct conf_class *classes;
	struct conf_tenant *tenants;
	struct policy_box *policy; /* what comes of the last three, see policy.h */
	struct conf_retired
		*retired; /* what config_apply_live replaced, kept for who still uses it */
	struct conf_origin *origins; /* where each value came from */
	char **warnings;	     /* for the log or stderr, NULL-terminated; NULL: none */
};

/* One value from the command line, "section.name" and its text ("mount.passthrough", "off"). */
struct conf_override {
	const char *name, *value;
};

struct conf_load_args {
	/* NULL: /etc/cogfs/cogfs.yaml if it is there, else built in. A named file must exist. */
	const char *file;
	/* "s3://bucket/prefix", "dir:/path" or "/path": the cold tier; NULL: as configured. */
	const char *source;
	const struct conf_override *overrides;
	size_t n_overrides;
};

/*
 * Loads, merges and checks. Without a file the embedded default holds: ram, disk, and a dir cold
 * tier below cache_dir ("store"); not root: ${XDG_CACHE_HOME}/cogfs. max_size of the disk tier
 * defaults to min(100 GiB, half of its filesystem); half of what is free would shrink at each mount
 * while the cache fills. Of each type one tier may be enabled, one store, and one that holds bodies
 * must be. A tier that is reached by name in overrides is "tiers.NAME.option", or "ram.", "disk.",
 * "store.option". -EINVAL with "file:line:col: text" in err.
 */
int config_load(const struct conf_load_args *args, struct config **ret_config, struct err *err);
void config_free(struct config *config); /* accepts NULL; wipes secrets */

/* The effective configuration as YAML, secrets as "***"; origin: "# from ..." behind each value. */
int config_print(const struct config *config, FILE *out, bool origin);

/* Writes a commented file to start from: every option with its default and what it does. */
int config_print_template(FILE *out);

/* Sizes: "10GiB", "512MiB", "2GB" (10^9), plain bytes. Durations: "7d", "60s", "250ms", "never". */
int conf_parse_size(const char *text, uint64_t *ret_bytes);
int conf_parse_duration_ms(const char *text, int64_t *ret_ms); /* "never": CONF_NEVER */

/* NULL-safe: the first tier of a type that is enabled, or NULL. */
const struct conf_tier *config_tier(const struct config *config, enum tier_type type);

/*
 * What SIGHUP changes while mounted: log.*, mount.list_ttl, negative_ttl, write.upload_delay,
 * max_dirty, drain_deadline, deadlines.*, sizes, ttl and eviction of tiers, and all of defaults,
 * classes and tenants: these are taken out of fresh, and live->policy gets a new set (policy.h).
 * Lists in err the names that differ and wait for the next mount. Both configurations stay the
 * caller's; live is changed. Returns how many wait.
 */
int config_apply_live(struct config *live, struct config *fresh, struct err *err);

#endif
