/* cell_read.c: what a cell shows, what a writer observes of it, and its bytes. See cell.h. */
#include "base/memory.h"
#include "crdt/cell.h"
#include "crdt/register_mv.h"

/* ---- reading ---- */

static bool is_integer(const struct register_value *v)
{
    int64_t ignored;
    return slice_to_i64(register_value_slice(v), &ignored);
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t greater(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* The entry less everything subtracted from it. False: it is dead. */
static bool entry_look(const struct deletes *deletes, const struct place *at, const struct counter_entry *e,
                       counter_sum *out_sum)
{
    uint64_t positive = 0, negative = 0;
    bool named = deletes->count > 0 && deletes_base(deletes, place_column(at), e->birth, &positive, &negative);
    positive = lesser(greater(positive, e->base_positive), e->positive);
    negative = lesser(greater(negative, e->base_negative), e->negative);
    *out_sum = (counter_sum)(e->positive - positive) - (counter_sum)(e->negative - negative);
    bool was_reset = named || !dot_is_none(e->reset);
    return !(was_reset && positive == e->positive && negative == e->negative);
}

void cell_look(const struct deletes *deletes, const struct place *at, const struct cell *cell, struct cell_view *out)
{
    *out = (struct cell_view){.readable = register_mv_readable(&cell->values)};
    out->has_tombstone = register_mv_shown(&cell->values) > out->readable;
    for (uint32_t i = 0; i < cell->counters.count; i++) {
        counter_sum sum;
        if (!entry_look(deletes, at, &cell->counters.entries[i], &sum)) continue;
        out->has_sum = true;
        out->sum += sum;
    }
    bool integers = false;
    for (uint32_t i = 0; out->has_sum && i < cell->values.count; i++) {
        const struct register_value *v = &cell->values.values[i];
        if (register_value_is_readable(v) && is_integer(v)) integers = true;
    }
    out->sum_is_apart = out->has_sum && out->readable > 0 && !integers;
    out->in_conflict = out->readable > 1 || (out->readable == 1 && out->has_tombstone) || out->sum_is_apart;
}

static struct slice format_sum(counter_sum sum, char scratch[32])
{
    int64_t value = counter_sum_clamp(sum);
    uint64_t magnitude = value < 0 ? -(uint64_t)value : (uint64_t)value;
    uint32_t at = 32;
    do {
        scratch[--at] = (char)('0' + magnitude % 10);
        magnitude /= 10;
    } while (magnitude > 0);
    if (value < 0) scratch[--at] = '-';
    return slice_of(scratch + at, 32 - at);
}

struct slice cell_text(const struct cell_view *view, const struct register_value *v, char scratch[32])
{
    int64_t value;
    if (!view->has_sum || !slice_to_i64(register_value_slice(v), &value)) return register_value_slice(v);
    return format_sum(view->sum + value, scratch);
}

struct slice cell_sum_text(const struct cell_view *view, char scratch[32])
{
    return format_sum(view->sum, scratch);
}

enum read_outcome cell_read(const struct deletes *deletes, const struct place *at, const struct cell *cell,
                            char scratch[32], struct slice *out)
{
    struct cell_view view;
    cell_look(deletes, at, cell, &view);
    if (view.in_conflict) return READ_CONFLICT;
    if (!cell_view_is_present(&view)) return READ_ABSENT;
    const struct register_value *v = register_mv_first(&cell->values);
    *out = v ? cell_text(&view, v, scratch) : cell_sum_text(&view, scratch);
    return READ_OK;
}

/* ---- observing ---- */

void cell_observe_shown(const struct deletes *deletes, const struct place *at, const struct cell *cell,
                        struct dot_set *out)
{
    for (uint32_t i = 0; i < cell->values.count; i++) {
        const struct register_value *v = &cell->values.values[i];
        bool is_kept_tombstone = v->flags & VALUE_TOMBSTONE && v->flags & VALUE_LEDGERED;
        if (register_value_is_shown(v) || is_kept_tombstone) dot_set_add(out, v->dot);
    }
    for (uint32_t i = 0; i < cell->counters.count; i++) {
        counter_sum ignored;
        const struct counter_entry *e = &cell->counters.entries[i];
        if (entry_look(deletes, at, e, &ignored)) dot_set_add(out, counter_entry_last_dot(e));
    }
}

uint32_t cell_bases(const struct deletes *deletes, const struct place *at, const struct cell *cell,
                    struct counter_base *out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < cell->counters.count; i++) {
        counter_sum ignored;
        const struct counter_entry *e = &cell->counters.entries[i];
        if (!entry_look(deletes, at, e, &ignored)) continue;
        if (out) {
            out[count] = (struct counter_base){.birth = e->birth,
                                               .positive = e->positive,
                                               .negative = e->negative,
                                               .in_column = at->part == PART_ROW,
                                               .column = at->column};
        }
        count++;
    }
    return count;
}

/* ---- bytes ---- */

void cell_write(struct buffer *b, const struct cell *cell)
{
    reg_write(b, &cell->values);
    counter_pn_write(b, &cell->counters);
}

bool cell_read_encoded(struct reader *r, struct cell *cell)
{
    if (!reg_read(r, &cell->values)) return false;
    if (counter_pn_read(r, &cell->counters)) return true;
    reg_deinit(&cell->values);
    return false;
}

size_t cell_bytes(const struct cell *cell)
{
    size_t bytes = cell->values.count * sizeof *cell->values.values;
    for (uint32_t i = 0; i < cell->values.count; i++) bytes += cell->values.values[i].length;
    return bytes + cell->counters.count * sizeof *cell->counters.entries;
}

uint64_t cell_stamp_max(const struct cell *cell)
{
    uint64_t stamp = 0;
    for (uint32_t i = 0; i < cell->values.count; i++) stamp = greater(stamp, cell->values.values[i].stamp);
    for (uint32_t i = 0; i < cell->counters.count; i++) stamp = greater(stamp, cell->counters.entries[i].stamp);
    return stamp;
}
