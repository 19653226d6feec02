/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control directory: `.cogfs/` at the mount's root, found by name and never listed there. Its
 * nodes have fixed ids below CONTROL_NODES_END, which the node table never gives; what stands in
 * the files is control.h's.
 */
#ifndef FUSE_CONTROL_FILES_H
#define FUSE_CONTROL_FILES_H

#include <fuse_lowlevel.h>
#include <stdbool.h>

#define CONTROL_NODE_DIR 2u
#define CONTROL_NODES_END 64u /* the first node id of the tree */

static inline bool control_is_node(fuse_ino_t ino)
{
	return ino >= CONTROL_NODE_DIR && ino < CONTROL_NODES_END;
}

struct handle;

/* Answers with an error what would make, remove or rename something here, and says so: true. */
bool control_refuses(fuse_req_t req, fuse_ino_t parent, const char *name);

void control_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void control_getattr(fuse_req_t req, fuse_ino_t ino);
void control_setattr(fuse_req_t req, fuse_ino_t ino, int to_set);
void control_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void control_read(fuse_req_t req, struct handle *fh, size_t size, off_t off);
void control_write(fuse_req_t req, struct handle *fh, const char *buf, size_t size);
/* What the handle holds; the handle itself stays the caller's. */
void control_release(struct handle *fh);
void control_readdir(fuse_req_t req, size_t size, off_t off, bool plus);

#endif
