/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The budget of a body tier. Admission is one compare-and-swap a total: a sum that would be over
 * the limit is never stored, so that no reader of the totals sees one.
 */
#include <errno.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "tiers/local.h"

#define COST_UNIT 4096u

uint64_t local_round(uint64_t bytes)
{
	return bytes > UINT64_MAX - COST_UNIT
		       ? bytes & ~(uint64_t)(COST_UNIT - 1)
		       : (bytes + COST_UNIT - 1) & ~(uint64_t)(COST_UNIT - 1);
}

bool local_admit(_Atomic int64_t *total, uint64_t n, uint64_t max)
{
	int64_t have = atomic_load_explicit(total, memory_order_relaxed);

	if (n > INT64_MAX)
		return false;
	if (max == 0 || max > INT64_MAX)
		max = INT64_MAX;
	do {
		/* Below zero for a moment, where a checkpoint's totals are corrected. */
		uint64_t used = have > 0 ? (uint64_t)have : 0;

		if (used > max || n > max - used)
			return false;
	} while (!atomic_compare_exchange_weak(total, &have, have + (int64_t)n));
	return true;
}

/* What is admitted and not written yet is no longer free; the filesystem does not know that. */
static bool leaves_min_free(struct local *l, uint64_t bytes)
{
	int64_t unwritten = atomic_load(&l->unwritten);
	struct statvfs vfs;
	uint64_t avail, need;

	if (l->min_free == 0)
		return true;
	if (fstatvfs(l->root_fd, &vfs) < 0)
		return false;
	avail = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	need = l->min_free + (unwritten > 0 ? (uint64_t)unwritten : 0);
	return avail >= need && avail - need >= bytes;
}

static bool is_near(int64_t have, uint64_t max, unsigned int parts)
{
	return max && have > 0 && (uint64_t)have > max - max / parts;
}

bool local_is_tight(struct local *l, unsigned int parts, bool free)
{
	return is_near(atomic_load(&l->used), atomic_load(&l->max_size), parts) ||
	       is_near(atomic_load(&l->objects), atomic_load(&l->max_objects), parts) ||
	       (free && !leaves_min_free(l, l->min_free / parts));
}

int local_reserve(struct local *l, uint64_t bytes, bool object)
{
	uint64_t cost = local_round(bytes);

	if (object && !local_admit(&l->objects, 1, atomic_load(&l->max_objects)))
		return -ENOSPC;
	if (local_admit(&l->used, cost, atomic_load(&l->max_size))) {
		if (cost == 0 || leaves_min_free(l, cost))
			return 0;
		atomic_fetch_sub(&l->used, (int64_t)cost);
	}
	if (object)
		atomic_fetch_sub(&l->objects, 1);
	return -ENOSPC;
}

void local_unreserve(struct local *l, uint64_t bytes, bool object)
{
	atomic_fetch_sub(&l->used, (int64_t)local_round(bytes));
	if (object)
		atomic_fetch_sub(&l->objects, 1);
}

void local_adjust(struct local *l, int64_t delta_bytes)
{
	atomic_fetch_add(&l->used, delta_bytes);
}

void local_unwritten(struct local *l, int64_t delta_bytes)
{
	atomic_fetch_add(&l->unwritten, delta_bytes);
}

uint64_t local_cost(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 ? 0 : (uint64_t)st.st_blocks * 512;
}
