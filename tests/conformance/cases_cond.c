/* SPDX-License-Identifier: Apache-2.0 */
/* Preconditions of put, and deletions of one version. */
#include "cases.h"

static const struct tier_pre if_absent = {.cond = TIER_IF_ABSENT};

static struct tier_pre if_match(const char *etag)
{
	return (struct tier_pre){.cond = TIER_IF_MATCH, .etag = etag};
}

static void put_if_absent_creates_once(struct fixture *f)
{
	char etag[ETAG_MAX] = "mine", now[ETAG_MAX];

	assert_int_equal(put_text(f, "k", "first", &if_absent, NULL), 0);
	must_head(f, "k", now);
	assert_int_equal(put_text(f, "k", "second", &if_absent, etag), -EEXIST);
	must_have(f, "k", "first");
	assert_int_equal(del_key(f, "k", false, NULL), 0);
	assert_int_equal(put_text(f, "k", "third", &if_absent, NULL), 0);
	must_have(f, "k", "third");
}

static void put_if_match_replaces_that_version_only(struct fixture *f)
{
	char v1[ETAG_MAX], v2[ETAG_MAX];
	struct tier_pre pre;

	assert_int_equal(put_text(f, "k", "one", NULL, v1), 0);
	pre = if_match(v1);
	assert_int_equal(put_text(f, "k", "two", &pre, v2), 0);
	assert_int_equal(put_text(f, "k", "three", &pre, NULL), -ESTALE);
	must_have(f, "k", "two");
	pre = if_match(v2);
	assert_int_equal(put_text(f, "k", "three", &pre, NULL), 0);
	must_have(f, "k", "three");
}

static void put_if_match_does_not_create(struct fixture *f)
{
	char etag[ETAG_MAX];
	struct tier_pre pre = if_match(etag);
	int r;

	assert_int_equal(put_text(f, "k", "one", NULL, etag), 0);
	assert_int_equal(del_key(f, "k", false, NULL), 0);
	r = put_text(f, "k", "two", &pre, NULL);
	assert_true(r == -ENOENT || r == -ESTALE);
	assert_int_equal(head_code(f, "k"), -ENOENT);
}

static void a_refused_put_leaves_the_etag_alone(struct fixture *f)
{
	char etag[ETAG_MAX] = "mine";

	must_put(f, "k", "one");
	assert_int_equal(put_text(f, "k", "two", &if_absent, etag), -EEXIST);
	assert_string_equal(etag, "mine");
}

static void a_large_put_has_its_precondition_too(struct fixture *f)
{
	size_t len = 2 * 1024 * 1024;
	char *data = calloc(1, len);

	assert_non_null(data);
	assert_int_equal(put_bytes(f, "k", data, len, &if_absent, NULL), 0);
	assert_int_equal(put_bytes(f, "k", data, len, &if_absent, NULL), -EEXIST);
	free(data);
}

static void a_deletion_of_a_version_spares_others(struct fixture *f)
{
	char v1[ETAG_MAX], v2[ETAG_MAX];

	if (has_quirk(f, QUIRK_DELETES_ANYWAY) && tier_can(f->t, TIER_CAP_COND_DELETE))
		fail_msg("a store cannot both hold a condition and ignore it");
	assert_int_equal(put_text(f, "k", "one", NULL, v1), 0);
	assert_int_equal(put_text(f, "k", "two", NULL, v2), 0);
	assert_int_equal(del_key(f, "k", false, v1), -ESTALE);
	must_have(f, "k", "two");
	assert_int_equal(del_key(f, "k", false, v2), 0);
	assert_int_equal(head_code(f, "k"), -ENOENT);
}

static void a_marker_has_preconditions_too(struct fixture *f)
{
	char etag[ETAG_MAX];

	assert_int_equal(put_marker(f, "d", &if_absent, etag), 0);
	assert_int_equal(put_marker(f, "d", &if_absent, NULL), -EEXIST);
	must_head(f, "d/", etag);
}

const struct conformance_case cases_cond[] = {
	{"put if absent creates once", put_if_absent_creates_once},
	{"put if match replaces that version only", put_if_match_replaces_that_version_only},
	{"put if match does not create", put_if_match_does_not_create},
	{"a refused put leaves the etag alone", a_refused_put_leaves_the_etag_alone},
	{"a large put has its precondition too", a_large_put_has_its_precondition_too},
	{"a deletion of a version spares others", a_deletion_of_a_version_spares_others},
	{"a marker has preconditions too", a_marker_has_preconditions_too},
	{NULL, NULL},
};
