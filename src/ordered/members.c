/* members.c: see members.h. Deletion from the index shifts the run back (Knuth, TAOCP vol. 3, 6.4, algorithm R), so
 * that no marks of removed ones pile up. */
#include "ordered/members.h"

#include "base/hash.h"
#include "base/memory.h"

enum { SLOTS_MIN = 8, CAPACITY_MIN = 4 };

static size_t member_heap_bytes(const struct member *m)
{
    return sizeof *m + m->name_bytes + m->value_bytes;
}

void members_deinit(struct members *m)
{
    for (uint32_t i = 0; i < m->count; i++) memory_free(m->all[i]);
    memory_free(m->all);
    memory_free(m->slots);
    *m = (struct members){0};
}

/* The slot that holds `name`, or the free one where it would go. There must be slots. */
static uint32_t slot_of(const struct members *m, uint32_t hash, struct slice name)
{
    for (uint32_t i = hash & (m->slots_count - 1);; i = (i + 1) & (m->slots_count - 1)) {
        const struct member_slot *slot = &m->slots[i];
        if (slot->place == 0) return i;
        if (slot->hash == hash && slice_equal(member_name(m->all[slot->place - 1]), name)) return i;
    }
}

/* The slot of a member that is there. */
static uint32_t slot_of_member(const struct members *m, const struct member *member)
{
    uint32_t i = member->hash & (m->slots_count - 1);
    while (m->slots[i].place != member->position + 1) i = (i + 1) & (m->slots_count - 1);
    return i;
}

struct member *members_find(const struct members *m, struct slice name)
{
    if (m->count == 0) return NULL;
    uint32_t place = m->slots[slot_of(m, (uint32_t)hash_bytes(name, 0), name)].place;
    return place ? m->all[place - 1] : NULL;
}

static void grow_slots(struct members *m)
{
    struct member_slot *old = m->slots;
    uint32_t old_count = m->slots_count;
    m->slots_count = old_count ? 2 * old_count : SLOTS_MIN;
    m->slots = memory_zalloc(m->slots_count, sizeof *m->slots);
    for (uint32_t i = 0; i < old_count; i++) {
        if (old[i].place == 0) continue;
        uint32_t at = old[i].hash & (m->slots_count - 1);
        while (m->slots[at].place) at = (at + 1) & (m->slots_count - 1);
        m->slots[at] = old[i];
    }
    memory_free(old);
}

static void make_room(struct members *m)
{
    if (((uint64_t)m->count + 1) * 4 > (uint64_t)m->slots_count * 3) grow_slots(m);
    if (m->count < m->capacity) return;
    m->capacity = m->capacity ? 2 * m->capacity : CAPACITY_MIN;
    m->all = memory_realloc(m->all, m->capacity * sizeof(struct member *));
}

static struct member *member_new(uint32_t hash, uint32_t position, struct slice name, struct slice value)
{
    ASSERT(name.length <= UINT32_MAX && value.length <= UINT32_MAX);
    struct member *member = memory_alloc(sizeof *member + name.length + value.length);
    *member = (struct member){
        .hash = hash, .position = position, .name_bytes = (uint32_t)name.length, .value_bytes = (uint32_t)value.length};
    if (name.length) memcpy(member->bytes, name.data, name.length);
    if (value.length) memcpy(member->bytes + name.length, value.data, value.length);
    return member;
}

static struct member *replace(struct members *m, struct member *old, struct slice value)
{
    if (old->value_bytes == value.length) {
        if (value.length) memmove(old->bytes + old->name_bytes, value.data, value.length);
        return old;
    }
    struct member *fresh = member_new(old->hash, old->position, member_name(old), value);
    fresh->score = old->score;
    m->items_bytes += member_heap_bytes(fresh) - member_heap_bytes(old);
    m->all[old->position] = fresh;
    memory_free(old);
    return fresh;
}

struct member *members_put(struct members *m, struct slice name, struct slice value, bool *out_added)
{
    uint32_t hash = (uint32_t)hash_bytes(name, 0);
    make_room(m);
    uint32_t at = slot_of(m, hash, name);
    *out_added = m->slots[at].place == 0;
    if (!*out_added) return replace(m, m->all[m->slots[at].place - 1], value);
    struct member *member = member_new(hash, m->count, name, value);
    m->all[m->count++] = member;
    m->slots[at] = (struct member_slot){hash, m->count};
    m->items_bytes += member_heap_bytes(member);
    return member;
}

/* Free the slot `hole`, moving back what could not be found across it. */
static void free_slot(struct members *m, uint32_t hole)
{
    uint32_t mask = m->slots_count - 1;
    for (uint32_t i = (hole + 1) & mask; m->slots[i].place; i = (i + 1) & mask) {
        uint32_t home = m->slots[i].hash & mask;
        if (((i - home) & mask) < ((i - hole) & mask)) continue;
        m->slots[hole] = m->slots[i];
        hole = i;
    }
    m->slots[hole] = (struct member_slot){0};
}

void members_remove(struct members *m, struct member *member)
{
    ASSERT(member->position < m->count && m->all[member->position] == member);
    free_slot(m, slot_of_member(m, member));
    struct member *last = m->all[--m->count];
    if (last != member) {
        m->slots[slot_of_member(m, last)].place = member->position + 1;
        last->position = member->position;
        m->all[last->position] = last;
    }
    m->items_bytes -= member_heap_bytes(member);
    memory_free(member);
}

size_t members_bytes(const struct members *m)
{
    return m->items_bytes + m->capacity * sizeof(struct member *) + m->slots_count * sizeof(struct member_slot);
}
