/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables behind the configuration: one row an option, with its prose. The YAML reader, the
 * environment, -o, `config show`, `config init`, --help and the manual all read these rows.
 */
#ifndef MODEL_CONFIG_TABLE_H
#define MODEL_CONFIG_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "model/config.h"
#include "util/err.h"

enum conf_kind {
	CONF_BOOL,	/* bool: on/off, true/false, yes/no */
	CONF_TRISTATE,	/* enum conf_auto */
	CONF_SIZE,	/* uint64_t bytes */
	CONF_COUNT,	/* uint64_t */
	CONF_NUMBER,	/* unsigned int */
	CONF_MS,	/* int64_t milliseconds */
	CONF_SECONDS,	/* int64_t seconds */
	CONF_WORD,	/* an enum; words[] in the order of its values */
	CONF_FLAG_WORD, /* bool: true where the text is words[0] */
	CONF_STRING,	/* char *; NULL = not set */
	CONF_PATH,	/* char *; ~ expands, made absolute */
	CONF_SECRET,	/* char *; never shown */
	CONF_UID,	/* uid_t: a number or a user's name */
	CONF_GID,	/* gid_t: a number or a group's name */
	CONF_MODE,	/* mode_t: octal permission bits */
	CONF_FREE,     /* a size or a percentage: min_free and min_free_ratio of struct conf_tier */
	CONF_PATTERNS, /* char **: one pattern or a list */
	CONF_TIERS,    /* struct conf_share *: all, a list of tiers, or a mapping of them */
	CONF_COMPRESSION, /* struct conf_compression: none, zstd, zstd:LEVEL, or a mapping */
	CONF_PARTS,	  /* struct conf_part *: a mapping of tiers to sizes and percentages */
	CONF_LATER, /* known, and not in this version; def, where given, is the one value that holds
		       today */
};

struct conf_option {
	const char *name; /* "network.retry.tries"; a tier's and a class's: the bare name. NULL ends
			     a table */
	enum conf_kind kind;
	size_t offset;	 /* of the value in struct config, conf_tier or conf_class */
	const char *def; /* default as text; NULL: none, or worked out when the configuration is
			    complete */
	const char *const *words; /* CONF_WORD, CONF_FLAG_WORD; NULL-terminated */
	const char *const *later; /* words of a later version; NULL: none */
	uint64_t min, max;	  /* bounds of numbers in the field's unit; max 0 = none */
	unsigned int types;	  /* tier options: 1 << enum tier_type for each type that has it */
	unsigned int given;	  /* enum policy_bit to note in the mask at given_at, 0 = none */
	size_t given_at;
	bool never;	  /* durations: "never" (null) is a value */
	bool live;	  /* SIGHUP changes it */
	const char *text; /* one sentence for people, without a full stop */
};

struct conf_section {
	const char *name;
	const char *scalar; /* the option that `name: VALUE` means, or NULL */
	const char *text;
};

extern const struct conf_option conf_options[];
extern const struct conf_option conf_tier_options[];
extern const struct conf_option conf_class_options[];
extern const struct conf_option conf_share_options[]; /* of a class in one tier */
extern const struct conf_option conf_compression_options[];
extern const struct conf_option conf_tenant_options[];
extern const struct conf_section conf_sections[]; /* name NULL ends it */
/* in the order of enum tier_type, NULL-terminated */
extern const char *const conf_tier_type_names[];

/* The row with that name, or NULL. name's '-' are '_' already. */
const struct conf_option *conf_option_find(const struct conf_option *table, const char *name);
/* Options that end in ".name" in one section, e.g. ("mount", "uid"); NULL where there is none. */
const struct conf_option *conf_option_in(const char *section, const char *name);
/* "a size such as 10GiB": what a value of the row looks like, for help. Static. */
const char *conf_kind_text(enum conf_kind kind);

/* --- values (config_value.c) --- */

/* Parses text into the row's field in base. "" unsets a string. -EINVAL with a text about the value
 * alone. */
int conf_value_set(const struct conf_option *opt, void *base, const char *text, struct err *err);
/* Appends one pattern. */
int conf_patterns_add(char ***list, const char *pattern, struct err *err);
/* The value as conf_value_set would take it again; secrets as "***". malloc'ed; NULL: not set or no
 * memory. */
char *conf_value_format(const struct conf_option *opt, const void *base);
bool conf_value_equal(const struct conf_option *opt, const void *a, const void *b);
/* For live options, which are plain numbers. */
void conf_value_copy(const struct conf_option *opt, void *to, const void *from);
/* Frees the row's field, wiped if it is a secret, and leaves it NULL. */
void conf_value_release(const struct conf_option *opt, void *base);

/* Expands ${VAR} and ${VAR:-default}; "$${" is a literal "${". malloc'ed in *ret_text. */
int conf_expand(const char *text, char **ret_text, struct err *err);
/* Expands a leading ~ and puts dir (NULL: the working directory) before a relative path. */
int conf_expand_path(const char *text, const char *dir, char **ret_path, struct err *err);

/* Notes that the row's value was given, and whether it was: true where the row notes nothing. */
void conf_value_note(const struct conf_option *opt, void *base);
bool conf_value_given(const struct conf_option *opt, const void *base);

/* --- the kinds that are lists and mappings (config_policy.c) --- */

int conf_tiers_set(struct conf_share **list, const char *text, struct err *err);
int conf_share_add(struct conf_share **list, const char *name, struct conf_share **ret_share,
		   struct err *err);
int conf_compression_set(struct conf_compression *c, const char *text, struct err *err);
/* text: a size or a percentage. */
int conf_part_add(struct conf_part **list, const char *name, const char *text, struct err *err);
/* As YAML in flow style; NULL: no memory. */
char *conf_tiers_format(const struct conf_share *list);
char *conf_compression_format(const struct conf_compression *c);
char *conf_parts_format(const struct conf_part *list);
void conf_shares_free(struct conf_share *list);
void conf_parts_free(struct conf_part *list);
/*
 * The heads ("network:", "  retry:") that name needs and the name before it did not. Returns its
 * last part, indent is for it.
 */
const char *conf_print_heads(FILE *out, const char *before, const char *name, char *indent,
			     size_t size, const char *comment);
/* A YAML scalar, quoted where it must be. */
void conf_print_scalar(FILE *out, const char *text);
/* "10GiB", and "5%" as a ratio with bytes 0. */
int conf_parse_part(const char *text, uint64_t *ret_bytes, double *ret_ratio);
char *conf_format_size(uint64_t bytes);
char *conf_format_part(uint64_t bytes, double ratio);

/* --- building one (config.c, config_tiers.c) --- */

/* Says where an option's value came from; tiers are "tiers.NAME.option". 0 or -ENOMEM. */
int conf_origin_set(struct config *config, const char *name, const char *where);
const char *conf_origin_get(const struct config *config,
			    const char *name); /* "default" where nobody set it */
void conf_origins_free(struct config *config);
int conf_warn(struct config *config, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A tier with its type's defaults at the end of the list. */
int conf_tier_add(struct config *config, enum tier_type type, const char *name,
		  struct conf_tier **ret_tier);
struct conf_tier *conf_tier_named(const struct config *config, const char *name);
bool conf_tier_is_store(const struct conf_tier *tier);
void conf_tier_free(struct conf_tier *tier);
/* ram, disk, and a dir store: what holds where no file lists tiers. */
int conf_tiers_embedded(struct config *config);
/* Makes source the only store. May be called again. */
int conf_tiers_source(struct config *config, const char *source, struct err *err);
int conf_class_add(struct config *config, const char *name, struct conf_class **ret_class);
void conf_class_free(struct conf_class *class);
void conf_classes_free(struct conf_class *classes);
int conf_tenant_add(struct config *config, const char *name, struct conf_tenant **ret_tenant);
void conf_tenants_free(struct conf_tenant *tenants);
void conf_policy_release(struct conf_policy *policy);
/* config_live.c */
void conf_retired_free(struct conf_retired *retired);

/* Reads file and what it includes into config; *ret_tiers becomes true where one of them lists
 * tiers. */
int conf_yaml_load(struct config *config, const char *file, bool *ret_tiers, struct err *err);
/* The same from memory; includes are refused. */
int conf_yaml_parse(struct config *config, const char *text, size_t len, bool *ret_tiers,
		    struct err *err);

/* Values that depend on others or on the host, then the rules that span several options. */
int conf_complete(struct config *config, struct err *err);
int conf_check(struct config *config, struct err *err);
/* Warns of patterns that never match and of classes that nothing keeps; after policy_box_new. */
int conf_check_classes(struct config *config, struct err *err);

#endif
