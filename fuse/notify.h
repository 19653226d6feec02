/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel must be told: attributes, bytes or names that changed behind its back. A
 * notification takes the directory's or the page's lock, which a request may hold that waits for
 * us; so they are sent by one thread that does nothing else of importance, in order, and never
 * from a request's handler.
 *
 * A lost notification costs freshness until a timeout ends, no more: the queue is bounded, and
 * what does not fit is dropped.
 */
#ifndef FUSE_NOTIFY_H
#define FUSE_NOTIFY_H

#include <stdint.h>

struct fuse_session;
struct notify;

/* A piece of other work for the thread: must be short. Embedded in its owner. */
struct notify_job {
	void (*run)(struct notify_job *job);
	struct notify_job *next;
};

int notify_new(struct fuse_session *session, struct notify **ret_notify);
/* Runs the jobs that are queued, drops the notifications, joins, frees. Accepts NULL. */
void notify_free(struct notify *n);

void notify_attr(struct notify *n, uint64_t node);
void notify_content(struct notify *n, uint64_t node);
void notify_name(struct notify *n, uint64_t parent, const char *name);
void notify_submit(struct notify *n, struct notify_job *job);

#endif
