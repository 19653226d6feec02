/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A walk over all files below a directory. Unlike local_scan() it shows what is no body, it goes in
 * the order of names, and so it can go on behind any path; it pays with a sorted list of names for
 * each directory that it is in, and holds no descriptor meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include <dirent.h>

#include "cache/check_priv.h"
#include "model/key.h"
#include "util/cleanup.h"
#include "util/fsutil.h"

/* A key's parts and as much again: nobody who goes deeper made a key. */
#define WALK_MAX (2 * KEY_MAX)

struct walk {
	int root_fd;
	int (*fn)(void *arg, const struct walk_found *found);
	void *arg;
	char path[WALK_MAX + 1];
};

struct names {
	char **v;
	size_t n, cap;
};

static void names_release(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->v[i]);
	free(names->v);
}

static int names_add(struct names *names, const char *name)
{
	if (names->n == names->cap) {
		size_t cap = names->cap ? names->cap * 2 : 64;
		char **v = reallocarray(names->v, cap, sizeof(*v));

		if (!v)
			return -ENOMEM;
		names->v = v;
		names->cap = cap;
	}
	names->v[names->n] = strdup(name);
	return names->v[names->n] ? (names->n++, 0) : -ENOMEM;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* after: its first len bytes are the name that is the first one of interest. */
static int names_read(int root_fd, const char *dir, const char *after, size_t len,
		      struct names *ret)
{
	int fd = fs_open_beneath(root_fd, dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0), r = 0;
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *de;

	if (!d) {
		r = fd < 0 ? fd : -errno;
		if (fd >= 0)
			close(fd);
		return r == -ENOMEM || r == -EMFILE || r == -ENFILE ? r : 0;
	}
	while (!r && (de = readdir(d))) {
		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
			continue;
		if (after && strncmp(de->d_name, after, len) < 0)
			continue;
		r = names_add(ret, de->d_name);
	}
	closedir(d);
	if (ret->n)
		qsort(ret->v, ret->n, sizeof(*ret->v), by_name);
	return r;
}

static int walk_dir(struct walk *w, size_t len, const char *after);

/* after: what to go on behind, if it is this name or lies below it; else NULL. */
static int walk_name(struct walk *w, size_t len, const char *name, const char *after)
{
	size_t at = len + (len > 0), end = at + strlen(name);
	const char *below = NULL;
	struct stat st;
	int r = 0;

	if (after && strncmp(after, name, end - at) == 0 &&
	    (after[end - at] == '/' || !after[end - at]))
		below = after + (end - at);
	if (end > WALK_MAX)
		return 0;
	if (len)
		w->path[len] = '/';
	memcpy(w->path + at, name, end - at + 1);
	if (fs_stat_beneath(w->root_fd, w->path, &st) == 0) {
		const struct walk_found found = {.path = w->path, .st = &st};

		r = below ? 0 : w->fn(w->arg, &found);
		if (!r && S_ISDIR(st.st_mode))
			r = walk_dir(w, end, below && *below ? below + 1 : NULL);
	}
	w->path[len] = '\0';
	return r;
}

static int walk_dir(struct walk *w, size_t len, const char *after)
{
	size_t first = after ? strcspn(after, "/") : 0;
	struct names names = {.n = 0};
	int r = names_read(w->root_fd, w->path, after, first, &names);

	for (size_t i = 0; !r && i < names.n; i++) {
		/* Longer names that begin with it come behind it, and are new. */
		bool same = after && strlen(names.v[i]) == first &&
			    strncmp(names.v[i], after, first) == 0;

		r = walk_name(w, len, names.v[i], same ? after : NULL);
	}
	names_release(&names);
	return r;
}

int check_walk(int root_fd, const char *after, int (*fn)(void *arg, const struct walk_found *found),
	       void *arg)
{
	struct walk w = {.root_fd = root_fd, .fn = fn, .arg = arg};

	return walk_dir(&w, 0, after && *after ? after : NULL);
}
