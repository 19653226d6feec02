/* SPDX-License-Identifier: Apache-2.0 */
/* Keys that are hashes: of a text and its model, and of a query. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/seedkey.h"
#include "model/seedkey_internal.h"
#include "util/cleanup.h"

#define REAL_MAX 64
#define REAL_DIGITS 17 /* enough for any double */

/* The first digits of the hash of what is at text. */
static void hash_digits(const char *text, size_t len, unsigned int digits, char *out)
{
	unsigned char hash[SHA256_DIGEST_LENGTH];

	SHA256((const unsigned char *)text, len, hash);
	for (unsigned int i = 0; i < digits / 2; i++)
		snprintf(out + (size_t)2 * i, 3, "%02x", hash[i]);
}

int seed_embedding_key(const char *model, const char *text, char ret_key[SEED_KEY_MAX + 1],
		       struct err *err)
{
	CLEANUP_FREE char *content = NULL;
	char digits[17];
	int len;

	if (!*model)
		return err_set(err, -EINVAL, "embedding: the model has no name");
	if (strlen(model) > KEY_PART_MAX)
		return err_set(err, -ENAMETOOLONG, "embedding: the model's name has %zu bytes",
			       strlen(model));
	len = asprintf(&content, "%s:%s", model, text);
	if (len < 0) {
		content = NULL;
		return err_set(err, -ENOMEM, "no memory");
	}
	hash_digits(content, (size_t)len, 16, digits);
	snprintf(ret_key, SEED_KEY_MAX + 1, "embedding:%s:%s", model, digits);
	return 0;
}

/* --- JSON as Python's json.dumps writes it: one text for one value --- */

/* The fewest digits that are read as v again, as "d.ddde+xx". */
static void shortest(double v, char out[REAL_MAX])
{
	for (int digits = 0; digits < REAL_DIGITS; digits++) {
		snprintf(out, REAL_MAX, "%.*e", digits, v);
		if (strtod(out, NULL) == v)
			return;
	}
}

/* 0.0001 up to 1e16 are written without an exponent; there is always a dot or an exponent. */
static void put_real(FILE *out, double v)
{
	char text[REAL_MAX], *e;
	int exponent, digits;

	shortest(v, text);
	e = strchr(text, 'e');
	exponent = (int)strtol(e + 1, NULL, 10);
	digits = (int)(e - text) - (text[0] == '-');
	digits = digits > 1 ? digits - 2 : 0; /* behind the dot */
	if (exponent < -4 || exponent >= 16)
		fputs(text, out);
	else
		fprintf(out, "%.*f", digits > exponent ? digits - exponent : 1, v);
}

static void put_string(FILE *out, const char *s)
{
	static const char named[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";

	fputc('"', out);
	for (; *s; s++) {
		const char *at = strchr(named, *s);

		if (at)
			fprintf(out, "\\%c", names[at - named]);
		else if ((unsigned char)*s < 0x20)
			fprintf(out, "\\u%04x", (unsigned int)*s);
		else
			fputc(*s, out);
	}
	fputc('"', out);
}

static void put_value(FILE *out, json_t *v);

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* By name: bytes of UTF-8 have the order of the characters. */
static void put_object(FILE *out, json_t *object)
{
	CLEANUP_FREE const char **names = calloc(json_object_size(object) + 1, sizeof(*names));
	const char *name;
	size_t n = 0;
	json_t *v;

	if (!names) {
		fputc('\0', out); /* no JSON has it: the caller sees that something is missing */
		return;
	}
	json_object_foreach(object, name, v) names[n++] = name;
	qsort(names, n, sizeof(*names), compare_names);
	fputc('{', out);
	for (size_t i = 0; i < n; i++) {
		if (i)
			fputc(',', out);
		put_string(out, names[i]);
		fputc(':', out);
		put_value(out, json_object_get(object, names[i]));
	}
	fputc('}', out);
}

static void put_array(FILE *out, json_t *array)
{
	fputc('[', out);
	for (size_t i = 0; i < json_array_size(array); i++) {
		if (i)
			fputc(',', out);
		put_value(out, json_array_get(array, i));
	}
	fputc(']', out);
}

static void put_value(FILE *out, json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		put_object(out, v);
		break;
	case JSON_ARRAY:
		put_array(out, v);
		break;
	case JSON_STRING:
		put_string(out, json_string_value(v));
		break;
	case JSON_INTEGER:
		fprintf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
		break;
	case JSON_REAL:
		put_real(out, json_real_value(v));
		break;
	case JSON_TRUE:
		fputs("true", out);
		break;
	case JSON_FALSE:
		fputs("false", out);
		break;
	case JSON_NULL:
		fputs("null", out);
		break;
	}
}

/* --- queries --- */

/* malloc'ed; NULL: no memory. */
static char *canonical(const char *query, json_t *filters, const char *strategy, size_t *ret_len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, ret_len);

	if (!out)
		return NULL;
	fputc('[', out);
	put_string(out, query);
	fputc(',', out);
	put_object(out, filters);
	fputc(',', out);
	put_string(out, strategy);
	fputc(']', out);
	if (fclose(out) == 0 && !memchr(text, '\0', *ret_len))
		return text;
	free(text);
	return NULL;
}

static int filtered_digits(const char *query, const char *strategy, const char *filters,
			   char digits[17], struct err *err)
{
	CLEANUP_FREE char *text = NULL;
	json_error_t where;
	json_t *json = json_loads(filters, JSON_REJECT_DUPLICATES, &where);
	size_t len = 0;

	if (!json)
		return err_set(err, -EINVAL, "filters: %s (column %d)", where.text, where.column);
	if (!json_is_object(json)) {
		json_decref(json);
		return err_set(err, -EINVAL, "filters: they are no JSON object");
	}
	text = canonical(query, json, strategy, &len);
	json_decref(json);
	if (!text)
		return err_set(err, -ENOMEM, "no memory");
	hash_digits(text, len, 16, digits);
	return 0;
}

int seed_query_path(const char *query, const char *strategy, const char *filters,
		    char ret_path[KEY_MAX + 1], struct err *err)
{
	static const char *const reserved[] = {NULL};
	char digits[17], path[KEY_MAX + 1];
	struct seed_text t;
	int r = 0;

	if (!*strategy)
		return err_set(err, -EINVAL, "search: the strategy has no name");
	if (filters)
		r = filtered_digits(query, strategy, filters, digits, err);
	else
		hash_digits(query, strlen(query), 8, digits);
	if (r)
		return r;
	seed_text_init(&t, path, sizeof(path));
	seed_puts(&t, "search_results/");
	seed_puts(&t, digits);
	seed_puts(&t, "/");
	seed_put_part(&t, (struct seed_span){strategy, strlen(strategy)}, reserved);
	seed_puts(&t, ".json");
	if (t.cut || key_check(path, t.len))
		return err_set(err, -ENAMETOOLONG,
			       "search: the strategy %.80s... is too long a name", strategy);
	memcpy(ret_path, path, t.len + 1);
	return 0;
}
