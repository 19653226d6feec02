/* SPDX-License-Identifier: Apache-2.0 */
/* OPEN, CREATE, RELEASE: the life of a file handle. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "fuse/control_files.h"
#include "fuse/ops.h"
#include "fuse/ops_name.h"
#include "util/log.h"

static void count_passthrough(struct freq *f)
{
	const struct open_answer *a = &f->open.answer;

	if (a->backing_error)
		log_warn("passthrough is not to be had, reads go through the daemon: %s",
			 strerror(-a->backing_error));
	if (a->backing)
		count_one(cache_counters(f->drv->cache), COUNTER_passthrough_opens);
}

/* Everything is decided and in shared memory; what is left is the answer. */
static void hand_over(struct freq *f, uint64_t node)
{
	count_passthrough(f);
	handle_publish(f->fh, HANDLE_FILE, node, f->open.flags, f->unique,
		       fuse_req_ctx(f->req)->pid);
	f->open.handed_over = true;
}

static void fill_info(const struct freq *f, struct fuse_file_info *fi)
{
	const struct shm_handle *slot = f->fh->slot;

	memset(fi, 0, sizeof(*fi));
	fi->fh = handle_id(f->fh);
	fi->flags = f->open.flags;
	fi->keep_cache = f->open.answer.keep_cache;
	fi->noflush = (f->open.flags & O_ACCMODE) == O_RDONLY;
	fi->direct_io = slot->mode == IO_DIRECT || slot->mode == IO_PASS_DIRECT;
#if KABI_PASSTHROUGH
	fi->backing_id = slot->backing;
#endif
}

/*
 * A handle that was opened beside passthrough is mapped on the body itself, and such a mapping
 * may outlive it. A lease would tell, if the cache itself had not the file open for writing: so
 * it is told to look again later.
 */
static bool may_be_mapped(const struct handle *fh)
{
	return fh->slot->mode == IO_PASS_DIRECT && ((int)fh->slot->flags & O_ACCMODE) == O_RDWR;
}

static void close_handle(struct driver *d, struct handle *fh)
{
	bool mapped = fh->file && may_be_mapped(fh);

	opens_leave(&d->opens, fh);
	if (mapped)
		cache_release_mapped(d->cache, fh->file);
	else if (fh->file)
		cache_release(d->cache, fh->file);
	handle_free(&d->handles, fh);
}

/* What did not become the kernel's. */
static void clean_open(struct freq *f)
{
	if (!f->fh || f->open.handed_over)
		return;
	if (f->fh->file)
		cache_release(f->drv->cache, f->fh->file);
	handle_free(&f->drv->handles, f->fh);
}

static int have_handle(struct freq *f)
{
	if (!f->fh)
		f->fh = handle_new(&f->drv->handles);
	return f->fh ? 0 : -ENFILE;
}

/* --- OPEN --- */

static int run_open(struct freq *f)
{
	struct driver *d = f->drv;
	int rc;

	if (f->open.handed_over)
		return 0;
	rc = freq_obj(f, f->ino, &f->obj);
	if (!rc)
		rc = have_handle(f);
	if (!rc)
		rc = cache_open(d->cache, f->obj, f->open.flags, &f->wait, &f->fh->slot->file,
				&f->fh->file);
	if (!rc)
		rc = opens_admit(&d->opens, f->fh, f->ino, f->open.flags, &f->open.answer);
	if (!rc)
		hand_over(f, f->ino);
	return rc;
}

static void reply_open(struct freq *f)
{
	struct driver *d = f->drv;
	struct handle *fh = f->fh;
	struct fuse_file_info fi;

	fill_info(f, &fi);
	/* From here on the kernel may release it at any time. */
	if (fuse_reply_open(f->req, &fi) == -ENOENT)
		close_handle(d, fh);
	else
		handle_settled(&f->drv->handles, fh, f->unique);
}

static const struct freq_op open_op = {
	.name = "open",
	.run = run_open,
	.reply = reply_open,
	.clean = clean_open,
};

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct freq *f;

	if (control_is_node(ino)) {
		control_open(req, ino, fi);
		return;
	}
	f = freq_new(req, &open_op, ino, NULL, NULL);
	if (!f)
		return;
	f->open.flags = fi->flags;
	if (f->resent)
		f->fh = handle_of_unique(&f->drv->handles, f->unique);
	f->open.handed_over = f->fh != NULL;
	freq_start(f);
}

/* --- CREATE --- */

static int enter_and_admit(struct freq *f)
{
	struct driver *d = f->drv;
	int rc = -ESTALE;

	/* The second node cannot be held by anybody yet. */
	for (int tries = 0; tries < 2 && rc == -ESTALE; tries++) {
		rc = nodes_enter(&d->nodes, f->ino, f->name, f->ret_obj, &f->attr, &f->node);
		if (rc)
			return rc;
		rc = opens_admit(&d->opens, f->fh, f->node, f->open.flags, &f->open.answer);
		if (rc)
			nodes_forget(&d->nodes, f->node, 1);
	}
	return rc;
}

static int try_create(struct freq *f)
{
	struct driver *d = f->drv;
	mode_t mode = f->open.mode;
	int rc, flags = f->open.flags;
	gid_t gid;

	/* A first try may have made it, whose worker died. */
	if (f->found == INFLIGHT_AGAIN)
		flags &= ~O_EXCL;
	rc = freq_obj(f, f->ino, &f->obj);
	if (!rc)
		rc = name_inherit(f, &mode, &gid);
	if (!rc)
		rc = have_handle(f);
	if (!rc)
		rc = cache_create(d->cache, f->obj, f->name, mode, fuse_req_ctx(f->req)->uid, gid,
				  flags, &f->wait, &f->fh->slot->file, &f->ret_obj, &f->attr,
				  &f->fh->file);
	return rc ? rc : enter_and_admit(f);
}

/* The answer that a dead worker had ready. */
static int create_again(struct freq *f)
{
	f->node = f->slot->node;
	f->attr.st = f->slot->attr;
	f->attr.valid_ns = f->slot->valid_ns;
	if (f->slot->error)
		return f->slot->error;
	f->fh = handle_get(&f->drv->handles, f->slot->handle);
	f->open.handed_over = true;
	return f->fh ? 0 : -EIO;
}

static int run_create(struct freq *f)
{
	int rc;

	if (f->found == INFLIGHT_ANSWER)
		return create_again(f);
	rc = try_create(f);
	if (rc == CACHE_PENDING)
		return rc;
	if (!rc)
		hand_over(f, f->node);
	inflight_done(f->slot, rc, f->node, rc ? 0 : handle_id(f->fh), &f->attr.st,
		      f->attr.valid_ns);
	return rc;
}

static void reply_create(struct freq *f)
{
	double valid = driver_seconds(f->attr.valid_ns);
	struct fuse_entry_param e = {
		.ino = f->node, .attr = f->attr.st, .attr_timeout = valid, .entry_timeout = valid};
	struct driver *d = f->drv;
	struct handle *fh = f->fh;
	struct fuse_file_info fi;

	fill_info(f, &fi);
	if (fuse_reply_create(f->req, &e, &fi) == -ENOENT) {
		close_handle(d, fh);
		nodes_forget(&d->nodes, e.ino, 1);
	} else {
		handle_settled(&f->drv->handles, fh, f->unique);
	}
}

static const struct freq_op create_op = {
	.name = "create",
	.run = run_create,
	.reply = reply_create,
	.clean = clean_open,
};

void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	       struct fuse_file_info *fi)
{
	struct freq *f;

	if (control_refuses(req, parent, name))
		return;
	f = freq_new(req, &create_op, parent, name, NULL);
	if (!f)
		return;
	f->open.flags = fi->flags;
	f->open.mode = S_IFREG | (mode & 07777);
	freq_start_once(f);
}

/* --- RELEASE --- */

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct driver *d = fuse_req_userdata(req);
	struct handle *fh = handle_get(&d->handles, fi->fh);

	/* None: a worker that died had done it. */
	if (fh && fh->slot->kind == HANDLE_CONTROL) {
		control_release(fh);
		handle_free(&d->handles, fh);
	} else if (fh) {
		close_handle(d, fh);
	}
	fuse_reply_err(req, 0);
}
