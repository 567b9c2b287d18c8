/* vv.c: version vectors as sorted arrays. Few replicas are the rule, so a short vector is searched from the front. */
#include "causality/vv.h"

#include "base/memory.h"

enum { VV_LINEAR_COUNT_MAX = 8 };

void vv_init(struct vv *vv)
{
    *vv = (struct vv){0};
}

void vv_deinit(struct vv *vv)
{
    if (!vv) return;
    memory_free(vv->entries);
    *vv = (struct vv){0};
}

void vv_clear(struct vv *vv)
{
    vv->count = 0;
}

static void reserve(struct vv *vv, uint32_t count)
{
    if (count <= vv->capacity) return;
    uint32_t capacity = vv->capacity ? vv->capacity : 4;
    while (capacity < count) capacity *= 2;
    vv->entries = memory_realloc(vv->entries, capacity * sizeof *vv->entries);
    vv->capacity = capacity;
}

void vv_copy(struct vv *to, const struct vv *from)
{
    reserve(to, from->count);
    if (from->count) memcpy(to->entries, from->entries, from->count * sizeof *to->entries);
    to->count = from->count;
}

/* Index of the first entry with a replica >= `replica`. */
static uint32_t lower_bound(const struct vv *vv, uint64_t replica)
{
    uint32_t low = 0, high = vv->count;
    if (high <= VV_LINEAR_COUNT_MAX) {
        while (low < high && vv->entries[low].replica < replica) low++;
        return low;
    }
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (vv->entries[middle].replica < replica)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint64_t vv_get(const struct vv *vv, uint64_t replica)
{
    uint32_t at = lower_bound(vv, replica);
    return at < vv->count && vv->entries[at].replica == replica ? vv->entries[at].counter : 0;
}

void vv_raise(struct vv *vv, struct dot d)
{
    if (d.counter == 0) return;
    uint32_t at = lower_bound(vv, d.replica);
    if (at < vv->count && vv->entries[at].replica == d.replica) {
        if (vv->entries[at].counter < d.counter) vv->entries[at].counter = d.counter;
        return;
    }
    ASSERT(vv->count < VV_REPLICAS_MAX);
    reserve(vv, vv->count + 1);
    memmove(vv->entries + at + 1, vv->entries + at, (vv->count - at) * sizeof *vv->entries);
    vv->entries[at] = (struct vv_entry){d.replica, d.counter};
    vv->count++;
}

bool vv_covers(const struct vv *vv, struct dot d)
{
    return d.counter <= vv_get(vv, d.replica);
}

bool vv_covers_all(const struct vv *vv, const struct vv *other)
{
    for (uint32_t i = 0; i < other->count; i++) {
        if (other->entries[i].counter > vv_get(vv, other->entries[i].replica)) return false;
    }
    return true;
}

bool vv_equal(const struct vv *a, const struct vv *b)
{
    if (a->count != b->count) return false;
    for (uint32_t i = 0; i < a->count; i++) {
        if (a->entries[i].replica != b->entries[i].replica || a->entries[i].counter != b->entries[i].counter)
            return false;
    }
    return true;
}

void vv_merge(struct vv *vv, const struct vv *other)
{
    for (uint32_t i = 0; i < other->count; i++) {
        vv_raise(vv, (struct dot){other->entries[i].replica, other->entries[i].counter});
    }
}

void vv_meet(struct vv *vv, const struct vv *other)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < vv->count; i++) {
        uint64_t theirs = vv_get(other, vv->entries[i].replica);
        uint64_t counter = vv->entries[i].counter < theirs ? vv->entries[i].counter : theirs;
        if (counter) vv->entries[kept++] = (struct vv_entry){vv->entries[i].replica, counter};
    }
    vv->count = kept;
}

void vv_write_except(struct buffer *b, const struct vv *vv, uint64_t skip_replica)
{
    bool skips = vv_get(vv, skip_replica) != 0;
    write_varint(b, vv->count - (skips ? 1U : 0U));
    for (uint32_t i = 0; i < vv->count; i++) {
        if (vv->entries[i].replica == skip_replica) continue;
        write_varint(b, vv->entries[i].replica);
        write_varint(b, vv->entries[i].counter);
    }
}

void vv_write(struct buffer *b, const struct vv *vv)
{
    vv_write_except(b, vv, 0); /* no replica has id 0: node numbers start at 1 */
}

enum status vv_read(struct reader *r, struct vv *out)
{
    uint64_t count = read_varint(r);
    if (r->failed) return STATUS_MALFORMED;
    if (count > VV_REPLICAS_MAX) return STATUS_LIMIT;
    if (count * 2 > reader_left(r)) return STATUS_MALFORMED;
    vv_clear(out);
    reserve(out, (uint32_t)count);
    uint64_t previous = 0;
    for (uint64_t i = 0; i < count; i++) {
        struct vv_entry e;
        e.replica = read_varint(r);
        e.counter = read_varint(r);
        if (r->failed || e.counter == 0 || e.replica <= previous) return STATUS_MALFORMED;
        previous = e.replica;
        out->entries[out->count++] = e;
    }
    return STATUS_OK;
}
