/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Local bodies: where an object's bytes are while it is resident, how they come, go and move.
 *
 * A key is turned into a path without the lock being held while the file is opened; cache.moves
 * and obj.body_gen tell afterwards whether the file that was opened is the object's.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "cache/internal.h"
#include "util/fsutil.h"

struct local *body_tier(struct cache *c)
{
	return c->disk ? c->disk : c->ram;
}

static struct body *body_of(struct cache *c, struct obj *o, const struct local *l)
{
	return l == c->disk ? &o->disk : &o->ram;
}

static uint32_t body_flag(struct cache *c, const struct local *l)
{
	return l == c->disk ? OBJ_RES_DISK : OBJ_RES_RAM;
}

static void body_since(struct cache *c, struct obj *o, const struct local *l, int64_t wall_s)
{
	if (l == body_tier(c))
		o->filled_s = (uint32_t)wall_s;
	if (l == c->ram)
		o->ram_s = (uint32_t)wall_s;
}

void body_added(struct cache *c, struct obj *o, struct local *l, uint64_t cost)
{
	struct body *b = body_of(c, o, l);

	(void)obj_slot(c, o);
	class_uncharge(c, o);
	if (o->flags & body_flag(c, l))
		body_dequeue(c, o, l);
	o->flags &= ~(OBJ_CORRUPT | OBJ_LEFT_SHARE | OBJ_LEFT_TIER);
	o->flags |= body_flag(c, l);
	o->body_gen++;
	b->cost = cost;
	class_charge(c, o);
	body_since(c, o, l, clock_wall(c->clock) / NSEC_PER_SEC);
	body_enqueue(c, o, l);
}

void body_gone(struct cache *c, struct obj *o, struct local *l)
{
	struct body *b;

	if (!l)
		return;
	b = body_of(c, o, l);
	class_uncharge(c, o);
	if (o->flags & body_flag(c, l)) {
		body_dequeue(c, o, l);
		o->flags &= ~(body_flag(c, l) | OBJ_SUSPECT | OBJ_CORRUPT);
		o->body_gen++;
		local_unreserve(l, b->cost, true);
		b->cost = 0;
	}
	class_charge(c, o);
}

bool body_is_open(const struct obj *o, const struct local *l)
{
	list_for_each(it, &o->files) {
		struct cfile *f = list_entry(it, struct cfile, on_obj);

		if (f->slot->kind == CFILE_BODY && f->slot->tier == (uint32_t)l->kind)
			return true;
	}
	return false;
}

struct local *body_next(struct cache *c, const struct obj *o)
{
	if (!(o->flags & OBJ_RES_RAM))
		return o->flags & OBJ_RES_DISK ? c->disk : NULL;
	return o->flags & OBJ_RES_DISK && body_is_open(o, c->disk) ? c->disk : c->ram;
}

unsigned int body_retire(struct cache *c, struct obj *o)
{
	struct local *tiers[2] = {c->disk, c->ram};
	unsigned int todo = 0;

	for (int i = 0; i < 2; i++) {
		struct local *l = tiers[i];

		if (!l || !(o->flags & body_flag(c, l)))
			continue;
		todo |= RETIRED_DISK << i;
		if (body_is_open(o, l)) {
			todo |= RETIRED_DISK_OPEN << i;
			local_adjust(l, (int64_t)body_of(c, o, l)
						->cost); /* stays charged until the last close */
		}
		body_gone(c, o, l);
	}
	return todo;
}

static void open_id_drop(struct local *l, uint64_t id, uint64_t cost)
{
	local_unlink_id(l->open_fd, id);
	local_adjust(l, -(int64_t)cost);
}

/* Says where the body is now, to all who have it open. How many they are. */
static int readers_displaced(struct cache *c, struct obj *o, const struct local *l, uint64_t id)
{
	int n = 0;

	SCOPE_LOCK(&c->lock);
	list_for_each(it, &o->files) {
		struct cfile *f = list_entry(it, struct cfile, on_obj);

		if (f->slot->kind != CFILE_BODY || f->slot->tier != (uint32_t)l->kind)
			continue;
		f->slot->id = id;
		f->slot->kind = CFILE_OPEN_ID;
		n++;
	}
	return n;
}

/*
 * Those who have the body open keep it under a name of its own, for a restart; the last one
 * unreserves it.
 */
static void body_displace(struct cache *c, struct obj *o, struct local *l, const char *key)
{
	CLEANUP_CLOSE int fd = local_body_open(l, key, O_RDONLY);
	uint64_t id;

	{
		SCOPE_LOCK(&c->lock);
		id = id_next(c);
	}
	if (local_body_displace(l, key, l->open_fd, id))
		local_body_unlink(l, key); /* then it does not survive a restart */
	if (!readers_displaced(c, o, l, id))
		open_id_drop(l, id, fd >= 0 ? local_cost(fd) : 0); /* they left meanwhile */
}

void body_remove(struct cache *c, struct obj *o, const char *key, unsigned int todo)
{
	struct local *tiers[2] = {c->disk, c->ram};

	for (int i = 0; i < 2; i++) {
		if (todo & RETIRED_DISK_OPEN << i)
			body_displace(c, o, tiers[i], key);
		else if (todo & RETIRED_DISK << i)
			local_body_unlink(tiers[i], key);
	}
}

void body_drop(struct cache *c, struct obj *o)
{
	CLEANUP_FREE char *key = NULL;
	unsigned int todo;

	{
		SCOPE_LOCK(&c->lock);
		key = obj_key_locked(o);
		todo = key ? body_retire(c, o) : 0;
	}
	if (todo)
		body_remove(c, o, key, todo);
}

void body_release_open_id(struct cache *c, struct cfile *f)
{
	struct local *l;

	{
		SCOPE_LOCK(&c->lock);
		bool displaced = f->slot->kind == CFILE_OPEN_ID;

		f->slot->kind =
			/*
			 * from here on it has nothing open: of two that go together, one is
			 * the last
			 */
			CFILE_NONE;
		l = f->slot->tier == LOCAL_RAM ? c->ram : c->disk;
		if (!displaced || !l)
			return;
		list_for_each(it, &f->obj->files) {
			struct cfile *other = list_entry(it, struct cfile, on_obj);

			if (other->slot->kind == CFILE_OPEN_ID && other->slot->id == f->slot->id)
				return;
		}
	}
	open_id_drop(l, f->slot->id, local_cost(f->fill ? f->fill->fd : f->fd));
}

void moves_await(struct cache *c)
{
	while (c->moving) {
		pthread_mutex_unlock(&c->lock);
		pthread_mutex_lock(&c->ns);
		pthread_mutex_unlock(&c->ns);
		pthread_mutex_lock(&c->lock);
	}
}

int body_open_in(struct cache *c, struct obj *o, struct local *tier, struct local **ret_tier)
{
	for (int tries = 0; tries < 100; tries++) {
		CLEANUP_FREE char *key = NULL;
		struct local *l;
		uint64_t moves;
		uint32_t gen;
		int fd;

		moves_await(c);
		l = tier && o->flags & body_flag(c, tier) ? tier : body_next(c, o);
		if (!l)
			return -ENOENT;
		key = obj_key_locked(o);
		moves = c->moves;
		gen = o->body_gen;
		if (!key)
			return -ENOMEM;
		pthread_mutex_unlock(&c->lock);
		fd = local_body_open(l, key, O_RDONLY);
		pthread_mutex_lock(&c->lock);
		if (moves == c->moves && gen == o->body_gen && !c->moving) {
			if (fd == -ENOENT || fd == -EISDIR)
				body_gone(c, o,
					  l); /* somebody cleared the cache directory by hand */
			*ret_tier = l;
			return fd;
		}
		if (fd >= 0)
			close(fd);
	}
	return -EBUSY;
}

int body_open_locked(struct cache *c, struct obj *o, struct local **ret_tier)
{
	return body_open_in(c, o, NULL, ret_tier);
}

int body_open(struct cache *c, struct obj *o, struct local **ret_tier)
{
	SCOPE_LOCK(&c->lock);
	return body_open_locked(c, o, ret_tier);
}

/*
 * A directory of the mirror: implied by what lies below it, or made by mkdir (then it has a
 * record). Lock held.
 */
static int probe_dir(struct cache *c, struct obj *o, int fd)
{
	struct record rec;
	int r;

	record_init(&rec);
	r = obj_become_dir(c, o);
	if (!r && !record_from_fd(&rec, fd)) {
		rec.known &= ~(REC_SIZE | REC_ETAG);
		r = obj_set_record(o, &rec);
		o->flags |= OBJ_OWN_DIR;
	}
	record_release(&rec);
	if (!r)
		obj_set_exist(o, EX_PRESENT);
	return r;
}

static int64_t ctime_ns(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? INT64_MAX : st.st_ctim.tv_sec * NSEC_PER_SEC + st.st_ctim.tv_nsec;
}

/*
 * A file of the mirror. One without a record is no object: a crash fell between its bytes and its
 * name. Lock held.
 */
static int probe_file(struct cache *c, struct obj *o, struct local *l, int fd)
{
	struct record rec;
	int r;

	record_init(&rec);
	r = record_from_fd(&rec, fd);
	if (!r)
		r = obj_set_record(o, &rec);
	record_release(&rec);
	if (r)
		return r;
	/* no store ever had it, and none is asked for it */
	if (has_store(c) && !o->etag && S_ISREG(o->mode) && !obj_stored(c, o))
		o->flags |= OBJ_ALONE;
	obj_set_exist(o, has_store(c) && o->flags & OBJ_ALONE ? EX_LOCAL : EX_PRESENT);
	o->checked_ns = 0;
	body_added(c, o, l, local_cost(fd));
	body_since(c, o, l, ctime_ns(fd) / NSEC_PER_SEC);
	if (!(o->flags & OBJ_RES_DISK))
		o->filled_s = o->ram_s; /* alone beside a disk tier */
	if (l == c->disk && !c->scanned) {
		c->scan_found_bytes += o->disk.cost;
		c->scan_found_objects++;
	} else {
		local_adjust(l, (int64_t)body_of(c, o, l)->cost);
		atomic_fetch_add(&l->objects, 1);
	}
	if (c->crashed && ctime_ns(fd) > c->last.synced_ns)
		o->flags |= OBJ_SUSPECT;
	if (c->config->integrity.verify == VERIFY_OPEN && o->known & REC_XXH3)
		o->flags |= OBJ_SUSPECT;
	return 0;
}

/* -EAGAIN: a rename came between, the path may be another's by now */
static int probe_in(struct cache *c, struct obj *o, struct local *l, const char *key,
		    uint64_t moves)
{
	CLEANUP_CLOSE int fd = fs_open_beneath(l->objects_fd, key,
					       O_RDONLY | O_NONBLOCK | O_NOFOLLOW, 0);
	struct stat st;
	int r;

	SCOPE_LOCK(&c->lock);
	if (moves != c->moves || c->moving)
		return -EAGAIN;
	if (fd < 0)
		return -ENOENT;
	if (fstat(fd, &st))
		return -errno;
	if (o->flags & OBJ_PROBED || o->exist != EX_UNKNOWN)
		return 0; /* somebody else was here first */
	if (S_ISDIR(st.st_mode))
		r = probe_dir(c, o, fd);
	else if (S_ISREG(st.st_mode))
		r = probe_file(c, o, l, fd);
	else
		r = -ENOENT;
	return r == -ENODATA ? -EBADMSG : r;
}

static bool same_version(const struct obj *o, const struct record *rec)
{
	return o->size == rec->size && o->known & rec->known & REC_XXH3 &&
	       xxh3_equal(&o->xxh3, &rec->xxh3) && !strcmp(o->etag ? o->etag : "", rec->etag);
}

/* A copy in RAM that outlived its worker, beside the body on disk: of the same version, or none. */
static void probe_copy(struct cache *c, struct obj *o, const char *key, uint64_t moves)
{
	CLEANUP_CLOSE int fd = local_body_open(c->ram, key, O_RDONLY);
	struct record rec;

	if (fd < 0)
		return;
	record_init(&rec);
	if (!record_from_fd(&rec, fd)) {
		SCOPE_LOCK(&c->lock);
		if (moves == c->moves && !c->moving && o->flags & OBJ_RES_DISK &&
		    !(o->flags & OBJ_RES_RAM) && !o->wr && same_version(o, &rec)) {
			body_added(c, o, c->ram, local_cost(fd));
			body_since(c, o, c->ram, ctime_ns(fd) / NSEC_PER_SEC);
			local_adjust(c->ram, (int64_t)o->ram.cost);
			atomic_fetch_add(&c->ram->objects, 1);
		}
	}
	record_release(&rec);
}

static int probe_once(struct cache *c, struct obj *o)
{
	CLEANUP_FREE char *key = NULL;
	int r = -ENOENT, in_ram = -ENOENT;
	uint64_t moves;
	bool left;

	{
		SCOPE_LOCK(&c->lock);
		moves_await(c);
		if (o->flags & OBJ_PROBED)
			return 0;
		key = obj_key_locked(o);
		moves = c->moves;
		left = c->ram && (c->ram_left || !c->disk);
	}
	if (!key)
		return -ENOMEM;
	if (c->disk)
		r = probe_in(c, o, c->disk, key, moves);
	if (!r && left)
		probe_copy(c, o, key, moves);
	else if (r != -EAGAIN && left)
		in_ram = probe_in(c, o, c->ram, key, moves);
	if (!in_ram || in_ram == -EAGAIN)
		r = in_ram;
	SCOPE_LOCK(&c->lock);
	if (r != -EAGAIN)
		o->flags |= OBJ_PROBED;
	return r;
}

int body_probe(struct cache *c, struct obj *o)
{
	int r;

	do
		r = probe_once(c, o);
	while (r == -EAGAIN);
	return r;
}

bool body_verify(struct cache *c, struct obj *o, int fd)
{
	struct xxh3 want, got;
	uint64_t size;

	{
		SCOPE_LOCK(&c->lock);
		want = o->xxh3;
		size = o->size;
	}
	if (!xxh3_known(&want))
		return ctime_ns(fd) <= c->last.synced_ns;
	return !xxh3_of_fd(fd, size, &got) && xxh3_equal(&want, &got);
}

/* A record may have grown out of the inode, into a block of its own. */
static void body_weigh(struct cache *c, struct obj *o, struct local *l, int fd)
{
	SCOPE_LOCK(&c->lock);
	struct body *b = body_of(c, o, l);
	uint64_t cost = local_cost(fd);

	if (!(o->flags & body_flag(c, l)))
		return;
	local_adjust(l, (int64_t)cost - (int64_t)b->cost);
	class_uncharge(c, o);
	body_weighs(c, o, l, cost);
	class_charge(c, o);
}

/* The root has no object in a store: what is set on it is this host's. */
static int root_open(struct cache *c)
{
	return openat(body_tier(c)->objects_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int root_store_record(struct cache *c, const struct record *rec)
{
	CLEANUP_CLOSE int fd = root_open(c);

	return fd < 0 ? -errno : record_to_fd(rec, fd);
}

void root_take_record(struct cache *c)
{
	CLEANUP_CLOSE int fd = root_open(c);
	struct record rec;

	record_init(&rec);
	if (fd >= 0 && !record_from_fd(&rec, fd))
		(void)obj_set_record(c->root, &rec);
	record_release(&rec);
}

static int copy_store_record(struct cache *c, struct obj *o, struct local *l,
			     const struct record *rec)
{
	CLEANUP_CLOSE int fd = -1;
	struct local *at;
	int r;

	{
		SCOPE_LOCK(&c->lock);
		if (!l || !l->xattrs || !(o->flags & body_flag(c, l)))
			return 0;
		fd = body_open_in(c, o, l, &at);
	}
	if (fd < 0)
		return 0;
	r = record_to_fd(rec, fd);
	body_weigh(c, o, at, fd);
	return r;
}

int body_store_record(struct cache *c, struct obj *o)
{
	CLEANUP_FREE char *key = NULL;
	struct local *l;
	struct record rec;
	int r;

	record_init(&rec);
	{
		SCOPE_LOCK(&c->lock);
		if (obj_is_dir(o) || S_ISLNK(o->mode)) {
			key = obj_key_locked(o);
			l = body_tier(c);
		}
		r = obj_to_record(o, &rec);
	}
	if (key && !*key)
		r = r ? r : root_store_record(c, &rec);
	else if (key && !r && S_ISDIR(rec.mode))
		r = local_dir_make(l, key, &rec);
	if (!key && !r)
		r = copy_store_record(c, o, c->disk, &rec);
	if (!key && !r)
		r = copy_store_record(c, o, c->ram, &rec);
	record_release(&rec);
	return r;
}
