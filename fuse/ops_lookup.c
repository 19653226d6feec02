/* SPDX-License-Identifier: Apache-2.0 */
/* LOOKUP and FORGET: names become nodes, and are forgotten. */
#include <errno.h>
#include <string.h>

#include "fuse/control_files.h"
#include "fuse/ops.h"
#include "model/key.h"

static int run_lookup(struct freq *f)
{
	struct driver *d = f->drv;
	int rc = freq_obj(f, f->ino, &f->obj);

	if (rc)
		return rc;
	rc = cache_lookup(d->cache, f->obj, f->name, &f->wait, &f->ret_obj, &f->attr, &f->neg_ns);
	/* An entry of node 0 is an ENOENT that the kernel may keep. */
	if (rc == -ENOENT && f->neg_ns > 0)
		return 0;
	if (rc)
		return rc;
	return nodes_enter(&d->nodes, f->ino, f->name, f->ret_obj, &f->attr, &f->node);
}

static const struct freq_op lookup_op = {
	.name = "lookup",
	.run = run_lookup,
	.reply = freq_reply_entry,
};

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct freq *f;

	if (control_is_node(parent) || (parent == NODE_ROOT && !strcmp(name, CONTROL_DIR))) {
		control_lookup(req, parent, name);
		return;
	}
	f = freq_new(req, &lookup_op, parent, name, NULL);
	if (f)
		freq_start(f);
}

void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	struct driver *d = fuse_req_userdata(req);

	nodes_forget(&d->nodes, ino, nlookup);
	fuse_reply_none(req);
}

void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	struct driver *d = fuse_req_userdata(req);

	for (size_t i = 0; i < count; i++)
		nodes_forget(&d->nodes, forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}
