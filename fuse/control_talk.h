/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One open `.cogfs/control`: a request is written, lines are read until the end, with waiting in
 * between.
 */
#ifndef FUSE_CONTROL_TALK_H
#define FUSE_CONTROL_TALK_H

#include <fuse_lowlevel.h>

struct control_talk;
struct driver;

int control_talk_new(struct driver *d, struct control_talk **ret_talk);
/* Long work is told that nobody listens any more. Accepts NULL. */
void control_talk_free(struct control_talk *t);
/* One write is one request. -EBUSY while the answer to the last one is under way, -EFBIG. */
int control_talk_write(struct control_talk *t, const struct fuse_ctx *ctx, const char *buf,
		       size_t size);
/* Answers req: now, when there is something to read, or with EINTR. */
void control_talk_read(struct control_talk *t, fuse_req_t req, size_t size);

#endif
