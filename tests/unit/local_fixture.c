/* SPDX-License-Identifier: Apache-2.0 */
/* A body tier in a directory of its own, for the tests of tiers/local*.c. */
#include "local_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/clock.h"
#include "util/fsutil.h"

struct local *open_tier(struct fixture *f, enum local_kind kind, bool keep_open)
{
	struct local_conf conf = {
		.kind = kind,
		.name = kind == LOCAL_DISK ? "warm" : "ram",
		.path = f->dir,
		.ram_fd = -1,
		.max_size = 16 * MIB,
		.keep_open = keep_open,
	};
	struct local *l = NULL;
	struct err err = {{0}};
	int r = local_open(&conf, &l, &err);

	if (r)
		fail_msg("local_open: %s", err_text(&err, r));
	return l;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static int setup_kind(void **state, enum local_kind kind)
{
	struct fixture *f = calloc(1, sizeof(*f));

	snprintf(f->dir, sizeof(f->dir), "/tmp/cogfs-local-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->l = open_tier(f, kind, false);
	f->next_id = 1;
	*state = f;
	return 0;
}

int setup_disk(void **state)
{
	return setup_kind(state, LOCAL_DISK);
}

int setup_ram(void **state)
{
	return setup_kind(state, LOCAL_RAM);
}

int teardown_local(void **state)
{
	struct fixture *f = *state;

	local_close(f->l);
	nftw(f->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(f);
	return 0;
}

uint64_t make_body(struct fixture *f, const char *text)
{
	uint64_t id = f->next_id++;
	CLEANUP_CLOSE int fd = local_create(f->l->partial_fd, id);

	assert_true(fd >= 0);
	assert_int_equal(fs_pwrite_full(fd, text, strlen(text), 0), 0);
	return id;
}

static void file_record(struct record *rec)
{
	record_init(rec);
	rec->known = REC_MODE | REC_MTIME;
	rec->mode = S_IFREG | 0644;
	rec->mtime_ns = 1700000000 * NSEC_PER_SEC + 123456789;
}

int publish_id(struct fixture *f, int dirfd, uint64_t id, const char *key, bool link)
{
	struct record rec;
	int r;

	file_record(&rec);
	r = local_body_publish(f->l, dirfd, id, key, &rec, link);
	record_release(&rec);
	return r;
}

void publish(struct fixture *f, const char *key, const char *text)
{
	assert_int_equal(publish_id(f, f->l->partial_fd, make_body(f, text), key, false), 0);
}

void expect_body(struct local *l, const char *key, const char *text)
{
	CLEANUP_CLOSE int fd = local_body_open(l, key, O_RDONLY);
	char buf[256] = "";

	if (fd < 0)
		fail_msg("%s: %s", key, strerror(-fd));
	assert_true(fs_pread_full(fd, buf, sizeof(buf) - 1, 0) >= 0);
	assert_string_equal(buf, text);
}

void expect_absent(struct local *l, const char *key)
{
	assert_int_equal(local_body_open(l, key, O_RDONLY), -ENOENT);
}

bool in_mirror(struct local *l, const char *key)
{
	struct stat st;

	return fs_stat_beneath(l->objects_fd, key, &st) == 0;
}

int make_dir(struct local *l, const char *key)
{
	struct record rec;
	int r;

	record_init(&rec);
	rec.known = REC_MODE;
	rec.mode = S_IFDIR | 0755;
	r = local_dir_make(l, key, &rec);
	record_release(&rec);
	return r;
}
