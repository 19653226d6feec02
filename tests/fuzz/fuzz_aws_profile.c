/* SPDX-License-Identifier: Apache-2.0 */
/* The AWS tools' shared files: one text as either of them. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/http/profile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {"default", "work", ""};

	for (size_t i = 0; i < 2 * sizeof(names) / sizeof(names[0]); i++) {
		enum aws_file which = i % 2 ? AWS_CONFIG_FILE : AWS_CREDENTIALS_FILE;
		struct aws_profile profile = {0};

		aws_profile_parse(&profile, which, names[i / 2], (const char *)data, size);
		/* An empty value is none, and no value spans lines. */
		if (profile.secret_key &&
		    (!profile.secret_key[0] || strchr(profile.secret_key, '\n')))
			abort();
		aws_profile_release(&profile);
	}
	return 0;
}
