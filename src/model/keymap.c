/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Store keys from paths and back. Inverting never trusts what it parsed: a path counts only where
 * it expands to the very key again, so that no two keys can be one path.
 */
#include "model/keymap.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/keymap_out.h"

#define PIECES_MAX 7

enum piece_kind { PIECE_TEXT, PIECE_TENANT, PIECE_PATH };

struct piece {
	enum piece_kind kind;
	char *text;
	size_t len;
};

struct keymap {
	const struct tenant_form *form; /* NULL: no {tenant} */
	struct piece pieces[PIECES_MAX];
	unsigned int n;
	bool rest;	 /* PIECE_PATH is {rest}, not {key} */
	char stop;	 /* the byte that follows the tenant */
	size_t reserved; /* bytes of the first text up to its last '/': the template's directory */
};

/* --- templates --- */

static int add_piece(struct keymap *map, enum piece_kind kind, const char *text, size_t len,
		     struct err *err)
{
	struct piece *piece = &map->pieces[map->n];

	if (map->n == PIECES_MAX)
		return err_set(err, -EINVAL, "it has too many pieces");
	piece->kind = kind;
	piece->len = len;
	piece->text = text ? strndup(text, len) : NULL;
	if (text && !piece->text)
		return err_set(err, -ENOMEM, "no memory");
	map->n++;
	return 0;
}

static int add_placeholder(struct keymap *map, const char *name, size_t len, struct err *err)
{
	if (len == 3 && memcmp(name, "key", 3) == 0)
		return add_piece(map, PIECE_PATH, NULL, 0, err);
	if (len == 6 && memcmp(name, "tenant", 6) == 0)
		return add_piece(map, PIECE_TENANT, NULL, 0, err);
	if (len != 4 || memcmp(name, "rest", 4) != 0)
		return err_set(err, -EINVAL, "there is {key}, {tenant} and {rest}, no {%.*s}",
			       (int)(len < 40 ? len : 40), name);
	map->rest = true;
	return add_piece(map, PIECE_PATH, NULL, 0, err);
}

static int parse(struct keymap *map, const char *text, struct err *err)
{
	int r = 0;

	while (r == 0 && *text) {
		size_t len = strcspn(text, "{}");

		if (len) {
			r = add_piece(map, PIECE_TEXT, text, len, err);
		} else {
			len = strcspn(text, "}");
			if (*text == '}' || !text[len])
				return err_set(err, -EINVAL, "braces do not match");
			r = add_placeholder(map, text + 1, len - 1, err);
			len++;
		}
		text += len;
	}
	return r;
}

static unsigned int count(const struct keymap *map, enum piece_kind kind)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < map->n; i++)
		n += map->pieces[i].kind == kind;
	return n;
}

/* What makes a key one path's only: one {key}, or {tenant} and {rest} with text between them. */
static int check(struct keymap *map, struct err *err)
{
	unsigned int tenants = count(map, PIECE_TENANT);

	if (count(map, PIECE_PATH) != 1 || tenants > 1)
		return err_set(err, -EINVAL,
			       "it needs {key} once, or {tenant} once and {rest} once");
	if (map->rest && !tenants)
		return err_set(err, -EINVAL,
			       "{rest} without {tenant}: two paths would share a key");
	for (unsigned int i = 1; i < map->n; i++)
		if (map->pieces[i - 1].kind != PIECE_TEXT && map->pieces[i].kind != PIECE_TEXT)
			return err_set(err, -EINVAL,
				       "there is no text between two placeholders, so that a key "
				       "could be taken apart in more than one way");
	for (unsigned int i = 0; i < map->n && map->pieces[i].kind != PIECE_TENANT; i++)
		if (map->pieces[i].kind == PIECE_PATH && tenants)
			return err_set(err, -EINVAL,
				       "{tenant} stands before the path, or no directory could be "
				       "listed");
	for (unsigned int i = 1; i < map->n; i++)
		if (map->pieces[i - 1].kind == PIECE_TENANT &&
		    (isalnum((unsigned char)map->pieces[i].text[0]) ||
		     map->pieces[i].text[0] == '%'))
			return err_set(
				err, -EINVAL,
				"behind {tenant} comes a / or another mark: a letter, a digit "
				"or a %% could be of the tenant's own encoding");
	if (map->pieces[0].kind == PIECE_TEXT && map->pieces[0].text[0] == '/')
		return err_set(err, -EINVAL, "a key begins with no /");
	return 0;
}

static char stop_byte(const struct keymap *map)
{
	for (unsigned int i = 0; i < map->n; i++)
		if (map->pieces[i].kind == PIECE_TENANT)
			return map->pieces[i + 1].text[0];
	return '/';
}

int keymap_new(const char *text, const struct tenant_form *form, struct keymap **ret_map,
	       struct err *err)
{
	struct keymap *map = calloc(1, sizeof(*map));
	const char *slash;
	int r;

	if (!map)
		return err_set(err, -ENOMEM, "no memory");
	r = parse(map, text, err);
	if (r == 0)
		r = check(map, err);
	if (r == 0 && count(map, PIECE_TENANT) && !form)
		r = err_set(err, -EINVAL, "no class says how a path holds its {tenant}");
	if (r < 0) {
		keymap_free(map);
		return err_wrap(err, r, "key template \"%.200s\"", text);
	}
	map->form = count(map, PIECE_TENANT) ? form : NULL;
	map->stop = stop_byte(map);
	slash = map->pieces[0].kind == PIECE_TEXT
			? memrchr(map->pieces[0].text, '/', map->pieces[0].len)
			: NULL;
	map->reserved = slash ? (size_t)(slash - map->pieces[0].text) + 1 : 0;
	*ret_map = map;
	return 0;
}

void keymap_free(struct keymap *map)
{
	if (!map)
		return;
	for (unsigned int i = 0; i < PIECES_MAX; i++)
		free(map->pieces[i].text);
	free(map);
}

bool keymap_is_identity(const struct keymap *map)
{
	return map->n == 1 && map->pieces[0].kind == PIECE_PATH;
}

/* --- path to key --- */

static void put_tenant(struct out *o, const char *text, size_t len, char stop)
{
	char code[4];

	for (size_t i = 0; i < len; i++) {
		if (text[i] != '%' && text[i] != stop) {
			put(o, text + i, 1);
			continue;
		}
		snprintf(code, sizeof(code), "%%%02X", (unsigned char)text[i]);
		put(o, code, 3);
	}
}

/* The template's key for a path. -ENOENT: the path is not one for the template. */
static int expand_template(const struct keymap *map, const char *path, size_t len,
			   char out[KEY_MAX + 1])
{
	struct out o = {.text = out};
	struct pattern_span tenant = {0};
	size_t rest = 0;

	if (map->form && (!tenant_form_match(map->form, path, len, &tenant, &rest) || rest == len))
		return -ENOENT;
	if (!map->rest)
		rest = 0;
	for (unsigned int i = 0; i < map->n; i++) {
		const struct piece *p = &map->pieces[i];

		if (p->kind == PIECE_TEXT)
			put(&o, p->text, p->len);
		else if (p->kind == PIECE_TENANT)
			put_tenant(&o, path + tenant.off, tenant.len, map->stop);
		else
			put(&o, path + rest, len - rest);
	}
	return put_end(&o);
}

/* --- key to path --- */

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The tenant as a path has it; its length or -EINVAL. */
static int decode_tenant(const char *text, size_t len, char out[KEY_MAX + 1])
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (text[i] != '%') {
			out[n++] = text[i];
			continue;
		}
		if (len - i < 3 || hex_digit(text[i + 1]) < 0 || hex_digit(text[i + 2]) < 0)
			return -EINVAL;
		out[n++] = (char)(hex_digit(text[i + 1]) << 4 | hex_digit(text[i + 2]));
		i += 2;
	}
	return (int)n;
}

/* A key taken apart. */
struct parsed {
	const char *tenant, *path;
	size_t tenant_len, path_len;
};

/* Takes literal text off both ends; false: it is not there. */
static bool strip_ends(const struct keymap *map, const char **key, size_t *len,
		       unsigned int *ret_first, unsigned int *ret_last)
{
	const struct piece *first = &map->pieces[0], *last = &map->pieces[map->n - 1];

	*ret_first = 0;
	*ret_last = map->n - 1;
	if (first->kind == PIECE_TEXT) {
		if (first->len > *len || memcmp(*key, first->text, first->len) != 0)
			return false;
		*key += first->len;
		*len -= first->len;
		*ret_first = 1;
	}
	if (last->kind == PIECE_TEXT) {
		if (last->len > *len || memcmp(*key + *len - last->len, last->text, last->len) != 0)
			return false;
		*len -= last->len;
		*ret_last = map->n - 2;
	}
	return true;
}

/* The tenant holds no stop byte: it ends at the first text between. */
static bool take_apart(const struct keymap *map, const char *key, size_t len, struct parsed *ret)
{
	const struct piece *between;
	unsigned int first, last;
	const char *at;

	if (!strip_ends(map, &key, &len, &first, &last))
		return false;
	if (first == last) {
		*ret = (struct parsed){.path = key, .path_len = len};
		return true;
	}
	between = &map->pieces[first + 1];
	at = memmem(key, len, between->text, between->len);
	if (!at)
		return false;
	ret->tenant = key;
	ret->tenant_len = (size_t)(at - key);
	ret->path = at + between->len;
	ret->path_len = len - ret->tenant_len - between->len;
	return true;
}

/* The path that the template makes key of. -EINVAL: there is none. */
static int invert_template(const struct keymap *map, const char *key, size_t len,
			   char out[KEY_MAX + 1])
{
	char tenant[KEY_MAX + 1], again[KEY_MAX + 1];
	struct out o = {.text = out};
	struct parsed p = {0};
	int n;

	if (!take_apart(map, key, len, &p))
		return -EINVAL;
	if (map->rest) {
		n = decode_tenant(p.tenant, p.tenant_len, tenant);
		if (n > 0)
			n = tenant_form_expand(map->form, tenant, (size_t)n, out);
		if (n <= 0)
			return -EINVAL;
		o.len = (size_t)n;
		put(&o, "/", 1);
	}
	put(&o, p.path, p.path_len);
	if (put_end(&o) < 0 || key_check(out, o.len) < 0)
		return -EINVAL;
	n = expand_template(map, out, o.len, again);
	if (n < 0 || (size_t)n != len || memcmp(again, key, len) != 0)
		return -EINVAL;
	return (int)o.len;
}

/* Whether a key belongs to the template, so that no verbatim path may have it. */
static bool is_templates(const struct keymap *map, const char *key, size_t len)
{
	char path[KEY_MAX + 1];

	/* The directory itself, without its slash, would stand where all tenants are. */
	if (map->reserved && len >= map->reserved - 1 &&
	    memcmp(key, map->pieces[0].text, map->reserved - 1) == 0 &&
	    (len == map->reserved - 1 || key[map->reserved - 1] == '/'))
		return true;
	return invert_template(map, key, len, path) >= 0;
}

int keymap_expand(const struct keymap *map, const char *path, size_t len, char out[KEY_MAX + 1])
{
	int r;

	if (len > KEY_MAX)
		return -ENAMETOOLONG;
	r = expand_template(map, path, len, out);
	if (r != -ENOENT)
		return r;
	if (is_templates(map, path, len))
		return -EINVAL;
	memcpy(out, path, len);
	out[len] = '\0';
	return (int)len;
}

int keymap_invert(const struct keymap *map, const char *key, size_t len, char out[KEY_MAX + 1])
{
	char again[KEY_MAX + 1];
	int r;

	if (len > KEY_MAX)
		return -EINVAL;
	r = invert_template(map, key, len, out);
	if (r >= 0)
		return r;
	if (key_check(key, len) < 0 || keymap_expand(map, key, len, again) != (int)len ||
	    memcmp(again, key, len) != 0)
		return -EINVAL;
	memcpy(out, key, len);
	out[len] = '\0';
	return (int)len;
}

/* --- directories --- */

/* The text before {tenant}, or before {key} where there is no tenant. */
static const struct piece *leading_text(const struct keymap *map)
{
	static const struct piece none = {PIECE_TEXT, "", 0};

	return map->pieces[0].kind == PIECE_TEXT ? &map->pieces[0] : &none;
}

static int add_prefix(struct keymap_prefixes *ret, const char *text, size_t len)
{
	if (len > KEY_MAX)
		return -ENAMETOOLONG;
	if (ret->n && strlen(ret->text[0]) == len && memcmp(ret->text[0], text, len) == 0)
		return 0;
	memcpy(ret->text[ret->n], text, len);
	ret->text[ret->n++][len] = '\0';
	return 0;
}

/* "dir/", or "" for the root. */
static int add_verbatim(struct keymap_prefixes *ret, const char *dir, size_t len)
{
	char text[KEY_MAX + 2];

	if (!len)
		return add_prefix(ret, "", 0);
	memcpy(text, dir, len);
	text[len] = '/';
	return add_prefix(ret, text, len + 1);
}

/* The prefix of a directory that the template covers; rest: where what follows the tenant is. */
static int add_covered(const struct keymap *map, const char *dir, size_t len,
		       const struct pattern_span *tenant, size_t rest, struct keymap_prefixes *ret)
{
	const struct piece *lead = leading_text(map), *between;
	char text[KEY_MAX + 2];
	struct out o = {.text = text};

	put(&o, lead->text, lead->len);
	if (map->form) {
		between = &map->pieces[(map->pieces[0].kind == PIECE_TEXT) + 1];
		put_tenant(&o, dir + tenant->off, tenant->len, map->stop);
		put(&o, between->text, between->len);
	}
	if (!map->rest)
		rest = 0;
	put(&o, dir + rest, len - rest);
	if (len > rest)
		put(&o, "/", 1);
	return o.full ? -ENAMETOOLONG : add_prefix(ret, text, o.len);
}

int keymap_list(const struct keymap *map, const char *dir, size_t len, struct keymap_prefixes *ret)
{
	const struct piece *lead = leading_text(map);
	struct pattern_span tenant = {0};
	const char *before;
	size_t rest = 0;
	int r;

	ret->n = 0;
	if (len > KEY_MAX)
		return -ENAMETOOLONG;
	if (!map->form || tenant_form_match(map->form, dir, len, &tenant, &rest))
		return add_covered(map, dir, len, &tenant, rest, ret);
	if (len && is_templates(map, dir, len))
		return -EINVAL;
	r = add_verbatim(ret, dir, len);
	before = map->form->before;
	/* Tenants' directories are below this one. */
	if (r == 0 && (!len || (strncmp(before, dir, len) == 0 && before[len] == '/')))
		r = add_prefix(ret, lead->text, lead->len);
	return r;
}

/* text: what follows the tenant in a common prefix. Its rest's place in *ret_rest. */
static bool after_tenant(const struct piece *between, const char *text, size_t len,
			 size_t *ret_rest)
{
	size_t n = len < between->len ? len : between->len;

	*ret_rest = n;
	return memcmp(text, between->text, n) == 0;
}

/* The directory of a common prefix (with its '/') that the template covers; -EINVAL: none. */
static int invert_covered(const struct keymap *map, const char *key, size_t len,
			  char out[KEY_MAX + 1])
{
	const struct piece *lead = leading_text(map);
	struct out o = {.text = out};
	char tenant[KEY_MAX + 1];
	const char *stop;
	size_t rest = 0;
	int n;

	if (len <= lead->len || memcmp(key, lead->text, lead->len) != 0)
		return -EINVAL;
	key += lead->len;
	len -= lead->len;
	if (map->form) {
		stop = memchr(key, map->stop, len);
		if (!stop || !after_tenant(&map->pieces[(map->pieces[0].kind == PIECE_TEXT) + 1],
					   stop, len - (size_t)(stop - key), &rest))
			return -EINVAL;
		n = decode_tenant(key, (size_t)(stop - key), tenant);
		if (n > 0)
			n = tenant_form_expand(map->form, tenant, (size_t)n, out);
		if (n <= 0)
			return -EINVAL;
		len -= (size_t)(stop - key) + rest;
		key = stop + rest;
		o.len = map->rest || !len ? (size_t)n : 0;
	}
	if (len && o.len)
		put(&o, "/", 1);
	put(&o, key, len);
	if (o.len && out[o.len - 1] == '/')
		o.len--;
	return put_end(&o) < 0 || key_check(out, o.len) < 0 ? -EINVAL : (int)o.len;
}

int keymap_invert_dir(const struct keymap *map, const char *prefix, size_t len,
		      char out[KEY_MAX + 1])
{
	struct keymap_prefixes again;
	struct pattern_span tenant;
	char key[KEY_MAX + 2];
	size_t rest;
	int r;

	if (!len || len >= KEY_MAX)
		return -EINVAL;
	memcpy(key, prefix, len);
	key[len] = '/';
	r = invert_covered(map, key, len + 1, out);
	/* It counts where its listing begins with this prefix, or leads to it. */
	if (r > 0 && keymap_list(map, out, (size_t)r, &again) == 0 &&
	    strncmp(again.text[0], key, len + 1) == 0)
		return r;
	if (!map->form || key_check(prefix, len) < 0 || is_templates(map, prefix, len) ||
	    tenant_form_match(map->form, prefix, len, &tenant, &rest))
		return -EINVAL;
	memcpy(out, prefix, len);
	out[len] = '\0';
	return (int)len;
}
