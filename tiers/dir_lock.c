/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The locks that make a directory's conditional writes exact: 64 of them, a key's by its hash. A
 * mutex keeps the threads of this process apart, and whoever holds it takes the flock of a file
 * that other processes, and other hosts on a NAS, see. A process that dies lets go of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#include "tiers/dir_internal.h"
#include "util/cleanup.h"
#include "util/hash.h"

#define MUTEX_SLICE_NS (50 * NSEC_PER_MSEC) /* how late a cancellation is heard */
#define POLL_NS (2 * NSEC_PER_MSEC)

static int lock_mutex(const struct dir *d, const struct tier_call *call, struct dir_slot *slot)
{
	for (;;) {
		struct timespec until;
		int r;

		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += MUTEX_SLICE_NS;
		if (until.tv_nsec >= NSEC_PER_SEC) {
			until.tv_nsec -= NSEC_PER_SEC;
			until.tv_sec++;
		}
		if (pthread_mutex_clocklock(&slot->mtx, CLOCK_MONOTONIC, &until) == 0)
			return 0;
		r = tier_call_check(&d->base, call);
		if (r)
			return r;
	}
}

static int lock_file(const struct dir *d, const struct tier_call *call, struct dir_slot *slot)
{
	const struct clock *clk = d->base.clock;

	if (slot->fd < 0) {
		char name[8];

		snprintf(name, sizeof(name), "%02x", (unsigned int)(slot - d->slots));
		slot->fd = openat(d->lock_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
				  0600);
		if (slot->fd < 0)
			return -errno;
	}
	while (flock(slot->fd, LOCK_EX | LOCK_NB) < 0) {
		int r = tier_call_check(&d->base, call);

		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		if (r)
			return r;
		clk->sleep_until(clk, clock_mono(clk) + POLL_NS);
	}
	return 0;
}

int dir_lock(struct dir *d, struct tier_call *call, const char *key, struct dir_lock *ret_lock)
{
	struct dir_slot *slot = &d->slots[hash64(key, strlen(key)) % DIR_LOCKS];
	int r = lock_mutex(d, call, slot);

	if (r)
		return dir_fail(call, r, "waiting for the lock");
	r = d->flock ? lock_file(d, call, slot) : 0;
	if (r) {
		pthread_mutex_unlock(&slot->mtx);
		return dir_fail(call, r, "waiting for the lock");
	}
	*ret_lock = (struct dir_lock){.d = d, .slot = slot};
	return 0;
}

void dir_unlock(struct dir_lock *lock)
{
	if (!lock->slot)
		return;
	if (lock->d->flock)
		flock(lock->slot->fd, LOCK_UN);
	pthread_mutex_unlock(&lock->slot->mtx);
	lock->slot = NULL;
}
