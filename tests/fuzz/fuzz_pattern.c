/* SPDX-License-Identifier: Apache-2.0 */
/* Two patterns and a key, a line each: what compiles matches within its bounds, the placeholders
 * lie in the key, and the tree of classes finds the first pattern that matches. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/class.h"
#include "model/key.h"

#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

static bool check_match(const char *text, const char *key, size_t len)
{
	struct pattern_span spans[PATTERN_NAMES_MAX];
	struct pattern *p;
	bool match;

	REQUIRE(pattern_compile(text, &p, NULL) == 0);
	match = pattern_match(p, key, len, spans);
	REQUIRE(match == pattern_match(p, key, len, NULL));
	for (unsigned int i = 0; match && i < p->n_names; i++) {
		REQUIRE(spans[i].len > 0 && (size_t)spans[i].off + spans[i].len <= len);
		REQUIRE(!memchr(key + spans[i].off, '/', spans[i].len));
	}
	pattern_free(p);
	return match;
}

static bool compiles(const char *text)
{
	struct pattern *p;

	if (pattern_compile(text, &p, NULL) < 0)
		return false;
	pattern_free(p);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size), *rest = text, *line[3];
	char *match[] = {NULL, NULL, NULL};
	struct conf_class class = {.name = text, .match = match};
	struct class_hit hit = {.rule = 2};
	struct class_set *set;
	unsigned int first;
	size_t len;

	for (unsigned int i = 0; i < 3; i++)
		line[i] = strsep(&rest, "\n");
	if (!line[2] || !compiles(line[0]) || !compiles(line[1])) {
		free(text);
		return 0;
	}
	len = strlen(line[2]);
	first = check_match(line[0], line[2], len) ? 0 : check_match(line[1], line[2], len) ? 1 : 2;
	match[0] = line[0];
	match[1] = line[1];
	REQUIRE(class_set_new(&class, &set, NULL) == 0);
	REQUIRE(class_match(set, line[2], len, &hit) == (first < 2) && hit.rule == first);
	class_set_free(set);
	free(text);
	return 0;
}
