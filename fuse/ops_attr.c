/* SPDX-License-Identifier: Apache-2.0 */
/* GETATTR, SETATTR, READLINK, STATFS. */
#include <errno.h>

#include "fuse/control_files.h"
#include "fuse/ops.h"

/* st_ino is the node's as long as it lives, whatever became of its key. */
static void keep_ino(struct freq *f)
{
	f->attr.st.st_ino = nodes_ino(&f->drv->nodes, f->ino);
}

static int run_getattr(struct freq *f)
{
	int rc = freq_obj(f, f->ino, &f->obj);

	if (!rc)
		rc = cache_getattr(f->drv->cache, f->obj, &f->wait, &f->attr);
	if (!rc)
		keep_ino(f);
	return rc;
}

static const struct freq_op getattr_op = {
	.name = "getattr",
	.run = run_getattr,
	.reply = freq_reply_attr,
};

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct freq *f;

	if (control_is_node(ino)) {
		control_getattr(req, ino);
		return;
	}
	f = freq_new(req, &getattr_op, ino, NULL, NULL);
	if (f)
		freq_start(f);
}

static unsigned int set_of(int to_set)
{
	static const struct {
		int from;
		unsigned int to;
	} map[] = {
		{FUSE_SET_ATTR_MODE, CACHE_SET_MODE},
		{FUSE_SET_ATTR_UID, CACHE_SET_UID},
		{FUSE_SET_ATTR_GID, CACHE_SET_GID},
		{FUSE_SET_ATTR_SIZE, CACHE_SET_SIZE},
		{FUSE_SET_ATTR_MTIME, CACHE_SET_MTIME},
		{FUSE_SET_ATTR_MTIME_NOW, CACHE_SET_MTIME_NOW},
		{FUSE_SET_ATTR_ATIME, CACHE_SET_ATIME},
		{FUSE_SET_ATTR_ATIME_NOW, CACHE_SET_ATIME_NOW},
		{FUSE_SET_ATTR_KILL_SUID | FUSE_SET_ATTR_KILL_SGID, CACHE_SET_KILL_PRIV},
	};
	unsigned int set = 0;

	/* The kernel says "set" with "now"; the cache takes one of them. */
	if (to_set & FUSE_SET_ATTR_MTIME_NOW)
		to_set &= ~FUSE_SET_ATTR_MTIME;
	if (to_set & FUSE_SET_ATTR_ATIME_NOW)
		to_set &= ~FUSE_SET_ATTR_ATIME;
	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++) {
		if (to_set & map[i].from)
			set |= map[i].to;
	}
	return set;
}

static int run_setattr(struct freq *f)
{
	struct cfile *file = f->fh ? f->fh->file : NULL;
	int rc = freq_obj(f, f->ino, &f->obj);

	if (!rc)
		rc = cache_setattr(f->drv->cache, f->obj, file, &f->set.st, f->set.what, &f->wait,
				   &f->attr);
	if (!rc)
		keep_ino(f);
	return rc;
}

static const struct freq_op setattr_op = {
	.name = "setattr",
	.run = run_setattr,
	.reply = freq_reply_attr,
};

void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		struct fuse_file_info *fi)
{
	struct freq *f;

	if (control_is_node(ino)) {
		control_setattr(req, ino, to_set);
		return;
	}
	f = freq_new(req, &setattr_op, ino, NULL, NULL);
	if (!f)
		return;
	if (fi) {
		f->fh = handle_get(&f->drv->handles, fi->fh);
		if (f->fh)
			opens_settled(&f->drv->opens, f->fh);
	}
	f->set.st = *attr;
	f->set.what = set_of(to_set);
	freq_start(f);
}

static int run_readlink(struct freq *f)
{
	int rc = freq_obj(f, f->ino, &f->obj);

	return rc ? rc : cache_readlink(f->drv->cache, f->obj, &f->wait, &f->text);
}

static void reply_readlink(struct freq *f)
{
	fuse_reply_readlink(f->req, f->text);
}

static const struct freq_op readlink_op = {
	.name = "readlink",
	.run = run_readlink,
	.reply = reply_readlink,
};

void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct freq *f = freq_new(req, &readlink_op, ino, NULL, NULL);

	if (f)
		freq_start(f);
}

static int run_statfs(struct freq *f)
{
	/* What has no object, or none any more, is of the mount's size. */
	if (!control_is_node(f->ino))
		(void)freq_obj(f, f->ino, &f->obj);
	return cache_statfs(f->drv->cache, f->obj, &f->statfs);
}

static void reply_statfs(struct freq *f)
{
	fuse_reply_statfs(f->req, &f->statfs);
}

static const struct freq_op statfs_op = {
	.name = "statfs",
	.run = run_statfs,
	.reply = reply_statfs,
};

void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct freq *f = freq_new(req, &statfs_op, ino, NULL, NULL);

	if (f)
		freq_start(f);
}
