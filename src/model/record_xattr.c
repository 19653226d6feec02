/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encoding 1: the xattrs of a local file. The head takes what fits into 60 bytes; the rest goes
 * into an overflow xattr, and the head names which of two: a new rest is written beside the old
 * one, the head is replaced, the old rest goes. A crash leaves the old record or the new one, never
 * half of each.
 */
#include <errno.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "model/record_internal.h"
#include "util/cleanup.h"
#include "util/clock.h"

#define HEAD_NAME "user.cogfs"
#define HEAD_MAX 60

/* By slot; 0: there is no rest. */
static const char *const rest_names[] = {NULL, "user.cogfs.x", "user.cogfs.y"};

static int64_t file_mtime(const struct stat *st)
{
	return st->st_mtim.tv_sec * NSEC_PER_SEC + st->st_mtim.tv_nsec;
}

static int set_xattr(int fd, const char *name, const struct codec_out *out)
{
	return fsetxattr(fd, name, out->buf, out->len, 0) < 0 ? -errno : 0;
}

/* The slot that the file's present head names; 0 where there is none, or none that can be read. */
static unsigned int present_slot(int fd)
{
	unsigned int slot = 0;
	struct record rec;
	uint32_t seen = 0;
	uint8_t head[HEAD_MAX];
	ssize_t len;

	len = fgetxattr(fd, HEAD_NAME, head, sizeof(head));
	if (len < 0)
		return 0;
	record_init(&rec);
	if (codec_decode(head, (size_t)len, &rec, &seen, &slot))
		slot = 0;
	record_release(&rec);
	return slot < sizeof(rest_names) / sizeof(rest_names[0]) ? slot : 0;
}

static int write_slot(const struct record *rec, int fd, uint32_t fields, unsigned int slot)
{
	struct codec_out head = {.buf = NULL}, rest = {.buf = NULL};
	uint32_t left;
	int r;

	r = codec_encode(rec, fields, HEAD_MAX, slot, &head, &left);
	if (r == 0 && left) {
		r = codec_encode(rec, left, SIZE_MAX, 0, &rest, &left);
		if (r == 0)
			r = set_xattr(fd, rest_names[slot], &rest);
	} else if (r == 0) {
		slot = 0;
	}
	if (r == 0)
		r = set_xattr(fd, HEAD_NAME, &head);
	codec_out_release(&rest);
	codec_out_release(&head);
	return r ? r : (int)slot;
}

int record_to_fd(const struct record *rec, int fd)
{
	unsigned int old = present_slot(fd);
	unsigned int other = old == 1 ? 2 : 1;
	uint32_t fields = codec_fields(rec) & ~FIELD_BIT(FIELD_SIZE);
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (file_mtime(&st) == rec->mtime_ns)
		fields &= ~FIELD_BIT(FIELD_MTIME);
	r = write_slot(rec, fd, fields, other);
	/* No room for both rests: the old one is overwritten, and a crash in between costs the
	 * record. */
	if (r == -ENOSPC && old)
		r = write_slot(rec, fd, fields, old);
	if (r < 0)
		return r;
	if (old && (unsigned int)r != old)
		fremovexattr(fd, rest_names[old]);
	return 0;
}

/* malloc'ed. Asks for a byte more than there is, as a length of 0 would only ask for the length
 * again. */
static int read_rest(int fd, const char *name, void **ret_buf, size_t *ret_len)
{
	CLEANUP_FREE void *buf = NULL;
	ssize_t len = fgetxattr(fd, name, NULL, 0);

	if (len < 0)
		return errno == ENODATA ? -EBADMSG : -errno;
	buf = malloc((size_t)len + 1);
	if (!buf)
		return -ENOMEM;
	len = fgetxattr(fd, name, buf, (size_t)len + 1);
	if (len < 0)
		return errno == ENODATA || errno == ERANGE ? -EBADMSG : -errno;
	*ret_buf = STEAL_PTR(buf);
	*ret_len = (size_t)len;
	return 0;
}

static int decode_rest(struct record *rec, int fd, unsigned int slot, uint32_t *seen)
{
	CLEANUP_FREE void *buf = NULL;
	unsigned int more = 0;
	size_t len = 0;
	int r;

	if (slot >= sizeof(rest_names) / sizeof(rest_names[0]))
		return -EBADMSG;
	r = read_rest(fd, rest_names[slot], &buf, &len);
	if (r == 0)
		r = codec_decode(buf, len, rec, seen, &more);
	return r == 0 && more ? -EBADMSG : r;
}

static int decode_file(struct record *rec, int fd)
{
	uint8_t head[HEAD_MAX];
	unsigned int slot;
	uint32_t seen = 0;
	ssize_t len;
	int r;

	len = fgetxattr(fd, HEAD_NAME, head, sizeof(head));
	if (len < 0)
		return errno == ERANGE ? -EBADMSG : -errno;
	r = codec_decode(head, (size_t)len, rec, &seen, &slot);
	return r == 0 && slot ? decode_rest(rec, fd, slot, &seen) : r;
}

int record_from_fd(struct record *rec, int fd)
{
	struct record fresh;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	record_init(&fresh);
	r = decode_file(&fresh, fd);
	if (r) {
		record_release(&fresh);
		return r;
	}
	if (!(fresh.known & REC_MTIME))
		fresh.mtime_ns = file_mtime(&st);
	fresh.size = (uint64_t)st.st_size;
	fresh.known |= REC_SIZE | REC_MTIME;
	record_release(rec);
	*rec = fresh;
	return 0;
}
