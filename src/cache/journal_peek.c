/* SPDX-License-Identifier: Apache-2.0 */
/* The log as the next start would find it: the same records in order, and no file touched. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/check_priv.h"
#include "cache/journal_priv.h"

struct mapped {
	const uint8_t *p;
	size_t len;
};

static void mapped_release(struct mapped *m)
{
	if (m->len)
		munmap((void *)m->p, m->len);
}

static int map_log(int dirfd, const char *name, struct mapped *ret)
{
	CLEANUP_CLOSE int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	void *p;

	if (fd < 0 || fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size == 0)
		return 0;
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	*ret = (struct mapped){.p = p, .len = (size_t)st.st_size};
	return 0;
}

/* The log with the highest number below `below`; 0: there is none. */
static int next_log(int dirfd, uint64_t below, uint64_t *ret)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *de;

	*ret = 0;
	if (!dir) {
		int r = -errno;

		if (fd >= 0)
			close(fd);
		return r;
	}
	while ((de = readdir(dir))) {
		unsigned long long number;
		char end;

		if (sscanf(de->d_name, "log.%llx%c", &number, &end) == 1 && number < below &&
		    number > *ret)
			*ret = number;
	}
	closedir(dir);
	return 0;
}

/* 0; -ENODATA: it has no head, and does not count. */
static int take_head(const struct mapped *m, uint64_t number, size_t *off, struct journal *j)
{
	struct jrec head;
	struct jcur c;

	if (jrec_next(m->p, m->len, off, &head) != 1 || head.type != JREC_SEGMENT)
		return -ENODATA;
	c = (struct jcur){.p = head.payload, .left = head.len};
	if (jcur_u8(&c) != JREC_VERSION)
		return -EPROTO;
	j->next_seq = head.seq;
	return jcur_u64(&c) == number && !c.bad ? 0 : -ENODATA;
}

static int replay(struct journal_peek *look, const struct mapped *m, size_t off)
{
	struct jrec rec;
	int r;

	for (;;) {
		look->at = off;
		r = jrec_next(m->p, m->len, &off, &rec);
		if (r == 0)
			return 0;
		if (r > 0)
			r = jreplay_apply(look->state, &rec);
		if (r == -EBADMSG)
			break;
		if (r)
			return r;
	}
	look->damaged = jrec_any(m->p, m->len, (size_t)look->at + 1);
	look->torn = !look->damaged;
	return 0;
}

static int look_at(struct journal_peek *look, int dirfd, uint64_t number)
{
	__attribute__((cleanup(mapped_release))) struct mapped m = {.len = 0};
	char name[JLOG_NAME_MAX];
	size_t off = 0;
	int r;

	jlog_name("log", number, name);
	r = map_log(dirfd, name, &m);
	if (!r)
		r = take_head(&m, number, &off, look->state);
	if (r)
		return r;
	memcpy(look->name, name, sizeof(name));
	return replay(look, &m, off);
}

int journal_peek(int dirfd, int staging_dirfd, struct journal_peek *ret, struct err *err)
{
	const struct journal_conf conf = {
		.dirfd = dirfd, .staging_dirfd = staging_dirfd, .clock = &clock_system};
	struct journal_peek look = {.state = jn_new(&conf)};
	uint64_t number = UINT64_MAX;
	int r = look.state ? -ENODATA : -ENOMEM;

	if (look.state)
		look.state->replaying = true;
	while (r == -ENODATA) {
		r = next_log(dirfd, number, &number);
		if (r || !number)
			break;
		r = look_at(&look, dirfd, number);
		look.headless += r == -ENODATA;
	}
	if (r) {
		journal_peek_release(&look);
		return err_set(err, r, "journal: %s", err_text(NULL, r));
	}
	*ret = look;
	return 0;
}

void journal_peek_release(struct journal_peek *look)
{
	if (look->state)
		jn_free(look->state);
	look->state = NULL;
}
