/* write_body.c: the bodies of writes, written and read. The layouts are listed in write.h.
 *
 * One set of readers serves both the check of hostile bytes and the walk over checked ones: a reader that failed gives
 * empty answers and stays failed, so the check is to walk everything and then to ask once.
 */
#include "crdt/write_body.h"

/* ---- writers ---- */

static void bases_write(struct buffer *b, const struct counter_base *bases, uint32_t count)
{
    write_varint(b, count);
    for (uint32_t i = 0; i < count; i++) {
        write_u8(b, bases[i].in_column);
        if (bases[i].in_column) write_bytes(b, bases[i].column);
        dot_write(b, bases[i].birth);
        write_varint(b, bases[i].positive);
        write_varint(b, bases[i].negative);
    }
}

void write_body_set(struct buffer *b, struct slice value, uint64_t expire_at_ms, const struct counter_base *bases,
                    uint32_t bases_count)
{
    write_bytes(b, value);
    write_varint(b, expire_at_ms);
    bases_write(b, bases, bases_count);
}

void write_body_increment(struct buffer *b, uint64_t birth, uint64_t positive, uint64_t negative)
{
    write_varint(b, birth);
    write_varint(b, positive);
    write_varint(b, negative);
}

void write_body_columns(struct buffer *b, const struct column_change *changes, uint32_t count)
{
    write_varint(b, count);
    for (uint32_t i = 0; i < count; i++) {
        const struct column_change *c = &changes[i];
        write_u8(b, (uint8_t)c->op);
        write_bytes(b, c->column);
        switch (c->op) {
        case COLUMN_SET: write_bytes(b, c->value); break;
        case COLUMN_DELETE: break;
        case COLUMN_INCREMENT: write_body_increment(b, c->birth, c->positive, c->negative); continue;
        }
        bases_write(b, c->bases, c->bases_count);
    }
}

void write_body_members(struct buffer *b, const struct slice *members, uint32_t count)
{
    write_varint(b, count);
    for (uint32_t i = 0; i < count; i++) write_bytes(b, members[i]);
}

void write_body_delete(struct buffer *b, enum delete_policy policy, const struct counter_base *bases,
                       uint32_t bases_count)
{
    write_u8(b, (uint8_t)policy);
    bases_write(b, bases, bases_count);
}

void write_body_expire(struct buffer *b, uint64_t expire_at_ms)
{
    write_varint(b, expire_at_ms);
}

void write_body_restore_mark(struct buffer *b, struct dot entry, uint8_t state)
{
    dot_write(b, entry);
    write_u8(b, state);
}

/* ---- readers: each takes its part from the front of `r` ---- */

static struct counter_base take_base(struct reader *r)
{
    struct counter_base base = {.in_column = false};
    uint8_t in_column = read_u8(r);
    if (in_column > 1) r->failed = true;
    base.in_column = in_column == 1;
    if (base.in_column) base.column = read_bytes(r);
    base.birth = dot_read(r);
    base.positive = read_varint(r);
    base.negative = read_varint(r);
    if (dot_is_none(base.birth)) r->failed = true;
    return base;
}

/* The list that begins at `r`; `r` is moved behind it. */
static struct body_list take_bases(struct reader *r)
{
    struct body_list list = {.left = read_varint(r)};
    list.at = *r;
    for (uint64_t i = 0; i < list.left && !r->failed; i++) (void)take_base(r);
    return list;
}

static struct body_increment take_increment(struct reader *r)
{
    struct body_increment i = {.birth = read_varint(r)};
    i.positive = read_varint(r);
    i.negative = read_varint(r);
    if (i.birth == 0) r->failed = true;
    return i;
}

static struct body_column take_column(struct reader *r)
{
    struct body_column c = {.op = (enum column_op)read_u8(r)};
    c.column = read_bytes(r);
    switch (c.op) {
    case COLUMN_SET: c.value = read_bytes(r); break;
    case COLUMN_DELETE: break;
    case COLUMN_INCREMENT: c.increment = take_increment(r); return c;
    default: r->failed = true; return c;
    }
    c.bases = take_bases(r);
    return c;
}

static struct body_set take_set(struct reader *r)
{
    struct body_set s = {.value = read_bytes(r)};
    s.expire_at_ms = read_varint(r);
    s.bases = take_bases(r);
    return s;
}

static struct body_delete take_delete(struct reader *r)
{
    struct body_delete d = {.policy = (enum delete_policy)read_u8(r)};
    if (d.policy < DELETE_BY_STAMP || d.policy > DELETE_CONTESTED) r->failed = true;
    d.bases = take_bases(r);
    return d;
}

/* ---- walking checked bodies ---- */

bool body_next_base(struct body_list *list, struct counter_base *out)
{
    if (list->left == 0) return false;
    list->left--;
    *out = take_base(&list->at);
    return true;
}

struct body_set body_read_set(struct slice body)
{
    struct reader r = reader_of(body);
    return take_set(&r);
}

struct body_increment body_read_increment(struct slice body)
{
    struct reader r = reader_of(body);
    return take_increment(&r);
}

static struct body_list list_of(struct slice body)
{
    struct reader r = reader_of(body);
    uint64_t count = read_varint(&r);
    return (struct body_list){.at = r, .left = count};
}

struct body_list body_read_columns(struct slice body)
{
    return list_of(body);
}

bool body_next_column(struct body_list *list, struct body_column *out)
{
    if (list->left == 0) return false;
    list->left--;
    *out = take_column(&list->at);
    return true;
}

struct body_list body_read_members(struct slice body)
{
    return list_of(body);
}

bool body_next_member(struct body_list *list, struct slice *out)
{
    if (list->left == 0) return false;
    list->left--;
    *out = read_bytes(&list->at);
    return true;
}

struct body_delete body_read_delete(struct slice body)
{
    struct reader r = reader_of(body);
    return take_delete(&r);
}

uint64_t body_read_expire(struct slice body)
{
    struct reader r = reader_of(body);
    return read_varint(&r);
}

/* ---- checking ---- */

static void check_columns(struct reader *r, uint64_t counter)
{
    uint64_t count = read_varint(r);
    if (count == 0) r->failed = true;
    for (uint64_t i = 0; i < count && !r->failed; i++) {
        struct body_column c = take_column(r);
        if (c.op == COLUMN_INCREMENT && c.increment.birth > counter) r->failed = true;
    }
}

static void check_members(struct reader *r)
{
    uint64_t count = read_varint(r);
    if (count == 0) r->failed = true;
    for (uint64_t i = 0; i < count && !r->failed; i++) (void)read_bytes(r);
}

bool body_is_valid(enum write_kind kind, struct slice body, uint64_t counter)
{
    struct reader r = reader_of(body);
    switch (kind) {
    case WRITE_SET: (void)take_set(&r); break;
    case WRITE_INCREMENT:
        if (take_increment(&r).birth > counter) r.failed = true;
        break;
    case WRITE_COLUMNS: check_columns(&r, counter); break;
    case WRITE_MEMBERS_ADD:
    case WRITE_MEMBERS_REMOVE: check_members(&r); break;
    case WRITE_DELETE: (void)take_delete(&r); break;
    case WRITE_EXPIRE: (void)read_varint(&r); break;
    case WRITE_RESTORE_MARK:
        if (dot_is_none(dot_read(&r))) r.failed = true;
        (void)read_u8(&r);
        break;
    case WRITE_KIND_COUNT: return false;
    }
    return reader_finished(&r);
}
