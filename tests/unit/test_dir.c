/* SPDX-License-Identifier: Apache-2.0 */
/* The directory store beyond the contract: other tools, foreign files, other processes. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dir_fixture.h"

static const struct tier_pre if_absent = {.cond = TIER_IF_ABSENT};

/* --- files of other tools --- */

static void an_object_is_a_plain_file(void **state)
{
	struct place *p = *state;
	char buf[16] = "";
	int fd;

	assert_int_equal(place_put(p, "a/b.txt", "plain"), 0);
	fd = place_open_path(p, "a/b.txt", O_RDONLY);
	assert_int_equal(read(fd, buf, sizeof(buf)), 5);
	assert_string_equal(buf, "plain");
	close(fd);
	assert_int_equal(place_count(p, ".cogfs/tmp"), 0);
}

static void a_foreign_file_is_an_object_without_a_record(void **state)
{
	struct place *p = *state;
	struct tier_call call = {0};
	struct record rec;
	struct reading got;

	place_write(p, "foreign", "theirs");
	record_init(&rec);
	assert_int_equal(tier_head(p->s.top, &call, "foreign", &rec), 0);
	assert_int_equal(rec.known & REC_ALL, REC_SIZE | REC_MTIME | REC_ETAG);
	assert_int_equal(rec.size, 6);
	record_release(&rec);
	assert_int_equal(stack_get(&p->s, p->s.top, "foreign", 0, &got), 0);
	assert_string_equal(got.text, "theirs");
}

static void a_foreign_edit_is_a_new_version_of_unknown_hash(void **state)
{
	struct place *p = *state;
	struct tier_call call = {0};
	char before[ETAG_MAX];
	struct record rec;

	assert_int_equal(place_put(p, "k", "ours"), 0);
	memcpy(before, p->s.etag, sizeof(before));
	record_init(&rec);
	assert_int_equal(tier_head(p->s.top, &call, "k", &rec), 0);
	assert_true(rec.known & REC_XXH3);
	place_write(p, "k", "edited by hand");
	assert_int_equal(tier_head(p->s.top, &call, "k", &rec), 0);
	assert_string_not_equal(rec.etag, before);
	assert_false(rec.known & REC_XXH3);
	assert_true(rec.known & REC_MODE); /* what does not depend on the bytes stays */
	assert_int_equal(rec.size, 14);
	record_release(&rec);
}

static void a_foreign_edit_makes_a_conditional_write_stale(void **state)
{
	struct place *p = *state;
	struct tier_pre pre = {.cond = TIER_IF_MATCH};
	char etag[ETAG_MAX];

	assert_int_equal(place_put(p, "k", "ours"), 0);
	memcpy(etag, p->s.etag, sizeof(etag));
	pre.etag = etag;
	place_write(p, "k", "edited by hand");
	assert_int_equal(stack_put(&p->s, p->s.top, "k", "again", &pre), -ESTALE);
	assert_int_equal(tier_del(p->s.top, &p->s.call, "k", false, etag), -ESTALE);
	assert_true(place_exists(p, "k"));
}

/* Same inode number, time and size are no rarity on a filesystem that uses inodes again. */
static void versions_differ_whatever_the_inode(void **state)
{
	struct place *p = *state;
	char etags[64][ETAG_MAX];
	struct tier_source src = {.size = 1};
	struct tier_call call = {0};
	struct record rec;

	record_init(&rec);
	rec.known = REC_MTIME;
	rec.mtime_ns = 1700000000 * NSEC_PER_SEC;
	for (int i = 0; i < 64; i++) {
		char path[] = "/tmp/cogfs-src-XXXXXX";

		src.fd = mkstemp(path);
		unlink(path);
		assert_int_equal(write(src.fd, "x", 1), 1);
		assert_int_equal(tier_put(p->s.top, &call, "k", &src, &rec, NULL, etags[i]), 0);
		close(src.fd);
		for (int j = 0; j < i; j++)
			assert_string_not_equal(etags[i], etags[j]);
	}
	record_release(&rec);
}

static void the_mtime_is_the_files_own(void **state)
{
	struct place *p = *state;
	struct record rec;
	struct stat st;

	record_init(&rec);
	rec.known = REC_MODE | REC_MTIME;
	rec.mode = S_IFREG | 0644;
	rec.mtime_ns = -1500000000; /* before 1970 */
	assert_int_equal(stack_put_record(&p->s, p->s.top, "old", &rec, NULL), 0);
	record_release(&rec);
	st = place_stat(p, "old");
	assert_int_equal(st.st_mtim.tv_sec, -2);
	assert_int_equal(st.st_mtim.tv_nsec, 500000000);
}

/* --- what does not lead out --- */

static void links_in_the_store_are_neither_followed_nor_replaced(void **state)
{
	struct place *p = *state;
	struct reading got;
	char full[96];
	unsigned int entries;

	snprintf(full, sizeof(full), "%s/outside", p->dir);
	assert_int_equal(mkdir(full, 0755), 0);
	place_write(p, "../outside/secret", "secret");
	snprintf(full, sizeof(full), "%s/store/dir", p->dir);
	assert_int_equal(symlink("../outside", full), 0);
	snprintf(full, sizeof(full), "%s/store/file", p->dir);
	assert_int_equal(symlink("../outside/secret", full), 0);

	assert_int_equal(place_head(p, "file"), -ENOENT);
	assert_int_equal(place_head(p, "dir/secret"), -ENOENT);
	assert_int_equal(stack_get(&p->s, p->s.top, "file", 0, &got), -ENOENT);
	assert_int_equal(place_put(p, "file", "x"), -EINVAL);
	assert_int_equal(place_put(p, "dir/secret", "x"), -EINVAL);
	assert_int_equal(place_put(p, "dir/new", "x"), -EINVAL);
	assert_int_equal(tier_del(p->s.top, &p->s.call, "file", false, NULL), 0);
	assert_int_equal(tier_del(p->s.top, &p->s.call, "dir/secret", false, NULL), 0);
	assert_true(place_exists(p, "file"));
	assert_true(place_exists(p, "../outside/secret"));
	assert_int_equal(stack_list(&p->s, p->s.top, &entries), 0);
	assert_int_equal(entries, 0);
}

static void special_files_do_not_hang_us(void **state)
{
	struct place *p = *state;
	unsigned int entries;
	char full[96];

	snprintf(full, sizeof(full), "%s/store/fifo", p->dir);
	assert_int_equal(mkfifo(full, 0644), 0);
	assert_int_equal(place_head(p, "fifo"), -ENOENT);
	assert_int_equal(place_put(p, "fifo", "x"), -EINVAL);
	assert_int_equal(stack_list(&p->s, p->s.top, &entries), 0);
	assert_int_equal(entries, 0);
}

static int hidden_is_listed(void *arg, const struct tier_entry *entry)
{
	return -EBADMSG;
}

static void our_own_directory_is_not_listed(void **state)
{
	struct place *p = *state;
	static const char *const prefixes[] = {"",    ".cog", ".cogfs/", ".cogfs/lock/",
					       "../", "/",    "a//"};

	assert_int_equal(place_put(p, "k", ""), 0);
	assert_int_equal(tier_del(p->s.top, &p->s.call, "k", false, NULL), 0);
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		struct tier_list_req req = {.prefix = prefixes[i]};
		struct tier_call call = {0};
		char *token = NULL;

		assert_int_equal(tier_list(p->s.top, &call, &req, hidden_is_listed, NULL, &token),
				 0);
		assert_null(token);
	}
}

/* --- directories --- */

static void an_empty_directory_in_the_way_gives_way(void **state)
{
	struct place *p = *state;
	char full[96];

	snprintf(full, sizeof(full), "%s/store/left", p->dir);
	assert_int_equal(mkdir(full, 0755), 0);
	assert_int_equal(stack_put(&p->s, p->s.top, "left", "x", &if_absent), 0);
	assert_int_equal(place_head(p, "left"), 0);
	snprintf(full, sizeof(full), "%s/store/left2", p->dir);
	assert_int_equal(mkdir(full, 0755), 0);
	assert_int_equal(place_put(p, "left2", "x"), 0);
}

static void parents_that_nobody_made_go(void **state)
{
	struct place *p = *state;

	assert_int_equal(place_put(p, "a/b/c/d", ""), 0);
	assert_int_equal(place_put(p, "a/x", ""), 0);
	assert_int_equal(tier_del(p->s.top, &p->s.call, "a/b/c/d", false, NULL), 0);
	assert_false(place_exists(p, "a/b"));
	assert_true(place_exists(p, "a"));
}

/* --- the store as a whole --- */

static void read_only_is_read_only(void **state)
{
	struct tier_call call = {0};
	const char *keys[] = {"k"};
	struct place *p = *state;
	struct record rec;
	int codes[1];

	assert_int_equal(place_put(p, "k", "text"), 0);
	place_reopen(p, false, true);
	record_init(&rec);
	assert_int_equal(place_head(p, "k"), 0);
	assert_int_equal(place_put(p, "k", "x"), -EROFS);
	assert_int_equal(tier_del(p->s.top, &call, "k", false, NULL), -EROFS);
	assert_int_equal(tier_del_many(p->s.top, &call, keys, 1, codes), -EROFS);
	assert_int_equal(codes[0], -EROFS);
	assert_int_equal(tier_copy(p->s.top, &call, "k", NULL, "l", NULL, NULL, NULL), -EROFS);
	assert_int_equal(tier_set_meta(p->s.top, &call, "k", NULL, &rec, NULL), -EROFS);
	record_release(&rec);
}

static void a_store_that_cannot_be_made_says_why(void **state)
{
	const struct tier_env env = {.clock = &clock_system};
	const struct dir_conf missing = {.name = "x", .path = "/no/such/parent/store"};
	const struct dir_conf file = {.name = "x", .path = "/etc/hostname"};
	const struct dir_conf absent = {.name = "x", .path = "/tmp/cogfs-none", .read_only = true};
	struct tier *t = NULL;
	struct err err = {{0}};

	assert_int_equal(dir_create(&env, &missing, &t, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/no/such/parent/store"));
	assert_int_equal(dir_create(&env, &file, &t, &err), -ENOTDIR);
	assert_int_equal(dir_create(&env, &absent, &t, &err), -ENOENT);
	assert_null(t);
}

static void a_root_that_was_exchanged_fails_the_probe(void **state)
{
	struct place *p = *state;
	char from[96], to[96];

	assert_int_equal(tier_probe(p->s.top, &p->s.call), 0);
	snprintf(from, sizeof(from), "%s/store", p->dir);
	snprintf(to, sizeof(to), "%s/gone", p->dir);
	assert_int_equal(rename(from, to), 0);
	assert_int_equal(tier_probe(p->s.top, &p->s.call), -ENOENT);
	assert_int_equal(mkdir(from, 0755), 0);
	assert_int_equal(tier_probe(p->s.top, &p->s.call), -EIO);
	assert_true(p->s.call.transient);
}

static int64_t wall_in_two_days(const struct clock *clk)
{
	return clock_wall(&clock_system) + 48 * 3600 * NSEC_PER_SEC;
}

static void what_a_dead_writer_left_is_removed_a_day_later(void **state)
{
	struct place *p = *state;
	struct clock later = clock_system;
	const struct tier_env env = {.clock = &later};
	char path[80];
	struct dir_conf conf = {.name = "nas", .path = path};
	struct err err;

	place_write(p, ".cogfs/tmp/0123456789abcdef", "half");
	place_reopen(p, false, false);
	assert_true(place_exists(p, ".cogfs/tmp/0123456789abcdef")); /* it may be alive */
	tier_close(p->s.top);
	snprintf(path, sizeof(path), "%s/store", p->dir);
	later.wall_ns = wall_in_two_days;
	assert_int_equal(dir_create(&env, &conf, &p->s.top, &err), 0);
	assert_false(place_exists(p, ".cogfs/tmp/0123456789abcdef"));
	place_reopen(p, false, false);
}

/* --- two processes --- */

/* In a child: holds every lock file for a while. */
static pid_t hold_locks(struct place *p, int *ret_ready)
{
	int ready[2];
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		for (unsigned int i = 0; i < 64; i++) {
			char name[32];

			snprintf(name, sizeof(name), ".cogfs/lock/%02x", i);
			if (flock(place_open_path(p, name, O_RDWR | O_CREAT), LOCK_EX) < 0)
				_exit(1);
		}
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
	}
	close(ready[1]);
	*ret_ready = ready[0];
	return pid;
}

static void another_process_is_kept_out_and_its_death_lets_in(void **state)
{
	struct place *p = *state;
	int ready, status;
	pid_t pid;
	char c;

	pid = hold_locks(p, &ready);
	assert_int_equal(read(ready, &c, 1), 1);
	close(ready);
	p->s.call.deadline = clock_mono(&clock_system) + 50 * NSEC_PER_MSEC;
	assert_int_equal(stack_put(&p->s, p->s.top, "k", "x", &if_absent), -ETIMEDOUT);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	p->s.call.deadline = 0;
	assert_int_equal(stack_put(&p->s, p->s.top, "k", "x", &if_absent), 0);
}

/* Each child puts if absent; the exit code says who won. */
static void of_many_processes_one_wins(void **state)
{
	struct place *p = *state;
	int winners = 0, status;
	pid_t pids[8];

	for (int i = 0; i < 8; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			struct stack s = {.call = {0}};

			place_open(p, false, false);
			s.top = p->s.top;
			status = stack_put(&s, s.top, "race", "x", &if_absent);
			_exit(status == 0 ? 0 : status == -EEXIST ? 1 : 2);
		}
	}
	for (int i = 0; i < 8; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
		winners += WEXITSTATUS(status) == 0;
	}
	assert_int_equal(winners, 1);
}

/* --- a filesystem without user xattrs --- */

static void must_work_without_xattrs(struct place *p)
{
	char etag[ETAG_MAX];
	struct record rec;
	unsigned int entries;
	struct reading got;

	place_open(p, false, false);
	assert_int_equal(place_put(p, "a/b", "bytes"), 0);
	memcpy(etag, p->s.etag, sizeof(etag));
	assert_int_equal(place_head(p, "a/b"), 0);
	assert_string_equal(p->s.etag, etag);
	assert_int_equal(stack_get(&p->s, p->s.top, "a/b", 0, &got), 0);
	assert_string_equal(got.text, "bytes");
	assert_int_equal(stack_put(&p->s, p->s.top, "a/b", "x", &if_absent), -EEXIST);
	record_init(&rec);
	rec.known = REC_MODE;
	rec.mode = S_IFLNK | 0777;
	rec.symlink = strdup("x");
	assert_int_equal(stack_put_record(&p->s, p->s.top, "l", &rec, NULL), -EOPNOTSUPP);
	rec.mode = S_IFDIR | 0755;
	assert_int_equal(stack_put_record(&p->s, p->s.top, "d", &rec, NULL), 0);
	assert_int_equal(stack_put_record(&p->s, p->s.top, "d", &rec, &if_absent), -EEXIST);
	record_release(&rec);
	assert_int_equal(place_head(p, "d/"), 0);
	assert_int_equal(stack_list(&p->s, p->s.top, &entries), 0);
	assert_int_equal(entries, 3); /* a/, a/b, d/ */
	assert_int_equal(tier_del(p->s.top, &p->s.call, "d", true, NULL), 0);
	assert_int_equal(place_head(p, "d/"), -ENOENT);
	assert_int_equal(tier_del(p->s.top, &p->s.call, "a/b", false, etag), 0);
	tier_close(p->s.top);
}

static void without_xattrs_size_and_mtime_are_kept(void **state)
{
	struct place *p = *state;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct place own = {.dir = ""};

		memcpy(own.dir, p->dir, sizeof(own.dir));
		if (unshare(CLONE_NEWNS) < 0 ||
		    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		    mount("none", p->dir, "ramfs", 0, NULL) < 0)
			_exit(77);
		must_work_without_xattrs(&own);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLACE(an_object_is_a_plain_file),
		PLACE(a_foreign_file_is_an_object_without_a_record),
		PLACE(a_foreign_edit_is_a_new_version_of_unknown_hash),
		PLACE(a_foreign_edit_makes_a_conditional_write_stale),
		PLACE(versions_differ_whatever_the_inode),
		PLACE(the_mtime_is_the_files_own),
		PLACE(links_in_the_store_are_neither_followed_nor_replaced),
		PLACE(special_files_do_not_hang_us),
		PLACE(our_own_directory_is_not_listed),
		PLACE(an_empty_directory_in_the_way_gives_way),
		PLACE(parents_that_nobody_made_go),
		PLACE(read_only_is_read_only),
		PLACE(a_store_that_cannot_be_made_says_why),
		PLACE(a_root_that_was_exchanged_fails_the_probe),
		PLACE(what_a_dead_writer_left_is_removed_a_day_later),
		PLACE(another_process_is_kept_out_and_its_death_lets_in),
		PLACE(of_many_processes_one_wins),
		PLACE(without_xattrs_size_and_mtime_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
