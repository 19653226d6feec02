/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache directory: its format mark, its lock, and the checkpoint in `state`.
 *
 * state is text, a name and a value a line, and ends with the hash of what stands above, so that a
 * file that power loss left half written is told from a whole one. At each open it is replaced,
 * durably, by one that says "not clean": from then on, whatever happens, the next opening knows
 * that nobody left in order.
 *
 * Ids. A body's number must never come again, as a journal record may still name the old one. Each
 * opening therefore takes a block of 2^40 numbers of its own: it begins at the first multiple of
 * 2^40 above what `state` holds, and writes that number back before any of the block is used. A
 * crash costs the rest of a block, and there are 2^24 blocks. Where state is lost, the largest
 * number found in staging/, partial/ and open/ stands in for it.
 */
#include "cache/cachedir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cogfs_version.h"
#include "tiers/local.h"
#include "util/cleanup.h"
#include "util/fsutil.h"
#include "util/hash.h"

#define FORMAT_NUMBER 1
#define FORMAT_MAGIC "cogfs-cache "
#define SMALL_FILE 4096
#define ID_BLOCK_BITS 40

/* --- FORMAT --- */

static int make_uuid(char out[37])
{
	unsigned char b[16];
	ssize_t n = getrandom(b, sizeof(b), 0);

	if (n != sizeof(b))
		return n < 0 ? -errno : -EIO;
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	snprintf(out, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
		 b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12],
		 b[13], b[14], b[15]);
	return 0;
}

/* Without a FORMAT, directories of these names are somebody else's, and we would empty them. */
static int check_unclaimed(int fd, const char *path, struct err *err)
{
	static const char *const ours[] = {"objects", "partial", "open", "staging", "journal"};

	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
		struct stat st;

		if (fstatat(fd, ours[i], &st, AT_SYMLINK_NOFOLLOW) == 0)
			return err_set(err, -EPROTO,
				       "%s holds %s/ but no FORMAT file, so it is no cogfs cache; "
				       "choose an empty "
				       "directory for cache_dir",
				       path, ours[i]);
	}
	return 0;
}

static int write_format(int fd, const char *path, struct err *err)
{
	char uuid[37], text[128];
	int r = check_unclaimed(fd, path, err);

	if (r)
		return r;
	r = make_uuid(uuid);
	if (r == 0) {
		snprintf(text, sizeof(text), FORMAT_MAGIC "%d\n%s\ncogfs %s\n", FORMAT_NUMBER, uuid,
			 COGFS_VERSION);
		r = fs_write_file_atomic(fd, "FORMAT", text, strlen(text), 0644, true);
	}
	return r ? err_set(err, r, "cannot write %s/FORMAT: %s", path, strerror(-r)) : 0;
}

/* -ENOENT: there is no FORMAT. */
static int read_format(int fd, const char *path, struct err *err)
{
	CLEANUP_FREE char *text = NULL;
	char writer[64] = "an unknown program";
	unsigned int number;
	size_t len;
	int r = fs_read_file(fd, "FORMAT", SMALL_FILE, &text, &len);

	if (r == -ENOENT)
		return r;
	if (r)
		return err_set(err, r, "cannot read %s/FORMAT: %s", path, strerror(-r));
	/* The number, the UUID, and the program that made the directory. */
	if (sscanf(text, FORMAT_MAGIC "%u %*s %63[^\n]", &number, writer) < 1)
		return err_set(err, -EPROTO, "%s/FORMAT is not a cogfs cache's", path);
	if (number == FORMAT_NUMBER)
		return 0;
	return err_set(err, -EPROTO,
		       "%s has cache format %u, written by %s; this is cogfs %s with format %d",
		       path, number, writer, COGFS_VERSION, FORMAT_NUMBER);
}

static int check_format(int fd, const char *path, bool *ret_fresh, struct err *err)
{
	int r = read_format(fd, path, err);

	*ret_fresh = r == -ENOENT;
	return *ret_fresh ? write_format(fd, path, err) : r;
}

/* --- lock --- */

static int lock_busy(int lock_fd, const char *path, struct err *err)
{
	char text[SMALL_FILE] = "";
	ssize_t n = fs_pread_full(lock_fd, text, sizeof(text) - 1, 0);
	char *mountpoint, *end;
	long pid;

	if (n <= 0)
		return err_set(err, -EBUSY, "%s is in use by another cogfs", path);
	pid = strtol(text, &end, 10);
	mountpoint = *end == '\n' ? end + 1 : end;
	mountpoint[strcspn(mountpoint, "\n")] = '\0';
	return err_set(err, -EBUSY, "%s is in use by process %ld, mounted at %s", path, pid,
		       mountpoint);
}

/* What a busy lock says to the next one who comes. */
static int lock_sign(int lock_fd, const char *mountpoint)
{
	CLEANUP_FREE char *text = NULL;
	int r, len = asprintf(&text, "%ld\n%s\n", (long)getpid(), mountpoint ? mountpoint : "");

	if (len < 0) {
		text = NULL;
		return -ENOMEM;
	}
	if (ftruncate(lock_fd, 0) < 0)
		return -errno;
	r = fs_pwrite_full(lock_fd, text, (size_t)len, 0);
	return r == -ENOSPC || r == -EDQUOT ? 0 : r;
}

static int take_lock(int fd, const char *path, const char *mountpoint, struct err *err)
{
	CLEANUP_CLOSE int lock_fd = fs_open_beneath(fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW,
						    0644);
	int r;

	if (lock_fd < 0)
		return err_set(err, lock_fd, "cannot open %s/lock: %s", path, strerror(-lock_fd));
	if (flock(lock_fd, LOCK_EX | LOCK_NB) < 0) {
		r = -errno;
		return r == -EWOULDBLOCK
			       ? lock_busy(lock_fd, path, err)
			       : err_set(err, r, "cannot lock %s/lock: %s", path, strerror(-r));
	}
	r = lock_sign(lock_fd, mountpoint);
	if (r)
		return err_set(err, r, "cannot write %s/lock: %s", path, strerror(-r));
	return steal_fd(&lock_fd);
}

int cachedir_lock(const char *path, const char *mountpoint, struct err *err)
{
	CLEANUP_CLOSE int fd = fs_open_root(path, 0700);

	if (fd < 0)
		return err_set(err, fd, "cannot open the cache directory %s: %s", path,
			       strerror(-fd));
	return take_lock(fd, path, mountpoint, err);
}

/* An inherited lock must be this directory's. */
static int check_lock(int fd, int locked_fd, const char *path, struct err *err)
{
	struct stat ours, theirs;

	if (fstat(locked_fd, &theirs) < 0 || fstatat(fd, "lock", &ours, AT_SYMLINK_NOFOLLOW) < 0 ||
	    ours.st_ino != theirs.st_ino || ours.st_dev != theirs.st_dev)
		return err_set(err, -EINVAL, "the lock that was handed over is not that of %s",
			       path);
	return 0;
}

/* --- state --- */

#define BOOT_ID_LEN 36

static void boot_id(char out[BOOT_ID_LEN + 1])
{
	CLEANUP_CLOSE int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : fs_pread_full(fd, out, BOOT_ID_LEN, 0);

	out[n == BOOT_ID_LEN ? BOOT_ID_LEN : 0] = '\0';
}

static int state_write(int fd, const struct cachedir_state *state, bool sync)
{
	char boot[BOOT_ID_LEN + 1], text[512];
	int len;

	boot_id(boot);
	len = snprintf(text, sizeof(text),
		       "clean %d\nboot_id %s\nsynced_ns %" PRId64 "\ndisk_bytes %" PRIu64
		       "\ndisk_objects %" PRIu64 "\nnext_id %016" PRIx64 "\n",
		       state->clean, boot, state->synced_ns, state->disk_bytes, state->disk_objects,
		       state->next_id);
	len += snprintf(text + len, sizeof(text) - (size_t)len, "end %016" PRIx64 "\n",
			hash64(text, (size_t)len));
	return fs_write_file_atomic(fd, "state", text, (size_t)len, 0600, sync);
}

/* The hash line is the last one. */
static bool state_whole(const char *text, size_t len)
{
	const char *end = strstr(text, "\nend ");
	char *stop;

	if (!end || strlen(text) != len)
		return false;
	end++;
	return strtoull(end + 4, &stop, 16) == hash64(text, (size_t)(end - text)) &&
	       strcmp(stop, "\n") == 0;
}

static bool state_parse(const char *text, struct cachedir_state *state)
{
	char boot[BOOT_ID_LEN + 1], now[BOOT_ID_LEN + 1];
	int clean;

	if (sscanf(text,
		   "clean %d boot_id %36s synced_ns %" SCNd64 " disk_bytes %" SCNu64
		   " disk_objects %" SCNu64 " next_id %" SCNx64,
		   &clean, boot, &state->synced_ns, &state->disk_bytes, &state->disk_objects,
		   &state->next_id) != 6)
		return false;
	boot_id(now);
	state->clean = clean;
	state->same_boot = now[0] && strcmp(boot, now) == 0;
	return true;
}

/* What the last one left. A state that cannot be read is one that nobody left in order. */
static int state_read(int fd, bool fresh, struct cachedir_state *state)
{
	CLEANUP_FREE char *text = NULL;
	size_t len;
	int r = fs_read_file(fd, "state", SMALL_FILE, &text, &len);

	*state = (struct cachedir_state){.clean = fresh, .same_boot = fresh};
	if (r == -ENOENT || r == -EFBIG)
		return 0;
	if (r)
		return r;
	if (!state_whole(text, len) || !state_parse(text, state))
		*state = (struct cachedir_state){0};
	return 0;
}

/* --- ids --- */

static uint64_t id_of_name(const char *name)
{
	if (strlen(name) != LOCAL_ID_LEN || strspn(name, "0123456789abcdef") != LOCAL_ID_LEN)
		return 0;
	return strtoull(name, NULL, 16);
}

static uint64_t largest_id_in(int dirfd, const char *name)
{
	CLEANUP_CLOSE int fd = fs_open_beneath(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	uint64_t largest = 0;
	struct dirent *de;

	if (!dir)
		return 0;
	steal_fd(&fd);
	while ((de = readdir(dir))) {
		uint64_t id = id_of_name(de->d_name);

		if (id > largest)
			largest = id;
	}
	closedir(dir);
	return largest;
}

/*
 * The first id of a block that nobody used. The directories are read only where state says nothing:
 * an opening must not cost more with more files.
 */
static uint64_t next_block(int fd, uint64_t last)
{
	static const char *const dirs[] = {"staging", "partial", "open"};

	for (size_t i = 0; last == 0 && i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		uint64_t id = largest_id_in(fd, dirs[i]);

		if (id > last)
			last = id;
	}
	return ((last >> ID_BLOCK_BITS) + 1) << ID_BLOCK_BITS;
}

/* --- opening --- */

static int open_part(int fd, const char *path, const char *name, int *ret_fd, struct err *err)
{
	int part;

	if (mkdirat(fd, name, 0700) < 0 && errno != EEXIST)
		return err_set(err, -errno, "cannot make %s/%s: %s", path, name, strerror(errno));
	part = fs_open_beneath(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (part < 0)
		return err_set(err, part, "cannot open %s/%s: %s", path, name, strerror(-part));
	*ret_fd = part;
	return 0;
}

static int claim(struct cachedir *dir, const char *path, struct cachedir_state *state,
		 struct err *err)
{
	struct cachedir_state begun;
	bool fresh;
	int r = check_format(dir->fd, path, &fresh, err);

	if (r == 0)
		r = open_part(dir->fd, path, "journal", &dir->journal_fd, err);
	if (r == 0)
		r = open_part(dir->fd, path, "staging", &dir->staging_fd, err);
	if (r)
		return r;
	r = state_read(dir->fd, fresh, state);
	if (r)
		return err_set(err, r, "cannot read %s/state: %s", path, strerror(-r));
	state->next_id = dir->next_id = next_block(dir->fd, state->next_id);
	begun = *state;
	begun.clean = false;
	/* Also makes the names of journal/ and staging/ durable: it syncs the directory. */
	r = state_write(dir->fd, &begun, true);
	return r ? err_set(err, r, "cannot write %s/state: %s", path, strerror(-r)) : 0;
}

int cachedir_open(const char *path, int locked_fd, const char *mountpoint, struct cachedir *ret_dir,
		  struct cachedir_state *ret_state, struct err *err)
{
	struct cachedir dir = {.fd = -1, .lock_fd = -1, .journal_fd = -1, .staging_fd = -1};
	struct cachedir_state state;
	int r = 0;

	dir.fd = fs_open_root(path, 0700);
	if (dir.fd < 0)
		return err_set(err, dir.fd, "cannot open the cache directory %s: %s", path,
			       strerror(-dir.fd));
	if (locked_fd >= 0) {
		r = check_lock(dir.fd, locked_fd, path, err);
	} else {
		dir.lock_fd = take_lock(dir.fd, path, mountpoint, err);
		r = dir.lock_fd < 0 ? dir.lock_fd : 0;
	}
	if (r == 0)
		r = claim(&dir, path, &state, err);
	if (r) {
		cachedir_release(&dir);
		return r;
	}
	*ret_dir = dir;
	*ret_state = state;
	return 0;
}

int cachedir_inspect(const char *path, int *ret_fd, bool *ret_state_good, struct err *err)
{
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP_FREE char *text = NULL;
	struct cachedir_state state;
	size_t len;
	int r;

	if (fd < 0)
		return err_set(err, -errno, "cannot open the cache directory %s: %s", path,
			       strerror(errno));
	r = read_format(fd, path, err);
	if (r == -ENOENT)
		return err_set(err, -EPROTO, "%s is no cogfs cache: it has no FORMAT file", path);
	if (r)
		return r;
	r = fs_read_file(fd, "state", SMALL_FILE, &text, &len);
	*ret_state_good = !r && state_whole(text, len) && state_parse(text, &state);
	*ret_fd = steal_fd(&fd);
	return 0;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void cachedir_release(struct cachedir *dir)
{
	close_fd(&dir->journal_fd);
	close_fd(&dir->staging_fd);
	close_fd(&dir->fd);
	close_fd(&dir->lock_fd);
}

int cachedir_checkpoint(struct cachedir *dir, const struct cachedir_state *state, bool sync)
{
	struct cachedir_state next = *state;

	if (next.next_id < dir->next_id)
		next.next_id = dir->next_id;
	return state_write(dir->fd, &next, sync);
}
