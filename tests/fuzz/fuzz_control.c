/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a request to the control file. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control/request.h"
#include "model/key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct control_request req = {0};
	char *text = malloc(size + 1);
	struct err err = {0};

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (control_request_parse(text, &req, &err) < 0) {
		assert(err.text[0] && !req.path);
	} else {
		assert((unsigned int)req.verb < CONTROL_VERBS);
		assert(!*req.path || key_check(req.path, strlen(req.path)) == 0);
		assert(req.timeout_ms >= -1);
		control_request_release(&req);
	}
	free(text);
	return 0;
}
