/* SPDX-License-Identifier: Apache-2.0 */
/* A key or a path that is put together within KEY_MAX. */
#ifndef MODEL_KEYMAP_OUT_H
#define MODEL_KEYMAP_OUT_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "model/key.h"

/* A text being put together. */
struct out {
	char *text;
	size_t len;
	bool full;
};

static inline void put(struct out *o, const char *text, size_t len)
{
	if (len > KEY_MAX - o->len) {
		o->full = true;
		return;
	}
	memcpy(o->text + o->len, text, len);
	o->len += len;
}

static inline int put_end(struct out *o)
{
	o->text[o->len] = '\0';
	return o->full ? -ENAMETOOLONG : (int)o->len;
}

#endif
