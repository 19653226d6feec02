/* SPDX-License-Identifier: Apache-2.0 */
/* Intrusive doubly linked list. A head and an unlinked node point at themselves. */
#ifndef UTIL_LIST_H
#define UTIL_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *prev, *next;
};

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

static inline void list_init(struct list *l)
{
	l->prev = l->next = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

/* Puts node before pos: with pos a head, at the list's end. */
static inline void list_add_before(struct list *pos, struct list *node)
{
	node->prev = pos->prev;
	node->next = pos;
	pos->prev->next = node;
	pos->prev = node;
}

static inline void list_add_tail(struct list *head, struct list *node)
{
	list_add_before(head, node);
}

static inline void list_add_head(struct list *head, struct list *node)
{
	list_add_before(head->next, node);
}

/* Leaves node unlinked, so that a second list_del is harmless. */
static inline void list_del(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

/* Moves all of from to the end of to; from is empty afterwards. */
static inline void list_splice_tail(struct list *to, struct list *from)
{
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

#define list_entry(ptr, type, member) container_of(ptr, type, member)
#define list_for_each(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)
/* it may be unlinked and freed in the body. */
#define list_for_each_safe(it, head)                                                               \
	for (struct list *it = (head)->next, *it##_next_ = it->next; it != (head);                 \
	     it = it##_next_, it##_next_ = it->next)

#endif
