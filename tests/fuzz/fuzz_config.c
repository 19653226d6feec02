/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a configuration: it is taken or refused with a reason, and what is taken can be
 * printed. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/config_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config *config = calloc(1, sizeof(*config));
	struct err err = {0};
	bool tiers = false;

	if (!config)
		return 0;
	if (conf_yaml_parse(config, (const char *)data, size, &tiers, &err) == 0) {
		char *text = NULL;
		size_t len;
		FILE *out = open_memstream(&text, &len);

		if (out) {
			config_print(config, out, true);
			fclose(out);
			free(text);
		}
	} else {
		assert(err.text[0]);
	}
	config_free(config);
	return 0;
}
