/* SPDX-License-Identifier: Apache-2.0 */
/* READ, WRITE, FLUSH, FSYNC, FALLOCATE, LSEEK: what is done through a file handle. */
#include <errno.h>
#include <stdlib.h>

#include "fuse/control_files.h"
#include "fuse/ops.h"
#include "fuse/proc.h"
#include "model/config.h"
#include "util/cleanup.h"
#include "util/fsutil.h"

/* NULL: the request is answered. A file whose version was lost in a restart is ESTALE. */
static struct handle *file_of(fuse_req_t req, const struct fuse_file_info *fi)
{
	struct driver *d = fuse_req_userdata(req);
	struct handle *fh = handle_get(&d->handles, fi->fh);

	if (!fh || fh->slot->kind != HANDLE_FILE || !fh->file) {
		fuse_reply_err(req, ESTALE);
		return NULL;
	}
	opens_settled(&d->opens, fh);
	return fh;
}

/* A control file's READ and WRITE are answered elsewhere: then *ret_fh is NULL. */
static bool is_control(fuse_req_t req, const struct fuse_file_info *fi, struct handle **ret_fh)
{
	struct driver *d = fuse_req_userdata(req);

	*ret_fh = handle_get(&d->handles, fi->fh);
	return *ret_fh && (*ret_fh)->slot->kind == HANDLE_CONTROL;
}

static struct freq *new_io(fuse_req_t req, const struct freq_op *op, fuse_ino_t ino,
			   const struct fuse_file_info *fi)
{
	struct handle *fh = file_of(req, fi);
	struct freq *f = fh ? freq_new(req, op, ino, NULL, NULL) : NULL;

	if (f)
		f->fh = fh;
	return f;
}

/* --- READ --- */

static int run_read(struct freq *f)
{
	struct cache_data *data = &f->io.data;
	int rc = cache_read(f->drv->cache, f->fh->file, f->io.off, f->io.size, &f->wait, data);
	ssize_t n;

	if (rc || data->buf || !data->len)
		return rc;
	data->buf = malloc(data->len);
	if (!data->buf)
		return -ENOMEM;
	n = fs_pread_full(data->fd, data->buf, data->len, data->off);
	if (n < 0)
		return (int)n;
	data->len = (size_t)n;
	return 0;
}

static void reply_read(struct freq *f)
{
	fuse_reply_buf(f->req, f->io.data.buf, f->io.data.len);
}

static void clean_read(struct freq *f)
{
	free(f->io.data.buf);
}

static const struct freq_op read_op = {
	.name = "read",
	.run = run_read,
	.reply = reply_read,
	.clean = clean_read,
};

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct handle *fh;
	struct freq *f;

	if (is_control(req, fi, &fh)) {
		control_read(req, fh, size, off);
		return;
	}
	f = new_io(req, &read_op, ino, fi);
	if (!f)
		return;
	f->io.size = size;
	f->io.off = off;
	freq_start(f);
}

/* --- WRITE --- */

static int run_write(struct freq *f)
{
	return cache_write(f->drv->cache, f->fh->file, f->io.buf, f->io.size, f->io.off,
			   f->io.kill_priv, &f->wait);
}

static void reply_write(struct freq *f)
{
	fuse_reply_write(f->req, f->io.size);
}

static void clean_write(struct freq *f)
{
	iobuf_unref(f->io.hold);
}

static const struct freq_op write_op = {
	.name = "write",
	.run = run_write,
	.reply = reply_write,
	.clean = clean_write,
};

void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
	      struct fuse_file_info *fi)
{
	struct handle *fh;
	struct freq *f;

	if (is_control(req, fi, &fh)) {
		control_write(req, fh, buf, size);
		return;
	}
	f = new_io(req, &write_op, ino, fi);
	if (!f)
		return;
	f->io.buf = buf;
	f->io.size = size;
	f->io.off = off;
	f->io.hold = iobuf_ref(request_context()->buf);
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
	f->io.kill_priv = fi->kill_suidgid;
#endif
	freq_start(f);
}

/* --- FLUSH, FSYNC --- */

static int run_flush(struct freq *f)
{
	return cache_flush(f->drv->cache, f->fh->file, (unsigned int)f->io.what, &f->wait);
}

static const struct freq_op flush_op = {
	.name = "flush",
	.run = run_flush,
	.reply = freq_reply_ok,
};

/* Who closes: a writer that a signal kills, or a child that merely inherited the descriptor. */
static unsigned int flush_flags(const struct freq *f)
{
	pid_t pid = fuse_req_ctx(f->req)->pid;
	unsigned int flags = 0;

	if (f->drv->config->write.on_kill == ON_KILL_DISCARD && proc_dies_of_signal(pid))
		flags |= CACHE_FLUSH_KILLED;
	if (!proc_same_process(pid, f->fh->slot->pid))
		flags |= CACHE_FLUSH_OTHER;
	else if (cfile_is_blank(f->fh->file) && !proc_holds(pid, nodes_ino(&f->drv->nodes, f->ino)))
		flags |= CACHE_FLUSH_LAST;
	return flags;
}

void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct freq *f = new_io(req, &flush_op, ino, fi);

	if (!f)
		return;
	f->io.what = (int)flush_flags(f);
	freq_start(f);
}

static int run_fsync(struct freq *f)
{
	return cache_fsync(f->drv->cache, f->fh->file, &f->wait);
}

static const struct freq_op fsync_op = {
	.name = "fsync",
	.run = run_fsync,
	.reply = freq_reply_ok,
};

void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct freq *f = new_io(req, &fsync_op, ino, fi);

	if (f)
		freq_start(f);
}

/* --- FALLOCATE, LSEEK --- */

static int run_fallocate(struct freq *f)
{
	return cache_fallocate(f->drv->cache, f->fh->file, f->io.what, f->io.off, (off_t)f->io.size,
			       &f->wait);
}

static const struct freq_op fallocate_op = {
	.name = "fallocate",
	.run = run_fallocate,
	.reply = freq_reply_ok,
};

void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
		  struct fuse_file_info *fi)
{
	struct freq *f = new_io(req, &fallocate_op, ino, fi);

	if (!f)
		return;
	f->io.what = mode;
	f->io.off = off;
	f->io.size = (size_t)len;
	freq_start(f);
}

void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	struct driver *d = fuse_req_userdata(req);
	struct handle *fh = file_of(req, fi);
	off_t at = 0;
	int rc;

	if (!fh)
		return;
	rc = cache_lseek(d->cache, fh->file, off, whence, &at);
	if (rc)
		fuse_reply_err(req, -rc);
	else
		fuse_reply_lseek(req, at);
}
