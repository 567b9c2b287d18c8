/* object_apply.c: one write meets the object. See object.h.
 *
 * The order of steps is the same for every kind: resolve the deletes that the write observed, let it meet those it is
 * concurrent to, change its own part, and settle. If the fate of a delete changed, everything is settled anew.
 */
#include "crdt/object_internal.h"

/* What the deletes need to know of the write: which part it touches, and how. */
static bool rival_of_write(const struct write *w, struct delete_rival *out)
{
    *out = (struct delete_rival){.dot = w->dot, .stamp = w->stamp};
    switch (w->kind) {
    case WRITE_SET:
        out->part = PART_STRING;
        out->is_update = out->can_lose = true;
        return true;
    case WRITE_COLUMNS: {
        out->part = PART_ROW;
        out->is_update = true;
        struct body_list columns = body_read_columns(w->body);
        struct body_column column;
        while (body_next_column(&columns, &column)) out->can_lose |= column.op != COLUMN_INCREMENT;
        return true;
    }
    case WRITE_EXPIRE:
        out->part = PART_EXPIRY;
        out->can_lose = true;
        return true;
    case WRITE_INCREMENT: out->part = PART_STRING; return true;
    case WRITE_MEMBERS_ADD:
    case WRITE_MEMBERS_REMOVE: out->part = PART_SET; return true;
    case WRITE_DELETE:
    case WRITE_RESTORE_MARK:
    case WRITE_KIND_COUNT: break;
    }
    return false;
}

/* Returns true if the fate of a delete changed. The dot of an overwrite is that of the value which it wrote: who
 * observed it replaced that value, and said nothing of the delete. */
static bool resolve_deletes(struct change *c, struct parts *p)
{
    bool changed = false;
    for (uint32_t i = 0; i < p->deletes.count; i++) {
        struct delete_record *x = &p->deletes.records[i];
        /* An overwrite has the dot of the value it came with: whoever replaces that value does not bring back the rest.
         */
        if (x->flags & (DELETE_RESOLVED | DELETE_OVERWRITE) || !dot_set_has(&c->write->observed, x->dot)) continue;
        x->flags |= DELETE_RESOLVED;
        dot_set_clear(&x->lost);
        change_gone(c, OBJECT_REPLACED, &string_place, x->dot);
        changed = true;
    }
    return changed;
}

static bool meet_deletes(struct change *c, struct parts *p)
{
    struct delete_rival rival;
    if (p->deletes.count == 0 || !rival_of_write(c->write, &rival)) return false;
    bool changed = false;
    for (uint32_t i = 0; i < p->deletes.count; i++) {
        struct delete_record *x = &p->deletes.records[i];
        if (write_covers(c->write, x->dot)) continue;
        bool was_in_effect = delete_is_in_effect(x);
        (void)delete_meet(x, &rival);
        changed |= was_in_effect != delete_is_in_effect(x);
    }
    return changed;
}

/* ---- a new delete ---- */

static void meet_touches(struct delete_record *x, const struct vv *touches, const struct vv *past)
{
    if (x->policy != DELETE_LOSES) return;
    for (uint32_t i = 0; i < touches->count; i++) {
        struct dot dot = {touches->entries[i].replica, touches->entries[i].counter};
        struct delete_rival rival = {.part = PART_EXPIRY, .dot = dot};
        if (!vv_covers(past, dot)) (void)delete_meet(x, &rival);
    }
}

static void meet_everything(struct parts *p, struct delete_record *x, const struct vv *past)
{
    (void)cell_meet_delete(&string_place, &p->string, x, past);
    uint32_t cursor = 0;
    for (struct column *column = p->row ? row_next(p->row, &cursor) : NULL; column;
         column = row_next(p->row, &cursor)) {
        struct place at = column_place(p->row, column);
        (void)cell_meet_delete(&at, &column->cell, x, past);
    }
    if (p->set) (void)set_aw_meet_unknown(p->set, x, past);
    (void)cell_meet_delete(&expiry_place, &p->expiry, x, past);
    meet_touches(x, &p->touches, past);
}

static void add_delete(struct change *c, struct parts *p, enum delete_policy policy, uint8_t flags, uint8_t spared,
                       struct body_list bases)
{
    const struct write *w = c->write;
    struct delete_record *x = deletes_add(&p->deletes, w->dot);
    x->stamp = w->stamp;
    x->policy = (uint8_t)policy;
    x->flags = flags;
    x->spared = spared;
    dot_set_union(&x->observed, &w->observed);
    struct counter_base base;
    while (body_next_base(&bases, &base)) delete_record_add_base(x, &base);
    struct vv past;
    vv_init(&past);
    vv_copy(&past, &w->deps);
    vv_raise(&past, (struct dot){w->dot.replica, w->dot.counter - 1});
    meet_everything(p, x, &past);
    vv_deinit(&past);
    if (policy == DELETE_WINS) parts__carry_out(c, p, x);
}

/* The write replaces the key's parts of other types: a delete that spares the part written. Where it loses, both types
 * stay, as after any two concurrent writes of different types. */
static bool add_overwrite(struct change *c, struct parts *p, enum object_part written, struct body_list bases)
{
    if (!(c->write->flags & WRITE_FLAG_OVERWRITE)) return false;
    enum delete_policy policy = DELETE_BY_STAMP;
    if (c->policy == CONFLICT_SIBLINGS) policy = DELETE_CONTESTED;
    if (c->policy == CONFLICT_DELETE_WINS) policy = DELETE_WINS;
    add_delete(c, p, policy, DELETE_OVERWRITE, (uint8_t)written, bases);
    return true;
}

/* ---- one function per kind; each returns true if everything must be settled anew ---- */

static bool apply_set(struct change *c, struct parts *p)
{
    const struct write *w = c->write;
    struct body_set body = body_read_set(w->body);
    cell_observe(c, &string_place, &p->string);
    struct body_list bases = body.bases;
    struct counter_base base;
    while (body_next_base(&bases, &base)) {
        if (!base.in_column) cell_reset(&p->string, &base, w->dot, w->stamp);
    }
    cell_put(&p->string, register_value_make(w->dot, w->stamp, body.expire_at_ms, body.value, 0));
    expiry_observe(c, &p->expiry);
    bool overwrites = add_overwrite(c, p, PART_STRING, body.bases);
    cell_settle(c, &string_place, &p->string);
    expiry_settle(c, &p->expiry);
    return overwrites;
}

static bool apply_increment(struct change *c, struct parts *p)
{
    const struct write *w = c->write;
    struct body_increment body = body_read_increment(w->body);
    cell_increment(c, &string_place, &p->string, w->dot, w->stamp, &body);
    expiry_observe(c, &p->expiry);
    expiry_settle(c, &p->expiry);
    return false;
}

static void apply_column(struct change *c, struct row *row, struct body_column *body)
{
    const struct write *w = c->write;
    struct column *column = row_find_or_add(row, body->column);
    struct place at = column_place(row, column);
    if (body->op == COLUMN_INCREMENT) {
        cell_increment(c, &at, &column->cell, w->dot, w->stamp, &body->increment);
    } else {
        cell_observe(c, &at, &column->cell);
        struct counter_base base;
        while (body_next_base(&body->bases, &base)) cell_reset(&column->cell, &base, w->dot, w->stamp);
        uint8_t flags = body->op == COLUMN_DELETE ? VALUE_TOMBSTONE : 0;
        cell_put(&column->cell, register_value_make(w->dot, w->stamp, 0, body->value, flags));
    }
    (void)row_settle(c, row, column);
}

static bool apply_columns(struct change *c, struct parts *p)
{
    struct body_list columns = body_read_columns(c->write->body);
    struct body_column column;
    expiry_observe(c, &p->expiry);
    bool overwrites = add_overwrite(c, p, PART_ROW, (struct body_list){.left = 0});
    while (body_next_column(&columns, &column)) apply_column(c, parts__row(p), &column);
    expiry_settle(c, &p->expiry);
    return overwrites;
}

static bool apply_members(struct change *c, struct parts *p)
{
    const struct write *w = c->write;
    struct body_list members = body_read_members(w->body);
    struct slice member;
    expiry_observe(c, &p->expiry);
    bool adds = w->kind == WRITE_MEMBERS_ADD;
    bool overwrites = adds && add_overwrite(c, p, PART_SET, (struct body_list){.left = 0});
    while (body_next_member(&members, &member)) {
        if (adds)
            set_aw_add(c, parts__set(p), member, w->dot, w->stamp);
        else if (p->set)
            set_aw_remove(c, p->set, member);
    }
    if (!adds) {
        vv_raise(c->touches, w->dot);
        change_gone(c, OBJECT_REPLACED, &(struct place){PART_SET, {0}}, w->dot); /* it leaves nothing to see */
    }
    expiry_settle(c, &p->expiry);
    return overwrites;
}

static bool apply_delete(struct change *c, struct parts *p)
{
    struct body_delete body = body_read_delete(c->write->body);
    uint8_t flags = c->write->flags & WRITE_FLAG_EXPIRY ? DELETE_EXPIRY : 0;
    add_delete(c, p, body.policy, flags, 0, body.bases);
    return true;
}

static bool apply_expire(struct change *c, struct parts *p)
{
    const struct write *w = c->write;
    expiry_observe(c, &p->expiry);
    cell_put(&p->expiry, register_value_make(w->dot, w->stamp, body_read_expire(w->body), slice_of(NULL, 0), 0));
    expiry_settle(c, &p->expiry);
    return false;
}

static bool apply_kind(struct change *c, struct parts *p)
{
    switch (c->write->kind) {
    case WRITE_SET: return apply_set(c, p);
    case WRITE_INCREMENT: return apply_increment(c, p);
    case WRITE_COLUMNS: return apply_columns(c, p);
    case WRITE_MEMBERS_ADD:
    case WRITE_MEMBERS_REMOVE: return apply_members(c, p);
    case WRITE_DELETE: return apply_delete(c, p);
    case WRITE_EXPIRE: return apply_expire(c, p);
    case WRITE_RESTORE_MARK:
    case WRITE_KIND_COUNT: break;
    }
    PANIC("a write of kind %d does not concern an object", c->write->kind);
}

/* ---- the whole ---- */

/* What the write observed in the ledger. */
static void withdraw(struct change *c)
{
    const struct write *w = c->write;
    if (w->kind == WRITE_DELETE || w->flags & WRITE_FLAG_OVERWRITE) {
        change_withdraw_all(c, &c->suspects);
        return;
    }
    change_withdraw_observed(c, slice_of(NULL, 0));
    if (w->kind != WRITE_COLUMNS) return;
    struct body_list columns = body_read_columns(w->body);
    struct body_column column;
    while (body_next_column(&columns, &column)) {
        if (column.op != COLUMN_INCREMENT) change_withdraw_observed(c, column.column);
    }
}

/* SET on nothing, or over the one value that it observed: no parts are needed. */
static bool apply_plain_set(struct object *o, struct change *c)
{
    const struct write *w = c->write;
    if (w->kind != WRITE_SET || w->flags != 0 || object__form(o) == FORM_PARTS || c->suspects.count > 0) return false;
    bool replaces = object__form(o) == FORM_VALUE;
    if (replaces && !dot_set_has(&w->observed, o->value.dot)) return false;
    if (replaces) change_gone(c, OBJECT_REPLACED, &string_place, o->value.dot);
    struct body_set body = body_read_set(w->body);
    register_value_assign(&o->value, w->dot, w->stamp, body.expire_at_ms, body.value);
    o->value.tag = FORM_VALUE;
    return true;
}

void object_apply(struct object *o, enum conflict_policy policy, const struct write *w,
                  const struct object_ledger_view *ledgered, struct object_events *out_events)
{
    struct change c = {.policy = policy, .write = w, .ledgered = ledgered, .events = out_events};
    change_find_suspects(&c);
    if (!apply_plain_set(o, &c)) {
        struct parts *p = object__expand(o);
        c.deletes = &p->deletes;
        c.touches = &p->touches;
        bool was_in_conflict = parts__in_conflict(p);
        bool unsettled = resolve_deletes(&c, p);
        unsettled |= meet_deletes(&c, p);
        unsettled |= apply_kind(&c, p);
        if (unsettled) parts__settle_all(&c, p);
        parts__settle_deletes(&c, p, w->dot);
        if (c.suspects.count > 0) withdraw(&c);
        change_conflict(&c, was_in_conflict, parts__in_conflict(p));
        object__compact(o);
    }
    change_deinit(&c);
}

void object_prepare(const struct object *o, struct write *w)
{
    if (object__form(o) == FORM_EMPTY) return;
    struct parts storage;
    struct register_value value;
    const struct parts *p = object__view(o, &storage, &value);
    bool has_string = !cell_is_empty(&p->string), has_row = p->row != NULL, has_set = p->set != NULL;
    bool overwrites = false;
    if (w->kind == WRITE_SET) overwrites = has_row || has_set;
    if (w->kind == WRITE_COLUMNS) overwrites = has_string || has_set;
    if (w->kind == WRITE_MEMBERS_ADD) overwrites = has_string || has_row;
    if (overwrites) w->flags |= WRITE_FLAG_OVERWRITE;
}
