/* object_merge.c: a peer's whole state meets ours, and what is stable goes. See object.h.
 *
 * Merge by clocks: what one clock covers and its state lacks was removed there (S2); what one clock does not cover is
 * news to it, and concurrent to every delete that the other side has not seen (both states are causally closed).
 * A delete that the other side covers and lacks was stable there: its fate was final and its effects are in their
 * state.
 */
#include "base/memory.h"
#include "crdt/object_internal.h"

/* ---- merging the deletes ---- */

/* Everything in `p` that `known` does not cover meets `x`. */
static void meet_unknown(const struct parts *p, struct delete_record *x, const struct vv *known)
{
    (void)cell_meet_unknown(&string_place, &p->string, x, known);
    (void)cell_meet_unknown(&expiry_place, &p->expiry, x, known);
    uint32_t cursor = 0;
    for (const struct column *column = p->row ? row_next(p->row, &cursor) : NULL; column;
         column = row_next(p->row, &cursor)) {
        struct place at = column_place(p->row, column);
        (void)cell_meet_unknown(&at, &column->cell, x, known);
    }
    if (p->set) (void)set_aw_meet_unknown(p->set, x, known);
    for (uint32_t i = 0; x->policy == DELETE_LOSES && i < p->touches.count; i++) {
        struct dot dot = {p->touches.entries[i].replica, p->touches.entries[i].counter};
        struct delete_rival rival = {.part = PART_EXPIRY, .dot = dot};
        if (!vv_covers(known, dot)) (void)delete_meet(x, &rival);
    }
}

static struct delete_record *copy_record(struct deletes *d, const struct delete_record *from)
{
    struct delete_record *x = deletes_add(d, from->dot);
    x->stamp = from->stamp;
    x->policy = from->policy;
    x->flags = from->flags & DELETE_FLAGS_KEPT;
    x->spared = from->spared;
    dot_set_union(&x->observed, &from->observed);
    dot_set_union(&x->lost, &from->lost);
    for (uint32_t i = 0; i < from->bases_count; i++) {
        const struct delete_base *b = &from->bases[i];
        struct counter_base base = {.birth = b->birth,
                                    .positive = b->positive,
                                    .negative = b->negative,
                                    .in_column = b->in_column,
                                    .column = b->column};
        delete_record_add_base(x, &base);
    }
    return x;
}

/* A delete of ours that they have let go of: it has done its work, unless it lost and is an entry of the ledger. One
 * that was an entry until the ledgers were merged was replaced there. */
static void delete_gone(struct change *c, const struct delete_record *x)
{
    if (x->flags & (DELETE_RESOLVED | DELETE_OVERWRITE)) return;
    bool is_entry = x->flags & DELETE_LEDGERED;
    if (c->ledgered) is_entry = c->ledgered->has(c->ledgered->user, x->dot, slice_of(NULL, 0));
    if (!is_entry) change_gone(c, OBJECT_REPLACED, &string_place, x->dot);
}

static void merge_deletes(struct change *c, struct parts *p, const struct vv *ours, const struct parts *q,
                          const struct vv *theirs)
{
    for (uint32_t i = 0; i < p->deletes.count;) {
        struct delete_record *x = &p->deletes.records[i];
        const struct delete_record *twin = deletes_find(&q->deletes, x->dot);
        if (twin) {
            bool was_resolved = x->flags & DELETE_RESOLVED;
            delete_record_merge(x, twin);
            if (x->flags & DELETE_RESOLVED && !was_resolved) change_gone(c, OBJECT_REPLACED, &string_place, x->dot);
        } else if (!vv_covers(theirs, x->dot)) {
            meet_unknown(q, x, ours);
        } else {
            delete_gone(c, x);
            deletes_remove(&p->deletes, i);
            continue;
        }
        i++;
    }
    for (uint32_t i = 0; i < q->deletes.count; i++) {
        const struct delete_record *from = &q->deletes.records[i];
        if (!vv_covers(ours, from->dot)) meet_unknown(p, copy_record(&p->deletes, from), theirs);
    }
}

void object_merge(struct object *o, const struct vv *ours, const struct object *theirs_state, const struct vv *theirs,
                  enum conflict_policy policy, const struct object_ledger_view *ledgered,
                  struct object_events *out_events)
{
    struct parts storage;
    struct register_value value;
    const struct parts *q = object__view(theirs_state, &storage, &value);
    struct parts *p = object__expand(o);
    struct change c = {
        .policy = policy, .ledgered = ledgered, .events = out_events, .deletes = &p->deletes, .touches = &p->touches};
    bool was_in_conflict = parts__in_conflict(p);
    merge_deletes(&c, p, ours, q, theirs);
    vv_merge(&p->touches, &q->touches);
    cell_merge(&c, &string_place, &p->string, ours, &q->string, theirs);
    cell_merge(&c, &expiry_place, &p->expiry, ours, &q->expiry, theirs);
    if (p->row || q->row) row_merge(&c, parts__row(p), ours, q->row, theirs);
    if (p->set || q->set) set_aw_merge(&c, parts__set(p), ours, q->set, theirs);
    parts__settle_all(&c, p);
    parts__settle_deletes(&c, p, (struct dot){0, 0});
    for (uint32_t i = 0; i < q->deletes.count; i++) {
        const struct delete_record *x = &q->deletes.records[i];
        if (!vv_covers(ours, x->dot)) change_withdraw_all(&c, &x->observed);
    }
    change_conflict(&c, was_in_conflict, parts__in_conflict(p));
    object__compact(o);
    change_deinit(&c);
}

/* ---- collecting ---- */

static bool collect_deletes(struct change *c, struct parts *p, const struct object_stable_view *stable)
{
    bool changed = false;
    for (uint32_t i = 0; i < p->deletes.count;) {
        const struct delete_record *x = &p->deletes.records[i];
        if (delete_is_contested(x) || !stable->is_stable(stable->user, x->dot)) {
            i++;
            continue;
        }
        if (delete_is_in_effect(x)) parts__carry_out(c, p, x);
        if (!(x->flags & (DELETE_LEDGERED | DELETE_RESOLVED | DELETE_OVERWRITE)))
            change_gone(c, OBJECT_REPLACED, &string_place, x->dot);
        deletes_remove(&p->deletes, i);
        changed = true;
    }
    return changed;
}

static bool collect_touches(struct vv *touches, const struct object_stable_view *stable)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < touches->count; i++) {
        struct dot dot = {touches->entries[i].replica, touches->entries[i].counter};
        if (!stable->is_stable(stable->user, dot)) touches->entries[kept++] = touches->entries[i];
    }
    bool changed = kept != touches->count;
    touches->count = kept;
    return changed;
}

static bool collect_row(struct change *c, struct row *row, const struct object_stable_view *stable)
{
    bool changed = false;
    uint32_t cursor = 0;
    for (struct column *column = row_next(row, &cursor); column; column = row_next(row, &cursor)) {
        struct place at = column_place(row, column);
        if (!cell_collect(c, &at, &column->cell, stable)) continue;
        changed = true;
        if (!row_settle(c, row, column)) cursor--;
    }
    return changed;
}

bool object_collect(struct object *o, const struct object_stable_view *stable, struct object_events *out_events)
{
    if (object__form(o) != FORM_PARTS) return false;
    struct parts *p = o->parts;
    struct change c = {
        .policy = CONFLICT_SIBLINGS, .events = out_events, .deletes = &p->deletes, .touches = &p->touches};
    bool was_in_conflict = parts__in_conflict(p);
    bool changed = collect_deletes(&c, p, stable);
    if (changed) parts__settle_all(&c, p);
    changed |= cell_collect(&c, &string_place, &p->string, stable);
    if (p->row) changed |= collect_row(&c, p->row, stable);
    changed |= expiry_collect(&c, &p->expiry, stable);
    changed |= collect_touches(&p->touches, stable);
    if (changed) change_conflict(&c, was_in_conflict, parts__in_conflict(p));
    object__compact(o);
    change_deinit(&c);
    return changed;
}

/* A contested delete waits for a client to resolve it, however long that takes, not for stability. */
static bool has_deletes_to_collect(const struct deletes *d)
{
    for (uint32_t i = 0; i < d->count; i++) {
        if (!delete_is_contested(&d->records[i])) return true;
    }
    return false;
}

bool object_has_garbage(const struct object *o)
{
    if (object__form(o) != FORM_PARTS) return false;
    const struct parts *p = o->parts;
    return has_deletes_to_collect(&p->deletes) || p->touches.count > 0 || cell_has_garbage(&p->string) ||
           expiry_has_garbage(&p->expiry) || (p->row && p->row->garbage_count > 0);
}
