/* members.h: things with a name and perhaps a value: the fields of a hash, the members of a set or sorted set.
 *
 * A dense array in order of insertion, and an index by hash over it (open addressing, linear probing). Removal puts the
 * last one in the gap. The order is part of the state: the encoding keeps it, so that a random pick by position is the
 * same at every replica (M1).
 *
 * E1  all[i]->position == i for i < count.
 * E2  slots_count is 0 or a power of two, and count * 4 <= slots_count * 3.
 */
#ifndef MERIDIAN_ORDERED_MEMBERS_H
#define MERIDIAN_ORDERED_MEMBERS_H

#include "base/assert.h"
#include "base/slice.h"

struct member {
    uint32_t hash;
    uint32_t position;
    uint32_t name_bytes;
    uint32_t value_bytes;
    double score;    /* of sorted sets */
    uint8_t bytes[]; /* name, then value */
};

struct member_slot {
    uint32_t hash;
    uint32_t place; /* position + 1; 0: free */
};

struct members {
    struct member **all;
    struct member_slot *slots;
    uint32_t count, capacity;
    uint32_t slots_count;
    size_t items_bytes; /* heap bytes of the members themselves */
};

static inline struct slice member_name(const struct member *m)
{
    return slice_of(m->bytes, m->name_bytes);
}

static inline struct slice member_value(const struct member *m)
{
    return slice_of(m->bytes + m->name_bytes, m->value_bytes);
}

/* A zeroed struct is an empty one. */
void members_deinit(struct members *m);
struct member *members_find(const struct members *m, struct slice name); /* NULL: absent */
/* Set the value of `name`, which may borrow from the member it replaces. *out_added: it was absent. The member may have
 * moved in memory, never in position. */
struct member *members_put(struct members *m, struct slice name, struct slice value, bool *out_added);
void members_remove(struct members *m, struct member *member); /* and frees it */
size_t members_bytes(const struct members *m);                 /* heap bytes of all */

#endif
