/* SPDX-License-Identifier: Apache-2.0 */
/* Keys from a store: what key_check takes is a path that stays below its root and names one object.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/key.h"

#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

/* Looks at each part again, in another way than key_check does. */
static void check_parts(const char *key)
{
	size_t len;

	REQUIRE(key[0] != '\0' && strlen(key) <= KEY_MAX);
	for (const char *part = key;; part += len + 1) {
		len = strcspn(part, "/");
		REQUIRE(len > 0 && len <= KEY_PART_MAX);
		REQUIRE(!(len == 1 && part[0] == '.'));
		REQUIRE(!(len == 2 && part[0] == '.' && part[1] == '.'));
		REQUIRE(part != key || len != strlen(CONTROL_DIR) ||
			strncmp(part, CONTROL_DIR, len) != 0);
		if (!part[len])
			return;
	}
}

static void check_joined(const char *key)
{
	char *joined = key_join("dir", key);

	REQUIRE(joined);
	REQUIRE(key_below(joined, "dir") && key_below(joined, joined) && key_below(joined, ""));
	REQUIRE(!key_below(joined, "di"));
	free(joined);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *key;

	if (key_check((const char *)data, size))
		return 0;
	REQUIRE(!memchr(data, '\0', size));
	key = strndup((const char *)data, size);
	REQUIRE(key);
	check_parts(key);
	check_joined(key);
	free(key);
	return 0;
}
