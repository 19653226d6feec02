/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A journal in a directory of its own, with a clock that the test moves. For the tests of
 * journal and drainer.
 */
#ifndef TESTS_JOURNAL_FIXTURE_H
#define TESTS_JOURNAL_FIXTURE_H

#include "cache/journal.h"

struct journal_fixture {
	char path[64];
	int dirfd, journal_fd, staging_fd;
	int64_t now_ns; /* of clock, both times */
	struct clock clock;
	struct journal_conf conf;
	struct journal *j;
	struct journal_report report;
	struct err err;
	uint64_t next_id;
};

void jf_setup(struct journal_fixture *f);
void jf_teardown(struct journal_fixture *f);
void jf_open(struct journal_fixture *f);  /* and replay; asserts success */
void jf_close(struct journal_fixture *f); /* as at the end of a process */
void jf_reopen(struct journal_fixture *f);

/* For cmocka: *state is a fixture, open. */
int jf_setup_open(void **state);
int jf_teardown_free(void **state);

/* A staging file with that text; returns its id. */
uint64_t jf_stage(struct journal_fixture *f, const char *text);
bool jf_staged(const struct journal_fixture *f, uint64_t id);

struct jbase jf_absent(void);
struct jbase jf_match(const char *etag);

/* Changes; the puts are of regular files. Return the seq; they assert success. */
uint64_t jf_put(struct journal_fixture *f, const char *key, const char *text, struct jbase base,
		bool hold);
uint64_t jf_put_id(struct journal_fixture *f, const char *key, uint64_t id, uint64_t size,
		   struct jbase base, bool hold);
uint64_t jf_mark(struct journal_fixture *f, const char *key, const char *text); /* after_siblings */
uint64_t jf_change(struct journal_fixture *f, enum jop op, const char *key, struct jbase base);
uint64_t jf_rename(struct journal_fixture *f, const char *from, const char *to, bool dir,
		   bool in_store);
uint64_t jf_meta(struct journal_fixture *f, const char *key, mode_t mode, struct jbase base);

/* Takes the next entry that may go; NULL: none. */
struct jent *jf_take(struct journal_fixture *f);

/*
 * The state as text, one line an entry, in line: "seq op key [-> to] state body size base
 * flags". INFLIGHT shows as QUEUED where `settled`, as a replay would leave it. malloc'ed.
 */
char *jf_dump(struct journal *j, bool settled);
/* The keys in line, as "put:a/x delete:b rename:c>d"; HELD with a '*' in front. malloc'ed. */
char *jf_line(struct journal *j);
void jf_assert_line(struct journal_fixture *f, const char *expected);

/* snprintf that must fit. */
void jf_text(char *out, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The newest entry of key; jent_release() it. */
struct jent jf_found(struct journal_fixture *f, const char *key);
void jf_expect_base(struct journal_fixture *f, const char *key, enum tier_cond cond,
		    const char *etag);
/* The next entry goes, and is done. */
void jf_finish_next(struct journal_fixture *f, const char *etag);

/* xorshift; state must not be 0. */
uint64_t jf_random(uint64_t *state);

#endif
