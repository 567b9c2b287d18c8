/* counter_pn.c: see counter_pn.h. */
#include "crdt/counter_pn.h"

#include "base/memory.h"
#include "causality/hlc.h"
#include "crdt/write.h"

void counter_pn_deinit(struct counter_pn *c)
{
    memory_free(c->entries);
    *c = (struct counter_pn){0};
}

static uint32_t lower_bound(const struct counter_pn *c, struct dot birth)
{
    uint32_t at = 0; /* one entry per replica and reset: few */
    while (at < c->count && dot_compare(c->entries[at].birth, birth) < 0) at++;
    return at;
}

struct counter_entry *counter_pn_find(const struct counter_pn *c, struct dot birth)
{
    uint32_t at = lower_bound(c, birth);
    return at < c->count && dot_equal(c->entries[at].birth, birth) ? &c->entries[at] : NULL;
}

void counter_pn_insert(struct counter_pn *c, const struct counter_entry *e)
{
    uint32_t at = lower_bound(c, e->birth);
    if (at < c->count) ASSERT(!dot_equal(c->entries[at].birth, e->birth));
    c->entries = memory_realloc(c->entries, (c->count + 1) * sizeof *c->entries);
    memmove(c->entries + at + 1, c->entries + at, (c->count - at) * sizeof *c->entries);
    c->entries[at] = *e;
    c->count++;
}

void counter_pn_remove(struct counter_pn *c, uint32_t index)
{
    ASSERT(index < c->count);
    c->count--;
    memmove(c->entries + index, c->entries + index + 1, (c->count - index) * sizeof *c->entries);
    if (c->count == 0) counter_pn_deinit(c);
}

struct dot counter_pn_raise(struct counter_pn *c, struct dot birth, struct dot dot, uint64_t stamp, uint64_t positive,
                            uint64_t negative)
{
    struct counter_entry *e = counter_pn_find(c, birth);
    if (!e) {
        struct counter_entry fresh = {
            .birth = birth, .last = dot.counter, .stamp = stamp, .positive = positive, .negative = negative};
        counter_pn_insert(c, &fresh);
        return (struct dot){0, 0};
    }
    if (dot.counter <= e->last) return (struct dot){0, 0};
    struct dot superseded = counter_entry_last_dot(e);
    e->last = dot.counter;
    e->stamp = stamp;
    if (positive > e->positive) e->positive = positive; /* C1, whatever a faulty peer says */
    if (negative > e->negative) e->negative = negative;
    return superseded;
}

static uint64_t greater(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void counter_entry_reset(struct counter_entry *e, struct dot reset, uint64_t reset_stamp, uint64_t positive,
                         uint64_t negative)
{
    e->base_positive = greater(e->base_positive, lesser(positive, e->positive)); /* C2, whatever a faulty peer says */
    e->base_negative = greater(e->base_negative, lesser(negative, e->negative));
    if (dot_is_none(e->reset) || stamp_before(e->reset_stamp, e->reset.replica, reset_stamp, reset.replica)) {
        e->reset = reset;
        e->reset_stamp = reset_stamp;
    }
}

void counter_entry_merge(struct counter_entry *e, const struct counter_entry *other)
{
    ASSERT(dot_equal(e->birth, other->birth));
    if (other->last > e->last) {
        e->last = other->last;
        e->stamp = other->stamp;
    }
    e->positive = greater(e->positive, other->positive);
    e->negative = greater(e->negative, other->negative);
    if (!dot_is_none(other->reset))
        counter_entry_reset(e, other->reset, other->reset_stamp, other->base_positive, other->base_negative);
}

int64_t counter_sum_clamp(counter_sum sum)
{
    if (sum > INT64_MAX) return INT64_MAX;
    if (sum < INT64_MIN) return INT64_MIN;
    return (int64_t)sum;
}

void counter_pn_write(struct buffer *b, const struct counter_pn *c)
{
    write_varint(b, c->count);
    for (uint32_t i = 0; i < c->count; i++) {
        const struct counter_entry *e = &c->entries[i];
        dot_write(b, e->birth);
        write_varint(b, e->last - e->birth.counter);
        write_varint(b, e->stamp);
        write_varint(b, e->positive);
        write_varint(b, e->negative);
        dot_write(b, e->reset);
        if (dot_is_none(e->reset)) continue;
        write_varint(b, e->reset_stamp);
        write_varint(b, e->base_positive);
        write_varint(b, e->base_negative);
    }
}

static struct counter_entry entry_read(struct reader *r)
{
    struct counter_entry e = {.birth = dot_read(r)};
    uint64_t increments = read_varint(r);
    e.last = e.birth.counter + increments;
    e.stamp = read_varint(r);
    e.positive = read_varint(r);
    e.negative = read_varint(r);
    e.reset = dot_read(r);
    if (!dot_is_none(e.reset)) {
        e.reset_stamp = read_varint(r);
        e.base_positive = read_varint(r);
        e.base_negative = read_varint(r);
    } else if (e.reset.replica != 0) {
        r->failed = true;
    }
    if (!dot_is_issuable(e.birth) || e.last < e.birth.counter) r->failed = true;
    if (e.base_positive > e.positive || e.base_negative > e.negative) r->failed = true;
    return e;
}

bool counter_pn_read(struct reader *r, struct counter_pn *c)
{
    ASSERT(c->count == 0);
    uint64_t count = read_varint(r);
    for (uint64_t i = 0; i < count && !r->failed; i++) {
        struct counter_entry e = entry_read(r);
        if (c->count > 0 && dot_compare(c->entries[c->count - 1].birth, e.birth) >= 0) r->failed = true;
        if (!r->failed) counter_pn_insert(c, &e);
    }
    if (r->failed) counter_pn_deinit(c);
    return !r->failed;
}
