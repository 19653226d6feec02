/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operations, as libfuse calls them. What is missing on purpose: locks (the kernel's own
 * survive a worker), access (default_permissions), copy_file_range and ioctl (the kernel falls
 * back), tmpfile (EOPNOTSUPP).
 */
#include "fuse/ops.h"
#include "fuse/session.h"

const struct fuse_lowlevel_ops driver_ops = {
	.init = session_init_reply,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.statfs = op_statfs,
	.mkdir = op_mkdir,
	.symlink = op_symlink,
	.mknod = op_mknod,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.rename = op_rename,
	.link = op_link,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.releasedir = op_releasedir,
	.fsyncdir = op_fsyncdir,
	.open = op_open,
	.create = op_create,
	.release = op_release,
	.read = op_read,
	.write = op_write,
	.flush = op_flush,
	.fsync = op_fsync,
	.fallocate = op_fallocate,
	.lseek = op_lseek,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.setxattr = op_setxattr,
	.removexattr = op_removexattr,
};
