/* SPDX-License-Identifier: Apache-2.0 */
/* What nodes.c and nodes_restart.c share. */
#ifndef FUSE_NODES_PRIV_H
#define FUSE_NODES_PRIV_H

#include "nodes.h"

void nodes_chain_add(struct nodes *n, uint32_t at);
void nodes_slot_give(struct nodes *n, uint32_t at);

#endif
