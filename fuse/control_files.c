/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control directory's nodes: names, attributes, texts. The conversation is in control_talk.c.
 */
#include "fuse/control_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "fuse/control_talk.h"
#include "fuse/request.h"
#include "model/key.h"

#define NODE_TALK (CONTROL_NODE_DIR + 1)
#define NODE_TEXTS (CONTROL_NODE_DIR + 2) /* ops->names[0] */
#define TALK_NAME "control"
#define INO_BASE 0xc09f5000u
#define NAMES_TIMEOUT_S 60

struct control_file {
	_Atomic unsigned int refs; /* the handle's, and those of reads that are being answered */
	char *text;
	size_t len;
	struct control_talk *talk;
};

static const char *node_name(const struct driver *d, fuse_ino_t ino)
{
	if (ino == CONTROL_NODE_DIR)
		return CONTROL_DIR;
	if (ino == NODE_TALK)
		return TALK_NAME;
	for (fuse_ino_t at = NODE_TEXTS; at < CONTROL_NODES_END; at++) {
		const char *name = d->control->names[at - NODE_TEXTS];

		if (!name || at == ino)
			return name;
	}
	return NULL;
}

static fuse_ino_t node_of(const struct driver *d, const char *name)
{
	fuse_ino_t at = NODE_TALK;
	const char *known;

	while ((known = node_name(d, at)) && strcmp(known, name))
		at++;
	return known ? at : 0;
}

/* Sizes are not known before a file is opened; direct_io reads to the end without. */
static void node_attr(const struct driver *d, fuse_ino_t ino, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_ino = INO_BASE + ino;
	st->st_mode = ino == CONTROL_NODE_DIR ? S_IFDIR | 0555
		      : ino == NODE_TALK      ? S_IFREG | 0666
					      : S_IFREG | 0444;
	st->st_nlink = ino == CONTROL_NODE_DIR ? 2 : 1;
	st->st_blksize = 4096;
	st->st_mtim.tv_sec = d->start_ns / NSEC_PER_SEC;
	st->st_atim = st->st_ctim = st->st_mtim;
}

bool control_refuses(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	if (!control_is_node(parent) && (parent != NODE_ROOT || strcmp(name, CONTROL_DIR) != 0))
		return false;
	fuse_reply_err(req, EPERM);
	return true;
}

void control_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct driver *d = fuse_req_userdata(req);
	struct fuse_entry_param e = {.attr_timeout = NAMES_TIMEOUT_S,
				     .entry_timeout = NAMES_TIMEOUT_S};

	if (parent == CONTROL_NODE_DIR)
		e.ino = node_of(d, name);
	else if (parent == NODE_ROOT)
		e.ino = CONTROL_NODE_DIR;
	if (!e.ino) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	node_attr(d, e.ino, &e.attr);
	fuse_reply_entry(req, &e);
}

void control_getattr(fuse_req_t req, fuse_ino_t ino)
{
	struct driver *d = fuse_req_userdata(req);
	struct stat st;

	if (!node_name(d, ino)) {
		fuse_reply_err(req, ESTALE);
		return;
	}
	node_attr(d, ino, &st);
	fuse_reply_attr(req, &st, NAMES_TIMEOUT_S);
}

void control_setattr(fuse_req_t req, fuse_ino_t ino, int to_set)
{
	const int owner = FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID;

	/* `echo ... > control` truncates first. */
	if (ino == NODE_TALK && !(to_set & owner))
		control_getattr(req, ino);
	else
		fuse_reply_err(req, EPERM);
}

static int fill(struct driver *d, struct control_file *cf, fuse_ino_t ino, uid_t uid)
{
	const char *name = node_name(d, ino);

	if (ino == NODE_TALK)
		return control_talk_new(d, &cf->talk);
	if (!name)
		return -ESTALE;
	return d->control->render(d->control_arg, name, uid, &cf->text, &cf->len);
}

static void file_put(struct control_file *cf)
{
	if (atomic_fetch_sub(&cf->refs, 1) > 1)
		return;
	control_talk_free(cf->talk);
	free(cf->text);
	free(cf);
}

static int file_new(fuse_req_t req, fuse_ino_t ino, struct control_file **ret)
{
	struct control_file *cf = calloc(1, sizeof(*cf));
	int rc;

	if (!cf)
		return -ENOMEM;
	atomic_init(&cf->refs, 1);
	rc = fill(fuse_req_userdata(req), cf, ino, fuse_req_ctx(req)->uid);
	if (rc)
		file_put(cf);
	else
		*ret = cf;
	return rc;
}

static int open_file(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct driver *d = fuse_req_userdata(req);
	struct control_file *cf;
	struct handle *fh;
	int rc;

	if (ino != NODE_TALK && (fi->flags & O_ACCMODE) != O_RDONLY)
		return -EACCES;
	rc = file_new(req, ino, &cf);
	if (rc)
		return rc;
	fh = handle_new(&d->handles);
	if (!fh) {
		file_put(cf);
		return -ENFILE;
	}
	fh->control = cf;
	fi->fh = handle_publish(fh, HANDLE_CONTROL, ino, fi->flags, 0, 0);
	fi->direct_io = 1;
	fi->noflush = 1;
	return 0;
}

void control_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	int rc = open_file(req, ino, fi);

	if (rc)
		fuse_reply_err(req, -rc);
	else
		fuse_reply_open(req, fi);
}

/* A handle of a dead worker gets its text again; a conversation is over. */
static int have_file(fuse_req_t req, struct handle *fh)
{
	if (fh->control)
		return 0;
	if (fh->slot->node == NODE_TALK)
		return -ECONNRESET;
	return file_new(req, fh->slot->node, &fh->control);
}

void control_read(fuse_req_t req, struct handle *fh, size_t size, off_t off)
{
	int rc = have_file(req, fh);
	struct control_file *cf = fh->control;

	if (rc) {
		fuse_reply_err(req, -rc);
	} else if (cf->talk) {
		control_talk_read(cf->talk, req, size);
	} else if (off < 0 || (size_t)off >= cf->len) {
		fuse_reply_buf(req, NULL, 0);
	} else {
		size_t left = cf->len - (size_t)off;

		/* With the answer out, the handle may be gone before the call returns. */
		atomic_fetch_add(&cf->refs, 1);
		fuse_reply_buf(req, cf->text + off, left < size ? left : size);
		file_put(cf);
	}
}

void control_write(fuse_req_t req, struct handle *fh, const char *buf, size_t size)
{
	int rc = have_file(req, fh);

	if (!rc)
		rc = fh->control->talk
			     ? control_talk_write(fh->control->talk, fuse_req_ctx(req), buf, size)
			     : -EBADF;
	if (rc)
		fuse_reply_err(req, -rc);
	else
		fuse_reply_write(req, size);
}

void control_release(struct handle *fh)
{
	if (fh->control)
		file_put(fh->control);
	fh->control = NULL;
}

/* Without a lookup of its own: an entry of node 0 says nothing but the name. */
static size_t add_entry(fuse_req_t req, char *buf, size_t left, const char *name,
			const struct stat *st, off_t next, bool plus)
{
	const struct fuse_entry_param e = {.attr = *st};

	return plus ? fuse_add_direntry_plus(req, buf, left, name, &e, next)
		    : fuse_add_direntry(req, buf, left, name, st, next);
}

void control_readdir(fuse_req_t req, size_t size, off_t off, bool plus)
{
	struct driver *d = fuse_req_userdata(req);
	char buf[4096];
	size_t used = 0, max = size < sizeof(buf) ? size : sizeof(buf);

	for (off_t at = off; at < CONTROL_NODES_END; at++) {
		fuse_ino_t ino = at < 2 ? CONTROL_NODE_DIR : NODE_TALK + (fuse_ino_t)at - 2;
		const char *name = at == 0 ? "." : at == 1 ? ".." : node_name(d, ino);
		struct stat st;
		size_t n;

		if (!name)
			break;
		node_attr(d, ino, &st);
		n = add_entry(req, buf + used, max - used, name, &st, at + 1, plus);
		if (n > max - used)
			break;
		used += n;
	}
	fuse_reply_buf(req, buf, used);
}
