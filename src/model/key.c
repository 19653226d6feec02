/* SPDX-License-Identifier: Apache-2.0 */
/* Which keys are safe paths, and how keys are put together. */
#include "model/key.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int key_part_check(const char *name, size_t len, bool at_root)
{
	if (len > KEY_PART_MAX)
		return -ENAMETOOLONG;
	if (len == 0 || memchr(name, '\0', len) || memchr(name, '/', len))
		return -EINVAL;
	if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')))
		return -EINVAL;
	if (at_root && len == strlen(CONTROL_DIR) && memcmp(name, CONTROL_DIR, len) == 0)
		return -EINVAL;
	return 0;
}

int key_check(const char *key, size_t len)
{
	const char *end = key + len;
	const char *part = key;

	if (len > KEY_MAX)
		return -ENAMETOOLONG;
	for (;;) {
		const char *slash = memchr(part, '/', (size_t)(end - part));
		int r = key_part_check(part, (size_t)((slash ? slash : end) - part), part == key);

		if (r || !slash)
			return r;
		part = slash + 1;
	}
}

bool key_below(const char *key, const char *dir)
{
	size_t len = strlen(dir);

	if (len == 0)
		return true;
	return strncmp(key, dir, len) == 0 && (key[len] == '\0' || key[len] == '/');
}

char *key_join(const char *dir, const char *name)
{
	char *key;

	return asprintf(&key, "%s%s%s", dir, dir[0] ? "/" : "", name) < 0 ? NULL : key;
}
