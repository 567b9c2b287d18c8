/* expiry.c: see expiry.h. */
#include "crdt/expiry.h"

#include "causality/hlc.h"

static bool outranks(const struct register_value *a, const struct register_value *b)
{
    return stamp_before(b->stamp, b->dot.replica, a->stamp, a->dot.replica);
}

/* The greatest item that the write at hand observed, or NULL. */
static const struct register_value *greatest_observed(const struct change *c, const struct cell *expiry)
{
    const struct register_value *greatest = NULL;
    for (uint32_t i = 0; i < expiry->values.count; i++) {
        const struct register_value *v = &expiry->values.values[i];
        if (dot_set_has(&c->write->observed, v->dot) && (!greatest || outranks(v, greatest))) greatest = v;
    }
    return greatest;
}

void expiry_observe(struct change *c, struct cell *expiry)
{
    const struct register_value *found = greatest_observed(c, expiry);
    if (found) {
        struct register_value greatest = *found;
        for (uint32_t i = 0; i < expiry->values.count;) {
            const struct register_value *v = &expiry->values.values[i];
            if (dot_set_has(&c->write->observed, v->dot) || !outranks(&greatest, v) ||
                !write_covers(c->write, v->dot)) {
                i++;
                continue;
            }
            if (v->flags & VALUE_COVERED)
                change_gone(c, OBJECT_REPLACED, &expiry_place, v->dot);
            else if (!(v->flags & VALUE_LEDGERED))
                change_ledgered(c, &expiry_place, v, LEDGER_LWW_LOSER, greatest.dot);
            reg_remove(&expiry->values, i);
        }
    }
    cell_observe(c, &expiry_place, expiry);
}

const struct register_value *expiry_in_force(const struct cell *expiry)
{
    for (uint32_t i = 0; i < expiry->values.count; i++) {
        if (register_value_is_shown(&expiry->values.values[i])) return &expiry->values.values[i];
    }
    return NULL;
}

static const struct register_value *winner_of(const struct change *c, const struct cell *expiry)
{
    const struct register_value *winner = NULL;
    for (uint32_t i = 0; i < expiry->values.count; i++) {
        const struct register_value *v = &expiry->values.values[i];
        if (deletes_hide(c->deletes, PART_EXPIRY, v->dot)) continue;
        if (!winner || outranks(v, winner)) winner = v;
    }
    return winner;
}

void expiry_settle(struct change *c, struct cell *expiry)
{
    cell_drop_beaten(c, &expiry_place, expiry);
    const struct register_value *winner = winner_of(c, expiry);
    for (uint32_t i = 0; i < expiry->values.count; i++) {
        struct register_value *v = &expiry->values.values[i];
        uint8_t before = v->flags;
        v->flags &= VALUE_FLAGS_KEPT;
        if (v != winner) v->flags |= VALUE_HIDDEN;
        if (v != winner && !(v->flags & VALUE_COVERED)) v->flags |= VALUE_LEDGERED;
        bool was_ledgered = before & VALUE_LEDGERED, is_ledgered = v->flags & VALUE_LEDGERED;
        if (was_ledgered && !is_ledgered) change_withdrawn(c, &expiry_place, v);
        if (!is_ledgered || was_ledgered) continue;
        const struct delete_record *x = deletes_winner_over(c->deletes, v->dot);
        if (x)
            change_ledgered(c, &expiry_place, v, LEDGER_LOST_TO_DELETE, x->dot);
        else
            change_ledgered(c, &expiry_place, v, LEDGER_LWW_LOSER, winner ? winner->dot : (struct dot){0, 0});
    }
}

static bool all_are_stable(const struct change *c, const struct cell *expiry, const struct object_stable_view *stable)
{
    for (uint32_t i = 0; i < expiry->values.count; i++) {
        struct dot dot = expiry->values.values[i].dot;
        if (!stable->is_stable(stable->user, dot) || deletes_hide(c->deletes, PART_EXPIRY, dot)) return false;
    }
    return true;
}

bool expiry_collect(struct change *c, struct cell *expiry, const struct object_stable_view *stable)
{
    struct reg *items = &expiry->values;
    if (items->count == 0 || !all_are_stable(c, expiry, stable)) return false;
    bool changed = false;
    for (uint32_t i = 0; i < items->count;) {
        const struct register_value *v = &items->values[i];
        if (register_value_is_shown(v)) {
            i++;
            continue;
        }
        if (!(v->flags & VALUE_LEDGERED)) change_gone(c, OBJECT_REPLACED, &expiry_place, v->dot);
        reg_remove(items, i);
        changed = true;
    }
    ASSERT(items->count == 1);
    return changed;
}

bool expiry_has_garbage(const struct cell *expiry)
{
    for (uint32_t i = 0; i < expiry->values.count; i++) {
        if (!register_value_is_shown(&expiry->values.values[i])) return true;
    }
    return false;
}
