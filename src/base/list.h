/* list.h: an intrusive doubly linked list. A node in no list has both pointers NULL. */
#ifndef MERIDIAN_BASE_LIST_H
#define MERIDIAN_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list_node {
    struct list_node *previous, *next;
};

struct list {
    struct list_node head; /* a ring: head.next is the first, head.previous the last */
};

#define CONTAINER_OF(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

static inline void list_init(struct list *l)
{
    l->head.previous = l->head.next = &l->head;
}

static inline bool list_is_empty(const struct list *l)
{
    return l->head.next == &l->head;
}

static inline bool list_node_is_linked(const struct list_node *n)
{
    return n->next != NULL;
}

static inline void list_push_back(struct list *l, struct list_node *n)
{
    n->previous = l->head.previous;
    n->next = &l->head;
    l->head.previous->next = n;
    l->head.previous = n;
}

static inline void list_remove(struct list_node *n)
{
    n->previous->next = n->next;
    n->next->previous = n->previous;
    n->previous = n->next = NULL;
}

static inline struct list_node *list_first(const struct list *l)
{
    return list_is_empty(l) ? NULL : l->head.next;
}

/* Take the first node out, or NULL. */
static inline struct list_node *list_pop_front(struct list *l)
{
    struct list_node *n = list_first(l);
    if (n) list_remove(n);
    return n;
}

#endif
