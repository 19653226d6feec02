/* SPDX-License-Identifier: Apache-2.0 */
/* The layer that packs: what it stores, what it refuses, what others may have stored. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "blind_list.h"
#include "layer_fixture.h"
#include "util/cleanup.h"
#include "util/fsutil.h"
#include "util/list.h"

#define BIG (3u << 20)

struct world {
	struct stack s;
	char *text; /* BIG bytes that pack well, none of them like its neighbours */
};

static bool below_packed(void *arg, const char *key, size_t key_len)
{
	(void)arg;
	return key_len > 7 && memcmp(key, "packed/", 7) == 0;
}

static void build(struct world *w, bool blind)
{
	const struct retry_conf retry = {.tries = 3, .min_ns = 1000, .max_ns = 1000};
	const struct zstd_conf conf = {.tmp_dirfd = -1, .may_be_packed = below_packed};

	stack_init(&w->s);
	if (blind)
		assert_int_equal(blind_list_create(w->s.top, &w->s.top), 0);
	assert_int_equal(retry_create(&retry, w->s.top, &w->s.top), 0);
	assert_int_equal(zstd_create(&conf, w->s.top, &w->s.top), 0);
	w->text = malloc(BIG);
	assert_non_null(w->text);
	for (size_t i = 0; i < BIG; i++)
		w->text[i] = (char)(i % 251 + i / 4096);
}

static void end(struct world *w)
{
	free(w->text);
	stack_release(&w->s);
}

/* --- verbs --- */

static int file_of(const void *data, size_t len)
{
	int fd = memfd_create("source", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fs_pwrite_full(fd, data, len, 0), 0);
	return fd;
}

static int put(struct world *w, const char *key, const void *data, size_t len, uint64_t min_size)
{
	struct tier_source src = {.fd = file_of(data, len),
				  .size = len,
				  .xxh3 = xxh3_of(data, len),
				  .packing = {.zstd = true, .level = 3, .min_size = min_size}};
	struct record rec = {.known = REC_MODE, .mode = S_IFREG | 0600};
	int r = tier_put(w->s.top, &w->s.call, key, &src, &rec, NULL, w->s.etag);

	close(src.fd);
	return r;
}

/* Behind the layer's back. */
static void plant(struct world *w, const char *key, const void *data, size_t len,
		  const char *encoding, uint64_t plain_size, const struct xxh3 *xxh3)
{
	struct tier_source src = {.fd = file_of(data, len), .size = len};
	struct record rec = {
		.known = REC_MODE | REC_ENCODING, .mode = S_IFREG | 0600, .plain_size = plain_size};

	memcpy(rec.encoding, encoding, strlen(encoding) + 1);
	if (xxh3) {
		rec.xxh3 = *xxh3;
		rec.known |= REC_XXH3;
	}
	assert_int_equal(tier_put(w->s.store, &w->s.call, key, &src, &rec, NULL, NULL), 0);
	close(src.fd);
}

struct copy {
	struct tier_sink sink;
	struct record rec;
	char *buf;
	size_t len, room;
	uint64_t first;
};

static int copy_begin(struct tier_sink *sink, const struct record *rec)
{
	return record_copy(&container_of(sink, struct copy, sink)->rec, rec);
}

static int copy_write(struct tier_sink *sink, const void *buf, size_t len, uint64_t off)
{
	struct copy *c = container_of(sink, struct copy, sink);

	if (c->len == 0)
		c->first = off;
	assert_true(len <= c->room - c->len);
	memcpy(c->buf + c->len, buf, len);
	c->len += len;
	return 0;
}

static int get(struct world *w, struct tier *t, const char *key, uint64_t off, uint64_t len,
	       const char *etag, struct copy *c)
{
	*c = (struct copy){.sink = {.begin = copy_begin, .write = copy_write},
			   .buf = malloc(2 * BIG),
			   .room = 2 * BIG};
	assert_non_null(c->buf);
	return tier_get(t, &w->s.call, key, off, len, etag, &c->sink);
}

static void copy_release(struct copy *c)
{
	record_release(&c->rec);
	free(c->buf);
}

static int get_code(struct world *w, const char *key)
{
	struct copy c;
	int r = get(w, w->s.top, key, 0, UINT64_MAX, NULL, &c);

	copy_release(&c);
	return r;
}

static void must_get(struct world *w, const char *key, uint64_t off, uint64_t len, const char *etag,
		     const char *want, size_t want_len)
{
	struct copy c;

	assert_int_equal(get(w, w->s.top, key, off, len, etag, &c), 0);
	assert_int_equal(c.len, want_len);
	assert_memory_equal(c.buf, want, want_len);
	if (want_len)
		assert_int_equal(c.first, off);
	assert_false(c.rec.known & REC_ENCODING);
	copy_release(&c);
}

static struct record head(struct world *w, struct tier *t, const char *key)
{
	struct record rec;

	record_init(&rec);
	assert_int_equal(tier_head(t, &w->s.call, key, &rec), 0);
	return rec;
}

/* --- what is stored --- */

static void the_stored_object_is_a_zstd_file(void **state)
{
	CLEANUP_FREE char *plain = malloc(BIG);
	struct record rec, shown;
	struct world w;
	struct xxh3 want;
	struct copy c;

	build(&w, false);
	assert_int_equal(put(&w, "k", w.text, BIG, 0), 0);
	rec = head(&w, w.s.store, "k");
	assert_string_equal(rec.encoding, "zstd");
	assert_int_equal(rec.plain_size, BIG);
	assert_true(rec.size < BIG / 2);
	want = xxh3_of(w.text, BIG);
	assert_true(xxh3_equal(&rec.xxh3, &want));
	assert_int_equal(get(&w, w.s.store, "k", 0, UINT64_MAX, NULL, &c), 0);
	assert_int_equal(ZSTD_getFrameContentSize(c.buf, c.len), BIG);
	assert_int_equal(ZSTD_decompress(plain, BIG, c.buf, c.len), BIG);
	assert_memory_equal(plain, w.text, BIG);
	copy_release(&c);
	shown = head(&w, w.s.top, "k");
	assert_int_equal(shown.size, BIG);
	assert_true(shown.packed);
	assert_string_equal(shown.encoding, "");
	assert_string_equal(shown.etag, w.s.etag);
	record_release(&shown);
	record_release(&rec);
	end(&w);
}

static void what_gains_nothing_is_stored_as_it_is(void **state)
{
	uint64_t noise = 88172645463325252;
	struct record rec;
	struct world w;

	build(&w, false);
	for (size_t i = 0; i < BIG; i++) {
		noise ^= noise << 13;
		noise ^= noise >> 7;
		noise ^= noise << 17;
		w.text[i] = (char)(noise >> 32);
	}
	assert_int_equal(put(&w, "noise", w.text, BIG, 0), 0);
	memset(w.text, 'x', BIG);
	assert_int_equal(put(&w, "small", w.text, 4095, 4096), 0);
	assert_int_equal(put(&w, "enough", w.text, 4096, 4096), 0);
	rec = head(&w, w.s.store, "noise");
	assert_string_equal(rec.encoding, "");
	assert_int_equal(rec.size, BIG);
	rec = head(&w, w.s.store, "small");
	assert_string_equal(rec.encoding, "");
	rec = head(&w, w.s.store, "enough");
	assert_string_equal(rec.encoding, "zstd");
	end(&w);
}

static void ranges_are_of_the_plain_bytes(void **state)
{
	static const uint64_t offs[] = {0, 1, 100000, BIG - 10, BIG - 1, BIG, BIG + 5};
	static const uint64_t lens[] = {0, 1, 5000, 200000, UINT64_MAX};
	struct world w;

	build(&w, false);
	assert_int_equal(put(&w, "k", w.text, BIG, 0), 0);
	for (size_t i = 0; i < sizeof(offs) / sizeof(offs[0]); i++) {
		for (size_t k = 0; k < sizeof(lens) / sizeof(lens[0]); k++) {
			uint64_t left = offs[i] < BIG ? BIG - offs[i] : 0;
			size_t want = (size_t)(lens[k] < left ? lens[k] : left);

			must_get(&w, "k", offs[i], lens[k], NULL, w.text + offs[i], want);
			must_get(&w, "k", offs[i], lens[k], w.s.etag, w.text + offs[i], want);
		}
	}
	assert_int_equal(count_get(&w.s.counters, COUNTER_store_errors), 0);
	end(&w);
}

static void a_body_that_changed_is_not_stored(void **state)
{
	struct record rec = {.known = REC_MODE, .mode = S_IFREG | 0600};
	struct tier_source src = {.size = BIG, .packing = {.zstd = true}};
	struct world w;

	build(&w, false);
	src.fd = file_of(w.text, BIG);
	src.xxh3 = xxh3_of("other", 5);
	assert_int_equal(tier_put(w.s.top, &w.s.call, "k", &src, &rec, NULL, NULL), -EIO);
	assert_true(w.s.call.transient);
	src.xxh3 = xxh3_of(w.text, BIG);
	src.size++;
	assert_int_equal(tier_put(w.s.top, &w.s.call, "k", &src, &rec, NULL, NULL), -EIO);
	close(src.fd);
	assert_int_equal(stack_head(&w.s, w.s.store, "k"), -ENOENT);
	end(&w);
}

/* The layer below sends packed bytes again and finds its own version there. */
static void a_lost_answer_is_found_out(void **state)
{
	const struct tier_pre if_absent = {.cond = TIER_IF_ABSENT};
	struct record rec = {.known = REC_MODE, .mode = S_IFREG | 0600};
	struct tier_source src = {.size = BIG, .packing = {.zstd = true}};
	struct world w;

	build(&w, false);
	src.fd = file_of(w.text, BIG);
	src.xxh3 = xxh3_of(w.text, BIG);
	fault_arm(w.s.fault, &(struct fault_plan){.op = FAULT_PUT,
						  .times = 1,
						  .code = -EIO,
						  .transient = true,
						  .after_effect = true});
	assert_int_equal(tier_put(w.s.top, &w.s.call, "k", &src, &rec, &if_absent, NULL), 0);
	assert_int_equal(fault_calls(w.s.fault, FAULT_PUT), 2);
	close(src.fd);
	must_get(&w, "k", 0, UINT64_MAX, NULL, w.text, BIG);
	end(&w);
}

/* --- metadata --- */

static void new_metadata_leaves_the_encoding(void **state)
{
	struct record rec = {.known = REC_MODE, .mode = S_IFREG | 0640}, now;
	char old[ETAG_MAX];
	struct world w;

	build(&w, false);
	assert_int_equal(put(&w, "k", w.text, BIG, 0), 0);
	memcpy(old, w.s.etag, ETAG_MAX);
	assert_int_equal(tier_set_meta(w.s.top, &w.s.call, "k", old, &rec, w.s.etag), 0);
	must_get(&w, "k", 0, UINT64_MAX, w.s.etag, w.text, BIG);
	now = head(&w, w.s.top, "k");
	assert_int_equal(now.mode, S_IFREG | 0640);
	assert_int_equal(tier_set_meta(w.s.top, &w.s.call, "k", old, &rec, NULL), -ESTALE);
	assert_int_equal(tier_copy(w.s.top, &w.s.call, "k", NULL, "l", &rec, NULL, NULL), 0);
	assert_int_equal(tier_copy(w.s.top, &w.s.call, "k", NULL, "m", NULL, NULL, NULL), 0);
	must_get(&w, "l", 5, 100000, NULL, w.text + 5, 100000);
	must_get(&w, "m", 0, UINT64_MAX, NULL, w.text, BIG);
	end(&w);
}

static void what_others_encoded_stays_as_it_is(void **state)
{
	struct record rec = {.known = REC_MODE, .mode = S_IFREG | 0640}, now;
	struct world w;

	build(&w, false);
	plant(&w, "gz", "\x1f\x8b not really", 13, "gzip", PLAIN_SIZE_UNKNOWN, NULL);
	plant(&w, "zst", "nobody said how long", 20, "zstd", PLAIN_SIZE_UNKNOWN, NULL);
	must_get(&w, "gz", 0, UINT64_MAX, NULL, "\x1f\x8b not really", 13);
	must_get(&w, "gz", 3, 3, NULL, "not", 3);
	must_get(&w, "zst", 0, UINT64_MAX, NULL, "nobody said how long", 20);
	assert_int_equal(tier_set_meta(w.s.top, &w.s.call, "gz", NULL, &rec, NULL), 0);
	now = head(&w, w.s.store, "gz");
	assert_string_equal(now.encoding, "gzip");
	now = head(&w, w.s.top, "gz");
	assert_string_equal(now.encoding, "");
	assert_false(now.packed);
	end(&w);
}

static void a_packed_body_is_not_shared(void **state)
{
	char dir[] = "/tmp/cogfs-share-XXXXXX";
	CLEANUP_CLOSE int dirfd = -1;
	struct record rec;
	struct world w;

	build(&w, false);
	assert_non_null(mkdtemp(dir));
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	record_init(&rec);
	assert_int_equal(put(&w, "k", w.text, BIG, 0), 0);
	assert_int_equal(put(&w, "plain", w.text, 100, 4096), 0);
	assert_int_equal(tier_share(w.s.top, &w.s.call, "k", NULL, dirfd, "a", &rec), -EOPNOTSUPP);
	assert_int_equal(faccessat(dirfd, "a", F_OK, 0), -1);
	assert_int_equal(tier_share(w.s.top, &w.s.call, "plain", NULL, dirfd, "b", &rec), 0);
	unlinkat(dirfd, "b", 0);
	rmdir(dir);
	record_release(&rec);
	end(&w);
}

/* --- hostile bytes --- */

#define MUST_REFUSE(w, key, word)                                                                  \
	do {                                                                                       \
		assert_int_equal(get_code(w, key), -EIO);                                          \
		assert_false((w)->s.call.transient);                                               \
		assert_non_null(strstr((w)->s.call.err.text, word));                               \
	} while (0)

/* A packed object whose metadata says what it likes of len zero bytes. */
static void plant_zeros(struct world *w, const char *key, size_t len, uint64_t plain_size,
			const struct xxh3 *xxh3)
{
	CLEANUP_FREE char *zeros = calloc(1, len), *packed = malloc(ZSTD_compressBound(len));
	size_t n = ZSTD_compress(packed, ZSTD_compressBound(len), zeros, len, 1);

	assert_false(ZSTD_isError(n));
	plant(w, key, packed, n, "zstd", plain_size, xxh3);
}

static void a_bomb_is_refused(void **state)
{
	/* A frame whose header asks for a window of 1 TiB, and one that says 1 TiB of content. */
	static const unsigned char window[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00,
					       0xf0, 0x01, 0x00, 0x00, 0x00};
	static const unsigned char content[] = {0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0,
						0,    0,    1,	  0,	0,    1, 0, 0};
	struct rusage before, after;
	struct world w;

	build(&w, false);
	plant_zeros(&w, "claims", 1 << 20, 1ULL << 40, NULL);
	plant_zeros(&w, "expands", 256 << 20, 1 << 20, NULL);
	plant(&w, "window", window, sizeof(window), "zstd", 1000, NULL);
	plant(&w, "content", content, sizeof(content), "zstd", 1000, NULL);
	getrusage(RUSAGE_SELF, &before);
	MUST_REFUSE(&w, "claims", "more than is taken");
	MUST_REFUSE(&w, "expands", "more than it says");
	MUST_REFUSE(&w, "window", "memory");
	MUST_REFUSE(&w, "content", "memory");
	getrusage(RUSAGE_SELF, &after);
	assert_true(after.ru_utime.tv_sec - before.ru_utime.tv_sec <= 1);
	end(&w);
}

static void what_differs_from_its_metadata_is_refused(void **state)
{
	struct xxh3 wrong = xxh3_of("wrong", 5);
	struct world w;

	build(&w, false);
	plant_zeros(&w, "short", 100000, 100001, NULL);
	plant_zeros(&w, "long", 100000, 99999, NULL);
	plant_zeros(&w, "hash", 100000, 100000, &wrong);
	plant(&w, "none", "", 0, "zstd", 5, NULL);
	plant(&w, "junk", "this is no frame of zstd", 24, "zstd", 500, NULL);
	plant(&w, "padded", w.text, 1 << 20, "zstd", 5, NULL);
	MUST_REFUSE(&w, "short", "before");
	MUST_REFUSE(&w, "long", "more than it says");
	MUST_REFUSE(&w, "hash", "XXH3");
	MUST_REFUSE(&w, "none", "before");
	MUST_REFUSE(&w, "junk", "packed object");
	MUST_REFUSE(&w, "padded", "larger");
	end(&w);
}

/* Some bits of a frame's header mean nothing: then it must be the right bytes. */
static void must_refuse_or_be(struct world *w, const char *key, const char *want, size_t len)
{
	struct copy c;
	int r = get(w, w->s.top, key, 0, UINT64_MAX, NULL, &c);

	assert_true(r == -EIO || (r == 0 && c.len == len && memcmp(c.buf, want, len) == 0));
	copy_release(&c);
}

static void any_damaged_byte_is_seen(void **state)
{
	struct record rec;
	struct world w;
	struct copy c;

	build(&w, false);
	assert_int_equal(put(&w, "k", w.text, 20000, 0), 0);
	rec = head(&w, w.s.store, "k");
	assert_int_equal(get(&w, w.s.store, "k", 0, UINT64_MAX, NULL, &c), 0);
	for (size_t i = 0; i < c.len; i++) {
		c.buf[i] ^= 0x10;
		plant(&w, "damaged", c.buf, c.len, "zstd", 20000, &rec.xxh3);
		must_refuse_or_be(&w, "damaged", w.text, 20000);
		c.buf[i] ^= 0x10;
		plant(&w, "cut", c.buf, i, "zstd", 20000, &rec.xxh3);
		assert_int_equal(get_code(&w, "cut"), -EIO);
	}
	copy_release(&c);
	end(&w);
}

/* --- listing --- */

struct sizes {
	unsigned int n;
	struct record rec[4];
};

static int note(void *arg, const struct tier_entry *entry)
{
	struct sizes *sizes = arg;

	sizes->rec[sizes->n++] = *entry->rec; /* has no strings */
	return 0;
}

static void list(struct world *w, struct sizes *sizes)
{
	const struct tier_list_req req = {.prefix = ""};
	char *token = NULL;

	*sizes = (struct sizes){.n = 0};
	assert_int_equal(tier_list(w->s.top, &w->s.call, &req, note, sizes, &token), 0);
	assert_int_equal(sizes->n, 2);
}

static void a_listing_of_whole_records_has_plain_sizes(void **state)
{
	struct sizes sizes;
	struct world w;

	build(&w, false);
	assert_int_equal(put(&w, "packed/k", w.text, BIG, 0), 0);
	assert_int_equal(put(&w, "plain/k", w.text, BIG, BIG + 1), 0);
	list(&w, &sizes);
	for (unsigned int i = 0; i < 2; i++) {
		assert_true(sizes.rec[i].known & REC_SIZE);
		assert_int_equal(sizes.rec[i].size, BIG);
		assert_false(sizes.rec[i].known & REC_ENCODING);
	}
	end(&w);
}

static void a_blind_listing_says_no_size_of_what_may_be_packed(void **state)
{
	struct sizes sizes;
	struct world w;

	build(&w, true);
	assert_int_equal(put(&w, "packed/k", w.text, BIG, 0), 0);
	assert_int_equal(put(&w, "plain/k", w.text, BIG, BIG + 1), 0);
	list(&w, &sizes);
	assert_false(sizes.rec[0].known & REC_SIZE);
	assert_true(sizes.rec[1].known & REC_SIZE);
	assert_int_equal(sizes.rec[1].size, BIG);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_stored_object_is_a_zstd_file),
		cmocka_unit_test(what_gains_nothing_is_stored_as_it_is),
		cmocka_unit_test(ranges_are_of_the_plain_bytes),
		cmocka_unit_test(a_body_that_changed_is_not_stored),
		cmocka_unit_test(a_lost_answer_is_found_out),
		cmocka_unit_test(new_metadata_leaves_the_encoding),
		cmocka_unit_test(what_others_encoded_stays_as_it_is),
		cmocka_unit_test(a_packed_body_is_not_shared),
		cmocka_unit_test(a_bomb_is_refused),
		cmocka_unit_test(what_differs_from_its_metadata_is_refused),
		cmocka_unit_test(any_damaged_byte_is_seen),
		cmocka_unit_test(a_listing_of_whole_records_has_plain_sizes),
		cmocka_unit_test(a_blind_listing_says_no_size_of_what_may_be_packed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
