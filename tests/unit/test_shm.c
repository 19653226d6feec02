/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes and handles in memory that outlives a worker: ids are never used twice, names follow
 * renames, and a worker that is killed between any two instructions leaves tables that the next
 * one can build on.
 *
 * The cache behind the nodes is a fake: six functions, and an obj that is a counter.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fuse/handles.h"
#include "fuse/nodes.h"
#include "util/clock.h"

struct obj {
	uint64_t node;
	int refs;
	uint32_t epoch;
};

/* --- the fake --- */

static struct obj *fake_new(void)
{
	struct obj *o = calloc(1, sizeof(*o));

	assert_non_null(o);
	o->refs = 1;
	return o;
}

struct obj *cache_root(struct cache *c)
{
	return fake_new();
}

struct obj *obj_ref(struct obj *o)
{
	o->refs++;
	return o;
}

void obj_unref(struct cache *c, struct obj *o)
{
	if (--o->refs == 0)
		free(o);
}

uint32_t obj_epoch(struct cache *c, struct obj *o)
{
	return o->epoch;
}

uint64_t obj_node(const struct obj *o)
{
	return o->node;
}

void obj_set_node(struct obj *o, uint64_t node)
{
	o->node = node;
}

/* --- the fixture --- */

struct fixture {
	struct shm shm;
	struct nodes nodes;
};

static int begin(void **state)
{
	static struct fixture f;

	assert_int_equal(shm_init(&f.shm), 0);
	assert_int_equal(nodes_init(&f.nodes, &f.shm, NULL), 0);
	*state = &f;
	return 0;
}

static int end(void **state)
{
	struct fixture *f = *state;

	nodes_release(&f->nodes);
	shm_release(&f->shm);
	return 0;
}

static void next_worker(struct fixture *f)
{
	nodes_release(&f->nodes);
	assert_int_equal(nodes_init(&f->nodes, &f->shm, NULL), 0);
}

static uint64_t enter_obj(struct fixture *f, uint64_t parent, const char *name, struct obj *o,
			  mode_t type)
{
	struct cache_attr attr = {.st = {.st_ino = 1234, .st_mode = type}, .epoch = o->epoch};
	uint64_t id;

	assert_int_equal(nodes_enter(&f->nodes, parent, name, o, &attr, &id), 0);
	return id;
}

static uint64_t enter(struct fixture *f, uint64_t parent, const char *name)
{
	struct obj *o = fake_new();
	uint64_t id = enter_obj(f, parent, name, o, S_IFREG);

	obj_unref(NULL, o);
	return id;
}

static void assert_key(struct fixture *f, uint64_t id, const char *expected)
{
	char *key = nodes_key(&f->nodes, id);

	if (expected)
		assert_string_equal(key, expected);
	else
		assert_null(key);
	free(key);
}

/* --- nodes --- */

static void an_id_is_never_used_twice(void **state)
{
	struct fixture *f = *state;
	uint64_t last = 0;

	for (int i = 0; i < 1000; i++) {
		uint64_t id = enter(f, NODE_ROOT, "a");

		assert_int_not_equal(id, last);
		assert_null(nodes_get_locked(&f->nodes, last));
		nodes_forget(&f->nodes, id, 1);
		last = id;
	}
	next_worker(f);
	assert_int_not_equal(enter(f, NODE_ROOT, "a"), last);
}

static void a_node_lives_as_long_as_it_is_looked_up(void **state)
{
	struct obj *o = fake_new();
	struct fixture *f = *state;
	uint64_t id = enter_obj(f, NODE_ROOT, "a", o, S_IFREG);

	assert_int_equal(enter_obj(f, NODE_ROOT, "a", o, S_IFREG), id);
	nodes_forget(&f->nodes, id, 1);
	assert_int_equal(o->node, id);
	nodes_forget(&f->nodes, id, 1);
	assert_int_equal(o->node, 0);
	assert_int_equal(o->refs, 1);
	obj_unref(NULL, o);
}

static void keys_follow_the_rename_of_a_directory(void **state)
{
	struct fixture *f = *state;
	uint64_t dir = enter(f, NODE_ROOT, "dir"), sub = enter(f, dir, "sub");
	uint64_t file = enter(f, sub, "file");

	nodes_renamed(&f->nodes, NODE_ROOT, "dir", NODE_ROOT, "other");
	assert_key(f, file, "other/sub/file");
	nodes_renamed(&f->nodes, sub, "file", NODE_ROOT, "top");
	assert_key(f, file, "top");
	next_worker(f);
	assert_key(f, file, "top");
	assert_key(f, sub, "other/sub");
}

static void what_is_renamed_away_or_removed_has_no_key(void **state)
{
	struct fixture *f = *state;
	uint64_t a = enter(f, NODE_ROOT, "a"), b = enter(f, NODE_ROOT, "b");

	nodes_renamed(&f->nodes, NODE_ROOT, "a", NODE_ROOT, "b");
	assert_key(f, a, "b");
	assert_key(f, b, NULL);
	nodes_removed(&f->nodes, NODE_ROOT, "b");
	assert_key(f, a, NULL);
	next_worker(f);
	assert_key(f, a, NULL);
}

static void a_new_worker_gives_a_name_its_old_node(void **state)
{
	struct fixture *f = *state;
	uint64_t id = enter(f, NODE_ROOT, "a");

	next_worker(f);
	assert_int_equal(enter(f, NODE_ROOT, "a"), id);
}

static void a_new_worker_asks_for_the_obj_by_its_key(void **state)
{
	struct fixture *f = *state;
	uint64_t id = enter(f, NODE_ROOT, "a");
	struct obj *o = fake_new(), *found;
	char *key = NULL;

	next_worker(f);
	assert_int_equal(nodes_obj(&f->nodes, id, &found, &key), NODES_UNRESOLVED);
	assert_string_equal(key, "a");
	nodes_attach(&f->nodes, id, o);
	assert_int_equal(nodes_obj(&f->nodes, id, &found, &key), 0);
	assert_ptr_equal(found, o);
	assert_int_equal(o->node, id);
	obj_unref(NULL, found);
	obj_unref(NULL, o);
	free(key);
}

static void readers_of_another_epoch_keep_their_node(void **state)
{
	struct obj *o = fake_new();
	struct fixture *f = *state;
	uint64_t old = enter_obj(f, NODE_ROOT, "a", o, S_IFREG), fresh;

	nodes_io_locked(&f->nodes, old, true)->held.n[IO_CACHED] = 1;
	o->epoch++;
	fresh = enter_obj(f, NODE_ROOT, "a", o, S_IFREG);
	assert_int_not_equal(fresh, old);
	assert_int_equal(nodes_ino(&f->nodes, fresh), nodes_ino(&f->nodes, old));
	/* Both are renamed with their name. */
	nodes_renamed(&f->nodes, NODE_ROOT, "a", NODE_ROOT, "b");
	assert_key(f, old, "b");
	assert_key(f, fresh, "b");
	obj_unref(NULL, o);
}

static void writers_and_directories_keep_theirs_for_all(void **state)
{
	struct obj *file = fake_new(), *dir = fake_new();
	struct fixture *f = *state;
	uint64_t a = enter_obj(f, NODE_ROOT, "a", file, S_IFREG);
	uint64_t d = enter_obj(f, NODE_ROOT, "d", dir, S_IFDIR);
	struct node_io *io = nodes_io_locked(&f->nodes, a, true);

	io->held.n[IO_CACHED] = io->held.writers = 1;
	file->epoch++;
	dir->epoch++;
	assert_int_equal(enter_obj(f, NODE_ROOT, "a", file, S_IFREG), a);
	assert_int_equal(enter_obj(f, NODE_ROOT, "d", dir, S_IFDIR), d);
	obj_unref(NULL, file);
	obj_unref(NULL, dir);
}

static void a_forgotten_node_waits_for_its_last_release(void **state)
{
	struct fixture *f = *state;
	uint64_t id = enter(f, NODE_ROOT, "a");
	struct obj *left;

	nodes_io_locked(&f->nodes, id, true)->held.n[IO_PASS] = 1;
	nodes_forget(&f->nodes, id, 1);
	assert_non_null(nodes_get_locked(&f->nodes, id));
	nodes_io_locked(&f->nodes, id, true)->held.n[IO_PASS] = 0;
	left = nodes_closed_locked(&f->nodes, id);
	assert_non_null(left);
	obj_unref(NULL, left);
	assert_null(nodes_get_locked(&f->nodes, id));
}

/* --- kill -9 --- */

#define NAMES 200

static void random_name(unsigned int *seed, char *buf, size_t size)
{
	unsigned int n = (unsigned int)rand_r(seed) % NAMES;

	/* Lengths of all sizes, so that the heap's lists are used. */
	snprintf(buf, size, "%u-%.*s", n, (int)(n % 7 * 30),
		 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		 "xxxxxx"
		 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		 "xxxxxx");
}

static uint64_t any_id(const struct shm *shm, unsigned int *seed)
{
	uint32_t at = (uint32_t)rand_r(seed) % shm->hdr->nodes;

	return shm->nodes[at].id;
}

static void random_handle(struct handles *h, unsigned int *seed)
{
	uint32_t at = (uint32_t)rand_r(seed) % 64;
	struct handle *fh = at && h->rt[at].slot ? handle_get(h, h->shm->handles[at].id) : NULL;

	if (fh) {
		handle_free(h, fh);
		return;
	}
	fh = handle_new(h);
	fh->slot->file.id = fh->index;
	handle_publish(fh, HANDLE_FILE, NODE_ROOT, 0, 0, 0);
}

/* Until it is killed. */
static void random_life(struct fixture *f, struct handles *h, unsigned int seed)
{
	char a[256], b[256];

	for (;;) {
		random_name(&seed, a, sizeof(a));
		random_name(&seed, b, sizeof(b));
		switch (rand_r(&seed) % 6) {
		case 0:
		case 1:
			(void)enter(f, NODE_ROOT, a);
			break;
		case 2:
			nodes_forget(&f->nodes, any_id(&f->shm, &seed), 1);
			break;
		case 3:
			nodes_renamed(&f->nodes, NODE_ROOT, a, NODE_ROOT, b);
			break;
		case 4:
			nodes_removed(&f->nodes, NODE_ROOT, a);
			break;
		case 5:
			random_handle(h, &seed);
			break;
		}
	}
}

static void live_and_die(struct fixture *f, unsigned int seed)
{
	struct timespec pause = {.tv_nsec = 1000000 + rand_r(&seed) % 8000000};
	struct handles h;
	pid_t child = fork();

	if (child == 0) {
		next_worker(f);
		if (handles_init(&h, &f->shm))
			_exit(1);
		random_life(f, &h, seed);
	}
	nanosleep(&pause, NULL);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

/* No record of a live node overlaps another, and each node is where its name leads. */
static void check_nodes(struct fixture *f)
{
	uint8_t *used = calloc(f->shm.hdr->heap_units, 1);

	for (uint32_t at = NODE_ROOT + 1; at < f->shm.hdr->nodes; at++) {
		struct shm_node *slot = &f->shm.nodes[at];
		uint32_t unit = (uint32_t)slot->link, end = unit + (slot->link >> 32 & 0xff);

		if (!slot->id)
			continue;
		assert_int_equal(shm_index(slot->id), at);
		assert_int_equal(slot->id >> 32, slot->generation);
		for (; unit < end; unit++)
			assert_int_equal(used[unit]++, 0);
		assert_int_equal(names_get(&f->nodes.names, slot->link)->parent, NODE_ROOT);
	}
	free(used);
}

static void check_handles(struct fixture *f)
{
	for (uint32_t at = 1; at < f->shm.hdr->handles; at++) {
		struct shm_handle *slot = &f->shm.handles[at];

		if (!slot->id)
			continue;
		assert_int_equal(shm_index(slot->id), at);
		assert_int_equal(slot->file.id, at);
		assert_int_equal(slot->kind, HANDLE_FILE);
	}
}

static void a_worker_killed_at_any_moment_leaves_sound_tables(void **state)
{
	struct fixture *f = *state;

	for (unsigned int round = 0; round < 60; round++) {
		live_and_die(f, round);
		next_worker(f);
		check_nodes(f);
		check_handles(f);
	}
	assert_true(f->shm.hdr->nodes > 10);
}

static void a_hundred_thousand_nodes_are_back_at_once(void **state)
{
	struct fixture *f = *state;
	char name[32];
	int64_t began;

	for (int i = 0; i < 100000; i++) {
		snprintf(name, sizeof(name), "frame_%08d.jpg", i);
		(void)enter(f, NODE_ROOT, name);
	}
	nodes_release(&f->nodes);
	began = clock_mono(&clock_system);
	assert_int_equal(nodes_init(&f->nodes, &f->shm, NULL), 0);
	/*
	 * A tenth of the time that a million may take, times what sanitizers and neighbours cost.
	 */
	assert_true(clock_mono(&clock_system) - began < 500 * NSEC_PER_MSEC);
	assert_int_equal(f->nodes.n_live, 100000);
}

/* --- handles --- */

static void a_late_release_hits_nothing(void **state)
{
	struct fixture *f = *state;
	struct handles h;
	struct handle *fh;
	uint64_t id;

	assert_int_equal(handles_init(&h, &f->shm), 0);
	fh = handle_new(&h);
	id = handle_publish(fh, HANDLE_FILE, NODE_ROOT, 0, 0, 0);
	assert_ptr_equal(handle_get(&h, id), fh);
	handle_free(&h, fh);
	assert_null(handle_get(&h, id));
	fh = handle_new(&h);
	assert_int_not_equal(handle_publish(fh, HANDLE_FILE, NODE_ROOT, 0, 0, 0), id);
	assert_null(handle_get(&h, id));
	handles_release(&h);
}

static void an_unanswered_open_is_found_by_its_number(void **state)
{
	struct fixture *f = *state;
	struct handles h;
	struct handle *fh;
	uint64_t id;

	assert_int_equal(handles_init(&h, &f->shm), 0);
	fh = handle_new(&h);
	id = handle_publish(fh, HANDLE_FILE, NODE_ROOT, 0, 42, 0);
	(void)handle_new(&h); /* never published: nothing to the next worker */
	handles_release(&h);
	assert_int_equal(handles_init(&h, &f->shm), 0);
	assert_int_equal(handle_id(handle_of_unique(&h, 42)), id);
	handle_settled(&h, handle_of_unique(&h, 42), 42);
	assert_null(handle_of_unique(&h, 42));
	handles_release(&h);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_id_is_never_used_twice),
		TEST(a_node_lives_as_long_as_it_is_looked_up),
		TEST(keys_follow_the_rename_of_a_directory),
		TEST(what_is_renamed_away_or_removed_has_no_key),
		TEST(a_new_worker_gives_a_name_its_old_node),
		TEST(a_new_worker_asks_for_the_obj_by_its_key),
		TEST(readers_of_another_epoch_keep_their_node),
		TEST(writers_and_directories_keep_theirs_for_all),
		TEST(a_forgotten_node_waits_for_its_last_release),
		TEST(a_worker_killed_at_any_moment_leaves_sound_tables),
		TEST(a_hundred_thousand_nodes_are_back_at_once),
		TEST(a_late_release_hits_nothing),
		TEST(an_unanswered_open_is_found_by_its_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
