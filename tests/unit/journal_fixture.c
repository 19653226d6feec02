/* SPDX-License-Identifier: Apache-2.0 */
/* A journal in a directory of its own; see the header. */
#include "journal_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tiers/local.h"

static int64_t fixture_now(const struct clock *clk)
{
	return ((const struct journal_fixture *)clk->arg)->now_ns;
}

static void fixture_sleep(const struct clock *clk, int64_t until)
{
	struct journal_fixture *f = clk->arg;

	if (until > f->now_ns)
		f->now_ns = until;
}

static int make_dir(int dirfd, const char *name)
{
	assert_int_equal(mkdirat(dirfd, name, 0700), 0);
	return openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

void jf_setup(struct journal_fixture *f)
{
	memset(f, 0, sizeof(*f));
	snprintf(f->path, sizeof(f->path), "/tmp/cogfs-journal-XXXXXX");
	assert_non_null(mkdtemp(f->path));
	f->dirfd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->dirfd >= 0);
	f->journal_fd = make_dir(f->dirfd, "journal");
	f->staging_fd = make_dir(f->dirfd, "staging");
	f->now_ns = 1000 * NSEC_PER_SEC;
	f->next_id = 1;
	f->clock = (struct clock){.mono_ns = fixture_now,
				  .wall_ns = fixture_now,
				  .sleep_until = fixture_sleep,
				  .arg = f};
	f->conf = (struct journal_conf){
		.dirfd = f->journal_fd, .staging_dirfd = f->staging_fd, .clock = &f->clock};
}

static void empty_dir(int fd)
{
	DIR *dir = fdopendir(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	const struct dirent *de;

	assert_non_null(dir);
	while ((de = readdir(dir)))
		unlinkat(fd, de->d_name, 0);
	closedir(dir);
	close(fd);
}

void jf_teardown(struct journal_fixture *f)
{
	jf_close(f);
	empty_dir(f->journal_fd);
	empty_dir(f->staging_fd);
	unlinkat(f->dirfd, "journal", AT_REMOVEDIR);
	unlinkat(f->dirfd, "staging", AT_REMOVEDIR);
	close(f->dirfd);
	assert_int_equal(rmdir(f->path), 0);
}

void jf_open(struct journal_fixture *f)
{
	f->err.text[0] = '\0';
	assert_int_equal(journal_open(&f->conf, &f->j, &f->report, &f->err), 0);
}

void jf_close(struct journal_fixture *f)
{
	journal_close(f->j);
	f->j = NULL;
}

void jf_reopen(struct journal_fixture *f)
{
	jf_close(f);
	jf_open(f);
}

uint64_t jf_stage(struct journal_fixture *f, const char *text)
{
	uint64_t id = f->next_id++;
	int fd = local_create(f->staging_fd, id);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	return id;
}

bool jf_staged(const struct journal_fixture *f, uint64_t id)
{
	char name[LOCAL_ID_LEN + 1];

	local_id_name(id, name);
	return faccessat(f->staging_fd, name, F_OK, 0) == 0;
}

struct jbase jf_absent(void)
{
	return (struct jbase){.cond = TIER_IF_ABSENT};
}

struct jbase jf_match(const char *etag)
{
	struct jbase base = {.cond = TIER_IF_MATCH};

	snprintf(base.etag, sizeof(base.etag), "%s", etag);
	return base;
}

static uint64_t append(struct journal_fixture *f, struct jent *change, const char *key, bool hold)
{
	uint64_t seq = 0;

	change->key = (char *)key;
	assert_int_equal(journal_append(f->j, change, hold, &seq), 0);
	return seq;
}

static void file_record(struct record *rec, mode_t mode)
{
	record_init(rec);
	rec->mode = mode;
	rec->known = REC_MODE;
}

uint64_t jf_put_id(struct journal_fixture *f, const char *key, uint64_t id, uint64_t size,
		   struct jbase base, bool hold)
{
	struct jent e = {.op = J_PUT, .staging_id = id, .size = size, .base = base};

	file_record(&e.rec, S_IFREG | 0644);
	return append(f, &e, key, hold);
}

uint64_t jf_put(struct journal_fixture *f, const char *key, const char *text, struct jbase base,
		bool hold)
{
	return jf_put_id(f, key, jf_stage(f, text), strlen(text), base, hold);
}

uint64_t jf_mark(struct journal_fixture *f, const char *key, const char *text)
{
	struct jent e = {.op = J_PUT,
			 .staging_id = jf_stage(f, text),
			 .size = strlen(text),
			 .base = jf_absent(),
			 .after_siblings = true};

	file_record(&e.rec, S_IFREG | 0644);
	return append(f, &e, key, false);
}

uint64_t jf_change(struct journal_fixture *f, enum jop op, const char *key, struct jbase base)
{
	struct jent e = {.op = op, .base = base};

	file_record(&e.rec, op == J_MKDIR ? S_IFDIR | 0755 : S_IFREG | 0644);
	return append(f, &e, key, false);
}

uint64_t jf_meta(struct journal_fixture *f, const char *key, mode_t mode, struct jbase base)
{
	struct jent e = {.op = J_META, .base = base};

	file_record(&e.rec, mode);
	return append(f, &e, key, false);
}

uint64_t jf_rename(struct journal_fixture *f, const char *from, const char *to, bool dir,
		   bool in_store)
{
	struct jent e = {.op = J_RENAME,
			 .to = (char *)to,
			 .dir = dir,
			 .store_has_from = in_store,
			 .base = jf_absent()};

	file_record(&e.rec, S_IFREG | 0644);
	return append(f, &e, from, false);
}

struct jent *jf_take(struct journal_fixture *f)
{
	int64_t wake;

	return journal_take(f->j, &wake);
}

/* --- the state as text --- */

static const char *op_name(enum jop op)
{
	static const char *const names[] = {
		[J_PUT] = "put",       [J_META] = "meta",   [J_DELETE] = "delete",
		[J_RENAME] = "rename", [J_MKDIR] = "mkdir", [J_RMDIR] = "rmdir"};

	return names[op];
}

struct dump {
	FILE *out;
	bool settled;
};

static int dump_entry(void *arg, const struct jent *e)
{
	struct dump *d = arg;
	enum jstate state = d->settled && e->state == J_INFLIGHT ? J_QUEUED : e->state;

	fprintf(d->out, "%llu %s %s%s%s %d %llx %llu %d:%s %o %s%s%s\n", (unsigned long long)e->seq,
		op_name(e->op), e->key, e->to ? " -> " : "", e->to ? e->to : "", state,
		(unsigned long long)e->staging_id, (unsigned long long)e->size, e->base.cond,
		e->base.etag, e->rec.mode, e->dir ? "d" : "", e->after_siblings ? "a" : "",
		e->store_has_from ? "s" : "");
	return 0;
}

static int line_entry(void *arg, const struct jent *e)
{
	struct dump *d = arg;

	fprintf(d->out, "%s%s%s:%s%s%s", ftell(d->out) ? " " : "", e->state == J_HELD ? "*" : "",
		op_name(e->op), e->key, e->to ? ">" : "", e->to ? e->to : "");
	return 0;
}

static char *to_text(struct journal *j, bool settled, int (*fn)(void *arg, const struct jent *e))
{
	char *text = NULL;
	size_t len;
	struct dump d = {.out = open_memstream(&text, &len), .settled = settled};

	assert_non_null(d.out);
	journal_foreach(j, fn, &d);
	fclose(d.out);
	return text;
}

char *jf_dump(struct journal *j, bool settled)
{
	return to_text(j, settled, dump_entry);
}

char *jf_line(struct journal *j)
{
	return to_text(j, false, line_entry);
}

void jf_assert_line(struct journal_fixture *f, const char *expected)
{
	char *line = jf_line(f->j);

	assert_string_equal(line, expected);
	free(line);
}

uint64_t jf_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(2685821657736338717);
}

void jf_text(char *out, size_t size, const char *fmt, ...)
{
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(out, size, fmt, ap);
	va_end(ap);
	assert_true(len >= 0 && (size_t)len < size);
}

int jf_setup_open(void **state)
{
	struct journal_fixture *f = malloc(sizeof(*f));

	assert_non_null(f);
	jf_setup(f);
	jf_open(f);
	*state = f;
	return 0;
}

int jf_teardown_free(void **state)
{
	jf_teardown(*state);
	free(*state);
	return 0;
}

struct jent jf_found(struct journal_fixture *f, const char *key)
{
	struct jent e;

	assert_int_equal(journal_find(f->j, key, &e), 0);
	return e;
}

void jf_expect_base(struct journal_fixture *f, const char *key, enum tier_cond cond,
		    const char *etag)
{
	struct jent e = jf_found(f, key);

	assert_int_equal(e.base.cond, cond);
	assert_string_equal(e.base.etag, etag);
	jent_release(&e);
}

void jf_finish_next(struct journal_fixture *f, const char *etag)
{
	struct jent *e = jf_take(f);

	assert_non_null(e);
	assert_int_equal(journal_done(f->j, e, etag, false), 0);
}
