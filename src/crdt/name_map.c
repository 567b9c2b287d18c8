/* name_map.c: linear probing with backward-shift deletion (Knuth, vol. 3, 6.4, algorithm R). See name_map.h. */
#define _GNU_SOURCE /* qsort_r */
#include "crdt/name_map.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/memory.h"

enum { SLOTS_COUNT_MIN = 8, HASH_SEED = 0x6e616d65 };

void name_map_init(struct name_map *m, uint32_t name_offset)
{
    *m = (struct name_map){.name_offset = name_offset};
}

static void forget_order(struct name_map *m)
{
    memory_free(m->sorted);
    m->sorted = NULL;
}

void name_map_deinit(struct name_map *m)
{
    for (uint32_t i = 0; i < m->slots_count; i++) memory_free(m->slots[i]);
    memory_free(m->slots);
    forget_order(m);
    name_map_init(m, m->name_offset);
}

static uint32_t hash_of(struct slice name)
{
    return (uint32_t)hash_bytes(name, HASH_SEED);
}

struct named *name_map_find(const struct name_map *m, struct slice name)
{
    if (m->count == 0) return NULL;
    uint32_t hash = hash_of(name), mask = m->slots_count - 1;
    for (uint32_t i = hash & mask; m->slots[i]; i = (i + 1) & mask) {
        if (m->slots[i]->hash == hash && slice_equal(name_of(m, m->slots[i]), name)) return m->slots[i];
    }
    return NULL;
}

static void place(struct name_map *m, struct named *item)
{
    uint32_t mask = m->slots_count - 1, i = item->hash & mask;
    while (m->slots[i]) i = (i + 1) & mask;
    m->slots[i] = item;
}

static void grow(struct name_map *m)
{
    struct named **old = m->slots;
    uint32_t old_count = m->slots_count;
    m->slots_count = old_count ? old_count * 2 : SLOTS_COUNT_MIN;
    ASSERT(m->slots_count > old_count);
    m->slots = memory_zalloc(m->slots_count, sizeof *m->slots);
    for (uint32_t i = 0; i < old_count; i++) {
        if (old[i]) place(m, old[i]);
    }
    memory_free(old);
}

struct named *name_map_add(struct name_map *m, struct slice name)
{
    ASSERT(name.length <= UINT32_MAX);
    if ((uint64_t)(m->count + 1) * 4 > (uint64_t)m->slots_count * 3) grow(m);
    uint8_t *memory = memory_alloc(m->name_offset + name.length);
    memset(memory, 0, m->name_offset);
    if (name.length > 0) memcpy(memory + m->name_offset, name.data, name.length);
    struct named *item = (struct named *)(void *)memory;
    item->hash = hash_of(name);
    item->length = (uint32_t)name.length;
    m->items_bytes += m->name_offset + name.length;
    place(m, item);
    m->count++;
    forget_order(m);
    return item;
}

void name_map_remove(struct name_map *m, struct named *item)
{
    uint32_t mask = m->slots_count - 1, hole = item->hash & mask;
    while (m->slots[hole] != item) {
        ASSERT(m->slots[hole]);
        hole = (hole + 1) & mask;
    }
    for (uint32_t i = (hole + 1) & mask; m->slots[i]; i = (i + 1) & mask) {
        uint32_t home = m->slots[i]->hash & mask;
        bool home_is_after_hole = ((i - home) & mask) < ((i - hole) & mask);
        if (home_is_after_hole) continue;
        m->slots[hole] = m->slots[i];
        hole = i;
    }
    m->slots[hole] = NULL;
    m->count--;
    m->items_bytes -= m->name_offset + item->length;
    memory_free(item);
    forget_order(m);
}

static int by_name(const void *left, const void *right, void *map)
{
    const struct name_map *m = map;
    const struct named *a = *(struct named *const *)left, *b = *(struct named *const *)right;
    return slice_compare(name_of(m, a), name_of(m, b));
}

struct named **name_map_sorted(struct name_map *m)
{
    if (m->sorted || m->count == 0) return m->sorted;
    m->sorted = memory_alloc(m->count * sizeof *m->sorted);
    uint32_t cursor = 0, filled = 0;
    for (struct named *item = name_map_next(m, &cursor); item; item = name_map_next(m, &cursor)) {
        m->sorted[filled++] = item;
    }
    ASSERT(filled == m->count);
    qsort_r(m->sorted, m->count, sizeof *m->sorted, by_name, m);
    return m->sorted;
}
