/* deletes.c: see deletes.h. */
#include "crdt/deletes.h"

#include "base/memory.h"
#include "causality/hlc.h"

static void record_deinit(struct delete_record *x)
{
    for (uint32_t i = 0; i < x->bases_count; i++) memory_free((void *)(uintptr_t)x->bases[i].column.data);
    memory_free(x->bases);
    dot_set_deinit(&x->observed);
    dot_set_deinit(&x->lost);
}

void deletes_deinit(struct deletes *d)
{
    for (uint32_t i = 0; i < d->count; i++) record_deinit(&d->records[i]);
    memory_free(d->records);
    *d = (struct deletes){0};
}

struct delete_record *deletes_find(const struct deletes *d, struct dot dot)
{
    for (uint32_t i = 0; i < d->count; i++) {
        if (dot_equal(d->records[i].dot, dot)) return &d->records[i];
    }
    return NULL;
}

struct delete_record *deletes_add(struct deletes *d, struct dot dot)
{
    uint32_t at = 0;
    while (at < d->count && dot_compare(d->records[at].dot, dot) < 0) at++;
    if (at < d->count) ASSERT(!dot_equal(d->records[at].dot, dot));
    d->records = memory_realloc(d->records, (d->count + 1) * sizeof *d->records);
    memmove(d->records + at + 1, d->records + at, (d->count - at) * sizeof *d->records);
    d->count++;
    struct delete_record *x = &d->records[at];
    *x = (struct delete_record){.dot = dot};
    dot_set_init(&x->observed);
    dot_set_init(&x->lost);
    return x;
}

void deletes_remove(struct deletes *d, uint32_t index)
{
    ASSERT(index < d->count);
    record_deinit(&d->records[index]);
    d->count--;
    memmove(d->records + index, d->records + index + 1, (d->count - index) * sizeof *d->records);
    if (d->count == 0) deletes_deinit(d);
}

void delete_record_add_base(struct delete_record *x, const struct counter_base *base)
{
    struct delete_base own = {
        .birth = base->birth, .positive = base->positive, .negative = base->negative, .in_column = base->in_column};
    if (base->in_column) {
        uint8_t *name = memory_alloc(base->column.length);
        if (base->column.length > 0) memcpy(name, base->column.data, base->column.length);
        own.column = slice_of(name, base->column.length);
    }
    x->bases = memory_realloc(x->bases, (x->bases_count + 1) * sizeof *x->bases);
    x->bases[x->bases_count++] = own;
}

/* ---- what a concurrent write means ---- */

static bool is_defeated_by(const struct delete_record *x, const struct delete_rival *rival)
{
    switch ((enum delete_policy)x->policy) {
    case DELETE_BY_STAMP:
        return rival->is_update && stamp_before(x->stamp, x->dot.replica, rival->stamp, rival->dot.replica);
    case DELETE_LOSES: return true;
    case DELETE_WINS: return false;
    case DELETE_CONTESTED: return rival->is_update;
    }
    PANIC("no such delete policy");
}

bool delete_meet(struct delete_record *x, const struct delete_rival *rival)
{
    if (!delete_concerns(x, rival->part)) return false;
    if (is_defeated_by(x, rival)) {
        if (x->flags & DELETE_DEFEATED) return false;
        x->flags |= DELETE_DEFEATED;
        dot_set_clear(&x->lost);
        return true;
    }
    if (!rival->can_lose || !delete_is_in_effect(x) || dot_set_has(&x->lost, rival->dot)) return false;
    dot_set_add(&x->lost, rival->dot);
    return true;
}

bool deletes_hide(const struct deletes *d, enum object_part part, struct dot dot)
{
    for (uint32_t i = 0; i < d->count; i++) {
        const struct delete_record *x = &d->records[i];
        if (!delete_is_in_effect(x) || !delete_concerns(x, part)) continue;
        if (dot_set_has(&x->observed, dot) || dot_set_has(&x->lost, dot)) return true;
    }
    return false;
}

bool deletes_observed(const struct deletes *d, enum object_part part, struct dot dot)
{
    for (uint32_t i = 0; i < d->count; i++) {
        const struct delete_record *x = &d->records[i];
        if (delete_is_in_effect(x) && delete_concerns(x, part) && dot_set_has(&x->observed, dot)) return true;
    }
    return false;
}

const struct delete_record *deletes_winner_over(const struct deletes *d, struct dot dot)
{
    for (uint32_t i = 0; i < d->count; i++) {
        const struct delete_record *x = &d->records[i];
        if (delete_is_in_effect(x) && dot_set_has(&x->lost, dot)) return x;
    }
    return NULL;
}

bool deletes_beat_for_good(const struct deletes *d, enum object_part part, struct dot dot)
{
    for (uint32_t i = 0; i < d->count; i++) {
        const struct delete_record *x = &d->records[i];
        if (x->policy == DELETE_WINS && delete_concerns(x, part) && dot_set_has(&x->lost, dot)) return true;
    }
    return false;
}

/* ---- counters ---- */

static const struct delete_base *base_of(const struct delete_record *x, const struct slice *column, struct dot birth)
{
    for (uint32_t i = 0; i < x->bases_count; i++) {
        const struct delete_base *base = &x->bases[i];
        if (base->in_column != (column != NULL) || !dot_equal(base->birth, birth)) continue;
        if (!column || slice_equal(base->column, *column)) return base;
    }
    return NULL;
}

bool deletes_base(const struct deletes *d, const struct slice *column, struct dot birth, uint64_t *out_positive,
                  uint64_t *out_negative)
{
    bool named = false;
    *out_positive = *out_negative = 0;
    for (uint32_t i = 0; i < d->count; i++) {
        const struct delete_record *x = &d->records[i];
        if (!delete_is_in_effect(x) || !delete_concerns(x, column ? PART_ROW : PART_STRING)) continue;
        const struct delete_base *base = base_of(x, column, birth);
        if (!base) continue;
        named = true;
        if (base->positive > *out_positive) *out_positive = base->positive;
        if (base->negative > *out_negative) *out_negative = base->negative;
    }
    return named;
}

bool deletes_name_entry(const struct deletes *d, const struct slice *column, struct dot birth)
{
    for (uint32_t i = 0; i < d->count; i++) {
        if (base_of(&d->records[i], column, birth)) return true;
    }
    return false;
}

/* ---- merge, encoding ---- */

void delete_record_merge(struct delete_record *x, const struct delete_record *other)
{
    ASSERT(dot_equal(x->dot, other->dot));
    x->flags |= other->flags & DELETE_FLAGS_KEPT;
    dot_set_union(&x->lost, &other->lost);
    if (!delete_is_in_effect(x)) dot_set_clear(&x->lost);
}

void deletes_write(struct buffer *b, const struct deletes *d)
{
    write_varint(b, d->count);
    for (uint32_t i = 0; i < d->count; i++) {
        const struct delete_record *x = &d->records[i];
        dot_write(b, x->dot);
        write_varint(b, x->stamp);
        write_u8(b, x->policy);
        write_u8(b, x->flags & DELETE_FLAGS_KEPT);
        write_u8(b, x->spared);
        dot_set_write(b, &x->observed);
        dot_set_write(b, &x->lost);
        write_varint(b, x->bases_count);
        for (uint32_t j = 0; j < x->bases_count; j++) {
            const struct delete_base *base = &x->bases[j];
            write_u8(b, base->in_column);
            if (base->in_column) write_bytes(b, base->column);
            dot_write(b, base->birth);
            write_varint(b, base->positive);
            write_varint(b, base->negative);
        }
    }
}

static void base_read(struct reader *r, struct delete_record *x)
{
    struct counter_base base = {.in_column = false};
    uint8_t in_column = read_u8(r);
    base.in_column = in_column == 1;
    if (base.in_column) base.column = read_bytes(r);
    base.birth = dot_read(r);
    base.positive = read_varint(r);
    base.negative = read_varint(r);
    if (in_column > 1 || dot_is_none(base.birth)) r->failed = true;
    if (!r->failed) delete_record_add_base(x, &base);
}

static void record_read(struct reader *r, struct delete_record *x)
{
    x->stamp = read_varint(r);
    x->policy = read_u8(r);
    x->flags = read_u8(r);
    x->spared = read_u8(r);
    if (x->policy < DELETE_BY_STAMP || x->policy > DELETE_CONTESTED) r->failed = true;
    if (x->flags & ~DELETE_FLAGS_KEPT || x->spared > PART_SET) r->failed = true;
    if ((x->spared != 0) != ((x->flags & DELETE_OVERWRITE) != 0)) r->failed = true;
    if (dot_set_read(r, &x->observed) != STATUS_OK || dot_set_read(r, &x->lost) != STATUS_OK) r->failed = true;
    if (!r->failed && !delete_is_in_effect(x) && x->lost.count > 0) r->failed = true;
    uint64_t bases = read_varint(r);
    for (uint64_t i = 0; i < bases && !r->failed; i++) base_read(r, x);
}

bool deletes_read(struct reader *r, struct deletes *d)
{
    ASSERT(d->count == 0);
    uint64_t count = read_varint(r);
    for (uint64_t i = 0; i < count && !r->failed; i++) {
        struct dot dot = dot_read(r);
        if (!dot_is_issuable(dot)) r->failed = true;
        if (d->count > 0 && dot_compare(d->records[d->count - 1].dot, dot) >= 0) r->failed = true;
        if (!r->failed) record_read(r, deletes_add(d, dot));
    }
    if (r->failed) deletes_deinit(d);
    return !r->failed;
}
