/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's session with the kernel: INIT, its replay, and what libfuse wants to be told. */
#include "fuse/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fuse/request.h"
#include "util/cleanup.h"
#include "util/log.h"

#define MAX_BACKGROUND 256 /* libfuse's 12 throttles the readahead of many readers */
#define OVERLAYFS_MAGIC 0x794c7630

/* What an older libfuse cannot ask for. */
#ifndef FUSE_CAP_HANDLE_KILLPRIV_V2
#define FUSE_CAP_HANDLE_KILLPRIV_V2 0
#endif
#ifndef FUSE_CAP_PASSTHROUGH
#define FUSE_CAP_PASSTHROUGH 0
#endif
#ifndef FUSE_CAP_NO_EXPORT_SUPPORT
#define FUSE_CAP_NO_EXPORT_SUPPORT 0
#endif

/* DESIGN 5, "Flags": what is not here is off, WRITEBACK_CACHE, SPLICE and locks above all. */
static const uint64_t wanted_flags = FUSE_CAP_ASYNC_READ | FUSE_CAP_ATOMIC_O_TRUNC |
				     FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_READDIRPLUS |
				     FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_ASYNC_DIO |
				     FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_POSIX_ACL |
				     FUSE_CAP_HANDLE_KILLPRIV_V2 | FUSE_CAP_CACHE_SYMLINKS |
				     FUSE_CAP_NO_EXPORT_SUPPORT | FUSE_CAP_PASSTHROUGH;

#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
static uint64_t capable(const struct fuse_conn_info *conn)
{
	return conn->capable_ext;
}

static void want(struct fuse_conn_info *conn, uint64_t flags)
{
	fuse_unset_feature_flag(conn, ~0ULL);
	for (uint64_t bit = 1; bit; bit <<= 1) {
		if (flags & bit)
			(void)fuse_set_feature_flag(conn, bit);
	}
}

/*
 * Depth 1 lets the bodies lie on overlayfs, and no overlayfs be mounted over us: only where it
 * must be.
 */
static void allow_backing(struct fuse_conn_info *conn, const char *cache_dir)
{
	struct statfs fs;

	if (!statfs(cache_dir, &fs) && fs.f_type == OVERLAYFS_MAGIC)
		conn->max_backing_stack_depth = FUSE_BACKING_STACKED_OVER;
}
#else
static uint64_t capable(const struct fuse_conn_info *conn)
{
	return conn->capable;
}

static void want(struct fuse_conn_info *conn, uint64_t flags)
{
	conn->want = (unsigned int)flags;
}

static void allow_backing(struct fuse_conn_info *conn, const char *cache_dir)
{
}
#endif

/*
 * The kernel listens to the first answer only. Another worker, of another version perhaps, must
 * believe what was agreed then; so the request and the flags are kept, before the answer goes
 * out.
 */
static uint64_t remember_init(struct driver *d, uint64_t flags)
{
	struct shm_header *hdr = d->shm->hdr;
	const struct iobuf *buf = request_context()->buf;
	uint32_t len;

	if (atomic_load(&hdr->init_len))
		return hdr->init_want;
	len = ((const struct fuse_in_header *)buf->mem)->len;
	hdr->init_want = flags;
	memcpy(hdr->init, buf->mem, len < KABI_INIT_MAX ? len : KABI_INIT_MAX);
	atomic_store_explicit(&hdr->init_len, len < KABI_INIT_MAX ? len : KABI_INIT_MAX,
			      memory_order_release);
	return flags;
}

static void tell_passthrough(const struct driver *d, uint64_t flags)
{
	const char *why = NULL;

	if (!FUSE_CAP_PASSTHROUGH)
		why = "this libfuse is older than 3.17";
	else if (geteuid() != 0)
		why = "it needs root";
	else if (!(flags & FUSE_CAP_PASSTHROUGH))
		why = "it needs Linux 6.9";
	if (why && d->config->mount.passthrough == CONF_ON)
		log_warn("mount.passthrough is on and cannot be had (%s): reads go through the "
			 "daemon",
			 why);
	else if (why && d->config->mount.passthrough == CONF_AUTO)
		log_info("no passthrough (%s): reads go through the daemon", why);
}

void session_init_reply(void *userdata, struct fuse_conn_info *conn)
{
	struct driver *d = userdata;
	uint64_t flags = wanted_flags & capable(conn);

	if (d->config->mount.passthrough == CONF_OFF || geteuid() != 0)
		flags &= ~(uint64_t)FUSE_CAP_PASSTHROUGH;
	if (!atomic_load(&d->shm->hdr->init_len))
		tell_passthrough(d, flags);
	flags = remember_init(d, flags);
	want(conn, flags);
	if (flags & FUSE_CAP_PASSTHROUGH)
		allow_backing(conn, d->config->cache_dir);
	conn->max_background = MAX_BACKGROUND;
	d->opens.passthrough = FUSE_CAP_PASSTHROUGH && (flags & FUSE_CAP_PASSTHROUGH) &&
			       d->config->mount.passthrough != CONF_OFF;
}

static void fuse_log_line(enum fuse_log_level level, const char *fmt, va_list ap)
{
	char line[512];

	vsnprintf(line, sizeof(line), fmt, ap);
	line[strcspn(line, "\n")] = '\0';
	if (line[0])
		log_write(level <= FUSE_LOG_ERR ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG, "%s", line);
}

/* "/dev/fd/N" is how libfuse takes a descriptor that somebody else has mounted. */
static int attach(struct session *s, int dev_fd, const char *mountpoint)
{
	char path[32];

	if (dev_fd < 0)
		return fuse_session_mount(s->fuse, mountpoint);
	snprintf(path, sizeof(path), "/dev/fd/%d", dev_fd);
	return fuse_session_mount(s->fuse, path);
}

static int attach_failed(struct err *err)
{
	if (access("/dev/fuse", R_OK | W_OK))
		return err_set(err, -errno, "/dev/fuse: %s: as root, chmod 666 /dev/fuse",
			       strerror(errno));
	return err_set(err, -EIO,
		       "fusermount3 does not mount it: is the package fuse3 installed? "
		       "The log has its words");
}

static struct fuse_session *new_session(struct driver *d, const char *options)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse_session *fuse = NULL;

	if (!fuse_opt_add_arg(&args, "cogfs") &&
	    (!options || (!fuse_opt_add_arg(&args, "-o") && !fuse_opt_add_arg(&args, options))))
		fuse = fuse_session_new(&args, &driver_ops, sizeof(driver_ops), d);
	fuse_opt_free_args(&args);
	return fuse;
}

int session_open(struct session *s, struct driver *d, int dev_fd, const char *mountpoint,
		 const char *options, struct err *err)
{
	int rc;

	memset(s, 0, sizeof(*s));
	s->drv = d;
	s->done_fd = s->answered_fd = -1;
	fuse_set_log_func(fuse_log_line);
	s->fuse = new_session(d, dev_fd < 0 ? options : NULL);
	if (!s->fuse)
		return err_set(err, -EINVAL, "libfuse refuses the mount options");
	if (attach(s, dev_fd, mountpoint))
		return attach_failed(err);
	s->dev_fd = fuse_session_fd(s->fuse);
	d->opens.dev_fd = s->dev_fd;
	s->done_fd = eventfd(0, EFD_CLOEXEC);
	s->answered_fd = eventfd(0, EFD_CLOEXEC);
	if (s->done_fd < 0 || s->answered_fd < 0)
		return err_set(err, -errno, "eventfd: %s", strerror(errno));
	rc = notify_new(s->fuse, &d->notify);
	return rc ? err_set(err, rc, "notify thread: %s", strerror(-rc)) : 0;
}

static void replay_init(struct session *s)
{
	struct shm_header *hdr = s->drv->shm->hdr;
	uint32_t len = atomic_load_explicit(&hdr->init_len, memory_order_acquire);
	char copy[KABI_INIT_MAX];
	struct fuse_buf buf = {.size = len, .mem = copy};

	if (!len)
		return; /* the kernel's INIT was not answered: it comes with the others */
	memcpy(copy, hdr->init, len);
	/*
	 * The answer goes to a request that is over, unless the worker died just before it wrote
	 * it.
	 */
	fuse_session_process_buf(s->fuse, &buf);
	session_answered(s);
}

int session_take_over(struct session *s)
{
	const struct fuse_out_header resend = {.len = sizeof(resend), .error = KABI_NOTIFY_RESEND};

	replay_init(s);
	opens_restore(&s->drv->opens);
	/* ENODEV: it was unmounted meanwhile, which the readers will notice. */
	return write(s->dev_fd, &resend, sizeof(resend)) < 0 && errno != ENODEV ? -errno : 0;
}

void session_close(struct session *s)
{
	if (s->fuse)
		fuse_session_destroy(s->fuse);
	if (s->done_fd >= 0)
		close(s->done_fd);
	if (s->answered_fd >= 0)
		close(s->answered_fd);
	free(s->threads);
	memset(s, 0, sizeof(*s));
	s->done_fd = s->answered_fd = -1;
}
