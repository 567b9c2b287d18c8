/* parts.c: the parts of an object as a whole: settling them after a change, and what they show together. See
 * object_internal.h. */
#include "base/memory.h"
#include "crdt/object_internal.h"

struct row *parts__row(struct parts *p)
{
    if (!p->row) p->row = row_new();
    return p->row;
}

struct set_aw *parts__set(struct parts *p)
{
    if (!p->set) p->set = set_aw_new();
    return p->set;
}

void parts__release_empty(struct parts *p)
{
    if (p->row && p->row->columns.count == 0) {
        row_free(p->row);
        p->row = NULL;
    }
    if (p->set && p->set->members.count == 0) {
        set_aw_free(p->set);
        p->set = NULL;
    }
}

void parts__settle_all(struct change *c, struct parts *p)
{
    cell_settle(c, &string_place, &p->string);
    expiry_settle(c, &p->expiry);
    if (p->row) row_settle_all(c, p->row);
    if (p->set) set_aw_refresh(c, p->set);
    parts__release_empty(p);
}

/* A defeated delete of a client is an acknowledged write that had no effect. Removals by the clock are nobody's write,
 * an overwrite is still there itself, and a contested delete is shown among the siblings. */
static bool belongs_into_ledger(const struct delete_record *x)
{
    return x->flags & DELETE_DEFEATED && !(x->flags & (DELETE_RESOLVED | DELETE_EXPIRY | DELETE_OVERWRITE)) &&
           x->policy != DELETE_CONTESTED;
}

void parts__settle_deletes(struct change *c, struct parts *p, struct dot winner)
{
    for (uint32_t i = 0; i < p->deletes.count; i++) {
        struct delete_record *x = &p->deletes.records[i];
        bool was_ledgered = x->flags & DELETE_LEDGERED, is_ledgered = belongs_into_ledger(x);
        x->flags &= DELETE_FLAGS_KEPT;
        if (is_ledgered) x->flags |= DELETE_LEDGERED;
        if (is_ledgered && !was_ledgered) change_delete_ledgered(c, x, winner);
        if (was_ledgered && !is_ledgered) change_delete_withdrawn(c, x);
    }
}

/* ---- carrying out a delete whose fate is final ---- */

/* The totals that a delete subtracted on read are from now on subtracted by the entries themselves. */
static void fold_bases(struct parts *p, const struct delete_record *x)
{
    for (uint32_t i = 0; i < x->bases_count; i++) {
        const struct delete_base *from = &x->bases[i];
        if (!delete_concerns(x, from->in_column ? PART_ROW : PART_STRING)) continue;
        struct column *column = from->in_column && p->row ? row_find(p->row, from->column) : NULL;
        struct cell *cell = from->in_column ? (column ? &column->cell : NULL) : &p->string;
        if (!cell) continue;
        struct counter_base base = {.birth = from->birth, .positive = from->positive, .negative = from->negative};
        cell_reset(cell, &base, x->dot, x->stamp);
    }
}

void parts__carry_out(struct change *c, struct parts *p, const struct delete_record *x)
{
    (void)cell_remove_deleted(c, &string_place, &p->string, x);
    (void)cell_remove_deleted(c, &expiry_place, &p->expiry, x);
    uint32_t cursor = 0;
    for (struct column *column = p->row ? row_next(p->row, &cursor) : NULL; column;
         column = row_next(p->row, &cursor)) {
        struct place at = column_place(p->row, column);
        (void)cell_remove_deleted(c, &at, &column->cell, x);
    }
    if (p->set) (void)set_aw_remove_deleted(c, p->set, x);
    fold_bases(p, x);
}

/* ---- what is shown ---- */

static struct cell_view look_at_string(const struct parts *p)
{
    struct cell_view view;
    cell_look(&p->deletes, &string_place, &p->string, &view);
    return view;
}

bool parts__string_is_shown(const struct parts *p)
{
    struct cell_view view = look_at_string(p);
    return cell_view_is_present(&view);
}

static uint32_t parts_shown(const struct parts *p)
{
    return (uint32_t)parts__string_is_shown(p) + (p->row && p->row->shown_count > 0) +
           (p->set && p->set->shown_count > 0);
}

bool parts__anything_is_shown(const struct parts *p)
{
    return parts_shown(p) > 0;
}

bool parts__in_conflict(const struct parts *p)
{
    uint32_t shown = parts_shown(p);
    if (shown == 0) return false;
    if (shown > 1 || (p->row && p->row->conflicts_count > 0) || look_at_string(p).in_conflict) return true;
    for (uint32_t i = 0; i < p->deletes.count; i++) {
        if (delete_is_contested(&p->deletes.records[i])) return true;
    }
    return false;
}
