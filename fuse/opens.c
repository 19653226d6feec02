/* SPDX-License-Identifier: Apache-2.0 */
/* Open files of nodes: counts, backing ids, and their return after a restart. */
#include "fuse/opens.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"

/* So long the kernel may take between our answer and its own note of it. */
#define SETTLE_NS NSEC_PER_SEC
/* Ids around the last known one that a killed worker may have got and not noted. */
#define SWEEP_AROUND 64

/* --- backing ids --- */

static int backing_ioctl_open(const struct opens *o, int fd, int32_t *ret_id)
{
	struct kabi_backing_map map = {.fd = fd};
	int id = ioctl(o->dev_fd, KABI_IOC_BACKING_OPEN, &map);

	if (id <= 0)
		return id ? -errno : -EIO;
	*ret_id = id;
	return 0;
}

/* Fails only where there is no such id. */
static void backing_ioctl_close(const struct opens *o, int32_t id)
{
	uint32_t arg = (uint32_t)id;

	(void)ioctl(o->dev_fd, KABI_IOC_BACKING_CLOSE, &arg);
}

static int backing_register(struct opens *o, uint64_t node, int fd, uint64_t ino, uint32_t *ret_at)
{
	uint32_t at = o->n_free ? o->free[--o->n_free]
				: shm_grow(&o->shm->hdr->backings, SHM_BACKINGS);
	struct shm_backing *slot = &o->shm->backings[at];
	int rc;

	if (!at)
		return -ENFILE;
	rc = backing_ioctl_open(o, fd, &slot->id);
	if (rc) {
		o->free[o->n_free++] = at;
		return rc;
	}
	slot->ino = ino;
	if (slot->id > o->shm->hdr->backing_last)
		o->shm->hdr->backing_last = slot->id;
	atomic_store_explicit(&slot->node, node, memory_order_release);
	*ret_at = at;
	return 0;
}

/*
 * Without the lock: closes, and only then forgets, so that a worker killed in between leaves a
 * trace.
 */
static void backing_close(struct opens *o, uint32_t at)
{
	struct shm_backing *slot = &o->shm->backings[at];

	backing_ioctl_close(o, slot->id);
	atomic_store_explicit(&slot->node, 0, memory_order_release);
	SCOPE_LOCK(&o->nodes->lock);
	o->free[o->n_free++] = at;
}

/* --- admission --- */

static unsigned int n_passing(const struct io_held *held)
{
	return held->n[IO_PASS] + held->n[IO_PASS_DIRECT];
}

static bool held_at_all(const struct io_held *held)
{
	return n_passing(held) || held->n[IO_CACHED] || held->n[IO_DIRECT];
}

/* Notes the obj's epoch as the node's where no open file stands in between. */
static bool other_epoch(struct node_io *io, struct shm_node *node, uint32_t epoch)
{
	if (node->epoch == epoch)
		return false;
	io->pages_good = false;
	if (held_at_all(&io->held) && !io->held.writers)
		return true;
	node->epoch = epoch;
	return false;
}

static void count_in(struct opens *o, struct node_io *io, struct handle *fh, int flags,
		     const struct open_answer *answer)
{
	bool writer = (flags & O_ACCMODE) != O_RDONLY;

	io->held.n[answer->mode]++;
	io->held.writers += writer;
	if (answer->mode == IO_DIRECT) {
		io->held.unsettled++;
		io->direct_ns = clock_mono(o->clock);
	}
	if (answer->mode == IO_CACHED)
		io->pages_good = true;
	else if (writer)
		io->pages_good = false;
	fh->slot->mode = answer->mode;
	fh->slot->backing = answer->backing;
}

/* Registers the body, or says that it cannot be. */
static bool have_backing(struct opens *o, struct node_io *io, uint64_t node, int fd, uint64_t ino,
			 struct open_answer *answer)
{
	int rc;

	if (io->backing)
		return true;
	rc = backing_register(o, node, fd, ino, &io->backing);
	if (rc && !atomic_exchange(&o->told, true))
		answer->backing_error = rc;
	return rc == 0;
}

static int decide(struct opens *o, struct node_io *io, struct shm_node *node, int body_fd,
		  uint64_t ino, struct io_want *want, struct open_answer *answer)
{
	struct io_held held = io->held;

	if (clock_mono(o->clock) - io->direct_ns > SETTLE_NS)
		held.unsettled = 0;
	want->same_body = io->backing && ino && o->shm->backings[io->backing].ino == ino;
	answer->mode = io_decide(&held, want);
	if (io_mode_passes(answer->mode) && !have_backing(o, io, node->id, body_fd, ino, answer)) {
		want->body = false;
		answer->mode = io_decide(&held, want);
	}
	if (answer->mode == IO_ANOTHER_NODE) {
		atomic_fetch_or(&node->flags, NODE_STALE);
		return -ESTALE;
	}
	if (io_mode_passes(answer->mode))
		answer->backing = o->shm->backings[io->backing].id;
	answer->keep_cache = answer->mode == IO_CACHED && io->pages_good;
	assert(io_kernel_allows(&io->held, answer->mode, true));
	return 0;
}

int opens_admit(struct opens *o, struct handle *fh, uint64_t id, int flags, struct open_answer *ret)
{
	uint64_t ino = 0;
	int body_fd = o->passthrough ? cfile_body_fd(fh->file, &ino) : -1;
	uint32_t epoch = obj_epoch(o->nodes->cache, cfile_obj(fh->file));
	struct io_want want = {.accmode = flags & O_ACCMODE, .body = body_fd >= 0};
	struct shm_node *node;
	struct node_io *io;
	int rc;

	if (o->passthrough && body_fd < 0)
		ino = cfile_ino(fh->file);
	memset(ret, 0, sizeof(*ret));
	SCOPE_LOCK(&o->nodes->lock);
	node = nodes_get_locked(o->nodes, id);
	if (!node)
		return -ESTALE;
	io = nodes_io_locked(o->nodes, id, true);
	if (!io)
		return -ENOMEM;
	want.other_epoch = other_epoch(io, node, epoch);
	want.asked_before = node->flags & (NODE_STALE | NODE_ORPHAN);
	rc = decide(o, io, node, body_fd, ino, &want, ret);
	if (rc)
		return rc;
	if (flags & O_TRUNC)
		ret->keep_cache = false;
	count_in(o, io, fh, flags, ret);
	return 0;
}

void opens_settled(struct opens *o, struct handle *fh)
{
	struct node_io *io;

	if (atomic_load_explicit(&fh->settled, memory_order_relaxed) ||
	    atomic_exchange(&fh->settled, true) || fh->slot->mode != IO_DIRECT)
		return;
	SCOPE_LOCK(&o->nodes->lock);
	io = nodes_io_locked(o->nodes, fh->slot->node, false);
	if (io && io->held.unsettled)
		io->held.unsettled--;
}

void opens_leave(struct opens *o, struct handle *fh)
{
	struct obj *obj = NULL;
	uint32_t backing = 0;
	struct node_io *io;

	opens_settled(o, fh);
	{
		SCOPE_LOCK(&o->nodes->lock);

		io = nodes_io_locked(o->nodes, fh->slot->node, false);
		if (!io)
			return;
		io->held.n[fh->slot->mode]--;
		io->held.writers -= ((int)fh->slot->flags & O_ACCMODE) != O_RDONLY;
		if (!n_passing(&io->held)) {
			backing = io->backing;
			io->backing = 0;
		}
		if (!held_at_all(&io->held))
			obj = nodes_closed_locked(o->nodes, fh->slot->node);
	}
	if (backing)
		backing_close(o, backing);
	if (obj)
		obj_unref(o->nodes->cache, obj);
}

/* --- beginning and end --- */

int opens_init(struct opens *o, struct shm *shm, struct nodes *nodes, struct handles *handles,
	       const struct clock *clock)
{
	memset(o, 0, sizeof(*o));
	o->shm = shm;
	o->nodes = nodes;
	o->handles = handles;
	o->clock = clock;
	o->dev_fd = -1;
	o->free = calloc(SHM_BACKINGS, sizeof(*o->free));
	return o->free ? 0 : -ENOMEM;
}

void opens_release(struct opens *o)
{
	free(o->free);
	o->free = NULL;
}

static void count_again(void *arg, struct handle *fh)
{
	struct opens *o = arg;
	struct node_io *io;

	if (fh->slot->kind != HANDLE_FILE || fh->slot->mode >= IO_MODES)
		return;
	io = nodes_io_locked(o->nodes, fh->slot->node, true);
	if (!io)
		return;
	atomic_store(&fh->settled, true);
	io->held.n[fh->slot->mode]++;
	io->held.writers += ((int)fh->slot->flags & O_ACCMODE) != O_RDONLY;
}

/*
 * Whether cached readers still have the present version is not known: later ones get another node.
 */
static void part_readers(void *arg, struct handle *fh)
{
	struct opens *o = arg;
	struct node_io *io = nodes_io_locked(o->nodes, fh->slot->node, false);

	if (io && io->held.n[IO_CACHED] && !io->held.writers)
		atomic_fetch_or(&nodes_get_locked(o->nodes, fh->slot->node)->flags, NODE_STALE);
}

static bool listed(const struct opens *o, int32_t id, uint32_t end)
{
	for (uint32_t at = 1; at < end; at++) {
		if (o->shm->backings[at].node && o->shm->backings[at].id == id)
			return true;
	}
	return false;
}

static void sweep(struct opens *o, uint32_t end)
{
	int32_t last = o->shm->hdr->backing_last;
	int32_t from = last > SWEEP_AROUND ? last - SWEEP_AROUND : 1;

	for (int32_t id = from; id <= last + SWEEP_AROUND; id++) {
		if (!listed(o, id, end))
			backing_ioctl_close(o, id);
	}
}

void opens_restore(struct opens *o)
{
	uint32_t end = atomic_load(&o->shm->hdr->backings);
	SCOPE_LOCK(&o->nodes->lock);

	handles_foreach(o->handles, count_again, o);
	handles_foreach(o->handles, part_readers, o);
	for (uint32_t at = end - 1; at > 0; at--) {
		struct shm_backing *slot = &o->shm->backings[at];
		struct node_io *io = slot->node ? nodes_io_locked(o->nodes, slot->node, false)
						: NULL;

		if (io && n_passing(&io->held) && !io->backing) {
			io->backing = at;
			continue;
		}
		if (slot->node)
			backing_ioctl_close(o, slot->id);
		slot->node = 0;
		o->free[o->n_free++] = at;
	}
	if (o->shm->hdr->backing_last)
		sweep(o, end);
}
