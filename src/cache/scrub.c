/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Passes over all bodies.
 *
 *	IDLE --a pass began integrity.scrub ago, or never--> PASS --all bodies seen--> IDLE
 *
 * Bodies come in the order of their keys, so that one key says how far a pass is. It is written to
 * the file `scrub` in the cache directory every half a minute and at the end, with the totals: a
 * pass of weeks outlives restarts. A file that cannot be read costs the pass, no more.
 *
 * The thread asks for the disk when nobody else does (ioprio idle), reads past the page cache where
 * it can, and sleeps so that it stays below the rate. What it finds is told and dropped as by
 * fsck --repair.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cache/check_priv.h"
#include "cache/internal.h"
#include "cache/scrub.h"
#include "util/fsutil.h"

#define STATE_FILE "scrub"
#define STATE_MAX 8192
#define SAVE_NS (30 * NSEC_PER_SEC)
#define LOOK_NS (NSEC_PER_SEC) /* the configuration may change */
#define BODY_MIN 4096	       /* what a small body counts for: its inode is read too */
#define IOPRIO_WHO_PROCESS 1
#define IOPRIO_IDLE (3 << 13)

struct scrub {
	struct cache *c;
	pthread_t thread;
	pthread_mutex_t lock; /* of all below; a leaf, held for memory work only */
	pthread_cond_t cond;
	bool stop;
	struct cache_scrub_stats stats;
	int64_t began_ns, ended_ns; /* wall time; 0 = never */
	/* the thread's alone */
	char at[KEY_MAX + 1]; /* the last body of this pass, on disk; "" = none */
	struct check_pace pace;
	struct local *tier; /* that is being read */
	int64_t due_ns;	    /* monotonic: the rate allows the next piece then */
	int64_t saved_ns;
};

/* --- how far it is, on disk --- */

static void hex_of(const char *text, char *out)
{
	for (; *text; text++, out += 2)
		snprintf(out, 3, "%02x", (unsigned char)*text);
	*out = '\0';
}

static bool hex_to(const char *hex, char *out, size_t size)
{
	size_t n = strlen(hex) / 2;

	if (strlen(hex) % 2 || n >= size || strspn(hex, "0123456789abcdef") != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		unsigned int byte;

		(void)sscanf(hex + 2 * i, "%2x", &byte);
		out[i] = (char)byte;
	}
	out[n] = '\0';
	return true;
}

static void save(struct scrub *s)
{
	char text[STATE_MAX], key[2 * KEY_MAX + 1];
	int len;

	hex_of(s->at, key);
	{
		SCOPE_LOCK(&s->lock);
		len = snprintf(text, sizeof(text),
			       "running %d\nbegan_ns %" PRId64 "\nended_ns %" PRId64
			       "\npasses %" PRIu64 "\nobjects %" PRIu64 "\nbytes %" PRIu64
			       "\nat .%s\n",
			       s->stats.running, s->began_ns, s->ended_ns, s->stats.passes,
			       s->stats.objects, s->stats.bytes, key);
	}
	len += snprintf(text + len, sizeof(text) - (size_t)len, "end %016" PRIx64 "\n",
			hash64(text, (size_t)len));
	(void)fs_write_file_atomic(s->c->dir.fd, STATE_FILE, text, (size_t)len, 0600, false);
	s->saved_ns = clock_mono(s->c->clock);
}

static bool is_whole(const char *text)
{
	const char *end = strstr(text, "\nend ");

	return end && strtoull(end + 5, NULL, 16) == hash64(text, (size_t)(end + 1 - text));
}

static void load(struct scrub *s)
{
	CLEANUP_FREE char *text = NULL;
	char key[2 * KEY_MAX + 2] = "";
	int running;
	size_t len;

	if (fs_read_file(s->c->dir.fd, STATE_FILE, STATE_MAX, &text, &len) || !is_whole(text))
		return;
	if (sscanf(text,
		   "running %d began_ns %" SCNd64 " ended_ns %" SCNd64 " passes %" SCNu64
		   " objects %" SCNu64 " bytes %" SCNu64 " at %2049s",
		   &running, &s->began_ns, &s->ended_ns, &s->stats.passes, &s->stats.objects,
		   &s->stats.bytes, key) != 7 ||
	    !hex_to(key + 1, s->at, sizeof(s->at))) {
		s->began_ns = s->ended_ns = 0;
		s->stats = (struct cache_scrub_stats){.running = false};
		return;
	}
	s->stats.running = running;
}

/* --- its pace --- */

/* Waits until then, for the end, or a while: -ECANCELED at the end. */
static int wait_until(struct scrub *s, int64_t mono_ns)
{
	const struct timespec ts = {.tv_sec = mono_ns / NSEC_PER_SEC,
				    .tv_nsec = mono_ns % NSEC_PER_SEC};

	SCOPE_LOCK(&s->lock);
	while (!s->stop && clock_mono(&clock_system) < mono_ns)
		(void)pthread_cond_timedwait(&s->cond, &s->lock, &ts);
	return s->stop ? -ECANCELED : 0;
}

static bool is_off(const struct scrub *s)
{
	return s->c->config->integrity.scrub_s == CONF_NEVER;
}

static int step(struct check_pace *pace, uint64_t bytes)
{
	struct scrub *s = container_of(pace, struct scrub, pace);
	uint64_t rate = s->c->config->integrity.rate;
	int64_t now = clock_mono(&clock_system);
	int64_t cost = (int64_t)(bytes * (uint64_t)NSEC_PER_SEC / (rate ? rate : 1));

	/* What was not used is not saved up. */
	s->due_ns = (s->due_ns > now ? s->due_ns : now) + cost;
	{
		SCOPE_LOCK(&s->lock);
		s->stats.bytes += bytes;
	}
	return is_off(s) ? -ECANCELED : wait_until(s, s->due_ns);
}

/* --- a pass --- */

static int scrub_file(void *arg, const struct walk_found *found)
{
	struct scrub *s = arg;
	struct live_look look;
	int r;

	if (!S_ISREG(found->st->st_mode) || key_check(found->path, strlen(found->path)))
		return 0;
	r = live_body(s->c, s->tier, found->path, &s->pace, true, &look);
	if (r)
		return r == -ECANCELED ? r : 0;
	if (look.result == LIVE_DROPPED)
		room_freed(s->c);
	if (s->tier == s->c->disk)
		snprintf(s->at, sizeof(s->at), "%s", found->path);
	{
		SCOPE_LOCK(&s->lock);
		s->stats.objects += look.result != LIVE_GONE;
	}
	if (clock_mono(s->c->clock) - s->saved_ns >= SAVE_NS)
		save(s);
	if (found->st->st_size < BODY_MIN) {
		s->due_ns += (int64_t)((uint64_t)(BODY_MIN - found->st->st_size) * NSEC_PER_SEC /
				       s->c->config->integrity.rate);
		r = wait_until(s, s->due_ns);
	}
	return r;
}

static int scrub_tier(struct scrub *s, struct local *l, const char *after)
{
	CLEANUP_CLOSE int fd = -1;

	if (!l)
		return 0;
	fd = fs_open_beneath(l->objects_fd, "", O_RDONLY | O_DIRECTORY, 0);
	s->tier = l;
	return fd < 0 ? fd : check_walk(fd, after, scrub_file, s);
}

static void pass(struct scrub *s)
{
	int r = scrub_tier(s, s->c->disk, s->at);

	if (!r)
		r = scrub_tier(s, s->c->ram, NULL);
	if (!r) {
		SCOPE_LOCK(&s->lock);
		s->stats.running = false;
		s->stats.passes++;
		s->ended_ns = clock_wall(s->c->clock);
	}
	save(s);
}

/* --- the thread --- */

static bool is_due(struct scrub *s)
{
	int64_t now = clock_wall(s->c->clock);

	return !s->began_ns || now < s->began_ns ||
	       (now - s->began_ns) / NSEC_PER_SEC >= s->c->config->integrity.scrub_s;
}

static void begin(struct scrub *s)
{
	s->at[0] = '\0';
	SCOPE_LOCK(&s->lock);
	s->began_ns = clock_wall(s->c->clock);
	s->stats.running = true;
	s->stats.objects = s->stats.bytes = 0;
}

static bool is_running(struct scrub *s)
{
	SCOPE_LOCK(&s->lock);
	return s->stats.running;
}

/* Of this thread alone: Linux has no other way. */
static void be_idle(void)
{
	pid_t tid = (pid_t)syscall(SYS_gettid);

	(void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, tid, IOPRIO_IDLE);
	(void)setpriority(PRIO_PROCESS, (id_t)tid, 19);
}

static void *scrub_main(void *arg)
{
	struct scrub *s = arg;

	be_idle();
	do {
		if (is_off(s))
			continue;
		if (!is_running(s) && is_due(s))
			begin(s);
		if (is_running(s))
			pass(s);
	} while (!wait_until(s, clock_mono(&clock_system) + LOOK_NS));
	return NULL;
}

static void scrub_free(struct scrub *s)
{
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->cond);
	free(s);
}

int scrub_start(struct cache *c)
{
	struct scrub *s = calloc(1, sizeof(*s));
	pthread_condattr_t attr;
	int r;

	if (!s)
		return -ENOMEM;
	s->c = c;
	s->pace.step = step;
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->cond, &attr);
	pthread_condattr_destroy(&attr);
	load(s);
	r = -pthread_create(&s->thread, NULL, scrub_main, s);
	if (r) {
		scrub_free(s);
		return r;
	}
	(void)pthread_setname_np(s->thread, "cogfs-scrub");
	c->scrub = s;
	return 0;
}

void scrub_stop(struct cache *c)
{
	struct scrub *s = c->scrub;

	if (!s)
		return;
	{
		SCOPE_LOCK(&s->lock);
		s->stop = true;
		pthread_cond_signal(&s->cond);
	}
	pthread_join(s->thread, NULL);
	c->scrub = NULL;
	scrub_free(s);
}

void scrub_stats(struct cache *c, struct cache_scrub_stats *ret)
{
	struct scrub *s = c->scrub;

	if (!s)
		return;
	SCOPE_LOCK(&s->lock);
	*ret = s->stats;
	if (s->ended_ns)
		ret->last_s = (clock_wall(c->clock) - s->ended_ns) / NSEC_PER_SEC;
}
