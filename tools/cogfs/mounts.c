/* SPDX-License-Identifier: Apache-2.0 */
/* Finds cogfs mounts. */
#include "cli/mounts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "util/cleanup.h"

#define COGFS_TYPE "fuse.cogfs"

/* mountinfo writes space, tab, newline and backslash as three octal digits. In place. */
static void unescape(char *s)
{
	char *to = s;

	while (*s) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
		    s[3] >= '0' && s[3] <= '7') {
			*to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
			s += 4;
		} else {
			*to++ = *s++;
		}
	}
	*to = '\0';
}

static char *copy_field(const char *s)
{
	char *copy = strdup(s);

	if (copy)
		unescape(copy);
	return copy;
}

static void entry_release(struct mount_entry *m)
{
	free(m->root);
	free(m->dir);
	free(m->type);
	free(m->source);
}

bool mount_parse_dev(const char *text, int base, dev_t *ret)
{
	char *colon, *end;
	unsigned long major_no = strtoul(text, &colon, base), minor_no;

	if (colon == text || *colon != ':')
		return false;
	minor_no = strtoul(colon + 1, &end, base);
	if (end == colon + 1 || (*end && *end != ' '))
		return false;
	*ret = makedev((unsigned int)major_no, (unsigned int)minor_no);
	return true;
}

/* "36 35 98:0 /root /dir opts [tags...] - type source superopts". 1: taken, 0: no such line. */
static int parse_line(char *line, struct mount_entry *ret)
{
	char *fields[6], *tail[2], *save, *dash = strstr(line, " - ");
	dev_t dev;

	if (!dash)
		return 0;
	*dash = '\0';
	for (size_t i = 0; i < 6; i++) {
		fields[i] = strtok_r(i ? NULL : line, " ", &save);
		if (!fields[i])
			return 0;
	}
	for (size_t i = 0; i < 2; i++) {
		tail[i] = strtok_r(i ? NULL : dash + 3, " \n", &save);
		if (!tail[i])
			return 0;
	}
	if (!mount_parse_dev(fields[2], 10, &dev))
		return 0;
	*ret = (struct mount_entry){
		.id = (int)strtol(fields[0], NULL, 10),
		.parent = (int)strtol(fields[1], NULL, 10),
		.dev = dev,
		.root = copy_field(fields[3]),
		.dir = copy_field(fields[4]),
		.type = copy_field(tail[0]),
		.source = copy_field(tail[1]),
	};
	if (ret->root && ret->dir && ret->type && ret->source)
		return 1;
	entry_release(ret);
	return -ENOMEM;
}

int mount_table_parse(FILE *in, struct mount_table *ret)
{
	struct mount_table table = {0};
	CLEANUP_FREE char *line = NULL;
	size_t size = 0;
	int r = 0;

	while (r >= 0 && getline(&line, &size, in) >= 0) {
		struct mount_entry entry, *grown;

		r = parse_line(line, &entry);
		if (r <= 0)
			continue;
		grown = realloc(table.entries, (table.n + 1) * sizeof(*grown));
		if (!grown) {
			entry_release(&entry);
			r = -ENOMEM;
			continue;
		}
		table.entries = grown;
		grown[table.n++] = entry;
	}
	if (r < 0) {
		mount_table_release(&table);
		return r;
	}
	*ret = table;
	return 0;
}

int mount_table_load(struct mount_table *ret, struct err *err)
{
	CLEANUP_FCLOSE FILE *in = fopen("/proc/self/mountinfo", "re");
	int r;

	if (!in)
		return err_set(err, -errno, "/proc/self/mountinfo: %s", strerror(errno));
	r = mount_table_parse(in, ret);
	return r < 0 ? err_set(err, r, "no memory") : 0;
}

void mount_table_release(struct mount_table *table)
{
	for (size_t i = 0; i < table->n; i++)
		entry_release(&table->entries[i]);
	free(table->entries);
	*table = (struct mount_table){0};
}

bool mount_is_cogfs(const struct mount_entry *m)
{
	return strcmp(m->type, COGFS_TYPE) == 0;
}

const struct mount_entry *mount_at(const struct mount_table *table, const char *dir)
{
	for (size_t i = table->n; i > 0; i--)
		if (strcmp(table->entries[i - 1].dir, dir) == 0)
			return &table->entries[i - 1];
	return NULL;
}

/* Where path goes on behind dir ("" or "/..."), or NULL where it does not lie below it. */
static const char *behind(const char *path, const char *dir)
{
	size_t len = strcmp(dir, "/") == 0 ? 0 : strlen(dir);

	if (strncmp(path, dir, len) != 0 || (path[len] && path[len] != '/'))
		return NULL;
	return path + len;
}

const struct mount_entry *mount_of(const struct mount_table *table, const char *path)
{
	const struct mount_entry *best = NULL;

	for (size_t i = 0; i < table->n; i++) {
		const struct mount_entry *m = &table->entries[i];

		if (behind(path, m->dir) && (!best || strlen(m->dir) >= strlen(best->dir)))
			best = m;
	}
	return best;
}

/* An absolute path without "." and "//"; ".." only goes by the text. */
static char *absolute(const char *path)
{
	CLEANUP_FREE char *cwd = path[0] == '/' ? NULL : getcwd(NULL, 0), *joined = NULL;
	char *out, *save, *part;
	size_t len = 0;

	if (asprintf(&joined, "%s/%s", cwd ? cwd : "", path) < 0) {
		joined = NULL;
		return NULL;
	}
	out = calloc(1, strlen(joined) + 2);
	if (!out)
		return NULL;
	for (part = strtok_r(joined, "/", &save); part; part = strtok_r(NULL, "/", &save)) {
		size_t n = strlen(part);

		if (strcmp(part, ".") == 0)
			continue;
		if (strcmp(part, "..") == 0) {
			while (len && out[--len] != '/')
				;
			out[len] = '\0';
			continue;
		}
		out[len] = '/';
		memcpy(out + len + 1, part, n + 1);
		len += n + 1;
	}
	if (!len)
		out[0] = '/';
	return out;
}

char *mount_realpath(const struct mount_table *table, const char *path)
{
	CLEANUP_FREE char *lexical = absolute(path);
	const struct mount_entry *m;
	char *real;

	if (!lexical) {
		errno = ENOMEM;
		return NULL;
	}
	/* Looked up by text first: asking a mount whose server hangs would hang us. */
	m = mount_at(table, lexical);
	if (m && mount_is_cogfs(m))
		return STEAL_PTR(lexical);
	real = realpath(path, NULL);
	return real;
}

/* --- places --- */

void mount_place_release(struct mount_place *place)
{
	free(place->dir);
	free(place->key);
	*place = (struct mount_place){0};
}

static int place_set(struct mount_place *ret, const char *dir, const char *root, const char *rest,
		     struct err *err)
{
	ret->dir = strdup(dir);
	if (asprintf(&ret->key, "%s%s", strcmp(root, "/") == 0 ? "" : root, rest) < 0)
		ret->key = NULL;
	if (!ret->dir || !ret->key) {
		mount_place_release(ret);
		return err_set(err, -ENOMEM, "no memory");
	}
	memmove(ret->key, ret->key + strspn(ret->key, "/"),
		strlen(ret->key + strspn(ret->key, "/")) + 1);
	return 0;
}

static int only_mount(const struct mount_table *table, struct mount_place *ret, struct err *err)
{
	const struct mount_entry *only = NULL;
	char list[256] = "";
	size_t found = 0, len = 0;

	for (size_t i = 0; i < table->n; i++) {
		const struct mount_entry *m = &table->entries[i];

		if (!mount_is_cogfs(m) || strcmp(m->root, "/") != 0)
			continue;
		only = m;
		if (found++ && len < sizeof(list))
			len += (size_t)snprintf(list + len, sizeof(list) - len, ", ");
		if (len < sizeof(list))
			len += (size_t)snprintf(list + len, sizeof(list) - len, "%s", m->dir);
	}
	if (!found)
		return err_set(err, -ENOENT, "there is no cogfs mount here");
	if (found > 1)
		return err_set(err, -EINVAL, "there are several mounts, name one: %s", list);
	return place_set(ret, only->dir, "/", "", err);
}

static int place_of_path(const struct mount_table *table, const char *path, struct mount_place *ret,
			 struct err *err)
{
	CLEANUP_FREE char *real = mount_realpath(table, path);
	const struct mount_entry *m;

	if (!real)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	m = mount_of(table, real);
	if (!m || !mount_is_cogfs(m))
		return err_set(err, -EINVAL, "%s is not in a cogfs mount", path);
	if (strcmp(m->root, "/") == 0)
		return place_set(ret, m->dir, "/", behind(real, m->dir), err);
	/* A bind mount of a part: another mount of the same filesystem may show the whole. */
	for (size_t i = 0; i < table->n; i++) {
		const struct mount_entry *whole = &table->entries[i];

		if (whole->dev == m->dev && strcmp(whole->root, "/") == 0)
			return place_set(ret, whole->dir, m->root, behind(real, m->dir), err);
	}
	return err_set(err, -EINVAL,
		       "%s is a part of a cogfs mount whose root cannot be seen from here", path);
}

int mount_place_find(const char *path, struct mount_place *ret, struct err *err)
{
	struct mount_table table;
	int r = mount_table_load(&table, err);

	if (r < 0)
		return r;
	r = path ? place_of_path(&table, path, ret, err) : only_mount(&table, ret, err);
	mount_table_release(&table);
	return r;
}
