/* name_map.h: things with a name (columns, set members), found by hash and listed in name order.
 *
 * Open addressing over pointers, so that a set of a million members takes a new one without moving the others. The
 * sorted listing is made when it is first asked for and kept until a name comes or goes.
 *
 * N1  count * 4 <= slots_count * 3; slots_count is 0 or a power of two.
 * N2  `sorted` is NULL or lists all items in memcmp order.
 */
#ifndef MERIDIAN_CRDT_NAME_MAP_H
#define MERIDIAN_CRDT_NAME_MAP_H

#include "base/assert.h"
#include "base/slice.h"

/* First member of every item. The name follows the item's struct, at name_map.name_offset. */
struct named {
    uint32_t hash;
    uint32_t length;
};

struct name_map {
    struct named **slots;
    struct named **sorted;
    uint32_t slots_count;
    uint32_t count;
    uint32_t name_offset; /* sizeof the item's struct */
    size_t items_bytes;   /* heap bytes of the items, names included */
};

void name_map_init(struct name_map *m, uint32_t name_offset);
void name_map_deinit(struct name_map *m); /* the items are the caller's to release first */
struct named *name_map_find(const struct name_map *m, struct slice name); /* NULL when absent */
/* A zeroed item with this name, which must not be there yet. */
struct named *name_map_add(struct name_map *m, struct slice name);
void name_map_remove(struct name_map *m, struct named *item); /* and releases the item's memory */
/* All items in name order; valid until a name comes or goes. */
struct named **name_map_sorted(struct name_map *m);

static inline struct slice name_of(const struct name_map *m, const struct named *item)
{
    return slice_of((const uint8_t *)item + m->name_offset, item->length);
}

/* Heap bytes of the items and of their index. */
static inline size_t name_map_bytes(const struct name_map *m)
{
    return m->items_bytes + m->slots_count * sizeof *m->slots;
}

/* Visit in slot order: for effects that do not depend on order. `cursor` starts at 0; NULL at the end. After removing
 * the item just visited, step the cursor back by one: another may have moved into its slot. */
static inline struct named *name_map_next(const struct name_map *m, uint32_t *cursor)
{
    while (*cursor < m->slots_count) {
        struct named *item = m->slots[(*cursor)++];
        if (item) return item;
    }
    return NULL;
}

#endif
