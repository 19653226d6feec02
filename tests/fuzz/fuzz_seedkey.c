/* SPDX-License-Identifier: Apache-2.0 */
/* A key or a path of the seeds: each path is safe, and both ways lead back. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/seedkey.h"

#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

static void check(enum seed_grammar grammar, enum seed_format format, const char *text)
{
	char path[KEY_MAX + 1], again[KEY_MAX + 1], key[SEED_KEY_MAX + 1];

	if (seed_path_of(grammar, format, text, path, NULL) == 0) {
		REQUIRE(key_check(path, strlen(path)) == 0);
		REQUIRE(seed_key_of(grammar, path, key, NULL) == 0);
		REQUIRE(strcmp(key, text) == 0 || strchr(text, '='));
		REQUIRE(seed_path_of(grammar, format, key, again, NULL) == 0);
		REQUIRE(strcmp(path, again) == 0);
	}
	if (seed_key_of(grammar, text, key, NULL) == 0)
		REQUIRE(key_check(text, strlen(text)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size);
	char path[KEY_MAX + 1];

	REQUIRE(text);
	for (int format = SEED_PKL; format <= SEED_MSGPACK; format++)
		check(SEED_003, (enum seed_format)format, text);
	check(SEED_004, SEED_PKL, text);
	if (seed_query_path("q", text, text, path, NULL) == 0)
		REQUIRE(key_check(path, strlen(path)) == 0);
	(void)seed_query_path("q", "s", text, path, NULL);
	free(text);
	return 0;
}
