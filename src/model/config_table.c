/* SPDX-License-Identifier: Apache-2.0 */
/* Every option of the configuration, with its type, default and prose. */
#include "model/config_table.h"

#include <string.h>

#define AT(member) .offset = offsetof(struct config, member)
#define TIER_AT(member) .offset = offsetof(struct conf_tier, member)
#define CLASS_AT(member) .offset = offsetof(struct conf_class, member)

#define SHARE_AT(member, bit)                                                                      \
	.offset = offsetof(struct conf_share, member), .given = (bit),                             \
	.given_at = offsetof(struct conf_share, given)
#define TENANT_AT(member, bit)                                                                     \
	.offset = offsetof(struct conf_tenant, member), .given = (bit),                            \
	.given_at = offsetof(struct conf_tenant, given)
#define COMPRESSION_AT(member) .offset = offsetof(struct conf_compression, member)

#define T_RAM (1u << TIER_TYPE_RAM)
#define T_DISK (1u << TIER_TYPE_DISK)
#define T_DIR (1u << TIER_TYPE_DIR)
#define T_S3 (1u << TIER_TYPE_S3)
#define T_BODY (T_RAM | T_DISK)
#define T_STORE (T_DIR | T_S3)
#define T_ALL (T_BODY | T_STORE)

/* A year: longer waits are typing errors. */
#define YEAR_MS (365 * 86400000ULL)

const char *const conf_tier_type_names[] = {"ram", "disk", "dir", "s3", NULL};

static const char *const tier_types_later[] = {"redis", "gcs", "azure", NULL};
static const char *const write_modes[] = {"back", "through", NULL};
static const char *const conflict_policies[] = {"last_writer", "first_writer", "keep_both", NULL};
static const char *const on_kill_words[] = {"discard", "keep", NULL};
static const char *const admit_policies[] = {"auto", "second_hit", "always", NULL};
static const char *const log_levels[] = {"error", "warn", "info", "debug", NULL};
static const char *const log_formats[] = {"text", "json", NULL};
static const char *const siblings[] = {"siblings", NULL};
static const char *const evictions[] = {"lru", "lfu", "fifo", "ttl", "none", NULL};
static const char *const on_evict_words[] = {"drop", "demote", NULL};
static const char *const verify_words[] = {"fill", "open", NULL};
static const char *const foreign_words[] = {"never", "last_modified", NULL};

const struct conf_section conf_sections[] = {
	{"mount", NULL, "what the mounted tree looks like"},
	{"write", "write.mode", "how changes reach the stores"},
	{"deadlines", NULL, "how long a call may wait, all tries together"},
	{"network", NULL, "how stores are talked to"},
	{"memory", NULL, "memory of the daemon itself; the ram tier has its own limit"},
	{"cleanup", NULL, "removal of what has expired"},
	{"integrity", NULL, "verification of what is here"},
	{"log", NULL, "the log: stderr with -f, else syslog"},
	{"defaults", NULL,
	 "the policy of objects that no class matches, and of what a class leaves out"},
	{NULL, NULL, NULL},
};

/* One row an option, by hand: clang-format would spread each over six lines. */
/* clang-format off */

/*
 * What defaults and each class have. NAME gives the row's name, AT the place of the value, DEF the
 * default: a class has none of its own.
 */
#define POLICY_ROWS(NAME, AT_, DEF)                                                                \
	{.name = NAME("tiers"), .kind = CONF_TIERS, AT_(tiers, POLICY_TIERS), DEF("all")           \
	 .live = true,                                                                             \
	 .text = "tiers that an object may be in: all, a list, or a mapping of tiers to what "     \
		 "holds there: {ram: {ttl: 30m, max_objects: 1000, eviction: lfu}, warm: {}}"},    \
	{.name = NAME("ttl"), .kind = CONF_SECONDS, AT_(ttl_s, POLICY_TTL), DEF("never")           \
	 .never = true, .min = 1, .live = true,                                                    \
	 .text = "life of an object from its last write"},                                         \
	{.name = NAME("stale_while_revalidate"), .kind = CONF_SECONDS,                             \
	 AT_(stale_s, POLICY_STALE), DEF("0s") .max = YEAR_MS / 1000, .live = true,                \
	 .text = "how long past its tier's ttl a copy is served while it is refreshed"},           \
	{.name = NAME("eviction"), .kind = CONF_WORD, AT_(eviction, POLICY_EVICTION),              \
	 .words = evictions, .live = true,                                                         \
	 .text = "what leaves first where room is needed; default: the tier's"},                   \
	{.name = NAME("max_size"), .kind = CONF_SIZE, AT_(max_size, POLICY_MAX_SIZE),              \
	 .live = true, .text = "limit of the bytes in each of the tiers that hold bodies"},        \
	{.name = NAME("max_objects"), .kind = CONF_COUNT, AT_(max_objects, POLICY_MAX_OBJECTS),    \
	 .live = true, .text = "limit of the objects in each of the tiers that hold bodies"},      \
	{.name = NAME("max_object"), .kind = CONF_SIZE, AT_(max_object, POLICY_MAX_OBJECT),        \
	 .live = true, .text = "largest object that a tier keeps; default: the tier's"},           \
	{.name = NAME("priority"), .kind = CONF_NUMBER, AT_(priority, POLICY_PRIORITY), DEF("50")  \
	 .max = 100, .live = true, .text = "where classes share a tier, the lowest leaves first"}, \
	{.name = NAME("compression"), .kind = CONF_COMPRESSION,                                    \
	 AT_(compression, POLICY_COMPRESSION), DEF("none") .live = true,                           \
	 .text = "compression in the stores: none, zstd, or {zstd: LEVEL, min_size: SIZE}"},       \
	{.name = NAME("write"), .kind = CONF_WORD, AT_(write, POLICY_WRITE), .words = write_modes, \
	 .live = true, .text = "back or through; default: write.mode"},                            \
	{.name = NAME("storage_class"), .kind = CONF_STRING,                                       \
	 AT_(storage_class, POLICY_STORAGE_CLASS), .live = true,                                   \
	 .text = "storage class of uploads; default: the tier's"},                                 \
	{.name = NAME("admission"), .kind = CONF_WORD, AT_(admission, POLICY_ADMISSION),           \
	 .words = admit_policies, .live = true,                                                    \
	 .text = "when an object moves to RAM; default: the tier's admit"},                        \
	{.name = NAME("readahead"), .kind = CONF_SIZE, AT_(readahead, POLICY_READAHEAD),           \
	 DEF("0") .max = 1ULL << 30, .live = true,                                                 \
	 .text = "bytes that a fill fetches ahead of its reader; 0: as the reading shows"},        \
	{.name = NAME("mode"), .kind = CONF_MODE, AT_(mode, POLICY_MODE), .live = true,            \
	 .text = "permission bits of objects that carry none of their own"},                       \
	{.name = NAME("pinned"), .kind = CONF_BOOL, AT_(pinned, POLICY_PINNED), DEF("off")         \
	 .live = true, .text = "never evicted"},                                                   \
	{.name = NAME("sidecar"), .kind = CONF_STRING, AT_(sidecar, POLICY_SIDECAR),               \
	 .live = true, .text = "ending of files that hold the metadata of the file beside them"},  \
	{.name = NAME("foreign"), .kind = CONF_WORD, AT_(foreign, POLICY_FOREIGN), DEF("never")    \
	 .words = foreign_words, .live = true,                                                     \
	 .text = "from when the ttl of objects that others wrote counts"}

#define DEFAULTS_NAME(name) "defaults." name
#define DEFAULTS_AT(member, bit)                                                                   \
	.offset = offsetof(struct config, defaults.member), .given = (bit),                        \
	.given_at = offsetof(struct config, defaults.given)
#define DEFAULTS_DEF(text) .def = text,
#define CLASS_NAME(name) name
#define CLASS_POLICY_AT(member, bit)                                                               \
	.offset = offsetof(struct conf_class, policy.member), .given = (bit),                      \
	.given_at = offsetof(struct conf_class, policy.given)
#define CLASS_DEF(text)

/* Options of one section stand together, in the order in which `config show` prints them. */
const struct conf_option conf_options[] = {
	{.name = "version", .kind = CONF_LATER, .def = "1",
	 .text = "version of this file's format"},
	{.name = "cache_dir", .kind = CONF_PATH, AT(cache_dir),
	 .text = "journal, staging and lock, and the disk tier's default path; default "
		 "/var/lib/cogfs, or ${XDG_CACHE_HOME}/cogfs where root does not mount"},

	{.name = "mount.uid", .kind = CONF_UID, AT(mount.uid),
	 .text = "owner of the root directory and of objects that carry no owner; default: who "
		 "mounts"},
	{.name = "mount.gid", .kind = CONF_GID, AT(mount.gid),
	 .text = "their group; default: that of who mounts"},
	{.name = "mount.mode", .kind = CONF_MODE, AT(mount.mode), .def = "0755",
	 .text = "permission bits of the root directory and of directories that carry none"},
	{.name = "mount.allow_other", .kind = CONF_TRISTATE, AT(mount.allow_other),
	 .def = "auto",
	 .text = "whether other users may enter the mount; auto: when root mounts"},
	{.name = "mount.read_only", .kind = CONF_BOOL, AT(mount.read_only), .def = "off",
	 .text = "refuse every change with EROFS"},
	{.name = "mount.passthrough", .kind = CONF_TRISTATE, AT(mount.passthrough),
	 .def = "auto",
	 .text = "let the kernel read resident objects by itself; auto: where it can"},
	{.name = "mount.io_uring", .kind = CONF_TRISTATE, AT(mount.io_uring), .def = "auto",
	 .text = "talk to the kernel over io_uring; auto: not while the worker is supervised"},
	{.name = "mount.list_ttl", .kind = CONF_MS, AT(mount.list_ttl_ms), .def = "60s",
	 .max = YEAR_MS, .live = true,
	 .text = "how long a listing and an object's version are taken for true"},
	{.name = "mount.negative_ttl", .kind = CONF_MS, AT(mount.negative_ttl_ms), .def = "5s",
	 .max = YEAR_MS, .live = true,
	 .text = "how long a name stays absent before the store is asked again"},

	{.name = "write.mode", .kind = CONF_WORD, AT(write.mode), .def = "back",
	 .words = write_modes,
	 .text = "back: close returns when the journal has the change; through: when the "
		 "stores have it"},
	{.name = "write.upload_delay", .kind = CONF_MS, AT(write.upload_delay_ms), .def = "1s",
	 .max = YEAR_MS, .live = true,
	 .text = "wait after the last close, so that quick rewrites cost one upload"},
	{.name = "write.max_dirty", .kind = CONF_SIZE, AT(write.max_dirty), .def = "10GiB",
	 .min = 1 << 20, .live = true,
	 .text = "bytes that may wait for the stores; at the limit writers are held back"},
	{.name = "write.drain_deadline", .kind = CONF_MS, AT(write.drain_deadline_ms),
	 .def = "60s", .max = YEAR_MS, .live = true,
	 .text = "how long an unmount waits for uploads; the rest stays journalled"},
	{.name = "write.conflict", .kind = CONF_WORD, AT(write.conflict), .def = "last_writer",
	 .words = conflict_policies,
	 .text = "what holds when another host wrote the same object"},
	{.name = "write.on_kill", .kind = CONF_WORD, AT(write.on_kill), .def = "discard",
	 .words = on_kill_words,
	 .text = "what becomes of a file whose writer was killed by a signal"},

	{.name = "deadlines.open", .kind = CONF_MS, AT(deadlines.open_ms), .def = "10s",
	 .min = 10, .max = YEAR_MS, .live = true,
	 .text = "an open, filling small objects included"},
	{.name = "deadlines.read", .kind = CONF_MS, AT(deadlines.read_ms), .def = "10s",
	 .min = 10, .max = YEAR_MS, .live = true, .text = "a read of what is not resident"},
	{.name = "deadlines.lookup", .kind = CONF_MS, AT(deadlines.lookup_ms), .def = "5s",
	 .min = 10, .max = YEAR_MS, .live = true,
	 .text = "a lookup of a name that only the store knows"},
	{.name = "deadlines.list", .kind = CONF_MS, AT(deadlines.list_ms), .def = "30s",
	 .min = 10, .max = YEAR_MS, .live = true, .text = "the listing of a directory"},
	{.name = "deadlines.mount", .kind = CONF_MS, AT(deadlines.mount_ms), .def = "30s",
	 .min = 100, .max = YEAR_MS, .live = true,
	 .text = "the mount, reaching the stores included"},

	{.name = "network.retry.tries", .kind = CONF_NUMBER, AT(network.tries), .def = "3",
	 .min = 1, .max = 100, .text = "how often a request is sent in all"},
	{.name = "network.retry.min", .kind = CONF_MS, AT(network.retry_min_ms), .def = "1s",
	 .max = YEAR_MS, .text = "pause before the second try; it doubles, with jitter"},
	{.name = "network.retry.max", .kind = CONF_MS, AT(network.retry_max_ms), .def = "10s",
	 .max = YEAR_MS, .text = "longest pause"},
	{.name = "network.breaker.after", .kind = CONF_NUMBER, AT(network.breaker_after),
	 .def = "5", .min = 1, .max = 1000000,
	 .text = "failures in a row after which a store is left alone"},
	{.name = "network.breaker.for", .kind = CONF_MS, AT(network.breaker_for_ms),
	 .def = "30s", .min = 1, .max = YEAR_MS,
	 .text = "how long it is left alone before it is tried again"},
	{.name = "network.parallel", .kind = CONF_NUMBER, AT(network.parallel), .def = "auto",
	 .max = 1024, .text = "requests for waiting callers at the same time"},
	{.name = "network.up", .kind = CONF_LATER, .def = "0",
	 .text = "limit of bytes a second to the stores"},
	{.name = "network.down", .kind = CONF_LATER, .def = "0",
	 .text = "limit of bytes a second from the stores"},
	{.name = "network.proxy", .kind = CONF_STRING, AT(network.proxy), .def = "env",
	 .text = "env (the usual variables), none, or a URL"},
	{.name = "network.ca_file", .kind = CONF_PATH, AT(network.ca_file),
	 .text = "certificates to trust instead of the system's"},

	{.name = "memory.max", .kind = CONF_SIZE, AT(memory_max), .def = "512MiB",
	 .min = 16 << 20, .text = "buffers and tables"},

	{.name = "cleanup.on_startup", .kind = CONF_BOOL, AT(cleanup.on_startup), .def = "on",
	 .text = "look for expired objects after the mount"},
	{.name = "cleanup.interval", .kind = CONF_SECONDS, AT(cleanup.interval_s), .def = "1h",
	 .min = 1, .max = YEAR_MS / 1000, .text = "and again after each such while"},

	{.name = "integrity.scrub", .kind = CONF_SECONDS, AT(integrity.scrub_s), .def = "30d",
	 .never = true, .min = 1, .live = true,
	 .text = "how often each body that is here is read and compared with its checksum"},
	{.name = "integrity.rate", .kind = CONF_SIZE, AT(integrity.rate), .def = "10MiB",
	 .min = 64 << 10, .live = true, .text = "bytes a second that this may read"},
	{.name = "integrity.verify", .kind = CONF_WORD, AT(integrity.verify), .def = "fill",
	 .words = verify_words, .live = true,
	 .text = "fill: what came from a store is verified before it is kept; open: and again at "
		 "its first open after each mount, which reads it once more"},

	{.name = "log.level", .kind = CONF_WORD, AT(log.level), .def = "info",
	 .words = log_levels, .live = true, .text = "the least important lines that are written"},
	{.name = "log.format", .kind = CONF_WORD, AT(log.format), .def = "text",
	 .words = log_formats, .live = true, .text = "a line of text, or one JSON object a line"},

	POLICY_ROWS(DEFAULTS_NAME, DEFAULTS_AT, DEFAULTS_DEF),

	{.name = "events", .kind = CONF_LATER, .text = "notifications of changes made elsewhere"},
	{.name = "warm", .kind = CONF_LATER, .text = "objects to fetch after the mount"},
	{.name = "alerts", .kind = CONF_LATER, .text = "thresholds that are reported"},
	{.name = "metrics", .kind = CONF_LATER, .text = "the metrics endpoint"},
	{.name = "otlp", .kind = CONF_LATER, .text = "traces and metrics over OTLP"},
	{.name = "plugins", .kind = CONF_LATER, .text = "tiers from shared objects"},
	{.name = "prefetch", .kind = CONF_LATER, .text = "reading ahead across objects"},
	{.name = NULL},
};

const struct conf_option conf_tier_options[] = {
	{.name = "name", .kind = CONF_STRING, TIER_AT(name), .types = T_ALL,
	 .text = "what messages and user.cogfs.tier call it; default: its type"},
	{.name = "type", .kind = CONF_WORD, TIER_AT(type), .words = conf_tier_type_names,
	 .later = tier_types_later, .types = T_ALL, .text = "where the bytes live"},
	{.name = "enabled", .kind = CONF_BOOL, TIER_AT(enabled), .def = "on", .types = T_ALL,
	 .text = "off: as if it were not listed"},
	{.name = "read_only", .kind = CONF_BOOL, TIER_AT(read_only), .def = "off",
	 .types = T_STORE, .text = "never write to this store"},
	{.name = "max_size", .kind = CONF_SIZE, TIER_AT(max_size), .min = 1 << 20,
	 .types = T_BODY, .live = true,
	 .text = "strict limit; default ram: 1 GiB, at most a quarter of the memory; disk: 100 "
		 "GiB, at most half of its filesystem"},
	{.name = "max_objects", .kind = CONF_COUNT, TIER_AT(max_objects), .def = "0",
	 .types = T_BODY, .live = true, .text = "strict limit, 0 = none"},
	{.name = "min_free", .kind = CONF_FREE, TIER_AT(min_free), .def = "5%", .types = T_DISK,
	 .live = true, .text = "room that stays free on the filesystem, a size or a percentage"},
	{.name = "ttl", .kind = CONF_SECONDS, TIER_AT(ttl_s), .def = "never", .never = true,
	 .min = 1, .types = T_ALL, .live = true,
	 .text = "ram, disk: longest life of a copy there, which is then had from the store again; "
		 "dir, s3: longest life of an object from its last write"},
	{.name = "eviction", .kind = CONF_WORD, TIER_AT(eviction), .def = "lru",
	 .words = evictions, .types = T_BODY, .live = true,
	 .text = "what leaves first where room is needed"},
	{.name = "on_evict", .kind = CONF_WORD, TIER_AT(on_evict), .def = "drop",
	 .words = on_evict_words, .types = T_BODY, .live = true,
	 .text = "whether what leaves goes to the next tier of its class"},
	{.name = "max_object", .kind = CONF_SIZE, TIER_AT(max_object), .def = "0",
	 .types = T_ALL, .live = true, .text = "largest object that is kept there, 0 = no limit"},
	{.name = "key", .kind = CONF_STRING, TIER_AT(key), .def = "{key}", .types = T_STORE,
	 .text = "template of the store's keys: {key} is the path, {tenant} the tenant and {rest} "
		 "the path below the tenant's directory, as in tenants/{tenant}/{rest}"},
	{.name = "admit", .kind = CONF_WORD, TIER_AT(admit), .def = "auto",
	 .words = admit_policies, .types = T_RAM,
	 .text = "what gets a copy in RAM: always, what is read; second_hit, what is opened again "
		 "within 10 minutes; auto, nothing where there is a disk tier, as the page cache "
		 "opens its bodies at least as fast, else what is read"},
	{.name = "path", .kind = CONF_PATH, TIER_AT(path), .types = T_DISK | T_DIR,
	 .text = "directory; a disk tier's default is cache_dir"},
	{.name = "bucket", .kind = CONF_STRING, TIER_AT(bucket), .types = T_S3,
	 .text = "the bucket"},
	{.name = "prefix", .kind = CONF_STRING, TIER_AT(prefix), .def = "", .types = T_S3,
	 .text = "what all keys in the bucket begin with"},
	{.name = "endpoint", .kind = CONF_STRING, TIER_AT(endpoint), .types = T_S3,
	 .text = "URL of the server; default: AWS's for the region"},
	{.name = "region", .kind = CONF_STRING, TIER_AT(region), .types = T_S3,
	 .text = "default: AWS_REGION, the shared configuration, us-east-1"},
	{.name = "path_style", .kind = CONF_TRISTATE, TIER_AT(path_style), .def = "auto",
	 .types = T_S3,
	 .text = "bucket in the path instead of the host name; auto: where the endpoint is not "
		 "AWS's"},
	{.name = "credentials", .kind = CONF_STRING, TIER_AT(credentials), .types = T_S3,
	 .text = "auto (environment, then shared files), env, anonymous, file:PROFILE or "
		 "static; default static where access_key is set, else auto"},
	{.name = "access_key", .kind = CONF_STRING, TIER_AT(access_key), .types = T_S3,
	 .text = "static credentials"},
	{.name = "secret_key", .kind = CONF_SECRET, TIER_AT(secret_key), .types = T_S3,
	 .text = "their secret; better ${VAR} than written out"},
	{.name = "session_token", .kind = CONF_SECRET, TIER_AT(session_token), .types = T_S3,
	 .text = "their session token"},
	{.name = "storage_class", .kind = CONF_STRING, TIER_AT(storage_class), .types = T_S3,
	 .text = "storage class of uploads; default: the bucket's"},
	{.name = "part_size", .kind = CONF_SIZE, TIER_AT(part_size), .def = "16MiB",
	 .min = 5 << 20, .max = 5ULL << 30, .types = T_S3,
	 .text = "part of a multipart upload, which begins at twice that"},

	{.name = "promote", .kind = CONF_LATER, .def = "off", .types = T_ALL,
	 .text = "copy what is read here"},
	{.name = "role", .kind = CONF_LATER, .types = T_ALL, .text = "fallback or mirror"},
	{.name = "of", .kind = CONF_LATER, .types = T_ALL,
	 .text = "the tier that this one stands behind"},
	{.name = "lifecycle", .kind = CONF_LATER, .types = T_ALL, .text = "rules for the bucket"},
	{.name = "url", .kind = CONF_LATER, .types = T_ALL, .text = "redis server"},
	{.name = "max_memory", .kind = CONF_LATER, .types = T_ALL, .text = "redis memory limit"},
	{.name = "eviction_policy", .kind = CONF_LATER, .types = T_ALL,
	 .text = "redis eviction policy"},
	{.name = "account", .kind = CONF_LATER, .types = T_ALL, .text = "azure account"},
	{.name = "container", .kind = CONF_LATER, .types = T_ALL, .text = "azure container"},
	{.name = NULL},
};

const struct conf_option conf_class_options[] = {
	{.name = "name", .kind = CONF_STRING, CLASS_AT(name),
	 .text = "what user.cogfs.class shows"},
	{.name = "match", .kind = CONF_PATTERNS, CLASS_AT(match),
	 .text = "one pattern or a list: {name} is one part or a piece of it, * likewise, ** "
		 "any number of parts"},
	{.name = "after", .kind = CONF_FLAG_WORD, CLASS_AT(after_siblings), .words = siblings,
	 .text = "siblings: upload only when everything older below the same directory is in "
		 "the store"},
	POLICY_ROWS(CLASS_NAME, CLASS_POLICY_AT, CLASS_DEF),
	{.name = "conflict", .kind = CONF_LATER, .text = "see write.conflict"},
	{.name = "on_kill", .kind = CONF_LATER, .text = "see write.on_kill"},
	{.name = "format", .kind = CONF_LATER, .text = "what user.cogfs.format shows"},
	{.name = "integrity", .kind = CONF_LATER, .text = "background verification"},
	{.name = "prefetch", .kind = CONF_LATER, .text = "reading ahead across objects"},
	{.name = NULL},
};

/* A class in one tier: tiers: {NAME: {...}}. */
const struct conf_option conf_share_options[] = {
	{.name = "ttl", .kind = CONF_SECONDS, SHARE_AT(ttl_s, POLICY_TTL), .never = true, .min = 1,
	 .text = "longest life of a copy there"},
	{.name = "max_size", .kind = CONF_SIZE, SHARE_AT(max_size, POLICY_MAX_SIZE),
	 .text = "limit of the class's bytes there"},
	{.name = "max_objects", .kind = CONF_COUNT, SHARE_AT(max_objects, POLICY_MAX_OBJECTS),
	 .text = "limit of the class's objects there"},
	{.name = "max_object", .kind = CONF_SIZE, SHARE_AT(max_object, POLICY_MAX_OBJECT),
	 .text = "largest object that is kept there"},
	{.name = "eviction", .kind = CONF_WORD, SHARE_AT(eviction, POLICY_EVICTION),
	 .words = evictions, .text = "what leaves first where room is needed"},
	{.name = "compression", .kind = CONF_COMPRESSION,
	 SHARE_AT(compression, POLICY_COMPRESSION),
	 .text = "none, zstd, or {zstd: LEVEL, min_size: SIZE}; of stores"},
	{.name = "storage_class", .kind = CONF_STRING,
	 SHARE_AT(storage_class, POLICY_STORAGE_CLASS), .text = "storage class of uploads"},
	{.name = "admission", .kind = CONF_WORD, SHARE_AT(admission, POLICY_ADMISSION),
	 .words = admit_policies, .text = "when an object moves there, for RAM"},
	{.name = NULL},
};

const struct conf_option conf_compression_options[] = {
	{.name = "zstd", .kind = CONF_NUMBER, COMPRESSION_AT(level), .min = 1, .max = 19,
	 .text = "level"},
	{.name = "min_size", .kind = CONF_SIZE, COMPRESSION_AT(min_size),
	 .text = "smaller objects are stored as they are"},
	{.name = NULL},
};

const struct conf_option conf_tenant_options[] = {
	{.name = "uid", .kind = CONF_UID, TENANT_AT(uid, POLICY_UID),
	 .text = "owner of the tenant's directory and of what carries no owner below it"},
	{.name = "gid", .kind = CONF_GID, TENANT_AT(gid, POLICY_GID), .text = "their group"},
	{.name = "mode", .kind = CONF_MODE, TENANT_AT(mode, POLICY_MODE),
	 .text = "permission bits of the tenant's directory; default 0750"},
	{.name = "quota", .kind = CONF_SIZE, TENANT_AT(quota, POLICY_QUOTA),
	 .text = "limit of the tenant's bytes, each object counted once; beyond it EDQUOT"},
	{.name = "max_objects", .kind = CONF_COUNT, TENANT_AT(max_objects, POLICY_MAX_OBJECTS),
	 .text = "limit of the tenant's objects"},
	{.name = "shares", .kind = CONF_PARTS, TENANT_AT(shares, POLICY_SHARES),
	 .text = "how much of a tier the tenant may take: {ram: 25%, warm: 20GiB}"},
	{.name = NULL},
};

/* clang-format on */

const struct conf_option *conf_option_find(const struct conf_option *table, const char *name)
{
	for (const struct conf_option *o = table; o->name; o++)
		if (strcmp(o->name, name) == 0)
			return o;
	return NULL;
}

const struct conf_option *conf_option_in(const char *section, const char *name)
{
	size_t len = strlen(section);

	for (const struct conf_option *o = conf_options; o->name; o++)
		if (strncmp(o->name, section, len) == 0 && o->name[len] == '.' &&
		    strcmp(o->name + len + 1, name) == 0)
			return o;
	return NULL;
}

const char *conf_kind_text(enum conf_kind kind)
{
	static const char *const texts[] = {
		[CONF_BOOL] = "on or off",
		[CONF_TRISTATE] = "auto, on or off",
		[CONF_SIZE] = "a size such as 10GiB, 512MiB or 2GB",
		[CONF_COUNT] = "a number",
		[CONF_NUMBER] = "a number",
		[CONF_MS] = "a duration such as 250ms, 60s or 5m",
		[CONF_SECONDS] = "a duration such as 60s, 12h or 7d",
		[CONF_WORD] = "a word",
		[CONF_FLAG_WORD] = "a word",
		[CONF_STRING] = "a text",
		[CONF_PATH] = "a path",
		[CONF_SECRET] = "a text",
		[CONF_UID] = "a user's name or number",
		[CONF_GID] = "a group's name or number",
		[CONF_MODE] = "octal permission bits such as 0755",
		[CONF_FREE] = "a size such as 10GiB or a percentage such as 5%",
		[CONF_PATTERNS] = "a pattern or a list of patterns",
		[CONF_TIERS] = "all, or names of tiers",
		[CONF_COMPRESSION] = "none, zstd, or zstd:LEVEL with a level from 1 to 19",
		[CONF_PARTS] = "a mapping of tiers to sizes and percentages",
		[CONF_LATER] = "of a later version",
	};

	return texts[kind];
}
