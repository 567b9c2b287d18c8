/* hash_map.c: open addressing with backward-shift deletion, so that there are no tombstones to clean (Knuth, volume 3,
 * 6.4, algorithm R). Keys are hashes already: their high bits choose the slot.
 *
 * M1  At most 3/4 of the slots are used, so that a probe always ends.
 */
#include "mergeable/hash_map.h"

#include "base/assert.h"
#include "base/memory.h"

struct hash_map_slot {
    uint64_t hash;
    uint64_t value;
    bool used;
};

enum { HASH_MAP_CAPACITY_MIN = 16 };

void hash_map_init(struct hash_map *m)
{
    *m = (struct hash_map){0};
}

void hash_map_deinit(struct hash_map *m)
{
    memory_free(m->slots);
    *m = (struct hash_map){0};
}

/* The high bits: all keys of one partition agree in some of the low ones. */
static size_t home_of(const struct hash_map *m, uint64_t hash)
{
    return (size_t)((hash * 0x9E3779B97F4A7C15u) >> 32) & (m->capacity - 1);
}

/* The slot of `hash`, or the free one where it would go. */
static size_t slot_of(const struct hash_map *m, uint64_t hash)
{
    size_t at = home_of(m, hash);
    while (m->slots[at].used && m->slots[at].hash != hash) at = (at + 1) & (m->capacity - 1);
    return at;
}

bool hash_map_get(const struct hash_map *m, uint64_t hash, uint64_t *out_value)
{
    if (m->count == 0) return false;
    const struct hash_map_slot *slot = &m->slots[slot_of(m, hash)];
    if (!slot->used) return false;
    if (out_value) *out_value = slot->value;
    return true;
}

static void resize(struct hash_map *m, size_t capacity)
{
    struct hash_map old = *m;
    m->slots = memory_zalloc(capacity, sizeof *m->slots);
    m->capacity = capacity;
    for (size_t i = 0; i < old.capacity; i++) {
        if (old.slots[i].used) m->slots[slot_of(m, old.slots[i].hash)] = old.slots[i];
    }
    memory_free(old.slots);
}

void hash_map_put(struct hash_map *m, uint64_t hash, uint64_t value)
{
    if ((m->count + 1) * 4 > m->capacity * 3) resize(m, m->capacity ? m->capacity * 2 : HASH_MAP_CAPACITY_MIN);
    struct hash_map_slot *slot = &m->slots[slot_of(m, hash)];
    if (!slot->used) m->count++;
    *slot = (struct hash_map_slot){.hash = hash, .value = value, .used = true};
}

void hash_map_remove(struct hash_map *m, uint64_t hash)
{
    if (m->count == 0) return;
    size_t hole = slot_of(m, hash);
    if (!m->slots[hole].used) return;
    size_t mask = m->capacity - 1;
    for (size_t at = (hole + 1) & mask; m->slots[at].used; at = (at + 1) & mask) {
        /* A slot may move back into the hole unless its home lies cyclically in (hole, at]. */
        size_t home = home_of(m, m->slots[at].hash);
        if (((at - home) & mask) < ((at - hole) & mask)) continue;
        m->slots[hole] = m->slots[at];
        hole = at;
    }
    m->slots[hole].used = false;
    m->count--;
    if (m->count == 0) hash_map_deinit(m);
}

void hash_map_visit(const struct hash_map *m, void (*visit)(void *user, uint64_t hash, uint64_t value), void *user)
{
    for (size_t i = 0; i < m->capacity; i++) {
        if (m->slots[i].used) visit(user, m->slots[i].hash, m->slots[i].value);
    }
}
