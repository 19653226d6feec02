/* SPDX-License-Identifier: Apache-2.0 */
/* One object: put, head, replace, delete, and what its record brings back. */
#include "cases.h"

#define MTIME_NS (1700000000LL * NSEC_PER_SEC + 123456789)

static void what_is_put_is_there(struct fixture *f)
{
	char etag[ETAG_MAX] = "", now[ETAG_MAX];

	assert_int_equal(put_text(f, "a/b/c.txt", "hello", NULL, etag), 0);
	assert_true(etag[0] != '\0');
	must_have(f, "a/b/c.txt", "hello");
	must_head(f, "a/b/c.txt", now);
	assert_string_equal(now, etag);
}

static void what_is_not_there_is_absent(struct fixture *f)
{
	struct tier_call call = {0};
	struct record rec;
	struct got g;

	must_put(f, "there/x", "x");
	record_init(&rec);
	rec.size = 77;
	assert_int_equal(tier_head(f->t, &call, "nothing", &rec), -ENOENT);
	assert_int_equal(rec.size, 77); /* untouched on failure */
	record_release(&rec);
	assert_int_equal(head_code(f, "there"), -ENOENT);
	assert_int_equal(head_code(f, "there/x/y"), -ENOENT);
	assert_int_equal(head_code(f, "there/"), -ENOENT);
	got_init(&g);
	assert_int_equal(get_range(f, "there/y", 0, UINT64_MAX, NULL, &g), -ENOENT);
	assert_int_equal(g.begins, 0);
	got_release(&g);
}

static void a_failure_has_a_text_and_is_definite(struct fixture *f)
{
	struct tier_call call = {.transient = true, .throttled = true, .retry_after_ns = 5};
	struct record rec;

	record_init(&rec);
	assert_int_equal(tier_head(f->t, &call, "nothing", &rec), -ENOENT);
	assert_non_null(strstr(call.err.text, "nothing"));
	assert_non_null(strstr(call.err.text, f->t->name));
	assert_false(call.transient);
	assert_false(call.throttled);
	assert_int_equal(call.retry_after_ns, 0);
	record_release(&rec);
}

static void an_empty_object_is_an_object(struct fixture *f)
{
	must_put(f, "empty", "");
	must_have(f, "empty", "");
	assert_int_equal(head_code(f, "empty"), 0);
}

static void a_new_put_is_a_new_version(struct fixture *f)
{
	char v1[ETAG_MAX], v2[ETAG_MAX], v3[ETAG_MAX];

	assert_int_equal(put_text(f, "k", "one", NULL, v1), 0);
	assert_int_equal(put_text(f, "k", "two", NULL, v2), 0);
	assert_int_equal(put_text(f, "k", "longer", NULL, v3), 0);
	assert_string_not_equal(v1, v2);
	assert_string_not_equal(v2, v3);
	must_have(f, "k", "longer");
}

static void deleting_makes_absent(struct fixture *f)
{
	must_put(f, "d/x", "x");
	must_put(f, "d/y", "y");
	assert_int_equal(del_key(f, "d/x", false, NULL), 0);
	assert_int_equal(head_code(f, "d/x"), -ENOENT);
	must_have(f, "d/y", "y");
	must_put(f, "d/x", "again");
	must_have(f, "d/x", "again");
}

static void deleting_what_is_not_there_succeeds(struct fixture *f)
{
	must_put(f, "d/x", "x");
	assert_int_equal(del_key(f, "nothing", false, NULL), 0);
	assert_int_equal(del_key(f, "no/such/thing", false, NULL), 0);
	assert_int_equal(del_key(f, "d/x/below", false, NULL), 0);
	assert_int_equal(del_key(f, "nothing", true, NULL), 0);
	assert_int_equal(del_key(f, "nothing", false, "\"00000000000000000000000000000000\""), 0);
	must_have(f, "d/x", "x");
}

static void deleting_a_prefix_deletes_nothing(struct fixture *f)
{
	must_put(f, "d/x", "x");
	assert_int_equal(del_key(f, "d", false, NULL), 0);
	assert_int_equal(del_key(f, "d", true, NULL), 0);
	must_have(f, "d/x", "x");
}

static void many_are_deleted_at_once(struct fixture *f)
{
	const char *keys[] = {"m/1", "m/none", "m/2", "n/3", "m/1"};
	int codes[5] = {1, 1, 1, 1, 1};
	struct tier_call call = {0};

	must_put(f, "m/1", "1");
	must_put(f, "m/2", "2");
	must_put(f, "n/3", "3");
	must_put(f, "n/stays", "s");
	assert_int_equal(tier_del_many(f->t, &call, keys, 5, codes), 0);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(codes[i], 0);
	MUST_LIST(f, "", false, 0, "n/stays");
	assert_int_equal(tier_del_many(f->t, &call, keys, 0, codes), 0);
}

static void full_record(struct record *rec, struct xxh3 xxh3)
{
	record_init(rec);
	rec->known = REC_MODE | REC_OWNER | REC_MTIME | REC_EXPIRES | REC_CREATED | REC_XXH3 |
		     REC_USER;
	rec->mode = S_IFREG | 0640;
	rec->uid = 1000;
	rec->gid = 100;
	rec->mtime_ns = MTIME_NS;
	rec->created_ns = 1699999999LL * NSEC_PER_SEC;
	rec->expires_at = 1800000000;
	rec->ttl = 86400;
	rec->xxh3 = xxh3;
	rec->format = strdup("jpg");
	rec->cache_key = strdup("tenant:acme:frames:v1:0");
	assert_int_equal(record_user_set(rec, "note", "a plain one", 11, 0), 0);
	assert_int_equal(record_user_set(rec, "Odd.Name", "\x01\xff\0z", 4, 0), 0);
	assert_int_equal(record_user_set(rec, "umlaut", "\xc3\xbc", 2, 0), 0);
}

static void assert_user(const struct record *rec, const char *name, const void *value, size_t len)
{
	const struct record_xattr *x = record_user_get(rec, name);

	assert_non_null(x);
	assert_int_equal(x->value_len, len);
	assert_memory_equal(x->value, value, len);
}

static void assert_full(const struct record *rec, const struct record *want)
{
	assert_true((rec->known & want->known) == want->known);
	assert_int_equal(rec->mode, want->mode);
	assert_int_equal(rec->uid, want->uid);
	assert_int_equal(rec->gid, want->gid);
	assert_int_equal(rec->mtime_ns, want->mtime_ns);
	assert_int_equal(rec->created_ns, want->created_ns);
	assert_int_equal(rec->expires_at, want->expires_at);
	assert_int_equal(rec->ttl, want->ttl);
	assert_true(xxh3_equal(&rec->xxh3, &want->xxh3));
	assert_string_equal(rec->format, want->format);
	assert_string_equal(rec->cache_key, want->cache_key);
	assert_user(rec, "note", "a plain one", 11);
	assert_user(rec, "Odd.Name", "\x01\xff\0z", 4);
	assert_user(rec, "umlaut", "\xc3\xbc", 2);
}

static int put_full(struct fixture *f, const char *key, const char *text, struct record *ret_rec,
		    char *etag)
{
	struct tier_source src = source_of(text, strlen(text));
	struct tier_call call = {0};
	int r;

	full_record(ret_rec, src.xxh3);
	r = tier_put(f->t, &call, key, &src, ret_rec, NULL, etag);
	close(src.fd);
	return r;
}

static void the_record_travels_with_the_object(struct fixture *f)
{
	struct tier_call call = {0};
	struct record want, rec;
	char etag[ETAG_MAX];
	struct got g;

	assert_int_equal(put_full(f, "full/o", "bytes", &want, etag), 0);
	record_init(&rec);
	assert_int_equal(tier_head(f->t, &call, "full/o", &rec), 0);
	assert_full(&rec, &want);
	assert_int_equal(rec.size, 5);
	assert_string_equal(rec.etag, etag);
	record_release(&rec);
	got_init(&g);
	assert_int_equal(get_range(f, "full/o", 2, 1, etag, &g), 0);
	assert_full(&g.rec, &want); /* a range brings the whole object's record */
	assert_int_equal(g.rec.size, 5);
	got_release(&g);
	record_release(&want);
}

static int keep_record(void *arg, const struct tier_entry *entry)
{
	return record_copy(arg, entry->rec);
}

static void a_listing_knows_the_record_where_it_says_so(struct fixture *f)
{
	struct tier_list_req req = {.prefix = "full/"};
	struct tier_call call = {0};
	struct record want, rec;
	char etag[ETAG_MAX];
	char *token = NULL;

	assert_int_equal(put_full(f, "full/o", "bytes", &want, etag), 0);
	record_init(&rec);
	assert_int_equal(tier_list(f->t, &call, &req, keep_record, &rec, &token), 0);
	assert_null(token);
	assert_true((rec.known & REC_ETAG) && strcmp(rec.etag, etag) == 0);
	if (tier_can(f->t, TIER_CAP_LIST_RECORDS) ||
	    (has_quirk(f, QUIRK_HINTS) && (rec.known & REC_USER)))
		assert_full(&rec, &want);
	else
		assert_false(rec.known &
			     REC_USER); /* what a listing does not tell is not guessed */
	if (!has_quirk(f, QUIRK_NO_LISTED_SIZE) || (rec.known & REC_USER))
		assert_true((rec.known & REC_SIZE) && rec.size == 5);
	else
		assert_false(rec.known & REC_SIZE);
	record_release(&rec);
	record_release(&want);
}

static void a_replaced_object_has_none_of_the_old_record(struct fixture *f)
{
	struct tier_call call = {0};
	struct record want, rec;

	assert_int_equal(put_full(f, "k", "bytes", &want, NULL), 0);
	record_release(&want);
	must_put(f, "k", "new bytes");
	record_init(&rec);
	assert_int_equal(tier_head(f->t, &call, "k", &rec), 0);
	assert_null(record_user_get(&rec, "note"));
	assert_null(rec.cache_key);
	assert_int_equal(rec.mode, S_IFREG | 0644);
	record_release(&rec);
}

/* A listing shows that it is one, or that it may be one; both say the same size. */
static void assert_listed_as_link(struct fixture *f, const struct record *head)
{
	struct tier_list_req req = {.prefix = "dir/"};
	struct tier_call call = {0};
	struct record listed;
	char *token = NULL;

	record_init(&listed);
	assert_int_equal(tier_list(f->t, &call, &req, keep_record, &listed, &token), 0);
	assert_null(token);
	assert_int_equal(listed.size, head->size);
	assert_string_equal(listed.etag, head->etag);
	if (tier_can(f->t, TIER_CAP_LIST_RECORDS))
		assert_true(S_ISLNK(listed.mode));
	else
		assert_int_equal(listed.size, TIER_SYMLINK_SIZE);
	record_release(&listed);
}

static void a_link_has_a_target_and_is_seen_in_a_listing(struct fixture *f)
{
	struct tier_call call = {0};
	struct record rec, now;

	record_init(&rec);
	rec.mode = S_IFLNK | 0777;
	rec.known = REC_MODE;
	rec.symlink = strdup("../elsewhere/\xc3\xa4 b");
	assert_int_equal(put_empty(f, "dir/link", &rec, NULL, NULL), 0);
	record_release(&rec);
	record_init(&now);
	assert_int_equal(tier_head(f->t, &call, "dir/link", &now), 0);
	assert_true(S_ISLNK(now.mode));
	assert_string_equal(now.symlink, "../elsewhere/\xc3\xa4 b");
	assert_listed_as_link(f, &now);
	record_release(&now);
	MUST_LIST(f, "", false, 0, "dir/link");
}

/* 3 MiB and a bit: more than one chunk of anything. */
static void a_large_object_comes_back_whole(struct fixture *f)
{
	size_t len = 3 * 1024 * 1024 + 17;
	unsigned char *data = malloc(len);
	struct xxh3 want, is;
	struct got g;

	assert_non_null(data);
	for (size_t i = 0; i < len; i++)
		data[i] = (unsigned char)(i * 2654435761u >> 13);
	want = xxh3_of(data, len);
	assert_int_equal(put_bytes(f, "large", data, len, NULL, NULL), 0);
	free(data);
	got_init(&g);
	assert_int_equal(get_range(f, "large", 0, UINT64_MAX, NULL, &g), 0);
	assert_int_equal(g.len, len);
	is = xxh3_of(g.buf, g.len);
	assert_true(xxh3_equal(&is, &want));
	got_release(&g);
}

static void the_source_is_left_as_it_was(struct fixture *f)
{
	struct tier_source src = source_of("0123456789", 10);
	struct tier_call call = {0};
	struct record rec;

	plain_record(&rec);
	assert_int_equal(lseek(src.fd, 7, SEEK_SET), 7);
	assert_int_equal(tier_put(f->t, &call, "k", &src, &rec, NULL, NULL), 0);
	assert_int_equal(lseek(src.fd, 0, SEEK_CUR), 7);
	close(src.fd);
	record_release(&rec);
	must_have(f, "k", "0123456789");
}

static void a_source_may_be_longer_than_the_object(struct fixture *f)
{
	struct tier_source src = source_of("0123456789", 10);
	struct tier_call call = {0};
	struct record rec;

	plain_record(&rec);
	src.size = 4;
	src.xxh3 = xxh3_of("0123", 4);
	assert_int_equal(tier_put(f->t, &call, "k", &src, &rec, NULL, NULL), 0);
	close(src.fd);
	record_release(&rec);
	must_have(f, "k", "0123");
}

static void too_much_metadata_is_refused(struct fixture *f)
{
	char value[META_MAX + 1000];
	struct record rec;

	memset(value, 'x', sizeof(value));
	plain_record(&rec);
	/* Past record_user_set, which refuses it first. */
	rec.cache_key = strndup(value, sizeof(value));
	rec.known |= REC_USER;
	if (f->t->caps.max_metadata < sizeof(value))
		assert_int_equal(put_empty(f, "k", &rec, NULL, NULL), -E2BIG);
	record_release(&rec);
	assert_int_equal(head_code(f, "k"), -ENOENT);
}

const struct conformance_case cases_object[] = {
	{"what is put is there", what_is_put_is_there},
	{"what is not there is absent", what_is_not_there_is_absent},
	{"a failure has a text and is definite", a_failure_has_a_text_and_is_definite},
	{"an empty object is an object", an_empty_object_is_an_object},
	{"a new put is a new version", a_new_put_is_a_new_version},
	{"deleting makes absent", deleting_makes_absent},
	{"deleting what is not there succeeds", deleting_what_is_not_there_succeeds},
	{"deleting a prefix deletes nothing", deleting_a_prefix_deletes_nothing},
	{"many are deleted at once", many_are_deleted_at_once},
	{"the record travels with the object", the_record_travels_with_the_object},
	{"a listing knows the record where it says so",
	 a_listing_knows_the_record_where_it_says_so},
	{"a replaced object has none of the old record",
	 a_replaced_object_has_none_of_the_old_record},
	{"a link has a target, and is seen in a listing",
	 a_link_has_a_target_and_is_seen_in_a_listing},
	{"a large object comes back whole", a_large_object_comes_back_whole},
	{"the source is left as it was", the_source_is_left_as_it_was},
	{"a source may be longer than the object", a_source_may_be_longer_than_the_object},
	{"too much metadata is refused", too_much_metadata_is_refused},
	{NULL, NULL},
};
