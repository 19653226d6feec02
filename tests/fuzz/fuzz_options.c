/* SPDX-License-Identifier: Apache-2.0 */
/* Any text behind -o, and as a size, a duration and a mount table. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/mounts.h"
#include "cli/options.h"

static void parse_table(const char *text, size_t size)
{
	FILE *in = size ? fmemopen((char *)text, size, "r") : NULL;
	struct mount_table table;

	if (in && mount_table_parse(in, &table) == 0)
		mount_table_release(&table);
	if (in)
		fclose(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mount_options options = {0};
	char *text = malloc(size + 1);
	struct err err = {0};
	uint64_t bytes;
	int64_t ms;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (mount_options_parse(&options, text, &err) < 0)
		assert(err.text[0]);
	mount_options_release(&options);
	if (conf_parse_size(text, &bytes) == 0)
		assert(bytes <= INT64_MAX);
	if (conf_parse_duration_ms(text, &ms) == 0)
		assert(ms >= CONF_NEVER);
	parse_table(text, size);
	free(text);
	return 0;
}
