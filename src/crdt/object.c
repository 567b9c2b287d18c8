/* object.c: life, forms and bytes of objects. See object.h and object_internal.h.
 *
 * Encoding: version u8, form u8; a value: register value; parts: string cell, expiry cell, columns count and columns,
 * members count and members, deletes, touches. Everything is in sorted order, and of a delete's losers only those that
 * are still there are written, so that equal objects have equal bytes.
 */
#include "crdt/object.h"

#include "base/memory.h"
#include "crdt/object_internal.h"

enum { ENCODING_VERSION = 1 };

/* ---- life ---- */

struct object *object_new(void)
{
    return memory_zalloc(1, sizeof(struct object));
}

static void parts_free(struct parts *p)
{
    cell_deinit(&p->string);
    cell_deinit(&p->expiry);
    row_free(p->row);
    set_aw_free(p->set);
    deletes_deinit(&p->deletes);
    vv_deinit(&p->touches);
    memory_free(p);
}

void object_free(struct object *o)
{
    if (!o) return;
    if (object__form(o) == FORM_PARTS)
        parts_free(o->parts);
    else
        register_value_deinit(&o->value);
    memory_free(o);
}

static size_t deletes_bytes(const struct deletes *d)
{
    size_t bytes = d->count * sizeof *d->records;
    for (uint32_t i = 0; i < d->count; i++) {
        const struct delete_record *x = &d->records[i];
        bytes += (x->observed.capacity + x->lost.capacity) * sizeof(struct dot) + x->bases_count * sizeof *x->bases;
    }
    return bytes;
}

size_t object_bytes(const struct object *o)
{
    if (object__form(o) != FORM_PARTS) return sizeof *o + o->value.length;
    const struct parts *p = o->parts;
    size_t bytes = sizeof *o + sizeof *p + cell_bytes(&p->string) + cell_bytes(&p->expiry);
    if (p->row) bytes += row_bytes(p->row);
    if (p->set) bytes += set_aw_bytes(p->set);
    return bytes + deletes_bytes(&p->deletes) + p->touches.capacity * sizeof *p->touches.entries;
}

/* ---- forms ---- */

struct parts *object__expand(struct object *o)
{
    if (object__form(o) == FORM_PARTS) return o->parts;
    struct parts *p = memory_zalloc(1, sizeof *p);
    vv_init(&p->touches);
    if (object__form(o) == FORM_VALUE) {
        struct register_value v = o->value;
        v.tag = 0;
        reg_add(&p->string.values, v);
    }
    o->value = (struct register_value){.tag = FORM_PARTS};
    o->parts = p;
    return p;
}

/* Touches aside, the parts say no more than a plain string or nothing would. */
static bool are_plain(const struct parts *p)
{
    if (p->string.counters.count > 0 || !cell_is_empty(&p->expiry) || p->row || p->set || p->deletes.count > 0)
        return false;
    const struct reg *values = &p->string.values;
    return values->count == 0 || (values->count == 1 && !(values->values[0].flags & (VALUE_TOMBSTONE | VALUE_HIDDEN)));
}

void object__compact(struct object *o)
{
    if (object__form(o) != FORM_PARTS) return;
    struct parts *p = o->parts;
    parts__release_empty(p);
    if (!are_plain(p) || p->touches.count > 0) return;
    struct register_value value = {.tag = FORM_EMPTY};
    if (p->string.values.count == 1) {
        struct register_value *v = &p->string.values.values[0];
        value = *v;
        value.tag = FORM_VALUE;
        v->bytes = NULL; /* moved */
    }
    parts_free(p);
    o->value = value;
}

const struct parts *object__view(const struct object *o, struct parts *storage, struct register_value *value)
{
    if (object__form(o) == FORM_PARTS) return o->parts;
    *storage = (struct parts){.row = NULL};
    if (object__form(o) == FORM_VALUE) {
        *value = o->value;
        storage->string.values = (struct reg){.values = value, .count = 1};
    }
    return storage;
}

bool object_is_empty(const struct object *o)
{
    return object__form(o) == FORM_EMPTY;
}

/* ---- encoding ---- */

static void note_cell(const struct cell *cell, struct dot_set *out)
{
    for (uint32_t i = 0; i < cell->values.count; i++) dot_set_add(out, cell->values.values[i].dot);
}

/* Forget losers that something has replaced since. */
static void prune_lost(struct parts *p)
{
    bool any = false;
    for (uint32_t i = 0; i < p->deletes.count; i++) any |= p->deletes.records[i].lost.count > 0;
    if (!any) return;
    struct dot_set present;
    dot_set_init(&present);
    note_cell(&p->string, &present);
    note_cell(&p->expiry, &present);
    uint32_t cursor = 0;
    for (const struct column *column = p->row ? row_next(p->row, &cursor) : NULL; column;
         column = row_next(p->row, &cursor))
        note_cell(&column->cell, &present);
    for (uint32_t i = 0; i < p->deletes.count; i++) {
        struct dot_set *lost = &p->deletes.records[i].lost;
        for (uint32_t j = lost->count; j > 0; j--) {
            struct dot dot = lost->dots[j - 1];
            if (!dot_set_has(&present, dot)) (void)dot_set_remove(lost, dot);
        }
    }
    dot_set_deinit(&present);
}

static void encode(const struct object *o, bool with_touches, struct buffer *out)
{
    write_u8(out, ENCODING_VERSION);
    write_u8(out, (uint8_t)object__form(o));
    if (object__form(o) == FORM_VALUE) register_value_write(out, &o->value);
    if (object__form(o) != FORM_PARTS) return;
    struct parts *p = o->parts;
    prune_lost(p);
    cell_write(out, &p->string);
    cell_write(out, &p->expiry);
    if (p->row)
        row_write(out, p->row);
    else
        write_varint(out, 0);
    if (p->set)
        set_aw_write(out, p->set);
    else
        write_varint(out, 0);
    deletes_write(out, &p->deletes);
    if (with_touches) vv_write(out, &p->touches);
}

void object_encode(const struct object *o, struct buffer *out)
{
    encode(o, true, out);
}

static bool decode_parts(struct reader *r, struct parts *p)
{
    if (!cell_read_encoded(r, &p->string) || !cell_read_encoded(r, &p->expiry)) return false;
    if (p->expiry.counters.count > 0) return false;
    if (!row_read(r, parts__row(p)) || !set_aw_read(r, parts__set(p))) return false;
    if (!deletes_read(r, &p->deletes)) return false;
    return vv_read(r, &p->touches) == STATUS_OK;
}

/* Derived flags follow from the rest; what they would tell the ledger it knows. */
static void derive(struct object *o)
{
    struct parts *p = o->parts;
    struct object_events ignored;
    object_events_init(&ignored);
    struct change c = {.policy = CONFLICT_SIBLINGS, .deletes = &p->deletes, .touches = &p->touches, .events = &ignored};
    parts__settle_all(&c, p);
    parts__settle_deletes(&c, p, (struct dot){0, 0});
    change_deinit(&c);
    object_events_deinit(&ignored);
    object__compact(o);
}

struct object *object_decode(struct slice bytes)
{
    struct reader r = reader_of(bytes);
    if (read_u8(&r) != ENCODING_VERSION) return NULL;
    uint8_t form = read_u8(&r);
    if (r.failed || form > FORM_PARTS) return NULL;
    struct object *o = object_new();
    bool is_good = true;
    if (form == FORM_VALUE) {
        o->value = register_value_read(&r);
        is_good = !(o->value.flags & VALUE_TOMBSTONE);
        o->value.tag = FORM_VALUE;
    } else if (form == FORM_PARTS) {
        is_good = decode_parts(&r, object__expand(o));
    }
    is_good = is_good && reader_finished(&r);
    if (is_good && form == FORM_PARTS) derive(o);
    if (is_good && object__form(o) == (enum object_form)form) return o;
    object_free(o);
    return NULL;
}

/* Everything but the touches, which may also be all that keeps a plain string in parts (F2). */
static void encode_contents(const struct object *o, struct buffer *out)
{
    struct object plain = {.value = {.tag = FORM_EMPTY}};
    bool is_plain = object__form(o) == FORM_PARTS && are_plain(o->parts);
    if (is_plain && o->parts->string.values.count == 1) {
        plain.value = o->parts->string.values.values[0]; /* borrowed */
        plain.value.tag = FORM_VALUE;
    }
    encode(is_plain ? &plain : o, false, out);
}

bool object_equal(const struct object *a, const struct object *b)
{
    struct buffer left_bytes, right_bytes;
    buffer_init(&left_bytes, SIZE_MAX / 2);
    buffer_init(&right_bytes, SIZE_MAX / 2);
    encode_contents(a, &left_bytes);
    encode_contents(b, &right_bytes);
    bool equal = slice_equal(buffer_slice(&left_bytes), buffer_slice(&right_bytes));
    buffer_deinit(&left_bytes);
    buffer_deinit(&right_bytes);
    return equal;
}
