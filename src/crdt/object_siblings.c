/* object_siblings.c: all alternatives of a key in conflict, for SIBLINGS and RESOLVE. See object.h.
 *
 * The columns of a row are in conflict each by itself. An alternative of the row is what one of the competing writes
 * would have it be: that write's values where it competes, the greatest stamp's in the other conflicts.
 */
#include <stdlib.h>

#include "causality/hlc.h"
#include "crdt/object_internal.h"

struct sibling_list {
    struct object_sibling *items;
    uint32_t count, capacity;
    struct arena *arena;
};

static struct object_sibling *push(struct sibling_list *list, enum object_type type, struct dot dot, uint64_t stamp)
{
    if (list->count == list->capacity) {
        uint32_t capacity = list->capacity ? list->capacity * 2 : 4;
        struct object_sibling *items = arena_alloc(list->arena, capacity * sizeof *items);
        if (list->count > 0) memcpy(items, list->items, list->count * sizeof *items);
        list->items = items;
        list->capacity = capacity;
    }
    struct object_sibling *s = &list->items[list->count++];
    *s = (struct object_sibling){.dot = dot, .stamp = stamp, .type = type};
    return s;
}

/* ---- strings ---- */

static const struct counter_entry *newest_entry(const struct counter_pn *counters)
{
    const struct counter_entry *newest = NULL;
    for (uint32_t i = 0; i < counters->count; i++) {
        const struct counter_entry *e = &counters->entries[i];
        if (!newest || stamp_before(newest->stamp, newest->birth.replica, e->stamp, e->birth.replica)) newest = e;
    }
    return newest;
}

static void add_strings(const struct parts *p, struct sibling_list *list)
{
    struct cell_view view;
    char scratch[32];
    cell_look(&p->deletes, &string_place, &p->string, &view);
    for (uint32_t i = 0; i < p->string.values.count; i++) {
        const struct register_value *v = &p->string.values.values[i];
        if (!register_value_is_readable(v)) continue;
        struct object_sibling *s = push(list, OBJECT_STRING, v->dot, v->stamp);
        s->value = arena_copy(list->arena, cell_text(&view, v, scratch));
    }
    if (!view.has_sum || (view.readable > 0 && !view.sum_is_apart)) return;
    const struct counter_entry *e = newest_entry(&p->string.counters);
    struct object_sibling *s = push(list, OBJECT_STRING, counter_entry_last_dot(e), e->stamp);
    s->value = arena_copy(list->arena, cell_sum_text(&view, scratch));
}

/* ---- rows ---- */

static bool outranks(const struct register_value *a, const struct register_value *b)
{
    return stamp_before(b->stamp, b->dot.replica, a->stamp, a->dot.replica);
}

/* The value of the alternative named by `dot` in this cell, or NULL for the sum alone or nothing. */
static const struct register_value *pick(const struct cell *cell, struct dot dot)
{
    const struct register_value *best = NULL;
    for (uint32_t i = 0; i < cell->values.count; i++) {
        const struct register_value *v = &cell->values.values[i];
        if (!register_value_is_shown(v)) continue;
        if (dot_equal(v->dot, dot)) return v;
        if (!best || outranks(v, best)) best = v;
    }
    return best;
}

static void add_row(const struct parts *p, struct sibling_list *list, struct dot dot, uint64_t stamp)
{
    struct column **sorted = row_sorted(p->row);
    struct object_sibling *s = push(list, OBJECT_ROW, dot, stamp);
    s->fields = arena_alloc(list->arena, 2 * (size_t)p->row->shown_count * sizeof *s->fields);
    for (uint32_t i = 0; i < p->row->columns.count; i++) {
        if (!sorted[i]->is_shown) continue;
        struct place at = column_place(p->row, sorted[i]);
        struct cell_view view;
        char scratch[32];
        cell_look(&p->deletes, &at, &sorted[i]->cell, &view);
        const struct register_value *v = pick(&sorted[i]->cell, dot);
        bool is_sum = !v || (view.sum_is_apart && !dot_equal(v->dot, dot));
        if (!is_sum && v->flags & VALUE_TOMBSTONE) {
            if (view.readable > 0 || !view.has_sum) continue;
            is_sum = true;
        }
        s->fields[s->fields_count++] = arena_copy(list->arena, at.column);
        struct slice text = is_sum ? cell_sum_text(&view, scratch) : cell_text(&view, v, scratch);
        s->fields[s->fields_count++] = arena_copy(list->arena, text);
    }
}

static bool is_listed(const struct sibling_list *list, uint32_t first, struct dot dot)
{
    for (uint32_t i = first; i < list->count; i++) {
        if (dot_equal(list->items[i].dot, dot)) return true;
    }
    return false;
}

/* One alternative for each write that competes in some column. */
static void add_competing_rows(const struct parts *p, struct sibling_list *list)
{
    struct column **sorted = row_sorted(p->row);
    uint32_t first = list->count;
    for (uint32_t i = 0; i < p->row->columns.count; i++) {
        const struct cell *cell = &sorted[i]->cell;
        if (!sorted[i]->in_conflict) continue;
        for (uint32_t j = 0; j < cell->values.count; j++) {
            const struct register_value *v = &cell->values.values[j];
            if (register_value_is_shown(v) && !is_listed(list, first, v->dot)) add_row(p, list, v->dot, v->stamp);
        }
        struct cell_view view;
        struct place at = column_place(p->row, sorted[i]);
        cell_look(&p->deletes, &at, cell, &view);
        if (!view.sum_is_apart) continue;
        const struct counter_entry *e = newest_entry(&cell->counters);
        struct dot dot = counter_entry_last_dot(e);
        if (!is_listed(list, first, dot)) add_row(p, list, dot, e->stamp);
    }
}

static void add_rows(const struct parts *p, struct sibling_list *list)
{
    if (!p->row || p->row->shown_count == 0) return;
    if (p->row->conflicts_count > 0) {
        add_competing_rows(p, list);
        return;
    }
    struct dot newest = {0, 0};
    uint64_t stamp = 0;
    struct column **sorted = row_sorted(p->row);
    for (uint32_t i = 0; i < p->row->columns.count; i++) {
        const struct cell *cell = &sorted[i]->cell;
        const struct register_value *v = pick(cell, newest);
        const struct counter_entry *e = newest_entry(&cell->counters);
        if (v && stamp_before(stamp, newest.replica, v->stamp, v->dot.replica)) {
            newest = v->dot;
            stamp = v->stamp;
        }
        if (e && stamp_before(stamp, newest.replica, e->stamp, e->birth.replica)) {
            newest = counter_entry_last_dot(e);
            stamp = e->stamp;
        }
    }
    add_row(p, list, newest, stamp);
}

/* ---- sets and contested deletes ---- */

static void add_set(const struct parts *p, struct sibling_list *list)
{
    if (!p->set || p->set->shown_count == 0) return;
    struct set_member **sorted = set_aw_sorted(p->set);
    struct object_sibling *s = push(list, OBJECT_SET, (struct dot){0, 0}, 0);
    s->fields = arena_alloc(list->arena, (size_t)p->set->shown_count * sizeof *s->fields);
    for (uint32_t i = 0; i < p->set->members.count; i++) {
        if (!sorted[i]->is_shown) continue;
        s->fields[s->fields_count++] = arena_copy(list->arena, set_member_name(p->set, sorted[i]));
        const struct set_add *adds = set_member_adds(sorted[i]);
        for (uint32_t j = 0; j < sorted[i]->adds_count; j++) {
            if (!stamp_before(s->stamp, s->dot.replica, adds[j].stamp, adds[j].dot.replica)) continue;
            s->dot = adds[j].dot;
            s->stamp = adds[j].stamp;
        }
    }
}

static int by_stamp_descending(const void *left, const void *right)
{
    const struct object_sibling *a = left, *b = right;
    if (a->stamp != b->stamp) return a->stamp > b->stamp ? -1 : 1;
    int by_dot = dot_compare(b->dot, a->dot);
    return by_dot ? by_dot : (int)a->type - (int)b->type;
}

uint32_t object_siblings(const struct object *o, uint64_t now_ms, struct arena *arena, struct object_sibling **out_list,
                         struct dot_set *out_dots)
{
    *out_list = NULL;
    if (object_type(o, now_ms) == OBJECT_NONE) return 0;
    struct sibling_list list = {.arena = arena};
    struct parts storage;
    struct register_value value;
    const struct parts *p = object__view(o, &storage, &value);
    add_strings(p, &list);
    add_rows(p, &list);
    add_set(p, &list);
    for (uint32_t i = 0; i < p->deletes.count; i++) {
        const struct delete_record *x = &p->deletes.records[i];
        if (delete_is_contested(x)) push(&list, OBJECT_NONE, x->dot, x->stamp);
    }
    object_observe_all(o, out_dots);
    if (list.count > 1) qsort(list.items, list.count, sizeof *list.items, by_stamp_descending);
    *out_list = list.items;
    return list.count;
}
