/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How an open is answered (DESIGN 5, "How each open is answered"). What the kernel allows depends
 * on how the inode is open already; what it refuses is an EIO to the application, so the choice
 * is made here, purely, from what is held and what is wanted. The table behind it is
 * tests/unit/test_io_mode.c.
 */
#ifndef FUSE_IO_MODE_H
#define FUSE_IO_MODE_H

#include <stdbool.h>

enum io_mode {
	IO_CACHED,	/* through the page cache of our inode */
	IO_DIRECT,	/* FOPEN_DIRECT_IO: every write comes to the daemon */
	IO_PASS,	/* FOPEN_PASSTHROUGH: the kernel reads the body */
	IO_PASS_DIRECT, /* both: reads and writes come to the daemon, mmap goes to the body */
	IO_MODES,
	/*
	 * Not a mode: answer ESTALE, so that the VFS looks up the name again and gets a new node.
	 */
	IO_ANOTHER_NODE = IO_MODES,
};

/* The open files of one node, as far as they bind the next one. */
struct io_held {
	unsigned int n[IO_MODES];
	unsigned int writers;	/* those of them that may write */
	unsigned int unsettled; /* IO_DIRECT whose answer the kernel may not have seen yet */
};

struct io_want {
	int accmode;	   /* O_RDONLY, O_WRONLY, O_RDWR */
	bool body;	   /* there is a complete body, and passthrough is to be had */
	bool same_body;	   /* the file behind it is the one that the node's backing id stands for */
	bool other_epoch;  /* the obj is not what the node's open files were opened on */
	bool asked_before; /* IO_ANOTHER_NODE was answered on this node already */
};

/* An enum io_mode, or IO_ANOTHER_NODE. */
enum io_mode io_decide(const struct io_held *held, const struct io_want *want);

/* What the kernel does with an answer: false is an EIO to the application. */
bool io_kernel_allows(const struct io_held *held, enum io_mode mode, bool same_body);

static inline bool io_mode_passes(enum io_mode mode)
{
	return mode == IO_PASS || mode == IO_PASS_DIRECT;
}

#endif
