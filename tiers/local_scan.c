/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the mirror: one directory, or all of it. Nothing but regular files and directories is
 * ever shown or entered, and each is opened beneath its directory without following links.
 *
 * The walk keeps one open directory a level, so that it needs no memory for what it has not seen
 * yet.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "model/key.h"
#include "tiers/local_internal.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/fsutil.h"

#define LEFTOVER_AGE_S 60

DIR *local_opendir(int dirfd, const char *path, int *ret_error)
{
	CLEANUP_CLOSE int fd = fs_open_beneath(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	DIR *dir;

	if (fd < 0) {
		*ret_error = fd;
		return NULL;
	}
	dir = fdopendir(fd);
	if (dir)
		steal_fd(&fd);
	*ret_error = dir ? 0 : -errno;
	return dir;
}

struct dirent *local_nextdir(DIR *dir, int *ret_error)
{
	struct dirent *de;

	do {
		errno = 0;
		de = readdir(dir);
	} while (de && (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0));
	*ret_error = de ? 0 : -errno;
	return de;
}

unsigned char local_dtype(DIR *dir, const struct dirent *de)
{
	struct stat st;

	if (de->d_type != DT_UNKNOWN)
		return de->d_type;
	if (fstatat(dirfd(dir), de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return DT_UNKNOWN;
	return IFTODT(st.st_mode);
}

int local_empty_dir(int fd)
{
	int r;
	DIR *dir = local_opendir(fd, "", &r);
	struct dirent *de;

	if (!dir)
		return r;
	while ((de = local_nextdir(dir, &r))) {
		if (unlinkat(dirfd(dir), de->d_name, 0) < 0 && errno != EISDIR && errno != ENOENT) {
			r = -errno;
			break;
		}
	}
	closedir(dir);
	return r;
}

int local_empty_tree(int fd)
{
	int r;
	DIR *dir = local_opendir(fd, "", &r);
	struct dirent *de;

	if (!dir)
		return r;
	while (r == 0 && (de = local_nextdir(dir, &r))) {
		CLEANUP_CLOSE int sub = -1;

		if (unlinkat(dirfd(dir), de->d_name, 0) == 0 || errno != EISDIR)
			continue;
		sub = fs_open_beneath(dirfd(dir), de->d_name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
		if (sub >= 0)
			r = local_empty_tree(sub);
		unlinkat(dirfd(dir), de->d_name, AT_REMOVEDIR);
	}
	closedir(dir);
	return r;
}

/* One directory of the walk; its key is the first key_len bytes of the walk's. */
struct level {
	struct level *up;
	DIR *dir;
	size_t key_len;
};

struct walk {
	int root_fd;
	struct level *top;
	char key[KEY_MAX + 1];
};

static int walk_push(struct walk *w, const char *path, size_t key_len)
{
	struct level *level = calloc(1, sizeof(*level));
	int error;

	if (!level)
		return -ENOMEM;
	level->dir = local_opendir(w->root_fd, path, &error);
	if (!level->dir) {
		free(level);
		return error;
	}
	level->key_len = key_len;
	level->up = w->top;
	w->top = level;
	return 0;
}

static void walk_pop(struct walk *w)
{
	struct level *level = w->top;

	w->top = level->up;
	closedir(level->dir);
	free(level);
}

/* Puts name behind the present directory's key; 0 where that is longer than a key may be. */
static size_t walk_name(struct walk *w, const char *name)
{
	size_t at = w->top->key_len, len = strlen(name);

	if (at + 1 + len > KEY_MAX)
		return 0;
	if (at)
		w->key[at++] = '/';
	memcpy(w->key + at, name, len + 1);
	return at + len;
}

static int report(struct local *l, const char *key, bool is_dir,
		  int (*fn)(void *arg, const struct local_found *found), void *arg)
{
	CLEANUP_CLOSE int fd = fs_open_beneath(
		l->objects_fd, key, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | (is_dir ? O_DIRECTORY : 0),
		0);
	struct local_found found = {.key = key, .fd = fd, .dir = is_dir};
	struct stat st;

	/* It went away, or became something else, since its name was read. */
	if (fd < 0 || fstat(fd, &st) < 0 || !(S_ISDIR(st.st_mode) || S_ISREG(st.st_mode)))
		return 0;
	found.cost = is_dir ? 0 : (uint64_t)st.st_blocks * 512;
	found.used_ns = (int64_t)st.st_atim.tv_sec * NSEC_PER_SEC + st.st_atim.tv_nsec;
	return fn(arg, &found);
}

/* A temporary name lives for as long as one link and one rename take; what is old was left by a
 * crash. */
static void drop_leftover(DIR *dir, const char *name)
{
	struct stat st;

	if (fstatat(dirfd(dir), name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    st.st_ctim.tv_sec + LEFTOVER_AGE_S < time(NULL))
		unlinkat(dirfd(dir), name, 0);
}

/* A directory that cannot be opened was removed meanwhile, or is nothing of ours: it is passed
 * over. */
static int walk_enter(struct walk *w, size_t key_len)
{
	int r = walk_push(w, w->key, key_len);

	return r == -ENOMEM || r == -EMFILE || r == -ENFILE || r == -EIO ? r : 0;
}

static int walk_step(struct local *l, struct walk *w,
		     int (*fn)(void *arg, const struct local_found *found), void *arg)
{
	int r;
	struct dirent *de = local_nextdir(w->top->dir, &r);
	unsigned char type;
	size_t key_len;

	if (!de) {
		walk_pop(w);
		return r;
	}
	type = local_dtype(w->top->dir, de);
	key_len = walk_name(w, de->d_name);
	if (key_len == 0 || (type != DT_REG && type != DT_DIR))
		return 0;
	if (fs_is_tmp_name(de->d_name)) {
		drop_leftover(w->top->dir, de->d_name);
		return 0;
	}
	r = report(l, w->key, type == DT_DIR, fn, arg);
	if (r == 0 && type == DT_DIR)
		r = walk_enter(w, key_len);
	return r;
}

int local_scan(struct local *l, int (*fn)(void *arg, const struct local_found *found), void *arg)
{
	struct walk w = {.root_fd = l->objects_fd};
	int r = walk_push(&w, "", 0);

	while (r == 0 && w.top)
		r = walk_step(l, &w, fn, arg);
	while (w.top)
		walk_pop(&w);
	return r;
}

int local_readdir(struct local *l, const char *key,
		  int (*fn)(void *arg, const char *name, unsigned char d_type), void *arg)
{
	int r;
	DIR *dir = local_opendir(l->objects_fd, key, &r);
	struct dirent *de;

	if (!dir)
		return r;
	while (r == 0 && (de = local_nextdir(dir, &r))) {
		unsigned char type = local_dtype(dir, de);

		if ((type == DT_REG || type == DT_DIR) && !fs_is_tmp_name(de->d_name))
			r = fn(arg, de->d_name, type);
	}
	closedir(dir);
	return r;
}
