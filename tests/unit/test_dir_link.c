/* SPDX-License-Identifier: Apache-2.0 */
/* The directory store's option `link`: bodies that the cache and the store have in common. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dir_fixture.h"
#include "util/cleanup.h"
#include "util/fsutil.h"

static void put_linked(struct place *p, const char *key, int fd, uint64_t size, bool immutable)
{
	struct tier_source src = {.fd = fd, .size = size, .immutable = immutable};
	struct tier_call call = {0};
	struct record rec;

	record_init(&rec);
	rec.known = REC_MODE;
	rec.mode = S_IFREG | 0644;
	assert_int_equal(tier_put(p->s.top, &call, key, &src, &rec, NULL, p->s.etag), 0);
	record_release(&rec);
}

static int make_source(struct place *p, const char *name, const char *text)
{
	char path[80];

	snprintf(path, sizeof(path), "../%s", name);
	place_write(p, path, text);
	return place_open_path(p, path, O_RDWR);
}

/* True where the filesystem clones: then there is nothing to link. */
static bool clones(struct place *p)
{
	CLEANUP_CLOSE int from = make_source(p, "clone-from", "x");
	CLEANUP_CLOSE int to = make_source(p, "clone-to", "");
	bool cloned = false;

	assert_int_equal(fs_copy_fd(from, to, 1, &cloned), 0);
	return cloned;
}

static void an_immutable_source_is_linked_where_that_is_allowed(void **state)
{
	struct place *p = *state;
	CLEANUP_CLOSE int fd = make_source(p, "body", "bytes");
	struct stat st;

	if (clones(p))
		return;
	put_linked(p, "copied", fd, 5, true);
	assert_int_equal(place_stat(p, "copied").st_nlink, 1);
	place_reopen(p, true, false);
	put_linked(p, "mutable", fd, 5, false);
	assert_int_equal(place_stat(p, "mutable").st_nlink, 1);
	put_linked(p, "part", fd, 3, true);
	assert_int_equal(place_stat(p, "part").st_nlink, 1);
	assert_int_equal(place_stat(p, "part").st_size, 3);
	put_linked(p, "linked", fd, 5, true);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(place_stat(p, "linked").st_ino, st.st_ino);
	assert_int_equal(place_count(p, ".cogfs/tmp"), 0);
}

/* rename(2) of one name of an inode onto another does nothing, and leaves both. */
static void the_same_body_can_be_put_again(void **state)
{
	struct place *p = *state;
	CLEANUP_CLOSE int fd = make_source(p, "body", "bytes");
	char first[ETAG_MAX];

	place_reopen(p, true, false);
	put_linked(p, "k", fd, 5, true);
	memcpy(first, p->s.etag, sizeof(first));
	put_linked(p, "k", fd, 5, true);
	put_linked(p, "other/k", fd, 5, true);
	assert_int_equal(place_count(p, ".cogfs/tmp"), 0);
	assert_int_equal(place_head(p, "k"), 0);
	if (!clones(p))
		assert_string_equal(p->s.etag, first); /* one inode, one version */
}

static void what_the_cache_notes_on_a_linked_body_is_no_new_version(void **state)
{
	struct place *p = *state;
	CLEANUP_CLOSE int fd = make_source(p, "body", "bytes");
	char etag[ETAG_MAX];
	struct record rec;

	if (clones(p))
		return;
	place_reopen(p, true, false);
	put_linked(p, "k", fd, 5, true);
	memcpy(etag, p->s.etag, sizeof(etag));
	record_init(&rec);
	rec.known = REC_MODE | REC_ETAG;
	rec.mode = S_IFREG | 0600;
	snprintf(rec.etag, sizeof(rec.etag), "\"of another store\"");
	assert_int_equal(record_to_fd(&rec, fd), 0);
	record_release(&rec);
	assert_int_equal(place_head(p, "k"), 0);
	assert_string_equal(p->s.etag, etag);
}

static void a_shared_link_keeps_its_version_too(void **state)
{
	struct place *p = *state;
	CLEANUP_CLOSE int dirfd = place_open_path(p, "..", O_RDONLY | O_DIRECTORY);
	CLEANUP_CLOSE int fd = -1;
	struct record rec;
	char etag[ETAG_MAX];

	if (clones(p))
		return;
	assert_int_equal(place_put(p, "k", "bytes"), 0);
	memcpy(etag, p->s.etag, sizeof(etag));
	record_init(&rec);
	assert_int_equal(tier_share(p->s.top, &p->s.call, "k", NULL, dirfd, "body", &rec),
			 -EOPNOTSUPP);
	place_reopen(p, true, true);
	assert_int_equal(tier_share(p->s.top, &p->s.call, "k", NULL, dirfd, "body", &rec),
			 -EOPNOTSUPP);
	place_reopen(p, true, false);
	assert_int_equal(tier_share(p->s.top, &p->s.call, "k", etag, dirfd, "body", &rec), 0);
	assert_string_equal(rec.etag, etag);
	fd = openat(dirfd, "body", O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	snprintf(rec.etag, sizeof(rec.etag), "\"of another store\"");
	assert_int_equal(record_to_fd(&rec, fd), 0);
	record_release(&rec);
	assert_int_equal(place_head(p, "k"), 0);
	assert_string_equal(p->s.etag, etag);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLACE(an_immutable_source_is_linked_where_that_is_allowed),
		PLACE(the_same_body_can_be_put_again),
		PLACE(what_the_cache_notes_on_a_linked_body_is_no_new_version),
		PLACE(a_shared_link_keeps_its_version_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
