/* SPDX-License-Identifier: Apache-2.0 */
/* S3's XML answers: one input through every reader of the dialect. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/s3/s3.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int take_deleted(void *arg, const char *key, const char *name)
{
	*(size_t *)arg += strlen(key) + (name ? strlen(name) : 0);
	return 0;
}

static void read_page(const struct buf *text)
{
	struct s3_page page;

	if (s3_xml_page(text, &page, NULL) < 0)
		return;
	/* What the list operation relies on. */
	for (size_t i = 0; i < page.n; i++) {
		if (!page.v[i].key || page.v[i].key[page.v[i].key_len] ||
		    (!page.v[i].prefix && !page.v[i].etag[0]))
			abort();
	}
	s3_page_release(&page);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP_BUF struct buf text = {0};
	struct s3_uploads uploads;
	struct s3_fault fault = {0};
	char etag[ETAG_MAX], *id;
	size_t seen = 0;

	buf_add(&text, data, size);
	if (!buf_str(&text))
		return 0;
	read_page(&text);
	if (s3_xml_uploads(&text, &uploads, NULL) == 0)
		s3_uploads_release(&uploads);
	if (s3_xml_upload_id(&text, &id, NULL) == 0)
		free(id);
	s3_xml_etag(&text, etag, NULL);
	s3_xml_deleted(&text, take_deleted, &seen, NULL);
	s3_xml_error(&text, &fault);
	return 0;
}
