/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listing a directory store. The tree is walked in the byte order of whole keys, in which a
 * directory stands as "name/": "a-b" < "a.b" < "a/b" < "a0". A page is one walk that begins behind
 * the token, the name that was told last, and opens no directory that lies wholly before it.
 *
 * Complete means complete: whatever cannot be looked into fails the listing, and only what vanished
 * in between is left out.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/key.h"
#include "tiers/dir_internal.h"
#include "util/cleanup.h"
#include "util/fsutil.h"

#define PAGE_MAX 10000

/* One directory that is being told, and those above it. */
struct level {
	struct level *up;
	int fd;
	size_t base;  /* length of the directory's path, slash included */
	char **names; /* sorted; directories end in '/' */
	size_t n, room, at;
};

struct walk {
	struct dir *d;
	struct tier_call *call;
	const struct tier_list_req *req;
	tier_entry_fn *fn;
	void *arg;
	struct level *level;
	unsigned int told, max;
	bool more;			       /* the page is full and something is left */
	bool fn_ended;			       /* the code that is returned is the caller's own */
	char path[KEY_MAX + KEY_PART_MAX + 4]; /* of what is looked at, directories with a slash */
	char last[KEY_MAX + KEY_PART_MAX + 4]; /* told last */
};

static void level_pop(struct walk *w)
{
	struct level *l = w->level;

	w->level = l->up;
	for (size_t i = 0; i < l->n; i++)
		free(l->names[i]);
	free(l->names);
	if (l->fd >= 0)
		close(l->fd);
	free(l);
}

static int level_add(struct level *l, const char *name, bool directory)
{
	size_t len = strlen(name);
	char *copy;

	if (l->n == l->room) {
		size_t room = l->room ? l->room * 2 : 32;
		char **names = reallocarray(l->names, room, sizeof(*names));

		if (!names)
			return -ENOMEM;
		l->names = names;
		l->room = room;
	}
	copy = malloc(len + 2);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, name, len + 1);
	if (directory)
		memcpy(copy + len, "/", 2);
	l->names[l->n++] = copy;
	return 0;
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static unsigned char type_of(int dirfd, const struct dirent *de)
{
	struct stat st;

	if (de->d_type != DT_UNKNOWN)
		return de->d_type;
	if (fstatat(dirfd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return DT_UNKNOWN;
	return IFTODT(st.st_mode);
}

/* True where name, or all below it, is not asked for or was told by an earlier page. */
static bool skips(const struct walk *w, const struct level *l, const char *name, bool directory)
{
	const char *prefix = w->req->prefix, *token = w->req->token;
	size_t len = strlen(name);
	int order;

	if (l->base < strlen(prefix) &&
	    strncmp(name, prefix + l->base, strlen(prefix + l->base)) != 0)
		return true;
	if (!token)
		return false;
	if (strncmp(token, w->path, l->base) != 0)
		return strcmp(w->path, token) < 0;
	token += l->base;
	order = strncmp(name, token, len);
	if (!directory || order)
		return order <= 0;
	/* "name/" with the token inside: there is more to tell, unless it was told whole. */
	return token[len] > '/' || (token[len] == '/' && w->req->delimiter);
}

static int level_read(struct walk *w, struct level *l)
{
	int copy = openat(l->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	int r = dir ? 0 : -errno;
	struct dirent *de;

	if (!dir) {
		cleanup_closep(&copy);
		return r;
	}
	while (r == 0 && (errno = 0, de = readdir(dir))) {
		unsigned char type = type_of(l->fd, de);
		const char *name = de->d_name;

		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
		    (l->base == 0 && strcmp(name, CONTROL_DIR) == 0))
			continue;
		if ((type == DT_REG || type == DT_DIR) && !skips(w, l, name, type == DT_DIR))
			r = level_add(l, name, type == DT_DIR);
	}
	if (r == 0)
		r = -errno;
	closedir(dir);
	if (r == 0 && l->n > 0)
		qsort(l->names, l->n, sizeof(*l->names), by_bytes);
	return r;
}

/* Goes into directory fd, which it takes; its path is the first base bytes of w->path. */
static int level_push(struct walk *w, int fd, size_t base)
{
	struct level *l = calloc(1, sizeof(*l));

	if (!l) {
		close(fd);
		return -ENOMEM;
	}
	l->up = w->level;
	l->fd = fd;
	l->base = base;
	w->path[base] = '\0';
	w->level = l;
	return level_read(w, l);
}

/* Tells w->path, or finds the page full: 1. */
static int tell(struct walk *w, bool prefix, const struct record *rec)
{
	char key[sizeof(w->path)];
	size_t len = strlen(w->path);
	bool slash = w->path[len - 1] == '/';
	struct tier_entry entry = {.key = key,
				   .key_len = len - slash,
				   .prefix = prefix,
				   .marker = slash && !prefix,
				   .rec = rec};
	int r;

	if (w->told == w->max) {
		w->more = true;
		return 1;
	}
	memcpy(key, w->path, len + 1);
	key[len - slash] = '\0';
	memcpy(w->last, w->path, len + 1);
	w->told++;
	r = w->fn(w->arg, &entry);
	w->fn_ended = r != 0;
	return r;
}

static int tell_prefix(struct walk *w)
{
	struct record nothing;

	record_init(&nothing);
	return tell(w, true, &nothing);
}

/* Tells the open directory, if it is a marker that is not told yet. */
static int tell_marker(struct walk *w, int fd)
{
	struct record rec;
	struct stat st;
	int r;

	if (w->req->token && strcmp(w->path, w->req->token) <= 0)
		return 0;
	if (fstat(fd, &st) < 0)
		return -errno;
	record_init(&rec);
	r = dir_record_read(w->d, fd, &st, &rec);
	if (r == 0)
		r = tell(w, false, &rec);
	else if (r == -ENOENT)
		r = 0;
	record_release(&rec);
	return r;
}

static int tell_file(struct walk *w, int dirfd, const char *name)
{
	CLEANUP_CLOSE int fd = -1;
	struct record rec;
	struct stat st;
	int r = 0;

	record_init(&rec);
	if (w->d->xattrs)
		fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd >= 0 ? fstat(fd, &st) : fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISREG(st.st_mode))
		return 0;
	/* A file that may not be read is there all the same. */
	if (fd >= 0)
		r = dir_record_read(w->d, fd, &st, &rec);
	else
		dir_record_from_stat(&st, &rec);
	if (r == 0)
		r = tell(w, false, &rec);
	record_release(&rec);
	return r;
}

/* w->path is a directory of the present level: a prefix to tell, or a level of its own. */
static int tell_directory(struct walk *w, const char *name, size_t len)
{
	int fd, r;

	if (w->req->delimiter)
		return tell_prefix(w);
	if (len > KEY_MAX) /* nothing below is a key that anybody could ask for */
		return 0;
	fd = openat(w->level->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? 0 : -errno;
	r = tell_marker(w, fd);
	if (r) {
		close(fd);
		return r;
	}
	return level_push(w, fd, len);
}

static int walk_on(struct walk *w)
{
	int r = 0;

	while (r == 0 && w->level) {
		struct level *l = w->level;
		const char *name;
		size_t len;

		r = tier_call_check(&w->d->base, w->call);
		if (r)
			break;
		if (l->at == l->n) {
			level_pop(w);
			continue;
		}
		name = l->names[l->at++];
		len = strlen(name);
		memcpy(w->path + l->base, name, len + 1);
		r = name[len - 1] == '/' ? tell_directory(w, name, l->base + len)
					 : tell_file(w, l->fd, name);
	}
	while (w->level)
		level_pop(w);
	return r;
}

/* Opens the directory that the prefix reaches into, and walks. */
static int walk_from(struct walk *w)
{
	const char *slash = strrchr(w->req->prefix, '/');
	size_t base = slash ? (size_t)(slash + 1 - w->req->prefix) : 0;
	bool whole = base > 0 && w->req->prefix[base] == '\0';
	struct stat st;
	int fd, r = 0;

	if (base > 0 && key_check(w->req->prefix, base - 1))
		return 0;
	memcpy(w->path, w->req->prefix, base);
	w->path[base ? base - 1 : 0] = '\0';
	fd = dir_open_directory(w->d, w->path, &st);
	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return fd;
	memcpy(w->path, w->req->prefix, base);
	w->path[base] = '\0';
	if (whole)
		r = tell_marker(w, fd);
	if (r) {
		close(fd);
		return r;
	}
	r = level_push(w, fd, base);
	if (r == 0)
		return walk_on(w);
	level_pop(w);
	return r;
}

int dir_list(struct tier *t, struct tier_call *call, const struct tier_list_req *req,
	     tier_entry_fn *fn, void *arg, char **ret_token)
{
	CLEANUP_FREE struct walk *w = calloc(1, sizeof(*w));
	char *token;
	int r;

	if (!w)
		return -ENOMEM;
	w->d = dir_of(t);
	w->call = call;
	w->req = req;
	w->fn = fn;
	w->arg = arg;
	w->max = req->max && req->max < PAGE_MAX ? req->max : PAGE_MAX;
	r = walk_from(w);
	if (w->fn_ended)
		return r;
	if (r && !w->more)
		return dir_fail(call, r, "list");
	if (!w->more)
		return 0;
	token = strdup(w->last);
	if (!token)
		return -ENOMEM;
	*ret_token = token;
	return 0;
}
