/* range_clocks.c: a sorted list of ranges with a version vector each. Chunks of a copy come in hash order, so that the
 * list is touched at its end; it has at most one range a chunk and lives only until the copy is caught up with.
 */
#include "mergeable/range_clocks.h"

#include "base/memory.h"

enum { RANGE_CLOCKS_MAX = 1024 * 1024 };

void range_clocks_init(struct range_clocks *c)
{
    *c = (struct range_clocks){0};
}

void range_clocks_deinit(struct range_clocks *c)
{
    for (uint32_t i = 0; i < c->count; i++) vv_deinit(&c->items[i].clock);
    memory_free(c->items);
    *c = (struct range_clocks){0};
}

bool range_clocks_is_empty(const struct range_clocks *c)
{
    return c->count == 0;
}

/* The first range whose end is not before `hash`. */
static uint32_t index_of(const struct range_clocks *c, uint64_t hash)
{
    uint32_t low = 0, high = c->count - 1;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (c->items[middle].last < hash) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

const struct vv *range_clocks_at(const struct range_clocks *c, uint64_t hash)
{
    return c->count ? &c->items[index_of(c, hash)].clock : NULL;
}

uint64_t range_clocks_end(const struct range_clocks *c, uint64_t hash)
{
    return c->count ? c->items[index_of(c, hash)].last : UINT64_MAX;
}

/* Make `last` the end of a range, splitting the one that holds it. */
static void split_after(struct range_clocks *c, uint64_t last)
{
    uint32_t at = index_of(c, last);
    if (c->items[at].last == last) return;
    if (c->count == c->capacity) {
        c->capacity = c->capacity ? c->capacity * 2 : 16;
        c->items = memory_realloc(c->items, c->capacity * sizeof *c->items);
    }
    memmove(&c->items[at + 1], &c->items[at], (c->count - at) * sizeof *c->items);
    c->count++;
    vv_init(&c->items[at].clock);
    vv_copy(&c->items[at].clock, &c->items[at + 1].clock);
    c->items[at].last = last;
}

/* Neighbours with equal clocks become one range. */
static void unite_equal(struct range_clocks *c)
{
    uint32_t kept = 0;
    for (uint32_t i = 1; i < c->count; i++) {
        if (vv_equal(&c->items[kept].clock, &c->items[i].clock)) {
            c->items[kept].last = c->items[i].last;
            vv_deinit(&c->items[i].clock);
        } else {
            c->items[++kept] = c->items[i];
        }
    }
    c->count = kept + 1;
}

void range_clocks_join(struct range_clocks *c, uint64_t first, uint64_t last, const struct vv *clock)
{
    ASSERT(first <= last);
    if (c->count == 0) {
        c->capacity = 16;
        c->items = memory_alloc(c->capacity * sizeof *c->items);
        c->items[0].last = UINT64_MAX;
        vv_init(&c->items[0].clock);
        c->count = 1;
    }
    if (first > 0) split_after(c, first - 1);
    split_after(c, last);
    for (uint32_t i = index_of(c, first); i < c->count && c->items[i].last <= last; i++) {
        vv_merge(&c->items[i].clock, clock);
    }
    unite_equal(c);
}

bool range_clocks_reach(const struct range_clocks *c, const struct vv *clock, const struct vv *applied)
{
    if (vv_covers_all(applied, clock)) return true;
    if (c->count == 0) return false;
    for (uint32_t i = 0; i < c->count; i++) {
        for (uint32_t k = 0; k < clock->count; k++) {
            struct dot dot = {clock->entries[k].replica, clock->entries[k].counter};
            if (!vv_covers(&c->items[i].clock, dot) && !vv_covers(applied, dot)) return false;
        }
    }
    return true;
}

bool range_clocks_forget(struct range_clocks *c, const struct vv *applied)
{
    for (uint32_t i = 0; i < c->count; i++) {
        if (!vv_covers_all(applied, &c->items[i].clock)) return false;
    }
    range_clocks_deinit(c);
    return true;
}

void range_clocks_write(struct buffer *b, const struct range_clocks *c)
{
    write_varint(b, c->count);
    for (uint32_t i = 0; i < c->count; i++) {
        write_u64(b, c->items[i].last);
        vv_write(b, &c->items[i].clock);
    }
}

enum status range_clocks_read(struct reader *r, struct range_clocks *out)
{
    uint64_t count = read_varint(r);
    if (r->failed || count > RANGE_CLOCKS_MAX) return STATUS_MALFORMED;
    struct range_clocks c;
    range_clocks_init(&c);
    for (uint64_t i = 0; i < count; i++) {
        if (c.count == c.capacity) {
            c.capacity = c.capacity ? c.capacity * 2 : 16;
            c.items = memory_realloc(c.items, c.capacity * sizeof *c.items);
        }
        struct range_clock *item = &c.items[c.count++];
        vv_init(&item->clock);
        item->last = read_u64(r);
        bool sorted = i == 0 || c.items[i - 1].last < item->last;
        bool ends = i + 1 < count || item->last == UINT64_MAX;
        if (vv_read(r, &item->clock) != STATUS_OK || r->failed || !sorted || !ends) {
            range_clocks_deinit(&c);
            return STATUS_MALFORMED;
        }
    }
    range_clocks_deinit(out);
    *out = c;
    return STATUS_OK;
}
