/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials from the AWS tools' shared files. Long-lived mounts outlive keys: other programs
 * rewrite these files when they rotate, so a look at their time stamps (at most once a second) goes
 * before the answer from memory. A file that is unreadable just then does not take away what was
 * read before.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tiers/http/credentials.h"
#include "tiers/http/profile.h"
#include "util/cleanup.h"
#include "util/clock.h"

#define LOOK_EVERY NSEC_PER_SEC

/* What tells one state of a file from the next. */
struct stamp {
	ino_t ino;
	off_t size;
	struct timespec mtime;
};

struct file_provider {
	struct cred_provider base;
	char *profile;
	char *paths[AWS_FILE_COUNT]; /* NULL = there is none */
	pthread_mutex_t lock;	     /* protects what follows; not held while files are read */
	int64_t looked_at;	     /* monotonic; 0 = never */
	struct stamp stamps[AWS_FILE_COUNT];
	struct cred *cred; /* NULL: none so far */
};

static void take_stamps(const struct file_provider *p, struct stamp stamps[AWS_FILE_COUNT])
{
	struct stat st;

	memset(stamps, 0, AWS_FILE_COUNT * sizeof(*stamps));
	for (int i = 0; i < AWS_FILE_COUNT; i++) {
		if (!p->paths[i] || stat(p->paths[i], &st) < 0)
			continue;
		stamps[i].ino = st.st_ino;
		stamps[i].size = st.st_size;
		stamps[i].mtime = st.st_mtim;
	}
}

/* A fresh set from the files. -ENODATA where they have none for this profile. */
static int read_cred(const struct file_provider *p, struct cred **ret, struct err *err)
{
	struct aws_profile profile;
	int rc = aws_profile_read(p->profile, &profile, err);

	if (rc < 0)
		return rc;
	if (profile.access_key && profile.secret_key) {
		*ret = cred_new(profile.access_key, profile.secret_key, profile.session_token);
		rc = *ret ? 0 : -ENOMEM;
	} else if (profile.unsupported) {
		rc = err_set(err, -EINVAL,
			     "profile \"%s\" names %s, which is not supported: give it "
			     "aws_access_key_id and aws_secret_access_key",
			     p->profile, profile.unsupported);
	} else {
		rc = err_set(err, -ENODATA, "no credentials for profile \"%s\" in ~/.aws",
			     p->profile);
	}
	aws_profile_release(&profile);
	return rc;
}

static struct cred *known(struct file_provider *p)
{
	SCOPE_LOCK(&p->lock);
	return p->cred ? cred_ref(p->cred) : NULL;
}

/* True for the one thread that is to look now. */
static bool look_is_due(struct file_provider *p)
{
	int64_t now = clock_mono(&clock_system);

	SCOPE_LOCK(&p->lock);
	if (p->cred && now - p->looked_at < LOOK_EVERY)
		return false;
	p->looked_at = now;
	return true;
}

static bool stamps_changed(struct file_provider *p, const struct stamp stamps[AWS_FILE_COUNT])
{
	SCOPE_LOCK(&p->lock);
	return !p->cred || memcmp(p->stamps, stamps, sizeof(p->stamps)) != 0;
}

/* Stamps are taken before the reading: what changes in between is read again next time. */
static int look(struct file_provider *p, struct err *err)
{
	struct stamp stamps[AWS_FILE_COUNT];
	struct cred *fresh = NULL;
	int rc;

	take_stamps(p, stamps);
	if (!stamps_changed(p, stamps))
		return 0;
	rc = read_cred(p, &fresh, err);
	if (rc < 0)
		return rc;
	{
		SCOPE_LOCK(&p->lock);
		struct cred *old = p->cred;

		p->cred = fresh;
		memcpy(p->stamps, stamps, sizeof(p->stamps));
		fresh = old;
	}
	cred_unref(fresh);
	return 0;
}

static int file_get(struct cred_provider *base, struct cred **ret, struct err *err)
{
	struct file_provider *p = (struct file_provider *)base;
	struct cred *cred;
	int rc = 0;

	if (look_is_due(p))
		rc = look(p, err);
	cred = known(p);
	if (cred) {
		*ret = cred;
		return 0;
	}
	return rc < 0 ? rc : -ENODATA;
}

static bool file_renew(struct cred_provider *base, const struct cred *refused)
{
	struct file_provider *p = (struct file_provider *)base;
	CLEANUP_CRED struct cred *cred = NULL;

	look(p, NULL);
	cred = known(p);
	return cred && !cred_equal(cred, refused);
}

static void file_free(struct cred_provider *base)
{
	struct file_provider *p = (struct file_provider *)base;

	cred_unref(p->cred);
	for (int i = 0; i < AWS_FILE_COUNT; i++)
		free(p->paths[i]);
	free(p->profile);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static const struct cred_ops file_ops = {
	.name = "file",
	.get = file_get,
	.renew = file_renew,
	.free = file_free,
};

int cred_file_new(const char *profile, struct cred_provider **ret)
{
	struct file_provider *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->base.ops = &file_ops;
	pthread_mutex_init(&p->lock, NULL);
	p->profile = strdup(profile ? profile : aws_profile_name());
	for (int i = 0; i < AWS_FILE_COUNT; i++)
		p->paths[i] = aws_file_path((enum aws_file)i);
	if (!p->profile) {
		file_free(&p->base);
		return -ENOMEM;
	}
	*ret = &p->base;
	return 0;
}
