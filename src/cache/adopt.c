/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A written file gets its bytes from another one, without copying them where that can be.
 *
 * A hard link makes the inode another's, too: like one that a local store shares, it is never
 * written in place by us. What others write to it is found by its checksum.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cache/import.h"
#include "cache/internal.h"
#include "cache/session.h"
#include "util/fsutil.h"

/* Nobody has it open for writing. */
static bool is_quiet(int fd)
{
	if (fcntl(fd, F_SETLEASE, F_RDLCK))
		return false;
	(void)fcntl(fd, F_SETLEASE, F_UNLCK);
	return true;
}

/* staging/<id> becomes a name of fd's inode, and the session's descriptors are of it. */
static int take_link(struct cache *c, struct cfile *f, int fd)
{
	char proc[64], tmp[LOCAL_ID_LEN + 1], name[LOCAL_ID_LEN + 1];
	CLEANUP_CLOSE int now = -1;
	uint64_t id;

	{
		SCOPE_LOCK(&c->lock);
		id = id_next(c);
	}
	local_id_name(id, tmp);
	local_id_name(f->obj->wr->id, name);
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, proc, c->staging_fd, tmp, AT_SYMLINK_FOLLOW))
		return -errno;
	now = local_open_id(c->staging_fd, id, O_RDWR);
	if (now < 0 || renameat(c->staging_fd, tmp, c->staging_fd, name)) {
		int r = now < 0 ? now : -errno;

		local_unlink_id(c->staging_fd, id);
		return r;
	}
	(void)dup3(now, f->obj->wr->fd, O_CLOEXEC);
	(void)dup3(now, f->fd, O_CLOEXEC);
	return 0;
}

static int take_bytes(struct cache *c, struct cfile *f, int fd, uint64_t size, bool share,
		      bool *ret_shared)
{
	struct stat st;

	*ret_shared = true;
	if (!ioctl(f->fd, FICLONE, fd))
		return fstat(f->fd, &st) ? -errno : (uint64_t)st.st_size == size ? 0 : -EBUSY;
	if (share && !fstat(fd, &st) && (uint64_t)st.st_size == size && is_quiet(fd) &&
	    !take_link(c, f, fd))
		return 0;
	*ret_shared = false;
	return fs_copy_fd(fd, f->fd, size, NULL);
}

int cache_adopt(struct cache *c, struct cfile *f, int fd, uint64_t size, bool share,
		struct cache_wait *w, bool *ret_shared)
{
	int r = size ? cache_fallocate(c, f, 0, 0, (off_t)size, w) : 0;

	*ret_shared = false;
	if (!r && size)
		r = take_bytes(c, f, fd, size, share, ret_shared);
	if (r)
		return r;
	session_unhash(f->obj->wr);
	SCOPE_LOCK(&c->lock);
	f->obj->wr->size = size;
	session_settle(c, f->obj->wr);
	session_dirty(c, f->obj);
	return 0;
}
