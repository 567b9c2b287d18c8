/* object_read.c: what an object shows, and what a writer at this replica observes. See object.h. Siblings are in
 * object_siblings.c. */
#include "causality/hlc.h"
#include "crdt/object_internal.h"

/* A view of any object's parts, for the length of one call. */
struct look {
    struct parts storage;
    struct register_value value;
    const struct parts *parts;
};

static const struct parts *look_at(const struct object *o, struct look *look)
{
    look->parts = object__view(o, &look->storage, &look->value);
    return look->parts;
}

/* ---- expiry ---- */

/* When this value expires: its own expiry, unless an EXPIRE or PERSIST is newer or the only one. */
static uint64_t value_expires_at(const struct register_value *v, const struct register_value *in_force)
{
    if (!in_force) return v->expire_at_ms;
    bool newer = stamp_before(v->stamp, v->dot.replica, in_force->stamp, in_force->dot.replica);
    return newer || v->expire_at_ms == 0 ? in_force->expire_at_ms : v->expire_at_ms;
}

/* The key as a whole expires when its last shown alternative does; one that never does keeps it. */
static uint64_t expire_at_ms(const struct parts *p)
{
    const struct register_value *in_force = expiry_in_force(&p->expiry);
    uint64_t other = in_force ? in_force->expire_at_ms : 0, latest = 0;
    uint32_t values = 0;
    for (uint32_t i = 0; i < p->string.values.count; i++) {
        const struct register_value *v = &p->string.values.values[i];
        if (!register_value_is_readable(v)) continue;
        uint64_t at = value_expires_at(v, in_force);
        if (at == 0) return 0;
        if (at > latest) latest = at;
        values++;
    }
    bool has_others = (p->row && p->row->shown_count > 0) || (p->set && p->set->shown_count > 0);
    if (values > 0 && has_others && other == 0) return 0;
    return values == 0 || (has_others && other > latest) ? other : latest;
}

uint64_t object_expire_at_ms(const struct object *o)
{
    if (object__form(o) == FORM_VALUE) return o->value.expire_at_ms;
    return object__form(o) == FORM_PARTS ? expire_at_ms(o->parts) : 0;
}

static bool is_expired(const struct object *o, uint64_t now_ms)
{
    uint64_t at = object_expire_at_ms(o);
    return at != 0 && at <= now_ms;
}

/* ---- type and conflict ---- */

enum object_type object_type(const struct object *o, uint64_t now_ms)
{
    if (object__form(o) == FORM_EMPTY || is_expired(o, now_ms)) return OBJECT_NONE;
    if (object__form(o) == FORM_VALUE) return OBJECT_STRING;
    const struct parts *p = o->parts;
    if (parts__string_is_shown(p)) return OBJECT_STRING;
    if (p->row && p->row->shown_count > 0) return OBJECT_ROW;
    return p->set && p->set->shown_count > 0 ? OBJECT_SET : OBJECT_NONE;
}

bool object_in_conflict(const struct object *o, uint64_t now_ms)
{
    return object__form(o) == FORM_PARTS && !is_expired(o, now_ms) && parts__in_conflict(o->parts);
}

uint64_t object_stamp_max(const struct object *o)
{
    struct look look;
    const struct parts *p = look_at(o, &look);
    uint64_t stamp = cell_stamp_max(&p->string), expiry = cell_stamp_max(&p->expiry);
    if (expiry > stamp) stamp = expiry;
    uint32_t cursor = 0;
    for (const struct column *column = p->row ? row_next(p->row, &cursor) : NULL; column;
         column = row_next(p->row, &cursor)) {
        uint64_t other = cell_stamp_max(&column->cell);
        if (other > stamp) stamp = other;
    }
    cursor = 0;
    for (const struct set_member *m = p->set ? set_aw_next(p->set, &cursor) : NULL; m;
         m = set_aw_next(p->set, &cursor)) {
        const struct set_add *adds = set_member_adds(m);
        for (uint32_t i = 0; i < m->adds_count; i++) stamp = adds[i].stamp > stamp ? adds[i].stamp : stamp;
    }
    for (uint32_t i = 0; i < p->deletes.count; i++) {
        if (p->deletes.records[i].stamp > stamp) stamp = p->deletes.records[i].stamp;
    }
    return stamp;
}

/* ---- strings ---- */

/* READ_OK when the object, as parts, may be read as `type`. */
static enum read_outcome readable_as(const struct object *o, uint64_t now_ms, enum object_type type)
{
    enum object_type shown = object_type(o, now_ms);
    if (shown == OBJECT_NONE) return READ_ABSENT;
    if (shown == type) return READ_OK;
    return object_in_conflict(o, now_ms) ? READ_CONFLICT : READ_WRONG_TYPE;
}

enum read_outcome object_read_string(const struct object *o, uint64_t now_ms, char scratch[32], struct slice *out)
{
    if (object__form(o) == FORM_VALUE) {
        if (is_expired(o, now_ms)) return READ_ABSENT;
        *out = register_value_slice(&o->value);
        return READ_OK;
    }
    if (object__form(o) == FORM_EMPTY) return READ_ABSENT;
    if (object_in_conflict(o, now_ms)) return READ_CONFLICT;
    enum read_outcome outcome = readable_as(o, now_ms, OBJECT_STRING);
    if (outcome != READ_OK) return outcome;
    return cell_read(&o->parts->deletes, &string_place, &o->parts->string, scratch, out);
}

enum read_outcome object_read_integer(const struct object *o, uint64_t now_ms, int64_t *out, bool *out_is_integer)
{
    char scratch[32];
    struct slice text;
    enum read_outcome outcome = object_read_string(o, now_ms, scratch, &text);
    if (outcome == READ_OK) *out_is_integer = slice_to_i64(text, out);
    return outcome;
}

/* ---- rows ---- */

/* A row of which one column is in conflict can be read in its other columns; a contested one can't. */
static enum read_outcome row_of(const struct object *o, uint64_t now_ms, struct row **out_row)
{
    enum read_outcome outcome = readable_as(o, now_ms, OBJECT_ROW);
    if (outcome != READ_OK) return outcome;
    struct parts *p = o->parts;
    if (p->set && p->set->shown_count > 0) return READ_CONFLICT;
    for (uint32_t i = 0; i < p->deletes.count; i++) {
        if (delete_is_contested(&p->deletes.records[i])) return READ_CONFLICT;
    }
    *out_row = p->row;
    return READ_OK;
}

enum read_outcome object_read_column(const struct object *o, uint64_t now_ms, struct slice column, char scratch[32],
                                     struct slice *out)
{
    struct row *row;
    enum read_outcome outcome = row_of(o, now_ms, &row);
    if (outcome != READ_OK) return outcome;
    const struct column *found = row_find(row, column);
    if (!found || !found->is_shown) return READ_ABSENT;
    struct place at = column_place(row, found);
    return cell_read(&o->parts->deletes, &at, &found->cell, scratch, out);
}

enum read_outcome object_row_count(const struct object *o, uint64_t now_ms, uint64_t *out_count)
{
    struct row *row;
    enum read_outcome outcome = row_of(o, now_ms, &row);
    if (outcome == READ_OK) *out_count = row->shown_count;
    return outcome;
}

enum read_outcome object_row_visit(const struct object *o, uint64_t now_ms,
                                   bool (*visit)(void *user, struct slice column, struct slice value), void *user)
{
    struct row *row;
    enum read_outcome outcome = row_of(o, now_ms, &row);
    if (outcome != READ_OK) return outcome;
    if (row->conflicts_count > 0) return READ_CONFLICT;
    struct column **sorted = row_sorted(row);
    for (uint32_t i = 0; i < row->columns.count; i++) {
        if (!sorted[i]->is_shown) continue;
        char scratch[32];
        struct slice value;
        struct place at = column_place(row, sorted[i]);
        outcome = cell_read(&o->parts->deletes, &at, &sorted[i]->cell, scratch, &value);
        ASSERT(outcome == READ_OK);
        if (!visit(user, at.column, value)) break;
    }
    return READ_OK;
}

/* ---- sets ---- */

static enum read_outcome set_of(const struct object *o, uint64_t now_ms, struct set_aw **out_set)
{
    enum read_outcome outcome = readable_as(o, now_ms, OBJECT_SET);
    if (outcome != READ_OK) return outcome;
    if (parts__in_conflict(o->parts)) return READ_CONFLICT;
    *out_set = o->parts->set;
    return READ_OK;
}

enum read_outcome object_set_count(const struct object *o, uint64_t now_ms, uint64_t *out_count)
{
    struct set_aw *set;
    enum read_outcome outcome = set_of(o, now_ms, &set);
    if (outcome == READ_OK) *out_count = set->shown_count;
    return outcome;
}

enum read_outcome object_set_has(const struct object *o, uint64_t now_ms, struct slice member)
{
    struct set_aw *set;
    enum read_outcome outcome = set_of(o, now_ms, &set);
    if (outcome != READ_OK) return outcome;
    const struct set_member *found = set_aw_find(set, member);
    return found && found->is_shown ? READ_OK : READ_ABSENT;
}

enum read_outcome object_set_visit(const struct object *o, uint64_t now_ms,
                                   bool (*visit)(void *user, struct slice member), void *user)
{
    struct set_aw *set;
    enum read_outcome outcome = set_of(o, now_ms, &set);
    if (outcome != READ_OK) return outcome;
    struct set_member **sorted = set_aw_sorted(set);
    for (uint32_t i = 0; i < set->members.count; i++) {
        if (sorted[i]->is_shown && !visit(user, set_member_name(set, sorted[i]))) break;
    }
    return READ_OK;
}
