/* SPDX-License-Identifier: Apache-2.0 */
/* copy, set_meta and share. */
#include "cases.h"

#include <fcntl.h>

#include "util/cleanup.h"
#include "util/fsutil.h"

static int copy(struct fixture *f, const char *from, const char *etag, const char *to,
		const struct record *rec, const struct tier_pre *pre, char *ret_etag)
{
	struct tier_call call = {0};

	return tier_copy(f->t, &call, from, etag, to, rec, pre, ret_etag);
}

static int set_meta(struct fixture *f, const char *key, const char *etag, const struct record *rec,
		    char *ret_etag)
{
	struct tier_call call = {0};

	return tier_set_meta(f->t, &call, key, etag, rec, ret_etag);
}

static void noted_record(struct record *rec, const char *note)
{
	plain_record(rec);
	rec->known |= REC_USER;
	assert_int_equal(record_user_set(rec, "note", note, strlen(note), 0), 0);
}

static void put_noted(struct fixture *f, const char *key, const char *text, const char *note,
		      char *etag)
{
	struct tier_source src = source_of(text, strlen(text));
	struct tier_call call = {0};
	struct record rec;

	noted_record(&rec, note);
	assert_int_equal(tier_put(f->t, &call, key, &src, &rec, NULL, etag), 0);
	close(src.fd);
	record_release(&rec);
}

static void must_note(struct fixture *f, const char *key, const char *note)
{
	const struct record_xattr *x;
	struct tier_call call = {0};
	struct record rec;

	record_init(&rec);
	assert_int_equal(tier_head(f->t, &call, key, &rec), 0);
	x = record_user_get(&rec, "note");
	assert_non_null(x);
	assert_int_equal(x->value_len, strlen(note));
	assert_memory_equal(x->value, note, x->value_len);
	record_release(&rec);
}

static void a_copy_has_bytes_and_record(struct fixture *f)
{
	char etag[ETAG_MAX] = "", now[ETAG_MAX];

	put_noted(f, "from", "bytes", "kept", NULL);
	assert_int_equal(copy(f, "from", NULL, "deep/er/to", NULL, NULL, etag), 0);
	must_have(f, "deep/er/to", "bytes");
	must_note(f, "deep/er/to", "kept");
	must_head(f, "deep/er/to", now);
	assert_string_equal(now, etag);
	must_have(f, "from", "bytes");
}

static void a_copy_may_have_a_record_of_its_own(struct fixture *f)
{
	struct record rec;

	put_noted(f, "from", "bytes", "old", NULL);
	noted_record(&rec, "new");
	assert_int_equal(copy(f, "from", NULL, "to", &rec, NULL, NULL), 0);
	record_release(&rec);
	must_have(f, "to", "bytes");
	must_note(f, "to", "new");
	must_note(f, "from", "old");
}

static void a_copy_is_of_the_version_named(struct fixture *f)
{
	char v1[ETAG_MAX], v2[ETAG_MAX];

	put_noted(f, "from", "one", "n", v1);
	put_noted(f, "from", "two", "n", v2);
	assert_int_equal(copy(f, "from", v1, "to", NULL, NULL, NULL), -ESTALE);
	assert_int_equal(head_code(f, "to"), -ENOENT);
	assert_int_equal(copy(f, "from", v2, "to", NULL, NULL, NULL), 0);
	must_have(f, "to", "two");
	assert_int_equal(copy(f, "nothing", NULL, "to", NULL, NULL, NULL), -ENOENT);
	must_have(f, "to", "two");
}

static void a_copy_has_its_precondition(struct fixture *f)
{
	const struct tier_pre if_absent = {.cond = TIER_IF_ABSENT};
	char etag[ETAG_MAX];
	const struct tier_pre match = {.cond = TIER_IF_MATCH, .etag = etag};

	put_noted(f, "from", "bytes", "n", NULL);
	assert_int_equal(put_text(f, "to", "old", NULL, etag), 0);
	assert_int_equal(copy(f, "from", NULL, "to", NULL, &if_absent, NULL), -EEXIST);
	must_have(f, "to", "old");
	assert_int_equal(copy(f, "from", NULL, "to", NULL, &match, NULL), 0);
	must_have(f, "to", "bytes");
	must_put(f, "to", "newer");
	assert_int_equal(copy(f, "from", NULL, "to", NULL, &match, NULL), -ESTALE);
	must_have(f, "to", "newer");
	assert_int_equal(copy(f, "from", NULL, "new", NULL, &if_absent, NULL), 0);
}

static void a_copy_onto_itself_replaces_the_record(struct fixture *f)
{
	char etag[ETAG_MAX], now[ETAG_MAX], head[ETAG_MAX];
	struct record rec;

	put_noted(f, "k", "bytes", "old", etag);
	noted_record(&rec, "new");
	assert_int_equal(copy(f, "k", etag, "k", &rec, NULL, now), 0);
	record_release(&rec);
	must_have(f, "k", "bytes");
	must_note(f, "k", "new");
	must_head(f, "k", head);
	assert_string_equal(head, now);
}

static void a_copy_is_a_life_of_its_own(struct fixture *f)
{
	put_noted(f, "from", "bytes", "n", NULL);
	assert_int_equal(copy(f, "from", NULL, "to", NULL, NULL, NULL), 0);
	must_put(f, "from", "changed");
	must_have(f, "to", "bytes");
	assert_int_equal(del_key(f, "from", false, NULL), 0);
	must_have(f, "to", "bytes");
}

static void without_copy_it_says_so(struct fixture *f)
{
	must_put(f, "from", "bytes");
	assert_int_equal(copy(f, "from", NULL, "to", NULL, NULL, NULL), -EOPNOTSUPP);
}

/* The cases of a store that copies; of another one, what it says instead. */
#define IF_COPY(name)                                                                              \
	static void if_copy_##name(struct fixture *f)                                              \
	{                                                                                          \
		if (tier_can(f->t, TIER_CAP_COPY))                                                 \
			name(f);                                                                   \
		else                                                                               \
			without_copy_it_says_so(f);                                                \
	}

IF_COPY(a_copy_has_bytes_and_record)
IF_COPY(a_copy_may_have_a_record_of_its_own)
IF_COPY(a_copy_is_of_the_version_named)
IF_COPY(a_copy_has_its_precondition)
IF_COPY(a_copy_onto_itself_replaces_the_record)
IF_COPY(a_copy_is_a_life_of_its_own)

/* --- metadata --- */

static void metadata_is_replaced_and_the_bytes_stay(struct fixture *f)
{
	char v1[ETAG_MAX], v2[ETAG_MAX], now[ETAG_MAX];
	struct record rec;

	put_noted(f, "k", "bytes", "old", v1);
	noted_record(&rec, "new");
	assert_int_equal(record_user_set(&rec, "other", "x", 1, 0), 0);
	assert_int_equal(set_meta(f, "k", v1, &rec, v2), 0);
	must_have(f, "k", "bytes");
	must_note(f, "k", "new");
	must_head(f, "k", now);
	assert_string_equal(now, v2);
	assert_int_equal(record_user_remove(&rec, "other"), 0);
	assert_int_equal(set_meta(f, "k", v2, &rec, NULL), 0);
	record_release(&rec);
	must_note(f, "k", "new");
}

static void a_new_mtime_is_metadata(struct fixture *f)
{
	struct tier_call call = {0};
	char v1[ETAG_MAX], v2[ETAG_MAX];
	struct record rec, now;

	assert_int_equal(put_text(f, "k", "bytes", NULL, v1), 0);
	plain_record(&rec);
	rec.known |= REC_MTIME;
	rec.mtime_ns = 1234567890LL * NSEC_PER_SEC + 987654321;
	assert_int_equal(set_meta(f, "k", v1, &rec, v2), 0);
	record_init(&now);
	assert_int_equal(tier_head(f->t, &call, "k", &now), 0);
	assert_int_equal(now.mtime_ns, rec.mtime_ns);
	assert_string_equal(now.etag, v2);
	record_release(&now);
	record_release(&rec);
}

static void metadata_is_of_the_version_named(struct fixture *f)
{
	char v1[ETAG_MAX], v2[ETAG_MAX];
	struct record rec;

	put_noted(f, "k", "one", "old", v1);
	put_noted(f, "k", "two", "newer", v2);
	noted_record(&rec, "late");
	assert_int_equal(set_meta(f, "k", v1, &rec, NULL), -ESTALE);
	must_note(f, "k", "newer");
	assert_int_equal(set_meta(f, "nothing", NULL, &rec, NULL), -ENOENT);
	assert_int_equal(head_code(f, "nothing"), -ENOENT);
	assert_int_equal(set_meta(f, "k", NULL, &rec, NULL), 0);
	must_note(f, "k", "late");
	record_release(&rec);
}

/* --- share --- */

static int share(struct fixture *f, const char *key, const char *etag, const char *name,
		 struct record *rec)
{
	struct tier_call call = {0};

	return tier_share(f->t, &call, key, etag, f->scratch_fd, name, rec);
}

/* What a store may say instead of sharing: then the caller gets the bytes. */
static bool declines(int code)
{
	return code == -EXDEV || code == -EOPNOTSUPP || code == -EMLINK;
}

static void a_shared_body_has_the_bytes_and_the_record(struct fixture *f)
{
	CLEANUP_FREE char *text = NULL;
	char etag[ETAG_MAX];
	struct record rec;
	size_t len = 0;
	int r;

	put_noted(f, "k", "shared bytes", "n", etag);
	record_init(&rec);
	r = share(f, "k", etag, "body", &rec);
	if (!tier_can(f->t, TIER_CAP_SHARE))
		assert_int_equal(r, -EOPNOTSUPP);
	if (r) {
		assert_true(declines(r));
		assert_int_equal(faccessat(f->scratch_fd, "body", F_OK, 0), -1);
		return;
	}
	assert_string_equal(rec.etag, etag);
	assert_int_equal(rec.size, 12);
	assert_non_null(record_user_get(&rec, "note"));
	record_release(&rec);
	assert_int_equal(fs_read_file(f->scratch_fd, "body", 1000, &text, &len), 0);
	assert_string_equal(text, "shared bytes");
}

static void a_shared_body_outlives_the_object(struct fixture *f)
{
	CLEANUP_FREE char *text = NULL;
	struct record rec;
	size_t len = 0;
	int r;

	must_put(f, "k", "shared bytes");
	record_init(&rec);
	r = share(f, "k", NULL, "body", &rec);
	record_release(&rec);
	if (declines(r))
		return;
	assert_int_equal(r, 0);
	must_put(f, "k", "replaced");
	assert_int_equal(del_key(f, "k", false, NULL), 0);
	assert_int_equal(fs_read_file(f->scratch_fd, "body", 1000, &text, &len), 0);
	assert_string_equal(text, "shared bytes");
}

static void only_the_version_named_is_shared(struct fixture *f)
{
	char v1[ETAG_MAX];
	struct record rec;
	int r;

	assert_int_equal(put_text(f, "k", "one", NULL, v1), 0);
	must_put(f, "k", "two");
	record_init(&rec);
	r = share(f, "k", v1, "body", &rec);
	assert_true(r == -ESTALE || r == -EOPNOTSUPP);
	r = share(f, "nothing", NULL, "body", &rec);
	assert_true(r == -ENOENT || r == -EOPNOTSUPP);
	assert_int_equal(faccessat(f->scratch_fd, "body", F_OK, 0), -1);
	record_release(&rec);
}

const struct conformance_case cases_copy[] = {
	{"a copy has bytes and record", if_copy_a_copy_has_bytes_and_record},
	{"a copy may have a record of its own", if_copy_a_copy_may_have_a_record_of_its_own},
	{"a copy is of the version named", if_copy_a_copy_is_of_the_version_named},
	{"a copy has its precondition", if_copy_a_copy_has_its_precondition},
	{"a copy onto itself replaces the record", if_copy_a_copy_onto_itself_replaces_the_record},
	{"a copy is a life of its own", if_copy_a_copy_is_a_life_of_its_own},
	{"metadata is replaced and the bytes stay", metadata_is_replaced_and_the_bytes_stay},
	{"a new mtime is metadata", a_new_mtime_is_metadata},
	{"metadata is of the version named", metadata_is_of_the_version_named},
	{"a shared body has the bytes and the record", a_shared_body_has_the_bytes_and_the_record},
	{"a shared body outlives the object", a_shared_body_outlives_the_object},
	{"only the version named is shared", only_the_version_named_is_shared},
	{NULL, NULL},
};
