/* SPDX-License-Identifier: Apache-2.0 */
/* How an open is answered: the decision, without the means. */
#include "io_mode.h"

#include <fcntl.h>

static bool passing(const struct io_held *held)
{
	return held->n[IO_PASS] || held->n[IO_PASS_DIRECT];
}

/* The kernel takes nothing but the same backing id from now on. */
static enum io_mode beside_passthrough(const struct io_want *want)
{
	if (want->same_body)
		return want->accmode == O_RDONLY ? IO_PASS : IO_PASS_DIRECT;
	/* It cannot be mapped, so that in need it matters not whose body it is. */
	if (want->accmode == O_WRONLY && want->asked_before)
		return IO_PASS_DIRECT;
	return IO_ANOTHER_NODE;
}

/*
 * Passthrough is impossible on this node. Readers may move on to a new one as long as nobody
 * writes here: locks and shared mappings of writers and readers must meet on one inode.
 */
static enum io_mode beside_cached(const struct io_held *held, const struct io_want *want)
{
	if (held->writers)
		return IO_CACHED;
	if (want->other_epoch)
		return IO_ANOTHER_NODE;
	if (want->accmode == O_RDONLY && want->body && !want->asked_before)
		return IO_ANOTHER_NODE;
	return IO_CACHED;
}

enum io_mode io_decide(const struct io_held *held, const struct io_want *want)
{
	if (passing(held))
		return beside_passthrough(want);
	if (held->n[IO_CACHED])
		return beside_cached(held, want);
	if (want->accmode == O_WRONLY)
		return IO_DIRECT;
	/*
	 * Direct first and passthrough second is allowed, the other way round it is not, and the
	 * kernel may see two answers in either order: next to a fresh direct open only cached is
	 * safe.
	 */
	if (want->accmode == O_RDONLY && want->body && !held->unsettled)
		return IO_PASS;
	return IO_CACHED;
}

bool io_kernel_allows(const struct io_held *held, enum io_mode mode, bool same_body)
{
	if (passing(held))
		return io_mode_passes(mode) && same_body;
	if (held->n[IO_CACHED])
		return !io_mode_passes(mode);
	return true;
}
