/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over the tree to adopt, and what becomes of each file. */
#include "cache/import.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cache/blocking.h"
#include "cache/check_priv.h"
#include "model/key.h"
#include "util/cleanup.h"
#include "util/fsutil.h"

#define XATTRS_MAX 65536
#define OURS "user.cogfs"

struct job {
	struct cache *c;
	struct import *im;
	struct blocking b;
	int root_fd;
};

static void tell(struct job *j, const char *path, enum import_outcome outcome, const char *why)
{
	struct import_totals *t = &j->im->totals;

	t->differs += outcome == IMPORT_DIFFERS;
	t->skipped += outcome == IMPORT_SKIPPED;
	t->failed += outcome == IMPORT_FAILED;
	j->im->found(j->im->arg, path, outcome, why);
}

/* --- what is there already --- */

static int resolve(struct job *j, const char *key, struct obj **ret)
{
	return BLOCKING(&j->b, cache_resolve(j->c, key, &j->b.w, ret));
}

/* Its checksum, where it is known here or in the store's metadata. */
static bool same_sum(struct job *j, struct obj *o, int fd, uint64_t size)
{
	char hex[XXH3_HEX_LEN + 1] = "", mine[XXH3_HEX_LEN + 1];
	struct xxh3 sum;
	size_t len = 0;
	int r = BLOCKING(
		&j->b, cache_getxattr(j->c, o, OURS ".xxh3", hex, sizeof(hex) - 1, &j->b.w, &len));

	if (r || check_hash(fd, size, NULL, &sum))
		return false;
	xxh3_hex(&sum, mine);
	return strcmp(hex, mine) == 0;
}

/* 0: there is nothing; else an outcome. */
static int look_there(struct job *j, const char *key, int fd, const struct stat *st,
		      const char **ret_why)
{
	struct cache_attr attr;
	struct obj *o;
	int r = resolve(j, key, &o);
	enum import_outcome outcome = IMPORT_DIFFERS;

	if (r == -ENOENT)
		return 0;
	*ret_why = strerror(-r);
	if (r)
		return IMPORT_FAILED;
	r = BLOCKING(&j->b, cache_getattr(j->c, o, &j->b.w, &attr));
	*ret_why = "something else has this name; it is left as it is";
	if (!r && S_ISREG(attr.st.st_mode) && attr.st.st_size == st->st_size &&
	    same_sum(j, o, fd, (uint64_t)st->st_size))
		outcome = IMPORT_THERE;
	obj_unref(j->c, o);
	return r ? IMPORT_FAILED : outcome;
}

/* --- directories --- */

/* The directory of key, made with the owner and mode of st where it is missing. */
static int make_dir(struct job *j, const char *key, const struct stat *st, struct obj **ret)
{
	CLEANUP_FREE char *above = NULL;
	const char *slash = strrchr(key, '/');
	struct cache_attr attr;
	struct obj *dir;
	int r;

	if (!*key) {
		*ret = cache_root(j->c);
		return 0;
	}
	r = resolve(j, key, ret);
	if (r != -ENOENT)
		return r;
	above = slash ? strndup(key, (size_t)(slash - key)) : strdup("");
	r = above ? make_dir(j, above, st, &dir) : -ENOMEM;
	if (r)
		return r;
	r = cache_mkdir(j->c, dir, slash ? slash + 1 : key, st->st_mode & 07777, st->st_uid,
			st->st_gid, ret, &attr);
	obj_unref(j->c, dir);
	return r;
}

static int import_dir(struct job *j, const char *path, const char *key, const struct stat *st)
{
	struct obj *dir;
	int r = j->im->dry_run ? 0 : make_dir(j, key, st, &dir);

	if (r)
		tell(j, path, IMPORT_FAILED, strerror(-r));
	else if (!j->im->dry_run)
		obj_unref(j->c, dir);
	return r == -ENOMEM ? r : 0;
}

/* --- a file --- */

static int copy_xattr(struct job *j, struct obj *o, int fd, const char *name)
{
	CLEANUP_FREE char *value = malloc(XATTRS_MAX);
	ssize_t len = value ? fgetxattr(fd, name, value, XATTRS_MAX) : -1;

	if (!value)
		return -ENOMEM;
	if (len < 0)
		return 0;
	return BLOCKING(&j->b, cache_setxattr(j->c, o, name, value, (size_t)len, 0, &j->b.w));
}

/* What a user said of it; what a cache said is that cache's. */
static int copy_xattrs(struct job *j, struct obj *o, int fd)
{
	CLEANUP_FREE char *names = malloc(XATTRS_MAX);
	ssize_t len = names ? flistxattr(fd, names, XATTRS_MAX) : -1;
	int r = names ? 0 : -ENOMEM;

	for (const char *n = names; !r && len > 0 && n < names + len; n += strlen(n) + 1)
		if (strncmp(n, "user.", 5) == 0 && strncmp(n, OURS, strlen(OURS)) != 0)
			r = copy_xattr(j, o, fd, n);
	return r;
}

static int fill_file(struct job *j, struct obj *o, struct cfile *f, int fd, const struct stat *st,
		     bool *ret_shared)
{
	struct cache_attr attr;
	int r = BLOCKING(&j->b, cache_adopt(j->c, f, fd, (uint64_t)st->st_size, j->im->share,
					    &j->b.w, ret_shared));

	if (!r)
		r = copy_xattrs(j, o, fd);
	if (!r)
		r = BLOCKING(&j->b, cache_setattr(j->c, o, f, st, CACHE_SET_MTIME, &j->b.w, &attr));
	if (!r)
		r = BLOCKING(&j->b, cache_flush(j->c, f, CACHE_FLUSH_LAST, &j->b.w));
	return r;
}

static int make_file(struct job *j, const char *key, int fd, const struct stat *st)
{
	const char *slash = strrchr(key, '/'), *name = slash ? slash + 1 : key;
	CLEANUP_FREE char *above = slash ? strndup(key, (size_t)(slash - key)) : strdup("");
	struct stat dir_st = {
		.st_mode = S_IFDIR | 0755, .st_uid = st->st_uid, .st_gid = st->st_gid};
	struct obj *dir = NULL, *o = NULL;
	struct cache_attr attr;
	struct cfile *f = NULL;
	bool shared = false;
	int r = above ? make_dir(j, above, &dir_st, &dir) : -ENOMEM;

	if (r)
		return r;
	r = BLOCKING(&j->b,
		     cache_create(j->c, dir, name, st->st_mode & 07777, st->st_uid, st->st_gid,
				  O_WRONLY | O_EXCL, &j->b.w, NULL, &o, &attr, &f));
	if (!r) {
		r = fill_file(j, o, f, fd, st, &shared);
		cache_release(j->c, f);
		if (r)
			(void)BLOCKING(&j->b, cache_unlink(j->c, dir, name, &j->b.w));
		obj_unref(j->c, o);
	}
	obj_unref(j->c, dir);
	j->im->totals.shared += !r && shared;
	j->im->totals.copied += !r && !shared;
	return r;
}

static bool changed_since(int fd, const struct stat *st)
{
	struct stat now;

	return fstat(fd, &now) || now.st_size != st->st_size ||
	       now.st_mtim.tv_sec != st->st_mtim.tv_sec ||
	       now.st_mtim.tv_nsec != st->st_mtim.tv_nsec;
}

static int import_file(struct job *j, const char *path, const char *key, const struct stat *st)
{
	CLEANUP_CLOSE int fd = fs_open_beneath(j->root_fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK,
					       0);
	struct import_totals *t = &j->im->totals;
	const char *why = NULL;
	int outcome, r = 0;

	if (fd < 0) {
		tell(j, path, IMPORT_FAILED, strerror(-fd));
		return 0;
	}
	t->files++;
	t->bytes += (uint64_t)st->st_size;
	outcome = look_there(j, key, fd, st, &why);
	t->there += outcome == IMPORT_THERE;
	if (outcome == IMPORT_THERE)
		return 0;
	if (outcome) {
		tell(j, path, (enum import_outcome)outcome, why);
		return 0;
	}
	if (!j->im->dry_run)
		r = make_file(j, key, fd, st);
	if (r)
		tell(j, path, IMPORT_FAILED, strerror(-r));
	else
		t->imported++;
	if (!r && !j->im->dry_run && changed_since(fd, st))
		tell(j, path, IMPORT_FAILED,
		     "it was written while it was imported: import it again");
	return r == -ENOMEM || r == -ENOSPC || r == -EROFS ? r : 0;
}

/* --- the walk --- */

static int import_found(void *arg, const struct walk_found *found)
{
	struct job *j = arg;
	CLEANUP_FREE char *key = key_join(j->im->into, found->path);
	mode_t mode = found->st->st_mode;
	int r = 0;

	if (!key)
		return -ENOMEM;
	if (j->im->cancelled && j->im->cancelled(j->im->arg))
		return -ECANCELED;
	if (key_check(key, strlen(key)))
		tell(j, found->path, IMPORT_SKIPPED, "its name is no safe path in the mount");
	else if (S_ISDIR(mode))
		r = import_dir(j, found->path, key, found->st);
	else if (S_ISREG(mode))
		r = import_file(j, found->path, key, found->st);
	else
		tell(j, found->path, IMPORT_SKIPPED, "it is neither file nor directory");
	if (j->im->progress)
		j->im->progress(j->im->arg, &j->im->totals);
	return r;
}

static int count_found(void *arg, const struct walk_found *found)
{
	struct job *j = arg;

	j->im->totals.expected += S_ISREG(found->st->st_mode);
	return 0;
}

int cache_import(struct cache *c, struct import *im, struct err *err)
{
	struct job j = {.c = c, .im = im};
	CLEANUP_CLOSE int fd = open(im->source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return err_set(err, -errno, "%s: %s", im->source, strerror(errno));
	if (*im->into && key_check(im->into, strlen(im->into)))
		return err_set(err, -EINVAL, "%s: no path below the mount", im->into);
	j.root_fd = fd;
	blocking_init(&j.b);
	r = check_walk(fd, NULL, count_found, &j);
	if (!r)
		r = check_walk(fd, NULL, import_found, &j);
	blocking_release(&j.b);
	return r ? err_set(err, r, "%s: %s", im->source, strerror(-r)) : 0;
}
