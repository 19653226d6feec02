/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File helpers. Everything below a root directory is reached with openat2(RESOLVE_BENEATH |
 * RESOLVE_NO_SYMLINKS), so that no link planted in a cache or store directory leads out of it.
 * Paths are relative to dirfd, without a leading slash. All return 0 or -errno unless said.
 */
#ifndef UTIL_FSUTIL_H
#define UTIL_FSUTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/*
 * A descriptor (O_RDONLY) of the root directory at path, as the configuration names it: links in it
 * are followed. Where it is missing it is made with mode, and what is missing above it with 0755.
 * -ENOTDIR, -EACCES, ...
 */
int fs_open_root(const char *path, mode_t mode);
/*
 * A descriptor (O_CLOEXEC is added), or -errno. "" is dirfd itself. ELOOP and EXDEV mean that
 * something planted a link.
 */
int fs_open_beneath(int dirfd, const char *path, int flags, mode_t mode);
/*
 * A descriptor of the directory that holds path's last part; *ret_base points into path. make:
 * mkdir -p (0700).
 */
int fs_open_parent(int dirfd, const char *path, bool make, const char **ret_base);
int fs_stat_beneath(int dirfd, const char *path, struct stat *ret);
int fs_mkdirs(int dirfd, const char *path, mode_t mode);
int fs_unlink_beneath(int dirfd, const char *path);
/* Removes the directories above path (not dirfd itself) as long as they are empty. Never fails. */
void fs_prune_parents(int dirfd, const char *path);
/*
 * rename(2) / link(2) with both parents resolved beneath and made where missing; link replaces an
 * existing target.
 */
int fs_rename_beneath(int from_dirfd, const char *from, int to_dirfd, const char *to);
int fs_link_beneath(int from_dirfd, const char *from, int to_dirfd, const char *to);

/*
 * Names of files that are about to be renamed into place: found after a crash, they may be removed.
 * The random part keeps two writers of one name apart.
 */
#define FS_TMP_PREFIX ".cogfs.tmp-"
#define FS_TMP_NAME_LEN (sizeof(FS_TMP_PREFIX) - 1 + 16)
int fs_tmp_name(char out[FS_TMP_NAME_LEN + 1]);
bool fs_is_tmp_name(const char *name);

/* Whole transfers: retry EINTR and short counts. Read returns the count (short only at the end). */
ssize_t fs_pread_full(int fd, void *buf, size_t len, off_t off);
int fs_pwrite_full(int fd, const void *buf, size_t len, off_t off);

/*
 * Makes to_fd hold exactly the first size bytes of from_fd: FICLONE, else copy_file_range, else
 * read/write; holes need not survive. -EIO where from_fd is shorter. *ret_cloned may be NULL.
 */
int fs_copy_fd(int from_fd, int to_fd, uint64_t size, bool *ret_cloned);

/* The file's whole contents, NUL-terminated (not counted), malloc'ed; -EFBIG above max. */
int fs_read_file(int dirfd, const char *path, size_t max, char **ret_buf, size_t *ret_len);
/* Writes tmp + rename; sync: fsync of the file and of its directory. */
int fs_write_file_atomic(int dirfd, const char *path, const void *buf, size_t len, mode_t mode,
			 bool sync);

#endif
