/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of cases share. Helpers return the store's own answer unless they say "must". */
#ifndef CONFORMANCE_CASES_H
#define CONFORMANCE_CASES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conformance.h"

struct fixture {
	const struct conformance *conf;
	struct tier *t;
	int scratch_fd; /* an empty directory for share */
};

struct conformance_case {
	const char *name; /* the sentence of the contract */
	void (*run)(struct fixture *f);
};

/* Each ends with a row of NULL. */
extern const struct conformance_case cases_object[];
extern const struct conformance_case cases_get[];
extern const struct conformance_case cases_cond[];
extern const struct conformance_case cases_race[];
extern const struct conformance_case cases_list[];
extern const struct conformance_case cases_keys[];
extern const struct conformance_case cases_copy[];
extern const struct conformance_case cases_call[];

static inline bool has_quirk(const struct fixture *f, enum conformance_quirk quirk)
{
	return f->conf->quirks & quirk;
}

/* --- writing --- */

/* A file without a name that holds data; the caller closes it. */
int source_fd(const void *data, size_t len);
struct tier_source source_of(const void *data, size_t len);

/* A record of a regular file with a mode, and of nothing else. */
void plain_record(struct record *rec);

/* put of data with a plain record; etag (ETAG_MAX) may be NULL. */
int put_bytes(struct fixture *f, const char *key, const void *data, size_t len,
	      const struct tier_pre *pre, char *etag);
int put_text(struct fixture *f, const char *key, const char *text, const struct tier_pre *pre,
	     char *etag);
/* put of a record whose mode says directory or link, or of an empty file. */
int put_empty(struct fixture *f, const char *key, const struct record *rec,
	      const struct tier_pre *pre, char *etag);
int put_marker(struct fixture *f, const char *key, const struct tier_pre *pre, char *etag);
void must_put(struct fixture *f, const char *key, const char *text);

/* --- reading --- */

/* What a get delivered. Release with got_release. */
struct got {
	struct tier_sink sink;
	struct record rec; /* of begin */
	unsigned int begins, writes;
	uint64_t first; /* offset of the first write */
	char *buf;	/* with a NUL behind it */
	size_t len;
};

void got_init(struct got *g);
void got_release(struct got *g);
int get_range(struct fixture *f, const char *key, uint64_t off, uint64_t len, const char *etag,
	      struct got *g);
/* The object is there and has these bytes. */
void must_have(struct fixture *f, const char *key, const char *text);
int head_code(struct fixture *f, const char *key);
/* Copies the etag of what is there. */
void must_head(struct fixture *f, const char *key, char *etag);
int del_key(struct fixture *f, const char *key, bool marker, const char *etag);

/* --- listing --- */

/* Names as told: "key", "key/" for a prefix, "key/!" for a marker. */
struct names {
	char **v;
	size_t n;
	unsigned int pages;
};

int list_names(struct fixture *f, const char *prefix, bool delimiter, unsigned int max,
	       struct names *ret);
void names_release(struct names *names);
/* The listing, in pages of max, is exactly these names, NULL at the end. */
void must_list(struct fixture *f, const char *prefix, bool delimiter, unsigned int max,
	       const char *const *want);
#define MUST_LIST(f, prefix, delimiter, max, ...)                                                  \
	must_list(f, prefix, delimiter, max, (const char *const[]){__VA_ARGS__, NULL})

#endif
