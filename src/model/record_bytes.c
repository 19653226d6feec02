/* SPDX-License-Identifier: Apache-2.0 */
/* Encoding 3: the whole record as one blob, for the journal. */
#include <errno.h>
#include <stdlib.h>

#include "model/record_internal.h"

int record_to_bytes(const struct record *rec, void **ret_buf, size_t *ret_len)
{
	struct codec_out out = {.buf = NULL};
	uint32_t left;
	int r;

	r = codec_encode(rec, codec_fields(rec), SIZE_MAX, 0, &out, &left);
	if (r) {
		codec_out_release(&out);
		return r;
	}
	*ret_buf = out.buf;
	*ret_len = out.len;
	return 0;
}

int record_from_bytes(struct record *rec, const void *buf, size_t len)
{
	struct record fresh;
	uint32_t seen = 0;
	unsigned int slot;
	int r;

	record_init(&fresh);
	r = codec_decode(buf, len, &fresh, &seen, &slot);
	if (r == 0 && slot)
		r = -EBADMSG; /* says that a part of it is elsewhere */
	if (r) {
		record_release(&fresh);
		return r;
	}
	record_release(rec);
	*rec = fresh;
	return 0;
}
