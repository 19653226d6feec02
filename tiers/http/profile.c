/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a profile out of the AWS tools' shared files. */
#include "tiers/http/profile.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/fsutil.h"

#define FILE_MAX (1024 * 1024)

/* A piece of a line; not terminated. */
struct span {
	const char *p;
	size_t len;
};

/* Settings that we read, and where their value goes. */
static const struct {
	const char *name;
	size_t offset;
} settings[] = {
	{"aws_access_key_id", offsetof(struct aws_profile, access_key)},
	{"aws_secret_access_key", offsetof(struct aws_profile, secret_key)},
	{"aws_session_token", offsetof(struct aws_profile, session_token)},
	{"region", offsetof(struct aws_profile, region)},
	{"endpoint_url", offsetof(struct aws_profile, endpoint_url)},
};

/* Settings that stand for a source of credentials of their own. */
static const char *const sources[] = {
	"role_arn", "credential_process", "sso_session", "sso_start_url", "web_identity_token_file",
};

static void free_secret(char **s)
{
	if (*s)
		OPENSSL_cleanse(*s, strlen(*s));
	free(*s);
	*s = NULL;
}

void aws_profile_release(struct aws_profile *profile)
{
	free_secret(&profile->access_key);
	free_secret(&profile->secret_key);
	free_secret(&profile->session_token);
	free(profile->region);
	free(profile->endpoint_url);
	free(profile->unsupported);
	*profile = (struct aws_profile){0};
}

const char *aws_profile_name(void)
{
	const char *name = getenv("AWS_PROFILE");

	if (!name || !*name)
		name = getenv("AWS_DEFAULT_PROFILE");
	return name && *name ? name : "default";
}

static char *home_file(const char *name)
{
	const char *home = getenv("HOME");
	struct passwd pw, *found = NULL;
	char strings[4096], *path;

	if (!home || !*home) {
		if (getpwuid_r(getuid(), &pw, strings, sizeof(strings), &found) != 0 || !found)
			return NULL;
		home = pw.pw_dir;
	}
	return asprintf(&path, "%s/.aws/%s", home, name) < 0 ? NULL : path;
}

char *aws_file_path(enum aws_file which)
{
	const char *variable = which == AWS_CREDENTIALS_FILE ? "AWS_SHARED_CREDENTIALS_FILE"
							     : "AWS_CONFIG_FILE";
	const char *path = getenv(variable);

	if (path && *path)
		return strdup(path);
	return home_file(which == AWS_CREDENTIALS_FILE ? "credentials" : "config");
}

static struct span span_trim(struct span s)
{
	static const char blanks[] = " \t\r";

	while (s.len && strchr(blanks, s.p[0]) && s.p[0]) {
		s.p++;
		s.len--;
	}
	while (s.len && strchr(blanks, s.p[s.len - 1]) && s.p[s.len - 1])
		s.len--;
	return s;
}

static bool span_is(struct span s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.p, text, s.len) == 0;
}

/* "[name]", and in the config file "[profile name]" for all but the default. */
static bool section_is(struct span line, enum aws_file which, const char *name)
{
	static const char prefix[] = "profile";
	const char *end = memchr(line.p, ']', line.len);
	struct span s;

	if (!end)
		return false;
	s = span_trim((struct span){line.p + 1, (size_t)(end - line.p) - 1});
	if (which == AWS_CREDENTIALS_FILE)
		return span_is(s, name);
	if (s.len > sizeof(prefix) && memcmp(s.p, prefix, sizeof(prefix) - 1) == 0 &&
	    (s.p[sizeof(prefix) - 1] == ' ' || s.p[sizeof(prefix) - 1] == '\t')) {
		s.p += sizeof(prefix);
		s.len -= sizeof(prefix);
		return span_is(span_trim(s), name);
	}
	return strcmp(name, "default") == 0 && span_is(s, name);
}

static int field_set(char **field, struct span value)
{
	if (*field || !value.len || memchr(value.p, '\0', value.len))
		return 0;
	*field = malloc(value.len + 1);
	if (!*field)
		return -ENOMEM;
	memcpy(*field, value.p, value.len);
	(*field)[value.len] = '\0';
	return 0;
}

static int setting_take(struct aws_profile *profile, struct span line)
{
	const char *equals = memchr(line.p, '=', line.len);
	struct span name, value;

	if (!equals)
		return 0;
	name = span_trim((struct span){line.p, (size_t)(equals - line.p)});
	value = span_trim((struct span){equals + 1, line.len - (size_t)(equals - line.p) - 1});
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		if (span_is(name, settings[i].name))
			return field_set((char **)((char *)profile + settings[i].offset), value);
	}
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		if (span_is(name, sources[i]))
			return field_set(&profile->unsupported, name);
	}
	return 0;
}

int aws_profile_parse(struct aws_profile *profile, enum aws_file which, const char *name,
		      const char *text, size_t len)
{
	bool inside = false;

	while (len) {
		const char *end = memchr(text, '\n', len);
		size_t line_len = end ? (size_t)(end - text) : len;
		struct span line = {text, line_len};
		int rc = 0;

		text += end ? line_len + 1 : line_len;
		len -= end ? line_len + 1 : line_len;
		if (!line.len || line.p[0] == '#' || line.p[0] == ';')
			continue;
		if (line.p[0] == '[') {
			inside = section_is(line, which, name);
			profile->found |= inside;
		} else if (inside && line.p[0] != ' ' && line.p[0] != '\t') {
			/* What is indented belongs to a nested setting ("s3 ="): not ours. */
			rc = setting_take(profile, line);
		}
		if (rc < 0)
			return rc;
	}
	return 0;
}

/*
 * Like fs_read_file, but of a path that the user chose: it may be absolute and lead through links.
 * Where there is no file, *ret_text stays as it is.
 */
static int read_text(const char *path, char **ret_text, size_t *ret_len)
{
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	CLEANUP_FREE char *text = NULL;
	struct stat st;
	ssize_t len;

	if (fd < 0 && errno != ENOENT && errno != ENOTDIR)
		return -errno;
	if (fd < 0)
		return 0;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size > FILE_MAX)
		return -EFBIG;
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return -ENOMEM;
	len = fs_pread_full(fd, text, (size_t)st.st_size, 0);
	if (len < 0)
		return (int)len;
	*ret_text = STEAL_PTR(text);
	*ret_len = (size_t)len;
	return 0;
}

static int read_file(struct aws_profile *profile, enum aws_file which, const char *name,
		     struct err *err)
{
	CLEANUP_FREE char *path = aws_file_path(which);
	char *text = NULL;
	size_t len = 0;
	int rc;

	if (!path)
		return 0;
	rc = read_text(path, &text, &len);
	if (rc < 0)
		return err_set(err, rc, "%s: %s", path, strerror(-rc));
	if (!text)
		return 0;
	rc = aws_profile_parse(profile, which, name, text, len);
	OPENSSL_cleanse(text, len);
	free(text);
	return rc;
}

int aws_profile_read(const char *name, struct aws_profile *ret, struct err *err)
{
	struct aws_profile profile = {0};
	int rc;

	rc = read_file(&profile, AWS_CREDENTIALS_FILE, name, err);
	if (rc == 0)
		rc = read_file(&profile, AWS_CONFIG_FILE, name, err);
	if (rc < 0) {
		aws_profile_release(&profile);
		return rc;
	}
	*ret = profile;
	return 0;
}
