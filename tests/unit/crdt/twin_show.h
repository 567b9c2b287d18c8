/* twin_show.h: what a replica shows, as text: by the twin from the definitions, and by an object. See twin.h. */
#ifndef MERIDIAN_TESTS_CRDT_TWIN_SHOW_H
#define MERIDIAN_TESTS_CRDT_TWIN_SHOW_H

#include "twin.h"

static inline void show_dot(struct buffer *out, struct dot d)
{
    buffer_append_format(out, " %llu.%llu", (unsigned long long)d.replica, (unsigned long long)d.counter);
}

static inline void show_dots(struct buffer *out, const struct dot_set *dots)
{
    for (uint32_t i = 0; i < dots->count; i++) show_dot(out, dots->dots[i]);
}

/* ---- the twin's cells ---- */

struct twin_slot {
    enum object_part part;
    const char *column; /* PART_ROW */
};

/* Does `w` write a value of its own into the slot? */
static inline bool twin_writes_slot(const struct write *w, const struct twin_slot *slot, bool *out_tombstone)
{
    struct body_column column;
    *out_tombstone = false;
    if (slot->part == PART_STRING) return w->kind == WRITE_SET;
    if (!twin_column_of(w, slot->column, &column) || column.op == COLUMN_INCREMENT) return false;
    *out_tombstone = column.op == COLUMN_DELETE;
    return true;
}

enum twin_fate { TWIN_NOT_HERE, TWIN_REPLACED, TWIN_HIDDEN, TWIN_LEDGERED, TWIN_SHOWN };

static inline enum twin_fate twin_fate_in_slot(const struct twin *t, const struct twin_seen *seen,
                                               const struct write *u, const struct twin_slot *slot);

/* A greater stamp has beaten it, or a delete that can't be undone. */
static inline bool twin_has_lost(const struct twin *t, const struct twin_seen *seen, const struct write *u,
                                 const struct twin_slot *slot)
{
    bool ignored;
    if (twin_is_beaten_for_good(t, seen, u, slot->part)) return true;
    for (uint32_t i = 0; t->policy != CONFLICT_SIBLINGS && i < t->count; i++) {
        const struct write *w = &t->writes[i].write;
        bool competes = seen->has[i] && w != u && twin_writes_slot(w, slot, &ignored) && twin_outranks(w, u);
        /* Even if it was replaced since: what replaced it is greater still. */
        if (competes && !twin_is_beaten_for_good(t, seen, w, slot->part)) return true;
    }
    return false;
}

/* A tombstone of the past that had not lost there counts as observed: the writer's replica may have collected it. */
static inline bool twin_outlived_tombstone(const struct twin *t, const struct write *u, const struct write *w,
                                           const struct twin_slot *slot)
{
    struct twin_seen past = {.has = {false}};
    for (uint32_t i = 0; i < t->count; i++) past.has[i] = twin_before(&t->writes[i].write, w);
    return twin_before(u, w) && twin_fate_in_slot(t, &past, u, slot) != TWIN_LEDGERED;
}

static inline bool twin_is_replaced(const struct twin *t, const struct twin_seen *seen, const struct write *u,
                                    const struct twin_slot *slot)
{
    bool ignored, tombstone;
    (void)twin_writes_slot(u, slot, &tombstone);
    for (uint32_t i = 0; i < t->count; i++) {
        const struct write *w = &t->writes[i].write;
        if (!seen->has[i] || !twin_writes_slot(w, slot, &ignored)) continue;
        if (dot_set_has(&w->observed, u->dot) || (tombstone && twin_outlived_tombstone(t, u, w, slot))) return true;
    }
    return false;
}

static inline enum twin_fate twin_fate_in_slot(const struct twin *t, const struct twin_seen *seen,
                                               const struct write *u, const struct twin_slot *slot)
{
    bool tombstone;
    if (!twin_writes_slot(u, slot, &tombstone)) return TWIN_NOT_HERE;
    if (twin_is_replaced(t, seen, u, slot)) return TWIN_REPLACED;
    bool is_shown = !twin_is_hidden(t, seen, u, slot->part, TWIN_OBSERVED_OR_LOST);
    if (twin_has_lost(t, seen, u, slot)) is_shown = false;
    if (is_shown) return TWIN_SHOWN;
    for (uint32_t i = 0; tombstone && i < t->count; i++) {
        const struct write *x = &t->writes[i].write;
        if (seen->has[i] && twin_is_delete(x) && twin_outlived_tombstone(t, u, x, slot)) return TWIN_HIDDEN;
    }
    return twin_is_covered(t, seen, u) ? TWIN_HIDDEN : TWIN_LEDGERED;
}

/* ---- the twin's counters ---- */

static inline bool twin_increment_of(const struct write *w, const struct twin_slot *slot, struct body_increment *out)
{
    struct body_column column;
    if (slot->part == PART_STRING && w->kind == WRITE_INCREMENT) {
        *out = body_read_increment(w->body);
        return true;
    }
    if (slot->part != PART_ROW || !twin_column_of(w, slot->column, &column) || column.op != COLUMN_INCREMENT)
        return false;
    *out = column.increment;
    return true;
}

/* The counter bases that `w` brings for this slot, if it resets it. */
static inline bool twin_bases_of(const struct twin *t, const struct twin_seen *seen, const struct write *w,
                                 const struct twin_slot *slot, struct body_list *out)
{
    struct body_column column;
    if (w->kind == WRITE_DELETE) {
        *out = body_read_delete(w->body).bases;
        return twin_in_effect(t, seen, w);
    }
    if (w->kind == WRITE_SET) {
        *out = body_read_set(w->body).bases;
        return slot->part == PART_STRING || (w->flags & WRITE_FLAG_OVERWRITE && twin_in_effect(t, seen, w));
    }
    if (slot->part != PART_ROW || !twin_column_of(w, slot->column, &column) || column.op == COLUMN_INCREMENT)
        return false;
    *out = column.bases;
    return true;
}

/* The live sum; false when there is none. */
static inline bool twin_sum(const struct twin *t, const struct twin_seen *seen, const struct twin_slot *slot,
                            int64_t *out_sum)
{
    bool live = false;
    *out_sum = 0;
    for (uint32_t i = 0; i < t->count; i++) {
        const struct write *w = &t->writes[i].write;
        struct body_increment first, later;
        if (!seen->has[i] || !twin_increment_of(w, slot, &first) || first.birth != w->dot.counter) continue;
        uint64_t positive = 0, negative = 0, base_positive = 0, base_negative = 0;
        bool was_reset = false;
        for (uint32_t j = 0; j < t->count; j++) {
            const struct write *v = &t->writes[j].write;
            struct body_list bases;
            struct counter_base base;
            if (!seen->has[j]) continue;
            if (v->dot.replica == w->dot.replica && twin_increment_of(v, slot, &later) && later.birth == first.birth) {
                if (later.positive > positive) positive = later.positive;
                if (later.negative > negative) negative = later.negative;
            }
            if (!twin_bases_of(t, seen, v, slot, &bases)) continue;
            while (body_next_base(&bases, &base)) {
                if (!dot_equal(base.birth, w->dot) || base.in_column != (slot->part == PART_ROW)) continue;
                if (base.in_column && !slice_equal(base.column, slice_of_string(slot->column))) continue;
                was_reset = true;
                if (base.positive > base_positive) base_positive = base.positive;
                if (base.negative > base_negative) base_negative = base.negative;
            }
        }
        if (was_reset && positive == base_positive && negative == base_negative) continue;
        live = true;
        *out_sum += (int64_t)(positive - base_positive) - (int64_t)(negative - base_negative);
    }
    return live;
}

/* One line for a slot, nothing when it shows nothing. Tombstones only matter beside a value. */
static inline void twin_show_slot(const struct twin *t, const struct twin_seen *seen, const struct twin_slot *slot,
                                  struct buffer *out)
{
    struct dot_set values;
    dot_set_init(&values);
    bool tombstone, readable = false, deleted = false;
    for (uint32_t i = 0; i < t->count; i++) {
        const struct write *w = &t->writes[i].write;
        if (!seen->has[i] || twin_fate_in_slot(t, seen, w, slot) != TWIN_SHOWN) continue;
        (void)twin_writes_slot(w, slot, &tombstone);
        if (tombstone) deleted = true;
        if (tombstone) continue;
        readable = true;
        dot_set_add(&values, w->dot);
    }
    int64_t sum;
    bool live = twin_sum(t, seen, slot, &sum);
    if (readable || live) {
        buffer_append_format(out, "%s:", slot->column ? slot->column : "string");
        show_dots(out, &values);
        if (readable && deleted) buffer_append_format(out, " or deleted");
        if (live) buffer_append_format(out, " plus %lld", (long long)sum);
        buffer_append_format(out, "\n");
    }
    dot_set_deinit(&values);
}

/* ---- the twin's members, expiry, deletes ---- */

static inline bool twin_add_is_shown(const struct twin *t, const struct twin_seen *seen, const struct write *u,
                                     const char *member)
{
    for (uint32_t i = 0; i < t->count; i++) {
        const struct write *w = &t->writes[i].write;
        if (seen->has[i] && twin_has_member(w, member) && dot_set_has(&w->observed, u->dot)) return false;
    }
    return !twin_is_hidden(t, seen, u, PART_SET, TWIN_OBSERVED_ONLY);
}

static inline bool twin_replaces_expiry(const struct write *w)
{
    return w->kind != WRITE_DELETE;
}

/* Named by a write that replaced it, or taken along by one that named a greater one (expiry.h, E1). */
static inline bool twin_item_is_gone(const struct twin *t, const struct twin_seen *seen, const struct write *u,
                                     bool *out_named)
{
    bool taken_along = false;
    *out_named = false;
    for (uint32_t i = 0; i < t->count; i++) {
        const struct write *w = &t->writes[i].write;
        if (!seen->has[i] || !twin_replaces_expiry(w)) continue;
        if (dot_set_has(&w->observed, u->dot)) *out_named = true;
        for (uint32_t j = 0; j < t->count && twin_before(u, w); j++) {
            const struct write *greater = &t->writes[j].write;
            bool is_item = seen->has[j] && greater->kind == WRITE_EXPIRE;
            if (is_item && twin_outranks(greater, u) && dot_set_has(&w->observed, greater->dot)) taken_along = true;
        }
    }
    return *out_named || taken_along;
}

static inline enum twin_fate twin_fate_of_item(const struct twin *t, const struct twin_seen *seen,
                                               const struct write *u)
{
    bool named;
    if (u->kind != WRITE_EXPIRE) return TWIN_NOT_HERE;
    bool is_shown = !twin_item_is_gone(t, seen, u, &named) && !twin_is_hidden(t, seen, u, PART_EXPIRY, TWIN_EXPIRY);
    if (named) return TWIN_REPLACED;
    for (uint32_t i = 0; i < t->count && is_shown; i++) {
        const struct write *w = &t->writes[i].write;
        if (!seen->has[i] || w->kind != WRITE_EXPIRE || !twin_outranks(w, u)) continue;
        bool w_named;
        if (twin_item_is_gone(t, seen, w, &w_named) || twin_is_hidden(t, seen, w, PART_EXPIRY, TWIN_EXPIRY)) continue;
        is_shown = false;
    }
    if (is_shown) return TWIN_SHOWN;
    return twin_is_covered(t, seen, u) ? TWIN_HIDDEN : TWIN_LEDGERED;
}

static inline void twin_show(const struct twin *t, const struct twin_seen *seen, struct buffer *out)
{
    struct twin_slot string = {PART_STRING, NULL};
    twin_show_slot(t, seen, &string, out);
    for (int n = 0; n < TWIN_NAMES; n++) {
        struct twin_slot slot = {PART_ROW, twin_columns[n]};
        twin_show_slot(t, seen, &slot, out);
    }
    for (int n = 0; n < TWIN_NAMES; n++) {
        bool shown = false;
        for (uint32_t i = 0; i < t->count; i++) {
            const struct write *w = &t->writes[i].write;
            if (!seen->has[i] || w->kind != WRITE_MEMBERS_ADD || !twin_has_member(w, twin_members[n])) continue;
            shown |= twin_add_is_shown(t, seen, w, twin_members[n]);
        }
        if (shown) buffer_append_format(out, "member %s\n", twin_members[n]);
    }
    for (uint32_t i = 0; i < t->count; i++) {
        const struct write *w = &t->writes[i].write;
        if (!seen->has[i] || twin_fate_of_item(t, seen, w) != TWIN_SHOWN) continue;
        uint64_t at = body_read_expire(w->body);
        if (at > 0) buffer_append_format(out, "expires %llu\n", (unsigned long long)at);
    }
    struct dot_set contested;
    dot_set_init(&contested);
    for (uint32_t i = 0; i < t->count; i++) {
        const struct write *w = &t->writes[i].write;
        if (seen->has[i] && twin_is_contested(t, seen, w)) dot_set_add(&contested, w->dot);
    }
    if (contested.count > 0) {
        buffer_append_format(out, "or deleted by");
        show_dots(out, &contested);
        buffer_append_format(out, "\n");
    }
    dot_set_deinit(&contested);
}

/* ---- an object's ---- */

static inline void object_show_cell(const struct deletes *deletes, const struct place *at, const struct cell *cell,
                                    struct buffer *out)
{
    struct cell_view view;
    cell_look(deletes, at, cell, &view);
    if (!cell_view_is_present(&view)) return;
    if (at->part == PART_ROW)
        buffer_append_slice(out, at->column);
    else
        buffer_append_format(out, "string");
    buffer_append_format(out, ":");
    for (uint32_t i = 0; i < cell->values.count; i++) {
        const struct register_value *v = &cell->values.values[i];
        if (register_value_is_readable(v)) show_dot(out, v->dot);
    }
    if (view.readable > 0 && view.has_tombstone) buffer_append_format(out, " or deleted");
    long long sum = counter_sum_clamp(view.sum);
    if (view.has_sum) buffer_append_format(out, " plus %lld", sum);
    buffer_append_format(out, "\n");
}

static inline void object_show(const struct object *o, struct buffer *out)
{
    struct parts storage;
    struct register_value value;
    const struct parts *p = object__view(o, &storage, &value);
    object_show_cell(&p->deletes, &string_place, &p->string, out);
    for (uint32_t i = 0; p->row && i < p->row->columns.count; i++) {
        const struct column *column = row_sorted(p->row)[i];
        struct place at = column_place(p->row, column);
        object_show_cell(&p->deletes, &at, &column->cell, out);
    }
    for (uint32_t i = 0; p->set && i < p->set->members.count; i++) {
        const struct set_member *m = set_aw_sorted(p->set)[i];
        struct slice name = set_member_name(p->set, m);
        if (m->is_shown) buffer_append_format(out, "member %.*s\n", (int)name.length, (const char *)name.data);
    }
    const struct register_value *item = expiry_in_force(&p->expiry);
    if (item && item->expire_at_ms > 0)
        buffer_append_format(out, "expires %llu\n", (unsigned long long)item->expire_at_ms);
    bool any = false;
    for (uint32_t i = 0; i < p->deletes.count; i++) {
        if (!delete_is_contested(&p->deletes.records[i])) continue;
        if (!any) buffer_append_format(out, "or deleted by");
        any = true;
        show_dot(out, p->deletes.records[i].dot);
    }
    if (any) buffer_append_format(out, "\n");
}

#endif
