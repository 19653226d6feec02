/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal's log reader. An input is either a log as it would be on disk, or (first byte odd)
 * a row of payloads that get whole frames here, as no mutation finds a checksum. Whatever was
 * read must then be possible to drain to the end.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cache/journal_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int64_t no_time(const struct clock *clk)
{
	return 1;
}

static void no_sleep(const struct clock *clk, int64_t until)
{
}

static const struct clock still = {.mono_ns = no_time, .wall_ns = no_time, .sleep_until = no_sleep};

/* type (1), seq (1), length (2), payload */
static void frame_all(const uint8_t *data, size_t size, struct jbuf *out)
{
	while (size >= 4) {
		size_t len = (size_t)(data[2] | data[3] << 8), start;

		if (len > size - 4)
			len = size - 4;
		start = jrec_begin(out, (enum jrec_type)data[0], data[1]);
		jbuf_put(out, data + 4, len);
		if (jrec_end(out, start))
			abort();
		data += 4 + len;
		size -= 4 + len;
	}
}

static void replay(struct journal *j, const uint8_t *data, size_t size)
{
	struct jrec rec;
	size_t off = 0;

	while (jrec_next(data, size, &off, &rec) == 1) {
		if (jreplay_apply(j, &rec))
			break;
		jn_check(j);
	}
	if (off < size)
		(void)jrec_any(data, size, off);
}

static void drain(struct journal *j)
{
	struct jent *e;
	int64_t wake;

	list_for_each_safe(it, &j->order) {
		struct ent *held = list_entry(it, struct ent, order);

		if (held->pub.state == J_HELD && jn_drop(j, held, false))
			abort();
	}
	j->replaying = false;
	while ((e = journal_take(j, &wake))) {
		if (journal_done(j, e, "etag", true))
			abort();
	}
	if (j->entries != 0 || j->bytes != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct journal_conf conf = {.dirfd = -1, .staging_dirfd = -1, .clock = &still};
	struct journal *j = jn_new(&conf);
	struct jbuf framed = {.p = NULL};

	if (!j)
		abort();
	j->replaying = true;
	if (size > 0 && data[0] % 2) {
		frame_all(data + 1, size - 1, &framed);
		if (framed.len > 0)
			replay(j, framed.p, framed.len);
	} else if (size > 0) {
		replay(j, data + 1, size - 1);
	}
	drain(j);
	jbuf_release(&framed);
	jn_free(j);
	return 0;
}
