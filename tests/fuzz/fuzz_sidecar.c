/* SPDX-License-Identifier: Apache-2.0 */
/* Sidecars, which anybody may write: a record that took one can be stored. And formats, which are
 * told from the same bytes. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/format.h"
#include "model/sidecar.h"

#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size);
	char format[FORMAT_MAX];
	struct meta_list list;
	struct sidecar s;
	struct record rec;

	REQUIRE(text);
	format_of(text, data, size < FORMAT_HEAD ? size : FORMAT_HEAD, format);
	REQUIRE(strlen(format) < FORMAT_MAX);
	free(text);
	if (sidecar_parse((const char *)data, size, &s, NULL))
		return 0;
	record_init(&rec);
	REQUIRE(sidecar_apply(&s, 1700000000, &rec) == 0);
	REQUIRE(!(s.has & SIDECAR_EXPIRES) || rec.expires_at == s.expires_at);
	REQUIRE(rec.expires_at >= 0);
	REQUIRE(record_to_meta(&rec, &list) == 0);
	meta_list_release(&list);
	record_release(&rec);
	sidecar_release(&s);
	return 0;
}
