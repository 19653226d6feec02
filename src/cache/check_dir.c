/* SPDX-License-Identifier: Apache-2.0 */
/* A cache directory that nobody uses, against itself: without repair, nothing in it is changed. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cache/cachedir.h"
#include "cache/check_priv.h"
#include "model/key.h"
#include "tiers/local.h"
#include "util/cleanup.h"
#include "util/fsutil.h"

/* Files of the journal's puts by inode: the mirror has them under another name. */
struct staged {
	uint64_t ino, id;
	bool bad;
};

struct dir_check {
	struct check *ck;
	const char *tier;
	int dir_fd, root_fd; /* of the cache directory, of the disk tier */
	int journal_fd, staging_fd, objects_fd;
	struct journal_peek look;
	struct staged *staged;
	size_t n_staged, cap;
	bool renew; /* the journal has entries that a start drops */
};

/* --- staging/ --- */

static int staged_add(struct dir_check *d, uint64_t ino, uint64_t id, bool bad)
{
	if (d->n_staged == d->cap) {
		size_t cap = d->cap ? d->cap * 2 : 64;
		struct staged *v = reallocarray(d->staged, cap, sizeof(*v));

		if (!v)
			return -ENOMEM;
		d->staged = v;
		d->cap = cap;
	}
	d->staged[d->n_staged++] = (struct staged){.ino = ino, .id = id, .bad = bad};
	return 0;
}

static int by_ino(const void *a, const void *b)
{
	const struct staged *x = a, *y = b;

	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

static const struct staged *staged_find(const struct dir_check *d, uint64_t ino)
{
	const struct staged want = {.ino = ino};

	return d->n_staged ? bsearch(&want, d->staged, d->n_staged, sizeof(want), by_ino) : NULL;
}

/* What is wrong with the file of a put, or NULL. */
static const char *staged_fault(struct dir_check *d, const struct jent *e, int fd,
				const struct stat *st)
{
	struct xxh3 got;

	if (e->state == J_HELD)
		return NULL; /* its writer never closed it: recovery takes what is there */
	if ((uint64_t)st->st_size < e->size)
		return "its bytes, which no store has yet, are cut off";
	if (!(e->rec.known & REC_XXH3) || !xxh3_known(&e->rec.xxh3))
		return NULL;
	d->ck->totals.files++;
	d->ck->totals.bytes += e->size;
	if (check_hash(fd, e->size, NULL, &got) || !xxh3_equal(&got, &e->rec.xxh3))
		return "its bytes, which no store has yet, do not have its checksum";
	return NULL;
}

static int staged_set_aside(struct dir_check *d, const struct jent *e, const char *what)
{
	char name[LOCAL_ID_LEN + 1];
	int r = 0;

	if (check_repairs(d->ck)) {
		local_id_name(e->staging_id, name);
		r = aside_put(d->root_fd, d->staging_fd, name, e->key, false);
		d->renew = true;
	}
	if (check_repairs(d->ck) && !r)
		check_tell(d->ck, e->key, "journal", CHECK_REPAIRED, what,
			   "moved to aside/; the object is as the store has it");
	else
		check_tell(d->ck, e->key, "journal", CHECK_LEFT, what,
			   r ? "it could not be moved to aside/"
			     : "--repair moves it to aside/ and goes back to the store's version");
	return 0;
}

static int check_entry(void *arg, const struct jent *e)
{
	struct dir_check *d = arg;
	CLEANUP_CLOSE int fd = -1;
	const char *fault;
	struct stat st;

	d->ck->totals.entries++;
	if (check_is_cancelled(d->ck))
		return -ECANCELED;
	if (e->op != J_PUT || !e->staging_id)
		return 0;
	fd = local_open_id(d->staging_fd, e->staging_id, O_RDONLY);
	if (fd < 0 || fstat(fd, &st)) {
		d->renew = true;
		check_tell(d->ck, e->key, "journal",
			   check_repairs(d->ck) ? CHECK_REPAIRED : CHECK_LEFT,
			   "the bytes of a change are gone",
			   check_repairs(d->ck) ? "the change is dropped"
						: "--repair, or the next mount, drops the change");
		return 0;
	}
	fault = staged_fault(d, e, fd, &st);
	if (fault)
		(void)staged_set_aside(d, e, fault);
	check_progress(d->ck);
	return staged_add(d, st.st_ino, e->staging_id, fault);
}

/* A file of ours that nothing needs. */
static void orphan(struct dir_check *d, int dirfd, const char *path, const char *where,
		   const char *what)
{
	CLEANUP_FREE char *full = NULL;
	bool gone = check_repairs(d->ck) && fs_unlink_beneath(dirfd, path) == 0;

	if (asprintf(&full, "%s/%s", where, path) < 0)
		full = NULL;
	check_tell(d->ck, full ? full : path, d->tier, gone ? CHECK_REPAIRED : CHECK_LEFT, what,
		   gone ? "removed" : "--repair, or the next mount, removes it");
}

/* Moved to aside/, or what would be. */
static void strange(struct dir_check *d, int dirfd, const char *path, const char *what)
{
	int r = check_repairs(d->ck) ? aside_put(d->root_fd, dirfd, path, path, false) : 0;
	bool moved = check_repairs(d->ck) && !r;

	check_tell(d->ck, path, d->tier, moved ? CHECK_REPAIRED : CHECK_LEFT, what,
		   moved ? "moved to aside/"
		   : r	 ? "it could not be moved to aside/"
			 : "--repair moves it to aside/");
}

static int check_staging_file(void *arg, const struct walk_found *found)
{
	struct dir_check *d = arg;

	if (S_ISDIR(found->st->st_mode) || staged_find(d, found->st->st_ino))
		return 0;
	/* With a part of the journal lost, what no entry names may have been acknowledged. */
	if (d->look.damaged || d->look.headless)
		strange(d, d->staging_fd, found->path,
			"no change names it, and a part of the journal is lost");
	else
		orphan(d, d->staging_fd, found->path, "staging", "no change names it");
	return 0;
}

/* --- objects/ --- */

static void bad_dir(struct dir_check *d, const char *path, int fd)
{
	bool repaired = false;

	if (check_repairs(d->ck)) {
		fremovexattr(fd, RECORD_XATTR ".x");
		fremovexattr(fd, RECORD_XATTR ".y");
		repaired = fremovexattr(fd, RECORD_XATTR) == 0;
	}
	check_tell(d->ck, path, d->tier, repaired ? CHECK_REPAIRED : CHECK_LEFT,
		   "the directory's record is damaged",
		   repaired ? "removed: it has the default owner and mode"
			    : "--repair removes the record");
}

static int check_object_dir(struct dir_check *d, const char *path)
{
	CLEANUP_CLOSE int fd = fs_open_beneath(d->objects_fd, path,
					       O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	struct record rec;

	record_init(&rec);
	if (fd >= 0 && record_from_fd(&rec, fd) == -EBADMSG)
		bad_dir(d, path, fd);
	record_release(&rec);
	return 0;
}

static void bad_body(struct dir_check *d, const char *path, enum body_fault fault, bool clean)
{
	bool gone;

	if (!clean) {
		strange(d, d->objects_fd, path, body_fault_text(fault));
		return;
	}
	gone = check_repairs(d->ck) && fs_unlink_beneath(d->objects_fd, path) == 0;
	if (gone)
		fs_prune_parents(d->objects_fd, path);
	check_tell(d->ck, path, d->tier, gone ? CHECK_REPAIRED : CHECK_LEFT, body_fault_text(fault),
		   gone ? "dropped: the next read has it from the store"
			: "--repair drops the copy; the next read has it from the store");
}

static int check_object_file(struct dir_check *d, const char *path, const struct stat *st)
{
	const struct staged *staged = staged_find(d, st->st_ino);
	CLEANUP_CLOSE int fd = -1;
	enum body_fault fault;
	struct record rec;
	bool clean;
	int r;

	if (staged) { /* it was looked at */
		if (staged->bad && check_repairs(d->ck))
			(void)fs_unlink_beneath(d->objects_fd, path);
		return 0;
	}
	fd = fs_open_beneath(d->objects_fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	if (fd < 0)
		return 0;
	record_init(&rec);
	r = body_look(fd, NULL, &rec, &fault);
	clean = record_is_clean(&rec);
	record_release(&rec);
	if (r)
		return r;
	d->ck->totals.files++;
	d->ck->totals.bytes += (uint64_t)st->st_size;
	d->ck->totals.unverified += fault == BODY_UNKNOWN;
	if (fault != BODY_GOOD && fault != BODY_UNKNOWN)
		bad_body(d, path, fault, clean);
	return 0;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int check_object(void *arg, const struct walk_found *found)
{
	struct dir_check *d = arg;
	mode_t mode = found->st->st_mode;
	int r = 0;

	if (check_is_cancelled(d->ck))
		return -ECANCELED;
	if (S_ISDIR(mode))
		r = check_object_dir(d, found->path);
	else if (!S_ISREG(mode))
		orphan(d, d->objects_fd, found->path, "objects",
		       "it is neither file nor directory");
	else if (fs_is_tmp_name(base_name(found->path)))
		orphan(d, d->objects_fd, found->path, "objects", "a crash left it");
	else if (key_check(found->path, strlen(found->path)))
		strange(d, d->objects_fd, found->path, "its name is no safe key");
	else
		r = check_object_file(d, found->path, found->st);
	check_progress(d->ck);
	return r;
}

/* --- partial/ and open/ --- */

struct leftovers {
	struct dir_check *d;
	const char *name;
	int fd;
};

static int check_leftover(void *arg, const struct walk_found *found)
{
	struct leftovers *l = arg;

	if (!S_ISDIR(found->st->st_mode))
		orphan(l->d, l->fd, found->path, l->name, "a crash left it");
	return 0;
}

static int check_leftovers(struct dir_check *d, const char *name)
{
	CLEANUP_CLOSE int fd = fs_open_beneath(d->root_fd, name, O_RDONLY | O_DIRECTORY, 0);
	struct leftovers l = {.d = d, .name = name, .fd = fd};

	return fd < 0 ? 0 : check_walk(fd, NULL, check_leftover, &l);
}

/* --- the journal --- */

static void check_log(struct dir_check *d)
{
	bool repair = check_repairs(d->ck);
	char path[64], what[96];

	snprintf(path, sizeof(path), "journal/%s", d->look.name);
	if (d->look.torn)
		check_tell(d->ck, path, "journal", repair ? CHECK_REPAIRED : CHECK_LEFT,
			   "it ends in half a record, of which nobody was told",
			   repair ? "cut off" : "--repair, or the next mount, cuts it off");
	snprintf(what, sizeof(what), "it is damaged at byte %llu: changes behind that are lost",
		 (unsigned long long)d->look.at);
	if (d->look.damaged)
		check_tell(d->ck, path, "journal", repair ? CHECK_REPAIRED : CHECK_LEFT, what,
			   repair ? "kept as journal/bad.*; what could be read goes on"
				  : "--repair, or the next mount, goes on with what can be read");
	if (d->look.headless)
		check_tell(d->ck, "journal", "journal", repair ? CHECK_REPAIRED : CHECK_LEFT,
			   "there are logs without a beginning",
			   repair ? "kept as journal/bad.*"
				  : "--repair, or the next mount, goes on without them");
}

/* What a mount does at its start. */
static int renew_log(struct dir_check *d, struct err *err)
{
	const struct journal_conf conf = {
		.dirfd = d->journal_fd, .staging_dirfd = d->staging_fd, .clock = &clock_system};
	struct journal_report report;
	struct journal *j;
	struct err note = {{0}};
	int r = journal_open(&conf, &j, &report, &note);

	if (r)
		return err_set(err, r, "%s", err_text(&note, r));
	journal_close(j);
	return 0;
}

static int check_journal(struct dir_check *d, struct err *err)
{
	int r = journal_peek(d->journal_fd, d->staging_fd, &d->look, err);

	if (r)
		return r;
	check_log(d);
	r = journal_foreach(d->look.state, check_entry, d);
	if (d->n_staged)
		qsort(d->staged, d->n_staged, sizeof(*d->staged), by_ino);
	if (!r)
		r = check_walk(d->staging_fd, NULL, check_staging_file, d);
	if (!r && check_repairs(d->ck) &&
	    (d->renew || d->look.torn || d->look.damaged || d->look.headless))
		r = renew_log(d, err);
	return r;
}

/* --- state --- */

static void check_state(struct dir_check *d, bool good)
{
	struct cachedir dir = {.fd = d->dir_fd};
	const struct cachedir_state state = {.clean = true, .synced_ns = clock_wall(&clock_system)};
	int r = -1;

	if (good)
		return;
	/* All bodies were read: a mount need not suspect those that are left. */
	if (check_repairs(d->ck) && !syncfs(d->dir_fd) && !syncfs(d->root_fd))
		r = cachedir_checkpoint(&dir, &state, true);
	check_tell(d->ck, "state", "disk", r ? CHECK_LEFT : CHECK_REPAIRED,
		   "the checkpoint is damaged",
		   r ? "--repair, or the next mount, writes another" : "written anew");
}

/* --- all of it --- */

static int open_dir(int dirfd, const char *name, int *ret_fd, struct err *err)
{
	int fd = fs_open_beneath(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);

	if (fd < 0)
		return err_set(err, fd, "%s: %s", name, strerror(-fd));
	*ret_fd = fd;
	return 0;
}

static int open_all(struct dir_check *d, const struct check_place *place, struct err *err)
{
	int r = 0;

	d->root_fd = place->disk_path ? open(place->disk_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
				      : fcntl(d->dir_fd, F_DUPFD_CLOEXEC, 0);
	if (d->root_fd < 0)
		return err_set(err, -errno, "%s: %s", place->disk_path ? place->disk_path : "",
			       strerror(errno));
	r = open_dir(d->dir_fd, "journal", &d->journal_fd, err);
	if (!r)
		r = open_dir(d->root_fd, "staging", &d->staging_fd, err);
	/* Without a disk tier there is none. */
	if (!r)
		d->objects_fd = fs_open_beneath(d->root_fd, "objects",
						O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	return r;
}

static int check_parts(struct dir_check *d, struct err *err)
{
	int r = check_journal(d, err);

	if (!r && d->objects_fd >= 0)
		r = check_walk(d->objects_fd, NULL, check_object, d);
	if (!r)
		r = check_leftovers(d, "partial");
	if (!r)
		r = check_leftovers(d, "open");
	return r;
}

static void dir_check_release(struct dir_check *d)
{
	const int fds[] = {d->dir_fd, d->root_fd, d->journal_fd, d->staging_fd, d->objects_fd};

	journal_peek_release(&d->look);
	free(d->staged);
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

int check_dir(struct check *ck, const struct check_place *place, struct err *err)
{
	struct dir_check d = {.ck = ck,
			      .tier = place->disk_name ? place->disk_name : "disk",
			      .dir_fd = -1,
			      .root_fd = -1,
			      .journal_fd = -1,
			      .staging_fd = -1,
			      .objects_fd = -1};
	CLEANUP_CLOSE int lock_fd = -1;
	bool state_good = true;
	int r;

	r = cachedir_inspect(place->dir, &d.dir_fd, &state_good, err);
	if (r)
		return r;
	lock_fd = cachedir_lock(place->dir, "(cogfs fsck)", err);
	r = lock_fd < 0 ? lock_fd : open_all(&d, place, err);
	if (!r) {
		r = check_parts(&d, err);
		if (!r)
			check_state(&d, state_good);
		else if (err && !err->text[0])
			err_set(err, r, "%s: %s", place->dir, strerror(-r));
	}
	dir_check_release(&d);
	return r;
}
