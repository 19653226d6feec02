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

#define WAIT_SLICE_NS (50 * NSEC_PER_MSEC) /* how late a cancellation is heard */
#define POLL_NS (2 * NSEC_PER_MSEC)

int dir_locks_init(struct dir *d)
{
	pthread_condattr_t attr;
	int r = pthread_condattr_init(&attr);

	if (r)
		return -r;
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	for (unsigned int i = 0; i < DIR_LOCKS; i++) {
		pthread_mutex_init(&d->slots[i].mtx, NULL);
		pthread_cond_init(&d->slots[i].freed, &attr);
		d->slots[i].fd = -1;
	}
	pthread_condattr_destroy(&attr);
	return 0;
}

void dir_locks_release(struct dir *d)
{
	for (unsigned int i = 0; i < DIR_LOCKS; i++) {
		cleanup_closep(&d->slots[i].fd);
		pthread_cond_destroy(&d->slots[i].freed);
		pthread_mutex_destroy(&d->slots[i].mtx);
	}
}

static struct timespec slice_from_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_nsec += WAIT_SLICE_NS;
	if (ts.tv_nsec >= NSEC_PER_SEC) {
		ts.tv_nsec -= NSEC_PER_SEC;
		ts.tv_sec++;
	}
	return ts;
}

static int take_slot(const struct dir *d, const struct tier_call *call, struct dir_slot *slot)
{
	SCOPE_LOCK(&slot->mtx);

	while (slot->taken) {
		struct timespec until = slice_from_now();
		int r = tier_call_check(&d->base, call);

		if (r)
			return r;
		pthread_cond_timedwait(&slot->freed, &slot->mtx, &until);
	}
	slot->taken = true;
	return 0;
}

static void give_slot(struct dir_slot *slot)
{
	SCOPE_LOCK(&slot->mtx);

	slot->taken = false;
	pthread_cond_signal(&slot->freed);
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
	int r = take_slot(d, call, slot);

	if (r)
		return dir_fail(call, r, "waiting for the lock");
	r = d->flock ? lock_file(d, call, slot) : 0;
	if (r) {
		give_slot(slot);
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
	give_slot(lock->slot);
	lock->slot = NULL;
}
