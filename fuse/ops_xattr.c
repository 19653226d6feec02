/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes. user.* is the cache's. The others are asked for by the kernel and by ls at
 * each turn and are never there: answered without a look at anything.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fuse/control_files.h"
#include "fuse/ops.h"

static bool is_ours(const char *name)
{
	return !strncmp(name, "user.", 5);
}

static bool has_none(fuse_req_t req, fuse_ino_t ino, const char *name, int error)
{
	if (!control_is_node(ino) && is_ours(name))
		return false;
	fuse_reply_err(req, error);
	return true;
}

static int run_getxattr(struct freq *f)
{
	int rc = freq_obj(f, f->ino, &f->obj);

	if (!rc)
		rc = cache_getxattr(f->drv->cache, f->obj, f->name, f->xattr.value, f->xattr.size,
				    &f->wait, &f->xattr.len);
	return rc;
}

static int run_listxattr(struct freq *f)
{
	int rc = freq_obj(f, f->ino, &f->obj);

	if (!rc)
		rc = cache_listxattr(f->drv->cache, f->obj, f->xattr.value, f->xattr.size,
				     &f->xattr.len);
	return rc;
}

static void reply_value(struct freq *f)
{
	if (f->xattr.size)
		fuse_reply_buf(f->req, f->xattr.value, f->xattr.len);
	else
		fuse_reply_xattr(f->req, f->xattr.len);
}

static void clean_value(struct freq *f)
{
	free(f->xattr.value);
}

static const struct freq_op getxattr_op = {
	.name = "getxattr",
	.run = run_getxattr,
	.reply = reply_value,
	.clean = clean_value,
};

static const struct freq_op listxattr_op = {
	.name = "listxattr",
	.run = run_listxattr,
	.reply = reply_value,
	.clean = clean_value,
};

static void start_read(fuse_req_t req, const struct freq_op *op, fuse_ino_t ino, const char *name,
		       size_t size)
{
	char *value = size ? malloc(size) : NULL;
	struct freq *f;

	if (size && !value) {
		freq_no_memory(req);
		return;
	}
	f = freq_new(req, op, ino, name, NULL);
	if (!f) {
		free(value);
		return;
	}
	f->xattr.value = value;
	f->xattr.size = size;
	freq_start(f);
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	if (!has_none(req, ino, name, ENODATA))
		start_read(req, &getxattr_op, ino, name, size);
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	if (control_is_node(ino)) {
		if (size)
			fuse_reply_buf(req, NULL, 0);
		else
			fuse_reply_xattr(req, 0);
		return;
	}
	start_read(req, &listxattr_op, ino, NULL, size);
}

/* A second try (its worker died) may find the first one's work: then it has no conditions. */
static int run_setxattr(struct freq *f)
{
	int flags = f->found == INFLIGHT_AGAIN ? 0 : f->xattr.flags;
	int rc;

	if (f->found == INFLIGHT_ANSWER)
		return f->slot->error;
	rc = freq_obj(f, f->ino, &f->obj);
	if (!rc)
		rc = cache_setxattr(f->drv->cache, f->obj, f->name, f->xattr.value, f->xattr.len,
				    flags, &f->wait);
	if (rc != CACHE_PENDING)
		inflight_done(f->slot, rc, 0, 0, NULL, 0);
	return rc;
}

static const struct freq_op setxattr_op = {
	.name = "setxattr",
	.run = run_setxattr,
	.reply = freq_reply_ok,
	.clean = clean_value,
};

void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
		 int flags)
{
	struct freq *f;
	char *copy;

	if (has_none(req, ino, name, EOPNOTSUPP))
		return;
	copy = malloc(size + 1);
	if (!copy) {
		freq_no_memory(req);
		return;
	}
	f = freq_new(req, &setxattr_op, ino, name, NULL);
	if (!f) {
		free(copy);
		return;
	}
	f->xattr.value = memcpy(copy, value, size);
	f->xattr.len = size;
	f->xattr.flags = flags;
	freq_start_once(f);
}

static int run_removexattr(struct freq *f)
{
	int rc;

	if (f->found == INFLIGHT_ANSWER)
		return f->slot->error;
	rc = freq_obj(f, f->ino, &f->obj);
	if (!rc)
		rc = cache_removexattr(f->drv->cache, f->obj, f->name, &f->wait);
	if (rc == -ENODATA && f->found == INFLIGHT_AGAIN)
		rc = 0;
	if (rc != CACHE_PENDING)
		inflight_done(f->slot, rc, 0, 0, NULL, 0);
	return rc;
}

static const struct freq_op removexattr_op = {
	.name = "removexattr",
	.run = run_removexattr,
	.reply = freq_reply_ok,
};

void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct freq *f;

	if (has_none(req, ino, name, ENODATA))
		return;
	f = freq_new(req, &removexattr_op, ino, name, NULL);
	if (f)
		freq_start_once(f);
}
