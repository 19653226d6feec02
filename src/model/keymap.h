/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys of a store by template: {key} is the whole path, {tenant} the tenant in it, {rest} what
 * comes behind the part that holds the tenant. "tenants/{tenant}/{rest}" stores
 * tenant_acme/frames/v1.jpg as tenants/acme/frames/v1.jpg.
 *
 * Every path has one key and every key that we write has one path, both found without asking
 * anybody:
 *  - a path with a tenant and something behind it goes by the template. In the tenant, % and the
 *    byte that follows it in the template are percent-encoded;
 *  - any other path is stored verbatim, unless the template could have made that key, or the key
 *    lies below the directory that the template begins with ("tenants/"): such a path is refused;
 *  - a key that is neither is foreign: it is hidden, and counted.
 */
#ifndef MODEL_KEYMAP_H
#define MODEL_KEYMAP_H

#include <stdbool.h>
#include <stddef.h>

#include "model/key.h"
#include "model/pattern.h"
#include "util/err.h"

struct keymap; /* immutable */

/* How paths write the tenant: the literal text before the placeholder's part, and that part. */
struct tenant_form {
	char *before; /* "", or parts with a '/' behind the last */
	struct pattern *pattern;
	unsigned int part; /* of pattern, that holds {tenant} */
};

/*
 * The form of a pattern that has a {tenant}. -EINVAL where no path can be made from a tenant: there
 * are wildcards before it or beside it. -ENOENT: it has none.
 */
int tenant_form_of(const char *pattern, struct tenant_form *ret_form, struct err *err);
void tenant_form_release(struct tenant_form *form); /* accepts an empty one */
bool tenant_form_equal(const struct tenant_form *a, const struct tenant_form *b);
/*
 * Where the tenant stands in path; *ret_rest is the offset of what comes behind its part, past the
 * slash, or len where nothing does. False: the path is in no tenant.
 */
bool tenant_form_match(const struct tenant_form *form, const char *path, size_t len,
		       struct pattern_span *ret_tenant, size_t *ret_rest);
/* The path of the tenant's directory into out; its length, -EINVAL, -ENAMETOOLONG. */
int tenant_form_expand(const struct tenant_form *form, const char *tenant, size_t len,
		       char out[KEY_MAX + 1]);

/* text: the template. form may be NULL where the template names no tenant; it is borrowed. -EINVAL
 * with what keeps the template from being inverted. */
int keymap_new(const char *text, const struct tenant_form *form, struct keymap **ret_map,
	       struct err *err);
void keymap_free(struct keymap *map); /* accepts NULL */
/* True for "{key}": keys are paths. */
bool keymap_is_identity(const struct keymap *map);

/* The key of a path, with a NUL. Its length; -EINVAL: the path is refused; -ENAMETOOLONG. */
int keymap_expand(const struct keymap *map, const char *path, size_t len, char out[KEY_MAX + 1]);
/* The path of a key. Its length; -EINVAL: the key is foreign, or no safe path. Input is hostile. */
int keymap_invert(const struct keymap *map, const char *key, size_t len, char out[KEY_MAX + 1]);

/*
 * Listing a directory ("" is the root) in a store: ask for each of these prefixes with '/' as the
 * delimiter, then give each key to keymap_invert and each common prefix, without its last '/', to
 * keymap_invert_dir. Of the paths that lie below the directory take the part that follows it: where
 * more follows that, or the path was a common prefix's, it is a directory. Drop the others. The
 * root of tenants/{tenant}/{rest} takes "" and "tenants/". -EINVAL: there is no such directory in
 * the store. -ENAMETOOLONG.
 */
#define KEYMAP_PREFIXES 2
struct keymap_prefixes {
	char text[KEYMAP_PREFIXES][KEY_MAX + 2];
	unsigned int n;
};
int keymap_list(const struct keymap *map, const char *dir, size_t len, struct keymap_prefixes *ret);
/* The path of the directory behind a common prefix. Its length; -EINVAL: it is hidden. */
int keymap_invert_dir(const struct keymap *map, const char *prefix, size_t len,
		      char out[KEY_MAX + 1]);

#endif
