/* cell.c: changing a cell. Reading it is in cell_read.c. See cell.h. */
#include "crdt/cell.h"

#include "base/memory.h"
#include "crdt/register_lww.h"

void cell_deinit(struct cell *cell)
{
    reg_deinit(&cell->values);
    counter_pn_deinit(&cell->counters);
}

static void value_replaced(struct change *c, const struct place *at, const struct register_value *v)
{
    if (v->flags & VALUE_LEDGERED) change_withdrawn(c, at, v);
    change_gone(c, OBJECT_REPLACED, at, v->dot);
}

/* A tombstone of the past that has not lost counts as observed: a writer that did not name it had collected it. */
static bool may_have_been_collected(const struct register_value *v)
{
    return v->flags & VALUE_TOMBSTONE && !(v->flags & VALUE_LEDGERED);
}

static bool is_observed(const struct write *w, const struct register_value *v)
{
    return dot_set_has(&w->observed, v->dot) || (may_have_been_collected(v) && write_covers(w, v->dot));
}

void cell_observe(struct change *c, const struct place *at, struct cell *cell)
{
    for (uint32_t i = 0; i < cell->values.count;) {
        struct register_value *v = &cell->values.values[i];
        if (!is_observed(c->write, v)) {
            i++;
            continue;
        }
        value_replaced(c, at, v);
        reg_remove(&cell->values, i);
    }
}

void cell_reset(struct cell *cell, const struct counter_base *base, struct dot reset, uint64_t reset_stamp)
{
    /* An entry that is gone was dropped as dead once a reset of it was stable: this reset says nothing new. */
    struct counter_entry *e = counter_pn_find(&cell->counters, base->birth);
    if (e) counter_entry_reset(e, reset, reset_stamp, base->positive, base->negative);
}

void cell_put(struct cell *cell, struct register_value owned_value)
{
    struct register_value *twin = reg_find(&cell->values, owned_value.dot);
    if (!twin) {
        reg_add(&cell->values, owned_value);
        return;
    }
    register_value_deinit(twin);
    *twin = owned_value;
}

void cell_increment(struct change *c, const struct place *at, struct cell *cell, struct dot dot, uint64_t stamp,
                    const struct body_increment *increment)
{
    struct dot birth = {dot.replica, increment->birth};
    struct dot superseded =
        counter_pn_raise(&cell->counters, birth, dot, stamp, increment->positive, increment->negative);
    if (!dot_is_none(superseded)) change_gone(c, OBJECT_REPLACED, at, superseded);
}

/* ---- settling ---- */

static void drop_losers(struct change *c, const struct place *at, struct reg *values)
{
    struct register_value *winner = &values->values[register_lww_winner(values)];
    struct dot winner_dot = winner->dot;
    for (uint32_t i = 0; i < values->count;) {
        struct register_value *v = &values->values[i];
        if (dot_equal(v->dot, winner_dot)) {
            i++;
            continue;
        }
        if (v->flags & VALUE_COVERED)
            change_gone(c, OBJECT_REPLACED, at, v->dot);
        else if (!(v->flags & VALUE_LEDGERED))
            change_ledgered(c, at, v, LEDGER_LWW_LOSER, winner_dot);
        vv_raise(c->touches, v->dot);
        reg_remove(values, i);
    }
}

static void refresh(struct change *c, const struct place *at, struct register_value *v)
{
    uint8_t before = v->flags;
    bool hidden = deletes_hide(c->deletes, at->part, v->dot);
    bool ledgered = hidden && !(before & VALUE_COVERED);
    v->flags &= VALUE_FLAGS_KEPT;
    if (hidden) v->flags |= VALUE_HIDDEN;
    if (ledgered) v->flags |= VALUE_LEDGERED;
    if (ledgered && !(before & VALUE_LEDGERED)) {
        const struct delete_record *x = deletes_winner_over(c->deletes, v->dot);
        change_ledgered(c, at, v, LEDGER_LOST_TO_DELETE, x ? x->dot : (struct dot){0, 0});
    }
    if (!ledgered && before & VALUE_LEDGERED) change_withdrawn(c, at, v);
}

void cell_drop_beaten(struct change *c, const struct place *at, struct cell *cell)
{
    for (uint32_t i = 0; c->deletes->count > 0 && i < cell->values.count;) {
        const struct register_value *v = &cell->values.values[i];
        if (!deletes_beat_for_good(c->deletes, at->part, v->dot)) {
            i++;
            continue;
        }
        if (v->flags & VALUE_COVERED)
            change_gone(c, OBJECT_REPLACED, at, v->dot);
        else if (!(v->flags & VALUE_LEDGERED))
            change_ledgered(c, at, v, LEDGER_LOST_TO_DELETE, deletes_winner_over(c->deletes, v->dot)->dot);
        vv_raise(c->touches, v->dot);
        reg_remove(&cell->values, i);
    }
}

void cell_settle(struct change *c, const struct place *at, struct cell *cell)
{
    cell_drop_beaten(c, at, cell);
    if (cell->values.count > 1 && c->policy != CONFLICT_SIBLINGS) drop_losers(c, at, &cell->values);
    for (uint32_t i = 0; i < cell->values.count; i++) refresh(c, at, &cell->values.values[i]);
}

/* ---- meeting deletes ---- */

static struct delete_rival rival_of_value(const struct place *at, const struct register_value *v)
{
    return (struct delete_rival){
        .part = at->part, .is_update = at->part != PART_EXPIRY, .can_lose = true, .dot = v->dot, .stamp = v->stamp};
}

static struct delete_rival rival_of_entry(const struct place *at, const struct counter_entry *e)
{
    return (struct delete_rival){.part = at->part,
                                 .is_update = at->part == PART_ROW,
                                 .can_lose = false,
                                 .dot = counter_entry_last_dot(e),
                                 .stamp = e->stamp};
}

bool cell_meet_unknown(const struct place *at, const struct cell *cell, struct delete_record *x, const struct vv *known)
{
    bool changed = false;
    for (uint32_t i = 0; i < cell->values.count; i++) {
        struct delete_rival rival = rival_of_value(at, &cell->values.values[i]);
        if (!vv_covers(known, rival.dot)) changed |= delete_meet(x, &rival);
    }
    for (uint32_t i = 0; i < cell->counters.count; i++) {
        struct delete_rival rival = rival_of_entry(at, &cell->counters.entries[i]);
        if (!vv_covers(known, rival.dot)) changed |= delete_meet(x, &rival);
    }
    return changed;
}

/* What the delete's writer did not observe though it was in its past was gone there, or out of sight. It stays so for
 * an expiry (expiry.h, E2), and for a delete that wins: then all that is ever left beside it was written after it. */
static void lose_past(const struct cell *cell, struct delete_record *x, const struct vv *past)
{
    for (uint32_t i = 0; i < cell->values.count; i++) {
        struct dot dot = cell->values.values[i].dot;
        if (vv_covers(past, dot) && !dot_set_has(&x->observed, dot)) dot_set_add(&x->lost, dot);
    }
}

bool cell_meet_delete(const struct place *at, struct cell *cell, struct delete_record *x, const struct vv *past)
{
    for (uint32_t i = 0; i < cell->values.count; i++) {
        struct register_value *v = &cell->values.values[i];
        bool is_past_tombstone = may_have_been_collected(v) && vv_covers(past, v->dot);
        if (is_past_tombstone || dot_set_has(&x->observed, v->dot)) v->flags |= VALUE_COVERED;
    }
    bool changed = cell_meet_unknown(at, cell, x, past);
    bool loses_past = x->policy == DELETE_WINS || at->part == PART_EXPIRY;
    if (loses_past && delete_concerns(x, at->part) && delete_is_in_effect(x)) lose_past(cell, x, past);
    return changed;
}

/* ---- merging: covered but absent means removed there (S2) ---- */

static void merge_values(struct change *c, const struct place *at, struct reg *values, const struct vv *ours,
                         const struct reg *theirs_values, const struct vv *theirs)
{
    for (uint32_t i = 0; i < values->count;) {
        struct register_value *v = &values->values[i];
        const struct register_value *twin = theirs_values ? reg_find(theirs_values, v->dot) : NULL;
        if (twin) v->flags |= twin->flags & VALUE_COVERED;
        if (twin || !vv_covers(theirs, v->dot)) {
            i++;
            continue;
        }
        /* There it was replaced or it lost; if it lost, its entry came with their ledger. */
        bool is_entry = c->ledgered && c->ledgered->has(c->ledgered->user, v->dot, at->column);
        if (!is_entry) change_gone(c, OBJECT_REPLACED, at, v->dot);
        reg_remove(values, i);
    }
    for (uint32_t i = 0; theirs_values && i < theirs_values->count; i++) {
        const struct register_value *v = &theirs_values->values[i];
        if (vv_covers(ours, v->dot) || reg_find(values, v->dot)) continue;
        reg_add(values, register_value_make(v->dot, v->stamp, v->expire_at_ms, register_value_slice(v),
                                            v->flags & VALUE_FLAGS_KEPT));
    }
}

static void merge_counters(struct change *c, const struct place *at, struct counter_pn *counters, const struct vv *ours,
                           const struct counter_pn *theirs_counters, const struct vv *theirs)
{
    for (uint32_t i = 0; i < counters->count;) {
        struct counter_entry *e = &counters->entries[i];
        const struct counter_entry *twin = theirs_counters ? counter_pn_find(theirs_counters, e->birth) : NULL;
        if (twin || !vv_covers(theirs, e->birth)) {
            if (twin) {
                struct dot last = counter_entry_last_dot(e);
                counter_entry_merge(e, twin);
                if (e->last != last.counter) change_gone(c, OBJECT_REPLACED, at, last);
            }
            i++;
            continue;
        }
        change_gone(c, OBJECT_REPLACED, at, counter_entry_last_dot(e));
        counter_pn_remove(counters, i);
    }
    for (uint32_t i = 0; theirs_counters && i < theirs_counters->count; i++) {
        const struct counter_entry *e = &theirs_counters->entries[i];
        if (!vv_covers(ours, e->birth) && !counter_pn_find(counters, e->birth)) counter_pn_insert(counters, e);
    }
}

void cell_merge(struct change *c, const struct place *at, struct cell *cell, const struct vv *ours,
                const struct cell *theirs_cell, const struct vv *theirs)
{
    merge_values(c, at, &cell->values, ours, theirs_cell ? &theirs_cell->values : NULL, theirs);
    merge_counters(c, at, &cell->counters, ours, theirs_cell ? &theirs_cell->counters : NULL, theirs);
}

/* ---- collecting what is stable ---- */

bool cell_remove_deleted(struct change *c, const struct place *at, struct cell *cell, const struct delete_record *x)
{
    if (!delete_concerns(x, at->part)) return false;
    bool changed = false;
    for (uint32_t i = 0; i < cell->values.count;) {
        struct register_value *v = &cell->values.values[i];
        bool is_lost = dot_set_has(&x->lost, v->dot);
        if (!is_lost && !dot_set_has(&x->observed, v->dot)) {
            i++;
            continue;
        }
        if (is_lost && !(v->flags & (VALUE_COVERED | VALUE_LEDGERED)))
            change_ledgered(c, at, v, LEDGER_LOST_TO_DELETE, x->dot);
        else if (!(v->flags & VALUE_LEDGERED))
            change_gone(c, x->flags & DELETE_EXPIRY ? OBJECT_EXPIRED : OBJECT_REPLACED, at, v->dot);
        vv_raise(c->touches, v->dot);
        reg_remove(&cell->values, i);
        changed = true;
    }
    return changed;
}

static bool is_stable(const struct object_stable_view *stable, struct dot dot)
{
    return stable->is_stable(stable->user, dot);
}

bool cell_collect(struct change *c, const struct place *at, struct cell *cell, const struct object_stable_view *stable)
{
    bool changed = false;
    struct register_value *only = cell->values.count == 1 ? &cell->values.values[0] : NULL;
    if (only && only->flags & VALUE_TOMBSTONE && register_value_is_shown(only) && is_stable(stable, only->dot)) {
        change_gone(c, OBJECT_REPLACED, at, only->dot);
        reg_remove(&cell->values, 0);
        changed = true;
    }
    for (uint32_t i = 0; i < cell->counters.count;) {
        struct counter_entry *e = &cell->counters.entries[i];
        if (!counter_entry_is_dead(e) || !is_stable(stable, e->reset)) {
            i++;
            continue;
        }
        change_gone(c, OBJECT_REPLACED, at, counter_entry_last_dot(e));
        counter_pn_remove(&cell->counters, i);
        changed = true;
    }
    return changed;
}

bool cell_has_garbage(const struct cell *cell)
{
    /* A tombstone beside siblings is one of them: it waits for whoever resolves, not for stability. */
    if (cell->values.count == 1 && cell->values.values[0].flags & VALUE_TOMBSTONE) return true;
    for (uint32_t i = 0; i < cell->counters.count; i++) {
        if (counter_entry_is_dead(&cell->counters.entries[i])) return true;
    }
    return false;
}
