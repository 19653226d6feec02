/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing manifests. Notes of a directory gather in its outbox and go out together, as a new object
 * that has the entries of the last one too, which is deleted then: so a directory that is written
 * to bit by bit has one manifest of this host, until that is large enough to be left alone.
 *
 * What a crash leaves: notes that were not written (their objects are asked for by HEAD), or the
 * new object beside the old one (the stamps say which entry counts).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "tiers/manifest_internal.h"
#include "util/cleanup.h"
#include "util/fsutil.h"

#define OUTBOX_FULL (MANIFEST_MAX / 2) /* bytes; such a manifest is not written again */
#define WAITING_MAX 1000	       /* notes that need not wait for more */
#define OUTBOXES_MAX 512	       /* directories */
#define OUTBOX_BYTES_MAX (32U << 20)   /* of all; above, notes are dropped */
#define PAUSE_NS (30 * NSEC_PER_SEC)   /* after a failure */
#define SKEW_NS (60 * NSEC_PER_SEC)    /* a stamp further in the future is not believed */

/* --- outboxes; all with the lock held --- */

static struct outbox *find_box(struct manifest_layer *ml, const char *dir, size_t dir_len)
{
	list_for_each(it, &ml->outboxes) {
		struct outbox *box = list_entry(it, struct outbox, node);

		if (strncmp(box->dir, dir, dir_len) == 0 && box->dir[dir_len] == '\0')
			return box;
	}
	return NULL;
}

static void box_free(struct manifest_layer *ml, struct outbox *box)
{
	for (size_t i = 0; i < box->n; i++)
		free((char *)box->v[i].name);
	list_del(&box->node);
	ml->n_outboxes--;
	ml->outbox_bytes -= box->bytes;
	free(box->v);
	free(box->dir);
	free(box);
}

/* Of boxes with nothing to write only the memory of the tail is lost. */
static void make_room(struct manifest_layer *ml)
{
	struct list *it = ml->outboxes.prev;

	while ((ml->n_outboxes >= OUTBOXES_MAX || ml->outbox_bytes > OUTBOX_BYTES_MAX / 2) &&
	       it != &ml->outboxes) {
		struct outbox *box = list_entry(it, struct outbox, node);

		it = it->prev;
		if (!box->waiting && !box->writing)
			box_free(ml, box);
	}
}

static struct outbox *get_box(struct manifest_layer *ml, const char *dir, size_t dir_len)
{
	struct outbox *box = find_box(ml, dir, dir_len);

	if (!box) {
		make_room(ml);
		if (ml->n_outboxes >= 2 * OUTBOXES_MAX)
			return NULL;
		box = calloc(1, sizeof(*box));
		if (!box)
			return NULL;
		box->dir = strndup(dir, dir_len);
		if (!box->dir) {
			free(box);
			return NULL;
		}
		list_init(&box->node);
		box->bytes = manifest_size(box->dir, NULL, 0);
		ml->outbox_bytes += box->bytes;
		ml->n_outboxes++;
	}
	list_del(&box->node);
	list_add_head(&ml->outboxes, &box->node);
	return box;
}

static size_t one_size(const struct manifest_entry *e)
{
	return manifest_size("", e, 1) - manifest_size("", NULL, 0);
}

static void remove_entry(struct manifest_layer *ml, struct outbox *box, size_t at)
{
	size_t size = one_size(&box->v[at]);

	box->bytes -= size;
	ml->outbox_bytes -= size;
	free((char *)box->v[at].name);
	memmove(&box->v[at], &box->v[at + 1], (box->n - at - 1) * sizeof(*box->v));
	box->n--;
}

static bool insert_entry(struct manifest_layer *ml, struct outbox *box,
			 const struct manifest_entry *e)
{
	bool found;
	size_t at = manifest_find(box->v, box->n, e->name, e->name_len, &found), size = one_size(e);

	if (found)
		remove_entry(ml, box, at);
	if (box->bytes + size > MANIFEST_MAX || ml->outbox_bytes + size > OUTBOX_BYTES_MAX)
		return false;
	if (box->n == box->room) {
		size_t room = box->room ? box->room * 2 : 16;
		struct manifest_entry *v = reallocarray(box->v, room, sizeof(*v));

		if (!v)
			return false;
		box->v = v;
		box->room = room;
	}
	memmove(&box->v[at + 1], &box->v[at], (box->n - at) * sizeof(*box->v));
	box->v[at] = *e;
	box->n++;
	box->bytes += size;
	ml->outbox_bytes += size;
	return true;
}

static int64_t next_stamp(struct manifest_layer *ml)
{
	int64_t now = clock_wall(ml->base.clock);

	/* Newer than what was read: another host's clock may be ahead, by what hosts differ. */
	if (ml->last_stamp >= now && ml->last_stamp - now < SKEW_NS)
		now = ml->last_stamp + 1;
	ml->last_stamp = now;
	return now;
}

/* --- notes --- */

/* malloc'ed: the name, and the record behind it. */
static bool make_entry(const char *name, const void *record, size_t len, struct manifest_entry *ret)
{
	size_t name_len = strlen(name);
	char *both = malloc(name_len + len + 1);

	if (!both || name_len > KEY_PART_MAX) {
		free(both);
		return false;
	}
	memcpy(both, name, name_len);
	memcpy(both + name_len, record, len);
	*ret = (struct manifest_entry){.name = both,
				       .name_len = (uint8_t)name_len,
				       .record = both + name_len,
				       .record_len = (uint16_t)len};
	return true;
}

static void add_note(struct manifest_layer *ml, const char *key, const void *record, size_t len,
		     int64_t began)
{
	int64_t now = clock_mono(ml->base.clock);
	struct manifest_entry e;
	struct outbox *box;
	const char *name;
	size_t dir_len = manifest_split(key, &name);

	if (!make_entry(name, record, len, &e))
		return;
	e.took_s = now > began ? (uint32_t)((now - began) / NSEC_PER_SEC) : 0;
	SCOPE_LOCK(&ml->mtx);
	e.stamp = next_stamp(ml);
	box = get_box(ml, key, dir_len);
	if (!box || !insert_entry(ml, box, &e)) {
		free((char *)e.name);
		ml->stats.dropped++;
		return;
	}
	if (!box->waiting++)
		box->since = now;
	if (box->waiting == 1 || box->waiting == WAITING_MAX)
		pthread_cond_signal(&ml->wake);
}

void manifest_note(struct manifest_layer *ml, const char *key, const struct record *rec,
		   const char *etag, int64_t began)
{
	CLEANUP_FREE void *record = NULL;
	size_t len;

	if (ml->conf.read_only || ((rec->known & REC_MODE) && S_ISDIR(rec->mode)))
		return;
	if (manifest_record_encode(rec, etag, &record, &len) == 0)
		add_note(ml, key, record, len, began);
	else
		manifest_forget(ml, key);
}

void manifest_note_copy(struct manifest_layer *ml, const char *from, const char *from_etag,
			const char *to, const char *etag, int64_t began)
{
	struct record rec;
	const char *name;
	size_t dir_len = manifest_split(from, &name);
	bool found = false;

	record_init(&rec);
	{
		SCOPE_LOCK(&ml->mtx);
		struct outbox *box = find_box(ml, from, dir_len);
		size_t at = 0;

		if (box)
			at = manifest_find(box->v, box->n, name, strlen(name), &found);
		found = found && manifest_record_decode(&box->v[at], &rec) == 0;
	}
	if (found && from_etag && strcmp(rec.etag, from_etag) == 0)
		manifest_note(ml, to, &rec, etag, began);
	else
		manifest_forget(ml, to);
	record_release(&rec);
}

void manifest_forget(struct manifest_layer *ml, const char *key)
{
	struct outbox *box;
	const char *name;
	size_t dir_len = manifest_split(key, &name), at;
	bool found;

	SCOPE_LOCK(&ml->mtx);
	box = find_box(ml, key, dir_len);
	if (!box)
		return;
	at = manifest_find(box->v, box->n, name, strlen(name), &found);
	if (found)
		remove_entry(ml, box, at);
}

/* --- writing --- */

static void new_key(struct manifest_layer *ml, const char *dir, char key[MANIFEST_KEY_MAX])
{
	char prefix[MANIFEST_KEY_MAX];

	manifest_dir_prefix(dir, prefix);
	SCOPE_LOCK(&ml->mtx);
	/* Times grow with the names, so that readers see the latest ones last. */
	snprintf(key, MANIFEST_KEY_MAX, "%.48s%.64s-%016llx-%08x", prefix, ml->host,
		 (unsigned long long)clock_wall(ml->base.clock), ml->number++);
}

int manifest_put(struct manifest_layer *ml, struct tier_call *call, const char *dir,
		 const char *buf, size_t len, char ret_key[MANIFEST_KEY_MAX])
{
	const struct tier_pre if_absent = {.cond = TIER_IF_ABSENT};
	const struct record rec = {.known = REC_XXH3, .xxh3 = xxh3_of(buf, len)};
	CLEANUP_CLOSE int fd = memfd_create("cogfs-manifest", MFD_CLOEXEC);
	struct tier_source src = {.fd = fd, .size = len, .xxh3 = rec.xxh3};
	int r;

	if (fd < 0)
		return -errno;
	r = fs_pwrite_full(fd, buf, len, 0);
	if (r)
		return r;
	new_key(ml, dir, ret_key);
	call->control = true;
	r = tier_put(ml->base.inner, call, ret_key, &src, &rec, &if_absent, NULL);
	if (r == 0) {
		SCOPE_LOCK(&ml->mtx);
		ml->stats.written++;
	}
	return r;
}

/* As far as the box is asked. */
static int64_t due_at(const struct manifest_layer *ml, const struct outbox *box)
{
	if (!box->waiting || box->writing)
		return INT64_MAX;
	if (box->waiting >= WAITING_MAX || box->bytes > OUTBOX_FULL)
		return box->since;
	return box->since + ml->conf.flush_ns;
}

int64_t manifest_next_due(const struct manifest_layer *ml)
{
	int64_t next = INT64_MAX;

	list_for_each(it, &ml->outboxes) {
		int64_t at = due_at(ml, list_entry(it, struct outbox, node));

		if (at < next)
			next = at;
	}
	return next < ml->not_before ? ml->not_before : next;
}

/* After a write; lock held. old: the object that it replaced, "" = none. */
static void box_written(struct manifest_layer *ml, struct outbox *box, int r, size_t taken,
			const char *key, char old[MANIFEST_KEY_MAX])
{
	int64_t now = clock_mono(ml->base.clock);

	box->writing = false;
	pthread_cond_broadcast(&ml->written);
	pthread_cond_signal(&ml->wake);
	old[0] = '\0';
	if (r) {
		ml->not_before = now + PAUSE_NS;
		return;
	}
	ml->not_before = 0;
	memcpy(old, box->tail, MANIFEST_KEY_MAX);
	memcpy(box->tail, key, MANIFEST_KEY_MAX);
	box->waiting -= taken;
	box->since = now;
	if (!box->waiting && box->bytes > OUTBOX_FULL)
		box_free(ml, box);
}

static int write_box(struct manifest_layer *ml, struct tier_call *call, struct outbox *box)
{
	char key[MANIFEST_KEY_MAX], old[MANIFEST_KEY_MAX];
	CLEANUP_FREE char *buf = NULL;
	size_t len = 0, taken;
	int r;

	{
		SCOPE_LOCK(&ml->mtx);
		taken = box->waiting;
		r = manifest_encode(ml->host, box->dir, box->v, box->n, &buf, &len);
	}
	/* The directory's name stays as it is while the box is being written. */
	if (r == 0)
		r = manifest_put(ml, call, box->dir, buf, len, key);
	{
		SCOPE_LOCK(&ml->mtx);
		box_written(ml, box, r, taken, key, old);
	}
	/* What fails here is left for a compaction. */
	if (old[0])
		(void)tier_del(ml->base.inner, call, old, false, NULL);
	return r;
}

/* One that is due at now, which nobody else will take; NULL: none. */
static struct outbox *take_due(struct manifest_layer *ml, int64_t now)
{
	SCOPE_LOCK(&ml->mtx);

	if (now < ml->not_before)
		return NULL;
	list_for_each(it, &ml->outboxes) {
		struct outbox *box = list_entry(it, struct outbox, node);
		int64_t at = due_at(ml, box);

		if (at == INT64_MAX || at > now)
			continue;
		box->writing = true;
		return box;
	}
	return NULL;
}

static bool any_writing(const struct manifest_layer *ml)
{
	list_for_each(it, &ml->outboxes)
		if (list_entry(it, struct outbox, node)->writing)
			return true;
	return false;
}

/* Each has a deadline of its own. */
static void wait_for_others(struct manifest_layer *ml)
{
	SCOPE_LOCK(&ml->mtx);
	while (any_writing(ml))
		pthread_cond_wait(&ml->written, &ml->mtx);
}

int manifest_write_due(struct manifest_layer *ml, struct tier_call *call, int64_t now)
{
	struct outbox *box;
	int r = 0;

	/* A store that does not answer would else be asked once for each directory. */
	while (r == 0 && (box = take_due(ml, now)))
		r = write_box(ml, call, box);
	if (now == INT64_MAX)
		wait_for_others(ml);
	return r;
}

void manifest_outboxes_free(struct manifest_layer *ml)
{
	while (!list_empty(&ml->outboxes))
		box_free(ml, list_entry(ml->outboxes.next, struct outbox, node));
}
