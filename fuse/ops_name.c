/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What takes a name away or moves it: UNLINK, RMDIR, RENAME. Each takes effect once, also when
 * the kernel sends it a second time because a worker died (inflight.h).
 */
#include <errno.h>

#include "fuse/control_files.h"
#include "fuse/ops.h"
#include "fuse/ops_name.h"

struct name_op {
	struct freq_op op;
	int (*change)(struct freq *f); /* in the cache */
	void (*note)(struct freq *f);  /* in the node table */
};

static int run_change(struct freq *f)
{
	const struct name_op *op = container_of(f->op, struct name_op, op);
	int rc;

	if (f->found == INFLIGHT_ANSWER)
		return f->slot->error;
	rc = freq_obj(f, f->ino, &f->obj);
	if (!rc)
		rc = op->change(f);
	if (name_was_done(f, rc, -ENOENT))
		rc = 0;
	if (rc == CACHE_PENDING)
		return rc;
	if (!rc)
		op->note(f);
	inflight_done(f->slot, rc, 0, 0, NULL, 0);
	return rc;
}

static int change_unlink(struct freq *f)
{
	return cache_unlink(f->drv->cache, f->obj, f->name, &f->wait);
}

static int change_rmdir(struct freq *f)
{
	return cache_rmdir(f->drv->cache, f->obj, f->name, &f->wait);
}

static void note_removed(struct freq *f)
{
	nodes_removed(&f->drv->nodes, f->ino, f->name);
}

static int change_rename(struct freq *f)
{
	int rc = freq_obj(f, f->ino2, &f->obj2);

	return rc ? rc
		  : cache_rename(f->drv->cache, f->obj, f->name, f->obj2, f->name2, f->rename_flags,
				 &f->wait);
}

static void note_renamed(struct freq *f)
{
	nodes_renamed(&f->drv->nodes, f->ino, f->name, f->ino2, f->name2);
}

#define NAME_OP(text, change_fn, note_fn)                                                          \
	{                                                                                          \
		.op = {.name = (text), .run = run_change, .reply = freq_reply_ok},                 \
		.change = (change_fn), .note = (note_fn)                                           \
	}

static const struct name_op unlink_op = NAME_OP("unlink", change_unlink, note_removed);
static const struct name_op rmdir_op = NAME_OP("rmdir", change_rmdir, note_removed);
static const struct name_op rename_op = NAME_OP("rename", change_rename, note_renamed);

static struct freq *new_change(fuse_req_t req, const struct name_op *op, fuse_ino_t parent,
			       const char *name, const char *name2)
{
	return control_refuses(req, parent, name) ? NULL
						  : freq_new(req, &op->op, parent, name, name2);
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct freq *f = new_change(req, &unlink_op, parent, name, NULL);

	if (f)
		freq_start_once(f);
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct freq *f = new_change(req, &rmdir_op, parent, name, NULL);

	if (f)
		freq_start_once(f);
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
	       const char *newname, unsigned int flags)
{
	struct freq *f;

	if (control_refuses(req, newparent, newname))
		return;
	f = new_change(req, &rename_op, parent, name, newname);
	if (!f)
		return;
	f->ino2 = newparent;
	f->rename_flags = flags;
	freq_start_once(f);
}
