/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Versions and records of files in a directory store.
 *
 * An etag is 32 hex digits: a nonce of 64 bits, drawn when we write a version, and a hash of the
 * nonce, the inode number, the mtime and the size. It is kept in the record. So one look at the
 * file tells whether the record still speaks of these bytes: where the hash does not fit, some
 * other tool has written, the etag is made anew with a nonce of 0, and what the record knows of the
 * old bytes is dropped. The nonce keeps versions apart that happen to have inode, time and size in
 * common, as an inode number is soon used again; files that only other tools write have no such
 * help.
 *
 * A hard link that the cache shares with us (option `link`) has one set of xattrs, and the cache
 * keeps its own record there, with the etag of whichever store it likes. So such an inode has its
 * version in an xattr of its own. A change of mode or owner shows in the store before it is drained
 * there, then.
 *
 * A directory's mtime changes with each name in it: markers have etags of nonce and inode only.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/xattr.h>

#include "tiers/dir_internal.h"

#define VERSION_XATTR "user.cogfs.version"

static int64_t mtime_of(const struct stat *st)
{
	return st->st_mtim.tv_sec * NSEC_PER_SEC + st->st_mtim.tv_nsec;
}

static struct xxh3 make_version(const struct stat *st, uint64_t nonce)
{
	bool dir = S_ISDIR(st->st_mode);
	uint64_t in[4] = {htole64(nonce), htole64(st->st_ino),
			  htole64(dir ? 0 : (uint64_t)mtime_of(st)),
			  htole64(dir ? 0 : (uint64_t)st->st_size)};
	uint64_t out[2] = {htobe64(nonce), htobe64(hash64(in, sizeof(in)))};
	struct xxh3 version;

	memcpy(version.b, out, sizeof(version.b));
	return version;
}

static uint64_t nonce_of(const struct xxh3 *version)
{
	uint64_t nonce;

	memcpy(&nonce, version->b, sizeof(nonce));
	return be64toh(nonce);
}

/* The version that the file names, where it fits the file as it is now. */
static bool stored_version(int fd, const struct stat *st, const char *etag, struct xxh3 *ret)
{
	struct xxh3 version, fit;

	if (fgetxattr(fd, VERSION_XATTR, version.b, sizeof(version.b)) != sizeof(version.b) &&
	    xxh3_parse(etag, &version))
		return false;
	fit = make_version(st, nonce_of(&version));
	if (!xxh3_equal(&version, &fit))
		return false;
	*ret = version;
	return true;
}

static void set_etag(struct record *rec, const struct xxh3 *version)
{
	xxh3_hex(version, rec->etag);
	rec->known |= REC_ETAG;
}

void dir_record_from_stat(const struct stat *st, struct record *rec)
{
	struct xxh3 version = make_version(st, 0);

	rec->size = S_ISDIR(st->st_mode) ? 0 : (uint64_t)st->st_size;
	rec->mtime_ns = mtime_of(st);
	rec->encoding[0] = '\0';
	rec->known |= REC_SIZE | REC_MTIME | REC_ENCODING;
	set_etag(rec, &version);
}

/* Another tool wrote: what is left is what does not depend on the bytes. */
static void forget_bytes(struct record *rec, const struct stat *st)
{
	rec->known &= ~(uint32_t)REC_XXH3;
	memset(&rec->xxh3, 0, sizeof(rec->xxh3));
	if ((rec->known & REC_MODE) && S_ISLNK(rec->mode)) {
		rec->known &= ~(uint32_t)REC_MODE;
		free(rec->symlink);
		rec->symlink = NULL;
	}
	dir_record_from_stat(st, rec);
}

int dir_record_read(const struct dir *d, int fd, const struct stat *st, struct record *ret_rec)
{
	struct record rec;
	struct xxh3 version;
	int r;

	record_init(&rec);
	r = d->xattrs ? record_from_fd(&rec, fd) : -ENODATA;
	if (r == -ENODATA && d->xattrs && S_ISDIR(st->st_mode))
		return -ENOENT;
	if (r && r != -ENODATA && r != -EBADMSG)
		return r;
	if (r)
		dir_record_from_stat(st, &rec);
	else if (stored_version(fd, st, rec.etag, &version))
		set_etag(&rec, &version);
	else
		forget_bytes(&rec, st);
	rec.size = S_ISDIR(st->st_mode) ? 0 : (uint64_t)st->st_size;
	rec.known |= REC_ENCODING; /* without one, the bytes are as they are */
	record_release(ret_rec);
	*ret_rec = rec;
	return 0;
}

static int set_mtime(int fd, const struct record *rec, struct stat *st)
{
	struct timespec times[2] = {
		{.tv_nsec = UTIME_OMIT},
		{.tv_sec = rec->mtime_ns / NSEC_PER_SEC, .tv_nsec = rec->mtime_ns % NSEC_PER_SEC},
	};

	if (!(rec->known & REC_MTIME) || rec->mtime_ns == mtime_of(st) || S_ISDIR(st->st_mode))
		return 0;
	if (times[1].tv_nsec < 0) {
		times[1].tv_nsec += NSEC_PER_SEC;
		times[1].tv_sec--;
	}
	if (futimens(fd, times) < 0 || fstat(fd, st) < 0)
		return -errno;
	return 0;
}

static uint64_t draw_nonce(const struct dir *d)
{
	uint64_t nonce = 0;

	if (!d->xattrs)
		return 0;
	while (nonce == 0 && getrandom(&nonce, sizeof(nonce), 0) != sizeof(nonce))
		;
	return nonce;
}

static int write_record(const struct dir *d, int fd, const struct record *rec,
			const struct xxh3 *xxh3, const struct xxh3 *version)
{
	struct record own;
	int r;

	if (!d->xattrs)
		return 0;
	record_init(&own);
	r = record_copy(&own, rec);
	if (r == 0) {
		if (!(own.known & REC_XXH3) && xxh3_known(xxh3)) {
			own.xxh3 = *xxh3;
			own.known |= REC_XXH3;
		}
		set_etag(&own, version);
		r = record_to_fd(&own, fd);
	}
	record_release(&own);
	return r;
}

/* The nonce that the file's present version has, 0 where it has none of ours. */
static uint64_t present_nonce(const struct dir *d, int fd, const struct stat *st)
{
	struct xxh3 version = {{0}};
	struct record rec;

	record_init(&rec);
	if (d->xattrs && dir_record_read(d, fd, st, &rec) == 0)
		xxh3_parse(rec.etag, &version);
	record_release(&rec);
	return nonce_of(&version);
}

int dir_record_write(const struct dir *d, int fd, const struct record *rec, const struct xxh3 *xxh3,
		     enum dir_stamp stamp, char *ret_etag)
{
	bool pin = stamp == STAMP_LINKED;
	char hex[XXH3_HEX_LEN + 1];
	struct xxh3 version;
	uint64_t nonce = 0;
	struct stat st;
	int r;

	if (!d->xattrs && (rec->known & REC_MODE) && S_ISLNK(rec->mode))
		return -EOPNOTSUPP;
	r = tier_check_metadata(rec);
	if (r)
		return r;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (stamp != STAMP_NEW)
		nonce = present_nonce(d, fd, &st);
	r = set_mtime(fd, rec, &st);
	if (r)
		return r;
	version = make_version(&st, nonce ? nonce : draw_nonce(d));
	xxh3_hex(&version, hex);
	/* A pin that is there must say the same. */
	if (pin || (d->xattrs && fgetxattr(fd, VERSION_XATTR, NULL, 0) >= 0))
		r = dir_record_pin(d, fd, hex);
	if (r == 0)
		r = write_record(d, fd, rec, xxh3, &version);
	if (r == 0)
		memcpy(ret_etag, hex, sizeof(hex));
	return r;
}

int dir_record_pin(const struct dir *d, int fd, const char *etag)
{
	struct xxh3 version;

	if (!d->xattrs || xxh3_parse(etag, &version))
		return 0;
	return fsetxattr(fd, VERSION_XATTR, version.b, sizeof(version.b), 0) < 0 ? -errno : 0;
}

int dir_record_clear(const struct dir *d, int fd)
{
	if (!d->xattrs)
		return 0;
	if (fremovexattr(fd, RECORD_XATTR) < 0 && errno != ENODATA)
		return -errno;
	return 0;
}
