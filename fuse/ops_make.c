/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What makes a name: MKDIR, SYMLINK, MKNOD (CREATE is in ops_open.c). Each takes effect once,
 * also when the kernel sends it a second time because a worker died (inflight.h).
 */
#include <errno.h>
#include <fcntl.h>

#include "fuse/control_files.h"
#include "fuse/ops.h"
#include "fuse/ops_name.h"

struct make_op {
	struct freq_op op;
	int (*make)(struct freq *f, mode_t mode, uid_t uid, gid_t gid);
};

int name_inherit(struct freq *f, mode_t *mode, gid_t *gid)
{
	struct cache_attr dir;
	int rc = cache_getattr(f->drv->cache, f->obj, &f->wait, &dir);

	if (rc)
		return rc;
	*gid = fuse_req_ctx(f->req)->gid;
	if (!(dir.st.st_mode & S_ISGID))
		return 0;
	*gid = dir.st.st_gid;
	if (S_ISDIR(*mode))
		*mode |= S_ISGID;
	return 0;
}

bool name_was_done(const struct freq *f, int rc, int done_before)
{
	/* f is not ours any more where rc says that it waits. */
	return rc == done_before && f->found == INFLIGHT_AGAIN;
}

int name_look_again(struct freq *f)
{
	return cache_lookup(f->drv->cache, f->obj, f->name, &f->wait, &f->ret_obj, &f->attr,
			    &f->neg_ns);
}

static int make_dir(struct freq *f, mode_t mode, uid_t uid, gid_t gid)
{
	return cache_mkdir(f->drv->cache, f->obj, f->name, mode, uid, gid, &f->ret_obj, &f->attr);
}

static int make_symlink(struct freq *f, mode_t mode, uid_t uid, gid_t gid)
{
	return cache_symlink(f->drv->cache, f->obj, f->name, f->name2, uid, gid, &f->ret_obj,
			     &f->attr);
}

static int make_file(struct freq *f, mode_t mode, uid_t uid, gid_t gid)
{
	struct cfile *file;
	int rc = cache_create(f->drv->cache, f->obj, f->name, mode, uid, gid,
			      O_WRONLY | O_CREAT | O_EXCL, &f->wait, NULL, &f->ret_obj, &f->attr,
			      &file);

	if (!rc)
		cache_release(f->drv->cache, file);
	return rc;
}

static int try_make(struct freq *f)
{
	const struct make_op *op = container_of(f->op, struct make_op, op);
	mode_t mode = f->open.mode;
	gid_t gid;
	int rc = freq_obj(f, f->ino, &f->obj);

	if (!rc)
		rc = name_inherit(f, &mode, &gid);
	if (rc)
		return rc;
	rc = op->make(f, mode, fuse_req_ctx(f->req)->uid, gid);
	if (name_was_done(f, rc, -EEXIST))
		rc = name_look_again(f);
	if (rc)
		return rc;
	return nodes_enter(&f->drv->nodes, f->ino, f->name, f->ret_obj, &f->attr, &f->node);
}

static int run_make(struct freq *f)
{
	int rc;

	if (f->found == INFLIGHT_ANSWER) {
		f->node = f->slot->node;
		f->attr.st = f->slot->attr;
		f->attr.valid_ns = f->slot->valid_ns;
		return f->slot->error;
	}
	rc = try_make(f);
	if (rc != CACHE_PENDING)
		inflight_done(f->slot, rc, f->node, 0, &f->attr.st, f->attr.valid_ns);
	return rc;
}

#define MAKE_OP(text, fn)                                                                          \
	{                                                                                          \
		.op = {.name = (text), .run = run_make, .reply = freq_reply_entry}, .make = (fn)   \
	}

static const struct make_op mkdir_op = MAKE_OP("mkdir", make_dir);
static const struct make_op symlink_op = MAKE_OP("symlink", make_symlink);
static const struct make_op mknod_op = MAKE_OP("mknod", make_file);

static void start_make(fuse_req_t req, const struct make_op *op, fuse_ino_t parent,
		       const char *name, const char *target, mode_t mode)
{
	struct freq *f;

	if (control_refuses(req, parent, name))
		return;
	f = freq_new(req, &op->op, parent, name, target);
	if (!f)
		return;
	f->open.mode = mode;
	freq_start_once(f);
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	start_make(req, &mkdir_op, parent, name, NULL, S_IFDIR | (mode & 07777));
}

void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	start_make(req, &symlink_op, parent, name, target, S_IFLNK | 0777);
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	if ((mode & S_IFMT) != S_IFREG && (mode & S_IFMT) != 0)
		fuse_reply_err(req, EPERM);
	else
		start_make(req, &mknod_op, parent, name, NULL, S_IFREG | (mode & 07777));
}

void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
	fuse_reply_err(req, EOPNOTSUPP);
}
