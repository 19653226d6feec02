/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control files below .cogfs/ in the mount, as the driver sees them: texts that are made when
 * they are opened, and one file that takes a request and gives lines back. The driver knows neither
 * their contents nor who may ask for what.
 */
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * The answer to one request, on its way from whoever works on it to the reader of the control file.
 * Lines may be added from any thread; the reader sees each as soon as it is there.
 */
struct control_reply;

/* Adds one line (without its '\n'); text is copied. Without memory the line is lost and the end
 * says so. */
void control_reply_line(struct control_reply *reply, const char *text);
/* Nothing more comes: once, by whoever request() gave the reply to, who may not touch it
 * afterwards. */
void control_reply_end(struct control_reply *reply);
/* The reader closed the file: long work may be given up. control_reply_end() is called all the
 * same. */
bool control_reply_cancelled(struct control_reply *reply);

struct control_ops {
	/* Names that render() knows, NULL-terminated; "control" is not among them. */
	const char *const *names;
	/* The file's text for that user, malloc'ed. Must not wait. -ENOENT, -EACCES, -ENOMEM. */
	int (*render)(void *arg, const char *name, uid_t uid, char **ret_buf, size_t *ret_len);
	/*
	 * Takes one request. json is the text as it was written, NUL-terminated, hostile. Must not
	 * wait: what takes long goes to a thread of its own. 0: the answer comes, errors in it
	 * included, and ends with control_reply_end(); -errno: the write fails with it and reply is
	 * not touched.
	 */
	int (*request)(void *arg, const char *json, uid_t uid, gid_t gid, pid_t pid,
		       struct control_reply *reply);
};

/* The control side of one cache; control_ops takes it as its arg. */
struct cache;
struct control;
extern const struct control_ops control_ops;
int control_new(struct cache *cache, const char *mountpoint, struct control **ret_control);
/* Ends what is under way, and waits for it. Accepts NULL. */
void control_free(struct control *control);

/* --- the driver's side (reply.c) --- */

/*
 * wake is called with the reply's lock held when there is something to read: it hands the news on
 * and does not call back. Never after control_reply_close() has returned.
 */
struct control_reply *control_reply_new(void (*wake)(void *arg), void *arg);
/* Takes up to size bytes: their number, 0 at the end, -EAGAIN while the answer is under way. */
ssize_t control_reply_read(struct control_reply *reply, char *buf, size_t size);
/* No more reads. It is freed when it was ended too; never_given: request() did not take it. */
void control_reply_close(struct control_reply *reply, bool never_given);

#endif
