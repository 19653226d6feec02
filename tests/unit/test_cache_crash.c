/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is left when the process dies, and what a supervised restart goes on with. A child does the
 * work and dies.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "cache_fixture.h"

/*
 * Runs work in a child that is killed at its end, with the cache as it is then; the host is open
 * again afterwards.
 */
static void die_after(struct host *h, void (*work)(struct host *h))
{
	pid_t pid;
	int status;

	host_close(h);
	pid = fork();
	if (!pid) {
		host_open(h, h->store);
		work(h);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	host_open(h, h->store);
}

static void closed(struct host *h)
{
	host_put(h, "a", "hello", 5);
}

/* A close that returned 0 survives kill -9. */
static void a_closed_file_is_there(void **state)
{
	struct host *h = *state;
	char buf[8];

	die_after(h, closed);
	assert_int_equal(host_get(h, "a", buf, sizeof(buf)), 5);
	assert_int_equal(host_flush(h), 0);
	assert_true(host_stored(h, "a"));
}

static void flushed_and_more(struct host *h)
{
	struct cfile *f = host_create(h, "a", NULL);
	struct twait t;

	host_write(h, f, "hello", 5, 0);
	assert_int_equal(CALL(&t, cache_flush(h->cache, f, 0, &t.w)), 0);
	host_write(h, f, "more", 4, 5);
}

/* What came after the last flush is cut off. */
static void the_last_flush_is_what_stays(void **state)
{
	struct host *h = *state;
	char buf[16];

	die_after(h, flushed_and_more);
	assert_int_equal(host_get(h, "a", buf, sizeof(buf)), 5);
}

static void never_flushed(struct host *h)
{
	struct cfile *f = host_create(h, "a", NULL);

	host_write(h, f, "hello", 5, 0);
}

/* A file that was never closed does not show up. */
static void an_unclosed_file_is_not_there(void **state)
{
	struct host *h = *state;
	struct obj *o;

	die_after(h, never_flushed);
	assert_int_equal(host_lookup(h, "a", &o), -ENOENT);
}

static void empty_flush(struct host *h)
{
	struct cfile *f = host_create(h, "a", NULL);
	struct twait t;

	assert_int_equal(CALL(&t, cache_flush(h->cache, f, 0, &t.w)), 0);
}

/* A shell flushes its redirection at size 0 before the command writes. */
static void an_empty_file_that_was_never_released_is_not_there(void **state)
{
	struct host *h = *state;
	struct obj *o;

	die_after(h, empty_flush);
	assert_int_equal(host_lookup(h, "a", &o), -ENOENT);
}

static void empty_close(struct host *h)
{
	struct cfile *f = host_create(h, "a", NULL);
	struct twait t;

	assert_true(cfile_is_blank(f));
	assert_int_equal(CALL(&t, cache_flush(h->cache, f, 0, &t.w)), 0);
	assert_int_equal(CALL(&t, cache_flush(h->cache, f, CACHE_FLUSH_LAST, &t.w)), 0);
	assert_false(cfile_is_blank(f));
}

/* Its close returned; only the kernel's RELEASE was still on its way. */
static void an_empty_file_that_was_closed_is_there(void **state)
{
	struct host *h = *state;
	struct obj *o;

	die_after(h, empty_close);
	assert_int_equal(host_lookup(h, "a", &o), 0);
	obj_unref(h->cache, o);
}

/* The connection is gone before the kernel's RELEASE came: what was closed is published. */
static void a_closed_file_is_published_without_its_release(void **state)
{
	struct host *h = *state;
	struct cfile *f = host_create(h, "a", NULL);
	struct cache_stats stats;
	struct twait t;

	assert_int_equal(CALL(&t, cache_write(h->cache, f, "closed", 6, 0, false, &t.w)), 0);
	assert_int_equal(CALL(&t, cache_flush(h->cache, f, 0, &t.w)), 0);
	cache_stats(h->cache, &stats);
	assert_int_equal(stats.held_objects, 1);
	cache_abandon(h->cache, f);
	cache_stats(h->cache, &stats);
	assert_int_equal(stats.held_objects, 0);
	assert_int_equal(stats.dirty_objects, 1);
}

static void torn_in_place(struct host *h)
{
	struct cfile *f;
	struct twait t;
	struct obj *o;

	host_put(h, "a", "0123456789", 10);
	assert_int_equal(host_flush(h), 0);
	assert_int_equal(host_lookup(h, "a", &o), 0);
	assert_int_equal(CALL(&t, cache_open(h->cache, o, O_RDWR, &t.w, NULL, &f)), 0);
	host_write(h, f, "xxxx", 4, 3);
}

/* A change in place that was never flushed falls back to what the store has. */
static void a_torn_change_falls_back(void **state)
{
	struct host *h = *state;
	char buf[16] = "";

	die_after(h, torn_in_place);
	assert_int_equal(host_get(h, "a", buf, sizeof(buf)), 10);
	assert_string_equal(buf, "0123456789");
}

static void dirty_then_in_place(struct host *h)
{
	struct cfile *f;
	struct twait t;
	struct obj *o;

	host_put(h, "a", "0123456789", 10);
	assert_int_equal(host_lookup(h, "a", &o), 0);
	assert_int_equal(CALL(&t, cache_open(h->cache, o, O_RDWR, &t.w, NULL, &f)), 0);
	host_write(h, f, "xxxx", 4, 3);
}

/* An acknowledged version that is not drained is not torn by the next writer. */
static void an_acknowledged_version_stays_whole(void **state)
{
	struct host *h = *state;
	char buf[16] = "";

	die_after(h, dirty_then_in_place);
	assert_int_equal(host_get(h, "a", buf, sizeof(buf)), 10);
	assert_string_equal(buf, "0123456789");
}

static void unlinked(struct host *h)
{
	struct obj *root = cache_root(h->cache);
	struct twait t;

	host_put(h, "a", "1", 1);
	assert_int_equal(host_flush(h), 0);
	assert_int_equal(CALL(&t, cache_unlink(h->cache, root, "a", &t.w)), 0);
}

/* What was unlinked does not come back from the store. */
static void an_unlinked_name_stays_gone(void **state)
{
	struct host *h = *state;
	struct obj *o;

	die_after(h, unlinked);
	assert_int_equal(host_lookup(h, "a", &o), -ENOENT);
	assert_int_equal(host_flush(h), 0);
	assert_false(host_stored(h, "a"));
}

static void renamed(struct host *h)
{
	struct obj *root = cache_root(h->cache);
	struct twait t;

	host_put(h, "tmp", "new", 3);
	assert_int_equal(CALL(&t, cache_rename(h->cache, root, "tmp", root, "a", 0, &t.w)), 0);
}

/* tmp + rename: the new name is there with its bytes, the temporary one nowhere. */
static void a_renamed_file_is_at_its_new_name(void **state)
{
	struct host *h = *state;
	struct obj *o;
	char buf[8];

	die_after(h, renamed);
	assert_int_equal(host_get(h, "a", buf, sizeof(buf)), 3);
	assert_int_equal(host_lookup(h, "tmp", &o), -ENOENT);
	assert_int_equal(host_flush(h), 0);
	assert_true(host_stored(h, "a"));
	assert_false(host_stored(h, "tmp"));
}

/* --- a supervised restart: the slots outlive the process --- */

static struct cfile_state *shared_slot(void)
{
	FILE *f = tmpfile();
	struct cfile_state *slot;

	assert_int_equal(ftruncate(fileno(f), 4096), 0);
	slot = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(f), 0);
	assert_true(slot != MAP_FAILED);
	return slot;
}

/* A writer that was never flushed goes on writing after its worker was replaced. */
static void a_writer_goes_on_after_a_restart(void **state)
{
	struct host *h = *state;
	struct cfile_state *slot = shared_slot();
	struct obj *o;
	struct cfile *f;
	struct err err;
	char buf[16] = "";
	int status;
	pid_t pid;

	host_close(h);
	pid = fork();
	if (!pid) {
		host_open(h, h->store);
		host_write(h, host_create(h, "a", slot), "hello", 5, 0);
		kill(getpid(), SIGKILL);
	}
	waitpid(pid, &status, 0);
	assert_int_equal(slot->kind, CFILE_WRITE);
	host_open_with(h, h->store, NULL, true);
	assert_int_equal(cache_restore(h->cache, "a", slot, &o, &f), 0);
	assert_int_equal(cache_start(h->cache, &err), 0);
	obj_unref(h->cache, o);
	host_write(h, f, " world", 6, 5);
	host_done(h, f);
	assert_int_equal(slot->kind, CFILE_NONE);
	assert_int_equal(host_get(h, "a", buf, sizeof(buf)), 11);
	assert_string_equal(buf, "hello world");
	assert_int_equal(host_flush(h), 0);
	assert_true(host_stored(h, "a"));
	munmap(slot, 4096);
}

static const struct conf_override slow[] = {{"write.upload_delay", "1h"}, {NULL, NULL}};

static void go_slow(struct host *h)
{
	host_close(h);
	host_open_with(h, h->store, slow, false);
}

static void rewritten_by_a_shell(struct host *h)
{
	struct cfile *f;
	struct twait t;

	go_slow(h);
	host_put(h, "a", "hello", 5);
	f = host_create(h, "a", NULL); /* "cmd > a": flushed at size 0 before cmd writes */
	assert_int_equal(CALL(&t, cache_flush(h->cache, f, 0, &t.w)), 0);
}

/* The change that waits to be drained is the object again, with its bytes. */
static void a_rewrite_that_died_leaves_what_was_closed(void **state)
{
	struct host *h = *state;
	char buf[8];

	die_after(h, rewritten_by_a_shell);
	assert_int_equal(host_get(h, "a", buf, sizeof(buf)), 5);
	assert_int_equal(host_flush(h), 0);
	assert_int_equal(host_get(h, "a", buf, sizeof(buf)), 5);
}

static void renamed_and_used_again(struct host *h)
{
	struct obj *root;
	struct twait t;

	host_put(h, "a", "one", 3);
	assert_int_equal(host_flush(h), 0);
	go_slow(h);
	root = cache_root(h->cache);
	assert_int_equal(CALL(&t, cache_rename(h->cache, root, "a", root, "b", 0, &t.w)), 0);
	host_put(h, "a", "three", 5);
}

/* What is at the old name of a rename that waits is not moved once more. */
static void a_name_that_was_used_again_keeps_its_bytes(void **state)
{
	struct host *h = *state;
	char buf[8] = "";

	die_after(h, renamed_and_used_again);
	assert_int_equal(host_get(h, "b", buf, sizeof(buf)), 3);
	assert_memory_equal(buf, "one", 3);
	assert_int_equal(host_get(h, "a", buf, sizeof(buf)), 5);
	assert_int_equal(host_flush(h), 0);
	assert_int_equal(host_get(h, "b", buf, sizeof(buf)), 3);
	assert_int_equal(host_get(h, "a", buf, sizeof(buf)), 5);
}

static void renamed_over_and_unlinked(struct host *h)
{
	struct obj *root;
	struct twait t;

	host_put(h, "a", "one", 3);
	host_put(h, "b", "three", 5);
	assert_int_equal(host_flush(h), 0);
	go_slow(h);
	root = cache_root(h->cache);
	assert_int_equal(CALL(&t, cache_unlink(h->cache, root, "b", &t.w)), 0);
	assert_int_equal(CALL(&t, cache_rename(h->cache, root, "a", root, "b", 0, &t.w)), 0);
}

/* A deletion that waits does not take away what a rename put in its place. */
static void what_was_renamed_onto_a_deleted_name_is_there(void **state)
{
	struct host *h = *state;
	char buf[8] = "";

	die_after(h, renamed_over_and_unlinked);
	assert_int_equal(host_get(h, "b", buf, sizeof(buf)), 3);
	assert_int_equal(host_flush(h), 0);
	assert_int_equal(host_get(h, "b", buf, sizeof(buf)), 3);
	assert_false(host_stored(h, "a"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HOST_TEST(a_closed_file_is_there),
		HOST_TEST(the_last_flush_is_what_stays),
		HOST_TEST(an_unclosed_file_is_not_there),
		HOST_TEST(an_empty_file_that_was_never_released_is_not_there),
		HOST_TEST(an_empty_file_that_was_closed_is_there),
		HOST_TEST(a_closed_file_is_published_without_its_release),
		HOST_TEST(a_torn_change_falls_back),
		HOST_TEST(an_acknowledged_version_stays_whole),
		HOST_TEST(an_unlinked_name_stays_gone),
		HOST_TEST(a_renamed_file_is_at_its_new_name),
		HOST_TEST(a_rewrite_that_died_leaves_what_was_closed),
		HOST_TEST(a_name_that_was_used_again_keeps_its_bytes),
		HOST_TEST(what_was_renamed_onto_a_deleted_name_is_there),
		HOST_TEST(a_writer_goes_on_after_a_restart),
	};

	return cmocka_run_group_tests_name("cache crash", tests, NULL, NULL);
}
