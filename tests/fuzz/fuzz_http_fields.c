/* SPDX-License-Identifier: Apache-2.0 */
/* Headers of an answer, line by line, and each value through every parser of values. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/http/fields.h"
#include "tiers/s3/s3.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse_value(const char *value)
{
	uint64_t first, last, total;
	size_t len = strlen(value);
	char etag[ETAG_MAX], *copy;
	int64_t ns;

	if (http_content_range_parse(value, &first, &last, &total) == 0 &&
	    (first > last || last >= total))
		abort();
	http_number_parse(value, &first);
	http_date_parse(value, &ns);
	iso8601_parse(value, &ns);
	if (http_retry_after(value, 0) < 0)
		abort();
	if (s3_etag_copy(etag, value) == 0 && strlen(etag) >= ETAG_MAX)
		abort();
	copy = strdup(value);
	if (copy && url_decode(copy, len, true) > len)
		abort();
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_response response = {.status = 200};
	struct http_header it = {0};
	const char *text = (const char *)data;
	struct record rec;

	while (size) {
		const char *end = memchr(text, '\n', size);
		size_t len = end ? (size_t)(end - text) + 1 : size;

		if (http_headers_add_line(&response.headers, text, len) < 0)
			break;
		text += len;
		size -= len;
	}
	while (http_headers_next(&response.headers, &it))
		parse_value(it.value);
	record_init(&rec);
	if (s3_record_read(&response, 1, &rec, NULL) == 0 && !rec.etag[0])
		abort();
	record_release(&rec);
	http_response_release(&response);
	return 0;
}
