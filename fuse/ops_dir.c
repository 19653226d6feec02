/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OPENDIR, READDIR, READDIRPLUS, RELEASEDIR, FSYNCDIR. A directory handle holds a snapshot, made
 * at the first READDIR and again at each return to the beginning (rewinddir). Offsets: "." and
 * ".." end at 1 and 2, entry i of the snapshot at i + 3. A new worker makes the snapshot again:
 * names that came or went shift the rest.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fuse/control_files.h"
#include "fuse/ops.h"

#define DOTS 2
/* d_ino of a name of which nothing else is known; 0 would hide it. */
#define INO_UNKNOWN 0xffffffffu

/* --- OPENDIR, RELEASEDIR --- */

static void reply_opendir(fuse_req_t req, struct driver *d, struct handle *fh, uint64_t unique)
{
	struct fuse_file_info fi = {.fh = handle_id(fh)};

	if (fuse_reply_open(req, &fi) == -ENOENT)
		handle_free(&d->handles, fh);
	else
		handle_settled(&d->handles, fh, unique);
}

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	const struct request_context *context = request_context();
	struct driver *d = fuse_req_userdata(req);
	struct handle *fh = context->resent ? handle_of_unique(&d->handles, context->unique) : NULL;

	if (!fh) {
		fh = handle_new(&d->handles);
		if (!fh) {
			fuse_reply_err(req, ENFILE);
			return;
		}
		handle_publish(fh, HANDLE_DIR, ino, fi->flags, context->unique, 0);
	}
	reply_opendir(req, d, fh, context->unique);
}

void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct driver *d = fuse_req_userdata(req);
	struct handle *fh = handle_get(&d->handles, fi->fh);

	if (fh) {
		if (fh->dir)
			cdir_free(d->cache, fh->dir);
		handle_free(&d->handles, fh);
	}
	fuse_reply_err(req, 0);
}

/* --- READDIR --- */

/* A reply under construction, in f->text. */
struct listing {
	struct freq *f;
	char *buf;
	size_t used, size;
	bool plus;
};

/* False: it does not fit. */
static bool add(struct listing *l, const char *name, const struct fuse_entry_param *e, off_t off)
{
	size_t left = l->size - l->used;
	size_t n = l->plus ? fuse_add_direntry_plus(l->f->req, l->buf + l->used, left, name, e, off)
			   : fuse_add_direntry(l->f->req, l->buf + l->used, left, name, &e->attr,
					       off);

	if (n > left)
		return false;
	l->used += n;
	return true;
}

static bool add_dots(struct listing *l, off_t off)
{
	struct nodes *nodes = &l->f->drv->nodes;

	for (; off < DOTS; off++) {
		struct fuse_entry_param e = {.attr.st_mode = S_IFDIR};
		uint64_t id = off ? nodes_parent(nodes, l->f->ino) : l->f->ino;

		e.attr.st_ino = nodes_ino(nodes, id);
		if (!e.attr.st_ino)
			e.attr.st_ino = INO_UNKNOWN;
		if (!add(l, off ? ".." : ".", &e, off + 1))
			return false;
	}
	return true;
}

/* With attributes an entry is a lookup, which the kernel counts. */
static bool add_plus(struct listing *l, const char *name, struct obj *obj, struct cache_attr *attr,
		     off_t off)
{
	struct nodes *nodes = &l->f->drv->nodes;
	struct fuse_entry_param e = {0};
	uint64_t id = 0;

	/* Looked up when it is asked for: a node of 0 says so. */
	if (attr->st.st_mode && nodes_enter(nodes, l->f->ino, name, obj, attr, &id) == 0) {
		e.ino = id;
		e.attr_timeout = e.entry_timeout = driver_seconds(attr->valid_ns);
	}
	e.attr = attr->st;
	if (!e.attr.st_ino)
		e.attr.st_ino = INO_UNKNOWN;
	if (add(l, name, &e, off))
		return true;
	if (id)
		nodes_forget(nodes, id, 1);
	return false;
}

static bool add_plain(struct listing *l, const char *name, struct obj *obj,
		      const struct cache_attr *attr, off_t off)
{
	uint64_t ino = obj_node(obj) ? nodes_ino(&l->f->drv->nodes, obj_node(obj)) : 0;
	struct fuse_entry_param e = {.attr = attr->st};

	if (ino)
		e.attr.st_ino = ino;
	if (!e.attr.st_ino)
		e.attr.st_ino = INO_UNKNOWN;
	return add(l, name, &e, off);
}

static int add_entries(struct listing *l, struct cdir *dir, off_t off)
{
	struct cache *c = l->f->drv->cache;
	size_t i = off > DOTS ? (size_t)(off - DOTS) : 0, n = cdir_count(dir);

	for (; i < n; i++) {
		off_t next = (off_t)i + 1 + DOTS;
		struct cache_attr attr = {0};
		struct obj *obj = NULL;
		const char *name;

		if (!cdir_get(c, dir, i, &name, &obj, &attr))
			continue;
		if (l->plus ? !add_plus(l, name, obj, &attr, next)
			    : !add_plain(l, name, obj, &attr, next))
			return 0;
	}
	return l->used ? 0 : cdir_error(dir);
}

/* The snapshot, fresh where the reader is at the beginning. */
static int have_snapshot(struct freq *f)
{
	struct cache *c = f->drv->cache;
	struct cdir *fresh;
	int rc;

	if (f->fh->dir && !(f->io.off == 0 && f->fh->dir_read))
		return 0;
	rc = freq_obj(f, f->ino, &f->obj);
	if (!rc)
		rc = cache_opendir(c, f->obj, &f->wait, &fresh);
	if (rc)
		return rc;
	if (f->fh->dir)
		cdir_free(c, f->fh->dir);
	f->fh->dir = fresh;
	f->fh->dir_read = false;
	return 0;
}

static int run_list(struct freq *f, bool plus)
{
	struct listing l = {.f = f, .size = f->io.size, .plus = plus};
	int rc = have_snapshot(f);

	if (rc)
		return rc;
	f->fh->dir_read = true;
	f->text = l.buf = malloc(l.size);
	if (!l.buf)
		return -ENOMEM;
	if (add_dots(&l, f->io.off))
		rc = add_entries(&l, f->fh->dir, f->io.off);
	f->io.size = l.used;
	return rc;
}

static int run_readdir(struct freq *f)
{
	return run_list(f, false);
}

static int run_readdirplus(struct freq *f)
{
	return run_list(f, true);
}

static void reply_list(struct freq *f)
{
	fuse_reply_buf(f->req, f->text, f->io.size);
}

static const struct freq_op readdir_op = {
	.name = "readdir",
	.run = run_readdir,
	.reply = reply_list,
};

static const struct freq_op readdirplus_op = {
	.name = "readdirplus",
	.run = run_readdirplus,
	.reply = reply_list,
};

static void start_list(fuse_req_t req, const struct freq_op *op, fuse_ino_t ino, size_t size,
		       off_t off, const struct fuse_file_info *fi)
{
	struct driver *d = fuse_req_userdata(req);
	struct handle *fh = handle_get(&d->handles, fi->fh);
	struct freq *f;

	if (control_is_node(ino)) {
		control_readdir(req, size, off, op == &readdirplus_op);
		return;
	}
	if (!fh || fh->slot->kind != HANDLE_DIR) {
		fuse_reply_err(req, ESTALE);
		return;
	}
	f = freq_new(req, op, ino, NULL, NULL);
	if (!f)
		return;
	f->fh = fh;
	f->io.size = size;
	f->io.off = off;
	freq_start(f);
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	start_list(req, &readdir_op, ino, size, off, fi);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	start_list(req, &readdirplus_op, ino, size, off, fi);
}

/* --- FSYNCDIR --- */

static int run_fsyncdir(struct freq *f)
{
	int rc = freq_obj(f, f->ino, &f->obj);

	return rc ? rc : cache_fsyncdir(f->drv->cache, f->obj, &f->wait);
}

static const struct freq_op fsyncdir_op = {
	.name = "fsyncdir",
	.run = run_fsyncdir,
	.reply = freq_reply_ok,
};

void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct freq *f;

	if (control_is_node(ino)) {
		fuse_reply_err(req, 0);
		return;
	}
	f = freq_new(req, &fsyncdir_op, ino, NULL, NULL);
	if (f)
		freq_start(f);
}
