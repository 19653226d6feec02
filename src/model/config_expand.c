/* SPDX-License-Identifier: Apache-2.0 */
/* ${VAR} and ~ in values of the configuration. */
#include <ctype.h>
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/config_table.h"
#include "util/cleanup.h"

static bool is_name(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)s[i]) && s[i] != '_')
			return false;
	return len && !isdigit((unsigned char)s[0]);
}

/* What stands between "${" and "}" at body. *ret_value is the environment's or points into body. */
static int variable(const char *body, size_t len, const char **ret_value, size_t *ret_len,
		    struct err *err)
{
	const char *def = memmem(body, len, ":-", 2);
	size_t name_len = def ? (size_t)(def - body) : len;
	char name[128];
	const char *value;

	if (!is_name(body, name_len) || name_len >= sizeof(name))
		return err_set(err, -EINVAL, "\"${%.*s}\" names no environment variable", (int)len,
			       body);
	memcpy(name, body, name_len);
	name[name_len] = '\0';
	value = getenv(name);
	if (value && (*value || !def)) {
		*ret_value = value;
		*ret_len = strlen(value);
		return 0;
	}
	if (!def)
		return err_set(
			err, -EINVAL,
			"${%s} is not set in the environment; ${%s:-DEFAULT} gives it a default",
			name, name);
	*ret_value = def + 2;
	*ret_len = len - name_len - 2;
	return 0;
}

static int expand_to(FILE *out, const char *s, struct err *err)
{
	while (*s) {
		const char *value, *end;
		size_t len;
		int r;

		if (strncmp(s, "$${", 3) == 0) {
			fputs("${", out);
			s += 3;
			continue;
		}
		if (strncmp(s, "${", 2) != 0) {
			fputc(*s++, out);
			continue;
		}
		end = strchr(s, '}');
		if (!end)
			return err_set(err, -EINVAL, "\"${\" without \"}\"");
		r = variable(s + 2, (size_t)(end - s) - 2, &value, &len, err);
		if (r < 0)
			return r;
		fwrite(value, 1, len, out);
		s = end + 1;
	}
	return 0;
}

int conf_expand(const char *text, char **ret_text, struct err *err)
{
	CLEANUP_FREE char *buf = NULL;
	size_t len = 0;
	FILE *out;
	int r;

	if (!strstr(text, "${")) {
		*ret_text = strdup(text);
		return *ret_text ? 0 : err_set(err, -ENOMEM, "no memory");
	}
	out = open_memstream(&buf, &len);
	if (!out)
		return err_set(err, -ENOMEM, "no memory");
	r = expand_to(out, text, err);
	if (fclose(out) != 0 && r == 0)
		r = err_set(err, -ENOMEM, "no memory");
	if (r < 0)
		return r;
	*ret_text = STEAL_PTR(buf);
	return 0;
}

static const char *home_directory(void)
{
	const char *home = getenv("HOME");
	const struct passwd *pw;

	if (home && *home == '/')
		return home;
	pw = getpwuid(geteuid());
	return pw ? pw->pw_dir : NULL;
}

int conf_expand_path(const char *text, const char *dir, char **ret_path, struct err *err)
{
	CLEANUP_FREE char *cwd = NULL;
	const char *before = "", *between = "";

	if (text[0] == '~' && (text[1] == '/' || !text[1])) {
		before = home_directory();
		if (!before)
			return err_set(err, -EINVAL, "\"%s\": HOME is not set", text);
		text++;
	} else if (text[0] == '~') {
		return err_set(err, -EINVAL, "\"%s\": only ~ itself is expanded, not ~USER", text);
	} else if (text[0] && text[0] != '/') {
		cwd = dir ? strdup(dir) : getcwd(NULL, 0);
		if (!cwd)
			return err_set(err, -errno, "the working directory: %s", strerror(errno));
		before = cwd;
		between = cwd[strlen(cwd) - 1] == '/' ? "" : "/";
	}
	if (asprintf(ret_path, "%s%s%s", before, between, text) < 0)
		return err_set(err, -ENOMEM, "no memory");
	return 0;
}
