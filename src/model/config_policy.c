/* SPDX-License-Identifier: Apache-2.0 */
/* Values of classes and tenants that are more than one word: tiers, compression, shares. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/config_table.h"
#include "util/cleanup.h"

#define DEFAULT_LEVEL 3

/* --- tiers --- */

int conf_share_add(struct conf_share **list, const char *name, struct conf_share **ret_share,
		   struct err *err)
{
	struct conf_share *share, **end = list;

	for (; *end; end = &(*end)->next)
		if (strcmp((*end)->name, name) == 0)
			return err_set(err, -EINVAL, "tier %.63s is given twice", name);
	share = calloc(1, sizeof(*share));
	if (!share)
		return err_set(err, -ENOMEM, "no memory");
	share->name = strdup(name);
	if (!share->name) {
		free(share);
		return err_set(err, -ENOMEM, "no memory");
	}
	*end = share;
	if (ret_share)
		*ret_share = share;
	return 0;
}

/* "all", or names between commas: what the environment and the command line can say. */
int conf_tiers_set(struct conf_share **list, const char *text, struct err *err)
{
	struct conf_share *fresh = NULL;
	int r = *text ? 0 : err_set(err, -EINVAL, "\"\" names no tier");

	if (strcmp(text, "all") != 0) {
		CLEANUP_FREE char *copy = strdup(text);
		char *rest = copy;

		if (!copy)
			return err_set(err, -ENOMEM, "no memory");
		for (char *name; r == 0 && (name = strsep(&rest, ","));)
			r = conf_share_add(&fresh, name + strspn(name, " "), NULL, err);
	}
	if (r < 0) {
		conf_shares_free(fresh);
		return r;
	}
	conf_shares_free(*list);
	*list = fresh;
	return 0;
}

void conf_shares_free(struct conf_share *list)
{
	while (list) {
		struct conf_share *share = list;

		list = share->next;
		free(share->name);
		free(share->storage_class);
		free(share);
	}
}

/* One given value, "ttl: 30m". True where there was one. */
static bool print_given(FILE *out, const struct conf_option *opt, const void *base, bool first)
{
	CLEANUP_FREE char *text = conf_value_format(opt, base);

	if (!text)
		return false;
	fprintf(out, "%s%s: ", first ? "" : ", ", opt->name);
	if (opt->kind == CONF_COMPRESSION)
		fputs(text, out);
	else
		conf_print_scalar(out, text);
	return true;
}

static void print_share(FILE *out, const struct conf_share *share)
{
	bool first = true;

	fputs(": {", out);
	for (const struct conf_option *o = conf_share_options; o->name; o++)
		if (print_given(out, o, share, first))
			first = false;
	fputc('}', out);
}

char *conf_tiers_format(const struct conf_share *list)
{
	CLEANUP_FREE char *text = NULL;
	bool plain = true;
	size_t size;
	FILE *out;

	if (!list)
		return strdup("all");
	out = open_memstream(&text, &size);
	if (!out)
		return NULL;
	for (const struct conf_share *s = list; s; s = s->next)
		plain = plain && !s->given;
	fputc(plain ? '[' : '{', out);
	for (const struct conf_share *s = list; s; s = s->next) {
		fputs(s == list ? "" : ", ", out);
		conf_print_scalar(out, s->name);
		if (!plain)
			print_share(out, s);
	}
	fputc(plain ? ']' : '}', out);
	return fclose(out) == 0 ? STEAL_PTR(text) : NULL;
}

/* --- compression --- */

int conf_compression_set(struct conf_compression *c, const char *text, struct err *err)
{
	const struct conf_option *level = conf_option_find(conf_compression_options, "zstd");
	struct conf_compression fresh = {0};

	if (strcmp(text, "zstd") == 0)
		fresh.level = DEFAULT_LEVEL;
	else if (strncmp(text, "zstd:", 5) == 0 && conf_value_set(level, &fresh, text + 5, err) < 0)
		return -EINVAL;
	else if (strcmp(text, "none") != 0 && !fresh.level)
		return -EINVAL;
	*c = fresh;
	return 0;
}

char *conf_compression_format(const struct conf_compression *c)
{
	CLEANUP_FREE char *size = conf_format_size(c->min_size);
	char *text;

	if (!c->level)
		return strdup("none");
	if (c->level == DEFAULT_LEVEL && !c->min_size)
		return strdup("zstd");
	if (!size || asprintf(&text, "{zstd: %u, min_size: %s}", c->level, size) < 0)
		return NULL;
	return text;
}

/* --- parts of tiers --- */

int conf_parse_part(const char *text, uint64_t *ret_bytes, double *ret_ratio)
{
	size_t len = strlen(text);
	double percent;
	char *end;

	if (len < 2 || text[len - 1] != '%') {
		if (conf_parse_size(text, ret_bytes) < 0)
			return -EINVAL;
		*ret_ratio = 0;
		return 0;
	}
	percent = *text >= '0' && *text <= '9' ? strtod(text, &end) : -1;
	if (percent < 0 || end != text + len - 1 || !(percent < 100))
		return -EINVAL;
	*ret_bytes = 0;
	*ret_ratio = percent / 100;
	return 0;
}

char *conf_format_part(uint64_t bytes, double ratio)
{
	char *s;

	if (ratio <= 0)
		return conf_format_size(bytes);
	return asprintf(&s, "%.10g%%", ratio * 100) < 0 ? NULL : s;
}

int conf_part_add(struct conf_part **list, const char *name, const char *text, struct err *err)
{
	struct conf_part **end = list;
	uint64_t bytes;
	double ratio;

	if (conf_parse_part(text, &bytes, &ratio) < 0 || (!bytes && ratio <= 0))
		return err_set(err, -EINVAL, "\"%.60s\" is not %s", text,
			       conf_kind_text(CONF_FREE));
	while (*end)
		end = &(*end)->next;
	*end = calloc(1, sizeof(**end));
	if (*end)
		(*end)->name = strdup(name);
	if (!*end || !(*end)->name) {
		free(*end);
		*end = NULL;
		return err_set(err, -ENOMEM, "no memory");
	}
	(*end)->bytes = bytes;
	(*end)->ratio = ratio;
	return 0;
}

char *conf_parts_format(const struct conf_part *list)
{
	CLEANUP_FREE char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	fputc('{', out);
	for (const struct conf_part *p = list; p; p = p->next) {
		CLEANUP_FREE char *value = conf_format_part(p->bytes, p->ratio);

		fputs(p == list ? "" : ", ", out);
		conf_print_scalar(out, p->name);
		fprintf(out, ": %s", value ? value : "0");
	}
	fputc('}', out);
	return fclose(out) == 0 ? STEAL_PTR(text) : NULL;
}

void conf_parts_free(struct conf_part *list)
{
	while (list) {
		struct conf_part *part = list;

		list = part->next;
		free(part->name);
		free(part);
	}
}

/* --- classes and tenants --- */

static void options_release(const struct conf_option *table, void *base)
{
	for (const struct conf_option *o = table; o->name; o++)
		conf_value_release(o, base);
}

void conf_class_free(struct conf_class *class)
{
	if (!class)
		return;
	options_release(conf_class_options, class);
	free(class);
}

void conf_classes_free(struct conf_class *classes)
{
	while (classes) {
		struct conf_class *class = classes;

		classes = class->next;
		conf_class_free(class);
	}
}

int conf_class_add(struct config *config, const char *name, struct conf_class **ret_class)
{
	struct conf_class *class = calloc(1, sizeof(*class)), **end = &config->classes;

	if (!class)
		return -ENOMEM;
	class->name = strdup(name);
	if (!class->name) {
		free(class);
		return -ENOMEM;
	}
	while (*end)
		end = &(*end)->next;
	*end = class;
	*ret_class = class;
	return 0;
}

int conf_tenant_add(struct config *config, const char *name, struct conf_tenant **ret_tenant)
{
	struct conf_tenant *tenant = calloc(1, sizeof(*tenant)), **end = &config->tenants;

	if (!tenant)
		return -ENOMEM;
	tenant->name = strdup(name);
	if (!tenant->name) {
		free(tenant);
		return -ENOMEM;
	}
	while (*end)
		end = &(*end)->next;
	*end = tenant;
	*ret_tenant = tenant;
	return 0;
}

void conf_tenants_free(struct conf_tenant *tenants)
{
	while (tenants) {
		struct conf_tenant *tenant = tenants;

		tenants = tenant->next;
		options_release(conf_tenant_options, tenant);
		free(tenant->name);
		free(tenant);
	}
}

void conf_policy_release(struct conf_policy *policy)
{
	conf_shares_free(policy->tiers);
	free(policy->storage_class);
	free(policy->sidecar);
	memset(policy, 0, sizeof(*policy));
}
