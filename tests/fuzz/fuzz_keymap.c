/* SPDX-License-Identifier: Apache-2.0 */
/* A template, the pattern that says how a path holds its tenant, and a path or a store's key: both
 * ways lead back to where they came from. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/keymap.h"

#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

static void check(const struct keymap *map, const char *text)
{
	char key[KEY_MAX + 1], path[KEY_MAX + 1];
	struct keymap_prefixes list;
	size_t len = strlen(text);
	int n;

	if (key_check(text, len) == 0) {
		n = keymap_expand(map, text, len, key);
		if (n >= 0) {
			REQUIRE(keymap_invert(map, key, (size_t)n, path) == (int)len);
			REQUIRE(strcmp(path, text) == 0);
		}
		keymap_list(map, text, len, &list);
	}
	n = keymap_invert(map, text, len, path);
	if (n >= 0) {
		REQUIRE(key_check(path, (size_t)n) == 0);
		REQUIRE(keymap_expand(map, path, (size_t)n, key) == (int)len);
		REQUIRE(strcmp(key, text) == 0);
	}
	n = keymap_invert_dir(map, text, len, path);
	if (n >= 0)
		REQUIRE(key_check(path, (size_t)n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size), *rest = text, *line[3];
	struct tenant_form form = {0};
	struct keymap *map;

	for (unsigned int i = 0; i < 3; i++)
		line[i] = strsep(&rest, "\n");
	if (line[2] && tenant_form_of(line[1], &form, NULL) == 0 &&
	    keymap_new(line[0], &form, &map, NULL) == 0) {
		check(map, line[2]);
		keymap_free(map);
	}
	tenant_form_release(&form);
	free(text);
	return 0;
}
