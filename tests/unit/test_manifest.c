/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests: what a listing tells of them, which entry counts, what is no manifest. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "manifest_fixture.h"
#include "util/cleanup.h"

/* --- what a listing tells --- */

static void the_other_host_sees_whole_records_without_a_head(void **state)
{
	struct world w;
	struct seen seen;
	char key[32];

	world_init(&w);
	for (int i = 0; i < 300; i++) {
		snprintf(key, sizeof(key), "d/%03d", i);
		peer_put(&w, &w.a, key, 0640);
	}
	assert_int_equal(manifests_count(&w), 0);
	peer_flush(&w.a);
	assert_int_equal(manifests_count(&w), 1);
	seen = peer_list(&w.b, "d/", "d/007");
	assert_int_equal(seen.n, 300);
	assert_int_equal(seen.whole, 300);
	assert_int_equal(seen.rec.mode, S_IFREG | 0640);
	assert_int_equal(seen.rec.uid, 1000);
	assert_int_equal(seen.rec.gid, 100);
	assert_int_equal(seen.rec.mtime_ns, 1600000000LL * NSEC_PER_SEC);
	assert_int_equal(seen.rec.expires_at, 1900000000);
	assert_int_equal(seen.rec.ttl, 60);
	assert_int_equal(fault_calls(w.b.fault, FAULT_HEAD), 0);
	assert_int_equal(fault_calls(w.b.fault, FAULT_GET), 1);
	assert_int_equal(fault_calls(w.b.fault, FAULT_LIST), 2);
	/* And the manifest is not read again. */
	assert_int_equal(listed_mode(&w.b, "d/", "d/299"), 0640);
	assert_int_equal(fault_calls(w.b.fault, FAULT_GET), 1);
	world_release(&w);
}

static void the_root_has_manifests_too_and_hides_them(void **state)
{
	struct world w;
	struct seen seen;

	world_init(&w);
	peer_put(&w, &w.a, "top", 0600);
	peer_put(&w, &w.a, "d/x", 0600);
	peer_flush(&w.a);
	seen = peer_list(&w.b, "", "top");
	assert_int_equal(seen.n, 2); /* top, d */
	assert_int_equal(seen.rec.mode, S_IFREG | 0600);
	world_release(&w);
}

static void a_record_of_another_version_is_not_told(void **state)
{
	struct world w;

	world_init(&w);
	peer_put(&w, &w.a, "d/x", 0640);
	peer_flush(&w.a);
	assert_int_equal(listed_mode(&w.b, "d/", "d/x"), 0640);
	/* Somebody without manifests. */
	assert_int_equal(stack_put(&w.s, w.s.store, "d/x", "two", NULL), 0);
	assert_int_equal(listed_mode(&w.b, "d/", "d/x"), 0);
	/* A host that died after the put: no entry, and none that is wrong. */
	peer_put(&w, &w.a, "d/x", 0604);
	assert_int_equal(listed_mode(&w.b, "d/", "d/x"), 0);
	peer_flush(&w.a);
	assert_int_equal(listed_mode(&w.b, "d/", "d/x"), 0604);
	world_release(&w);
}

static void new_metadata_is_told(void **state)
{
	struct record rec = {.known = REC_MODE, .mode = S_IFREG | 0400};
	struct tier_call call = {0};
	struct world w;

	world_init(&w);
	peer_put(&w, &w.a, "d/x", 0640);
	peer_flush(&w.a);
	w.s.sim.now += NSEC_PER_SEC;
	assert_int_equal(tier_set_meta(w.b.top, &call, "d/x", NULL, &rec, NULL), 0);
	peer_flush(&w.b);
	assert_int_equal(listed_mode(&w.a, "d/", "d/x"), 0400);
	assert_int_equal(tier_copy(w.b.top, &call, "d/x", NULL, "d/y", &rec, NULL, NULL), 0);
	peer_flush(&w.b);
	assert_int_equal(listed_mode(&w.a, "d/", "d/y"), 0400);
	world_release(&w);
}

static void a_copy_of_a_version_known_here_is_told(void **state)
{
	struct tier_call call = {0};
	struct world w;

	world_init(&w);
	peer_put(&w, &w.a, "d/x", 0640);
	assert_int_equal(tier_copy(w.a.top, &call, "d/x", w.s.etag, "e/x", NULL, NULL, NULL), 0);
	peer_flush(&w.a);
	assert_int_equal(listed_mode(&w.b, "e/", "e/x"), 0640);
	world_release(&w);
}

static void what_was_deleted_is_not_noted(void **state)
{
	struct tier_call call = {0};
	struct manifest_stats stats;
	struct world w;

	world_init(&w);
	peer_put(&w, &w.a, "d/x", 0640);
	peer_put(&w, &w.a, "d/y", 0640);
	assert_int_equal(tier_del(w.a.top, &call, "d/x", false, NULL), 0);
	peer_flush(&w.a);
	assert_int_equal(peer_list(&w.b, "d/", NULL).whole, 1);
	manifest_stats(w.a.top, &stats);
	assert_int_equal(stats.pending, 0);
	world_release(&w);
}

/* --- the newest entry --- */

/* An entry as some host may have written it. */
static struct manifest *one_entry(const char *host, const struct record *rec, const char *etag,
				  int64_t stamp, uint32_t took_s)
{
	CLEANUP_FREE void *record = NULL;
	struct manifest_entry e = {.name = "x", .name_len = 1, .stamp = stamp, .took_s = took_s};
	struct manifest *m = NULL;
	size_t record_len = 0, len;
	char *buf;

	assert_int_equal(manifest_record_encode(rec, etag, &record, &record_len), 0);
	e.record = record;
	e.record_len = (uint16_t)record_len;
	assert_int_equal(manifest_encode(host, "d", &e, 1, &buf, &len), 0);
	assert_int_equal(manifest_decode(buf, len, &m), 0);
	return m;
}

#define T0 (1700000000LL * NSEC_PER_SEC)

/* The mode that two entries of the same version yield, 0 where neither counts. */
static mode_t merged(struct manifest *m1, struct manifest *m2, int64_t modified)
{
	struct fetched f1 = {.m = m1}, f2 = {.m = m2}, *v[] = {&f1, &f2};
	struct shelf s = {.v = v, .n = 2};
	struct record listed = {.known = REC_ETAG | REC_SIZE, .etag = "\"e\"", .size = 5}, rec;
	mode_t mode = 0;

	listed.mtime_ns = modified;
	record_init(&rec);
	if (manifest_merge(&s, "x", 1, &listed, &rec)) {
		mode = rec.mode & 07777;
		assert_int_equal(rec.size, 5);
		assert_string_equal(rec.etag, "\"e\"");
	}
	record_release(&rec);
	manifest_free(m1);
	manifest_free(m2);
	return mode;
}

static void the_newest_entry_of_the_version_counts(void **state)
{
	const struct record r1 = {.known = REC_MODE, .mode = S_IFREG | 01};
	const struct record r2 = {.known = REC_MODE, .mode = S_IFREG | 02};

	assert_int_equal(merged(one_entry("a", &r1, "\"e\"", T0, 0),
				one_entry("b", &r2, "\"e\"", T0 + 1, 0), 0),
			 02);
	assert_int_equal(merged(one_entry("a", &r1, "\"e\"", T0 + 2, 0),
				one_entry("b", &r2, "\"e\"", T0, 0), 0),
			 01);
	/* The same stamp: every reader takes the same host's. */
	assert_int_equal(
		merged(one_entry("a", &r1, "\"e\"", T0, 0), one_entry("b", &r2, "\"e\"", T0, 0), 0),
		02);
	assert_int_equal(
		merged(one_entry("b", &r2, "\"e\"", T0, 0), one_entry("a", &r1, "\"e\"", T0, 0), 0),
		02);
	/* A newer one of another version is none of this one. */
	assert_int_equal(merged(one_entry("a", &r1, "\"e\"", T0, 0),
				one_entry("b", &r2, "\"other\"", T0 + 9, 0), 0),
			 01);
}

/* The same bytes put again by somebody else have the same etag, and another time. */
static void an_entry_of_another_time_does_not_count(void **state)
{
	const struct record r1 = {.known = REC_MODE, .mode = S_IFREG | 01};
	const int64_t minute = 60 * NSEC_PER_SEC;

#define MERGED(took, modified)                                                                     \
	merged(one_entry("a", &r1, "\"e\"", T0, took), one_entry("b", &r1, "\"f\"", T0, 0),        \
	       modified)
	assert_int_equal(MERGED(0, T0), 01);
	assert_int_equal(MERGED(0, T0 - minute / 2), 01);
	assert_int_equal(MERGED(0, T0 + 2 * minute), 0);
	assert_int_equal(MERGED(0, T0 - 2 * minute), 0);
	assert_int_equal(MERGED(600, T0 - 9 * minute), 01); /* a long multipart upload */
#undef MERGED
}

/* --- a store that fails --- */

static void a_failure_to_write_manifests_is_no_failure_to_write(void **state)
{
	struct tier_call call = {0};
	struct manifest_stats stats;
	struct world w;

	world_init(&w);
	peer_put(&w, &w.a, "d/x", 0640);
	fault_arm(w.a.fault, &(struct fault_plan){.op = FAULT_PUT, .times = 1, .code = -EIO});
	assert_int_equal(manifest_flush(w.a.top, &call), -EIO);
	manifest_stats(w.a.top, &stats);
	assert_int_equal(stats.pending, 1);
	peer_flush(&w.a);
	assert_int_equal(listed_mode(&w.b, "d/", "d/x"), 0640);
	world_release(&w);
}

static void a_failure_to_read_them_is_none_of_the_listing(void **state)
{
	struct world w;

	world_init(&w);
	peer_put(&w, &w.a, "d/x", 0640);
	peer_flush(&w.a);
	fault_arm(w.b.fault, &(struct fault_plan){.op = FAULT_GET, .code = -EIO});
	assert_int_equal(peer_list(&w.b, "d/", NULL).n, 1);
	fault_arm(w.b.fault, &(struct fault_plan){.op = FAULT_LIST, .times = 1, .code = -EIO});
	assert_int_equal(peer_list(&w.b, "d/", NULL).n, 1);
	fault_arm(w.b.fault, &(struct fault_plan){.op = FAULT_COPY, .times = 1});
	assert_int_equal(listed_mode(&w.b, "d/", "d/x"), 0640);
	world_release(&w);
}

static void plant(struct world *w, const char *key, const void *data, size_t len)
{
	struct tier_call call = {.control = true};
	struct tier_source src = {.size = len};
	const struct record rec = {0};
	FILE *f = tmpfile();

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	fflush(f);
	src.fd = fileno(f);
	assert_int_equal(tier_put(w->s.store, &call, key, &src, &rec, NULL, NULL), 0);
	fclose(f);
}

static void what_is_no_manifest_is_left_alone(void **state)
{
	char key[2 * MANIFEST_KEY_MAX], prefix[MANIFEST_KEY_MAX];
	struct tier_call call = {0};
	struct manifest_stats stats;
	CLEANUP_FREE char *big = calloc(1, 2 * MANIFEST_MAX);
	struct world w;

	world_init(&w);
	peer_put(&w, &w.a, "d/x", 0640);
	peer_flush(&w.a);
	manifest_dir_prefix("d", prefix);
	snprintf(key, sizeof(key), "%szzz", prefix);
	plant(&w, key, "COGFSMAN and then nonsense", 26);
	snprintf(key, sizeof(key), "%szzzz", prefix);
	plant(&w, key, big, 2 * MANIFEST_MAX);
	snprintf(key, sizeof(key), "%sa/b/c", prefix);
	plant(&w, key, "deeper", 6);
	assert_int_equal(listed_mode(&w.b, "d/", "d/x"), 0640);
	assert_int_equal(listed_mode(&w.b, "d/", "d/x"), 0640);
	manifest_stats(w.b.top, &stats);
	assert_int_equal(stats.broken, 1);
	assert_int_equal(stats.fetched, 2);
	assert_int_equal(manifest_compact(w.b.top, &call, "d"), 0);
	assert_int_equal(manifests_count(&w), 4);
	assert_int_equal(listed_mode(&w.a, "d/", "d/x"), 0640);
	world_release(&w);
}

/* --- the form --- */

static void hostile_manifests_are_refused(void **state)
{
	static const char *const names[] = {"", ".", "..", "a/b"};
	struct record rec = {.known = REC_MODE, .mode = S_IFREG | 0644};
	CLEANUP_FREE void *record = NULL;
	struct manifest_entry e = {0};
	struct manifest *m;
	size_t record_len, len;
	char *buf;

	assert_int_equal(manifest_record_encode(&rec, "\"e\"", &record, &record_len), 0);
	e.record = record;
	e.record_len = (uint16_t)record_len;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		e.name = names[i];
		e.name_len = (uint8_t)strlen(names[i]);
		assert_int_equal(manifest_encode("h", "d", &e, 1, &buf, &len), 0);
		assert_int_equal(manifest_decode(buf, len, &m), -EBADMSG);
	}
	e.name = "x";
	e.name_len = 1;
	assert_int_equal(manifest_encode("h", "../d", &e, 1, &buf, &len), 0);
	assert_int_equal(manifest_decode(buf, len, &m), -EBADMSG);
	assert_int_equal(manifest_encode("h/..", "d", &e, 1, &buf, &len), 0);
	assert_int_equal(manifest_decode(buf, len, &m), -EBADMSG);
	for (size_t bit = 0; bit < 8 * 40; bit++) {
		assert_int_equal(manifest_encode("h", "d", &e, 1, &buf, &len), 0);
		buf[bit / 8 % len] ^= (char)(1u << bit % 8);
		assert_int_equal(manifest_decode(buf, len, &m), -EBADMSG);
	}
}

static void records_that_no_store_could_have_are_refused(void **state)
{
	struct record recs[] = {
		{.known = REC_MODE, .mode = S_IFDIR | 0755},
		{.known = REC_MODE, .mode = S_IFCHR | 0600},
		{.known = REC_MODE, .mode = S_IFLNK | 0777},
		{.known = REC_MODE, .mode = S_IFREG | 0644, .symlink = (char *)"t"},
		{.known = REC_EXPIRES, .expires_at = -1},
		{.known = REC_USER},
	};
	struct record rec;

	assert_int_equal(record_user_set(&recs[5], "cogfs.tier", "x", 1, 0), 0);
	for (size_t i = 0; i < sizeof(recs) / sizeof(recs[0]); i++) {
		CLEANUP_FREE void *record = NULL;
		struct manifest_entry e = {0};
		size_t len;

		record_init(&rec);
		assert_int_equal(manifest_record_encode(&recs[i], "\"e\"", &record, &len), 0);
		e.record = record;
		e.record_len = (uint16_t)len;
		assert_int_equal(manifest_record_decode(&e, &rec), -EBADMSG);
	}
	record_release(&recs[5]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_other_host_sees_whole_records_without_a_head),
		cmocka_unit_test(the_root_has_manifests_too_and_hides_them),
		cmocka_unit_test(a_record_of_another_version_is_not_told),
		cmocka_unit_test(new_metadata_is_told),
		cmocka_unit_test(a_copy_of_a_version_known_here_is_told),
		cmocka_unit_test(what_was_deleted_is_not_noted),
		cmocka_unit_test(the_newest_entry_of_the_version_counts),
		cmocka_unit_test(an_entry_of_another_time_does_not_count),
		cmocka_unit_test(a_failure_to_write_manifests_is_no_failure_to_write),
		cmocka_unit_test(a_failure_to_read_them_is_none_of_the_listing),
		cmocka_unit_test(what_is_no_manifest_is_left_alone),
		cmocka_unit_test(hostile_manifests_are_refused),
		cmocka_unit_test(records_that_no_store_could_have_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
