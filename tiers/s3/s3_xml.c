/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What S3's XML answers say. Servers differ in the order of elements and in what they leave out, so
 * each answer is collected while it is walked and judged at its end.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/http/xml.h"
#include "tiers/s3/s3.h"
#include "util/cleanup.h"

static bool is(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

/* Replaces *field; a later element of the same name counts. */
static int set_text(char **field, const char *text, size_t len)
{
	char *copy = malloc(len + 1);

	if (!copy)
		return -ENOMEM;
	memcpy(copy, text, len);
	copy[len] = '\0';
	free(*field);
	*field = copy;
	return 0;
}

/* Room for one more of an array's elements, zeroed; NULL: no memory. */
static void *grow(void *pv, size_t n, size_t *cap, size_t size)
{
	void **v = pv;

	if (n == *cap) {
		size_t wanted = *cap ? *cap * 2 : 64;
		void *grown = reallocarray(*v, wanted, size);

		if (!grown)
			return NULL;
		*v = grown;
		*cap = wanted;
	}
	memset((char *)*v + n * size, 0, size);
	return (char *)*v + n * size;
}

/* Walks a document whose root must be of that name. */
static int walk(const struct buf *text, const struct xml_reader *reader, struct err *err)
{
	return xml_walk(buf_str(text), text->len, reader, err);
}

static int check_root(unsigned int depth, const char *name, const char *wanted)
{
	return depth > 0 || is(name, wanted) ? 0 : -EBADMSG;
}

static int bad_answer(struct err *err, int rc, const char *wanted)
{
	if (rc == -EBADMSG && err && !err->text[0])
		err_set(err, rc, "not a %s", wanted);
	return rc;
}

/* --- ListBucketResult --- */

struct page_walk {
	struct s3_page *page;
	bool truncated, truncated_known;
	bool encoded;
	char *next;
};

static int page_open(void *arg, unsigned int depth, const char *name)
{
	struct page_walk *w = arg;
	struct s3_page *page = w->page;
	struct s3_listed *entry;

	if (depth != 1 || (!is(name, "Contents") && !is(name, "CommonPrefixes")))
		return check_root(depth, name, "ListBucketResult");
	entry = grow(&page->v, page->n, &page->cap, sizeof(*entry));
	if (!entry)
		return -ENOMEM;
	entry->prefix = is(name, "CommonPrefixes");
	page->n++;
	return 0;
}

static int page_entry_close(struct s3_page *page, const char *parent, const char *name,
			    const char *text, size_t len)
{
	struct s3_listed *entry = &page->v[page->n - 1];

	if (is(name, is(parent, "Contents") ? "Key" : "Prefix")) {
		entry->key_len = len;
		return set_text(&entry->key, text, len);
	}
	if (entry->prefix)
		return 0;
	if (is(name, "Size")) {
		entry->sized = true;
		return http_number_parse(text, &entry->size) < 0 ? -EBADMSG : 0;
	}
	if (is(name, "ETag")) {
		entry->tagged = true;
		if (s3_etag_copy(entry->etag, text) < 0)
			entry->etag[0] = '\0'; /* one odd entry does not hide the others */
		return 0;
	}
	if (is(name, "LastModified") && iso8601_parse(text, &entry->modified_ns) < 0)
		entry->modified_ns = 0;
	return 0;
}

static int page_close(void *arg, const char *parent, const char *name, const char *text, size_t len)
{
	struct page_walk *w = arg;

	if (is(parent, "Contents") || is(parent, "CommonPrefixes"))
		return w->page->n ? page_entry_close(w->page, parent, name, text, len) : -EBADMSG;
	if (!is(parent, "ListBucketResult"))
		return 0;
	if (is(name, "IsTruncated")) {
		w->truncated = is(text, "true");
		w->truncated_known = w->truncated || is(text, "false");
	} else if (is(name, "NextContinuationToken")) {
		return set_text(&w->next, text, len);
	} else if (is(name, "EncodingType")) {
		w->encoded = is(text, "url");
	}
	return 0;
}

static int listed_cmp(const void *a, const void *b)
{
	const struct s3_listed *x = a, *y = b;
	size_t len = x->key_len < y->key_len ? x->key_len : y->key_len;
	int order = memcmp(x->key, y->key, len);

	if (order)
		return order;
	return (x->key_len > y->key_len) - (x->key_len < y->key_len);
}

/*
 * Keys and prefixes come apart; the contract wants one order. What a listing leaves out is taken
 * for absent, so an answer that does not say whether it is the last page is none.
 */
static int page_finish(struct page_walk *w, struct err *err)
{
	struct s3_page *page = w->page;

	for (size_t i = 0; i < page->n; i++) {
		struct s3_listed *entry = &page->v[i];

		if (!entry->key || (!entry->prefix && !(entry->sized && entry->tagged)))
			return err_set(err, -EBADMSG, "a listed entry lacks key, size or etag");
		if (w->encoded)
			entry->key_len = url_decode(entry->key, entry->key_len, true);
		entry->key[entry->key_len] = '\0';
	}
	if (!w->truncated_known)
		return err_set(err, -EBADMSG, "the listing does not say whether it is complete");
	if (w->truncated && (!w->next || !*w->next))
		return err_set(err, -EBADMSG, "the listing has no continuation");
	if (page->n)
		qsort(page->v, page->n, sizeof(*page->v), listed_cmp);
	if (w->truncated)
		page->token = STEAL_PTR(w->next);
	return 0;
}

int s3_xml_page(const struct buf *text, struct s3_page *ret, struct err *err)
{
	struct s3_page page = {0};
	struct page_walk w = {.page = &page};
	struct xml_reader reader = {page_open, page_close, &w};
	int rc = bad_answer(err, walk(text, &reader, err), "ListBucketResult");

	if (rc == 0)
		rc = page_finish(&w, err);
	free(w.next);
	if (rc < 0) {
		s3_page_release(&page);
		return rc;
	}
	*ret = page;
	return 0;
}

void s3_page_release(struct s3_page *page)
{
	for (size_t i = 0; i < page->n; i++)
		free(page->v[i].key);
	free(page->v);
	free(page->token);
	*page = (struct s3_page){0};
}

/* --- one text of a small answer --- */

struct field_walk {
	const char *root, *name;
	char *text;
};

static int field_open(void *arg, unsigned int depth, const char *name)
{
	struct field_walk *w = arg;

	return check_root(depth, name, w->root);
}

static int field_close(void *arg, const char *parent, const char *name, const char *text,
		       size_t len)
{
	struct field_walk *w = arg;

	if (is(parent, w->root) && is(name, w->name))
		return set_text(&w->text, text, len);
	return 0;
}

static int read_field(const struct buf *text, struct field_walk *w, struct err *err)
{
	struct xml_reader reader = {field_open, field_close, w};
	int rc = bad_answer(err, walk(text, &reader, err), w->root);

	if (rc == 0 && (!w->text || !*w->text))
		rc = err_set(err, -EBADMSG, "%s without %s", w->root, w->name);
	return rc;
}

int s3_xml_upload_id(const struct buf *text, char **ret, struct err *err)
{
	struct field_walk w = {.root = "InitiateMultipartUploadResult", .name = "UploadId"};
	int rc = read_field(text, &w, err);

	if (rc < 0)
		free(w.text);
	else
		*ret = w.text;
	return rc;
}

/* The three answers that give the etag of what was made. */
int s3_xml_etag(const struct buf *text, char ret[ETAG_MAX], struct err *err)
{
	static const char *const roots[] = {"CompleteMultipartUploadResult", "CopyObjectResult",
					    "CopyPartResult"};
	int rc = -EBADMSG;

	for (size_t i = 0; rc == -EBADMSG && i < sizeof(roots) / sizeof(roots[0]); i++) {
		struct field_walk w = {.root = roots[i], .name = "ETag"};

		rc = read_field(text, &w, NULL);
		if (rc == 0 && s3_etag_copy(ret, w.text) < 0)
			rc = -EBADMSG;
		free(w.text);
	}
	return rc == -EBADMSG ? err_set(err, rc, "the answer has no etag") : rc;
}

/* --- Error --- */

static int error_open(void *arg, unsigned int depth, const char *name)
{
	return check_root(depth, name, "Error");
}

static int error_close(void *arg, const char *parent, const char *name, const char *text,
		       size_t len)
{
	struct s3_fault *fault = arg;

	if (!is(parent, "Error"))
		return 0;
	if (is(name, "Code"))
		snprintf(fault->name, sizeof(fault->name), "%s", text);
	else if (is(name, "Message"))
		snprintf(fault->message, sizeof(fault->message), "%s", text);
	else if (is(name, "Region"))
		snprintf(fault->region, sizeof(fault->region), "%s", text);
	return 0;
}

bool s3_xml_error(const struct buf *text, struct s3_fault *fault)
{
	struct xml_reader reader = {error_open, error_close, fault};

	return text->len && walk(text, &reader, NULL) == 0 && fault->name[0];
}

/* --- DeleteResult --- */

struct deleted_walk {
	s3_deleted_fn *fn;
	void *arg;
	char *key, *name;
};

static int deleted_open(void *arg, unsigned int depth, const char *name)
{
	return check_root(depth, name, "DeleteResult");
}

static int deleted_close(void *arg, const char *parent, const char *name, const char *text,
			 size_t len)
{
	struct deleted_walk *w = arg;
	int rc = 0;

	if (is(parent, "Deleted") || is(parent, "Error")) {
		if (is(name, "Key"))
			rc = set_text(&w->key, text, len);
		else if (is(parent, "Error") && is(name, "Code"))
			rc = set_text(&w->name, text, len);
		return rc;
	}
	if (!is(parent, "DeleteResult") || (!is(name, "Deleted") && !is(name, "Error")))
		return 0;
	if (is(name, "Error") && !w->name)
		rc = set_text(&w->name, "", 0);
	if (rc == 0 && w->key)
		rc = w->fn(w->arg, w->key, is(name, "Error") ? w->name : NULL);
	free(STEAL_PTR(w->key));
	free(STEAL_PTR(w->name));
	return rc;
}

int s3_xml_deleted(const struct buf *text, s3_deleted_fn *fn, void *arg, struct err *err)
{
	struct deleted_walk w = {.fn = fn, .arg = arg};
	struct xml_reader reader = {deleted_open, deleted_close, &w};
	int rc = bad_answer(err, walk(text, &reader, err), "DeleteResult");

	free(w.key);
	free(w.name);
	return rc;
}

/* --- ListMultipartUploadsResult --- */

static int uploads_open(void *arg, unsigned int depth, const char *name)
{
	struct s3_uploads *u = arg;

	if (depth != 1 || !is(name, "Upload"))
		return check_root(depth, name, "ListMultipartUploadsResult");
	if (!grow(&u->v, u->n, &u->cap, sizeof(*u->v)))
		return -ENOMEM;
	u->n++;
	return 0;
}

static int uploads_close(void *arg, const char *parent, const char *name, const char *text,
			 size_t len)
{
	struct s3_uploads *u = arg;

	if (is(parent, "Upload") && u->n) {
		struct s3_upload *upload = &u->v[u->n - 1];

		if (is(name, "Key"))
			return set_text(&upload->key, text, len);
		if (is(name, "UploadId"))
			return set_text(&upload->id, text, len);
		/* Without a date it is as new as can be, and stays. */
		if (is(name, "Initiated") && iso8601_parse(text, &upload->initiated_ns) < 0)
			upload->initiated_ns = 0;
	} else if (is(parent, "ListMultipartUploadsResult")) {
		if (is(name, "IsTruncated"))
			u->truncated = is(text, "true");
		else if (is(name, "NextKeyMarker"))
			return set_text(&u->next_key, text, len);
		else if (is(name, "NextUploadIdMarker"))
			return set_text(&u->next_id, text, len);
	}
	return 0;
}

int s3_xml_uploads(const struct buf *text, struct s3_uploads *ret, struct err *err)
{
	struct s3_uploads uploads = {0};
	struct xml_reader reader = {uploads_open, uploads_close, &uploads};
	int rc = bad_answer(err, walk(text, &reader, err), "ListMultipartUploadsResult");

	if (rc < 0) {
		s3_uploads_release(&uploads);
		return rc;
	}
	*ret = uploads;
	return 0;
}

void s3_uploads_release(struct s3_uploads *uploads)
{
	for (size_t i = 0; i < uploads->n; i++) {
		free(uploads->v[i].key);
		free(uploads->v[i].id);
	}
	free(uploads->v);
	free(uploads->next_key);
	free(uploads->next_id);
	*uploads = (struct s3_uploads){0};
}
