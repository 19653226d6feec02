/* SPDX-License-Identifier: Apache-2.0 */
/* Parses -o. */
#include "cli/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/config_table.h"
#include "util/cleanup.h"
#include "util/nearest.h"

#define NAME_MAX_LEN 128

/* clang-format off */
const struct mount_option_row mount_option_rows[] = {
	{"config", MOUNT_OPTION_OWN, NULL, NULL, "read this file instead of /etc/cogfs/cogfs.yaml"},
	{"strict", MOUNT_OPTION_OWN, NULL, "on", "fail where the store does not answer"},
	{"over", MOUNT_OPTION_OWN, NULL, "on", "mount over a directory that is not empty"},
	{"nonempty", MOUNT_OPTION_OWN, NULL, "on", NULL},

	{"ro", MOUNT_OPTION_KERNEL, "mount.read_only", "on", "refuse every change"},
	{"rw", MOUNT_OPTION_IGNORED, "mount.read_only", "off", NULL},
	{"allow_other", MOUNT_OPTION_KERNEL, "mount.allow_other", "on", "let other users in"},
	{"default_permissions", MOUNT_OPTION_KERNEL, NULL, "", NULL},
	{"nodev", MOUNT_OPTION_KERNEL, NULL, "", "the kernel's, see mount(8)"},
	{"nosuid", MOUNT_OPTION_KERNEL, NULL, "", "the kernel's, see mount(8)"},
	{"noexec", MOUNT_OPTION_KERNEL, NULL, "", "the kernel's, see mount(8)"},
	{"noatime", MOUNT_OPTION_KERNEL, NULL, "", "the kernel's, see mount(8)"},
	{"nodiratime", MOUNT_OPTION_KERNEL, NULL, "", "the kernel's, see mount(8)"},
	{"sync", MOUNT_OPTION_KERNEL, NULL, "", "the kernel's, see mount(8)"},
	{"dirsync", MOUNT_OPTION_KERNEL, NULL, "", "the kernel's, see mount(8)"},
	{"context", MOUNT_OPTION_KERNEL, NULL, NULL, "the kernel's, see mount(8)"},
	{"fscontext", MOUNT_OPTION_KERNEL, NULL, NULL, "the kernel's, see mount(8)"},
	{"defcontext", MOUNT_OPTION_KERNEL, NULL, NULL, "the kernel's, see mount(8)"},
	{"rootcontext", MOUNT_OPTION_KERNEL, NULL, NULL, "the kernel's, see mount(8)"},
	{"fsname", MOUNT_OPTION_OWN, NULL, NULL, "what the mount table shows as the source"},

	{"debug", MOUNT_OPTION_CONFIG, "log.level", "debug", "short for log.level=debug"},
	{"ttl", MOUNT_OPTION_CONFIG, "defaults.ttl", NULL, "short for defaults.ttl"},
	{"max_size", MOUNT_OPTION_CONFIG, "disk.max_size", NULL, "short for disk.max_size"},
	{"min_free", MOUNT_OPTION_CONFIG, "disk.min_free", NULL, "short for disk.min_free"},
	{"max_dirty", MOUNT_OPTION_CONFIG, "write.max_dirty", NULL, "short for write.max_dirty"},
	{"upload_delay", MOUNT_OPTION_CONFIG, "write.upload_delay", NULL,
	 "short for write.upload_delay"},
	{"ca_file", MOUNT_OPTION_CONFIG, "network.ca_file", NULL, "short for network.ca_file"},
	{"endpoint", MOUNT_OPTION_CONFIG, "store.endpoint", NULL, "short for store.endpoint"},
	{"region", MOUNT_OPTION_CONFIG, "store.region", NULL, "short for store.region"},
	{"path_style", MOUNT_OPTION_CONFIG, "store.path_style", "on", "short for store.path_style"},
	{"credentials", MOUNT_OPTION_CONFIG, "store.credentials", NULL,
	 "short for store.credentials"},

	{"subtype", MOUNT_OPTION_IGNORED, NULL, "", NULL},
	{"_netdev", MOUNT_OPTION_IGNORED, NULL, "", NULL},
	{"nofail", MOUNT_OPTION_IGNORED, NULL, "", NULL},
	{"noauto", MOUNT_OPTION_IGNORED, NULL, "", NULL},
	{"auto", MOUNT_OPTION_IGNORED, NULL, "", NULL},
	{"defaults", MOUNT_OPTION_IGNORED, NULL, "", NULL},
	{"user", MOUNT_OPTION_IGNORED, NULL, "", NULL},
	{"users", MOUNT_OPTION_IGNORED, NULL, "", NULL},
	{"nouser", MOUNT_OPTION_IGNORED, NULL, "", NULL},
	{"owner", MOUNT_OPTION_IGNORED, NULL, "", NULL},
	{"group", MOUNT_OPTION_IGNORED, NULL, "", NULL},
	{"comment", MOUNT_OPTION_IGNORED, NULL, "", NULL},
	{"x_*", MOUNT_OPTION_IGNORED, NULL, "", NULL},
	{"X_*", MOUNT_OPTION_IGNORED, NULL, "", NULL},
	{"suid", MOUNT_OPTION_IGNORED, NULL, "", NULL},
	{"dev", MOUNT_OPTION_IGNORED, NULL, "", NULL},
	{"exec", MOUNT_OPTION_IGNORED, NULL, "", NULL},
	{"async", MOUNT_OPTION_IGNORED, NULL, "", NULL},
	{"atime", MOUNT_OPTION_IGNORED, NULL, "", NULL},
	{"diratime", MOUNT_OPTION_IGNORED, NULL, "", NULL},
	{"relatime", MOUNT_OPTION_IGNORED, NULL, "", NULL},
	{"norelatime", MOUNT_OPTION_IGNORED, NULL, "", NULL},
	{"strictatime", MOUNT_OPTION_IGNORED, NULL, "", NULL},
	{"nostrictatime", MOUNT_OPTION_IGNORED, NULL, "", NULL},
	{"lazytime", MOUNT_OPTION_IGNORED, NULL, "", NULL},
	{"nolazytime", MOUNT_OPTION_IGNORED, NULL, "", NULL},
	{"silent", MOUNT_OPTION_IGNORED, NULL, "", NULL},
	{"loud", MOUNT_OPTION_IGNORED, NULL, "", NULL},
	{NULL, MOUNT_OPTION_IGNORED, NULL, NULL, NULL},
};
/* clang-format on */

/* One option, taken apart. */
struct word {
	char *raw;	   /* as given, escapes and all: for libfuse, which unescapes itself */
	char *text;	   /* unescaped; name, then '\0' instead of '=' */
	const char *value; /* in text; NULL: no '=' */
};

static void word_release(struct word *w)
{
	free(w->raw);
	free(w->text);
}

static int no_memory(struct err *err)
{
	return err_set(err, -ENOMEM, "no memory");
}

/* Takes the next word off *text. 1, 0 at the end, -errno. The caller releases *ret in any case. */
static int word_next(const char **text, struct word *ret, struct err *err)
{
	const char *s = *text;
	size_t len = 0, n = 0;
	char *eq;

	while (s[len] && s[len] != ',')
		len += s[len] == '\\' && s[len + 1] ? 2 : 1;
	if (!*s)
		return 0;
	ret->raw = strndup(s, len);
	ret->text = malloc(len + 1);
	if (!ret->raw || !ret->text)
		return no_memory(err);
	for (size_t i = 0; i < len; i++) {
		if (s[i] == '\\' && i + 1 < len)
			i++;
		ret->text[n++] = s[i];
	}
	ret->text[n] = '\0';
	eq = strchr(ret->text, '=');
	if (eq)
		*eq++ = '\0';
	ret->value = eq;
	*text = s + len + (s[len] == ',');
	return 1;
}

/* The name with '-' as '_', but for what is the name of a tier: "tiers.my-tier.max-size". */
static int plain_name(const char *text, char ret[NAME_MAX_LEN], struct err *err)
{
	size_t len = strlen(text);

	if (len >= NAME_MAX_LEN)
		return err_set(err, -EINVAL, "there is no option %.40s...", text);
	memcpy(ret, text, len + 1);
	if (strncmp(text, "tiers.", 6) == 0 && strchr(text + 6, '.'))
		ret += strrchr(text, '.') - text;
	for (; *ret; ret++)
		if (*ret == '-')
			*ret = '_';
	return 0;
}

static const struct mount_option_row *row_find(const char *name)
{
	for (const struct mount_option_row *r = mount_option_rows; r->name; r++) {
		size_t len = strlen(r->name);

		if (r->name[len - 1] == '*' ? strncmp(r->name, name, len - 1) == 0
					    : strcmp(r->name, name) == 0)
			return r;
	}
	return NULL;
}

static int add_override(struct mount_options *o, const char *name, const char *value,
			struct err *err)
{
	struct conf_override *grown = realloc(o->overrides, (o->n_overrides + 1) * sizeof(*grown));

	if (!grown)
		return no_memory(err);
	o->overrides = grown;
	grown[o->n_overrides] = (struct conf_override){strdup(name), strdup(value)};
	o->n_overrides++;
	if (!grown[o->n_overrides - 1].name || !grown[o->n_overrides - 1].value)
		return no_memory(err);
	return 0;
}

static int replace_string(char **to, const char *value, struct err *err)
{
	char *copy = strdup(value);

	if (!copy)
		return no_memory(err);
	free(*to);
	*to = copy;
	return 0;
}

static int pass_on(struct mount_options *o, const char *raw, struct err *err)
{
	char *joined;

	if (asprintf(&joined, "%s%s%s", o->fuse_opts ? o->fuse_opts : "", o->fuse_opts ? "," : "",
		     raw) < 0)
		return no_memory(err);
	free(o->fuse_opts);
	o->fuse_opts = joined;
	return 0;
}

static int own_option(struct mount_options *o, const char *name, const char *value, struct err *err)
{
	if (strcmp(name, "config") == 0)
		return replace_string(&o->config_file, value, err);
	if (strcmp(name, "fsname") == 0)
		return replace_string(&o->fsname, value, err);
	if (strcmp(name, "strict") == 0)
		o->strict = true;
	else
		o->over = true;
	return 0;
}

static int take_row(struct mount_options *o, const struct mount_option_row *row,
		    const struct word *w, struct err *err)
{
	const char *value = w->value ? w->value : row->value;
	int r = 0;

	if (!value)
		return err_set(err, -EINVAL, "option %s needs a value: %s=...", w->text, w->text);
	if (row->kind == MOUNT_OPTION_KERNEL)
		r = pass_on(o, w->raw, err);
	else if (row->kind == MOUNT_OPTION_OWN)
		r = own_option(o, row->name, value, err);
	if (r == 0 && row->config)
		r = add_override(o, row->config, value, err);
	return r;
}

/* The configuration's name that a short one means: "uid" is "mount.uid". */
static const struct conf_option *short_option(const char *name)
{
	const struct conf_option *opt = conf_option_in("mount", name);

	return opt ? opt : conf_option_find(conf_options, name);
}

static bool is_scalar_section(const char *name)
{
	for (const struct conf_section *s = conf_sections; s->name; s++)
		if (s->scalar && strcmp(s->name, name) == 0)
			return true;
	return false;
}

static int unknown(const char *name, struct err *err)
{
	struct nearest near;
	const char *best;

	nearest_init(&near, name);
	for (const struct mount_option_row *r = mount_option_rows; r->name; r++)
		nearest_offer(&near, r->name);
	for (const struct conf_option *c = conf_options; c->name; c++)
		nearest_offer(&near, strncmp(c->name, "mount.", 6) == 0 ? c->name + 6 : c->name);
	best = nearest_get(&near);
	return err_set(err, -EINVAL, "there is no option %s%s%s%s", name,
		       best ? "; did you mean " : "", best ? best : "", best ? "?" : "");
}

static int take_config(struct mount_options *o, const char *name, const struct word *w,
		       struct err *err)
{
	const struct conf_option *opt = strchr(name, '.') ? NULL : short_option(name);
	bool is_switch = opt && (opt->kind == CONF_BOOL || opt->kind == CONF_TRISTATE);

	if (!opt && !strchr(name, '.') && !is_scalar_section(name))
		return o->sloppy ? 0 : unknown(name, err);
	if (!w->value && !is_switch)
		return err_set(err, -EINVAL, "option %s needs a value: %s=...", w->text, w->text);
	return add_override(o, opt ? opt->name : name, w->value ? w->value : "on", err);
}

static int take_word(struct mount_options *o, const struct word *w, struct err *err)
{
	const struct mount_option_row *row;
	char name[NAME_MAX_LEN];
	int r;

	if (!*w->text && !w->value)
		return 0;
	r = plain_name(w->text, name, err);
	if (r < 0)
		return r;
	row = row_find(name);
	return row ? take_row(o, row, w, err) : take_config(o, name, w, err);
}

int mount_options_parse(struct mount_options *o, const char *text, struct err *err)
{
	int r;

	do {
		struct word w = {0};

		r = word_next(&text, &w, err);
		/* From here on r > 0 means: go on. */
		if (r > 0) {
			int taken = take_word(o, &w, err);

			r = taken < 0 ? taken : 1;
		}
		word_release(&w);
	} while (r > 0);
	return r;
}

void mount_options_release(struct mount_options *o)
{
	for (size_t i = 0; i < o->n_overrides; i++) {
		free((char *)o->overrides[i].name);
		free((char *)o->overrides[i].value);
	}
	free(o->overrides);
	free(o->fuse_opts);
	free(o->fsname);
	free(o->config_file);
	*o = (struct mount_options){0};
}
