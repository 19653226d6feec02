/* SPDX-License-Identifier: Apache-2.0 */
/*
 * User metadata of foreign objects: "name=value" lines. Nothing makes it unreadable; and what was
 * read once, written and read again, stays what it is.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/record.h"

#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

static void add_lines(struct meta_list *list, char *text)
{
	char *line, *save;

	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *value = strchr(line, '=');

		if (value)
			*value++ = '\0';
		REQUIRE(meta_list_add(list, line, value ? value : "") == 0);
	}
}

static bool lists_equal(const struct meta_list *a, const struct meta_list *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->v[i].name, b->v[i].name) || strcmp(a->v[i].value, b->v[i].value))
			return false;
	return true;
}

static void check_stable(const struct meta_list *list)
{
	struct meta_list again;
	struct record rec;

	record_init(&rec);
	REQUIRE(record_from_meta(&rec, list) == 0);
	REQUIRE(record_to_meta(&rec, &again) == 0);
	REQUIRE(lists_equal(list, &again));
	meta_list_release(&again);
	record_release(&rec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size);
	struct meta_list list = {.v = NULL}, written;
	struct record rec;
	int r;

	REQUIRE(text);
	add_lines(&list, text);
	record_init(&rec);
	REQUIRE(record_from_meta(&rec, &list) == 0);
	REQUIRE(!rec.symlink || strlen(rec.symlink) < 4096);
	r = record_to_meta(&rec, &written);
	REQUIRE(r == 0 || r == -E2BIG);
	if (r == 0) {
		check_stable(&written);
		meta_list_release(&written);
	}
	record_release(&rec);
	meta_list_release(&list);
	free(text);
	return 0;
}
