/* SPDX-License-Identifier: Apache-2.0 */
/* What operations that make or remove names share. */
#ifndef FUSE_OPS_NAME_H
#define FUSE_OPS_NAME_H

#include "fuse/request.h"

/*
 * Who owns a new name in f->obj: the caller, except that the group of a directory with the set-
 * group-ID bit is inherited, and by a directory the bit.
 */
int name_inherit(struct freq *f, mode_t *mode, gid_t *gid);
/* rc of a second try says that the first one, whose worker died, had got through. */
bool name_was_done(const struct freq *f, int rc, int done_before);
/* Finds what the first try made: f->ret_obj and f->attr. */
int name_look_again(struct freq *f);

#endif
