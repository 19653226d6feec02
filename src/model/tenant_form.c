/* SPDX-License-Identifier: Apache-2.0 */
/* How paths hold their tenant. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/keymap.h"
#include "model/keymap_out.h"

void tenant_form_release(struct tenant_form *form)
{
	free(form->before);
	pattern_free(form->pattern);
	memset(form, 0, sizeof(*form));
}

static int find_tenant(const struct pattern *pattern)
{
	for (unsigned int i = 0; i < pattern->n_names; i++)
		if (strcmp(pattern->names[i], "tenant") == 0)
			return (int)i;
	return -1;
}

/* The part that holds the name, if all before it is literal and nothing else is wild in it. */
static int tenant_part(const struct pattern *pattern, int name)
{
	for (unsigned int p = 0; p < pattern->n_parts; p++) {
		const struct pattern_part *part = &pattern->parts[p];

		for (unsigned int e = 0; e < part->n; e++)
			if (part->elems[e].name == name)
				return part->n_wild == 1 ? (int)p : -EINVAL;
		if (part->rest || part->n_wild)
			return -EINVAL;
	}
	return -EINVAL;
}

static char *literal_parts(const struct pattern *pattern, unsigned int n)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	for (unsigned int p = 0; p < n; p++)
		fprintf(out, "%s/", pattern->parts[p].elems[0].words[0].text);
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

int tenant_form_of(const char *pattern, struct tenant_form *ret_form, struct err *err)
{
	struct tenant_form form = {0};
	int name, part, r = pattern_compile(pattern, &form.pattern, err);

	if (r < 0)
		return r;
	name = find_tenant(form.pattern);
	part = name < 0 ? -ENOENT : tenant_part(form.pattern, name);
	if (part >= 0)
		form.before = literal_parts(form.pattern, (unsigned int)part);
	if (part < 0 || !form.before) {
		tenant_form_release(&form);
		if (part == -EINVAL)
			return err_set(err, -EINVAL,
				       "pattern \"%.200s\": a key template needs {tenant} behind "
				       "literal text, alone in its part",
				       pattern);
		return part < 0 ? part : err_set(err, -ENOMEM, "no memory");
	}
	form.part = (unsigned int)part;
	*ret_form = form;
	return 0;
}

static bool elem_equal(const struct pattern_elem *a, const struct pattern_elem *b)
{
	if (a->kind != b->kind || a->many != b->many || a->n_words != b->n_words ||
	    memcmp(&a->set, &b->set, sizeof(a->set)) != 0)
		return false;
	for (unsigned int i = 0; i < a->n_words; i++)
		if (strcmp(a->words[i].text, b->words[i].text) != 0)
			return false;
	return true;
}

bool tenant_form_equal(const struct tenant_form *a, const struct tenant_form *b)
{
	const struct pattern_part *x = &a->pattern->parts[a->part],
				  *y = &b->pattern->parts[b->part];

	if (strcmp(a->before, b->before) != 0 || x->n != y->n)
		return false;
	for (unsigned int i = 0; i < x->n; i++)
		if (!elem_equal(&x->elems[i], &y->elems[i]))
			return false;
	return true;
}

bool tenant_form_match(const struct tenant_form *form, const char *path, size_t len,
		       struct pattern_span *ret_tenant, size_t *ret_rest)
{
	const struct pattern_part *part = &form->pattern->parts[form->part];
	size_t before = strlen(form->before), head, tail, end;
	const char *slash;

	if (len <= before || memcmp(path, form->before, before) != 0)
		return false;
	slash = memchr(path + before, '/', len - before);
	end = slash ? (size_t)(slash - path) : len;
	if (!pattern_part_match(part, path + before, end - before))
		return false;
	head = part->elems[0].kind == PATTERN_LITERAL ? part->elems[0].words->len : 0;
	tail = part->n > 1 && part->elems[part->n - 1].kind == PATTERN_LITERAL
		       ? part->elems[part->n - 1].words->len
		       : 0;
	ret_tenant->off = (uint16_t)(before + head);
	ret_tenant->len = (uint16_t)(end - tail - before - head);
	*ret_rest = slash ? end + 1 : len;
	return true;
}

int tenant_form_expand(const struct tenant_form *form, const char *tenant, size_t len,
		       char out[KEY_MAX + 1])
{
	const struct pattern_part *part = &form->pattern->parts[form->part];
	struct out o = {.text = out};
	struct pattern_span span;
	size_t rest;

	put(&o, form->before, strlen(form->before));
	for (unsigned int i = 0; i < part->n; i++) {
		bool literal = part->elems[i].kind == PATTERN_LITERAL;

		put(&o, literal ? part->elems[i].words->text : tenant,
		    literal ? part->elems[i].words->len : len);
	}
	if (put_end(&o) < 0)
		return -ENAMETOOLONG;
	if (memchr(tenant, '/', len) || key_check(out, o.len) < 0 ||
	    !tenant_form_match(form, out, o.len, &span, &rest))
		return -EINVAL;
	return (int)o.len;
}
