/* object_observe.c: preparing local writes: what the writer observes, and what checkers see of all dots. See object.h.
 */
#include "base/memory.h"
#include "crdt/object_internal.h"

static void observe_contested(const struct parts *p, struct dot_set *out)
{
    for (uint32_t i = 0; i < p->deletes.count; i++) {
        if (delete_is_contested(&p->deletes.records[i])) dot_set_add(out, p->deletes.records[i].dot);
    }
}

/* The losers and the hidden ones too: what replaces the expiry is meant to replace all of it (expiry.h, E1). */
static void observe_expiry(const struct parts *p, struct dot_set *out)
{
    for (uint32_t i = 0; i < p->expiry.values.count; i++) dot_set_add(out, p->expiry.values.values[i].dot);
}

/* A key that shows nothing begins anew: an expiry that outlived its values, or an old contest, is not for the new one.
 */
static void observe_remains(const struct parts *p, struct dot_set *out)
{
    if (parts__anything_is_shown(p)) return;
    observe_expiry(p, out);
    observe_contested(p, out);
}

void object_observe_string(const struct object *o, uint64_t now_ms, struct dot_set *out)
{
    (void)now_ms; /* an expired key is removed by a write of its own before anything is written to it */
    if (LIKELY(object__form(o) == FORM_VALUE)) dot_set_add(out, o->value.dot);
    if (object__form(o) != FORM_PARTS) return;
    const struct parts *p = o->parts;
    cell_observe_shown(&p->deletes, &string_place, &p->string, out);
    observe_remains(p, out);
}

void object_observe_column(const struct object *o, uint64_t now_ms, struct slice column, struct dot_set *out)
{
    (void)now_ms;
    if (object__form(o) != FORM_PARTS) return;
    const struct parts *p = o->parts;
    const struct column *found = p->row ? row_find(p->row, column) : NULL;
    if (found) {
        struct place at = column_place(p->row, found);
        cell_observe_shown(&p->deletes, &at, &found->cell, out);
    }
    observe_remains(p, out);
}

static void observe_adds(const struct set_member *m, struct dot_set *out)
{
    const struct set_add *adds = set_member_adds(m);
    for (uint32_t i = 0; i < m->adds_count; i++) {
        if (!adds[i].is_hidden) dot_set_add(out, adds[i].dot);
    }
}

void object_observe_member(const struct object *o, uint64_t now_ms, struct slice member, struct dot_set *out)
{
    (void)now_ms;
    if (object__form(o) != FORM_PARTS) return;
    const struct parts *p = o->parts;
    const struct set_member *found = p->set ? set_aw_find(p->set, member) : NULL;
    if (found) observe_adds(found, out);
    observe_remains(p, out);
}

void object_observe_expiry(const struct object *o, struct dot_set *out)
{
    if (object__form(o) == FORM_PARTS) observe_expiry(o->parts, out);
}

void object_observe_all(const struct object *o, struct dot_set *out)
{
    if (LIKELY(object__form(o) == FORM_VALUE)) dot_set_add(out, o->value.dot);
    if (object__form(o) != FORM_PARTS) return;
    const struct parts *p = o->parts;
    cell_observe_shown(&p->deletes, &string_place, &p->string, out);
    uint32_t cursor = 0;
    for (const struct column *column = p->row ? row_next(p->row, &cursor) : NULL; column;
         column = row_next(p->row, &cursor)) {
        struct place at = column_place(p->row, column);
        cell_observe_shown(&p->deletes, &at, &column->cell, out);
    }
    cursor = 0;
    for (const struct set_member *m = p->set ? set_aw_next(p->set, &cursor) : NULL; m; m = set_aw_next(p->set, &cursor))
        observe_adds(m, out);
    observe_expiry(p, out);
    observe_contested(p, out);
}

/* ---- counters ---- */

uint32_t object_counter_bases(const struct object *o, const struct slice *column, struct arena *arena,
                              struct counter_base **out)
{
    *out = NULL;
    if (object__form(o) != FORM_PARTS) return 0;
    const struct parts *p = o->parts;
    const struct column *found = column && p->row ? row_find(p->row, *column) : NULL;
    if (column && !found) return 0;
    struct place at = found ? column_place(p->row, found) : string_place;
    const struct cell *cell = found ? &found->cell : &p->string;
    *out = arena_alloc(arena, cell->counters.count * sizeof **out);
    return cell_bases(&p->deletes, &at, cell, *out);
}

uint32_t object_all_counter_bases(const struct object *o, struct arena *arena, struct counter_base **out)
{
    *out = NULL;
    if (object__form(o) != FORM_PARTS) return 0;
    const struct parts *p = o->parts;
    uint32_t count = p->string.counters.count, cursor = 0;
    for (const struct column *column = p->row ? row_next(p->row, &cursor) : NULL; column;
         column = row_next(p->row, &cursor))
        count += column->cell.counters.count;
    *out = arena_alloc(arena, count * sizeof **out);
    uint32_t filled = cell_bases(&p->deletes, &string_place, &p->string, *out);
    cursor = 0;
    for (const struct column *column = p->row ? row_next(p->row, &cursor) : NULL; column;
         column = row_next(p->row, &cursor)) {
        struct place at = column_place(p->row, column);
        filled += cell_bases(&p->deletes, &at, &column->cell, *out + filled);
    }
    return filled;
}

/* The replica's own youngest entry that no reset is known of; a reset one must not be raised (counter_pn.h). */
static const struct counter_entry *entry_to_raise(const struct object *o, const struct slice *column, uint64_t replica)
{
    if (object__form(o) != FORM_PARTS) return NULL;
    const struct parts *p = o->parts;
    const struct column *found = column && p->row ? row_find(p->row, *column) : NULL;
    if (column && !found) return NULL;
    const struct counter_pn *counters = found ? &found->cell.counters : &p->string.counters;
    const struct counter_entry *youngest = NULL;
    for (uint32_t i = 0; i < counters->count; i++) {
        const struct counter_entry *e = &counters->entries[i];
        bool is_own = e->birth.replica == replica && dot_is_none(e->reset);
        if (is_own && !deletes_name_entry(&p->deletes, column, e->birth)) youngest = e; /* sorted by birth */
    }
    return youngest;
}

enum status object_increment_prepare(const struct object *o, const struct slice *column, uint64_t replica,
                                     uint64_t own_next_counter, int64_t delta, uint64_t *out_birth,
                                     uint64_t *out_positive, uint64_t *out_negative)
{
    const struct counter_entry *e = entry_to_raise(o, column, replica);
    uint64_t birth = e ? e->birth.counter : own_next_counter;
    uint64_t positive = e ? e->positive : 0, negative = e ? e->negative : 0;
    bool overflows = delta >= 0 ? __builtin_add_overflow(positive, (uint64_t)delta, &positive)
                                : __builtin_add_overflow(negative, -(uint64_t)delta, &negative);
    if (overflows) return STATUS_LIMIT;
    *out_birth = birth;
    *out_positive = positive;
    *out_negative = negative;
    return STATUS_OK;
}

/* ---- for ledgers and checkers ---- */

static bool holds(const struct reg *values, struct dot dot)
{
    const struct register_value *v = reg_find(values, dot);
    return v && !(v->flags & VALUE_COVERED);
}

bool object_holds(const struct object *o, struct dot dot, struct slice column)
{
    struct parts storage;
    struct register_value value;
    const struct parts *p = object__view(o, &storage, &value);
    if (column.length > 0 && p->row) {
        const struct column *found = row_find(p->row, column);
        if (found && holds(&found->cell.values, dot)) return true;
    }
    if (column.length > 0) return false;
    const struct delete_record *x = deletes_find(&p->deletes, dot);
    /* An overwrite's dot names the value that it wrote; a delete that was resolved has been observed by a write. */
    bool is_delete = x && !(x->flags & (DELETE_OVERWRITE | DELETE_RESOLVED));
    return is_delete || holds(&p->string.values, dot) || holds(&p->expiry.values, dot);
}

static bool shows(const struct reg *values, struct dot dot)
{
    const struct register_value *v = reg_find(values, dot);
    return v && register_value_is_shown(v);
}

bool object_shows(const struct object *o, struct dot dot, struct slice column)
{
    struct parts storage;
    struct register_value value;
    const struct parts *p = object__view(o, &storage, &value);
    if (column.length == 0) return shows(&p->string.values, dot) || shows(&p->expiry.values, dot);
    const struct column *found = p->row ? row_find(p->row, column) : NULL;
    return found && shows(&found->cell.values, dot);
}

struct dot_visit {
    void (*visit)(void *user, struct dot dot, bool visible);
    void *user;
    const struct deletes *deletes;
};

static void visit_cell(const struct dot_visit *v, const struct place *at, const struct cell *cell)
{
    for (uint32_t i = 0; i < cell->values.count; i++) {
        const struct register_value *value = &cell->values.values[i];
        if (!(value->flags & VALUE_LEDGERED)) v->visit(v->user, value->dot, register_value_is_shown(value));
    }
    struct dot_set live;
    dot_set_init(&live);
    struct cell counters_only = {.counters = cell->counters};
    cell_observe_shown(v->deletes, at, &counters_only, &live);
    for (uint32_t i = 0; i < cell->counters.count; i++) {
        struct dot last = counter_entry_last_dot(&cell->counters.entries[i]);
        v->visit(v->user, last, dot_set_has(&live, last));
    }
    dot_set_deinit(&live);
}

static void visit_deletes(const struct dot_visit *v)
{
    for (uint32_t i = 0; i < v->deletes->count; i++) {
        const struct delete_record *x = &v->deletes->records[i];
        if (x->flags & (DELETE_LEDGERED | DELETE_RESOLVED | DELETE_OVERWRITE)) continue;
        v->visit(v->user, x->dot, delete_is_in_effect(x) || delete_is_contested(x));
    }
}

void object_visit_dots(const struct object *o, void (*visit)(void *user, struct dot dot, bool visible), void *user)
{
    struct parts storage;
    struct register_value value;
    const struct parts *p = object__view(o, &storage, &value);
    struct dot_visit v = {.visit = visit, .user = user, .deletes = &p->deletes};
    visit_cell(&v, &string_place, &p->string);
    visit_cell(&v, &expiry_place, &p->expiry);
    for (uint32_t i = 0; p->row && i < p->row->columns.count; i++) {
        const struct column *column = row_sorted(p->row)[i];
        struct place at = column_place(p->row, column);
        visit_cell(&v, &at, &column->cell);
    }
    for (uint32_t i = 0; p->set && i < p->set->members.count; i++) {
        const struct set_member *m = set_aw_sorted(p->set)[i];
        const struct set_add *adds = set_member_adds(m);
        for (uint32_t j = 0; j < m->adds_count; j++) visit(user, adds[j].dot, !adds[j].is_hidden);
    }
    visit_deletes(&v);
}
