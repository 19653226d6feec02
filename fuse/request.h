/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request on its way through the cache: try, wait, try again.
 *
 * A handler copies what it needs into a struct freq and calls freq_start(). That calls op->run,
 * on the FUSE thread at first. Where run says CACHE_PENDING the thread goes on to its next
 * request, and the cache calls back from one of its workers: to run again, or with the error that
 * ended the wait. When run has returned 0 or -errno, the request is answered, cleaned up and
 * freed, once.
 *
 *	run	0: the result is in f; -errno: the answer; CACHE_PENDING: f belongs to the cache now
 *	reply	sends the result (run returned 0)
 *	clean	what op holds beyond the struct's own members; may be NULL
 *
 * run must be able to begin again: it keeps in f what it has got already (f->obj, f->file).
 */
#ifndef FUSE_REQUEST_H
#define FUSE_REQUEST_H

#include <stdatomic.h>
#include <sys/uio.h>

#include "fuse/driver.h"

struct freq;

struct freq_op {
	const char *name; /* for the log */
	int (*run)(struct freq *f);
	void (*reply)(struct freq *f);
	void (*clean)(struct freq *f);
};

/*
 * A request's bytes as they were read; shared by the reading thread and a WRITE that has to wait.
 */
struct iobuf {
	atomic_int refs;
	char *mem;
};
struct iobuf *iobuf_new(size_t size); /* NULL: no memory */
struct iobuf *iobuf_ref(struct iobuf *b);
void iobuf_unref(struct iobuf *b);

/*
 * What libfuse does not pass on: set by the read loop around each request, for the handler that it
 * calls.
 */
struct request_context {
	uint64_t unique; /* without KABI_UNIQUE_RESEND */
	bool resent;
	struct iobuf *buf;
};
struct request_context *request_context(void);

struct freq_open {
	int flags;
	mode_t mode;
	struct open_answer answer;
	bool handed_over; /* the handle is published, and the kernel's as soon as it is answered */
};

struct freq_io {
	size_t size;
	off_t off;
	const char *buf;
	struct iobuf *hold; /* buf lies in it */
	struct cache_data data;
	bool kill_priv;
	int what; /* fallocate's mode, lseek's whence, flush's flags */
};

struct freq_set {
	struct stat st;
	unsigned int what; /* enum cache_set */
};

struct freq_xattr {
	char *value; /* malloc'ed */
	size_t len, size;
	int flags;
};

struct freq {
	struct cache_wait wait;
	const struct freq_op *op;
	struct driver *drv;
	fuse_req_t req;
	uint64_t unique;
	bool resent;
	_Atomic(void *) canceller; /* the interrupt callback that runs right now */

	/* exactly once */
	struct shm_inflight *slot;
	enum inflight_found found;

	/* arguments and results; what is not used stays zero and is released in any case */
	uint64_t ino, ino2;
	char *name, *name2; /* in tail */
	struct obj *obj, *obj2, *ret_obj;
	struct handle *fh;
	struct cache_attr attr;
	uint64_t node;
	int64_t neg_ns;
	char *text; /* malloc'ed */
	union {
		struct freq_open open;
		struct freq_io io;
		struct freq_set set;
		struct freq_xattr xattr;
		struct statvfs statfs;
		unsigned int rename_flags;
	};
	char tail[];
};

/* Copies the names (may be NULL). NULL: no memory, and the request is answered already. */
struct freq *freq_new(fuse_req_t req, const struct freq_op *op, uint64_t ino, const char *name,
		      const char *name2);
void freq_start(struct freq *f);
/* The same for a request that may take effect only once: fills in f->slot and f->found before. */
void freq_start_once(struct freq *f);

/* The obj of node ino, once: as run's return value, *ret_obj unchanged if it is set. */
int freq_obj(struct freq *f, uint64_t ino, struct obj **ret_obj);

/* Replies that several operations share. */
void freq_reply_ok(struct freq *f);
void freq_reply_entry(struct freq *f); /* f->node, f->attr; node 0: absent for f->neg_ns */
void freq_reply_attr(struct freq *f);

/* ENOMEM for what could not even begin. */
void freq_no_memory(fuse_req_t req);

#endif
